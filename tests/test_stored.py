"""Files of scores and maps that other programs changed: what can be used is, what cannot is named, with its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from argilla_admap.cli import main
from argilla_admap.errors import InputError
from argilla_admap.mapping.data_map import DataMap
from argilla_admap.stored import read_stored

PAIRS = Path(__file__).parents[1] / "argilla_admap" / "example_data" / "llmbar_pairs_gpt4.jsonl.gz"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of scores of two dozen real pairs."""
    path = tmp_path_factory.mktemp("stored") / "scored.parquet"
    with pytest.raises(SystemExit) as end:
        main(["score", str(PAIRS), "-o", str(path), "--scorer", "existing", "--limit", "24", "--json"])
    assert end.value.code == 0
    return path


@pytest.fixture(scope="module")
def mapped(scored: Path) -> Path:
    path = scored.with_name("map.parquet")
    with pytest.raises(SystemExit) as end:
        main(["map", str(scored), "-o", str(path), "--json"])
    assert end.value.code == 0
    return path


def _change(path: Path, to: Path, column: str, row: int, value: Any) -> Path:
    table = pq.read_table(path)
    values = table.column(column).to_pylist()
    values[row] = value
    place = table.schema.names.index(column)
    field = pa.field(column, table.schema.field(column).type)
    facts = pq.ParquetFile(path).metadata.metadata[b"admap"]
    changed = table.set_column(place, field, pa.array(values, field.type)).replace_schema_metadata({b"admap": facts})
    pq.write_table(changed, to)
    return to


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("scores", [1.0], "'scores' holds 1 values for 2 completions"),
        ("scores", [float("inf"), 1.0], "'scores' holds inf"),
        ("scores", [1e300, 1.0], "'scores' holds 1e\\+300"),
        ("ratings", [1.0, 0.0, 1.0], "'ratings' holds 3 values"),
        ("completions", ["alone"], "'completions' holds 1"),
        ("completions", [None, "b"], "a completion is null"),
        ("completions", None, "'completions' is null"),
        ("prompt", None, "'prompt' is null"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(scored: Path, tmp_path: Path, column: str, value: Any, words: str) -> None:
    bad = _change(scored, tmp_path / "bad.parquet", column, 4, value)
    with pytest.raises(InputError, match=rf"bad\.parquet: row 5 \(id '.*'\): {words}"):
        read_stored(bad).table()


def test_an_id_that_two_rows_have_is_named(scored: Path, tmp_path: Path) -> None:
    first = pq.read_table(scored).column("id")[0].as_py()
    bad = _change(scored, tmp_path / "bad.parquet", "id", 4, first)
    with pytest.raises(InputError, match=f"the id '{first}' is given to 2 rows"):
        read_stored(bad).table()


def test_what_pandas_wrote_is_read_as_ours(scored: Path, tmp_path: Path) -> None:
    pq.read_table(scored).to_pandas().iloc[5:].to_parquet(tmp_path / "fewer.parquet")
    ours, theirs = read_stored(scored).table(), read_stored(tmp_path / "fewer.parquet").table()
    assert theirs.schema == ours.schema
    assert theirs.to_pylist() == ours.slice(5).to_pylist()


def test_a_map_holds_only_the_columns_that_are_asked_for(mapped: Path) -> None:
    found = DataMap.read(mapped)
    some = found.table(("flags", "mean", "no such column", "id"))
    assert len(found) == some.num_rows == 24
    assert "numbers" not in found.__dict__
    assert some.schema.names == ["id", "mean", "flags"]
    assert some == found.numbers.select(some.schema.names)
    assert found.numbers.schema.names == found.light == list(found.frame.columns)


def test_columns_of_a_file_that_nobody_has_checked_are_checked(scored: Path, tmp_path: Path) -> None:
    bad = _change(scored, tmp_path / "bad.parquet", "completions", 3, ["alone"])
    with pytest.raises(InputError, match="'completions' holds 1"):
        list(read_stored(bad).columns(["id"]))


def test_not_a_number_counts_as_unscored(scored: Path, tmp_path: Path) -> None:
    changed = _change(scored, tmp_path / "nan.parquet", "scores", 4, [float("nan"), 3.0])
    with pytest.raises(SystemExit) as end:
        main(["map", str(changed), "-o", str(tmp_path / "map.parquet"), "--json"])
    assert end.value.code == 3
    row = pq.read_table(tmp_path / "map.parquet").to_pylist()[4]
    assert row["variance"] is None
    assert "unscored" in row["flags"]


@pytest.mark.parametrize("command", ["push", "report", "select", "compare", "selftest"])
def test_no_command_takes_a_map_with_a_bad_row(mapped: Path, tmp_path: Path, command: str, capsys: Any) -> None:
    bad = _change(mapped, tmp_path / "bad.parquet", "scores", 2, [1.0])
    more = {
        "push": ["--dataset", "nowhere"],
        "report": ["-o", str(tmp_path / "x.html")],
        "select": ["-o", str(tmp_path / "x.jsonl")],
        "compare": [str(mapped)],
        "selftest": [],
    }[command]
    with pytest.raises(SystemExit) as end:
        main([command, str(bad), *more])
    assert end.value.code == 2
    assert "row 3" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.parquet"]


def test_a_damaged_file_is_said_to_be_damaged(mapped: Path, tmp_path: Path) -> None:
    data = bytearray(mapped.read_bytes())
    data[200:900] = bytes(700)
    (tmp_path / "map.parquet").write_bytes(data)
    with pytest.raises(InputError, match="cannot be read to its end"):
        DataMap.read(tmp_path / "map.parquet")


@pytest.mark.parametrize("facts", [b"{bad", b"[]", b'{"summary": 5}'])
def test_a_map_with_other_facts_than_ours_is_no_map(mapped: Path, tmp_path: Path, facts: bytes) -> None:
    pq.write_table(pq.read_table(mapped).replace_schema_metadata({b"admap": facts}), tmp_path / "map.parquet")
    with pytest.raises(InputError, match="metadata"):
        DataMap.read(tmp_path / "map.parquet")


def test_lists_of_other_lengths_in_data_that_are_not_scored_are_found_too(tmp_path: Path, capsys: Any) -> None:
    columns: dict[str, Any] = {
        "id": ["1", "2"],
        "prompt": ["a", "b"],
        "completions": [["x", "y"], ["z", "w"]],
        "ratings": [[1.0, 3.0], [1.0]],
    }
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    with pytest.raises(SystemExit) as end:
        main(["map", str(tmp_path / "data.parquet"), "-o", str(tmp_path / "map.parquet")])
    assert end.value.code == 2
    assert "row 2: 'ratings' gives 1 rating for 2 completions" in capsys.readouterr().err


def test_options_of_reading_are_refused_for_a_file_of_scores(scored: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as end:
        main(["map", str(scored), "-o", str(tmp_path / "map.parquet"), "--format", "plain"])
    assert end.value.code == 2
    assert "leave out --format" in capsys.readouterr().err


def test_a_selection_never_replaces_its_map(mapped: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as end:
        main(["select", str(mapped), "-o", str(mapped), "--region", "high_avg"])
    assert end.value.code == 2
    assert "this is the input" in capsys.readouterr().err


def test_the_map_says_who_judged(mapped: Path) -> None:
    """Scores that the data carry are their judge's, whom the data name."""
    judges = set(pq.read_table(mapped).column("judges").to_pylist())
    assert judges == {"gpt-4-0613, five prompt styles, 1 to 10"}
    assert DataMap.read(mapped).info["judge"] == next(iter(judges))
