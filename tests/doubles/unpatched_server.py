"""An Argilla as its makers publish it: argilla-server of one version from PyPI, with nothing of ours in it.

Server, worker and the commands that set them up are its own; the search engine and Redis are those of the embedded server.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from argilla_admap.server import runtime
from argilla_admap.server.data_dir import DataDir, Secrets, locked
from argilla_admap.server.processes import Process, Program, free_port, is_alive, launch, stop_all
from argilla_admap.server.services import ExternalServices, Services, argilla_answers

__all__ = ["VERSIONS", "UnpatchedServer", "unpatched_server"]

#: All that PyPI has of argilla-server from 2.5.0, the oldest that it has. The first is the version of the embedded server.
VERSIONS = ("2.8.0", "2.7.1", "2.7.0", "2.6.0", "2.5.0")
_REQUIREMENTS = Path(runtime.__file__).with_name("requirements.txt")
#: argilla-server 2.5 wants a huggingface_hub below 1: what depends on that is left to pip, the command line's parts are not.
_OF_A_NEWER_HUB = ("huggingface-hub", "datasets", "hf-xet", "fsspec", "dill", "multiprocess", "typer", "click")
_FOR_2_5 = ("huggingface_hub<1", "click<8.2", "typer<0.10")
#: One process for both commands: each would import the server anew.
_SET_UP = """
import os
from argilla_server.cli import app
app(["database", "migrate"], standalone_mode=False)
who = ["--first-name", "Owner", "--username", os.environ["OWNER"], "--role", "owner", "--workspace", "argilla"]
secrets = ["--password", os.environ["OWNER_PASSWORD"], "--api-key", os.environ["OWNER_KEY"]]
app(["database", "users", "create", *who, *secrets], standalone_mode=False)
"""


@dataclass(frozen=True)
class UnpatchedServer:
    """Where it is, and how its owner gets in."""

    version: str
    url: str
    api_key: str
    username: str
    services: Services
    #: By name; changed by `start` and `stop`.
    processes: dict[str, Process] = field(default_factory=dict)

    def launch(self, name: str) -> None:
        """Starts a service and does not wait."""
        self.processes[name] = launch(self.services.program(name), lambda _process: None)

    def start(self, *names: str) -> None:
        """Starts services and waits until each answers."""
        for name in names:
            if name not in self.processes:
                self.launch(name)
        deadline = time.monotonic() + 180
        for name in names:
            while not self.services.is_ready(name, self.processes[name]):
                log = runtime.tail(self.services.data_dir.log(name), 30)
                assert is_alive(self.processes[name]), f"{name} ended:\n{log}"
                assert time.monotonic() < deadline, f"{name} does not answer:\n{log}"
                time.sleep(0.1)

    def stop(self, *names: str) -> None:
        """Stops services, those that write first."""
        for name in sorted(names, key=("server", "worker", "elasticsearch", "redis").index):
            stop_all([self.processes.pop(name)])


class _Published(Services):
    """The services, of which server and worker are argilla-server's own commands."""

    __slots__ = ()

    def program(self, name: str) -> Program:
        python, environment = [str(self.runtime.python), "-I", "-m"], self._argilla_environment()
        if name == "server":
            words = ["uvicorn", "argilla_server:app", "--host", "127.0.0.1", "--port", str(self.ports["server"])]
            return self._program(name, [*python, *words, "--no-access-log"], environment)
        if name == "worker":
            return self._program(name, [*python, "argilla_server", "worker", "--num-workers", "1"], environment)
        return super().program(name)

    def is_ready(self, name: str, process: Process) -> bool:
        if name == "worker":
            return "Listening on" in runtime.read_log(self.data_dir.log(name))
        if name == "server":
            return is_alive(process) and argilla_answers(self.url, self.secrets.api_key)
        return super().is_ready(name, process)

    def set_up(self) -> None:
        """Makes the database and its owner."""
        owner = {"OWNER": self.secrets.username, "OWNER_PASSWORD": self.secrets.password, "OWNER_KEY": self.secrets.api_key}
        program = self._program("set-up", [str(self.runtime.python), "-I", "-c", _SET_UP], self._argilla_environment() | owner)
        environment = {**program.inherited, **program.environment}
        done = subprocess.run(
            program.arguments, cwd=program.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def unpatched_server(
    version: str, folder: Path, report: Callable[[str], None] = print, *, external: Mapping[str, str] = {}
) -> Iterator[UnpatchedServer]:
    """A running Argilla of that version in a fresh folder, on free ports of loopback; stopped in the end.

    Args:
        version: one of `VERSIONS`; its packages are fetched the first time, and kept beside those of the embedded server.
        folder: for its data.
        report: told what is being built.
        external: `database`, an address as argilla-server takes it.
    """
    outside = ExternalServices(**external)
    data, secrets = DataDir(folder), Secrets.generate()
    data.make()
    built = _environment(version, report, postgresql=(outside.database or "").startswith("postgresql"))
    ports = {name: free_port() for name in ("server", "elasticsearch")}
    services = _Published(data, secrets, ports, outside, built)
    server = UnpatchedServer(version, services.url, secrets.api_key, secrets.username, services)
    try:
        server.start("redis")
        server.launch("elasticsearch")
        services.set_up()
        server.start("elasticsearch", "server", "worker")
        yield server
    finally:
        server.stop(*server.processes)


def _environment(version: str, report: Callable[[str], None], *, postgresql: bool) -> runtime.Runtime:
    """The embedded server's programs, with the environment of this version."""
    embedded = runtime.ensure(report, elasticsearch=True, postgresql=postgresql)
    if version == VERSIONS[0]:
        return embedded
    lines = [line for line in _REQUIREMENTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    wanted = [line for line in lines if line.partition("==")[0] not in ("argilla-server", *_left_out(version))]
    wanted += [f"argilla-server=={version}", *(_FOR_2_5 if _left_out(version) else ())]
    # The drivers with wheels: those of the extra are built from their source.
    wanted += runtime._POSTGRESQL if postgresql else ()
    cache = embedded.python.parents[2]
    build = runtime._Build(
        cache / f"unpatched-{runtime._key(*wanted, sys.version)}",
        f"the environment of argilla-server {version}",
        [],
    )
    python = build.folder / "bin" / "python"
    pip = [str(python), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    build.steps = [[sys.executable, "-m", "venv", "--clear", str(build.folder)], [*pip, *wanted]]
    with locked(cache / "lock", report, "building the server's programs") as lock:
        if not build.is_complete():
            runtime._build_all([build], lock, report)
    return runtime.Runtime(python, embedded.class_path)


def _left_out(version: str) -> tuple[str, ...]:
    return _OF_A_NEWER_HUB if version.startswith("2.5.") else ()
