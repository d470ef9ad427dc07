"""A real open model behind a real llama.cpp server: token probabilities, structured output, embeddings.

The model is a tiny base model: its grades are noise, its protocol is not.
"""

from __future__ import annotations

import json
import math
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.cli import main
from argilla_admap.scoring.judging.prompt import Instructions, question_text
from argilla_admap.scoring.judging.rubric import read_rubric
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import Scored, score
from tests.scoring.small_data import record, stream

DATA = [record("capital", "What is the capital of France?", ["The capital of France is Paris.", "Bananas are yellow."])]
#: What the model grades by the probability of a digit; elsewhere it is sampled, and a base model's samples are luck.
GRADED = [record("sum", "What is 2 + 2?", ["4", "22", "It is 4."])]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def _options(url: str, store: Path, **more: Any) -> ScoreOptions:
    # A base model goes on and on: it needs a grade's tokens and those of a short reason.
    return ScoreOptions(models=("gemma",), base_url=url, store=store, timeout=600, max_answer_tokens=200, **more)


def _column(scored: Scored, name: str) -> list[Any]:
    return [cell for row in scored.table().column(name).to_pylist() for cell in row]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: the model is slow where the machine is busy."""
    return tmp_path_factory.mktemp("store") / "judgements"


def test_grades_are_expected_values_of_real_token_probabilities(llama_url: str, store: Path) -> None:
    scored = score(stream(GRADED), _options(llama_url, store, method="logprobs"))
    grades, variances = _column(scored, "scores"), _column(scored, "score_variances")
    assert _column(scored, "score_counts") == [1, 1, 1]
    assert all(1 < grade < 5 and grade != round(grade) for grade in grades)
    assert all(0 < variance <= 4 for variance in variances)
    again = score(stream(GRADED), _options(llama_url, store, method="logprobs"))
    assert (again.summary["requests"], _column(again, "scores")) == (0, grades)


def test_the_way_of_asking_is_found_out(llama_url: str, tmp_path: Path) -> None:
    scored = score(stream(GRADED), _options(llama_url, tmp_path / "store"))
    assert all(1 < grade < 5 for grade in _column(scored, "scores"))
    assert scored.info["score"]["judges"][0]["method"] == "logprobs"


def test_the_grades_of_a_record_come_from_one_real_answer(llama_together_url: str, tmp_path: Path) -> None:
    said: list[str] = []
    options = _options(llama_together_url, tmp_path / "store", together=True, method="logprobs")
    scored = score(stream(DATA), options, warn=said.append)
    first, second = _column(scored, "scores")
    # Two digits of one text, each with its own probabilities; without enough of them, the mean of both orders.
    assert 1 <= min(first, second) <= max(first, second) <= 5
    assert (scored.summary["unscored"], scored.info["score"]["judges"][0]["graded_apart"], said) == (0, 0, [])
    assert scored.summary["requests"] <= 3
    assert score(stream(DATA), options).summary["requests"] == 0


def _expected_grade(url: str, question: str, answer: str, reference: str) -> float:
    """The mean of the grades by their probabilities, however little of it they have."""
    guide = (("reference", reference),) if reference else ()
    system = Instructions(read_rubric(None), "digit", tuple(name for name, _ in guide))
    said = question_text(question, None, answer, system.reminder, guide)
    body = {
        "messages": [{"role": "system", "content": system.text}, {"role": "user", "content": said}],
        "max_tokens": 1,
        "logprobs": True,
        "top_logprobs": 20,
    }
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as reply:
        top = json.load(reply)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    grades = {int(one["token"]): math.exp(one["logprob"]) for one in top if one["token"].strip() in set("12345")}
    return sum(grade * share for grade, share in grades.items()) / sum(grades.values())


def test_a_wrong_reference_does_not_sink_a_right_answer(llama_url: str) -> None:
    facts = [
        ("What is the capital of France?", "The capital of France is {}.", "Paris", "Lyon"),
        ("How many legs does a spider have?", "A spider has {} legs.", "eight", "six"),
    ]
    lost = []
    for question, words, right, wrong in facts:
        alone, beside = (_expected_grade(llama_url, question, words.format(right), ref) for ref in ("", words.format(wrong)))
        lost.append(alone - beside)
    # Measured: .10 and .13 of a point; beside a right reference the same answers lose .15 and .04.
    assert max(lost) < 0.4, lost


def test_a_reason_comes_as_structured_output(llama_url: str, store: Path) -> None:
    answers = [f"The capital of France is {name}." for name in ("Paris", "Rome")]
    data = [record("capital", "What is the capital of France?", answers)]
    scored = score(stream(data), _options(llama_url, store, reasons=True, samples=1))
    grades, reasons = _column(scored, "scores"), _column(scored, "reasons")
    # The server keeps to the form that is asked for: each text is taken apart. What a base model writes as a reason, or whether
    # it leaves it empty, hangs on the processor.
    assert _column(scored, "errors") == [None, None]
    assert all(1 <= grade <= 5 for grade in grades)
    assert all(reason is None or ("{" not in reason and reason == reason.strip()) for reason in reasons)


def test_likeness_to_a_reference_by_the_servers_own_embeddings(llama_embeddings_url: str, tmp_path: Path) -> None:
    one = record(
        "r", "Say hello", ["Hello there, friend.", "The stock market fell by 3% on Friday."], reference="Hello there, friend!"
    )
    extra = {"embedding-model": "gemma", "embedding-base-url": llama_embeddings_url}
    scored = score(stream([one]), ScoreOptions(scorer="reference", store=tmp_path / "store", extra=extra))
    same, other = _column(scored, "scores")
    assert -1 <= other < same <= 1


def test_a_real_reranker_gives_its_raw_scores_and_says_what_is_too_long(llama_rerank_url: str, tmp_path: Path) -> None:
    data = [record("r", "what is a panda", ["a bear", "no", "a " * 3000, "a bear"])]
    options = ScoreOptions(scorer="reward", store=tmp_path / "store", extra={"reward-url": llama_rerank_url})
    scored = score(stream(data), options)
    first, second, third, fourth = _column(scored, "scores")
    assert first == fourth != second
    assert third is None
    assert "too long" in _column(scored, "errors")[2]
    assert scored.info["score"]["judges"][0]["dialect"] == "rerank"


def test_the_readmes_command_for_open_models_runs(
    llama_url: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [{"id": one.id, "prompt": one.prompt, "completions": [{"text": text} for text in one.completions]} for one in GRADED]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ["score", str(file), "-o", str(tmp_path / "scored.parquet"), "--model", "gemma", "--base-url", llama_url]
    words += ["--timeout", "600", "--max-answer-tokens", "200"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--store", str(store), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["scored"], told["unscored"], ended.value.code) == (3, 0, 0)
