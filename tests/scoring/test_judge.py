"""How a judge is asked: modes of the endpoint, samples, reasons, rubrics, panels."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from argilla_admap.errors import InputError
from argilla_admap.scoring.judging.rubric import read_rubric
from argilla_admap.scoring.options import DEFAULT_MODEL, ScoreOptions
from argilla_admap.scoring.run import score
from tests.doubles.judge_server import Judge
from tests.scoring.makers import column, options, record, records, stream


def test_full_probabilities_give_the_expected_grade_in_one_call(judge: Judge, tmp_path: Any) -> None:
    scored = score(stream([record("r", "q", "quality=5", "quality=2")]), options(judge.url, tmp_path))
    assert column(scored, "scores") == [pytest.approx(4.714, abs=1e-3), pytest.approx(2.0)]
    assert column(scored, "score_variances") == [pytest.approx(0.204, abs=1e-3), pytest.approx(0.2857, abs=1e-3)]
    assert column(scored, "score_counts") == [1, 1]
    assert scored.info["score"]["judges"][0]["method"] == "logprobs"
    assert scored.info["score"]["judges"][0]["prompt_version"]
    assert scored.summary["requests"] == 2


@pytest.mark.parametrize("mode", ["truncated", "none", "refused"])
def test_without_probabilities_several_samples_are_asked_in_one_request(judge: Judge, tmp_path: Any, mode: str) -> None:
    judge.behave(logprobs=mode, noise=True)
    scored = score(stream(records(10)), options(judge.url, tmp_path))
    assert column(scored, "score_counts") == [3] * 20
    assert any(len(set(samples)) > 1 for samples in column(scored, "samples"))
    assert any(variance > 0 for variance in column(scored, "score_variances"))
    assert scored.summary["requests"] <= 21
    judge.behave(logprobs=mode, noise=True)
    score(stream(records(12)[10:]), options(judge.url, tmp_path))
    # What was found out is remembered: no second probe.
    assert judge.counts()["paid"] == 4


def test_an_endpoint_without_n_is_asked_once_a_sample(judge: Judge, tmp_path: Any) -> None:
    judge.behave(logprobs="none", several=False)
    scored = score(stream(records(5)), options(judge.url, tmp_path, samples=4))
    assert column(scored, "score_counts") == [4] * 10
    assert judge.counts()["paid"] <= 41


def test_more_samples_later_cost_the_difference(judge: Judge, tmp_path: Any) -> None:
    for samples, paid in ((1, 10), (3, 30), (2, 30)):
        scored = score(stream(records(5)), options(judge.url, tmp_path, samples=samples))
        assert judge.counts()["paid"] == paid
        assert column(scored, "score_counts") == [samples] * 10


@pytest.mark.parametrize(
    "refuse", [["max_tokens"], ["temperature"], ["top_logprobs"], ["logprobs"], ["max_tokens", "temperature", "logprobs", "n"]]
)
def test_a_refused_parameter_is_learned_once(judge: Judge, tmp_path: Any, refuse: list[str]) -> None:
    judge.behave(refuse=refuse)
    scored = score(stream(records(10)), options(judge.url, tmp_path))
    assert scored.summary["unscored"] == 0
    judge.behave(refuse=refuse)
    assert score(stream(records(15)[10:]), options(judge.url, tmp_path)).summary["unscored"] == 0
    assert judge.counts()["statuses"].get("400", 0) == 0


def test_a_model_that_needs_more_tokens_gets_them(judge: Judge, tmp_path: Any) -> None:
    judge.behave(least_tokens=8)
    assert score(stream(records(5)), options(judge.url, tmp_path)).summary["scored"] == 10
    assert [b["max_tokens"] for b in judge.counts()["last_bodies"]][:3] == [1, 4, 8]


def test_a_model_that_thinks_first_gets_tokens_for_it(judge: Judge, tmp_path: Any) -> None:
    judge.behave(thinks=40)
    assert score(stream(records(30)), options(judge.url, tmp_path)).summary["scored"] == 60
    assert judge.counts()["last_bodies"][-1]["max_tokens"] == 64


def test_a_few_questions_that_no_number_of_tokens_helps_make_the_others_no_dearer(judge: Judge, tmp_path: Any) -> None:
    judge.behave(faults={"starved": 0.03})
    scored = score(stream(records(300)), options(judge.url, tmp_path, concurrency=16))
    assert 0 < scored.summary["unscored"] < 40
    assert max(body["max_tokens"] for body in judge.counts()["last_bodies"]) <= 8


def test_a_burst_of_empty_answers_is_one_lesson(judge: Judge, tmp_path: Any) -> None:
    judge.behave(latency=0.1)
    told: list[int] = [0]

    def work() -> None:
        rows = stream(records(1500))
        score(rows, options(judge.url, tmp_path, concurrency=32), progress=lambda p: told.append(p.requests))

    run = threading.Thread(target=work)
    run.start()
    while told[-1] < 200:
        time.sleep(0.02)
    judge.behave(latency=0.05, thinks=2)
    run.join(60)
    assert judge.counts()["last_bodies"][-1]["max_tokens"] == 4


def test_reasons_come_with_the_grade(judge: Judge, tmp_path: Any) -> None:
    scored = score(stream([record("r", "q", "quality=5", "quality=2")]), options(judge.url, tmp_path, reasons=True))
    assert column(scored, "reasons") == ["It deserves a 5.", "It deserves a 2."]
    assert column(scored, "scores")[0] == pytest.approx(4.714, abs=1e-3)
    assert judge.counts()["last_bodies"][0]["response_format"]["type"] == "json_schema"


def test_a_panel_is_kept_apart_and_combined(judge: Judge, tmp_path: Any) -> None:
    scored = score(stream(records(4)), options(judge.url, tmp_path, models=("one", "two")))
    assert scored.summary["model"] == "one, two"
    one, two, both = (column(scored, name) for name in ("scores.one", "scores.two", "scores"))
    assert both == [pytest.approx((a + b) / 2) for a, b in zip(one, two, strict=True)]
    assert set(scored.table().column("judges").to_pylist()) == {"one, two"}
    assert judge.counts()["paid"] == 16


def test_the_fixed_words_come_first_and_are_the_same(judge: Judge, tmp_path: Any) -> None:
    score(stream(records(6)), options(judge.url, tmp_path))
    bodies = judge.counts()["last_bodies"]
    assert len({body["messages"][0]["content"] for body in bodies}) == 1
    assert bodies[0]["messages"][0]["role"] == "system"
    assert (bodies[0]["max_tokens"], bodies[0]["top_logprobs"], bodies[0]["logprobs"]) == (1, 20, True)


def test_a_rubric_is_asked_by_and_is_in_the_key(judge: Judge, tmp_path: Any) -> None:
    score(stream(records(3)), options(judge.url, tmp_path))
    file = tmp_path / "rubric.json"
    grades = {str(n): f"grade number {n}" for n in range(1, 6)}
    file.write_text(json.dumps({"text": "Our house rules.", "criteria": {"honesty": "never lies"}, "grades": grades}))
    scored = score(stream(records(3)), options(judge.url, tmp_path, rubric=file))
    assert scored.summary["cached"] == 0
    words = judge.counts()["last_bodies"][-1]["messages"][0]["content"]
    assert "Our house rules." in words
    assert "- honesty: never lies" in words
    assert "4: grade number 4" in words
    assert scored.info["score"]["judges"][0]["rubric"] == read_rubric(file).hash != read_rubric(None).hash


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("r.txt", "   ", "empty"),
        ("r.json", "{", "JSON"),
        ("r.json", '{"criterion": {}}', "criterion"),
        ("r.json", '{"grades": {"1": "bad"}}', "each of 1, 2, 3, 4 and 5"),
        ("r.json", '{"criteria": {"a": 3}}', "criteria.a"),
        ("r.json", '{"criteria": [{"name": "honesty"}]}', "a list of names"),
        ("r.json", "[]", "table"),
    ],
)
def test_a_bad_rubric_is_named(tmp_path: Any, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        read_rubric(tmp_path / name)


def test_a_model_that_ends_is_a_warning_with_its_replacement(judge: Judge, tmp_path: Any) -> None:
    judge.behave(models=[{"id": DEFAULT_MODEL, "shutdown_date": "2027-01-14"}, {"id": "other"}])
    said: list[str] = []
    score(stream(records(2)), options(judge.url, tmp_path), warn=said.append)
    assert len(said) == 1
    assert "2027-01-14" in said[0]
    assert "`model` gpt-6-luna" in said[0]


def test_existing_scores_are_taken_and_missing_ones_are_not_zero(tmp_path: Any) -> None:
    rows = [
        record("a", "q", "x", "y", "z", samples=((4.0, 5.0), (None,), ())),
        record("b", "q", "x", "y", samples=((3.0,), (2.0,))),
    ]
    scored = score(stream(rows), ScoreOptions(scorer="existing", store=tmp_path / "s"))
    assert column(scored, "scores") == [4.5, None, None, 3.0, 2.0]
    assert column(scored, "score_variances") == [0.5, None, None, None, None]
    assert column(scored, "score_counts") == [2, 0, 0, 1, 1]
    assert column(scored, "errors")[1] == "the data carry no score"
    assert not (tmp_path / "s").exists()


WRONG: dict[str, Any] = {
    "samples": 0,
    "concurrency": 0,
    "rpm": -1,
    "max_cost": -1,
    "method": "guess",
    "models": (),
    "timeout": 0,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_option_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"`{name}`"):
        ScoreOptions(**{name: WRONG[name]})


def test_a_judge_is_named_once() -> None:
    with pytest.raises(InputError, match="twice"):
        ScoreOptions(models=("a", "a"))


def test_records_come_out_in_their_order(judge: Judge, tmp_path: Any) -> None:
    judge.behave(latency=0.01)
    scored = score(stream(records(700, k=1 + 1)), options(judge.url, tmp_path, limit=650))
    assert scored.table().column("id").to_pylist() == [f"r{i}" for i in range(650)]
