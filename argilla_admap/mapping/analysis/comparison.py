"""Two maps of the same records: two judges, or two dates. Who moved, and how far the two agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
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

if TYPE_CHECKING:
    from argilla_admap.mapping.data_map import DataMap

__all__ = ["MOVED_COLUMNS", "Comparison", "cohen_kappa", "compare_frames", "compare_maps", "rank_correlation"]

#: What the answer calls records without a region.
UNPLACED = "none"
_TOP = 100
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
    found = compare_frames(*(one.columns(_OF_FRAME).assign(texts=_text_keys(one)) for one in (a, b)))
    biases = {side: measure_bias(data_map.stream()).as_json() for side, data_map in (("a", a), ("b", b))}
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
    for side, frame in (("first", a), ("second", b)):
        twice = frame["id"][frame["id"].duplicated()]
        if len(twice):
            raise InputError(
                f"the {side} map has the id {twice.iloc[0]!r} more than once", hint="make ids unique, and map again"
            )
    places = pd.Index(b["id"]).get_indexer(pd.Index(a["id"]))
    shared = places >= 0
    if not shared.any():
        hint = "make both from the same data, with the same ids"
        raise InputError("the two maps have no record id in common", hint=hint)
    left, right = a[shared].reset_index(drop=True), b.iloc[places[shared]].reset_index(drop=True)
    other = np.zeros(len(left), bool)
    if "texts" in left and "texts" in right:
        other = left["texts"].to_numpy() != right["texts"].to_numpy()
        if other.all():
            hint = "compare maps of the same data, with the completions in the same order"
            raise InputError(f"the {len(left):,} ids that both maps have belong to other texts in each", hint=hint)
        left, right = left[~other].reset_index(drop=True), right[~other].reset_index(drop=True)
    regions = _regions(left), _regions(right)
    counts = np.zeros((4, 4), np.int64)
    np.add.at(counts, regions, 1)
    names = (*REGIONS, UNPLACED)
    moved = _moved(left, right, regions)
    answer = {
        "records_a": len(a),
        "records_b": len(b),
        "common": len(left),
        "only_a": len(a) - int(shared.sum()),
        "only_b": len(b) - int(shared.sum()),
        "other_texts": int(other.sum()),
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


def _text_keys(data_map: DataMap) -> UInts:
    """A hash of each record's prompt and completions, in their order; shape (n,)."""
    keys = [np.zeros(0, np.uint64)]
    for batch in data_map.stream().batches():
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
    (x, first), (y, second) = _ragged(left["scores"]), _ragged(right["scores"])
    alike = (first == second) & (first >= 2)
    if not alike.any():
        return nothing
    x, y = x[np.repeat(alike, first)], y[np.repeat(alike, second)]
    same = opposite = pairs = 0
    for group in groups_by_size(offsets_of(first[alike])):
        for i, j in combinations(range(group.k), 2):
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
    out = pd.DataFrame({"id": left["id"]})
    for name in _COMPARED:
        out[f"{name}_a"], out[f"{name}_b"] = left[name], right[name]
    out["distance"] = np.sqrt(square)
    out = out.loc[moved, list(MOVED_COLUMNS)]
    ordered: pd.DataFrame = out.sort_values(["distance", "id"], ascending=[False, True], ignore_index=True)
    return ordered
