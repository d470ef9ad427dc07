"""Bias, comparison and agreement against libraries and slow references, on data with ties, gaps and no spread."""

from __future__ import annotations

import contextlib
import json
import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, spearmanr

from argilla_admap.errors import InputError
from argilla_admap.mapping.analysis.agreement import dawid_skene, krippendorff_alpha
from argilla_admap.mapping.analysis.bias import control_length, measure_bias
from argilla_admap.mapping.analysis.comparison import compare_frames, rank_correlation
from argilla_admap.mapping.analysis.selection import Rules, map_vectors, quotas, select_records
from argilla_admap.mapping.analysis.selftest import selftest
from argilla_admap.mapping.data_map import build_map
from argilla_admap.mapping.regions.sources import cramers_v
from argilla_admap.reporting.points import gather_points
from argilla_admap.reporting.words import bias_figures, comparison_figures, headline, map_figures
from tests.mapping.plain import scored_stream

NAN = np.nan
codes = st.integers(1, 4)
few = settings(max_examples=25, deadline=None)


def slow_alpha(values: Any, level: str) -> float | None:
    """Every ordered pair of answers to one item, each weighing 1 / (answers - 1); and every pair of answers at all."""
    columns = [[v for v in column if not math.isnan(v)] for column in values.T]
    columns = [column for column in columns if len(column) >= 2]

    def differ(a: float, b: float) -> float:
        return float(a != b) if level == "nominal" else (a - b) ** 2

    everything = [v for column in columns for v in column]
    n = len(everything)
    expected = sum(differ(a, b) for a in everything for b in everything)
    if not n or not expected:
        return None
    observed = sum(differ(a, b) / (len(c) - 1) for c in columns for a in c for b in c)
    return 1 - observed / (expected / (n - 1))


@few
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 12), st.sampled_from([0.0, 0.3, 0.8]), st.integers(1, 4))
def test_krippendorffs_alpha_is_that_of_all_pairs(seed: int, people: int, items: int, missing: float, levels: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, levels, (people, items)).astype(float)
    values[rng.random(values.shape) < missing] = NAN
    for level in ("nominal", "interval"):
        found, slow = krippendorff_alpha(values, level), slow_alpha(values, level)
        assert found == (None if slow is None else pytest.approx(slow, abs=1e-9))


def slow_v(first: Any, second: Any) -> float | None:
    """Bergsma's correction from its definition, cell by cell."""
    n, rows, columns = len(first), sorted(set(first)), sorted(set(second))
    if len(rows) < 2 or len(columns) < 2:
        return None
    phi = 0.0
    for a in rows:
        for b in columns:
            both = sum(x == a and y == b for x, y in zip(first, second, strict=True))
            expected = list(first).count(a) * list(second).count(b) / n
            phi += (both - expected) ** 2 / expected / n
    r, c = len(rows), len(columns)
    corrected = max(0.0, phi - (r - 1) * (c - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return min(1.0, math.sqrt(corrected / smaller)) if smaller > 0 else None


@few
@given(st.lists(st.tuples(codes, codes), max_size=60))
def test_cramers_v_is_bergsmas_and_does_not_mind_names_or_order(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array([pair[i] for pair in pairs], np.int64) for i in (0, 1))
    found, slow = cramers_v(first, second), slow_v(first.tolist(), second.tolist())
    # A root: of the dust of rounding it makes a little more.
    assert found == (None if slow is None else pytest.approx(slow, abs=1e-6))
    assert cramers_v(second, first) == (None if found is None else pytest.approx(found, abs=1e-6))
    assert cramers_v(10 - first[::-1], second[::-1]) == (None if found is None else pytest.approx(found, abs=1e-6))


def test_cramers_v_of_what_has_nothing_to_do_with_each_other_is_near_zero_however_many_sources() -> None:
    rng = np.random.default_rng(0)
    found = [cramers_v(rng.integers(0, 3, 600), rng.integers(0, 150, 600)) or 0.0 for _ in range(20)]
    # Without the correction it would be near .35 each time.
    assert np.mean(found) < 0.12
    assert cramers_v(np.arange(600) % 3, np.arange(600) % 3) == pytest.approx(1)


@few
@given(st.lists(st.tuples(st.sampled_from([NAN, 0.0, 1.0, 2.0, 2.5]), st.sampled_from([NAN, 0.0, 1.0, 5.0])), max_size=40))
def test_rank_correlation_is_spearmans_of_the_known_pairs(pairs: list[tuple[float, float]]) -> None:
    x, y = (np.array([pair[i] for pair in pairs], float) for i in (0, 1))
    both = np.isfinite(x) & np.isfinite(y)
    found = rank_correlation(x, y)
    if both.sum() < 2 or np.ptp(x[both]) == 0 or np.ptp(y[both]) == 0:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(x[both], y[both]).statistic)


@few
@given(st.lists(st.integers(0, 30), max_size=12), st.floats(0, 1))
def test_quotas_share_out_all_and_stay_within_one_of_the_exact_share(sizes: list[int], share: float) -> None:
    groups = np.array(sizes, np.int64)
    total = int(share * groups.sum())
    found = quotas(groups, total)
    assert found.sum() == total
    assert (found <= groups).all()
    if groups.sum():
        assert np.abs(found - groups * total / groups.sum()).max() < 1


@few
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 20), st.integers(2, 3))
def test_dawid_and_skenes_probabilities_are_probabilities_whoever_is_silent(
    seed: int, people: int, n: int, classes: int
) -> None:
    rng = np.random.default_rng(seed)
    item, person = np.meshgrid(np.arange(n), np.arange(people), indexing="ij")
    keep = rng.random(item.size) < 0.7
    answers = rng.integers(0, classes, item.size)
    found = dawid_skene(item.ravel()[keep], person.ravel()[keep], answers[keep], classes)
    assert np.isfinite(found.probability).all()
    answered = np.unique(item.ravel()[keep])
    assert found.probability[answered].sum(axis=1) == pytest.approx(np.ones(len(answered)))


value = st.sampled_from([None, 1.0, 2.0, 2.0, 3.0, 5.0])
completion = st.fixed_dictionaries(
    {
        "text": st.sampled_from(["", "a b", "a longer text of some words", "ein Text", "港口位于城镇", "x" * 300]),
        "rating": value,
        "scores": st.sampled_from([[], [1.0], [2.0], [4.0], [4.0, 5.0], [None]]),
        "model": st.sampled_from([None, "gpt-4", "claude-2", "llama-2-7b"]),
    }
)
record = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from(["", "What is it?", "what is it", "港口在哪里", "Write it in French, please."]),
        "completions": st.lists(completion, min_size=2, max_size=4),
        "source": st.sampled_from([None, "one", "two"]),
        "judge": st.sampled_from([None, "gpt-4o"]),
    }
)


def plain(rows: list[dict[str, Any]], name: str = "r") -> list[dict[str, Any]]:
    return [{**row, "id": f"{name}{i}"} for i, row in enumerate(rows)]


@settings(max_examples=30, deadline=None)
@given(st.lists(record, min_size=1, max_size=14), st.lists(record, min_size=1, max_size=14))
def test_whatever_is_missing_or_alike_every_figure_is_a_number_or_null(first: list[Any], second: list[Any]) -> None:
    a, b = (build_map(scored_stream(plain(rows))) for rows in (first, second))
    answer = compare_frames(a.frame, b.frame).answer
    bias = measure_bias(a.stream()).as_json()
    for told in (a.summary, answer, bias, a.info):
        json.dumps(told, allow_nan=False, default=str)
    points = gather_points(a)
    said = [headline(points), *(f"{f.label} {f.value} {f.note}" for f in map_figures(points))]
    said += [f"{f.label} {f.value} {f.note}" for f in (*bias_figures(bias), *comparison_figures(answer))]
    assert not [words for words in said if "nan" in words.lower().replace("finance", "").split() or "None" in words]
    for part in a.summary["noise_by_source"]:
        assert 0 <= part["noise_interval"][0] <= part["noise_rate"] <= part["noise_interval"][1] <= 1
    frame = a.frame
    for rules in (Rules(), Rules(regions=("high_avg",)), Rules(fraction=0.5, stratify="source"), Rules(fraction=0.3, seed=3)):
        chosen = select_records(frame, rules, map_vectors(frame) if rules.seed else None)
        assert chosen.chosen.sum() + sum(chosen.dropped.values()) == len(frame)
        json.dumps(chosen.as_json(), allow_nan=False)
    adjusted = control_length(a.stream())
    assert adjusted.table().num_rows == len(first)
    json.dumps(adjusted.info["length_control"], allow_nan=False)
    # Nothing to plant in is said; all else is told in numbers.
    with contextlib.suppress(InputError):
        json.dumps(selftest(a.stream(), rounds=1).answer, allow_nan=False)


def slow_agreement(rows: list[dict[str, Any]], source: str | None) -> tuple[int, int]:
    """Pairs of one prompt that judge and label both part, and how many alike."""
    pairs = alike = 0
    for row in rows:
        if source is not None and row["source"] != source:
            continue
        for one, two in combinations(row["completions"], 2):
            scores = [np.mean(c["scores"]) if c["scores"] and c["scores"][0] is not None else NAN for c in (one, two)]
            ratings = [NAN if c["rating"] is None else c["rating"] for c in (one, two)]
            product = (scores[0] - scores[1]) * (ratings[0] - ratings[1])
            if product > 0 or product < 0:
                pairs, alike = pairs + 1, alike + (product > 0)
    return pairs, alike


@few
@given(st.lists(record, min_size=1, max_size=20))
def test_agreement_by_source_counts_every_pair_and_its_interval_is_wilsons(rows: list[Any]) -> None:
    told = {part.group: part for part in measure_bias(scored_stream(plain(rows))).by_source}
    for source in (None, "one", "two"):
        pairs, alike = slow_agreement(rows, source)
        part = told.get(source or "")
        assert (part is None) == (pairs == 0)
        if part is not None:
            interval = binomtest(alike, pairs).proportion_ci(method="wilson")
            assert (part.pairs, part.accuracy) == (pairs, pytest.approx(alike / pairs))
            assert (part.low, part.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


@few
@given(st.lists(record, min_size=1, max_size=20))
def test_how_often_the_best_label_is_the_first_is_counted_over_records_with_all_known(rows: list[Any]) -> None:
    found = measure_bias(scored_stream(plain(rows))).label_first
    best = first = 0
    for row in rows:
        known = [c["rating"] if c["scores"] and c["scores"][0] is not None else None for c in row["completions"]]
        if None not in known and known.count(max(known)) == 1:
            best, first = best + 1, first + (known.index(max(known)) == 0)
    assert found == (pytest.approx(first / best) if best else None)


def test_the_order_of_the_rows_does_not_count_for_a_choice_of_equal_records() -> None:
    frame = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(40)],
            "mean": [3.0] * 40,
            "variance": [1.0] * 40,
            "region": ["high_avg"] * 40,
            "p_wrong": [0.1] * 40,
            "flags": [[]] * 40,
            "source": ["one", "two"] * 20,
        }
    )
    rules = Rules(fraction=0.25, stratify="source", seed=5)
    there = set(frame["id"][select_records(frame, rules).chosen])
    mixed = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    assert there == set(mixed["id"][select_records(mixed, rules).chosen])
    assert len(there) == 10
    assert there != set(frame["id"][select_records(frame, Rules(fraction=0.25, stratify="source", seed=6)).chosen])
