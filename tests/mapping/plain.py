"""Data sets in the plain format, as streams: what the tests of the map and its benchmark read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.tables import RecordStream

DATA = Path(__file__).parents[1] / "data" / "preferences"
LLMBAR = Path(__file__).parents[2] / "argilla_admap" / "example_data" / "llmbar_pairs_gpt4.jsonl.gz"


def load(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl.gz file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scored_stream(rows: Sequence[dict[str, Any]], *, samples: int | None = None, batch_rows: int = 1024) -> RecordStream:
    """Rows of the plain format as a stream of SCORED_SCHEMA; of each completion's samples the first `samples` count."""
    batches = [scored_batch(rows[i : i + batch_rows], samples) for i in range(0, len(rows), batch_rows)]
    return RecordStream(lambda: iter(batches), SCORED_SCHEMA, {"judge": "test"})


def scored_batch(rows: Sequence[dict[str, Any]], samples: int | None = None) -> pa.RecordBatch:
    columns: dict[str, list[Any]] = {name: [] for name in SCORED_SCHEMA.names}
    for row in rows:
        completions = row["completions"]
        known = [[s for s in (c.get("scores") or [])[:samples] if s is not None] for c in completions]
        columns["id"].append(row["id"])
        columns["prompt"].append(row.get("prompt") or "")
        columns["turns"].append(None)
        columns["completions"].append([c.get("text") or "" for c in completions])
        columns["models"].append([c.get("model") for c in completions])
        columns["ratings"].append([c.get("rating") for c in completions])
        columns["samples"].append(known)
        columns["reasons"].append([c.get("reason") for c in completions])
        columns["source"].append(row.get("source"))
        columns["annotator"].append(row.get("annotator"))
        columns["reference"].append(None)
        columns["scores"].append([float(np.mean(s)) if s else None for s in known])
        columns["errors"].append([None if s else "no score" for s in known])
        columns["score_variances"].append([float(np.var(s, ddof=1)) if len(s) > 1 else None for s in known])
        columns["score_counts"].append([len(s) for s in known])
        columns["judges"].append(row.get("judge"))
    return pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in SCORED_SCHEMA], schema=SCORED_SCHEMA)
