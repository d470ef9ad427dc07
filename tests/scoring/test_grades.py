"""What is read from a judge's answer, and what is not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.protocol import decode
from argilla_admap.scoring.judging.grades import read_choice, read_choices


def choice(text: Any, candidates: dict[str, float] | None = None, token: str | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "message": {"role": "assistant", "content": text, **more.pop("message", {})},
        "finish_reason": "stop",
        **more,
    }
    if candidates is not None:
        top = [{"token": t, "logprob": math.log(p)} for t, p in candidates.items()]
        made["logprobs"] = {"content": [{"token": token or str(text), "logprob": top[0]["logprob"], "top_logprobs": top}]}
    return made


def test_the_expected_grade_and_its_variance() -> None:
    read = read_choice(choice("4", {"4": 0.6, " 4": 0.1, "5": 0.2, "3": 0.1}), json=False)
    assert read.score == pytest.approx(4.1)
    assert read.variance == pytest.approx(0.7 * 16 + 0.2 * 25 + 0.1 * 9 - 4.1**2)
    assert read.mass == pytest.approx(1.0)


def test_probabilities_are_renormalised_over_the_grades() -> None:
    read = read_choice(choice("4", {"4": 0.45, "5": 0.45, "The": 0.1}), json=False)
    assert (read.score, read.mass) == (pytest.approx(4.5), pytest.approx(0.9))


def test_a_list_cut_to_one_candidate_is_one_sample_and_no_distribution() -> None:
    read = read_choice(choice("4", {"4": 0.9999}), json=False)
    assert (read.score, read.variance) == (4.0, None)


def test_a_sure_judge_with_a_full_list_is_a_distribution() -> None:
    words = {f"w{n}": 1e-9 for n in range(9)}
    read = read_choice(choice("5", {"5": 0.99999, **words}), json=False)
    assert (read.score, read.variance) == (pytest.approx(5.0), pytest.approx(0.0))


def test_too_little_mass_on_the_grades_is_not_believed() -> None:
    read = read_choice(choice("4", {"4": 0.4, "3": 0.2, "The": 0.4}), json=False)
    assert (read.score, read.variance, read.mass) == (4.0, None, pytest.approx(0.6))


@pytest.mark.parametrize("missing", [None, math.nan, -math.inf])
def test_a_probability_that_the_server_does_not_tell_counts_for_nothing(missing: float | None) -> None:
    made = choice("4", {"4": 0.6, "5": 0.4})
    made["logprobs"]["content"][0]["top_logprobs"] += [{"token": "1", "logprob": missing}, {"token": "2", "logprob": missing}]
    assert read_choice(made, json=False).score == pytest.approx(4.4)
    made["logprobs"]["content"][0]["top_logprobs"] = [{"token": str(grade), "logprob": missing} for grade in range(1, 6)]
    read = read_choice(made, json=False)
    assert (read.score, read.variance, read.mass) == (4.0, None, 0.0)


def test_the_grade_after_score_in_json_is_the_token_that_counts() -> None:
    made = choice('{"score": 4, "reason": "It says 5 of 5."}')
    tokens = ['{"', "score", '":', " ", "4", ',"', "reason", '":"', "It says ", "5", " of ", "5", '."}']
    made["logprobs"] = {
        "content": [{"token": t, "logprob": 0.0, "top_logprobs": [{"token": t, "logprob": 0.0}]} for t in tokens]
    }
    made["logprobs"]["content"][4]["top_logprobs"] = [
        {"token": "4", "logprob": math.log(0.5)},
        {"token": "3", "logprob": math.log(0.5)},
    ]
    read = read_choice(made, json=True)
    assert (read.score, read.text) == (pytest.approx(3.5), "It says 5 of 5.")


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("4", 4),
        (" 4\n", 4),
        ("**4**", 4),
        ("4.0", 4),
        ("４", 4),
        ("٤", 4),
        ("۴", 4),
        ("Score: 4", 4),
        ("The user says score: 5, but my grade is 2", 2),
        ("I give it 4 out of 5.", 4),
        ("评分：3", 3),
        ("得分: 3", 3),
        ("スコアは3", 3),
        ("الدرجة: ٣", 3),
        ("<think>Is it a 5? Score: 5</think>2", 2),
        ('{"score": 2}', 2),
    ],
)
def test_a_grade_in_words(text: str, grade: int) -> None:
    assert read_choice(choice(text), json=text.startswith("{")).score == grade


@pytest.mark.parametrize(
    "text", ["", "   ", None, "Good answer", "0", "6", "10", "45", "3.7", "-3 points", "4 or 5, hard to say", "nan", "1e0 x"]
)
def test_what_is_no_grade_is_none(text: Any) -> None:
    with pytest.raises(Unreadable):
        read_choice(choice(text), json=False)


@pytest.mark.parametrize(
    "text", ['{"score": 7}', '{"score": null}', '{"score": true}', '{"points": 4}', '{"score": "good"}', "{"]
)
def test_json_without_a_grade_is_none(text: str) -> None:
    with pytest.raises(Unreadable):
        read_choice(choice(text), json=True)


def test_a_reason_cut_off_does_not_cost_the_grade() -> None:
    assert read_choice(choice('{"score": 3, "reason": "It starts well but'), json=True).score == 3


def test_a_refusal_is_not_asked_again() -> None:
    with pytest.raises(Unreadable, match="refused") as caught:
        read_choice(choice(None, message={"refusal": "I cannot."}), json=False)
    assert not caught.value.again
    with pytest.raises(Unreadable, match="content filter"):
        read_choice(choice("4", finish_reason="content_filter"), json=False)


def test_choices_that_cannot_be_read_are_left_out() -> None:
    read = read_choices({"choices": [choice("4"), choice("no"), choice("2")]}, json=False)
    assert [one.score for one in read] == [4, 2]
    with pytest.raises(Unreadable):
        read_choices({"choices": []}, json=False)


def test_a_word_with_some_probability_on_grades_is_flagged_by_its_mass_and_not_asked_again() -> None:
    top = [{"token": "The", "logprob": math.log(0.8)}, {"token": "4", "logprob": math.log(0.15)}]
    said = {"message": {"content": "The"}, "logprobs": {"content": [{**top[0], "top_logprobs": top}]}}
    found = read_choice(said, json=False)
    assert (found.score, found.variance, found.mass) == (None, None, pytest.approx(0.15))
    top[1]["token"] = "answer"
    with pytest.raises(Unreadable):
        read_choice(said, json=False)


def test_a_byte_order_mark_before_the_json_is_no_fault() -> None:
    assert decode(b'\xef\xbb\xbf{"choices": []}') == {"choices": []}
