"""What push sends of each record: metadata and the place on the map, every value checked before anything is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import InputError
from argilla_admap.mapping.regions.record_flags import SUSPECT
from argilla_admap.review.argilla.properties import BY_COLUMN, MIXED, ORIGINS, PROPERTIES, Property, encode_term
from argilla_admap.tables import release_memory

if TYPE_CHECKING:
    from argilla_admap.mapping.data_map import DataMap

__all__ = ["MapView", "Payload", "mixed_sample", "pushed_map", "random_number", "random_sample"]

_UNREAD = BY_COLUMN["p_wrong_unread"]
#: Columns of the map that go along as they are.
_FLOATS = tuple(prop.column for prop in PROPERTIES if prop.always and prop.kind == "float")
_TERMS = tuple(prop.column for prop in PROPERTIES if prop.always and prop.kind == "terms" and prop.column != "label")
_LONGEST_ID = 2000
_LONGEST_TERM = 200
#: Values of a column that become objects at a time.
_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class MapView:
    """How a point of the map becomes the vector ``[variance - x, mean - y, depth]``.

    Argilla compares vectors by their angle, so that the map is looked at from a distance, `depth`: half its width. Then near
    in angle is near on the map, and no vector is zero.
    """

    x: float
    y: float
    depth: float

    @classmethod
    def of(cls, mean: npt.NDArray[np.float64], variance: npt.NDArray[np.float64]) -> MapView:
        """The view of these points; shape (n,) each, NaN where a record has no place."""
        placed = np.isfinite(mean) & np.isfinite(variance)
        if not placed.any():
            return cls(0.0, 0.0, 1.0)
        x, y = variance[placed], mean[placed]
        width = max(float(np.ptp(x)), float(np.ptp(y)))
        return cls(float(x.min() + x.max()) / 2, float(y.min() + y.max()) / 2, width / 2 or 1.0)

    @classmethod
    def stored(cls, value: Any, fresh: MapView) -> MapView:
        """The view kept with a data set if it still fits, else the fresh one: a new view means new vectors for all."""
        try:
            kept = cls(*(float(number) for number in value))
        except (TypeError, ValueError):
            return fresh
        near = abs(kept.x - fresh.x) <= fresh.depth / 2 and abs(kept.y - fresh.y) <= fresh.depth / 2
        return kept if near and 0.5 <= kept.depth / fresh.depth <= 2 else fresh

    def json(self) -> list[float]:
        """As JSON values."""
        return [self.x, self.y, self.depth]


class Strings(Sequence[str]):
    """A column of strings, of which some become objects when they are asked for: a million at once take 70 MB."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        given: Any = self._column[place]
        found: str | list[str] = given.to_pylist() if isinstance(place, slice) else given.as_py()
        return found

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.parts())

    def parts(self) -> Iterator[list[str]]:
        """All of them, as many at a time as may be objects at once."""
        for start in range(0, len(self), _ROWS):
            yield self[start : start + _ROWS]

    @property
    def repeat(self) -> bool:
        """Whether one of them is there twice."""
        different: int = pc.count_distinct(self._column, mode="all").as_py()
        return different < len(self)


class Payload:
    """The metadata and vectors of a map's records, by row.

    Args:
        data_map: the map.
        reviewers: whom to assign records to; each record to `overlap` of them.
        overlap: reviewers a record.
        mixed: draw the mixed sample of a blind review.
        audit: how many records to draw at random, in a review of any kind.
        drawn: the largest random number of those drawn earlier, who stay drawn; 0 where none were.
        view: of an earlier push, as stored.

    Raises:
        InputError: an id or a value that Argilla would lose, with the record's id.
    """

    def __init__(
        self,
        data_map: DataMap,
        *,
        reviewers: Sequence[str] = (),
        overlap: int = 1,
        mixed: bool = False,
        audit: int = 0,
        drawn: float = 0.0,
        view: Any = None,
    ) -> None:
        ids: Any = data_map.table(("id",)).column("id")
        self.ids = Strings(ids.cast(pa.string()))
        self._check_ids()
        release_memory()
        table = data_map.table((*_FLOATS, _UNREAD.column))
        self._floats = {name: self._float(table, BY_COLUMN[name]) for name in _FLOATS}
        without = self._float(table, _UNREAD) if _UNREAD.column in table.schema.names else None
        del table
        table = data_map.table(("ratings", "issues", *_TERMS))
        # Columns of Arrow, of which a value becomes an object when its record is sent: all objects at once are large.
        self._terms: dict[str, Any] = {name: table.column(name) for name in _TERMS}
        self._ratings = table.column("ratings")
        mean, variance = self._floats["mean"], self._floats["variance"]
        self.view = MapView.stored(view, MapView.of(mean, variance))
        self._placed = np.isfinite(mean) & np.isfinite(variance)
        self._lists: dict[str, list[Any]] = {}
        if mixed:
            self._lists["sample"] = mixed_sample(self.ids, self._terms["flags"].to_pylist(), self._floats["p_wrong"])
            self._lists["queue"] = [part and MIXED for part in self._lists["sample"]]
        self._lists |= _origins(data_map, [name for name in ORIGINS if name != "models" or not mixed])
        if audit or drawn:
            self._lists["audit"] = random_sample(self.ids, audit, drawn)
        if reviewers:
            self._lists["reviewer"] = [_assign(record_id, reviewers, overlap) for record_id in self.ids]
        if "issues" in table.schema.names:
            found: Any = table.column("issues")
            if np.asarray(pc.fill_null(pc.list_value_length(found), 0)).any():
                self._terms["issues"] = found
        if without is not None:
            differs = np.isfinite(without) & (without != self._floats["p_wrong"])
            if differs.any():
                self._lists[_UNREAD.column] = [float(p) if other else None for p, other in zip(without, differs, strict=True)]

        release_memory()

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def id_set(self) -> frozenset[str]:
        """The records' ids, for what is seldom asked: a set of a million takes some 50 MB."""
        return frozenset(self.ids)

    def _check_ids(self) -> None:
        seen: set[str] | None = set() if self.ids.repeat else None
        for record_id in self.ids:
            if not record_id or not record_id.strip():
                raise InputError("a record has an empty id", hint="name the column of the ids with `id_field`, or leave it out")
            if len(record_id) > _LONGEST_ID:
                raise InputError(
                    f"the id {record_id[:60]!r}... is {len(record_id)} characters long; Argilla's index loses such a record"
                )
            if seen is None:
                continue
            if record_id in seen:
                raise InputError(f"the id {record_id!r} is given to two records; Argilla would keep one of them")
            seen.add(record_id)

    def _float(self, table: pa.Table, prop: Property) -> npt.NDArray[np.float64]:
        values = table.column(prop.column).to_numpy().astype(np.float64)
        # A null is absent; an infinite number, or one that float32 cannot hold, would vanish from Argilla's index.
        with np.errstate(invalid="ignore", over="ignore"):
            singles = values.astype(np.float32)
            bad = ~np.isnan(values) & ~((singles >= np.float32(prop.low)) & (singles <= np.float32(prop.high)))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"record {self.ids[row]!r}: {prop.column} is {float(values[row])!r}, which is not between {prop.low:g} and "
                f"{prop.high:g}",
                hint="look at the record's scores",
            )
        return values

    @property
    def drawn(self) -> npt.NDArray[np.bool_]:
        """Shape (n,): the records of the random sample and of the mixed sample."""
        lists = [self._lists[name] for name in ("audit", "sample") if name in self._lists]
        return np.array([any(value is not None for value in values) for values in zip(*lists, strict=True)] or [False], bool)

    @property
    def columns(self) -> list[str]:
        """The columns of the metadata properties that these records need."""
        return [p.column for p in PROPERTIES if p.always or p.column in self._lists or p.column in self._terms]

    def metadata(self, row: int) -> dict[str, Any]:
        """One record's metadata by property name; what it does not have is left out."""
        found: dict[str, Any] = {}
        for name, values in self._floats.items():
            number = float(values[row])
            if number == number:
                found[BY_COLUMN[name].name] = number
        for name, terms in self._terms.items():
            if value := terms[row].as_py():
                found[BY_COLUMN[name].name] = value
        ratings = self._ratings[row].as_py()
        if ratings is not None and any(rating is not None for rating in ratings):
            found[BY_COLUMN["label"].name] = orjson.dumps(ratings).decode()
        for name, column in self._lists.items():
            if column[row]:
                found[BY_COLUMN[name].name] = column[row]
        return found

    def vector(self, row: int) -> list[float] | None:
        """One record's place on the map, shape (3,); None where it has none."""
        if not self._placed[row]:
            return None
        mean, variance = float(self._floats["mean"][row]), float(self._floats["variance"][row])
        return [variance - self.view.x, mean - self.view.y, self.view.depth]


def pushed_map(data_map: DataMap, earlier: Any = None) -> dict[str, Any]:
    """Which map was pushed, and when first: kept with the data set, for the audit trail.

    Args:
        data_map: the map.
        earlier: what an earlier push noted.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in ("id", *_FLOATS):
        column: Any = data_map.table((name,)).column(name)
        # As the whole list would be written.
        for start in range(0, max(len(column), 1), _ROWS):
            part = repr(column.slice(start, _ROWS).to_pylist())[1:-1]
            digest.update(f"{', ' if start else '['}{part}".encode("utf-8", "surrogatepass"))
        digest.update(b"]")
    found = digest.hexdigest()
    if isinstance(earlier, dict) and earlier.get("fingerprint") == found:
        return earlier
    learned = (data_map.summary.get("learned_from") or {}).get("answers")
    taught = {"answers": learned} if isinstance(learned, int) else {}
    return {"fingerprint": found, "at": datetime.now(timezone.utc).isoformat(timespec="seconds"), **taught}


def _assign(record_id: str, reviewers: Sequence[str], overlap: int) -> list[str]:
    """The reviewers of one record: the same whenever it is asked, even when other records or reviewers come."""
    return sorted(sorted(reviewers, key=lambda who: _hash(f"{who}\0{record_id}"))[:overlap])


def _origins(data_map: DataMap, columns: Sequence[str]) -> dict[str, list[str | None]]:
    """Where each record comes from, as terms, by column: of those columns that part the records into groups."""
    found: dict[str, list[str | None]] = {}
    for column in columns:
        if column not in data_map.schema.names:
            continue
        # One after the other: each is large.
        given: Any = data_map.table((column,)).column(column)
        # Each value once, however many records have it.
        terms: dict[str, str] = {}
        values: list[str | None] = []
        for start in range(0, len(given), _ROWS):
            part = given.slice(start, _ROWS).to_pylist()
            if column == "models":
                part = [" / ".join(sorted(two)) if two and len(two) == 2 and all(two) else None for two in part]
            values += [None if value is None else terms.setdefault(str(value), str(value)) for value in part]
        if 2 <= len(terms) <= len(values) / 3:
            terms = {name: encode_term(name[:_LONGEST_TERM]) for name in terms}
            found[column] = [None if value is None else terms[value] for value in values]
    return found


def random_number(record_id: str) -> float:
    """The record's number for the random sample, above 0 and at most 1: the same on every machine and at every push.

    The n records with the smallest numbers are a simple random sample, a larger sample holds every smaller one, and so does
    one of more records (permanent random numbers: Ohlsson, "Coordination of samples using permanent random numbers", 1995).
    """
    return (int.from_bytes(_hash(f"audit\0{record_id}")[:6], "big") + 1) / 2**48


def random_sample(ids: Sequence[str], audit: int, drawn: float = 0.0) -> list[float | None]:
    """The random numbers of the `audit` records with the smallest, and of all up to `drawn`; None for the others."""
    numbers = [random_number(record_id) for record_id in ids]
    most = max([drawn, *sorted(numbers)[:audit][-1:]])
    return [number if number <= most else None for number in numbers]


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def mixed_sample(
    ids: Sequence[str], flags: Sequence[Sequence[str] | None], p_wrong: npt.NDArray[np.float64]
) -> list[str | None]:
    """The part of the mixed sample that each record plays; None for most.

    Suspects are the records flagged as likely wrong or contested; as many others are drawn by a hash of their ids, so that a
    reviewer who knows the queue knows nothing about a record; a tenth are controls, whose labels are the surest.
    """
    suspect = np.array([bool(SUSPECT & set(found or ())) for found in flags], dtype=bool)
    part: list[str | None] = ["suspect" if is_suspect else None for is_suspect in suspect]
    wanted = max(int(suspect.sum()), min(20, len(ids)))
    sure = [int(row) for row in np.argsort(np.where(np.isnan(p_wrong), np.inf, p_wrong), kind="stable")]
    controls = [row for row in sure if not suspect[row] and p_wrong[row] <= 0.05][: max(5, wanted // 5)]
    for row in controls:
        part[row] = "control"
    others = sorted((row for row in range(len(ids)) if part[row] is None), key=lambda row: _hash(ids[row]))
    for row in others[:wanted]:
        part[row] = "unflagged"
    return part
