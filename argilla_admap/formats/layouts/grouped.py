"""A completion a row: rows that follow each other and share the prompt are one record. HelpSteer2 and KTO."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from argilla_admap.formats.format import Draft, Edit, FieldNames, Format, Path, Put, Row, RowError
from argilla_admap.formats.layouts.plain import completion_text
from argilla_admap.formats.rows.conversations import looks_like_messages, messages, said
from argilla_admap.formats.rows.prompts import prompt_of, with_surroundings
from argilla_admap.formats.rows.ratings import good_from, wanted_ratings
from argilla_admap.formats.rows.row_label import settle_rating
from argilla_admap.formats.values import find, found_id, found_source, number, optional_text, shorten, text, written_like
from argilla_admap.records import Turn

__all__ = ["HelpSteer2", "Kto"]


def _prompt_key(row: Row) -> Hashable:
    value = row.get("prompt")
    return value if isinstance(value, str) else repr(value)


_SORTED = "rows of one prompt must follow each other: sort the rows by prompt, for example with `jq -sc 'sort_by(.prompt)[]'`"


def _too_few(rows: Sequence[Row], prompt: str, why: str) -> None:
    if len(rows) < 2:
        raise RowError(f"the prompt {shorten(prompt)} has one completion only, and a comparison needs two or more; {why}")


class HelpSteer2(Format):
    """The layout of nvidia/HelpSteer2: a row a completion, with attributes from 0 to 4."""

    name = "helpsteer2"
    takes = "rows that follow each other with one `prompt` are one record; the completions are `response`"

    def fits(self, row: Row) -> bool:
        return "prompt" in row and "response" in row and "helpfulness" in row

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        return settle_rating([], fields)

    def group_key(self, row: Row) -> Hashable:
        return _prompt_key(row)

    def describe(self, fields: FieldNames) -> str:
        names = ", ".join(f"`{name}`" for name in fields.rating or ("helpfulness",))
        return f"{self.takes}; the label is {'the mean of ' if len(fields.rating) > 1 else ''}{names}"

    def parse(self, rows: Sequence[Row], fields: FieldNames) -> Draft:
        _too_few(rows, str(rows[0].get("prompt")), _SORTED)
        names = fields.rating or ("helpfulness",)
        ratings: list[float | None] = []
        places: list[tuple[Path, ...]] = []
        for position, row in enumerate(rows):
            found = [f for name in names for f in find(row, name)]
            if not found:
                raise RowError(
                    f"{', '.join(names)} is missing in row {position + 1} of the prompt; name another field with `rating_field`"
                )
            known = [n for n in (number(value, "the rating") for _, value in found) if n is not None]
            ratings.append(sum(known) / len(known) if known else None)
            places.append(tuple((position, *path) for path, _ in found))
        prompt, turns = prompt_of(rows[0], ("prompt",))
        return Draft(
            prompt=prompt,
            turns=turns,
            completions=tuple(text(row, "response") for row in rows),
            ratings=tuple(ratings),
            places=tuple(places),
            models=tuple(optional_text(row.get("model")) for row in rows),
            id=found_id(rows[0], fields),
            source=found_source(rows[0], fields),
        )

    def correct(
        self, rows: Sequence[Row], draft: Draft, ratings: Sequence[float | None], fields: FieldNames
    ) -> list[list[Edit]]:
        edits: list[list[Edit]] = [[] for _ in rows]
        for old, new, places in zip(draft.ratings, ratings, draft.places, strict=True):
            if new is None or new == old:
                continue
            for position, *path in places:
                row = rows[int(position)]
                original = find(row, ".".join(map(str, path)))
                edits[int(position)].append(Put(tuple(path), written_like(float(new), original[0][1] if original else None)))
        return edits


class Kto(Format):
    """KTO's rows: a prompt, a completion, and whether it is a good one; also with messages, and in Alpaca's fields."""

    name = "kto"
    takes = (
        "rows that follow each other with one prompt are one record; the completions are `completion` or `output`, or the last "
        "of `messages`; `label` or `kto_tag` is 1 for true, 0 for false"
    )
    _labels = ("label", "kto_tag")
    _completions = ("completion", "output", "response")
    _conversations = ("messages", "conversations", "conversation")
    _prompts = ("prompt", "instruction", "question", "query", "input")

    def fits(self, row: Row) -> bool:
        if not any(_good(row[name]) is not None for name in self._labels if name in row):
            return False
        if any(n in row for n in self._prompts):
            return "completion" in row or any(isinstance(row.get(n), str) for n in self._completions)
        return any(looks_like_messages(row.get(n)) for n in self._conversations)

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
        _too_few(
            rows,
            prompt,
            f"{_SORTED}, if it has more. A map compares completions of one prompt, so unpaired KTO rows have no place on it: "
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
        for row, old, new, mine in zip(rows, draft.ratings, wanted, edits, strict=True):
            if new is not None and float(new >= middle) != old:
                name = self._label_field(row)
                mine.append(Put((name,), _like(row.get(name), new >= middle)))
        return edits


_GOOD = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


def _good(value: object) -> float | None:
    return _GOOD.get(str(value).strip().lower())


def _like(original: object, good: bool) -> object:
    if isinstance(original, str):
        if original.strip().lower() in ("true", "false"):
            word = "true" if good else "false"
            return word.upper() if original.isupper() else word.capitalize() if original[:1].isupper() else word
        return str(written_like(float(good), original))
    if isinstance(original, bool) or original is None:
        return good
    return written_like(float(good), original)
