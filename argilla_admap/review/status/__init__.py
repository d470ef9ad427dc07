"""How a review stands, and when it is time to stop."""
