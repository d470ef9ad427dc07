"""What sways the judge: each number against a slow reference, or against what was planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import t as student

from argilla_admap.errors import InputError
from argilla_admap.mapping.analysis import bias
from argilla_admap.mapping.analysis.bias import control_length, family_of, measure_bias, read_bias_input, within_slopes
from argilla_admap.mapping.data.text_features import LANGUAGES
from argilla_admap.tables import RecordStream
from tests.mapping.plain import scored_stream


def rows_of(
    n: int = 400,
    k: int = 3,
    *,
    seed: int = 0,
    per_doubling: float = 0.0,
    first: float = 0.0,
    own: float = 0.0,
    noise: float = 0.3,
) -> list[dict[str, Any]]:
    """Records whose scores are quality plus what is planted; labels are the quality itself."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(5, 1, (n, k))
    doublings = rng.uniform(3, 9, (n, k))
    models = rng.integers(0, 3, (n, k))
    scores = quality + per_doubling * doublings + rng.normal(0, noise, (n, k)) + own * (models == 0)
    scores[:, 0] += first
    names = ("gpt-4o", "claude-3-opus", "Qwen2.5-7B")
    return [
        {
            "id": str(i),
            "prompt": "p",
            "source": "even" if i % 2 == 0 else "odd",
            "completions": [
                {
                    "text": "x" * round(2 ** doublings[i, j]),
                    "model": names[models[i, j]],
                    "rating": float(quality[i, j]),
                    "scores": [float(scores[i, j])],
                }
                for j in range(k)
            ],
        }
        for i in range(n)
    ]


def judged_by(rows: list[dict[str, Any]], judge: str) -> Any:
    stream = scored_stream(rows)
    stream.info["judge"] = judge
    return stream


def slow_slopes(offsets: Any, outcome: Any, causes: Any, keep: Any) -> list[tuple[float, float]]:
    """Slope and half width by dummies for the records and a loop over clusters: the textbook's way."""
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[keep]
    records = [r for r in np.unique(owner) if (owner == r).sum() >= 2]
    rows = np.isin(owner, records)
    owner = owner[rows]
    x = np.stack([cause[keep][rows] for cause in causes], axis=1)
    y = outcome[keep][rows]
    full = np.hstack([x, (owner[:, None] == np.array(records)).astype(float)])
    beta = np.linalg.lstsq(full, y, rcond=None)[0]
    errors = y - full @ beta
    bread = np.linalg.pinv(full.T @ full)
    meat = np.zeros_like(bread)
    told = 0
    for r in records:
        mine = owner == r
        pull = full[mine].T @ errors[mine]
        meat += np.outer(pull, pull)
        told += bool(np.ptp(x[mine], axis=0).max() > 1e-12)
    covariance = bread @ meat @ bread * told / (told - 1)
    half = student.ppf(0.975, told - 1) * np.sqrt(np.diag(covariance))
    return [(float(beta[i]), float(half[i])) for i in range(len(causes))]


@pytest.mark.parametrize("causes", [1, 2])
def test_slopes_and_intervals_are_those_of_a_regression_with_record_dummies(causes: int) -> None:
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 6, 60)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    m = int(offsets[-1])
    xs = [rng.normal(size=m) for _ in range(causes)]
    y = sum(xs) + rng.normal(size=m) * np.repeat(rng.uniform(0.2, 2, 60), sizes)
    keep = rng.random(m) < 0.9
    fast = within_slopes(offsets, y, xs, keep)
    for estimate, (value, half) in zip(fast, slow_slopes(offsets, y, xs, keep), strict=True):
        assert estimate is not None
        assert estimate.value == pytest.approx(value, abs=1e-9)
        assert estimate.high - estimate.value == pytest.approx(half, rel=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bias, "_ROWS", 7)
        for part, estimate in zip(within_slopes(offsets, y, xs, keep), fast, strict=True):
            assert part is not None
            assert estimate is not None
            assert part.records == estimate.records
            assert (part.value, part.low, part.high) == pytest.approx((estimate.value, estimate.low, estimate.high), rel=1e-9)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        offsets = np.arange(0, 81 * 2, 2)
        x = rng.normal(size=160)
        y = 0.5 * x + rng.normal(size=160)
        estimate = within_slopes(offsets, y, [x], np.ones(160, bool))[0]
        assert estimate is not None
        held += estimate.low <= 0.5 <= estimate.high
    assert 0.91 < held / 400 < 0.98


def test_a_planted_love_of_length_is_found_and_quality_is_not_taken_for_it() -> None:
    bias = measure_bias(scored_stream(rows_of(per_doubling=0.4)))
    for estimate in (bias.length.per_doubling, bias.length.per_doubling_given_label):
        assert estimate is not None
        assert estimate.low < 0.4 < estimate.high
        assert estimate.clear
    # Good texts that are long for a reason: the label held fixed says that length itself counts for nothing.
    rows = rows_of()
    for row in rows:
        for completion in row["completions"]:
            completion["text"] = "x" * round(2 ** (completion["rating"] + 2))
    bias = measure_bias(scored_stream(rows))
    assert bias.length.per_doubling is not None
    assert bias.length.per_doubling.low > 0.7
    assert bias.length.judge_prefers_longer == pytest.approx(1, abs=0.15)


def test_the_order_of_rows_and_completions_does_not_count_for_length() -> None:
    rows = rows_of(per_doubling=0.2)
    turned = [{**row, "completions": row["completions"][::-1]} for row in rows[::-1]]
    one, two = measure_bias(scored_stream(rows)), measure_bias(scored_stream(turned))
    assert one.length.per_doubling is not None
    assert two.length.per_doubling is not None
    assert one.length.per_doubling.value == pytest.approx(two.length.per_doubling.value)
    assert one.length.per_doubling.high == pytest.approx(two.length.per_doubling.high)


def test_a_planted_love_of_the_first_place_is_found() -> None:
    bias = measure_bias(scored_stream(rows_of(first=0.8)))
    assert bias.first_position_given_label is not None
    assert bias.first_position_given_label.low < 0.8 < bias.first_position_given_label.high
    assert bias.label_first == pytest.approx(1 / 3, abs=0.1)


def test_where_the_chosen_always_stands_first_place_and_label_are_not_told_apart() -> None:
    rows = rows_of(k=2)
    for row in rows:
        row["completions"].sort(key=lambda completion: -completion["rating"])
    bias = measure_bias(scored_stream(rows))
    assert bias.label_first == 1
    assert bias.first_position_given_label is None
    assert bias.first_position is not None


def test_a_planted_love_of_its_own_family_is_found() -> None:
    bias = measure_bias(judged_by(rows_of(own=0.5), "gpt-4-0613"))
    assert bias.judge_family == "openai"
    assert bias.own_family_given_label is not None
    assert bias.own_family_given_label.low < 0.5 < bias.own_family_given_label.high
    assert measure_bias(judged_by(rows_of(own=0.5), "a judge of no name")).own_family is None


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-2024-05-13", "openai"),
        ("o3-mini", "openai"),
        ("text-davinci-003", "openai"),
        ("claude-3-5-sonnet", "anthropic"),
        ("gemini-1.5-pro", "google"),
        ("gemma-2b-it", "google"),
        ("Meta-Llama-3-70B", "meta"),
        ("vicuna-33b", "meta"),
        ("Mixtral-8x7B-Instruct", "mistral"),
        ("Qwen1.5-72B-Chat-greedy", "alibaba"),
        ("deepseek-v3", "deepseek"),
        ("Phi-3-mini-128k-instruct", "microsoft"),
        ("falcon-40b-instruct", "tii"),
        ("output_1", None),
        ("yolo-3", None),
        (None, None),
    ],
)
def test_makers_are_known_by_their_models_names(model: str | None, family: str | None) -> None:
    assert family_of(model) == family


def test_agreement_is_told_by_source_with_its_interval() -> None:
    rows = rows_of(n=600, k=2, noise=0.01)
    coin = np.random.default_rng(5)
    for row in rows[1::2]:  # the odd ones: a judge that throws coins
        for completion in row["completions"]:
            completion["scores"] = [float(coin.random())]
    parts = {part.group: part for part in measure_bias(scored_stream(rows)).by_source}
    assert parts["even"].accuracy > 0.98
    assert parts["odd"].low < 0.5 < parts["odd"].high + 0.1
    assert parts[""].pairs == parts["even"].pairs + parts["odd"].pairs == 600


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How many people live here?", "Latin script"),
        ("Où habitent-ils, déjà?", "Latin script"),
        ("这里住着多少人？", "Chinese"),
        ("ここには何人住んでいますか", "Japanese"),
        ("여기에는 몇 명이 살고 있습니까", "Korean"),
        ("Сколько людей здесь живёт?", "Cyrillic script"),
        ("كم عدد الناس هنا؟", "Arabic script"),
        ("כמה אנשים גרים כאן?", "Hebrew"),
        ("यहाँ कितने लोग रहते हैं", "Indic or Thai script"),
        ("Translate to English: 这里住着多少人这里住着多少人", "Chinese"),
        ("→ ∑ 2² ≠ 4 🙂", "other"),
        ("", "Latin script"),
    ],
)
def test_a_language_is_told_by_its_script(text: str, language: str) -> None:
    rows = rows_of(n=1)
    rows[0]["prompt"] = text
    traits = read_bias_input(scored_stream(rows))
    assert LANGUAGES[traits.language[0]] == language


def test_two_judges_are_compared_by_source_and_language() -> None:
    rows = rows_of(n=200, k=2, noise=0.01)
    for row in rows[1::2]:
        row["prompt"] = "这里住着多少人"
    table = judged_by(rows, "first").table()
    # The second judge agrees on the even records and says the opposite on the odd ones, which are the Chinese ones.
    other = [
        [score if row["source"] == "even" else -score for score in scores]
        for row, scores in zip(rows, table.column("scores").to_pylist(), strict=True)
    ]
    table = table.append_column("scores.second", pa.array(other, pa.list_(pa.float64())))
    bias = measure_bias(RecordStream.from_table(table, {"judge": "first"}))
    parts = {part.group: part.accuracy for part in bias.judges["first | second"]}
    assert parts == {"": 0.5, "even": 1.0, "odd": 0.0, "Latin script": 1.0, "Chinese": 0.0}


def test_length_control_takes_the_slope_out_and_leaves_the_rest() -> None:
    rows = rows_of(per_doubling=0.5)
    rows[0]["completions"][1]["scores"] = []
    stream = scored_stream(rows, batch_rows=64)
    controlled = control_length(stream)
    after = measure_bias(controlled).length.per_doubling
    assert after is not None
    assert after.value == pytest.approx(0, abs=1e-9)
    facts = controlled.info["length_control"]["scores"]
    assert facts["per_doubling"] == pytest.approx(0.5, abs=0.05)
    before, table = stream.table(), controlled.table()
    assert table.schema == before.schema
    for name in table.schema.names:
        if name != "scores":
            assert table.column(name).equals(before.column(name))
    assert table.column("scores")[0].as_py()[1] is None
    # On average nothing is added and nothing is taken.
    scores = [t.column("scores").to_pylist() for t in (before, table)]
    mean = [np.nanmean(np.array([s for row in held for s in row or ()], np.float64)) for held in scores]
    assert mean[0] == pytest.approx(mean[1], abs=0.01)


def test_what_the_labels_share_of_the_liking_for_length_can_be_left_in() -> None:
    rows = rows_of(per_doubling=0.3)
    for row in rows:
        for completion in row["completions"]:
            # Longer is better, and the judge likes it more than it is better.
            doublings = np.log2(len(completion["text"]))
            completion["rating"] += 0.5 * doublings
            completion["scores"] = [completion["scores"][0] + 0.5 * doublings]
    excess = control_length(scored_stream(rows), excess_only=True)
    assert excess.info["length_control"]["scores"]["per_doubling"] == pytest.approx(0.3, abs=0.05)
    whole = control_length(scored_stream(rows))
    assert whole.info["length_control"]["scores"]["per_doubling"] == pytest.approx(0.8, abs=0.1)
    agreements = [measure_bias(stream).by_source[0].accuracy for stream in (excess, whole)]
    assert agreements[0] > agreements[1]


def test_length_control_of_data_without_scores_is_refused() -> None:
    stream = scored_stream(rows_of(n=3))
    unscored = RecordStream.from_table(stream.table().drop_columns(["scores"]))
    with pytest.raises(InputError, match="not scored yet"):
        control_length(unscored)


def test_an_unlabelled_or_unscored_stream_says_less_and_breaks_nothing() -> None:
    rows = rows_of(n=30)
    for row in rows:
        for completion in row["completions"]:
            completion["rating"] = None
    bias = measure_bias(scored_stream(rows))
    assert bias.length.per_doubling is not None
    assert bias.length.per_doubling_given_label is None
    assert bias.label_first is None
    assert bias.by_source == ()
    for row in rows:
        for completion in row["completions"]:
            completion["scores"] = []
    empty = measure_bias(scored_stream(rows))
    assert empty.length.per_doubling is None
    assert empty.first_position is None
    assert control_length(scored_stream(rows)).table().equals(scored_stream(rows).table())
