"""A completion a row: rows that follow each other and share the prompt are one record. Scored completions and KTO."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import ClassVar

from argilla_admap.formats.format import Draft, Edit, FieldNames, Format, Path, Put, Row, RowError
from argilla_admap.formats.layouts.plain import completion_text
from argilla_admap.formats.rows.conversations import looks_like_messages, messages, said
from argilla_admap.formats.rows.prompts import PROMPTS, prompt_of, with_surroundings
from argilla_admap.formats.rows.ratings import RANKS, good_from, put_ratings, rate, settle_order, wanted_ratings
from argilla_admap.formats.values import (
    find,
    found_id,
    found_source,
    in_backticks,
    number,
    optional_text,
    shorten,
    text,
    written_like,
)
from argilla_admap.records import Turn

__all__ = ["HelpSteer2", "Kto", "ScoredRows"]


def _sorted(row: Row, names: Sequence[str]) -> str:
    name = next((n for n in names if n in row), names[0])
    return f"rows of one prompt must follow each other: sort the rows by prompt, for example with `jq -sc 'sort_by(.{name})[]'`"


def _too_few(rows: Sequence[Row], prompt: str, why: str) -> None:
    if len(rows) < 2:
        raise RowError(f"the prompt {shorten(prompt)} has one completion only, and a comparison needs two or more; {why}")


class ScoredRows(Format):
    """A row a completion, with its score: rows that follow each other with one prompt are one record."""

    name = "scored-rows"
    takes = "rows that follow each other with one prompt are one record"
    _completions: ClassVar[tuple[str, ...]] = ("response", "completion", "output", "answer", "generation", "text", "chosen")
    _scores: ClassVar[tuple[str, ...]] = ("score", "rating", "reward", "overall_score", "grade", "quality", *RANKS[:1])

    def fits(self, row: Row) -> bool:
        return (
            any(name in row for name in PROMPTS)
            and "rejected" not in row
            and isinstance(row.get(_first(row, self._completions)), str)
            and _is_number(row.get(_first(row, self._scores)))
        )

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        if not fields.rating:
            fields = replace(fields, rating=(_first(sample[0], self._scores),))
        groups = [list(rows) for _, rows in groupby(sample, self.group_key)]
        return settle_order(
            fields, [[v for row in rows for name in fields.rating for _, v in find(row, name)] for rows in groups]
        )

    def group_key(self, row: Row) -> Hashable:
        try:
            return repr(prompt_of(row, taken=self._completions))
        except RowError:
            return None

    def describe(self, fields: FieldNames) -> str:
        completions = " or ".join(f"`{name}`" for name in self._completions[:3])
        label = f"{'the mean of ' * (len(fields.rating) > 1)}{in_backticks(fields.rating)}"
        ranks = ", where the lowest is the best" if fields.order == "lower" else ""
        return f"{self.takes}; the completions are {completions}; the label is {label}{ranks}"

    def parse(self, rows: Sequence[Row], fields: FieldNames) -> Draft:
        prompt, turns = prompt_of(rows[0], taken=self._completions)
        _too_few(rows, prompt, _sorted(rows[0], PROMPTS))
        ratings: list[float | None] = []
        places: list[tuple[Path, ...]] = []
        for position, row in enumerate(rows):
            found = [f for name in fields.rating for f in find(row, name)]
            if not found:
                raise RowError(
                    f"{', '.join(fields.rating)} is missing in row {position + 1} of the prompt; "
                    "name another field with `rating_field`"
                )
            known = [n for n in (number(value, "the rating") for _, value in found) if n is not None]
            ratings.append(sum(known) / len(known) if known else None)
            places.append(tuple((position, *path) for path, _ in found))
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=tuple(text(row, _first(row, self._completions)) for row in rows),
            models=tuple(optional_text(row.get("model")) for row in rows),
            id=found_id(rows[0], fields),
            source=found_source(rows[0], fields),
        )
        rate(draft, tuple(ratings), tuple(places), fields)
        return draft

    def correct(
        self, rows: Sequence[Row], draft: Draft, ratings: Sequence[float | None], fields: FieldNames
    ) -> list[list[Edit]]:
        edits: list[list[Edit]] = [[] for _ in rows]
        for edit in put_ratings(rows, draft, ratings):
            if isinstance(edit, Put):
                edits[int(edit.path[0])].append(Put(edit.path[1:], edit.value))
        return edits


class HelpSteer2(ScoredRows):
    """The layout of nvidia/HelpSteer2: attributes from 0 to 4."""

    name = "helpsteer2"
    _completions = ("response",)
    _scores = ("helpfulness",)


def _first(row: Row, names: Sequence[str]) -> str:
    return next((name for name in names if row.get(name) is not None), names[0])


def _is_number(value: object) -> bool:
    try:
        return number(value, "") is not None
    except RowError:
        return False


class Kto(Format):
    """KTO's rows: a prompt, a completion, and whether it is a good one; also with messages, and in Alpaca's fields."""

    name = "kto"
    takes = (
        "rows that follow each other with one prompt are one record; the completions are `completion` or `output`, or the last "
        "of `messages`; `label` or `kto_tag` is 1 for true, 0 for false"
    )
    _labels = (
        *("label", "kto_tag", "desirable", "is_desirable", "thumbs", "feedback", "is_chosen", "chosen", "is_preferred"),
        *("preferred", "is_good", "accepted"),
    )
    _completions = ("completion", "output", "response")
    _conversations = ("messages", "conversations", "conversation")
    _prompts = ("prompt", "instruction", "question", "query", "input")

    def fits(self, row: Row) -> bool:
        if not any(_good(row[name]) is not None for name in self._labels if name in row):
            return False
        if any(n in row for n in self._prompts):
            return "completion" in row or any(isinstance(row.get(n), str) for n in self._completions)
        return any(looks_like_messages(row.get(n)) for n in self._conversations)

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        # What the file writes for bad, of which one record's rows may have none.
        return replace(fields, scales=tuple({str(row.get(self._label_field(row))): None for row in sample}))

    def group_key(self, row: Row) -> Hashable:
        try:
            return repr(self._exchange(row)[:2])
        except RowError:
            return None

    def _exchange(self, row: Row) -> tuple[str, tuple[Turn, ...], str]:
        """Prompt, turns and the completion."""
        name = next((n for n in self._conversations if row.get(n) is not None), None)
        if name is not None and not any(n in row for n in self._prompts):
            turns = messages(row[name], repr(name))
            if turns is None or len(turns) < 2:
                raise RowError(f"{name!r} is {shorten(row[name])}, expected a conversation that ends with the completion")
            return *with_surroundings(row, turns[:-1], (name,)), said(turns[-1:])
        name = next((n for n in self._completions if row.get(n) is not None), "completion")
        prompt, kept = prompt_of(row, self._prompts, taken=(name,))
        return prompt, kept, completion_text(row.get(name), repr(name))

    def parse(self, rows: Sequence[Row], fields: FieldNames) -> Draft:
        exchanges = [self._exchange(row) for row in rows]
        prompt, turns, _ = exchanges[0]
        more = _sorted(rows[0], (*self._prompts, *self._conversations))
        _too_few(
            rows,
            prompt,
            f"{more}, if it has more. A map compares completions of one prompt, so unpaired KTO rows have no place on it: "
            "pass over them with `on_error` skip",
        )
        return Draft(
            prompt=prompt,
            turns=turns,
            completions=tuple(completion for _, _, completion in exchanges),
            ratings=tuple(self._label(row) for row in rows),
            models=tuple(optional_text(row.get("model")) for row in rows),
            id=found_id(rows[0], fields),
            source=found_source(rows[0], fields),
        )

    def _label(self, row: Row) -> float | None:
        name = self._label_field(row)
        value = row.get(name)
        if value is not None and _good(value) is None:
            raise RowError(f"{name!r} is {shorten(value)}, expected true or false")
        return _good(value)

    def _label_field(self, row: Row) -> str:
        return next((name for name in self._labels if name in row), self._labels[0])

    def correct(
        self, rows: Sequence[Row], draft: Draft, ratings: Sequence[float | None], fields: FieldNames
    ) -> list[list[Edit]]:
        edits: list[list[Edit]] = [[] for _ in rows]
        wanted = wanted_ratings(draft, ratings)
        middle = good_from(wanted)
        others = [*fields.scales, *(row.get(self._label_field(row)) for row in rows)]
        for row, old, new, mine in zip(rows, draft.ratings, wanted, edits, strict=True):
            if new is not None and float(new >= middle) != old:
                name = self._label_field(row)
                mine.append(Put((name,), _like(row.get(name), new >= middle, others)))
        return edits


#: What is written for a good completion and for a bad one, the pair in which a file's labels are found is taken.
_WORDS = (
    *(("true", "false"), ("1", "0"), ("1.0", "0.0"), ("1", "-1"), ("1.0", "-1.0"), ("desirable", "undesirable")),
    *(("good", "bad"), ("chosen", "rejected"), ("yes", "no"), ("thumbs_up", "thumbs_down"), ("up", "down")),
)
_GOOD = {word: 1.0 - place for pair in _WORDS for place, word in enumerate(pair)}


def _good(value: object) -> float | None:
    return _GOOD.get(str(value).strip().lower())


def _like(original: object, good: bool, others: Sequence[object]) -> object:
    """The label as the original is written; among the words of the others, where it is told by them: 0 or -1 is bad."""
    if isinstance(original, bool) or original is None:
        return good
    old = str(original).strip().lower()
    known = {str(value).strip().lower() for value in others}
    pairs = [pair for pair in _WORDS if old in pair]
    word = max(pairs, key=lambda pair: len(known & set(pair)))[not good]
    if not isinstance(original, str):
        return written_like(float(word), original)
    return word.upper() if original.isupper() else word.capitalize() if original[:1].isupper() else word
