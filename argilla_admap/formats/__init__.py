"""The outside world's files to records, and back. One file for each family of formats."""
