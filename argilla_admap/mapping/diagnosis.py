"""P(wrong): how probably a record's ratings are not what they were meant to be. Fitted without any label of a person's."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from argilla_admap.mapping.arrays import Bools, Floats, Ints, groups_by_size
from argilla_admap.mapping.likelihood import ratings_given_scores

__all__ = ["Diagnosis", "Fit", "centred", "diagnose"]

GRID = np.geomspace(0.15, 12.0, 24)
#: A judge who, one time in twenty-five, judges something else than the labels do: it bounds what a score can prove.
LAPSE = 0.04
#: Beta prior of the noise rate: one record in ten, worth twenty records.
PRIOR = (2.0, 18.0)
MAX_NOISE = 0.45
#: Nats a record by which scores must explain the labels better than chance does.
MIN_GAIN = 0.02
#: Records that the fit looks at.
FIT_RECORDS = 20_000


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted constants.

    Attributes:
        scale: of the likelihood, per product of a standardised rating and a standardised score.
        noise_rate: share of records whose labels are wrong, 0..MAX_NOISE.
        gain: nats a record over a random assignment.
        lapse: share of records on which the judge's scores say nothing.
    """

    scale: float
    noise_rate: float
    gain: float
    lapse: float = LAPSE


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of the labels.

    Attributes:
        p_wrong: shape (n,), 0..1; NaN where there is no saying.
        fit: the constants; None when there is no P(wrong) at all.
        refusal: why there is none, in words; None when there is.
        parts: facts about the fit, for the map's metadata.
    """

    p_wrong: Floats
    fit: Fit | None
    refusal: str | None
    parts: dict[str, float | str] = field(default_factory=dict)


def centred(values: Floats, owner: Ints, n: int, keep: Bools) -> Floats:
    """Flat values less their record's mean over the items kept; NaN elsewhere."""
    count = np.bincount(owner[keep], minlength=n)
    total = np.bincount(owner[keep], values[keep], minlength=n)
    mean = total / np.maximum(count, 1)
    return np.where(keep, values - mean[owner], np.nan)


def _standardised(values: Floats, keep: Bools) -> Floats:
    deviation = float(np.sqrt(np.mean(np.square(values[keep])))) if keep.any() else 0.0
    return values / (deviation or 1.0)


def diagnose(offsets: Ints, ratings: Floats, scores: Floats) -> Diagnosis:
    """P(wrong) of each record from its ratings and the judge's scores.

    Args:
        ratings, scores: flat; NaN where absent. A missing score counts as its record's mean.
    """
    n = len(offsets) - 1
    nothing = np.full(n, np.nan)
    owner = np.repeat(np.arange(n), np.diff(offsets))
    rated = np.isfinite(ratings)
    scored = np.isfinite(scores)
    both = np.bincount(owner[rated & scored], minlength=n) >= 2
    if not rated.any():
        return Diagnosis(nothing, None, "the records carry no ratings: there is no label to doubt")
    if not both.any():
        return Diagnosis(nothing, None, "no record has two completions with a rating and a score")
    use = rated & both[owner]
    r = _standardised(centred(ratings, owner, n, use), use)
    s = np.where(use, np.nan_to_num(centred(scores, owner, n, use & scored), nan=0.0), np.nan)
    s = _standardised(s, use)
    groups, constant = [], np.zeros(n, bool)
    for group in groups_by_size(offsets, use):
        varied = np.ptp(r[group.items], axis=1) > 1e-12
        constant[group.rows[~varied]] = True
        if varied.any():
            groups.append((group.rows[varied], r[group.items[varied]], s[group.items[varied]]))
    if not groups:
        return Diagnosis(nothing, None, "every record's ratings are equal: they order nothing")
    fit = _fit([(r, s) for _, r, s in groups])
    if fit.gain < MIN_GAIN or fit.scale <= GRID[0]:
        words = (
            f"judge and labels do not agree enough: the scores explain {max(fit.gain, 0):.3f} nats a record of the "
            f"labels' order, less than {MIN_GAIN} (0 is chance)"
        )
        return Diagnosis(nothing, None, words, {"gain": fit.gain, "scale": fit.scale})
    p = nothing.copy()
    p[constant] = 0.0
    for rows, r, s in groups:
        odds = np.exp(_log_ratio(r, s, fit.scale))
        p[rows] = fit.noise_rate * odds / (fit.noise_rate * odds + 1 - fit.noise_rate)
    return Diagnosis(p, fit, None, {"scale": fit.scale, "gain": fit.gain, "lapse": fit.lapse})


def _log_likelihoods(r: Floats, s: Floats, scale: float) -> tuple[Floats, Floats, Floats]:
    a = ratings_given_scores(r, s, scale)
    wrong = np.logaddexp(a.swapped, a.careless) - np.log(2.0)
    floor = np.log(LAPSE) + a.uniform
    keep = np.log1p(-LAPSE)
    return np.logaddexp(keep + a.right, floor), np.logaddexp(keep + wrong, floor), a.uniform


def _log_ratio(r: Floats, s: Floats, scale: float) -> Floats:
    right, wrong, _ = _log_likelihoods(r, s, scale)
    return wrong - right


def _fit(groups: list[tuple[Floats, Floats]]) -> Fit:
    best: Fit | None = None
    highest = -np.inf
    for scale in GRID:
        parts = [_log_likelihoods(r, s, float(scale)) for r, s in groups]
        right, wrong, uniform = (np.concatenate([p[i] for p in parts]) for i in range(3))
        rate = 0.1
        for _ in range(50):
            odds = rate * np.exp(wrong - right)
            share = odds / (odds + 1 - rate)
            new = min((share.sum() + PRIOR[0] - 1) / (len(share) + sum(PRIOR) - 2), MAX_NOISE)
            if abs(new - rate) < 1e-6:
                break
            rate = new
        mixed = np.logaddexp(np.log(rate) + wrong, np.log1p(-rate) + right)
        if mixed.sum() > highest:
            highest = float(mixed.sum())
            best = Fit(float(scale), float(rate), float((mixed - uniform).mean()))
    if best is None:
        return Fit(float(GRID[0]), 0.0, 0.0)
    return best
