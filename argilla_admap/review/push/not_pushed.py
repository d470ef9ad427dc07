"""A push of a part of the map: which records people should see, and what is kept of the others.

The random sample is drawn from the whole map, so that it goes on speaking for the records that were left out. Of these the data
set keeps how many there are of each P(wrong) and each set of flags, and `status` counts them in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit, logit

from argilla_admap.errors import InputError
from argilla_admap.mapping.data.arrays import Bools, Floats
from argilla_admap.review.push.payload import random_sample
from argilla_admap.review.queues.queues import QUEUES

if TYPE_CHECKING:
    import pandas as pd

    from argilla_admap.mapping.data_map import DataMap

__all__ = ["FLAGGED", "NotPushed", "part_to_push"]

#: Records with a flag, or with something that can be seen without a judge.
FLAGGED = "flagged"
#: P(wrong) is kept on a grid of logits of this step, and no surer than this.
_STEP, _SURE = 0.2, 0.002
_KEY = "left_out"


def part_to_push(data_map: DataMap, only: str, audit: int = 0) -> Bools:
    """The records that a push of a part sends: shape (n,), in the order of the map.

    Args:
        only: ``flagged``, or the name of a queue.
        audit: how many records of the random sample come along.

    Raises:
        InputError: no such part, or one of which the map knows nothing.
    """
    names = set(data_map.light)
    known = [name for name, queue in QUEUES.items() if queue.conditions and queue.columns <= names]
    if only != FLAGGED and only not in known:
        raise InputError(f"{only!r} is no part of this map", option="only", hint=f"choose {', '.join([FLAGGED, *known])}")
    columns = sorted({"id", "flags", "issues", *(QUEUES[only].columns if only in known else ())} & names)
    numbers = data_map.table(columns)
    frame: pd.DataFrame = numbers.to_pandas()
    if only == FLAGGED:
        inside = np.zeros(len(frame), bool)
        for column in {"flags", "issues"} & names:
            found: Any = numbers.column(column)
            inside |= pc.fill_null(pc.list_value_length(found), 0).to_numpy() > 0
    else:
        inside = QUEUES[only].mask(frame).to_numpy(bool)
    if audit:
        inside |= np.array([number is not None for number in random_sample(frame["id"].astype(str).tolist(), audit)], bool)
    return inside


@dataclass(frozen=True, slots=True)
class NotPushed:
    """Labelled records of a map that its data set on Argilla does not hold; shape (n,) each.

    Attributes:
        flags: of each record, joined by a space.
        p_wrong: NaN where unknown.
        counted: whether an estimate counts the record's label.
    """

    #: Of a map, those that are looked at.
    columns: ClassVar = ("id", "ratings", "flags", "p_wrong")

    flags: tuple[str, ...] = ()
    p_wrong: Floats = field(default_factory=lambda: np.zeros(0))
    counted: Bools = field(default_factory=lambda: np.zeros(0, bool))

    def __len__(self) -> int:
        return len(self.flags)

    @classmethod
    def of_map(cls, numbers: Any, rows: Bools, counted: Collection[str] | None = None) -> NotPushed:
        """Those of the map's `rows` that have a label; of them `counted` by id, or all."""
        table = numbers.select(list(cls.columns)).filter(pa.array(rows)).combine_chunks()
        labels: Any = table.column("ratings").combine_chunks()
        given = np.asarray(pc.is_valid(pc.list_flatten(labels)))
        ratings = np.bincount(np.asarray(pc.list_parent_indices(labels))[given], minlength=len(labels))
        table = table.filter(pa.array(ratings >= 2))
        counts: Any = pc.is_in(table.column("id"), pa.array(sorted(counted), pa.string())) if counted is not None else None
        flags: Any = table.column("flags")
        joined: Any = pc.binary_join(flags, " ")
        return cls(
            tuple(joined.fill_null("").to_pylist()),
            table.column("p_wrong").to_numpy().astype(np.float64),
            np.ones(len(table), bool) if counts is None else counts.to_numpy(),
        )

    @classmethod
    def of_dataset(cls, info: Mapping[str, Any]) -> NotPushed:
        """What a push has noted with a data set."""
        flags: list[str] = []
        chances: list[float] = []
        for found, chance, count in (info.get(_KEY) or {}).get("labels") or ():
            flags += [str(found)] * int(count)
            chances += [np.nan if chance is None else float(chance)] * int(count)
        return cls(tuple(flags), np.array(chances, float), np.ones(len(flags), bool))

    def note(self, only: str, records: int) -> dict[str, Any]:
        """What is kept with the data set: of which push, how many records, and their labels by flags and P(wrong)."""
        sure = np.clip(self.p_wrong, _SURE, 1 - _SURE)
        steps = np.where(np.isnan(sure), np.nan, expit(np.round(logit(sure) / _STEP) * _STEP))
        cells = Counter(zip(self.flags, (None if np.isnan(p) else round(float(p), 4) for p in steps), strict=True))
        labels = [[flags, p, count] for (flags, p), count in sorted(cells.items(), key=repr)]
        return {_KEY: {"only": only, "records": records, "labels": labels}}
