"""Python's collector of cycles, held back while many requests are in flight."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["seldom_collected"]

#: New objects before the collector looks for cycles; Python's own is 700 (2,000 from 3.13 on).
_OBJECTS = 50_000

_lock = threading.Lock()
_running = 0
_before = (0, 0, 0)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Makes the collector look once for tens of thousands of new objects, not for hundreds.

    A thousand requests in flight keep many objects alive. At its usual threshold the collector goes through them, and through
    all that is imported, again and again: measured, 40% of a run's CPU. A process that turned the collector off, or holds it
    back further, is left as it is; the last run to end puts the threshold back.
    """
    global _running, _before
    with _lock:
        if _running == 0:
            _before = gc.get_threshold()
            if 0 < _before[0] < _OBJECTS:
                gc.set_threshold(_OBJECTS, *_before[1:])
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                gc.set_threshold(*_before)
