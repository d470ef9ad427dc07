"""The data directory of one embedded server: its secrets, its ports, and which processes are its own."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets as randomness
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from argilla_admap.errors import ServerError
from argilla_admap.server.processes import Process

__all__ = ["DataDir", "Report", "Secrets", "ServerState", "locked", "make_private"]

#: Takes one line for the person: what is being done.
Report = Callable[[str], None]

# No letter or digit that can be read as another: the password is typed into the page by hand.
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What the services and the owner are known by; made once, kept in a file for this user alone."""

    username: str
    password: str
    api_key: str
    workspace: str
    session_key: str
    engine_password: str

    @classmethod
    def generate(cls, username: str = "argilla") -> Secrets:
        """New random secrets: 79 bits in the password, 256 in the keys."""
        groups = ("".join(randomness.choice(_READABLE) for _ in range(4)) for _ in range(4))
        return cls(
            username=username,
            password="-".join(groups),
            api_key=randomness.token_urlsafe(32),
            workspace="argilla",
            session_key=randomness.token_hex(32),
            engine_password=randomness.token_urlsafe(32),
        )


@dataclass(slots=True)
class ServerState:
    """What the last start left: ports and processes by the name of their service."""

    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    #: Names of the services whose addresses were given in the environment.
    external: list[str] = field(default_factory=list)
    #: Whether all services answered at the end of the start.
    ready: bool = False


class DataDir:
    """The paths in one server's folder, and the two small files in it."""

    def __init__(self, data_dir: str | os.PathLike[str] | None = None) -> None:
        chosen = data_dir or os.environ.get("ADMAP_SERVER_DIR")
        default = Path(platformdirs.user_data_dir("argilla-admap")) / "server"
        self.root = Path(chosen).expanduser().absolute() if chosen else default
        self.secrets_file = self.root / "secrets.json"
        self.state_file = self.root / "state.json"
        self.lock_file = self.root / "lock"
        self.database = self.root / "database" / "argilla.db"
        self.elasticsearch = self.root / "elasticsearch"
        self.redis = self.root / "redis"
        self.logs = self.root / "logs"
        self.temporary = self.root / "tmp"
        #: There while a server runs and after one that was killed: the next one then repairs the index.
        self.dirty_marker = self.root / "index-in-doubt"
        #: There once a change reached the database and not the index; the next start repairs that.
        self.missed_writes = self.root / "index-missed"

    def make(self) -> None:
        """Makes the folder and what it holds, for this user alone.

        Raises:
            ServerError: it cannot be made or written to, or is another user's.
        """
        for folder in (self.root, self.database.parent, self.elasticsearch, self.redis, self.logs, self.temporary):
            make_private(folder, "choose another with `data_dir`")

    def log(self, name: str) -> Path:
        """The log of one service."""
        return self.logs / f"{name}.log"

    def secrets(self) -> Secrets | None:
        """The secrets; None where there are none yet, or their file is damaged."""
        kept = _read(self.secrets_file)
        names = [one.name for one in fields(Secrets)]
        if kept is None or not all(isinstance(kept.get(name), str) and kept[name] for name in names):
            return None
        return Secrets(**{name: kept[name] for name in names})

    def write_secrets(self, secrets: Secrets) -> None:
        """Writes the secrets, whole or not at all."""
        _write(self.secrets_file, asdict(secrets), sync=True)

    def state(self) -> ServerState:
        """What the last start left; empty where there was none, or its file is damaged."""
        kept = _read(self.state_file) or {}
        try:
            return ServerState(
                ports={str(name): int(port) for name, port in kept.get("ports", {}).items()},
                processes={str(name): Process(**one) for name, one in kept.get("processes", {}).items()},
                external=[str(name) for name in kept.get("external", [])],
                ready=bool(kept.get("ready", False)),
            )
        except (AttributeError, TypeError, ValueError):
            return ServerState()

    def write_state(self, state: ServerState) -> None:
        """Writes the state, whole or not at all."""
        # Not forced to the disk: after a loss of power none of the processes is left.
        _write(self.state_file, asdict(state), sync=False)


def make_private(folder: Path, hint: str) -> None:
    """Makes a folder for this user alone.

    Raises:
        ServerError: it cannot be made, or is another user's; with the hint.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (owner := folder.stat().st_uid) != os.geteuid():
            raise PermissionError(errno.EPERM, f"it belongs to another user (number {owner})")
        folder.chmod(0o700)
    except OSError as error:
        raise ServerError(f"the server's folder {folder} cannot be made: {error.strerror}", hint=hint) from error


@contextmanager
def locked(path: Path, report: Report, what: str) -> Iterator[int]:
    """Holds the lock of a folder; yields the open file, which a child may inherit to hold the lock longer than we do.

    Args:
        path: the lock's file.
        report: is told once, when another command holds the lock and we wait.
        what: what the other command is doing, for that message.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServerError(
            f"{path} cannot be opened: {error.strerror}", hint="is it another user's? Choose another folder"
        ) from error
    try:
        reported = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not reported:
                    holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                    report(f"waiting for another command that is {what}" + (f" (process {holder})" if holder else ""))
                    reported = True
                time.sleep(0.2)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _write(path: Path, content: dict[str, Any], sync: bool) -> None:
    temporary = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ServerError(
            f"{path} cannot be written: {error.strerror}", hint="make room, or choose another folder with `data_dir`"
        ) from error
