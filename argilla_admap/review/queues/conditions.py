"""One condition on a column, in four renderings that agree (mask, SDK, REST, link), and the reading of `where`."""

from __future__ import annotations

import ast
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


# --- reading `where` and `sort` -------------------------------------------------------------------------------------------

_TERM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ -]*")
_WORDS = re.compile(r"\b(?:and|or|not|in)\b", re.IGNORECASE)
_EQUALS = re.compile(r"(?<![<>=!])=(?!=)")
_OPERATORS: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=", ast.In: "in"}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_LONGEST = 10_000  # characters of a condition


class _Where:
    """A condition as Python's own parser reads it; nothing is evaluated. A single ``=`` is taken for ``==``."""

    def __init__(self, text: str) -> None:
        self.text = text
        line = _WORDS.sub(lambda match: match[0].lower(), "".join(" " if c.isspace() else c for c in text))
        self._equals = [match.start() + i for i, match in enumerate(_EQUALS.finditer(line))]
        self._source = _EQUALS.sub("==", line)

    def conditions(self) -> Iterator[tuple[Condition, ast.AST]]:
        if not self.text.strip():
            self.fail("there is no condition", 0)
        try:
            if len(self.text) > _LONGEST:
                self.fail(f"the condition has more than {_LONGEST:,} characters", _LONGEST)
            tree = ast.parse(self._source.lstrip(), mode="eval").body
        except SyntaxError as exc:
            self.fail("this cannot be read", self._position(exc.offset - 1) if exc.offset else len(self.text))
        except (ValueError, RecursionError, MemoryError):
            self.fail("this cannot be read", 0)
        yield from self._all(tree)

    def fail(self, what: str, where: ast.AST | int) -> NoReturn:
        position = where if isinstance(where, int) else self._position(self._offset(where))
        raise InputError(
            f"position {min(position, len(self.text)) + 1} of {self.text[:200]!r}: {what}",
            option="where",
            hint=f"known names: {', '.join(sorted(BY_COLUMN))}; a condition is NAME < <= > >= = NUMBER, NAME = TERM or "
            "NAME in (TERM, TERM), joined by and",
        )

    def _offset(self, node: ast.AST) -> int:
        """Characters before the node; Python counts bytes."""
        return len(self._source.lstrip().encode()[: getattr(node, "col_offset", 0)].decode(errors="ignore"))

    def _position(self, offset: int) -> int:
        """The same place in the text as it was given: without what was stripped and doubled."""
        offset += len(self._source) - len(self._source.lstrip())
        return offset - sum(place < offset for place in self._equals)

    def _segment(self, node: ast.AST) -> str:
        return ast.get_source_segment(self._source.lstrip(), node) or ""

    def _all(self, node: ast.expr) -> Iterator[tuple[Condition, ast.AST]]:
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            for value in node.values:
                yield from self._all(value)
        elif isinstance(node, ast.BoolOp):
            self.fail("Argilla's filters know no `or`; use NAME in (TERM, TERM), or two queues", node.values[1])
        elif isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
                yield self._condition(left, operator, right), node
        else:
            self.fail("this is no condition", node)

    def _condition(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Condition:
        symbol = _OPERATORS.get(type(operator), "?")
        if _number(left) is not None and symbol in _MIRRORED:
            left, right, symbol = right, left, _MIRRORED[symbol]
        name = self._segment(left)
        prop = _known(name)
        if prop is None:
            near = difflib.get_close_matches(name, BY_COLUMN, n=1)
            self.fail(f"unknown name {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""), left)
        if prop.kind == "terms":
            return self._terms(prop, symbol, right)
        if symbol not in _MIRRORED:
            self.fail(f"{prop.column} is a number: use < <= > >= or =", right)
        return self._range(prop, symbol, right)

    def _terms(self, prop: Property, symbol: str, right: ast.expr) -> Condition:
        if symbol not in ("=", "in"):
            self.fail(f"{prop.column} holds terms: use = or in", right)
        listed = right.elts if symbol == "in" and isinstance(right, (ast.Tuple, ast.List)) else [right]
        if len(listed) > 250:
            self.fail(f"{len(listed)} terms; Argilla takes 250 at most", right)
        values = []
        for node in listed:
            text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            value = str(node.value) if text else self._segment(node)  # type: ignore[attr-defined]  # a constant
            if not _TERM.fullmatch(value):
                self.fail(f"the term {value!r} holds a character that a link cannot carry", node)
            values.append(value)
        if not values:
            self.fail("there is no term", right)
        return Condition(prop.column, values=tuple(dict.fromkeys(values)))

    def _range(self, prop: Property, symbol: str, right: ast.expr) -> Condition:
        import numpy as np

        number = _number(right)
        if number is None:
            self.fail(f"{prop.column} is a number, {self._segment(right)!r} is not", right)
        if not math.isfinite(number) or abs(number) > float(np.finfo(np.float32).max):
            self.fail(f"{self._segment(right)} is too large", right)
        single = np.float32(number)
        # Argilla's ranges include their ends: a strict bound is the next float32.
        above = float(np.nextafter(single, np.float32(np.inf)))
        below = float(np.nextafter(single, np.float32(-np.inf)))
        # Next to zero these are denormal, which some processors and parsers take for zero.
        tiny = float(np.finfo(np.float32).tiny)
        above = tiny if 0 < above < tiny else above
        below = -tiny if -tiny < below < 0 else below
        low = {">": above, ">=": float(single), "=": float(single)}.get(symbol)
        high = {"<": below, "<=": float(single), "=": float(single)}.get(symbol)
        return Condition(prop.column, low=low, high=high)


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _number(node.operand)
        return value if value is None or isinstance(node.op, ast.UAdd) else -value
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        try:
            return float(node.value)
        except OverflowError:
            return math.inf
    return None


def _known(name: str) -> Property | None:
    column = name.lower().replace("-", "_")
    return BY_COLUMN.get(column) or BY_COLUMN.get(column.removeprefix("admap_"))


def parse_where(text: str) -> tuple[Condition, ...]:
    """The conditions of an expression such as ``mean<2 and variance>=1``; two ranges of one column become one.

    Raises:
        InputError: names the position, what was found there and the known names.
    """
    where = _Where(text)
    merged: dict[str, Condition] = {}
    for condition, node in where.conditions():
        known = merged.get(condition.column)
        if known is not None and condition.values:
            where.fail(f"{condition.column} is given twice; a link holds it once", node)
        if known is not None:
            lows = [bound for bound in (known.low, condition.low) if bound is not None]
            highs = [bound for bound in (known.high, condition.high) if bound is not None]
            condition = Condition(condition.column, max(lows, default=None), min(highs, default=None))
        if not condition.values and condition.bounds[0] > condition.bounds[1]:
            prop = condition.prop
            where.fail(f"no record can match: {prop.column} lies between {prop.low:g} and {prop.high:g}", node)
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
        raise InputError(f"{text!r}: unknown name {name!r}", option="sort", hint=f"known names: {', '.join(sorted(BY_COLUMN))}")
    if direction == "desc":
        return Order(prop.column, "desc")
    if direction in ("", "asc"):
        return Order(prop.column, "asc")
    raise InputError(f"{text!r}: the direction {direction!r} is neither asc nor desc", option="sort")
