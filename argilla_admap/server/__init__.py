"""An Argilla of one's own, without docker."""
