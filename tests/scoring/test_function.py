"""A function as the scorer: what it returns is the score, what it cannot score says why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import argilla_admap as admap
from argilla_admap.cli import main
from argilla_admap.errors import InputError

ROWS = [
    {"id": "r1", "prompt": "p1", "completions": [{"text": "long answer", "rating": 1}, {"text": "no", "rating": 0}]},
    {"id": "r2", "prompt": "boom", "completions": [{"text": "x", "rating": 1}, {"text": "y", "rating": 0}]},
    {"id": "r3", "prompt": "short", "completions": [{"text": "x", "rating": 1}, {"text": "y", "rating": 0}]},
    {"id": "r4", "prompt": "gaps", "completions": [{"text": "x", "rating": 1}, {"text": "y", "rating": 0}]},
]

BY_LENGTH = """
def score(prompt, completions):
    if prompt == "boom":
        raise ValueError("no such prompt")
    if prompt == "short":
        return [1]
    if prompt == "gaps":
        return [None, float("nan")]
    return [len(text) for text in completions]
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def test_each_record_has_the_functions_scores_or_the_reason_why_not(rows: Path) -> None:
    space: dict[str, object] = {}
    exec(BY_LENGTH, space)
    table = admap.score(admap.read(rows), scorer=space["score"]).table().to_pylist()
    assert [row["scores"] for row in table] == [[11.0, 2.0], [None, None], [None, None], [None, None]]
    assert "no such prompt" in table[1]["errors"][0]
    assert "1 scores for 2 completions" in table[2]["errors"][1]
    assert [error.partition(": ")[2] for error in table[3]["errors"]] == ["no score", "nan is no number"]


def test_a_file_is_named_on_the_command_line_and_is_the_judge(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "by_length.py").write_text(BY_LENGTH, encoding="utf-8")
    words = ["score", str(rows), "-o", str(tmp_path / "s.parquet"), "--scorer", str(tmp_path / "by_length.py"), "--json"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["scored"], answer["unscored"], answer["model"], answer["cost_usd"]) == (2, 6, "by_length", 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        ("import nothing_of_this_name", "cannot be run"),
        ("x = 1", "there is no function `score`"),
    ],
)
def test_a_file_that_cannot_score_is_refused_with_the_way_out(
    rows: Path, tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        admap.score(admap.read(rows), scorer=str(tmp_path / "mine.py"))
