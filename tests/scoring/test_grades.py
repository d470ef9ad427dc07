"""What is read from a judge's answer, and what is not."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Any

import pytest

from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.protocol import decode
from argilla_admap.scoring.judging.choices import read_choice, read_choices
from argilla_admap.scoring.judging.grades import TooShort, read_grade
from argilla_admap.scoring.judging.statements import same_length
from tests.bench.grades import measure
from tests.scoring.grade_table import ANSWERS, NO_GRADES


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
    tokens = ['{"', "score", '":', " ", "4", ', "', "reason", '": "', "It says ", "5", " of ", "5", '."}']
    made["logprobs"] = {
        "content": [{"token": t, "logprob": 0.0, "top_logprobs": [{"token": t, "logprob": 0.0}]} for t in tokens]
    }
    made["logprobs"]["content"][4]["top_logprobs"] = [
        {"token": "4", "logprob": math.log(0.5)},
        {"token": "3", "logprob": math.log(0.5)},
    ]
    read = read_choice(made, json=True)
    assert (read.score, read.text) == (pytest.approx(3.5), "It says 5 of 5.")


@pytest.mark.parametrize(("text", "grade"), ANSWERS)
def test_an_answer_is_the_grade_that_a_person_reads(text: str, grade: int) -> None:
    assert read_choice(choice(text), json=False).score == grade


@pytest.mark.parametrize("text", NO_GRADES)
def test_what_nobody_can_read_as_one_grade_is_none(text: str) -> None:
    with pytest.raises(Unreadable):
        read_choice(choice(text), json=False)


def test_of_answers_by_a_grammar_none_is_read_as_another_grade() -> None:
    counts, unlike = measure(20_000, seed=7)
    assert [one for one in unlike if one[2] is not None] == []
    assert counts["missed"] < 0.01 * counts["graded"]


def test_where_a_digit_stands_is_told_for_the_probabilities() -> None:
    for text, grade in ANSWERS:
        found = read_grade(text)
        if found.place is not None:
            assert same_length(text)[found.place] == str(grade), text


@pytest.mark.parametrize(
    "text",
    ["Score", "**", "<think>", "<think>\nOkay, the score is 4", "Score:", "Score: 4", '{"score": 4', "The answer is 4 sen"],
)
def test_an_answer_that_was_cut_before_its_grade_is_too_short(text: str) -> None:
    with pytest.raises(TooShort):
        read_choice(choice(text, finish_reason="length"), json=False)


@pytest.mark.parametrize(
    "text", ["4", "**4**", "Score: 4\n\nIt is good, bu", '{"score": 4, "reason": "It is go', "<think>a</think>4"]
)
def test_an_answer_that_was_cut_after_its_grade_is_that_grade(text: str) -> None:
    assert read_choice(choice(text, finish_reason="length"), json=False).score == 4


def test_the_reason_quotes_what_was_answered_shortened() -> None:
    with pytest.raises(Unreadable, match=r"more than one grade: 'Score: 4 Score: 2'"):
        read_grade("Score: 4\nScore: 2")
    with pytest.raises(Unreadable, match="not on the scale of 1 to 5: 'Rating: 2/10'"):
        read_grade("Rating: 2/10")
    with pytest.raises(Unreadable) as caught:
        read_grade("word " * 1000)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    "piece",
    [
        "<think>",
        "</think>",
        "<think></think>",
        "[THINK]",
        "<|channel|>",
        "```thinking\n",
        "```\n",
        "Score: ",
        "Score: 4 ",
        "Score: 4\n",
        "I give ",
        "{",
        '{"score":',
        '"score": 4, ',
        "1. ",
        "1",
        " ",
        "\n",
        "(",
        "[",
        "**",
        "'",
        '"',
        "final score ",
        "the ",
        "4/5 ",
        "★",
        "_",
        "`",
        "a:\n",
        "评分",
        "不",
    ],
)
def test_the_time_grows_with_the_length_and_no_faster(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length] + "!"
        begun = time.perf_counter()
        with suppress(Unreadable):
            read_grade(text)
        return time.perf_counter() - begun

    # Four times the length may take four times the time, and some more on a busy machine; in a square it would be sixteen.
    assert seconds(64_000) < 1.0 or seconds(64_000) < 8 * seconds(16_000)


THOUGHT = ["<think>", "\n", "Okay", ".", " Point", " ", "1", ":", " ", "2", ".", "</think>", "\n\n"]
HARMONY = ["<|channel|>", "analysis", "<|message|>", "Okay", " ", "2", "<|end|>"]
HARMONY += ["<|start|>", "assistant", "<|channel|>", "final", "<|message|>"]
SURE = {"4": 0.6, "3": 0.2, "5": 0.2}


def spelled(*tokens: str | dict[str, float]) -> dict[str, Any]:
    """Token probabilities: each a text, or candidates of which the first was said."""
    content = []
    for token in tokens:
        shares = token if isinstance(token, dict) else {token: 1.0}
        top = [{"token": word, "logprob": math.log(share)} for word, share in shares.items()]
        content.append({**top[0], "top_logprobs": top})
    return {"content": content}


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"content": "\n\n4", "reasoning_content": "Okay. Point 1: 2."}, (*THOUGHT, SURE)),
        ({"content": "".join(THOUGHT) + "4"}, (*THOUGHT, SURE)),
        ({"content": "".join(THOUGHT[1:]) + "4"}, (*THOUGHT[1:], SURE)),
        ({"content": "".join(HARMONY) + "4"}, (*HARMONY, SURE)),
        ({"content": "4", "reasoning": "Okay 2"}, (*HARMONY, SURE, "<|return|>")),
        ({"content": "4"}, (SURE, "<|im_end|>")),
        ({"content": "**4**"}, ("**", SURE, "**")),
        ({"content": "Score: 4. A 5 needs more."}, ("Score", ":", " ", SURE, ".", " A", " ", "5", " needs", " more", ".")),
        ({"content": '{"score": 4}'}, ('{"', "score", '":', " ", SURE, "}")),
    ],
)
def test_probabilities_are_those_of_the_answers_digit(message: dict[str, Any], tokens: tuple[Any, ...]) -> None:
    found = read_choice({"message": message, "finish_reason": "stop", "logprobs": spelled(*tokens)}, json=False)
    assert (found.score, found.variance) == (pytest.approx(4.0), pytest.approx(0.4))


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        # Of the thoughts alone, which end with the same digit.
        ({"content": "4", "reasoning_content": "Okay the 4"}, ("Okay", " the", " ", SURE)),
        ({"content": "4", "reasoning_content": "Okay. Point 1: 2."}, THOUGHT),
        ({"content": "4"}, ("Okay", " ", SURE, " is my first thought", " but it goes on", " and on for long")),
        # The digit shares its token with other signs.
        ({"content": "Score: 4/5"}, ("Score", ":", {" 4/": 0.6, " 3/": 0.4}, "5")),
        ({"content": "4"}, ({"token_id:19": 0.6, "token_id:18": 0.4},)),
    ],
)
def test_probabilities_that_cannot_be_aligned_are_not_used(message: dict[str, Any], tokens: tuple[Any, ...]) -> None:
    found = read_choice({"message": message, "finish_reason": "stop", "logprobs": spelled(*tokens)}, json=False)
    assert (found.score, found.variance) == (4.0, None)


def test_parts_and_fields_of_thoughts_are_never_the_grade() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Score: 2"}]}, {"type": "text", "text": "4"}]
    assert read_choice({"message": {"content": parts}}, json=False).score == 4
    assert read_choice({"message": {"content": "4", "reasoning_content": "Score: 2", "reasoning": "2"}}, json=False).score == 4
    for more in ({"reasoning_content": "4"}, {"reasoning": "4"}, {"content": [{"type": "thinking", "thinking": "4"}]}):
        with pytest.raises(Unreadable, match="came as reasoning, which is never read as the grade: '4'") as caught:
            read_choice({"message": {"content": None, **more}, "finish_reason": "stop"}, json=False)
        assert not caught.value.again


def test_an_expected_grade_stays_on_the_scale() -> None:
    for grade in ("1", "5"):
        for share in (0.1 + 0.2, 0.9, 1 / 3 + 1e-17, 0.7):
            words = {f"w{n}": 1e-30 for n in range(9)}
            found = read_choice(choice(grade, {grade: max(0.9, share), f" {grade}": 1e-17, **words}), json=False)
            assert 1.0 <= (found.score or 0) <= 5.0


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


@pytest.mark.parametrize(("text", "known"), [("4\n\n5", True), ("40", False), ("4/10", False), ("4.5", False), ("4/", False)])
def test_a_model_that_cannot_stop_has_said_its_grade_unless_that_is_another_number(text: str, known: bool) -> None:
    signs = [{"token": sign, "logprob": -0.1, "top_logprobs": []} for sign in text]
    signs[0]["top_logprobs"] = [{"token": digit, "logprob": math.log(p)} for digit, p in (("4", 0.9), ("5", 0.1))]
    made = choice(text, finish_reason="length", logprobs={"content": signs})
    if known:
        assert read_choice(made, json=False).score == pytest.approx(4.1)
    else:
        with pytest.raises(TooShort):
            read_choice(made, json=False)
