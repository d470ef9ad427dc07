"""Embeddings that the user brings: a .npy with a row for each record, or a Parquet file with ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from argilla_admap.errors import InputError

__all__ = ["read_vectors"]

_HOW = "give a .npy of one row a record in the map's order, or a .parquet with the columns `id` and `embedding`"


def read_vectors(path: Path, ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """One vector for each id, shape (n, d); a row of NaN where the file has none for it.

    Args:
        path: a .npy of shape (n, d), in the order of `ids`; or a .parquet with a string column `id` and one column of lists.
        ids: of the records.
    Raises:
        InputError: absent, of another shape, or no id fits.
    """
    if not path.is_file():
        raise _unusable(path, "there is no such file")
    if path.suffix == ".npy":
        return _from_numpy(path, len(ids))
    if path.suffix == ".parquet":
        return _from_parquet(path, ids)
    raise _unusable(path, "its extension is neither .npy nor .parquet")


def _unusable(path: Path, problem: str) -> InputError:
    return InputError(f"{path}: {problem}", hint=_HOW, option="embeddings")


def _from_numpy(path: Path, n: int) -> npt.NDArray[np.float64]:
    try:
        # No pickles: an array of objects could run code.
        values: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as exc:
        raise _unusable(path, f"not an array of numbers ({exc})") from exc
    if getattr(values, "ndim", 0) != 2 or values.dtype.kind not in "fiu":
        raise _unusable(path, "expected numbers of shape (records, dimensions)")
    if len(values) != n:
        raise _unusable(path, f"{len(values):,} rows for a map of {n:,} records")
    return np.asarray(values, dtype=np.float64)


def _from_parquet(path: Path, ids: Sequence[str]) -> npt.NDArray[np.float64]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as exc:
        raise _unusable(path, f"cannot be read as Parquet ({exc})") from exc
    lists = [f.name for f in table.schema if pa.types.is_list(f.type) or pa.types.is_fixed_size_list(f.type)]
    name = "embedding" if "embedding" in lists else lists[0] if len(lists) == 1 else None
    if "id" not in table.schema.names or name is None:
        raise _unusable(path, f"has the columns {', '.join(table.schema.names)}")
    column: Any = table.column(name).combine_chunks()
    present = np.flatnonzero(np.asarray(column.is_valid()))
    kept: Any = column.take(present)
    flat = np.asarray(kept.flatten(), dtype=np.float64)
    width = len(flat) // len(present) if len(present) else 0
    if not width or any(len(vector) != width for vector in kept.slice(0, 1000)) or len(flat) != width * len(present):
        raise _unusable(path, f"the vectors of `{name}` are empty or of different lengths")
    places = {id_: row for row, id_ in enumerate(table.column("id").take(present).cast(pa.string()).to_pylist())}
    rows = np.array([places.get(id_, -1) for id_ in ids], np.int64)
    if not (rows >= 0).any():
        raise _unusable(path, f"none of its {len(places):,} ids is an id of the map, as if it were of other data")
    vectors = np.full((len(ids), width), np.nan)
    vectors[rows >= 0] = flat.reshape(-1, width)[rows[rows >= 0]]
    return vectors
