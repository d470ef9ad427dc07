"""The outside world's files of preference data, to records and back.

A source (`containers.inputs`) is files or tables, each read as a stream of rows (`containers`). A format says what rows mean
(`format.Format`; one class each in `layouts`, where the registry finds them by themselves). `registry.read` joins the two and
gives unique ids (`ids`). A new format is one class: `fits` a row, `parse` it, and `correct` it by edits, which `writeback` puts
into the file's own bytes. `writing` makes new files.

Floors, from the ground up: format, values; containers, layouts; ids, registry; writing, writeback.
"""
