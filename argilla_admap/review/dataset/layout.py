"""What the review page holds: fields, questions and their order, for the open and the blind review, and the way back.

The open layout (`review`) shows the label and the scores. The blind one shows texts only, in an order that a seed of the
record's id shuffles, and asks nothing about the label. Both give an answer that maps back onto the record's own order.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from argilla_admap.errors import InputError
from argilla_admap.records import Record, letter
from argilla_admap.review.dataset import card

if TYPE_CHECKING:
    import argilla as rg

__all__ = [
    "BETTER",
    "LABEL_WRONG",
    "NOTE",
    "TITLE",
    "ReviewLayout",
    "build_settings",
    "question_rating",
    "rating_scale",
    "ratings_from_answer",
    "recognise",
    "record_fields",
    "record_title",
    "shown_order",
]

BETTER = "better"
LABEL_WRONG = "label_wrong"
NOTE = "note"
TITLE = "admap_title"
_RATING = "rating_"
_DEFAULT_SCALE = (1, 2, 3, 4, 5)
_ARGILLA_RATINGS = range(11)  # a rating question takes whole numbers from 0 to 10
#: An id of these characters is printed as it is; any other by its hash.
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,59}")

Kind = Literal["pair", "ratings"]


@dataclass(frozen=True, slots=True)
class ReviewLayout:
    """How one data set asks its reviewers.

    Attributes:
        kind: `pair` asks which of two is better, `ratings` asks a rating of each completion.
        blind: texts only, shuffled.
        k: the smallest and the largest number of completions.
        scale: the whole numbers that a rating question offers; empty for pairs.
    """

    kind: Kind
    blind: bool
    k: tuple[int, int]
    scale: tuple[int, ...] = ()


def question_rating(index: int) -> str:
    """The name of the question that rates the completion shown at `index`."""
    return _RATING + letter(index).lower()


def rating_scale(ratings: Iterable[float | None]) -> tuple[int, ...]:
    """The whole-number scale of a data set's ratings, as a rating question can ask it.

    Args:
        ratings: those of the data set, or the distinct ones of them.

    Returns:
        the scale that holds them all: 0 to 1, 0 to 4, 0 to 5, 1 to 5, 0 to 10 or 1 to 10; 1 to 5 where there are no ratings,
        where one is not whole, or where one lies outside 0 to 10, which Argilla cannot ask.
    """
    seen = {value for value in ratings if value is not None and math.isfinite(value)}
    if not seen or any(value != int(value) or int(value) not in _ARGILLA_RATINGS for value in seen):
        return _DEFAULT_SCALE
    low, high = int(min(seen)), int(max(seen))
    if low == 0:
        return tuple(range(next(top for top in (1, 4, 5, 10) if high <= top) + 1))
    return tuple(range(1, (5 if high <= 5 else 10) + 1))


def build_settings(
    layout: ReviewLayout, *, client: rg.Argilla | None = None, map_info: Mapping[str, Any] | None = None
) -> rg.Settings:
    """Fields and questions of a data set that we make; its metadata are in :mod:`argilla_admap.review.argilla.properties`.

    Args:
        layout: what to ask.
        client: the connection that the settings belong to; without one Argilla opens its default.
        map_info: the small map in the card, of :func:`argilla_admap.review.dataset.card.map_info`;
            of a blind review the scale alone.

    Raises:
        InputError: fewer than two completions.
    """
    import argilla as rg

    if layout.k[0] < 2:
        raise InputError(f"a review needs at least 2 completions a record, got {layout.k[0]}")
    return rg.Settings(
        fields=[
            # First, because Argilla's list of similar records names a record by its first field.
            rg.TextField(TITLE, title="Record", use_markdown=False, required=True, client=client),
            rg.CustomField(
                card.FIELD,
                title="Blind review" if layout.blind else "Review",
                template=card.template(map_info, blind=layout.blind),
                advanced_mode=True,
                required=True,
                _client=client,
            ),
        ],
        questions=list(_questions(layout, client)),
        allow_extra_metadata=True,
    )


def _questions(layout: ReviewLayout, client: rg.Argilla | None) -> Iterable[Any]:
    import argilla as rg

    if layout.kind == "pair":
        options = {"a": "A", "b": "B", "tie": "Tie", "both_bad": "Both bad"}
        yield rg.LabelQuestion(BETTER, labels=options, title="Which completion is better?", required=True, client=client)
    else:
        for index in range(layout.k[1]):
            name = letter(index)
            yield rg.RatingQuestion(
                question_rating(index),
                values=list(layout.scale or _DEFAULT_SCALE),
                title=f"How good is {name}?" if index < layout.k[0] else f"How good is {name}, if there is one?",
                required=index < layout.k[0],
                client=client,
            )
    if not layout.blind:
        verdicts = {"wrong": "Wrong", "right": "Right", "unsure": "Can't tell"}
        yield rg.LabelQuestion(
            LABEL_WRONG, labels=verdicts, title="Is the data set's label wrong?", required=False, client=client
        )
    yield rg.TextQuestion(NOTE, title="Note", required=False, client=client)


def recognise(questions: Collection[str], scale: Sequence[int] = ()) -> ReviewLayout | None:
    """The layout whose questions these names are, or None where they are somebody else's.

    Args:
        questions: names of a data set's questions.
        scale: the values that its rating questions offer.
    """
    blind = LABEL_WRONG not in questions
    if BETTER in questions:
        return ReviewLayout("pair", blind, (2, 2))
    rated = sum(1 for name in questions if name.startswith(_RATING))
    if rated >= 2 and all(question_rating(i) in questions for i in range(rated)):
        return ReviewLayout("ratings", blind, (2, rated), tuple(scale) or _DEFAULT_SCALE)
    return None


def shown_order(record_id: str, k: int, *, blind: bool) -> tuple[int, ...]:
    """The record's own completion behind each place on the page: place 0 shows completion ``order[0]``.

    The open layout keeps the record's order. The blind one shuffles by a hash of the id, the same on every machine and run.
    """
    if not blind:
        return tuple(range(k))
    seed = record_id.encode("utf-8", "surrogatepass")
    return tuple(sorted(range(k), key=lambda i: hashlib.blake2b(b"%d:" % i + seed, digest_size=8).digest()))


def record_title(record_id: str, *, blind: bool) -> str:
    """A short name of the record for Argilla's own text field, which is not safe: letters, digits and ``_.:-`` only."""
    if not blind and _PLAIN_ID.fullmatch(record_id):
        return record_id
    return hashlib.blake2b(record_id.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def record_fields(record: Record, row: Mapping[str, Any], *, blind: bool, revealed: bool | None = None) -> dict[str, Any]:
    """The values of the two fields of one record.

    Args:
        record: its texts.
        row: its columns of the map, by their names; lists have one value a completion.
        blind: in the blind layout's order.
        revealed: whether label, scores, models and reasons are in it; by default in the open layout only. True in a blind
            layout is for records whose review is completed.
    """
    order = shown_order(record.id, len(record.completions), blind=blind)
    shown = not blind if revealed is None else revealed
    return {
        TITLE: record_title(record.id, blind=blind),
        card.FIELD: card.card_value(record, row, order, revealed=shown),
    }


def ratings_from_answer(
    values: Mapping[str, Any],
    ratings: Sequence[float | None],
    order: Sequence[int],
    *,
    scale: tuple[float, float] = (0.0, 1.0),
) -> tuple[float | None, ...] | None:
    """The label that an answer means, in the record's own order.

    A pair's answer keeps the label's own numbers wherever it can. `a` or `b`: the label stays as it is if it says the same,
    and its two ratings are swapped if it says the opposite; where it says nothing (a tie, or no rating) the better one gets
    the scale's upper end and the other its lower end. `tie`: both get the mean of the two ratings. `both_bad`: both get the
    lower of the two. Where a rating is missing, `tie` and `both_bad` give the scale's middle and its lower end.
    Ratings replace the record's ratings; a completion that was not rated keeps its own.

    Args:
        values: the answers by question name.
        ratings: the record's label, in its own order; None where there is none.
        order: what was shown where, of :func:`shown_order`.
        scale: the two ends of the data set's ratings, 0 and 1 for chosen and rejected.

    Returns:
        one rating a completion, or None where the answers say nothing about the label.

    Raises:
        InputError: a value that the questions do not offer.
    """
    answer = values.get(BETTER)
    if answer is not None:
        return _pair(str(answer), tuple(ratings), order, scale)
    answered = {order[i]: values.get(question_rating(i)) for i in range(len(order))}
    if all(value is None for value in answered.values()):
        return None
    try:
        return tuple(float(new) if (new := answered[i]) is not None else old for i, old in enumerate(ratings))
    except (TypeError, ValueError) as exc:
        raise InputError(f"a rating of {answered!r} is not a number; was the question changed in Argilla?") from exc


def _pair(
    answer: str, ratings: tuple[float | None, ...], order: Sequence[int], scale: tuple[float, float]
) -> tuple[float | None, ...]:
    if len(ratings) != 2:
        raise InputError(f"an answer of {answer!r} fits a pair, and this record has {len(ratings)} completions")
    low, high = scale
    first, second = ratings
    if answer in ("a", "b"):
        best = order[0 if answer == "a" else 1]
        if first is None or second is None or first == second:
            return (high, low) if best == 0 else (low, high)
        return ratings if (first > second) == (best == 0) else (second, first)
    if answer == "tie":
        middle = (low + high) / 2 if first is None or second is None else (first + second) / 2
        return (middle, middle)
    if answer == "both_bad":
        worst = low if first is None or second is None else min(first, second)
        return (worst, worst)
    raise InputError(f"{answer!r} is no answer to {BETTER!r}; it takes a, b, tie or both_bad")
