"""The labels as numbers to compare: impossible values set aside, one scale, centred within the record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.wrong.tails import long_tailed, normal_scores, ranks_say_more, shared

__all__ = ["Labels", "outside_scale", "prepare_labels"]

#: A scale of ratings takes few values; what takes more (votes, likes) has a long tail, and no value of it is impossible.
MAX_LEVELS = 60
#: Values outside by accident are few.
MAX_OUTSIDE = 0.05

#: Power of a rating's distance from its record's mean: twice the distance says a little less than twice as much, since right
#: labels too are now and then far from what all evidence says (Tukey's ladder of powers; chosen on planted errors).
POWER = 0.75
#: Share of the records that settles whether labels have two values: a stray record does not turn the fit of all others.
MOSTLY = 0.95


@dataclass(frozen=True, slots=True)
class Labels:
    """The ratings, made comparable.

    Attributes:
        rating: flat, centred within the record, compressed and standardised by the data's spread; NaN where absent or not used.
        impossible: flat, values that no rating on this scale can have.
        used: flat, possible ratings of records that have two or more.
        at_top: flat, ratings that are the highest of the scale; none where labels are two-valued, which is no scale.
        constant: shape (n,), records whose ratings are all equal.
        spoilt: shape (n,), records with an impossible rating.
        two_valued: whether the labels only say which is better: two ratings a record, as far apart in nearly all of them.
    """

    rating: Floats
    impossible: Bools
    used: Bools
    at_top: Bools
    constant: Bools
    spoilt: Bools
    two_valued: bool = False


def outside_scale(ratings: Floats) -> Bools:
    """Which ratings lie far outside the scale that nearly all others are on; flat.

    The limits lie one width of the central nine tenths beyond it: on a scale of 1 to 5 or 1 to 10 a rating that was multiplied
    by ten lies outside. Ratings of many levels, or of which more than a twentieth lie outside, are no such scale: nothing is
    impossible.

    Args:
        ratings: flat; NaN where absent.
    """
    none = np.zeros(len(ratings), bool)
    known = ratings[np.isfinite(ratings)]
    if len(known) < 8:
        return none
    low, high = np.quantile(known, [0.05, 0.95], method="nearest")
    width = high - low
    if width <= 0:
        return none
    lower, upper = low - width, high + width
    with np.errstate(invalid="ignore"):
        outside = (ratings < lower) | (ratings > upper)
    inside = known[(known >= lower) & (known <= upper)]
    if outside.sum() > MAX_OUTSIDE * len(known) or len(np.unique(inside)) > MAX_LEVELS:
        return none
    return np.asarray(outside)


def prepare_labels(offsets: Ints, ratings: Floats, scores: Floats | None = None) -> Labels:
    """The ratings of every record with two or more, standardised; impossible values count as absent.

    Ratings with a long tail (votes, say, or probabilities) are taken by their ranks.

    Args:
        offsets: shape (n + 1,).
        ratings: flat; NaN where absent.
        scores: flat, a judge's, to tell by which scale of the ratings is the one they go with; NaN where absent.
    """
    n = len(offsets) - 1
    owner = np.repeat(np.arange(n), np.diff(offsets))
    impossible = outside_scale(ratings)
    spoilt = np.zeros(n, bool)
    spoilt[owner[impossible]] = True
    used = np.isfinite(ratings) & ~impossible
    used &= np.bincount(owner[used], minlength=n)[owner] >= 2
    two_valued = _two_valued(ratings[used], owner[used])
    at_top = used & (ratings == ratings[used].max(initial=-np.inf)) & (not two_valued)
    if not two_valued and _by_rank(ratings, scores, owner, used):
        ratings = ratings.copy()
        ratings[used] = normal_scores(ratings[used])
    count = np.maximum(np.bincount(owner[used], minlength=n), 1)
    mean = np.bincount(owner[used], ratings[used], minlength=n) / count
    centred = np.where(used, ratings - mean[owner], np.nan)
    spread = np.zeros(n)
    np.maximum.at(spread, owner[used], np.abs(centred[used]))
    constant = (spread < 1e-9) & (np.bincount(owner[used], minlength=n) >= 2)
    # Distances from the mean, compressed, and centred again.
    bent = np.where(used, np.sign(centred) * np.abs(centred) ** POWER, np.nan)
    again = np.bincount(owner[used], bent[used], minlength=n) / count
    bent = bent - again[owner]
    # Sorted: the sum's last bits would otherwise depend on the order of the rows.
    squares = np.sort(np.square(bent[used]))
    unit = float(np.sqrt(squares.mean())) if len(squares) else 0.0
    return Labels(bent / (unit or 1.0), impossible, used, at_top, constant, spoilt, two_valued)


def _by_rank(ratings: Floats, scores: Floats | None, owner: Ints, used: Bools) -> bool:
    """Whether the ratings belong on the scale of their ranks."""
    known = used & np.isfinite(scores) if scores is not None else np.zeros(len(used), bool)
    if scores is None or not known.any():
        return long_tailed(ratings[used], owner[used])
    r, s, own = ratings[known], scores[known], owner[known]
    on_both = (s, normal_scores(s))
    plain, ranked = (max(shared(values, told, own) for told in on_both) for values in (r, normal_scores(r)))
    return ranks_say_more(plain, ranked)


def _two_valued(ratings: Floats, owner: Ints) -> bool:
    """Whether nearly all records whose ratings differ have two of them, as far apart as in the others.

    Args:
        ratings: shape (m,).
        owner: shape (m,), the record of each, ascending.
    """
    if not len(ratings):
        return False
    starts = np.flatnonzero(np.diff(owner, prepend=owner[0] - 1))
    low, high = np.minimum.reduceat(ratings, starts), np.maximum.reduceat(ratings, starts)
    span = high - low
    varied = span > 0
    if not varied.any():
        return False
    usual = float(np.median(span[varied]))
    record = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(owner)))
    between = np.minimum(ratings - low[record], high[record] - ratings) > 1e-6 * usual
    plain = (np.bincount(record, between) == 0) & (np.abs(span - usual) < 1e-6 * usual)
    return float(plain[varied].mean()) >= MOSTLY
