"""Data sets on Argilla as records: managed ones, made by a push, and external ones, made by distilabel, recipes or people.

An *adapter* knows which field is the prompt, which are the completions, and what an answer to the questions says about them;
:mod:`argilla_admap.review.dataset.recognise` finds the one that fits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.formats.format import RowError
from argilla_admap.formats.rows.conversations import messages, split_messages
from argilla_admap.formats.rows.prompts import with_surroundings
from argilla_admap.records import Turn, content_id, render_turns
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.answers import BETTER, LABEL_WRONG, RatingScale, Value, question_rating, ratings_from_answer
from argilla_admap.review.dataset.layout import ReviewLayout, shown_order

__all__ = ["DatasetAdapter", "External", "Managed", "RecordTexts", "external_id"]

_ID, _ORDER = BY_COLUMN["id"].name, BY_COLUMN["order"].name


@dataclass(frozen=True, slots=True)
class RecordTexts:
    """The texts of one record."""

    prompt: str
    turns: tuple[Turn, ...]
    completions: tuple[str, ...]

    @property
    def id(self) -> str:
        """Their content hash, the id of a record that has none."""
        return content_id(self.prompt, self.completions)


# An id stands, unescaped, in a script of the review page. What could end or alter that script is written in the card's
# encoding; a plain id, which is nearly every id, stays as it is.
_UNSAFE_ID = re.compile("[<$\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u241b]|#TEMPLATE#")


def external_id(record_id: str) -> str:
    """The id as Argilla holds it: the record's own, or its encoding where it holds what could break the page."""
    return card.encode(record_id) if _UNSAFE_ID.search(record_id) else record_id


def _noted_id(item: Mapping[str, Any]) -> str | None:
    noted = (item.get("metadata") or {}).get(_ID)
    return card.decode(noted) if isinstance(noted, str) else None


def _noted_order(item: Mapping[str, Any], k: int) -> tuple[int, ...] | None:
    noted = (item.get("metadata") or {}).get(_ORDER)
    if isinstance(noted, str):
        with suppress(ValueError, TypeError):
            order = tuple(int(place) for place in orjson.loads(noted))
            return order if sorted(order) == list(range(k)) else None
    return None


@dataclass(frozen=True, slots=True)
class Managed:
    """A data set that a push made."""

    layout: ReviewLayout
    answerable: bool = True

    @property
    def blind(self) -> bool:
        """Whether the label is hidden from the reviewers."""
        return self.layout.blind

    @property
    def scale(self) -> RatingScale | None:
        """Of the rating questions; None where a choice is asked."""
        return self.layout.scale if self.layout.kind == "ratings" else None

    def record_id(self, item: Mapping[str, Any]) -> str | None:
        """The record's own id."""
        external = item.get("external_id")
        return _noted_id(item) or (None if external is None else card.decode(external))

    def completions_of(self, item: Mapping[str, Any]) -> int | None:
        """How many completions the record has; None where `texts` finds none."""
        value = item["fields"].get(card.FIELD)
        return len(value["_c"]) if isinstance(value, dict) and "_c" in value and "_p" in value else None

    def texts(self, item: Mapping[str, Any]) -> RecordTexts | None:
        """The texts, completions in the record's own order; None where somebody else added the record without a card."""
        if self.completions_of(item) is None:
            return None
        value = item["fields"][card.FIELD]
        shown = [card.decode(text) for text in value["_c"]]
        completions = [""] * len(shown)
        for place, own in enumerate(self.order(item, len(shown))):
            completions[own] = shown[place]
        return _texts(tuple(Turn(card.decode(role), card.decode(content)) for role, content in value["_p"]), completions)

    def order(self, item: Mapping[str, Any], k: int) -> tuple[int, ...]:
        """Which of the record's completions stands at each place of the page: push notes it where letters were kept."""
        return _noted_order(item, k) or shown_order(self.record_id(item) or "", k, blind=self.layout.blind, key=self.layout.key)

    def answer(self, values: Mapping[str, Any], item: Mapping[str, Any] | None = None) -> dict[str, Value]:
        """What the answer says about the label, by the names of our questions and the places of the page."""
        names = {BETTER, LABEL_WRONG, *(question_rating(i) for i in range(self.layout.k[1]))}
        return {name: value for name, value in values.items() if name in names and value is not None}

    def suggested(self, item: Mapping[str, Any], k: int) -> tuple[float | None, ...]:
        """Without a label that push noted there is none."""
        return (None,) * k


@dataclass(frozen=True, slots=True)
class External:
    """A data set that somebody else made.

    Attributes:
        prompt: the field of the prompt; None where the completions' messages hold it.
        completions: the fields of the completions.
        chosen: the place of the completion whose field's own name says that it is the better of the two.
        choices: question -> its options -> our own answer (a, b, tie, both_bad; empty where it says nothing of them).
        ratings: question -> the completion that it rates.
        ranking: question -> its options -> the completion that each names.
        scale: of the rating questions, or of the places of a ranking; None where a choice is asked.
        passed: questions that could say the label too; another was taken.
        question_named: a person named the question: its suggestions are the label, whatever a push noted.
        unread: fields that are neither the prompt nor beside it nor completions.
        question_names: the server's id of each question -> its name.
    """

    prompt: str | None
    completions: tuple[str, ...]
    chosen: int | None = None
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ratings: Mapping[str, int] = field(default_factory=dict)
    ranking: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    scale: RatingScale | None = None
    passed: tuple[str, ...] = ()
    question_named: bool = False
    unread: tuple[str, ...] = ()
    question_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def blind(self) -> bool:
        """Nothing that somebody else made hides its label for us."""
        return False

    @property
    def answerable(self) -> bool:
        """Whether a question asks about the label."""
        return bool(self.choices or self.ratings or self.ranking)

    def record_id(self, item: Mapping[str, Any]) -> str | None:
        """The record's id in the map: the one that push noted, else its own, else the hash of its texts."""
        external = item.get("external_id")
        found = _noted_id(item) or (None if external is None else str(external))
        if found is None and (texts := self.texts(item)) is not None:
            return texts.id
        return found

    def texts(self, item: Mapping[str, Any]) -> RecordTexts | None:
        """The texts, completions as their fields stand, with what stands beside the prompt (a system prompt, a context), as
        it is read from a file; None where the prompt or all completions but one are missing."""
        row: Mapping[str, Any] = item["fields"]
        values = [row[self.completions[place]] for place in self._places(item)]
        asked = row.get(self.prompt) if self.prompt is not None else None
        if len(values) < 2 or (self.prompt is not None and asked is None):
            return None
        try:
            chats = [_turns(value) for value in values]
            shared, completions = split_messages(*chats) if all(chats) else ((), [_said(turns) for turns in chats])
            completions = [text if turns else str(value) for text, turns, value in zip(completions, chats, values, strict=True)]
            if self.prompt is not None and not any(turn.role == "user" for turn in shared):
                shared = _turns(asked) or (Turn("user", str(asked)),)
            if not shared:
                return None
            taken = {*self.completions, *((self.prompt,) if self.prompt is not None else ())}
            prompt, turns = with_surroundings(dict(row), shared, taken)
        except RowError:
            return None
        return RecordTexts(prompt, turns, tuple(completions))

    def completions_of(self, item: Mapping[str, Any]) -> int | None:
        """How many completions the record has; None where `texts` finds none."""
        texts = self.texts(item)
        return None if texts is None else len(texts.completions)

    def _places(self, item: Mapping[str, Any] | None) -> tuple[int, ...]:
        """Those of the completions that the record has: a field may be optional, as distilabel's are but for the first."""
        fields = item["fields"] if item is not None else dict.fromkeys(self.completions, "")
        return tuple(place for place, name in enumerate(self.completions) if fields.get(name) not in (None, []))

    def order(self, item: Mapping[str, Any], k: int) -> tuple[int, ...]:
        """The map's completion in each field: push notes it where that is not the order of the fields."""
        return _noted_order(item, k) or tuple(range(k))

    def suggested(self, item: Mapping[str, Any], k: int) -> tuple[float | None, ...]:
        """The label where push noted none, as the fields stand: what the suggestions say; else what the fields' names say."""
        values = {self.question_names.get(str(s["question_id"]), ""): s["value"] for s in item.get("suggestions") or ()}
        empty: tuple[float | None, ...] = (None,) * k
        try:
            said = ratings_from_answer(self.answer(values, item), empty, scale=self.scale)
        except (InputError, KeyError, TypeError, ValueError):
            said = None
        if said is not None:
            return said
        return tuple(float(place == self.chosen) for place in range(2)) if self.chosen is not None and k == 2 else empty

    def answer(self, values: Mapping[str, Any], item: Mapping[str, Any] | None = None) -> dict[str, Value]:
        """What the answer says about the label, by the names of our own questions and the places of the record's completions.

        Args:
            values: by question.
            item: the record, which may lack some completions; None: it has all.

        Raises:
            InputError: an option or a rank that the question did not offer when we looked.
        """
        said: dict[str, Value] = {}
        for name, value in values.items():
            if value is None:
                continue
            if name in self.choices:
                if value not in self.choices[name]:
                    raise InputError(f"question {name!r}: the answer {value!r} is none of its options")
                if meant := self.choices[name][value]:
                    said[BETTER] = meant
            elif name in self.ratings:
                said[question_rating(self.ratings[name])] = int(value)
            elif name in self.ranking:
                said |= self._ranked(name, value)
        if len(places := self._places(item)) == len(self.completions):
            return said
        rated = {question_rating(i): said.get(question_rating(place)) for i, place in enumerate(places)}
        return {name: value for name, value in rated.items() if value is not None}

    def express(self, said: Mapping[str, Value]) -> dict[str, Any] | None:
        """The answer to the questions here that says the same; None where they cannot say it."""
        better = said.get(BETTER)
        for name, meaning in self.choices.items():
            options = [option for option, meant in meaning.items() if meant == better]
            return {name: options[0]} if options else None
        rated: list[Value | None] = [said.get(question_rating(i)) for i in range(len(self.completions))]
        if self.ratings:
            return {name: rated[place] for name, place in self.ratings.items()} if None not in rated else None
        for name, places in self.ranking.items():
            if better in ("a", "b", "tie"):
                rated = [int(better != "b"), int(better != "a")]
            if None in rated:
                return None
            ranks = [1 + sum(int(other or 0) > int(value or 0) for other in rated) for value in rated]
            return {name: [{"value": option, "rank": ranks[place]} for option, place in places.items()]}
        return None

    def _ranked(self, name: str, value: Any) -> dict[str, Value]:
        # The SDK takes a ranking as an ordered list, best first, and the server keeps it without ranks.
        in_order = all(item.get("rank") is None for item in value)
        ranks = {
            self.ranking[name].get(item["value"]): place if in_order else item.get("rank")
            for place, item in enumerate(value, 1)
        }
        if None in ranks or any(rank is None for rank in ranks.values()) or len(ranks) != len(self.completions):
            raise InputError(f"question {name!r}: the answer {value!r} does not rank each completion")
        places = [int(ranks[i] or 0) for i in range(len(ranks))]
        if len(places) == 2:
            first, second = places
            return {BETTER: "tie" if first == second else "a" if first < second else "b"}
        return {question_rating(i): len(places) + 1 - place for i, place in enumerate(places)}


DatasetAdapter = Managed | External


def _texts(turns: tuple[Turn, ...], completions: Sequence[str]) -> RecordTexts:
    single = len(turns) == 1 and turns[0].role == "user"
    return RecordTexts(render_turns(turns), () if single else turns, tuple(completions))


def _said(turns: tuple[Turn, ...]) -> str:
    return turns[-1].content if turns else ""


def _turns(value: Any) -> tuple[Turn, ...]:
    """The messages of a chat field's value; empty for any other value. Raises RowError where a message cannot be shown."""
    return (messages(value) or ()) if isinstance(value, list) else ()
