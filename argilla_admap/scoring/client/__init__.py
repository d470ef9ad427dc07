"""Requests to a server: sent once, paid once, at the rate and concurrency that the server allows."""
