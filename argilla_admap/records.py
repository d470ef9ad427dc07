"""The one shape that every reader makes and every room passes on: names and types of the columns, ids, checks.

A *record* is one prompt with its K >= 2 completions. Rooms that compute work on Arrow record batches of the schemas below;
rooms that need text one record at a time (the readers, the judge, the review card) use :class:`Record`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

__all__ = [
    "LARGEST_NUMBER",
    "MAP_FIELDS",
    "MAP_SCHEMA",
    "NOT_SHOWN",
    "PREFERENCE_SCHEMA",
    "SCORED_FIELDS",
    "SCORED_SCHEMA",
    "Record",
    "Turn",
    "batch_to_records",
    "content_id",
    "letter",
    "printable",
    "records_to_batch",
    "render_turns",
]

#: What stands in a text for pictures and the like, as a pattern: "[2 images, not shown]".
NOT_SHOWN = r"\[\d+ (?:image|sound|video|file)s?, not shown\]"

#: The largest number that a rating or a score may be: far beyond any scale, and its square is still a number.
LARGEST_NUMBER = 1e15

_STRINGS = pa.list_(pa.string())
_DOUBLES = pa.list_(pa.float64())

#: What a reader yields. The lists of one row have one length, K.
PREFERENCE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),  # readable text; of several turns: `render_turns`
        pa.field("turns", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),  # null: one user turn
        pa.field("completions", _STRINGS, nullable=False),
        pa.field("models", _STRINGS),
        pa.field("ratings", _DOUBLES),  # the data set's label; null where there is none
        pa.field("samples", pa.list_(_DOUBLES)),  # the judge's single scores: those that the data carry, later those asked
        pa.field("reasons", _STRINGS),  # the judge's reason, or the data set's critique
        pa.field("source", pa.string()),
        pa.field("annotator", pa.string()),  # who gave the label
        pa.field("judge", pa.string()),  # who gave `samples`
        pa.field("reference", pa.string()),  # a reference answer, for the reference scorer
    ]
)

#: What a scorer adds.
SCORED_FIELDS: list[pa.Field[Any]] = [
    pa.field("scores", _DOUBLES),  # null where unscored, never 0
    pa.field("errors", _STRINGS),  # why a completion is unscored; null where it is scored
    pa.field("score_variances", _DOUBLES),  # the judge's own variance of one sample
    pa.field("score_counts", pa.list_(pa.int32())),  # samples behind a score
    pa.field("judges", pa.string()),  # names of the judges, joined by ", "
]

#: SCORED.parquet: a row a record. With several judges, `scores.NAME` and its siblings stand beside.
SCORED_SCHEMA = pa.schema([f for f in PREFERENCE_SCHEMA if f.name != "judge"] + SCORED_FIELDS)

#: What the map adds.
MAP_FIELDS: list[pa.Field[Any]] = [
    pa.field("k", pa.int32()),
    pa.field("mean", pa.float64()),
    pa.field("variance", pa.float64()),  # population variance, squared score points
    pa.field("region", pa.string()),  # high_var, high_avg, low_avg, or null
    pa.field("region_confidence", pa.float64()),
    pa.field("agreement", pa.float64()),
    pa.field("p_wrong", pa.float64()),
    pa.field("contested", pa.float64()),
    pa.field("flags", _STRINGS),
]

#: MAP.parquet.
MAP_SCHEMA = pa.schema(list(SCORED_SCHEMA) + MAP_FIELDS)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a prompt of several turns."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Record:
    """One prompt with its completions, as a reader gives it. All tuples have one length, K."""

    id: str
    prompt: str
    completions: tuple[str, ...]
    models: tuple[str | None, ...]
    ratings: tuple[float | None, ...]
    samples: tuple[tuple[float | None, ...], ...]
    reasons: tuple[str | None, ...]
    turns: tuple[Turn, ...] = field(default=())
    source: str | None = None
    annotator: str | None = None
    judge: str | None = None
    reference: str | None = None


def printable(text: str) -> str:
    """The same text, with lone surrogates, which no UTF-8 file can hold, as U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def letter(index: int) -> str:
    """The name of completion `index` for people: A to Z, then AA, AB, as in a spreadsheet."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def render_turns(turns: Sequence[Turn]) -> str:
    """A prompt of several turns as one readable text; a single user turn is its own text."""
    if len(turns) == 1 and turns[0].role == "user":
        return turns[0].content
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)


def content_id(prompt: str, completions: Sequence[str]) -> str:
    """A record's id where the data have none: 32 hex digits, the same on every machine and run.

    The completions' order counts and their ratings do not, so that the id survives a corrected rating, and a foreign data set
    that holds only the texts can be matched.
    """
    parts: list[bytes] = []
    for text in (prompt, *completions):
        encoded = printable(text).encode()
        parts += (len(encoded).to_bytes(8, "little"), encoded)
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def records_to_batch(records: Sequence[Record]) -> pa.RecordBatch:
    """An Arrow batch of `PREFERENCE_SCHEMA`."""
    columns = []
    for field_ in PREFERENCE_SCHEMA:
        values: list[Any] = [getattr(record, field_.name) for record in records]
        if field_.name == "turns":
            values = [[{"role": turn.role, "content": turn.content} for turn in turns] or None for turns in values]
        columns.append(pa.array(values, field_.type))
    return pa.RecordBatch.from_arrays(columns, schema=PREFERENCE_SCHEMA)


def batch_to_records(batch: pa.RecordBatch) -> list[Record]:
    """The records of a batch of any of the three schemas; missing columns read as absent."""
    names = [name for name in PREFERENCE_SCHEMA.names if name in set(batch.schema.names)]
    return [_record(row) for row in batch.select(names).to_pylist()]


def _record(row: dict[str, Any]) -> Record:
    nothing = (None,) * len(row["completions"])
    return Record(
        id=row["id"],
        prompt=row["prompt"],
        completions=tuple(row["completions"]),
        models=tuple(row.get("models") or nothing),
        ratings=tuple(map(_finite, row.get("ratings") or nothing)),
        samples=tuple(tuple(map(_finite, given or ())) for given in row.get("samples") or nothing),
        reasons=tuple(row.get("reasons") or nothing),
        turns=tuple(Turn(turn["role"], turn["content"]) for turn in row.get("turns") or ()),
        source=row.get("source"),
        annotator=row.get("annotator"),
        judge=row.get("judge"),
        reference=row.get("reference"),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
