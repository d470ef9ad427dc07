"""`admap server` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from argilla_admap.cli.machine.server_command import command
from argilla_admap.server import launcher
from argilla_admap.server.data_dir import DataDir, Secrets, ServerState
from argilla_admap.server.launcher import Connection
from argilla_admap.server.processes import Process
from argilla_admap.server.services import NAMES, TITLES
from tests.doubles.argilla_server import TestServer


@pytest.mark.parametrize("words", [[], ["start"], ["stop"], ["status"], ["env"]])
def test_every_help_text_has_a_runnable_example(words: list[str]) -> None:
    shown = CliRunner().invoke(command, [*words, "--help"]).output
    example = next(line for line in shown.splitlines() if "Example: " in line)
    assert f"admap {' '.join(['server', *words])}".rstrip() in example


def test_the_help_imports_nothing_of_the_server() -> None:
    code = (
        "import sys; from argilla_admap.cli import main\ntry: main(['server', '--help'])\nfinally: print(sorted(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "argilla_admap.server" not in shown.splitlines()[-1]
    assert "'argilla'" not in shown.splitlines()[-1]


def test_the_folder_may_come_from_the_environment(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["status", "--json"], env={"ADMAP_SERVER_DIR": str(tmp_path / "mine")})
    assert f'"data_dir": "{tmp_path}/mine"' in done.output


def test_a_connection_that_is_printed_shows_no_secret() -> None:
    shown = repr(Connection("http://127.0.0.1:1", "the-key", "argilla", "the-password"))
    assert "the-key" not in shown
    assert "the-password" not in shown


def test_a_dry_run_names_the_services_and_makes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    start = CliRunner().invoke(command, ["start", "--dry-run", "--json", "--data-dir", str(folder)])
    assert json.loads(start.output)["parts"] == ["elasticsearch", "redis", "server", "worker"]
    stop = CliRunner().invoke(command, ["stop", "--dry-run", "--data-dir", str(folder)])
    assert "would stop: nothing" in stop.output
    assert not folder.exists()


@pytest.mark.parametrize("external", [[], ["database"], ["elasticsearch", "redis"], ["elasticsearch", "redis", "database"]])
@pytest.mark.parametrize("dead", ["server", "worker"])
def test_a_server_of_which_a_service_is_dead_is_not_running_whatever_else_is_external(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, external: list[str], dead: str
) -> None:
    monkeypatch.setattr(launcher, "is_alive", lambda process: process.pid != 1)
    monkeypatch.setattr(launcher, "argilla_answers", lambda *_words: True)
    monkeypatch.setattr(launcher, "listens", lambda *_words: True)
    folder = DataDir(tmp_path)
    folder.make()
    folder.write_secrets(Secrets.generate())
    names = [name for name in NAMES if name not in external]
    processes = {name: Process(1 if name == dead else 2, 0, "boot", "") for name in names}
    folder.write_state(ServerState({"server": 6900}, processes, external, ready=True))
    found = launcher.status(tmp_path)
    assert not found.running
    assert found.url is None
    assert found.problems == [f"{TITLES[dead]} does not run"]


def test_a_dry_run_of_stop_stops_nothing(argilla_server: TestServer) -> None:
    done = CliRunner().invoke(command, ["stop", "--dry-run", "--json", "--data-dir", str(argilla_server.data_dir)])
    answer = json.loads(done.output)
    assert answer["parts"] == ["elasticsearch", "redis", "server", "worker"]
    assert launcher.status(argilla_server.data_dir).running
