"""What people feel, who gathers, what comes of it: figures for the operator.

Pure arithmetic over rows that somebody else fetches. Nothing here answers a member.
"""
