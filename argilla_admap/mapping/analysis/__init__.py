"""What a map shows: bias, comparison, selection, self-test, agreement."""
