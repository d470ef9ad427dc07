"""The records most like one record, by their texts or by their place on the map, as a queue with a preview."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, terms_filter
from argilla_admap.review.argilla.properties import BY_COLUMN, POSITION, TEXTS
from argilla_admap.review.argilla.refusals import Refused
from argilla_admap.review.dataset.adapters import DatasetAdapter, external_id
from argilla_admap.review.dataset.layout import managed_layout
from argilla_admap.review.dataset.recognise import adapter_for
from argilla_admap.review.queues.conditions import Condition, Order
from argilla_admap.review.queues.queues import Queue, QueueCount, similar_url

__all__ = ["links_open", "similar_records"]

#: How many neighbours a link shows: by their number, and about so many where it must ask by their place.
_NEAREST, _NEAR = 50, 20
_PREVIEW, _WIDTH = 9, 80
_VECTORS = {"text": TEXTS, "map": POSITION}
_WHY = {
    TEXTS: "Their prompts and completions are the most alike.",
    POSITION: "Their mean and variance are the nearest on the map.",
}


def similar_records(api: Api, target: RemoteDataset, record_id: str, by: str | None = None) -> QueueCount:
    """The queue of the records most like one.

    Args:
        api, target: the data set.
        record_id: the record's own id.
        by: ``text`` or ``map``; by default the texts, where they have a vector.

    Raises:
        InputError: no such record, or no such vector.
    """
    if by not in (None, *_VECTORS):
        raise InputError(f"{by!r} is neither {' nor '.join(_VECTORS)}", option="by")
    found, _ = api.search(target, {"filters": {"and": [terms_filter("external_id", [external_id(record_id)])]}}, limit=1)
    if not found:
        raise InputError(f"{target.full_name} holds no record with the id {record_id!r}", option="similar_to")
    vector = _VECTORS[by] if by else TEXTS if TEXTS in target.vectors else POSITION
    if vector not in target.vectors:
        raise InputError(f"{target.full_name} has no vector {vector!r}, so nothing is near", hint="push the map again")
    title, server_id = f"Similar to {record_id}", str(found[0]["id"])
    if not links_open(api, server_id):
        if vector == TEXTS and by is not None:
            raise InputError(f"{target.full_name}: this Argilla cannot open links to similar records", hint="ask with `by` map")
        around = _around(api, target, server_id)
        near = Queue("similar", title, _WHY[POSITION], around, (Order("p_wrong", "desc"),))
        count, pending = (api.count(target, near.body(*more)) for more in ((), (terms_filter("status", ["pending"]),)))
        return QueueCount(near, count, pending, near.url(target), None, dataset=target.full_name)
    # The search leaves the record itself out, and its `total` is no count: the neighbours are counted.
    alike = _neighbours(api, target, server_id, _NEAREST, vector)
    pending = sum(item.get("status") == "pending" for item in alike)
    url = similar_url(target, server_id, limit=_NEAREST, vector=vector)
    queue = Queue("similar", title, _WHY[vector], (), ())
    preview: tuple[dict[str, Any], ...] = ()
    with suppress(InputError):  # fields that are not recognised
        adapter = adapter_for(target)
        preview = tuple(_preview(item, adapter) for item in alike[:_PREVIEW])
    layout = managed_layout(target)
    bulk = url.replace("page=1&", "page=1~10&") if layout is not None and layout.bulk_safe else None
    return QueueCount(queue, len(alike), pending, url, bulk, preview, target.full_name)


def links_open(api: Api, server_id: str) -> bool:
    """Whether the server answers what the page asks first when such a link opens.

    Argilla 2.8 answers 500 for a record with vectors; the embedded server does not.
    """
    try:
        api.request("GET", f"/api/v1/records/{server_id}")
    except Refused as error:
        if error.status < 500:
            raise
        return False
    return True


def _preview(item: dict[str, Any], adapter: DatasetAdapter) -> dict[str, Any]:
    texts = adapter.texts(item)
    prompt = " ".join((texts.prompt if texts is not None else "").split())
    return {"id": adapter.record_id(item), "prompt": prompt if len(prompt) <= _WIDTH else prompt[: _WIDTH - 1] + "\u2026"}


def _neighbours(api: Api, target: RemoteDataset, server_id: str, most: int, vector: str = POSITION) -> list[dict[str, Any]]:
    body = {"query": {"vector": {"name": vector, "record_id": server_id, "max_results": most}}}
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
