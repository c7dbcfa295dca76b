"""What to show whom: interactions in, ranked items out. Pure; imports none of ours."""
