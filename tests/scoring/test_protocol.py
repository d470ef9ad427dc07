"""Answers of many shapes are brought into the protocol's one shape, and nothing that a server sends breaks it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.scoring.client.protocol import decode, error_in, usage_of

CHAT = {"choices": [{"index": 0, "message": {"content": "4"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(CHAT),
        "\ufeff" + json.dumps(CHAT),
        json.dumps([CHAT]),
        json.dumps(json.dumps(CHAT)),
        json.dumps({"statusCode": 200, "body": json.dumps(CHAT)}),
        json.dumps({"result": CHAT, "success": True}),
        json.dumps({"choices": [{"text": "4", "finish_reason": "STOP"}]}),
        json.dumps({"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]}),
        'data: {"choices": [{"delta": {"content": "4"}}]}\n\ndata: [DONE]\n\n',
        'event: message\r\ndata:{"choices": [{"text": "4", "finish_reason": "stop"}]}\r\n\r\n',
        '{"choices": [{"delta": {"content": "4"}}]}\n{"choices": [{"delta": {}, "finish_reason": "stop"}]}\n',
        json.dumps(CHAT, indent=0),
        ': ping\n\ndata: {"choices": [{"index": 0, "delta": {"content": "4"}, "finish_reason": "stop"}]}',
    ],
)
def test_an_answer_in_any_wrapping_is_found(body: str) -> None:
    assert decode(body.encode())["choices"][0]["message"]["content"] == "4"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b"NaN" * 3,
        b"[" * 100_000 + b"NaN",
        b'{"a":' * 100_000,
        b"data: {",
        b'data: {"choices": [{"delta": {"content": "4"}}]}\n\n',
    ],
)
def test_what_is_no_whole_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|unexpected|deep|Expecting|recursion|breaks off|EOF|line 1"):
        decode(body)


@pytest.mark.parametrize(
    "top",
    [
        {"4": -0.1, "5": -3.0},
        {"19": {"logprob": -0.1, "decoded_token": "4"}, "20": {"logprob": -3.0, "decoded_token": "5"}},
        [["4", -0.1], ["5", -3.0]],
        [[-0.1, "4"], [-3.0, "5"]],
        [{"token": "4", "prob": math.exp(-0.1)}, {"token": "5", "prob": math.exp(-3.0)}],
        [{"token": "4", "logprob": -0.1}, {"token": "5", "logprob": -3.0}],
    ],
)
def test_candidates_of_any_shape_are_read(top: Any) -> None:
    item = {"token": "4", "logprob": -0.1, "top_logprobs": top}
    found = decode(json.dumps({"choices": [{"message": {"content": "4"}, "logprobs": {"content": [item]}}]}).encode())
    candidates = found["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    assert [one["token"] for one in candidates] == ["4", "5"]
    assert [one["logprob"] for one in candidates] == pytest.approx([-0.1, -3.0])


NAMES = st.sampled_from(
    ["choices", "message", "delta", "content", "finish_reason", "logprobs", "top_logprobs", "tokens", "token", "logprob"]
) | st.sampled_from(["usage", "error", "index", "text", "prompt_tokens", "completion_tokens", "total_tokens", "body"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats() | st.text(max_size=5) | st.just("stop"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, JSON, max_size=5), st.booleans())
def test_no_answer_breaks_the_reader(reply: dict[str, Any], streamed: bool) -> None:
    body = json.dumps(reply).encode()
    try:
        found = decode(b"data: " + body + b"\n\ndata: [DONE]\n\n" if streamed else body)
    except ValueError:
        return
    error_in(found)
    tokens = usage_of(found, 9)
    assert all(isinstance(count, int) and count >= 0 for count in tokens)
