"""A dry run tells why so many requests, what they may really cost, and what stands in the way."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.cli import main
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import estimate, score
from tests.doubles.judge_server import Judge
from tests.scoring.makers import options, record, records, stream


def noted(answer: dict[str, Any], words: str) -> bool:
    return any(words in note for note in answer["notes"])


def test_completions_requests_and_what_needs_none_add_up(judge: Judge, tmp_path: Path) -> None:
    rows = records(20)
    rows += [record(f"again{i}", rows[i].prompt, rows[i].completions[0], f"New answer {i}") for i in range(5)]
    chosen = options(judge.url, tmp_path)
    score(stream(rows[:4]), chosen)
    answer = estimate(stream(rows), chosen)
    assert (answer["completions"], answer["cached"], answer["repeated"], answer["requests"]) == (50, 8, 5, 37)
    assert noted(answer, "asked once: 5 need no request")
    assert score(stream(rows), chosen).summary["requests"] == 37
    answer = estimate(stream(rows), chosen)
    assert (answer["cached"], answer["repeated"], answer["requests"]) == (45, 5, 0)


def test_thoughts_that_nobody_has_seen_yet_are_warned_of(judge: Judge, tmp_path: Path) -> None:
    chosen = options(judge.url, tmp_path)
    assert noted(estimate(stream(records(20)), chosen), "does not think before it answers")
    score(stream(records(10)), chosen)
    assert not noted(estimate(stream(records(20)), chosen), "think")


def test_the_thoughts_of_every_sample_are_counted_where_a_model_that_thinks_gives_no_probabilities(tmp_path: Path) -> None:
    def told(model: str, **more: Any) -> dict[str, Any]:
        return estimate(stream(records(10)), options("http://127.0.0.1:9/v1", tmp_path, models=(model,), **more))

    assert told("o4-mini")["output_tokens"] == 20 * 3 * 501
    assert told("o4-mini", samples=1)["output_tokens"] == 20 * 501
    assert noted(told("o4-mini"), "3 samples of each grade are counted")
    # An open model's server gives them.
    assert told("Qwen/Qwen3-8B")["output_tokens"] == 20 * 501
    assert told("Qwen/Qwen3-4B-Instruct-2507")["output_tokens"] == 20


def test_a_model_that_ends_is_named_without_asking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr("argilla_admap.scoring.judging.models._today", lambda: date(2026, 12, 1))
    answer = estimate(stream(records(2)), ScoreOptions(store=tmp_path / "none"))
    assert noted(answer, "gpt-4o will be shut down on 2027-01-14 (in 44 days)")
    assert noted(answer, "gpt-6-luna")
    elsewhere = ScoreOptions(store=tmp_path / "none", base_url="http://127.0.0.1:9/v1")
    assert not noted(estimate(stream(records(2)), elsewhere), "shut down")


def test_a_budget_stands_beside_the_sum(judge: Judge, tmp_path: Path) -> None:
    chosen = options(judge.url, tmp_path, price=(10, 10), max_cost=0.01)
    answer = estimate(stream(records(20)), chosen)
    assert answer["max_cost_usd"] == 0.01
    assert noted(answer, f"the run would stop after about {0.01 / answer['cost_usd']:.0%}")
    enough = estimate(stream(records(20)), options(judge.url, tmp_path, price=(10, 10), max_cost=100))
    assert not noted(enough, "would stop")


def test_a_dry_run_says_whose_answers_count_and_leaves_it_to_be_said(judge: Judge, tmp_path: Path) -> None:
    score(stream(records(3)), options(judge.url, tmp_path))
    other = options(judge.url.replace("127.0.0.1", "localhost"), tmp_path)
    for _ in range(2):
        answer = estimate(stream(records(3)), other)
        assert answer["requests"] == 6
        assert noted(answer, "another model under that name")


def test_the_command_shows_it(judge: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.csv"
    source.write_text("prompt,chosen,rejected\n" + "p,a,b\n" * 2 + "p,a,c\n")
    words = ["score", str(source), "--dry-run", "--base-url", judge.url, "--price", "10,10", "--max-cost", "0.001"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--store", str(tmp_path / "s")])
    said = capsys.readouterr()
    assert not ended.value.code
    assert "budget" in said.out
    assert "equal to an earlier one" in said.out
    assert "--max-cost 0.001 is less than that" in said.err
    assert judge.counts()["paid"] == 0


@pytest.mark.parametrize(
    ("model", "thinks"), [("o3-mini", True), ("gpt-5-nano", True), ("deepseek-r1", True), ("gpt-4o", False)]
)
def test_thoughts_are_in_the_estimate_before_any_was_counted(tmp_path: Path, model: str, thinks: bool) -> None:
    told = estimate(stream(records(5)), ScoreOptions(models=(model,), store=tmp_path / "s", method="logprobs"))
    assert (told["output_tokens"] >= 10 * 500, any("thinks before" in note for note in told["notes"])) == (thinks, thinks)
