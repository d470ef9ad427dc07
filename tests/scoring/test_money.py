"""Dollars: known before the first call, and never more than allowed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from argilla_admap.errors import InputError
from argilla_admap.scoring.client.budget import Budget, find_price
from argilla_admap.scoring.client.concurrency import ConcurrencyLimiter, Throttle
from argilla_admap.scoring.client.protocol import usage_of
from argilla_admap.scoring.client.rate_limit import Backoff, BackoffPolicy, RateLimiter, RateLimits, duration, retry_after
from argilla_admap.scoring.judging.tokens import estimate_tokens, most_tokens
from argilla_admap.scoring.run import estimate, score
from tests.doubles.judge_server import Judge
from tests.scoring.makers import column, options, records, stream


def test_the_estimate_is_the_bill_within_a_tenth(judge: Judge, tmp_path: Any) -> None:
    rows = records(40)
    chosen = options(judge.url, tmp_path)
    before = estimate(stream(rows), chosen)
    assert judge.counts()["requests"] == 0
    assert not (tmp_path / "store.sqlite").exists()
    bill = score(stream(rows), chosen).summary
    assert (before["requests"], before["cached"], before["completions"]) == (80, 0, 80)
    assert before["cost_usd"] == pytest.approx(bill["cost_usd"], rel=0.1)
    after = estimate(stream(rows), chosen)
    assert (after["requests"], after["cached"], after["cost_usd"]) == (0, 80, 0)


def test_an_endpoint_that_counts_otherwise_is_learned(judge: Judge, tmp_path: Any) -> None:
    judge.behave(tokens_a_char=0.5)
    chosen = options(judge.url, tmp_path)
    score(stream(records(40)), chosen)
    rows = records(200)[100:]
    before = estimate(stream(rows), chosen)
    bill = score(stream(rows), chosen).summary
    assert before["input_tokens"] == pytest.approx(bill["input_tokens"], rel=0.05)


@pytest.mark.parametrize("method", ["auto", "json"])
def test_the_budget_is_never_passed_and_what_is_left_is_said(judge: Judge, tmp_path: Any, method: str) -> None:
    judge.behave(latency=0.02)
    most = 0.05
    scored = score(stream(records(200)), options(judge.url, tmp_path, max_cost=most, concurrency=64, method=method))
    counts = judge.counts()
    price = find_price("gpt-4o", None)
    assert price is not None
    paid = price.cost(counts["tokens_in"], counts["tokens_out"])
    assert 0.8 * most < paid <= most
    assert scored.summary["cost_usd"] == pytest.approx(paid)
    assert scored.summary["unscored"] > 0
    assert {error for error in column(scored, "errors") if error} == {scored.summary["stopped"]}
    assert "`max_cost`" in scored.summary["stopped"]


def test_a_budget_needs_a_price(judge: Judge, tmp_path: Any) -> None:
    with pytest.raises(InputError, match="`price`"):
        score(stream(records(3)), options(judge.url, tmp_path, models=("nobody-lists-this",), max_cost=1.0))
    assert judge.counts()["requests"] == 0
    by_hand = options(judge.url, tmp_path, models=("nobody-lists-this",), max_cost=1.0, price=(1.0, 2.0))
    summary = score(stream(records(3)), by_hand).summary
    assert summary["cost_usd"] == pytest.approx((summary["input_tokens"] + 2 * summary["output_tokens"]) / 1e6)


def test_prices_are_those_of_one_request() -> None:
    price = find_price("gpt-4o", None)
    assert price is not None
    assert price.cost(500, 1) * 1e6 == pytest.approx(1260)
    flex = find_price("gpt-4o", None, "flex")
    assert flex is not None
    assert flex.cost(500, 1) == pytest.approx(price.cost(500, 1) / 2)
    assert price.cost(500, 1, 400) < price.cost(500, 1)
    assert find_price("nobody-lists-this", None) is None


def test_a_budget_counts_what_is_in_flight() -> None:
    budget = Budget(1.0)
    assert budget.reserve(0.6)
    assert not budget.reserve(0.5)
    budget.settle(0.6, 0.1)
    assert budget.reserve(0.9)
    assert not budget.reserve(0.01)


@pytest.mark.parametrize("text", ["", "plain words", "数学と科学", "مرحبا بالعالم", "🌱" * 10, "a" * 100, "1" * 50, "\n \t"])
def test_an_estimate_is_below_the_most(text: str) -> None:
    assert 0 < estimate_tokens(text) <= max(1, most_tokens(text) + 1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m3s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6ms"}, 0.006),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    found = retry_after(headers)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("text", "seconds"), [("6m0s", 360), ("1s", 1), ("6ms", 0.006), ("1h2m3.5s", 3723.5), ("20", 20)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


def test_a_pace_lets_through_its_rate_and_no_more() -> None:
    pace, now, taken = RateLimiter(10.0, 0.1), 100.0, 0
    while now < 110.0:
        if pace.delay(now) == 0.0:
            pace.take(now, 1)
            taken += 1
        now += 0.003
    assert 99 <= taken <= 102


def test_tokens_not_used_are_given_back() -> None:
    limits = RateLimits(tpm=60_000)
    limits.take(100.0, 5000)
    full = limits.delay(100.0)
    limits.settle(5000, 1000)
    assert full > 3.0
    assert limits.delay(100.0) == pytest.approx(max(0.0, full - 4000 / (1000 * 0.985)))


def test_a_server_states_its_limits_unless_the_user_has() -> None:
    headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-limit-tokens": "60000"}
    told, said = RateLimits(), RateLimits(rpm=60)
    told.learn(headers)
    said.learn(headers)
    assert told.requests is not None
    assert told.requests.rate == pytest.approx(9.85)
    assert said.requests is not None
    assert said.requests.rate == pytest.approx(0.985)


def test_a_refusal_makes_all_wait() -> None:
    limits = RateLimits()
    limits.refused(100.0, 3.0, Backoff.FIRST)
    assert limits.delay(101.0) == pytest.approx(2.0)
    assert limits.delay(103.0) == 0.0


def test_a_server_that_refuses_by_chance_is_not_asked_ever_slower() -> None:
    throttle = Throttle(concurrency=1000)
    throttle.concurrency.now = 400.0
    at_once, levels = [], []
    for tenth in range(300):
        now = 100.0 + tenth / 10
        for _ in range(19):
            throttle.answered(now, 0.2, {})
        at_once.append(throttle.refused(now, 0.1))
        levels.append(throttle.concurrency.now)
    assert at_once[0]
    assert not at_once[-1]
    assert throttle.limits.requests is None
    assert throttle.limits.delay(now) == 0.0
    assert min(levels) < 400 <= levels[-1]
    assert throttle.concurrency.has_room(399)


def test_a_server_with_a_limit_is_asked_slower_until_it_lets_all_through() -> None:
    refusals, said = BackoffPolicy(), []
    for second, (answered, refused) in enumerate([(100, 100), (100, 50), (100, 12), (99, 0), (98, 0), (98, 0)]):
        for _ in range(answered):
            refusals.answered()
        said += [refusals.refused(100 + 1.1 * second + n / 1000) for n in range(refused)]
    assert said.count(Backoff.FIRST) == 1
    assert said.count(Backoff.SLOWER) == 2
    assert Backoff.IN_VAIN not in said


def test_concurrency_doubles_until_it_is_refused() -> None:
    level = ConcurrencyLimiter(1000)
    level.now = 20.0
    for _ in range(20):
        level.answered(0.2)
    assert level.now == 40.0
    level.refused(Backoff.FIRST)
    assert level.now == 20.0
    level.answered(0.2)
    assert 20.0 < level.now < 20.1


def test_answers_of_different_length_are_no_queue() -> None:
    level, chance = ConcurrencyLimiter(), random.Random(1)
    for _ in range(5000):
        level.answered(chance.uniform(0.05, 0.65))
    assert level.now > 400


def test_a_server_that_answers_from_a_queue_is_not_flooded() -> None:
    level = ConcurrencyLimiter()
    for _ in range(5000):
        # Twenty at a time, a tenth of a second each.
        level.answered(0.1 * max(1.0, level.now / 20))
    assert level.now < 250


@pytest.mark.parametrize("says", [True, False])
def test_a_limit_by_windows_that_nobody_states_is_found_and_kept(says: bool) -> None:
    """A server that lets 300 through in every three seconds, and all of them at once."""
    throttle, now, window, let, sent = Throttle(), 100.0, 100.0, 0, [(0.0, False)]
    while now < 160.0:
        if throttle.limits.delay(now) == 0.0:
            if now >= window + 3.0:
                window, let = now - (now - 100.0) % 3.0, 0
            throttle.limits.take(now, 0)
            let += 1
            sent.append((now, let > 300))
            if let > 300:
                throttle.refused(now, window + 3.0 - now if says else None)
            else:
                throttle.answered(now, 0.05, {})
        now += 0.001
    late = [refused for at, refused in sent if at > 120.0]
    assert late.count(True) < 0.02 * len(late)
    assert late.count(False) > 0.8 * 40 * 100


@pytest.mark.parametrize("headers", [True, False])
def test_an_enforced_limit_is_used_and_kept(judge: Judge, tmp_path: Any, headers: bool) -> None:
    judge.behave(rpm=3000, latency=0.02, limit_headers=headers)
    score(stream(records(200)), options(judge.url, tmp_path, rpm=None if headers else 3000))
    counts = judge.counts()
    late = [t for t in counts["times"] if t > 2]
    refused = [t for t in counts["refused_times"] if t > 2]
    assert counts["paid"] == 400
    assert len(refused) <= 0.01 * len(late)
    # 50 a second are allowed; the machine of the tests may be busy, so this only shows that the pace is near it.
    assert counts["times"][-1] < 1.5 * 400 / 50


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 120, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 100}}, (120, 2, 100)),
        ({"input_tokens": 120, "output_tokens": 2}, (120, 2, 0)),
        ({"prompt_tokens": -5, "completion_tokens": -1}, (99, 0, 0)),
        ({"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 5000}}, (10, 1, 10)),
        ({"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": -7}}, (10, 1, 0)),
        ({"prompt_tokens": "many", "completion_tokens": None}, (99, 0, 0)),
        # As gateways written in JavaScript count.
        ({"prompt_tokens": 300.0, "completion_tokens": 2.0, "total_tokens": 302.0}, (300, 2, 0)),
        ({"prompt_tokens": "300", "completion_tokens": "2"}, (300, 2, 0)),
        # Thoughts that are counted beside the answer, or only in the sum.
        ({"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 1101}, (300, 801, 0)),
        (
            {"prompt_tokens": 300, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 800}},
            (300, 801, 0),
        ),
        (
            {"prompt_tokens": 300, "completion_tokens": 801, "completion_tokens_details": {"reasoning_tokens": 800}},
            (300, 801, 0),
        ),
        ({"prompt_tokens": float("nan"), "completion_tokens": 1}, (99, 1, 0)),
        ({}, (99, 1, 0)),
        (None, (99, 1, 0)),
        ([], (99, 1, 0)),
    ],
)
def test_a_bill_that_makes_no_sense_never_lowers_what_was_spent(usage: object, counted: tuple[int, int, int]) -> None:
    assert usage_of({"usage": usage}, 99) == counted
