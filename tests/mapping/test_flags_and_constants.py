"""What the constants and the order of ties do: flags at their thresholds, contested pairs, compressed ratings and scores."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import norm

from argilla_admap.mapping.data.observed import observe
from argilla_admap.mapping.regions.coordinates import Coordinates, GivenThresholds, Thresholds, split_regions
from argilla_admap.mapping.regions.record_flags import FLAGS, flag_records
from argilla_admap.mapping.wrong.contested import are_votes, contested
from argilla_admap.mapping.wrong.features import BOUND, feature_groups
from argilla_admap.mapping.wrong.labels import POWER, prepare_labels
from argilla_admap.mapping.wrong.prediction import LabelledItems
from tests.mapping.plain import scored_stream

NAN = np.nan


def seen_of(records, *, others=()):
    """Observations of records given as [(rating, score), ...]; `others` are another judge's scores, flat."""
    rows = [
        {
            "id": f"r{i}",
            "prompt": f"prompt {i}",
            "completions": [
                {"text": f"text {i} {j}", "rating": rating, "scores": [] if score is None else [score]}
                for j, (rating, score) in enumerate(record)
            ],
        }
        for i, record in enumerate(records)
    ]
    return replace(observe(scored_stream(rows)), other_scores=dict(others))


def split(records, error, others=()):
    return contested(seen_of(records, others=others), np.full(len(records), error))


def test_a_difference_is_contested_as_far_as_the_judges_noise_may_hide_the_other_order():
    found = split([[(1.0, 6.0), (0.0, 5.0)], [(1.0, 5.0), (0.0, 5.0)], [(1.0, 9.0), (0.0, 1.0)]], 0.5)
    # Two errors of variance 1/2: the difference has a deviation of 1.
    assert found == pytest.approx([2 * norm.cdf(-1.0), 1.0, 2 * norm.cdf(-8.0)])


@pytest.mark.parametrize("places", list(permutations(range(4))))
def test_among_equal_ratings_the_scores_decide_whatever_the_order_of_the_completions(places):
    record = [(5.0, 9.0), (5.0, 4.0), (1.0, 4.2), (1.0, 8.5)]
    (found,) = split([[record[i] for i in places]], 0.5)
    # The best of the best by the judge, 9, against the worst of the worst, 4.2.
    assert found == pytest.approx(2 * norm.cdf(-4.8))


@pytest.mark.parametrize("scores", [(9.0, None, 4.0), (9.0, 4.0, None)])
def test_of_equal_ratings_one_with_a_score_is_compared(scores):
    (found,) = split([list(zip((5.0, 1.0, 1.0), scores, strict=True))], 0.5)
    assert found == pytest.approx(2 * norm.cdf(-5.0))
    (found,) = split([list(zip((1.0, 5.0, 5.0), (-9.0, *[None if s is None else -s for s in scores[1:]]), strict=True))], 0.5)
    assert found == pytest.approx(2 * norm.cdf(-5.0))


def test_without_a_label_the_judges_best_and_worst_are_compared_and_without_scores_nothing():
    found = split([[(None, 5.0), (None, 7.0), (None, 6.0)], [(1.0, None), (0.0, None)], [(None, 5.0), (None, None)]], 0.5)
    assert found[0] == pytest.approx(2 * norm.cdf(-2.0))
    assert np.isnan(found[1:]).all()
    # Ratings that do not differ order nothing: the judge's order stands.
    (equal,) = split([[(3.0, 5.0), (3.0, 7.0), (3.0, 6.0)]], 0.5)
    assert equal == pytest.approx(2 * norm.cdf(-2.0))
    (equal,) = split([[(3.0, 7.0), (3.0, None), (3.0, 5.0)]], 0.5)
    assert equal == pytest.approx(2 * norm.cdf(-2.0))
    # However little the ratings differ, theirs is the order.
    (label,) = split([[(1.0, 5.0), (0.5, 9.0), (0.0, 4.0)]], 0.5)
    assert label == pytest.approx(2 * norm.cdf(-1.0))


@pytest.mark.parametrize(
    ("others", "share"),
    [([[0.0, 9.0]], 1.0), ([[9.0, 0.0]], 0.0), ([[5.0, 5.0]], 0.5), ([[0.0, 9.0], [0.0, 9.0]], 2 / 3), ([[NAN, 9.0]], 0.0)],
)
def test_judges_that_split_make_a_record_contested(others, share):
    named = [(f"judge {i}", np.array(scores)) for i, scores in enumerate(others)]
    (found,) = split([[(1.0, 9.0), (0.0, 1.0)]], 1e-6, named)
    assert found == pytest.approx(share, abs=1e-9)


def test_shares_of_votes_tell_how_people_split():
    records = [[(0.75, 9.0), (0.25, 1.0)], [(1.0, 9.0), (0.0, 1.0)], [(0.5, 9.0), (0.5, 1.0)]]
    assert split(records, 1e-6) == pytest.approx([0.5, 0.0, 1.0], abs=1e-9)


@pytest.mark.parametrize(
    ("ratings", "voted"),
    [
        ([0.75, 0.25, 1.0, 0.0], True),
        ([1.0, 0.0, 0.5, 0.5], False),
        ([0.75, 0.25, 1.0, 1.0], False),
        ([0.7, 0.25, 1.0, 0.0], False),
        ([0.755, 0.25, 1.0, 0.0], True),
        ([1.25, -0.25, 1.0, 0.0], False),
        ([5.0, 3.0, 4.0, 1.0], False),
        ([NAN, 0.25, 1.0, 0.0], False),
        ([0.503, 0.497, 1.0, 0.0], False),
        ([0.508, 0.492, 1.0, 0.0], True),
        ([0.735, 0.25, 1.0, 0.0], False),
    ],
)
def test_ratings_are_votes_where_they_sum_to_one_and_some_are_split(ratings, voted):
    assert are_votes(np.array([0, 2, 4]), np.array(ratings)) == voted


def test_only_pairs_with_both_known_tell_whether_ratings_are_votes():
    assert are_votes(np.array([0, 2, 5, 7]), np.array([0.75, 0.25, 1.0, 0.0, 0.5, NAN, 0.4]))


def flags_of(**columns):
    n = len(next(iter(columns.values())))
    plain = {name: np.full(n, NAN) for name in ("p_wrong", "contested", "mean", "variance", "confidence")}
    masks, rules = flag_records(**{**plain, "unscored": np.zeros(n, bool), **columns})
    assert tuple(masks) == tuple(rules) == FLAGS
    return {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}, rules


def test_flags_hold_from_their_threshold_on():
    found, rules = flags_of(
        p_wrong=np.array([0.49, 0.5, 1.0, NAN]),
        contested=np.array([0.499, 0.5, NAN, 1.0]),
        confidence=np.array([0.6, 0.59, NAN, 0.0]),
        unscored=np.array([False, True, False, False]),
    )
    assert found == {
        "likely_wrong": [1, 2],
        "contested": [1, 3],
        "low_mean": [],
        "high_variance": [],
        "boundary": [1, 3],
        "unscored": [1],
    }
    assert rules == {
        "likely_wrong": {"p_wrong_at_least": 0.5},
        "contested": {"contested_at_least": 0.5},
        "low_mean": {"mean_at_most": None},
        "high_variance": {"variance_at_least": None},
        "boundary": {"region_confidence_below": 0.6},
        "unscored": {"unscored_completions_at_least": 1},
    }


def test_the_outer_tenth_is_flagged_and_its_threshold_told():
    values = np.append(np.arange(100.0), NAN)
    found, rules = flags_of(mean=values, variance=values)
    assert found["low_mean"] == list(range(10))
    assert found["high_variance"] == list(range(90, 100))
    assert rules["low_mean"] == {"mean_at_most": 9.5}
    assert rules["high_variance"] == {"variance_at_least": 89.5}
    # Of few, one; of two that differ too.
    assert flags_of(mean=np.array([1.0, 2.0, 3.0]))[0]["low_mean"] == [0]
    assert flags_of(mean=np.array([2.0, 1.0]))[0]["low_mean"] == [1]


@pytest.mark.parametrize(("tied", "flagged"), [(1, 1), (2, 2), (3, 3), (4, 0)])
def test_a_tie_at_the_extreme_is_flagged_up_to_a_third(tied, flagged):
    values = np.array([9.0] * tied + [1.0] * (9 - tied))
    assert len(flags_of(variance=values)[0]["high_variance"]) == flagged


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0, 1.0], [NAN, NAN], [NAN, 2.0]])
def test_where_nothing_differs_nothing_is_extreme(values):
    found, rules = flags_of(mean=np.array(values), variance=np.array(values))
    assert found["low_mean"] == found["high_variance"] == []
    assert rules["low_mean"]["mean_at_most"] is rules["high_variance"]["variance_at_least"] is None


def place(variance, mean):
    variance, mean = np.asarray(variance, float), np.asarray(mean, float)
    return Coordinates(np.full(len(mean), 2), mean, variance, np.zeros(len(mean)), variance)


def test_strata_each_have_their_own_cuts_and_records_of_none_are_one():
    variance, mean = [3, 2, 1, 30, 20, 10, 300, 200, 100, NAN], [1, 2, 3, 1, 2, 3, 1, 2, 3, 5]
    sources = np.array([0, 0, 0, 1, 1, 1, -1, -1, -1, 0])
    found = split_regions(place(variance, mean), sources, ("a", "b"), "source", None)
    assert found.region.tolist() == [0, 2, 1] * 3 + [-1]
    assert set(found.strata) == {"", "a", "b"}
    assert found.cuts.variance.tolist()[::3] == [2.5, 25.0, 250.0, 2.5]
    assert found.strata["b"] == {"variance": 25.0, "mean": 2.5}
    assert found.thresholds is not None
    assert found.thresholds.variance == 65.0
    # In a split by strata a tie with the cut of all is none.
    tied = split_regions(
        place([5, 5, 1, 1, 3, 9], [1, 2, 3, 4, 5, 6]), np.array([0, 0, 0, 1, 1, 1]), ("a", "b"), "source", None
    )
    assert tied.tied.tolist() == [True, True, False, False, False, False]


def test_one_split_for_all_tells_which_records_tie_with_it():
    found = split_regions(place([5, 5, 5, 1, 1, 1, NAN], [1, 2, 3, 4, 5, 6, 7]), np.zeros(7, int), ("a",), None, None)
    assert found.tied.tolist() == [True, True, True, False, False, False, False]
    assert found.strata == {}


def test_given_thresholds_hold_and_strata_that_they_do_not_name_take_those_for_all():
    given = GivenThresholds(Thresholds(10.0, 2.0), {"b": Thresholds(1.0, 0.0)})
    sources = np.array([0, 1, -1, 0])
    found = split_regions(place([5, 5, 5, NAN], [3, 3, 1, 1]), sources, ("a", "b"), None, given)
    assert found.region.tolist() == [1, 0, 2, -1]
    assert found.thresholds == given.everywhere
    assert found.strata == {"": given.everywhere.as_json(), "a": given.everywhere.as_json(), "b": given.strata["b"].as_json()}
    plain = split_regions(place([5, 50], [3, 3]), sources[:2], ("a", "b"), None, GivenThresholds(Thresholds(10.0, 2.0)))
    assert (plain.region.tolist(), plain.strata) == ([1, 0], {})
    nothing = split_regions(place([NAN], [NAN]), sources[:1], ("a", "b"), None, given)
    assert (nothing.region.tolist(), nothing.thresholds) == ([-1], given.everywhere)
    assert split_regions(place([NAN], [NAN]), sources[:1], ("a", "b"), None, None).thresholds is None


def test_ratings_far_apart_count_by_a_power_of_their_distance():
    ratings = np.array([5.0, 1.0, 3.0, 2.0, 4.0, 4.0])
    labels = prepare_labels(np.array([0, 2, 4, 6]), ratings)
    apart = labels.rating[::2] - labels.rating[1::2]
    assert apart[0] / apart[1] == pytest.approx(4.0**0.75)
    assert pytest.approx(0.75) == POWER
    assert apart[2] == 0


def test_beside_labels_that_only_say_which_is_better_large_differences_of_scores_are_bounded():
    margins = np.arange(1.0, 41.0) / 10
    seen = seen_of([[(1.0, 5 + m / 2), (0.0, 5 - m / 2)] for m in margins])
    labels = prepare_labels(seen.offsets, seen.ratings)
    items = LabelledItems(
        np.repeat(np.arange(40), 2), 40, labels.used, labels.rating, np.arange(40, dtype=np.int8) % 5, np.arange(40)
    )
    groups = feature_groups(seen, labels, items, np.zeros(80), np.zeros(80, bool))
    value = next(group for group in groups if group.name == "judge").design(np.arange(80))[::2, 0]
    usual = np.sqrt(np.square(margins).mean())
    assert value / value[0] == pytest.approx(np.tanh(0.5 * margins / usual) / np.tanh(0.5 * margins[0] / usual))
    assert pytest.approx(0.5) == BOUND
