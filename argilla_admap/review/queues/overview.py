"""The queues of a data set on the server with their counts, and the guidelines that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address
from argilla_admap.review.argilla.properties import BY_COLUMN, POSITION
from argilla_admap.review.argilla.refusals import Refused
from argilla_admap.review.dataset.adapters import external_id, managed_layout
from argilla_admap.review.queues.conditions import Condition, Order
from argilla_admap.review.queues.guidelines import QueueLine, merge_guidelines, render_guidelines, room_beside
from argilla_admap.review.queues.queues import CONTRACT, QUEUES, Queue, adhoc_queue, reviewer_queue, similar_url, usable

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["QueueCount", "Queues", "count_queue", "count_queues", "find_queues", "queues_of", "refresh_overview"]

#: How many neighbours a link shows, about, where it cannot ask for them by number.
_NEAR = 20
_OPEN = {"type": "terms", "scope": {"entity": "record", "property": "status"}, "values": ["pending"]}


@dataclass(frozen=True, slots=True)
class QueueCount:
    """A queue as it stands on the server.

    Attributes:
        queue: its definition.
        count: records that match.
        pending: those of them that still wait for an answer.
        url: opens it in the page, one record at a time.
        bulk_url: opens it ten at a time.
    """

    queue: Queue
    count: int
    pending: int
    url: str
    bulk_url: str

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
        }


def queues_of(api: Api, dataset: RemoteDataset) -> list[Queue]:
    """The queues that the data set's metadata can show: the contract's six, then others, then one a reviewer."""
    names = [*CONTRACT, *(name for name in QUEUES if name not in CONTRACT)]
    found = [QUEUES[name] for name in names if usable(QUEUES[name], dataset.properties)]
    assigned = BY_COLUMN["reviewer"].name
    if assigned in dataset.properties:
        found += [reviewer_queue(name) for name in sorted(api.terms(dataset, assigned))]
    return found


def count_queue(api: Api, dataset: RemoteDataset, queue: Queue) -> QueueCount:
    """One queue with its counts."""
    count = api.count(dataset, queue.body())
    pending = api.count(dataset, queue.body(_OPEN)) if count else 0
    return QueueCount(queue, count, pending, queue.url(dataset), queue.url(dataset, bulk=10))


def count_queues(api: Api, dataset: RemoteDataset) -> list[QueueCount]:
    """The data set's queues with their counts; of the optional ones those that hold a record."""
    counted = [count_queue(api, dataset, queue) for queue in queues_of(api, dataset)]
    return [found for found in counted if found.count or found.queue.name in CONTRACT]


@dataclass(frozen=True, slots=True)
class Queues:
    """The queues that were asked for."""

    dataset: str
    queues: tuple[QueueCount, ...]


def find_queues(
    client: rg.Argilla,
    dataset: str,
    *,
    workspace: str | None = None,
    where: str | None = None,
    sort: Sequence[str] = (),
    similar_to: str | None = None,
) -> Queues:
    """The data set's queues; with `where` or `sort` one made on the spot; with `similar_to` the neighbours of a record.

    Args:
        client: of the server.
        dataset: ``[WORKSPACE/]NAME``.
        workspace: where `dataset` does not say it.
        where: as of ``mean<2 and variance>=1``.
        sort: as of ``p_wrong:desc``.
        similar_to: the record's own id.

    Raises:
        InputError: conditions that cannot be read, or that need metadata which the data set does not have.
        ArgillaError: no such data set or record.
    """
    queue = adhoc_queue(where, sort) if where or sort else None
    api = Api(client)
    target = api.dataset(parse_address(dataset, workspace))
    if BY_COLUMN["flags"].name not in target.properties:
        raise InputError(f"{target.full_name} was never pushed to; do it with `admap push MAP --dataset {target.full_name}`")
    if similar_to is not None:
        return Queues(target.full_name, (_similar(api, target, similar_to),))
    if queue is None:
        return Queues(target.full_name, tuple(count_queues(api, target)))
    for column in sorted(queue.columns):
        if BY_COLUMN[column].name not in target.properties:
            raise InputError(f"{target.full_name} has no {column!r}: it is noted only where it is used")
    return Queues(target.full_name, (count_queue(api, target, queue),))


def _similar(api: Api, target: RemoteDataset, record_id: str) -> QueueCount:
    scope = {"entity": "record", "property": "external_id"}
    body = {"filters": {"and": [{"type": "terms", "scope": scope, "values": [external_id(record_id)]}]}}
    found, _ = api.search(target, body, limit=1)
    if not found:
        raise InputError(f"{target.full_name} holds no record with the id {record_id!r}")
    if POSITION not in target.vectors:
        raise InputError(f"{target.full_name} has no vector {POSITION!r}, so that nothing is near; push the map again")
    title, why = f"Similar to {record_id}", "Their mean and variance are the nearest on the map."
    server_id = str(found[0]["id"])
    try:
        # What the page asks first when such a link opens. Argilla 2.8 answers 500 for a record
        # with vectors; our own server does not.
        api.request("GET", f"/api/v1/records/{server_id}")
    except Refused as error:
        if error.status < 500:
            raise
        return count_queue(
            api, target, Queue("similar", title, why, _around(api, target, server_id), (Order("p_wrong", "desc"),))
        )
    queue = Queue("similar", title, why, (), ())
    url = similar_url(target, server_id)
    return QueueCount(queue, 50, 50, url, url.replace("page=1&", "page=1~10&"))


def _around(api: Api, target: RemoteDataset, server_id: str) -> tuple[Condition, ...]:
    """The smallest ranges of mean and variance that hold the records nearest to this one: a link that every Argilla opens."""
    body = {"query": {"vector": {"name": POSITION, "record_id": server_id, "max_results": _NEAR}}}
    found, _ = api.search(target, body, limit=_NEAR)
    scope = {"entity": "record", "property": "id"}
    own, _ = api.search(target, {"filters": {"and": [{"type": "terms", "scope": scope, "values": [server_id]}]}}, limit=1)
    mean, variance = BY_COLUMN["mean"].name, BY_COLUMN["variance"].name
    points = [item["metadata"] for item in (*own, *found) if {mean, variance} <= (item.get("metadata") or {}).keys()]
    return tuple(
        Condition(prop.column, min(point[prop.name] for point in points), max(point[prop.name] for point in points))
        for prop in (BY_COLUMN["mean"], BY_COLUMN["variance"])
    )


def refresh_overview(
    api: Api,
    dataset: RemoteDataset,
    counts: Sequence[QueueCount],
    *,
    map_info: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> bool:
    """Writes the queues into the guidelines of a data set that we made; what people wrote there stays.

    Somebody else's data set is left as it is. Returns whether anything changed.
    """
    layout = managed_layout(dataset)
    if layout is None:
        return False
    # In a blind review a queue's name says what its records are suspected of.
    # Also "all" does: it opens with the likeliest errors.
    shown = [c for c in counts if not layout.blind or c.queue.name == "mixed" or c.queue.name.startswith("reviewer-")]
    lines = [QueueLine(c.queue.title, c.queue.why, c.count, c.url, c.bulk_url) for c in shown]
    room = room_beside(dataset.guidelines)
    ours = render_guidelines(layout, lines, map_info=map_info, summary=summary, room=room)
    text = merge_guidelines(dataset.guidelines, ours)
    if text == dataset.guidelines:
        return False
    api.update_dataset(dataset, guidelines=text)
    return True
