"""Files, folders and the Hub, opened and streamed row by row."""
