"""A review watched while people answer and a push runs, on the real server: nothing is lost, and a killed watch goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.errors import UnknownDataset
from argilla_admap.example_data import write_example
from argilla_admap.mapping.data_map import build_map
from argilla_admap.pipeline import pull, push, read, score, watch
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.queues.queues import QUEUES
from argilla_admap.review.watch.watch import Seen
from argilla_admap.review.watch.webhooks import Listener
from tests.cli.test_commands import admap
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote

N = 30


def pushed(api: Api, workspace: str, people: Any = (), n: int = N) -> dict[str, str]:
    """The data set, and the server's id of each record."""
    names = [person.username for person in people]
    rows = [row(f"r{i}") for i in range(n)]
    push(data_map(rows), "watched", api.client, workspace=workspace, reviewers=names, overlap=max(1, len(names)))
    return {name: str(item["id"]) for name, item in records(api, remote(api, workspace, "watched")).items()}


def outcomes(api: Api, workspace: str) -> dict[str, str | None]:
    found = records(api, remote(api, workspace, "watched"))
    return {name: item["metadata"].get("admap_review") for name, item in found.items()}


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Waits for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.3)


def test_two_people_and_a_push_at_once_lose_nothing(argilla_client: Any, workspace: str, make_annotator: Any) -> None:
    api, people = Api(argilla_client), [make_annotator(), make_annotator()]
    ids = pushed(api, workspace, people)
    # The second person differs on every fifth record.
    planted = [{name: ("keep", "flip")[i % 3 == 0] for i, name in enumerate(ids)} for _ in people]
    planted[1] |= {name: "tie" for i, name in enumerate(ids) if i % 5 == 0}
    stop = threading.Event()
    seen: list[Seen] = []

    def watching() -> None:
        for reading in watch("watched", argilla_client, workspace=workspace, stop=stop):
            seen.append(reading)

    def reviewing(who: int) -> None:
        for name, value in planted[who].items():
            answer(people[who].client, ids[name], {"better": value})

    def pushing() -> None:
        for turn in range(2):
            rows = [row(name, p_wrong=0.2 + turn / 10) for name in ids]
            push(data_map(rows), "watched", argilla_client, workspace=workspace)

    watcher = threading.Thread(target=watching)
    watcher.start()
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(reviewing, 0), pool.submit(reviewing, 1), pool.submit(pushing)]:
            done.result()
    expected = {
        name: "conflict" if planted[0][name] != planted[1][name] else "corrected" if planted[0][name] == "flip" else "confirmed"
        for name in ids
    }
    until(lambda: outcomes(api, workspace) == expected and seen[-1].answers == 2 * N)
    stop.set()
    watcher.join(20)
    assert not watcher.is_alive()
    found = records(api, remote(api, workspace, "watched"))
    said = {
        (person.username, name): response["values"]["better"]["value"]
        for name, item in found.items()
        for response in item["responses"]
        for person in people
        if response["user_id"] == person.id and response["status"] == "submitted"
    }
    assert said == {(person.username, name): planted[i][name] for i, person in enumerate(people) for name in ids}
    assert all(item["status"] == "completed" for item in found.values())
    assert seen[-1].answers == sum(reading.new for reading in seen) == 2 * N
    assert (seen[-1].corrected, seen[-1].conflicts) == (
        list(expected.values()).count("corrected"),
        list(expected.values()).count("conflict"),
    )
    assert seen[-1].via == "webhook", "the server's messages arrive"
    assert [hook for hook in api.webhooks() if "admap watch" in str(hook["description"])] == []
    target = remote(api, workspace, "watched")
    assert api.count(target, QUEUES["reviewers-disagree"].body()) == list(expected.values()).count("conflict")
    assert f"{N:,} reviewed" in str(target.guidelines)


@pytest.mark.usefixtures("argilla_environment")
def test_a_killed_watch_goes_on_and_a_signal_ends_it_cleanly(argilla_client: Any, workspace: str, tmp_path: Path) -> None:
    api = Api(argilla_client)
    ids = pushed(api, workspace, n=6)
    name = f"{workspace}/watched"
    line = [sys.executable, "-m", "argilla_admap", "watch", name, "--json-lines"]

    def start(log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            return subprocess.Popen(line, stdout=out, stderr=subprocess.STDOUT, env=os.environ)

    def read(log: Path) -> list[dict[str, Any]]:
        return [json.loads(text) for text in log.read_text().splitlines() if text.startswith("{") and text.endswith("}")]

    def mine() -> list[dict[str, Any]]:
        return [hook for hook in api.webhooks() if "admap watch" in str(hook["description"])]

    first = start(tmp_path / "first")
    until(lambda: bool(read(tmp_path / "first")))
    answer(argilla_client, ids["r0"], {"better": "flip"})
    until(lambda: outcomes(api, workspace)["r0"] == "corrected")
    first.kill()
    first.wait(20)
    answer(argilla_client, ids["r1"], {"better": "keep"})
    assert len(mine()) == 1, "a killed program cannot take its webhook away"
    second = start(tmp_path / "second")
    until(lambda: bool(read(tmp_path / "second")))
    assert read(tmp_path / "second")[0]["reviewed"] == 2
    assert len(mine()) == 1, "the next one does"
    answer(argilla_client, ids["r2"], {"better": "keep"})
    until(lambda: read(tmp_path / "second")[-1]["reviewed"] == 3)
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0, (tmp_path / "second").read_text()
    assert mine() == []
    assert outcomes(api, workspace) == {
        "r0": "corrected",
        "r1": "confirmed",
        "r2": "confirmed",
        **dict.fromkeys(("r3", "r4", "r5")),
    }
    once = admap("watch", name, "--once", "--json")
    assert once.returncode == 0, once.stderr
    assert {key: json.loads(once.stdout)[key] for key in ("reviewed", "noted", "answers", "learned")} == {
        "reviewed": 3,
        "noted": 0,
        "answers": 3,
        "learned": False,
    }
    assert admap("watch", f"{workspace}/nothing", "--once").returncode == 2
    assert admap("watch", name, "--json").returncode == 2


def test_a_server_that_is_away_for_a_while_is_waited_for(
    argilla_client: Any, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(argilla_client)
    ids = pushed(api, workspace, n=3)
    monkeypatch.setattr(Listener, "_open", lambda self: None)
    stop = threading.Event()
    with closing(watch("watched", argilla_client, workspace=workspace, stop=stop)) as readings:
        assert next(readings).via == "polling"
        with monkeypatch.context() as away:
            away.setattr(argilla_client, "http_client", _Away())
            away.setattr("argilla_admap.review.watch.watch._ANYWAY", 0.1)
            # The same connection object is kept by the watch: it fails as a stopped server does.
            away.setattr(Api, "request", _Away().request)
            lost = next(readings)
            assert lost.problem
            assert lost.reviewed == 0
        answer(argilla_client, ids["r0"], {"better": "flip"})
        back: Seen = next(reading for reading in readings if reading.problem is None)
        assert (back.reviewed, back.new) == (1, 1)
    with pytest.raises(UnknownDataset):
        next(watch("nothing", argilla_client, workspace=workspace))


class _Away:
    """A server that does not answer."""

    def request(self, *words: Any, **more: Any) -> Any:
        from argilla_admap.review.argilla.refusals import unreachable

        raise unreachable("http://127.0.0.1:1", ConnectionError("refused"))


def test_after_so_many_answers_the_map_learns_and_is_pushed(argilla_client: Any, workspace: str, tmp_path: Path) -> None:
    api = Api(argilla_client)
    original, planted = write_example(tmp_path / "data")
    rows = {line["id"]: line["completions"] for line in map(json.loads, original.read_text().splitlines())}
    truth = {
        name: "a" if (first["rating"] > second["rating"]) != (name in planted) else "b"
        for name, (first, second) in rows.items()
    }
    built = build_map(score(read(original), scorer="existing"))
    built.write(tmp_path / "map.parquet")
    push(built, "watched", argilla_client, workspace=workspace)
    ids = {name: str(item["id"]) for name, item in records(api, remote(api, workspace, "watched")).items()}
    for name in list(ids)[:35]:
        answer(argilla_client, ids[name], {"better": truth[name]})
    given: dict[str, Any] = {"data_map": tmp_path / "map.parquet", "once": True, "workspace": workspace}
    (few,) = watch("watched", argilla_client, every=36, **given)
    assert not few.learned
    (learned,) = watch("watched", argilla_client, every=35, **given)
    assert learned.learned
    before = pull("watched", argilla_client, workspace=workspace)
    assert before.target.info["pushed"]["answers"] == 35
    # Started again, it does not learn the same again.
    (again,) = watch("watched", argilla_client, every=35, **given)
    assert not again.learned
