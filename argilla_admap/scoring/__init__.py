"""Money: the only room that speaks to a judge."""
