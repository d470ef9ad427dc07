"""A few preference records in memory."""

from __future__ import annotations

from collections.abc import Sequence

from argilla_admap.records import PREFERENCE_SCHEMA, Record, Turn, records_to_batch
from argilla_admap.tables import RecordStream

__all__ = ["numbered", "record", "stream"]


def record(
    name: str, prompt: str, completions: Sequence[str], *, reference: str | None = None, turns: Sequence[Turn] = ()
) -> Record:
    """A record without labels."""
    k = len(completions)
    empty = (None,) * k
    return Record(
        id=name,
        prompt=prompt,
        completions=tuple(completions),
        models=empty,
        ratings=empty,
        samples=((),) * k,
        reasons=empty,
        turns=tuple(turns),
        reference=reference,
    )


def numbered(n: int, k: int = 2) -> list[Record]:
    """n records of k completions, all different."""
    return [record(f"r{i}", f"Question {i}?", [f"Answer {j} to question {i}." for j in range(k)]) for i in range(n)]


def stream(records: Sequence[Record]) -> RecordStream:
    """A stream of these records, in batches of 100."""
    return RecordStream(
        lambda: (records_to_batch(records[start : start + 100]) for start in range(0, len(records), 100)), PREFERENCE_SCHEMA
    )
