"""Scorers, a file each: what turns completions into scores. A new scorer is one file here."""
