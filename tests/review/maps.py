"""Maps made by hand, so that a test says itself which record has which number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from argilla_admap.mapping.added_columns import EXTRA_FIELDS, UNREAD
from argilla_admap.mapping.data_map import DataMap
from argilla_admap.records import MAP_SCHEMA
from argilla_admap.tables import RecordStream


def data_map(rows: Sequence[dict[str, Any]]) -> DataMap:
    """A map of these rows; a column that a row leaves out is null."""
    table = pa.Table.from_pylist([{**_EMPTY, **row} for row in rows], schema=_SCHEMA)
    return DataMap(RecordStream.from_table(table), {"judge": "tests", "summary": {}})


_SCHEMA = pa.schema([*MAP_SCHEMA, *(field for field in EXTRA_FIELDS if field.name == "issues"), UNREAD])
_EMPTY: dict[str, Any] = dict.fromkeys(_SCHEMA.names)


def row(record_id: str, k: int = 2, **columns: Any) -> dict[str, Any]:
    """One record; the first completion is the preferred one."""
    ratings = [1.0, 0.0] if k == 2 else [float(k - i) for i in range(k)]
    return {
        "id": record_id,
        "prompt": f"What is {record_id}?",
        "completions": [f"{record_id} is thing number {i}." for i in range(k)],
        "models": [f"model-{i}" for i in range(k)],
        "ratings": ratings,
        "scores": [8.0 - i for i in range(k)],
        "k": k,
        "mean": 5.0,
        "variance": 1.0,
        "agreement": 1.0,
        "p_wrong": 0.1,
        "region": "high_avg",
        "flags": [],
        **columns,
    }


def many(n: int, *, k: int = 2, seed: int = 0, prefix: str = "record") -> list[dict[str, Any]]:
    """Records all over the map, with every flag, and some values missing."""
    rng = np.random.default_rng(seed)
    flags = ("likely_wrong", "contested", "low_mean", "high_variance", "boundary", "unscored")
    rows = []
    for i in range(n):
        found = [flag for flag in flags if rng.random() < 0.2]
        unscored = "unscored" in found
        # Some numbers lie where float32 and float64 part.
        mean = None if unscored else float(rng.choice([0.1, 0.3, 1.9999999999, 2.0, rng.uniform(0, 5)]))
        rows.append(
            row(
                f"{prefix}-{i}",
                k,
                mean=mean,
                variance=None if unscored else float(rng.uniform(0, 4)),
                p_wrong=None if rng.random() < 0.1 else float(rng.random()),
                agreement=None if unscored else float(rng.uniform(-1, 1)),
                region=None if unscored else str(rng.choice(["high_var", "high_avg", "low_avg"])),
                flags=found,
                issues=[issue for issue in ("opposite_duplicate", "truncated", "empty") if rng.random() < 0.1],
            )
        )
    return rows
