"""The map's regions for a whole data set: one split for all, one within each stratum, or the split of an earlier map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Ints
from argilla_admap.mapping.regions.coordinates import Coordinates, Cuts, Thresholds, assign_regions, fit_thresholds

__all__ = ["Given", "Layout", "lay_out"]


@dataclass(frozen=True, slots=True)
class Given:
    """Thresholds to use: for all records, and for those of the strata named."""

    everywhere: Thresholds
    strata: Mapping[str, Thresholds] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the cuts lie and what falls where.

    Attributes:
        region: shape (n,), region codes.
        cuts: the thresholds that hold for each record.
        tied: shape (n,), records whose value equals the one that a cut by position would have gone through.
        thresholds: of the whole data set; None when nothing is on the map.
        strata: thresholds by stratum, as JSON; empty without strata.
    """

    region: Ints
    cuts: Cuts
    tied: Bools
    thresholds: Thresholds | None
    strata: dict[str, dict[str, float]]


def lay_out(place: Coordinates, sources: Ints, names: tuple[str, ...], stratify: str | None, given: Given | None) -> Layout:
    """Finds the cuts and assigns the regions.

    Args:
        sources: shape (n,), codes into `names`; -1 where unknown (such records are a stratum of their own, named "").
        stratify: None splits all records at once.
        given: thresholds that take the place of fitted ones; strata that they do not name take those for all.
    """
    n = len(place.mean)
    mapped = np.isfinite(place.variance)
    tied = np.zeros(n, bool)
    cuts = Cuts(np.full(n, np.inf), np.full(n, np.inf))
    if not mapped.any() and given is None:
        return Layout(assign_regions(place, cuts), cuts, tied, None, {})
    if given is not None:
        overall = given.everywhere
    else:
        overall, everywhere = fit_thresholds(place.variance[mapped], place.mean[mapped])
        if stratify is None:
            tied[mapped] = everywhere
    cuts.variance[:], cuts.mean[:] = overall.variance, overall.mean
    strata: dict[str, dict[str, float]] = {}
    if stratify is not None or (given is not None and given.strata):
        for code in np.unique(sources[mapped]):
            name = names[code] if code >= 0 else ""
            inside = mapped & (sources == code)
            if given is None:
                own, tied[inside] = fit_thresholds(place.variance[inside], place.mean[inside])
            else:
                own = given.strata.get(name, overall)
            strata[name] = own.as_json()
            cuts.variance[sources == code], cuts.mean[sources == code] = own.variance, own.mean
    return Layout(assign_regions(place, cuts), cuts, tied, overall, strata)
