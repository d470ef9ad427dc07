"""Another sample goes where it is worth most."""

from __future__ import annotations

from typing import Any

import numpy as np

from argilla_admap.scoring.adaptive_plan import next_round
from argilla_admap.scoring.run import score
from tests.doubles.judge_server import Judge
from tests.scoring.makers import options, records, stream


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


def test_a_plan_costs_the_samples_it_names_and_no_other(judge: Judge, tmp_path) -> None:
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
