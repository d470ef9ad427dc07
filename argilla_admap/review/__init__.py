"""People: the only room that speaks to Argilla."""
