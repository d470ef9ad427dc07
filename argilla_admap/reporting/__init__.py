"""The map to look at, outside Argilla."""
