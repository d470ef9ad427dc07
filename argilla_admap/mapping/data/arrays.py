"""Ragged arrays: what a list column of Arrow becomes, so that arithmetic runs over all records of one K at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Floats", "Group", "Ints", "UInts", "groups_by_size", "offsets_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
UInts = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Group:
    """The records of one size.

    Attributes:
        k: how many items each record has.
        rows: shape (n,), the records' positions, ascending.
        items: shape (n, k), the positions of their items in the flat arrays.
    """

    k: int
    rows: Ints
    items: Ints


def offsets_of(sizes: Ints) -> Ints:
    """Where each record's items begin in a flat array, and, last, where they all end; shape (n + 1,)."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def groups_by_size(offsets: Ints, keep: Bools | None = None) -> Iterator[Group]:
    """The records grouped by their number of items (of the items kept), smallest first.

    Args:
        offsets: shape (n + 1,), as `offsets_of` gives.
        keep: shape (offsets[-1],); items that are False are passed over. Records without any item are in no group.
    """
    n = len(offsets) - 1
    if keep is None:
        sizes, starts, order = np.diff(offsets), offsets[:-1], None
    else:
        order = np.flatnonzero(keep)
        kept = np.searchsorted(order, offsets)
        sizes, starts = np.diff(kept), kept[:-1]
    rows = np.arange(n)
    for k in np.unique(sizes[sizes > 0]):
        chosen = rows[sizes == k]
        items = starts[chosen][:, None] + np.arange(k)
        yield Group(int(k), chosen, items if order is None else order[items])
