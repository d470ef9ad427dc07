"""Requests to a judge: for a guide, for the grade of one completion, for the grades of a record's completions together."""
