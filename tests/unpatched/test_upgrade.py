"""The data of an older Argilla, taken over by the embedded server: it brings the database up to date and fills the index."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from argilla_admap import server
from argilla_admap.example_data import write_example
from argilla_admap.server.data_dir import DataDir
from tests.doubles.unpatched_server import VERSIONS, UnpatchedServer
from tests.unpatched.conftest import Admap
from tests.unpatched.people import answer, login, records, search, terms, work

_TAKEN = 40


def test_answers_index_and_database_agree_after_an_upgrade(admap: Admap, unpatched: UnpatchedServer, tmp_path: Path) -> None:
    if unpatched.version == VERSIONS[0]:
        pytest.skip("the embedded server is of this version")
    if os.environ.get("ADMAP_ARGILLA_DATABASE"):
        pytest.skip("the embedded server has SQLite")
    whole, _ = write_example(tmp_path / "whole")
    original = tmp_path / "data.jsonl"
    original.write_text("".join(f"{line}\n" for line in whole.read_text().splitlines()[:_TAKEN]))
    place = "argilla/upgraded"
    run = admap("run", original, "--dataset", place, "--scorer", "existing")
    (made,) = admap("reviewers", "add", "ann of the upgrade", "--workspace", "argilla")["reviewers"]
    ann = login(unpatched.url, made["name"], made["password"])
    dataset = str(run["queues"][0]["url"].split("/dataset/")[1].split("/")[0])
    asked = search(ann, dataset, terms("admap_flags", "likely_wrong"))
    for record in asked[:-1]:
        answer(ann, record, better="flip")
    assert len(asked) > 1
    before, counted = work(records(unpatched.url, unpatched.api_key, place)), admap("queues", place)
    pulled = admap("pull", place, "--original", original, "-o", "before.jsonl")

    newer = DataDir(tmp_path / "newer")
    newer.make()
    newer.write_secrets(unpatched.services.secrets)
    theirs = sqlite3.connect(unpatched.services.data_dir.database)
    with closing(theirs), closing(sqlite3.connect(newer.database)) as copy:
        theirs.backup(copy)
    connection = server.start(newer.root)
    try:
        here = {"ARGILLA_API_URL": connection.url, "ARGILLA_API_KEY": connection.api_key}
        assert connection.api_key == unpatched.api_key
        assert work(records(connection.url, connection.api_key, place)) == before
        # By the index: who has answered what, and every queue's counts.
        ann = login(connection.url, made["name"], made["password"])
        submitted = {"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["submitted"]}
        answered = search(ann, dataset, submitted)
        assert {record["id"] for record in answered} == {record["id"] for record in asked[:-1]}
        found = admap("queues", place, **here)
        assert [(one["name"], one["count"]) for one in found["queues"]] == [
            (one["name"], one["count"]) for one in counted["queues"]
        ]
        after = admap("pull", place, "--original", original, "-o", "after.jsonl", **here)
        assert {**after, "output": None} == {**pulled, "output": None}
        assert Path("after.jsonl").read_bytes() == Path("before.jsonl").read_bytes()
        # And it goes on there.
        answer(ann, asked[-1], better="keep")
        again = admap("run", original, "--dataset", place, "--scorer", "existing", **here)
        assert (again["created"], again["records"]) == (False, _TAKEN)
        findings = admap("doctor", **here)["findings"]
        assert [one["found"] for one in findings if one["state"] == "wrong"] == []
        assert json.dumps(findings).count("2.8.0")
    finally:
        server.stop(newer.root)
