"""Embeddings that the user brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from argilla_admap.errors import InputError
from argilla_admap.formats.vectors import read_vectors

IDS = ["a", "b", "c"]


def test_rows_of_an_array_are_the_records_in_order(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "v.npy", values)
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.npy", IDS), values)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 2), pa.list_(pa.float64())], ids=str)
def test_rows_of_a_table_are_matched_by_id_and_missing_ones_are_nan(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"id": ["c", "x", "a", "b"], "embedding": pa.array([[5, 6], [7, 8], [1, 2], None], kind)})
    if pa.types.is_fixed_size_list(kind):
        table = table.slice(0, 3)  # pyarrow before 26 cannot read a missing list of fixed size
    pq.write_table(table, tmp_path / "v.parquet")
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.parquet", IDS), [[1, 2], [np.nan, np.nan], [5, 6]])


def test_an_array_of_another_length_says_both(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((2, 4)))
    with pytest.raises(InputError, match="2 rows for a map of 3 records"):
        read_vectors(tmp_path / "v.npy", IDS)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not an array of numbers"):
        read_vectors(tmp_path / "v.npy", IDS)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"id": ["a"], "text": ["x"]}, "has the columns id, text"),
        ({"id": ["x"], "embedding": [[1.0]]}, "none of its 1 ids is an id of the map"),
        ({"id": ["a", "b"], "embedding": [[1.0], [1.0, 2.0]]}, "of different lengths"),
    ],
)
def test_a_table_that_does_not_fit_says_why(tmp_path: Path, table: dict[str, list[object]], message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=message):
        read_vectors(tmp_path / "v.parquet", IDS)


@pytest.mark.parametrize("name", ["absent.npy", "broken.npy", "broken.parquet", "v.txt"])
def test_what_is_no_file_of_vectors_is_refused(tmp_path: Path, name: str) -> None:
    if "absent" not in name:
        (tmp_path / name).write_bytes(b"not vectors")
    with pytest.raises(InputError, match=r"give a \.npy of one row a record"):
        read_vectors(tmp_path / name, IDS)
