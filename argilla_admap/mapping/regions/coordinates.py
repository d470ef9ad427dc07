"""The place of a record on the map: mean, variance, the two thresholds, the three regions, and how sure a region is.

The thresholds are those of the whole data set, of each stratum, or of an earlier map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from scipy.special import chndtr, ndtr

from argilla_admap.errors import InputError
from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, groups_by_size, parts_of

__all__ = ["REGIONS", "REGION_TITLES", "Coordinates", "GivenThresholds", "Thresholds", "compute_coordinates", "split_regions"]

#: What people read for each region.
REGION_TITLES = {"high_var": "high variance", "high_avg": "high average", "low_avg": "low average"}
#: Region codes index this tuple; `NO_REGION` is the code of a record with fewer than two scores.
REGIONS = tuple(REGION_TITLES)
HIGH_VAR, HIGH_AVG, LOW_AVG, NO_REGION = 0, 1, 2, -1


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Each record's place. All of shape (n_records,), NaN where fewer than two completions are scored.

    Attributes:
        scored: how many completions have a score.
        mean: of the scores, score points.
        total: population variance of the scores, squared score points.
        noise: the judge's variance that is in `total`, squared score points; 0 where it is not known.
        variance: `total` less `noise`, never below 0: the variance between the completions.
    """

    scored: Ints
    mean: Floats
    total: Floats
    noise: Floats
    variance: Floats

    @classmethod
    def joined(cls, parts: Sequence[Coordinates]) -> Coordinates:
        """Of several parts of the records, one after the other."""
        names = [one.name for one in fields(cls)]
        if any(part.noise.any() for part in parts):
            return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
        # One array does for two.
        scored, mean, total = (np.concatenate([getattr(part, name) for part in parts]) for name in names[:3])
        return cls(scored, mean, total, np.broadcast_to(0.0, len(total)), total)

    def part(self, rows: slice) -> Coordinates:
        """Of some records."""
        return Coordinates(*(getattr(self, one.name)[rows] for one in fields(self)))


def with_noise(place: Coordinates) -> Coordinates:
    """The same places by the population variance of the scores, the judge's noise included: the paper's axis."""
    return replace(place, variance=place.total)


def compute_coordinates(offsets: Ints, scores: Floats, error_variances: Floats) -> Coordinates:
    """Mean and between-completion variance of each record.

    A score is the mean of some samples and has an error of variance e_i. The population variance of K such scores is on average
    that of the true ones plus (K - 1) / K times the mean of e_i, which is taken off.

    Args:
        offsets: shape (n + 1,).
        scores: flat, judge scale; NaN where unscored.
        error_variances: flat, squared score points, as `Observations.error_variances` gives; NaN where unknown.
    Source: Lee et al., arXiv 2505.23114 (mean, population variance); the correction is the method of moments for a one-way
        random effects model (Searle, Casella & McCulloch, Variance Components, 1992, ch. 3).
    """
    n = len(offsets) - 1
    counts = np.zeros(n, np.int64)
    mean, total, noise = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n)
    present, noisy = np.isfinite(scores), bool(np.isfinite(error_variances).any())
    for group in groups_by_size(offsets, present):
        counts[group.rows] = group.k
        if group.k < 2:
            continue
        # Sorted: a sum of floats depends on their order, and a record's place must not depend on that of its completions.
        values = np.sort(scores[group.items], axis=1)
        centre = values.mean(axis=1)
        mean[group.rows] = centre
        total[group.rows] = np.square(values - centre[:, None]).mean(axis=1)
        if noisy:
            errors = np.sort(np.nan_to_num(error_variances[group.items], nan=0.0), axis=1)
            noise[group.rows] = errors.mean(axis=1) * (group.k - 1) / group.k
    # The last bits are rounding errors, and equal records must compare equal.
    mean, total = np.round(mean, 10), np.round(total, 10)
    if not noisy:
        return Coordinates(counts, mean, total, noise, total)
    noise = np.round(noise, 10)
    return Coordinates(counts, mean, total, noise, np.maximum(np.round(total - noise, 10), 0.0))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The two values that split the map: `variance` or more is high_var; of the rest, `mean` or more is high_avg."""

    variance: float
    mean: float

    def as_json(self) -> dict[str, float]:
        """The two values by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Thresholds:
        """The two values from their JSON.

        Raises:
            InputError: a number is absent or not finite.
        """
        try:
            pair = float(value["variance"]), float(value["mean"])
        except (KeyError, TypeError, ValueError) as exc:
            raise InputError(f"thresholds {value!r}: needs the numbers 'variance' and 'mean'") from exc
        if not np.isfinite(pair).all():
            raise InputError(f"thresholds {value!r}: 'variance' and 'mean' must be finite")
        return cls(*pair)


def cut_above(values: Floats, above: int) -> tuple[float, float]:
    """The threshold with as nearly `above` of the values above it as ties allow.

    It lies half way between two neighbouring values, so that rounding cannot carry a record across.

    Args:
        values: shape (n,), n >= 1, finite.
        above: wanted, 0..n.
    Returns:
        the threshold, and the value that a cut by position would have split; NaN where it falls between two values.
    """
    ordered = np.sort(values)
    n = len(ordered)
    above = min(max(above, 0), n)
    margin = max(1.0, abs(float(ordered[-1]))) * 1e-6
    if above == 0:
        return float(ordered[-1]) + margin, np.nan
    if above == n:
        return float(ordered[0]), np.nan
    value = float(ordered[n - above])
    first, end = int(np.searchsorted(ordered, value, "left")), int(np.searchsorted(ordered, value, "right"))
    if first == n - above:
        return (float(ordered[first - 1]) + value) / 2, np.nan
    # Equal values go together to the side that leaves the count nearest to what was asked (up, when it makes no difference).
    if (n - first) - above <= above - (n - end):
        threshold = float(ordered[first - 1] + value) / 2 if first > 0 else value
    else:
        threshold = float(ordered[end] + value) / 2 if end < n else value + margin
    return threshold, value


def fit_thresholds(variance: Floats, mean: Floats) -> tuple[Thresholds, Bools]:
    """The authors' split as two values, and which records tie with a cut.

    Of n records, n - floor(2n / 3) with the highest variance are high_var; the rest are halved by their mean. Ties go together.

    Args:
        variance, mean: shape (n,), n >= 1, finite.
    Source: Lee et al., arXiv 2505.23114, and the authors' code, which splits by position.
    """
    n = len(variance)
    by_variance, tie = cut_above(variance, n - 2 * n // 3)
    rest, boundary = variance < by_variance, np.equal(variance, tie)
    if not rest.any():
        return Thresholds(by_variance, float(np.median(mean))), boundary
    remaining = int(rest.sum())
    by_mean, tie = cut_above(mean[rest], remaining - remaining // 2)
    return Thresholds(by_variance, by_mean), boundary | (rest & np.equal(mean, tie))


@dataclass(frozen=True, slots=True)
class RecordThresholds:
    """The thresholds of each record, shape (n,) each: the same for all, or those of its stratum."""

    variance: Floats
    mean: Floats


def assign_regions(place: Coordinates, cuts: RecordThresholds) -> Ints:
    """Each record's region code, `NO_REGION` where it has no coordinates; shape (n,)."""
    region = np.where(place.mean >= cuts.mean, HIGH_AVG, LOW_AVG)
    region[place.variance >= cuts.variance] = HIGH_VAR
    region[~np.isfinite(place.variance)] = NO_REGION
    return region


def region_confidence(place: Coordinates, region: Ints, error_variance: Floats, cuts: RecordThresholds) -> Floats:
    """Probability that the record would be in the same region without the judge's noise; shape (n,), 0..1.

    With an error of variance e in each of the K scores, K times the population variance over e is noncentral chi-squared with
    K - 1 degrees of freedom around the between-completion variance, and the mean is normal with variance e / K, independent
    of it (Cochran's theorem). The threshold is moved up by the noise that another judgement would add.

    Args:
        error_variance: shape (n,), squared score points: mean error variance of the record's scores.
    """
    known = region != NO_REGION
    confidence = np.full(len(region), np.nan)
    k, variance, mean = place.scored[known], place.variance[known], place.mean[known]
    error = np.maximum(error_variance[known], 1e-12)
    cut = np.maximum(cuts.variance[known] + error * (k - 1) / k, 0.0)
    below = chndtr(k * cut / error, k - 1.0, np.minimum(k * variance / error, 1e6))
    sharp = k * np.maximum(variance, cut) / error > 1e4
    below = np.where(sharp, variance < cuts.variance[known], below)
    upper = ndtr((mean - cuts.mean[known]) / np.sqrt(error / k))
    chances = np.stack([1 - below, below * upper, below * (1 - upper)])
    confidence[known] = chances[region[known], np.arange(known.sum())]
    return np.asarray(np.clip(confidence, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class GivenThresholds:
    """Thresholds to use: for all records, and for those of the strata named."""

    everywhere: Thresholds
    strata: Mapping[str, Thresholds] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegionSplit:
    """Where the cuts lie and what falls where.

    Attributes:
        region: shape (n,), region codes.
        cuts: the thresholds that hold for each record.
        tied: shape (n,), records whose value equals one that a cut by position would have split.
        thresholds: of the whole data set; None when nothing is on the map.
        strata: thresholds by stratum, as JSON; empty without strata.
    """

    region: Ints
    cuts: RecordThresholds
    tied: Bools
    thresholds: Thresholds | None
    strata: dict[str, dict[str, float]]


def split_regions(
    place: Coordinates, sources: Ints, names: tuple[str, ...], stratify: str | None, given: GivenThresholds | None
) -> RegionSplit:
    """Finds the cuts and assigns the regions.

    Args:
        sources: shape (n,), codes into `names`; -1 where unknown (such records are a stratum of their own, named "").
        stratify: None splits all records at once.
        given: thresholds that take the place of fitted ones; strata that they do not name take those for all.
    """
    n = len(place.mean)
    mapped = np.isfinite(place.variance)
    tied = np.zeros(n, bool)
    cuts = RecordThresholds(np.broadcast_to(np.inf, n), np.broadcast_to(np.inf, n))
    if not mapped.any() and given is None:
        return RegionSplit(assign_regions(place, cuts), cuts, tied, None, {})
    if given is not None:
        overall = given.everywhere
    else:
        overall, everywhere = fit_thresholds(place.variance[mapped], place.mean[mapped])
        if stratify is None:
            tied[mapped] = everywhere
    cuts = RecordThresholds(np.broadcast_to(overall.variance, n), np.broadcast_to(overall.mean, n))
    strata: dict[str, dict[str, float]] = {}
    if stratify is not None or (given is not None and given.strata):
        cuts = RecordThresholds(cuts.variance.copy(), cuts.mean.copy())
        for code, rows in enumerate(parts_of(sources + 1, len(names) + 1), -1):
            inside = rows[mapped[rows]]
            if not len(inside):
                continue
            name = names[code] if code >= 0 else ""
            if given is None:
                own, tied[inside] = fit_thresholds(place.variance[inside], place.mean[inside])
            else:
                own = given.strata.get(name, overall)
            strata[name] = own.as_json()
            cuts.variance[rows], cuts.mean[rows] = own.variance, own.mean
    return RegionSplit(assign_regions(place, cuts), cuts, tied, overall, strata)
