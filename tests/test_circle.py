"""The whole circle on real records with planted label errors: score, map, push, answer as a reviewer, pull, compare."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.example_data import write_example
from tests.doubles.argilla_server import Annotator

pytestmark = pytest.mark.usefixtures("argilla_environment")


def admap(*words: object, cwd: Path, code: int = 0) -> dict[str, Any]:
    """Runs a command as its user does; its JSON answer."""
    line = [sys.executable, "-m", "argilla_admap", *map(str, words), "--json"]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, f"{line}\nstdout: {done.stdout}\nstderr: {done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return answer


def responses(client: Any, dataset: str, workspace: str) -> dict[str, list[tuple[str, str, str]]]:
    """Every answer on the server: record id -> (answer id, status, time)."""
    found = client.datasets(name=dataset, workspace=workspace)
    page = client.http_client.get(f"/api/v1/datasets/{found.id}/records", params={"limit": 500, "include": "responses"}).json()
    return {r["external_id"]: [(a["id"], a["status"], a["updated_at"]) for a in r["responses"]] for r in page["items"]}


def answer_queue(person: Annotator, dataset_id: str, truth: dict[str, str], *, at_most: int) -> dict[str, str]:
    """A reviewer goes through the likely-wrong queue, through the API that the page uses; what they answered, by record id."""
    http = person.client.http_client
    search = {
        "filters": {
            "type": "and",
            "and": [
                {
                    "type": "terms",
                    "scope": {"entity": "metadata", "metadata_property": "admap_flags"},
                    "values": ["likely_wrong"],
                }
            ],
        },
        "sort": [{"scope": {"entity": "metadata", "metadata_property": "admap_p_wrong"}, "order": "desc"}],
    }
    found = http.post(f"/api/v1/me/datasets/{dataset_id}/records/search", json=search, params={"limit": at_most}).json()
    given = {}
    for item in found["items"]:
        record = item["record"]
        better = truth[record["external_id"]]
        body = {"status": "submitted", "values": {"better": {"value": better}}}
        http.post(f"/api/v1/records/{record['id']}/responses", json=body).raise_for_status()
        given[record["external_id"]] = better
    return given


def test_planted_errors_are_found_reviewed_and_corrected_and_nothing_else_changes(
    tmp_path: Path, argilla_client: Any, workspace: str, annotator: Annotator
) -> None:
    original, planted = write_example(tmp_path / "data")
    rows = [json.loads(line) for line in original.read_text().splitlines()]
    truth = {row["id"]: "flip" if row["id"] in planted else "keep" for row in rows}
    dataset = f"{workspace}/circle"

    run = admap("run", original, "--dataset", dataset, "--scorer", "existing", cwd=tmp_path)
    assert run["created"]
    assert run["records"] == len(rows)
    assert run["score"]["scored"] + run["score"]["unscored"] == 2 * len(rows)
    queue = next(q for q in run["queues"] if q["name"] == "likely-wrong")
    assert queue["count"] == run["map"]["flags"]["likely_wrong"] > 0

    remote = argilla_client.datasets(name="circle", workspace=workspace)
    given = answer_queue(annotator, str(remote.id), truth, at_most=queue["count"])
    assert len(given) == queue["count"]
    found = set(planted) & set(given)
    assert len(found) >= len(planted) / 2, "the queue holds most of the planted errors"

    # Enriching again with answers there touches none of them.
    before = responses(argilla_client, "circle", workspace)
    again = admap("run", original, "--dataset", dataset, "--scorer", "existing", cwd=tmp_path)
    assert not again["created"]
    assert responses(argilla_client, "circle", workspace) == before

    pulled = admap("pull", dataset, "--original", original, "-o", "corrected.jsonl", "--changes", "changes.jsonl", cwd=tmp_path)
    expected = {record_id for record_id, said in given.items() if said == "flip"}
    assert pulled["reviewed"] == len(given)
    assert pulled["corrected"] == len(expected)
    assert pulled["confirmed"] == len(given) - len(expected)
    assert pulled["conflicts"] == 0
    assert expected == found

    old, new = original.read_bytes().split(b"\n"), (tmp_path / "corrected.jsonl").read_bytes().split(b"\n")
    assert len(old) == len(new)
    changed = {json.loads(a)["id"] for a, b in zip(old, new, strict=True) if a != b}
    assert changed == expected
    for before_line, line in zip(old, new, strict=True):
        if line and json.loads(line)["id"] in expected:
            ratings = [[c["rating"] for c in json.loads(text)["completions"]] for text in (before_line, line)]
            assert ratings[0] == ratings[1][::-1]

    changes = [json.loads(line) for line in (tmp_path / "changes.jsonl").read_text().splitlines()]
    assert {change["id"] for change in changes} == set(given)
    assert {change["id"] for change in changes if change["outcome"] == "corrected"} == expected
    assert all(change["reviewers"] == [annotator.username] for change in changes)
    assert all(change["before"] == change["after"][:: -1 if change["id"] in expected else 1] for change in changes)
    admap("pull", "--undo", "changes.jsonl", "corrected.jsonl", "-o", "undone.jsonl", cwd=tmp_path)
    assert (tmp_path / "undone.jsonl").read_bytes() == original.read_bytes()


def test_a_dry_run_writes_nothing(tmp_path: Path, argilla_client: Any, workspace: str) -> None:
    original, _ = write_example(tmp_path / "data")
    before = sorted(p.name for p in tmp_path.rglob("*"))
    admap("run", original, "--dataset", f"{workspace}/dry", "--scorer", "existing", "--dry-run", cwd=tmp_path)
    assert argilla_client.datasets(name="dry", workspace=workspace) is None
    assert sorted(p.name for p in tmp_path.rglob("*")) == before
