"""The review data set: fields, questions, card, settings, and data sets that others made."""
