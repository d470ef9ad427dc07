"""What an answer means for the label: names of the questions, the scale that they ask on, and the ratings that follow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.records import letter

__all__ = [
    "BETTER",
    "DEFAULT_SCALE",
    "EQUAL",
    "LABEL_WRONG",
    "ContradictoryAnswer",
    "RatingScale",
    "Ratings",
    "Value",
    "alike",
    "in_own_order",
    "in_terms_of_texts",
    "question_rating",
    "ratings_from_answer",
]

BETTER = "better"
#: Whether the label is wrong: asked beside `BETTER` by earlier versions.
LABEL_WRONG = "label_wrong"
#: An answer of a pair about the label that stands on its card -> whether the label's own side is the better one.
_OF_LABEL = {"keep": True, "flip": False}
#: Its answers that put neither completion first.
EQUAL = ("tie", "both_bad")

#: What a question was answered with: an option of a choice, or a rating.
Value = str | int
#: One rating a completion, in the record's own order; None where there is none.
Ratings = tuple[float | None, ...]


class ContradictoryAnswer(InputError):
    """An answer whose parts say opposite things of the label."""


def alike(first: Sequence[float | None], second: Sequence[float | None]) -> bool:
    """Whether two labels rate the same completions and put them in the same order, ties included."""
    if len(first) != len(second) or any((a is None) != (b is None) for a, b in zip(first, second, strict=True)):
        return False
    places = range(len(first))
    return all(_sign(first[i], first[j]) == _sign(second[i], second[j]) for i in places for j in range(i))


def in_terms_of_texts(said: Mapping[str, Value], label: Sequence[float | None]) -> dict[str, Value]:
    """The answer without a word about the label: `keep` and `flip` as the side that they mean.

    Args:
        said: the answer at the places of the page.
        label: the ratings that stood on the card when it was given, at these places.

    Returns:
        the same with `a` or `b`; with `keep` where the label orders nothing and is kept.

    Raises:
        InputError: `flip` of a label that orders nothing, or `keep` of none.
        ContradictoryAnswer: the label is called right and another one given, or called wrong and the same given.
    """
    found = {name: value for name, value in said.items() if name != LABEL_WRONG}
    better, sign = found.get(BETTER), _sign(*label) if len(label) == 2 else 0
    if better in _OF_LABEL:
        if sign:
            found[BETTER] = "a" if (sign > 0) == _OF_LABEL[str(better)] else "b"
        elif better == "flip" or any(rating is None for rating in label):
            raise InputError(f"{better!r} says nothing here: the card showed {'a tie' if None not in label else 'no label'}")
    called = said.get(LABEL_WRONG)
    if called in ("wrong", "right") and any(_sign(a, b) for a in label for b in label):
        if better is not None:
            same = better == ("a" if sign > 0 else "b")
        elif any(question_rating(i) not in found for i in range(len(label))):
            return found
        else:
            same = alike([float(found[question_rating(i)]) for i in range(len(label))], label)
        if same != (called == "right"):
            raise ContradictoryAnswer(f"it calls the label {called}, and {'gives the same' if same else 'gives another one'}")
    return found


def question_rating(index: int) -> str:
    """The name of the question that rates the completion shown at `index`."""
    return f"rating_{letter(index).lower()}"


def in_own_order(said: Mapping[str, Value], order: Sequence[int]) -> dict[str, Value]:
    """The answer where the completion shown at place `i` stands at place ``order[i]``: an answer belongs to its text."""
    moved: dict[str, Value] = {}
    for place, own in enumerate(order):
        if question_rating(place) in said:
            moved[question_rating(own)] = said[question_rating(place)]
    better = said.get(BETTER)
    if better is not None:
        moved[BETTER] = "ab"[order["ab".index(str(better))]] if better in ("a", "b") and len(order) == 2 else better
    return moved


@dataclass(frozen=True, slots=True)
class RatingScale:
    """The whole numbers that a rating question offers, and what they mean on the data set's own scale.

    Argilla asks whole numbers from 0 to 10 only.

    Attributes:
        asked: the numbers on offer.
        low, high: the data set's ratings that the first and the last of them stand for.
        places: the numbers are places of a ranking, the last one is best: they say an order only.
    """

    asked: tuple[int, ...]
    low: float
    high: float
    places: bool = False

    @classmethod
    def identity(cls, asked: Sequence[int]) -> RatingScale:
        """A scale whose numbers mean themselves."""
        return cls(tuple(asked), float(min(asked)), float(max(asked)))

    @classmethod
    def of(cls, ratings: Iterable[float | None]) -> RatingScale:
        """The scale that fits a data set's ratings, or the distinct ones of them; 1 to 5 where there are none."""
        seen = {float(value) for value in ratings if value is not None and math.isfinite(value)}
        if not seen:
            return DEFAULT_SCALE
        low, high, whole = min(seen), max(seen), all(value == int(value) for value in seen)
        if low < 0 or high > 100:
            return cls._unusual(low, high, whole)
        bottom = 0 if low < 1 else 1
        top = next(end for end in ((1, 4, 5, 10, 100) if bottom == 0 else (5, 10, 100)) if high <= end)
        if top == 100 or (top == 1 and not whole):
            return cls(tuple(range(11)), 0.0, float(top))
        return cls.identity(range(bottom, top + 1))

    def fitted(self, ratings: Iterable[float | None]) -> RatingScale:
        """The same numbers asked, for ratings of another scale, where these are no whole numbers among those asked."""
        seen = [value for value in ratings if value is not None and math.isfinite(value)]
        if all(value == int(value) and self.asked[0] <= value <= self.asked[-1] for value in seen):
            return self
        data = RatingScale.of(seen)
        return RatingScale(self.asked, data.low, data.high)

    @classmethod
    def _unusual(cls, low: float, high: float, whole: bool) -> RatingScale:
        if low < 0 < high:
            high = max(-low, high)
            low = -high
        if high - low < 1:
            high = low + 1
        steps = int(high - low)
        if whole and steps <= 9:
            return cls(tuple(range(1, steps + 2)), low, high)
        return cls(tuple(range(11)), low, high)

    @property
    def step(self) -> float:
        """What one step of the question is on the data set's scale."""
        return (self.high - self.low) / (self.asked[-1] - self.asked[0])

    @property
    def is_identity(self) -> bool:
        """Whether the numbers asked are the data set's own."""
        return self.step == 1 and self.low == self.asked[0]

    def value(self, answer: float) -> float:
        """The data set's rating that an answer stands for."""
        # Rounded: 0.1 * 3 is no rating that somebody gave.
        return round(self.low + (float(answer) - self.asked[0]) * self.step, 9)

    def ratings(self, answers: Sequence[float | None], before: Ratings) -> Ratings:
        """The ratings after these answers.

        A rating between two of the numbers asked stays as it is where the answer is the nearest one: nobody corrected it.
        All become the values of their answers where that would put completions into another order than the answers do.
        """
        if self.places:
            return _ranked(answers, before) or tuple(before)
        mapped: Ratings = tuple(old if said is None else self.value(said) for said, old in zip(answers, before, strict=True))
        kept: Ratings = tuple(
            old if old is not None and new is not None and abs(old - new) <= self.step / 2 + 1e-9 else new
            for new, old in zip(mapped, before, strict=True)
        )
        moved = [i for i, rating in enumerate(kept) if rating is not None and rating != before[i]]
        fits = all(
            _sign(kept[i], kept[j]) == _sign(mapped[i], mapped[j])
            for i in moved
            for j in range(len(kept))
            if kept[j] is not None
        )
        return kept if fits else mapped

    def asked_for(self, rating: float) -> int | None:
        """The number asked that is nearest to a rating of the data set; None where the rating lies outside the scale."""
        if not self.low <= rating <= self.high:
            return None
        return self.asked[0] + int((rating - self.low) / self.step + 0.5)

    def words(self) -> str:
        """How answers become ratings, where they are not the data set's own numbers; else empty."""
        if self.is_identity:
            return ""
        return f"an answer of {self.asked[0]} stands for {self.low:g} in the data, {self.asked[-1]} for {self.high:g}"

    def notes(self, ratings: Iterable[float | None]) -> list[str]:
        """What to say before a data set with these ratings is reviewed: that it is asked on another scale than theirs."""
        seen = [float(value) for value in ratings if value is not None and math.isfinite(value)]
        found = []
        outside = [value for value in seen if not self.low <= value <= self.high]
        if outside:
            found.append(
                f"a rating of {outside[0]:g} lies outside {self.low:g} to {self.high:g}, which this data set asks: an answer "
                "cannot say it; push under another name to ask on the scale of all ratings"
            )
        if any(self.value(self.asked[0] + round((value - self.low) / self.step)) != value for value in seen):
            stands = f" ({self.words()})" if self.words() else ""
            found.append(
                f"ratings are asked as whole numbers from {self.asked[0]} to {self.asked[-1]}{stands}; a rating between two of "
                "them stays as it is where the answer is the nearest"
            )
        elif self.words():
            found.append(f"ratings are asked as whole numbers from {self.asked[0]} to {self.asked[-1]}: {self.words()}")
        return found


def _ranked(answers: Sequence[float | None], before: Ratings) -> Ratings | None:
    """The record's own ratings in the order of the places; None where not every completion has a place."""
    places = [place for place in answers if place is not None]
    own = sorted(rating for rating in before if rating is not None)
    k = len(before)
    if len(places) < k:
        return None
    if len(own) == k:
        ranked = sorted(places)
        shares = [own[ranked.index(p) : ranked.index(p) + ranked.count(p)] for p in places]
        after = tuple(sum(share) / len(share) for share in shares)
        if all(_sign(after[i], after[j]) == _sign(places[i], places[j]) for i in range(k) for j in range(k)):
            return after
        if own[0] < own[-1]:
            low, high = min(places), max(places)
            return tuple(own[0] + (place - low) / ((high - low) or 1) * (own[-1] - own[0]) for place in places)
    return tuple(float(place) for place in places)


def _sign(first: float | None, second: float | None) -> int:
    if first is None or second is None:
        return 0
    return (first - second > 1e-9) - (second - first > 1e-9)


def ratings_from_answer(
    said: Mapping[str, Value],
    ratings: Sequence[float | None],
    *,
    scale: RatingScale | None = None,
    ends: tuple[float, float] = (0.0, 1.0),
) -> Ratings | None:
    """The label that an answer means; both in the record's own order (see :func:`in_own_order`).

    A pair's answer keeps the label's own numbers wherever it can. `a` or `b`: the label stays as it is if it says the same,
    and its two ratings are swapped if it says the opposite; where it says nothing (a tie, or no rating) the better one gets
    the upper end and the other the lower end. `tie`: both get the mean of the two ratings. `both_bad`: both get the
    lower of the two. Where a rating is missing, `tie` and `both_bad` give the middle and the lower end; and where the ratings
    of the data set are 0 and 1, for rejected and chosen, so that two halves are a tie and two zeros are "both bad".
    Ratings replace the record's ratings where they put the completions in another order; a completion that was not rated keeps
    its own. `keep`: the label stays, which orders nothing.

    Args:
        said: the answers by question name.
        ratings: the record's label; None where there is none.
        scale: of the rating questions; None where a choice is asked.
        ends: the lowest and the highest rating of the data set, 0 and 1 for chosen and rejected.

    Returns:
        one rating a completion, or None where the answers say nothing about the label.

    Raises:
        InputError: a value that the questions do not offer.
    """
    before = tuple(ratings)
    if (better := said.get(BETTER)) is not None:
        return _pair(str(better), before, ends)
    answers: list[Any] = [said.get(question_rating(i)) for i in range(len(before))]
    if all(value is None for value in answers):
        return None
    try:
        after = (scale or DEFAULT_SCALE).ratings([None if value is None else float(value) for value in answers], before)
    except (TypeError, ValueError) as exc:
        raise InputError(f"a rating of {answers!r} is not a number; was the question changed in Argilla?") from exc
    return before if alike(before, after) else after


DEFAULT_SCALE = RatingScale.identity(range(1, 6))


def _pair(answer: str, ratings: Ratings, ends: tuple[float, float]) -> Ratings:
    if len(ratings) != 2:
        raise InputError(f"an answer of {answer!r} fits a pair, and this record has {len(ratings)} completions")
    low, high = ends
    first, second = ratings
    if answer == "keep":
        return ratings
    if answer in ("a", "b"):
        if first is None or second is None or first == second:
            return (high, low) if answer == "a" else (low, high)
        return ratings if (first > second) == (answer == "a") else (second, first)
    if answer == "tie":
        both_bad = first == second == 0 and ends == (0.0, 1.0)
        middle = (low + high) / 2 if first is None or second is None or both_bad else (first + second) / 2
        return (middle, middle)
    if answer == "both_bad":
        tie = first == second and ends == (0.0, 1.0)
        worst = low if first is None or second is None or tie else min(first, second)
        return (worst, worst)
    raise InputError(f"{answer!r} is no answer to {BETTER!r}, which takes keep, flip, a, b, tie or both_bad")
