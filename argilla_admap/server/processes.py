"""Processes that outlive us: started behind a barrier, known by pid and start time, stopped without mistaking another."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from argilla_admap.errors import ServerError

__all__ = ["Process", "Program", "free_port", "is_alive", "is_free", "launch", "listens", "stop_all"]

# A child waits here until its pid is written down. If we die before that, it reads the end of the pipe and ends too:
# no process is ever left that the next start does not know.
_BARRIER = ("/bin/sh", "-c", 'read -r go || exit 1; exec "$@"', "admap-server")

# Below are those of well-known services.
_FIRST_PORT = 10_000

# Kept, so that Python takes their exit codes when they end.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Process:
    """One running process of ours."""

    pid: int
    #: Hundredths of a second since the machine's start: with the boot's id, no other process has both.
    started: int
    boot: str
    #: What it was started with; another fingerprint means that it must be started again.
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Program:
    """How a service is started. Secrets are in the environment or the input, never in the arguments."""

    name: str
    arguments: Sequence[str]
    #: What we set for it.
    environment: Mapping[str, str]
    #: What it gets of our own environment.
    inherited: Mapping[str, str]
    log: Path
    folder: Path
    #: Written to its standard input.
    stdin: str = ""
    #: Of the program, where its arguments do not tell.
    version: str = ""

    def fingerprint(self) -> str:
        """The same for the same arguments, settings, input and version; another shell's PATH is no reason to start again."""
        settings = (f"{name}={value}" for name, value in sorted(self.environment.items()))
        parts = [*self.arguments, *settings, self.stdin, self.version]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def launch(program: Program, record: Callable[[Process], None]) -> Process:
    """Starts a program in a session of its own, so that Ctrl-C or a closed terminal does not reach it.

    Args:
        program: what to start.
        record: writes the process down; the program runs only after it has returned.
    Raises:
        ServerError: it cannot be started.
    """
    # The log of the run before stays beside it: it says why that one ended.
    with contextlib.suppress(FileNotFoundError):
        program.log.replace(program.log.with_suffix(".log.1"))
    try:
        descriptor = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "wb") as log:
            child = subprocess.Popen(
                [*_BARRIER, *program.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=program.folder,
                env={**program.inherited, **program.environment},
                start_new_session=True,
                umask=0o077,
            )
    except OSError as error:
        place = error.filename or program.arguments[0]
        raise ServerError(f"{program.name} cannot be started: {place}: {error.strerror}") from error
    _started.append(child)
    if child.stdin is None:
        raise ServerError(f"{program.name} cannot be started: it has no standard input")
    with child.stdin as barrier:
        started = _started_at(child.pid)
        if started is None:
            raise ServerError(f"{program.name} cannot be started: it ended at once")
        process = Process(child.pid, started, _boot(), program.fingerprint())
        record(process)
        with contextlib.suppress(BrokenPipeError):
            barrier.write(f"go\n{program.stdin}".encode())
            barrier.flush()
    return process


def is_alive(process: Process | None) -> bool:
    """Whether this very process runs: the same pid, started at the same moment of the same boot."""
    for child in _started:
        child.poll()
    return process is not None and process.boot == _boot() and _started_at(process.pid) == process.started


def listens(process: Process | None, port: int) -> bool:
    """Whether this very process listens on the port.

    To be known before a secret is sent there: another user's program may have taken the port while ours was starting.
    """
    if process is None or not is_alive(process):
        return False
    with contextlib.suppress(psutil.Error):
        connections = psutil.Process(process.pid).net_connections("tcp")
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)
    return False


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
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(one.pid).children(recursive=True) if is_alive(one) else []
            _send(one, signal.SIGKILL)
            for child in children:
                child.kill()
    while any(is_alive(one) for one in waiting):
        time.sleep(0.05)


def is_free(port: int) -> bool:
    """Whether a program could listen on this port of loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(*preferred: int | None, taken: Iterable[int] = ()) -> int:
    """The first of the preferred ports that is free and not in `taken`, else any free port of loopback.

    Never one that the system gives to clients: between a server's end and its next start any connection could hold that.
    """
    used = set(taken)
    for port in preferred:
        if port is not None and port not in used and is_free(port):
            return port
    first, last = _ports_of_clients()
    while True:
        port = secrets.choice(range(_FIRST_PORT, 65536))
        if not first <= port <= last and port not in used and is_free(port):
            return port


def _ports_of_clients() -> tuple[int, int]:
    """The first and the last port that the system may give to a connection that asks for none; IANA's where it does not say."""
    try:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        first, last = 49152, 65535
    # A system set to give nearly all of them leaves us no choice.
    return (first, last) if first - _FIRST_PORT + 65535 - last > 1000 else (0, 0)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started_at(pid: int) -> int | None:
    """When a process was started; None where there is none, or it has ended and only waits to be reaped.

    Counted from the machine's start: a clock that is set does not change it. The first thread of a killed program is a
    zombie while its other threads still end, and they hold its ports and files until then: it has not ended yet.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) and process.num_threads() <= 1:
            return None
        return round((process.create_time() - psutil.boot_time()) * 100)
    except psutil.Error:
        return None


def _send(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        if is_alive(process):
            # psutil looks at the start time once more before it sends.
            psutil.Process(process.pid).send_signal(number)
