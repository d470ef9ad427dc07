"""Numbers: arrays in, arrays out; no file, no network, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["draw"]


def _no_renderer(data_map: Any, ax: Any) -> Any:
    raise NotImplementedError("no renderer is set")


#: What `DataMap.plot` draws with: `(data_map, ax) -> axes`. Drawing is a room above this one, and the package sets it.
draw: Callable[[Any, Any], Any] = _no_renderer
