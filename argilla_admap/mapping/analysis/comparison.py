"""Two maps of the same records: two judges, or two dates. Who moved, and how far the two agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from argilla_admap.errors import InputError
from argilla_admap.mapping.analysis.bias import measure_bias
from argilla_admap.mapping.analysis.selection import arrow_lists, flag_masks, frame_numbers, region_codes
from argilla_admap.mapping.data.arrays import (
    Bools,
    Floats,
    Ints,
    UInts,
    flat_numbers,
    groups_by_size,
    list_sizes,
    offsets_of,
    owners_of,
)
from argilla_admap.mapping.data.text_features import fingerprints
from argilla_admap.mapping.regions.coordinates import REGIONS
from argilla_admap.mapping.regions.record_flags import LIKELY_WRONG
from argilla_admap.tables import release_memory

if TYPE_CHECKING:
    from argilla_admap.mapping.data_map import DataMap

__all__ = ["MOVED_COLUMNS", "Comparison", "cohen_kappa", "compare_frames", "compare_maps", "rank_correlation"]

#: What the answer calls records without a region.
UNPLACED = "none"
_TOP = 100
#: Records whose completions are looked at together.
_ROWS = 1 << 16
_COMPARED = ("region", "mean", "variance", "p_wrong")
_OF_FRAME = ("id", *_COMPARED, "flags", "scores")
MOVED_COLUMNS = ("id", *(f"{name}_{side}" for name in _COMPARED for side in "ab"), "distance")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two maps, record by record.

    Attributes:
        answer: JSON values.
        moved: the records whose region changed, those that moved farthest first; columns `MOVED_COLUMNS`.
    """

    answer: dict[str, Any]
    moved: pd.DataFrame


def compare_maps(a: DataMap, b: DataMap) -> Comparison:
    """Compares two maps, and how each one's judge is swayed.

    Raises:
        InputError: no record is in both.
    """
    found = compare_frames(*(_with_texts(one) for one in (a, b)))
    release_memory()
    biases = {}
    for side, data_map in (("a", a), ("b", b)):
        biases[side] = measure_bias(data_map.stream()).as_json()
        release_memory()
    thresholds = {side: m.thresholds.as_json() if m.thresholds else None for side, m in (("a", a), ("b", b))}
    return Comparison({**found.answer, "thresholds": thresholds, "bias": biases}, found.moved)


def compare_frames(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    """Compares the frames of two maps, joined by id.

    Args:
        a, b: with the columns `id`, `region`, `mean`, `variance`, `p_wrong`, `flags`; where there are `scores`, the orders of
            completions are compared, and where there are `texts` (hashes), records of one id and other texts are left out.
    Raises:
        InputError: an id occurs twice in one of them, or no record is in both.
    """
    ids: list[Any] = [pa.array(frame["id"]) for frame in (a, b)]
    for side, frame, own in zip(("first", "second"), (a, b), ids, strict=True):
        hashed = np.sort(fingerprints(own))
        # Only where two hashes are equal are the ids themselves compared, which takes much memory.
        if (hashed[1:] == hashed[:-1]).any() and len(twice := frame["id"][frame["id"].duplicated()]):
            raise InputError(
                f"the {side} map has the id {twice.iloc[0]!r} more than once", hint="make ids unique, and map again"
            )
    found: Any = pc.fill_null(pc.index_in(ids[0], ids[1], skip_nulls=False), -1)
    places = np.asarray(found, np.int64)
    rows = np.flatnonzero(places >= 0)
    common = len(rows)
    if not common:
        hint = "make both from the same data, with the same ids"
        raise InputError("the two maps have no record id in common", hint=hint)
    if "texts" in a and "texts" in b:
        rows = rows[a["texts"].to_numpy()[rows] == b["texts"].to_numpy()[places[rows]]]
        if not len(rows):
            hint = "compare maps of the same data, with the completions in the same order"
            raise InputError(f"the {common:,} ids that both maps have belong to other texts in each", hint=hint)
    left, right = _rows_of(a, rows), _rows_of(b, places[rows])
    del ids, found
    release_memory()
    regions = _regions(left), _regions(right)
    counts = np.zeros((4, 4), np.int64)
    np.add.at(counts, regions, 1)
    names = (*REGIONS, UNPLACED)
    moved = _moved(left, right, regions)
    answer = {
        "records_a": len(a),
        "records_b": len(b),
        "common": len(left),
        "only_a": len(a) - common,
        "only_b": len(b) - common,
        "other_texts": common - len(rows),
        "regions": {
            "same": int(np.trace(counts)),
            "moved": int(counts.sum() - np.trace(counts)),
            "agreement": float(np.trace(counts) / counts.sum()),
            "kappa": cohen_kappa(*regions),
            "transitions": {row: {col: int(counts[i, j]) for j, col in enumerate(names)} for i, row in enumerate(names)},
        },
        "mean": _numeric(frame_numbers(left, "mean"), frame_numbers(right, "mean")),
        "variance": _numeric(frame_numbers(left, "variance"), frame_numbers(right, "variance")),
        "completions": _orders(left, right),
        "p_wrong": _doubts(frame_numbers(left, "p_wrong"), frame_numbers(right, "p_wrong")),
        "flags": _flags(left, right),
    }
    return Comparison(answer, moved)


def _with_texts(data_map: DataMap) -> pd.DataFrame:
    frame = data_map.columns(_OF_FRAME)
    codes: Any = region_codes(frame)
    frame["region"] = pd.Categorical.from_codes(codes, pd.Index(REGIONS))
    frame["texts"] = _text_keys(data_map)
    release_memory()
    return frame


def _rows_of(frame: pd.DataFrame, rows: Ints) -> pd.DataFrame:
    """The rows at these positions; the frame itself where that is all of it as it is."""
    whole = len(rows) == len(frame) and bool((rows == np.arange(len(rows))).all())
    return frame if whole else frame.iloc[rows].reset_index(drop=True)


def _text_keys(data_map: DataMap) -> UInts:
    """A hash of each record's prompt and completions, in their order; shape (n,)."""
    keys = [np.zeros(0, np.uint64)]
    for batch in data_map.stream().columns(("prompt", "completions")):
        lists: Any = batch.column("completions")
        offsets = offsets_of(list_sizes(lists))
        owner = owners_of(offsets)
        place = np.arange(len(owner)) - offsets[owner]
        key = fingerprints(batch.column("prompt"))
        np.add.at(key, owner, fingerprints(lists.flatten()) * (2 * place + 3).astype(np.uint64))
        keys.append(key)
    return np.concatenate(keys)


def rank_correlation(x: Floats, y: Floats) -> float | None:
    """Spearman's rho of the pairs that are both numbers, -1..1; None where one side does not vary."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 2 or np.ptp(x[both]) == 0 or np.ptp(y[both]) == 0:
        return None
    return float(spearmanr(x[both], y[both]).statistic)


def cohen_kappa(a: Ints, b: Ints) -> float | None:
    """Cohen's kappa: agreement beyond chance, at most 1; None where chance alone explains all."""
    one_class = len(np.union1d(a, b)) == 1
    return None if one_class else float(cohen_kappa_score(a, b))


def _regions(frame: pd.DataFrame) -> Ints:
    codes = region_codes(frame)
    return np.where(codes < 0, len(REGIONS), codes)


def _numeric(x: Floats, y: Floats) -> dict[str, float | int | None]:
    both = np.isfinite(x) & np.isfinite(y)
    change = y[both] - x[both]
    return {
        "both": int(both.sum()),
        "rank_correlation": rank_correlation(x, y),
        "mean_change": float(change.mean()) if len(change) else None,
        "mean_absolute_change": float(np.abs(change).mean()) if len(change) else None,
    }


def _orders(left: pd.DataFrame, right: pd.DataFrame) -> dict[str, float | int | None]:
    """How often the two judges order a pair of completions of one prompt the same way."""
    nothing: dict[str, float | int | None] = {"records": 0, "pairs": 0, "same_order": None, "same_order_or_tied": None}
    if "scores" not in left.columns or "scores" not in right.columns:
        return nothing
    records = same = opposite = pairs = 0
    for start in range(0, len(left), _ROWS):
        rows = slice(start, start + _ROWS)
        (x, first), (y, second) = (_ragged(frame["scores"].iloc[rows]) for frame in (left, right))
        alike = (first == second) & (first >= 2)
        records += int(alike.sum())
        x, y = x[np.repeat(alike, first)], y[np.repeat(alike, second)]
        for group in groups_by_size(offsets_of(first[alike])):
            for i, j in combinations(range(group.k), 2):
                one = x[group.items[:, i]] - x[group.items[:, j]]
                two = y[group.items[:, i]] - y[group.items[:, j]]
                known = np.isfinite(one) & np.isfinite(two)
                product = np.sign(one[known]) * np.sign(two[known])
                pairs += int(known.sum())
                same += int((product > 0).sum())
                opposite += int((product < 0).sum())
    if not records:
        return nothing
    return {
        "records": records,
        "pairs": pairs,
        "same_order": same / (same + opposite) if same + opposite else None,
        "same_order_or_tied": (pairs - opposite) / pairs if pairs else None,
    }


def _ragged(column: pd.Series[Any]) -> tuple[Floats, Ints]:
    lists = arrow_lists(column, pa.float64())
    sizes = list_sizes(lists)
    return flat_numbers(lists, sizes), sizes


def _doubts(x: Floats, y: Floats) -> dict[str, Any]:
    both = np.isfinite(x) & np.isfinite(y)
    suspect_a, suspect_b = x >= LIKELY_WRONG, y >= LIKELY_WRONG
    top = min(_TOP, int(both.sum()))
    return {
        **_numeric(x, y),
        "suspects_a": int(suspect_a.sum()),
        "suspects_b": int(suspect_b.sum()),
        "suspects_both": int((suspect_a & suspect_b).sum()),
        "cleared": int((suspect_a & ~suspect_b & both).sum()),
        "newly_suspect": int((suspect_b & ~suspect_a & both).sum()),
        "top": top,
        "top_overlap": len(np.intersect1d(_highest(x, both, top), _highest(y, both, top))),
    }


def _highest(values: Floats, known: Bools, count: int) -> Ints:
    places = np.flatnonzero(known)
    return places[np.argsort(-values[places], kind="stable")[:count]]


def _flags(left: pd.DataFrame, right: pd.DataFrame) -> dict[str, Mapping[str, int]]:
    a, b = flag_masks(left), flag_masks(right)
    none = np.zeros(len(left), bool)
    return {
        name: {
            "a": int(a.get(name, none).sum()),
            "b": int(b.get(name, none).sum()),
            "both": int((a.get(name, none) & b.get(name, none)).sum()),
        }
        for name in sorted({*a, *b})
    }


def _moved(left: pd.DataFrame, right: pd.DataFrame, regions: tuple[Ints, Ints]) -> pd.DataFrame:
    """The records of another region, farthest first: distance in standard deviations of the first map's axes."""
    moved = regions[0] != regions[1]
    square = np.zeros(len(left))
    for name in ("mean", "variance"):
        x, y = frame_numbers(left, name), frame_numbers(right, name)
        if name == "variance":
            x, y = np.sqrt(x), np.sqrt(y)
        spread = float(np.nanstd(x)) if np.isfinite(x).any() else 1.0
        square += np.nan_to_num(np.square((y - x) / (spread or 1.0)))
    out = pd.DataFrame({"id": left["id"][moved]})
    for name in _COMPARED:
        out[f"{name}_a"], out[f"{name}_b"] = left[name][moved], right[name][moved]
    out["distance"] = np.sqrt(square)[moved]
    ordered: pd.DataFrame = out.sort_values(["distance", "id"], ascending=[False, True], ignore_index=True)
    return ordered
