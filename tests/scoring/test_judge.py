"""How a judge is asked: modes of the endpoint, samples, reasons, rubrics, panels."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from typing import Any

import pytest

from argilla_admap.errors import DefaultModelGone, InputError
from argilla_admap.scoring.judging import models
from argilla_admap.scoring.judging.rubric import read_rubric
from argilla_admap.scoring.options import DEFAULT_MODEL, ScoreOptions
from argilla_admap.scoring.run import estimate, score
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
    assert [b["max_tokens"] for b in judge.counts()["last_bodies"]][:2] == [4, 8]


def test_a_model_that_thinks_first_gets_tokens_for_it(judge: Judge, tmp_path: Any) -> None:
    judge.behave(thinks=40)
    assert score(stream(records(30)), options(judge.url, tmp_path)).summary["scored"] == 60
    assert judge.counts()["last_bodies"][-1]["max_tokens"] == 64


@pytest.mark.parametrize(
    ("says", "limit"),
    [
        ("Score: {grade}", 4),
        ("**{grade}**", 4),
        ("<think>It is good. Perhaps it is a 2? The score of 5 is too much.</think>{grade}", 64),
        ("It is good. Perhaps it is a 2? The score of 5 is too much.</think>{grade}", 64),
        ("<think>" + "Point 1 is fine. " * 150 + "</think>\n\n{grade}", 2048),
        ("<think>" + "Point 1 is fine. " * 500 + "</think>\n\n{grade}", 4096),
    ],
)
def test_what_an_answer_needs_is_learned_and_its_digits_probabilities_are_used(
    judge: Judge, tmp_path: Any, says: str, limit: int
) -> None:
    judge.behave(says=says)
    scored = score(stream([record(f"r{n}", "q", "quality=5", "quality=2") for n in range(4)]), options(judge.url, tmp_path))
    assert column(scored, "scores") == [pytest.approx(4.714, abs=1e-3), pytest.approx(2.0)] * 4
    assert judge.counts()["last_bodies"][-1]["max_tokens"] == limit
    judge.behave(says=says)
    score(stream(records(5)), options(judge.url, tmp_path))
    # It is remembered of this endpoint and model.
    assert {body["max_tokens"] for body in judge.counts()["last_bodies"]} == {limit}


def test_samples_and_reasons_get_the_tokens_that_they_need(judge: Judge, tmp_path: Any) -> None:
    says = "<think>" + "Point 1 is fine. " * 40 + "</think>\n\n{grade}"
    for more in ({"method": "sample"}, {"reasons": True}, {"method": "json"}):
        judge.behave(says=says)
        scored = score(stream([record("r", "q", "quality=5", "quality=2")]), options(judge.url, tmp_path, **more))
        assert [round(value) for value in column(scored, "scores")] == [5, 2], more


def test_an_answer_that_never_ends_is_given_up_at_the_limit_that_was_allowed(judge: Judge, tmp_path: Any) -> None:
    judge.behave(says="<think>" + "On and on. " * 3000)
    scored = score(stream(records(2)), options(judge.url, tmp_path, max_answer_tokens=600))
    assert scored.summary["scored"] == 0
    sent = [body["max_tokens"] for body in judge.counts()["last_bodies"]]
    assert max(sent) == 600
    assert sent.count(600) <= 8
    assert "`max_answer_tokens`" in column(scored, "errors")[0]
    assert "600 tokens" in column(scored, "errors")[0]
    # With more the same are asked again.
    judge.behave(says="<think>" + "On and on. " * 300 + "</think>{grade}")
    assert score(stream(records(2)), options(judge.url, tmp_path)).summary["scored"] == 4


def test_a_model_that_reasons_and_gives_no_probabilities_is_asked_for_samples(judge: Judge, tmp_path: Any) -> None:
    # As the o-series: no temperature, no probabilities, the newer name of the limit, thoughts that are billed and not shown.
    judge.behave(refuse=["max_tokens", "temperature", "logprobs"], thinks=300)
    scored = score(stream(records(6)), options(judge.url, tmp_path))
    assert scored.summary["scored"] == 12
    assert column(scored, "score_counts") == [3] * 12
    last = judge.counts()["last_bodies"][-1]
    assert (last["max_completion_tokens"], "temperature" in last, "logprobs" in last) == (512, False, False)


def test_a_few_questions_that_no_number_of_tokens_helps_make_the_others_no_dearer(judge: Judge, tmp_path: Any) -> None:
    judge.behave(faults={"starved": 0.03})
    scored = score(stream(records(300)), options(judge.url, tmp_path, concurrency=16))
    assert 0 < scored.summary["unscored"] < 40
    # Those that fail may be asked with more room, each for itself; what is asked after them is not.
    judge.behave(faults={})
    score(stream(records(340)), options(judge.url, tmp_path, concurrency=16))
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
    assert (bodies[0]["max_tokens"], bodies[0]["top_logprobs"], bodies[0]["logprobs"]) == (4, 20, True)


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
        (
            "r.txt",
            "Rate the answer from 0 to 10. 10 is perfect, 0 is useless. Only facts count.",
            "asks for grades from 0 to 10",
        ),
        ("r.txt", "Give a score between 1 and 100.", "from 1 to 100"),
        ("r.txt", "Use a 10-point scale.", "of 10"),
        ("r.txt", "Score each answer out of 10.", "of 10"),
        ("r.md", "Scale: 1–7, where 7 is best.", "from 1 to 7"),
        ("r.txt", "Bewerten Sie von 0 bis 5.", "from 0 to 5"),
        ("r.txt", "请打分，1到10。", "from 1 to 10"),
        ("r.json", '{"criteria": {"honesty": "score it from 1 to 10"}}', "from 1 to 10"),
        pytest.param("r.json", "[" * 100_000 + "NaN" + "]" * 100_000, "not valid JSON", id="deep JSON"),
        pytest.param("r.toml", "x = " + "[" * 100_000 + "nan" + "]" * 100_000, "TOML", id="deep TOML"),
    ],
)
def test_a_bad_rubric_is_named(tmp_path: Any, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        read_rubric(tmp_path / name)


@pytest.mark.parametrize(
    "words",
    [
        "Rate from 1 to 5.",
        "Score on a scale of 1-5; 5 is best.",
        "Grade the facts. An answer has 3 to 10 sentences.",
        "Points out of 5.",
        "Facts count; from 2010 to 2020 the law was another.",
        "Rate it. Good answers have 1 to 10 words.",
    ],
)
def test_a_rubric_of_the_judges_scale_or_of_none_is_taken(tmp_path: Any, words: str) -> None:
    (tmp_path / "r.txt").write_text(words)
    assert words in read_rubric(tmp_path / "r.txt").words()


def test_a_model_that_ends_is_a_warning_with_its_replacement(
    judge: Judge, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_today", lambda: dt.date(2026, 12, 1))
    judge.behave(models=[{"id": DEFAULT_MODEL, "shutdown_date": "2027-01-14"}, {"id": "other"}])
    said: list[str] = []
    score(stream(records(2)), options(judge.url, tmp_path), warn=said.append)
    assert len(said) == 1
    assert "2027-01-14" in said[0]
    assert "`model` gpt-6-luna" in said[0]


@pytest.mark.parametrize("there", [["llama"], ["a", "b"], [DEFAULT_MODEL]])
def test_a_default_judge_that_is_gone_ends_the_run_before_anything_is_spent(
    judge: Judge, tmp_path: Any, there: list[str]
) -> None:
    judge.behave(models=[{"id": name, "shutdown_date": "2025-01-14" if name == DEFAULT_MODEL else None} for name in there])
    nobody_said = ScoreOptions(base_url=judge.url, store=tmp_path / "s")
    with pytest.raises(DefaultModelGone, match="no other was named; nothing was asked") as caught:
        score(stream(records(2)), nobody_said)
    assert judge.counts()["paid"] == 0
    assert caught.value.replacement == {"llama": "llama", "a": None, DEFAULT_MODEL: "gpt-6-luna"}[there[0]]
    assert all(name in caught.value.hint for name in there if name != DEFAULT_MODEL)
    named = score(stream(records(2)), ScoreOptions(models=(DEFAULT_MODEL,), base_url=judge.url, store=tmp_path / "s"))
    assert named.summary["scored"] == 4


def test_an_estimate_knows_that_the_default_judge_has_ended(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr(models, "_today", lambda: dt.date(2027, 1, 15))
    with pytest.raises(DefaultModelGone, match="2027-01-14") as caught:
        estimate(stream(records(2)), ScoreOptions(store=tmp_path / "s"))
    assert caught.value.replacement == "gpt-6-luna"
    assert estimate(stream(records(2)), ScoreOptions(models=(DEFAULT_MODEL,), store=tmp_path / "s"))["requests"] == 4


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
    "models": (" ",),
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


@pytest.mark.parametrize("n", [1, 3])
def test_a_mean_that_an_older_version_kept_beyond_the_scale_is_on_it(n: int) -> None:
    from argilla_admap.scoring.cache.store import CacheEntry
    from argilla_admap.scoring.scorers.judge import _expected

    for kept, expected in ((5.000000000000001, 5.0), (0.9999999999999998, 1.0)):
        scored = _expected([CacheEntry(b"k" * 16, kept, 0.1, 0.99, None, 300, 1, None)] * n)
        assert scored is not None
        assert (scored.score, set(scored.samples)) == (expected, {expected})
