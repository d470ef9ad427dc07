"""Streams of record batches, and whole-or-absent Parquet files of them. The lowest room beside `records`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from argilla_admap.errors import InputError

__all__ = ["RecordStream", "atomic_path", "check_writable", "read_stream", "write_parquet"]

BATCH_ROWS = 1024
#: The key of our own facts in a file's Parquet metadata.
METADATA_KEY = "admap"


class RecordStream:
    """Record batches that can be gone through more than once, without being held in memory.

    Args:
        open_batches: starts a new pass over the data.
        schema: of every batch.
        info: facts about the whole (judge, thresholds, counts), as JSON values; written into a file's metadata.
    """

    def __init__(
        self,
        open_batches: Callable[[], Iterator[pa.RecordBatch]],
        schema: pa.Schema,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self._open = open_batches
        self.schema = schema
        self.info: dict[str, Any] = dict(info or {})
        #: Completions in all; None where no pass has counted them.
        self.completions: int | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """A new pass over the data."""
        return self._open()

    def table(self) -> pa.Table:
        """The whole as one table in memory."""
        return pa.Table.from_batches(self.batches(), schema=self.schema)

    @classmethod
    def from_table(cls, table: pa.Table, info: Mapping[str, Any] | None = None) -> RecordStream:
        """A stream of a table that is in memory already."""
        return cls(lambda: iter(table.to_batches(max_chunksize=BATCH_ROWS)), table.schema, info)


def read_stream(path: str | os.PathLike[str]) -> RecordStream:
    """The stream of a Parquet file that we wrote.

    Raises:
        InputError: the file is absent or not Parquet.
    """
    path = Path(path)
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            stored = (file.metadata.metadata or {}).get(METADATA_KEY.encode())
    except FileNotFoundError as exc:
        raise InputError(f"{path}: there is no such file") from exc
    except (pa.ArrowInvalid, OSError) as exc:
        raise InputError(f"{path}: not a Parquet file ({exc}); make it with `admap score` or `admap map`") from exc

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            # Without pre_buffer: it would keep what it has read of the file until the end.
            with pq.ParquetFile(path, pre_buffer=False) as file:
                yield from file.iter_batches(batch_size=BATCH_ROWS)
        except (pa.ArrowInvalid, OSError) as exc:
            raise InputError(f"{path}: cannot be read to its end ({exc}); make it again") from exc

    return RecordStream(batches, schema.remove_metadata(), _told(path, stored))


def write_parquet(
    path: str | os.PathLike[str],
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    info: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
) -> int:
    """Writes the batches to a temporary name, then renames: the file is whole or absent. Returns the rows written.

    Args:
        path: where to.
        batches: each of `schema`.
        schema: of the file.
        info: JSON values for the metadata key ``admap``; a callable is asked when all batches are through.
    """
    rows = 0
    if info is not None and not callable(info):
        schema = schema.with_metadata({METADATA_KEY: _facts(info)})
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for batch in batches:
            rows += batch.num_rows
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
        if callable(info):
            writer.add_key_value_metadata({METADATA_KEY: _facts(info())})
    return rows


def _told(path: Path, stored: bytes | None) -> dict[str, Any]:
    """The facts in a file's metadata; none where there are none."""
    try:
        facts = json.loads(stored or b"{}")
    except ValueError as exc:
        raise InputError(f"{path}: its metadata under {METADATA_KEY!r} are no JSON ({exc}); make it again") from exc
    if not isinstance(facts, dict):
        raise InputError(f"{path}: its metadata under {METADATA_KEY!r} are no JSON object; make it again")
    return facts


def _facts(info: Mapping[str, Any]) -> str:
    return json.dumps(info, ensure_ascii=False, allow_nan=False)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it when the block ends well and removed when it does not.

    Raises:
        InputError: the folder is absent or cannot be written to.
    """
    path = Path(path)
    beginning = f".{path.name[:80]}."
    try:
        _remove_left_behind(path.parent, beginning)
        handle, name = tempfile.mkstemp(prefix=f"{beginning}{os.getpid()}.", suffix=".part", dir=path.parent)
    except OSError as exc:
        raise InputError(f"{path}: cannot write there ({exc.strerror}); name another place with -o") from exc
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Makes sure that a file of this name can be written, and leaves nothing behind.

    Raises:
        InputError: the folder is absent or cannot be written to.
    """
    with suppress(_Tried), atomic_path(path):
        raise _Tried


class _Tried(Exception):
    """Ends a block of `atomic_path` without its file."""


def _remove_left_behind(folder: Path, beginning: str) -> None:
    """Removes the temporary files of this name whose writer was killed: their names hold its pid."""
    for left in folder.iterdir():
        pid, _, rest = left.name.removeprefix(beginning).partition(".")
        if left.name.startswith(beginning) and rest.endswith(".part") and pid.isdigit() and not _is_alive(int(pid)):
            left.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
