"""Rows of CSV files, each with the bytes that it stands in."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.json_rows import Piece, TextShard
from argilla_admap.formats.containers.opening import LONGEST_ROW
from argilla_admap.formats.format import Row
from argilla_admap.formats.values import shorten

__all__ = ["CsvFile"]


class CsvFile(TextShard):
    """Comma-separated values with a header; a record may go over several lines."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        super().__init__(path, name)
        self.delimiter = "\t" if ".tsv" in path.name.lower() else ","
        self.header: list[str] = []
        self._read: tuple[bytes, list[str], str | None] = b"", [], None

    def pieces(self, stream: IO[bytes]) -> Iterator[Piece]:
        # Without this the csv module refuses long texts. It is a limit of the process, so it is only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
        lines = _Lines(stream, self)
        lead = lines.header()
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
                    f"{self.name}:{first}: a quote that opens in this line is never closed; close it, or get the file again"
                )
            raw = record.rstrip(b"\r\n")
            if not raw.strip():
                lead += record
                continue
            number += 1
            self._read = raw, cells, problem
            yield Piece(number, lead, raw, record[len(raw) :])
            lead = b""
        if lead:
            yield Piece(0, lead, b"", b"")

    def _is_open(self, record: bytes) -> bool:
        try:
            list(csv.reader(io.StringIO(record.decode("utf-8", "replace"), newline=""), delimiter=self.delimiter, strict=True))
        except csv.Error as exc:
            return "unexpected end" in str(exc)
        return False

    def take_header(self, header: str) -> None:
        """Sets the columns by the file's first line."""
        if "," not in header and ";" in header:
            self.delimiter = ";"
        self.header = next(csv.reader([header], delimiter=self.delimiter), [])
        for name in self.header:
            if self.header.count(name) > 1:
                raise InputError(f"{self.name}:1: two columns have the name {shorten(name)}; rename one")

    def load(self, raw: bytes) -> Row:
        known, cells, problem = self._read
        if raw is not known:
            raise ValueError("not the row that was read last")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ValueError(
                f"not UTF-8 at byte {exc.start + 1} of the row ({raw[exc.start : exc.start + 1]!r}); "
                "convert the file, for example with `iconv -f latin1 -t utf-8`"
            ) from exc
        if problem is not None:
            raise ValueError(f"not CSV: {problem}, in {shorten(text)}")
        if len(cells) != len(self.header):
            raise ValueError(f"{len(cells)} cells under a header of {len(self.header)} columns, in {shorten(text)}")
        return dict(zip(self.header, cells, strict=True))


class _Lines:
    """The lines of a CSV file as text for the csv module, with their bytes kept until they are taken."""

    def __init__(self, stream: IO[bytes], file: CsvFile) -> None:
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
            raise self._file.too_long(self._first)
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
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InputError(f"{self._file.name}: the file is UTF-16; convert it, for example with `iconv -f utf-16 -t utf-8`")
        try:
            text = line.removeprefix(codecs.BOM_UTF8).decode("utf-8").strip("\r\n")
            self._file.take_header(text)
        except UnicodeDecodeError as exc:
            raise InputError(
                f"{self._file.name}:1: the header is not UTF-8 at byte {exc.start + 1}; convert the file with `iconv`"
            ) from exc
        except csv.Error as exc:
            raise InputError(f"{self._file.name}:1: the header cannot be read ({exc}); expected the columns' names") from exc
        return line
