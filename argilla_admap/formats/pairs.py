"""Pairs of a chosen and a rejected completion: as texts, as messages, as transcripts, with and without ratings beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from argilla_admap.formats.plain import prompt_of
from argilla_admap.formats.shape import Draft, Edit, FieldNames, Put, Row, RowError, RowFormat, Swap, TieCannotBeSaid
from argilla_admap.formats.values import (
    at,
    found_id,
    found_source,
    kind,
    messages,
    number,
    optional_text,
    prompt_and_turns,
    ratings_by_field,
    shorten,
    split_messages,
    text,
    written_like,
)
from argilla_admap.records import Turn, printable

__all__ = [
    "Alpaca",
    "ArgillaBinarized",
    "HhRlhf",
    "Messages",
    "Orca",
    "ShareGpt",
    "Trl",
    "TrlImplicit",
    "UltraFeedbackBinarized",
    "correct_pair",
]

_WON = (1.0, 0.0)


def correct_pair(row: Row, draft: Draft, ratings: Sequence[float | None], sides: tuple[str, str]) -> list[Edit]:
    """The edits of a pair whose first completion is the chosen one.

    The other order exchanges the two sides with all fields that belong to one; ratings beside the pair stay in their places, so
    that the chosen side keeps the higher. New values of the ratings are written.

    Raises:
        TieCannotBeSaid: equal ratings, and the row has none beside the pair.
    """
    first, second = (old if new is None else float(new) for old, new in zip(draft.ratings, ratings, strict=True))
    if first is None or second is None or (first, second) == draft.ratings:
        return []
    if not draft.places:
        if first == second:
            raise TieCannotBeSaid
        return [] if first > second else _exchange(row, sides)
    edits = _exchange(row, sides) if first < second else []
    for new, places in zip((max(first, second), min(first, second)), draft.places, strict=True):
        for path in places:
            old = at(row, path)
            if number(old, "the rating") != new:
                edits.append(Put(path, written_like(new, old)))
    return edits


#: What says how good a side is, and so stays where it is when the sides are exchanged.
_MEASURE = re.compile(r"score|rating|reward|rank|margin", re.IGNORECASE)


def _exchange(row: Row, sides: tuple[str, str]) -> list[Edit]:
    edits: list[Edit] = [Swap((sides[0],), (sides[1],))]
    for name in row:
        if isinstance(name, str) and "chosen" in name and name != sides[0]:
            partner = name.replace("chosen", "rejected")
            if partner in row and partner != sides[1] and not _MEASURE.search(name):
                edits.append(Swap((name,), (partner,)))
    return edits


class _Pair(RowFormat):
    """What the formats of pairs share."""

    sides: ClassVar[tuple[str, str]] = ("chosen", "rejected")
    #: Pairs of fields that may hold the two ratings, the first that is there is taken.
    measures: ClassVar[tuple[tuple[str, str], ...]] = (
        ("score_chosen", "score_rejected"),
        ("chosen_score", "rejected_score"),
        ("chosen_rating", "rejected_rating"),
        ("rating_chosen", "rating_rejected"),
        ("chosen_avg_rating", "rejected_avg_rating"),
    )

    def draft(self, row: Row, fields: FieldNames, prompt: str, turns: tuple[Turn, ...], pair: tuple[str, str]) -> Draft:
        """The record of a pair, with its ratings: those beside the pair, else 1 and 0."""
        draft = Draft(prompt, pair, _WON, turns=turns, id=found_id(row, fields), source=found_source(row, fields))
        chosen, rejected = self.sides
        if fields.rating:
            draft.ratings, draft.places = ratings_by_field(row, fields, 2)
        else:
            for names in self.measures:
                if names[0] in row and names[1] in row:
                    ratings = tuple(number(row[name], f"{name!r}") for name in names)
                    if None not in ratings:
                        draft.ratings, draft.places = ratings, tuple(((name,),) for name in names)
                    break
        for name in ("model", "models"):
            if f"{chosen}_{name}" in row:
                draft.models = optional_text(row[f"{chosen}_{name}"]), optional_text(row.get(f"{rejected}_{name}"))
        if "chosen_model" in row:
            draft.models = optional_text(row["chosen_model"]), optional_text(row.get("rejected_model"))
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return correct_pair(row, draft, ratings, self.sides)


def _are_texts(row: Row, *names: str) -> bool:
    return all(isinstance(row.get(name), str) for name in names)


class Trl(_Pair):
    """TRL's pairs of texts with an explicit prompt."""

    name = "trl"
    takes = "the prompt is `prompt`; the better completion is `chosen`, the worse `rejected`"

    def fits(self, row: Row) -> bool:
        return "prompt" in row and _are_texts(row, "chosen", "rejected") and messages(row["chosen"]) is None

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns = prompt_of(row, ("prompt",))
        return self.draft(row, fields, prompt, turns, (text(row, "chosen"), text(row, "rejected")))


class Alpaca(_Pair):
    """Alpaca's fields with a pair, as LLaMA-Factory writes them; also other names of the prompt beside a pair of texts."""

    name = "alpaca"
    takes = (
        "the prompt is `instruction` and `input` (after `system` and `history`, if any); "
        "the better completion is `chosen`, the worse `rejected`"
    )
    _prompts = ("instruction", "question", "query")

    def fits(self, row: Row) -> bool:
        return any(isinstance(row.get(n), str) for n in self._prompts) and _are_texts(row, "chosen", "rejected")

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        name = next((n for n in self._prompts if n in row), "instruction")
        prompt = text(row, name)
        more = row.get("input")
        if more not in (None, ""):
            prompt = f"{prompt}\n{text(row, 'input')}"
        before: list[Turn] = []
        if row.get("system") not in (None, ""):
            before.append(Turn("system", text(row, "system")))
        for exchange in row.get("history") or ():
            if isinstance(exchange, str) or not isinstance(exchange, Sequence) or len(exchange) != 2 or not _all_text(exchange):
                raise RowError(f"'history' has {shorten(exchange)}, expected pairs of a question and an answer")
            before += [Turn("user", printable(exchange[0])), Turn("assistant", printable(exchange[1]))]
        turns: tuple[Turn, ...] = ()
        if before:
            prompt, turns = prompt_and_turns([*before, Turn("user", prompt)])
        return self.draft(row, fields, prompt, turns, (text(row, "chosen"), text(row, "rejected")))


def _all_text(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)


class Messages(_Pair):
    """TRL's conversational pairs, with an explicit or an implicit prompt."""

    name = "trl-messages"
    takes = "the better conversation is `chosen`, the worse `rejected`; the prompt is `prompt` and the messages that both begin with"

    def fits(self, row: Row) -> bool:
        return all(name in row and _looks_like_messages(row[name]) for name in self.sides)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        sides = []
        for name in self.sides:
            turns = messages(row.get(name), repr(name))
            if turns is None:
                value = row.get(name)
                raise RowError(
                    f"{name!r} is {kind(value)} ({shorten(value)}), expected a list of messages with role and content"
                )
            sides.append(turns)
        shared, chosen, rejected = split_messages(*sides)
        given = row.get("prompt", row.get("instruction"))
        stated = messages(given, "'prompt'") if _looks_like_messages(given) else None
        if stated is not None and tuple(shared[: len(stated)]) != stated:
            shared = (*stated, *shared)
        prompt, kept = prompt_and_turns(shared)
        if not shared and given is not None:
            prompt, kept = prompt_of(row, ("prompt", "instruction"))
        return self.draft(row, fields, prompt, kept, (chosen, rejected))


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


class ArgillaBinarized(_Pair):
    """The layout of argilla/ultrafeedback-binarized-preferences."""

    name = "argilla_binarized"
    takes = (
        "the prompt is `instruction`; the better completion is `chosen_response`, the worse `rejected_response`, "
        "with the ratings `chosen_avg_rating` and `rejected_avg_rating`"
    )
    sides = ("chosen_response", "rejected_response")

    def fits(self, row: Row) -> bool:
        return ("instruction" in row or "prompt" in row) and _are_texts(row, *self.sides)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns = prompt_of(row, ("instruction", "prompt"))
        return self.draft(row, fields, prompt, turns, (text(row, self.sides[0]), text(row, self.sides[1])))


class ShareGpt(_Pair):
    """ShareGPT's conversations with a pair of answers, as LLaMA-Factory writes them."""

    name = "sharegpt"
    takes = "the prompt is `conversations`; the better answer is `chosen`, the worse `rejected`"
    _conversations = ("conversations", "conversation", "messages")

    def fits(self, row: Row) -> bool:
        return any(_looks_like_messages(row.get(n)) for n in self._conversations) and "chosen" in row and "rejected" in row

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        name = next((n for n in self._conversations if n in row), "conversations")
        turns = messages(row.get(name), repr(name))
        if turns is None:
            raise RowError(f"{name!r} is {kind(row.get(name))} ({shorten(row.get(name))}), expected a list of messages")
        if isinstance(row.get("system"), str) and row["system"]:
            turns = (Turn("system", text(row, "system")), *turns)
        prompt, kept = prompt_and_turns(turns)
        return self.draft(row, fields, prompt, kept, (_answer(row, "chosen"), _answer(row, "rejected")))


def _answer(row: Row, name: str) -> str:
    value = row.get(name)
    if isinstance(value, str) and not _looks_like_messages(value):
        return text(row, name)
    turns = messages(value, repr(name))
    if turns is None:
        raise RowError(f"{name!r} is {kind(value)} ({shorten(value)}), expected text or a message")
    return split_messages(turns, turns)[1]


def _shared_beginning(first: str, second: str) -> str:
    """What both texts begin with; by halving, since the comparison of whole pieces is fast."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return first[:low]


class HhRlhf(_Pair):
    """The layout of Anthropic/hh-rlhf: two whole transcripts."""

    name = "hh-rlhf"
    takes = "the better transcript is `chosen`, the worse `rejected`; both are split at the last `Assistant:` that they share"
    _answer = "\n\nAssistant:"

    def fits(self, row: Row) -> bool:
        return (
            "prompt" not in row
            and _are_texts(row, *self.sides)
            and all("\n\nHuman:" in "\n\n" + row[n] and self._answer in row[n] for n in self.sides)
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        chosen, rejected = text(row, "chosen"), text(row, "rejected")
        shared = _shared_beginning(chosen, rejected)
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


class Orca(_Pair):
    """Pairs in Orca's fields: `system` and `input` or `question`."""

    name = "orca"
    takes = (
        "the prompt is `system` and `input`; the better completion is `chosen`, the worse `rejected`; "
        "their ratings are in `rating`, if any"
    )

    def fits(self, row: Row) -> bool:
        return "instruction" not in row and "prompt" not in row and "input" in row and _are_texts(row, "chosen", "rejected")

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns = text(row, "input"), ()
        if isinstance(row.get("system"), str) and row["system"]:
            prompt, turns = prompt_and_turns((Turn("system", text(row, "system")), Turn("user", prompt)))  # type: ignore[assignment]
        pair = text(row, "chosen"), text(row, "rejected")
        draft = self.draft(row, fields, prompt, turns, pair)
        ratings = row.get("rating")
        if not fields.rating and isinstance(ratings, Sequence) and not isinstance(ratings, str) and len(ratings) == 2:
            values = [number(value, "the rating") for value in ratings]
            if None not in values:
                order = self._order(row, pair)
                draft.ratings = tuple(values[i] for i in order)
                draft.places = tuple((("rating", i),) for i in order)
        return draft

    def _order(self, row: Mapping[str, Any], pair: tuple[str, str]) -> tuple[int, int]:
        """Which of the two ratings is the chosen side's: distilabel shuffled the two before it asked the judge."""
        generations = row.get("generations")
        if isinstance(generations, Sequence) and list(generations) == [pair[1], pair[0]] and pair[0] != pair[1]:
            return 1, 0
        if not generations and row.get("order") is not None and list(row["order"]) == ["rejected", "chosen"]:
            return 1, 0
        return 0, 1


class TrlImplicit(_Pair):
    """TRL's pairs of texts without a prompt: what both begin with is the prompt."""

    name = "trl-implicit"
    takes = (
        "the better text is `chosen`, the worse `rejected`; "
        "the prompt is what both begin with, up to the last line or word that they share"
    )

    def fits(self, row: Row) -> bool:
        return _are_texts(row, "chosen", "rejected") and not any(
            n in row for n in ("prompt", "instruction", "question", "query", "input", "conversations", "messages", "context")
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        chosen, rejected = text(row, "chosen"), text(row, "rejected")
        shared = _shared_beginning(chosen, rejected)
        if shared in (chosen, rejected):
            # One is the other's beginning: the last word must stay with the completions.
            shared = shared[:-1]
        cut = max(shared.rfind("\n"), shared.rfind(" ")) + 1
        return self.draft(row, fields, chosen[:cut], (), (chosen[cut:], rejected[cut:]))
