"""Reading single values of a row: texts, numbers, lists, messages, and paths to them. Each refusal names the value."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from argilla_admap.formats.format import Draft, Edit, FieldNames, Path, Put, Row, RowError
from argilla_admap.records import LARGEST_NUMBER as _LARGEST
from argilla_admap.records import Turn, printable, render_turns

__all__ = [
    "as_text",
    "at",
    "decoded",
    "fields_of",
    "find",
    "found_id",
    "found_source",
    "item_ratings",
    "listing",
    "look",
    "messages",
    "number",
    "optional_text",
    "prompt_and_turns",
    "put_ratings",
    "ratings_by_field",
    "seen",
    "shorten",
    "split_messages",
    "text",
    "written_like",
]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_NOTHING = frozenset({"", "n/a", "na", "none", "null"})
_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}
#: In this order: a record's own id before a prompt's, which several pairs may share.
_ID_FIELDS = (
    "id",
    "_id",
    "uid",
    "uuid",
    "record_id",
    "pair_id",
    "sample_id",
    "example_id",
    "idx",
    "question_id",
    "prompt_id",
    "conversation_id",
)
_IDS = frozenset(_ID_FIELDS)
_SOURCE_FIELDS = ("source", "dataset", "subset", "domain", "task", "category")
_SOURCES = frozenset(_SOURCE_FIELDS)

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 70
_repr.maxlist = _repr.maxdict = _repr.maxtuple = 4


def shorten(value: object) -> str:
    """The value for a message: short, one line, with all that a terminal could obey escaped."""
    return _repr.repr(value)


def kind(value: object) -> str:
    """The value's kind in JSON's words."""
    if value is None:
        return "null"
    for types, name in (
        (bool, "a boolean"),
        ((int, float, Decimal), "a number"),
        (str, "text"),
        (Mapping, "an object"),
        (Sequence, "a list"),
    ):
        if isinstance(value, types):
            return name
    return f"a {type(value).__name__}"


def seen(value: object) -> str:
    """The value with its kind, for a message."""
    return "null" if value is None else f"{kind(value)} ({shorten(value)})"


def text(row: Row, name: str, *, of: str = "") -> str:
    """A field that must hold text; the empty text is text."""
    value = row.get(name)
    if isinstance(value, str):
        return value if value.isascii() else printable(value)
    if name not in row:
        raise RowError(f"{of}{name!r} is missing; the row has {fields_of(row)}")
    raise RowError(f"{of}{name!r} is {seen(value)}, expected text")


def as_text(value: object, what: str) -> str:
    """A value that must be text."""
    if isinstance(value, str):
        return value if value.isascii() else printable(value)
    raise RowError(f"{what} is {seen(value)}, expected text")


def optional_text(value: object) -> str | None:
    """Text for people, where there is some: numbers and lists are written out, null and the empty text are absent."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return printable(value)
    return printable(json.dumps(value, ensure_ascii=False, default=str))


def number(value: object, what: str, hint: str = "another field can be named with `rating_field`") -> float | None:
    """A rating: a number of a scale, or text that writes one; null, "N/A" and the empty text are no rating."""
    if value is None:
        return None
    if isinstance(value, str):
        stripped = value.strip()
        if stripped.lower() in _NOTHING:
            return None
        if _NUMBER.match(stripped) and abs(float(stripped)) <= _LARGEST:
            return float(stripped)
    # A comparison with NaN is false: NaN and infinity end below.
    elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST:
        return float(value)
    raise RowError(f"{what} is {seen(value)}, expected a finite number, of {_LARGEST:.0e} at most; {hint}")


def listing(value: object, what: str) -> Sequence[Any]:
    """A list; of a text that holds a JSON list (a CSV cell), that list."""
    if isinstance(value, str):
        inner = decoded(value)
        if isinstance(inner, list):
            return inner
    elif isinstance(value, Sequence):
        return value
    raise RowError(f"{what} is {seen(value)}, expected a list")


def decoded(value: str) -> object:
    """The list or object that a text holds as JSON; None where it holds none."""
    if value.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        return json.loads(value)
    except ValueError:
        return None


def messages(value: object, what: str = "messages") -> tuple[Turn, ...] | None:
    """Chat messages as turns: a list of {role, content} or {from, value}, one such object, or a text that holds such JSON.

    None where the value is nothing of the kind. Raises RowError where a message has no readable content.
    """
    if isinstance(value, str):
        value = decoded(value)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, Sequence) or not value or not all(isinstance(m, Mapping) for m in value):
        return None
    turns = []
    for message in value:
        if "role" in message and "content" in message:
            role, content = message["role"], message["content"]
        elif "from" in message and "value" in message:
            role, content = message["from"], message["value"]
        else:
            return None
        role = as_text(role, f"a role in {what}")
        turns.append(Turn(_ROLES.get(role.lower(), role), _content(content, what)))
    return tuple(turns)


def _content(content: object, what: str) -> str:
    if isinstance(content, str):
        return content if content.isascii() else printable(content)
    if isinstance(content, Sequence):
        # Content in parts: pictures and files have no text, and are passed over.
        parts = [p.get("text") for p in content if isinstance(p, Mapping)]
        if parts and len(parts) == len(content):
            return printable("\n".join(p for p in parts if isinstance(p, str)))
    raise RowError(f"a message of {what} has {seen(content)} as content, expected text")


def prompt_and_turns(turns: Sequence[Turn]) -> tuple[str, tuple[Turn, ...]]:
    """The prompt as readable text, and its turns; no turns where it is a single user turn."""
    if not turns or (len(turns) == 1 and turns[0].role == "user"):
        return render_turns(turns), ()
    return render_turns(turns), tuple(turns)


def split_messages(first: Sequence[Turn], second: Sequence[Turn]) -> tuple[Sequence[Turn], str, str]:
    """Two conversations: the turns that they share, and what each says after them (never nothing)."""
    shared = 0
    for a, b in zip(first[:-1], second[:-1], strict=False):
        if a != b:
            break
        shared += 1
    return first[:shared], _said(first[shared:]), _said(second[shared:])


def _said(turns: Sequence[Turn]) -> str:
    return turns[0].content if len(turns) == 1 else render_turns(turns)


def find(row: Row, dotted: str) -> list[tuple[Path, Any]]:
    """All values that a dotted name leads to, with their places; a list on the way stands for all its items."""
    found: list[tuple[Path, Any]] = [((), row)]
    rest = dotted
    while rest and found:
        here = found[0][1]
        # A column may have a dot in its own name.
        name = rest if isinstance(here, Mapping) and rest in here else rest.partition(".")[0]
        rest = rest[len(name) + 1 :]
        step: list[tuple[Path, Any]] = []
        for path, value in found:
            if isinstance(value, Mapping) and name in value:
                step.append(((*path, name), value[name]))
            elif isinstance(value, Sequence) and not isinstance(value, str):
                if name.isdigit() and int(name) < len(value):
                    step.append(((*path, int(name)), value[int(name)]))
                else:
                    step += [
                        ((*path, i, name), item[name])
                        for i, item in enumerate(value)
                        if isinstance(item, Mapping) and name in item
                    ]
        found = step
    return found


def look(row: Row, dotted: str, option: str) -> Any:
    """The one value that a dotted name leads to. Raises RowError naming the option where there is none."""
    found = find(row, dotted)
    if not found:
        raise RowError(f"{dotted!r}, named by {option}, is missing; the row has {fields_of(row)}")
    return found[0][1] if len(found) == 1 else [value for _, value in found]


def fields_of(row: Row) -> str:
    """The names of the row's fields, for a message."""
    return ", ".join(shorten(name)[1:-1] if isinstance(name, str) else shorten(name) for name in list(row)[:20]) or "no fields"


def found_id(row: Row, fields: FieldNames) -> str | None:
    """The data's own id: the field that `id_field` names, else the first of the usual names; None where there is none."""
    if fields.id is not None:
        value = look(row, fields.id, "`id_field`")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise RowError(f"the id in {fields.id!r} is {seen(value)}, expected text or a number")
        return _id_text(value)
    for name in _ID_FIELDS if not _IDS.isdisjoint(row) else ():
        value = row.get(name)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return _id_text(value)
    return None


def _id_text(value: str | float) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) or None


def found_source(row: Row, fields: FieldNames) -> str | None:
    """Where the record is from: the field that is named, else the first of the usual names."""
    if fields.source is not None:
        return optional_text(look(row, fields.source, "the source field"))
    for name in _SOURCE_FIELDS if not _SOURCES.isdisjoint(row) else ():
        value = row.get(name)
        if isinstance(value, str) and value.startswith("["):
            value = decoded(value) or value
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value):
            value = ", ".join(value)
        if isinstance(value, str):
            return optional_text(value)
    return None


def ratings_by_field(row: Row, fields: FieldNames, k: int) -> tuple[tuple[float | None, ...], tuple[tuple[Path, ...], ...]]:
    """Ratings from the fields that were named, and their places: one field with K values, K fields, or the mean of several
    fields with K values each.
    """
    columns: list[list[tuple[Path, Any]]] = []
    for name in fields.rating:
        found = find(row, name)
        if not found:
            raise RowError(f"{name!r}, named by `rating_field`, is missing; the row has {fields_of(row)}")
        if len(found) == 1 and not isinstance(found[0][1], (int, float)) and found[0][1] is not None:
            path, value = found[0]
            if not isinstance(value, str) or decoded(value) is not None:
                found = [((*path, i), item) for i, item in enumerate(listing(value, repr(name)))]
        columns.append(found)
    if all(len(column) == 1 for column in columns) and len(columns) == k:
        columns = [[column[0] for column in columns]]
    for name, column in zip(fields.rating, columns, strict=False):
        if len(column) != k:
            raise RowError(f"{name!r} gives {len(column)} ratings for {k} completions")
    ratings = []
    for values in zip(*columns, strict=True):
        numbers = [number(value, "the rating") for _, value in values]
        known = [n for n in numbers if n is not None]
        ratings.append(sum(known) / len(known) if known else None)
    return tuple(ratings), tuple(tuple(path for path, _ in values) for values in zip(*columns, strict=True))


def item_ratings(
    row: Row, fields: FieldNames, items: Sequence[Mapping[str, Any]], base: str, names: Sequence[str]
) -> tuple[tuple[float | None, ...], tuple[tuple[Path, ...], ...]]:
    """Ratings that stand inside each completion's object: in the field that was named, else the first of `names`.

    A named field is looked for in the completions first, then in the row.
    """
    if fields.rating and not any(find(item, name) for item in items for name in fields.rating):
        return ratings_by_field(row, fields, len(items))
    ratings: list[float | None] = []
    places: list[tuple[Path, ...]] = []
    for position, item in enumerate(items):
        prefix: Path = (base, position)
        if fields.rating:
            found = [f for name in fields.rating for f in find(item, name)]
            known = [
                n for n in (number(value, f"the rating of completion {position + 1}") for _, value in found) if n is not None
            ]
            ratings.append(sum(known) / len(known) if known else None)
            places.append(tuple((*prefix, *path) for path, _ in found) or ((*prefix, fields.rating[0]),))
        else:
            name = next((n for n in names if n in item), names[0])
            ratings.append(number(item.get(name), f"{name!r} of completion {position + 1}"))
            places.append(((*prefix, name),))
    return tuple(ratings), tuple(places)


def written_like(value: float, original: object) -> int | float | str:
    """The new number as the original was written: whole as an int, text as text."""
    if isinstance(original, str):
        return str(int(value)) if value.is_integer() and "." not in original else str(value)
    if isinstance(original, float):
        return value
    return int(value) if value.is_integer() else value


def at(row: object, path: Path) -> Any:
    """The value at a place; None where there is none. Texts that hold JSON are gone into."""
    for step in path:
        if isinstance(row, str):
            row = decoded(row)
        if isinstance(row, Mapping):
            row = row.get(step)
        elif isinstance(row, Sequence) and isinstance(step, int) and step < len(row):
            row = row[step]
        else:
            return None
    return row


def put_ratings(row: object, draft: Draft, ratings: Sequence[float | None]) -> list[Edit]:
    """Edits that write the ratings where the draft's were read; those that stay are not touched."""
    edits: list[Edit] = []
    for old, new, places in zip(draft.ratings, ratings, draft.places, strict=True):
        if new is not None and new != old:
            edits += [Put(path, written_like(float(new), at(row, path))) for path in places]
    return edits
