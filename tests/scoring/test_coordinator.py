"""What workers share, without a cluster: the store, the budget, the prompts in work."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.errors import DefaultModelGone, InputError
from argilla_admap.scoring import coordinator
from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.client.rate_limit import MARGIN, RateLimits
from argilla_admap.scoring.client.request import TokenHistory, Usage
from argilla_admap.scoring.coordinator import Coordinator, LeasedBudget, RemoteStore, WorkerReport
from argilla_admap.scoring.options import ScoreOptions


class Near:
    """A coordinator on an event loop in a thread, as a worker sees it."""

    def __init__(self, store: Path, workers: int = 2, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.coordinator = Coordinator()
        self.call("open", ScoreOptions(store=store, **options), workers)

    def send(self, name: str, *args: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(getattr(self.coordinator, name)(*args), self.loop)

    def result(self, sent: Future[Any]) -> Any:
        return sent.result(10)

    def call(self, name: str, *args: Any) -> Any:
        return self.result(self.send(name, *args))


def entry(number: int) -> CacheEntry:
    return CacheEntry(number.to_bytes(16, "little"), float(number), None, None, None, 1, 1, 0.1)


def test_what_two_workers_put_is_in_the_one_store_before_it_counts(tmp_path: Path) -> None:
    near = Near(tmp_path / "s.sqlite")
    stores = [RemoteStore(tmp_path / "s.sqlite", near, name) for name in "ab"]
    written: list[int] = []
    for number, store in enumerate(stores):
        store.put(entry(number), lambda number=number: written.append(number))  # type: ignore[misc]
        assert not store.flush()
        assert written == list(range(number))
        while not store.flush():
            pass
    assert written == [0, 1]
    assert set(stores[0].look_up([entry(n).key for n in range(3)])) == {entry(n).key for n in range(2)}
    other = Store(tmp_path / "s.sqlite")
    assert other.count() == stores[1].count() == 2
    other.close()
    stores[0].remember_endpoint("e", {"a": 1})
    assert stores[1].endpoint("e") == {"a": 1}
    assert stores[0].version() != stores[0].version()


def test_a_store_is_for_one_run_on_ray_at_a_time(tmp_path: Path) -> None:
    near = Near(tmp_path / "s.sqlite")
    with pytest.raises(InputError, match="another run on Ray has it open"):
        Near(tmp_path / "s.sqlite")
    near.call("end", False)
    Near(tmp_path / "s.sqlite").call("end", False)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_leases_never_pass_the_budget_and_use_it(workers: int, tmp_path: Path) -> None:
    near = Near(tmp_path / "s.sqlite", workers, max_cost=1.0)
    budgets = [LeasedBudget(1.0, near) for _ in range(workers)]
    turn, stopped = 0, 0
    while stopped < workers:
        budget = budgets[turn % workers]
        # The most that a request can cost is twice what it does.
        stopped = 0 if budget.reserve(0.002) else stopped + 1
        if not stopped:
            budget.settle(0.002, 0.001)
        turn += 1
    spent = sum(one.spent for one in budgets)
    assert 1.0 - workers * 16 * 0.002 <= spent <= 1.0
    assert "max_cost" in budgets[0].words()
    budgets[0]._lease += 0.5
    near.call("join", "a", "place")
    near.call("claim", "a", [1])
    # With its last batch a worker gives back what it has left, once.
    near.call("release", "a", [1], budgets[0].surplus())
    assert budgets[0].surplus() == pytest.approx(0.0, abs=1e-9)
    assert near.call("lease", 0.4) == pytest.approx(0.4, abs=0.1)


def test_without_a_limit_no_worker_asks_for_a_lease(tmp_path: Path) -> None:
    near = Near(tmp_path / "s.sqlite")
    near.call("end", False)
    budget = LeasedBudget(None, near)
    assert budget.reserve(1000.0)
    assert budget.left() == 1.0


def test_equal_prompts_are_asked_by_one_worker_at_a_time(tmp_path: Path) -> None:
    near = Near(tmp_path / "s.sqlite")
    for name in "ab":
        near.call("join", name, f"place of {name}")
    near.call("claim", "a", [1, 2])
    near.call("claim", "a", [2, 3])
    waits = near.send("claim", "b", [3, 5])
    near.call("release", "a", [1, 2])
    assert not waits.done()
    # The second claim of the same worker still holds 2 and 3.
    near.call("release", "a", [2, 3])
    waits.result(5)


def test_a_worker_that_begins_again_holds_nothing_of_before_and_its_lease_counts_as_spent(tmp_path: Path) -> None:
    near = Near(tmp_path / "s.sqlite", max_cost=1.0)
    near.call("join", "a", "place")
    near.call("claim", "a", [1])
    assert near.call("lease", 0.9) == pytest.approx(0.9)
    waits = near.send("claim", "b", [1])
    near.call("join", "a again", "place")
    waits.result(5)
    assert near.call("lease", 0.2) == 0.0
    assert "a worker was lost" in near.call("status")[1][0]


def test_the_parts_of_the_rate_are_never_more_than_the_whole_and_the_last_at_work_has_it_all(tmp_path: Path) -> None:
    near = Near(tmp_path / "s.sqlite")
    for name in "ab":
        near.call("join", name, name)
    assert near.call("report", "a", WorkerReport()) == 0.0
    assert near.call("claim", "a", [1]) == 1.0
    second = near.send("claim", "b", [2])
    # Not before the first has heard of its smaller part.
    assert near.call("claim", "a", [3]) == 0.5
    assert second.result(5) == 0.5
    near.call("release", "a", [1])
    assert near.call("report", "b", WorkerReport()) == 0.5
    near.call("release", "a", [3])
    assert near.call("report", "b", WorkerReport()) == 1.0
    near.call("join", "b again", "b")
    assert near.call("claim", "a", [2]) == 1.0


def test_a_rate_that_changes_keeps_what_was_taken_ahead() -> None:
    limits = RateLimits(60 / MARGIN, None)
    limits.take(10.0, 1)
    assert limits.delay(10.0) == pytest.approx(1.0)
    limits.use_share(10.0, 0.5)
    assert limits.delay(10.0) == pytest.approx(2.1, abs=0.11)
    limits.use_share(10.0, 1.0)
    assert limits.delay(10.0) == pytest.approx(1.0)


def test_the_counts_of_all_lives_are_added_and_the_tokens_remembered(tmp_path: Path) -> None:
    near = Near(tmp_path / "s.sqlite")
    usage = Usage(requests=2, input_tokens=9000, output_tokens=2, cost=0.5, estimated_tokens=6000, counted_tokens=9000)
    for name in "ab":
        near.call("join", name, name)
        near.call("take", [], name, WorkerReport(usages={"e m": usage}, cached=1, judges=("m",)))
    near.call("report", "c", WorkerReport(usages={"e m": Usage(requests=1, cost=0.1)}, stopped="not asked"))
    totals, notes, error = near.call("status")
    assert (totals["requests"], totals["cached"], totals["cost_usd"], totals["judges"]) == (5, 2, pytest.approx(1.1), ("m",))
    assert (totals["stopped"], notes, error) == ("not asked", [], None)
    # A worker's own counts would take the place of another's.
    RemoteStore(tmp_path / "s.sqlite", near, "a").remember_endpoint("e m tokens", {"estimated": 1, "counted": 1})
    near.call("end", False)
    assert TokenHistory(Store(tmp_path / "s.sqlite"), "e m").ratio == 1.5


def test_the_end_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    near = Near(tmp_path / "s.sqlite")
    near.call("join", "a", "place")
    ended = near.send("ended")
    end = near.send("end", True)
    ended.result(5)
    near.call("take", [entry(1)], "a", WorkerReport())
    assert not end.done()
    near.call("leave", "a", WorkerReport())
    end.result(5)
    assert Store(tmp_path / "s.sqlite").count() == 1


def test_the_end_does_not_wait_for_a_worker_that_ended_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "_HEARD_WITHIN", 0.1)
    near = Near(tmp_path / "s.sqlite")
    near.call("join", "a", "place")
    near.call("join", "b", "other place")
    near.call("claim", "b", [1])
    end = near.send("end", True)
    time.sleep(0.3)
    # The one that has a batch in work may only be slow.
    assert not end.done()
    near.call("release", "b", [1])
    end.result(5)


def test_a_part_of_the_limits_is_a_part_of_those_that_the_server_states() -> None:
    limits = RateLimits(None, 6000, share=0.25)
    limits.learn({"x-ratelimit-limit-requests": "600"})
    assert limits.requests is not None
    assert limits.tokens is not None
    assert limits.requests.rate == pytest.approx(600 / 60 * MARGIN / 4)
    assert limits.tokens.rate == pytest.approx(6000 / 60 * MARGIN / 4)


@pytest.mark.parametrize(
    "error", [InputError("what", hint="do this", option="max_cost"), DefaultModelGone("gone", hint="x", replacement="m")]
)
def test_an_error_travels_whole(error: InputError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.hint, back.option) == (type(error), str(error), error.hint, error.option)
    assert getattr(back, "replacement", None) == getattr(error, "replacement", None)
