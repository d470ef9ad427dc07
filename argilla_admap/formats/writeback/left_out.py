"""Rows that a writing left out, in a file of their own: with it a file gets them back exactly where they stood.

What the original had between two rows that were kept is a gap. Of each gap that lost rows the file holds what stood there and
what was written in its place, and the digests of the rows around it, by which it is found in a file that was edited since.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from argilla_admap.errors import InputError
from argilla_admap.tables import atomic_path

__all__ = ["Gap", "LeftOut", "left_out_path", "packed_rows", "read_gaps", "unpacked_rows"]

_SCHEMA = pa.schema(
    pa.field(name, kind)
    for name, kind in (
        ("file", pa.string()),
        ("at", pa.int64()),
        ("before", pa.string()),
        ("first", pa.string()),
        ("rows", pa.int64()),
        ("was", pa.large_binary()),
        ("now", pa.large_binary()),
    )
)
#: Bytes that are gathered before they are written.
_BATCH = 2**22


def left_out_path(changes: str | Path) -> Path:
    """The file of the rows that the pull left out which wrote a file of changes: beside it."""
    return Path(changes).with_suffix(".left-out.arrow")


class LeftOut:
    """Writes what was left out. The file is made with the first row; without one, an older file of the name is removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._stack = ExitStack()
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._held: list[dict[str, Any]] = []
        self._size = 0

    def __enter__(self) -> LeftOut:
        return self

    def add(
        self, file: str, at: int, before: str, was: bytes, now: bytes = b"", *, first: str | None = None, rows: int = 1
    ) -> None:
        """A part of a gap; parts of one gap follow each other.

        Args:
            file: as in a `Patch`.
            at: the number of the row before the gap, in what is written; 0 at the beginning.
            before: that row's digest as it was written; empty at the beginning, or where it has none.
            was, now: what stood there, and what was written in its place.
            first: the digest of the first row of the part.
            rows: how many rows stood there.
        """
        if self._writer is None:
            temporary = self._stack.enter_context(atomic_path(self.path))
            self._writer = self._stack.enter_context(pa.ipc.new_file(str(temporary), _SCHEMA))
        self._held.append({"file": file, "at": at, "before": before, "first": first, "rows": rows, "was": was, "now": now})
        self.rows += rows
        self._size += len(was)
        if self._size > _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._writer is not None and self._held:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._held, _SCHEMA))
        self._held, self._size = [], 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._flush()
            if self._writer is None:
                self.path.unlink(missing_ok=True)
        self._stack.__exit__(kind, error, trace)


@dataclass(slots=True)
class Gap:
    """What is put back behind one row.

    Attributes:
        file, at, before: as for `LeftOut.add`.
        first: the digest of its first row.
        now: what was written in place of it.
        rows: how many rows it is.
    """

    file: str
    at: int
    before: str
    first: str = ""
    now: bytes = b""
    rows: int = 0
    _parts: list[int] = field(default_factory=list)
    _table: pa.Table | None = None

    def parts(self) -> Iterator[bytes]:
        """What stood there, one part after the other; no more than one is in memory."""
        if self._table is not None:
            was = self._table["was"]
            yield from (was[place].as_py() for place in self._parts)


def read_gaps(path: Path) -> list[Gap]:
    """What `LeftOut` wrote, in its order; the rows themselves stay on the disk until they are asked for.

    Raises:
        InputError: absent, or no such file.
    """
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        if table.schema != _SCHEMA:
            raise pa.ArrowInvalid("other columns")
    except (OSError, pa.ArrowException) as exc:
        hint = "it was written beside the file of changes: put it there again"
        raise InputError(f"{path}: the rows that were left out cannot be read ({exc})", option="undo", hint=hint) from exc
    gaps: dict[tuple[str, int], Gap] = {}
    for place, one in enumerate(table.drop_columns(["was"]).to_pylist()):
        gap = gaps.setdefault((one["file"], one["at"]), Gap(one["file"], one["at"], one["before"], _table=table))
        gap.first = gap.first or one["first"] or ""
        gap.now += one["now"]
        gap.rows += one["rows"]
        gap._parts.append(place)
    return list(gaps.values())


def packed_rows(table: pa.Table) -> bytes:
    """Rows of a table as bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return bytes(sink.getvalue())


def unpacked_rows(packed: bytes, schema: pa.Schema) -> pa.Table:
    """What `packed_rows` gave.

    Raises:
        InputError: they do not fit into a table with the columns of `schema`.
    """
    try:
        return pa.ipc.open_stream(packed).read_all().select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError) as exc:
        raise InputError(f"the rows that were left out do not fit the columns of the file now ({exc})") from exc
