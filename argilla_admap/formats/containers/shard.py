"""One file or table of rows, streamed: what every container has in common."""

from __future__ import annotations

import codecs
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.compressed import open_bytes, packing_of
from argilla_admap.formats.format import Row

__all__ = ["LONGEST_ROW", "NumberedRow", "Piece", "Shard", "TextShard"]

#: Bytes. A longer row is no row: the file is of another kind, or a bracket or quote was never closed.
LONGEST_ROW = 16 * 2**20
#: Bytes of blank lines and spaces between two rows.
_LONGEST_BLANK = 2**20


class NumberedRow(NamedTuple):
    """A row with its number in its file, from 1: of JSON Lines the line, else the position. No two rows share a number.

    A row that cannot be read has no value, and a problem in words.
    """

    number: int
    value: Row | None
    problem: str | None = None


class Shard(ABC):
    """One file, or one table, of the rows that are read.

    Attributes:
        name: for messages.
        note: what a user should know of the choice of this shard; empty where there was none.
    """

    def __init__(self, name: str) -> None:
        self.note = ""
        # The name of a file in a folder is somebody else's text too.
        self.name = name if name.isprintable() else repr(name)

    @abstractmethod
    def rows(self) -> Iterator[NumberedRow]:
        """A new pass over the rows. Raises InputError where the file as a whole cannot be read on."""

    def where(self, number: int) -> str:
        """The row's place, for a message."""
        return f"{self.name}: row {number}"


class Piece(NamedTuple):
    """A row's own bytes between the bytes before it and the end of its line.

    The bytes of all pieces, `lead + raw + tail`, are the file. The last piece of a file may hold no row: its number is 0.
    """

    number: int
    lead: bytes
    raw: bytes
    tail: bytes


class TextShard(Shard):
    """A text file of rows. Reading needs their values, writing the file again every byte between them: both use `pieces`."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        super().__init__(name or str(path))
        self.path = path
        #: A file without a byte will do.
        self.empty = False

    @abstractmethod
    def pieces(self, stream: IO[bytes]) -> Iterator[Piece]:
        """The file cut into its rows, with nothing left out."""

    @abstractmethod
    def load(self, raw: bytes) -> Row:
        """The row in the bytes. Raises ValueError saying what is wrong."""

    def rows(self) -> Iterator[NumberedRow]:
        with open_bytes(self.path, empty=self.empty) as stream:
            for number, _, raw, _ in self.pieces(stream):
                if number:
                    try:
                        yield NumberedRow(number, self.load(raw))
                    except UnicodeDecodeError as exc:
                        yield NumberedRow(number, None, self.not_utf8(raw, exc, "of the row"))
                    except ValueError as exc:
                        yield NumberedRow(number, None, str(exc))

    def too_long(self, where: str, size: str = f"{LONGEST_ROW >> 20} MB") -> InputError:
        """The error for a row that never ends."""
        return InputError(
            f"{where}: a row of more than {size}",
            hint="a bracket or quote is not closed, or the file is of another kind",
        )

    def check_blank(self, where: str, size: int) -> None:
        """Raises InputError where so many bytes between two rows are too many."""
        if size > _LONGEST_BLANK:
            raise InputError(
                f"{where}: more than {_LONGEST_BLANK >> 20} MB of blank lines and spaces", hint="get the file again"
            )

    def not_utf8(self, raw: bytes, exc: UnicodeDecodeError, place: str) -> str:
        """What is wrong with bytes that are no UTF-8, with a command that converts the file."""
        try:
            # The bytes 80 to 9f are quotes, dashes and the euro sign here, and control characters in Latin-1.
            raw.decode("windows-1252")
            encoding = "windows-1252"
        except UnicodeDecodeError:
            encoding = "ENCODING"
        found = f"not UTF-8 at byte {exc.start + 1} {place} ({raw[exc.start : exc.start + 1]!r})"
        convert = f"`{self.through(f'iconv -f {encoding} -t utf-8', suffix='.utf8')}`"
        if encoding == "ENCODING":
            return f"{found}; save it as UTF-8, or {convert} with the encoding that it was saved in"
        return f"{found}; if it was saved by Excel or on Windows, {convert}"

    def refuse_utf16(self, beginning: bytes) -> None:
        """Raises InputError where the file begins with the mark of UTF-16."""
        if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            command = self.through("iconv -f utf-16 -t utf-8", suffix=".utf8")
            raise InputError(f"{self.name}: the file is UTF-16", hint=f"convert it with `{command}`")

    def through(self, command: str, *, suffix: str = "", extension: str | None = None) -> str:
        """A shell's line that sends the file's content through a command into a new file beside it."""
        packing = packing_of(self.path)
        plain = self.path.with_suffix("") if packing else self.path
        target = shlex.quote(str(plain.with_name(f"{plain.stem}{suffix}{extension or plain.suffix}")))
        source = shlex.quote(str(self.path))
        if packing is None:
            return f"{command} < {source} > {target}"
        return f"{'gzip' if packing == 'gzip' else 'zstd'} -dc {source} | {command} > {target}"
