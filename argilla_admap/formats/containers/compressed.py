"""A file's kind and compression by its name, and its unpacked bytes."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import zstandard

from argilla_admap.errors import InputError

__all__ = ["EXTENSIONS", "MOST_UNPACKED", "container_of", "no_such_file", "open_bytes", "packed", "packing_of"]

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
#: Text packs to a fifth; rows of one long prompt and short answers to a 120th by gzip, to a 900th by zstd. What unpacks to more
#: times its size than this is there to fill the memory or the time.
MOST_UNPACKED = {"gzip": 200, "zstd": 1000}
#: Bytes that any file may unpack to.
_UNPACKED_AT_LEAST = 2 * 2**20
#: Bytes that are unpacked at once, and taken from the file for it: what is no honest file is known before its first row.
_AT_ONCE, _SIP = 8 * 2**20, 2**12


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
        f"{path}: the extension {extension!r} is not known",
        hint=f"name a file that ends in one of {known}, with .gz or .zst behind it if it is packed",
    )


def packing_of(path: Path) -> str | None:
    """How the file is packed, by its name: "gzip", "zstd", or None."""
    return _PACKINGS.get(path.suffix.lower())


def no_such_file(path: Path) -> InputError:
    """The error for a path where nothing is."""
    return InputError(
        f"{path}: there is no such file", hint="check the path, or write hf:ORG/NAME for a data set of the Hugging Face Hub"
    )


class _Sips(io.RawIOBase):
    """The packed bytes, a few at a time."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._packed.read(_SIP if size < 0 else min(size, _SIP))


class _Unpacked(io.RawIOBase):
    """The unpacked bytes, up to what an honest file holds. Raises InputError beyond it."""

    def __init__(self, unpacked: Any, packed: IO[bytes], path: Path, most: int) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self._path = path
        self._most = most
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Arrow's `read` never gives back the bytes it was to fill where the file turns out to be cut.
        size: int = self._unpacked.readinto(buffer)
        self._size += size
        if self._size > _UNPACKED_AT_LEAST + self._most * self._packed.tell():
            raise InputError(
                f"{self._path}: unpacks to more than {self._most} times its size, as no data do",
                hint="if it is not damaged and you know who made it, unpack it and name the unpacked file",
            )
        return size


@contextmanager
def open_bytes(path: Path, *, empty: bool = False) -> Iterator[IO[bytes]]:
    """The file's unpacked bytes. Raises InputError where it is absent, unreadable, cut, or not packed as its name says.

    Args:
        empty: a file without a byte will do.
    """
    try:
        with path.open("rb") as raw:
            packing = packing_of(path)
            head = raw.peek(4)[:4]
            if not head and not empty:
                raise InputError(f"{path}: the file is empty")
            if packing is not None and head:
                # Unlike zstandard's own reader, Arrow's does not take a file that is cut for a whole one.
                sips: Any = _Sips(raw)
                unpacked: Any = pa.CompressedInputStream(sips, "zstd") if packing == "zstd" else gzip.GzipFile(fileobj=sips)
                yield io.BufferedReader(_Unpacked(unpacked, raw, path, MOST_UNPACKED[packing]), _AT_ONCE)
            elif head[:2] == b"\x1f\x8b" or head == b"\x28\xb5\x2f\xfd":
                raise InputError(
                    f"{path}: the file is packed, but its name does not say so", hint="add .gz or .zst to the name"
                )
            else:
                yield raw
    except FileNotFoundError as exc:
        raise no_such_file(path) from exc
    except IsADirectoryError as exc:
        raise InputError(f"{path}: this is a folder, expected a file") from exc
    except (EOFError, zlib.error, OSError) as exc:
        # Errors of unpacking have no number.
        if isinstance(exc, OSError) and exc.errno:
            raise InputError(f"{path}: cannot be read ({os.strerror(exc.errno)})") from exc
        raise InputError(
            f"{path}: cannot be unpacked to its end ({exc}); it is cut, damaged or not packed as its name says",
            hint="get it again",
        ) from exc


@contextmanager
def packed(path: Path, packing: str | None) -> Iterator[IO[bytes]]:
    """A new file that packs what is written to it; the same bytes for the same content."""
    with ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(path.open("wb"))
        if packing == "gzip":
            # Neither the file's name nor the time belongs to the data.
            zipped = gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)
            stream = cast("IO[bytes]", stack.enter_context(zipped))
        elif packing == "zstd":
            stream = stack.enter_context(zstandard.ZstdCompressor().stream_writer(stream, closefd=False))
        yield stream
