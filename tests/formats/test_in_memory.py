"""What `read`, `score` and `build_map` take in a notebook: frames, tables, data sets and lists, as they take files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import argilla_admap as admap
from argilla_admap.errors import InputError
from argilla_admap.formats.registry import read
from tests.doubles.loops import run_apart

ROWS = [
    {
        "prompt": f"Question {i}?",
        "chosen": f"answer {i}",
        "rejected": f"no {i}",
        "source": "ab"[i % 2],
        "extra": None if i else 1,
    }
    for i in range(700)
]


class Stream:
    """An object that only hands out an Arrow stream, as a polars data frame does."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


OBJECTS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "a list": list,
    "a DataFrame": pd.DataFrame,
    "a part of a DataFrame": lambda rows: pd.DataFrame([*rows, *rows]).iloc[len(rows) :],
    "an Arrow table": pa.Table.from_pylist,
    "an Arrow stream": lambda rows: Stream(pa.Table.from_pylist(rows)),
    "a data set": datasets.Dataset.from_list,
    "a filtered data set": lambda rows: (
        datasets.Dataset.from_list([{**r, "k": k} for k in (0, 1) for r in rows])
        .filter(lambda row: row["k"] == 1)
        .remove_columns("k")
    ),
    "a streamed data set": lambda rows: datasets.Dataset.from_list(rows).to_iterable_dataset(),
    "one split": lambda rows: datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_gives_the_records_of_the_file_that_holds_the_same(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    stream = admap.read(OBJECTS[name](ROWS))
    # Twice: a stream can be gone through more than once.
    for _ in range(2):
        assert stream.table().equals(admap.read(file).table())


def test_the_splits_of_a_dictionary_are_named() -> None:
    splits = datasets.DatasetDict({part: datasets.Dataset.from_list(ROWS[:n]) for part, n in (("train", 9), ("test", 4))})
    with pytest.raises(InputError, match="train, test") as told:
        admap.read(splits)
    assert told.value.option == "split"
    assert admap.read(splits, split="test").table().num_rows == 4
    assert admap.read(splits, split="all").table().num_rows == 9, "the rows of the test split are among those of the other"
    with pytest.raises(InputError, match="'dev'"):
        admap.read(splits, split="dev")


def test_columns_of_mixed_values_are_read_too() -> None:
    mixed = pd.DataFrame({**pd.DataFrame(ROWS[:3]), "extra": [1, "two", None]})
    assert admap.read(mixed).table().column("prompt").to_pylist() == [row["prompt"] for row in ROWS[:3]]


@pytest.mark.parametrize("wrong", [7, {"prompt": "p"}, object(), [], pd.DataFrame(), ["text"], [None]])
def test_what_cannot_be_read_is_said(wrong: Any) -> None:
    with pytest.raises(InputError) as told:
        admap.read(wrong)
    assert str(told.value)


def test_all_works_in_a_notebook_under_its_event_loop() -> None:
    frame = pd.DataFrame(
        [
            {
                "prompt": f"Question {i}?",
                "completions": [
                    {"text": f"good {i}", "rating": float(i % 7 != 0), "scores": [4.0 + i % 2]},
                    {"text": f"bad {i}", "rating": float(i % 7 == 0), "scores": [1.0 + i % 3]},
                ],
            }
            for i in range(60)
        ]
    )

    async def cell() -> tuple[Any, Any]:
        scored = admap.score(frame, scorer="existing")
        return scored, admap.build_map(scored)

    scored, data_map = run_apart(cell())
    assert (len(scored), len(data_map)) == (60, 60)
    assert "120 completions scored, 0 not" in repr(scored)
    assert "<DataMap of 60 records, 60 on the map" in repr(data_map)
    assert list(data_map.head(3)["prompt"]) == [f"Question {i}?" for i in range(3)]
    assert 'src="data:image/png;base64,' in data_map._repr_html_()
    assert admap.build_map(frame).frame["p_wrong"].equals(data_map.frame["p_wrong"])


def test_a_notebook_draws_how_far_scoring_is_and_a_script_draws_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    # What IPython is to us: a shell with a kernel, and a display whose content can be changed.
    bar = SimpleNamespace(update=shown.append)

    def display(first: str, *, display_id: bool) -> SimpleNamespace:
        shown.append(first)
        return bar

    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str, display=display))

    def scored() -> int:
        rows = [{"prompt": f"q {n}", "chosen": "a", "rejected": "b"} for n in range(40)]
        (tmp_path / "scorer.py").write_text("def score(prompt, completions):\n    return [1.0, 0.0]\n")
        return len(admap.score(rows, scorer=str(tmp_path / "scorer.py"), store=tmp_path / "store"))

    assert scored() == 40
    assert shown == []
    shell.kernel = object()
    assert scored() == 40
    assert shown[-1].startswith('<progress value="80" max="80"></progress> scored 80 of 80 completions')
    assert capsys.readouterr().err == ""


def test_a_file_of_scores_is_mapped_by_its_name(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": f"q{i}",
            "completions": [{"text": t, "rating": r, "scores": [r * 3 + 1]} for t, r in (("a", 1.0), ("b", 0.0))],
        }
        for i in range(20)
    ]
    admap.score(rows, scorer="existing", output=tmp_path / "scored.parquet")
    assert len(admap.build_map(tmp_path / "scored.parquet")) == 20
    assert len(admap.build_map(str(tmp_path / "scored.parquet"))) == 20


def test_existing_scores_that_are_not_there_are_missed() -> None:
    with pytest.warns(UserWarning, match="no record carries scores"):
        admap.score(ROWS[:5], scorer="existing")


def test_arrays_and_numbers_of_numpy_in_a_list_of_rows_are_read() -> None:
    frame = pd.DataFrame({"prompt": ["p"], "responses": [np.array(["x", "y"])], "scores": [np.array([1, 4], dtype=np.float32)]})
    (record,) = read(frame.to_dict("records")).records()
    assert (record.completions, record.ratings) == (("x", "y"), (1, 4))
    sides = {"response_a": np.array([{"role": "assistant", "content": "x"}], dtype=object), "response_b": "y"}
    winners = (np.int64(0), np.int64(1), pd.NA, np.float64("nan"))
    rows = [{"prompt": np.str_("p"), **sides, "winner": winner} for winner in winners]
    assert [record.ratings for record in read(rows).records()] == [(1, 0), (0, 1), (None, None), (None, None)]


def test_a_column_alone_is_refused() -> None:
    with pytest.raises(InputError, match="a Series has no columns to read"):
        read(pd.Series(["p"]))
