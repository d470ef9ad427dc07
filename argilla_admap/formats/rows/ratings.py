"""Ratings of a row: where they stand, which end of their scale is best, and new ones written in their places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.formats.format import Draft, Edit, FieldNames, Path, Put, Row, RowError
from argilla_admap.formats.values import at, decoded, fields_of, find, listing, number, shorten, written_like

__all__ = [
    "RANKS",
    "good_from",
    "item_ratings",
    "put_in_lists",
    "put_ratings",
    "rate",
    "ratings_by_field",
    "settle_order",
    "wanted_ratings",
]

#: Names of fields whose lowest number is the best.
RANKS = ("rank", "ranks", "ranking", "rankings")
#: Words in the name of a measure that is the better the lower it is.
_LOWER = frozenset(
    {
        *("loss", "losses", "perplexity", "perplexities", "ppl", "nll", "error", "errors", "cost", "costs", "penalty"),
        *("penalties", "toxicity", "harmfulness", "distance", "mistakes", "violations"),
    }
)
_CLEAR = ("rating", "score", "reward", "grade", "point", "quality", "preference", "help", "overall", "stars", "likes", "votes")

Places = tuple[tuple[Path, ...], ...]
Ratings = tuple[float | None, ...]


def wanted_ratings(draft: Draft, ratings: Sequence[float | None]) -> list[float | None]:
    """The record's ratings with the new ones in their places."""
    old = draft.ratings or (None,) * len(draft.completions)
    return [mine if new is None else float(new) for mine, new in zip(old, ratings, strict=True)]


def ratings_by_field(row: Row, fields: FieldNames, k: int) -> tuple[Ratings, Places]:
    """Ratings from the fields that were named, and their places.

    One field with K values, K fields, or the mean of several fields with K values each.
    """
    columns: list[list[tuple[Path, Any]]] = []
    for name in fields.rating:
        found = find(row, name)
        if not found:
            raise RowError(f"{name!r}, named by `rating_field`, is missing; the row has {fields_of(row)}")
        if len(found) == 1 and not isinstance(found[0][1], (int, float)) and found[0][1] is not None:
            path, value = found[0]
            if not isinstance(value, str) or decoded(value) is not None:
                found = [((*path, i), item) for i, item in enumerate(listing(value, repr(name)))]
        columns.append(found)
    if all(len(column) == 1 for column in columns) and len(columns) == k:
        columns = [[column[0] for column in columns]]
    for name, column in zip(fields.rating, columns, strict=False):
        if len(column) != k:
            word = f"{len(column)} rating{'s' * (len(column) != 1)}"
            more = "; where one value says which completion is better, name it with `verdict_field`" if len(column) == 1 else ""
            raise RowError(f"{name!r} gives {word} for {k} completions{more}")
    rows = list(zip(*columns, strict=True))
    return tuple(_mean([_named(value) for _, value in values]) for values in rows), tuple(
        tuple(path for path, _ in values) for values in rows
    )


def _named(value: object) -> float | None:
    # A field that a person named may hold true and false.
    return number(float(value) if isinstance(value, bool) else value, "the rating")


def _mean(numbers: Iterable[float | None]) -> float | None:
    known = [n for n in numbers if n is not None]
    return sum(known) / len(known) if known else None


def item_ratings(
    row: Row, fields: FieldNames, items: Sequence[Mapping[str, Any]], base: str, names: Sequence[str]
) -> tuple[Ratings, Places]:
    """Ratings that stand inside each completion's object: in the field that was named, else the first of `names`.

    A named field is looked for in the completions first, then in the row, which must have it where there are no `names`.
    """
    if fields.rating and not any(find(item, name) for item in items for name in fields.rating):
        if names and not any(find(row, name) for name in fields.rating):
            return (None,) * len(items), tuple(((base, n, fields.rating[0]),) for n in range(len(items)))
        return ratings_by_field(row, fields, len(items))
    ratings: list[float | None] = []
    places: list[tuple[Path, ...]] = []
    for position, item in enumerate(items):
        prefix: Path = (base, position)
        if fields.rating:
            found = [f for name in fields.rating for f in find(item, name)]
            ratings.append(_mean(number(value, f"the rating of completion {position + 1}") for _, value in found))
            places.append(tuple((*prefix, *path) for path, _ in found) or ((*prefix, fields.rating[0]),))
        else:
            name = next((n for n in names if n in item), names[0])
            ratings.append(number(item.get(name), f"{name!r} of completion {position + 1}"))
            places.append(((*prefix, name),))
    return tuple(ratings), tuple(places)


def settle_order(fields: FieldNames, values: Sequence[Sequence[object]]) -> FieldNames:
    """The fields with `order` settled: whether the highest or the lowest number is the best.

    Args:
        fields: with the rating's field or fields in `rating`.
        values: the ratings of each of the first rows, as they are written.
    Raises:
        InputError: neither the field's name nor the values tell.
    """
    if fields.order is not None or not fields.rating:
        return fields
    rows = [[n for n in map(_readable, row) if n is not None] for row in values]
    rows = [row for row in rows if len(row) > 1]
    words = fields.rating[0].lower().replace("-", "_").split(".")
    words = [word for word in words if not word.isdigit()] or [""]
    ranked = any(part in RANKS for word in words for part in word.split("_"))
    whole = [sorted(row) for row in rows]
    as_ranks = bool(rows) and all(row in (list(range(len(row))), list(range(1, len(row) + 1))) for row in whole)
    name = fields.rating[0]
    if not ranked and any(part in _LOWER for word in words for part in word.split("_")):
        raise InputError(
            f"{name!r}: by its name the lower number may be the better one",
            hint="say which end is best with `rating_order`: lower or higher",
        )
    if ranked:
        if rows and not all(n.is_integer() and 0 <= n <= 1000 for row in rows for n in row):
            raise InputError(
                f"{name!r} holds {shorten(rows[0])}: by its name these are ranks, by its values they are not",
                hint="say which end is best with `rating_order`: lower or higher",
            )
        indexes = [[int(n) - int(min(row)) for n in row] for row in rows] if as_ranks else []
        if words[-1].startswith("ranking") and any(row[place] != n for row in indexes for n, place in enumerate(row)):
            raise InputError(
                f"{name!r} holds {shorten([int(n) for n in rows[0]])}: these may be the completions' ranks, or their order",
                hint="if they are ranks, say so with `rating_order` lower",
            )
        return replace(fields, order="lower")
    clear = any(word in part for part in words for word in _CLEAR)
    if as_ranks and not clear and max(len(row) for row in rows) > 2:
        raise InputError(
            f"{name!r} holds {shorten([int(n) for n in rows[0]])}: these may be ranks, where 1 is best, or ratings",
            hint="say which end is best with `rating_order`: lower or higher",
        )
    return replace(fields, order="higher")


def _readable(value: object) -> float | None:
    try:
        return number(float(value) if isinstance(value, bool) else value, "a rating")
    except RowError:
        return None


def rate(draft: Draft, ratings: Ratings, places: Places, fields: FieldNames) -> None:
    """Gives the draft its ratings; of ranks, rank 1 of K completions becomes K, rank K becomes 1."""
    draft.places = places
    draft.ranked = fields.order == "lower"
    draft.ratings = tuple(None if r is None else len(ratings) + 1 - r for r in ratings) if draft.ranked else ratings


def put_ratings(row: object, draft: Draft, ratings: Sequence[float | None]) -> list[Edit]:
    """Edits that write the ratings where the draft's were read; those that stay are not touched."""
    wanted = wanted_ratings(draft, ratings)
    edits: list[Edit] = []
    if draft.ranked:
        return _put_ranks(row, draft, wanted)
    for old, new, places in zip(draft.ratings, wanted, draft.places, strict=True):
        if new is not None and new != old:
            edits += [Put(path, _like(new, at(row, path))) for path in places]
    return edits


def _like(value: float, original: object) -> Any:
    if isinstance(original, bool) and value in (0.0, 1.0):
        return bool(value)
    return written_like(value, original)


def _put_ranks(row: object, draft: Draft, wanted: Sequence[float | None]) -> list[Edit]:
    if wanted == list(draft.ratings):
        return []
    edits: list[Edit] = []
    old_ranks = [number(at(row, path), "the rank") for places in draft.places for path in places]
    first = 0.0 if 0.0 in old_ranks else 1.0
    for mine, places in zip(wanted, draft.places, strict=True):
        if mine is None:
            continue
        rank = first + sum(other is not None and other > mine for other in wanted)
        for path in places:
            old = at(row, path)
            if number(old, "the rank") != rank:
                edits.append(Put(path, written_like(rank, old)))
    return edits


def put_in_lists(row: Row, draft: Draft, ratings: Sequence[float | None]) -> list[Edit]:
    """Edits that write the ratings into their lists; a list that is not there is written whole."""
    edits = put_ratings(row, draft, ratings)
    missing: dict[Path, None] = {}
    for edit in edits:
        if isinstance(edit, Put) and isinstance(edit.path[-1], int) and at(row, edit.path[:-1]) in (None, ""):
            missing[edit.path[:-1]] = None
    for path in missing:
        edits = [e for e in edits if not (isinstance(e, Put) and e.path[:-1] == path)]
        values = wanted_ratings(draft, ratings)
        edits.append(Put(path, [None if value is None else written_like(value, None) for value in values]))
    return edits


def good_from(wanted: Sequence[float | None]) -> float:
    """From which rating on a completion is good, where a format knows good and bad only.

    Ratings of another scale than 0 to 1 are good from the middle of the record's own on.
    """
    known = [rating for rating in wanted if rating is not None]
    return 0.5 if all(0 <= rating <= 1 for rating in known) else (min(known) + max(known)) / 2
