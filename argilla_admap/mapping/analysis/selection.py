"""A training subset of a map: by region, P(wrong), quota and diversity, with a count of what was dropped and why."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from argilla_admap.distributed import in_order
from argilla_admap.errors import InputError
from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, masks_of_names, parts_of
from argilla_admap.mapping.data.observations import OTHER_JUDGE
from argilla_admap.mapping.regions.coordinates import REGIONS
from argilla_admap.mapping.regions.record_flags import FLAGS
from argilla_admap.mapping.regions.sources import cramers_v
from argilla_admap.scoring.output import second_looks
from argilla_admap.tables import RecordStream

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Rules", "Selection", "arrow_lists", "chosen_stream", "flag_masks", "map_vectors", "region_codes", "select_records"]

#: The diverse subset is chosen among the best this many times the wanted number.
POOL = 4
#: Candidates that are compared with each other at once: their similarities fit the processor's cache.
PART = 512
#: Ids that are hashed at a time.
_ROWS = 1 << 16
NO_VALUE = "(none)"


@dataclass(frozen=True, slots=True)
class Rules:
    """Which records are wanted.

    Attributes:
        regions: of these regions; any when empty.
        max_p_wrong: P(wrong) of this or less, 0..1.
        without_flags: with none of these flags.
        agreed_by: whose label so many judges of the map agree with.
        fraction: at most this share of the map's records, in (0, 1].
        stratify: a column whose mix in the map is kept.
        seed: of the order in which equal records are taken, and of the blocks of the diverse choice.
    """

    regions: tuple[str, ...] = ()
    max_p_wrong: float | None = None
    without_flags: tuple[str, ...] = ()
    agreed_by: int | None = None
    fraction: float | None = None
    stratify: str | None = None
    seed: int = 0

    def columns(self, names: Sequence[str]) -> list[str]:
        """Of a map's columns, those that the rules look at; all where they name one that is not there."""
        wanted = {"id", "region", "p_wrong", "mean", "flags", self.stratify or "source"}
        if self.agreed_by is not None:
            wanted |= {"ratings", *(name for name in names if name == "scores" or name.startswith("scores."))}
        return [name for name in names if name in wanted or self.stratify not in (None, *names)]

    def __post_init__(self) -> None:
        for region in self.regions:
            if region not in REGIONS:
                raise InputError(f"there is no region {region!r}", option="region", hint=f"choose from {', '.join(REGIONS)}")
        for flag in self.without_flags:
            if flag not in FLAGS:
                raise InputError(f"there is no flag {flag!r}", option="without_flag", hint=f"choose from {', '.join(FLAGS)}")
        if self.max_p_wrong is not None and not 0 <= self.max_p_wrong <= 1:
            raise InputError(f"{self.max_p_wrong} is no probability, which is from 0 to 1", option="max_p_wrong")
        if self.agreed_by is not None and self.agreed_by < 1:
            raise InputError(f"{self.agreed_by} is no number of judges", option="agreed_by", hint="give 1 or more")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise InputError(f"{self.fraction} is no share of the map's records above 0 and up to 1", option="fraction")


#: By value of a column: how many records have it, and how many of them were kept.
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, and what was not.

    Attributes:
        chosen: shape (n,).
        wanted: how many were asked for.
        dropped: records by the first reason that dropped them.
        by_region, by_stratum, by_flag: what was kept of each.
        stratum: the column of `by_stratum`.
        association: Cramér's V of being chosen and the stratum, 0..1: near 0, the choice keeps the mix.
    """

    chosen: Bools
    wanted: int
    dropped: Mapping[str, int]
    by_region: Counts
    by_stratum: Counts
    by_flag: Counts
    stratum: str
    association: float | None

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        n, k = len(self.chosen), int(self.chosen.sum())
        return {
            "records": n,
            "selected": k,
            "share": k / n if n else 0.0,
            "wanted": self.wanted,
            "dropped": dict(self.dropped),
            "regions": self.by_region,
            self.stratum: self.by_stratum,
            "flags": self.by_flag,
            "association": self.association,
        }


def select_records(frame: pd.DataFrame, rules: Rules, vectors: Floats | None = None) -> Selection:
    """Chooses the records.

    The rules apply in this order: region, P(wrong), flags, judges, number. Where more records pass than are wanted, the
    highest means are taken; with `vectors`, a diverse choice of them. Equal records are taken in an order drawn from their
    ids. Region high_avg alone is the published selection, the upper half of the two thirds of lower variance: a third of the
    data.

    Args:
        frame: a map's, or one with its columns `id`, `region`, `p_wrong`, `mean`, `flags`.
        rules: see `Rules`.
        vectors: shape (n, d), one for each row of `frame`; rows of zeros or NaN are like no other.
    Raises:
        InputError: no such column, or no P(wrong) in the whole map though a limit to it is asked for.
    Source: Lee et al., arXiv 2505.23114 (the third of high average).
    """
    n = len(frame)
    dropped: dict[str, int] = {}
    left = np.ones(n, bool)

    def drop(reason: str, mask: Bools) -> None:
        nonlocal left
        count = int((left & mask).sum())
        if count:
            dropped[reason] = count
        left = left & ~mask

    region = region_codes(frame)
    p_wrong = frame_numbers(frame, "p_wrong")
    flags = flag_masks(frame)
    if rules.regions:
        drop("no region", region < 0)
        drop("another region", ~np.isin(region, [REGIONS.index(name) for name in rules.regions]))
    if rules.max_p_wrong is not None:
        if n and not np.isfinite(p_wrong).any():
            hint = "leave it out, or see what `admap map` says of it"
            raise InputError("this map has no P(wrong)", option="max_p_wrong", hint=hint)
        drop("P(wrong) unknown", ~np.isfinite(p_wrong))
        drop("P(wrong) too high", np.nan_to_num(p_wrong, nan=0.0) > rules.max_p_wrong)
    for flag in rules.without_flags:
        drop(f"flag {flag}", flags.get(flag, np.zeros(n, bool)))
    if rules.agreed_by is not None:
        asked, agreeing = _agreeing(frame, rules.agreed_by)
        drop(f"scored by fewer than {rules.agreed_by} judges", asked < rules.agreed_by)
        drop(f"agreed by fewer than {rules.agreed_by} judges", agreeing < rules.agreed_by)
    stratum = rules.stratify or "source"
    strata, names = _strata(frame, stratum, required=rules.stratify is not None)
    eligible = int(left.sum())
    target = eligible if rules.fraction is None else round(rules.fraction * n)
    order = _best_first(frame, rules.seed)
    chosen = np.zeros(n, bool)
    order = order[left[order]]
    shares = [(order, target)]
    if rules.stratify is not None:
        wants = quotas(np.bincount(strata, minlength=len(names)), target)
        parts = parts_of(strata[order], len(names))
        shares = [(order[part], int(want)) for part, want in zip(parts, wants, strict=True) if want]
    for best, want in shares:
        chosen[best[:want] if vectors is None else _diverse(best, want, vectors, rules.seed)] = True
    drop("over its quota" if rules.stratify else "over the number", left & ~chosen)

    # Not by a mask each: a column may have as many values as records.
    of_all, of_chosen = (np.bincount(codes, minlength=len(names)).tolist() for codes in (strata, strata[chosen]))

    def counts(masks: Mapping[str, Any]) -> Counts:
        return {name: {"records": int(mask.sum()), "kept": int((mask & chosen).sum())} for name, mask in masks.items()}

    return Selection(
        chosen=chosen,
        wanted=target,
        dropped=dropped,
        by_region=counts({name: region == code for code, name in enumerate(REGIONS)}),
        by_stratum={
            name: {"records": records, "kept": kept} for name, records, kept in zip(names, of_all, of_chosen, strict=True)
        },
        by_flag=counts(flags),
        stratum=stratum,
        association=cramers_v(chosen.astype(np.int64), strata),
    )


def _agreeing(frame: pd.DataFrame, wanted: int) -> tuple[Ints, Ints]:
    """How many judges scored each record, and how many agree with its label, scoring higher what it rates higher; shape (n,).

    Source: removing what several judges doubt cleans best in PrefCleanBench, arXiv 2509.23564.
    """
    every = [name.removeprefix(OTHER_JUDGE) for name in frame.columns if name.startswith(OTHER_JUDGE)]
    # A judge that looked again beside a guide is still one judge.
    judges = [OTHER_JUDGE + name for name in every if name not in second_looks(every)]
    judges = judges if len(judges) > 1 else [name for name in ("scores",) if name in frame.columns]
    if wanted > len(judges):
        has = f"the scores of {len(judges)}" if len(judges) != 1 else "the scores of one judge"
        hint = "score the data with several judges (`model` more than once, a number of `samples`) and map them again"
        raise InputError(f"{wanted} judges cannot agree: this map has {has}", option="agreed_by", hint=hint)
    asked, agreeing = np.zeros(len(frame), np.int64), np.zeros(len(frame), np.int64)
    for name in judges:
        asked += [scores is not None and bool(np.isfinite(np.asarray(scores, np.float64)).sum() > 1) for scores in frame[name]]
        agreeing += [_same_direction(*pair) for pair in zip(frame["ratings"], frame[name], strict=True)]
    return asked, agreeing


def _same_direction(ratings: Any, scores: Any) -> bool:
    """Whether scores rise with ratings: a positive covariance over what has both."""
    if ratings is None or scores is None:
        return False
    label, score = np.asarray(ratings, np.float64), np.asarray(scores, np.float64)
    both = np.isfinite(label) & np.isfinite(score)
    return bool(both.sum() > 1 and ((label[both] - label[both].mean()) @ score[both]) > 1e-9)


def chosen_stream(stream: RecordStream, selection: Selection, engine: str = "local") -> RecordStream:
    """The chosen records of the stream, in its order; the counts of the choice are in its facts under ``selection``.

    Args:
        engine: local, or ray: the records are taken out of their batches on a Ray cluster.
    """

    def parts() -> Iterator[tuple[pa.RecordBatch, Bools]]:
        start = 0
        for batch in stream.batches():
            mask = selection.chosen[start : start + batch.num_rows]
            start += batch.num_rows
            if mask.any():
                yield batch, mask

    def batches() -> Iterator[pa.RecordBatch]:
        return map(_taken, parts()) if engine == "local" else in_order(_taken, parts())

    return RecordStream(batches, stream.schema, {**stream.info, "selection": selection.as_json()})


def _taken(part: tuple[pa.RecordBatch, Bools]) -> pa.RecordBatch:
    return part[0].filter(pa.array(part[1]))


def quotas(sizes: Ints, total: int) -> Ints:
    """How many of each group, so that their mix is kept: the method of the largest remainder.

    Args:
        sizes: shape (g,), records of each group.
        total: to share out, at most the sum of `sizes`.
    Returns:
        shape (g,), never above `sizes`; among equal remainders the first groups get more.
    Source: Hamilton's method of apportionment; Balinski & Young, Fair Representation (1982).
    """
    whole = int(sizes.sum())
    if not whole:
        return np.zeros_like(sizes)
    exact = sizes * (total / whole)
    out = np.floor(exact + 1e-9).astype(np.int64)
    rest = total - int(out.sum())
    out[np.argsort(out - exact, kind="stable")[: max(rest, 0)]] += 1
    return np.asarray(np.minimum(out, sizes))


def facility_location(similarity: Floats, count: int) -> Ints:
    """Positions of `count` items, in the order of choice, that best represent all: greedily, within 1 - 1/e of the optimum.

    The value of a choice is the sum over all items of the similarity to the nearest chosen one.

    Args:
        similarity: shape (n, n), >= 0.
        count: 0..n.
    Source: Nemhauser, Wolsey & Fisher, Mathematical Programming 14 (1978) 265-294 (greedy); Minoux (1978), accelerated greedy:
        a gain only ever shrinks, so an old one is an upper bound.
    """
    gives = np.ascontiguousarray(similarity.T)  # what each item gives to all: a row
    covered = np.zeros(len(gives), gives.dtype)
    bounds = [(-gain, place) for place, gain in enumerate(similarity.sum(axis=0).tolist())]
    heapq.heapify(bounds)
    picked: list[int] = []
    while bounds and len(picked) < count:
        _, place = heapq.heappop(bounds)
        gain = float(np.maximum(gives[place] - covered, 0.0).sum())
        # Not below the next upper bound: no other can gain more (of equal ones the first place counts).
        if not bounds or (-gain, place) <= bounds[0]:
            picked.append(place)
            np.maximum(covered, gives[place], out=covered)
        else:
            heapq.heappush(bounds, (-gain, place))
    return np.array(picked, np.int64)


def _diverse(best: Ints, want: int, vectors: Floats, seed: int) -> Ints:
    """A choice of `want` of the records `best` (best first) that represents the best POOL times as many.

    Parts of a seeded shuffle are chosen from one by one: memory stays bounded, and the choice is nearly as good.
    Source: Mirzasoleiman et al., NeurIPS 2013 (greedy in parts).
    """
    pool = np.random.default_rng(seed).permutation(best[: want * POOL])
    if want >= len(pool):
        return pool
    parts = [pool[start : start + PART] for start in range(0, len(pool), PART)]
    wants = quotas(np.array([len(part) for part in parts], np.int64), want)
    return np.concatenate([part[_representatives(vectors[part], int(k))] for part, k in zip(parts, wants, strict=True)])


def _representatives(vectors: Floats, count: int) -> Ints:
    clean = np.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)
    length = np.linalg.norm(clean, axis=1, keepdims=True)
    unit = np.divide(clean, length, out=np.zeros_like(clean), where=length > 0).astype(np.float32)
    similarity = (1.0 + unit @ unit.T) / 2
    lost = length[:, 0] == 0
    similarity[lost] = similarity[:, lost] = 0.0
    similarity[lost, lost] = 1.0
    return facility_location(similarity, count)


def map_vectors(frame: pd.DataFrame) -> Floats:
    """Vectors of the records' places on the map, shape (n, 3), whose cosine falls with their distance; NaN where none.

    Both axes (the variance as a standard deviation) are scaled to -1..1 about their middle; a third coordinate of 1/2 gives
    records in the middle a direction.
    """
    columns = []
    for values in (np.sqrt(frame_numbers(frame, "variance")), frame_numbers(frame, "mean")):
        low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 1.0)
        columns.append((2 * values - low - high) / ((high - low) or 1.0))
    return np.stack([*columns, np.full(len(frame), 0.5)], axis=1)


def region_codes(frame: pd.DataFrame) -> Ints:
    """Codes into `REGIONS` of the column `region`, -1 where there is none; shape (n,)."""
    codes = np.full(len(frame), -1, np.int64)
    for code, name in enumerate(REGIONS):
        codes[(frame["region"] == name).to_numpy(dtype=bool, na_value=False)] = code
    return codes


def frame_numbers(frame: pd.DataFrame, column: str) -> Floats:
    """A column of a map's frame, NaN where null; shape (n,)."""
    values: Floats = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def _best_first(frame: pd.DataFrame, seed: int) -> Ints:
    """Rows by mean down; equal ones in an order drawn from their ids."""
    import pandas as pd

    key = f"{seed % 10**16:016d}"  # of sixteen bytes, as the hash wants it
    ids, drawn = frame["id"], np.empty(len(frame), np.uint64)
    for start in range(0, len(frame), _ROWS):
        some = ids.iloc[start : start + _ROWS].to_numpy(dtype=object)
        drawn[start : start + _ROWS] = pd.util.hash_array(some, hash_key=key, categorize=False)
    return np.lexsort((drawn, -np.nan_to_num(frame_numbers(frame, "mean"), nan=-np.inf)))


def _strata(frame: pd.DataFrame, column: str, *, required: bool) -> tuple[Ints, tuple[str, ...]]:
    """Codes and names of a column's values, the most frequent first."""
    import pandas as pd

    if column not in frame.columns:
        if required:
            hint = f"the columns are {', '.join(map(str, frame.columns))}"
            raise InputError(f"the map has no column {column!r}", option="stratify", hint=hint)
        return np.zeros(len(frame), np.int64), (NO_VALUE,)
    values = frame[column]
    if len(values) and not np.isscalar(values.iloc[0]) and values.iloc[0] is not None:
        raise InputError(f"the values of {column!r} are lists", option="stratify", hint="name a column with one value a record")
    found, given = pd.factorize(values)
    # The last one is that of code -1, no value.
    words = [*map(str, given.astype(object)), NO_VALUE]
    names = sorted({*words[:-1], *([NO_VALUE] if (found < 0).any() else ())})
    place = {name: code for code, name in enumerate(names)}
    codes = np.array([place.get(word, -1) for word in words], np.int64)[found]
    order = np.argsort(-np.bincount(codes, minlength=len(names)), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[codes]), tuple(str(names[i]) for i in order)


def flag_masks(frame: pd.DataFrame) -> dict[str, Bools]:
    """For each flag that occurs, which records have it."""
    return masks_of_names(arrow_lists(frame["flags"], pa.string()))


def arrow_lists(column: pd.Series[Any], of: pa.DataType) -> Any:
    """A column of lists as one Arrow array, whether a frame holds it as such or as objects."""
    import pandas as pd

    if not isinstance(column.dtype, pd.ArrowDtype):
        return pa.array(column.tolist(), pa.list_(of))
    held: Any = pa.array(column)
    whole = held.combine_chunks() if isinstance(held, pa.ChunkedArray) else held
    return whole.cast(pa.list_(of))
