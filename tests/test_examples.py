"""Each script in examples/ runs as its first lines say, on real parts."""

from __future__ import annotations

import ast
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.example_data import write_example
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.argilla.cipher import key_of
from argilla_admap.review.dataset.layout import shown_order
from tests.doubles.argilla_server import Annotator, TestServer
from tests.doubles.judge_server import Judge
from tests.doubles.loops import run_apart
from tests.review.test_push import answer, remote

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
FOUR = ROOT / "tests" / "data" / "preferences" / "prometheus_k4_gpt4_3samples.jsonl.gz"


def run(script: str, *words: object, cwd: Path) -> str:
    """What the script prints."""
    line = [sys.executable, str(EXAMPLES / script), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{line}\nstdout: {done.stdout}\nstderr: {done.stderr}"
    return done.stdout


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def asked(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """The judge that scripts ask."""
    monkeypatch.setenv("OPENAI_BASE_URL", judge.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-example-0123456789")
    return judge


def test_every_script_is_tested_and_says_how_it_is_run() -> None:
    tested = set(re.findall(r'run\(\s*"(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert tested <= set(re.findall(r"^\| \[([\w.]+)\]", page, re.MULTILINE))
    for name in tested:
        done = subprocess.run([sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert f"{name} " in done.stderr


def test_the_notebook_s_cells_run_in_their_order_under_a_running_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    async def cells() -> None:
        # As a kernel runs them: within a loop, in one namespace, and the last expression is shown.
        for cell in json.loads((EXAMPLES / "first_map.ipynb").read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                assert cell["outputs"] == []
                body = ast.parse("".join(cell["source"]))
                last = body.body.pop() if isinstance(body.body[-1], ast.Expr) else None
                exec(compile(body, "cell", "exec"), names)
                if isinstance(last, ast.Expr):
                    shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
                    drawn = shown._repr_html_() if hasattr(shown, "_repr_html_") else repr(shown)
                    assert shown is None or drawn

    run_apart(cells())
    assert int(capsys.readouterr().out.split(" of the first 20")[0].split()[-1]) >= 10
    assert (tmp_path / "admap-notebook" / "map.html").stat().st_size > 100_000


def test_a_scorer_of_one_s_own_is_tried_on_planted_errors(tmp_path: Path) -> None:
    pairs, _ = write_example(tmp_path)
    said = run("own_scorer.py", pairs, cwd=tmp_path)
    found = re.search(r"AUROC +([\d.]+)", said)
    assert found is not None
    assert float(found[1]) > 0.6
    assert "records    201" in said


def test_a_panel_pays_each_judge_once_and_keeps_what_all_agree_on(tmp_path: Path, asked: Judge) -> None:
    pairs, _ = write_example(tmp_path)
    said = run("judge_panel.py", pairs, "gpt-4o", "gpt-4o-mini", cwd=tmp_path)
    # Two judges, two completions of each record; the maps of single judges are made of the same answers.
    assert asked.counts()["paid"] == 2 * 2 * 201
    kept = lines(tmp_path / "panel.train.jsonl")
    assert f"{len(kept)} of 201 records" in said
    assert 0 < len(kept) < 201
    assert set(kept[0]) >= {"prompt", "chosen", "rejected"}
    assert re.search(r"gpt-4o and gpt-4o-mini: \d+ of 201", said)
    run("judge_panel.py", pairs, "gpt-4o", "gpt-4o-mini", cwd=tmp_path)
    assert asked.counts()["paid"] == 2 * 2 * 201


def test_a_distilabel_data_set_is_scored_drawn_and_made_into_pairs(tmp_path: Path, asked: Judge) -> None:
    with gzip.open(FOUR, "rt", encoding="utf-8") as packed:
        rows = [json.loads(line) for line, _ in zip(packed, range(60), strict=False)]
    made = tmp_path / "distilabel.jsonl"
    with made.open("w", encoding="utf-8") as out:
        for row in rows:
            texts, ratings = zip(*((one["text"], one["rating"]) for one in row["completions"]), strict=True)
            names = [f"model-{number}" for number in range(len(texts))]
            row = {"instruction": row["prompt"], "generations": texts, "generation_models": names, "ratings": ratings}
            out.write(json.dumps(row) + "\n")
    said = run("distilabel_data.py", made, tmp_path / "out", cwd=tmp_path)
    assert asked.counts()["paid"] >= 200
    kept = lines(tmp_path / "out" / "train.jsonl")
    assert f"{len(kept)} of 60 records" in said
    by_prompt = {row["prompt"]: row for row in rows}
    for pair in kept:
        better = {one["text"]: one["rating"] for one in by_prompt[pair["prompt"]]["completions"]}
        assert better[pair["chosen"]] > better[pair["rejected"]]
    assert (tmp_path / "out" / "map.html").stat().st_size > 10_000


def test_a_blind_study_of_two_people_ends_in_corrected_labels(
    tmp_path: Path,
    argilla_environment: TestServer,
    argilla_client: Any,
    workspace: str,
    annotator: Annotator,
    second_annotator: Annotator,
) -> None:
    pairs, planted = write_example(tmp_path)
    dataset, people = f"{workspace}/study", (annotator, second_annotator)
    said = run("blind_study.py", "start", pairs, dataset, *(person.username for person in people), cwd=tmp_path)
    assert said.count("has a login already") == 2
    assert "http" in said
    records = _records(argilla_client, workspace, "study")
    key = key_of(remote(Api(argilla_client), workspace, "study"))
    for name in planted[:6]:
        value = "ab"[shown_order(name, 2, blind=True, key=key).index(_better(pairs, name))]
        for person in people:
            answer(person.client, records[name]["id"], {"better": value})
    disputed = next(name for name in records if name not in planted)
    for person, value in zip(people, "ab", strict=True):
        answer(person.client, records[disputed]["id"], {"better": value})
    said = run("blind_study.py", "results", pairs, dataset, cwd=tmp_path)
    assert "7 of 201 records reviewed" in said
    assert f"{annotator.username}: 7 answers" in said
    old, new = lines(pairs), lines(tmp_path / "study.corrected.jsonl")
    changed = {a["id"] for a, b in zip(old, new, strict=True) if a != b}
    assert set(planted[:6]) <= changed <= {*planted[:6], disputed}
    assert len(lines(tmp_path / "study.changes.jsonl")) == 7


def test_a_nightly_job_runs_again_and_loses_no_answer(
    tmp_path: Path, argilla_environment: TestServer, argilla_client: Any, workspace: str, annotator: Annotator
) -> None:
    pairs, planted = write_example(tmp_path)
    dataset = f"{workspace}/night"
    assert "201 records added" in run("nightly.py", pairs, dataset, "existing", cwd=tmp_path)
    records = _records(argilla_client, workspace, "night")
    # A day of work: more than 30 records, the planted errors among them.
    read = [*planted, *[name for name in records if name not in planted][:15]]
    for name in read:
        answer(annotator.client, records[name]["id"], {"better": "flip" if name in planted else "keep"})
    said = run("nightly.py", pairs, dataset, "existing", cwd=tmp_path)
    assert "0 records added" in said
    assert f"{len(planted)} labels corrected, 15 confirmed, 0 in dispute" in said
    old, new = lines(pairs), lines(tmp_path / "night.corrected.jsonl")
    assert {a["id"] for a, b in zip(old, new, strict=True) if a != b} == set(planted)
    assert (tmp_path / "night.html").stat().st_size > 10_000


def _records(client: Any, workspace: str, name: str) -> dict[str, dict[str, Any]]:
    found = client.datasets(name=name, workspace=workspace)
    page = client.http_client.get(f"/api/v1/datasets/{found.id}/records", params={"limit": 500}).json()
    return {item["external_id"]: item for item in page["items"]}


def _better(pairs: Path, record_id: str) -> int:
    """The place of the completion that a flipped label calls the worse one."""
    (row,) = (row for row in lines(pairs) if row["id"] == record_id)
    ratings = [one["rating"] for one in row["completions"]]
    return ratings.index(min(ratings))
