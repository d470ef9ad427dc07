"""Edits of a row as it is written: only the values change, every other byte stays.

A row of JSON is edited by the places of its values in the text, so that the order of keys, spaces, escapes and the way numbers
are written stay as somebody wrote them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from argilla_admap.formats.format import Copy, Edit, Path, Swap
from argilla_admap.formats.values import at, python_value

__all__ = ["PlaceError", "edit_cells", "edit_json", "edit_value"]

_WHITE = re.compile(r"[ \t\r\n]*")
_value_end = json.JSONDecoder().raw_decode


class PlaceError(Exception):
    """The row has no place for the value."""


def edit_json(text: str, edits: Sequence[Edit]) -> str:
    """The JSON object with the edits made in its text.

    Raises:
        PlaceError: there is no place for a value.
    """
    for edit in edits:
        if isinstance(edit, Swap):
            spans = [_span(text, edit.first), _span(text, edit.second)]
            (a, b), (c, d) = sorted(spans)
            text = text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]
        elif isinstance(edit, Copy):
            (a, b), (c, d) = _span(text, edit.source), _span(text, edit.target)
            text = text[:c] + text[a:b] + text[d:]
        else:
            text = _put(text, edit.path, edit.value)
    return text


def _put(text: str, path: Path, value: Any) -> str:
    place = _find(text, path)
    if isinstance(place, _Text):
        start, end = place.span
        inner = _put_within(json.loads(text[start:end]), place.rest, value)
        return text[:start] + json.dumps(inner, ensure_ascii=text[start:end].isascii()) + text[end:]
    if isinstance(place, tuple):
        return text[: place[0]] + _dump(value, text) + text[place[1] :]
    return _add(text, path, value)


def _put_within(text: str, path: Path, value: Any) -> str:
    """The text of a cell or a field that holds a list or an object, as JSON or as Python writes it, with the value in it."""
    try:
        json.loads(text)
    except ValueError:
        written = python_value(text)
        if written is None:
            raise PlaceError(f"no place for {'.'.join(map(str, path))} in a text that is no list") from None
        return repr(_with(written, path, value))
    return _put(text, path, value)


def _dump(value: Any, text: str) -> str:
    # Lists are written as the row writes its own.
    separators = (", ", ": ") if re.search(r'[,:] ["\d\[{]', text) else (",", ":")
    return json.dumps(value, separators=separators, allow_nan=False)


def _add(text: str, path: Path, value: Any) -> str:
    """The text with a new key at the end of its object, with the spaces that its other keys have."""
    parent = _find(text, path[:-1])
    name = path[-1]
    if not isinstance(parent, tuple) or not isinstance(name, str) or text[parent[0]] != "{":
        raise PlaceError(f"no place for {'.'.join(map(str, path))}")
    members = list(_members(text, parent[0]))
    if not members:
        return text[: parent[0] + 1] + f"{json.dumps(name)}: {_dump(value, text)}" + text[parent[1] - 1 :]
    last = members[-1]
    before = text[members[-2][2] : last[3]] if len(members) > 1 else ("," + text[parent[0] + 1 : last[3]]) or ", "
    if len(members) == 1 and before == ",":
        before = ", " if ": " in text[last[3] : last[1]] else ","
    colon = re.search(r"[ \t\r\n]*:[ \t\r\n]*\Z", text[last[3] : last[1]])
    addition = before + json.dumps(name) + (colon[0] if colon else ": ") + _dump(value, text)
    return text[: last[2]] + addition + text[last[2] :]


class _Text:
    """A place within a text that itself holds JSON."""

    def __init__(self, span: tuple[int, int], rest: Path) -> None:
        self.span = span
        self.rest = rest


def _span(text: str, path: Path) -> tuple[int, int]:
    place = _find(text, path)
    if not isinstance(place, tuple):
        raise PlaceError(f"no {'.'.join(map(str, path))}")
    return place


def _find(text: str, path: Path) -> tuple[int, int] | _Text | None:
    """Start and end of the value at the path; None where there is none."""
    start = _skip(text, 0)
    if start == len(text):
        return None
    for depth, step in enumerate(path):
        if text[start] == '"':
            return _Text((start, _value_end(text, start)[1]), path[depth:])
        # Of a key that is there twice, the last counts, as for every reader of JSON.
        found = [member[1] for member in _members(text, start) if member[0] == step]
        if not found:
            return None
        start = found[-1]
    return start, _value_end(text, start)[1]


def _members(text: str, start: int) -> list[tuple[str | int, int, int, int]]:
    """Of each member of the object or list: its key or position, its value's start and end, and its own start."""
    members: list[tuple[str | int, int, int, int]] = []
    if text[start] not in "{[":
        return members
    is_object = text[start] == "{"
    here = _skip(text, start + 1)
    while text[here] not in "}]":
        begin = here
        key: str | int = len(members)
        if is_object:
            key, here = _value_end(text, here)
            here = _skip(text, _skip(text, here) + 1)
        end = _value_end(text, here)[1]
        members.append((key, here, end, begin))
        here = _skip(text, end)
        if text[here] == ",":
            here = _skip(text, here + 1)
    return members


def _skip(text: str, start: int) -> int:
    return _WHITE.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing too


def edit_value(row: dict[str, Any], edits: Sequence[Edit]) -> dict[str, Any]:
    """A copy of the row with the edits made, for rows that have no text of their own.

    Raises:
        PlaceError: there is no place for a value.
    """
    for edit in edits:
        if isinstance(edit, Swap):
            first, second = at(row, edit.first), at(row, edit.second)
            row = _with(_with(row, edit.first, second), edit.second, first)
        elif isinstance(edit, Copy):
            row = _with(row, edit.target, at(row, edit.source))
        else:
            row = _with(row, edit.path, edit.value)
    return row


def _with(container: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(container, str):
        return _put_within(container, path, value)
    if isinstance(container, dict):
        return {**container, step: _with(container.get(step), rest, value)}
    if isinstance(container, list) and isinstance(step, int) and step < len(container):
        return [*container[:step], _with(container[step], rest, value), *container[step + 1 :]]
    raise PlaceError(f"no place for {'.'.join(map(str, path))}")


def edit_cells(raw: str, header: Sequence[str], delimiter: str, edits: Sequence[Edit]) -> str:
    """The CSV record with the edits made; cells that do not change keep their quotes.

    Raises:
        PlaceError: there is no column for a value.
    """
    pattern = re.compile(rf'"(?:[^"]|"")*"|[^{re.escape(delimiter)}"\r\n]*')
    cells: list[str] = []
    here = 0
    while True:
        match = pattern.match(raw, here)
        cell = match[0] if match else ""
        cells.append(cell)
        here += len(cell)
        if here >= len(raw):
            break
        if raw[here] != delimiter:
            # Quotes in the middle of a cell: read and write it anew.
            cells = [_quoted(c, delimiter) for c in next(csv.reader(io.StringIO(raw, newline=""), delimiter=delimiter))]
            break
        here += 1
    if len(cells) != len(header):
        raise PlaceError(f"{len(cells)} cells for {len(header)} columns")
    for edit in edits:
        if isinstance(edit, Swap):
            a, b = (_column(header, path) for path in (edit.first, edit.second))
            cells[a], cells[b] = cells[b], cells[a]
        elif isinstance(edit, Copy):
            cells[_column(header, edit.target)] = cells[_column(header, edit.source)]
        else:
            column = _column(header, edit.path)
            old = next(csv.reader(io.StringIO(cells[column], newline=""), delimiter=delimiter), [""])
            new = edit.value if len(edit.path) == 1 else _put_within(old[0] if old else "", edit.path[1:], edit.value)
            written = new if isinstance(new, str) else json.dumps(new, allow_nan=False)
            cells[column] = _quoted(written, delimiter, always=cells[column].startswith('"'))
    return delimiter.join(cells)


def _column(header: Sequence[str], path: Path) -> int:
    if path[0] not in header:
        raise PlaceError(f"no column {path[0]!r}")
    return list(header).index(str(path[0]))


def _quoted(cell: str, delimiter: str, *, always: bool = False) -> str:
    if always or any(c in cell for c in (delimiter, '"', "\r", "\n")):
        return '"' + cell.replace('"', '""') + '"'
    return cell
