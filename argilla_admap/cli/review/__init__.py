"""Commands that speak to Argilla."""
