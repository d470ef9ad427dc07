"""Lists of completions in objects: the plain format, UltraFeedback, Nectar, and lists of completions of any make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.formats.format import Draft, Edit, FieldNames, Row, RowError, RowFormat
from argilla_admap.formats.rows.conversations import messages, prompt_and_turns, said
from argilla_admap.formats.rows.prompts import PROMPTS, prompt_of
from argilla_admap.formats.rows.ratings import RANKS, item_ratings, put_ratings, rate, settle_order
from argilla_admap.formats.rows.row_label import settle_rating
from argilla_admap.formats.values import (
    as_text,
    fields_of,
    find,
    found_id,
    found_source,
    in_backticks,
    listing,
    number,
    optional_text,
    seen,
    shorten,
    unpacked_list,
)

__all__ = ["LISTS", "TEXT_FIELDS", "Completions", "Nectar", "Plain", "UltraFeedback", "completion_text", "list_field"]

TEXT_FIELDS = ("text", "response", "completion", "output", "content", "answer", "generation", "message", "generated_text")
#: Fields that hold a list of completions.
LISTS = ("completions", "generations", "responses", "answers", "outputs", "candidates", "replies", "samples")


def list_field(row: Row) -> str:
    """The row's field with the list of completions."""
    return next((n for n in LISTS if row.get(n) not in (None, "")), LISTS[0])


def completion_text(value: object, what: str) -> str:
    """A completion in a list: a text, messages, or an object with one of these in it."""
    turns = messages(value, what) if not isinstance(value, str) or value.lstrip()[:1] in ("[", "{") else None
    if turns is not None:
        return said(turns)
    if isinstance(value, Mapping):
        for name in TEXT_FIELDS:
            if value.get(name) is not None:
                return completion_text(value[name], f"{name!r} of {what}")
    return as_text(value, what)


def objects(row: Row, name: str) -> list[Mapping[str, Any]]:
    """The field's list of at least two objects, one for each completion."""
    if name not in row:
        raise RowError(f"{name!r} is missing; the row has {fields_of(row)}")
    items = listing(row[name], repr(name))
    for position, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise RowError(f"completion {position + 1} is {seen(item)}, expected an object")
    if len(items) < 2:
        raise RowError(f"{name!r} holds {len(items)} completion{'s' * (len(items) != 1)}, and a comparison needs two or more")
    return list(items)


def texts(items: Sequence[Mapping[str, Any]], name: str) -> tuple[str, ...]:
    """The text of each completion's object."""
    for position, item in enumerate(items):
        if name not in item:
            raise RowError(
                f"completion {position + 1} has no {name!r}; it has {', '.join(map(shorten, list(item)[:12])) or 'nothing'}"
            )
    return tuple(as_text(item[name], f"{name!r} of completion {position + 1}") for position, item in enumerate(items))


def _models(items: Sequence[Mapping[str, Any]]) -> tuple[str | None, ...]:
    return tuple(optional_text(item.get("model")) for item in items)


def _first_object(row: Row, name: str) -> Mapping[str, Any]:
    value = unpacked_list(row.get(name))
    return value[0] if value and isinstance(value[0], Mapping) else {}


def _items(row: Row, name: str = "completions") -> list[Mapping[str, Any]]:
    return [item for item in unpacked_list(row.get(name)) if isinstance(item, Mapping)]


#: What the rating of a completion's object is called, the first that is there is taken.
_RATINGS = ("rating", "score", "overall_score", "reward", "label", "grade", "preference_score", "pm_score", *RANKS)


class Plain(RowFormat):
    """Our own format."""

    name = "plain"
    takes = "the prompt is `prompt`; the completions, their ratings and scores are in `completions`"

    def fits(self, row: Row) -> bool:
        first = _first_object(row, "completions")
        # A label of another name is not ours.
        ours = bool({"rating", "scores"} & set(first)) or not any(name in first for name in _RATINGS)
        return "prompt" in row and "text" in first and ours

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        return settle_rating(sample, fields)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        items = objects(row, "completions")
        prompt, turns = prompt_of(row, ("prompt",))
        if row.get("turns") not in (None, ""):
            prompt, turns = prompt_and_turns(messages(row["turns"], "'turns'") or ())
        ratings, places = item_ratings(row, fields, items, "completions", () if fields.rating else ("rating",))
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=texts(items, "text"),
            models=_models(items),
            samples=tuple(_samples(item.get("scores"), position) for position, item in enumerate(items)),
            reasons=tuple(optional_text(item.get("reason")) for item in items),
            id=found_id(row, fields),
            source=found_source(row, fields),
            judge=optional_text(row.get("judge")),
            reference=optional_text(row.get("reference")),
        )
        rate(draft, ratings, places, fields)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return put_ratings(row, draft, ratings)


def _samples(value: object, position: int) -> tuple[float | None, ...]:
    if value is None:
        return ()
    what, hint = f"'scores' of completion {position + 1}", "a score that the judge did not give is null"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(number(sample, what, hint) for sample in value)
    return (number(value, what, hint),)


class UltraFeedback(RowFormat):
    """The layout of openbmb/UltraFeedback: each completion with its ratings by aspect and its overall score.

    The label is `overall_score` where the file has it: it is the one number that the annotator gave the whole completion.
    The mean of the aspects (`fine-grained_score`, or computed from the `Rating` values) is the label where it is absent, or
    when `fine-grained_score` or `annotations` is named as the rating's field. The annotator gave both, so the one that is not
    the label is a judge's score that the data carry: where the two contradict each other, one is wrong.
    """

    name = "ultrafeedback"
    takes = "the prompt is `instruction`; the completions are `completions[].response`"

    def fits(self, row: Row) -> bool:
        first = _first_object(row, "completions")
        return (
            "instruction" in row
            and "response" in first
            and (bool({"overall_score", "fine-grained_score"} & set(first)) or self._aspects([row]) != ("overall_score",))
        )

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        if fields.rating:
            named = {"annotations": self._aspects(sample)} if "annotations" in fields.rating else {}
            fields = replace(fields, rating=tuple(n for name in fields.rating for n in named.get(name, (name,))))
            return settle_rating(sample, fields)
        items = [item for row in sample for item in _items(row)]
        for name in ("overall_score", "fine-grained_score"):
            if any(item.get(name) is not None for item in items):
                return replace(fields, rating=(name,))
        return replace(fields, rating=self._aspects(sample))

    def _aspects(self, sample: Sequence[Row]) -> tuple[str, ...]:
        aspects: dict[str, None] = {}
        for row in sample:
            for item in _items(row):
                annotations = item.get("annotations")
                if isinstance(annotations, Mapping):
                    aspects.update(dict.fromkeys(a for a, v in annotations.items() if isinstance(v, Mapping) and "Rating" in v))
        return tuple(f"annotations.{aspect}.Rating" for aspect in aspects) or ("overall_score",)

    def describe(self, fields: FieldNames) -> str:
        scores = "the mean of the aspects" if _overall(fields) else "`overall_score`"
        return f"{self.takes}; the label is {_mean_of(fields.rating)}; the scores that the data carry are {scores}"

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        items = objects(row, "completions")
        prompt, turns = prompt_of(row, ("instruction",))
        other = _mean_aspect if _overall(fields) else _overall_score
        given = [other(item) for item in items]
        ratings, places = item_ratings(row, fields, items, "completions", ())
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=texts(items, "response"),
            samples=tuple(() if score is None else (score,) for score in given),
            judge=None if given.count(None) == len(given) else _AGAINST[_overall(fields)],
            models=_models(items),
            reasons=tuple(optional_text(item.get("critique")) for item in items),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )
        rate(draft, ratings, places, fields)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return put_ratings(row, draft, ratings)


#: The judge's name where the label is the overall score, or is not.
_AGAINST = {True: "the data's ratings by aspect", False: "the data's overall_score"}


def _overall(fields: FieldNames) -> bool:
    return "overall_score" in fields.rating


def _overall_score(item: Mapping[str, Any]) -> float | None:
    return _readable(item.get("overall_score"))


def _mean_aspect(item: Mapping[str, Any]) -> float | None:
    """The mean of the aspects, as the file has it or as its ratings give it."""
    told = _readable(item.get("fine-grained_score"))
    annotations = item.get("annotations")
    if told is not None or not isinstance(annotations, Mapping):
        return told
    found = [_readable(aspect.get("Rating")) for aspect in annotations.values() if isinstance(aspect, Mapping)]
    known = [rating for rating in found if rating is not None]
    return sum(known) / len(known) if known else None


def _readable(value: object) -> float | None:
    """The number, where there is one: what is not the label does not make a row bad."""
    try:
        return number(value, "a score")
    except RowError:
        return None


def _mean_of(names: Sequence[str]) -> str:
    listed = in_backticks(names)
    return listed if len(names) == 1 else f"the mean of {listed}"


class Completions(RowFormat):
    """A prompt and a list of completions' objects of any make, such as FLASK's; a reference answer where there is one."""

    name = "completions"
    takes = "the prompt is `prompt` or `instruction`; the completions and their ratings, if any, are in a list of objects"
    _ratings: Sequence[str] = _RATINGS
    _texts: Sequence[str] = TEXT_FIELDS

    def fits(self, row: Row) -> bool:
        first = _first_object(row, list_field(row))
        return any(n in first for n in self._texts) and any(n in row for n in PROMPTS)

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        items = [item for row in sample for item in _items(row, list_field(row))]
        if not fields.rating:
            name = next((n for n in self._ratings if any(item.get(n) is not None for item in items)), None)
            value = next((item[name] for item in items if name and item.get(name) is not None), None)
            if isinstance(value, Mapping):
                # A score in parts: the whole where one part is that, else the mean of all numbers.
                parts = [n for n, part in value.items() if isinstance(part, (int, float))]
                whole = [n for n in ("overall", "total", "score", "value", "rating") if n in parts]
                fields = replace(fields, rating=tuple(f"{name}.{part}" for part in whole[:1] or parts))
            elif name:
                fields = replace(fields, rating=(name,))
        if not fields.rating:
            beside = next((n for n in LABEL_LISTS if any(unpacked_list(row.get(n)) for row in sample)), None)
            fields = replace(fields, rating=(beside,) if beside else ())
        elif not any(find(item, n) for item in [*items, *sample] for n in fields.rating):
            raise InputError(
                f"{', '.join(map(repr, fields.rating))} is neither in the completions nor beside them; the first has "
                f"{fields_of(items[0]) if items else 'no fields'}",
                option="rating_field",
            )
        values = [
            [v for item in _items(row, list_field(row)) for n in fields.rating for _, v in find(item, n)] for row in sample
        ]
        if not any(values):
            return settle_rating(sample, fields)
        return settle_order(fields, values)

    def describe(self, fields: FieldNames) -> str:
        what = "the ratings are" if fields.order != "lower" else "the lowest number is the best in"
        label = f"{what} {_mean_of(fields.rating)}" if fields.rating else "there is no label"
        return f"the prompt is `prompt` or `instruction`; the completions are a list of objects; {label}"

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        base = list_field(row)
        items = objects(row, base)
        prompt, turns = prompt_of(row, taken=(base,))
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=tuple(completion_text(item, f"completion {n}") for n, item in enumerate(items, 1)),
            models=_models(items),
            reasons=tuple(optional_text(item.get("reason") or item.get("critique")) for item in items),
            id=found_id(row, fields),
            source=found_source(row, fields),
            reference=optional_text(row.get("reference") or row.get("reference_answer")),
        )
        rate(draft, *item_ratings(row, fields, items, base, self._ratings[:1]), fields)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return put_ratings(row, draft, ratings)


#: Lists of labels beside a list of completions.
LABEL_LISTS = (
    *("ratings", "rating", "scores", "score", "rewards", "reward", "reward_scores", "overall_scores", "grades", "votes"),
    *(*RANKS, "labels"),
)


class Nectar(Completions):
    """The layout of berkeley-nest/Nectar: answers with ranks, where 1 is the best."""

    name = "nectar"
    takes = "the prompt is `prompt`; the completions are `answers[].answer`; the rating is K + 1 minus `rank`: the best has K"
    _ratings = ("rank",)

    def fits(self, row: Row) -> bool:
        first = _first_object(row, "answers")
        return "prompt" in row and "answer" in first and bool(find(first, "rank"))

    def describe(self, fields: FieldNames) -> str:
        return super().describe(fields) if fields.order == "higher" else self.takes

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        draft = super().parse_row(row, fields)
        draft.prompt = _without_turn_marks(draft.prompt)
        return draft


def _without_turn_marks(prompt: str) -> str:
    """Nectar wraps every prompt of one turn in a transcript's marks."""
    inner = prompt.removeprefix("\n\nHuman: ").removesuffix("\n\nAssistant: ").removesuffix("\n\nAssistant:")
    return inner if "\n\nAssistant:" not in inner and "\n\nHuman:" not in inner else prompt.strip()
