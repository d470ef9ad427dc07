"""P(wrong): how likely each label is wrong, and why."""
