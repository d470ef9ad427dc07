"""The error of a record's scores: how far another judgement of the same completions would lie from this one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argilla_admap.mapping.data.arrays import Floats
from argilla_admap.mapping.data.observations import Observations

__all__ = ["JudgeError", "fit_error"]

#: The judge's standard deviation where no repeated samples show it, as a share of the scale's range: GPT-4's over three repeats
#: on a scale of 1 to 5 (.44 of 4).
ASSUMED_NOISE = 0.11


@dataclass(frozen=True, slots=True)
class JudgeError:
    """The usual error variance of a score, squared score points, and whether it is assumed, since no samples are repeated."""

    usual: float
    assumed: bool

    def of(self, seen: Observations) -> Floats:
        """Mean error variance of each record's scores, shape (n,).

        Each completion's own is shrunk towards the usual one: it may be unknown, or 0 by the chance of few samples.
        """
        errors, scored = seen.error_variances(), np.isfinite(seen.scores)
        known = scored & np.isfinite(errors)
        # Each completion's own estimate has count - 1 degrees of freedom; the usual one counts as two more.
        freedom = np.where(known, np.maximum(seen.sample_counts - 1, 0), 0)
        shrunk = (freedom * np.where(known, errors, 0.0) + 2 * self.usual) / (freedom + 2)
        owner = seen.owner[scored]
        total = np.bincount(owner, shrunk[scored], minlength=seen.n)
        return np.asarray(total / np.maximum(np.bincount(owner, minlength=seen.n), 1))


def fit_error(seen: Observations) -> JudgeError:
    """The usual error of these records' scores."""
    errors, scored = seen.error_variances(), np.isfinite(seen.scores)
    known = scored & np.isfinite(errors)
    if known.any():
        return JudgeError(float(np.sort(errors[known]).mean()), assumed=False)
    scale = float(np.ptp(seen.scores[scored])) if scored.any() else 0.0
    return JudgeError((ASSUMED_NOISE * scale) ** 2, assumed=True)
