"""Commands that read and score."""
