"""`admap map`, and what `admap run` says of its map: exit codes and words."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from argilla_admap import pipeline
from argilla_admap.cli import main
from argilla_admap.errors import InputError
from argilla_admap.mapping.data_map import build_map
from tests.mapping.test_diagnosis import synthetic


def mapped(rows, folder, capsys, *options):
    """The exit code, the JSON or text on stdout, and the prose on stderr."""
    path = folder / "scored.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(SystemExit) as stopped:
        main(["map", str(path), "-o", str(folder / "map.parquet"), *options])
    told = capsys.readouterr()
    return stopped.value.code, told.out, told.err


def test_all_scored_ends_with_0_and_tells_the_noise_rate_with_its_interval(tmp_path, capsys):
    code, _, prose = mapped(synthetic(80)[0], tmp_path, capsys)
    assert code == 0
    assert "of the labels are probably wrong (90% interval: " in prose


def test_records_without_a_place_end_with_3_and_are_counted_and_the_map_is_there(tmp_path, capsys):
    rows, _ = synthetic(80)
    for row in rows[:5]:
        row["completions"][0]["scores"] = []
    code, told, prose = mapped(rows, tmp_path, capsys, "--json")
    answer = json.loads(told)
    assert (code, answer["mapped"], answer["flags"]["unscored"]) == (3, 75, 5)
    assert "5 records have no place" in prose
    assert (tmp_path / "map.parquet").is_file()


def test_data_that_nobody_scored_end_with_0(tmp_path, capsys):
    rows, _ = synthetic(80)
    for row in rows:
        for completion in row["completions"]:
            completion["scores"] = []
    assert mapped(rows, tmp_path, capsys)[0] == 0


def test_a_refusal_that_asks_keeps_its_question_mark(tmp_path, capsys):
    rows, _ = synthetic(80)
    for row in rows:
        for completion in row["completions"]:
            completion["scores"] = [-completion["scores"][0]]
    assert "upside down? The queue" in mapped(rows, tmp_path, capsys)[2]


@pytest.mark.parametrize(("levels", "told"), [(2, True), (1000, False)])
def test_a_judge_of_few_different_scores_is_told_how_to_part_them(levels, told, tmp_path, capsys):
    rows, _ = synthetic(80)
    for row in rows:
        for completion in row["completions"]:
            completion["scores"] = [round(completion["scores"][0] * levels / 10) / levels]
    prose = mapped(rows, tmp_path, capsys)[2]
    assert ("too few different scores to split by" in prose) == told


def test_run_tells_the_noise_rate_with_its_interval_and_what_to_mind(tmp_path, capsys, monkeypatch):
    rows, _ = synthetic(80)
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows))

    def run(preferences, dataset, *, options, output, **_):
        scored: Any = SimpleNamespace(
            summary={"scored": 320, "completions": 320, "cost_usd": 0.0, "unscored": 0, "unscored_reasons": {}}
        )
        pushed: Any = SimpleNamespace(
            created=True, dataset=dataset, added=80, updated=0, unmatched=0, queues=[], notes=(), json=lambda: {"queues": []}
        )
        return pipeline.Run(scored, build_map(preferences), pushed, output)

    monkeypatch.setattr(pipeline, "run_with", run)
    with pytest.raises(SystemExit) as stopped:
        main(["run", str(source), "--dataset", "rows", "--scorer", "existing", "-o", str(tmp_path / "map.parquet")])
    told = capsys.readouterr()
    assert stopped.value.code == 0, told.err
    assert "of the labels are probably wrong (90% interval: " in told.out
    assert "Note: fitted on 80 records only" in told.out


def test_run_takes_the_model_of_the_text_vectors_and_refuses_it_where_nothing_uses_it(tmp_path, capsys, monkeypatch):
    rows, _ = synthetic(4)
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    kept: dict[str, Any] = {}

    def run(preferences, dataset, *, options, **given):
        kept.update(given)
        raise InputError("far enough")

    def told(*more: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(["run", str(source), "--dataset", "rows", "--scorer", "existing", "--embedding-model", "words", *more])
        assert stopped.value.code == 2
        return capsys.readouterr().err

    monkeypatch.setattr(pipeline, "run_with", run)
    assert "far enough" in told("--text-vectors", "endpoint", "--embedding-base-url", "http://127.0.0.1:9/v1")
    assert kept["embedding_model"] == "words"
    assert kept["embedding_base_url"] == "http://127.0.0.1:9/v1"
    assert "add --text-vectors endpoint, or leave it out" in told()
