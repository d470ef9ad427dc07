"""The outside world's files of preference data, to records and back.

A source (`sources`) is files or tables (`files`, `text_rows`, `csv_rows`, `columns`); a format says what their rows mean
(`shape.Format`, one class each, listed in `registry.FORMATS`); `registry.read` joins the two and gives unique ids (`identity`).
A new format is one class: `fits` a row, `parse` it, and `correct` it by edits, which `rewrite` puts into the file's own bytes.
"""
