"""The labels as numbers to compare: impossible values set aside, one scale, centred within the record.

Ratings or scores with a long tail (votes, probabilities) are compared by rank: a fit sees differences, and those of a few
records would hide all others. Whether ranks or values are right, labels and scores tell together: on the better scale they
agree more closely.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, owners_of

__all__ = [
    "LabelScale",
    "Labels",
    "Ranks",
    "fit_labels",
    "normal_scores",
    "prepare_labels",
    "ranks_fit_better",
    "shared_variance",
]

#: A rating scale has few values; what has more (votes, likes) has a long tail, and none of its values is impossible.
MAX_LEVELS = 60
#: Values outside by accident are at most this share.
MAX_OUTSIDE = 0.05
#: Power of a rating's distance from its record's mean: twice the distance counts a little less than twice as much, since right
#: labels too are sometimes far from all evidence (Tukey's ladder of powers; chosen on planted errors).
POWER = 0.75
#: Share of the records that decides whether labels have two values: a stray record does not change the fit of all others.
MOSTLY = 0.95
#: Differences below this share of the largest value are none: rounding errors must not become ranks.
NOTHING = 1e-12
#: A tail is long where the quadratic mean of the records' spans is this many times their median; on grades it is 1 to 2.5.
LONG = 5.0
#: Ranks must explain this many times as much of the other side as plain values, and this much more; on grades it is less.
TIMES, MORE = 1.2, 0.02


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
        two_valued: whether the labels only say which is better: two ratings a record, equally far apart in nearly all of them.
    """

    rating: Floats
    impossible: Bools
    used: Bools
    at_top: Bools
    constant: Bools
    spoilt: Bools
    two_valued: bool = False


def limits_of(ratings: Floats) -> tuple[float, float]:
    """The limits of the scale that nearly all ratings are on; infinite where nothing lies far outside.

    The limits lie one width of the central nine tenths beyond it: on a scale of 1 to 5 or 1 to 10 a rating that was multiplied
    by ten lies outside. Where ratings have many levels, or more than a twentieth lie outside, nothing is impossible.

    Args:
        ratings: flat; NaN where absent.
    """
    none = -np.inf, np.inf
    known = ratings[np.isfinite(ratings)]
    if len(known) < 8:
        return none
    low, high = np.quantile(known, [0.05, 0.95], method="nearest")
    width = high - low
    if width <= 0:
        return none
    lower, upper = low - width, high + width
    inside = known[(known >= lower) & (known <= upper)]
    if len(known) - len(inside) > MAX_OUTSIDE * len(known) or len(np.unique(inside)) > MAX_LEVELS:
        return none
    return float(lower), float(upper)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The normal scores of some values' ranks; a value between two of them has a score in between.

    Attributes:
        largest: absolute value, by which all are divided.
        values: those that occur, over the largest, ascending.
        scores: of each, from the mean rank of equal ones.
    Source: van der Waerden 1952, with ranks less one half (Hazen 1914).
    """

    largest: float
    values: Floats
    scores: Floats

    @classmethod
    def among(cls, values: Floats) -> Ranks:
        """From the values, shape (m,)."""
        largest = float(np.abs(values).max(initial=0.0)) or 1.0
        distinct, counts = np.unique(np.round(values / largest, 12), return_counts=True)
        ranks = np.cumsum(counts) - (counts - 1) / 2
        return cls(largest, distinct, ndtri((ranks - 0.5) / max(len(values), 1)))

    def of(self, values: Floats) -> Floats:
        """The scores of values, shape (m,)."""
        if not len(self.values):
            return np.zeros(len(values))
        return np.asarray(np.interp(np.round(values / self.largest, 12), self.values, self.scores))


@dataclass(frozen=True, slots=True)
class LabelScale:
    """What makes the ratings of all records comparable.

    Attributes:
        lower, upper: ratings beyond are impossible.
        two_valued: as `Labels.two_valued`.
        top: the highest rating.
        ranks: where ratings are taken by rank; else None.
        unit: by which the compressed ratings are divided.
    """

    lower: float
    upper: float
    two_valued: bool
    top: float
    ranks: Ranks | None
    unit: float = 1.0

    def labels(self, offsets: Ints, ratings: Floats) -> Labels:
        """The ratings of records on this scale.

        Args:
            ratings: flat; NaN where absent.
        """
        n, owner = len(offsets) - 1, owners_of(offsets)
        impossible, used = _possible(ratings, owner, n, self.lower, self.upper)
        spoilt = np.zeros(n, bool)
        spoilt[owner[impossible]] = True
        with np.errstate(invalid="ignore"):
            at_top = used & (ratings >= self.top) & (not self.two_valued)
        if self.ranks is not None:
            ratings = ratings.copy()
            ratings[used] = self.ranks.of(ratings[used])
        counted = np.bincount(owner[used], minlength=n)
        count = np.maximum(counted, 1)
        mean = np.bincount(owner[used], ratings[used], minlength=n) / count
        centred = np.where(used, ratings - mean[owner], np.nan)
        spread = np.zeros(n)
        np.maximum.at(spread, owner[used], np.abs(centred[used]))
        constant = (spread < 1e-9) & (counted >= 2)
        # Distances from the mean, compressed, and centred again.
        bent = np.where(used, np.sign(centred) * np.abs(centred) ** POWER, np.nan)
        again = np.bincount(owner[used], bent[used], minlength=n) / count
        return Labels((bent - again[owner]) / self.unit, impossible, used, at_top, constant, spoilt, self.two_valued)


def _possible(ratings: Floats, owner: Ints, n: int, lower: float, upper: float) -> tuple[Bools, Bools]:
    """Ratings beyond the limits; and those within, of records that have two or more; flat each."""
    with np.errstate(invalid="ignore"):
        impossible = (ratings < lower) | (ratings > upper)
    used = np.isfinite(ratings) & ~impossible
    used &= np.bincount(owner[used], minlength=n)[owner] >= 2
    return impossible, used


def prepare_labels(offsets: Ints, ratings: Floats, scores: Floats | None = None) -> Labels:
    """The ratings of every record with two or more, standardised; impossible values count as absent.

    Ratings with a long tail are taken by their ranks.

    Args:
        ratings: flat; NaN where absent.
        scores: flat, a judge's, to choose between values and ranks; NaN where absent.
    """
    return fit_labels(offsets, ratings, scores).labels(offsets, ratings)


def fit_labels(offsets: Ints, ratings: Floats, scores: Floats | None = None) -> LabelScale:
    """The scale of these ratings; arguments as for `prepare_labels`."""
    owner = owners_of(offsets)
    limits = limits_of(ratings)
    used = _possible(ratings, owner, len(offsets) - 1, *limits)[1]
    two_valued = _two_valued(ratings[used], owner[used])
    by_rank = not two_valued and _by_rank(ratings, scores, owner, used)
    top = float(ratings[used].max(initial=-np.inf))
    scale = LabelScale(*limits, two_valued, top, Ranks.among(ratings[used]) if by_rank else None)
    # Sorted: the sum's last bits would otherwise depend on the order of the rows.
    squares = np.sort(np.square(scale.labels(offsets, ratings).rating[used]))
    return replace(scale, unit=(float(np.sqrt(squares.mean())) if len(squares) else 0.0) or 1.0)


def _by_rank(ratings: Floats, scores: Floats | None, owner: Ints, used: Bools) -> bool:
    """Whether the ratings are to be taken by their ranks."""
    known = used & np.isfinite(scores) if scores is not None else np.zeros(len(used), bool)
    if scores is None or not known.any():
        return is_long_tailed(ratings[used], owner[used])
    r, s, own = ratings[known], scores[known], owner[known]
    plain, ranked = (max(shared_variance(a, b, own) for b in (s, normal_scores(s))) for a in (r, normal_scores(r)))
    return ranks_fit_better(plain, ranked)


def _two_valued(ratings: Floats, owner: Ints) -> bool:
    """Whether nearly all records whose ratings differ have two of them, equally far apart.

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
    record = np.cumsum(np.diff(owner, prepend=owner[0]) > 0)
    between = np.minimum(ratings - low[record], high[record] - ratings) > 1e-6 * usual
    plain = (np.bincount(record, between) == 0) & (np.abs(span - usual) < 1e-6 * usual)
    return float(plain[varied].mean()) >= MOSTLY


def shared_variance(ratings: Floats, scores: Floats, owner: Ints) -> float:
    """Share of the differences within records that ratings and scores have in common, 0..1.

    Args:
        ratings, scores: shape (m,), finite.
        owner: shape (m,), the record of each.
    Source: the square of the correlation within groups, as in the analysis of covariance (Fisher 1932).
    """
    r, s = _centred(ratings, owner), _centred(scores, owner)
    both = float(np.square(r).sum() * np.square(s).sum())
    return float(r @ s) ** 2 / both if both > 0 else 0.0


def _centred(values: Floats, owner: Ints) -> Floats:
    # Divided by the largest, so that the squares of very large values stay finite.
    values = values / (np.abs(values).max(initial=0.0) or 1.0)
    mean = np.bincount(owner, values) / np.maximum(np.bincount(owner), 1)
    return np.asarray(values - mean[owner])


def ranks_fit_better(plain: float, ranked: float) -> bool:
    """Whether values are to be taken by rank, from the variance that either way shares with the other side.

    Source: the scale on which two sides go together best, as in alternating conditional expectations (Breiman & Friedman 1985).
    """
    return ranked > TIMES * plain and ranked > plain + MORE


def spans(values: Floats, owner: Ints) -> Floats:
    """Largest less smallest value of each record, in the records' order.

    Args:
        values: shape (m,).
        owner: shape (m,), the record of each, ascending.
    """
    if not len(values):
        return np.zeros(0)
    starts = np.flatnonzero(np.diff(owner, prepend=owner[0] - 1))
    return np.asarray(np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts))


def is_long_tailed(values: Floats, owner: Ints) -> bool:
    """Whether differences within records are so unequal that those of a few records hide all others."""
    span = np.sort(spans(values, owner))
    span = span[span > NOTHING * np.abs(values).max(initial=0.0)]
    if not len(span):
        return False
    share = span / span[-1]
    return float(np.sqrt(np.square(share).mean())) > LONG * float(np.median(share))


def normal_scores(values: Floats) -> Floats:
    """The normal quantiles of the values' ranks among all, shape (m,); equal values get their mean rank."""
    return Ranks.among(values).of(values)
