"""Where the wrong labels come from."""

from __future__ import annotations

import numpy as np
import pytest

from argilla_admap.mapping.data_map import build_map
from argilla_admap.mapping.regions.sources import FEWEST, MOST, noise_by_source, sources_by_region, worse_sources
from tests.mapping.plain import scored_stream
from tests.report.maps import made_up_rows


def told(p, source, rate=0.1, varied=None):
    p, source = np.asarray(p, float), np.asarray(source)
    varied = np.ones(len(p), bool) if varied is None else varied
    return noise_by_source(p, varied, source, ("a", "b", "c"), rate)


def slow_posterior(p, rate):
    """Mean and 90% interval of a source's rate, record by record on a fine grid."""
    grid = (np.arange(2000) + 0.5) / 2000
    density = np.zeros(2000)
    for x in p:
        odds = (x / (1 - x)) / (rate / (1 - rate))
        density += np.log(1 - grid + grid * odds)
    density += 20 * (rate * np.log(grid) + (1 - rate) * np.log(1 - grid))
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    reached = np.cumsum(weight)
    return weight @ grid, grid[np.searchsorted(reached, 0.05)], grid[np.searchsorted(reached, 0.95)]


def test_each_sources_rate_and_interval_are_those_of_a_slow_reference():
    rng = np.random.default_rng(0)
    p, source = rng.beta(0.3, 2, 400).clip(1e-6, 1 - 1e-6), rng.choice(2, 400, p=[0.7, 0.3])
    for part, code in zip(told(p, source), (0, 1), strict=True):
        mine = p[source == code]
        assert (part.source, part.records) == ("ab"[code], len(mine))
        assert part.expected_wrong == pytest.approx(mine.sum())
        assert (part.noise_rate, *part.noise_interval) == pytest.approx(slow_posterior(mine, 0.1), abs=3e-3)


def test_small_sources_unknown_ones_and_labels_that_do_not_differ_are_left_out():
    source = np.array([0] * 100 + [1] * FEWEST + [2] * (FEWEST - 1) + [-1] * 50)
    p = np.full(len(source), 0.05)
    p[:10] = np.nan
    varied = np.ones(len(source), bool)
    varied[10:20] = False
    assert [(part.source, part.records) for part in told(p, source, varied=varied)] == [("a", 80), ("b", FEWEST)]
    assert told(p[source == 0], source[source == 0]) == ()
    assert told(p, source, rate=None) == ()


def test_no_more_sources_are_told_than_can_be_read():
    source = np.repeat(np.arange(MOST + 5), FEWEST)
    found = noise_by_source(np.full(len(source), 0.1), np.ones(len(source), bool), source, [f"s{i}" for i in range(25)], 0.1)
    assert len(found) == MOST


def test_a_source_far_worse_than_the_rest_is_named_and_like_ones_are_not():
    rows = made_up_rows(900, k=3, wrong=0.04, seed=3)
    like = build_map(scored_stream(rows)).summary
    assert not [words for words in like["warnings"] if "far worse" in words]
    worse = made_up_rows(900, k=3, wrong=0.4, seed=3)
    mixed = [{**(worse if row["source"] == "gamma" else rows)[i], "source": row["source"]} for i, row in enumerate(rows)]
    summary = build_map(scored_stream(mixed)).summary
    found = {part["source"]: part for part in summary["noise_by_source"]}
    assert found["gamma"]["noise_rate"] > 3 * max(found["alpha"]["noise_rate"], found["beta"]["noise_rate"])
    said = [words for words in summary["warnings"] if "far worse" in words]
    assert len(said) == 1
    assert said[0].startswith(
        f"labels of source gamma are far worse than the rest: about {found['gamma']['noise_rate']:.0%} of "
    )


def test_a_sources_own_words_cannot_write_to_the_terminal():
    rng = np.random.default_rng(0)
    p = np.where(np.arange(400) < 100, rng.beta(4, 4, 400), 0.001)
    noise = noise_by_source(p, np.ones(400, bool), np.repeat([0, 1], [100, 300]), ("\x1b[31mred", "b"), 0.1)
    (said,) = worse_sources(noise, "source")
    assert "\x1b" not in said
    assert "red" in said


def test_regions_are_counted_by_source():
    region, source = np.array([0, 0, 1, 2, -1, 1]), np.array([0, 1, 0, 1, 0, -1])
    assert sources_by_region(region, source, ("a", "b")) == {
        "high_var": {"a": 1, "b": 1},
        "high_avg": {"a": 1, "b": 0},
        "low_avg": {"a": 0, "b": 1},
    }


def test_a_map_of_records_that_several_judges_scored_says_so():
    rows = [dict(row, judge="gpt-4o" if i % 4 else "llama") for i, row in enumerate(made_up_rows(40))]
    found = [words for words in build_map(scored_stream(rows)).info["summary"]["warnings"] if "judges" in words]
    assert len(found) == 1
    assert "gpt-4o: 30 records; llama: 10 records" in found[0]
    alone = build_map(scored_stream([dict(row, judge="gpt-4o, llama") for row in rows])).info["summary"]["warnings"]
    assert not [words for words in alone if "judges" in words]
