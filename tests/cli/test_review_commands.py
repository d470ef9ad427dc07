"""`admap push`, `admap queues` and `admap pull` as a shell sees them: JSON, exit codes, messages, kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.review.argilla.argilla_api import Api, parse_address
from argilla_admap.tables import write_parquet
from tests.review.maps import data_map, many, row
from tests.review.test_push import answer, records, remote

Admap = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def admap(argilla_environment: Any) -> Admap:
    """Runs a command; its exit code, what it printed (read as JSON with ``--json``) and what it said on stderr."""

    def run(*words: str, **environment: str) -> tuple[int, Any, str]:
        done = subprocess.run(
            [sys.executable, "-m", "argilla_admap", *words],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=300,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout) if "--json" in words and done.stdout else done.stdout, done.stderr

    return run


def map_file(path: Path, rows: list[dict[str, Any]]) -> str:
    made = data_map(rows)
    write_parquet(path, made.batches(), made.schema, made.info)
    return str(path)


def test_the_circle_of_push_queues_and_pull(admap: Admap, argilla_client: Any, workspace: str, tmp_path: Path) -> None:
    rows = [row(f"r{i}", p_wrong=i / 10, flags=["likely_wrong"] if i > 7 else []) for i in range(10)]
    data_set = f"{workspace}/cli"
    code, pushed, said = admap("push", map_file(tmp_path / "map.parquet", rows), "--dataset", data_set, "--json")
    assert code == 0
    assert {"dataset", "created", "records", "updated", "unmatched", "queues"} <= set(pushed)
    assert pushed["created"] is True
    assert "10 of 10" in said
    code, queues, _ = admap("queues", data_set, "--json")
    assert (code, {q["name"]: q["count"] for q in queues["queues"]}["likely-wrong"]) == (0, 2)
    assert all({"name", "title", "count", "url"} <= set(queue) for queue in queues["queues"])
    _, adhoc, _ = admap("queues", data_set, "--where", "p_wrong>=0.5 and mean<6", "--sort", "p_wrong:desc", "--json")
    assert adhoc["queues"][0]["count"] == 5
    _, near, _ = admap("queues", data_set, "--similar-to", "r3", "--json")
    assert "similarity=" in near["queues"][0]["url"]
    api = Api(argilla_client)
    stored = records(api, remote(api, workspace, "cli"))
    answer(argilla_client, stored["r9"]["id"], {"better": "b"})
    answer(argilla_client, stored["r8"]["id"], {"better": "a"})
    original = tmp_path / "original.jsonl"
    original.write_text(
        "".join(
            json.dumps({"id": r["id"], "prompt": r["prompt"], "chosen": r["completions"][0], "rejected": r["completions"][1]})
            + "\n"
            for r in rows
        )
    )
    output, changes = tmp_path / "out.jsonl", tmp_path / "changes.jsonl"
    words = ("--original", str(original), "--id-field", "id", "--json")
    code, pulled, _ = admap("pull", data_set, "-o", str(output), "--changes", str(changes), *words)
    assert code == 0
    assert {k: pulled[k] for k in ("records", "reviewed", "corrected", "confirmed", "conflicts", "output")} == {
        "records": 10,
        "reviewed": 2,
        "corrected": 1,
        "confirmed": 1,
        "conflicts": 0,
        "output": str(output),
    }
    before, after = original.read_text().splitlines(), output.read_text().splitlines()
    assert [i for i in range(10) if before[i] != after[i]] == [9]
    assert json.loads(after[9])["chosen"] == rows[9]["completions"][1]
    assert {line["id"]: line["outcome"] for line in map(json.loads, changes.read_text().splitlines())} == {
        "r8": "confirmed",
        "r9": "corrected",
    }
    code, pulled, _ = admap("pull", data_set, "-o", str(tmp_path / "argilla.jsonl"), "--reviewed-only", "--json")
    written = [json.loads(line) for line in (tmp_path / "argilla.jsonl").read_text().splitlines()]
    assert (code, {found["id"] for found in written}) == (0, {"r8", "r9"})
    code, scored_again, _ = admap("push", str(tmp_path / "map.parquet"), "--dataset", data_set, "--json")
    assert (code, scored_again["created"], scored_again["updated"]) == (0, False, 0)


def test_what_cannot_be_is_said_with_its_exit_code(admap: Admap, workspace: str, tmp_path: Path) -> None:
    good = map_file(tmp_path / "good.parquet", [row("r0")])
    bad = map_file(tmp_path / "bad.parquet", [row("r0", mean=float("inf"))])
    (tmp_path / "text.parquet").write_text("no parquet")
    for expected, words, message in [
        (2, ("push", bad, "--dataset", f"{workspace}/x"), "'mean' holds inf"),
        (2, ("push", str(tmp_path / "text.parquet"), "--dataset", f"{workspace}/x"), "not a Parquet file"),
        (2, ("push", str(tmp_path / "absent.parquet"), "--dataset", f"{workspace}/x"), "no such file"),
        (2, ("push", good, "--dataset", f"{workspace}/"), "name is empty"),
        (2, ("push", good, "--dataset", "no-such-workspace/x"), "no workspace 'no-such-workspace'"),
        (2, ("push", good), "--dataset"),
        (2, ("queues", f"{workspace}/absent"), "no data set"),
        (2, ("pull", f"{workspace}/absent", "-o", str(tmp_path / "o.jsonl")), "no data set"),
        (2, ("pull", f"{workspace}/absent"), "-o"),
        (2, ("pull", f"{workspace}/absent", "-o", str(tmp_path / "no" / "o.jsonl")), "no folder"),
    ]:
        code, _, said = admap(*words)
        assert (code, message in said) == (expected, True), (words, code, said)
    assert not (tmp_path / "o.jsonl").exists()


def test_a_server_that_is_not_there_and_a_wrong_key_are_told_apart(admap: Admap) -> None:
    code, _, said = admap("queues", "x", ARGILLA_API_URL="http://127.0.0.1:9")
    assert (code, "no Argilla server answers" in said) == (1, True)
    code, _, said = admap("queues", "x", ARGILLA_API_KEY="wrong-key-of-the-test")
    assert (code, "does not accept the API key" in said, "wrong-key-of-the-test" in said) == (1, True, False)


def test_a_push_that_was_killed_goes_on_where_it_stopped(
    admap: Admap, argilla_client: Any, workspace: str, tmp_path: Path
) -> None:
    path = map_file(tmp_path / "map.parquet", many(600))
    api = Api(argilla_client)
    words = [sys.executable, "-m", "argilla_admap", "push", path, "--dataset", f"{workspace}/killed"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 120
        sent = 0
        while not sent and time.monotonic() < deadline:
            time.sleep(0.05)
            target = api.find(parse_address(f"{workspace}/killed"))
            sent = api.total(target) if target is not None else 0
        running.send_signal(signal.SIGKILL)
    code, pushed, _ = admap("push", path, "--dataset", f"{workspace}/killed", "--json")
    target = remote(api, workspace, "killed")
    assert (code, 0 < sent < 600, pushed["added"] < 600) == (0, True, True)
    assert len(records(api, target)) == api.total(target) == api.progress(target)["total"] == 600
