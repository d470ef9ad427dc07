"""Corrected labels back from Argilla."""
