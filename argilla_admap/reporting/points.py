"""The map's columns as flat arrays: what the page and the plots draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, codes_of, flat_numbers, masks_of_names
from argilla_admap.mapping.data_map import DataMap
from argilla_admap.mapping.regions.coordinates import REGIONS as MAP_REGIONS

__all__ = ["REGIONS", "Points", "gather_points"]

#: Code 0 is "no region".
REGIONS = ("", *MAP_REGIONS)
NO_SOURCE = "(no source)"
_NUMBERS = ("mean", "variance", "p_wrong", "contested", "agreement", "region_confidence")
_MOST_FLAGS = 31


@dataclass(frozen=True, slots=True)
class Points:
    """A map's numbers, in the order of its file. Every array but `scores` and `ratings` has shape (n,).

    Attributes:
        ids: the records' ids.
        numbers: `mean`, `variance`, `p_wrong`, `contested`, `agreement`, `region_confidence`; NaN where there is none.
        region: index into `REGIONS`.
        flags: bit i is set where the record has `flag_names[i]`.
        source: index into `source_names`, the most frequent first.
        k: completions of the record.
        scores, ratings: shape (sum of k,), NaN where absent.
        info: the facts of the map's making.
    """

    ids: pa.ChunkedArray[Any]
    numbers: Mapping[str, Floats]
    region: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.uint32]
    flag_names: tuple[str, ...]
    source: Ints
    source_names: tuple[str, ...]
    k: Ints
    scores: Floats
    ratings: Floats
    info: dict[str, Any]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mapped(self) -> Bools:
        """The records that have a place: both coordinates are numbers."""
        return np.isfinite(self.numbers["mean"]) & np.isfinite(self.numbers["variance"])


def gather_points(data_map: DataMap) -> Points:
    """The numbers of a map."""
    # A few columns at a time: all of them twice, as Arrow's and as these, would be large.
    table: Any = data_map.table(("k", "scores", "ratings"))
    n = table.num_rows
    k = table.column("k").to_numpy().astype(np.int64)
    scores, ratings = (flat_numbers(table.column(name).combine_chunks(), k) for name in ("scores", "ratings"))
    table = data_map.table(("region", "flags", "source"))
    flags = dict(list(masks_of_names(table.column("flags").combine_chunks()).items())[:_MOST_FLAGS])
    bits = np.zeros(n, np.uint32)
    for bit, mask in enumerate(flags.values()):
        bits[mask] |= np.uint32(1 << bit)
    sources: Any = table.column("source") if "source" in table.column_names else pa.nulls(n, pa.string())
    codes, names = codes_of([pc.fill_null(sources, NO_SOURCE)])
    order = np.argsort(-np.bincount(codes, minlength=len(names)), kind="stable")
    rank = np.argsort(order)
    region: Any = pc.fill_null(pc.index_in(table.column("region"), pa.array(MAP_REGIONS, pa.string())), -1)
    table = data_map.table(("id", *_NUMBERS))
    return Points(
        ids=table.column("id"),
        numbers={key: np.asarray(table.column(key).to_numpy(), np.float64) for key in _NUMBERS},
        region=(np.asarray(region, dtype=np.int64) + 1).astype(np.uint8),
        flags=bits,
        flag_names=tuple(flags),
        source=rank[codes],
        source_names=tuple(names[i] for i in order),
        k=k,
        scores=scores,
        ratings=ratings,
        info=dict(data_map.info),
    )
