"""The choice of a training subset: the published third, quotas, diversity, and that every record is accounted for."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argilla_admap.errors import InputError
from argilla_admap.mapping.analysis.selection import (
    Rules,
    chosen_stream,
    facility_location,
    map_vectors,
    quotas,
    select_records,
)
from argilla_admap.mapping.regions.coordinates import REGIONS, fit_thresholds
from argilla_admap.tables import RecordStream


def frame_of(n: int, seed: int = 0, *, ties: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    mean, variance = rng.normal(5, 1, n), rng.gamma(1, 1, n)
    if ties:
        mean, variance = mean.round(), variance.round()
    thresholds, _ = fit_thresholds(variance, mean)
    region = np.where(variance >= thresholds.variance, 0, np.where(mean >= thresholds.mean, 1, 2))
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)],
            "mean": mean,
            "variance": variance,
            "region": [REGIONS[code] for code in region],
            "p_wrong": rng.random(n),
            "source": rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
            "flags": [["likely_wrong"] if value > 0.9 else [] for value in rng.random(n)],
        }
    )


def test_the_published_third_is_the_upper_half_of_the_two_thirds_of_lower_variance() -> None:
    frame = frame_of(3001)
    chosen = select_records(frame, Rules(regions=("high_avg",))).chosen
    # As the authors do it: sort by variance, drop the top n - 2n//3, halve the rest by mean.
    n = len(frame)
    rest = frame.sort_values("variance").iloc[: 2 * n // 3].sort_values("mean", ascending=False)
    theirs = set(rest.iloc[: len(rest) // 2 + len(rest) % 2]["id"])
    assert abs(len(set(frame["id"][chosen]) ^ theirs)) <= 1
    assert chosen.mean() == pytest.approx(1 / 3, abs=0.001)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 60),
    regions=st.sets(st.sampled_from(REGIONS)),
    limit=st.none() | st.floats(0, 1),
    fraction=st.none() | st.floats(0.01, 1),
    stratify=st.sampled_from([None, "source"]),
    diverse=st.booleans(),
)
def test_every_record_is_chosen_or_dropped_for_one_reason(
    seed: int, n: int, regions: set[str], limit: float | None, fraction: float | None, stratify: str | None, diverse: bool
) -> None:
    frame = frame_of(n, seed, ties=True)
    vectors = np.random.default_rng(seed).normal(size=(n, 4)) if diverse else None
    rules = Rules(regions=tuple(sorted(regions)), max_p_wrong=limit, fraction=fraction, stratify=stratify)
    found = select_records(frame, rules, vectors)
    assert found.chosen.sum() + sum(found.dropped.values()) == n
    assert found.chosen.sum() <= found.wanted
    kept = frame[found.chosen]
    assert set(kept["region"]) <= (regions or set(REGIONS))
    if limit is not None:
        assert (kept["p_wrong"] <= limit).all()
    assert sum(part["kept"] for part in found.by_stratum.values()) == len(kept)
    assert sum(part["records"] for part in found.by_region.values()) == n


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), stratify=st.sampled_from([None, "source"]))
def test_the_order_of_the_rows_does_not_count(seed: int, stratify: str | None) -> None:
    frame = frame_of(80, seed, ties=True)
    shuffled = frame.sample(frac=1, random_state=seed)
    rules = Rules(fraction=0.3, stratify=stratify)
    one = set(frame["id"][select_records(frame, rules).chosen])
    two = set(shuffled["id"][select_records(shuffled, rules).chosen])
    assert one == two


def test_the_best_by_mean_are_taken_where_more_pass_than_are_wanted() -> None:
    frame = frame_of(100)
    found = select_records(frame, Rules(fraction=0.1))
    assert set(frame["id"][found.chosen]) == set(frame.nlargest(10, "mean")["id"])


def test_quotas_keep_the_mix_of_the_map_and_say_what_is_missing() -> None:
    frame = frame_of(4000)
    frame.loc[frame["source"] == "a", "mean"] += 2  # without quotas the best are all of one source
    free = select_records(frame, Rules(fraction=0.1))
    assert free.association is not None
    assert free.association > 0.15
    held = select_records(frame, Rules(fraction=0.1, stratify="source"))
    assert held.association == pytest.approx(0, abs=0.02)
    for part in held.by_stratum.values():
        assert part["kept"] == pytest.approx(part["records"] * 0.1, abs=1)
    short = select_records(frame, Rules(regions=("high_avg",), fraction=0.4, stratify="source"))
    assert short.chosen.sum() < short.wanted
    assert {"another region", "over its quota"} >= set(short.dropped)


@given(
    sizes=st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(lambda values: sum(values) > 0), share=st.floats(0, 1)
)
def test_quotas_add_up_and_are_within_one_of_the_exact_share(sizes: list[int], share: float) -> None:
    total = round(share * sum(sizes))
    got = quotas(np.array(sizes), total)
    assert got.sum() == total
    assert (got <= sizes).all()
    assert np.abs(got - np.array(sizes) * total / sum(sizes)).max() < 1 + 1e-6


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 8), count=st.integers(1, 4))
def test_the_greedy_choice_is_that_of_plain_greed_and_near_the_best(seed: int, n: int, count: int) -> None:
    count = min(count, n)
    vectors = np.random.default_rng(seed).normal(size=(n, 3))
    similarity = np.exp(-np.square(vectors[:, None] - vectors[None]).sum(axis=2))

    def value(chosen: Any) -> float:
        return float(similarity[:, list(chosen)].max(axis=1).sum()) if len(chosen) else 0.0

    plain: list[int] = []
    for _ in range(count):
        plain.append(max((i for i in range(n) if i not in plain), key=lambda i: (round(value([*plain, i]), 12), -i)))
    picked = facility_location(similarity, count).tolist()
    assert len(set(picked)) == count
    assert value(picked) == pytest.approx(value(plain))
    best = max(value(chosen) for chosen in combinations(range(n), count))
    assert value(picked) >= (1 - 1 / np.e) * best - 1e-9


def test_a_diverse_choice_reaches_every_cluster() -> None:
    rng = np.random.default_rng(0)
    frame = frame_of(2000)
    cluster = np.arange(2000) % 20
    frame["mean"] = 5 + (cluster == 0) * 2.0 + rng.normal(0, 0.01, 2000)
    centres = rng.normal(size=(20, 16))
    vectors = centres[cluster] + rng.normal(0, 0.05, (2000, 16))
    rules = Rules(fraction=0.05)
    assert set(cluster[select_records(frame, rules).chosen]) == {0}
    reached = cluster[select_records(frame, rules, vectors).chosen]
    assert len(reached) == 100
    # The pool is four times what is wanted: the best cluster and three quarters of it others.
    assert len(set(reached)) >= 15


def test_vectors_that_are_missing_do_not_break_the_choice() -> None:
    frame = frame_of(50)
    vectors = np.random.default_rng(0).normal(size=(50, 3))
    vectors[:10] = np.nan
    vectors[10:20] = 0
    assert select_records(frame, Rules(fraction=0.5), vectors).chosen.sum() == 25
    assert np.isfinite(map_vectors(frame)).all()


def test_unknown_p_wrong_is_dropped_by_a_limit_and_a_map_without_any_is_an_error() -> None:
    frame = frame_of(10)
    frame["p_wrong"] = [0.1] * 9 + [None]
    found = select_records(frame, Rules(max_p_wrong=0.5))
    assert found.dropped == {"P(wrong) unknown": 1}
    frame["p_wrong"] = np.nan
    with pytest.raises(InputError, match="this map has no P"):
        select_records(frame, Rules(max_p_wrong=0.5))
    # Without labels the selection works: the published use before annotation.
    assert select_records(frame, Rules(regions=("high_avg",))).chosen.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions": ("high",)}, "`region`: there is no region 'high'; choose from high_var"),
        ({"without_flags": ("likely-wrong",)}, "`without_flag`: there is no flag 'likely-wrong'; choose from likely_wrong"),
        ({"max_p_wrong": 1.5}, "`max_p_wrong`: 1.5 is no probability"),
        ({"fraction": 0.0}, "`fraction`: 0.0 is no share"),
        ({"fraction": float("nan")}, "`fraction`: nan is no share"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_value(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Rules(**options)


def test_a_stratum_that_is_no_column_names_those_that_are() -> None:
    with pytest.raises(InputError, match="`stratify`: the map has no column 'task'; the columns are id, mean"):
        select_records(frame_of(5), Rules(stratify="task"))
    with pytest.raises(InputError, match="`stratify`: the values of 'flags' are lists"):
        select_records(frame_of(5), Rules(stratify="flags"))


def test_a_diverse_choice_is_made_among_the_best_four_times_as_many() -> None:
    frame = frame_of(40)
    frame["mean"] = np.arange(40.0)[::-1]
    vectors = np.eye(41)[np.maximum(np.arange(40) - 15, 0)]
    chosen = np.flatnonzero(select_records(frame, Rules(fraction=0.125), vectors).chosen)
    # The best sixteen are alike; of the four next every one is unlike all others, and so are those beyond the pool.
    assert len(chosen) == 5
    assert (chosen[:-4] < 16).all()
    assert chosen[-4:].tolist() == [16, 17, 18, 19]


@pytest.mark.parametrize("rows", [3, 7, 100])
def test_the_chosen_records_are_streamed_from_whatever_batches(rows: int) -> None:
    table = pa.table({"id": [f"r{i}" for i in range(20)]})
    stream = RecordStream(lambda: iter(table.to_batches(max_chunksize=rows)), table.schema, {"judge": "j"})
    chosen = np.isin(np.arange(20), [2, 3, 9, 19])
    told = chosen_stream(stream, replace(select_records(frame_of(20), Rules()), chosen=chosen))
    assert told.table().column("id").to_pylist() == ["r2", "r3", "r9", "r19"]
    assert told.info["judge"] == "j"
    assert told.info["selection"]["selected"] == 4


def test_a_p_wrong_at_the_limit_is_kept_and_the_share_of_the_kept_told() -> None:
    frame = frame_of(4)
    frame["p_wrong"] = [0.2, 0.3, 0.4, 0.1]
    found = select_records(frame, Rules(max_p_wrong=0.3))
    assert found.chosen.tolist() == [True, True, False, True]
    assert found.as_json()["share"] == 0.75
    nothing = select_records(frame.iloc[:0], Rules())
    assert (nothing.as_json()["share"], nothing.as_json()["selected"]) == (0.0, 0)


def test_places_on_the_map_are_vectors_from_corner_to_corner() -> None:
    frame = frame_of(3)
    frame["variance"], frame["mean"] = [0.0, 4.0, 16.0], [1.0, 2.0, 5.0]
    assert map_vectors(frame) == pytest.approx(np.array([[-1, -1, 0.5], [0, -0.5, 0.5], [1, 1, 0.5]]))
    frame["variance"] = 4.0
    assert map_vectors(frame)[:, 0] == pytest.approx([0, 0, 0])


def test_flags_and_strata_are_counted_the_commonest_stratum_first() -> None:
    frame = frame_of(6)
    frame["source"] = ["b", "a", "b", None, "b", "a"]
    frame["flags"] = pd.Series([["contested"], None, [], ["contested", "low_mean"], [], []], dtype=object)
    found = select_records(frame, Rules(without_flags=("low_mean",)))
    assert [(name, *part.values()) for name, part in found.by_stratum.items()] == [("b", 3, 3), ("a", 2, 2), ("(none)", 1, 0)]
    assert [(name, *part.values()) for name, part in found.by_flag.items()] == [("contested", 2, 1), ("low_mean", 1, 0)]
    assert found.dropped == {"flag low_mean": 1}


def test_labels_that_several_judges_agree_with_are_kept() -> None:
    frame = frame_of(4)
    columns: dict[str, list[Any]] = {
        "ratings": [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], None],
        "scores": [[3.0, 3.0]] * 4,
        "scores.a": [[5.0, 1.0], [4.0, 2.0], [5.0, 1.0], [5.0, 1.0]],
        "scores.b": [[4.5, 4.0], [3.0, 3.0], [None, 1.0], [5.0, 1.0]],
    }
    for name, values in columns.items():
        frame[name] = pd.Series(values, dtype=object)
    kept = {n: select_records(frame, Rules(agreed_by=n)) for n in (1, 2)}
    assert [found.chosen.tolist() for found in kept.values()] == [[True, True, False, False], [True, False, False, False]]
    assert kept[2].dropped == {"scored by fewer than 2 judges": 1, "agreed by fewer than 2 judges": 2}
    with pytest.raises(InputError, match=r"`agreed_by`: 3 judges cannot agree.*`model` more than once"):
        select_records(frame, Rules(agreed_by=3))
    # A look beside a guide is the same judge's: it makes no third, and no second, judge.
    frame["scores.b + reference"] = frame["scores.a"]
    with pytest.raises(InputError, match="3 judges cannot agree: this map has the scores of 2"):
        select_records(frame, Rules(agreed_by=3))
    with pytest.raises(InputError, match="2 judges cannot agree: this map has the scores of one judge"):
        select_records(frame.drop(columns="scores.a"), Rules(agreed_by=2))


@pytest.mark.parametrize("stratify", [None, "source"])
def test_a_column_of_as_many_values_as_records_takes_no_mask_for_each(stratify):
    frame = frame_of(20_000)
    frame["source"] = [f"https://example.org/{i}" for i in range(len(frame))]
    tracemalloc.start()
    found = select_records(frame, Rules(regions=("high_avg",), stratify=stratify))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(part["kept"] for part in found.by_stratum.values()) == found.chosen.sum() > 0
    assert peak < 60e6
