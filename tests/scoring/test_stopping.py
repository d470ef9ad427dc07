"""A run that is stopped, or whose output cannot be written, ends at once: also with scored batches that nobody takes."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.scoring import output
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import _ScoringRun, score
from argilla_admap.tables import RecordStream
from tests.scoring.makers import record, stream


def _many() -> RecordStream:
    return stream([record(f"r{i}", "p", "a", "b", samples=((3.0,), (4.0,))) for i in range(256 * 20)])


def test_closing_while_the_queue_is_full_takes_no_time() -> None:
    run = _ScoringRun(_many(), ScoreOptions(scorer="existing"), None, None, None)
    batches = run.batches()
    next(batches)
    # A slow writer: scored batches pile up.
    deadline = time.monotonic() + 10
    while not run._out.full() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert run._out.full()
    started = time.monotonic()
    batches.close()
    assert time.monotonic() - started < 2.0


def test_an_output_that_fails_while_batches_wait_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(_path: Path, batches: Iterator[Any], *_more: Any) -> None:
        next(batches)
        time.sleep(0.5)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output, "write_parquet", full)
    started = time.monotonic()
    with pytest.raises(OSError, match="No space"):
        score(_many(), ScoreOptions(scorer="existing"), output=tmp_path / "o.parquet")
    assert time.monotonic() - started < 5.0
