"""Another sample goes where it is worth most."""

from __future__ import annotations

import numpy as np

from argilla_admap.scoring.adaptive import next_round
from argilla_admap.scoring.engine import score
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
    assert next_round(list("abcd"), p, ratings, [[1, 1], [1, 1], [1, 1], [4, 4]], calls=100) == {}


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
