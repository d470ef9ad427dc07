"""Which fields of the rows are read, so that what is left out can be named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from argilla_admap.formats.format import Chosen, Draft, Row, RowError
from argilla_admap.formats.rows.conversations import looks_like_messages, only_media
from argilla_admap.formats.values import found_annotator, shorten

__all__ = ["FieldsRead", "left_out_line"]

#: So many rows are watched closely; a later row is, where it has a field that none had before.
_WATCHED = 32
_SHOWN = 12
_METADATA = re.compile(
    r"(^|.*[_. -])(_?id|ids|idx|index|uuid|hash|date|time|timestamp|tstamp|at|urls?|lang|language|split|version|status|turns?"
    r"|type|tokens?|len|length|count|metadata|meta|seed|user|users|agent|tokenized|completed_by|lead_time|key)$|num_.*|__.*|_.*",
    re.IGNORECASE,
)


class _Watched(dict[str, Any]):
    """A row, or an object in it, that notes which of its fields are read."""

    def __init__(self, values: Mapping[str, Any], noted: set[str], prefix: str = "") -> None:
        super().__init__(values)
        self._noted, self._prefix = noted, prefix

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        path = f"{self._prefix}{name}"
        self._noted.add(path)
        return self._watched(value, f"{path}.")

    def _watched(self, value: Any, prefix: str) -> Any:
        if isinstance(value, dict):
            return _Watched(value, self._noted, prefix)
        return [self._watched(item, prefix) for item in value] if isinstance(value, list) else value

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401  # `get` would not note it

    def items(self) -> Any:
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        return [self[name] for name in self]


class FieldsRead:
    """Goes along with one pass: parses the rows, and counts the values of the fields that no parse looks at."""

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._known: set[str] = set()
        self._read: set[str] = set()
        self._within: dict[str, None] = {}
        self._counts: Counter[str] = Counter()
        self._watched = 0

    def parse(self, rows: Sequence[Row]) -> Draft:
        """The draft of the rows, as the format parses them.

        Raises:
            RowError: the rows cannot be used, or a completion holds nothing that can be shown.
        """
        chosen, given = self._chosen, rows
        if self._watched < _WATCHED or not all(self._known.issuperset(row) for row in rows):
            self._watched += 1
            given = [_Watched(row, self._read) for row in rows]
            for row in rows:
                self._known.update(row)
                self._within.update(dict.fromkeys(path for name in row for path in _paths(row[name], f"{name}.")))
        draft = chosen.format.parse(given, chosen.fields)
        draft.annotator = draft.annotator or found_annotator(given, chosen.fields)
        for row in rows:
            for name in row.keys() - self._read:
                if row[name] not in (None, "", [], {}):
                    self._counts[name] += 1
        if len(draft.ratings) not in (0, len(draft.completions)):
            raise RowError(f"{len(draft.ratings)} ratings for {len(draft.completions)} completions")
        if not draft.prompt.strip():
            draft.remarks += ("the prompt is empty: a judge sees the completions alone (`prompt_field` names another field)",)
        if chosen.name not in ("plain", "columns"):
            _check(draft)
        return draft

    def left_out(self) -> dict[str, int]:
        """The fields that were not read, with how many rows have a value in each; 0 for one within another field."""
        left = {name: count for name, count in self._counts.items() if name not in self._read}
        within = [
            path
            for path in self._within
            if path not in self._read and path.partition(".")[0] in self._read and path.rpartition(".")[0] in self._read
        ]
        return left | dict.fromkeys(within, 0)


def _paths(value: Any, prefix: str, depth: int = 3) -> Iterator[str]:
    """The dotted names of all that an object, or a list of objects, holds."""
    if isinstance(value, dict) and depth:
        for name, inner in value.items():
            if inner not in (None, "", [], {}):
                yield f"{prefix}{name}"
                yield from _paths(inner, f"{prefix}{name}.", depth - 1)
    elif isinstance(value, list):
        for item in value[:4]:
            yield from _paths(item, prefix, depth)


def _check(draft: Draft) -> None:
    if "not shown]" in draft.prompt or any("not shown]" in text for text in draft.completions):
        draft.remarks += ("pictures, sounds or files cannot be shown to the judge and the reviewers; a remark stands for them",)
    for position, text in enumerate(draft.completions, 1):
        if text[:1] in ("[", "{"):
            if only_media(text):
                raise RowError(f"completion {position} is {text[1:-1]}: it has no text for the judge and the reviewers")
            if looks_like_messages(text):
                raise RowError(
                    f"completion {position} is a conversation written as text ({shorten(text)}), unlike those of the first rows"
                )


def left_out_line(left_out: Mapping[str, int]) -> str:
    """The fields that were left out, for a person: those that may matter with counts, ids and the like briefly."""
    weighty = [name for name in left_out if not _METADATA.fullmatch(name)]
    light = [name for name in left_out if _METADATA.fullmatch(name)]
    parts = []
    if weighty:
        shown = [
            shorten(name) + (f" ({left_out[name]:,} row{'s' * (left_out[name] != 1)})" if left_out[name] else "")
            for name in weighty[:_SHOWN]
        ]
        parts.append(", ".join(shown) + (f" and {len(weighty) - _SHOWN} more" if len(weighty) > _SHOWN else ""))
    if light:
        names = ", ".join(shorten(name)[1:-1] for name in light[:6])
        parts.append(f"ids and metadata: {names}{' and more' * (len(light) > 6)}")
    return f"Not read: {'; '.join(parts)}"
