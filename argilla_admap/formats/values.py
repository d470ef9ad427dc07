"""Single values of a row: texts, numbers, lists, ids, and the paths to them. Each refusal names the value."""

from __future__ import annotations

import ast
import io
import json
import re
import reprlib
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from argilla_admap.formats.format import FieldNames, Path, Row, RowError
from argilla_admap.records import LARGEST_NUMBER as _LARGEST
from argilla_admap.records import printable

__all__ = [
    "as_text",
    "at",
    "decoded",
    "fields_of",
    "find",
    "found_annotator",
    "found_id",
    "found_source",
    "in_backticks",
    "listing",
    "look",
    "number",
    "optional_text",
    "python_value",
    "seen",
    "shorten",
    "text",
    "unpacked",
    "unpacked_list",
    "written_like",
]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?[0-9.]*[0-9],[0-9][0-9.,]*\Z")
_NOTHING = frozenset({"", "n/a", "na", "none", "null"})
#: Two values side by side with only space between them.
_WITHOUT_COMMA = re.compile(r"""['"}\].\d]\s+-?['"{\[.\d]""")
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
_ANNOTATOR_FIELDS = tuple(
    f"{name}{ending}" for name in ("annotator", "labeler", "labeller", "rater", "worker") for ending in ("", "_id")
)
_ANNOTATORS = frozenset(_ANNOTATOR_FIELDS)

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
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # A column of short answers is one of numbers in every container but CSV.
        return str(value)
    if name not in row:
        raise RowError(f"{of}{name!r} is missing; the row has {fields_of(row)}")
    raise RowError(f"{of}{name!r} is {seen(value)}, expected text")


def as_text(value: object, what: str) -> str:
    """A value that must be text."""
    if isinstance(value, str):
        return value if value.isascii() else printable(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
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
    if isinstance(value, str) and _WITH_COMMA.match(value.strip()):
        raise RowError(f"{what} is {seen(value)}: write the number without a comma, and its decimals behind a point")
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
    """The list or object that a text holds as JSON, or as Python writes it (a CSV cell by pandas); None where it holds none."""
    if value.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return python_value(value)


def unpacked(value: object) -> Any:
    """The list or object that a text holds; any other value as it is."""
    inner = decoded(value) if isinstance(value, str) else None
    return value if inner is None else inner


def unpacked_list(value: object) -> Sequence[Any]:
    """A list, or the one that a text holds; an empty one where there is none."""
    value = unpacked(value)
    return value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else ()


def in_backticks(names: Iterable[str]) -> str:
    """Names of fields for a sentence."""
    return ", ".join(f"`{name}`" for name in names)


def python_value(value: str) -> object:
    """The list or object that a text writes as Python or NumPy do; None where it writes none."""
    try:
        found = ast.literal_eval(_with_commas(value) if _WITHOUT_COMMA.search(value) else value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError):
        return None
    return found if isinstance(found, (list, dict)) else None


def _with_commas(value: str) -> str:
    """NumPy writes an array without commas; Python would join two texts side by side into one."""
    words: list[str] = []
    before = None
    for token in tokenize.generate_tokens(io.StringIO(value.strip()).readline):
        kind = "end" if token.string in ("}", "]") else token.type
        begins = token.type in (tokenize.STRING, tokenize.NUMBER) or token.string in ("{", "[")
        if begins and before in (tokenize.STRING, tokenize.NUMBER, "end"):
            words.append(",")
        if token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT):
            words.append(token.string)
            before = kind
    return " ".join(words)


def find(row: Row, dotted: str) -> list[tuple[Path, Any]]:
    """All values that a dotted name leads to, with their places; a list on the way stands for all its items."""
    found: list[tuple[Path, Any]] = [((), row)]
    rest = dotted
    while rest and found:
        here = found[0][1]
        if isinstance(here, str) and isinstance(inner := decoded(here), Mapping):
            # A text that holds an object as JSON.
            found = [(path, decoded(value) if isinstance(value, str) else value) for path, value in found]
            here = inner
        # A column may have a dot in its own name.
        name = rest if isinstance(here, Mapping) and rest in here else rest.partition(".")[0]
        rest = rest[len(name) + 1 :]
        step: list[tuple[Path, Any]] = []
        for path, value in found:
            if isinstance(value, Mapping) and name in value:
                step.append(((*path, name), value[name]))
            elif isinstance(value, Sequence) and not isinstance(value, str):
                if name.isdecimal() and len(name) < 10 and int(name) < len(value):
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
        raise RowError(f"{dotted!r}, named by `{option}`, is missing; the row has {fields_of(row)}")
    return found[0][1] if len(found) == 1 else [value for _, value in found]


def fields_of(row: Row) -> str:
    """The names of the row's fields, for a message."""
    return ", ".join(shorten(name)[1:-1] if isinstance(name, str) else shorten(name) for name in list(row)[:20]) or "no fields"


def found_id(row: Row, fields: FieldNames) -> str | None:
    """The data's own id: the field that `id_field` names, else the first of the usual names; None where there is none."""
    if fields.id is not None:
        value = look(row, fields.id, "id_field")
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
        return optional_text(look(row, fields.source, "source_field"))
    for name in _SOURCE_FIELDS if not _SOURCES.isdisjoint(row) else ():
        value = row.get(name)
        if isinstance(value, str) and value.startswith("["):
            value = decoded(value) or value
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value):
            value = ", ".join(value)
        if isinstance(value, str):
            return optional_text(value)
    return None


def found_annotator(rows: Sequence[Row], fields: FieldNames) -> str | None:
    """Who gave the label, a text or a number: the field that is named, else the first of the usual names.

    Args:
        rows: of one record; where they name several annotators, its label is not one person's.
    """
    found = {_annotator(row, fields) for row in rows}
    return found.pop() if len(found) == 1 else None


def _annotator(row: Row, fields: FieldNames) -> str | None:
    names = _ANNOTATOR_FIELDS if not _ANNOTATORS.isdisjoint(row) else ()
    given = [look(row, fields.annotator, "annotator_field")] if fields.annotator is not None else map(row.get, names)
    for value in given:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return optional_text(_id_text(value))
    return None


def written_like(value: float, original: object) -> int | float | str | Decimal:
    """The new number as the original was written: whole as an int, text as text."""
    if isinstance(original, Decimal):
        return Decimal(str(value))
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
