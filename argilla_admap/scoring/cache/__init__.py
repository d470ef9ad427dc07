"""What was paid for is kept in one SQLite file, and never asked twice."""
