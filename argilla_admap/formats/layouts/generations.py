"""Lists of texts with lists of ratings beside them, as distilabel writes them; and fields that were named by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.formats.format import Draft, Edit, FieldNames, Path, Put, Row, RowError, RowFormat
from argilla_admap.formats.layouts.pairs import correct_pair
from argilla_admap.formats.layouts.plain import TEXT_FIELDS, prompt_of
from argilla_admap.formats.values import (
    as_text,
    at,
    decoded,
    find,
    found_id,
    found_source,
    listing,
    look,
    messages,
    number,
    optional_text,
    prompt_and_turns,
    put_ratings,
    ratings_by_field,
    seen,
    split_messages,
    written_like,
)
from argilla_admap.records import Turn

__all__ = ["ByFields", "Distilabel", "OwnTable"]


def _aligned(row: Row, names: Sequence[str], k: int) -> tuple[tuple[str, Sequence[Any]], ...]:
    """The first of these fields that the row has and is not null, as a list of K values."""
    for name in names:
        if row.get(name) not in (None, ""):
            values = listing(row[name], repr(name))
            if len(values) != k:
                raise RowError(f"{name!r} has {len(values)} values for {k} completions")
            return ((name, values),)
    return ()


class Distilabel(RowFormat):
    """The layout of distilabel's preference tasks."""

    name = "distilabel"
    takes = (
        "the prompt is `instruction` or `prompt`; the completions are a list of texts such as `generations`; "
        "their ratings are the list `ratings` beside it"
    )
    _prompts = ("instruction", "prompt", "question", "input", "messages", "conversation")
    _lists = ("generations", "completions", "responses", "answers", "outputs", "candidates")

    def fits(self, row: Row) -> bool:
        value = row.get(self._list(row))
        is_list = isinstance(decoded(value), list) if isinstance(value, str) else isinstance(value, Sequence)
        return is_list and any(n in row for n in self._prompts)

    def _list(self, row: Row) -> str:
        return next((n for n in self._lists if n in row), self._lists[0])

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        name = self._list(row)
        generations = listing(row.get(name), repr(name))
        k = len(generations)
        if k < 2:
            raise RowError(f"{name!r} holds {k} completion{'s' * (k != 1)}, and a comparison needs two or more")
        prompt, turns = prompt_of(row, self._prompts)
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=tuple(_text_of(item, n) for n, item in enumerate(generations, 1)),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )
        if fields.rating:
            draft.ratings, draft.places = ratings_by_field(row, fields, k)
        else:
            draft.ratings, draft.places = (None,) * k, tuple((("ratings", i),) for i in range(k))
            for name, values in _aligned(row, ("ratings", "rating", "scores"), k):
                draft.ratings = tuple(number(value, "the rating") for value in values)
                draft.places = tuple(((name, i),) for i in range(k))
        for _, values in _aligned(row, ("rationales", "rationale"), k):
            draft.reasons = tuple(optional_text(value) for value in values)
        for _, values in _aligned(row, ("generation_models", "models", "model_names", "generation_model"), k):
            draft.models = tuple(optional_text(value) for value in values)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return put_in_lists(row, draft, ratings)


def _text_of(value: object, position: int) -> str:
    """A completion in a list: a text, messages, or an object with a text in it."""
    if isinstance(value, str):
        return as_text(value, f"completion {position}")
    turns = messages(value, f"completion {position}")
    if turns is not None:
        return split_messages(turns, turns)[1]
    if isinstance(value, Mapping):
        for name in TEXT_FIELDS:
            if isinstance(value.get(name), str):
                return as_text(value[name], f"completion {position}")
    raise RowError(f"completion {position} is {seen(value)}, expected text")


def put_in_lists(row: Row, draft: Draft, ratings: Sequence[float | None]) -> list[Edit]:
    """Edits that write the ratings into their lists; a list that is not there is written whole."""
    edits = put_ratings(row, draft, ratings)
    missing: dict[Path, None] = {}
    for edit in edits:
        if isinstance(edit, Put) and isinstance(edit.path[-1], int) and at(row, edit.path[:-1]) in (None, ""):
            missing[edit.path[:-1]] = None
    for path in missing:
        edits = [e for e in edits if not (isinstance(e, Put) and e.path[:-1] == path)]
        values = [old if new is None else float(new) for old, new in zip(draft.ratings, ratings, strict=True)]
        edits.append(Put(path, [None if value is None else written_like(value, None) for value in values]))
    return edits


class OwnTable(RowFormat):
    """The columns of the tables that this project writes, such as a file of scores."""

    name = "columns"
    takes = "the columns of a file that this program wrote"

    def fits(self, row: Row) -> bool:
        return all(name in row for name in ("id", "prompt", "completions", "ratings", "samples"))

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        completions = listing(row.get("completions"), "'completions'")
        k = len(completions)
        if k < 2:
            raise RowError(f"'completions' holds {k} completion{'s' * (k != 1)}, and a comparison needs two or more")
        turns = messages(row.get("turns"), "'turns'") or ()
        draft = Draft(
            prompt=as_text(row.get("prompt"), "the prompt 'prompt'"),
            turns=turns,
            completions=tuple(as_text(text, f"completion {n}") for n, text in enumerate(completions, 1)),
            ratings=(None,) * k,
            places=tuple((("ratings", n),) for n in range(k)),
            id=found_id(row, fields),
            source=optional_text(row.get("source")),
            judge=optional_text(row.get("judge") or row.get("judges")),
            reference=optional_text(row.get("reference")),
        )
        for _, values in _aligned(row, ("ratings",), k):
            draft.ratings = tuple(number(value, "the rating") for value in values)
        if fields.rating:
            draft.ratings, draft.places = ratings_by_field(row, fields, k)
        for _, values in _aligned(row, ("samples",), k):
            draft.samples = tuple(
                tuple(number(v, "a sample", "correct it") for v in listing(s or (), "'samples'")) for s in values
            )
        for _, values in _aligned(row, ("models",), k):
            draft.models = tuple(optional_text(value) for value in values)
        for _, values in _aligned(row, ("reasons",), k):
            draft.reasons = tuple(optional_text(value) for value in values)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return put_in_lists(row, draft, ratings)


class ByFields(RowFormat):
    """Any layout whose fields are named by hand."""

    name = "fields"
    takes = "the fields that you named"

    def fits(self, row: Row) -> bool:
        # Never taken by itself: it is chosen by naming fields.
        return False

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        seen = {name for row in sample for name in row}
        if not fields.completion and not fields.chosen and not fields.rejected:
            if {"chosen", "rejected"} <= seen:
                fields = replace(fields, chosen="chosen", rejected="rejected")
            else:
                named = tuple(n for n in ("completions", "generations", "responses", "answers") if n in seen)
                fields = replace(fields, completion=named[:1])
        if bool(fields.chosen) != bool(fields.rejected):
            raise InputError("a pair needs both fields", hint="name both with `chosen_field` and `rejected_field`")
        if not fields.chosen and not fields.completion:
            raise InputError(
                "which fields hold the completions? name them with `completion_field`, or `chosen_field` and `rejected_field`"
            )
        return fields

    def describe(self, fields: FieldNames) -> str:
        said = [f"the prompt is `{fields.prompt}`" if fields.prompt else "the prompt is found by the usual names"]
        if fields.chosen:
            said.append(f"the better completion is `{fields.chosen}`, the worse `{fields.rejected}`")
        else:
            said.append(f"the completions are {', '.join(f'`{name}`' for name in fields.completion)}")
        if fields.rating:
            said.append(f"the ratings are {', '.join(f'`{name}`' for name in fields.rating)}")
        return "; ".join(said)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns, completions = self._texts(row, fields)
        k = len(completions)
        if k < 2:
            raise RowError(
                f"{k} completion{'s' * (k != 1)}, and a comparison needs two or more; name more with `completion_field`"
            )
        draft = Draft(prompt, completions, turns=turns, id=found_id(row, fields), source=found_source(row, fields))
        if fields.rating:
            draft.ratings, draft.places = ratings_by_field(row, fields, k)
        elif fields.chosen:
            draft.ratings = (1.0, 0.0)
        return draft

    def _texts(self, row: Row, fields: FieldNames) -> tuple[str, tuple[Turn, ...], tuple[str, ...]]:
        prompt = ""
        turns: tuple[Turn, ...] = ()
        if fields.prompt:
            value = look(row, fields.prompt, "`prompt_field`")
            stated = messages(value, repr(fields.prompt))
            prompt, turns = prompt_and_turns(stated) if stated else (as_text(value, f"the prompt {fields.prompt!r}"), ())
        if fields.chosen and fields.rejected:
            values = [look(row, fields.chosen, "`chosen_field`"), look(row, fields.rejected, "`rejected_field`")]
            sides = [messages(value, "the pair") for value in values]
            if sides[0] is not None and sides[1] is not None:
                shared, chosen, rejected = split_messages(sides[0], sides[1])
                if not fields.prompt:
                    prompt, turns = prompt_and_turns(shared)
                return prompt, turns, (chosen, rejected)
        else:
            values = [look(row, name, "`completion_field`") for name in fields.completion]
            if len(values) == 1:
                values = list(listing(values[0], repr(fields.completion[0])))
        if not fields.prompt:
            prompt, turns = prompt_of(row)
        return prompt, turns, tuple(_text_of(value, n) for n, value in enumerate(values, 1))

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        if fields.chosen and fields.rejected:
            sides = [find(row, name)[0][0] for name in (fields.chosen, fields.rejected)]
            return correct_pair(row, draft, ratings, (sides[0], sides[1]))
        if not draft.places:
            raise RowError(
                "the fields that were named have no place for a rating; name one with `rating_field`, or write with `format`"
            )
        return put_in_lists(row, draft, ratings)
