"""Two maps of the same records: two judges, or two dates. Who moved, and how far the two agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from argilla_admap.errors import InputError
from argilla_admap.mapping.analysis.bias import measure_bias
from argilla_admap.mapping.analysis.selection import flag_masks, region_codes
from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, groups_by_size, offsets_of
from argilla_admap.mapping.regions.coordinates import REGIONS

if TYPE_CHECKING:
    from argilla_admap.mapping.data_map import DataMap

__all__ = ["MOVED_COLUMNS", "Comparison", "cohen_kappa", "compare_frames", "compare_maps", "rank_correlation"]

NO_REGION = "none"
#: P(wrong) from here on reads "more probably wrong than right".
_SUSPECT = 0.5
_TOP = 100
MOVED_COLUMNS = (
    "id",
    "region_a",
    "region_b",
    "mean_a",
    "mean_b",
    "variance_a",
    "variance_b",
    "p_wrong_a",
    "p_wrong_b",
    "distance",
)


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
    found = compare_frames(a.frame, b.frame)
    biases = {side: measure_bias(data_map.stream()).as_json() for side, data_map in (("a", a), ("b", b))}
    thresholds = {side: m.thresholds.as_json() if m.thresholds else None for side, m in (("a", a), ("b", b))}
    return Comparison({**found.answer, "thresholds": thresholds, "bias": biases}, found.moved)


def compare_frames(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    """Compares the frames of two maps, joined by id.

    Args:
        a, b: with the columns `id`, `region`, `mean`, `variance`, `p_wrong`, `flags` and, where the orders of completions are
            to be compared, `scores`.
    Raises:
        InputError: an id occurs twice in one of them, or no id is in both.
    """
    for side, frame in (("first", a), ("second", b)):
        twice = frame["id"][frame["id"].duplicated()]
        if len(twice):
            raise InputError(f"the {side} map has the id {twice.iloc[0]!r} more than once; ids must be unique to be joined")
    places = pd.Index(b["id"]).get_indexer(pd.Index(a["id"]))
    shared = places >= 0
    if not shared.any():
        raise InputError("the two maps have no record id in common; make both from the same data, or give ids with --id-field")
    left, right = a[shared].reset_index(drop=True), b.iloc[places[shared]].reset_index(drop=True)
    regions = _regions(left), _regions(right)
    counts = np.zeros((4, 4), np.int64)
    np.add.at(counts, regions, 1)
    names = (*REGIONS, NO_REGION)
    moved = _moved(left, right, regions)
    answer = {
        "records_a": len(a),
        "records_b": len(b),
        "common": len(left),
        "only_a": len(a) - len(left),
        "only_b": len(b) - len(left),
        "regions": {
            "same": int(np.trace(counts)),
            "moved": int(counts.sum() - np.trace(counts)),
            "agreement": float(np.trace(counts) / counts.sum()),
            "kappa": cohen_kappa(counts),
            "transitions": {row: {col: int(counts[i, j]) for j, col in enumerate(names)} for i, row in enumerate(names)},
        },
        "mean": _numeric(_column(left, "mean"), _column(right, "mean")),
        "variance": _numeric(_column(left, "variance"), _column(right, "variance")),
        "completions": _orders(left, right),
        "p_wrong": _doubts(_column(left, "p_wrong"), _column(right, "p_wrong")),
        "flags": _flags(left, right),
    }
    return Comparison(answer, moved)


def rank_correlation(x: Floats, y: Floats) -> float | None:
    """Spearman's rho of the pairs that are both numbers, -1..1; None where one side does not vary.

    Source: Spearman, Am. J. Psychology 15 (1904) 72-101; ties get their mean rank.
    """
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 2:
        return None
    ranks = [rankdata(values[both]) for values in (x, y)]
    first, second = (values - values.mean() for values in ranks)
    scale = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / scale) if scale > 0 else None


def cohen_kappa(counts: Ints) -> float | None:
    """Agreement of two assignments beyond chance, at most 1; None where chance alone explains all.

    Args:
        counts: shape (c, c), records by the first's class (rows) and the second's.
    Source: Cohen, Educational and Psychological Measurement 20 (1960) 37-46.
    """
    shares = counts / counts.sum()
    chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return float((np.trace(shares) - chance) / (1 - chance)) if chance < 1 else None


def _column(frame: pd.DataFrame, name: str) -> Floats:
    values: Floats = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return values


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
    """How often the two judges order a pair of completions of one prompt alike."""
    nothing: dict[str, float | int | None] = {"records": 0, "pairs": 0, "same_order": None, "same_order_or_tied": None}
    if "scores" not in left.columns or "scores" not in right.columns:
        return nothing
    (x, first), (y, second) = _ragged(left["scores"].tolist()), _ragged(right["scores"].tolist())
    alike = (first == second) & (first >= 2)
    if not alike.any():
        return nothing
    x, y = x[np.repeat(alike, first)], y[np.repeat(alike, second)]
    same = opposite = pairs = 0
    for group in groups_by_size(offsets_of(first[alike])):
        for i in range(group.k):
            for j in range(i + 1, group.k):
                one = x[group.items[:, i]] - x[group.items[:, j]]
                two = y[group.items[:, i]] - y[group.items[:, j]]
                known = np.isfinite(one) & np.isfinite(two)
                product = np.sign(one[known]) * np.sign(two[known])
                pairs += int(known.sum())
                same += int((product > 0).sum())
                opposite += int((product < 0).sum())
    return {
        "records": int(alike.sum()),
        "pairs": pairs,
        "same_order": same / (same + opposite) if same + opposite else None,
        "same_order_or_tied": (pairs - opposite) / pairs if pairs else None,
    }


def _ragged(lists: Sequence[Any]) -> tuple[Floats, Ints]:
    sizes = np.array([0 if value is None else len(value) for value in lists], np.int64)
    full = [np.asarray(value, dtype=np.float64) for value in lists if value is not None and len(value)]
    return (np.concatenate(full) if full else np.zeros(0)), sizes


def _doubts(x: Floats, y: Floats) -> dict[str, Any]:
    both = np.isfinite(x) & np.isfinite(y)
    suspect_a, suspect_b = x >= _SUSPECT, y >= _SUSPECT
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
        x, y = _column(left, name), _column(right, name)
        if name == "variance":
            x, y = np.sqrt(x), np.sqrt(y)
        spread = float(np.nanstd(x)) if np.isfinite(x).any() else 1.0
        square += np.nan_to_num(np.square((y - x) / (spread or 1.0)))
    out = pd.DataFrame({"id": left["id"]})
    for name in ("region", "mean", "variance", "p_wrong"):
        out[f"{name}_a"], out[f"{name}_b"] = left[name], right[name]
    out["distance"] = np.sqrt(square)
    out = out.loc[moved, list(MOVED_COLUMNS)]
    ordered: pd.DataFrame = out.sort_values(["distance", "id"], ascending=[False, True], ignore_index=True)
    return ordered
