"""What a push is asked to do, and what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from argilla_admap.errors import InputError

__all__ = ["TEXT_VECTORS", "PushOptions", "PushProgress", "PushResult"]

TEXT_VECTORS = ("hashed", "endpoint", "none")
#: Told how many records are done, of how many.
PushProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PushOptions:
    """How to push.

    Attributes:
        workspace: where the data set's address does not name it.
        blind: for a new data set: label, scores and models hidden, the order shuffled.
        reviewers: usernames to assign the records to.
        overlap: how many of them see each record; as many answers complete it.
        audit: draw at least this many records at random, into a queue of their own: what is found there tells how many errors
            there are. Those drawn by an earlier push stay drawn.
        only: send a part of the map: ``flagged`` records or those of a queue, by its name, and with them the random sample and
            the mixed sample. Records that are there already stay and are renewed.
        copy_to: makes a review copy of this name instead of touching an external data set; it keeps the ids.
        prompt_field, completion_fields: of an external data set, where they are not recognised.
        text_vectors: how the vector of a record's texts is made, for "more like this": ``hashed`` words, ``endpoint`` (a model
            embeds them) or ``none``; None: as the data set has it, else hashed.
        dry_run: say what would be done, and write nothing.

    Raises:
        InputError: a value that cannot be used.
    """

    workspace: str | None = None
    blind: bool = False
    reviewers: tuple[str, ...] = ()
    overlap: int = 1
    audit: int = 0
    only: str | None = None
    copy_to: str | None = None
    prompt_field: str | None = None
    completion_fields: tuple[str, ...] = ()
    text_vectors: str | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        most = len(set(self.reviewers))
        if self.overlap < 1 or (most and self.overlap > most):
            raise InputError(f"{self.overlap}: each record goes to 1 up to {max(1, most)} reviewers", option="overlap")
        if self.audit < 0:
            raise InputError(f"{self.audit}: a random sample has 1 record or more", option="audit")
        if self.text_vectors not in (None, *TEXT_VECTORS):
            raise InputError(
                f"{self.text_vectors!r}: no such vectors", option="text_vectors", hint=f"choose {', '.join(TEXT_VECTORS)}"
            )
        for name in self.reviewers:
            if any(character in name for character in ".~,"):
                raise InputError(
                    f"a link cannot carry the name {name!r}; its characters . ~ , have a meaning there", option="reviewers"
                )


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did, or in a dry run would do.

    Attributes:
        dataset: ``WORKSPACE/NAME``.
        created: the data set was made now.
        records: those of the map.
        added: records made on Argilla.
        updated: records of which something was sent again.
        unmatched: records of the map that the external data set does not hold.
        left_out: records of the map that were not asked for.
        queues: name, title, why, count, pending, url and bulk_url of each, as they stand now.
        notes: what the user should know.
        seconds: spent on reading what is there and sending.
        adjudicate: of the conflicts given to a third person, what `Adjudication.json` says; None: not asked for.
    """

    dataset: str
    created: bool
    records: int
    added: int
    updated: int
    unmatched: int = 0
    left_out: int = 0
    queues: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    adjudicate: dict[str, Any] | None = None

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "dataset": self.dataset,
            "created": self.created,
            "records": self.records,
            "added": self.added,
            "updated": self.updated,
            "unmatched": self.unmatched,
            "left_out": self.left_out,
            "queues": list(self.queues),
            "notes": list(self.notes),
            **({"adjudicate": self.adjudicate} if self.adjudicate is not None else {}),
        }
