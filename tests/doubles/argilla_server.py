"""The real Argilla of the tests: one, started once for the whole run."""
