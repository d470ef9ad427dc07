"""Label-free checks: errors that are seen without a judge."""
