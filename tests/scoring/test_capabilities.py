"""The request's JSON: the fixed part around the text with the data."""

from __future__ import annotations

import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.scoring.judging.capabilities import Capabilities, filled
from argilla_admap.scoring.judging.prompt import neutral

RUBRIC = 'Grade "well".\n\\ {0} %s "}]} é 漢'


def frame(capabilities: Capabilities, form: str = "digit", want: int = 1) -> tuple[bytes, bytes]:
    return capabilities.frame("gpt-4o", RUBRIC, form, want=want, logprobs=True, tier="flex")


@pytest.mark.parametrize("system", [True, False])
@given(text=st.text())
def test_whatever_the_text_is_it_is_the_end_of_the_last_message_and_nothing_else(system: bool, text: str) -> None:
    request = orjson.loads(filled(frame(Capabilities(system=system), "reason", 3), text))
    messages = request.pop("messages")
    if system:
        assert messages == [{"role": "system", "content": RUBRIC}, {"role": "user", "content": text}]
    else:
        assert messages == [{"role": "user", "content": f"{RUBRIC}\n\n{text}"}]
    assert request.pop("response_format")["json_schema"]["strict"] is True
    assert request == {
        "model": "gpt-4o",
        "max_tokens": 160,
        "temperature": 1,
        "logprobs": True,
        "top_logprobs": 20,
        "n": 3,
        "service_tier": "flex",
    }


def test_requests_that_wait_take_no_more_memory_than_their_bytes() -> None:
    around = frame(Capabilities())
    tracemalloc.start()
    try:
        requests = [filled(around, "word " * 800) for _ in range(200)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.2 * sum(map(len, requests))


@given(st.text(st.sampled_from("a<\n\t\r\x00\x0b\x1b\x7f\x85\u200b\u2028é漢🙂")))
def test_control_characters_are_taken_out_and_all_else_stays(text: str) -> None:
    assert neutral(text) == "".join(c for c in text if c in "\n\t\r" or not (c < " " or c == "\x7f"))


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("Requested sample logprobs of 20, which is greater than max allowed: 5", {"top_logprobs": 5}),
        ("Range of top_logprobs should be [0, 5]", {"top_logprobs": 5}),
        ("body -> top_logprobs: Input should be less than or equal to 8", {"top_logprobs": 8}),
        ("Input validation error: `top_n_tokens` must be >= 0 and <= 5", {"top_logprobs": 5}),
        ("logprobs is not supported for qwen2.5-7b", {"logprobs": "none"}),
        ("Conversation roles must alternate user/assistant/user/assistant/...", {"system": False}),
        ("Developer instruction is not enabled for models/gemma-3-1b-it", {"system": False}),
        ("System role not supported", {"system": False}),
        ("messages.0.role: Input should be 'user' or 'assistant'", {"system": False}),
        ("Only 'user' and 'assistant' roles are supported!", {"system": False}),
        ("This model only support stream mode, please enable the stream parameter to access the model.", {"stream": True}),
        ("parameter.enable_thinking must be set to false for non-streaming calls", {"thinking": False}),
        ("the judge's server answered 400: `max_tokens` must be greater than `thinking.budget_tokens`", {"answer_tokens": 8}),
        ("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", {}),
    ],
)
def test_what_a_refusal_names_is_asked_for_differently(words: str, change: dict[str, object]) -> None:
    capabilities = Capabilities()
    before = capabilities.facts()
    assert capabilities.negotiate(words) == bool(change)
    after = {name: value for name, value in capabilities.facts().items() if value != before[name] and name != "revision"}
    assert after == change


def test_the_number_of_a_status_is_no_limit_of_tokens() -> None:
    capabilities = Capabilities(answer_tokens=512)
    assert capabilities.negotiate("the judge's server answered 400: `max_tokens` must be greater than the thinking budget")
    assert capabilities.answer_tokens == 2048


def test_a_limit_of_answer_tokens_that_is_refused_as_too_large_is_kept_below() -> None:
    capabilities = Capabilities(answer_tokens=8192)
    assert capabilities.negotiate("max_tokens is too large: 8192. This model supports at most 4096 completion tokens")
    assert capabilities.answer_tokens == 4096
    assert not capabilities.longer(32768)
