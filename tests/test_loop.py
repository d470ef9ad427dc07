"""The whole loop in one piece: push, answers of two people, a map that learns from them, the next push, status, pull."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from argilla_admap.example_data import write_example
from tests.doubles.argilla_server import Annotator
from tests.test_circle import admap, responses

pytestmark = pytest.mark.usefixtures("argilla_environment")

_AUDIT = 40


def search(person: Annotator, dataset_id: str, condition: dict[str, Any], column: str) -> list[dict[str, Any]]:
    """A queue as the page shows it to a person, in its order: without the records that have all their answers."""
    unfinished = {"type": "terms", "scope": {"entity": "record", "property": "status"}, "values": ["pending"]}
    query = {
        "filters": {"type": "and", "and": [condition, unfinished]},
        "sort": [{"scope": {"entity": "metadata", "metadata_property": f"admap_{column}"}, "order": "desc"}],
    }
    found = person.client.http_client.post(
        f"/api/v1/me/datasets/{dataset_id}/records/search", json=query, params={"limit": 500, "response_status": "pending"}
    )
    found.raise_for_status()
    return [item["record"] for item in found.json()["items"]]


def suspects(person: Annotator, dataset_id: str) -> list[dict[str, Any]]:
    """The queue likely-wrong."""
    scope = {"entity": "metadata", "metadata_property": "admap_flags"}
    return search(person, dataset_id, {"type": "terms", "scope": scope, "values": ["likely_wrong"]}, "p_wrong")


def test_every_answer_teaches_the_next_round(tmp_path: Path, argilla_client: Any, workspace: str, make_annotator: Any) -> None:
    original, planted = write_example(tmp_path / "data")
    ids = [json.loads(line)["id"] for line in original.read_text().splitlines()]
    truth = {name: "flip" if name in planted else "keep" for name in ids}
    dataset, (ann, bo, carl) = f"{workspace}/loop", (make_annotator() for _ in range(3))
    admap("score", original, "--scorer", "existing", "-o", "scored.parquet", cwd=tmp_path)
    admap("map", "scored.parquet", "-o", "map.parquet", cwd=tmp_path)
    first = admap("push", "map.parquet", "--dataset", dataset, "--audit", _AUDIT, cwd=tmp_path)
    remote = str(argilla_client.datasets(name="loop", workspace=workspace).id)

    # Ann reads the suspects; Bo reads the random sample, all of it that Ann has left, and errs once.
    said: dict[str, dict[str, str]] = {ann.username: {}, bo.username: {}}

    def read(person: Annotator, records: list[dict[str, Any]], wrong: int = 0) -> None:
        for place, record in enumerate(records):
            name = record["external_id"]
            better = truth[name] if place >= wrong else {"flip": "keep", "keep": "flip"}[truth[name]]
            body = {"status": "submitted", "values": {"better": {"value": better}}}
            person.client.http_client.post(f"/api/v1/records/{record['id']}/responses", json=body).raise_for_status()
            said[person.username][name] = better

    queue = suspects(ann, remote)
    assert len(queue) == next(q["count"] for q in first["queues"] if q["name"] == "likely-wrong")
    read(ann, queue[:-3])
    drawn = {"type": "range", "scope": {"entity": "metadata", "metadata_property": "admap_audit"}, "ge": 0.0, "le": 1.0}
    read(bo, search(bo, remote, drawn, "audit"), wrong=1)
    answered = {**said[ann.username], **said[bo.username]}
    assert len(answered) == len(said[ann.username]) + len(said[bo.username]) >= 30

    learned = admap("map", "map.parquet", "--answers", dataset, "-o", "learned.parquet", cwd=tmp_path)
    assert learned["learned_from"]["learned"]
    assert learned["learned_from"]["answers"] == len(answered)
    before = responses(argilla_client, "loop", workspace)
    second = admap("push", "learned.parquet", "--dataset", dataset, cwd=tmp_path)
    assert (second["created"], second["records"]) == (False, len(ids))
    assert responses(argilla_client, "loop", workspace) == before

    # P(wrong), flags, order and queues on the page are those of the new map; nobody is asked again.
    old, new = ({r["id"]: r for r in pq.read_table(tmp_path / f"{name}.parquet").to_pylist()} for name in ("map", "learned"))
    assert any(abs(old[name]["p_wrong"] - new[name]["p_wrong"]) > 0.01 for name in ids if name not in answered)
    page = argilla_client.http_client.get(f"/api/v1/datasets/{remote}/records", params={"limit": 500}).json()["items"]
    shown = {record["external_id"]: record["metadata"] for record in page}
    for name in ids:
        assert shown[name]["admap_p_wrong"] == pytest.approx(new[name]["p_wrong"], abs=1e-6)
        assert set(shown[name].get("admap_flags") or ()) == set(new[name]["flags"])
    asked = suspects(carl, remote)
    chances = [record["metadata"]["admap_p_wrong"] for record in asked]
    assert chances == sorted(chances, reverse=True)
    flagged = {name for name in ids if "likely_wrong" in new[name]["flags"]}
    assert {record["external_id"] for record in asked} == flagged - answered.keys()
    counted = next(q for q in second["queues"] if q["name"] == "likely-wrong")
    assert (counted["count"], counted["pending"]) == (len(flagged), len(flagged - answered.keys()))

    status = admap("status", dataset, cwd=tmp_path)
    flips = {name for name, better in answered.items() if better == "flip"}
    assert (status["reviewed"], status["corrected"], status["conflicts"]) == (len(answered), len(flips), 0)
    assert {r["name"]: r["answered"] for r in status["reviewers"]} == {who: len(given) for who, given in said.items()}
    assert status["random"]["read"] >= 20
    left = sum(name not in answered for name in planted)
    assert status["remaining_errors"]["low"] <= left <= status["remaining_errors"]["high"]

    pulled = admap("pull", dataset, "--original", original, "-o", "out.jsonl", cwd=tmp_path)
    assert (pulled["corrected"], pulled["written"]) == (len(flips), len(flips))
    lines = [(tmp_path / "out.jsonl").read_bytes().splitlines(), original.read_bytes().splitlines()]
    assert {json.loads(b)["id"] for a, b in zip(*lines, strict=True) if a != b} == flips
