"""Sources of the records: which of them have worse labels, and whether regions are sources by another name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.regions.coordinates import REGIONS

__all__ = ["HIGH_ASSOCIATION", "cramers_v", "noise_by_source", "source_warning", "sources_by_region", "worse_sources"]

#: Cramér's V of region and source from which a selection by region is largely a selection by source.
HIGH_ASSOCIATION = 0.3
#: A source needs this many records for a rate of its own; at most this many sources get one, the largest.
FEWEST, MOST = 30, 20
#: The whole data set's rate counts as this many records of each source.
PRIOR_RECORDS = 20.0
#: Rates of the posterior's grid, and bins of log-odds (from -REACH to REACH) in which the records are counted.
GRID, BINS, REACH = 400, 800, 20.0
#: Far worse than the rest: this many times its rate, and this much above it, beyond both 90% intervals.
TIMES, MORE = 2.0, 0.03
_NAME = 60
#: Records that are counted at a time.
AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceNoise:
    """The wrong labels of one source, as in the map's summary.

    Attributes:
        source: its name.
        records: with labels that differ and a P(wrong).
        expected_wrong: sum of their P(wrong).
        noise_rate: the source's own share of wrong labels, 0..1.
        noise_interval: the 90% interval of that.
    """

    source: str
    records: int
    expected_wrong: float
    noise_rate: float
    noise_interval: tuple[float, float]


def noise_by_source(
    p_wrong: Floats, varied: Bools, sources: Ints, names: Sequence[str], rate: float | None
) -> tuple[SourceNoise, ...]:
    """The share of wrong labels in each of the larger sources, the largest source first; none where there is only one source.

    P(wrong) was computed with one noise rate for all, which makes bad sources look better than they are and good ones worse.
    Its odds over those of that rate are the record's own evidence; with a rate q of the source's own, a record has the
    likelihood 1 - q + q * evidence, and q a posterior with a beta prior of mean `rate` that counts as `PRIOR_RECORDS`.

    Args:
        p_wrong: shape (n,), 0..1; NaN where unknown.
        varied: shape (n,), records whose labels differ.
        sources: shape (n,), codes into `names`; -1 where unknown.
        rate: the noise rate with which `p_wrong` was computed; None where there was none.
    Source: the class prior re-estimated from posteriors, Saerens, Latinne & Decaestecker, Neural Computation 14 (2002) 21-41.
    """
    known = np.isfinite(p_wrong) & varied & (sources >= 0)
    if rate is None or not 0 < rate < 1:
        return ()
    counts = np.bincount(sources[known], minlength=len(names))
    if np.count_nonzero(counts) < 2:
        return ()
    largest = np.argsort(-counts, kind="stable")[:MOST]
    evidence = np.exp(np.linspace(-REACH, REACH, BINS))
    found = []
    for code in largest[counts[largest] >= FEWEST]:
        own = np.sort(p_wrong[known & (sources == code)])
        # Log-odds in bins, so that a million records cost no more than a thousand.
        held = np.zeros(BINS)
        for start in range(0, len(own), AT_ONCE):
            odds = _log_odds(own[start : start + AT_ONCE]) - _log_odds(np.array([rate]))[0]
            place = np.clip(np.round((odds + REACH) / (2 * REACH) * (BINS - 1)), 0, BINS - 1).astype(np.int64)
            held += np.bincount(place, minlength=BINS)
        wrong = float(own.sum())
        found.append(SourceNoise(names[code], int(counts[code]), wrong, *_posterior(held, evidence, rate)))
    return tuple(found)


def _log_odds(p: Floats) -> Floats:
    clipped = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _posterior(held: Floats, evidence: Floats, rate: float) -> tuple[float, tuple[float, float]]:
    """Mean and 90% interval of the rate q; `held` records have `evidence`, both of shape (BINS,)."""
    some = held > 0
    grid = (np.arange(GRID) + 0.5) / GRID
    shares = np.log(1 - grid[:, None] + grid[:, None] * evidence[some]) @ held[some]
    shares += PRIOR_RECORDS * (rate * np.log(grid) + (1 - rate) * np.log1p(-grid))
    density = np.exp(shares - shares.max())
    reached = np.concatenate([[0.0], np.cumsum(density) / density.sum()])
    low, high = np.interp([0.05, 0.95], reached, np.arange(GRID + 1) / GRID)
    return float(grid @ density / density.sum()), (float(low), float(high))


def worse_sources(noise: Sequence[SourceNoise], column: str) -> list[str]:
    """A sentence for each source whose labels are far worse than those of all others, the worst first."""
    sentences = []
    for part in sorted(noise, key=lambda p: (-p.noise_rate, p.source)):
        others = [other for other in noise if other is not part]
        records = sum(other.records for other in others)
        if not records:
            continue
        rest = sum(other.noise_rate * other.records for other in others) / records
        beyond = sum(other.noise_interval[1] * other.records for other in others) / records
        low, high = part.noise_interval
        if part.noise_rate >= TIMES * rest and part.noise_rate >= rest + MORE and low > beyond:
            # A data set's own words may hold escapes that a terminal obeys.
            name = part.source[:_NAME] if part.source.isprintable() else ascii(part.source[:_NAME])
            sentences.append(
                f"labels of {column} {name} are far worse than the rest: about {part.noise_rate:.0%} of {part.records:,} are "
                f"wrong ({low:.0%} to {high:.0%}), elsewhere about {rest:.1%}; read these first, and see who or what made them"
            )
    return sentences


def source_warning(column: str, association: float) -> str:
    """What to know where regions go with a source."""
    return (
        f"region goes with {column} (Cramér's V {association:.2f}): choosing by region is in part choosing by {column}; "
        f"split within it with `stratify` {column}"
    )


def cramers_v(first: Ints, second: Ints) -> float | None:
    """Association of two codings of the same records, 0 (none) to 1 (one tells the other); None where one does not vary.

    Bias-corrected, since with many rare sources the plain one is high by chance.

    Args:
        first, second: shape (n,), codes; records without one, of a negative code, do not count.
    Source: Cramér 1946, § 21.9; correction: Bergsma, "A bias-correction for Cramér's V and Tschuprow's T" (2013).
    """
    height, width = (int(codes.max(initial=-1)) + 1 for codes in (first, second))
    counts = np.zeros(height * width, np.int64)
    for start in range(0, len(first), AT_ONCE):
        a, b = first[start : start + AT_ONCE], second[start : start + AT_ONCE]
        both = (a >= 0) & (b >= 0)
        counts += np.bincount(a[both] * width + b[both], minlength=len(counts))
    table = counts.reshape(height, width)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    n = int(table.sum())
    rows, columns = table.shape
    if rows < 2 or columns < 2:
        return None
    # A quarter of the time that a push takes to start, which has no use for it.
    from scipy.stats import chi2_contingency

    phi = float(chi2_contingency(table, correction=False).statistic) / n
    phi = max(phi - (rows - 1) * (columns - 1) / (n - 1), 0.0)
    smaller = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(min(np.sqrt(phi / smaller), 1.0)) if smaller > 0 else None


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
