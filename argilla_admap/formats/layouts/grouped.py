"""A completion a row: rows that follow each other and share the prompt are one record. HelpSteer2 and KTO."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from argilla_admap.formats.format import Draft, Edit, FieldNames, Format, Path, Put, Row, RowError
from argilla_admap.formats.layouts.plain import prompt_of
from argilla_admap.formats.values import (
    as_text,
    find,
    found_id,
    found_source,
    messages,
    number,
    optional_text,
    seen,
    shorten,
    split_messages,
    text,
    written_like,
)

__all__ = ["HelpSteer2", "Kto"]


def _prompt_key(row: Row) -> Hashable:
    value = row.get("prompt")
    return value if isinstance(value, str) else repr(value)


def _too_few(rows: Sequence[Row], why: str) -> None:
    if len(rows) < 2:
        raise RowError(
            f"the prompt {shorten(rows[0].get('prompt'))} has one completion only, and a comparison needs two or more; {why}"
        )


class HelpSteer2(Format):
    """The layout of nvidia/HelpSteer2: a row a completion, with attributes from 0 to 4."""

    name = "helpsteer2"
    takes = "rows that follow each other with one `prompt` are one record; the completions are `response`"

    def fits(self, row: Row) -> bool:
        return "prompt" in row and "response" in row and "helpfulness" in row

    def group_key(self, row: Row) -> Hashable:
        return _prompt_key(row)

    def describe(self, fields: FieldNames) -> str:
        names = ", ".join(f"`{name}`" for name in fields.rating or ("helpfulness",))
        return f"{self.takes}; the label is {'the mean of ' if len(fields.rating) > 1 else ''}{names}"

    def parse(self, rows: Sequence[Row], fields: FieldNames) -> Draft:
        _too_few(rows, "sort the rows by prompt")
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
    """KTO's rows: a prompt, a completion, and whether it is a good one."""

    name = "kto"
    takes = (
        "rows that follow each other with one `prompt` are one record; the completions are `completion`; "
        "`label` is 1 for true, 0 for false"
    )

    def fits(self, row: Row) -> bool:
        return "prompt" in row and "completion" in row and "label" in row

    def group_key(self, row: Row) -> Hashable:
        return _prompt_key(row)

    def parse(self, rows: Sequence[Row], fields: FieldNames) -> Draft:
        _too_few(
            rows,
            "sort the rows by prompt, if it has more; a map compares completions, so unpaired KTO data have no place on it",
        )
        prompt, turns = prompt_of(rows[0], ("prompt",))
        return Draft(
            prompt=prompt,
            turns=turns,
            completions=tuple(_completion(row) for row in rows),
            ratings=tuple(_label(row) for row in rows),
            models=tuple(optional_text(row.get("model")) for row in rows),
            id=found_id(rows[0], fields),
            source=found_source(rows[0], fields),
        )

    def correct(
        self, rows: Sequence[Row], draft: Draft, ratings: Sequence[float | None], fields: FieldNames
    ) -> list[list[Edit]]:
        edits: list[list[Edit]] = [[] for _ in rows]
        wanted = [old if new is None else float(new) for old, new in zip(draft.ratings, ratings, strict=True)]
        known = [rating for rating in wanted if rating is not None]
        # Ratings of another scale are good from the middle of the record's own on.
        middle = 0.5 if all(0 <= rating <= 1 for rating in known) else (min(known) + max(known)) / 2
        for row, old, new, mine in zip(rows, draft.ratings, wanted, edits, strict=True):
            if new is not None and float(new >= middle) != old:
                mine.append(Put(("label",), _like(row.get("label"), new >= middle)))
        return edits


def _completion(row: Row) -> str:
    value = row.get("completion")
    turns = None if isinstance(value, str) else messages(value, "'completion'")
    if turns is not None:
        return split_messages(turns, turns)[1]
    if isinstance(value, str):
        return as_text(value, "'completion'")
    raise RowError(f"'completion' is {seen(value)}, expected text or messages")


_GOOD = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


def _label(row: Row) -> float | None:
    value = row.get("label")
    if value is None:
        return None
    good = _GOOD.get(str(value).strip().lower())
    if good is None:
        raise RowError(f"'label' is {shorten(value)}, expected true or false")
    return good


def _like(original: object, good: bool) -> object:
    if isinstance(original, str):
        if original.strip().lower() in ("true", "false"):
            word = "true" if good else "false"
            return word.upper() if original.isupper() else word.capitalize() if original[:1].isupper() else word
        return str(written_like(float(good), original))
    if isinstance(original, bool) or original is None:
        return good
    return written_like(float(good), original)
