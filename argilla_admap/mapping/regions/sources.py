"""What the map owes to where its records come from: regions that are sources by another name, and sources of bad labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.regions.coordinates import REGIONS

__all__ = ["SourceNoise", "noise_by_source", "sorted_by_source", "sources_by_region", "worse_sources"]

#: Sources of fewer records tell no rate of their own; of the others so many are told, the largest.
FEWEST, MOST = 30, 20
#: A source's rate leans on that of the whole data set as if so many more of its records were known.
PRIOR_RECORDS = 20.0
#: Rates at which a posterior is looked at, and the bins of log-odds into which the records go first.
GRID, BINS, REACH = 400, 800, 20.0
#: Far worse than the rest: so many times its rate, and so much more of it, beyond both 90% intervals.
TIMES, MORE = 2.0, 0.03
_NAME = 60


@dataclass(frozen=True, slots=True)
class SourceNoise:
    """The wrong labels of one source.

    Attributes:
        name: of the source.
        records: with labels that differ and a P(wrong).
        expected_wrong: sum of their P(wrong).
        noise_rate: the source's own share of wrong labels, 0..1.
        low, high: its 90% interval.
    """

    name: str
    records: int
    expected_wrong: float
    noise_rate: float
    low: float
    high: float

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "source": self.name,
            "records": self.records,
            "expected_wrong": self.expected_wrong,
            "noise_rate": self.noise_rate,
            "noise_interval": [self.low, self.high],
        }


def noise_by_source(
    p_wrong: Floats, varied: Bools, sources: Ints, names: Sequence[str], rate: float | None
) -> tuple[SourceNoise, ...]:
    """The share of wrong labels in each of the larger sources, the largest source first; none where there is one source only.

    P(wrong) was told with one rate of noise for all, which makes bad sources look better than they are and good ones worse. Its
    odds over those of that rate are the evidence of the record alone; under a rate of the source's own, q, a record has the
    likelihood 1 - q + q * evidence, and q its posterior, with a beta prior of mean `rate` that counts as `PRIOR_RECORDS`.

    Args:
        p_wrong: shape (n,), 0..1; NaN where unknown.
        varied: shape (n,), records whose labels differ.
        sources: shape (n,), codes into `names`; -1 where unknown.
        rate: the rate of noise with which `p_wrong` was told; None where there was none.
    Source: the class prior re-estimated from posteriors, Saerens, Latinne & Decaestecker, Neural Computation 14 (2002) 21-41.
    """
    known = np.isfinite(p_wrong) & varied & (sources >= 0)
    if rate is None or not 0 < rate < 1:
        return ()
    counts = np.bincount(sources[known], minlength=len(names))
    if np.count_nonzero(counts) < 2:
        return ()
    told = np.argsort(-counts, kind="stable")[:MOST]
    # Log-odds in bins, so that a million records cost no more than a thousand.
    odds = _log_odds(p_wrong[known]) - _log_odds(np.array([rate]))[0]
    place = np.clip(np.round((odds + REACH) / (2 * REACH) * (BINS - 1)), 0, BINS - 1).astype(np.int64)
    evidence = np.exp(np.linspace(-REACH, REACH, BINS))
    found = []
    for code in told[counts[told] >= FEWEST]:
        inside = sources[known] == code
        held = np.bincount(place[inside], minlength=BINS).astype(np.float64)
        mean, low, high = _posterior(held, evidence, rate)
        wrong = float(np.sort(p_wrong[known][inside]).sum())
        found.append(SourceNoise(names[code], int(counts[code]), wrong, mean, low, high))
    return tuple(found)


def _log_odds(p: Floats) -> Floats:
    clipped = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _posterior(held: Floats, evidence: Floats, rate: float) -> tuple[float, float, float]:
    """Mean, .05 and .95 quantile of the rate q; `held` records have `evidence`, both of shape (BINS,)."""
    some = held > 0
    grid = (np.arange(GRID) + 0.5) / GRID
    shares = np.log(1 - grid[:, None] + grid[:, None] * evidence[some]) @ held[some]
    shares += PRIOR_RECORDS * (rate * np.log(grid) + (1 - rate) * np.log1p(-grid))
    density = np.exp(shares - shares.max())
    reached = np.concatenate([[0.0], np.cumsum(density) / density.sum()])
    low, high = np.interp([0.05, 0.95], reached, np.arange(GRID + 1) / GRID)
    return float(grid @ density / density.sum()), float(low), float(high)


def worse_sources(noise: Sequence[SourceNoise], column: str) -> list[str]:
    """A sentence for each source whose labels are far worse than those of all others told, the worst first."""
    said = []
    for part in sorted(noise, key=lambda p: (-p.noise_rate, p.name)):
        others = [other for other in noise if other is not part]
        records = sum(other.records for other in others)
        if not records:
            continue
        rest = sum(other.noise_rate * other.records for other in others) / records
        beyond = sum(other.high * other.records for other in others) / records
        if part.noise_rate >= TIMES * rest and part.noise_rate >= rest + MORE and part.low > beyond:
            # A data set's own words: nothing in them may speak to the terminal.
            name = part.name[:_NAME] if part.name.isprintable() else ascii(part.name[:_NAME])
            said.append(
                f"labels of {column} {name} are far worse than the rest: about {part.noise_rate:.0%} of {part.records:,} are "
                f"wrong ({part.low:.0%} to {part.high:.0%}), elsewhere about {rest:.1%}; read these first, and see who or what "
                "made them"
            )
    return said


def sorted_by_source(column: str, association: float) -> str:
    """What to know where regions go with a source."""
    return (
        f"region goes with {column} (Cramér's V {association:.2f}): choosing by region is in part choosing by {column}; "
        f"split within it with --stratify {column}"
    )


def sources_by_region(region: Ints, sources: Ints, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many records of each region come from the ten commonest sources.

    Args:
        region, sources: shape (n,), codes; negative where there is none.
    """
    counts = np.bincount(sources[sources >= 0], minlength=len(names))
    common = np.argsort(-counts, kind="stable")[:10]
    return {
        name: {names[s]: int(((region == code) & (sources == s)).sum()) for s in common} for code, name in enumerate(REGIONS)
    }
