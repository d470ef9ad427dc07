"""Pairs of conversations: message lists, ShareGPT's turns, OpenAI's files, HH-RLHF's transcripts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from argilla_admap.formats.format import Copy, Draft, Edit, FieldNames, Path, Row, RowError, Swap
from argilla_admap.formats.layouts.pairs import Pair, correct_pair, shared_beginning
from argilla_admap.formats.rows.conversations import looks_like_messages, messages, said, split_messages, tools_turn
from argilla_admap.formats.rows.prompts import prompt_of, with_surroundings
from argilla_admap.formats.values import as_text, seen, text, unpacked
from argilla_admap.records import Turn

__all__ = ["HhRlhf", "LastMessage", "Messages", "OpenAiDpo", "ShareGpt", "UltraFeedbackBinarized", "conversation_pair"]


def conversation_pair(
    values: Sequence[object], names: Sequence[str]
) -> tuple[Sequence[Turn], tuple[str, str], tuple[Path, Path]] | None:
    """Of two sides that are conversations: the turns that both share, what each says, and where that stands in its side.

    Of one whole conversation and one answer, the conversation's last message is the other answer. None where neither side is a
    conversation.
    """
    turns = [messages(value, repr(name)) for value, name in zip(values, names, strict=True)]
    first, second = turns
    if first is not None and second is not None and (len(first) == 1) == (len(second) == 1):
        shared, both = split_messages(first, second)
        return shared, (both[0], both[1]), ((), ())
    long = 0 if second is None or (first is not None and len(first) > len(second)) else 1
    whole, short = turns[long], turns[1 - long]
    if whole is None:
        return None
    answer = said(short) if short is not None else as_text(values[1 - long], repr(names[1 - long]))
    places = (_last_message(values[long], within=short is None), () if short is None else _last_message(values[1 - long]))
    words = (said(whole[-1:]), answer)
    return whole[:-1], words[::-1] if long else words, places[::-1] if long else places


def _last_message(value: object, *, within: bool = False) -> Path:
    """Where a conversation's last message stands, or the text within it."""
    place: Path = ()
    value = unpacked(value)
    if isinstance(value, Mapping) and (name := next((n for n in ("messages", "conversations") if n in value), None)):
        place, value = (name,), value[name]
    if isinstance(value, Sequence):
        place, value = (*place, len(value) - 1), value[-1]
    if within and isinstance(value, Mapping):
        key = next((k for k in ("content", "value", "text") if isinstance(value.get(k), str)), None)
        if key is None:
            raise RowError("the last message is no plain text, and cannot be exchanged with one")
        place = (*place, key)
    return place


class Messages(Pair):
    """TRL's conversational pairs, with an explicit or an implicit prompt."""

    name = "trl-messages"
    takes = (
        "the better conversation is `chosen`, the worse `rejected`; "
        "the prompt is `prompt` and the messages that both begin with"
    )

    def fits(self, row: Row) -> bool:
        kinds = [looks_like_messages(row.get(name)) for name in self.sides]
        return any(kinds) and all(is_chat or isinstance(row.get(n), str) for n, is_chat in zip(self.sides, kinds, strict=True))

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        found = conversation_pair([row.get(name) for name in self.sides], self.sides)
        if found is None:
            value = row.get(self.sides[0])
            raise RowError(f"{self.sides[0]!r} is {seen(value)}, expected a list of messages with role and content")
        shared, pair, _ = found
        name = next((n for n in ("prompt", "instruction", "question", "query", "input") if row.get(n) is not None), "")
        given = row.get(name)
        stated = messages(given, repr(name)) if given is not None and looks_like_messages(given) else None
        if stated is not None and tuple(shared[: len(stated)]) != stated:
            shared = (*stated, *shared)
        remarks: tuple[str, ...] = ()
        if any(turn.role == "user" for turn in shared) or (shared and given is None):
            prompt, kept = with_surroundings(row, shared, (*self.sides, "prompt", "messages", name))
            if stated is None and given is not None and not _says_the_same(given, prompt, shared):
                remarks = (f"{name!r} is another text than the messages that both sides begin with, and is not read",)
        elif given is None and "context" not in row:
            raise RowError(
                f"there is no prompt: {' and '.join(map(repr, self.sides))} begin with no common message; "
                "name its field with `prompt_field`"
            )
        else:
            prompt, kept = prompt_of(row, (name,) if name else ("context",), taken=(*self.sides, "messages"))
            if shared:
                prompt, kept = with_surroundings({}, [*shared, *(kept or (Turn("user", prompt),))])
        draft = self.draft(row, fields, prompt, kept, pair)
        draft.remarks += remarks
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        found = conversation_pair([row[name] for name in self.sides], self.sides)
        first, second = found[2] if found else ((), ())
        edits = correct_pair(row, draft, ratings, ((self.sides[0], *first), (self.sides[1], *second)))
        if any(isinstance(edit, Swap) for edit in edits) and "messages" in row and row["messages"] == row.get("chosen"):
            # The conversation to train on, beside the pair, is the chosen one.
            edits.append(Copy(("chosen",), ("messages",)))
        return edits


def _says_the_same(given: object, prompt: str, shared: Sequence[Turn]) -> bool:
    """Whether a prompt's own field is in the messages, or they are in it, as in a template's marks."""
    words = " ".join(str(given).split())
    if not words or words in " ".join(prompt.split()):
        return True
    return all(" ".join(turn.content.split()) in words for turn in shared if turn.role == "user")


class UltraFeedbackBinarized(Messages):
    """The layout of HuggingFaceH4/ultrafeedback_binarized."""

    name = "ultrafeedback_binarized"
    takes = (
        "the better conversation is `chosen`, the worse `rejected`, with the ratings `score_chosen` and `score_rejected`; "
        "the prompt is the messages that both begin with"
    )

    def fits(self, row: Row) -> bool:
        return "score_chosen" in row and "score_rejected" in row and super().fits(row)


class OpenAiDpo(Messages):
    """OpenAI's, Azure's and Fireworks' files for preference fine-tuning."""

    name = "openai-dpo"
    takes = "the prompt is `input.messages`; the better answer is `preferred_output`, the worse `non_preferred_output`"
    sides = ("preferred_output", "non_preferred_output")

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        given = unpacked(row.get("input"))
        turns = messages(given["messages"], "'input.messages'") if isinstance(given, Mapping) and "messages" in given else None
        found = conversation_pair([row.get(name) for name in self.sides], self.sides)
        if turns is None or found is None:
            raise RowError(f"'input' is {seen(given)}, expected an object with messages")
        tools = tools_turn(given.get("tools")) if isinstance(given, Mapping) else ()
        prompt, kept = with_surroundings(row, [*tools, *turns, *found[0]], ("input", *self.sides))
        return self.draft(row, fields, prompt, kept, found[1])


class LastMessage(Pair):
    """A conversation whose last message is the chosen answer, and the rejected one beside it, as ms-swift writes them."""

    name = "ms-swift"
    takes = (
        "the better answer is the last message of `messages`, the worse is `rejected_response` or the last of "
        "`rejected_messages`; the prompt is the messages before"
    )
    _rejected = ("rejected_response", "rejected_messages", "rejected")

    def fits(self, row: Row) -> bool:
        return (
            "chosen" not in row
            and looks_like_messages(row.get("messages"))
            and any(isinstance(row.get(n), str) or looks_like_messages(row.get(n)) for n in self._rejected)
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        shared, pair, _ = self._pair(row)
        if not shared:
            raise RowError("'messages' holds one message only, expected the conversation that ends with the chosen answer")
        prompt, turns = with_surroundings(row, shared, ("messages",))
        return self.draft(row, fields, prompt, turns, pair)

    def _pair(self, row: Row) -> tuple[Sequence[Turn], tuple[str, str], tuple[Path, Path]]:
        name = next((n for n in self._rejected if n in row), self._rejected[0])
        found = conversation_pair((row.get("messages"), row.get(name)), ("messages", name))
        if found is None:
            raise RowError(f"'messages' is {seen(row.get('messages'))}, expected a list of messages")
        return found[0], found[1], (("messages", *found[2][0]), (name, *found[2][1]))

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return correct_pair(row, draft, ratings, self._pair(row)[2])


class ShareGpt(Pair):
    """ShareGPT's conversations with a pair of answers, as LLaMA-Factory writes them."""

    name = "sharegpt"
    takes = "the prompt is `conversations`; the better answer is `chosen`, the worse `rejected`"
    _conversations = ("conversations", "conversation", "messages", "contents")

    def fits(self, row: Row) -> bool:
        if "prompt" in row or not any(looks_like_messages(row.get(n)) for n in self._conversations):
            return False
        return all(name in row and _is_one_answer(row[name]) for name in self.sides)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        name = next((n for n in self._conversations if n in row), "conversations")
        turns = messages(row.get(name), repr(name))
        if turns is None:
            raise RowError(f"{name!r} is {seen(row.get(name))}, expected a list of messages")
        prompt, kept = with_surroundings(row, turns, (name,))
        return self.draft(row, fields, prompt, kept, (_one_answer(row, "chosen"), _one_answer(row, "rejected")))


def _is_one_answer(value: object) -> bool:
    if isinstance(value, str) and not looks_like_messages(value):
        return True
    try:
        turns = messages(value)
    except RowError:
        return False
    return turns is not None and len(turns) == 1


def _one_answer(row: Row, name: str) -> str:
    value = row.get(name)
    if isinstance(value, str) and not looks_like_messages(value):
        return text(row, name)
    turns = messages(value, repr(name))
    if turns is None:
        raise RowError(f"{name!r} is {seen(value)}, expected text or a message")
    return said(turns[-1:])


class HhRlhf(Pair):
    """The layout of Anthropic/hh-rlhf: two whole transcripts."""

    name = "hh-rlhf"
    takes = "the better transcript is `chosen`, the worse `rejected`; both are split at the last `Assistant:` that they share"
    _answer = "\n\nAssistant:"

    def fits(self, row: Row) -> bool:
        return (
            "prompt" not in row
            and all(isinstance(row.get(n), str) for n in self.sides)
            and all("\n\nHuman:" in "\n\n" + row[n] and self._answer in row[n] for n in self.sides)
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        chosen, rejected = text(row, "chosen"), text(row, "rejected")
        shared = shared_beginning(chosen, rejected)
        at_answer = shared.rfind(self._answer)
        if at_answer < 0:
            raise RowError("'chosen' and 'rejected' share no 'Assistant:' turn, expected two transcripts that begin alike")
        start = at_answer + len(self._answer)
        prompt, turns = with_surroundings(row, _transcript(shared[:at_answer]))
        return self.draft(row, fields, prompt, turns, (chosen[start:].removeprefix(" "), rejected[start:].removeprefix(" ")))


_MARK = re.compile(r"(?:^|\n\n)(Human|Assistant):[ ]?")


def _transcript(words: str) -> list[Turn]:
    before, *parts = _MARK.split(words)
    turns = [Turn("system", before.strip())] if before.strip() else []
    roles = {"Human": "user", "Assistant": "assistant"}
    return turns + [Turn(roles[role], said) for role, said in zip(parts[::2], parts[1::2], strict=True)]
