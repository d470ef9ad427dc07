"""Two maps compared: against libraries as oracles, and by what was planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from argilla_admap.errors import InputError
from argilla_admap.mapping.analysis import comparison
from argilla_admap.mapping.analysis.comparison import MOVED_COLUMNS, cohen_kappa, compare_frames, compare_maps, rank_correlation
from argilla_admap.mapping.data_map import build_map
from argilla_admap.reporting.words import comparison_figures
from tests.mapping.plain import scored_stream
from tests.mapping.test_bias import rows_of


def frame_of(n: int, seed: int, k: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    scores = rng.normal(5, 2, (n, k)).round(1)
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)],
            "mean": scores.mean(axis=1),
            "variance": scores.var(axis=1),
            "region": rng.choice(np.array(["high_var", "high_avg", "low_avg", None]), n),
            "p_wrong": np.where(rng.random(n) < 0.1, np.nan, rng.random(n)),
            "flags": [["boundary"] if value else [] for value in rng.random(n) < 0.3],
            "scores": list(scores),
        }
    )


def test_a_map_is_itself() -> None:
    frame = frame_of(50, 0)
    answer = compare_frames(frame, frame.sample(frac=1, random_state=1)).answer
    assert answer["regions"]["agreement"] == 1
    assert answer["regions"]["kappa"] == pytest.approx(1)
    assert answer["mean"]["rank_correlation"] == pytest.approx(1)
    assert answer["completions"]["same_order"] == 1
    assert answer["p_wrong"]["cleared"] == answer["p_wrong"]["newly_suspect"] == 0
    assert answer["p_wrong"]["top_overlap"] == answer["p_wrong"]["top"]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(20, 60))
def test_every_figure_is_that_of_a_slow_reference(seed: int, n: int) -> None:
    a, b = frame_of(n, seed), frame_of(n, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "_ROWS", 16)
        found = compare_frames(a, b.iloc[::-1])
    answer = found.answer
    ours, theirs = a["region"].fillna("none").tolist(), b["region"].fillna("none").tolist()
    for row in set(ours):
        for col in set(theirs):
            pairs = sum(x == row and y == col for x, y in zip(ours, theirs, strict=True))
            assert answer["regions"]["transitions"][row][col] == pairs
    assert answer["regions"]["kappa"] == pytest.approx(cohen_kappa_score(ours, theirs))
    assert answer["mean"]["rank_correlation"] == pytest.approx(spearmanr(a["mean"], b["mean"]).statistic)
    same = opposite = pairs = 0
    for x, y in zip(a["scores"], b["scores"], strict=True):
        for i in range(3):
            for j in range(i + 1, 3):
                product = np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
                pairs, same, opposite = pairs + 1, same + (product > 0), opposite + (product < 0)
    assert answer["completions"]["pairs"] == pairs
    assert answer["completions"]["same_order"] == pytest.approx(same / (same + opposite))
    assert answer["completions"]["same_order_or_tied"] == pytest.approx(1 - opposite / pairs)
    known = a["p_wrong"].notna() & b["p_wrong"].notna()
    assert answer["p_wrong"]["newly_suspect"] == ((a["p_wrong"] < 0.5) & (b["p_wrong"] >= 0.5) & known).sum()
    assert found.moved["id"].tolist() == sorted(
        found.moved["id"], key=lambda name: (-found.moved.set_index("id")["distance"][name], name)
    )
    assert len(found.moved) == answer["regions"]["moved"] == sum(x != y for x, y in zip(ours, theirs, strict=True))


def test_records_of_one_map_only_are_counted_and_left_out() -> None:
    a, b = frame_of(30, 0), frame_of(30, 1).iloc[10:]
    b = pd.concat([b, frame_of(3, 2).assign(id=["x", "y", "z"])])
    answer = compare_frames(a, b).answer
    assert (answer["records_a"], answer["records_b"], answer["common"], answer["only_a"], answer["only_b"]) == (
        30,
        23,
        20,
        10,
        3,
    )


def test_the_farthest_come_first() -> None:
    a = frame_of(40, 0).assign(region="high_avg")
    b = a.copy()
    b.loc[7, ["mean", "region"]] = [a["mean"][7] + 50, "high_var"]
    b.loc[9, ["mean", "region"]] = [a["mean"][9] + 5, "low_avg"]
    moved = compare_frames(a, b).moved
    assert tuple(moved.columns) == MOVED_COLUMNS
    assert moved["id"].tolist() == ["r7", "r9"]
    assert moved["region_b"].tolist() == ["high_var", "low_avg"]


def test_maps_that_cannot_be_joined_say_why() -> None:
    a = frame_of(5, 0)
    with pytest.raises(InputError, match="no record id in common"):
        compare_frames(a, a.assign(id=["v", "w", "x", "y", "z"]))
    with pytest.raises(InputError, match="the second map has the id 'r0' more than once"):
        compare_frames(a, pd.concat([a, a.iloc[:1]]))


def test_completions_of_another_number_are_not_paired() -> None:
    answer = compare_frames(frame_of(20, 0, k=3), frame_of(20, 0, k=4)).answer
    assert answer["completions"]["records"] == 0
    assert answer["completions"]["same_order"] is None


def test_each_maps_judge_is_shown_with_its_own_bias() -> None:
    fair, swayed = (build_map(scored_stream(rows_of(per_doubling=slope))) for slope in (0.0, 0.5))
    answer: dict[str, Any] = compare_maps(fair, swayed).answer
    slopes = {side: answer["bias"][side]["length"]["per_doubling"] for side in ("a", "b")}
    assert slopes["a"]["low"] < 0 < slopes["a"]["high"]
    assert slopes["b"]["low"] > 0.3
    assert answer["thresholds"]["a"] != answer["thresholds"]["b"]


def test_a_side_that_does_not_vary_has_no_rank_correlation_and_chance_alone_no_kappa() -> None:
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None
    assert rank_correlation(np.array([1.0, np.nan]), np.array([1.0, 2.0])) is None
    assert cohen_kappa(np.zeros(7, int), np.zeros(7, int)) is None


def rows_with(answers: list[str]) -> list[dict[str, Any]]:
    pairs = [[{"text": answer, "scores": [7.0]}, {"text": "z", "scores": [5.0]}] for answer in answers]
    return [{"id": str(i), "prompt": f"p{i}", "completions": pair} for i, pair in enumerate(pairs)]


def test_records_of_one_id_and_other_texts_are_said_and_left_out() -> None:
    """Ids such as 0, 1, 2 are given in every data set: the same id is not the same record."""
    a, b = (build_map(scored_stream(rows_with(answers))) for answers in (["x", "y", "w"], ["x", "other", "w"]))
    answer = compare_maps(a, b).answer
    assert (answer["common"], answer["other_texts"], answer["only_a"], answer["completions"]["pairs"]) == (2, 1, 0, 2)
    assert "1 have other texts in b" in comparison_figures(answer)[0].note
    other = build_map(scored_stream(rows_with(["k", "l", "m"])))
    with pytest.raises(InputError, match="the 3 ids that both maps have belong to other texts"):
        compare_maps(a, other)
