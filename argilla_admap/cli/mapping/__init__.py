"""Commands that make a map and look at it."""
