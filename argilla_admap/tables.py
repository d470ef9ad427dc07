"""Streams of record batches, and files that are whole or absent. The lowest room beside `records`."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from argilla_admap.errors import AdmapError, InputError, OutputError

__all__ = [
    "READ_BYTES",
    "RecordStream",
    "Spool",
    "atomic_path",
    "check_writable",
    "keep_origin",
    "new_folder",
    "origin_mark",
    "output_errors",
    "read_stream",
    "release_memory",
    "row_groups",
    "temporary_folder",
    "write_error",
    "write_parquet",
]

BATCH_ROWS = 1024
#: Rows and bytes of a batch, at most, where all of it is looked at together.
_LARGE_ROWS, _LARGE_BYTES = 4096, 2 << 20
#: Row groups of a file.
_GROUP_ROWS, _GROUP_BYTES = 4096, 4 << 20
#: Bytes of a column that are read at a time.
READ_BYTES = 1 << 18
#: The key of our own facts in a file's Parquet metadata.
METADATA_KEY = "admap"
_MARK = "input_mark"
# A full disk, a spent quota, a limit on the size of files, a disk that broke or was mounted again without the right to write.
_ELSEWHERE = "name another place with `output`"
_IN_TMPDIR = "name a folder with room in TMPDIR"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


Item = TypeVar("Item")


class Spool(Generic[Item]):
    """Objects that wait in the order in which they were added: in memory while they are few, beyond in a temporary file."""

    #: Bytes that stay in memory.
    IN_MEMORY = 16 << 20

    def __init__(self, in_memory: int | None = None) -> None:
        """
        Args:
            in_memory: bytes that stay in memory; None: `IN_MEMORY`.
        """
        size = self.IN_MEMORY if in_memory is None else in_memory
        self._file = tempfile.SpooledTemporaryFile(max_size=size)  # noqa: SIM115  # goes with the spool
        self._places: list[int] = []

    def add(self, item: Item) -> None:
        """Adds one at the end.

        Raises:
            OutputError: the disk is full.
        """
        with output_errors(tempfile.gettempdir(), _IN_TMPDIR):
            try:
                self._file.seek(0, os.SEEK_END)
                self._places.append(self._file.tell())
                pickle.dump(item, self._file, protocol=5)
                # Here, and not when it is read.
                self._file.flush()
            except OSError:
                # Or Python would try, and complain, once more when the spool goes.
                with suppress(OSError):
                    self._file.close()
                raise

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Item]:
        for index in range(len(self)):
            yield self[index]

    def __getitem__(self, index: int) -> Item:
        self._file.seek(self._places[index])
        item: Item = pickle.load(self._file)  # noqa: S301  # a file without a name, of our own
        return item


class RecordStream:
    """Record batches that can be gone through more than once, without being held in memory.

    Args:
        open_batches: starts a new pass over the data.
        schema: of every batch.
        info: facts about the whole (judge, thresholds, counts), as JSON values; written into a file's metadata.
        open_columns: starts a pass over the named columns, where that is less work than a pass over all.
    """

    def __init__(
        self,
        open_batches: Callable[[], Iterator[pa.RecordBatch]],
        schema: pa.Schema,
        info: Mapping[str, Any] | None = None,
        open_columns: Callable[[Sequence[str]], Iterator[pa.RecordBatch]] | None = None,
    ) -> None:
        self._open, self._open_columns = open_batches, open_columns
        self.schema = schema
        self.info: dict[str, Any] = dict(info or {})
        #: Completions in all; None where no pass has counted them.
        self.completions: int | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """A new pass over the data."""
        return self._open()

    def columns(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """A new pass over the named columns alone."""
        if self._open_columns is not None:
            return self._open_columns(names)
        return (batch.select(list(names)) for batch in self._open())

    def table(self) -> pa.Table:
        """The whole as one table in memory."""
        return pa.Table.from_batches(self.batches(), schema=self.schema)

    @classmethod
    def from_table(cls, table: pa.Table, info: Mapping[str, Any] | None = None) -> RecordStream:
        """A stream of a table that is in memory already."""
        return cls(lambda: iter(table.to_batches(max_chunksize=BATCH_ROWS)), table.schema, info)


def read_stream(
    path: str | os.PathLike[str], columns: Sequence[str] | None = None, rows: int | None = BATCH_ROWS
) -> RecordStream:
    """The stream of a Parquet file that we wrote.

    Args:
        columns: those to read; None: all.
        rows: of a batch, at most; None: as many as fit the processor's cache, more or less.
    Raises:
        InputError: the file is absent or not Parquet.
    """
    path = Path(path)
    # Where batches are worked on by several threads, more of them for reading only hold more memory.
    threads = rows is not None
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            rows = _rows_at_once(file.metadata) if rows is None else rows
            stored = (file.metadata.metadata or {}).get(METADATA_KEY.encode())
    except FileNotFoundError as exc:
        raise InputError(f"{path}: there is no such file") from exc
    except UnicodeEncodeError as exc:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise InputError(f"{shown}: the name is not UTF-8", hint="rename the file") from exc
    except (pa.ArrowInvalid, OSError) as exc:
        raise InputError(f"{path}: not a Parquet file ({exc})", hint="make it with `admap score` or `admap map`") from exc

    def chosen(names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        wanted = None if names is None else list(names)
        try:
            # Without pre_buffer: it would keep what it has read of the file until the end. With a buffer: without, a column is
            # read as a whole from each row group, and others write row groups of a million rows.
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as file:
                yield from file.iter_batches(batch_size=rows, use_threads=threads, columns=wanted)
        except (pa.ArrowInvalid, OSError) as exc:
            raise InputError(f"{path}: cannot be read to its end ({exc})", hint="make it again") from exc

    schema = schema.remove_metadata() if columns is None else pa.schema([schema.field(name) for name in columns])
    return RecordStream(lambda: chosen(columns), schema, _info_of(path, stored), chosen)


def release_memory() -> None:
    """Gives back to the system what was freed and kept for later: between two parts of a work, each of which needs much."""
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    return max(256, min(_LARGE_ROWS, _LARGE_BYTES * metadata.num_rows // max(size, 1)))


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in larger batches: each becomes a row group of a file, and many small ones fill memory with metadata."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= _GROUP_ROWS or sum(b.nbytes for b in held) >= _GROUP_BYTES:
            yield from _in_one(held)
            held.clear()
            pa.default_memory_pool().release_unused()
    yield from _in_one(held)


def _in_one(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    return pa.Table.from_batches(batches).combine_chunks().to_batches() if batches else []


def write_parquet(
    path: str | os.PathLike[str],
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    info: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
    *,
    repeated: Sequence[str] | None = None,
) -> int:
    """Writes the batches to a temporary name, then renames: the file is whole or absent. Returns the rows written.

    Args:
        path: where to.
        batches: each of `schema`.
        schema: of the file.
        info: JSON values for the metadata key ``admap``; a callable is asked when all batches are through.
        repeated: the columns whose values repeat, so that a dictionary of them pays; None: found out for each.
    Raises:
        InputError: the records came from that very file.
    """
    rows = 0
    if info is not None and not callable(info):
        keep_origin(info, path)
        schema = schema.with_metadata({METADATA_KEY: _as_json(info)})
    dictionary: Any = True if repeated is None else list(repeated)
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=dictionary) as writer,
    ):
        for batch in batches:
            rows += batch.num_rows
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
        if callable(info):
            writer.add_key_value_metadata({METADATA_KEY: _as_json(info())})
    return rows


def keep_origin(info: Mapping[str, Any], output: str | os.PathLike[str]) -> None:
    """Refuses to write over the data that records came from, however many steps ago.

    Args:
        info: names the data by their path, or by their `origin_mark`.
        output: the file to be written.
    Raises:
        InputError: the output is that very file.
    """
    origin, mark = info.get("input"), info.get(_MARK)
    same = isinstance(mark, str) and mark == _mark_of(output)
    # What is not there, or is no file, is not written over.
    with suppress(OSError, ValueError):
        same |= isinstance(origin, str) and Path(output).samefile(origin)
    if same:
        words = "these records were read from this file, which must not be lost"
        raise InputError(f"{os.fspath(output)}: {words}", option="output", hint="name another file")


def origin_mark(info: Mapping[str, Any]) -> dict[str, str]:
    """What `keep_origin` tells the input of `info` by where its path may not be said; empty where no file is there."""
    mark = _mark_of(info.get("input"))
    return {} if mark is None else {_MARK: mark}


def _mark_of(path: object) -> str | None:
    """Tells a file or folder of a machine by its place, and does not say where that is; None where nothing is there."""
    if isinstance(path, (str, os.PathLike)) and Path(path).exists():
        return hashlib.blake2b(os.fsencode(os.path.realpath(path)), digest_size=8).hexdigest()
    return None


def _info_of(path: Path, stored: bytes | None) -> dict[str, Any]:
    """The facts in a file's metadata; none where there are none."""
    try:
        facts = json.loads(stored or b"{}")
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{path}: its metadata under {METADATA_KEY!r} are not JSON ({exc})", hint="make it again") from exc
    if not isinstance(facts, dict):
        raise InputError(f"{path}: its metadata under {METADATA_KEY!r} are not a JSON object", hint="make it again")
    return facts


def _as_json(info: Mapping[str, Any]) -> str:
    return json.dumps(info, ensure_ascii=False, allow_nan=False)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it when the block ends well and removed when it does not.

    Raises:
        InputError: no file of this name can be written there.
        OutputError: the disk is full, or fails, while the block writes.
    """
    path = Path(path)
    temporary, lock = _create_temporary(path)
    try:
        with output_errors(path):
            yield temporary
        try:
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except OSError as exc:
            raise write_error(path, exc) from exc
    finally:
        temporary.unlink(missing_ok=True)
        os.close(lock)


def _umask() -> int:
    """The rights that this process takes from its files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_writable(path: str | os.PathLike[str]) -> None:
    """Makes sure that a file of this name can be written, and leaves nothing behind.

    Raises:
        InputError: no file of this name can be written there.
    """
    temporary, lock = _create_temporary(Path(path))
    temporary.unlink()
    os.close(lock)


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A temporary folder that becomes `output` when the block ends without an error, and is removed otherwise.

    Raises:
        InputError: `output` is there already, or its folder cannot be written to.
        OutputError: the disk is full, or fails, while the block writes.
    """
    if output.exists():
        raise InputError(f"{output}: is there already", hint="name a new folder", option="output")
    with _locked_folder(output.parent, f".{output.name[:40]}.", output) as temporary, output_errors(output):
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        temporary.replace(output)


@contextmanager
def temporary_folder(name: str, place: Path | None = None) -> Iterator[Path]:
    """A private folder, removed when the block ends; those of this name that killed programs left go first.

    Args:
        name: what its name begins with.
        place: the folder that it is made in; None: TMPDIR.
    Raises:
        OutputError: the disk is full, or fails, while the block writes there.
    """
    place = place or Path(tempfile.gettempdir())
    with _locked_folder(place, f"{name}-", place, _IN_TMPDIR) as temporary:
        yield temporary


@contextmanager
def _locked_folder(folder: Path, beginning: str, shown: Path, hint: str = _ELSEWHERE) -> Iterator[Path]:
    """A new folder in another, locked and removed at the end; what cannot be written into it is told of `shown`."""
    _remove_left_behind(folder, beginning)
    try:
        temporary, lock = _create_folder(folder, beginning)
    except OSError as exc:
        raise write_error(shown, exc, hint) from exc
    try:
        yield temporary
    except OutputError as exc:
        cause = exc.__cause__
        if isinstance(cause, OSError) and exc.message.startswith(os.fspath(temporary)):
            raise write_error(shown, cause, hint) from cause
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def _create_folder(folder: Path, beginning: str) -> tuple[Path, int]:
    """A new folder in another, and a descriptor that holds a lock on it."""
    while True:
        temporary = Path(tempfile.mkdtemp(prefix=beginning, suffix=".part", dir=folder))
        lock = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # the file system keeps no locks: a name that nobody removes
            return temporary.replace(temporary.with_suffix(".tmp")), lock
        if temporary.exists():
            return temporary, lock
        # Another program took it for one that was left behind, before it was locked.
        os.close(lock)


@contextmanager
def output_errors(path: str | os.PathLike[str], hint: str = _ELSEWHERE) -> Iterator[None]:
    """A disk that refuses what the block writes is an `OutputError`; other errors pass, since the block may read too."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in _DISK_ERRORS:
            raise
        raise write_error(path, exc, hint) from exc


def write_error(path: str | os.PathLike[str], exc: OSError, hint: str = _ELSEWHERE) -> AdmapError:
    """Why `path` cannot be written, as an error of ours: `OutputError` where the disk is at fault, else `InputError`."""
    reason = os.strerror(exc.errno) if exc.errno else str(exc)
    if exc.errno in _DISK_ERRORS:
        return OutputError(f"{path}: cannot be written ({reason})", hint=f"make room on that disk, or {hint}")
    return InputError(f"{path}: cannot be written ({reason})", hint=hint)


def _create_temporary(path: Path) -> tuple[Path, int]:
    """A new temporary file beside `path`, and a descriptor that holds a lock on it for as long as it is written.

    A temporary file whose lock is free was left by a writer that was killed, on this machine or in another container, and is
    removed. A process id would not tell: containers that share a folder do not share their process ids.
    """
    _check_name(path)
    # Short enough for names of 255 bytes to stay within the file system's limit.
    beginning = f".{path.name[:40]}."
    _remove_left_behind(path.parent, beginning)
    try:
        while True:
            lock, name = tempfile.mkstemp(prefix=beginning, suffix=".part", dir=path.parent)
            temporary = Path(name)
            if not _lock(lock, temporary):
                # A name that nobody removes.
                return temporary.replace(temporary.with_suffix(".tmp")), lock
            if temporary.exists():
                return temporary, lock
            # Another writer took it for one that was left behind, before it was locked.
            os.close(lock)
    except OSError as exc:
        raise write_error(path, exc) from exc


def _check_name(path: Path) -> None:
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as exc:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise InputError(f"{shown}: the name is not UTF-8", hint="name another place with `output`") from exc
    try:
        if not path.parent.is_dir():
            hint = "make the folder, or name another place with `output`"
            raise InputError(f"{path}: there is no folder {path.parent}", hint=hint)
        # A name that is too long is known before the work, not when the file is renamed.
        special = path.exists() and not path.is_file()
    except OSError as exc:
        raise write_error(path, exc) from exc
    if special:
        kind = "a folder" if path.is_dir() else "not an ordinary file"
        raise InputError(f"{path}: cannot be written: it is {kind}", hint="name a file with `output`")


def _lock(descriptor: int, temporary: Path) -> bool:
    """Locks the file; False where the file system keeps no locks, or keeps its own writer out by them, as SMB does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with temporary.open("r+b") as second:
            second.write(b"-")
            second.truncate(0)
    except FileNotFoundError:
        return True
    except OSError:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False
    return True


def _remove_left_behind(folder: Path, beginning: str) -> None:
    """Removes what writers of this name left in a folder, and nobody writes any more; what cannot be told stays."""
    with suppress(OSError):
        for left in folder.iterdir():
            if left.name.startswith(beginning) and left.suffix == ".part" and (left.is_file() or left.is_dir()):
                _remove_unlocked(left)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):
        is_folder = path.is_dir()
        if is_folder and path.stat().st_uid != os.geteuid():  # in a folder of all users
            return
        descriptor = os.open(path, (os.O_RDONLY if is_folder else os.O_RDWR) | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_folder:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            os.close(descriptor)
