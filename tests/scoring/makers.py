"""Records and options for the tests of scoring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from argilla_admap.records import Record, Turn, records_to_batch
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import Scored
from argilla_admap.tables import RecordStream


def record(id_: str, prompt: str, *completions: str, turns: Sequence[Turn] = (), samples: Any = None) -> Record:
    k = len(completions)
    return Record(
        id=id_,
        prompt=prompt,
        completions=completions,
        models=(None,) * k,
        ratings=(None,) * k,
        samples=samples or ((),) * k,
        reasons=(None,) * k,
        turns=tuple(turns),
    )


def records(n: int, k: int = 2) -> list[Record]:
    return [
        record(f"r{i}", f"Question {i}", *(f"Answer {i}.{j} quality={(i + j) % 5 + 1}" for j in range(k))) for i in range(n)
    ]


def stream(rows: Sequence[Record]) -> RecordStream:
    return RecordStream.from_table(pa.Table.from_batches([records_to_batch(rows)]))


def options(url: str, folder: Path, **more: Any) -> ScoreOptions:
    return ScoreOptions(**{"base_url": url, "store": folder / "store.sqlite", **more})


def column(scored: Scored, name: str) -> list[Any]:
    return [value for row in scored.table().column(name).to_pylist() for value in row]
