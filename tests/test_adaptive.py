"""Adaptive spending: more samples, or a second judge, only where a label is undecided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import argilla_admap as admap
from argilla_admap.adaptive import estimate, next_round, score_adaptively
from argilla_admap.errors import InputError
from argilla_admap.example_data import write_example
from argilla_admap.formats import registry
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.output import Scored
from argilla_admap.scoring.run import score
from tests.bench.adaptive import adaptive, uniform
from tests.doubles.judge_server import Judge
from tests.scoring.makers import options, records, stream


@pytest.fixture
def preferences(tmp_path: Path) -> Path:
    return write_example(tmp_path)[0]


def _rows(scored: Scored, column: str) -> list[Any]:
    return scored.table().column(column).to_pylist()


def test_what_is_undecided_is_judged_again_and_nothing_is_paid_twice(preferences: Path, judge: Judge, tmp_path: Path) -> None:
    judge.behave(logprobs="none", noise=True)
    options: dict[str, Any] = {"base_url": judge.url, "adaptive": True, "store": tmp_path / "store.sqlite"}
    scored = admap.score(admap.read(preferences), **options)
    completions = scored.summary["completions"]
    assert completions < scored.summary["requests"] <= 2 * completions + 4, "the probe's few calls come on top"
    counts = [tuple(row) for row in _rows(scored, "score_counts")]
    assert min(map(min, counts)) == 1
    assert max(map(max, counts)) > 1
    samples = scored.table().column("samples").to_pylist()
    assert [tuple(len(s) for s in row) for row in samples] == counts

    again = admap.score(admap.read(preferences), **options)
    assert again.summary["requests"] == 0
    assert again.table().column("scores").equals(scored.table().column("scores"))


def test_a_second_judge_looks_only_at_what_is_undecided(preferences: Path, judge: Judge, tmp_path: Path) -> None:
    scored = admap.score(
        admap.read(preferences), model="first", screen="second", base_url=judge.url, store=tmp_path / "s.sqlite"
    )
    looked = scored.summary["screen"]["records"]
    assert 0 < looked <= 0.2 * scored.summary["records"] + 1
    second = _rows(scored, "scores.second")
    assert sum(any(s is not None for s in row) for row in second) == looked
    first = _rows(scored, "scores.first")
    combined = _rows(scored, "scores")
    for a, b, both in zip(first, second, combined, strict=True):
        expected = [x if y is None else (x + y) / 2 for x, y in zip(a, b, strict=True)]
        assert both == pytest.approx(expected)
    assert admap.build_map(scored).summary["mapped"] == scored.summary["records"]


def test_the_budget_holds_for_all_rounds_together(preferences: Path, judge: Judge, tmp_path: Path) -> None:
    judge.behave(logprobs="none", noise=True)
    options: dict[str, Any] = {"base_url": judge.url, "adaptive": True, "store": tmp_path / "store.sqlite"}
    scored = admap.score(admap.read(preferences), max_cost=0.7, **options)
    assert 0.3 < scored.summary["cost_usd"] <= 0.7
    assert scored.summary["stopped"]


@pytest.mark.parametrize(("more", "share"), [({"adaptive": True}, 0.5), ({"screen": "gpt-4o-mini"}, 0.2)])
def test_the_estimate_says_what_a_run_may_come_to_at_most(
    preferences: Path, judge: Judge, tmp_path: Path, more: dict[str, Any], share: float
) -> None:
    judge.behave(logprobs="none", noise=True)
    options = ScoreOptions(base_url=judge.url, method="sample", store=tmp_path / "store.sqlite", **more)
    before = estimate(admap.read(preferences), options)
    assert judge.counts()["requests"] == 0
    assert before["at_most"]["requests"] == pytest.approx((1 + share) * before["requests"], rel=0.01)
    assert before["at_most"]["cost_usd"] > before["cost_usd"]

    done = score_adaptively(admap.read(preferences), options).summary
    assert before["requests"] < done["requests"] <= before["at_most"]["requests"]
    assert done["cost_usd"] <= 1.1 * before["at_most"]["cost_usd"]
    after = estimate(admap.read(preferences), options)
    assert (after["requests"], after["cached"]) == (0, before["requests"])


def test_a_panel_and_a_second_judge_do_not_go_together(preferences: Path, judge: Judge) -> None:
    with pytest.raises(InputError, match="`screen`"):
        admap.score(admap.read(preferences), model=["a", "b"], screen="c", base_url=judge.url)
    assert judge.counts()["requests"] == 0


def test_on_recorded_samples_half_of_the_calls_find_what_three_for_all_find() -> None:
    seeds = range(4)
    spent, _, adaptive_ap = np.mean([adaptive(seed, 1.5) for seed in seeds], axis=0)
    _, _, uniform_ap = np.mean([uniform(seed, 3) for seed in seeds], axis=0)
    _, _, once_ap = np.mean([uniform(seed, 1) for seed in seeds], axis=0)
    assert spent <= 1.5
    assert adaptive_ap >= uniform_ap - 0.01
    assert adaptive_ap > once_ap


def test_without_labels_more_samples_go_to_the_borders_of_the_regions(judge: Judge, tmp_path: Path) -> None:
    judge.behave(logprobs="none", noise=True)
    rows = list(registry.read(write_example(tmp_path)[0], limit=120).records())
    unlabelled = stream([replace(record, ratings=(None,) * len(record.completions)) for record in rows])
    scored = admap.score(unlabelled, base_url=judge.url, adaptive=True, store=tmp_path / "store.sqlite")
    completions = scored.summary["completions"]
    counts = _rows(scored, "score_counts")
    assert completions < sum(map(sum, counts)) <= 1.5 * completions
    assert scored.summary["adaptive"]["records_judged_again"] > 0
    assert all(len(set(row)) == 1 for row in counts), "a region hangs on all completions of a record"


def test_the_most_undecided_come_first_and_only_their_best_and_worst() -> None:
    p = np.array([0.01, 0.5, 0.3, 0.99])
    ratings = [[1, 2, 3]] * 4
    plan = next_round(["a", "b", "c", "d"], p, ratings, [[1, 1, 1]] * 4, calls=2)
    assert plan == {"b": (2, 1, 2)}
    assert set(next_round(["a", "b", "c", "d"], p, ratings, [[1, 1, 1]] * 4, calls=100)) == {"b", "c"}


def test_samples_already_there_lower_the_worth() -> None:
    p = np.array([0.5, 0.3])
    plan = next_round(["often", "once"], p, [[1, 0]] * 2, [[3, 3], [1, 1]], calls=2)
    assert plan == {"once": (2, 2)}


def test_nothing_to_decide_ends_it() -> None:
    p = np.array([0.5, np.nan, 0.5, 0.5])
    ratings = [[1, 1], [1, 0], None, [1, 0]]
    assert next_round(list("abcd"), p, ratings, [[1, 1], [1, 1], [1, 1], [5, 5]], calls=100) == {}


def test_what_the_samples_agree_on_is_left_for_what_they_do_not() -> None:
    p = np.array([0.4, 0.4, 0.4])
    ratings = [[1, 0, None]] * 3
    variances: list[Any] = [[0.0, 0.0, 9.0], [2.0, 2.0, 0.0], [None, None, None]]
    plan = next_round(list("abc"), p, ratings, [[2, 2, 2]] * 3, calls=2, variances=variances)
    assert plan == {"b": (3, 3, 2)}
    # One sample tells no noise: then the usual one is assumed, not none.
    plan = next_round(list("abc"), p, ratings, [[2, 2, 2], [2, 2, 2], [1, 1, 1]], calls=2, variances=variances)
    assert plan == {"c": (2, 2, 1)}


def test_a_record_without_a_label_is_decided_by_all_of_its_completions() -> None:
    p = np.array([np.nan, np.nan, 0.4])
    region = np.array([0.5, 1.0, 0.5])
    ratings = [None, None, [1, 0, 2]]
    counts = [[1, 1, 1]] * 3
    assert next_round(list("abc"), p, ratings, counts, calls=9, region_confidence=region) == {"a": (2, 2, 2), "c": (1, 2, 2)}
    assert next_round(list("abc"), p, ratings, counts, calls=2, region_confidence=region) == {}, "three calls or none"


def test_a_plan_costs_the_samples_it_names_and_no_other(judge: Judge, tmp_path: Path) -> None:
    judge.behave(logprobs="none", noise=True)
    rows = records(20)
    score(stream(rows), options(judge.url, tmp_path, samples=1))
    before = judge.counts()["paid"]
    plan = {"r3": (2, 2), "r5": (1, 3)}
    scored = score(stream(rows), options(judge.url, tmp_path, samples=1, plan=plan))
    counts = scored.table().column("score_counts").to_pylist()
    assert (counts[3], counts[5], counts[6]) == ([2, 2], [1, 3], [1, 1])
    assert judge.counts()["paid"] - before == 3
    assert scored.summary["requests"] == 3
