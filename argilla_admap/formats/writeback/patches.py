"""How to take a correction of one row back exactly: what stood there, where, and the digest of the row as it was written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.compressed import open_bytes
from argilla_admap.formats.containers.shard import Shard, TextShard

__all__ = ["Patch", "row_digests", "row_patch", "text_digest", "text_patch", "values_digest"]


@dataclass(frozen=True, slots=True)
class Patch:
    """One row that was corrected.

    Attributes:
        row: its number in the file that was written, from 1.
        digest: of the row as it was written.
        file: its file in a folder, relative; empty for a single file.
        at, length, was: of a text, the characters from `at` on, `length` of them, in whose place `was` stood.
        values: of a table, the columns that changed, with their values before.
    """

    row: int
    digest: str
    file: str = ""
    at: int = 0
    length: int = 0
    was: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        place = {"file": self.file, "row": self.row, "digest": self.digest}
        return place | (
            {"values": dict(self.values)} if self.values else {"at": self.at, "length": self.length, "was": self.was}
        )

    @classmethod
    def from_json(cls, found: Any) -> Patch:
        """What `json` gave.

        Raises:
            InputError: it is none.
        """
        kinds = {"row": int, "digest": str, "file": str, "at": int, "length": int, "was": str, "values": dict}
        if not isinstance(found, dict) or not {"row", "digest"} <= found.keys() <= kinds.keys():
            raise InputError("no patch of a row")
        if any(not isinstance(value, kinds[name]) for name, value in found.items()):
            raise InputError("a value of a patch has the wrong type")
        return cls(**found)

    def text_before(self, raw: bytes) -> bytes:
        """The row's bytes as they were."""
        text = raw.decode("utf-8")
        return (text[: self.at] + self.was + text[self.at + self.length :]).encode()


def text_patch(before: bytes, after: bytes, row: int) -> Patch:
    """Of a row of text; `row` is its number in what is written."""
    old, new = before.decode("utf-8"), after.decode("utf-8")
    head = _alike(old, new)
    tail = _alike(old[head:][::-1], new[head:][::-1])
    return Patch(row, text_digest(after), at=head, length=len(new) - tail - head, was=old[head : len(old) - tail])


def _alike(first: str, second: str) -> int:
    """How many characters the two begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def row_patch(old: Mapping[str, Any], new: Mapping[str, Any], row: int) -> Patch | None:
    """Of a row of a table; None where JSON cannot hold the values that changed."""
    values = {name: value for name, value in old.items() if new[name] != value}
    try:
        exact = orjson.loads(orjson.dumps(values)) == values
    except TypeError:
        exact = False
    return Patch(row, values_digest(new), values=values) if exact else None


def text_digest(raw: bytes) -> str:
    """Of a row's bytes."""
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def values_digest(row: Mapping[str, Any]) -> str:
    """Of a row's values, as Arrow gives them."""
    return hashlib.blake2b(repr(list(row.items())).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def row_digests(shard: Shard) -> Iterator[tuple[int, str, bytes]]:
    """The number and the digest of each row of a file, and the bytes before it, in one pass.

    What stands behind the last row of a text comes last, with the number 0 and no digest.
    """
    if isinstance(shard, TextShard):
        with open_bytes(shard.path, empty=True) as stream:
            for number, lead, raw, _ in shard.pieces(stream):
                yield number, text_digest(raw) if number else "", lead
    else:
        yield from ((number, values_digest(row), b"") for number, row, _ in shard.rows() if row is not None)
