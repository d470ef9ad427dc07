"""The prompt of a row: its own field, and what stands beside it: system, history, context, input, pictures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from argilla_admap.formats.format import FieldNames, Row, RowError
from argilla_admap.formats.rows.conversations import (
    looks_like_messages,
    media_count,
    messages,
    not_shown,
    prompt_and_turns,
    tools_turn,
)
from argilla_admap.formats.values import as_text, decoded, fields_of, look, optional_text, seen, shorten, unpacked
from argilla_admap.records import Turn, printable

__all__ = ["BESIDE", "PROMPTS", "named_prompt", "prompt_field", "prompt_of", "with_surroundings"]

#: Where a prompt stands; the first that a row has is taken.
PROMPTS = (
    "prompt",
    "instruction",
    "question",
    "query",
    "input",
    "messages",
    "conversation",
    "conversations",
    "contents",
    "user_input",
    "user_prompt",
    "context",
    "history",
)
_SYSTEMS = ("system", "system_prompt", "system_message", "system_instruction")
_TOOLS = ("tools", "functions")
_HISTORIES = ("history", "chat_history", "conversation_history", "dialogue_history", "dialog_history")
_CONTEXTS = (
    *("context", "contexts", "passage", "passages", "document", "documents", "article", "paragraph", "background"),
    *("evidence", "knowledge", "source_document", "source_text", "retrieved_context"),
)
_INPUTS = ("input", "inputs")
_MEDIA = {
    **dict.fromkeys(("image", "images", "image_url", "image_urls", "image_path", "picture", "pictures"), "image"),
    **dict.fromkeys(("video", "videos"), "video"),
    **dict.fromkeys(("audio", "audios"), "sound"),
}
#: Fields that are read beside a prompt.
BESIDE = frozenset({*_SYSTEMS, *_TOOLS, *_HISTORIES, *_CONTEXTS, *_INPUTS, *_MEDIA})

Prompt = tuple[str, tuple[Turn, ...]]


def prompt_field(row: Row, names: Sequence[str] = PROMPTS) -> str:
    """The first of the fields that the row has, and is not null. Raises RowError where there is none."""
    there = [name for name in names if name in row]
    if there:
        return next((name for name in there if row[name] is not None), there[0])
    if len(names) == 1:
        raise RowError(f"{names[0]!r} is missing; the row has {fields_of(row)}")
    raise RowError(
        f"there is no prompt; expected one of {', '.join(names)}, or name the field with `prompt_field`; "
        f"the row has {fields_of(row)}"
    )


def prompt_of(row: Row, names: Sequence[str] = PROMPTS, *, taken: Collection[str] = ()) -> Prompt:
    """The prompt, as text and as turns: the first of these fields that the row has, with all that stands beside it.

    Args:
        row: of the file.
        names: the fields that may hold it.
        taken: fields that hold something else.
    """
    name = prompt_field(row, names)
    return with_surroundings(row, _turns(row[name], name), {name, *taken})


def named_prompt(row: Row, fields: FieldNames, *, taken: Collection[str] = ()) -> Prompt:
    """The prompt in the fields that were named: one with what stands beside it, or several, joined in their order."""
    names = fields.prompts
    if len(names) == 1:
        turns = _turns(look(row, names[0], "prompt_field"), names[0])
        return with_surroundings(row, turns, {names[0], names[0].partition(".")[0], *taken})
    turns = []
    for name in names:
        value = look(row, name, "prompt_field")
        base = name.rpartition(".")[2]
        if value in (None, "", [], {}):
            continue
        if base in _HISTORIES and not isinstance(value, str):
            turns += _history(value, name)
            continue
        more = _turns(value, name) if isinstance(value, str) or looks_like_messages(value) else [_shown(value)]
        if base in _SYSTEMS and len(more) == 1:
            more = [Turn("system", more[0].content)]
        if turns and len(more) == 1 and more[0].role == turns[-1].role == "user":
            more = [Turn("user", f"{turns.pop().content}\n\n{more[0].content}")]
        turns += more
    if not turns:
        raise RowError(f"the fields of the prompt ({', '.join(map(repr, names))}) are all empty")
    return prompt_and_turns(turns)


def _turns(value: Any, name: str) -> list[Turn]:
    if isinstance(value, (str, list, dict)):
        found = messages(value, repr(name)) if not isinstance(value, str) or value.lstrip()[:1] in ("[", "{") else None
        if found is not None:
            return list(found)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    return [Turn("user", as_text(value, f"the prompt {name!r}"))]


def _shown(value: object) -> Turn:
    return Turn("user", _text_of(value) or "")


def with_surroundings(row: Row, turns: Sequence[Turn], taken: Collection[str] = ()) -> Prompt:
    """The prompt's turns with what stands beside them in the row, and is not in them yet.

    The order is plain: system, tools, history, then context, question and input. Empty fields add nothing.
    """
    turns = list(turns)
    # A prompt of one field is the common case, and must stay cheap.
    beside = [] if BESIDE.isdisjoint(row) else [n for n in row if n in BESIDE and n not in taken and not _empty(row, n)]
    if not beside:
        return prompt_and_turns(turns)
    front: list[Turn] = []
    for name in beside:
        if name in _SYSTEMS:
            text = _text_of(row[name])
            if text and not any(turn.role == "system" and text.strip() in turn.content for turn in turns):
                front.append(Turn("system", text))
    for name in beside:
        if name in _TOOLS and looks_like_tools(row[name]):
            front += [turn for turn in tools_turn(row[name]) if turn not in turns]
    before: list[str] = []
    for name in beside:
        if name in _HISTORIES:
            value = row[name]
            front += (
                [Turn("user", printable(value))] if isinstance(value, str) and decoded(value) is None else _history(value, name)
            )
    for name in beside:
        if name in _CONTEXTS:
            found = messages(row[name], repr(name)) if looks_like_messages(row[name]) else None
            if found is not None:
                front += found
            else:
                before.append(_text_of(row[name]))
    after = [_text_of(row[name]) for name in beside if name in _INPUTS]
    if not any("not shown]" in turn.content for turn in turns):
        before += [not_shown(_MEDIA[name], media_count(row[name])) for name in beside if name in _MEDIA]
    return prompt_and_turns([*front, *_around(turns, before, after)])


def _empty(row: Row, name: str) -> bool:
    value = row[name]
    return value is None or (isinstance(value, (str, list, dict, tuple)) and (not value or value == "[]"))


def looks_like_tools(value: object) -> bool:
    """Whether the value is a list of tools, or writes one: `tools` and `functions` are common words."""
    value = unpacked(value)
    return isinstance(value, list) and all(isinstance(tool, (dict, str)) for tool in value)


def _around(turns: list[Turn], before: Sequence[str], after: Sequence[str]) -> list[Turn]:
    """The turns with texts before and after the last thing that the user says."""
    place = next((n for n in range(len(turns) - 1, -1, -1) if turns[n].role == "user"), None)
    if place is None:
        words = "\n\n".join([*before, *after])
        return [Turn("user", words), *turns] if words else turns
    whole = "\n\n".join(turn.content for turn in turns)
    text = turns[place].content
    ahead = "\n\n".join(more for more in before if more and not _within(more, whole))
    behind = "\n".join(more for more in after if more and not _within(more, whole))
    text = "\n".join(piece for piece in (text, behind) if piece)
    text = "\n\n".join(piece for piece in (ahead, text) if piece)
    return [*turns[:place], Turn("user", text), *turns[place + 1 :]]


def _within(text: str, whole: str) -> bool:
    """Whether the prompt says the text already, as a template does; a short word may stand there by chance."""
    text = text.strip()
    return text in whole if len(text) >= 20 else f"\n{text}\n" in f"\n{whole}\n"


def _text_of(value: object) -> str:
    """Any value as text: lists of texts as paragraphs, other values as JSON."""
    if isinstance(value, str):
        inner = decoded(value)
        if not isinstance(inner, list) or not all(isinstance(item, str) for item in inner):
            return printable(value)
        value = inner
    if isinstance(value, Sequence) and value and all(isinstance(item, str) for item in value):
        return printable("\n\n".join(value))
    return optional_text(value) or ""


def _history(value: Any, name: str) -> list[Turn]:
    """Earlier turns: messages, or pairs of a question and an answer."""
    inner = decoded(value) if isinstance(value, str) else value
    if isinstance(value, str) and inner is None:
        return [Turn("user", printable(value))]
    value, found = inner, messages(inner, repr(name))
    if found is not None:
        return list(found)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise RowError(f"{name!r} is {seen(value)}, expected messages, or pairs of a question and an answer")
    turns = []
    for exchange in value:
        pair = [exchange] if isinstance(exchange, str) else exchange
        if not isinstance(pair, Sequence) or len(pair) not in (1, 2) or not all(isinstance(text, str) for text in pair):
            raise RowError(f"{name!r} has {shorten(exchange)}, expected pairs of a question and an answer")
        turns += [Turn(role, printable(text)) for role, text in zip(("user", "assistant"), pair, strict=False)]
    if all(isinstance(exchange, str) for exchange in value):
        # Lines in turn: the user begins.
        turns = [Turn("user" if n % 2 == 0 else "assistant", turn.content) for n, turn in enumerate(turns)]
    return turns
