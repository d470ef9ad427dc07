"""The place of a record on the map: coordinates, regions, flags, sources."""
