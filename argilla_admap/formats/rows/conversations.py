"""Conversations of any make as turns of text: roles, content in parts, tool calls, thoughts, and remarks for pictures."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from argilla_admap.formats.format import RowError
from argilla_admap.formats.values import as_text, decoded, fields_of, optional_text, seen, shorten, unpacked
from argilla_admap.records import NOT_SHOWN, Turn, printable, render_turns

__all__ = [
    "looks_like_messages",
    "media_count",
    "messages",
    "not_shown",
    "only_media",
    "prompt_and_turns",
    "said",
    "split_messages",
    "tools_turn",
]

_ROLE_KEYS = ("role", "from", "speaker")
_CONTENT_KEYS = ("content", "value", "text", "parts", "message")
_THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking", "thoughts", "thought")
_CALL_KEYS = ("tool_calls", "function_call", "function_calls")
_LIST_KEYS = ("messages", "conversations", "conversation", "contents")
_ROLES = {
    **dict.fromkeys(("human", "prompter", "instruction"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bot", "model", "ai", "chatbot"), "assistant"),
    **dict.fromkeys(("function", "function_response", "observation", "tool_result"), "tool"),
}
_KNOWN_ROLES = frozenset({"user", "assistant", "system", "tool", "developer", "function_call", *_ROLES})
#: A text that begins as a conversation in JSON or Python does.
_WRITTEN_OUT = re.compile(
    r"""\s*(?:array\()?[\[{][\s\S]{0,300}?['"](?:role|from)['"]\s*:\s*['"](?:user|assistant|system|human|gpt|tool|model)['"]"""
)
_MEDIA = {
    "image": ("image", "image_url", "input_image", "picture", "img", "inline_data", "inlinedata"),
    "sound": ("audio", "input_audio", "audio_url"),
    "video": ("video", "video_url"),
    "file": ("file", "input_file", "document"),
}
_KIND_OF_MEDIA = {key: kind for kind, keys in _MEDIA.items() for key in keys}
_MARKERS = re.compile(rf"(?:\s*{NOT_SHOWN}\s*)+")


def messages(value: object, what: str = "messages") -> tuple[Turn, ...] | None:
    """Chat messages as turns; None where the value is nothing of the kind.

    Taken are lists of messages (``{role, content}``, ``{from, value}``, ``{role, parts}``, ...), one such object, an object
    that holds such a list, and a text that writes one of these as JSON or as Python does.

    Raises:
        RowError: a message has no content that can be shown, or a text writes a conversation that cannot be read.
    """
    if isinstance(value, str):
        found = decoded(value)
        turns = messages(found, what) if isinstance(found, (list, dict)) and _all_roles_known(found) else None
        if turns is None and _WRITTEN_OUT.match(value) and found is None:
            raise RowError(f"{what} writes a conversation as text that is neither JSON nor Python ({shorten(value)})")
        return turns
    if isinstance(value, Mapping):
        name = next((n for n in _LIST_KEYS if isinstance(value.get(n), Sequence)), None)
        if name is not None and _role_key(value) is None:
            turns = messages(value[name], what)
            return turns and (*tools_turn(value.get("tools")), *turns)
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or not value:
        return None
    if all(isinstance(m, Sequence) and not isinstance(m, (str, bytes)) and len(m) == 1 for m in value):
        # A list around each message, as VisionArena has it.
        value = [m[0] for m in value]
    if not all(isinstance(m, Mapping) for m in value) or any(_role_key(m) is None for m in value):
        return None
    if not any(n in message for message in value for n in (*_CONTENT_KEYS, *_CALL_KEYS)):
        return None
    return tuple(_turn(message, what) for message in value)


def _role_key(message: Mapping[str, Any]) -> str | None:
    return next((n for n in _ROLE_KEYS if isinstance(message.get(n), str)), None)


def _all_roles_known(value: object) -> bool:
    """Whether every message has a role that chats have: an answer may be JSON without being a conversation."""
    if isinstance(value, Mapping):
        name = next((n for n in _LIST_KEYS if isinstance(value.get(n), list)), None)
        value = value[name] if name is not None else [value]
    if not isinstance(value, list):
        return False
    keys = [_role_key(m) if isinstance(m, Mapping) else None for m in value]
    return all(key is not None and m[key].lower() in _KNOWN_ROLES for key, m in zip(keys, value, strict=True))


def _turn(message: Mapping[str, Any], what: str) -> Turn:
    role = message[str(_role_key(message))]
    name = next((n for n in _CONTENT_KEYS if n in message), None)
    content = message[name] if name is not None else None
    role = as_text(_ROLES.get(role.lower(), role), f"a role in {what}")
    if isinstance(content, str) and content and not any(message.get(key) for key in (*_CALL_KEYS, *_THOUGHT_KEYS)):
        return Turn(role, printable(content))
    pieces = [_thought(message[key]) for key in _THOUGHT_KEYS if isinstance(message.get(key), str) and message[key].strip()][:1]
    if isinstance(content, str):
        pieces += [content] if content else []
    elif content is not None:
        pieces += _parts([content] if isinstance(content, Mapping) else content, what)
    for key in _CALL_KEYS:
        calls = message.get(key)
        calls = unpacked(calls)
        if isinstance(calls, (Mapping, list)):
            pieces += [_call(call) for call in (calls if isinstance(calls, list) else [calls])]
    if not pieces and content != "":
        has = f"has {seen(content)} as content" if name is not None else f"has no content, only {fields_of(message)}"
        raise RowError(f"a message of {what} {has}, expected text")
    return Turn(role, printable("\n".join(pieces)))


def _parts(content: object, what: str) -> list[str]:
    """The texts of content in parts; pictures and the like as a remark that they are not shown."""
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise RowError(f"a message of {what} has {seen(content)} as content, expected text")
    found: list[tuple[str, str]] = [_part(part, what) for part in content]
    pieces = []
    for kind, group in itertools.groupby((f for f in found if f != ("", "")), key=lambda part: part[0]):
        texts = [text for _, text in group]
        pieces += [not_shown(kind, len(texts))] if kind else texts
    if not pieces and ("", "") in found:
        raise RowError(f"a message of {what} has content without text ({shorten(content)}), expected text")
    return pieces


def _part(part: object, what: str) -> tuple[str, str]:
    """The kind of what cannot be shown, and the text of what can."""
    if isinstance(part, str):
        return "", part
    if isinstance(part, Mapping):
        kind = str(part.get("type") or "").lower()
        call = next((part[k] for k in ("functionCall", "function_call", "tool_call") if isinstance(part.get(k), Mapping)), None)
        if call is not None or kind in ("tool_use", "tool_call", "function_call"):
            return "", _call(call or part)
        if kind in ("thinking", "reasoning", "thought"):
            key = next((k for k in (*_THOUGHT_KEYS, "text", "content") if isinstance(part.get(k), str)), None)
            if key is not None:
                return "", _thought(part[key])
        media = next((k for k in part if k.lower() in _KIND_OF_MEDIA and part[k] not in (None, "", {}, [])), kind)
        for key in ("text", "value", "content", "output_text", "input_text", "output", "refusal", "result", "functionResponse"):
            text = part.get(key)
            if text not in (None, "", [], {}) and kind not in _KIND_OF_MEDIA:
                return ("", text) if isinstance(text, str) else ("", "\n".join(_inner(text, what)))
        if media.lower() in _KIND_OF_MEDIA:
            return _KIND_OF_MEDIA[media.lower()], "."
        if part.get("text") == "" or kind == "text" or all(value is None for value in part.values()):
            return "", ""
    raise RowError(f"a message of {what} has a part that cannot be read ({seen(part)}), expected text")


def _inner(value: object, what: str) -> list[str]:
    if isinstance(value, Mapping) and not any(key in value for key in ("text", "value", "content", "type")):
        return [str(optional_text(value))]
    return _parts([value] if isinstance(value, Mapping) else value, what)


def _thought(text: str) -> str:
    return f"<think>\n{text.strip()}\n</think>\n"


def _call(call: object) -> str:
    """A call of a tool as text: its name and its arguments."""
    if not isinstance(call, Mapping):
        return f"[call: {optional_text(call)}]"
    function = call.get("function")
    inner = function if isinstance(function, Mapping) else call
    name = inner.get("name", "")
    given = next((inner[key] for key in ("arguments", "input", "args", "parameters") if inner.get(key) is not None), "")
    return f"[call: {name}({given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)})]"


def tools_turn(tools: object) -> tuple[Turn, ...]:
    """The tools that a conversation may call, as a turn in front of it."""
    text = optional_text(tools) if tools not in ([], {}) else None
    return (Turn("system", f"Tools: {text}"),) if text and text.strip() not in ("[]", "{}") else ()


def not_shown(kind: str, count: int) -> str:
    """The remark in the place of pictures, sounds, videos and files."""
    return f"[{count} {kind}{'s' * (count != 1)}, not shown]"


def only_media(text: str) -> bool:
    """Whether a text holds remarks of `not_shown` and nothing else."""
    return text.startswith("[") and _MARKERS.fullmatch(text) is not None


def media_count(value: object) -> int:
    """How many pictures or the like a row's field holds."""
    if value in (None, "", [], {}):
        return 0
    return len(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else 1


def looks_like_messages(value: object) -> bool:
    """Whether the value is a conversation, readable or not."""
    if isinstance(value, str) and value.lstrip()[:1] not in ("[", "{") and not value.lstrip().startswith("array("):
        return False
    try:
        return messages(value) is not None
    except RowError:
        return True


def prompt_and_turns(turns: Sequence[Turn]) -> tuple[str, tuple[Turn, ...]]:
    """The prompt as readable text, and its turns; no turns where it is a single user turn."""
    if not turns or (len(turns) == 1 and turns[0].role == "user"):
        return render_turns(turns), ()
    return render_turns(turns), tuple(turns)


def split_messages(*conversations: Sequence[Turn]) -> tuple[Sequence[Turn], list[str]]:
    """The turns with which all conversations begin, and what each says after them (never nothing)."""
    shared = 0
    for turns in zip(*(turns[:-1] for turns in conversations), strict=False):
        if any(turn != turns[0] for turn in turns):
            break
        shared += 1
    return conversations[0][:shared], [said(turns[shared:]) for turns in conversations]


def said(turns: Sequence[Turn]) -> str:
    """What turns say, as one text."""
    return turns[0].content if len(turns) == 1 else render_turns(turns)
