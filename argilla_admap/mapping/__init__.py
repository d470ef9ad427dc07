"""Numbers: arrays in, arrays out; no file, no network, no clock."""
