"""The places that data come from, opened, unpacked and streamed row by row: files, folders, standard input."""

from __future__ import annotations

import atexit
import gzip
import io
import shutil
import sys
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import zstandard

from argilla_admap.errors import InputError
from argilla_admap.formats.format import Row
from argilla_admap.tables import output_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["EXTENSIONS", "Numbered", "Shard", "container_of", "open_bytes", "packing_of", "spooled_stdin"]

#: The containers that we read, by the file's extension.
EXTENSIONS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_PACKINGS = {".gz": "gzip", ".zst": "zstd"}
#: Beyond this, a single row is no row: the file is of another kind, or a bracket or quote was never closed.
LONGEST_ROW = 512 * 2**20


class Numbered(NamedTuple):
    """A row with its number in its file: the line where it begins, or its position, from 1.

    A row that cannot be read has no value, and a problem in words.
    """

    number: int
    value: Row | None
    problem: str | None = None


class Shard(ABC):
    """One file, or one table, of the rows that are read."""

    def __init__(self, name: str) -> None:
        # A name of a folder's file is a stranger's text too.
        self.name = name if name.isprintable() else repr(name)

    @abstractmethod
    def rows(self) -> Iterator[Numbered]:
        """A new pass over the rows. Raises InputError where the file as a whole cannot be read on."""

    def where(self, number: int) -> str:
        """The row's place, for a message."""
        return f"{self.name}: row {number}"


def container_of(path: Path) -> str:
    """The container that the file's name tells. Raises InputError for a name that tells none."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in _PACKINGS:
        suffixes.pop()
    if suffixes and suffixes[-1] in EXTENSIONS:
        return EXTENSIONS[suffixes[-1]]
    known = " ".join(e for e in EXTENSIONS if e != ".arrow")
    extension = "".join(path.suffixes[-2:])
    raise InputError(
        f"{path}: the extension {extension!r} is not known; rename the file to one of {known}, "
        "with .gz or .zst behind it if it is packed"
    )


def packing_of(path: Path) -> str | None:
    """How the file is packed, by its name: "gzip", "zstd", or None."""
    return _PACKINGS.get(path.suffix.lower())


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The file's unpacked bytes. Raises InputError where it is absent, unreadable, cut, or not packed as its name says."""
    try:
        with path.open("rb") as raw:
            packing = packing_of(path)
            head = raw.peek(4)[:4]
            if not head:
                raise InputError(f"{path}: the file is empty")
            if packing == "gzip":
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield io.BufferedReader(unpacked, 2**18)
            elif packing == "zstd":
                yield io.BufferedReader(_Unzstd(raw), 2**18)
            else:
                if head[:2] == b"\x1f\x8b" or head == b"\x28\xb5\x2f\xfd":
                    raise InputError(f"{path}: the file is packed, but its name does not say so; add .gz or .zst to the name")
                yield raw
    except FileNotFoundError as exc:
        raise InputError(
            f"{path}: there is no such file; check the path, or write hf:ORG/NAME for a data set of the hub"
        ) from exc
    except IsADirectoryError as exc:
        raise InputError(f"{path}: this is a folder, expected a file") from exc
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as exc:
        raise InputError(
            f"{path}: cannot be unpacked to its end ({exc}); it is cut, damaged or not packed as its name says; get it again"
        ) from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror or exc})") from exc


class _Unzstd(io.RawIOBase):
    """Unpacked bytes of Zstandard frames. Unlike the library's own reader it does not take a cut file for a whole one."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        wanted = memoryview(buffer)
        while not self._ready:
            packed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._begun = zstandard.ZstdDecompressor().decompressobj(), False
            packed = packed or self._packed.read(2**17)
            if not packed:
                if self._begun:
                    raise EOFError("the last frame has no end")
                return 0
            self._begun = True
            self._ready = memoryview(self._frame.decompress(packed))
        size = min(len(wanted), len(self._ready))
        wanted[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size


def spooled_stdin() -> Path:
    """Standard input in a temporary file, since it is gone through more than once. Raises InputError where there is none."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("-: standard input is a terminal; pipe JSON Lines into the command, or name a file")
    with tempfile.NamedTemporaryFile(prefix="admap-stdin-", suffix=".jsonl", delete=False) as spool:
        path = Path(spool.name)
        # Registered before it is filled: an interrupted copy is removed too.
        atexit.register(path.unlink, missing_ok=True)
        with output_errors(path, "name a folder with room in TMPDIR"):
            shutil.copyfileobj(sys.stdin.buffer, spool)
            spool.flush()
        if not spool.tell():
            raise InputError("-: standard input is empty; pipe JSON Lines into the command, or name a file")
    return path
