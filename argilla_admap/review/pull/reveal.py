"""The completed records of a blind review get their label and scores to see; those that are not complete any more lose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from argilla_admap.review.argilla.argilla_api import BY_AGE, Api, RemoteDataset
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.adapters import Managed, managed_layout
from argilla_admap.review.dataset.hidden_fields import OPEN_KEYS, key_of, shown_again
from argilla_admap.review.dataset.server_record import record_id_of

__all__ = ["out_of_step", "reveal"]

_BATCH = 50


def out_of_step(item: Mapping[str, Any]) -> bool:
    """Whether a blind record shows its scores before it is completed, or hides them afterwards."""
    value = item["fields"].get(card.FIELD)
    return isinstance(value, Mapping) and (len(value) > len(OPEN_KEYS)) != (item.get("status") == "completed")


def reveal(api: Api, dataset: RemoteDataset, ids: Sequence[str]) -> int:
    """Brings the cards of these records in step with their status; answers and metadata are not touched.

    Args:
        api: of the server.
        dataset: a blind review of ours; any other is left alone.
        ids: the server's, of records that are `out_of_step`.

    Returns:
        the number of records that changed. A record that was pushed before there were keys stays as it is.
    """
    layout = managed_layout(dataset)
    key = key_of(dataset)
    if layout is None or not layout.blind or key is None:
        return 0
    changed = 0
    adapter = Managed(layout)
    for start in range(0, len(ids), _BATCH):
        scope = {"entity": "record", "property": "id"}
        wanted = {"type": "terms", "scope": scope, "values": list(ids[start : start + _BATCH])}
        found, _ = api.search(dataset, {"filters": {"and": [wanted]}, "sort": BY_AGE}, limit=_BATCH)
        items = []
        for item in found:
            fields = shown_again(item, key, record_id_of(item, adapter) or "", card.FIELD)
            if fields is not None:
                items.append({"id": item["id"], "fields": fields})
        if items:
            api.put_records(dataset, items)
        changed += len(items)
    return changed
