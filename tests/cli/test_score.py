"""`admap score` from the shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from argilla_admap import pipeline
from argilla_admap.cli import main
from argilla_admap.formats.registry import Preferences
from argilla_admap.scoring.options import ScoreOptions
from tests.doubles.judge_server import Judge


def admap(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for n in range(20):
            completions = [{"text": f"Answer {n} quality=5"}, {"text": f"Other {n} quality=2"}]
            lines.write(json.dumps({"id": f"r{n}", "prompt": f"Question {n}", "completions": completions}) + "\n")
    return path


def test_the_answer_is_one_json_object_with_the_fields_of_the_contract(judge: Judge, pairs: Path, capsys: Any) -> None:
    out = pairs.with_name("scored.parquet")
    code, said, _ = admap(capsys, "score", pairs, "-o", out, "--base-url", judge.url, "--json")
    answer = json.loads(said)
    assert code == 0
    assert (answer["records"], answer["completions"], answer["scored"], answer["unscored"]) == (20, 40, 40, 0)
    assert (answer["requests"], answer["cached"], answer["model"], answer["output"]) == (40, 0, "gpt-4o", str(out))
    assert answer["cost_usd"] > 0
    assert answer["input_tokens"] > answer["output_tokens"] == 40
    assert pq.read_table(out).column("scores").to_pylist()[0] == [pytest.approx(4.714, abs=1e-3), pytest.approx(2.0)]


def test_some_unscored_is_exit_code_3_and_running_again_asks_those(judge: Judge, pairs: Path, capsys: Any) -> None:
    judge.behave(faults={"prose": 0.3})
    words = ("score", pairs, "-o", pairs.with_name("o.parquet"), "--base-url", judge.url, "--json")
    code, said, err = admap(capsys, *words)
    left = json.loads(said)["unscored"]
    assert (code, left > 0) == (3, True)
    assert "no grade" in err
    assert "Run the same again" in err
    judge.behave()
    code, said, _ = admap(capsys, *words)
    assert (code, json.loads(said)["requests"]) == (0, left)


def test_a_dry_run_of_adaptive_samples_gives_the_least_and_the_most(judge: Judge, pairs: Path, capsys: Any) -> None:
    words = ("score", pairs, "--dry-run", "--base-url", judge.url, "--samples", "auto", "--screen", "gpt-4o-mini")
    code, said, _ = admap(capsys, *words, "--json")
    answer = json.loads(said)
    assert (code, answer["requests"], answer["at_most"]["requests"]) == (0, 40, 40 + 20 + 8)
    assert answer["at_most"]["cost_usd"] > answer["cost_usd"] > 0
    code, said, err = admap(capsys, *words)
    assert (code, "at most" in said, "undecided" in err) == (0, True, True)
    assert judge.counts()["requests"] == 0


def test_a_dry_run_spends_and_writes_nothing(judge: Judge, pairs: Path, capsys: Any) -> None:
    before = sorted(pairs.parent.rglob("*"))
    code, said, _ = admap(capsys, "score", pairs, "--dry-run", "--base-url", judge.url, "--json")
    answer = json.loads(said)
    assert code == 0
    assert (answer["records"], answer["labelled"], answer["requests"], answer["cached"]) == (20, 0, 40, 0)
    assert answer["cost_usd"] > 0
    assert judge.counts()["requests"] == 0
    assert sorted(pairs.parent.rglob("*")) == before


def test_the_budget_ends_with_3_and_says_how_to_go_on(judge: Judge, pairs: Path, capsys: Any) -> None:
    out = pairs.with_name("o.parquet")
    code, _, err = admap(capsys, "score", pairs, "-o", out, "--base-url", judge.url, "--max-cost", "0.02")
    assert code == 3
    assert "higher --max-cost" in err


@pytest.mark.parametrize(
    "words", [["--samples", "0"], ["--price", "cheap"], ["--method", "guess"], ["--scorer", "nobody"], ["--rubric", "/nowhere"]]
)
def test_a_wrong_word_is_exit_code_2_before_any_call(judge: Judge, pairs: Path, capsys: Any, words: list[str]) -> None:
    out = pairs.with_name("o.parquet")
    code, _, err = admap(capsys, "score", pairs, "-o", out, "--base-url", judge.url, *words)
    assert code == 2
    assert words[0] in err
    assert not out.exists()
    assert judge.counts()["requests"] == 0


def test_a_bad_line_costs_no_call(judge: Judge, pairs: Path, capsys: Any) -> None:
    with pairs.open("a", encoding="utf-8") as lines:
        lines.write('{"id": "x", "prompt": \n')
    code, _, err = admap(capsys, "score", pairs, "-o", pairs.with_name("o.parquet"), "--base-url", judge.url)
    assert code == 2
    assert "21" in err
    assert judge.counts()["requests"] == 0


def test_no_key_is_exit_code_2_with_what_to_do(judge: Judge, pairs: Path, capsys: Any) -> None:
    code, _, err = admap(capsys, "score", pairs, "-o", pairs.with_name("o.parquet"))
    assert code == 2
    assert "OPENAI_API_KEY" in err


def test_a_refusing_judge_is_exit_code_1_and_leaves_no_file(judge: Judge, pairs: Path, capsys: Any) -> None:
    judge.behave(unknown_model=True)
    code, _, err = admap(capsys, "score", pairs, "-o", pairs.with_name("o.parquet"), "--base-url", judge.url)
    assert code == 1
    assert "--model" in err
    assert not pairs.with_name("o.parquet").exists()


def test_an_estimate_needs_no_key_and_leaves_nothing_behind(pairs: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    # Named, so that the test holds after the default judge's last day.
    store = pairs.with_name("store")
    code, said, _ = admap(capsys, "score", pairs, "--dry-run", "--store", store, "--model", "gpt-4o")
    assert code == 0
    assert said.splitlines()[0] == "What scoring would take"
    assert list(pairs.parent.iterdir()) == [pairs]
    code, _, err = admap(capsys, "score", pairs, "-o", pairs.with_name("o.parquet"), "--store", store, "--model", "gpt-4o")
    assert (code, "OPENAI_API_KEY" in err) == (2, True)
    assert list(pairs.parent.iterdir()) == [pairs]


def test_the_completions_that_the_check_counted_are_not_counted_again(
    judge: Judge, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[object] = []
    whole = Preferences.records

    def counted(self: Preferences) -> Any:
        passes.append(self)
        return whole(self)

    monkeypatch.setattr(Preferences, "records", counted)
    preferences = pipeline.read(str(pairs))
    pipeline.check(preferences)
    totals: list[int | None] = []
    options = ScoreOptions(base_url=judge.url, store=tmp_path / "s")
    scored = pipeline.score_with(preferences, options, progress=lambda p: totals.append(p.total))
    assert (scored.summary["completions"], set(totals), len(passes)) == (40, {40}, 2)
    # A part of the data has a count of its own.
    pipeline.score_with(preferences, ScoreOptions(base_url=judge.url, store=tmp_path / "s", limit=3), progress=lambda p: None)
    assert len(passes) == 4
