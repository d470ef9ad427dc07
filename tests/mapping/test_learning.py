"""P(wrong) learns from people's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argilla_admap.cli import main
from argilla_admap.mapping.analysis.label_answers import LabelAnswer, match_answers, weigh_answers
from argilla_admap.mapping.data_map import DataMap, build_map
from argilla_admap.reporting.words import learned_sentence
from tests.mapping.plain import LLMBAR, load, scored_stream
from tests.mapping.planting import Rows, found, one_sample, plant

CARELESS = "annotator 7"


def _ratings(row: dict[str, Any]) -> tuple[float, ...]:
    return tuple(float(c["rating"]) for c in row["completions"])


def answers_to(rows: Rows, truth: Rows, chosen: Any) -> dict[str, LabelAnswer]:
    """What a person who is always right says of the rows chosen."""
    return {
        rows[i]["id"]: LabelAnswer(_ratings(rows[i]), _ratings(truth[i]), {"ann": _ratings(rows[i]) != _ratings(truth[i])})
        for i in chosen
    }


@pytest.fixture(scope="module")
def pairs() -> tuple[Rows, Rows, Any]:
    """LLMBar with a flip in 40% of one annotator's labels and none elsewhere: given, true, and which are wrong."""
    rng = np.random.default_rng(3)
    truth = [
        {**row, "annotator": CARELESS if rng.random() < 0.35 else f"annotator {i % 3}"}
        for i, row in enumerate(one_sample(load(LLMBAR), 0))
    ]
    worse = [i for i, row in enumerate(truth) if row["annotator"] == CARELESS]
    spoilt, wrong = plant([truth[i] for i in worse], "swap", 0.4, 0)
    rows, bad = list(truth), np.zeros(len(truth), bool)
    for i, row, is_wrong in zip(worse, spoilt, wrong, strict=True):
        rows[i], bad[i] = row, is_wrong
    return rows, truth, bad


@pytest.fixture(scope="module")
def read(pairs: tuple[Rows, Rows, Any]) -> Any:
    """The 50 records that a reviewer reads first."""
    p = build_map(scored_stream(pairs[0])).frame["p_wrong"].to_numpy()
    return np.lexsort((np.arange(len(p)), -p))[:50]


def _learned(pairs: tuple[Rows, Rows, Any], chosen: Any) -> DataMap:
    return build_map(scored_stream(pairs[0]), answers=answers_to(pairs[0], pairs[1], chosen))


def test_unread_records_of_an_annotator_with_many_corrections_rise_and_more_errors_are_found(pairs: Any, read: Any) -> None:
    rows, _, bad = pairs
    before = build_map(scored_stream(rows)).frame["p_wrong"].to_numpy()
    after = _learned(pairs, read).frame["p_wrong"].to_numpy()
    unread = np.ones(len(rows), bool)
    unread[read] = False
    worse = unread & np.array([row["annotator"] == CARELESS for row in rows])
    assert after[worse].mean() > 1.5 * before[worse].mean()
    assert after[unread & ~worse].mean() < before[unread & ~worse].mean()
    qualities = [found(p[unread], bad[unread])["average_precision"] for p in (before, after)]
    assert qualities[1] > qualities[0] + 0.05


def test_answered_records_are_settled_and_their_probability_without_the_answer_is_kept(pairs: Any, read: Any) -> None:
    frame = _learned(pairs, read).frame
    p, own = frame["p_wrong"].to_numpy(), frame["p_wrong_unread"].to_numpy()
    bad = pairs[2][read]
    assert ((p[read] > own[read]) == bad).all()
    unread = np.setdiff1d(np.arange(len(p)), read)
    np.testing.assert_array_equal(p[unread], own[unread])
    assert p[read][bad].min() > p[read][~bad].max()


def test_fewer_than_thirty_answers_leave_all_other_records_as_they_were(pairs: Any, read: Any) -> None:
    before = build_map(scored_stream(pairs[0])).frame["p_wrong"].to_numpy()
    learned = _learned(pairs, read[:29])
    after = learned.frame["p_wrong"].to_numpy()
    others = np.setdiff1d(np.arange(len(before)), read[:29])
    np.testing.assert_allclose(after[others], before[others], rtol=1e-9)
    assert (after[read[:29]] != before[read[:29]]).all()
    facts = learned.summary["learned_from"]
    assert facts == {"answers": 29, "wrong": int(pairs[2][read[:29]].sum()), "learned": False}


def test_answers_without_a_pattern_move_the_unread_records_little() -> None:
    truth = one_sample(load(LLMBAR), 0)
    rows, bad = plant(truth, "swap", 0.1, 1)
    before = build_map(scored_stream(rows)).frame["p_wrong"].to_numpy()
    chosen = np.random.default_rng(0).choice(len(rows), 40, replace=False)
    after = build_map(scored_stream(rows), answers=answers_to(rows, truth, chosen)).frame["p_wrong"].to_numpy()
    unread = np.setdiff1d(np.arange(len(rows)), chosen)
    assert np.abs(after - before)[unread].mean() < 0.05
    assert after[unread].mean() == pytest.approx(bad[unread].mean(), abs=0.04)


def test_a_reviewer_who_contradicts_the_others_counts_less() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(100) < 0.3
    records, reviewers = np.repeat(np.arange(100), 3), np.tile(np.arange(3), 100)
    right = np.stack([np.ones(100, bool), rng.random(100) < 0.97, rng.random(100) < 0.6], axis=1).reshape(-1)
    wrong = np.repeat(truth, 3) == right
    # One record more, that only the first answered, and one that only the third did.
    records, reviewers, wrong = np.append(records, [100, 101]), np.append(reviewers, [0, 2]), np.append(wrong, [True, True])
    weighed = weigh_answers(103, records, reviewers, wrong, np.zeros(0))
    assert weighed.evidence[100] > 3 * weighed.evidence[101] > 0
    assert weighed.evidence[102] == 0
    assert not weighed.answered[102]
    assert ((weighed.evidence[:100] > 0) == truth).mean() > 0.95


def test_answers_to_a_label_that_was_corrected_since_confirm_it_and_to_another_label_say_nothing() -> None:
    flipped = LabelAnswer((1.0, 0.0), (0.0, 1.0), {"ann": True})
    ratings = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    found_answers = match_answers(dict.fromkeys("abc", flipped), dict(enumerate("abc")), np.array([0, 2, 4, 6, 8]), ratings)
    assert list(found_answers.answered) == [True, True, False, False]
    assert list(np.sign(found_answers.evidence)) == [1, -1, 0, 0]
    np.testing.assert_array_equal(found_answers.ratings, [0, 1, *[np.nan] * 6])


def test_the_command_learns_from_a_file_of_changes(
    pairs: Any, read: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, truth, bad = pairs
    changes = tmp_path / "changes.jsonl"
    lines = [{"id": rows[i]["id"], "before": _ratings(rows[i]), "after": _ratings(truth[i])} for i in read]
    changes.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    build_map(scored_stream(rows)).write(tmp_path / "map.parquet")
    command = ["map", str(tmp_path / "map.parquet"), "--answers", str(changes), "-o", str(tmp_path / "new.parquet"), "--json"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 3  # one record has a score too few
    told = json.loads(capsys.readouterr().out)
    facts = told["learned_from"]
    assert f"learned from people: 50 records were answered, {facts['wrong']} of them" in (learned_sentence(told) or "")
    assert facts == {"answers": 50, "wrong": int(bad[read].sum()), "learned": True}
    kept = DataMap.read(tmp_path / "new.parquet")
    assert kept.summary["learned_from"] == facts
    assert kept.info["fit"]["learning"]["effects"]["annotator"] > 0
    changes.write_text('{"id": "x"}\n', encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "changes.jsonl:1" in capsys.readouterr().err
