"""The keys of the judgement store: hashes of all that decides an answer, the address that gives it included.

Up to version 0.1 the keys of judgements and of written references held the model's name and no address. A store of that time
stays usable: such keys belong to the one address that the store knows for a model, and for a model that it knows no address of,
to OpenAI. Where it knows several, nobody can say whose they are, and they are not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

__all__ = ["KeySpace", "addresses_by_model", "key_hash", "key_space"]

_OPENAI = "https://api.openai.com/v1"
#: What the store remembers of an endpoint and model under names of these endings is no endpoint of its own.
_SUFFIXES = (" tokens", " keys")


def key_hash(*parts: object) -> hashlib.blake2b:
    """The hash of JSON values, no two lists of which are alike; its 16-byte digest is a key, or it is the start of many."""
    return hashlib.blake2b(orjson.dumps(parts), digest_size=16)


class KeySpace(NamedTuple):
    """Which keys are those of an endpoint and model."""

    #: Goes into each key: the address; empty where an old store's keys without one are this endpoint's.
    parts: tuple[str, ...]
    #: What the person is told of it once.
    note: str | None


def key_space(endpoint: str, model: str, old: Mapping[str, Sequence[str]] | None, now: Mapping[str, Sequence[str]]) -> KeySpace:
    """Decides which keys an endpoint and model has.

    Args:
        endpoint: the address.
        model: as the server calls it.
        old: by model, the addresses that were known when keys had none; None: this store never had such keys.
        now: by model, the addresses that the store knows.
    """
    asked = list((old or {}).get(model, ()))
    if old is not None and (asked == [endpoint] or (not asked and endpoint == _OPENAI)):
        return KeySpace(
            (),
            f"answers of {model!r} that the store has from before it kept addresses are used as those of {endpoint}"
            + (", the only address that it knows for this model" if asked else ""),
        )
    if endpoint in asked:
        return KeySpace(
            (endpoint,),
            f"answers of {model!r} that the store has from before it kept addresses are not used: they may be of any of "
            f"{', '.join(asked)}, so {endpoint} is asked again",
        )
    if old is not None and not asked:
        return KeySpace(
            (endpoint,),
            f"the store has answers from before it kept addresses; none of them is known to be of {model!r} at {endpoint}, so "
            "none is used for it",
        )
    others = [address for address in now.get(model, ()) if address != endpoint]
    if others and endpoint not in now.get(model, ()):
        return KeySpace(
            (endpoint,),
            f"the store has answers of {model!r} at {', '.join(others)}; they are not used for {endpoint}, which may serve "
            "another model under that name",
        )
    return KeySpace((endpoint,), None)


def addresses_by_model(names: Sequence[str]) -> dict[str, list[str]]:
    """The addresses of each model, from the names under which the store remembers endpoints: "ADDRESS MODEL"."""
    found: dict[str, set[str]] = {}
    for name in names:
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)  # one name in plain steps
        endpoint, _, model = name.partition(" ")
        if model and "://" in endpoint:
            found.setdefault(model, set()).add(endpoint)
    return {model: sorted(addresses) for model, addresses in found.items()}
