"""Lists of texts with lists of ratings beside them, as distilabel writes them, and this project's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.formats.format import Draft, Edit, FieldNames, Row, RowError, RowFormat
from argilla_admap.formats.layouts.plain import LABEL_LISTS, completion_text, list_field
from argilla_admap.formats.rows.conversations import messages
from argilla_admap.formats.rows.prompts import PROMPTS, prompt_of
from argilla_admap.formats.rows.ratings import put_in_lists, rate, ratings_by_field
from argilla_admap.formats.rows.row_label import label, put_label, settle_rating, settle_verdict
from argilla_admap.formats.values import (
    as_text,
    found_id,
    found_source,
    in_backticks,
    listing,
    number,
    optional_text,
    unpacked,
    unpacked_list,
)

__all__ = ["Distilabel", "OwnTable"]


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
    _prompts = ("instruction", *(name for name in PROMPTS if name != "instruction"))

    def fits(self, row: Row) -> bool:
        value = row.get(list_field(row))
        if isinstance(row.get("chosen"), str) and isinstance(row.get("rejected"), str):
            # Who trains on a pair takes these, and a correction must reach them.
            return False
        return isinstance(unpacked(value), list) and any(n in row for n in self._prompts)

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        if fields.verdict:
            k = max((len(unpacked_list(row.get(list_field(row)))) for row in sample), default=0)
            return settle_verdict(sample, fields, [f"{list_field(sample[0])}.{n}" for n in range(max(k, 2))])
        if not fields.rating:
            name = next((n for n in LABEL_LISTS if any(unpacked_list(row.get(n)) for row in sample)), None)
            if name == "labels" and any(isinstance(v, bool) for row in sample for v in unpacked_list(row.get("labels"))):
                raise InputError(
                    "the `labels` beside the completions are true or false: these seem to be the steps of one answer "
                    "(stepwise supervision), and no rivals that a map compares",
                    hint="if they are rivals, name `completion_field` and `rating_field`",
                )
            if name is None and (best := next((n for n in _BEST if any(_is_one(row.get(n)) for row in sample)), None)):
                return self.settle(sample, replace(fields, verdict=best))
            fields = replace(fields, rating=(name,) if name else ())
        return settle_rating(sample, fields)

    def describe(self, fields: FieldNames) -> str:
        words = ["the prompt is `instruction` or `prompt`; the completions are a list of texts"]
        if fields.scales:
            words.append(fields.scales[0].describe())
        elif fields.rating:
            what = "ranks (the lowest is the best)" if fields.order == "lower" else "ratings"
            words.append(f"their {what} are {in_backticks(fields.rating)} beside it")
        else:
            words.append("there is no label")
        return "; ".join(words)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        name = list_field(row)
        generations = listing(row.get(name), repr(name))
        k = len(generations)
        if k < 2:
            raise RowError(f"{name!r} holds {k} completion{'s' * (k != 1)}, and a comparison needs two or more")
        prompt, turns = prompt_of(row, self._prompts, taken=(name,))
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=tuple(completion_text(item, f"completion {n}") for n, item in enumerate(generations, 1)),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )
        rated = fields.rating[0] if len(fields.rating) == 1 else None
        if fields.scales or (fields.rating and (rated not in LABEL_LISTS or row.get(rated) not in (None, ""))):
            label(row, draft, fields)
        else:
            name = rated or "ratings"
            draft.ratings, draft.places = (None,) * k, tuple(((name, i),) for i in range(k))
        for _, values in _aligned(row, ("rationales", "rationale"), k):
            draft.reasons = tuple(optional_text(value) for value in values)
        for _, values in _aligned(row, ("generation_models", "models", "model_names", "generation_model"), k):
            draft.models = tuple(optional_text(value) for value in values)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return put_label(row, draft, ratings, fields)


#: Fields that may say which of a list is the best.
_BEST = (
    *("best", "best_response", "best_index", "best_id", "best_idx", "best_response_index", "best_response_id", "best_answer"),
    *("chosen", "chosen_index", "chosen_idx", "chosen_id", "preferred", "preferred_index", "preferred_id", "preference"),
    *("winner", "winner_index", "choice"),
)


def _is_one(value: object) -> bool:
    return isinstance(value, (int, str)) and value != "" and not isinstance(value, bool)


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
            rate(draft, *ratings_by_field(row, fields, k), fields)
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
