"""One condition on a column, in four renderings that agree (mask, SDK, REST, link), and the reading of `where`."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from argilla_admap.errors import InputError
from argilla_admap.review.argilla.properties import BY_COLUMN, Property

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

__all__ = ["AGE", "Condition", "Order", "parse_order", "parse_where"]

#: A record's age on Argilla, to sort by: an order that tells nothing.
AGE = "inserted_at"


@dataclass(frozen=True, slots=True)
class Condition:
    """A range of a number (ends included), or one of several terms. A record without the value is outside."""

    column: str
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()

    @property
    def prop(self) -> Property:
        """The metadata property that holds the column."""
        return BY_COLUMN[self.column]

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends, as the index compares them: the column's own ends where the condition leaves one open."""
        low = self.prop.low if self.low is None else self.low
        high = self.prop.high if self.high is None else self.high
        return _float32(low), _float32(high)

    def mask(self, frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Shape (n rows,)."""
        import numpy as np

        if self.column not in frame.columns:
            return np.zeros(len(frame), dtype=bool)
        column = frame[self.column]
        if self.prop.kind == "terms":
            return _has_term(column, self.values)
        low, high = self.bounds
        # The index keeps a float as float32, so that a value just beside a bound may be on it.
        with np.errstate(over="ignore"):
            singles = column.to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float32)
        return np.asarray((singles >= np.float32(low)) & (singles <= np.float32(high)))

    def sdk(self) -> list[tuple[str, str, Any]]:
        """The SDK's conditions."""
        field = f"metadata.{self.prop.name}"
        if self.prop.kind == "terms":
            return [(field, "in", list(self.values))]
        low, high = self.bounds
        return [(field, ">=", low), (field, "<=", high)]

    def rest(self) -> dict[str, Any]:
        """The filter of the REST search."""
        scope = {"entity": "metadata", "metadata_property": self.prop.name}
        if self.prop.kind == "terms":
            return {"type": "terms", "scope": scope, "values": list(self.values)}
        low, high = self.bounds
        return {"type": "range", "scope": scope, "ge": low, "le": high}

    def link(self) -> str:
        """Its part of a link's `metadata`."""
        if self.prop.kind == "terms":
            return ".".join([self.prop.name, *self.values])
        low, high = self.bounds
        return f"{self.prop.name}.ge{_plain(low)}.le{_plain(high)}"


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by; records without the value come last both ways."""

    column: str
    direction: Literal["asc", "desc"]

    def rest(self) -> dict[str, Any]:
        """The sort of the REST search."""
        if self.column == AGE:
            return {"scope": {"entity": "record", "property": AGE}, "order": self.direction}
        scope = {"entity": "metadata", "metadata_property": BY_COLUMN[self.column].name}
        return {"scope": scope, "order": self.direction}

    def link(self) -> str:
        """Its part of a link's `sort`."""
        if self.column == AGE:
            return f"record.{AGE}.{self.direction}"
        return f"metadata.{BY_COLUMN[self.column].name}.{self.direction}"


def _float32(value: float) -> float:
    import numpy as np

    return float(np.float32(value))


def _plain(value: float) -> str:
    """The number without an exponent, which a link cannot hold; the shortest that is the same float32."""
    import numpy as np

    return np.format_float_positional(np.float32(value), unique=True, trim="-")


def _has_term(column: pd.Series[Any], values: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """True where the cell, a term or a list of terms, holds one of the values."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    filled = column.dropna()
    lists = len(filled) > 0 and not isinstance(filled.iloc[0], str)
    # The type is said, because an empty list of numpy's is one of floats.
    array: Any = pa.array(column, type=pa.list_(pa.string()) if lists else pa.string(), from_pandas=True)
    wanted = pa.array(list(values), pa.string())
    found = np.zeros(len(column), dtype=bool)
    if lists:
        parents = pc.list_parent_indices(array).to_numpy()
        hits = pc.is_in(pc.list_flatten(array), value_set=wanted).to_numpy(zero_copy_only=False)
        found[parents[hits]] = True
        return found
    return np.asarray(pc.is_in(array, value_set=wanted).to_numpy(zero_copy_only=False))


# --- reading `where` and `--sort` ---------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])) |
    (?P<word>[A-Za-z_][\w-]*) |
    (?P<text>'[^']*'|"[^"]*") |
    (?P<op><=|>=|==|<|>|=|\(|\)|\[|\]|,|!=)
    )""",
    re.VERBOSE,
)
_TERM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ -]*")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


class _Reader:
    """Reads ``condition and condition ...`` from left to right; nothing is evaluated."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[_Token] = list(self._split())
        self.next = 0

    def _split(self) -> Iterator[_Token]:
        position = 0
        while self.text[position:].strip():
            match = _TOKEN.match(self.text, position)
            if match is None:
                start = position + len(self.text[position:]) - len(self.text[position:].lstrip())
                self.fail(f"cannot read {self.text[start : start + 12]!r}", start)
            kind = str(match.lastgroup)
            yield _Token(kind, match.group(kind), match.start(kind))
            position = match.end()

    def fail(self, what: str, position: int) -> NoReturn:
        raise InputError(
            f"--where, position {position + 1} of {self.text!r}: {what}. "
            f"StoredRecords names: {', '.join(sorted(BY_COLUMN))}; a condition is NAME < <= > >= = NUMBER, NAME = TERM or "
            "NAME in (TERM, TERM), joined by `and`"
        )

    def take(self, what: str, *kinds: str) -> _Token:
        if self.next >= len(self.tokens):
            self.fail(f"{what} is missing at the end", len(self.text))
        token = self.tokens[self.next]
        if kinds and token.kind not in kinds:
            self.fail(f"{what} was expected, not {token.text!r}", token.position)
        self.next += 1
        return token

    def read(self) -> list[tuple[Condition, int]]:
        found = [self.condition()]
        while self.next < len(self.tokens):
            token = self.take("`and`")
            if token.text.lower() == "or":
                self.fail("Argilla's filters know no `or`; use NAME in (TERM, TERM), or two queues", token.position)
            if token.text.lower() != "and":
                self.fail(f"`and` was expected, not {token.text!r}", token.position)
            found.append(self.condition())
        return found

    def condition(self) -> tuple[Condition, int]:
        name = self.take("a name", "word")
        prop = _known(name.text)
        if prop is None:
            near = difflib.get_close_matches(name.text, BY_COLUMN, n=1)
            self.fail(f"unknown name {name.text!r}" + (f"; did you mean {near[0]!r}?" if near else ""), name.position)
        operator = self.take("an operator", "op", "word")
        if prop.kind == "terms":
            return self.terms(prop, operator), name.position
        return self.range(prop, operator), name.position

    def terms(self, prop: Property, operator: _Token) -> Condition:
        if operator.text in ("=", "=="):
            return Condition(prop.column, values=(self.term(),))
        if operator.text.lower() != "in":
            self.fail(f"{prop.column} holds terms: use = or in, not {operator.text!r}", operator.position)
        opening = self.take("(", "op")
        closing = {"(": ")", "[": "]"}.get(opening.text)
        if closing is None:
            self.fail(f"( was expected, not {opening.text!r}", opening.position)
        values = [self.term()]
        while (token := self.take(f", or {closing}", "op")).text == ",":
            values.append(self.term())
        if token.text != closing:
            self.fail(f"{closing} was expected, not {token.text!r}", token.position)
        if len(values) > 250:
            self.fail(f"{len(values)} terms; Argilla takes 250 at most", opening.position)
        return Condition(prop.column, values=tuple(dict.fromkeys(values)))

    def term(self) -> str:
        token = self.take("a term", "word", "text", "number")
        value = token.text[1:-1] if token.kind == "text" else token.text
        if not _TERM.fullmatch(value):
            self.fail(f"the term {value!r} holds a character that a link cannot carry", token.position)
        return value

    def range(self, prop: Property, operator: _Token) -> Condition:
        import numpy as np

        if operator.text not in ("<", "<=", ">", ">=", "=", "=="):
            self.fail(f"{prop.column} is a number: use < <= > >= or =, not {operator.text!r}", operator.position)
        token = self.take("a number", "number", "word", "text")
        if token.kind != "number":
            self.fail(f"{prop.column} is a number, {token.text!r} is not", token.position)
        number = float(token.text)
        if not math.isfinite(number) or abs(number) > float(np.finfo(np.float32).max):
            self.fail(f"{token.text} is too large", token.position)
        single = np.float32(number)
        # Argilla's ranges include their ends: a strict bound is the next float32.
        above = float(np.nextafter(single, np.float32(np.inf)))
        below = float(np.nextafter(single, np.float32(-np.inf)))
        # Next to zero these are denormal, which some processors and parsers take for zero.
        tiny = float(np.finfo(np.float32).tiny)
        above = tiny if 0 < above < tiny else above
        below = -tiny if -tiny < below < 0 else below
        return {
            "<": Condition(prop.column, high=below),
            "<=": Condition(prop.column, high=float(single)),
            ">": Condition(prop.column, low=above),
            ">=": Condition(prop.column, low=float(single)),
        }.get(operator.text, Condition(prop.column, low=float(single), high=float(single)))


def _known(name: str) -> Property | None:
    column = name.lower().replace("-", "_")
    return BY_COLUMN.get(column) or BY_COLUMN.get(column.removeprefix("admap_"))


def parse_where(text: str) -> tuple[Condition, ...]:
    """The conditions that the text means; two ranges of one column become one.

    Raises:
        InputError: names the position, what was found there and the known names.
    """
    reader = _Reader(text)
    if not reader.tokens:
        reader.fail("there is no condition", 0)
    merged: dict[str, Condition] = {}
    for condition, position in reader.read():
        known = merged.get(condition.column)
        if known is not None and condition.values:
            reader.fail(f"{condition.column} is given twice; a link holds it once", position)
        if known is not None:
            lows = [bound for bound in (known.low, condition.low) if bound is not None]
            highs = [bound for bound in (known.high, condition.high) if bound is not None]
            condition = Condition(condition.column, max(lows, default=None), min(highs, default=None))
        if not condition.values and condition.bounds[0] > condition.bounds[1]:
            prop = condition.prop
            reader.fail(f"no record can match: {prop.column} lies between {prop.low:g} and {prop.high:g}", position)
        merged[condition.column] = condition
    return tuple(merged.values())


def parse_order(text: str) -> Order:
    """The order that ``p_wrong:desc`` means; without a direction, ``asc``.

    Raises:
        InputError: an unknown column or direction.
    """
    name, _, direction = text.strip().partition(":")
    prop = _known(name)
    if prop is None:
        raise InputError(f"--sort {text!r}: unknown name {name!r}. StoredRecords names: {', '.join(sorted(BY_COLUMN))}")
    if direction == "desc":
        return Order(prop.column, "desc")
    if direction in ("", "asc"):
        return Order(prop.column, "asc")
    raise InputError(f"--sort {text!r}: the direction {direction!r} is neither asc nor desc")
