"""A run that is stopped, or whose output cannot be written, ends at once: also with scored batches that nobody takes."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from argilla_admap.errors import ScoringError
from argilla_admap.scoring import output
from argilla_admap.scoring.client.concurrency import ConcurrencyLimiter
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import _ScoringRun, score
from argilla_admap.tables import RecordStream
from tests.doubles.served import ChatJudge, served
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


class _OneSlot(ChatJudge):
    """A judge that answers one question after the other, and slowly; what it was asked meanwhile waits in its queue."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.waiting = self.most = 0
        self.slot: asyncio.Lock | None = None

    async def chat(self, request: web.Request) -> web.Response:
        self.slot = self.slot or asyncio.Lock()
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            async with self.slot:
                await asyncio.sleep(self.seconds)
        finally:
            self.waiting -= 1
        choice = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})


def test_a_slow_judge_of_ones_own_is_asked_no_faster_than_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConcurrencyLimiter, "SLOW", 0.1)
    judge, seen = _OneSlot(0.2), []
    with served(judge.app) as url:
        options = ScoreOptions(
            models=("m",), base_url=f"{url}/v1", store=tmp_path / "s", method="sample", samples=1, timeout=1.5
        )
        scored = score(
            stream([record(f"r{i}", f"p{i}", "a", "b") for i in range(10)]), options, progress=lambda now: seen.append(now.done)
        )
    assert (scored.summary["scored"], scored.summary["retried"]) == (20, 0)
    assert judge.most <= 12  # all twenty, where it is not told from a fast one
    # The batch is in work until the end, and progress moves all the same.
    assert len({done for done in seen if 0 < done < 20}) >= 3


def test_progress_is_not_at_its_end_while_more_samples_are_asked(tmp_path: Path) -> None:
    judge, seen = _OneSlot(0.1), []
    with served(judge.app) as url:
        options = ScoreOptions(models=("m",), base_url=f"{url}/v1", store=tmp_path / "s", method="sample", samples=4)
        rows = stream([record(f"r{i}", f"p{i}", "a", "b") for i in range(4)])
        scored = score(rows, options, progress=lambda now: seen.append((now.done, now.requests)))
    assert scored.summary["scored"] == 8
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    asked = scored.summary["requests"]
    assert asked >= 24
    assert all(done < 8 for done, requests in seen if requests < 0.8 * asked)
    assert any(0 < done < 8 for done, _ in seen)


def test_a_judge_that_is_too_slow_is_left_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = _OneSlot(5.0)
    with served(judge.app) as url, pytest.raises(ScoringError, match=r"no answer in time.*`timeout`.*`concurrency`"):
        score(_many(), ScoreOptions(models=("m",), base_url=f"{url}/v1", store=tmp_path / "s", timeout=0.1))
