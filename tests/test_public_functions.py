"""Each command as a function of the same name: it takes a map or its file, and gives what the command prints."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import argilla_admap as admap
from argilla_admap.errors import InputError
from argilla_admap.example_data import write_example


@pytest.fixture(scope="module")
def map_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("map")
    pairs, _ = write_example(folder)
    path = folder / "map.parquet"
    admap.build_map(admap.score(admap.read(pairs), scorer="existing")).write(path)
    return path


@pytest.mark.parametrize("name", [name for name in admap.__all__ if inspect.isfunction(getattr(admap, name))])
def test_the_docstring_tells_of_every_option(name: str) -> None:
    function = getattr(admap, name)
    options = inspect.signature(function).parameters
    assert [one for one in options if not re.search(rf"\b{one}\b", inspect.getdoc(function) or "")] == []
    assert not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in options.values())


def test_a_selection_is_the_same_from_a_map_and_from_its_file(map_file: Path, tmp_path: Path) -> None:
    of_file = admap.select(map_file, tmp_path / "a.jsonl", region="high_avg", max_p_wrong=0.5)
    of_map = admap.select(admap.DataMap.read(map_file), tmp_path / "b.jsonl", region=["high_avg"], max_p_wrong=0.5)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == of_file.json()["selected"] == of_map.json()["selected"] > 0


def test_where_no_record_is_left_nothing_is_written(map_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"map\.parquet: no record is left"):
        admap.select(map_file, tmp_path / "a.jsonl", max_p_wrong=0.0)
    assert list(tmp_path.iterdir()) == []


def test_a_map_compared_with_itself_has_not_moved(map_file: Path) -> None:
    found = admap.compare(map_file, admap.DataMap.read(map_file))
    assert found.answer["regions"]["moved"] == 0
    json.dumps(found.answer)


def test_a_selftest_takes_a_map_its_file_or_scored_data(map_file: Path) -> None:
    answers = [
        admap.selftest(given, rounds=1).answer
        for given in (map_file, admap.DataMap.read(map_file), admap.read(map_file.parent / "preferences.jsonl"))
    ]
    assert answers[0] == answers[1]
    assert answers[0]["auroc"] == pytest.approx(answers[2]["auroc"], abs=0.02)


@pytest.mark.parametrize("dry_run", [True, False])
def test_options_of_a_judge_beside_another_scorer_are_said_to_be_unused(dry_run: bool) -> None:
    rows = [{"prompt": "p", "completions": [{"text": "a", "scores": [1]}, {"text": "b", "scores": [2]}]}]
    said: list[str] = []
    admap.score(rows, scorer="existing", model="gpt-4o", reasons=True, samples="auto", dry_run=dry_run, warn=said.append)
    assert [words for words in said if "not used" in words] == [
        "`model`, `samples`, `reasons`: for a judge, which the scorer existing does not ask; not used"
    ]
    said.clear()
    admap.score(rows, scorer="existing", dry_run=dry_run, warn=said.append)
    assert [words for words in said if "not used" in words] == []


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
def test_a_step_further_on_does_not_write_over_the_data_that_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b", "note": "mine"}]
    Path("pairs.jsonl").write_text(json.dumps(rows[0]) + "\n")
    pq.write_table(pa.Table.from_pylist(rows), "pairs.parquet")
    before = Path(name).read_bytes()
    admap.score(name, scorer="existing", output="scored.parquet", warn=lambda words: None)
    admap.map("scored.parquet", "map.parquet")
    steps: list[Callable[[], object]] = [lambda: admap.select("map.parquet", name)]
    if name.endswith(".parquet"):
        steps += [lambda: admap.select("map.parquet", name, format="trl"), lambda: admap.map("scored.parquet", name)]
    for step in steps:
        with pytest.raises(InputError, match="these records were read from this file"):
            step()
    assert Path(name).read_bytes() == before
    assert admap.select("map.parquet", "train.jsonl").json()["selected"] == 1
