"""P(wrong): its invariants, its refusals, and how well it finds what was planted in real scores."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argilla_admap.mapping.data.observed import observe
from argilla_admap.mapping.data_map import as_scored, build_map
from argilla_admap.mapping.wrong.diagnosis import diagnose
from argilla_admap.mapping.wrong.labels import prepare_labels
from argilla_admap.mapping.wrong.mixture import Mixture, RatedGroup, posterior
from tests.mapping.plain import DATA, LLMBAR, load, scored_stream
from tests.mapping.planting import calibration_error, draw_completions, found, plant


@pytest.fixture(scope="module")
def wildbench():
    return load(DATA / "wildbench_numbers.jsonl.gz")


def synthetic(n, k=2, *, noise=0.1, judge=0.5, seed=0, start=0):
    """Records whose ratings follow a hidden quality that a judge sees with an error; a share of them exchanged."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=(n, k))
    scores = quality + judge * rng.normal(size=(n, k))
    ratings = quality.argsort(axis=1).argsort(axis=1).astype(float)
    wrong = np.zeros(n, bool)
    wrong[rng.permutation(n)[: round(noise * n)]] = True
    ratings[wrong] = ratings.max(axis=1, keepdims=True)[wrong] - ratings[wrong]
    rows = [
        {
            "id": f"r{start + i}",
            "prompt": f"prompt {start + i}",
            "completions": [
                {"text": f"text {i} {j}", "rating": float(ratings[i, j]), "scores": [float(scores[i, j])]} for j in range(k)
            ],
        }
        for i in range(n)
    ]
    return rows, wrong


def p_of(rows):
    frame = build_map(scored_stream(rows)).frame
    return dict(zip(frame["id"], frame["p_wrong"], strict=True))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_is_irrelevant_to_the_fit_too(seed, k, random):
    rows, _ = synthetic(80, k, seed=seed)
    shuffled = list(rows)
    random.shuffle(shuffled)
    first, second = p_of(rows), p_of(shuffled)
    assert all(first[i] == pytest.approx(second[i], abs=1e-9) for i in first)


def test_the_records_that_the_fit_looks_at_do_not_depend_on_the_order_of_the_rows(monkeypatch):
    monkeypatch.setattr("argilla_admap.mapping.wrong.diagnosis.FIT_RECORDS", 90)
    rows, _ = synthetic(200, seed=6)
    first, second = p_of(rows), p_of(rows[::-1])
    assert all(first[i] == pytest.approx(second[i], abs=1e-9) for i in first)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4))
def test_the_order_of_the_completions_is_irrelevant(seed, k):
    rows, _ = synthetic(70, k, seed=seed)
    rng = np.random.default_rng(seed)
    turned = [{**r, "completions": [r["completions"][i] for i in rng.permutation(k)]} for r in rows]
    a, b = build_map(scored_stream(rows)).frame, build_map(scored_stream(turned)).frame
    for column in ("p_wrong", "mean", "variance", "agreement", "contested", "region_confidence"):
        assert a[column].to_numpy() == pytest.approx(b[column].to_numpy(), abs=1e-8, nan_ok=True)
    assert a["region"].tolist() == b["region"].tolist()


@settings(max_examples=30, deadline=None)
@given(st.floats(0.02, 12), st.lists(st.floats(-4, 4), min_size=2, max_size=30), st.floats(0.01, 0.4))
def test_p_wrong_rises_with_the_margin_against_the_label(scale, margins, rate):
    s = np.sort(np.array(margins))[:, None] * [-0.5, 0.5]
    r = np.tile([1.0, -1.0], (len(s), 1))
    group = RatedGroup(np.arange(len(s)), np.arange(2 * len(s)).reshape(-1, 2), r, s, np.ones(len(s), bool), np.zeros(len(s)))
    rates = np.array([[1 - rate, rate / 2, rate / 2, 0.0]])
    p = posterior(group, Mixture(np.array([scale]), np.array([1.0]), rates, 1.0))
    assert (np.diff(p) >= -1e-12).all()


def clear_records():
    """Pairs that a good judge scored from 0 to 5; nine labels are wrong."""
    rows, _ = synthetic(90, judge=0.1, start=1000)
    return [
        {**r, "completions": [{**c, "scores": [min(max(c["scores"][0] + 2, 0.0), 5.0)]} for c in r["completions"]]}
        for r in rows
    ]


def test_a_stray_record_does_not_turn_the_fit_of_all_others():
    alone = build_map(scored_stream(clear_records()))
    completions = [{"text": f"t{j}", "rating": r, "scores": [s]} for j, (r, s) in enumerate([(0, 2.0), (3, 1.0), (1, 4.0)])]
    beside = build_map(scored_stream([*clear_records(), {"id": "stray", "prompt": "p", "completions": completions}]))
    assert alone.frame["p_wrong"].max() > 0.8
    assert beside.frame["p_wrong"].to_numpy()[:90] == pytest.approx(alone.frame["p_wrong"].to_numpy(), abs=0.1)


ratings = st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ratings, st.integers(0, 99)), min_size=1, max_size=30))
def test_nothing_leaks_whatever_is_missing(records):
    rows = []
    for i, (given_ratings, seed) in enumerate(records):
        rng = np.random.default_rng(seed)
        completions = [
            {"text": f"t{i}{j}", "rating": r, "scores": [float(rng.integers(1, 6))] if rng.random() < 0.7 else []}
            for j, r in enumerate(given_ratings)
        ]
        rows.append({"id": f"r{i}", "prompt": f"p{i}", "completions": completions})
    # Enough others for P(wrong) to be there, unless all of these speak against it.
    data_map = build_map(scored_stream([*rows, *clear_records()]))
    table = data_map.stream().table()
    for column in ("p_wrong", "contested", "region_confidence", "agreement", "mean", "variance"):
        values = table.column(column).to_pylist()
        assert all(v is None or np.isfinite(v) for v in values)
        low = -1 if column == "agreement" else 0
        assert all(v is None or low <= v <= (5 if column in ("mean", "variance") else 1) for v in values)
    assert table.column("evidence").null_count == 0
    assert (data_map.summary["noise_rate"] is None) == (data_map.summary["refusal"] is not None)


@pytest.mark.parametrize(
    ("kind", "k", "auroc", "precision"),
    [("swap", 6, 0.97, 0.86), ("permutation", 6, 0.93, 0.70), ("x10", 6, 0.99, 0.94), ("swap", 4, 0.95, 0.74)],
)
def test_planted_errors_come_out_on_top_of_real_scores(wildbench, kind, k, auroc, precision):
    rows, bad = plant(wildbench if k == 6 else draw_completions(wildbench, k, 0), kind, 0.1, 0)
    data_map = build_map(scored_stream(rows))
    p = data_map.frame["p_wrong"].fillna(0).to_numpy()
    quality = found(p, bad)
    assert quality["auroc"] >= auroc
    assert quality["average_precision"] >= precision
    assert calibration_error(p, bad) <= 0.04
    assert abs(data_map.summary["noise_rate"] - 0.1) <= 0.03


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
def test_the_noise_rate_is_told_within_three_points(wildbench, rate):
    rows, _ = plant(wildbench, "swap", rate, 1)
    assert abs(build_map(scored_stream(rows)).summary["noise_rate"] - rate) <= 0.03


def test_pairs_labelled_by_people_are_found_with_one_call_each():
    rows, bad = plant(load(LLMBAR), "swap", 0.1, 0)
    quality = found(build_map(scored_stream(rows, samples=1)).frame["p_wrong"], bad)
    assert quality["auroc"] >= 0.9


def test_a_judge_of_chance_is_refused_in_words():
    rng = np.random.default_rng(99)
    rows, _ = synthetic(300)
    for row in rows:
        for completion in row["completions"]:
            completion["scores"] = [float(rng.normal())]
    data_map = build_map(scored_stream(rows))
    assert data_map.frame["p_wrong"].isna().all()
    assert "do not agree enough" in data_map.summary["refusal"]
    assert data_map.summary["flags"]["likely_wrong"] == 0


def test_a_judge_that_says_the_opposite_is_refused_in_words():
    rows, _ = synthetic(200)
    for row in rows:
        for completion in row["completions"]:
            completion["scores"] = [-completion["scores"][0]]
    assert "upside down" in build_map(scored_stream(rows)).summary["refusal"]


def test_a_second_judge_helps():
    rows, bad = synthetic(400, judge=1.2, seed=2)
    stream = scored_stream(rows)
    table = stream.table()
    rng = np.random.default_rng(5)
    quality = [[c["rating"] if not b else 1 - c["rating"] for c in r["completions"]] for r, b in zip(rows, bad, strict=True)]
    other = [[q + 0.6 * float(rng.normal()) for q in record] for record in quality]
    both = type(stream).from_table(table.append_column("scores.second", [other]))
    alone, together = (found(build_map(s).frame["p_wrong"], bad)["auroc"] for s in (stream, both))
    assert together > alone + 0.02


def test_names_that_only_repeat_the_label_are_no_evidence():
    rows, bad = synthetic(300)
    for row in rows:
        for completion in row["completions"]:
            completion["model"] = "chosen" if completion["rating"] else "rejected"
    assert found(build_map(scored_stream(rows)).frame["p_wrong"], bad)["auroc"] > 0.85


def test_twelve_completions_and_mixed_sizes_are_all_diagnosed():
    rows, wrong = [], []
    for k in (2, 3, 7, 12, 16):
        part, bad = synthetic(60, k, seed=k, start=1000 * k)
        rows += part
        wrong += bad.tolist()
    frame = build_map(scored_stream(rows)).frame
    assert frame["p_wrong"].between(0, 1).all()
    assert found(frame["p_wrong"], np.array(wrong))["auroc"] > 0.95


def test_people_split_and_labels_wrong_are_two_things():
    rows = load(DATA / "pandalm_pairs_3annotators.jsonl.gz")
    split = np.array([len(set(r["votes"])) > 1 for r in rows])
    frame = build_map(scored_stream(rows)).frame
    contested = frame["contested"].to_numpy()
    assert contested[split].mean() > contested[~split].mean() + 0.3
    # Flip the label of records on which all three agree: wrong, not contested.
    rng = np.random.default_rng(0)
    sure = [i for i, r in enumerate(rows) if len(set(r["votes"])) == 1 and r["votes"][0] in (1, 2)]
    flipped = np.zeros(len(rows), bool)
    flipped[rng.choice(sure, 60, replace=False)] = True
    turned = [
        {**r, "completions": [{**c, "rating": 1 - c["rating"]} for c in r["completions"]]} if f else r
        for r, f in zip(rows, flipped, strict=True)
    ]
    frame = build_map(scored_stream(turned)).frame
    assert found(frame["p_wrong"].fillna(0), flipped)["auroc"] > 0.85
    assert frame["contested"][flipped].mean() < frame["contested"][split].mean() - 0.2


def test_four_records_are_too_few_to_learn_from_and_that_is_said():
    rows, _ = synthetic(4)
    data_map = build_map(scored_stream(rows))
    assert data_map.summary["refusal"] == "only 4 records have ratings that differ: too few to learn from"
    assert data_map.summary["noise_interval"] is None


def test_the_noise_rates_interval_holds_the_truth_and_narrows_with_the_records():
    widths: dict[Any, Any] = {}
    held = 0
    for seed in range(8):
        for n in (60, 600):
            rows, wrong = synthetic(n, 4, noise=0.1, seed=seed)
            low, high = build_map(scored_stream(rows)).summary["noise_interval"]
            assert 0 <= low < high <= 0.45
            held += low <= wrong.mean() <= high
            widths.setdefault(n, []).append(high - low)
    assert held >= 12
    assert np.mean(widths[600]) < np.mean(widths[60]) / 2


def test_the_interval_holds_none_wrong_where_none_is():
    low, high = build_map(scored_stream(load(LLMBAR))).summary["noise_interval"]
    assert low == 0 < high < 0.1


@pytest.mark.parametrize(("judge", "vague"), [(1.5, True), (0.3, False)])
def test_a_weak_judge_is_told_that_its_errors_look_like_wrong_labels(judge, vague):
    rows, wrong = synthetic(400, judge=judge, seed=3)
    data_map = build_map(scored_stream(rows))
    low, high = data_map.summary["noise_interval"]
    assert low <= wrong.mean() <= high
    told = [w for w in data_map.summary["warnings"] if w.startswith("wrong labels and the evidence's own errors look alike")]
    assert bool(told) == vague
    if vague:
        assert f"{low:.0%} to {high:.0%} of the labels" in told[0]
        # Nothing is claimed that a judge so weak cannot know.
        assert data_map.frame["p_wrong"].max() < 0.6


def test_of_pairs_that_only_say_which_is_better_sure_evidence_counts_more_than_in_proportion():
    rows, _ = synthetic(600, judge=0.2, seed=5)
    rows = [{**row, "completions": [{**c, "rating": c["rating"] / 2} for c in row["completions"]]} for row in rows]
    seen = observe(as_scored(scored_stream(rows)))
    labels = prepare_labels(seen.offsets, seen.ratings, seen.scores)
    nothing = np.zeros(len(seen.ratings))
    shares = []
    for two_valued in (True, False):
        told = diagnose(seen, replace(labels, two_valued=two_valued), nothing, nothing > 0)
        weight = np.sort(np.abs(np.sum(list(told.contributions.values()), axis=0)))
        shares.append(weight[570] / weight[300])
    # Bounded, the large scores would say less than in proportion; as log-odds they say more.
    assert shares[0] > 1.15 * shares[1]


def test_samples_that_scatter_count_less_than_samples_that_agree():
    rows, wrong = synthetic(300, judge=0.0, seed=4)
    rng = np.random.default_rng(4)
    for i, row in enumerate(rows):
        spread = 0.1 if i % 2 else 3.0
        for completion in row["completions"]:
            true = completion["scores"][0]
            completion["scores"] = [true + spread * float(rng.normal()) for _ in range(6)]
    p = build_map(scored_stream(rows)).frame["p_wrong"].to_numpy()
    sure = np.arange(len(rows)) % 2 == 1
    assert found(p[sure], wrong[sure])["auroc"] > found(p[~sure], wrong[~sure])["auroc"]
    # The scores lie farther apart where they scatter, and yet say less.
    assert p[wrong & sure].mean() > 1.5 * p[wrong & ~sure].mean()
    assert p[~wrong & sure].mean() < p[~wrong & ~sure].mean()


def test_of_a_prompts_other_records_those_with_doubtful_labels_count_less(wildbench):
    pairs = []
    for row in wildbench[:200]:
        for i, j in combinations(range(4), 2):
            two = [{**row["completions"][which], "text": f"{row['id']} {which}"} for which in (i, j)]
            if two[0]["rating"] != two[1]["rating"]:
                pairs.append({**row, "id": f"{row['id']}-{i}{j}", "prompt": row["id"], "completions": two})
    rows, bad = plant(pairs, "swap", 0.2, 2)
    p = p_of(rows)
    quality = found(np.array([p[row["id"]] for row in rows]), bad)
    # Where all of them counted alike it was .910 and .963.
    assert quality["average_precision"] >= 0.925
    assert quality["auroc"] >= 0.968
    turned = p_of(rows[::-1])
    assert all(p[i] == pytest.approx(turned[i], abs=1e-9) for i in p)


def test_a_wrong_label_does_not_make_those_that_contradict_it_look_wrong():
    rng = np.random.default_rng(2)
    rows, bad = [], []
    for prompt in range(150):
        quality = rng.normal(size=4)
        for record in range(5):
            i, j = rng.choice(4, 2, replace=False)
            bad.append(rng.random() < 0.1)
            first = (quality[i] > quality[j]) != bad[-1]
            two = [
                {
                    "text": f"{prompt} {which} text",
                    "rating": float(rating),
                    "scores": [float(quality[which] + 1.5 * rng.normal())],
                }
                for which, rating in ((i, first), (j, not first))
            ]
            rows.append({"id": f"{prompt}-{record}", "prompt": f"prompt {prompt}", "completions": two})
    # A poor judge. Where a record's own label has a say in whom it hears, .08 at most is said.
    low, high = build_map(scored_stream(rows)).summary["noise_interval"]
    assert low <= np.mean(bad) <= high
