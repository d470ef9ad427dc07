"""The real browser of the tests."""
