"""Where a model's thoughts end and its answer begins.

Thoughts speak of grades that were only considered; no part of them is ever read as the grade. They come in fields of their own,
as parts of the content, or inside the content between the marks of the model's chat template. Everything here keeps the length
of the text: what is thought becomes blanks, so that a place in the answer is the same place in the content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Content", "content_of", "without_thoughts"]

_NAMES = (
    r"(?:antml:|seed:|longcat_|ds_)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|reflection|scratchpad|inner_monologue|"
    r"chain_of_thought|cot|details|rationale|internal_thoughts?)"
)
#: Groups: open, close. Bounded repeats only, so that the time is linear in the text's length.
_MARKS = re.compile(
    rf"""
    (?=[<\[◁])(?: (?P<open>
        <\s?{_NAMES}(?:\s[^<>]{{0,80}})?> | \[\s?(?:THINK|THINKING|REASONING)\s?\]
        | <\|(?:begin_of_thought|start_thinking|thinking|think|begin_of_reasoning)\|> | ◁think▷
        | <unused94> | <\|channel>thought
    ) |
    (?P<close>
        <\s?/\s?{_NAMES}\s?> | \[\s?/\s?(?:THINK|THINKING|REASONING)\s?\]
        | <\|(?:end_of_thought|end_thinking|/thinking|/think|end_of_reasoning)\|> | ◁/think▷ | <unused95> | <channel\|>
    ))
    """,
    re.IGNORECASE | re.VERBOSE,
)
_FENCE = re.compile(r"^[ \t]*```[ \t]*(?:think(?:ing)?|thoughts?|reasoning)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_FENCE_END = re.compile(r"^[ \t]*```[ \t]*$", re.MULTILINE)
# gpt-oss: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...
_FINAL = re.compile(r"<\|channel\|>\s?final[^<>]{0,80}(?:<\|constrain\|>[^<>]{0,40})?<\|message\|>", re.IGNORECASE)
# The same where the server drops the marks and leaves the channels' names.
_BARE_ANALYSIS = re.compile(r"\s*(?:assistant)?(?:analysis|commentary)(?=[A-Z\"'*])")
_BARE, _BARE_FINAL = ("analysis", "assistantanalysis", "commentary"), "assistantfinal"
# The end of a turn: what a model says after it is a turn that it made up.
_END = re.compile(
    r"<\|(?:end|return|call|im_end|eot_id|eom_id|end_of_text|endoftext|end_of_turn|eos)\|>|</s>|<eos>|<(?:end_of_turn|turn\|)>"
    r"|<\uff5cend\u2581of\u2581sentence\uff5c>|(?P<start><\|(?:im_start|start|start_header_id)\|>|<start_of_turn>)\s?(?P<user>user)?"
)
_START = re.compile(
    r"\s*(?:<\|start\|>)?(?:<\|(?:im_start|start_header_id)\|>|<start_of_turn>)?\s?(?:assistant|model)?\s?"
    r"(?:<\|(?:message|end_header_id)\|>)\s*|\s*(?:<s>|<bos>|<\|begin_of_text\|>)"
)
_OPENERS, _CLOSERS = "\"'`“‘«「『", "\"'`”’»」』"


class Content(NamedTuple):
    """What a message holds."""

    #: The answer with all that is not marked as a thought by a field or a part; empty where there is none.
    text: str
    #: What stands in the fields and parts of thoughts.
    thought: str
    #: The refusal's words; empty where the model did not refuse.
    refusal: str


def content_of(message: Mapping[str, Any]) -> Content:
    """The message's text, its thoughts and its refusal, from the shapes in which servers send them."""
    content = message.get("content")
    texts: list[str] = []
    thoughts: list[str] = [
        found for name in ("reasoning_content", "reasoning", "thinking") if (found := _words(message.get(name)))
    ]
    refusal = _words(message.get("refusal"))
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            kind = str(part.get("type") or "text")
            if kind in ("text", "output_text") and not part.get("thought"):
                texts.append(_words(part.get("text")) or _words(part.get("content")))
            elif kind == "refusal":
                refusal = refusal or _words(part.get("refusal"))
            else:
                thoughts.append(_words(part.get("thinking")) or _words(part.get("reasoning")) or _words(part.get("text")))
    return Content("".join(texts), "\n".join(thoughts), refusal)


def _words(value: Any) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(value, list):
        return "".join(map(_words, value))
    if isinstance(value, Mapping):
        return _words(value.get("text") or value.get("value"))
    return value if isinstance(value, str) else ""


def without_thoughts(text: str) -> tuple[str, bool]:
    """The text with blanks in place of thoughts and of made-up turns, as long as it was; and whether a thought has no end.

    Where only the end of a thought is marked, as from servers whose template opened it, all before it was thought.
    """
    if "<" not in text and "[" not in text and "◁" not in text and "```" not in text and "analysis" not in text[:40]:
        return text, False
    if "<|channel|>" in text:
        finals = list(_FINAL.finditer(text))
        if not finals:
            return _blank(text), True
        text = _blank(text[: finals[-1].end()]) + text[finals[-1].end() :]
    elif text.lstrip().startswith(_BARE) and (_BARE_FINAL in text or _BARE_ANALYSIS.match(text)):
        end = text.rfind(_BARE_FINAL)
        if end < 0:
            return _blank(text), True
        text = _blank(text[: end + len(_BARE_FINAL)]) + text[end + len(_BARE_FINAL) :]
    text, unclosed = _without_fences(text)
    text, open_mark = _without_marks(text)
    return _one_turn(text), unclosed or open_mark


def _without_marks(text: str) -> tuple[str, bool]:
    spans: list[tuple[int, int]] = []
    begun = -1
    for mark in _MARKS.finditer(text):
        if mark["open"] is not None:
            if begun < 0 and not _is_quoted(text, mark):
                begun = mark.start()
        elif begun >= 0:
            if not _is_between_quotes(text, mark):
                spans.append((begun, mark.end()))
                begun = -1
        elif not _is_quoted(text, mark):
            spans = [(0, mark.end())]
    if begun >= 0:
        return _blank(text), True
    return _blanked(text, spans), False


def _without_fences(text: str) -> tuple[str, bool]:
    spans: list[tuple[int, int]] = []
    place = 0
    while "```" in text and (fence := _FENCE.search(text, place)) is not None:
        end = _FENCE_END.search(text, fence.end())
        if end is None:
            return _blank(text), True
        spans.append((fence.start(), place := end.end()))
    return _blanked(text, spans), False


def _is_between_quotes(text: str, mark: re.Match[str]) -> bool:
    before, after = text[max(0, mark.start() - 1) : mark.start()], text[mark.end() : mark.end() + 1]
    return bool(before and after) and before in _OPENERS and after in _CLOSERS


def _is_quoted(text: str, mark: re.Match[str]) -> bool:
    """Whether the text speaks of the mark: it stands between quotes."""
    place = mark.start()
    line = text[max(text.rfind("\n", max(0, place - 400), place) + 1, place - 400, 0) : place]
    return _is_between_quotes(text, mark) or line.count('"') % 2 == 1 or line.count("`") % 2 == 1


def _one_turn(text: str) -> str:
    """The first turn that says something."""
    start = _START.match(text)
    begun = start.end() if start is not None else 0
    for end in _END.finditer(text, begun):
        # Before the first turn's own marks there is nothing; before its end there should be.
        if text[begun : end.start()].strip() or not end["start"] or end["user"]:
            return _blank(text[:begun]) + text[begun : end.start()] + _blank(text[end.start() :])
        begun = end.end()
    return _blank(text[:begun]) + text[begun:]


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    kept, done = [], 0
    for begin, end in spans:
        kept += [text[done:begin], _blank(text[begin:end])]
        done = end
    return "".join(kept) + text[done:]


def _blank(text: str) -> str:
    # A new line at the end: what follows begins one.
    return " " * (len(text) - 1) + "\n" if text else ""
