"""The columns that a map adds to scored records, made beside them as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, coded_column, double_column, names_column
from argilla_admap.mapping.data.observed import in_order
from argilla_admap.mapping.regions.coordinates import REGIONS, Coordinates
from argilla_admap.mapping.wrong.reasons import Evidence
from argilla_admap.records import MAP_FIELDS
from argilla_admap.tables import Spool, row_groups

__all__ = ["EXTRA_FIELDS", "UNREAD", "AddedColumns"]

#: P(wrong) without the record's own answer, in maps that learned from answers: what estimates of the errors left rest on.
UNREAD = pa.field("p_wrong_unread", pa.float64())

#: What a map adds beside `MAP_FIELDS`.
EXTRA_FIELDS: list[pa.Field[Any]] = [
    pa.field("variance_total", pa.float64()),  # population variance of the scores: the paper's, judge's noise and all
    pa.field("variance_judge", pa.float64()),  # what the judge's noise adds to it; 0 where it is not known
    pa.field("variance_between", pa.float64()),  # the first less the second, never below 0
    pa.field("cosine", pa.float64()),  # the paper's agreement
    pa.field("issues", pa.list_(pa.string())),  # what the label-free checks found
    pa.field("evidence", pa.list_(pa.string())),  # the reasons for P(wrong), in words
]


@dataclass(frozen=True, slots=True)
class AddedColumns:
    """What was found of n records.

    Attributes:
        offsets: shape (n + 1,), of the completions.
        place: coordinates, the judge's noise taken off.
        variance: shape (n,), by which the regions are split.
        region: shape (n,), region codes.
        doubles: other columns of numbers by name, shape (n,) each; NaN where unknown.
        flags, issues: by name, shape (n,), the records that have one.
        evidence: the reasons, in pieces of the records' order.
        noise_rate: of all records; None where unknown.
    """

    offsets: Ints
    place: Coordinates
    variance: Floats
    region: Ints
    doubles: Mapping[str, Floats]
    flags: Mapping[str, Bools]
    issues: Mapping[str, Bools]
    evidence: Spool[Evidence]
    noise_rate: float | None

    @property
    def schema(self) -> pa.Schema:
        """Of the columns."""
        unread = [UNREAD] if UNREAD.name in self.doubles else []
        return pa.schema([*MAP_FIELDS, *EXTRA_FIELDS[:-1], *unread, EXTRA_FIELDS[-1]])

    def beside(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema, *, texts: bool) -> Iterator[pa.RecordBatch]:
        """The records with these columns.

        Args:
            batches: all records, in their order.
            schema: of what is made.
            texts: with the reasons; else they are null.
        """

        def cut() -> Iterator[tuple[pa.RecordBatch, int, Evidence | None, int]]:
            pieces, evidence, first, start, stop = iter(self.evidence), None, 0, 0, 0
            for batch in row_groups(batches):
                taken = 0
                while taken < batch.num_rows:
                    if texts and start + taken == stop:
                        evidence, first = next(pieces), stop
                        stop += len(evidence.placed)
                    rows = min(batch.num_rows - taken, stop - start - taken) if texts else batch.num_rows
                    yield batch.slice(taken, rows), start + taken, evidence, start + taken - first
                    taken += rows
                start += batch.num_rows

        def join(one: tuple[pa.RecordBatch, int, Evidence | None, int]) -> pa.RecordBatch:
            batch, start, evidence, within = one
            rows = slice(start, start + batch.num_rows)
            ours: dict[str, Any] = {name: double_column(values[rows]) for name, values in self.doubles.items()}
            place = self.place.part(rows)
            noise = np.where(np.isfinite(place.total), place.noise, np.nan)
            ours |= {"mean": double_column(place.mean), "variance": double_column(self.variance[rows])}
            ours |= {"variance_total": double_column(place.total), "variance_judge": double_column(noise)}
            ours["variance_between"] = double_column(place.variance)
            ours["k"] = pa.array(np.diff(self.offsets[rows.start : rows.stop + 1]), pa.int32())
            ours["region"] = coded_column(self.region[rows], REGIONS)
            for name, masks in (("flags", self.flags), ("issues", self.issues)):
                ours[name] = names_column({one: mask[rows] for one, mask in masks.items()}, batch.num_rows)
            if evidence is None:
                ours["evidence"] = pa.nulls(batch.num_rows, EXTRA_FIELDS[-1].type)
            else:
                p_wrong = self.doubles["p_wrong"][rows]
                ours["evidence"] = evidence.column(p_wrong, self.noise_rate, within, within + batch.num_rows)
            columns = chain(batch.columns, (ours[field.name] for field in self.schema))
            return pa.RecordBatch.from_arrays(list(columns), schema=schema)

        return in_order(join, cut())
