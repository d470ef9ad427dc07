"""Data sets on Argilla as records: managed ones, made by a push, and external ones, made by distilabel, recipes or people.

An *adapter* knows which field is the prompt, which are the completions, and what an answer to the questions says about them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.formats.format import RowError
from argilla_admap.formats.rows.conversations import messages
from argilla_admap.records import Turn, content_id, render_turns
from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.answers import BETTER, LABEL_WRONG, RatingScale, Value, question_rating, ratings_from_answer
from argilla_admap.review.dataset.layout import ReviewLayout, managed_layout, shown_order

__all__ = ["DatasetAdapter", "External", "Managed", "RecordTexts", "adapter_for", "external_id"]

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

    def texts(self, item: Mapping[str, Any]) -> RecordTexts | None:
        """The texts, completions in the record's own order; None where somebody else added the record without a card."""
        value = item["fields"].get(card.FIELD)
        if not isinstance(value, dict) or "_c" not in value or "_p" not in value:
            return None
        shown = [card.decode(text) for text in value["_c"]]
        completions = [""] * len(shown)
        for place, own in enumerate(self.order(item, len(shown))):
            completions[own] = shown[place]
        return _texts(tuple(Turn(card.decode(role), card.decode(content)) for role, content in value["_p"]), completions)

    def order(self, item: Mapping[str, Any], k: int) -> tuple[int, ...]:
        """Which of the record's completions stands at each place of the page: push notes it where letters were kept."""
        return _noted_order(item, k) or shown_order(self.record_id(item) or "", k, blind=self.layout.blind, key=self.layout.key)

    def answer(self, values: Mapping[str, Any]) -> dict[str, Value]:
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
        labelled: the fields' own names tell the label: chosen before rejected.
        choices: question -> its options -> our own answer (a, b, tie, both_bad).
        ratings: question -> the completion that it rates.
        ranking: question -> its options -> the completion that each names.
        scale: of the rating questions, or of the places of a ranking; None where a choice is asked.
        question_names: the server's id of each question -> its name.
    """

    prompt: str | None
    completions: tuple[str, ...]
    labelled: bool = False
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ratings: Mapping[str, int] = field(default_factory=dict)
    ranking: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    scale: RatingScale | None = None
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
        """The texts, completions as their fields stand; None where one is missing."""
        values = [item["fields"].get(name) for name in self.completions]
        asked = item["fields"].get(self.prompt) if self.prompt is not None else ()
        if asked is None or any(value is None for value in values):
            return None
        try:
            chats = [_turns(value) for value in values]
            prompt = (_turns(asked) or (Turn("user", str(asked)),)) if self.prompt is not None else chats[0][:-1]
        except RowError:
            return None
        completions = [turns[-1].content if turns else str(value) for turns, value in zip(chats, values, strict=True)]
        return _texts(prompt, completions)

    def order(self, item: Mapping[str, Any], k: int) -> tuple[int, ...]:
        """The map's completion in each field: push notes it where that is not the order of the fields."""
        return _noted_order(item, k) or tuple(range(k))

    def suggested(self, item: Mapping[str, Any], k: int) -> tuple[float | None, ...]:
        """The label where push noted none, as the fields stand: what the suggestions say; else what the fields' names say."""
        values = {self.question_names.get(str(s["question_id"]), ""): s["value"] for s in item.get("suggestions") or ()}
        empty: tuple[float | None, ...] = (None,) * k
        try:
            said = ratings_from_answer(self.answer(values), empty, scale=self.scale)
        except (InputError, KeyError, TypeError, ValueError):
            said = None
        if said is not None:
            return said
        return (1.0, 0.0) if self.labelled and k == 2 else empty

    def answer(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """What the answer says about the label, by the names of our own questions and the places of the fields.

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
                said[BETTER] = self.choices[name][value]
            elif name in self.ratings:
                said[question_rating(self.ratings[name])] = int(value)
            elif name in self.ranking:
                said |= self._ranked(name, value)
        return said

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


def _turns(value: Any) -> tuple[Turn, ...]:
    """The messages of a chat field's value; empty for any other value. Raises RowError where a message cannot be shown."""
    return (messages(value) or ()) if isinstance(value, list) else ()


# --- recognising ----------------------------------------------------------------------------------------------------------

_PROMPTS = ["prompt", "instruction", "question", "query", "input", "user", "messages", "conversation", "context"]
_PROMPTS += ["chat", "history"]
_PAIRS = (("chosen", "rejected"), ("chosenresponse", "rejectedresponse"), ("responsechosen", "responserejected"))
_NUMBERED = re.compile(r"(responses?|completions?|generations?|answers?|outputs?|candidates?|models?|texts?)(\d+|[a-z])")
_TIES = {"tie", "tied", "equal", "same", "both", "draw", "bothgood", "equallygood", "neutral", "nopreference"}
_BAD = {"bothbad", "neither", "none", "bothbadly", "equallybad", "tiebothbad"}
_FIRST = {"a", "1", "first", "left", "chosen"}
_SECOND = {"b", "2", "second", "right", "rejected"}


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def adapter_for(
    dataset: RemoteDataset,
    *,
    prompt_field: str | None = None,
    completion_fields: Sequence[str] = (),
    rating_question: str | None = None,
) -> DatasetAdapter:
    """How to read the data set.

    Args:
        dataset: as it stands on the server.
        prompt_field, completion_fields: their names, where they are not recognised.
        rating_question: the question whose answers are the label; of several rating questions, what their names begin with.

    Raises:
        InputError: fields or a question that are not there, or that are not recognised; the message lists them.
    """
    managed = None if prompt_field or completion_fields else managed_layout(dataset)
    if managed is not None:
        return Managed(managed)
    names = [str(f["name"]) for f in dataset.fields]
    listed = ", ".join(names) or "none"
    for name in (*completion_fields, *((prompt_field,) if prompt_field else ())):
        if name not in names:
            raise InputError(f"{dataset.full_name} has no field {name!r}; its fields are {listed}")
    completions, labelled = (tuple(completion_fields), False) if completion_fields else _completion_fields(names)
    if len(completions) < 2:
        raise InputError(
            f"{dataset.full_name}: its fields ({listed}) do not say which are the completions",
            hint="name the prompt with `prompt_field` and each completion with `completion_field`",
        )
    if len({_bare(name) for name in completions} & {"chosen", "chosenresponse"}) and len(completions) == 2:
        labelled = True
    bare = {_bare(name): name for name in names if name not in completions}
    prompt = prompt_field or next((bare[word] for word in _PROMPTS if word in bare), None)
    chats = {str(f["name"]) for f in dataset.fields if f["settings"].get("type") == "chat"}
    if prompt is None and not set(completions) <= chats:
        raise InputError(
            f"{dataset.full_name}: its fields ({listed}) do not say which is the prompt", hint="name it with `prompt_field`"
        )
    names_by_id = {str(question["id"]): str(question["name"]) for question in dataset.questions if "id" in question}
    found = External(prompt, completions, labelled, question_names=names_by_id)
    return _with_questions(found, dataset, rating_question)


def _completion_fields(names: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    bare = {_bare(name): name for name in names}
    for first, second in _PAIRS:
        if first in bare and second in bare:
            return (bare[first], bare[second]), True
    families: dict[str, list[tuple[int, str, str]]] = {}
    for word, name in bare.items():
        if match := _NUMBERED.fullmatch(word):
            stem, place = match.groups()
            families.setdefault(stem, []).append((int(place) if place.isdigit() else ord(place), place, name))
    best = max(families.values(), key=len, default=[])
    return tuple(name for _, _, name in sorted(best)), False


def _with_questions(adapter: External, dataset: RemoteDataset, wanted: str | None) -> External:
    questions = {str(q["name"]): q["settings"] for q in dataset.questions}
    listed = ", ".join(questions) or "none"
    if wanted is not None and not any(name == wanted or name.startswith(wanted) for name in questions):
        raise InputError(f"{dataset.full_name} has no question {wanted!r}; its questions are {listed}")
    chosen = {
        name: settings
        for name, settings in questions.items()
        if wanted is None or name == wanted or (settings["type"] == "rating" and name.startswith(wanted))
    }
    ratings = _rating_questions(chosen, adapter.completions)
    choices: dict[str, Mapping[str, str]] = {}
    ranking: dict[str, Mapping[str, int]] = {}
    for name, settings in chosen.items():
        options = [str(option["value"]) for option in settings.get("options") or []]
        if settings["type"] == "label_selection" and len(adapter.completions) == 2:
            meaning = {option: _choice(option, adapter.completions) for option in options}
            if {"a", "b"} <= set(meaning.values()) and None not in meaning.values():
                choices[name] = {option: said for option, said in meaning.items() if said}
        elif settings["type"] == "ranking":
            places = {option: _place(option, adapter.completions, options) for option in options}
            if sorted(p for p in places.values() if p is not None) == list(range(len(adapter.completions))):
                ranking[name] = {option: place for option, place in places.items() if place is not None}
    if wanted is not None and not (ratings or choices or ranking):
        raise InputError(
            f"{dataset.full_name}: the answers to {wanted!r} do not say how good each of {', '.join(adapter.completions)} is",
            hint=f"its questions are {listed}",
        )
    # One way to answer: a question about the whole record before ratings of its parts, the first of several.
    if choices:
        return replace(adapter, choices=dict([next(iter(choices.items()))]))
    if ranking:
        k = len(adapter.completions)
        scale = RatingScale(tuple(range(1, k + 1)), 1.0, float(k), places=True)
        return replace(adapter, ranking=dict([next(iter(ranking.items()))]), scale=scale)
    if ratings:
        asked = [int(option["value"]) for option in questions[next(iter(ratings))]["options"]]
        return replace(adapter, ratings=ratings, scale=RatingScale.identity(asked))
    return adapter


def _rating_questions(questions: Mapping[str, Mapping[str, Any]], completions: Sequence[str]) -> dict[str, int]:
    """The questions that rate one completion each, with the place of that completion; empty unless each has one."""
    rated = [name for name, settings in questions.items() if settings["type"] == "rating"]
    found: dict[str, int] = {}
    for name in rated:
        bare = _bare(name)
        # distilabel: generations-0-rating; others: rating-1, rating_a, quality_response_1.
        own = [i for i, completion in enumerate(completions) if _bare(completion) in bare]
        if len(own) == 1 and own[0] not in found.values():
            found[name] = own[0]
    if len(found) == len(completions):
        return found
    ends = {name: match.group(1) for name in rated if (match := re.search(r"(\d+|(?<=[\W_])[a-zA-Z])$", name))}
    if len(ends) != len(completions):
        return {}
    ordered = sorted(ends, key=lambda name: (int(ends[name]), "") if ends[name].isdigit() else (0, ends[name].lower()))
    return {name: place for place, name in enumerate(ordered)}


def _choice(option: str, completions: Sequence[str]) -> str | None:
    bare = _bare(option)
    names = [_bare(name) for name in completions]
    if bare in _TIES:
        return "tie"
    if bare in _BAD:
        return "both_bad"
    for place, said in enumerate("ab"):
        if bare == names[place] or bare in (_FIRST, _SECOND)[place]:
            return said
    numbered = _NUMBERED.fullmatch(bare)
    if numbered is None:
        return None
    return "a" if numbered[2] in _FIRST else "b" if numbered[2] in _SECOND else None


def _place(option: str, completions: Sequence[str], options: Sequence[str]) -> int | None:
    bare, names = _bare(option), [_bare(name) for name in completions]
    if bare in names:
        return names.index(bare)
    # Options that are numbered as the fields are, under another word: response-1 for generation-1.
    return list(options).index(option) if _NUMBERED.fullmatch(bare) or bare.isdigit() or len(bare) == 1 else None
