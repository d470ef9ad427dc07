"""Adaptive spending: more samples, or a second judge, only where a label is undecided."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import argilla_admap as admap
from argilla_admap.adaptive import (
    GUIDE,
    JUDGE,
    JUDGE_WORTH,
    SAMPLE,
    Look,
    choose_looks,
    estimate,
    how_good,
    next_round,
    score_adaptively,
)
from argilla_admap.errors import InputError
from argilla_admap.example_data import write_example
from argilla_admap.formats import registry
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.output import Scored
from argilla_admap.scoring.run import score
from tests.bench.adaptive import GUIDED, UNGUIDED, Guided, adaptive, uniform
from tests.bench.results import FOLDER
from tests.doubles.judge_server import Judge
from tests.doubles.served import served
from tests.doubles.together_judge import TogetherJudge
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


def test_on_recorded_grades_a_reference_that_errs_sinks_few_right_answers_and_mends_more() -> None:
    rows = Guided(0, "reference").rows
    grades = np.array([[c["scores"] for c in row["completions"]] for row in rows], float)
    sign = np.array([1 if row["completions"][0]["rating"] > row["completions"][1]["rating"] else -1 for row in rows])
    margins = (grades[:, 0] - grades[:, 1]) * sign[:, None]
    plain, beside = margins[:, UNGUIDED[0]], margins[:, GUIDED["reference"]]
    right, wrong = plain > 0, plain < 0
    # GPT-4's own reference turned 1 of 157 right pairs round, and 4 of 13 wrong ones.
    assert (beside[right] < 0).mean() < 0.02
    assert (beside[wrong] > 0).sum() > (beside[right] < 0).sum()


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


def _auto(judge: Judge, folder: Path, **more: Any) -> dict[str, Any]:
    judge.behave(logprobs="none", noise=True)
    return {"base_url": judge.url, "samples": "auto", "method": "sample", "store": folder / "store.sqlite", **more}


def test_a_guided_look_is_taken_only_where_it_pays_and_paid_once(preferences: Path, judge: Judge, tmp_path: Path) -> None:
    options = _auto(judge, tmp_path, guide="reference", price=(2.5, 0.1))
    scored = admap.score(admap.read(preferences), **options)
    looks = scored.summary["adaptive"]["looks"]
    assert 0 < looks[GUIDE] < 0.5 * scored.summary["records"]
    guided = _rows(scored, "scores.gpt-4o + reference")
    asked = [any(score is not None for score in row) for row in guided]
    assert sum(asked) == looks[GUIDE]
    # What the guide's grades are higher or lower on the whole is no news of the record: a guided look counts three times.
    first, combined = _rows(scored, "scores.gpt-4o"), _rows(scored, "scores")
    pairs = [(x, y) for a, b in zip(first, guided, strict=True) for x, y in zip(a, b, strict=True) if y is not None]
    assert np.mean([y - x for x, y in pairs]) == pytest.approx(0.0, abs=1e-6)
    assert all(
        both == pytest.approx([x if y is None else (x + 3 * y) / 4 for x, y in zip(a, b, strict=True)])
        for a, b, both in zip(first, guided, combined, strict=True)
    )
    again = admap.score(admap.read(preferences), **options)
    assert again.summary["requests"] == 0
    assert again.table().column("scores").equals(scored.table().column("scores"))
    assert judge.counts()["twice"] <= scored.summary["completions"], "samples of one question, and no more"


def test_a_guide_that_costs_too_much_is_never_written(preferences: Path, judge: Judge, tmp_path: Path) -> None:
    scored = admap.score(admap.read(preferences), **_auto(judge, tmp_path, guide="reference", price=(1.0, 5000.0)))
    looks = scored.summary["adaptive"]["looks"]
    assert (looks[GUIDE], looks[SAMPLE] > 0) == (0, True)
    assert not any("You grade" not in body["messages"][0]["content"] for body in judge.counts()["last_bodies"])


def test_one_budget_holds_for_samples_guides_and_a_second_judge(preferences: Path, judge: Judge, tmp_path: Path) -> None:
    options = _auto(judge, tmp_path, guide="criteria", screen="gpt-4o-mini", max_cost=0.7)
    scored = admap.score(admap.read(preferences), **options)
    assert 0.3 < scored.summary["cost_usd"] <= 0.7
    assert scored.summary["stopped"]


def test_of_several_judges_the_others_look_only_where_it_pays_and_a_resume_pays_nothing(
    preferences: Path, judge: Judge, tmp_path: Path
) -> None:
    options = _auto(judge, tmp_path, model=["gpt-4o", "o1", "gpt-4o-mini"])
    told = admap.score(admap.read(preferences), dry_run=True, **options)
    said: list[str] = []
    scored = admap.score(admap.read(preferences), warn=said.append, **options)
    assert any("gpt-4o scores everything; o1 and gpt-4o-mini only what is undecided" in words for words in said)
    looks, records_ = scored.summary["adaptive"]["looks"], scored.summary["records"]
    assert 0 < looks["judge gpt-4o-mini"] < records_
    rows = {name: _rows(scored, f"scores.{name}") for name in ("gpt-4o", "gpt-4o-mini")}
    asked = {name: sum(any(s is not None for s in row) for row in given) for name, given in rows.items()}
    assert asked == {"gpt-4o": records_, "gpt-4o-mini": looks["judge gpt-4o-mini"]}
    # The first judge alone is sure to be asked of everything; what the others may cost stands beside.
    assert told["requests"] == scored.summary["completions"]
    assert scored.summary["cost_usd"] <= 1.1 * told["at_most"]["cost_usd"]
    paid = judge.counts()["paid"]
    again = admap.score(admap.read(preferences), **options)
    assert (again.summary["requests"], judge.counts()["paid"]) == (0, paid)
    assert again.table().column("scores").equals(scored.table().column("scores"))


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("gpt-4o-mini", "gpt-4o", "stronger"),
        ("gpt-4o", "gpt-4o-mini", "weaker"),
        ("gpt-4o", "gpt-4.1", "alike"),
        ("gpt-4o", "a model of my own", "alike"),
    ],
)
def test_a_second_judge_is_weighed_by_its_listed_price(first: str, second: str, told: str) -> None:
    assert how_good(first, second, ScoreOptions()) == told
    assert how_good(first, second, ScoreOptions(price=(1.0, 1.0))) == "alike"


def test_the_worth_of_a_second_judge_is_that_measured() -> None:
    measured = json.loads((FOLDER / "adaptive.json").read_text())["figures"]["second_judge"]
    gains = {name: one["average_precision"]["both"] - one["average_precision"]["first"] for name, one in measured.items()}
    alike = np.mean([gains["GPT-3.5, then PandaLM-7B"], gains["PandaLM-7B, then GPT-3.5"]])
    sample = gains["GPT-4, again without rules"]
    found = {"alike": alike, "weaker": gains["GPT-4, then ChatGPT"], "stronger": gains["ChatGPT, then GPT-4"]}
    for kind, gain in found.items():
        assert 0.5 <= gain / sample / JUDGE_WORTH[kind] <= 2, kind


def test_the_look_that_tells_most_for_its_price_is_chosen() -> None:
    p, ratings, counts = np.array([0.5, 0.4]), [[1, 0]] * 2, [[1, 1]] * 2

    def chosen(guide: float, judge: float, budget: float = 100.0, **more: Any) -> dict[str, list[str]]:
        looks = [Look(SAMPLE, 1.0, 1.0), Look(GUIDE, 3.0, guide, every=True), Look(JUDGE, 1.0, judge, every=True)]
        found = choose_looks(["a", "b"], p, ratings, counts, budget, looks, **more)
        return {name: list(some) for name, some in found.items() if some}

    assert chosen(1.5, 9.0) == {GUIDE: ["a", "b"]}
    assert chosen(9.0, 0.5) == {JUDGE: ["a", "b"]}
    assert chosen(9.0, 9.0) == {SAMPLE: ["a", "b"]}
    assert chosen(1.5, 9.0, budget=3.0) == {GUIDE: ["a"]}
    # A look is taken once, and what it told lowers the worth of the next.
    assert chosen(1.5, 9.0, taken={GUIDE: ["a"]}) == {GUIDE: ["b"], SAMPLE: ["a"]}
    assert chosen(1.5, 9.0, budget=3.0, taken={GUIDE: ["a"]}) == {GUIDE: ["b"]}
    # What only two of six completions decide is not worth a look at all six.
    six = choose_looks(
        ["a"], p[:1], [[1, 0, 0.5, 0.5, 0.5, 0.5]], [[1] * 6], 99.0, [Look(SAMPLE, 1.0, 1.0), Look(GUIDE, 3.0, 1.5, every=True)]
    )
    assert six == {SAMPLE: {"a": (1, 1, 0, 0, 0, 0)}, GUIDE: {}}


def test_samples_that_agree_leave_only_the_judges_own_error() -> None:
    looks = [Look(SAMPLE, 1.0, 1.0), Look(GUIDE, 3.0, 4.0, every=True)]
    ids = [str(n) for n in range(20)]
    quiet: Any = [[0.001, 0.001]] * 20
    found = choose_looks(ids, np.full(20, 0.5), [[1, 0]] * 20, [[2, 2]] * 20, 1e9, looks, variances=quiet)
    assert (len(found[SAMPLE]), len(found[GUIDE])) == (0, 20)


def test_records_are_judged_again_together(preferences: Path, tmp_path: Path) -> None:
    together = TogetherJudge()
    together.favours_first = 0.5
    with served(together.app) as url:
        options: dict[str, Any] = {"base_url": f"{url}/v1", "samples": "auto", "together": True, "store": tmp_path / "s.sqlite"}
        scored = admap.score(admap.read(preferences), **options)
        again = admap.score(admap.read(preferences), **options)
    counts = _rows(scored, "score_counts")
    assert set(map(len, map(set, counts))) == {1}
    judged = [row for row in counts if row[0] > 1]
    assert 0 < len(judged) == scored.summary["adaptive"]["records_judged_again"]
    assert scored.summary["requests"] == sum(row[0] for row in counts) == sum(together.paid.values())
    assert again.summary["requests"] == 0
