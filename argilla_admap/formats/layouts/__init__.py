"""Layouts of preference data, one file a family. A new layout is one class here."""
