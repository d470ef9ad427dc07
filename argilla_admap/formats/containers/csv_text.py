"""Rows of CSV files, each with the bytes that it stands in."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.shard import LONGEST_ROW, Piece, TextShard
from argilla_admap.formats.format import Row
from argilla_admap.formats.values import shorten

__all__ = ["GUARDED", "CsvShard", "guarded"]

#: The column that says that texts of this file have a guard; its value is the number of them in the row.
GUARDED = "admap_guarded"
#: A spreadsheet runs a cell that begins so as a formula. Texts that begin so behind quote marks are guarded too, so that the
#: guard of every text can be taken away again.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_GUARD = re.compile(f"'{_FORMULA.pattern}")


_OTHER_DELIMITERS = (";", "\t", "|")
_SAYS_DELIMITER = re.compile(rb"(?:\xef\xbb\xbf)?sep=([,;|\t])\r?\n", re.IGNORECASE)

_TRIM = (
    'python3 -c \'import csv, io, sys; rows = csv.reader(io.TextIOWrapper(sys.stdin.buffer, "utf-8", newline=""), '
    'skipinitialspace=True); csv.writer(io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="")).writerows('
    "[cell.strip() for cell in row] if n == 0 else row for n, row in enumerate(rows))'"
)


def guarded(text: str) -> str | None:
    """The text with a ``'`` in front, where a spreadsheet might take it for a formula; None where it needs none."""
    return f"'{text}" if _FORMULA.match(text) else None


class CsvShard(TextShard):
    """Comma-separated values with a header; a record may go over several lines."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        super().__init__(path, name)
        self.delimiter = "\t" if ".tsv" in path.name.lower() else ","
        self.header: list[str] = []
        self._last: tuple[list[str], str | None] = [], None

    def pieces(self, stream: IO[bytes]) -> Iterator[Piece]:
        # Without this the csv module refuses long texts. It is a limit of the process, so it is only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
        lines = _Lines(stream, self)
        lead = bytearray(lines.header())
        records = csv.reader(lines, delimiter=self.delimiter)
        number = 0
        while True:
            problem = None
            cells: list[str] = []
            try:
                cells = next(records)
            except StopIteration:
                break
            except csv.Error as exc:
                problem = str(exc)
            record, first = lines.taken()
            if lines.ended and self._is_open(record):
                raise InputError(
                    f"{self.name}:{first}: a quote that opens in this line is never closed",
                    hint="close it, or get the file again",
                )
            raw = record.rstrip(b"\r\n")
            # Below its last row a spreadsheet writes rows of empty cells.
            if not raw.strip() or (problem is None and not any(map(str.strip, cells))):
                lead += record
                self.check_blank(f"{self.name}:{first}", len(lead))
                continue
            number += 1
            self._last = cells, problem
            yield Piece(number, bytes(lead), raw, record[len(raw) :])
            lead.clear()
        if lead:
            yield Piece(0, bytes(lead), b"", b"")

    def _is_open(self, record: bytes) -> bool:
        try:
            list(csv.reader(io.StringIO(record.decode("utf-8", "replace"), newline=""), delimiter=self.delimiter, strict=True))
        except csv.Error as exc:
            return "unexpected end" in str(exc)
        return False

    def take_header(self, header: str) -> None:
        """Sets the columns by the file's first line."""
        if "," not in header:
            # Spreadsheets separate by a semicolon where the comma is the decimal point, or by tabs.
            self.delimiter = max(self.delimiter, *_OTHER_DELIMITERS, key=header.count)
        self.header = next(csv.reader([header], delimiter=self.delimiter), [])
        if any(name != name.strip() for name in self.header):
            # A quote behind a space would be text, and a comma within it the end of a cell.
            raise InputError(
                f"{self.name}:1: the header's names have spaces around them ({', '.join(map(shorten, self.header))})",
                hint=f"take them away with `{self.through(_TRIM, suffix='.trimmed')}`",
            )
        for name in self.header:
            if self.header.count(name) > 1:
                raise InputError(f"{self.name}:1: two columns have the name {shorten(name)}", hint="rename one")

    def load(self, raw: bytes) -> Row:
        cells, problem = self._last
        text = raw.decode("utf-8")
        if problem is not None:
            raise ValueError(f"not CSV: {problem}, in {shorten(text)}")
        if len(cells) != len(self.header):
            header = shorten(self.delimiter.join(self.header))
            raise ValueError(f"{len(cells)} cells under a header of {len(self.header)} columns ({header}), in {shorten(text)}")
        row = dict(zip(self.header, cells, strict=True))
        if row.pop(GUARDED, None) is None:
            return row
        return {name: cell[1:] if _GUARD.match(cell) else cell for name, cell in row.items()}


class _Lines:
    """The lines of a CSV file as text for the csv module, with their bytes kept until they are taken."""

    def __init__(self, stream: IO[bytes], file: CsvShard) -> None:
        self._stream = stream
        self._file = file
        self._number = 0
        self._first = 1
        self._parts: list[bytes] = []
        self._size = 0
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(LONGEST_ROW)
        if not line:
            self.ended = True
            raise StopIteration
        self._number += 1
        if not self._parts:
            self._first = self._number
        self._parts.append(line)
        self._size += len(line)
        if self._size >= LONGEST_ROW:
            raise self._file.too_long(f"{self._file.name}:{self._first}")
        # Bytes that are no UTF-8 pass through here, and make their row bad later.
        return line.decode("utf-8", "surrogateescape")

    def taken(self) -> tuple[bytes, int]:
        """The bytes since the last time, and the number of their first line."""
        record = b"".join(self._parts)
        self._parts, self._size = [], 0
        return record, self._first

    def header(self) -> bytes:
        """Reads the header, which goes over one line. Returns its bytes."""
        if next(self, None) is None:
            return b""
        line, _ = self.taken()
        self._file.refuse_utf16(line)
        before = b""
        if (said := _SAYS_DELIMITER.fullmatch(line)) is not None and next(self, None) is not None:
            # Excel's own first line.
            self._file.delimiter = said[1].decode()
            before, (line, _) = line, self.taken()
        try:
            self._file.take_header(line.removeprefix(codecs.BOM_UTF8).decode("utf-8").strip("\r\n"))
        except UnicodeDecodeError as exc:
            raise InputError(f"{self._file.name}:1: {self._file.not_utf8(line, exc, 'of the header')}") from exc
        except csv.Error as exc:
            if b"\r" in line.rstrip(b"\r\n"):
                command = self._file.through("tr '\\r' '\\n'", suffix=".lines")
                raise InputError(
                    f"{self._file.name}:1: its lines end as on old Macs", hint=f"convert them with `{command}`"
                ) from exc
            raise InputError(f"{self._file.name}:1: the header cannot be read ({exc}); expected the columns' names") from exc
        return before + line
