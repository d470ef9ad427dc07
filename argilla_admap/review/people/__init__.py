"""Reviewers: their accounts, how far they agree, how often they are right."""
