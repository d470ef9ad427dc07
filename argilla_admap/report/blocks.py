"""Arrays and texts as compressed base64 blocks of a page; no text of a data set can be read as markup in them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

__all__ = ["Block", "embed_json", "pack_array", "pack_json"]

_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Block:
    """One `<script type="text/plain">` of the page: base64 of a zlib stream."""

    name: str
    data: bytes

    def __len__(self) -> int:
        return len(self.data)

    def element(self) -> bytes:
        """The element; its content is of the base64 alphabet alone."""
        return b'<script type="text/plain" id="' + self.name.encode() + b'">' + self.data + b"</script>\n"


def pack_array(name: str, values: npt.NDArray[Any]) -> Block:
    """The array's bytes, little-endian, ordered by significance (all first bytes, then all second ones, ...).

    Equal high bytes stand together so, and compress to a third less than the plain order.
    """
    plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    planes = plain.view(np.uint8).reshape(-1, plain.dtype.itemsize).T
    return Block(name, base64.b64encode(zlib.compress(planes.tobytes(), _LEVEL)))


def pack_json(name: str, value: Any) -> Block:
    """JSON in a block."""
    return Block(name, base64.b64encode(zlib.compress(orjson.dumps(value), _LEVEL)))


def embed_json(value: Mapping[str, Any]) -> bytes:
    """JSON that can stand inside a `<script type="application/json">`: ASCII, and nothing that ends or opens a tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()
