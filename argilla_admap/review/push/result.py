"""What a push did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["PushProgress", "PushResult"]

#: Told how many records are done, of how many.
PushProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did, or with `dry_run` would do.

    Attributes:
        dataset: ``WORKSPACE/NAME``.
        created: the data set was made now.
        records: those of the map.
        added: records made on Argilla.
        updated: records of which something was sent again.
        unmatched: records of the map that the data set, somebody else's, does not hold.
        queues: name, title, why, count, pending, url and bulk_url of each, as they stand now.
        notes: what a person should know.
        seconds: spent on reading what is there and sending.
    """

    dataset: str
    created: bool
    records: int
    added: int
    updated: int
    unmatched: int
    queues: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "dataset": self.dataset,
            "created": self.created,
            "records": self.records,
            "added": self.added,
            "updated": self.updated,
            "unmatched": self.unmatched,
            "queues": list(self.queues),
            "notes": list(self.notes),
        }
