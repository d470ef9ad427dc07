"""Processes that outlive us: started behind a gate, known by pid and start time, stopped without mistaking another."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from argilla_admap.errors import ServerError

__all__ = ["Process", "Program", "free_port", "is_alive", "is_free", "launch", "stop_all"]

# A child waits here until its pid is written down. If we die before that, it reads the end of the pipe and ends too:
# no process is ever left that the next start does not know.
_GATE = ("/bin/sh", "-c", 'read -r go || exit 1; exec "$@"', "admap-server")

# Kept, so that Python takes their exit codes when they end.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Process:
    """One running process of ours."""

    pid: int
    #: Clock ticks since the machine's start, as /proc says: with the boot's id, no other process has both.
    started: int
    boot: str
    #: What it was started with; another fingerprint means that it must be started again.
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Program:
    """How one part is started. Secrets stand in the environment or the input, never in the words."""

    name: str
    words: Sequence[str]
    #: What we set for it.
    environment: Mapping[str, str]
    #: What it gets of the environment that we are in.
    passed: Mapping[str, str]
    log: Path
    folder: Path
    #: Written to its standard input.
    given: str = ""
    #: Of the program, where its words do not tell.
    version: str = ""

    def fingerprint(self) -> str:
        """The same for the same words, settings, input and version; another shell's PATH is no reason to start again."""
        settings = (f"{name}={value}" for name, value in sorted(self.environment.items()))
        parts = [*self.words, *settings, self.given, self.version]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def launch(program: Program, record: Callable[[Process], None]) -> Process:
    """Starts a program in a session of its own, so that Ctrl-C on our command does not reach it.

    Args:
        program: what to start.
        record: writes the process down; the program runs only after it has returned.
    Raises:
        ServerError: it cannot be started.
    """
    # The log of the run before stays beside it: it says why that one ended.
    with contextlib.suppress(FileNotFoundError):
        program.log.replace(program.log.with_suffix(".log.1"))
    descriptor = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            [*_GATE, *program.words],
            stdin=subprocess.PIPE,
            stdout=descriptor,
            stderr=descriptor,
            cwd=program.folder,
            env={**program.passed, **program.environment},
            start_new_session=True,
        )
    except OSError as error:
        raise ServerError(f"{program.name} cannot be started: {program.words[0]}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    _started.append(child)
    gate = child.stdin
    if gate is None:
        raise ServerError(f"{program.name} cannot be started: it has no standard input")
    with gate:
        started = _started_at(child.pid)
        if started is None:
            raise ServerError(f"{program.name} cannot be started: /proc does not show process {child.pid}")
        process = Process(child.pid, started, _boot(), program.fingerprint())
        record(process)
        with contextlib.suppress(BrokenPipeError):
            gate.write(f"go\n{program.given}".encode())
            gate.flush()
    return process


def is_alive(process: Process | None) -> bool:
    """Whether this very process runs: the same pid, started at the same moment of the same boot."""
    if process is None or process.boot != _boot():
        return False
    for child in _started:
        if child.pid == process.pid:
            child.poll()
    return _started_at(process.pid) == process.started


def stop_all(processes: Iterable[Process], patience: float = 15.0) -> None:
    """Asks the processes to end, waits, and ends those that do not; a recycled pid is left alone.

    Args:
        processes: those to stop; what they forked off themselves is stopped with them.
        patience: seconds to wait before the second, unconditional signal.
    """
    waiting = [one for one in processes if is_alive(one)]
    for one in waiting:
        _send(one, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while waiting and time.monotonic() < deadline:
        time.sleep(0.05)
        waiting = [one for one in waiting if is_alive(one)]
    for one in waiting:
        children = _children(one)
        _send(one, signal.SIGKILL)
        for child in children:
            _send(child, signal.SIGKILL)
    while waiting:
        time.sleep(0.05)
        waiting = [one for one in waiting if is_alive(one)]


def is_free(port: int) -> bool:
    """Whether a program could listen on this port of loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(*wishes: int | None, taken: Iterable[int] = ()) -> int:
    """The first of the wishes that is free and not in `taken`, else any free port of loopback."""
    used = set(taken)
    for wish in wishes:
        if wish is not None and wish not in used and is_free(wish):
            return wish
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in used:
            return port


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started_at(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None where there is no such process, or it has ended and only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in brackets and may hold anything, brackets too: count from the last one.
    rest = stat[stat.rindex(")") + 2 :].split()
    return None if rest[0] in "ZX" else int(rest[19])


def _children(process: Process) -> list[Process]:
    found = []
    with contextlib.suppress(OSError):
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split():
            started = _started_at(int(pid))
            if started is not None:
                found.append(Process(int(pid), started, process.boot, ""))
    return found


def _send(process: Process, number: signal.Signals) -> None:
    # A descriptor holds on to this process: between the look at its start time and the signal, the pid cannot pass on.
    with contextlib.suppress(ProcessLookupError):
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            # A kernel before 5.3.
            if is_alive(process):
                os.kill(process.pid, number)
            return
        try:
            if is_alive(process):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
