"""The label of a row, by a verdict in a field or by ratings, read and written back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.formats.format import Draft, Edit, FieldNames, Path, Put, Row, RowError
from argilla_admap.formats.rows.ratings import put_in_lists, rate, ratings_by_field, settle_order, wanted_ratings
from argilla_admap.formats.rows.verdict_scale import infer_scale
from argilla_admap.formats.values import fields_of, find, shorten, unpacked

__all__ = ["label", "put_label", "settle_rating", "settle_verdict", "verdict_values"]


def verdict_values(row: Row, name: str) -> list[tuple[Path, Any]]:
    """The verdicts in a field with their places; of several annotators, each one's."""
    found: list[tuple[Path, Any]] = []
    for path, value in find(row, name):
        inner = unpacked(value)
        if isinstance(inner, Sequence) and not isinstance(inner, str):
            found += [((*path, n), item) for n, item in enumerate(inner)]
        else:
            found.append((path, value))
    return found


def settle_verdict(
    sample: Sequence[Row], fields: FieldNames, completions: Sequence[str], names: Sequence[str] = ()
) -> FieldNames:
    """The fields with what their verdict's values mean: of the field that was named, else of the first of `names`.

    Args:
        sample: the first rows.
        fields: as given.
        completions: the completions' fields, by which a verdict may name them.
        names: usual fields of verdicts; several where each is another annotator's.
    Raises:
        InputError: the values could mean one thing or its opposite.
    """
    if fields.scales:
        return fields
    if fields.verdict and not any(find(row, fields.verdict) for row in sample):
        there = fields_of(sample[0]) if sample else "no fields"
        raise InputError(f"{fields.verdict!r} is in none of the first rows; they have {there}", option="verdict_field")
    names = (fields.verdict,) if fields.verdict else names
    for name in () if fields.verdict_values else names:
        if _are_shares(name, [value for row in sample for _, value in find(row, name)], len(completions)):
            return replace(fields, rating=(name,), order="higher")
    # Annotators side by side use the same values.
    values = [value for row in sample for name in names for _, value in verdict_values(row, name)]
    return replace(fields, scales=tuple(infer_scale(name, completions, values, fields) for name in names))


def _are_shares(name: str, values: Sequence[Any], k: int) -> bool:
    """Whether each value is a list that shares 1 out among K completions, as ``[0, 1]`` and ``[0.7, 0.3]`` do.

    Raises:
        InputError: they are other lists of numbers that no annotators gave: read as verdicts, all rows would be ties.
    """
    lists = [inner for value in values if (inner := unpacked(value)) not in (None, "")]
    if not lists or not all(_is_numbers(inner) for inner in lists):
        return False
    shares = all(min(inner) >= 0 and math.isclose(sum(inner), 1, abs_tol=1e-6) for inner in lists)
    if shares and all(len(inner) == k for inner in lists):
        return True
    same = len({tuple(sorted(inner)) for inner in lists}) == 1 and len(set(lists[0])) > 1
    if len(lists) > 1 and (shares or same):
        one_each = all(len(inner) == k for inner in lists)
        raise InputError(
            f"{name!r} holds lists such as {shorten(lists[0])}, of the same numbers or the same sum in each row: these are no "
            "verdicts of annotators",
            hint="if it is a number for each completion, name it with `rating_field`"
            if one_each
            else "write a number for each completion into fields of their own, and name them with `rating_field`",
        )
    return False


def _is_numbers(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 1
        and all(isinstance(item, (int, float)) and not isinstance(item, bool) and math.isfinite(item) for item in value)
    )


def settle_rating(sample: Sequence[Row], fields: FieldNames) -> FieldNames:
    """The fields with the order of the ratings that were named."""
    if not fields.rating or fields.order is not None:
        return fields
    values = []
    for row in sample:
        found = [value for name in fields.rating for _, value in verdict_values(row, name)]
        values.append(found)
    return settle_order(fields, values)


def label(row: Row, draft: Draft, fields: FieldNames) -> None:
    """Gives the draft the label that the fields say: verdicts, where there are any, else the ratings that are named."""
    k = len(draft.completions)
    if fields.scales:
        given = []
        for scale in fields.scales:
            if k > scale.k:
                raise RowError(f"there are {k} completions, and the verdict {scale.name!r} tells {scale.k} in the first rows")
            for _, value in verdict_values(row, scale.name):
                ratings = scale.ratings(value, draft.models, draft.completions)
                if ratings and None not in ratings:
                    if any(rating for rating in ratings[k:]):
                        raise RowError(f"{scale.name!r} is {value!r}, and the row has {k} completions")
                    given.append(ratings[:k])
        if given:
            draft.ratings = tuple(round(sum(r or 0.0 for r in column) / len(given), 12) for column in zip(*given, strict=True))
        else:
            draft.ratings = (None,) * k
    elif fields.rating:
        rate(draft, *ratings_by_field(row, fields, k), fields)


def put_label(row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
    """The edits that write the new label where it was read.

    Raises:
        TieCannotBeSaid: the verdict has no value for it.
    """
    wanted = wanted_ratings(draft, ratings)
    if not fields.scales and draft.places:
        return put_in_lists(row, draft, ratings)
    if not fields.scales and wanted != list(draft.ratings):
        raise RowError("there is no place for a rating; name one with `rating_field`, or write with `format`")
    whole = [value for value in wanted if value is not None]
    if len(whole) < len(wanted) or wanted == list(draft.ratings):
        return []
    edits: list[Edit] = []
    for scale in fields.scales:
        for path, old in verdict_values(row, scale.name) or [((scale.name,), None)]:
            new = scale.write(old, whole, draft.models, draft.completions)
            if new != old or isinstance(new, bool) is not isinstance(old, bool):
                edits.append(Put(path, new))
    return edits
