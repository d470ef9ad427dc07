"""What the map is made of: one pass over the records, as compact arrays."""
