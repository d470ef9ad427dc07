"""The queues of a data set on the server with their counts, and the guidelines that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address, terms_filter
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.dataset.layout import managed_layout
from argilla_admap.review.queues.conditions import Order
from argilla_admap.review.queues.guidelines import merge_guidelines, render_guidelines, room_beside, shown_counts
from argilla_admap.review.queues.places import refresh_places
from argilla_admap.review.queues.queues import (
    CONTRACT,
    QUEUES,
    RANDOM_SAMPLE,
    Queue,
    QueueCount,
    adhoc_queue,
    adjudicate_queue,
    reviewer_queue,
    usable,
)
from argilla_admap.review.queues.similar import similar_records

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["count_queue", "count_queues", "find_queues", "last_drawn", "never_pushed", "refresh_overview", "renew_counts"]

_OPEN = terms_filter("status", ["pending"])


def never_pushed(dataset: RemoteDataset) -> bool:
    """Whether the data set has none of the metadata that a push makes."""
    return BY_COLUMN["flags"].name not in dataset.properties


def last_drawn(api: Api, dataset: RemoteDataset | None) -> float:
    """The largest random number in the data set's random sample; 0 where there is none."""
    prop = BY_COLUMN["audit"]
    if dataset is None or not dataset.ready or prop.name not in dataset.properties:
        return 0.0
    found, _ = api.search(dataset, replace(RANDOM_SAMPLE, order=(Order("audit", "desc"),)).body(), limit=1)
    return float(found[0]["metadata"][prop.name]) if found else 0.0


def count_queue(api: Api, dataset: RemoteDataset, queue: Queue) -> QueueCount:
    """One queue with its counts."""
    count = api.count(dataset, queue.body())
    # A draft that was prepared stays open though the record is completed.
    pending = count if queue.status == "draft" else api.count(dataset, queue.body(_OPEN)) if count else 0
    layout = managed_layout(dataset)
    bulk = queue.url(dataset, bulk=10) if layout is not None and layout.bulk_safe else None
    return QueueCount(queue, count, pending, queue.url(dataset), bulk, dataset=dataset.full_name)


def count_queues(api: Api, dataset: RemoteDataset) -> list[QueueCount]:
    """The queues that the data set's metadata can show, then one a reviewer; of the optional ones those that hold a record."""
    queues = [queue for queue in QUEUES.values() if usable(queue, dataset.properties)]
    assigned = BY_COLUMN["reviewer"].name
    if assigned in dataset.properties:
        queues += [reviewer_queue(name) for name in sorted(api.terms(dataset, assigned))]
    asked = BY_COLUMN["adjudicate"].name
    if asked in dataset.properties:
        layout = managed_layout(dataset)
        blind = layout is not None and layout.blind
        queues += [adjudicate_queue(name, blind=blind) for name in sorted(api.terms(dataset, asked))]
    counted = [count_queue(api, dataset, queue) for queue in queues]
    return [found for found in counted if found.count or found.queue.name in CONTRACT]


def find_queues(
    client: rg.Argilla,
    dataset: str,
    *,
    where: str | None = None,
    sort: Sequence[str] = (),
    similar_to: str | None = None,
    by: str | None = None,
) -> list[QueueCount]:
    """The data set's queues; with `where` or `sort` one made on the spot; with `similar_to` the neighbours of a record.

    Args:
        client: of the server.
        dataset: ``[WORKSPACE/]NAME``.
        where: such as ``mean<2 and variance>=1``.
        sort: such as ``p_wrong:desc``.
        similar_to: the record's own id.
        by: what is compared, ``text`` or ``map`` (the place there); by default the texts, where they have a vector.

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
        return [similar_records(api, target, similar_to, by)]
    if queue is None:
        return count_queues(api, target)
    for column in sorted(queue.columns):
        if BY_COLUMN[column].name not in target.properties:
            raise InputError(f"{target.full_name} has no {column!r}: it is noted only where it is used")
    return [count_queue(api, target, queue)]


def renew_counts(api: Api, dataset: RemoteDataset, *, dry: bool = False) -> bool:
    """Counts the queues of a managed data set anew where its guidelines tell of other numbers. Returns whether they do.

    Args:
        api, dataset: whose.
        dry: write nothing.

    Raises:
        ArgillaError: the server refused.
    """
    layout = managed_layout(dataset)
    told = shown_counts(dataset.guidelines)
    if layout is None or told is None or never_pushed(dataset):
        return False
    counts = count_queues(api, dataset)
    # Where there was no room for all, the last are left out.
    now = [found.count for found in counts if not layout.blind or found.queue.neutral]
    if told == now[: len(told)]:
        return False
    if not dry:
        done = api.progress(dataset)
        summary = {**dataset.info.get("summary", {}), "records": done["total"], "reviewed": done["completed"]}
        refresh_overview(api, dataset, counts, map_info=dataset.info.get("map"), summary=summary)
    return True


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
    shown = [c for c in counts if not layout.blind or c.queue.neutral]
    room = room_beside(dataset.guidelines)
    ours = render_guidelines(layout, shown, map_info=map_info, summary=summary, at=datetime.now(timezone.utc), room=room)
    text = merge_guidelines(dataset.guidelines, ours)
    changed = refresh_places(api, dataset, shown)
    if text == dataset.guidelines:
        return changed
    api.update_dataset(dataset, guidelines=text)
    return True
