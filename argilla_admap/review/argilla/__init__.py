"""Calls to an Argilla server, and what each does to people's work."""
