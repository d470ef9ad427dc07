"""`admap report`, `admap compare` and `admap select` as a person or a script calls them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from argilla_admap.cli import main
from argilla_admap.mapping.data_map import DataMap
from tests.report.maps import made_up_rows, map_of
from tests.report.standing import STANDING

Admap = Callable[..., Any]
Answer = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def map_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maps") / "map.parquet"
    map_of(made_up_rows(600, k=3)).write(path)
    return path


class Run(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


@pytest.fixture
def admap(capsys: pytest.CaptureFixture[str]) -> Admap:
    """Runs a command in this process, through the entry point."""

    def run(*words: str | Path, code: int = 0) -> Run:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        printed = Run(*capsys.readouterr())
        assert ended.value.code == code, printed.stderr
        return printed

    return run


@pytest.fixture
def answer(admap: Admap) -> Answer:
    """The JSON that a command prints."""

    def run(*words: str | Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(admap(*words, "--json").stdout)
        return found

    return run


@pytest.mark.parametrize("kind", ["html", "png", "svg"])
def test_a_report_is_written_and_said(admap: Admap, answer: Answer, map_file: Path, tmp_path: Path, kind: str) -> None:
    output = tmp_path / f"map.{kind}"
    found = answer("report", map_file, "-o", output)
    assert found["records"] == found["drawn"] == 600
    assert found["bytes"] == output.stat().st_size
    assert {"records", "high average", "length: per doubling", "judge and label agree"} <= set(found["figures"])
    assert found["bias"]["length"]["per_doubling"]["records"] == 600
    table = admap("report", map_file, "-o", output).stdout
    assert "high average" in table
    assert "judge and label agree" in table


def test_a_report_shows_the_review_of_a_status_file(admap: Admap, answer: Answer, map_file: Path, tmp_path: Path) -> None:
    found, output = tmp_path / "status.json", tmp_path / "map.html"
    found.write_text(json.dumps(STANDING))
    said = answer("report", map_file, "-o", output, "--status", found)
    assert said["judge"] == STANDING["judge"]
    assert said["figures"]["judge agrees with people"] == "80% (70% to 88%, 60 records; of what was read)"
    words = "4 of 10 (about 1 of them expected to change a right label (0 to 2))"
    assert said["figures"]["corrections on one answer each"] == words
    shown = json.loads(re.findall(r'id="manifest">(.*?)</script>', output.read_text())[0])["review"]
    assert shown["advice"] == STANDING["advice"]
    assert [line["counts"] for line in shown["judge"]] == [[9, 3, 1, 47], [8, 0, 0, 12]]
    assert [point["records"] for point in shown["reliability"]] == [48, 12]
    assert [line["url"] for line in shown["slices"]] == ["https://argilla.example/x", None]
    assert [line["note"].endswith("likeliest to be wrong: record-1, record-7.") for line in shown["slices"]] == [False, True]
    found.write_text('{"judge": 1}')
    failed = admap("report", map_file, "-o", tmp_path / "none.html", "--status", found, code=2)
    assert "is not what `admap status` answers" in failed.stderr
    assert not (tmp_path / "none.html").exists()


def test_a_dry_run_writes_nothing(answer: Answer, map_file: Path, tmp_path: Path) -> None:
    assert answer("report", map_file, "-o", tmp_path / "map.html", "--dry-run") == {"records": 600, "output": None}
    assert answer("select", map_file, "-o", tmp_path / "out.jsonl", "--dry-run")["output"] is None
    assert not list(tmp_path.iterdir())


def test_a_selection_is_written_with_its_counts(answer: Answer, map_file: Path, tmp_path: Path) -> None:
    frame = DataMap.read(map_file).frame
    wanted = (frame["region"] == "high_avg") & (frame["p_wrong"] <= 0.5)
    found = answer("select", map_file, "-o", tmp_path / "train.parquet", "--region", "high_avg", "--max-p-wrong", "0.5")
    assert found["selected"] == wanted.sum()
    assert found["selected"] + sum(found["dropped"].values()) == 600
    kept = DataMap.read(tmp_path / "train.parquet")
    assert kept.frame["id"].tolist() == frame["id"][wanted].tolist()
    assert kept.info["selection"]["selected"] == wanted.sum()


def test_a_selection_in_another_format_is_read_again_with_the_same_records(
    answer: Answer, map_file: Path, tmp_path: Path
) -> None:
    from argilla_admap.formats import registry

    found = answer("select", map_file, "-o", tmp_path / "train.jsonl", "--region", "high_avg", "--format", "plain")
    assert len(list(registry.read(tmp_path / "train.jsonl").records())) == found["selected"]


def test_a_diverse_selection_takes_vectors_from_a_file(admap: Admap, answer: Answer, map_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(600, 8)))
    output = tmp_path / "o.parquet"
    for vectors in (tmp_path / "v.npy", "position"):
        words = ("select", map_file, "-o", output, "--fraction", "0.1", "--stratify", "source", "--embeddings", vectors)
        assert answer(*words)["selected"] == 60
    assert "there is no such file" in admap("select", map_file, "-o", output, "--embeddings", "x.npy", code=2).stderr


def test_two_maps_are_compared(admap: Admap, answer: Answer, map_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    map_of(made_up_rows(580, k=3, seed=1)).write(other)
    found = answer("compare", map_file, other, "-o", tmp_path / "moved.jsonl")
    assert (found["common"], found["only_a"], found["only_b"]) == (580, 20, 0)
    lines = [json.loads(line) for line in (tmp_path / "moved.jsonl").read_text().splitlines()]
    assert len(lines) == found["regions"]["moved"]
    assert found["farthest"] == lines[:20]
    shown = admap("compare", map_file, other).stdout
    for words in ("from a (rows) to b (columns)", "same region", "judge of a", "judge of b", "moved farthest"):
        assert words in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report", "MAP", "-o", "map.bmp"), "give a file that ends in .html, .png, .svg, .pdf"),
        (("report", "absent.parquet", "-o", "map.html"), "there is no such file"),
        (("compare", "MAP", "absent.parquet"), "there is no such file"),
        (("select", "MAP"), "Say where the records go with -o FILE"),
        (("select", "MAP", "-o", "o.parquet", "--region", "best"), "choose from high_var, high_avg, low_avg"),
        (("select", "MAP", "-o", "o.parquet", "--max-p-wrong", "0", "--without-flag", "boundary"), "no record is left"),
        (("select", "MAP", "-o", "o.parquet", "--stratify", "task"), "the map has no column"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    admap: Admap, map_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = admap(*(str(map_file) if word == "MAP" else word for word in words), code=2)
    assert message in " ".join(done.stderr.split())
    assert not done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["report", "compare", "select"])
def test_the_help_ends_with_an_example(admap: Admap, command: str) -> None:
    assert f"Example: admap {command} " in admap(command, "--help").stdout


def test_each_command_says_what_its_figures_mean_and_what_comes_next(admap: Admap, map_file: Path, tmp_path: Path) -> None:
    told = admap("selftest", map_file, "--rounds", "1")
    assert "how far P(wrong) is from the share that is wrong" in told.stdout
    assert "Estimated noise rate: " in told.stderr
    chosen = admap("select", map_file, "-o", tmp_path / "train.jsonl", "--region", "high_avg")
    assert f"200 of 600 records are in {tmp_path / 'train.jsonl'}." in chosen.stderr
    mapped = admap("map", map_file, "-o", tmp_path / "again.parquet")
    assert f"Next: look at it with `admap report {tmp_path / 'again.parquet'} -o map.html`" in mapped.stderr
    assert "Wrong labels by source, estimated" in mapped.stdout


def test_a_map_without_scores_names_the_next_step(admap: Admap, tmp_path: Path) -> None:
    rows = made_up_rows(40)
    for row in rows:
        for completion in row["completions"]:
            completion["scores"] = []
    unscored = tmp_path / "unscored.parquet"
    map_of(rows).write(unscored)
    assert "Next: score the completions" in admap("map", unscored, "-o", tmp_path / "again.parquet").stderr
    refused = admap("select", unscored, "-o", tmp_path / "train.jsonl", "--region", "high_avg", code=2).stderr
    assert "score the data and map them again, or leave --region out" in refused
    compared = admap("compare", unscored, unscored)
    assert "Nothing to say about the judge of a: fewer than ten records with scores that differ." in compared.stderr
