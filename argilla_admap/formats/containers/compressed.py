"""A file's kind and compression by its name, and its unpacked bytes."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import zstandard

from argilla_admap.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["EXTENSIONS", "container_of", "no_such_file", "open_bytes", "packed", "packing_of"]

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
                    raise InputError(
                        f"{path}: the file is packed, but its name does not say so", hint="add .gz or .zst to the name"
                    )
                yield raw
    except FileNotFoundError as exc:
        raise no_such_file(path) from exc
    except IsADirectoryError as exc:
        raise InputError(f"{path}: this is a folder, expected a file") from exc
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as exc:
        raise InputError(
            f"{path}: cannot be unpacked to its end ({exc}); it is cut, damaged or not packed as its name says",
            hint="get it again",
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
