"""A server's answer as the protocol has it: JSON, event streams nobody asked for, errors inside, odd logprobs and counts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import orjson

__all__ = ["decode", "error_in", "usage_of"]

#: No request has more tokens than this.
_MOST_TOKENS = 100_000_000
_LENGTH = {"max_tokens", "model_length", "max_output_tokens", "token_limit"}
_FILTERED = ("content_filter", "safety", "recitation", "blocklist", "prohibited", "spii", "sensitive", "blocked")
_BROKEN_OFF = {"error", "abort", "aborted", "network_error", "insufficient_system_resource", "malformed_function_call"}


def decode(body: bytes) -> Any:
    """The answer's JSON, its choices in the protocol's shape.

    Raises:
        ValueError: it is no JSON, or a stream of events that breaks off.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    start = body[:64].lstrip()
    try:
        if start.startswith((b"data:", b"event:", b"id:", b"retry:", b":")):
            reply = _joined(list(_events(body)))
        elif b"\n{" in body and start[:1] == b"{" and (lines := _lines(body)):
            reply = _joined(lines)
        else:
            reply = _unwrapped(_loads(body))
        if isinstance(reply, dict) and isinstance(reply.get("choices"), list):
            reply["choices"] = [_tidied(choice) for choice in reply["choices"] if isinstance(choice, dict)]
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError("not of the protocol's shape") from exc
    return reply


def _unwrapped(reply: Any) -> Any:
    """An answer that a gateway has put into a list, a string or a field of its own."""
    if isinstance(reply, list) and len(reply) == 1 and isinstance(reply[0], dict) and {"error", "choices"} & reply[0].keys():
        return reply[0]
    if isinstance(reply, str) and reply.lstrip()[:1] == "{":
        return _loads(reply.encode())
    if isinstance(reply, dict) and "choices" not in reply:
        if isinstance(reply.get("message"), dict) and "done" in reply:
            return {**reply, **_ollama(reply)}
        for name in ("body", "data", "result", "response"):
            inner = reply.get(name)
            if isinstance(inner, str) and '"choices"' in inner:
                inner = _loads(inner.encode())
            if isinstance(inner, dict) and "choices" in inner:
                return inner
    return reply


def _ollama(reply: dict[str, Any]) -> dict[str, Any]:
    """The choices and the bill of an answer, or of a piece of one, in Ollama's own shape."""
    ended = reply.get("done_reason") or ("stop" if reply["done"] else None)
    counts = {"prompt_tokens": reply.get("prompt_eval_count"), "completion_tokens": reply.get("eval_count")}
    usage = {"usage": counts} if None not in counts.values() else {}
    return {"choices": [{"message": reply["message"], "finish_reason": ended}], **usage}


def _loads(body: bytes) -> Any:
    """JSON, and what some servers send in its place for a probability of 0: NaN and -Infinity."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if b"NaN" not in body and b"Infinity" not in body:
            raise
    try:
        return json.loads(body)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc


def _events(body: bytes) -> Iterator[Any]:
    """The data of an event stream; None for its end."""
    data: list[bytes] = []
    for line in [*body.replace(b"\r\n", b"\n").split(b"\n"), b""]:
        if line.startswith(b"data:"):
            data.append(line[5:].strip())
        elif not line and data:
            text, data = b"\n".join(data), []
            yield None if text == b"[DONE]" else _loads(text)


def _lines(body: bytes) -> list[Any]:
    """The pieces of a stream that has a JSON object a line; empty where it has not."""
    try:
        return [_unwrapped(orjson.loads(line)) for line in body.splitlines() if line.strip()]
    except orjson.JSONDecodeError:
        return []


def _joined(events: list[Any]) -> dict[str, Any]:
    """One answer of the pieces of a stream."""
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    # Pieces of text, joined at the end: a text that grows piece by piece is copied as often.
    texts: dict[tuple[int, str], list[str]] = {}
    for event in events:
        if not isinstance(event, dict):
            continue
        whole.update({name: value for name, value in event.items() if name != "choices" and value is not None})
        for piece in event.get("choices") or ():
            place = piece.get("index") or 0
            choice = choices.setdefault(place, {"index": place, "message": {}, "finish_reason": None})
            for name, value in (piece.get("delta") or piece.get("message") or {"content": piece.get("text")}).items():
                if name != "role" and isinstance(value, str):
                    texts.setdefault((place, name), []).append(value)
                elif value is not None or name not in choice["message"]:
                    choice["message"][name] = value
            items = (piece.get("logprobs") or {}).get("content")
            if items:
                choice.setdefault("logprobs", {"content": []})["content"] += items
            choice["finish_reason"] = piece.get("finish_reason") or choice["finish_reason"]
            if piece.get("error"):
                choice["error"] = piece["error"]
    if (
        not whole.get("error")
        and None not in events
        and not all(one["finish_reason"] or "error" in one for one in choices.values())
    ):
        raise ValueError("the event stream breaks off")
    for (place, name), pieces in texts.items():
        choices[place]["message"][name] = "".join(pieces)
    if choices:
        whole["choices"] = [choices[place] for place in sorted(choices)]
    return whole


def _tidied(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice with `message`, `finish_reason` and `logprobs` as the protocol has them."""
    if not isinstance(choice.get("message"), dict):
        choice["message"] = choice.get("delta") if isinstance(choice.get("delta"), dict) else {"content": choice.get("text")}
    ended = choice.get("finish_reason")
    if isinstance(ended, str) and ended not in ("stop", "length"):
        low = ended.lower()
        if low in _LENGTH or low == "length":
            choice["finish_reason"] = "length"
        elif low != "content_filter" and low.startswith(_FILTERED):
            choice["finish_reason"] = "content_filter"
            # The server's own words, where there is no answer beside them.
            if not choice["message"].get("content"):
                choice["message"]["refusal"] = choice["message"].get("refusal") or ended
    if choice.get("logprobs") is not None:
        choice["logprobs"] = {"content": _items(choice["logprobs"])}
    return choice


def _items(logprobs: Any) -> list[dict[str, Any]] | None:
    """The tokens of an answer with their candidates; None where their shape is not known."""
    found: Any
    if isinstance(logprobs, dict) and isinstance(logprobs.get("tokens"), list):
        # The shape of the older completions.
        tokens, tops = logprobs["tokens"], logprobs.get("top_logprobs") or []
        own = logprobs.get("token_logprobs") or []
        found = [
            {"token": token, "logprob": own[n] if n < len(own) else None, "top_logprobs": tops[n] if n < len(tops) else None}
            for n, token in enumerate(tokens)
        ]
    else:
        found = logprobs.get("content") if isinstance(logprobs, dict) else logprobs
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            return None
    for item in found:
        top = item.get("top_logprobs") or item.get("top_probs")
        if type(top) is not list or not all(type(one) is dict and _number(one.get("logprob", one)) for one in top):
            item["top_logprobs"] = _candidates(top)
        if not _number(item.get("logprob")):
            item["logprob"] = None
    items: list[dict[str, Any]] = found
    return items


def _number(value: Any) -> bool:
    return value is None or type(value) in (float, int)


def _candidates(top: Any) -> list[dict[str, Any]] | None:
    """Candidates given as an object, as pairs, or by their probability."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(top, dict):
        pairs = [(token, value.get("logprob") if isinstance(value, dict) else value) for token, value in top.items()]
        # vLLM's own shape: keyed by the token's number, its text inside.
        pairs = [
            (value.get("decoded_token", token) if isinstance(value, dict) else token, logprob)
            for (token, logprob), value in zip(pairs, top.values(), strict=True)
        ]
    elif isinstance(top, list):
        for one in top:
            if isinstance(one, dict):
                chance: Any = one.get("prob")
                known = type(chance) in (float, int) and 0 < chance <= 1
                pairs.append((one.get("token", one.get("tok_str")), math.log(chance) if known else one.get("logprob")))
            elif isinstance(one, (list, tuple)) and len(one) == 2:
                pairs.append((one[0], one[1]) if isinstance(one[0], str) else (one[1], one[0]))
    found = [{"token": token, "logprob": value} for token, value in pairs if isinstance(token, str) and _number(value)]
    return found or None


def error_in(reply: Any) -> Any:
    """The error that an answer with status 200 holds in place of an answer; None: it holds none."""
    if not isinstance(reply, dict):
        return None
    choices = reply.get("choices")
    good = [one for one in choices if not _broken(one)] if isinstance(choices, list) else []
    if isinstance(choices, list) and choices and not good:
        return choices[0].get("error") or reply.get("error") or f"the answer ended with {choices[0].get('finish_reason')!r}"
    if good:
        reply["choices"] = good
        answered = any(one["message"].get("content") for one in good)
        return None if answered else reply.get("error") or None
    if reply.get("object") == "error" or reply.get("type") == "error":
        return reply.get("error") or reply
    base = reply.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return {"message": base.get("status_msg"), "code": base["status_code"]}
    return reply.get("error") or reply.get("errors") or reply.get("error_msg") or None


def _broken(choice: dict[str, Any]) -> bool:
    return bool(choice.get("error")) or str(choice.get("finish_reason")).lower() in _BROKEN_OFF


def usage_of(reply: Any, about: int) -> tuple[int, int, int]:
    """Input, output and cached input tokens that the server counted; the estimate where it counts none.

    Thoughts are output too, where they are counted outside of the answer or only in the sum.
    """
    if not isinstance(reply, dict):
        return about, 1, 0
    usage, written = reply.get("usage"), _written(reply)
    if not isinstance(usage, dict):
        return about, max(1, written // 4), 0
    told_in = _tokens(usage, "prompt_tokens", "input_tokens")
    told_out = _tokens(usage, "completion_tokens", "output_tokens")
    counted = told_in or about
    answered = told_out if told_out is not None else 1 if "prompt_tokens" not in usage and "input_tokens" not in usage else 0
    thoughts = _tokens(usage.get("completion_tokens_details") or usage.get("output_tokens_details"), "reasoning_tokens") or 0
    total = _tokens(usage, "total_tokens") if told_in is not None else None
    if "choices" in reply and not told_in:
        answered = max(answered, 1, written // 4)
    # What can be read was paid for, even where it is not counted: a token is hardly ever longer than eight characters.
    answered = max(answered, written // 8, thoughts if thoughts <= answered else answered + thoughts, (total or 0) - counted)
    cached = _tokens(usage.get("prompt_tokens_details"), "cached_tokens") or 0
    return counted, answered, min(cached, counted)


def _written(reply: dict[str, Any]) -> int:
    """Characters of an answer's choices, thoughts included."""
    choices = reply.get("choices")
    messages = [one["message"] for one in choices if "message" in one] if isinstance(choices, list) else []
    texts = [message.get(name) for message in messages for name in ("content", "reasoning_content", "reasoning")]
    return sum(len(text) for text in texts if isinstance(text, str))


def _tokens(counts: Any, *names: str) -> int | None:
    """A count, also as 300.0 or "300". A broken one must neither fill nor empty the budget, and must fit into the store."""
    if not isinstance(counts, dict):
        return None
    value = next((counts[name] for name in names if name in counts), None)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST_TOKENS:
        return None
    return math.ceil(value)
