"""A review watched as it goes on."""
