"""How far the work is: one line that is drawn again on a terminal, a bar in a notebook, a line now and then elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argilla_admap.scoring.run import Progress as Scoring

__all__ = ["ProgressLine", "drawn", "in_notebook"]

#: Seconds between two lines where there is no terminal.
_PAUSE = 10.0
#: Seconds between two drawings on a terminal.
_REDRAW = 0.2


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this: Jupyter's, or another that shows what IPython displays."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def drawn(given: Callable[..., None] | None, kind: str) -> Iterator[Callable[..., None] | None]:
    """What is to be called with the progress: what was given; where nothing was, a bar in a notebook, else nothing.

    Args:
        given: the callback of whoever called.
        kind: which method of `ProgressLine`: ``scoring`` or ``pushing``.
    """
    if given is not None or not in_notebook():
        yield given
        return
    with ProgressLine() as line:
        yield getattr(line, kind)


class ProgressLine:
    """Draws progress; use as a context, so that the line is ended however the work ends."""

    def __init__(self) -> None:
        self._notebook = in_notebook()
        self._bar: Any = None
        self._terminal = sys.stderr.isatty()
        self._last = 0.0
        self._drawn = False
        self._push_started: float | None = None

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def scoring(self, now: Scoring) -> None:
        """Completions scored: done, rate, time left, dollars, unscored."""
        whole = now.total is not None and now.done >= now.total
        rate = now.done / now.seconds if now.seconds > 0 else 0.0
        words = [f"scored {_of(now.done, now.total)} completions", f"{rate:,.0f}/s" if rate >= 1 else f"{60 * rate:,.1f}/min"]
        if now.total and rate > 0 and not whole:
            words.append(f"{duration((now.total - now.done) / rate)} left")
        words.append(f"{now.requests:,} calls")
        if now.cost_usd is not None:
            words.append(f"${now.cost_usd:,.2f}")
        if now.unscored:
            words.append(f"{now.unscored:,} unscored")
        self._show(", ".join(words), now.done, now.total, last=whole)

    def pushing(self, done: int, total: int) -> None:
        """Records sent to Argilla: done, rate, time left."""
        if self._push_started is None:
            self._push_started = time.monotonic()
        seconds = time.monotonic() - self._push_started
        rate = done / seconds if seconds > 0.5 else 0.0
        words = [f"sent {_of(done, total)} records"]
        if rate > 0:
            words.append(f"{rate:,.0f}/s")
            if done < total:
                words.append(f"{duration((total - done) / rate)} left")
        self._show(", ".join(words), done, total, last=done >= total)

    def _show(self, line: str, done: int, total: int | None, *, last: bool) -> None:
        now = time.monotonic()
        if not last and now - self._last < (_REDRAW if self._terminal or self._notebook else _PAUSE):
            return
        self._last = now
        if self._notebook:
            self._draw(line, done, total)
            return
        if not self._terminal:
            sys.stderr.write(line + "\n")
            return
        # Back to the line's start, and clear what a longer line left behind.
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()
        self._drawn = True
        if last:
            self._end()

    def _draw(self, line: str, done: int, total: int | None) -> None:
        """The bar, in its place below the cell."""
        display: Any = sys.modules["IPython.display"]  # a kernel has it
        place = f'value="{done}" max="{total}"' if total else ""
        bar = display.HTML(f"<progress {place}></progress> {html.escape(line)}")
        if self._bar is None:
            self._bar = display.display(bar, display_id=True)
        else:
            self._bar.update(bar)

    def _end(self) -> None:
        if self._drawn:
            sys.stderr.write("\n")
            self._drawn = False


def duration(seconds: float) -> str:
    """A time span in the two largest units that matter, as in ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _of(done: int, total: int | None) -> str:
    return f"{done:,}" if total is None else f"{done:,} of {total:,}"
