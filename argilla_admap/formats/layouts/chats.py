"""Pairs of conversations: message lists, ShareGPT's turns, HH-RLHF's transcripts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from argilla_admap.formats.format import Copy, Draft, Edit, FieldNames, Row, RowError, Swap
from argilla_admap.formats.layouts.pairs import Pair, are_texts, shared_beginning
from argilla_admap.formats.layouts.plain import prompt_of
from argilla_admap.formats.values import messages, prompt_and_turns, seen, split_messages, text
from argilla_admap.records import Turn

__all__ = ["HhRlhf", "Messages", "ShareGpt", "UltraFeedbackBinarized"]


class Messages(Pair):
    """TRL's conversational pairs, with an explicit or an implicit prompt."""

    name = "trl-messages"
    takes = (
        "the better conversation is `chosen`, the worse `rejected`; "
        "the prompt is `prompt` and the messages that both begin with"
    )

    def fits(self, row: Row) -> bool:
        return all(name in row and _looks_like_messages(row[name]) for name in self.sides)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        sides = []
        for name in self.sides:
            turns = messages(row.get(name), repr(name))
            if turns is None:
                value = row.get(name)
                raise RowError(f"{name!r} is {seen(value)}, expected a list of messages with role and content")
            sides.append(turns)
        shared, chosen, rejected = split_messages(*sides)
        given = row.get("prompt", row.get("instruction"))
        stated = messages(given, "'prompt'") if _looks_like_messages(given) else None
        if stated is not None and tuple(shared[: len(stated)]) != stated:
            shared = (*stated, *shared)
        prompt, kept = prompt_and_turns(shared)
        if not shared:
            if given is None:
                raise RowError(
                    "there is no prompt: 'chosen' and 'rejected' begin with no common message; "
                    "name its field with `prompt_field`"
                )
            prompt, kept = prompt_of(row, ("prompt", "instruction"))
        return self.draft(row, fields, prompt, kept, (chosen, rejected))

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        edits = super().correct_row(row, draft, ratings, fields)
        if any(isinstance(edit, Swap) for edit in edits) and "messages" in row and row["messages"] == row["chosen"]:
            # The conversation to train on, beside the pair, is the chosen one.
            edits.append(Copy(("chosen",), ("messages",)))
        return edits


def _looks_like_messages(value: object) -> bool:
    if isinstance(value, str) and value.lstrip()[:1] not in ("[", "{"):
        return False
    try:
        return messages(value) is not None
    except RowError:
        return True


class UltraFeedbackBinarized(Messages):
    """The layout of HuggingFaceH4/ultrafeedback_binarized."""

    name = "ultrafeedback_binarized"
    takes = (
        "the better conversation is `chosen`, the worse `rejected`, with the ratings `score_chosen` and `score_rejected`; "
        "the prompt is the messages that both begin with"
    )

    def fits(self, row: Row) -> bool:
        return "score_chosen" in row and "score_rejected" in row and super().fits(row)


class ShareGpt(Pair):
    """ShareGPT's conversations with a pair of answers, as LLaMA-Factory writes them."""

    name = "sharegpt"
    takes = "the prompt is `conversations`; the better answer is `chosen`, the worse `rejected`"
    _conversations = ("conversations", "conversation", "messages")

    def fits(self, row: Row) -> bool:
        if "prompt" in row or not any(_looks_like_messages(row.get(n)) for n in self._conversations):
            return False
        return all(name in row and _is_one_answer(row[name]) for name in self.sides)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        name = next((n for n in self._conversations if n in row), "conversations")
        turns = messages(row.get(name), repr(name))
        if turns is None:
            raise RowError(f"{name!r} is {seen(row.get(name))}, expected a list of messages")
        if isinstance(row.get("system"), str) and row["system"]:
            turns = (Turn("system", text(row, "system")), *turns)
        prompt, kept = prompt_and_turns(turns)
        return self.draft(row, fields, prompt, kept, (_answer(row, "chosen"), _answer(row, "rejected")))


def _is_one_answer(value: object) -> bool:
    if isinstance(value, str) and not _looks_like_messages(value):
        return True
    try:
        turns = messages(value)
    except RowError:
        return False
    return turns is not None and len(turns) == 1


def _answer(row: Row, name: str) -> str:
    value = row.get(name)
    if isinstance(value, str) and not _looks_like_messages(value):
        return text(row, name)
    turns = messages(value, repr(name))
    if turns is None:
        raise RowError(f"{name!r} is {seen(value)}, expected text or a message")
    return split_messages(turns, turns)[1]


class HhRlhf(Pair):
    """The layout of Anthropic/hh-rlhf: two whole transcripts."""

    name = "hh-rlhf"
    takes = "the better transcript is `chosen`, the worse `rejected`; both are split at the last `Assistant:` that they share"
    _answer = "\n\nAssistant:"

    def fits(self, row: Row) -> bool:
        return (
            "prompt" not in row
            and are_texts(row, *self.sides)
            and all("\n\nHuman:" in "\n\n" + row[n] and self._answer in row[n] for n in self.sides)
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        chosen, rejected = text(row, "chosen"), text(row, "rejected")
        shared = shared_beginning(chosen, rejected)
        at_answer = shared.rfind(self._answer)
        if at_answer < 0:
            raise RowError("'chosen' and 'rejected' share no 'Assistant:' turn, expected two transcripts that begin alike")
        start = at_answer + len(self._answer)
        prompt, turns = prompt_and_turns(_transcript(shared[:at_answer]))
        return self.draft(row, fields, prompt, turns, (chosen[start:].removeprefix(" "), rejected[start:].removeprefix(" ")))


_MARK = re.compile(r"(?:^|\n\n)(Human|Assistant):[ ]?")


def _transcript(words: str) -> list[Turn]:
    before, *parts = _MARK.split(words)
    turns = [Turn("system", before.strip())] if before.strip() else []
    roles = {"Human": "user", "Assistant": "assistant"}
    return turns + [Turn(roles[role], said) for role, said in zip(parts[::2], parts[1::2], strict=True)]
