"""Label, scores and reasons of a blind record, kept with the record and unreadable until its review is completed.

Whoever takes the answers in has no map at hand, so that what completed records are to show must lie on the server. Argilla
hides a metadata property from annotators in its page and its searches, but answers ``GET /records/{id}`` with all metadata of
the record. So a record carries its part sealed, and the data set's key lies where annotators get nothing: in the settings of a
metadata property that is hidden from them.

The cipher is deterministic (AES-SIV, RFC 5297): the same part under the same key is the same text, so that a second push finds
nothing to send.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import zlib
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.argilla.properties import HIDDEN_KEY, HIDDEN_PART

__all__ = ["OPEN_KEYS", "decrypt_hidden", "encrypt_hidden", "hidden_part", "key_of", "new_key", "shown_again"]

#: The keys of a card's value that are there from the start: the version, the prompt and the completions.
OPEN_KEYS = ("_v", "_p", "_c")


def new_key() -> str:
    """A key of 256 bits, as Argilla takes it for a value of a terms property."""
    return secrets.token_hex(32)


def key_of(dataset: RemoteDataset) -> str | None:
    """The data set's key; None where there is none, or where the caller may not see it."""
    found = dataset.properties.get(HIDDEN_KEY)
    values = found["settings"].get("values") if found else None
    return str(values[0]) if values else None


def hidden_part(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a blind card's value holds only once it is revealed."""
    return {name: part for name, part in value.items() if name not in OPEN_KEYS}


def encrypt_hidden(key: str, record_id: str, part: Mapping[str, Any]) -> str:
    """The part as letters, digits, ``-`` and ``_``, bound to the record."""
    plain = zlib.compress(orjson.dumps(part, option=orjson.OPT_SORT_KEYS), 6)
    return base64.urlsafe_b64encode(_cipher(key).encrypt(plain, [_owner(record_id)])).decode().rstrip("=")


def decrypt_hidden(key: str, record_id: str, sealed: Any) -> dict[str, Any] | None:
    """What was sealed; None for anything that was not sealed with this key for this record."""
    if not isinstance(sealed, str):
        return None
    try:
        raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        plain = _cipher(key).decrypt(raw, [_owner(record_id)])
    except (binascii.Error, ValueError, InvalidTag):
        return None
    part: dict[str, Any] = orjson.loads(zlib.decompress(plain))
    return part


def shown_again(item: Mapping[str, Any], key: str, record_id: str, card_field: str) -> dict[str, Any] | None:
    """The fields that a blind record should have now, as its status has it; None where it has them.

    Completed: what was sealed is shown. Not, or not any more, because a further answer was asked for: it is not.

    Args:
        item: the record as the server gives it: ``fields, metadata, status``.
        key: of the data set.
        record_id: the record's own id.
        card_field: the name of the card's field.
    """
    value = item["fields"].get(card_field)
    if not isinstance(value, Mapping):
        return None
    bare = {name: value[name] for name in OPEN_KEYS if name in value}
    if item.get("status") != "completed":
        return {**item["fields"], card_field: bare} if len(bare) < len(value) else None
    if "_s" in value:
        return None
    part = decrypt_hidden(key, record_id, (item.get("metadata") or {}).get(HIDDEN_PART))
    return {**item["fields"], card_field: {**bare, **part}} if part is not None else None


def _cipher(key: str) -> AESSIV:
    return AESSIV(bytes.fromhex(key))


def _owner(record_id: str) -> bytes:
    return record_id.encode("utf-8", "surrogatepass")
