"""Processes are known by pid and start time, and none is left behind that nobody knows."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from argilla_admap.errors import ServerError
from argilla_admap.server.processes import Process, Program, free_port, is_alive, is_free, launch, listens, stop_all


def program(folder: Path, *words: str, stdin: str = "", environment: dict[str, str] | None = None) -> Program:
    return Program("a test", words, environment or {}, {"PATH": os.environ["PATH"]}, folder / "log", folder, stdin)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = launch(program(tmp_path, "sleep", "60"), lambda _process: None)
    yield process
    stop_all([process])


def wait_for(condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_is_written_down_before_its_program_runs(tmp_path: Path) -> None:
    seen = []

    def record(process: Process) -> None:
        time.sleep(0.3)
        seen.append((is_alive(process), (tmp_path / "ran").exists()))

    process = launch(program(tmp_path, "touch", str(tmp_path / "ran")), record)
    wait_for(lambda: not is_alive(process))
    assert seen == [(True, False)]
    assert (tmp_path / "ran").exists()


def test_a_starter_that_dies_before_it_has_written_the_process_down_leaves_none(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from argilla_admap.server.processes import Program, launch\n"
        "folder = Path(sys.argv[1])\n"
        "def die(process):\n"
        "    print(process.pid, flush=True); os.kill(os.getpid(), 9)\n"
        "words = ['sh', '-c', 'touch ran; sleep 60']\n"
        "launch(Program('a test', words, {}, {'PATH': os.environ['PATH']}, folder / 'log', folder), die)\n"
    )
    starter = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert starter.returncode == -signal.SIGKILL
    pid = int(starter.stdout)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    assert not (tmp_path / "ran").exists()


def test_the_input_reaches_the_program_and_the_list_of_processes_does_not_show_it(tmp_path: Path) -> None:
    process = launch(program(tmp_path, "sh", "-c", "cat > got; sleep 60", stdin="requirepass hidden\n"), lambda _process: None)
    wait_for(lambda: (tmp_path / "got").exists() and (tmp_path / "got").read_text() == "requirepass hidden\n")
    assert "hidden" not in Path(f"/proc/{process.pid}/cmdline").read_text()
    stop_all([process])


def test_a_port_on_which_another_process_listens_is_not_ours(sleeper: Process) -> None:
    me = psutil.Process()
    ours = Process(me.pid, round((me.create_time() - psutil.boot_time()) * 100), sleeper.boot, "")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert listens(ours, port)
        assert not listens(sleeper, port)
        assert not listens(dataclasses.replace(ours, started=ours.started + 1), port)
    assert not listens(ours, port)
    assert not listens(None, port)


def test_a_pid_that_passed_on_to_another_process_is_left_alone(sleeper: Process) -> None:
    recycled = dataclasses.replace(sleeper, started=sleeper.started - 1)
    assert not is_alive(recycled)
    stop_all([recycled], patience=0.1)
    assert is_alive(sleeper)


def test_a_pid_of_the_boot_before_is_left_alone(sleeper: Process) -> None:
    before = dataclasses.replace(sleeper, boot="00000000-0000-0000-0000-000000000000")
    assert not is_alive(before)
    stop_all([before], patience=0.1)
    assert is_alive(sleeper)


def test_a_process_that_ended_and_was_not_reaped_is_not_alive(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    wait_for(lambda: ") Z " in Path(f"/proc/{child.pid}/stat").read_text())
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    started = int(Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    assert not is_alive(Process(child.pid, started, boot, ""))
    child.wait()


def test_a_process_that_does_not_heed_the_signal_is_ended_with_its_children(tmp_path: Path) -> None:
    words = ("sh", "-c", "trap '' TERM; setsid sleep 60 & echo $! > child; while true; do sleep 0.1; done")
    stubborn = launch(program(tmp_path, *words), lambda _process: None)
    wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
    child = int((tmp_path / "child").read_text())
    stop_all([stubborn], patience=0.3)
    assert not is_alive(stubborn)
    wait_for(lambda: not Path(f"/proc/{child}").exists() or ") Z " in Path(f"/proc/{child}/stat").read_text())


def test_a_program_that_is_absent_is_an_error_in_its_log(tmp_path: Path) -> None:
    process = launch(program(tmp_path, "no-such-program-here"), lambda _process: None)
    wait_for(lambda: not is_alive(process))
    assert "no-such-program-here" in (tmp_path / "log").read_text()


def test_a_folder_that_is_absent_is_an_error_with_its_name(tmp_path: Path) -> None:
    gone = dataclasses.replace(program(tmp_path, "true"), folder=tmp_path / "gone")
    with pytest.raises(ServerError, match="a test cannot be started"):
        launch(gone, lambda _process: None)


def test_another_shell_gives_the_same_fingerprint_and_another_setting_does_not(tmp_path: Path) -> None:
    one = program(tmp_path, "true", environment={"PORT": "1"})
    assert one.fingerprint() == dataclasses.replace(one, inherited={"PATH": "/elsewhere"}).fingerprint()
    assert one.fingerprint() != dataclasses.replace(one, environment={"PORT": "2"}).fingerprint()


def test_a_port_on_which_another_listens_is_not_free_and_not_chosen() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert not is_free(port)
        assert free_port(port) != port
    assert is_free(port)
    assert free_port(port) == port
    assert free_port(port, taken=[port]) != port


def test_a_chosen_port_is_none_that_a_connection_could_be_given() -> None:
    for _ in range(20):
        with (
            socket.create_server(("127.0.0.1", free_port())) as server,
            socket.create_connection(server.getsockname()) as client,
        ):
            first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
            assert first <= client.getsockname()[1] <= last
            assert not first <= server.getsockname()[1] <= last


def test_a_killed_program_has_ended_only_when_its_ports_are_free(tmp_path: Path) -> None:
    port = free_port()
    script = f"""
import socket, threading, time
server = socket.create_server(("127.0.0.1", {port}))
memory = bytearray(200_000_000)
memory[::4096] = b"1" * len(memory[::4096])
for _ in range(60):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
open("ready", "w").close()
time.sleep(60)
"""
    process = launch(program(tmp_path, sys.executable, "-c", script), lambda _: None)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    while is_alive(process):
        pass
    assert is_free(port)
