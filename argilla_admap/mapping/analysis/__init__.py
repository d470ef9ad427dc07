"""What a map tells: bias, comparison, selection, self-test, agreement."""
