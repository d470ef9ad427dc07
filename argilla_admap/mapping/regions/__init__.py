"""Where a record stands on the map: coordinates, regions, flags, sources."""
