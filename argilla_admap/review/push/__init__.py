"""The map onto Argilla."""
