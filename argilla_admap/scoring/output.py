"""Scored records in a file: the one that was named, or a private one that goes with the result."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from argilla_admap.errors import OutputError
from argilla_admap.tables import RecordStream, read_stream, write_parquet

__all__ = ["Scored", "kept"]


class Scored(RecordStream):
    """Scored records, in a Parquet file that each pass reads again. `summary` holds the counts and the cost."""

    def __init__(self, path: Path, summary: dict[str, Any], remove: Callable[[], None] | None = None) -> None:
        stream = read_stream(path)
        super().__init__(stream.batches, stream.schema, stream.info)
        self.summary = summary
        self.path = path
        if remove is not None:
            self._remove = weakref.finalize(self, remove)


def kept(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    info: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    output: str | Path | None,
) -> tuple[Path, Callable[[], None] | None]:
    """Writes scored batches to ``output``, or to a private temporary folder; its path, and what removes the folder."""
    with ExitStack() as undo:
        if output is not None:
            path = Path(output)
        else:
            path = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="admap-scored-")), "scored.parquet")
        try:
            write_parquet(path, batches, schema, info)
        except OutputError as exc:
            room = exc.hint if output is not None else "make room there, or name a folder with room in TMPDIR"
            hint = f"{room}, and run the same command again: what was paid for is in the judgement store"
            raise OutputError(exc.message, hint=hint) from exc
        remove = undo.pop_all().close
    return path, remove if output is None else None
