"""A judge's double: a real HTTP server, in a process of its own."""
