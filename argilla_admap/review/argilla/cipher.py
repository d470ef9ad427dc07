"""The key of a blind data set, and what is encrypted with it. The key lies where annotators get nothing: in the settings of a
metadata property that is hidden from them.

The cipher is deterministic (AES-SIV, RFC 5297): the same text under the same key is encrypted alike, so that a second push
finds nothing to send.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.argilla.properties import HIDDEN_KEY

__all__ = ["decrypt", "encrypt", "key_of", "new_key", "shuffled"]


def new_key() -> str:
    """A key of 256 bits, as Argilla takes it for a value of a terms property."""
    return secrets.token_hex(32)


def key_of(dataset: RemoteDataset) -> str | None:
    """The data set's key; None where there is none, or where the caller may not see it."""
    found = dataset.properties.get(HIDDEN_KEY)
    values = found["settings"].get("values") if found else None
    return str(values[0]) if values else None


def encrypt(key: str, plain: bytes, owner: str = "") -> str:
    """As letters, digits, ``-`` and ``_``, bound to the record that owns it."""
    return base64.urlsafe_b64encode(_cipher(key).encrypt(plain, [_bytes(owner)])).decode().rstrip("=")


def decrypt(key: str, encrypted: Any, owner: str = "") -> bytes | None:
    """What was encrypted; None for anything that was not encrypted with this key for this owner."""
    if not isinstance(encrypted, str):
        return None
    try:
        raw = base64.urlsafe_b64decode(encrypted + "=" * (-len(encrypted) % 4))
        return _cipher(key).decrypt(raw, [_bytes(owner)])
    except (binascii.Error, ValueError, InvalidTag):
        return None


def shuffled(record_id: str, k: int, key: str | None) -> tuple[int, ...]:
    """An order of k completions, the same on every machine and run. Without the key nobody can work it out from the id."""
    secret, seed = bytes.fromhex(key or ""), _bytes(record_id)
    return tuple(sorted(range(k), key=lambda i: hashlib.blake2b(b"%d:" % i + seed, digest_size=8, key=secret).digest()))


def _cipher(key: str) -> AESSIV:
    return AESSIV(bytes.fromhex(key))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
