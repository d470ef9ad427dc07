"""Starts, finds and stops an Argilla of one's own: engine, queue, server and worker, on loopback."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field

from argilla_admap.errors import InputError, ServerError
from argilla_admap.server import runtime
from argilla_admap.server.data_dir import Home, Progress, Secrets, State, locked
from argilla_admap.server.health import argilla_answers, elasticsearch_answers, redis_answers
from argilla_admap.server.processes import Process, free_port, is_alive, is_free, launch, stop_all
from argilla_admap.server.services import NAMES, TITLES, External, Plan

__all__ = ["Connection", "Status", "find", "start", "status", "stop"]

#: Seconds until a start is given up; a busy machine with two cores needs about 40.
PATIENCE = 300.0
#: Argilla's own port, taken where it is free.
USUAL_PORT = 6900
# What the parts' logs say of a port that another program took between our look and their start.
_PORT_TAKEN = ("address already in use", "Address already in use", "BindHttpException", "BindTransportException")
# What they say of files that a full disk or the machine's power left half written.
_BROKEN = {
    "redis": (
        "Bad file format reading the append only file",
        "error reading the AOF",
        "AOF manifest",
        "the append only file: can",
    ),
    "elasticsearch": (
        "CorruptIndexException",
        "CorruptStateException",
        "IndexFormatTooOldException",
        "failed to read metadata",
    ),
}


@dataclass(frozen=True, slots=True)
class Connection:
    """How a server is reached."""

    url: str
    api_key: str = field(repr=False)
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Status:
    """How a server stands."""

    running: bool
    url: str | None
    data_dir: str
    #: The pid of each part; None where it does not run, or is not ours.
    pids: dict[str, int | None]
    #: Parts whose addresses were given in the environment.
    external: list[str]
    #: What is wrong, in words; empty when all is well or the server is stopped.
    problems: list[str]


def start(
    data_dir: str | os.PathLike[str] | None = None, port: int | None = None, progress: Progress | None = None
) -> Connection:
    """Starts the server of a folder, or repairs and finds the one that runs; it goes on after this program ends.

    Args:
        data_dir: the server's folder; default: ADMAP_SERVER_DIR, else one of this user.
        port: the page's port; default: the one of the last start, else 6900, else any that is free.
        progress: is told each step.
    Returns:
        The address, the key, and the owner's name and password.
    Raises:
        InputError: the port is taken, or out of range.
        ServerError: a program is missing or a part does not start; what was started is stopped again.
    """
    if port is not None and not 1 <= port <= 65535:
        raise InputError(f"--port {port} is not a port; give a number from 1 to 65535")
    say = _with_time(progress or (lambda _line: None))
    home = Home(data_dir)
    home.make()
    with locked(home.lock_file, say, "starting or stopping this server"):
        return _start(home, port, say)


def stop(data_dir: str | os.PathLike[str] | None = None, progress: Progress | None = None) -> bool:
    """Stops the server of a folder, by pid and start time; all data stays.

    Returns:
        Whether anything ran.
    """
    say = progress or (lambda _line: None)
    home = Home(data_dir)
    if not home.root.is_dir():
        return False
    with locked(home.lock_file, say, "starting or stopping this server"):
        state = home.state()
        running = {name: one for name, one in state.processes.items() if is_alive(one)}
        _stop(running)
        state.processes.clear()
        state.ready = False
        home.keep_state(state)
        return bool(running)


def status(data_dir: str | os.PathLike[str] | None = None) -> Status:
    """How the server of a folder stands; changes nothing."""
    home = Home(data_dir)
    state = home.state()
    secrets = home.secrets()
    alive = {name: one.pid for name, one in state.processes.items() if is_alive(one)}
    pids = {name: alive.get(name) for name in ("elasticsearch", "redis", "server", "worker")}
    url = _url(state)
    dead = [name for name, pid in pids.items() if pid is None and name not in state.external]
    problems = []
    if secrets is not None and len(dead) + len(state.external) < len(NAMES):
        problems += [f"{TITLES[name]} does not run" for name in dead]
        if pids["server"] is not None and not argilla_answers(url or "", secrets.api_key):
            problems.append("Argilla does not answer (yet)")
    running = pids["server"] is not None and not problems
    return Status(running, url if running else None, str(home.root), pids, state.external, problems)


def find(data_dir: str | os.PathLike[str] | None = None) -> Connection | None:
    """The running server of a folder, without asking it; None where none runs."""
    home = Home(data_dir)
    state = home.state()
    secrets = home.secrets()
    url = _url(state)
    if secrets is None or url is None or not state.ready or not is_alive(state.processes.get("server")):
        return None
    return Connection(url, secrets.api_key, secrets.username, secrets.password)


def _start(home: Home, port: int | None, say: Progress) -> Connection:
    external = External.from_environment()
    state = home.state()
    secrets = home.secrets()
    if "database" in state.external and external.database is None:
        raise InputError(
            f"{home.root} was started with a database of your own: set ARGILLA_DATABASE_URL again, "
            "or choose another folder with --data-dir for an embedded one"
        )
    if secrets is None:
        # In someone else's database the usual name may be taken by another person.
        secrets = Secrets.generate("argilla" if external.database is None else f"admap-{os.urandom(3).hex()}")
        home.keep_secrets(secrets)
    _check_programs(external)
    _check_external(external)
    built = runtime.ensure(
        say,
        elasticsearch=external.elasticsearch is None,
        postgresql=(external.database or "").startswith("postgresql"),
    )
    state.external = external.names
    for attempt in range(4):
        _choose_ports(state, port, external, say)
        plan = Plan(home, secrets, state.ports, external, built)
        try:
            _bring_up(plan, state, say)
        except _PartEnded as ended:
            # Something that we can mend ourselves is tried again, a few times; all else is the person's to see.
            if attempt == 3 or not _mend(plan, state, ended.name, port, say):
                raise ServerError(_why(plan, ended.name, "ended while it was starting")) from ended
            continue
        break
    return Connection(plan.url, secrets.api_key, secrets.username, secrets.password)


class _PartEnded(Exception):
    """A part ended before it was ready."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _bring_up(plan: Plan, state: State, say: Progress) -> None:
    kept: dict[str, Process] = {}
    outdated: dict[str, Process] = {}
    for name, process in state.processes.items():
        if is_alive(process):
            same = name in plan.names and process.fingerprint == plan.program(name).fingerprint()
            (kept if same else outdated)[name] = process
    if set(kept) == set(plan.names) and not outdated and all(plan.is_ready(name) for name in plan.names):
        state.ready = True
        plan.home.keep_state(state)
        say(f"already running at {plan.url}")
        return
    if "server" in kept and "elasticsearch" in plan.names and "elasticsearch" not in kept:
        # What was being written when the engine ended is in the database only: the server looks for it as it starts.
        outdated["server"] = kept.pop("server")
    if outdated:
        say(f"stopping, to start again: {', '.join(TITLES[name] for name in outdated)}")
        _stop(outdated)
        if "server" in outdated:
            plan.home.index_in_doubt.touch()
    if not kept:
        # Each run leaves a copy of the page's files there.
        shutil.rmtree(plan.home.temporary, ignore_errors=True)
        plan.home.temporary.mkdir(mode=0o700, exist_ok=True)
    if kept:
        say(f"still running: {', '.join(TITLES[name] for name in kept)}; starting the rest")
    state.processes = dict(kept)
    state.ready = False
    plan.home.keep_state(state)
    begun: dict[str, Process] = {}
    try:
        _launch_and_wait(plan, state, begun, say)
    except BaseException:
        # Ctrl-C too: what this start has begun is stopped, what ran before goes on.
        _stop(begun)
        for name in begun:
            state.processes.pop(name, None)
        plan.home.keep_state(state)
        raise
    state.ready = True
    plan.home.keep_state(state)
    say(f"Argilla runs at {plan.url}")


def _launch_and_wait(plan: Plan, state: State, begun: dict[str, Process], say: Progress) -> None:
    for name in plan.names:
        if name in state.processes:
            continue

        def record(process: Process, name: str = name) -> None:
            begun[name] = state.processes[name] = process
            plan.home.keep_state(state)

        launch(plan.program(name), record)
    say(f"starting {', '.join(TITLES[name] for name in begun)}: about half a minute")
    waiting = list(plan.names)
    deadline = time.monotonic() + PATIENCE
    heard = 0
    while waiting:
        # A server that mends a large index says so from time to time: it is given more time then.
        lines = _index_lines(plan) if "server" in waiting and "server" in begun else []
        for line in lines[heard:]:
            say(line)
            deadline = time.monotonic() + PATIENCE
        heard = len(lines)
        for name in list(waiting):
            if plan.is_ready(name):
                waiting.remove(name)
                if name in begun:
                    say(f"{TITLES[name]} is ready")
            elif not is_alive(state.processes[name]):
                raise _PartEnded(name)
            elif time.monotonic() > deadline:
                stuck = "" if name in begun else "; it ran before this start: stop it first with admap server stop"
                raise ServerError(_why(plan, name, f"was not ready after {PATIENCE:.0f} s{stuck}"))
        time.sleep(0.1)


def _index_lines(plan: Plan) -> list[str]:
    try:
        words = plan.home.log("server").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.removeprefix("admap: ") for line in words.splitlines() if line.startswith("admap: the index")]


def _mend(plan: Plan, state: State, name: str, port: int | None, say: Progress) -> bool:
    """Removes what kept a part from starting, if it is one of two things that we know; else False."""
    words = plan.home.log(name).read_text(encoding="utf-8", errors="replace")
    if any(sign in words for sign in _PORT_TAKEN):
        if name == "server" and port is not None:
            raise InputError(f"--port {port} was taken by another program meanwhile; choose another, or leave it out")
        say(f"the port of {TITLES[name]} was taken by another program meanwhile; trying another")
        state.ports.pop(name, None)
        return True
    folder = {"redis": plan.home.redis, "elasticsearch": plan.home.elasticsearch}.get(name)
    if folder is not None and any(sign in words for sign in _BROKEN[name]):
        aside = folder.with_name(f"{folder.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
        folder.replace(aside)
        folder.mkdir(mode=0o700)
        lost = "jobs that waited are lost" if name == "redis" else "the index is filled again from the database"
        say(f"the files of {TITLES[name]} are damaged; moved to {aside}: {lost}")
        return True
    return False


def _why(plan: Plan, name: str, what: str) -> str:
    log = plan.home.log(name)
    advice = "Start again once the cause is mended; no data is lost by a start that failed."
    if name == "server" and plan.external.database:
        advice = f"The database is the one that ARGILLA_DATABASE_URL names: check its address, user and password. {advice}"
    return f"{TITLES[name]} {what}; the end of {log}:\n{runtime.tail(log)}\n{advice}"


def _stop(processes: dict[str, Process]) -> None:
    # Those that write go first: the engine and the queue then have nothing more to take.
    stop_all([one for name, one in processes.items() if name in ("server", "worker")])
    stop_all([one for name, one in processes.items() if name not in ("server", "worker")])


def _check_programs(external: External) -> None:
    missing = runtime.missing_packages(elasticsearch=external.elasticsearch is None, redis=external.redis is None)
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise ServerError(
            f"the embedded server needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed. "
            f"On Debian or Ubuntu:\n    sudo apt-get install -y --no-install-recommends {packages}"
        )


def _check_external(external: External) -> None:
    if external.elasticsearch and not elasticsearch_answers(external.elasticsearch):
        raise ServerError("no Elasticsearch answers at the address in ARGILLA_ELASTICSEARCH; correct it, or unset it for ours")
    if external.redis and external.redis.startswith("redis://") and not redis_answers(external.redis):
        raise ServerError("no Redis answers at the address in ARGILLA_REDIS_URL; correct it, or unset it for ours")


def _choose_ports(state: State, port: int | None, external: External, say: Progress) -> None:
    """Keeps the ports of parts that run and those that are still free; finds others for the rest."""
    running = {name for name, one in state.processes.items() if is_alive(one)}
    remembered = state.ports.get("server")
    if port is not None and not ("server" in running and remembered == port):
        if not is_free(port):
            raise InputError(f"--port {port} is taken by another program; choose another, or leave it out")
        state.ports["server"] = port
    for name in ("server", "elasticsearch", "redis"):
        if name in external.names:
            state.ports.pop(name, None)
            continue
        if name in running or (name == "server" and port is not None):
            continue
        old = state.ports.pop(name, None)
        usual = USUAL_PORT if name == "server" else None
        state.ports[name] = free_port(old, usual, taken=state.ports.values())
        if name == "server" and old is not None and state.ports[name] != old:
            say(f"port {old} of the last start is taken by another program; now {state.ports[name]}")


def _url(state: State) -> str | None:
    port = state.ports.get("server")
    return f"http://127.0.0.1:{port}" if port else None


def _with_time(progress: Progress) -> Progress:
    begun = time.monotonic()
    return lambda line: progress(f"[{time.monotonic() - begun:3.0f} s] {line}")
