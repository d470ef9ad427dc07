"""The folder of a server: private, written whole, read with care."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from argilla_admap.errors import ServerError
from argilla_admap.server.data_dir import DataDir, Secrets, ServerState, locked
from argilla_admap.server.processes import Process


def test_the_folder_and_the_secrets_are_for_this_user_alone(tmp_path: Path) -> None:
    folder = DataDir(tmp_path / "server")
    folder.make()
    folder.write_secrets(Secrets.generate())
    assert folder.root.stat().st_mode & 0o777 == 0o700
    assert folder.secrets_file.stat().st_mode & 0o777 == 0o600


def test_secrets_are_read_back_as_they_were_written_and_no_two_are_equal(tmp_path: Path) -> None:
    folder = DataDir(tmp_path)
    folder.make()
    secrets = Secrets.generate()
    folder.write_secrets(secrets)
    assert folder.secrets() == secrets
    other = Secrets.generate()
    assert not {secrets.password, secrets.api_key, secrets.session_key} & {other.password, other.api_key, other.session_key}


def test_secrets_do_not_show_in_a_printed_object() -> None:
    secrets = Secrets.generate()
    assert secrets.api_key not in repr(secrets)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"[" * 100_000, b'{"username": "argilla"}', b'{"username": 1}', b"\xff\xfe"]
)
def test_a_damaged_file_of_secrets_counts_as_none(tmp_path: Path, content: bytes) -> None:
    folder = DataDir(tmp_path)
    folder.secrets_file.write_bytes(content)
    assert folder.secrets() is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"a":' * 100_000,
        b'{"ports": 1}',
        b'{"ports": {"server": "x"}}',
        b'{"processes": {"server": {"pid": 1}}}',
        b"\xff",
    ],
)
def test_a_damaged_state_counts_as_nothing_known(tmp_path: Path, content: bytes) -> None:
    folder = DataDir(tmp_path)
    folder.state_file.write_bytes(content)
    assert folder.state() == ServerState()


def test_the_state_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder = DataDir(tmp_path)
    state = ServerState({"server": 6900}, {"server": Process(12, 34, "boot", "print")}, ["redis"], True)
    folder.write_state(state)
    assert folder.state() == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match=r"file/server cannot be made.*`data_dir`"):
        DataDir(tmp_path / "file" / "server").make()


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(ServerError, match="it belongs to another user"):
        DataDir(tmp_path / "server").make()


def test_the_folder_is_the_one_that_is_given_else_the_one_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMAP_SERVER_DIR", str(tmp_path / "a"))
    assert DataDir().root == tmp_path / "a"
    assert DataDir(tmp_path / "b").root == tmp_path / "b"


def test_a_second_holder_waits_says_so_once_and_goes_on(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    said: list[str] = []
    order: list[str] = []
    entered = threading.Event()

    def first() -> None:
        with locked(lock, said.append, "starting"):
            entered.set()
            time.sleep(0.7)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with locked(lock, said.append, "starting"):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert said == [f"waiting for another command that is starting (process {os.getpid()})"]


def test_a_lock_goes_with_a_holder_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from argilla_admap.server.data_dir import locked\n"
        "with locked(Path(sys.argv[1]), print, 'starting'): os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    said: list[str] = []
    with locked(tmp_path / "lock", said.append, "starting"):
        pass
    assert said == []


def test_a_file_that_cannot_be_written_is_named_and_the_old_one_stays(tmp_path: Path) -> None:
    folder = DataDir(tmp_path)
    folder.write_state(ServerState({"server": 1}))
    (tmp_path / "state.json.new").mkdir()
    with pytest.raises(ServerError, match=r"state\.json cannot be written"):
        folder.write_state(ServerState({"server": 2}))
    assert folder.state() == ServerState({"server": 1})


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="cannot be opened"), locked(tmp_path, print, "starting"):
        pass
