"""Coordinates, thresholds and regions from the scores alone, without a look at the texts or the labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from argilla_admap.mapping.data.arrays import (
    Floats,
    Ints,
    coded_column,
    codes_of,
    double_column,
    flat_numbers,
    list_sizes,
    offsets_of,
)
from argilla_admap.mapping.data.observed import in_order
from argilla_admap.mapping.regions.coordinates import (
    REGIONS,
    Coordinates,
    GivenThresholds,
    compute_coordinates,
    split_regions,
    with_noise,
)
from argilla_admap.records import MAP_SCHEMA
from argilla_admap.tables import RecordStream

__all__ = ["PLACE_SCHEMA", "Places", "place_records", "wanted_columns"]

#: What is written of each record.
PLACE_SCHEMA = pa.schema([MAP_SCHEMA.field(name) for name in ("id", "k", "mean", "variance", "region")])
_OF_NOISE = ("score_variances", "score_counts")


def wanted_columns(stratify: str | None, *, between: bool) -> list[str]:
    """The columns that are read."""
    return ["id", "scores", *(_OF_NOISE if between else ()), *([stratify] if stratify else [])]


@dataclass(frozen=True, slots=True)
class Places:
    """Where n records are.

    Attributes:
        stream: of the records' ids.
        sizes: shape (n,), scores of each, those that are null too.
        place: coordinates.
        region: shape (n,), region codes.
        summary: as that of a map; what was not looked at is null or empty.
    """

    stream: RecordStream
    sizes: Ints
    place: Coordinates
    region: Ints
    summary: dict[str, Any]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The records in their order, of `PLACE_SCHEMA`."""

        def placed(given: tuple[pa.RecordBatch, int]) -> pa.RecordBatch:
            batch, start = given
            rows = slice(start, start + batch.num_rows)
            columns: list[Any] = [
                batch.column("id").cast(pa.string()),
                pa.array(self.sizes[rows], pa.int32()),
                double_column(self.place.mean[rows]),
                double_column(self.place.variance[rows]),
                coded_column(self.region[rows], REGIONS),
            ]
            return pa.RecordBatch.from_arrays(columns, schema=PLACE_SCHEMA)

        # Beside the writing of those before.
        return in_order(placed, _with_starts(self.stream.batches()))


def _with_starts(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Each batch, and how many rows are before it."""
    start = 0
    for batch in batches:
        yield batch, start
        start += batch.num_rows


def place_records(
    scores: RecordStream, ids: RecordStream, *, stratify: str | None, given: GivenThresholds | None, between: bool
) -> Places:
    """The place and the region of each record.

    Args:
        scores: with the columns of `wanted_columns`.
        ids: the same records, with their ids.
        stratify, given: as for `split_regions`.
        between: take the judge's own noise off the variance.
    """

    def measured(batch: pa.RecordBatch) -> tuple[Ints, Coordinates, Any]:
        sizes = list_sizes(batch.column("scores"))
        values = flat_numbers(batch.column("scores"), sizes)
        errors: Floats = np.broadcast_to(np.nan, len(values))
        if between and all(name in batch.schema.names for name in _OF_NOISE):
            variances, counts = (flat_numbers(batch.column(name), sizes) for name in _OF_NOISE)
            with np.errstate(divide="ignore", invalid="ignore"):
                errors = np.where(counts > 1, variances / counts, np.nan)
        sources = batch.column(stratify).cast(pa.string()) if stratify else None
        return sizes, compute_coordinates(offsets_of(sizes), values, errors), sources

    found = list(in_order(measured, (batch for batch in scores.batches() if batch.num_rows)))
    sizes = np.concatenate([np.zeros(0, np.int64), *(one[0] for one in found)])
    place = Coordinates.joined([one[1] for one in found] or [compute_coordinates(offsets_of(sizes), np.zeros(0), np.zeros(0))])
    place = place if between else with_noise(place)
    sources, names = codes_of([one[2] for one in found]) if stratify and found else (np.broadcast_to(-1, len(sizes)), ())
    found.clear()
    split = split_regions(place, sources, names, stratify, given)
    mapped = np.isfinite(place.variance)
    summary = {
        "records": len(sizes),
        "mapped": int(mapped.sum()),
        "regions": {name: int((split.region == code).sum()) for code, name in enumerate(REGIONS)},
        "thresholds": split.thresholds.as_json() if split.thresholds else None,
        "strata": split.strata,
        "noise_rate": None,
        "noise_interval": None,
        "noise_by_source": [],
        "refusal": None,
        "warnings": [],
        "flags": {},
        "issues": {},
        "boundary_ties": int(split.tied.sum()),
        "association": None,
        "learned_from": None,
    }
    return Places(ids, sizes, place, split.region, summary)
