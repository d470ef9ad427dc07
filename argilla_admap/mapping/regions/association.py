"""Whether the map's regions are really regions, or sources and tasks by another name."""

from __future__ import annotations

import numpy as np

from argilla_admap.mapping.data.arrays import Ints

__all__ = ["HIGH_ASSOCIATION", "cramers_v"]

#: Cramér's V of region and source from which a selection by region is to a good part a selection by source.
HIGH_ASSOCIATION = 0.3


def cramers_v(first: Ints, second: Ints) -> float | None:
    """Association of two codings of the same records, 0 (none) to 1 (one tells the other); None where one does not vary.

    Bias-corrected, since with many rare sources the plain one is high by chance.

    Args:
        first, second: shape (n,), codes >= 0.
    Source: Cramér 1946, § 21.9; correction: Bergsma, "A bias-correction for Cramér's V and Tschuprow's T" (2013).
    """
    rows, i = np.unique(first, return_inverse=True)
    columns, j = np.unique(second, return_inverse=True)
    n = len(first)
    if len(rows) < 2 or len(columns) < 2 or n < 2:
        return None
    table = np.bincount(i * len(columns) + j, minlength=len(rows) * len(columns)).reshape(len(rows), len(columns))
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi = float((np.square(table - expected) / expected).sum()) / n
    r, c = len(rows), len(columns)
    phi = max(phi - (r - 1) * (c - 1) / (n - 1), 0.0)
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return float(min(np.sqrt(phi / smaller), 1.0)) if smaller > 0 else None
