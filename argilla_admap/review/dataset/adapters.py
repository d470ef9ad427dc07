"""Data sets on Argilla as records: our own layouts, and those that distilabel, Argilla's recipes or people made.

A *adapter* knows which field is the prompt, which are the completions, and what an answer to the questions says about them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.records import Turn, content_id, render_turns
from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.layout import BETTER, ReviewLayout, question_rating, recognise, shown_order
from argilla_admap.review.pull.resolve import Value

__all__ = ["DatasetAdapter", "External", "Managed", "RecordTexts", "adapter_for", "external_id", "record_id_of_external"]


@dataclass(frozen=True, slots=True)
class RecordTexts:
    """The texts of one record, completions in the record's own order."""

    prompt: str
    turns: tuple[Turn, ...]
    completions: tuple[str, ...]

    @property
    def id(self) -> str:
        """The content hash of them, the id of a record that has none."""
        return content_id(self.prompt, self.completions)


# An id stands, unescaped, in a script of the review page. What could end or alter that script is written in the card's
# encoding; a plain id, which is nearly every id, stays as it is.
_UNSAFE_ID = re.compile("[<$\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u241b]|#TEMPLATE#")


def external_id(record_id: str) -> str:
    """The id as Argilla holds it: the record's own, or its encoding where it holds what the page could stumble over."""
    return card.encode(record_id) if _UNSAFE_ID.search(record_id) else record_id


def record_id_of_external(external: str) -> str:
    """The record's id of an external id that `external_id` made."""
    return card.decode(external)


@dataclass(frozen=True, slots=True)
class Managed:
    """A data set that we made."""

    layout: ReviewLayout
    answerable: bool = True

    def texts(self, fields: Mapping[str, Any], record_id: str) -> RecordTexts | None:
        """The texts in the card's field; None where somebody else added the record without it."""
        value = fields.get(card.FIELD)
        if not isinstance(value, dict) or "_c" not in value or "_p" not in value:
            return None
        shown = [card.decode(text) for text in value["_c"]]
        completions = [""] * len(shown)
        for place, own in enumerate(self.order(record_id, len(shown))):
            completions[own] = shown[place]
        turns = tuple(Turn(card.decode(role), card.decode(content)) for role, content in value["_p"])
        return RecordTexts(render_turns(turns), () if _single(turns) else turns, tuple(completions))

    def order(self, record_id: str, k: int) -> tuple[int, ...]:
        """Which of the record's completions stands at each place of the page."""
        return shown_order(record_id, k, blind=self.layout.blind)

    def answer(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """What the answer says about the label, by the names of our own questions."""
        names = {BETTER, *(question_rating(i) for i in range(self.layout.k[1]))}
        return {name: value for name, value in values.items() if name in names and value is not None}


@dataclass(frozen=True, slots=True)
class External:
    """A data set that somebody else made.

    Attributes:
        prompt: the field of the prompt; None where the completions' messages hold it.
        completions: the fields of the completions.
        labelled: the label that the fields' own names tell: chosen before rejected.
        choices: question -> its options -> our own answer (a, b, tie, both_bad).
        ratings: question -> the completion that it rates.
        ranking: question -> its options -> the completion that each names.
    """

    prompt: str | None
    completions: tuple[str, ...]
    labelled: bool = False
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ratings: Mapping[str, int] = field(default_factory=dict)
    ranking: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def answerable(self) -> bool:
        """Whether a question asks about the label."""
        return bool(self.choices or self.ratings or self.ranking)

    def texts(self, fields: Mapping[str, Any], record_id: str) -> RecordTexts | None:
        """The texts in the fields; None where one is missing."""
        values = [fields.get(name) for name in self.completions]
        if any(value is None for value in values):
            return None
        chats = [_turns(value) for value in values]
        completions = tuple(turns[-1].content if turns else str(value) for turns, value in zip(chats, values, strict=True))
        if self.prompt is None:
            turns = chats[0][:-1]
        else:
            value = fields.get(self.prompt)
            if value is None:
                return None
            turns = _turns(value) or (Turn("user", str(value)),)
        return RecordTexts(render_turns(turns), () if _single(turns) else turns, completions)

    def order(self, record_id: str, k: int) -> tuple[int, ...]:
        """The fields stand in the record's own order."""
        return tuple(range(k))

    def answer(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """What the answer says about the label, by the names of our own questions.

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
        ranks = {self.ranking[name].get(item["value"]): item.get("rank") for item in value}
        if None in ranks or any(rank is None for rank in ranks.values()) or len(ranks) != len(self.completions):
            raise InputError(f"question {name!r}: the answer {value!r} does not rank each completion")
        places = [int(ranks[i] or 0) for i in range(len(ranks))]
        if len(places) == 2:
            first, second = places
            return {BETTER: "tie" if first == second else "a" if first < second else "b"}
        return {question_rating(i): len(places) + 1 - place for i, place in enumerate(places)}


DatasetAdapter = Managed | External


def _single(turns: Sequence[Turn]) -> bool:
    return len(turns) == 1 and turns[0].role == "user"


def _turns(value: Any) -> tuple[Turn, ...]:
    """The messages of a chat field's value; empty for any other value."""
    if not isinstance(value, list):
        return ()
    return tuple(Turn(str(item.get("role", "")), str(item.get("content", ""))) for item in value if isinstance(item, dict))


# --- recognising ----------------------------------------------------------------------------------------------------------

_PROMPTS = (
    "prompt",
    "instruction",
    "question",
    "query",
    "input",
    "user",
    "messages",
    "conversation",
    "context",
    "chat",
    "history",
)
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
        prompt_field, completion_fields: by hand, where they are not recognised.
        rating_question: the question whose answers are the label; of several rating questions, what their names begin with.

    Raises:
        InputError: fields or a question that are not there, or that are not recognised; the message lists them.
    """
    own = None if prompt_field or completion_fields else managed_layout(dataset)
    if own is not None:
        return Managed(own)
    names = [str(f["name"]) for f in dataset.fields]
    listed = ", ".join(names) or "none"
    for name in (*completion_fields, *((prompt_field,) if prompt_field else ())):
        if name not in names:
            raise InputError(f"{dataset.full_name} has no field {name!r}; its fields are {listed}")
    completions, labelled = (tuple(completion_fields), False) if completion_fields else _completion_fields(names)
    if len(completions) < 2:
        raise InputError(
            f"{dataset.full_name}: its fields ({listed}) do not say which are the completions; "
            "name the prompt with --prompt-field and each completion with --completion-field"
        )
    if len({_bare(name) for name in completions} & {"chosen", "chosenresponse"}) and len(completions) == 2:
        labelled = True
    bare = {_bare(name): name for name in names if name not in completions}
    prompt = prompt_field or next((bare[word] for word in _PROMPTS if word in bare), None)
    chats = {str(f["name"]) for f in dataset.fields if f["settings"].get("type") == "chat"}
    if prompt is None and not set(completions) <= chats:
        raise InputError(
            f"{dataset.full_name}: its fields ({listed}) do not say which is the prompt; name it with --prompt-field"
        )
    return _with_questions(External(prompt, completions, labelled), dataset, rating_question)


def managed_layout(dataset: RemoteDataset) -> ReviewLayout | None:
    """The layout of a data set that we made; None for any other, whatever its names are."""
    if not any(f["name"] == card.FIELD and f["settings"].get("type") == "custom" for f in dataset.fields):
        return None
    scale: list[dict[str, Any]] = next(
        (q["settings"]["options"] for q in dataset.questions if q["settings"].get("type") == "rating"), []
    )
    layout = recognise({str(q["name"]) for q in dataset.questions}, [int(option["value"]) for option in scale])
    stored = dataset.info.get("admap", {}).get("layout") if layout else None
    if layout is None or not isinstance(stored, dict):
        return layout
    low, high = stored.get("k", layout.k)
    return ReviewLayout(layout.kind, bool(stored.get("blind", layout.blind)), (int(low), int(high)), layout.scale)


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
            f"{dataset.full_name}: the answers to {wanted!r} do not say how good each of {', '.join(adapter.completions)} is; "
            f"its questions are {listed}"
        )
    # One way to answer: a question about the whole record before ratings of its parts, the first of several.
    if choices:
        first = next(iter(choices))
        return _answered(adapter, choices={first: choices[first]})
    if ranking:
        first = next(iter(ranking))
        return _answered(adapter, ranking={first: ranking[first]})
    return _answered(adapter, ratings=ratings)


def _answered(adapter: External, **answers: Any) -> External:
    return External(adapter.prompt, adapter.completions, adapter.labelled, **answers)


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
