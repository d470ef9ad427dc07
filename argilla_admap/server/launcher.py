"""Starts, finds and stops an embedded Argilla: engine, queue, server and worker, on loopback."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field

from argilla_admap.errors import InputError, ServerError
from argilla_admap.server import runtime
from argilla_admap.server.data_dir import DataDir, Report, Secrets, ServerState, locked
from argilla_admap.server.processes import Process, free_port, is_alive, is_free, launch, listens, stop_all
from argilla_admap.server.services import (
    TITLES,
    ExternalServices,
    Services,
    argilla_answers,
    elasticsearch_answers,
    redis_answers,
)

__all__ = ["Connection", "ServerStatus", "find", "start", "status", "stop"]

#: Seconds until a start is given up; a busy machine with two cores needs about 40.
PATIENCE = 300.0
#: Seconds that an engine which runs and cannot be searched is given before it is started anew.
_RECOVERY = 15.0
#: Argilla's own port, taken where it is free.
USUAL_PORT = 6900
# What the logs say where another program took a port between our check and the start.
_PORT_TAKEN = ("address already in use", "Address already in use", "BindHttpException", "BindTransportException")
# What they say of files that a full disk or a loss of power left half written.
_DAMAGED = {
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
class ServerStatus:
    """How a server stands."""

    running: bool
    url: str | None
    data_dir: str
    #: The pid of each service; None where it does not run, or is not ours.
    pids: dict[str, int | None]
    #: Services whose addresses were given in the environment.
    external: list[str]
    #: What is wrong; empty when all is well or the server is stopped.
    problems: list[str]


def start(data_dir: str | os.PathLike[str] | None = None, port: int | None = None, report: Report | None = None) -> Connection:
    """Starts the server of a folder, or repairs and finds the one that runs; it goes on after this program ends.

    Args:
        data_dir: the server's folder; default: ADMAP_SERVER_DIR, else one of this user.
        port: the page's port; default: the one of the last start, else 6900, else any that is free.
        report: is told each step.
    Returns:
        The address, the key, and the owner's name and password.
    Raises:
        InputError: the port is taken, or out of range.
        ServerError: a program is missing or a service does not start; what was started is stopped again.
    """
    if port is not None and not 1 <= port <= 65535:
        raise InputError(f"{port} is not a port", option="port", hint="give a number from 1 to 65535")
    report = _with_time(report or (lambda _line: None))
    folder = DataDir(data_dir)
    folder.make()
    with locked(folder.lock_file, report, "starting or stopping this server"):
        return _start(folder, port, report)


def stop(data_dir: str | os.PathLike[str] | None = None, report: Report | None = None) -> bool:
    """Stops the server of a folder, by pid and start time; all data stays.

    Returns:
        Whether anything ran.
    """
    folder = DataDir(data_dir)
    if not folder.root.is_dir():
        return False
    with locked(folder.lock_file, report or (lambda _line: None), "starting or stopping this server"):
        state = folder.state()
        running = {name: one for name, one in state.processes.items() if is_alive(one)}
        _stop(running)
        state.processes.clear()
        state.ready = False
        folder.write_state(state)
        return bool(running)


def status(data_dir: str | os.PathLike[str] | None = None) -> ServerStatus:
    """How the server of a folder stands; changes nothing."""
    folder = DataDir(data_dir)
    state = folder.state()
    secrets = folder.secrets()
    alive = {name: one.pid for name, one in state.processes.items() if is_alive(one)}
    pids = {name: alive.get(name) for name in ("elasticsearch", "redis", "server", "worker")}
    url = _url(state)
    problems = []
    if secrets is not None and alive:
        problems += [f"{TITLES[name]} does not run" for name in pids if name not in alive and name not in state.external]
        if "server" in alive and not (_server_listens(state) and argilla_answers(url or "", secrets.api_key)):
            problems.append("Argilla does not answer (yet)")
    running = "server" in alive and secrets is not None and not problems
    if "server" in alive and folder.missed_writes.exists():
        problems.append("changes that were made while Elasticsearch failed are not in its index")
    return ServerStatus(running, url if running else None, str(folder.root), pids, state.external, problems)


def find(data_dir: str | os.PathLike[str] | None = None) -> Connection | None:
    """The running server of a folder, without a request; None where none runs."""
    folder = DataDir(data_dir)
    state = folder.state()
    secrets = folder.secrets()
    url = _url(state)
    # The key is for our own process only: while that ends, another user's program could have its port already.
    if secrets is None or url is None or not state.ready or not _server_listens(state):
        return None
    return Connection(url, secrets.api_key, secrets.username, secrets.password)


def _start(folder: DataDir, port: int | None, report: Report) -> Connection:
    external = ExternalServices.from_environment()
    state = folder.state()
    secrets = folder.secrets()
    if "database" in state.external and external.database is None:
        raise InputError(
            f"{folder.root} was started with a database of your own",
            hint="set ARGILLA_DATABASE_URL again, or choose another folder with `data_dir` for an embedded database",
        )
    if secrets is None:
        # In someone else's database the usual name may be another person's.
        secrets = Secrets.generate("argilla" if external.database is None else f"admap-{os.urandom(3).hex()}")
        folder.write_secrets(secrets)
    _check_programs(external)
    _check_external(external)
    built = runtime.ensure(
        report,
        elasticsearch=external.elasticsearch is None,
        postgresql=(external.database or "").startswith("postgresql"),
    )
    state.external = external.names
    for attempt in range(4):
        _choose_ports(state, port, external, report)
        services = Services(folder, secrets, state.ports, external, built)
        try:
            _bring_up(services, state, report)
        except _ServiceEnded as ended:
            # What we can repair is tried again, a few times; all else is for the person to see.
            if attempt == 3 or not _repair(services, state, ended.name, port, report):
                raise ServerError(_why(services, ended.name, "ended while it was starting")) from ended
            continue
        break
    return Connection(services.url, secrets.api_key, secrets.username, secrets.password)


class _ServiceEnded(Exception):
    """A service ended before it was ready."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _bring_up(services: Services, state: ServerState, report: Report) -> None:
    folder = services.data_dir
    kept: dict[str, Process] = {}
    outdated: dict[str, Process] = {}
    for name, process in state.processes.items():
        if is_alive(process):
            same = name in services.names and process.fingerprint == services.program(name).fingerprint()
            (kept if same else outdated)[name] = process
    if "elasticsearch" in kept and not _recovers(services, kept["elasticsearch"]):
        outdated["elasticsearch"] = kept.pop("elasticsearch")
    engine_ended = "elasticsearch" in services.names and "elasticsearch" not in kept
    if "server" in kept and (engine_ended or (state.ready and folder.missed_writes.exists())):
        # What was written while the engine failed is in the database only: the server repairs the index as it starts.
        outdated["server"] = kept.pop("server")
    if "worker" in kept and "redis" in services.names and "redis" not in kept:
        # It ends some seconds after its Redis has, and may not have done so yet.
        outdated["worker"] = kept.pop("worker")
    if set(kept) == set(services.names) and not outdated and all(services.is_ready(name, one) for name, one in kept.items()):
        state.ready = True
        folder.write_state(state)
        report(f"already running at {services.url}")
        return
    if outdated:
        report(f"stopping, to start again: {', '.join(TITLES[name] for name in outdated)}")
        _stop(outdated)
        if "server" in outdated:
            folder.dirty_marker.touch(mode=0o600)
    if kept:
        report(f"still running: {', '.join(TITLES[name] for name in kept)}; starting the rest")
    else:
        # Each run leaves a copy of the page's files there.
        shutil.rmtree(folder.temporary, ignore_errors=True)
        folder.temporary.mkdir(mode=0o700, exist_ok=True)
    state.processes = dict(kept)
    state.ready = False
    folder.write_state(state)
    begun: dict[str, Process] = {}
    try:
        _launch_and_wait(services, state, begun, report)
    except BaseException:
        # Ctrl-C too: what this start has begun is stopped, what ran before goes on.
        _stop(begun)
        for name in begun:
            state.processes.pop(name, None)
        folder.write_state(state)
        raise
    state.ready = True
    folder.write_state(state)
    report(f"Argilla runs at {services.url}")


def _launch_and_wait(services: Services, state: ServerState, begun: dict[str, Process], report: Report) -> None:
    for name in services.names:
        if name in state.processes:
            continue

        def record(process: Process, name: str = name) -> None:
            begun[name] = state.processes[name] = process
            services.data_dir.write_state(state)

        process = launch(services.program(name), record)
        # The worker ends where there is no Redis yet.
        while name == "redis" and not services.is_ready(name, process):
            if not is_alive(process):
                raise _ServiceEnded(name)
            time.sleep(0.01)
    report(f"starting {', '.join(TITLES[name] for name in begun)}: about half a minute")
    waiting = list(services.names)
    deadline = time.monotonic() + PATIENCE
    heard = 0
    while waiting:
        # A server that repairs a large index reports from time to time, and is given more time.
        lines = _index_lines(services) if "server" in waiting and "server" in begun else []
        for line in lines[heard:]:
            report(line)
            deadline = time.monotonic() + PATIENCE
        heard = len(lines)
        for name in list(waiting):
            if services.is_ready(name, state.processes[name]):
                waiting.remove(name)
                if name in begun:
                    report(f"{TITLES[name]} is ready")
            elif not is_alive(state.processes[name]):
                raise _ServiceEnded(name)
            elif time.monotonic() > deadline:
                stuck = "" if name in begun else "; it ran before this start: run admap server stop first"
                raise ServerError(_why(services, name, f"was not ready after {PATIENCE:.0f} s{stuck}"))
        time.sleep(0.1)


def _recovers(services: Services, engine: Process) -> bool:
    """Whether an engine that runs can be searched, now or soon, or is still starting.

    One whose disk was full gives up its part as master, and does not always take it up again.
    """
    deadline = time.monotonic() + _RECOVERY
    while not services.is_ready("elasticsearch", engine):
        if not listens(engine, services.ports["elasticsearch"]):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _index_lines(services: Services) -> list[str]:
    lines = runtime.read_log(services.data_dir.log("server"), end=False).splitlines()
    return [runtime.printable(line.removeprefix("admap: ")) for line in lines if line.startswith("admap: the index")]


def _repair(services: Services, state: ServerState, name: str, port: int | None, report: Report) -> bool:
    """Removes what kept a service from starting: a taken port, or damaged files that can be made again. Else False."""
    log = runtime.read_log(services.data_dir.log(name))
    if any(sign in log for sign in _PORT_TAKEN):
        if name == "server" and port is not None:
            raise _port_taken(port)
        report(f"the port of {TITLES[name]} was taken by another program meanwhile; trying another")
        state.ports.pop(name, None)
        return True
    folder = {"redis": services.data_dir.redis, "elasticsearch": services.data_dir.elasticsearch}.get(name)
    if folder is not None and any(sign in log for sign in _DAMAGED[name]):
        aside = folder.with_name(f"{folder.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
        folder.replace(aside)
        folder.mkdir(mode=0o700)
        lost = "jobs that waited are lost" if name == "redis" else "the index is filled again from the database"
        report(f"the files of {TITLES[name]} are damaged; moved to {aside}: {lost}")
        return True
    return False


def _why(services: Services, name: str, what: str) -> str:
    log = services.data_dir.log(name)
    advice = "Start again once the cause is removed; no data is lost by a start that failed."
    if name == "server" and services.external.database:
        advice = f"Its database is that of ARGILLA_DATABASE_URL: check the address, user and password. {advice}"
    return f"{TITLES[name]} {what}; the end of {log}:\n{runtime.tail(log)}\n{advice}"


def _stop(processes: dict[str, Process]) -> None:
    # Those that write go first: the engine and the queue then have nothing more to do.
    stop_all([one for name, one in processes.items() if name in ("server", "worker")])
    stop_all([one for name, one in processes.items() if name not in ("server", "worker")])


def _check_programs(external: ExternalServices) -> None:
    missing = runtime.missing_packages(elasticsearch=external.elasticsearch is None, redis=external.redis is None)
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise ServerError(
            f"the embedded server needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed. "
            f"On Debian or Ubuntu:\n    sudo apt-get install -y --no-install-recommends {packages}"
        )


def _check_external(external: ExternalServices) -> None:
    if external.elasticsearch and not elasticsearch_answers(external.elasticsearch):
        raise ServerError("no Elasticsearch answers at ARGILLA_ELASTICSEARCH", hint="correct the address, or unset it for ours")
    if external.redis and external.redis.startswith("redis://") and not redis_answers(external.redis):
        raise ServerError("no Redis answers at ARGILLA_REDIS_URL", hint="correct the address, or unset it for ours")


def _choose_ports(state: ServerState, port: int | None, external: ExternalServices, report: Report) -> None:
    """Keeps the ports of services that run and those that are still free; finds others for the rest."""
    running = {name for name, one in state.processes.items() if is_alive(one)}
    remembered = state.ports.get("server")
    if port is not None and not ("server" in running and remembered == port):
        if not is_free(port):
            raise _port_taken(port)
        state.ports["server"] = port
    state.ports.pop("redis", None)  # of an older version
    for name in ("server", "elasticsearch"):
        if name in external.names:
            state.ports.pop(name, None)
            continue
        if name in running or (name == "server" and port is not None):
            continue
        old = state.ports.pop(name, None)
        usual = USUAL_PORT if name == "server" else None
        state.ports[name] = free_port(old, usual, taken=state.ports.values())
        if name == "server" and old is not None and state.ports[name] != old:
            report(f"port {old} of the last start is taken by another program; now {state.ports[name]}")


def _port_taken(port: int) -> InputError:
    return InputError(f"{port} is taken by another program", option="port", hint="choose another, or leave `port` out")


def _server_listens(state: ServerState) -> bool:
    return listens(state.processes.get("server"), state.ports.get("server", 0))


def _url(state: ServerState) -> str | None:
    port = state.ports.get("server")
    return f"http://127.0.0.1:{port}" if port else None


def _with_time(report: Report) -> Report:
    begun = time.monotonic()
    return lambda line: report(f"[{time.monotonic() - begun:3.0f} s] {line}")
