"""Label, scores and reasons of a blind record: encrypted with the record until its review is completed, then revealed.

Whoever pulls the answers has no map at hand, so what completed records are to show must lie on the server. Argilla hides a
metadata property from annotators in its page and its searches, but answers ``GET /records/{id}`` with all metadata of the
record. So a record carries its hidden part encrypted, and the data set's key lies where annotators get nothing: in the
settings of a metadata property that is hidden from them.

The cipher is deterministic (AES-SIV, RFC 5297): the same part under the same key is the same text, so that a second push finds
nothing to send.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from argilla_admap.review.argilla.argilla_api import BY_AGE, Api, RemoteDataset, terms_filter
from argilla_admap.review.argilla.properties import HIDDEN_KEY, HIDDEN_PART
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.adapters import Managed

__all__ = ["decrypt_hidden", "encrypt_hidden", "hidden_part", "key_of", "new_key", "open_part", "out_of_step", "reveal"]

#: The keys of a card's value that are there from the start: the version, the prompt and the completions.
_OPEN_KEYS = ("_v", "_p", "_c")
_BATCH = 50


def new_key() -> str:
    """A key of 256 bits, as Argilla takes it for a value of a terms property."""
    return secrets.token_hex(32)


def key_of(dataset: RemoteDataset) -> str | None:
    """The data set's key; None where there is none, or where the caller may not see it."""
    found = dataset.properties.get(HIDDEN_KEY)
    values = found["settings"].get("values") if found else None
    return str(values[0]) if values else None


def open_part(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a blind card's value holds from the start."""
    return {name: value[name] for name in _OPEN_KEYS if name in value}


def hidden_part(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a blind card's value holds only once it is revealed."""
    return {name: part for name, part in value.items() if name not in _OPEN_KEYS}


def encrypt_hidden(key: str, record_id: str, part: Mapping[str, Any]) -> str:
    """The part as letters, digits, ``-`` and ``_``, bound to the record."""
    plain = zlib.compress(orjson.dumps(part, option=orjson.OPT_SORT_KEYS), 6)
    return base64.urlsafe_b64encode(_cipher(key).encrypt(plain, [_owner(record_id)])).decode().rstrip("=")


def decrypt_hidden(key: str, record_id: str, encrypted: Any) -> dict[str, Any] | None:
    """What was encrypted; None for anything that was not encrypted with this key for this record."""
    if not isinstance(encrypted, str):
        return None
    try:
        raw = base64.urlsafe_b64decode(encrypted + "=" * (-len(encrypted) % 4))
        plain = _cipher(key).decrypt(raw, [_owner(record_id)])
    except (binascii.Error, ValueError, InvalidTag):
        return None
    part: dict[str, Any] = orjson.loads(zlib.decompress(plain))
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


def _cipher(key: str) -> AESSIV:
    return AESSIV(bytes.fromhex(key))


def _owner(record_id: str) -> bytes:
    return record_id.encode("utf-8", "surrogatepass")
