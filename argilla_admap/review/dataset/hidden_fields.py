"""Label, scores and reasons of a blind record: encrypted with the record until its review is completed, then revealed.

Whoever pulls the answers has no map at hand, so what completed records are to show must lie on the server. Argilla hides a
metadata property from annotators in its page and its searches, but answers ``GET /records/{id}`` with all metadata of the
record. So a record carries its hidden part encrypted, see :mod:`argilla_admap.review.argilla.cipher`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from argilla_admap.review.argilla.argilla_api import BY_AGE, Api, RemoteDataset, terms_filter
from argilla_admap.review.argilla.cipher import decrypt, encrypt, key_of
from argilla_admap.review.argilla.properties import HIDDEN_PART
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.adapters import Managed

__all__ = ["decrypt_hidden", "encrypt_hidden", "hidden_part", "open_part", "out_of_step", "reveal"]

#: The keys of a card's value that are there from the start: the version, the prompt and the completions.
_OPEN_KEYS = ("_v", "_p", "_c")
_BATCH = 50


def open_part(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a blind card's value holds from the start."""
    return {name: value[name] for name in _OPEN_KEYS if name in value}


def hidden_part(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a blind card's value holds only once it is revealed."""
    return {name: part for name, part in value.items() if name not in _OPEN_KEYS}


def encrypt_hidden(key: str, record_id: str, part: Mapping[str, Any]) -> str:
    """The part as letters, digits, ``-`` and ``_``, bound to the record."""
    return encrypt(key, zlib.compress(orjson.dumps(part, option=orjson.OPT_SORT_KEYS), 6), record_id)


def decrypt_hidden(key: str, record_id: str, encrypted: Any) -> dict[str, Any] | None:
    """What was encrypted; None for anything that was not encrypted with this key for this record."""
    plain = decrypt(key, encrypted, record_id)
    part: dict[str, Any] | None = None if plain is None else orjson.loads(zlib.decompress(plain))
    return part


def out_of_step(item: Mapping[str, Any]) -> bool:
    """Whether a blind record shows its scores before it is completed, or hides them afterwards."""
    value = item["fields"].get(card.FIELD)
    return isinstance(value, Mapping) and bool(hidden_part(value)) != (item.get("status") == "completed")


def reveal(api: Api, dataset: RemoteDataset, adapter: Managed, ids: Sequence[str]) -> int:
    """Brings the cards of these records in step with their status; answers and metadata are not touched.

    Completed: the hidden part is shown. Not, or not any more, because a further answer was asked for: it is not.

    Args:
        api: of the server.
        dataset, adapter: a blind review.
        ids: the server's, of records that are `out_of_step`.

    Returns:
        the number of records that changed. A record that was pushed before there were keys stays as it is.
    """
    key = key_of(dataset)
    changed = 0
    for start in range(0, len(ids) if key is not None else 0, _BATCH):
        body = {"filters": {"and": [terms_filter("id", ids[start : start + _BATCH])]}, "sort": BY_AGE}
        found, _ = api.search(dataset, body, limit=_BATCH)
        items = []
        for item in found:
            value = _in_step(item, str(key), adapter.record_id(item) or "")
            if value is not None:
                items.append({"id": item["id"], "fields": {**item["fields"], card.FIELD: value}})
        if items:
            api.put_records(dataset, items)
        changed += len(items)
    return changed


def _in_step(item: Mapping[str, Any], key: str, record_id: str) -> dict[str, Any] | None:
    """The card's value that the record should have now; None where it has it."""
    value = item["fields"].get(card.FIELD)
    if not isinstance(value, Mapping) or not out_of_step(item):
        return None
    if item.get("status") != "completed":
        return open_part(value)
    part = decrypt_hidden(key, record_id, (item.get("metadata") or {}).get(HIDDEN_PART))
    return {**open_part(value), **part} if part is not None else None
