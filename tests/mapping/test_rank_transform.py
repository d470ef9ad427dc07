"""Long tails: when they are seen, what becomes of them, and that labels and scores on such a scale are diagnosed as well."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from argilla_admap.mapping.data_map import build_map
from argilla_admap.mapping.wrong.labels import (
    is_long_tailed,
    normal_scores,
    prepare_labels,
    ranks_fit_better,
    shared_variance,
    spans,
)
from tests.mapping.plain import DATA, load, scored_stream
from tests.mapping.planting import binarise, calibration_error, draw_completions, found, plant


@pytest.fixture(scope="module")
def wildbench():
    return load(DATA / "wildbench_numbers.jsonl.gz")


def changed(rows, name, change):
    """The same rows with another scale of the ratings or the scores."""
    made = []
    for row in rows:
        completions = []
        for c in row["completions"]:
            value = change(c["rating"]) if name == "rating" else [change(s) for s in c["scores"]]
            completions.append({**c, name: value})
        made.append({**row, "completions": completions})
    return made


def test_normal_scores_are_the_normal_quantiles_of_mean_ranks():
    values = np.random.default_rng(0).integers(0, 7, 200).astype(float)
    assert normal_scores(values) == pytest.approx(norm.ppf((rankdata(values) - 0.5) / 200))


def test_the_rounding_of_floats_makes_no_ranks():
    values = np.array([0.3, 0.1 + 0.2, 5.0, 0.3, 1.0])
    scores = normal_scores(values)
    assert scores[0] == scores[1] == scores[3] < scores[4] < scores[2]


def test_grades_have_no_long_tail_and_votes_have():
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(300), 4)
    grades = rng.integers(1, 11, 1200).astype(float)
    assert not is_long_tailed(grades, owner)
    assert is_long_tailed(np.exp(3 * rng.normal(size=1200)), owner)
    assert not is_long_tailed(np.full(1200, 3.0), owner)
    assert not is_long_tailed(np.zeros(0), np.zeros(0, int))
    assert spans(np.array([1.0, 4.0, 2.0, 2.0]), np.array([0, 0, 3, 3])).tolist() == [3.0, 0.0]


@pytest.mark.parametrize("name", ["rating", "scores"])
def test_another_scale_of_long_tail_finds_what_the_plain_one_does(wildbench, name):
    rows, bad = plant(draw_completions(wildbench, 4, 0), "swap", 0.1, 0)
    plain = found(build_map(scored_stream(rows)).frame["p_wrong"], bad)
    jitter = np.random.default_rng(0)
    # Of many levels, as votes are: on a scale of ten the highest would be impossible values.
    votes = changed(rows, name, lambda value: None if value is None else float(np.exp(value) + jitter.random()))
    data_map = build_map(scored_stream(votes))
    p = data_map.frame["p_wrong"].to_numpy()
    there = found(p, bad)
    assert there["auroc"] > plain["auroc"] - 0.02
    assert there["average_precision"] > plain["average_precision"] - 0.05
    assert calibration_error(p, bad) < 0.04
    assert abs(data_map.summary["noise_rate"] - 0.1) <= 0.03


def test_of_more_than_two_completions_labels_of_best_or_not_are_diagnosed_as_surely_as_they_may_be(wildbench):
    said, so, rates = [], [], []
    for seed in range(3):
        rows, bad = plant(binarise(draw_completions(wildbench, 4, seed)), "swap", 0.1, seed)
        data_map = build_map(scored_stream(rows))
        said.append(data_map.frame["p_wrong"].to_numpy())
        so.append(bad)
        rates.append(data_map.summary["noise_rate"])
    p, bad = np.concatenate(said), np.concatenate(so)
    assert calibration_error(p, bad) <= 0.045
    assert p.max() > 0.8
    assert np.mean(rates) == pytest.approx(0.1, abs=0.04)


def test_two_values_are_seen_through_a_stray_record_and_not_in_grades():
    offsets = np.arange(0, 405, 4)
    ratings = np.tile([1.0, 0.0, 0.0, 1.0], 101)
    ratings[:4] = [0.0, 0.5, 0.7, 1.0]
    assert prepare_labels(offsets, ratings).two_valued
    assert not prepare_labels(offsets, ratings).at_top.any()
    grades = np.random.default_rng(2).integers(1, 11, 404).astype(float)
    assert not prepare_labels(offsets, grades).two_valued
    assert not prepare_labels(offsets, np.ones(404)).two_valued


def test_the_scale_is_the_one_on_which_labels_and_scores_go_together():
    rng = np.random.default_rng(3)
    owner = np.repeat(np.arange(200), 3)
    quality = rng.normal(size=600)
    scores = quality + 0.3 * rng.normal(size=600)
    offsets = np.arange(0, 601, 3)
    plain = prepare_labels(offsets, quality, scores).rating
    votes = prepare_labels(offsets, np.exp(3 * quality), scores).rating
    # Not by ranks, votes of 3 deviations would be a line of nothing with a few peaks.
    assert np.corrcoef(plain, votes)[0, 1] > 0.98
    assert shared_variance(quality, scores, owner) == pytest.approx(shared_variance(5 - 2 * quality, scores, owner))
    assert 0 < shared_variance(np.exp(3 * quality), scores, owner) < shared_variance(quality, scores, owner) / 2
    assert not ranks_fit_better(0.30, 0.33)
    assert not ranks_fit_better(0.003, 0.006)
    assert ranks_fit_better(0.1, 0.3)
