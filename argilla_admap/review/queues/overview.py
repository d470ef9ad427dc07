"""The queues of a data set on the server with their counts, and the guidelines that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address, terms_filter
from argilla_admap.review.argilla.properties import BY_COLUMN, POSITION
from argilla_admap.review.argilla.refusals import Refused
from argilla_admap.review.dataset.adapters import external_id
from argilla_admap.review.dataset.layout import managed_layout
from argilla_admap.review.queues.conditions import Condition, Order
from argilla_admap.review.queues.guidelines import merge_guidelines, render_guidelines, room_beside
from argilla_admap.review.queues.places import refresh_places
from argilla_admap.review.queues.queues import (
    CONTRACT,
    QUEUES,
    Queue,
    QueueCount,
    adhoc_queue,
    adjudicate_queue,
    reviewer_queue,
    similar_url,
    usable,
)

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["count_queue", "count_queues", "find_queues", "never_pushed", "refresh_overview"]

#: How many neighbours a link shows: by their number, and about so many where it must ask by their place.
_NEAREST, _NEAR = 50, 20
_OPEN = terms_filter("status", ["pending"])


def never_pushed(dataset: RemoteDataset) -> bool:
    """Whether the data set has none of the metadata that a push makes."""
    return BY_COLUMN["flags"].name not in dataset.properties


def count_queue(api: Api, dataset: RemoteDataset, queue: Queue) -> QueueCount:
    """One queue with its counts."""
    count = api.count(dataset, queue.body())
    # A draft that was prepared stays open though the record is completed.
    pending = count if queue.status == "draft" else api.count(dataset, queue.body(_OPEN)) if count else 0
    return QueueCount(queue, count, pending, queue.url(dataset), queue.url(dataset, bulk=10))


def count_queues(api: Api, dataset: RemoteDataset) -> list[QueueCount]:
    """The queues that the data set's metadata can show, then one a reviewer; of the optional ones those that hold a record."""
    queues = [queue for queue in QUEUES.values() if usable(queue, dataset.properties)]
    assigned = BY_COLUMN["reviewer"].name
    if assigned in dataset.properties:
        queues += [reviewer_queue(name) for name in sorted(api.terms(dataset, assigned))]
    asked = BY_COLUMN["adjudicate"].name
    if asked in dataset.properties:
        queues += [adjudicate_queue(name) for name in sorted(api.terms(dataset, asked))]
    counted = [count_queue(api, dataset, queue) for queue in queues]
    return [found for found in counted if found.count or found.queue.name in CONTRACT]


def find_queues(
    client: rg.Argilla,
    dataset: str,
    *,
    where: str | None = None,
    sort: Sequence[str] = (),
    similar_to: str | None = None,
) -> tuple[RemoteDataset, list[QueueCount]]:
    """The data set's queues; with `where` or `sort` one made on the spot; with `similar_to` the neighbours of a record.

    Args:
        client: of the server.
        dataset: ``[WORKSPACE/]NAME``.
        where: such as ``mean<2 and variance>=1``.
        sort: such as ``p_wrong:desc``.
        similar_to: the record's own id.

    Raises:
        InputError: conditions that cannot be read, or that need metadata which the data set does not have.
        ArgillaError: no such data set or record.
    """
    queue = adhoc_queue(where, sort) if where or sort else None
    api = Api(client)
    target = api.dataset(parse_address(dataset))
    if never_pushed(target):
        raise InputError(f"{target.full_name} was never pushed to", hint="push a map to it with `admap push`")
    if similar_to is not None:
        return target, [_similar(api, target, similar_to)]
    if queue is None:
        return target, count_queues(api, target)
    for column in sorted(queue.columns):
        if BY_COLUMN[column].name not in target.properties:
            raise InputError(f"{target.full_name} has no {column!r}: it is noted only where it is used")
    return target, [count_queue(api, target, queue)]


def _similar(api: Api, target: RemoteDataset, record_id: str) -> QueueCount:
    found, _ = api.search(target, {"filters": {"and": [terms_filter("external_id", [external_id(record_id)])]}}, limit=1)
    if not found:
        raise InputError(f"{target.full_name} holds no record with the id {record_id!r}", option="similar_to")
    if POSITION not in target.vectors:
        raise InputError(f"{target.full_name} has no vector {POSITION!r}, so nothing is near", hint="push the map again")
    title, why = f"Similar to {record_id}", "Their mean and variance are the nearest on the map."
    server_id = str(found[0]["id"])
    try:
        # What the page asks first when such a link opens. Argilla 2.8 answers 500 for a record
        # with vectors; the embedded server does not.
        api.request("GET", f"/api/v1/records/{server_id}")
    except Refused as error:
        if error.status < 500:
            raise
        around = _around(api, target, server_id)
        return count_queue(api, target, Queue("similar", title, why, around, (Order("p_wrong", "desc"),)))
    # The search leaves the record itself out, and its `total` is no count: the neighbours are counted.
    near = _neighbours(api, target, server_id, _NEAREST)
    pending = sum(item.get("status") == "pending" for item in near)
    url = similar_url(target, server_id, limit=_NEAREST)
    return QueueCount(Queue("similar", title, why, (), ()), len(near), pending, url, url.replace("page=1&", "page=1~10&"))


def _neighbours(api: Api, target: RemoteDataset, server_id: str, most: int) -> list[dict[str, Any]]:
    body = {"query": {"vector": {"name": POSITION, "record_id": server_id, "max_results": most}}}
    return api.search(target, body, limit=most)[0]


def _around(api: Api, target: RemoteDataset, server_id: str) -> tuple[Condition, ...]:
    """The smallest ranges of mean and variance that hold the records nearest to this one: a link that every Argilla opens."""
    own, _ = api.search(target, {"filters": {"and": [terms_filter("id", [server_id])]}}, limit=1)
    props = (BY_COLUMN["mean"], BY_COLUMN["variance"])
    near = [item.get("metadata") or {} for item in (*own, *_neighbours(api, target, server_id, _NEAR))]
    points = [metadata for metadata in near if all(prop.name in metadata for prop in props)]
    return tuple(
        Condition(prop.column, min(point[prop.name] for point in points), max(point[prop.name] for point in points))
        for prop in props
    )


def refresh_overview(
    api: Api,
    dataset: RemoteDataset,
    counts: Sequence[QueueCount],
    *,
    map_info: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> bool:
    """Writes the queues into the guidelines and the card of a managed data set; what people wrote there stays.

    An external data set is left as it is. Returns whether anything changed.
    """
    layout = managed_layout(dataset)
    if layout is None:
        return False
    # In a blind review a queue's name says what its records are suspected of; "all" opens with the likeliest errors.
    shown = [
        c
        for c in counts
        if not layout.blind or c.queue.name == "mixed" or c.queue.name.startswith(("reviewer-", "adjudicate-"))
    ]
    room = room_beside(dataset.guidelines)
    ours = render_guidelines(layout, shown, map_info=map_info, summary=summary, room=room)
    text = merge_guidelines(dataset.guidelines, ours)
    changed = refresh_places(api, dataset, shown)
    if text == dataset.guidelines:
        return changed
    api.update_dataset(dataset, guidelines=text)
    return True
