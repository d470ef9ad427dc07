"""DataMap: the result that all other rooms pass around; made by `build_map`, kept as MAP.parquet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from argilla_admap.errors import InputError
from argilla_admap.mapping.agreement import agreement, uncentred_cosine
from argilla_admap.mapping.arrays import Floats
from argilla_admap.mapping.columns import coded_column, double_column, names_column
from argilla_admap.mapping.coordinates import (
    ASSUMED_NOISE,
    NO_REGION,
    REGIONS,
    Thresholds,
    assign_regions,
    compute_coordinates,
    fit_thresholds,
    region_confidence,
)
from argilla_admap.mapping.diagnosis import diagnose
from argilla_admap.mapping.flags import FLAGS, flag_records
from argilla_admap.mapping.observations import Observations, observe
from argilla_admap.records import MAP_FIELDS, SCORED_SCHEMA
from argilla_admap.tables import RecordStream, read_stream, write_parquet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TEXT_COLUMNS", "DataMap", "build_map"]

#: Columns that hold long text: streamed through, never held.
TEXT_COLUMNS = frozenset({"prompt", "turns", "completions", "reasons", "errors", "reference", "samples"})

#: What a map adds beside `MAP_FIELDS`.
EXTRA_FIELDS: list[pa.Field[Any]] = [
    pa.field("variance_total", pa.float64()),  # population variance of the scores: the paper's, judge's noise and all
    pa.field("variance_judge", pa.float64()),  # what the judge's noise adds to it; 0 where it is not known
    pa.field("cosine", pa.float64()),  # the paper's agreement
    pa.field("issues", pa.list_(pa.string())),  # what the label-free detectors found
    pa.field("evidence", pa.list_(pa.string())),  # the reasons for P(wrong), in words
]


class DataMap:
    """Records on the map.

    Attributes:
        numbers: every column of the map but its long texts, as one Arrow table; a row a record.
        info: thresholds, judge, counts and fitted constants, as JSON values (the file's metadata).
        schema: of `batches()`.
    """

    def __init__(self, source: RecordStream, numbers: pa.Table, added: pa.Table | None, info: Mapping[str, Any]) -> None:
        """
        Args:
            source: the records with their texts.
            numbers: as above.
            added: the map's columns, which `source` does not have; None when it has.
        """
        self._source, self._added = source, added
        self.numbers = numbers
        self.info: dict[str, Any] = dict(info)
        names = set(added.schema.names) if added is not None else set()
        kept = [f for f in source.schema if f.name not in names]
        self.schema = pa.schema([*kept, *(added.schema if added is not None else [])])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The map as a DataFrame: a row a record, the long texts left out; lists are NumPy arrays."""
        return self.numbers.to_pandas()

    @property
    def thresholds(self) -> Thresholds | None:
        """The two values that split the map; None when no record could be placed."""
        stored = self.info.get("thresholds")
        return Thresholds.from_json(stored) if stored else None

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, thresholds, noise rate and flags: what `admap map --json` prints."""
        return dict(self.info["summary"])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All columns, texts too, streamed from the source."""
        added, start = self._added, 0
        for batch in self._source.batches():
            if added is None:
                yield batch
                continue
            ours = added.slice(start, batch.num_rows)
            start += batch.num_rows
            columns = [
                ours.column(f.name).combine_chunks() if f.name in added.schema.names else batch.column(f.name)
                for f in self.schema
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def stream(self) -> RecordStream:
        """The map as a stream of record batches."""
        return RecordStream(self.batches, self.schema, self.info)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes MAP.parquet, whole or not at all.

        Raises:
            InputError: the folder cannot be written to.
        """
        write_parquet(path, self.batches(), self.schema, self.info)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> DataMap:
        """The map in a file that `write` made.

        Raises:
            InputError: absent, not Parquet, or not a map.
        """
        source = read_stream(path)
        missing = [f.name for f in MAP_FIELDS if f.name not in source.schema.names]
        if missing or "summary" not in source.info:
            lacks = f"no column {missing[0]!r}" if missing else "no summary in its metadata"
            raise InputError(f"{path}: not a map ({lacks}); make one with `admap map`")
        light = [name for name in source.schema.names if name not in TEXT_COLUMNS]
        numbers = pq.read_table(Path(path), columns=light).replace_schema_metadata(None)
        return cls(source, numbers, None, source.info)


def build_map(
    scored: RecordStream,
    *,
    stratify: str | None = None,
    thresholds: Thresholds | Mapping[str, float] | DataMap | None = None,
) -> DataMap:
    """Places each record on the map and says how probably its label is wrong.

    Goes through the stream once; its texts pass through again when the map is written.

    Args:
        scored: a stream of `SCORED_SCHEMA`; of `PREFERENCE_SCHEMA` too.
        stratify: a column; the regions are then split within each of its values.
        thresholds: two values, or a map whose values to use, instead of those of these records.
    Raises:
        InputError: no such column, or thresholds that are no numbers.
    """
    if stratify is not None and stratify not in scored.schema.names:
        raise InputError(f"--stratify {stratify}: there is no such column; there are {', '.join(scored.schema.names)}")
    seen = observe(scored, stratify)
    place = compute_coordinates(seen.offsets, seen.scores, seen.error_variances())
    mapped = np.isfinite(place.variance)
    tied = np.zeros(seen.n, bool)
    given = thresholds.thresholds if isinstance(thresholds, DataMap) else thresholds
    chosen = Thresholds.from_json(given) if isinstance(given, Mapping) else given
    if chosen is None and mapped.any():
        chosen, tied[mapped] = fit_thresholds(place.variance[mapped], place.mean[mapped])
    region = np.full(seen.n, NO_REGION)
    confidence = np.full(seen.n, np.nan)
    if chosen is not None:
        region = assign_regions(place.variance, place.mean, chosen)
        confidence = region_confidence(place, region, _mean_error(seen), chosen)
    diagnosis = diagnose(seen)
    unscored = place.scored < seen.sizes
    masks, rules = flag_records(
        p_wrong=diagnosis.p_wrong,
        contested=np.full(seen.n, np.nan),
        mean=place.mean,
        variance=place.variance,
        confidence=confidence,
        unscored=unscored,
    )
    added = pa.table(
        {
            "k": pa.array(seen.sizes.astype(np.int32)),
            "mean": double_column(place.mean),
            "variance": double_column(place.variance),
            "region": coded_column(region, REGIONS),
            "region_confidence": double_column(confidence),
            "agreement": double_column(agreement(seen.offsets, seen.ratings, seen.scores)),
            "p_wrong": double_column(diagnosis.p_wrong),
            "contested": double_column(np.full(seen.n, np.nan)),
            "flags": names_column(masks, seen.n),
            "variance_total": double_column(place.total),
            "variance_judge": double_column(np.where(mapped, place.noise, np.nan)),
            "cosine": double_column(uncentred_cosine(seen.offsets, seen.ratings, seen.scores)),
            "issues": names_column({}, seen.n),
            "evidence": names_column({}, seen.n),
        },
        schema=pa.schema([*MAP_FIELDS, *EXTRA_FIELDS]),
    )
    summary = {
        "records": seen.n,
        "mapped": int(mapped.sum()),
        "regions": {name: int((region == code).sum()) for code, name in enumerate(REGIONS)},
        "thresholds": chosen.as_json() if chosen else None,
        "noise_rate": diagnosis.mixture.noise_rate if diagnosis.mixture else None,
        "refusal": diagnosis.refusal,
        "boundary_ties": int(tied.sum()),
        "flags": {name: int(masks[name].sum()) for name in FLAGS},
    }
    info = {**scored.info, "thresholds": summary["thresholds"], "summary": summary, "flag_rules": rules, "fit": diagnosis.facts}
    return DataMap(_without_map(scored), _numbers(scored, added), added, info)


def _mean_error(seen: Observations) -> Floats:
    """Mean error variance of each record's scores; where the judge's own variance is unknown, an assumed one; shape (n,)."""
    errors = seen.error_variances()
    scored = np.isfinite(seen.scores)
    known = scored & np.isfinite(errors)
    scale = float(np.ptp(seen.scores[scored])) if scored.any() else 0.0
    pooled = float(errors[known].mean()) if known.any() else (ASSUMED_NOISE * scale) ** 2
    owner = np.repeat(np.arange(seen.n), seen.sizes)
    count = np.bincount(owner[scored], minlength=seen.n)
    total = np.bincount(owner[scored], np.where(known, errors, pooled)[scored], minlength=seen.n)
    return np.asarray(total / np.maximum(count, 1))


def _without_map(stream: RecordStream) -> RecordStream:
    """The stream in SCORED_SCHEMA's columns: what an earlier map added is left out, what scoring would add is null."""
    ours = {f.name for f in (*MAP_FIELDS, *EXTRA_FIELDS)}
    have = [f for f in stream.schema if f.name not in ours]
    names = {f.name for f in have}
    lacking = [f for f in SCORED_SCHEMA if f.name not in names]
    schema = pa.schema([*have, *lacking])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream.batches():
            columns = [batch.column(f.name) if f.name in names else pa.nulls(batch.num_rows, f.type) for f in schema]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return RecordStream(batches, schema, stream.info)


def _numbers(stream: RecordStream, added: pa.Table) -> pa.Table:
    """The columns without long text, of the whole stream, with the map's own."""
    light = [name for name in stream.schema.names if name not in TEXT_COLUMNS and name not in added.schema.names]
    table = pa.Table.from_batches(
        [b.select(light) for b in stream.batches()], schema=pa.schema([stream.schema.field(n) for n in light])
    )
    for field in added.schema:
        table = table.append_column(field, added.column(field.name))
    return table
