"""The life of a real server: started, found, killed in all ways, repaired, stopped. One server, in the order of its life."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest

from argilla_admap import server
from argilla_admap.checkup import examine
from argilla_admap.errors import InputError
from argilla_admap.server import launcher, runtime
from argilla_admap.server.services import elasticsearch_answers, redis_answers
from tests.bench.soak import Soak
from tests.server.life import NAMES, Life, assert_whole, kill, put, size_of, stranger_at, target_of, until


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    # A space and signs that mean something in addresses: a folder may be called anything.
    made = Life(tmp_path_factory.mktemp("life") / "my server %20?")
    yield made
    server.stop(made.data_dir)


@pytest.fixture(scope="module")
def half_migrated(life: Life) -> int:
    """A first start that was killed, with its server, in the middle of making the database; the bytes made so far."""
    runtime.ensure(print, elasticsearch=True, postgresql=False)
    starter = life.begin("start")
    copy = life.folder.database.with_name("argilla.db.migrating")
    size = until(lambda: (made := size_of(copy)) > 20_000 and made)
    server = life.pids["server"]
    assert server is not None
    os.kill(server, signal.SIGKILL)
    starter.kill()
    starter.communicate()
    return int(size)


@pytest.fixture(scope="module")
def two_starts(life: Life, half_migrated: int) -> list[subprocess.CompletedProcess[str]]:
    """Two starts at the same moment, after one that was killed."""
    starts = [life.begin("start", "--json") for _ in range(2)]
    return [
        subprocess.CompletedProcess(one.args, one.returncode, out, err) for one in starts for out, err in [one.communicate()]
    ]


@pytest.fixture(scope="module")
def dataset(life: Life, two_starts: object) -> str:
    """The id of a data set with 300 records."""
    with life.http() as http:
        workspace = http.get("/api/v1/me/workspaces").json()["items"][0]["id"]
        dataset = http.post("/api/v1/datasets", json={"name": "things", "workspace_id": workspace}).json()["id"]
        http.post(f"/api/v1/datasets/{dataset}/fields", json={"name": "text", "title": "T", "settings": {"type": "text"}})
        question = {"name": "note", "title": "N", "required": True, "settings": {"type": "text"}}
        http.post(f"/api/v1/datasets/{dataset}/questions", json=question)
        metadata = {"name": "size", "title": "S", "settings": {"type": "float"}}
        http.post(f"/api/v1/datasets/{dataset}/metadata-properties", json=metadata)
        http.put(f"/api/v1/datasets/{dataset}/publish").raise_for_status()
        for begin in range(0, 300, 100):
            put(http, dataset, begin, 1.0)
    return dataset


def test_of_two_starts_at_once_one_waits_and_both_find_the_same_server(
    life: Life, two_starts: list[subprocess.CompletedProcess[str]]
) -> None:
    assert [one.returncode for one in two_starts] == [0, 0], two_starts
    answers = [json.loads(one.stdout) for one in two_starts]
    assert answers[0] == answers[1]
    assert answers[0]["running"] is True
    assert answers[0]["data_dir"] == str(life.data_dir)
    assert answers[0]["url"].startswith("http://127.0.0.1:")
    assert set(answers[0]["pids"]) == set(NAMES)
    assert all(Path(f"/proc/{pid}").exists() for pid in answers[0]["pids"].values())
    waited = [one for one in two_starts if "waiting for another command" in one.stderr]
    assert len(waited) == 1
    assert "already running" in waited[0].stderr


def test_a_database_that_was_half_made_when_all_was_killed_is_made_whole(
    life: Life, half_migrated: int, two_starts: object
) -> None:
    assert half_migrated > 20_000
    assert [path.name for path in life.folder.database.parent.iterdir()] == ["argilla.db"]


def test_the_page_the_version_and_the_owner_are_there(life: Life, two_starts: object) -> None:
    with life.http() as http:
        assert "<html" in http.get("/").text.lower()
        assert http.get("/api/v1/version").json()["version"] == "2.8.0"
        me = http.get("/api/v1/me").json()
        assert (me["username"], me["role"]) == ("argilla", "owner")


def test_the_printed_password_logs_in(life: Life, two_starts: object) -> None:
    found = launcher.find(life.data_dir)
    assert found is not None
    shown = life.command("start").stdout
    assert found.password in shown
    form = {"username": found.username, "password": found.password}
    assert httpx.post(f"{found.url}/api/v1/token", data=form).status_code == 201


def test_the_lines_of_env_give_a_shell_what_it_needs(life: Life, two_starts: object) -> None:
    found = launcher.find(life.data_dir)
    assert found is not None
    names = ["ARGILLA_API_URL", "ARGILLA_API_KEY", "ARGILLA_USERNAME", "ARGILLA_PASSWORD"]
    line = " ".join(shlex.quote(word) for word in life.words("env"))
    script = f'eval "$({line})"; for name in {" ".join(names)}; do printenv "$name"; done'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == [found.url, found.api_key, found.username, found.password]


def test_the_parts_listen_on_loopback_only(life: Life, two_starts: object) -> None:
    sockets = {
        target
        for pid in life.pids.values()
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if (target := target_of(link)).startswith("socket:")
    }
    heard = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and f"socket:[{parts[9]}]" in sockets:
                heard.append(parts[1].rsplit(":", 1)[0])
    # 127.0.0.1, in IPv4's own form and in the form that Java's IPv6 sockets have.
    assert len(heard) >= 2, "the server's port and the engine's; the queue has a socket in a folder"
    assert set(heard) <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_no_list_of_processes_and_no_log_shows_a_secret_and_no_part_knows_the_judges_key(
    life: Life, two_starts: object
) -> None:
    secrets = life.folder.secrets()
    assert secrets is not None
    hidden = [secrets.password, secrets.api_key, secrets.session_key, secrets.engine_password]
    for pid in life.pids.values():
        words = Path(f"/proc/{pid}/cmdline").read_text()
        assert not [one for one in hidden if one in words]
        assert "sk-of-the-judge" not in Path(f"/proc/{pid}/environ").read_text()
    for log in life.folder.logs.iterdir():
        assert not [one for one in hidden if one in log.read_text(errors="replace")], log


def test_the_engine_and_the_queue_let_only_the_server_in(life: Life, two_starts: object) -> None:
    ports = life.folder.state().ports
    assert httpx.get(f"http://127.0.0.1:{ports['elasticsearch']}/_cat/indices").status_code == 401
    assert httpx.get(f"http://127.0.0.1:{ports['elasticsearch']}/", auth=("admap", "guess")).status_code == 401
    assert set(ports) == {"elasticsearch", "server"}
    assert redis_answers(life.folder.redis / "socket")


def test_only_its_own_page_may_call_the_api_from_a_browser(life: Life, two_starts: object) -> None:
    with life.http() as http:
        answer = http.get("/api/v1/me", headers={"Origin": "http://evil.example"})
        assert answer.headers.get("access-control-allow-origin") != "http://evil.example"
        assert answer.headers.get("access-control-allow-origin") != "*"


def test_the_database_reads_the_records_that_are_asked_for_and_not_all_of_a_data_set(life: Life, dataset: str) -> None:
    page = "SELECT * FROM records WHERE dataset_id = ? ORDER BY inserted_at LIMIT 10 OFFSET 200"
    some = f"SELECT * FROM records WHERE id IN ({', '.join('?' * 100)}) AND dataset_id = ?"
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(life.folder.database))}?mode=ro", uri=True)) as database:
        plans = [str(database.execute(f"EXPLAIN QUERY PLAN {one}", ["x"] * one.count("?")).fetchall()) for one in (page, some)]
    assert "admap_records_by_age" in plans[0]
    assert "TEMP B-TREE" not in plans[0]
    assert "(id=?)" in plans[1]


def test_a_second_start_changes_no_process(life: Life, two_starts: object) -> None:
    before = life.pids
    again = life.command("start", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["pids"] == before
    assert "already running" in again.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_start_repairs_a_server_of_which_one_part_was_killed_while_it_wrote(life: Life, dataset: str, name: str) -> None:
    before = life.pids
    pid = before[name]
    assert pid is not None
    # In the middle of the second of three requests, at the speed of a quiet machine.
    killer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
    with life.http() as http, contextlib.suppress(httpx.HTTPError):
        killer.start()
        for begin in (0, 100, 200):
            put(http, dataset, begin, float(pid))
    killer.join()
    until(lambda: life.pids[name] is None)
    found = launcher.status(life.data_dir)
    assert not found.running
    shown = life.command("status")
    assert "does not run; fix it with: admap server start" in shown.stderr
    done = life.command("start", "--json")
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)["pids"]
    assert after[name] not in (None, pid)
    assert {other for other in NAMES if after[other] == before[other]} >= set(NAMES) - {
        name,
        "server",
        # It ends when its Redis does, if late.
        *(["worker"] if name == "redis" else []),
    }
    assert_whole(life, dataset)


def test_what_was_written_while_the_engine_was_dead_is_in_the_index_once_doctor_repaired_it(life: Life, dataset: str) -> None:
    with life.http() as http:
        ids = [item["id"] for item in http.get(f"/api/v1/datasets/{dataset}/records?limit=4").json()["items"]]
        answer = {"values": {"note": {"value": "x"}}, "status": "submitted"}
        before = [http.post(f"/api/v1/records/{one}/responses", json=answer) for one in ids[:2]]
    kill(life, "elasticsearch")
    port = life.folder.state().ports["elasticsearch"]
    # Whoever takes its port then is sent nothing, above all no password.
    with stranger_at(port) as received, life.http() as http:
        # The server says that it failed, and keeps the change nevertheless. It closes the connection then.
        assert http.post(f"/api/v1/records/{ids[2]}/responses", json=answer).status_code == 500
        assert not elasticsearch_answers(f"http://admap:password@127.0.0.1:{port}", own=True)
        # Only root can be somebody else here.
        assert set(until(received).split()) == {b"accepted"} or os.geteuid() != 0
    with life.http() as http:
        assert http.delete(f"/api/v1/responses/{before[0].json()['id']}").status_code == 500
    # A later change: the ones before are not among the last when the server starts again.
    time.sleep(16)
    with life.http() as http:
        assert http.post(f"/api/v1/records/{ids[3]}/responses", json=answer).status_code == 500
    looked_at: dict[str, Any] = {"base_url": "http://127.0.0.1:9/v1", "store": life.data_dir / "s", "data_dir": life.data_dir}
    wrong = [one for one in examine(**looked_at) if (one.part, one.state) == ("server", "wrong")]
    assert all("with `repair`" in str(one.mend) for one in wrong)
    (mended,) = (one for one in examine(**looked_at, repair=True) if one.part == "server" and one.state != "ok")
    assert (mended.state, len(wrong) > 0) == ("mended", True)
    assert_whole(life, dataset)
    with life.http() as http:
        scope = {"entity": "response", "property": "status"}
        query = {"filters": {"type": "and", "and": [{"type": "terms", "scope": scope, "values": ["submitted"]}]}}
        found = http.post(f"/api/v1/datasets/{dataset}/records/search", json=query).json()["items"]
        assert {item["record"]["id"] for item in found} == set(ids[1:])
    assert not list(life.data_dir.glob("index-missed*"))


def test_doctor_repairs_an_index_that_lacks_records(
    life: Life, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ARGILLA_API_URL", "ARGILLA_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    secrets = life.folder.secrets()
    assert secrets is not None
    with life.http() as http:
        ids = [item["id"] for item in http.get(f"/api/v1/datasets/{dataset}/records?limit=5").json()["items"]]
    engine = f"http://127.0.0.1:{life.folder.state().ports['elasticsearch']}/rg.{dataset}/_bulk?refresh=true"
    body = "".join(json.dumps({"delete": {"_id": one}}) + "\n" for one in ids)
    kind = {"content-type": "application/x-ndjson"}
    httpx.post(engine, content=body, headers=kind, auth=("admap", secrets.engine_password)).raise_for_status()

    def look(*, repair: bool) -> list[str]:
        found = examine(store=tmp_path / "store", data_dir=life.data_dir, repair=repair)
        return [f"{one.state}: {one.found}" for one in found if one.part == "data set"]

    (wrong,) = look(repair=False)
    assert wrong.startswith("wrong: ")
    assert "holds 300 records and the index 295" in wrong
    assert look(repair=True) == [wrong.replace("wrong: ", "mended: ")]
    assert look(repair=False) == []
    assert_whole(life, dataset)


def test_a_review_loses_nothing_while_a_part_and_our_own_commands_are_killed(life: Life, dataset: str, tmp_path: Path) -> None:
    """`python -m tests.bench.soak` in short."""
    one = Soak(tmp_path, life.data_dir, records=30, pause=0.3)
    one.prepare()
    one.go(5, [partial(one.kill, "server")], every=3)
    differ = one.compare()
    assert one.counts["answers taken"] >= 5, one.counts
    assert not any(differ.values()), (differ, one.problems)
    with life.http() as http:
        # What follows counts records of its own alone.
        (made,) = (item["id"] for item in http.get("/api/v1/me/datasets").json()["items"] if item["name"] == "soak")
        http.delete(f"/api/v1/datasets/{made}").raise_for_status()


def test_a_start_goes_on_where_a_killed_one_left_off(life: Life, dataset: str) -> None:
    for name in ("server", "worker"):
        kill(life, name)
    starter = life.begin("start")
    begun = until(lambda: life.pids["server"])
    # Until its start is written down, it waits behind a barrier, and ends with its starter.
    until(lambda: psutil.Process(begun).name() != "sh")
    starter.kill()
    starter.communicate()
    done = life.command("start", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pids"]["server"] == begun
    assert_whole(life, dataset)


def test_a_backup_of_the_running_server_comes_back_with_its_answers_and_its_index(
    life: Life, dataset: str, tmp_path: Path
) -> None:
    kept = str(tmp_path / "kept")
    answers = f"/api/v1/datasets/{dataset}/records?limit=1000&include=responses"
    with life.http() as http:
        answered = http.get(answers).json()["items"][20]["id"]
        answer = {"values": {"note": {"value": "kept"}}, "status": "submitted"}
        http.post(f"/api/v1/records/{answered}/responses", json=answer).raise_for_status()
        before = http.get(answers).json()["items"]
    assert json.loads(life.command("backup", kept, "--dry-run", "--json").stdout)["records"] == 300
    assert not Path(kept).exists()
    made = json.loads(life.command("backup", kept, "--json").stdout)
    assert (made["records"], made["responses"] > 0) == (300, True)
    assert {path.stat().st_mode & 0o077 for path in Path(kept).iterdir() if path.name != "backup.json"} == {0}
    assert life.command("backup", kept).returncode == 2
    with life.http() as http:
        ids = ",".join(item["id"] for item in before[:50])
        http.delete(f"/api/v1/datasets/{dataset}/records", params={"ids": ids}).raise_for_status()
    running = life.command("restore", kept)
    assert (running.returncode, "admap server stop" in running.stderr) == (1, True)
    assert life.command("stop").returncode == 0
    assert life.command("restore", str(tmp_path)).returncode == 2
    assert life.command("restore", kept).returncode == 0
    (aside,) = life.data_dir.glob("before-restore-*")
    assert {"argilla.db", "secrets.json"} <= {path.name for path in aside.iterdir()}
    assert life.command("start").returncode == 0
    assert_whole(life, dataset)
    with life.http() as http:
        assert http.get(answers).json()["items"] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "a closed terminal"])
def test_ctrl_c_stops_what_the_start_has_begun_and_nothing_else(life: Life, dataset: str, number: signal.Signals) -> None:
    before = life.pids
    if before["server"] is not None:
        kill(life, "server")
    starter = life.begin("start")
    begun = until(lambda: life.pids["server"])
    starter.send_signal(number)
    _, said = starter.communicate()
    # Python ends itself by the signal where it came within an `exec`, such as that of a dataclass, whoever caught it.
    assert starter.returncode in (1, -signal.SIGINT)
    assert "stopped; run the same command again" in said
    until(lambda: not Path(f"/proc/{begun}").exists())
    after = life.pids
    assert after["server"] is None
    assert all(after[name] == before[name] for name in ("elasticsearch", "redis", "worker"))


def test_after_a_stop_nothing_of_it_runs_and_nothing_is_found(life: Life, dataset: str) -> None:
    pids = [pid for pid in life.pids.values() if pid is not None]
    done = life.command("stop", "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert (answer["running"], answer["url"], answer["stopped"]) == (False, None, True)
    assert set(answer["pids"].values()) == {None}
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text()]
    assert launcher.find(life.data_dir) is None
    assert life.command("env").returncode == 1
    assert "admap server start" in life.command("env").stderr
    assert json.loads(life.command("stop", "--json").stdout)["stopped"] is False


def test_a_stop_leaves_alone_a_process_that_got_the_pid_of_one_of_ours(life: Life, dataset: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state = json.loads(life.folder.state_file.read_text())
        state["processes"] = {"server": {"pid": stranger.pid, "started": 1, "boot": boot, "fingerprint": ""}}
        life.folder.state_file.write_text(json.dumps(state))
        assert launcher.find(life.data_dir) is None
        assert life.command("stop").returncode == 0
        assert stranger.poll() is None
        stranger.kill()


def test_a_port_that_is_taken_is_refused_by_name(life: Life, dataset: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = life.command("start", "--port", str(port))
    assert done.returncode == 2
    assert f"--port: {port} is taken by another program" in done.stderr
    with pytest.raises(InputError, match="not a port"):
        launcher.start(life.data_dir, port=0)


def test_a_start_copes_with_a_taken_port_damaged_files_a_lost_index_and_lost_secrets_at_once(life: Life, dataset: str) -> None:
    folder = life.folder
    port = folder.state().ports["server"]
    before = folder.secrets()
    shutil.rmtree(folder.elasticsearch / "data")
    for part in (folder.redis / "appendonlydir").glob("*.aof"):
        part.write_bytes(b"\x00\xffnot a redis file" * 50)
    folder.secrets_file.write_text('{"username": "arg')
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        done = life.command("start", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["url"] != f"http://127.0.0.1:{port}"
    assert f"port {port} of the last start is taken by another program" in done.stderr
    assert "the files of Redis are damaged" in done.stderr
    assert "making a new one" in done.stderr
    after = folder.secrets()
    assert before is not None
    assert after is not None
    assert after.api_key != before.api_key
    assert list(life.data_dir.glob("redis.broken-*"))
    assert_whole(life, dataset)


def test_an_engine_and_a_redis_that_already_run_are_used_by_a_server_that_a_script_starts_and_stops(
    life: Life, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = life.folder.secrets()
    ports = life.folder.state().ports
    assert secrets is not None
    other = Life(tmp_path / "other")
    given = {
        "ARGILLA_ELASTICSEARCH": f"http://admap:{secrets.engine_password}@127.0.0.1:{ports['elasticsearch']}",
        "ARGILLA_REDIS_URL": f"unix://{quote(str(life.folder.redis / 'socket'))}?db=1",
        "ARGILLA_DATABASE_URL": f"sqlite:///{tmp_path}/own.db",
    }
    said: list[str] = []
    with monkeypatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        try:
            connection = server.start(other.data_dir, say=said.append)
            found = server.status(other.data_dir)
            assert (found.running, found.url) == (True, connection.url)
            assert found.pids["elasticsearch"] is None
            assert found.pids["redis"] is None
            assert server.env(other.data_dir)["ARGILLA_API_KEY"] == connection.api_key
            assert server.start(other.data_dir, say=said.append).url == connection.url
            assert "already running" in said[-1]
            assert (tmp_path / "own.db").stat().st_size > 0
            with other.http() as http:
                assert http.get("/api/v1/me").json()["username"].startswith("admap-")
            for name in ("elasticsearch", "redis"):
                assert secrets.engine_password not in other.folder.state_file.read_text(), name
        finally:
            stopped = server.stop(other.data_dir)
    assert (stopped, server.stop(other.data_dir), server.status(other.data_dir).running) == (True, False, False)
    refused = other.command("start")
    assert refused.returncode == 2
    assert "ARGILLA_DATABASE_URL" in refused.stderr
    assert_whole(life, dataset)


@pytest.mark.parametrize("name", ["ARGILLA_ELASTICSEARCH", "ARGILLA_REDIS_URL"])
def test_an_address_at_which_nothing_answers_is_named(tmp_path: Path, name: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        scheme = "redis" if "REDIS" in name else "http"
        done = Life(tmp_path).command("start", **{name: f"{scheme}://user:geheim@127.0.0.1:{port}"})
    assert done.returncode == 1
    assert f"answers at {name}" in done.stderr
    assert "geheim" not in done.stderr


def test_a_folder_that_never_was_is_not_running_and_is_not_made_by_asking(tmp_path: Path) -> None:
    never = Life(tmp_path / "never")
    answer = json.loads(never.command("status", "--json").stdout)
    assert answer["running"] is False
    assert never.command("stop").returncode == 0
    assert not never.data_dir.exists()
