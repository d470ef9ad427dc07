"""Servers that keep to the protocol in their own ways: a score is right or absent, and the server's own words are said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.errors import JudgeRefused, ScoringError
from argilla_admap.scoring.client.dispatcher import Dispatcher
from argilla_admap.scoring.run import Scored, estimate, score
from tests.doubles.odd_judges import KINDS, OddJudge
from tests.doubles.served import served
from tests.scoring.makers import column, options, records, stream

STOPPED = {
    "an error inside 200": "no worker",
    "no credit, inside 200": "add some, or name another endpoint",
    "no balance, inside 200": "add some, or name another endpoint",
    "gone": "is gone.*`model`",
    "decommissioned": "decommissioned.*`model`",
    "the key's limit": "Key limit exceeded.*raise its limit",
    "something else": '"version":3.*`base_url`',
    "all is refused": "refuses every question.*Not today",
    "a login page": "web page: Sign in Please sign in.*login",
}
LEFT = {
    "flagged": "your prompt was flagged",
    "inspected": "inappropriate content",
    "too long": "too long for this judge",
    "a refusal of no known kind": "We would rather not",
    "blocked": "PROHIBITED_CONTENT",
    "forty": "not on the scale",
    "four of ten": "another scale",
    "four and a half": "not on the scale",
    "prose": "no grade",
    "prose, with long thoughts": "no grade",
}
RIGHT = [kind for kind in KINDS if kind not in STOPPED and kind not in LEFT]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many tries as ever, and a tenth of the time between them."""
    monkeypatch.setattr(Dispatcher, "retries", replace(Dispatcher.retries, pause=Dispatcher.retries.pause / 10))


@contextmanager
def _asked(kind: str, folder: Path, n: int = 6, **more: Any) -> Iterator[tuple[OddJudge, Any]]:
    judge = OddJudge(kind)
    with served(judge.app) as url:
        yield judge, lambda: score(stream(records(n)), options(f"{url}/v1", folder, models=("m",), **more))


def _wrong(scored: Scored) -> list[float]:
    true = [(i + j) % 5 + 1 for i in range(len(scored.table())) for j in range(2)]
    pairs = zip(column(scored, "scores"), true, strict=True)
    return [got for got, right in pairs if got is not None and abs(got - right) > 0.15]


@pytest.mark.parametrize("kind", RIGHT)
def test_an_answer_in_another_form_is_understood(tmp_path: Path, kind: str) -> None:
    with _asked(kind, tmp_path) as (_, run):
        scored = run()
    assert (scored.summary["scored"], _wrong(scored)) == (12, []), scored.summary["reasons"]


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_not_answered_is_left_with_the_servers_own_words(tmp_path: Path, kind: str) -> None:
    with _asked(kind, tmp_path) as (_, run):
        scored = run()
    assert _wrong(scored) == []
    errors = [error for error in column(scored, "errors") if error]
    assert len(errors) == (8 if kind in ("flagged", "inspected", "too long", "a refusal of no known kind") else 12)
    assert all(LEFT[kind] in error for error in errors), errors


@pytest.mark.parametrize("kind", STOPPED)
def test_what_will_not_change_stops_the_run_with_the_servers_words_and_advice(tmp_path: Path, kind: str) -> None:
    with _asked(kind, tmp_path, n=60) as (judge, run), pytest.raises(ScoringError, match=STOPPED[kind]) as caught:
        run()
    assert judge.asked <= (105 if kind == "all is refused" else 40)
    assert isinstance(caught.value, JudgeRefused) or "answers with errors only" in str(caught.value)


def test_probabilities_are_kept_where_five_of_them_are_given(tmp_path: Path) -> None:
    for kind in ("at most five logprobs", "logprobs as an object", "logprobs of the older protocol"):
        with _asked(kind, tmp_path / kind.replace(" ", "-")) as (_, run):
            (tmp_path / kind.replace(" ", "-")).mkdir()
            scored = run()
        assert column(scored, "score_counts") == [1] * 12
        assert all(column(scored, "score_variances"))


def test_a_judge_that_gives_no_grade_is_stopped_after_a_few_dozen_answers(tmp_path: Path) -> None:
    with _asked("prose", tmp_path, n=400) as (judge, run), pytest.raises(JudgeRefused, match=r"I like this .*`model`"):
        run()
    assert judge.asked <= 48


def test_a_judge_that_thinks_for_nothing_is_stopped_before_a_dollar(tmp_path: Path) -> None:
    kind = "prose, with long thoughts"
    with _asked(kind, tmp_path, n=400, price=(1.0, 10.0)) as (judge, run), pytest.raises(JudgeRefused, match="I like this"):
        run()
    assert 0.5 < (judge.tokens_in + 10 * judge.tokens_out) / 1e6 < 1.0


def test_thoughts_that_are_shown_are_counted_even_where_the_server_counts_none(tmp_path: Path) -> None:
    with _asked("thoughts that nobody counts", tmp_path) as (judge, run):
        summary = run().summary
    assert summary["output_tokens"] >= 600 * judge.asked


def test_a_budget_holds_where_thoughts_are_billed_beyond_the_limit(tmp_path: Path) -> None:
    most = 0.3
    with _asked("thoughts only in the sum", tmp_path, n=200, price=(1.0, 10.0), max_cost=most) as (judge, run):
        scored = run()
    paid = (judge.tokens_in + 10 * judge.tokens_out) / 1e6
    assert 0.8 * most < paid <= most
    assert scored.summary["cost_usd"] == pytest.approx(paid)


def test_a_dry_run_has_learned_how_many_tokens_an_answer_takes(tmp_path: Path) -> None:
    judge = OddJudge("thoughts only in the sum")
    with served(judge.app) as url:
        chosen = options(f"{url}/v1", tmp_path, models=("m",), price=(1.0, 10.0))
        score(stream(records(10)), chosen)
        before = estimate(stream(records(60)[10:]), chosen)
        bill = score(stream(records(60)[10:]), chosen).summary
    assert before["output_tokens"] == pytest.approx(bill["output_tokens"], rel=0.1)
    assert before["cost_usd"] == pytest.approx(bill["cost_usd"], rel=0.1)


def test_a_server_that_refuses_everything_as_too_many_is_said_and_then_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dispatcher, "retries", replace(Dispatcher.retries, told_after=0.4, longest_wait=2.0))
    judge = OddJudge("prose")
    judge.answer = lambda *_: (429, {"error": {"message": "You have reached your daily quota."}}, "application/json")
    said: list[str] = []
    with served(judge.app) as url, pytest.raises(JudgeRefused, match=r"daily quota.*run the same again later"):
        score(stream(records(6)), options(f"{url}/v1", tmp_path, models=("m",)), warn=said.append)
    assert ["daily quota" in words and "asked again" in words for words in said] == [True]
