"""What happens unasked: a clock and its jobs. It meets the conversation only in the store."""
