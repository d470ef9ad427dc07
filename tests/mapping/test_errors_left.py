"""How many errors are left: what a random sample says with P(wrong), without it, and with reviewers who err."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from argilla_admap.mapping.analysis.errors_left import (
    LEAST_RANDOM,
    ErrorEstimate,
    estimate_errors,
    random_part,
    reviewer_accuracy,
)
from argilla_admap.mapping.data.arrays import Bools, Floats


def population(n: int, noise: float, seed: int, *, strength: float = 3.0) -> tuple[Floats, Bools]:
    """P(wrong) that is calibrated, by a judge who tells wrong labels from right ones so clearly, and which are wrong."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < noise
    evidence = rng.normal(np.where(wrong, strength / 2, -strength / 2), 1.0)
    return 1 / (1 + np.exp(-(strength * evidence + np.log(noise / (1 - noise))))), wrong


def review(
    p: Floats | None, wrong: Bools, *, drawn: int, suspects: int, right: float = 1.0, seed: int = 0, votes: int = 1
) -> tuple[ErrorEstimate, Bools]:
    """The estimate after so many random records and so many of the likeliest are read, and what was read."""
    n = len(wrong)
    rng = np.random.default_rng(1000 + seed)
    number = rng.random(n)
    order = np.argsort(number)
    number[order[drawn:]] = np.nan
    doubt = rng.random(n) if p is None else p
    read = np.isfinite(number)
    read[np.argsort(-doubt)[:suspects]] = True
    corrects = sum((wrong ^ (rng.random(n) > right)).astype(int) for _ in range(votes)) * read
    known = np.full(n, np.nan) if p is None else p
    member, weight = random_part(number, read, np.zeros(n, np.int64), known)
    return estimate_errors(known, corrects, read * votes, member, weight), read


def test_without_p_wrong_and_with_reviewers_who_are_right_it_is_the_share_in_the_sample() -> None:
    wrong = np.zeros(1000, bool)
    wrong[::10] = True
    found, read = review(None, wrong, drawn=200, suspects=0, votes=2)
    seen = int((wrong & read).sum())
    # The exact interval of a share (Clopper & Pearson), and the false corrections that the prior allows for.
    low, high = beta.ppf([0.025, 0.975], [seen, seen + 1], [201 - seen, 200 - seen]) * 1000
    assert found.total.value == pytest.approx(seen * 5, rel=0.15)
    assert found.total.low == pytest.approx(low, abs=20)
    assert found.total.high == pytest.approx(high, abs=20)


def test_p_wrong_narrows_the_interval() -> None:
    ratios = []
    for seed in range(6):
        p, wrong = population(1000, 0.1, seed)
        widths = [
            found.total.high - found.total.low
            for found, _ in (review(given, wrong, drawn=100, suspects=0) for given in (p, None))
        ]
        ratios.append(widths[1] / widths[0])
    assert np.median(ratios) > 1.5


def test_of_a_part_of_the_records_the_interval_covers_its_own_truth_and_the_parts_add_up() -> None:
    covered = []
    for seed in range(15):
        p, wrong = population(800, 0.1, seed)
        number = np.random.default_rng(1000 + seed).random(800)
        number[np.argsort(number)[100:]] = np.nan
        read = np.isfinite(number) | (p > 0.7)
        member, weight = random_part(number, read, np.zeros(800, np.int64), p)
        given = (p, (wrong & read).astype(int), read.astype(int), member, weight)
        parts = [p < 0.4, p >= 0.4]
        totals = [estimate_errors(*given, within=part).total for part in parts]
        whole = estimate_errors(*given).total
        assert sum(one.value or 0.0 for one in totals) == pytest.approx(whole.value, rel=0.1)
        covered += [one.low <= (wrong & part).sum() <= one.high for one, part in zip(totals, parts, strict=True)]
    assert np.mean(covered) >= 0.9


@pytest.mark.parametrize("right", [0.85, 1.0])
def test_the_interval_covers_the_truth_whatever_was_read_first(right: float) -> None:
    covered = []
    for seed in range(15):
        p, wrong = population(600, 0.05, seed)
        for suspects in (0, 120):
            found, read = review(p, wrong, drawn=80, suspects=suspects, right=right, seed=seed)
            covered += [
                found.total.low <= wrong.sum() <= found.total.high,
                found.left.low <= (wrong & ~read).sum() <= found.left.high,
            ]
    assert np.mean(covered) >= 0.92


def test_a_p_wrong_that_knows_nothing_does_not_shift_it() -> None:
    covered, off = [], []
    for seed in range(20):
        p, wrong = population(600, 0.1, seed)
        found, _ = review(np.random.default_rng(seed).permutation(p), wrong, drawn=120, suspects=0, seed=seed, votes=2)
        covered.append(found.total.low <= wrong.sum() <= found.total.high)
        off.append(float(found.total.value or 0) - wrong.sum())
    assert np.mean(covered) >= 0.85
    assert abs(np.mean(off)) < 15


def test_people_who_err_are_found_out_by_answering_the_same_records() -> None:
    p, wrong = population(800, 0.05, 3)
    found, _ = review(p, wrong, drawn=150, suspects=0, right=0.85, votes=2)
    assert found.false_corrections.value == pytest.approx(0.15, abs=0.05)
    naive = 800 * (0.05 * 0.85 + 0.95 * 0.15)
    assert found.total.high < naive


def test_without_random_records_there_are_bounds_and_no_number() -> None:
    p, wrong = population(500, 0.1, 1)
    found, read = review(p, wrong, drawn=0, suspects=100)
    assert found.total.value is found.left.value is None
    assert found.left.low == 0
    assert found.left.high == 400
    assert found.total.low <= wrong.sum() <= found.total.high
    assert found.total.low > 0.5 * (wrong & read).sum()
    assert found.next_errors(~read) == pytest.approx(np.sort(p[~read])[::-1][:100].sum())
    few, _ = review(p, wrong, drawn=LEAST_RANDOM - 1, suspects=0)
    assert few.total.value is None
    assert few.total.json()["value"] is None


def test_when_all_is_read_nothing_is_left() -> None:
    p, wrong = population(60, 0.1, 2)
    found, _ = review(p, wrong, drawn=0, suspects=60)
    assert (found.left.value, found.left.low, found.left.high) == (0, 0, 0)
    assert found.total.value == pytest.approx(wrong.sum(), abs=2)


def half_read(n: int = 1000, suspects: int = 200, until: int = 60) -> tuple[Floats, Bools, Floats]:
    rng = np.random.default_rng(5)
    number, p = rng.random(n), rng.random(n)
    place = np.argsort(np.argsort(number))
    read = (place < until) | (p > np.sort(p)[-suspects])
    return np.where(place < 150, number, np.nan), read, p


def test_of_a_sample_read_half_way_only_what_was_read_for_it_counts() -> None:
    number, read, p = half_read()
    member, weight = random_part(number, read, np.zeros(1000, np.int64), p)
    places = np.argsort(np.argsort(np.where(np.isnan(number), 2, number)))[member]
    assert 45 <= member.sum() <= 60
    assert places.max() < 60
    # Suspects are read anyhow, and stand for no unread record.
    suspects = p > np.sort(p)[-200]
    assert weight[member & suspects].sum() < 0.05 * weight.sum()
    assert weight.sum() == pytest.approx((~read).sum())


def test_suspects_alone_are_no_random_sample() -> None:
    number, read, p = half_read(until=0)
    member, weight = random_part(number, read, np.zeros(1000, np.int64), p)
    assert member.sum() == 0
    assert weight.sum() == 0


def test_the_same_answers_give_the_same_estimate() -> None:
    p, wrong = population(300, 0.1, 4)
    assert review(p, wrong, drawn=50, suspects=20)[0].total == review(p, wrong, drawn=50, suspects=20)[0].total


def test_how_often_a_reviewer_is_right() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(400) < 0.3
    sure = np.where(wrong, 0.99, 0.01)
    for right in (0.7, 0.95):
        slips = rng.random(400) > right
        found = reviewer_accuracy(sure, wrong ^ slips)
        assert found.low < 1 - slips.mean() < found.high
        assert found.high - found.low < 0.12
    none = reviewer_accuracy(np.full(3, np.nan), np.ones(3, bool))
    assert none.high - none.low > 0.25
