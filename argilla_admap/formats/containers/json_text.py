"""Rows of JSON Lines and of JSON arrays, each with the bytes that it stands in."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.compressed import open_bytes
from argilla_admap.formats.containers.shard import LONGEST_ROW, Piece, TextShard
from argilla_admap.formats.format import Row
from argilla_admap.formats.values import seen, shorten

__all__ = ["JsonArray", "JsonLines", "json_shard", "load_json"]


_LARGEST = 2.0**63
#: Nesting that a row may have, and values in a long one: each takes twenty times its text in memory.
_MOST_LEVELS, _MOST_VALUES, _LONG = 250, 2**20, 2**20
_TOO_DEEP = "JSON of more levels than any data need"


def load_json(raw: bytes) -> Row:
    """The JSON object in the bytes. Raises ValueError saying what is wrong, UnicodeDecodeError where it is no UTF-8."""
    if len(raw) > _LONG and raw.count(b",") + raw.count(b"[") > _MOST_VALUES:
        raise ValueError(f"JSON of more than {_MOST_VALUES:,} values in one row")
    try:
        value = orjson.loads(raw)
    except ValueError:
        # The slower reader takes what people write and orjson refuses (NaN, lone surrogates), and says more of the rest.
        value = _load_slowly(raw)
    if isinstance(value, dict) and any(type(v) is float and abs(v) >= _LARGEST for v in value.values()):
        # orjson rounds whole numbers of more than 64 bits, and an id may be one.
        value = _load_slowly(raw)
    if not isinstance(value, dict):
        raise ValueError(f"{seen(value)}, expected a JSON object with a record's fields")
    if raw.count(b"[") + raw.count(b"{") > _MOST_LEVELS and _levels(value) > _MOST_LEVELS:
        raise ValueError(_TOO_DEEP)
    return value


def _levels(value: object) -> int:
    """How deep the value is nested; counted up to one more than a row may have."""
    levels, inner = 0, [value]
    while inner and levels <= _MOST_LEVELS:
        levels += 1
        inner = [
            item
            for one in inner
            for item in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(item, (dict, list))
        ]
    return levels


def _load_slowly(raw: bytes) -> Any:
    text = raw.decode("utf-8")
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        words = exc.msg.removesuffix(" at")
        raise ValueError(
            f"not JSON: {words} at character {exc.pos + 1}, near {shorten(text[max(exc.pos - 20, 0) : exc.pos + 20])}"
        ) from exc
    except RecursionError as exc:
        raise ValueError(_TOO_DEEP) from exc


class JsonLines(TextShard):
    """A JSON object a line."""

    def where(self, number: int) -> str:
        return f"{self.name}:{number}"

    def pieces(self, stream: IO[bytes]) -> Iterator[Piece]:
        lead = bytearray()
        number = 0
        while line := stream.readline(LONGEST_ROW):
            number += 1
            if len(line) == LONGEST_ROW:
                raise self.too_long(self.where(number))
            if number == 1 and line.startswith(codecs.BOM_UTF8):
                lead, line = bytearray(codecs.BOM_UTF8), line[3:]
            raw = line.strip(b" \t\r\n")
            if not raw:
                lead += line
                self.check_blank(self.where(number), len(lead))
                continue
            start = line.index(raw[:1])
            yield Piece(number, bytes(lead) + line[:start], raw, line[start + len(raw) :])
            lead.clear()
        if lead:
            yield Piece(0, bytes(lead), b"", b"")

    def load(self, raw: bytes) -> Row:
        return load_json(raw)


_SPACE = re.compile(rb"[ \t\r\n,]*")
_TOKEN = re.compile(rb'["\[\]{}]')
_BACKSLASH = ord("\\")
_SCALAR_END = re.compile(rb"[,\]\s]")


class JsonArray(TextShard):
    """One JSON array of objects, or objects one after another; streamed through a moving window."""

    def pieces(self, stream: IO[bytes]) -> Iterator[Piece]:
        window = _Window(stream)
        lead = window.take(3) if window.peek(3) == codecs.BOM_UTF8 else b""
        line, number = 1, 0
        in_array = closed = False
        while True:
            lead += window.space()
            self.check_blank(f"{self.name}:{line}", len(lead))
            head = window.peek(1)
            if not head:
                break
            if (head == b"[" and not in_array) or (head == b"]" and in_array and not closed):
                in_array, closed = True, head == b"]"
                lead += window.take(1)
                continue
            line += lead.count(b"\n")
            here = f"{self.name}:{line}"
            if closed:
                raise InputError(
                    f"{here}: more text after the end of the array", hint="keep one array in the file, or write JSON Lines"
                )
            try:
                raw = window.value()
            except EOFError:
                raise InputError(
                    f"{here}: the object that begins here is not closed; the file is cut", hint="get it again"
                ) from None
            except OverflowError as exc:
                raise self.too_long(here, *exc.args) from None
            # All rows may stand in one line, so that its number tells no row from another.
            number += 1
            yield Piece(number, lead, raw, b"")
            line += raw.count(b"\n")
            lead = b""
        if in_array and not closed:
            raise InputError(f"{self.name}:{line}: the array is not closed; the file is cut", hint="get it again")
        if lead:
            yield Piece(0, lead, b"", b"")

    def load(self, raw: bytes) -> Row:
        return load_json(raw)


class _Window:
    """The part of a stream of JSON that is looked at; what was taken is forgotten."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._bytes = b""
        self._at = 0

    def _more(self) -> bool:
        # Doubling, so that a long string is not looked at again for every block.
        block = self._stream.read(max(2**20, len(self._bytes) - self._at))
        self._bytes = self._bytes[self._at :] + block
        self._at = 0
        return bool(block)

    def peek(self, size: int) -> bytes:
        while len(self._bytes) - self._at < size and self._more():
            pass
        return self._bytes[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        taken = self.peek(size)
        self._at += len(taken)
        return taken

    def space(self) -> bytes:
        """Takes white space and commas; of very much of it, a part."""
        taken: list[bytes] = []
        while True:
            end = _SPACE.match(self._bytes, self._at).end()  # type: ignore[union-attr]  # it matches nothing too
            taken.append(self._bytes[self._at : end])
            self._at = end
            if end < len(self._bytes) or len(taken) > 2 or not self._more():
                return b"".join(taken)

    def _string_end(self, start: int) -> int:
        """Where the string that began before `start` is over; -1 where that is past the window."""
        quote = self._bytes.find(b'"', start)
        while quote >= 0:
            before = quote
            while before > start and self._bytes[before - 1] == _BACKSLASH:
                before -= 1
            if (quote - before) % 2 == 0:
                return quote + 1
            quote = self._bytes.find(b'"', quote + 1)
        return -1

    def value(self) -> bytes:
        """Takes one JSON value by its brackets and quotes. Raises EOFError: it has no end; OverflowError: it is too long."""
        depth = tokens = 0
        scan = 0  # from self._at, which moves when the window does
        plain = self.peek(1) not in (b"{", b"[", b'"')
        while True:
            match = (_SCALAR_END if plain else _TOKEN).search(self._bytes, self._at + scan)
            in_string = match is not None and match[0] == b'"' and not plain
            end = self._string_end(match.end()) if match is not None and in_string else -1
            if end >= 0:
                scan = end - self._at
                if not depth:
                    return self.take(scan)
                continue
            if match is None or in_string:
                scan = (len(self._bytes) if match is None else match.start()) - self._at
                if scan > LONGEST_ROW or len(self._bytes) - self._at > LONGEST_ROW:
                    raise OverflowError
                if not self._more():
                    if plain:
                        return self.take(scan)
                    raise EOFError
                continue
            if plain:
                return self.take(max(match.start() - self._at, 1))
            scan = match.end() - self._at
            tokens += 1
            if tokens > _MOST_VALUES:
                raise OverflowError(f"{_MOST_VALUES:,} values")
            depth += (match[0] in b"{[") - (match[0] in b"}]")
            if depth <= 0:
                return self.take(scan)


def json_shard(path: Path, container: str, name: str | None = None, *, empty: bool = False) -> TextShard:
    """The file of JSON as a shard. JSON Lines named `.json`, and an array named `.jsonl`, are taken for what they are.

    Raises:
        InputError: there is nothing in the file, or it is UTF-16.
    """
    lines = JsonLines(path, name)
    with open_bytes(path, empty=empty) as stream:
        first = stream.readline(2**20)
        lines.refuse_utf16(first)
        blank = 0
        while first and not first.removeprefix(codecs.BOM_UTF8).strip():
            blank += len(first)
            lines.check_blank(lines.name, blank)
            first = stream.readline(2**20)
    first = first.removeprefix(codecs.BOM_UTF8).strip()
    if not first:
        if not empty:
            raise InputError(f"{name or path}: the file has no rows, only blank lines")
        lines.note, lines.empty = f"{lines.name}: the file has no rows", True
    if first.startswith(b"["):
        return JsonArray(path, name)
    if container == "json" and first:
        try:
            orjson.loads(first)
        except ValueError:
            return JsonArray(path, name)
    return lines
