"""NumPy arrays as Arrow columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints

__all__ = ["coded_column", "double_column", "names_column"]


def double_column(values: Floats) -> pa.Array[Any]:
    """Numbers, with null where NaN."""
    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def coded_column(codes: Ints, names: Sequence[str]) -> pa.Array[Any]:
    """Strings from codes into `names`, with null where a code is negative."""
    indices: Any = pa.array(np.where(codes >= 0, codes, 0).astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string())).cast(pa.string())


def names_column(masks: Mapping[str, Bools], n: int) -> pa.Array[Any]:
    """For each of n records the list of names whose mask holds it, in the order of the mapping."""
    held = np.stack(list(masks.values()), axis=1) if masks else np.zeros((n, 0), bool)
    offsets = np.zeros(n + 1, np.int32)
    np.cumsum(held.sum(axis=1), out=offsets[1:])
    codes = np.nonzero(held)[1].astype(np.int64)
    ends: Any = pa.array(offsets)
    return pa.ListArray.from_arrays(ends, coded_column(codes, list(masks)))
