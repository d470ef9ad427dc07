"""The engine ray: the scores, map and choice of the local one, nothing paid twice, one budget and one rate for all workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import argilla_admap as admap
from argilla_admap import distributed, pipeline
from argilla_admap.distributed import Remote, connect_cluster, in_order, in_pool, worker_place
from argilla_admap.errors import InputError, JudgeRefused
from argilla_admap.example_data import write_example
from argilla_admap.mapping.data import observed
from argilla_admap.review.argilla import argilla_api
from argilla_admap.scoring.cache.store import Store
from argilla_admap.scoring.run import score
from tests.doubles.judge_server import Judge
from tests.scoring.makers import options, record, records, stream
from tests.scoring.test_never_twice import write_records

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
ON_RAY: dict[str, Any] = {"engine": "ray", "workers": 2}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One for all tests, on loopback."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    ray = connect_cluster()
    yield ray
    ray.shutdown()


def workers_of(parent: int) -> list[psutil.Process]:
    found = psutil.Process(parent).children(recursive=True)
    return [one for one in found if one.is_running() and any("MapWorker" in word for word in one.cmdline())]


def test_all_that_ray_starts_listens_on_loopback_alone(cluster: Any) -> None:
    started = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [
        place.laddr.ip for one in started for place in one.net_connections("inet") if place.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 4
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    # Its files are in a folder of our own, which goes with it.
    session = Path(cluster._private.worker._global_node.get_session_dir_path())
    assert session.parents[1].name.startswith("admap-ray-")
    assert session.parents[1].stat().st_mode & 0o777 == 0o700


def test_a_cluster_that_ends_under_the_run_is_told_and_one_that_is_left_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for connected, words in ((True, "The Ray cluster is gone"), (False, "")):
        path = str(tmp_path / f"socket-{connected}")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        watching = threading.Thread(
            target=distributed._wait_for_end, args=(SimpleNamespace(is_initialized=lambda c=connected: c), path)
        )
        watching.start()
        other, _ = listening.accept()
        time.sleep(0.2)
        assert watching.is_alive()
        listening.close()
        other.close()
        watching.join(5)
        assert not watching.is_alive()
        said = capsys.readouterr().err
        assert words in said if words else not said


def test_two_workers_write_what_one_process_writes(cluster: Any, judge: Judge, tmp_path: Path) -> None:
    rows = records(600)
    # Equal questions in batches that go to different workers.
    rows += [record(f"again{i}", rows[i].prompt, *rows[i].completions) for i in range(300)]
    one = score(stream(rows), options(judge.url, tmp_path, store=tmp_path / "one", price=(1.0, 1.0)))
    judge.behave(latency=0.02)
    two = score(stream(rows), options(judge.url, tmp_path, store=tmp_path / "two", price=(1.0, 1.0), **ON_RAY))
    assert two.table().equals(one.table())
    told = [{name: value for name, value in run.summary.items() if name not in ("seconds", "cached")} for run in (one, two)]
    assert told[0] == told[1]
    assert one.info["score"]["judges"] == two.info["score"]["judges"]
    assert judge.counts()["twice"] == 0
    # Either engine goes on where the other was.
    again = [score(stream(rows), options(judge.url, tmp_path, store=tmp_path / name)) for name in ("one", "two")]
    assert [run.summary["requests"] for run in again] == [0, 0]


def test_a_killed_worker_costs_what_it_had_in_flight(cluster: Any, judge: Judge, tmp_path: Path) -> None:
    judge.behave(latency=0.05)
    killed: list[int] = []

    def kill(_told: Any) -> None:
        if not killed and judge.counts()["paid"] > 400:
            worker = workers_of(os.getpid())[0]
            worker.send_signal(signal.SIGKILL)
            killed.append(worker.pid)

    notes: list[str] = []
    chosen = options(judge.url, tmp_path, concurrency=16, **ON_RAY)
    scored = score(stream(records(1000)), chosen, progress=kill, warn=notes.append)
    counts = judge.counts()
    assert killed
    assert any("a worker was lost" in words for words in notes)
    assert (scored.summary["scored"], counts["distinct"]) == (2000, 2000)
    assert counts["twice"] <= 8
    assert counts["most_in_flight"] <= 16 + 8


def test_a_driver_that_is_stopped_loses_nothing_and_a_killed_one_what_was_in_flight(
    cluster: Any, judge: Judge, tmp_path: Path
) -> None:
    judge.behave(latency=0.5)
    source = write_records(tmp_path / "in.jsonl", 300)
    words = ["score", str(source), "-o", str(tmp_path / "out.parquet"), "--base-url", judge.url, "--concurrency", "40"]
    words += ["--store", str(tmp_path / "s.sqlite"), "--engine", "ray", "--workers", "2", "--json"]
    # The cluster of these tests has no other address than loopback, which Ray takes for that of one machine.
    environment = {**os.environ, "RAY_ADDRESS": cluster.get_runtime_context().gcs_address, LOOPBACK: "0"}
    for paid, how in ((60, signal.SIGINT), (250, signal.SIGKILL)):
        running = subprocess.Popen(
            [sys.executable, "-m", "argilla_admap", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        while judge.counts()["paid"] < paid:
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        running.send_signal(how)
        running.communicate()
        assert not (tmp_path / "out.parquet").exists()
        if how is signal.SIGINT:
            store = Store(tmp_path / "s.sqlite")
            assert paid <= store.count() == judge.counts()["paid"] < 600
            store.close()
    judge_so_far = judge.counts()
    assert judge_so_far["twice"] == 0
    done = admap.score(source, base_url=judge.url, store=tmp_path / "s.sqlite", output=tmp_path / "out.parquet", **ON_RAY)
    counts = judge.counts()
    assert (done.summary["scored"], counts["distinct"]) == (600, 600)
    assert done.summary["cached"] >= 200
    assert counts["twice"] <= 40


def test_two_workers_spend_no_more_than_the_budget(cluster: Any, judge: Judge, tmp_path: Path) -> None:
    judge.behave(latency=0.01)
    scored = score(stream(records(1000)), options(judge.url, tmp_path, max_cost=0.3, price=(1.0, 1.0), **ON_RAY))
    counts = judge.counts()
    spent = (counts["tokens_in"] + counts["tokens_out"]) / 1e6
    assert spent == pytest.approx(scored.summary["cost_usd"])
    assert 0.27 < spent <= 0.3
    assert "max_cost" in scored.summary["stopped"]
    assert scored.summary["unscored"] == 2000 - counts["paid"]


def test_two_workers_keep_to_the_rate_and_use_it(cluster: Any, judge: Judge, tmp_path: Path) -> None:
    judge.behave(rpm=6000.0, limit_headers=False)
    summary = score(stream(records(500)), options(judge.url, tmp_path, rpm=6000.0, **ON_RAY)).summary
    counts = judge.counts()
    assert (summary["scored"], summary["retried"], counts["refused_times"]) == (1000, 0, [])
    # Both have work, or one alone has all of it: in either case more than half of the rate is used.
    times = np.array(counts["times"])
    in_two_seconds = np.searchsorted(times, times + 2.0) - np.arange(len(times))
    assert in_two_seconds.max() > 120


def test_a_refusal_ends_the_run_in_the_judge_s_words(cluster: Any, judge: Judge, tmp_path: Path) -> None:
    judge.behave(key="sk-right")
    with pytest.raises(JudgeRefused, match="Incorrect API key") as caught:
        score(stream(records(20)), options(judge.url, tmp_path, **ON_RAY))
    assert "OPENAI_API_KEY" in caught.value.hint


def test_a_map_and_a_choice_are_those_of_one_process(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "PIECE_ROWS", 64)
    pairs, _ = write_example(tmp_path)
    admap.score(pairs, scorer="existing", output=tmp_path / "scored.parquet")
    paths = {engine: tmp_path / f"{engine}.parquet" for engine in ("local", "ray")}
    chosen = {engine: tmp_path / f"{engine}.jsonl" for engine in paths}
    for engine, path in paths.items():
        made = admap.map(tmp_path / "scored.parquet", path, engine=engine)
        admap.select(made, chosen[engine], region="high_avg", engine=engine)
    one, two = (pq.read_table(path) for path in paths.values())
    for name in ("p_wrong", "contested", "agreement", "region_confidence"):
        np.testing.assert_allclose(one[name].to_numpy(), two[name].to_numpy(), rtol=0, atol=1e-6)
    same = [name for name in one.column_names if not pa.types.is_floating(one.schema.field(name).type)]
    assert one.select(same).equals(two.select(same))
    assert chosen["local"].read_bytes() == chosen["ray"].read_bytes()
    assert chosen["ray"].stat().st_size > 1000
    # The public function of the map alone takes the engine too.
    again = admap.build_map(tmp_path / "scored.parquet", engine="ray")
    assert again.summary == admap.build_map(tmp_path / "scored.parquet").summary


def test_a_run_scores_and_maps_on_the_cluster(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def noted(work: Any, given: Any) -> Any:
        used.append(getattr(work, "__name__", ""))
        return in_order(work, given)

    monkeypatch.setattr(distributed, "in_order", noted)
    for name, stub in (("connect", lambda _client: None), ("push", lambda data_map, *_, **__: data_map)):
        monkeypatch.setattr(pipeline, name, stub)
    monkeypatch.setattr(argilla_api, "Api", MagicMock())
    pairs, _ = write_example(tmp_path)
    done = admap.run(pairs, "ws/pairs", scorer=longest, output=tmp_path / "map.parquet", store=tmp_path / "s", **ON_RAY)
    assert done.scored.summary["scored"] == done.scored.summary["completions"] > 400
    assert used == ["read_texts", "finish"]
    local = admap.build_map(admap.score(pairs, scorer=longest))
    assert done.data_map.summary == local.summary


def longest(_prompt: str, completions: list[str]) -> list[float]:
    return [float(len(text)) for text in completions]


class Meeting:
    """Keeps who was there."""

    def __init__(self) -> None:
        self.places: set[str] = set()

    def come(self, place: str) -> int:
        self.places.add(place)
        return len(self.places)


class Waiting:
    """A worker that is done when another has come."""

    def __init__(self, actor: Any) -> None:
        self.remote = Remote(actor)

    def __call__(self, given: int) -> int:
        deadline = time.monotonic() + 30
        while self.remote.call("come", worker_place()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return given


def test_a_pool_is_fed_as_it_works_and_each_of_its_workers_has_a_part(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_POOL_BYTES", 2 * distributed._packed([0]).nbytes)
    remote = Remote.start(Meeting)
    drawn: list[int] = []

    def given() -> Iterator[int]:
        for number in range(3):
            drawn.append(number)
            yield number

    results = in_pool(Waiting, remote, given(), 2, 12)
    assert [next(results) for _ in range(2)] == [0, 1]
    assert drawn == [0, 1]
    assert list(results) == [2]
    remote.kill()


def test_a_signal_ends_the_program_as_it_did_before_ray(cluster: Any) -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


class Refusing:
    """An object on the cluster that refuses."""

    def refuse(self) -> None:
        raise InputError("no", hint="do that", option="limit")


class Asking:
    """A worker that asks it."""

    def __init__(self, actor: Any) -> None:
        self.remote = Remote(actor)

    def __call__(self, _given: int) -> None:
        self.remote.call("refuse")


def test_an_error_of_the_coordinator_reaches_the_person_by_way_of_a_worker(cluster: Any) -> None:
    remote = Remote.start(Refusing)
    with pytest.raises(InputError, match="no; do that") as caught:
        list(in_pool(Asking, remote, [1], 1, 1))
    remote.kill()
    assert (caught.value.hint, caught.value.option) == ("do that", "limit")


def test_work_keeps_its_order_and_its_errors(cluster: Any) -> None:
    assert list(in_order(lambda n: n * n, range(7))) == [n * n for n in range(7)]
    assert list(in_order(str, ())) == []

    def refuse(number: int) -> int:
        raise InputError(f"{number}: no", hint="do that", option="limit")

    with pytest.raises(InputError, match="1: no") as caught:
        list(in_order(refuse, [1]))
    assert (caught.value.hint, caught.value.option) == ("do that", "limit")


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"Ray is not installed .*pip install 'argilla-admap\[ray\]'"):
        admap.score([{"prompt": "p", "chosen": "a", "rejected": "b"}], engine="ray")


def test_what_goes_with_one_machine_alone_is_refused(cluster: Any, tmp_path: Path) -> None:
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b"}]
    for given, words in (({"batch": True}, "batches are not"), ({"client": object()}, "stays in its process")):
        with pytest.raises(InputError, match=words):
            admap.score(rows, store=tmp_path / "s", **ON_RAY, **given)
    with pytest.raises(InputError, match="no such engine"):
        admap.score(rows, engine="spark")
