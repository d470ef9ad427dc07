"""Places, thresholds, regions and how sure they are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argilla_admap.errors import InputError
from argilla_admap.mapping.data.arrays import offsets_of
from argilla_admap.mapping.data_map import DataMap, build_map
from argilla_admap.mapping.regions.coordinates import (
    HIGH_AVG,
    HIGH_VAR,
    LOW_AVG,
    REGIONS,
    RecordThresholds,
    Thresholds,
    assign_regions,
    compute_coordinates,
    cut_above,
    fit_thresholds,
)
from argilla_admap.tables import RecordStream
from tests.mapping.plain import DATA, load, scored_stream

scores = st.lists(st.lists(st.one_of(st.none(), st.integers(1, 5)), min_size=2, max_size=5), min_size=1, max_size=40)


def rows_of(ragged):
    return [
        {
            "id": f"r{i}",
            "prompt": f"prompt {i}",
            "source": f"s{i % 3}",
            "completions": [
                {
                    "text": f"text {i} {j}",
                    "rating": None,
                    "scores": [] if s is None else [s],
                }
                for j, s in enumerate(record)
            ],
        }
        for i, record in enumerate(ragged)
    ]


def authors_split(variance, mean):
    """The split as the authors make it, by position: sorted by variance, then the rest by mean."""
    n = len(variance)
    by_variance = sorted(range(n), key=lambda i: variance[i])
    rest, region = by_variance[: 2 * n // 3], [HIGH_VAR] * n
    by_mean = sorted(rest, key=lambda i: mean[i])
    for place, i in enumerate(by_mean):
        region[i] = LOW_AVG if place < len(rest) // 2 else HIGH_AVG
    return region


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 10, 100, 506])
def test_the_authors_split_is_reproduced_where_nothing_ties(n):
    rng = np.random.default_rng(n)
    values = rng.normal(size=(n, 4)).round(6)
    place = compute_coordinates(np.arange(n + 1) * 4, values.ravel(), np.full(n * 4, np.nan))
    thresholds, tied = fit_thresholds(place.variance, place.mean)
    cuts = RecordThresholds(np.full(n, thresholds.variance), np.full(n, thresholds.mean))
    assert assign_regions(place, cuts).tolist() == authors_split(place.variance, place.mean)
    assert not tied.any()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.data())
def test_a_cut_separates_no_ties_and_is_as_near_as_ties_allow(values, data):
    array = np.array(values, float)
    above = data.draw(st.integers(0, len(values)))
    threshold, _ = cut_above(array, above)
    mask = array >= threshold
    assert not set(array[mask]) & set(array[~mask])
    reachable = [int((array >= v).sum()) for v in set(values)] + [0]
    assert abs(int(mask.sum()) - above) == min(abs(count - above) for count in reachable)


@settings(max_examples=60, deadline=None)
@given(scores)
def test_every_scored_record_has_one_region_and_equal_places_have_equal_regions(ragged):
    frame = build_map(scored_stream(rows_of(ragged))).frame
    placed = frame["variance"].notna()
    assert (placed == [sum(s is not None for s in record) >= 2 for record in ragged]).all()
    assert frame.loc[placed, "region"].isin(REGIONS).all()
    assert frame.loc[~placed, "region"].isna().all()
    assert (frame[placed].groupby(["mean", "variance"])["region"].nunique() == 1).all()
    assert frame.loc[placed, "region_confidence"].between(0, 1).all()


@settings(max_examples=40, deadline=None)
@given(scores)
def test_mean_and_variance_agree_with_a_slow_reference(ragged):
    frame = build_map(scored_stream(rows_of(ragged))).frame
    for record, mean, variance in zip(ragged, frame["mean"], frame["variance"], strict=True):
        known = [s for s in record if s is not None]
        if len(known) < 2:
            assert np.isnan(mean)
        else:
            assert mean == pytest.approx(sum(known) / len(known))
            assert variance == pytest.approx(sum((s - mean) ** 2 for s in known) / len(known), abs=1e-9)


def test_the_judges_own_variance_is_taken_off():
    rng = np.random.default_rng(0)
    n, k, samples = 4000, 4, 3
    true = rng.normal(size=(n, k))
    drawn = true[:, :, None] + 0.8 * rng.normal(size=(n, k, samples))
    place = compute_coordinates(
        offsets_of(np.full(n, k)), drawn.mean(axis=2).ravel(), drawn.var(axis=2, ddof=1).ravel() / samples
    )
    between = np.square(true - true.mean(axis=1, keepdims=True)).mean()
    assert np.mean(place.total) > 1.15 * between
    assert np.mean(place.total - place.noise) == pytest.approx(between, rel=0.03)
    assert (place.variance >= 0).all()


def test_confidence_says_how_often_another_judgement_lands_in_the_same_region():
    rows = load(DATA / "prometheus_k4_gpt4_3samples.jsonl.gz")
    regions = []
    for sample in range(3):
        own = [
            {**r, "completions": [{**c, "scores": c["scores"][sample : sample + 1]} for c in r["completions"]]} for r in rows
        ]
        regions.append(build_map(scored_stream(own)).frame)
    sure = regions[0]["region_confidence"].to_numpy()
    same = np.mean([(regions[0]["region"] == regions[i]["region"]).to_numpy() for i in (1, 2)], axis=0)
    assert same[sure > 0.8].mean() > same[sure < 0.6].mean() + 0.1
    assert abs(sure.mean() - same.mean()) < 0.15


def test_thresholds_of_an_earlier_map_keep_the_regions_of_a_growing_data_set(tmp_path):
    rng = np.random.default_rng(1)
    rows = rows_of(rng.integers(1, 6, size=(60, 3)).tolist())
    build_map(scored_stream(rows[:30])).write(tmp_path / "map.parquet")
    earlier = DataMap.read(tmp_path / "map.parquet")
    grown = build_map(scored_stream(rows), thresholds=earlier)
    assert grown.thresholds == earlier.thresholds
    assert grown.frame["region"][:30].tolist() == earlier.frame["region"].tolist()


def test_absolute_thresholds_are_used_as_given():
    frame = build_map(scored_stream(rows_of([[1, 5], [4, 4], [2, 2]])), thresholds={"variance": 1.0, "mean": 3.0}).frame
    assert frame["region"].tolist() == ["high_var", "high_avg", "low_avg"]


def test_strata_are_split_each_for_itself():
    rows = rows_of([[i % 5 + 1, (i * 7) % 5 + 1, 3] for i in range(90)])
    for row in rows:
        if row["source"] == "s0":
            row["completions"] = [{**c, "scores": [c["scores"][0] + 40]} for c in row["completions"]]
    frame = build_map(scored_stream(rows), stratify="source").frame
    shares = frame.groupby("source")["region"].value_counts(normalize=True)
    assert shares["s0"]["low_avg"] == pytest.approx(shares["s1"]["low_avg"], abs=0.12)
    assert "stratify" in build_map(scored_stream(rows)).summary["warnings"][0]


def test_bad_thresholds_and_strata_are_named():
    stream = scored_stream(rows_of([[1, 2]]))
    with pytest.raises(InputError, match="`stratify`: there is no column"):
        build_map(stream, stratify="colour")
    with pytest.raises(InputError, match="`stratify`: the values of 'scores' are lists"):
        build_map(stream, stratify="scores")
    with pytest.raises(InputError, match="variance"):
        build_map(stream, thresholds={"variance": float("nan"), "mean": 1.0})
    with pytest.raises(InputError, match="mean"):
        Thresholds.from_json({"variance": 1})


def test_thresholds_of_another_scale_are_said():
    stream = scored_stream(rows_of([[1, 2], [3, 5], [2, 4]]))
    said = build_map(stream, thresholds=Thresholds(0.5, 40.0)).summary["warnings"]
    assert [words for words in said if words.startswith("the given threshold of the mean, 40, is outside")]
    assert not [words for words in build_map(stream, thresholds=Thresholds(0.5, 3)).summary["warnings"] if "outside" in words]


def test_one_score_is_no_place_and_the_record_says_so():
    data_map = build_map(scored_stream(rows_of([[1, None], [2, 3]])))
    table = data_map.stream().table()
    assert table.column("region").to_pylist()[0] is None
    assert any("fewer than two" in sentence for sentence in table.column("evidence").to_pylist()[0])
    assert table.column("scores").to_pylist()[0] == [1.0, None]


def test_the_variance_is_the_authors_unless_the_judges_noise_is_to_be_taken_out():
    rows = load(DATA / "prometheus_k4_gpt4_3samples.jsonl.gz")
    plain, between = build_map(scored_stream(rows)).frame, build_map(scored_stream(rows), between=True).frame
    means = [[np.nanmean(np.array(c["scores"], float)) for c in r["completions"]] for r in rows]
    assert plain["variance"].to_numpy() == pytest.approx([np.var(m) for m in means])
    assert (between["variance"] <= plain["variance"] + 1e-12).all()
    assert between["variance"].mean() < 0.95 * plain["variance"].mean()
    assert (between["variance"] == plain["variance_between"]).all()
    assert (between["variance"] >= 0).all()


def test_the_spread_beside_one_expected_score_is_not_taken_for_noise():
    # Expected scores from token probabilities: one call, whose distribution has a variance of its own.
    table = scored_stream(rows_of([[4.6, 3.1], [2.0, 2.9]])).table()
    spread = pa.array([[0.9, 0.8], [0.7, 0.6]], pa.list_(pa.float64()))
    ones = pa.array([[1, 1], [1, 1]], pa.list_(pa.int32()))
    table = table.set_column(table.schema.get_field_index("score_variances"), "score_variances", spread)
    table = table.set_column(table.schema.get_field_index("score_counts"), "score_counts", ones)
    frame = build_map(RecordStream.from_table(table), between=True).frame
    assert frame["variance"].to_numpy() == pytest.approx([0.75**2, 0.45**2])


def test_ties_at_the_extreme_are_flagged_rather_than_nothing():
    rows = rows_of([[5, 1]] * 3 + [[3, 3]] * 4 + [[4, 3]] * 5)
    frame = build_map(scored_stream(rows)).frame
    flagged = frame["flags"].map(lambda flags: "high_variance" in list(flags))
    assert flagged.tolist() == [True] * 3 + [False] * 9
    all_alike = build_map(scored_stream(rows_of([[5, 1]] * 8 + [[3, 3]] * 2))).frame
    assert not all_alike["flags"].map(lambda flags: "high_variance" in list(flags)).any()
