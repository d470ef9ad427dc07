"""The review queues. Each is defined once and rendered three ways that select the same records.

A :class:`Queue` is a name, a title, the reason to look, conditions and an order. ``mask(frame)`` renders it for the map's
DataFrame, ``query()`` for Argilla's SDK, ``url(dataset)`` for the page. A new queue is one entry here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from argilla_admap.errors import InputError
from argilla_admap.mapping.checks.check import check_queues
from argilla_admap.review.argilla.argilla_api import BY_AGE, review_page
from argilla_admap.review.argilla.properties import BY_COLUMN, MIXED, POSITION
from argilla_admap.review.queues.conditions import AGE, Condition, Order, parse_order, parse_where

if TYPE_CHECKING:
    import argilla as rg
    import pandas as pd

__all__ = [
    "CONTRACT",
    "QUEUES",
    "RANDOM_SAMPLE",
    "REVIEWERS_DISAGREE",
    "Queue",
    "QueueCount",
    "adhoc_queue",
    "adjudicate_queue",
    "reviewer_queue",
    "similar_url",
    "usable",
]


@dataclass(frozen=True, slots=True)
class Queue:
    """Records worth a look, for one reason.

    Attributes:
        name: as the command line and the JSON say it.
        title: as a person reads it.
        why: the reason to look at these records, one sentence.
        conditions: all must hold. A record without a value is outside every condition.
        order: what comes first: where the most errors a minute are found.
        status: of the answers of the person who opens it: ``pending`` has none yet, ``draft`` was prepared for them.
    """

    name: str
    title: str
    why: str
    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = (Order("p_wrong", "desc"),)
    status: str = "pending"

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the conditions and the order need."""
        return (frozenset(c.column for c in self.conditions) | frozenset(o.column for o in self.order)) - {AGE}

    @property
    def neutral(self) -> bool:
        """Whether a blind review may show it: its conditions do not tell what its records are suspected of.

        The queue of all records opens with the likeliest errors.
        """
        return bool(self.conditions) and all(condition.prop.neutral for condition in self.conditions)

    def mask(self, frame: pd.DataFrame) -> pd.Series[bool]:
        """True for each row of `frame` that is in the queue; `frame` is a map's, or has some of its columns."""
        import numpy as np
        import pandas as pd

        inside = np.ones(len(frame), dtype=bool)
        for condition in self.conditions:
            inside &= condition.mask(frame)
        mask: pd.Series[bool] = pd.Series(inside, index=frame.index, name=self.name, dtype=bool)
        return mask

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the queue in its order; rows without a value to order by come last."""
        chosen: pd.DataFrame = frame[self.mask(frame)]
        known = [order for order in self.order if order.column in frame.columns]
        if not known:
            return chosen
        ordered: pd.DataFrame = chosen.sort_values(
            [order.column for order in known],
            ascending=[order.direction == "asc" for order in known],
            kind="stable",
            na_position="last",
        )
        return ordered

    def query(self) -> rg.Query:
        """The SDK's query: ``dataset.records(queue.query())``. The SDK cannot sort; `body` and `url` do."""
        import argilla as rg

        filters = [part for condition in self.conditions for part in condition.sdk()]
        return rg.Query(filter=filters or None)

    def body(self, *more: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON body of Argilla's record search; `more` are filters to add.

        The order ends with the record's age, because without a sort the pages of a search may overlap.
        """
        filters = [*(condition.rest() for condition in self.conditions), *more]
        sort = [*(order.rest() for order in self.order), *BY_AGE]
        return {"filters": {"and": filters}, "sort": sort} if filters else {"sort": sort}

    def url(self, dataset: Any, *, status: str | None = None, bulk: int | None = None) -> str:
        """The link that opens the queue in Argilla's page.

        Args:
            dataset: an ``rg.Dataset`` on the server, or a `RemoteDataset`.
            status: pending, draft, submitted or discarded; of the person who opens it. None: the queue's own.
            bulk: records a page of the bulk view (10, 25, 50 or 100); None for one record at a time.
        """
        parts = [("page", f"1~{bulk}" if bulk else "1"), ("status", status or self.status)]
        if self.conditions:
            parts.append(("metadata", "~".join(condition.link() for condition in self.conditions)))
        # Without a sort the page shuffles, anew after each change of a record.
        parts.append(("sort", "~".join(order.link() for order in self.order)))
        return f"{_page(dataset)}?{'&'.join(f'{key}={quote(value, safe=_LINK_SAFE)}' for key, value in parts)}"


@dataclass(frozen=True, slots=True)
class QueueCount:
    """A queue as it stands on the server.

    Attributes:
        queue: its definition.
        count: records that match.
        pending: those of them that still wait for an answer.
        url: opens it in the page, one record at a time.
        bulk_url: opens it ten at a time; None where one answer to many records would not mean the same on each.
        preview: of similar records, the first ones: ``id`` and the beginning of the ``prompt``.
        dataset: ``WORKSPACE/NAME``.
    """

    queue: Queue
    count: int
    pending: int
    url: str
    bulk_url: str | None
    preview: tuple[dict[str, Any], ...] = ()
    dataset: str = ""

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.queue.name,
            "title": self.queue.title,
            "why": self.queue.why,
            "count": self.count,
            "pending": self.pending,
            "url": self.url,
            "bulk_url": self.bulk_url,
            **({"preview": list(self.preview)} if self.preview else {}),
        }


_LINK_SAFE = "~.-_"


def _page(dataset: Any) -> str:
    return review_page(str(getattr(dataset, "api_url", None) or dataset._client.api_url), dataset.id)


def similar_url(dataset: Any, server_id: str, *, limit: int = 50, vector: str = POSITION) -> str:
    """The link to the records that are like one record, free of any queue's filters.

    Args:
        dataset: an ``rg.Dataset`` on the server.
        server_id: the record's id on the server (a UUID), not its own id.
        limit: how many; Argilla fails on 101 to 199.
        vector: by which they are like it: their place on the map, or their texts.
    """
    similarity = f"record.{server_id}.vector.{vector}.limit.{limit}.order.most"
    return f"{_page(dataset)}?page=1&status=pending&similarity={quote(similarity, safe=_LINK_SAFE)}"


_NEUTRAL = (Order(AGE, "asc"),)


def _flag(value: str) -> tuple[Condition, ...]:
    return (Condition("flags", values=(value,)),)


#: Two that other rooms ask for by name.
RANDOM_SAMPLE = Queue(
    "audit",
    "Random sample",
    "Drawn at random, whatever the judge says: only these tell how many errors are left in the whole data set.",
    (Condition("audit"),),
    (Order("audit", "asc"),),
)
REVIEWERS_DISAGREE = Queue(
    "reviewers-disagree",
    "Reviewers disagree",
    "The submitted answers contradict each other; a further answer decides.",
    (Condition("review", values=("conflict",)),),
    status="draft",
)

#: The queues of every data set.
_ALWAYS = (
    Queue(
        "likely-wrong",
        "Likely wrong",
        "The judge's scores speak clearly against the label: most errors are found here, the surest first.",
        _flag("likely_wrong"),
    ),
    Queue(
        "contested",
        "Contested",
        "Judge or people are split: often taste rather than error, so a second opinion is worth more than a correction.",
        _flag("contested"),
    ),
    Queue(
        "low-mean",
        "Low mean",
        "All completions are poor: whichever is preferred teaches little, and both may be bad.",
        _flag("low_mean"),
        (Order("mean", "asc"),),
    ),
    Queue(
        "high-variance",
        "High variance",
        "Very good and very bad completions of one prompt: a wrong label costs most here.",
        _flag("high_variance"),
        (Order("p_wrong", "desc"), Order("variance", "desc")),
    ),
    Queue(
        "boundary",
        "On a boundary",
        "So near a line of the map that another sample of the judge could move the record to another region.",
        _flag("boundary"),
    ),
    Queue("all", "All records", "Everything, the likeliest errors first."),
)

#: Those that are offered where their metadata are.
_OPTIONAL = (
    RANDOM_SAMPLE,
    Queue(
        "judge-disagrees",
        "Judge and label disagree",
        "The judge orders the completions the other way round than the label does, however faintly.",
        (Condition("agreement", high=-0.01),),
        (Order("p_wrong", "desc"), Order("agreement", "asc")),
    ),
    REVIEWERS_DISAGREE,
    *(Queue(queue.name, queue.title, queue.why, (Condition("issues", values=checks),)) for queue, checks in check_queues()),
    Queue(
        "not-scored",
        "Not yet scored",
        "The judge's answer is missing, so nothing is known about the label.",
        _flag("unscored"),
        _NEUTRAL,
    ),
    Queue(
        "mixed",
        "Mixed sample",
        "Suspects, unflagged records and controls with known answers, shuffled: the link tells nothing about a record.",
        (Condition("queue", values=(MIXED,)),),
        _NEUTRAL,
    ),
)

#: Every queue by its name.
QUEUES: dict[str, Queue] = {queue.name: queue for queue in (*_ALWAYS, *_OPTIONAL)}

#: The names of the queues of every data set.
CONTRACT = tuple(queue.name for queue in _ALWAYS)


def reviewer_queue(reviewer: str) -> Queue:
    """The records assigned to one reviewer."""
    return Queue(
        f"reviewer-{reviewer}",
        f"For {reviewer}",
        f"The records assigned to {reviewer}.",
        (Condition("reviewer", values=(reviewer,)),),
        _NEUTRAL,
    )


def adjudicate_queue(person: str, *, blind: bool = False) -> Queue:
    """The conflicts that one person decides: drafts of theirs, which the page shows where a record is completed too.

    In a blind review outcomes are hidden from the person: there those that were settled otherwise stay in the count.
    """
    conditions: tuple[Condition, ...] = (Condition("adjudicate", values=(person,)),)
    if not blind:
        conditions = (*REVIEWERS_DISAGREE.conditions, *conditions)
    why = "Reviewers contradict each other here; this person's answer decides."
    return Queue(f"adjudicate-{person}", f"For {person} to decide", why, conditions, _NEUTRAL, "draft")


def adhoc_queue(where: str | None, sort: str | Sequence[str] | None = None) -> Queue:
    """A queue made on the spot, from ``mean<2 and variance>=1`` and ``p_wrong:desc``.

    Raises:
        InputError: the words cannot be read; the message names the position and the known names.
    """
    conditions = parse_where(where) if where else ()
    sorts: Iterable[str] = [sort] if isinstance(sort, str) else sort or ()
    order = tuple(parse_order(word) for words in sorts for word in words.split(",") if word.strip())
    if len(order) > 9:
        raise InputError(f"{len(order)} columns; Argilla sorts by ten at most, and the last is ours", option="sort")
    title = where or "All records"
    return Queue("where", title, "Made on the spot.", conditions, order or (Order("p_wrong", "desc"),))


def usable(queue: Queue, properties: Iterable[str]) -> bool:
    """Whether a data set with these metadata properties can show the queue."""
    names = set(properties)
    return all(BY_COLUMN[column].name in names for column in queue.columns)
