"""The review card: what it is given, and the encoding that keeps a data set's text harmless on the page.

Argilla pastes a record, unescaped, into a script of its own origin, and runs three text replacements over it. A closing
script tag in any text would run there, and dollar signs would be eaten. So no text of the data set travels as it is:
:func:`encode` replaces all that a parser could stumble over, the card decodes it and draws it as text, never as markup.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from argilla_admap.mapping.regions.coordinates import REGION_TITLES
from argilla_admap.mapping.regions.record_flags import FLAG_TITLES
from argilla_admap.records import Record, Turn, letter
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.dataset.answers import alike

__all__ = [
    "COLUMNS",
    "FIELD",
    "bare_source",
    "card_value",
    "decode",
    "encode",
    "map_info",
    "place_in",
    "script_json",
    "shown_label",
    "template",
    "with_label_asked",
    "with_place",
]

#: The name of the card's field. A field of this name in a data set that we did not make is left alone.
FIELD = "admap"

# The escape is a printable symbol, not a private-use character: Argilla indexes the value as Python prints it, and Python
# prints what is not printable as letters, which would swallow the first letters of the next word and hide it from a search.
_ESCAPE = "\u241b"
_DIGITS = 0x2800  # 256 Braille patterns: one for each byte, printable, and no part of a word
_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters: PostgreSQL refuses NUL, and Python prints a line's end as a letter
    '<>&$#{}"\\\\`'  # markup, replacement patterns, template marks, what JSON and Python would escape
    "\u2028\u2029\ufeff"  # ends of lines to some parsers; a mark that others drop
    "\ud800-\udfff"  # lone surrogates, which UTF-8 cannot carry
    "\ue000-\uf8ff"  # private use: not printable, so an index would read letters
    "\u241b"  # the escape itself
    "]"
)
_LETTER = re.compile(r"\b[A-Z]{1,2}\b")
_PLACE = re.compile(r"(/\*PLACE\*/)(.*)(/\*END\*/)", re.DOTALL)
_RUN = re.compile("\u241b{3}([\u2800-\u28ff]{3})|\u241b{2}([\u2800-\u28ff]{2})|\u241b([\u2800-\u28ff])")


class _Escapes(dict[int, str]):
    """Each character's escape, by its code; made when it is first met."""

    def __missing__(self, code: int) -> str:
        width = 1 if code < 0x100 else 2 if code < 0x10000 else 3
        self[code] = _ESCAPE * width + "".join(chr(_DIGITS + byte) for byte in code.to_bytes(width, "big"))
        return self[code]


_ESCAPES = _Escapes()
_BYTES = {chr(_DIGITS + byte): chr(byte) for byte in range(256)}


def encode(text: str, *, opaque: bool = False) -> str:
    """The same text with nothing in it that markup, a script, a text replacement, JSON or UTF-8 could stumble over.

    Plain words stay as they are, so that Argilla's search finds them; :func:`decode` gives back exactly the text, whatever it
    holds, the characters of this encoding included.

    Args:
        text: any string, lone surrogates included.
        opaque: encode every character: for our own sentences, whose words no search should find.
    """
    if opaque:
        return _opaque(text)
    return _UNSAFE.sub(lambda match: _ESCAPES[ord(match.group())], text)


@lru_cache(4096)
def _opaque(text: str) -> str:
    # Roles, regions, judges: few different ones.
    return text.translate(_ESCAPES)


def decode(text: str) -> str:
    """The text that :func:`encode` was given. The card holds the same function in JavaScript."""

    plain, *escaped = text.split(_ESCAPE)
    if not escaped:
        return text
    found = [plain]
    for part in escaped:
        byte = _BYTES.get(part[:1])
        if byte is None:
            # Of two bytes or more: rare.
            return _RUN.sub(_restored, text)
        found += (byte, part[1:])
    return "".join(found)


def _restored(match: re.Match[str]) -> str:
    code = 0
    for digit in match[match.lastindex or 0]:
        code = code * 256 + ord(digit) - _DIGITS
    return chr(code)


def card_value(
    record: Record,
    row: Mapping[str, Any],
    order: Sequence[int],
    *,
    revealed: bool,
) -> dict[str, Any]:
    """What the card of one record is given: the texts, and, where `revealed`, the label, the scores and the reasons.

    Args:
        record: the texts.
        row: the record's columns of the map.
        order: the completions as shown; a permutation of ``range(k)``.
        revealed: False in a blind review: then the value holds texts only, for a reviewer can read all that is in it.

    Returns:
        a JSON object whose texts are encoded. Its keys are odd on purpose: Argilla searches them too.
    """
    turns = record.turns or (Turn("user", record.prompt),)
    value: dict[str, Any] = {
        "_v": 1,
        "_p": [[encode(t.role, opaque=True), encode(t.content)] for t in turns],
        "_c": [encode(record.completions[i]) for i in order],
    }
    if not revealed:
        return value

    def numbers(name: str) -> list[float | None]:
        column = row.get(name)
        return [_number(column[i]) if column is not None and i < len(column) else None for i in order]

    value |= {
        "_i": encode(record.id),
        "_o": [int(i) for i in order],
        "_m": [_encoded(record.models[i]) for i in order],
        "_r": [_number(record.ratings[i]) for i in order],
        "_s": numbers("scores"),
        "_w": numbers("score_variances"),
        "_n": numbers("score_counts"),
        "_t": [_encoded(record.reasons[i]) for i in order],
        "_x": [_encoded(_at(row.get("errors"), i), opaque=True) for i in order],
        "_d": {short: _number(row.get(name)) for short, name in _NUMBERS.items()},
        "_g": _encoded(row.get("region"), opaque=True),
        "_f": [encode(str(flag), opaque=True) for flag in _listed(row.get("flags"))],
        "_e": [encode(sentence, opaque=True) for sentence in _as_shown(_listed(row.get("evidence")), order)],
        "_j": _encoded(row.get("judges") or row.get("judge"), opaque=True),
    }
    return value


def shown_label(value: Any) -> tuple[float | None, ...]:
    """The label on a card, at the places of the page; empty where it shows none."""
    shown = value.get("_r") if isinstance(value, Mapping) else None
    return tuple(shown) if isinstance(shown, list) else ()


def with_label_asked(value: Mapping[str, Any], asked: Sequence[float | None]) -> dict[str, Any]:
    """The card of a record that somebody answered: with the label that it showed then, at the places of the page.

    "Keep" and "flip" are said about the label that is read. Where the record has another one by now, the card says so, and
    gives no reasons for or against either.
    """
    if not asked or alike(asked, value["_r"]):
        return dict(value)
    numbers = {**value["_d"], "_c": None, "_d": None, "_e": None}
    return {**value, "_l": value["_r"], "_r": list(asked), "_f": [], "_e": [], "_d": numbers}


def _as_shown(sentences: Sequence[Any], order: Sequence[int]) -> list[str]:
    """Sentences of the diagnosis with the letters that the completions have on the page; they name them in their own order."""
    places = {letter(own): letter(shown) for shown, own in enumerate(order)}
    return [_LETTER.sub(lambda match: places.get(match.group(), match.group()), str(sentence)) for sentence in sentences]


#: Numbers of a record that the card prints, by their short keys.
_NUMBERS = {
    "_a": "mean",
    "_b": "variance",
    "_c": "p_wrong",
    "_d": "contested",
    "_e": "agreement",
    "_f": "region_confidence",
}
#: The columns of the map that a card is made of, beside the record's own.
COLUMNS = frozenset(
    (
        *_NUMBERS.values(),
        "scores",
        "score_variances",
        "score_counts",
        "errors",
        "region",
        "flags",
        "evidence",
        "judges",
        "judge",
    )
)
#: Flags that the card does not print: its first line says the same.
_SAID = ("likely_wrong", "unscored")


def map_info(
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    *,
    thresholds: Mapping[str, float | None] | None = None,
    scores: npt.ArrayLike | None = None,
    scale: Sequence[float] | None = None,
    columns: int = 26,
    rows: int = 16,
) -> dict[str, Any]:
    """The small map of all cards: how many records lie where.

    Args:
        mean: shape (n_records,), score points; NaN where a record has no place.
        variance: shape (n_records,), squared score points.
        thresholds: ``variance`` and ``mean``, where the regions part; absent where the map was made within strata.
        scores: all scores of the data set, from which the ends of the judge's scale are guessed where `scale` does not say
            them; without either each card guesses.
        scale: the two ends of the judge's scale, where the judge says them.
        columns: cells along the spread, which is drawn as a standard deviation and cut at the 99th percentile.
        rows: cells along the mean.

    Returns:
        JSON values: the axes' ends, the counts (row by row from the lowest mean), the thresholds and the number of records.
    """
    y = np.asarray(mean, dtype=np.float64)
    x = np.sqrt(np.clip(np.asarray(variance, dtype=np.float64), 0, None))
    placed = np.isfinite(x) & np.isfinite(y)
    x, y = x[placed], y[placed]
    limits: dict[str, Any] = {name: _number((thresholds or {}).get(name)) for name in ("variance", "mean")}
    if scale is not None:
        limits["scale"] = [_plain_number(end) for end in scale]
    elif scores is not None and (guessed := _score_scale(np.asarray(scores, dtype=np.float64))):
        limits["scale"] = guessed
    if not x.size:
        return {"n": 0, "nx": columns, "ny": rows, "x1": 1.0, "xm": 1.0, "y0": 0.0, "y1": 1.0, "cells": [], **limits}
    right = float(np.quantile(x, 0.99)) or 1.0
    if limits["variance"] is not None:
        right = max(right, math.sqrt(max(limits["variance"], 0)) * 1.15)
    low, high = float(y.min()), float(y.max())
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    # Rounded first: the card draws the same lines from the numbers that it is given.
    right, low, high = max(round(right, 6), 1e-6), round(low, 6), round(high, 6)
    # Many scores lie exactly on a line between two cells; rounding must not put some of them below it.
    column = np.clip((x / right * columns + 1e-9).astype(np.int64), 0, columns - 1)
    line = np.clip(((y - low) / (high - low) * rows + 1e-9).astype(np.int64), 0, rows - 1)
    counts = np.bincount(line * columns + column, minlength=columns * rows)
    return {
        "n": int(x.size),
        "nx": columns,
        "ny": rows,
        "x1": right,
        "xm": round(float(x.max()), 6),
        "y0": low,
        "y1": high,
        "cells": [int(c) for c in counts],
        **limits,
    }


def _score_scale(scores: npt.NDArray[np.float64]) -> list[float] | None:
    """The two ends of the narrowest usual scale that holds all scores; their own ends, rounded outwards, where none does."""
    known = scores[np.isfinite(scores)]
    if not known.size:
        return None
    low, high = float(known.min()), float(known.max())
    for bottom, top in ((0, 1), (1, 5), (0, 5), (1, 10), (0, 10), (0, 100)):
        if bottom <= low and high <= top:
            return [bottom, top]
    return [math.floor(low), math.ceil(high)]


def _plain_number(value: float) -> float:
    return int(value) if value == int(value) else float(value)


def template(info: Mapping[str, Any] | None = None, *, blind: bool = False) -> str:
    """The card's template with the small map of `info` (see :func:`map_info`) in it: the value of the field's setting.

    Of a blind review it holds the scale alone, for the records that are completed: annotators can read the template.
    It asks for nothing from outside, and holds nothing that Argilla's own text replacements would touch.
    """
    facts = {
        "map": dict(info) if info and not blind else None,
        "scale": info.get("scale") if info else None,
        "blind": blind,
        "names": {column: BY_COLUMN[column].name for column in ("mean", "variance", "p_wrong")},
        "regions": REGION_TITLES,
        "flags": {name: title for name, title in FLAG_TITLES.items() if name not in _SAID},
    }
    return _source().replace("/*FACTS*/null", script_json(facts))


def script_json(facts: Any) -> str:
    """JSON that neither a parser of markup nor Argilla's text replacement stumbles over, for the template's script."""
    text = json.dumps(facts, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&$#/":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def with_place(template: str, script: str) -> str:
    """The template with another strip (see :mod:`argilla_admap.review.queues.places`)."""
    return _PLACE.sub(lambda match: f"{match[1]}{script}{match[3]}", template)


def place_in(template: str) -> str:
    """The strip's script that a template holds; empty where it holds none."""
    found = _PLACE.search(template)
    return found[2] if found else ""


#: The script's parts in the order in which they run, in one scope.
_SCRIPTS = (
    "frame",
    "given",
    "verdict",
    "mathematics",
    "markdown",
    "texts",
    "differences",
    "completions",
    "small_map",
    "assemble",
    "answer",
    "keys",
)


@cache
def _source() -> str:
    """The template of its parts in `card_page`, without the comments, which would travel with every card.

    Argilla pastes it into a frame of its own origin, after a script that defines `record`. Rules that keep it harmless: every
    text of the data set arrives encoded and is drawn as text, never as markup; nothing is asked for from outside; no part
    holds a dollar sign, which Argilla's text replacement would eat. ``tests/browser/card_page.py`` makes a page of samples.
    """
    folder = "argilla_admap.review.dataset.card_page"
    script = "\n".join(bare_source(folder, f"{name}.js") for name in _SCRIPTS)
    page = bare_source(folder, "card.html").replace("/*STYLE*/", bare_source(folder, "card.css"))
    return page.replace("/*SCRIPT*/", script)


def bare_source(folder: str, name: str) -> str:
    """A part of the template, without indentation and comments."""
    lines = (line.strip() for line in resources.files(folder).joinpath(name).read_text(encoding="utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("// "))


def _encoded(text: str | None, *, opaque: bool = False) -> str | None:
    return encode(str(text), opaque=opaque) if text else None


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return round(number, 6) if math.isfinite(number) else None


def _at(column: Sequence[Any] | None, index: int) -> Any:
    return column[index] if column is not None and index < len(column) else None


def _listed(value: Any) -> list[Any]:
    return [] if value is None else [item for item in value if item]
