"""Numbers: arrays in, arrays out; no file, no network, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["draw"]


def _no_renderer(_data_map: Any, _ax: Any) -> Any:
    raise RuntimeError("import argilla_admap first: the package sets what draws a map")


#: What `DataMap.plot` draws with: `(data_map, ax) -> axes`. Drawing is a room above this one, and the package sets it.
draw: Callable[[Any, Any], Any] = _no_renderer
