"""The folder of one embedded server: its secrets, its ports, and which processes are its own."""

from __future__ import annotations

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

__all__ = ["Home", "Progress", "Secrets", "State", "locked"]

#: Takes one line for the person: what is being done, and how long it takes.
Progress = Callable[[str], None]

# No letter or digit that can be read as another: the password is typed into the page by hand.
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What the server's parts and its owner are known by; made once, kept in a file for this user's eyes only."""

    username: str
    password: str
    api_key: str
    workspace: str
    session_key: str
    engine_password: str
    redis_password: str

    @classmethod
    def generate(cls, username: str = "argilla") -> Secrets:
        """New random ones: 78 bits in the password, 256 in the keys."""
        groups = ("".join(randomness.choice(_READABLE) for _ in range(4)) for _ in range(4))
        return cls(
            username=username,
            password="-".join(groups),
            api_key=randomness.token_urlsafe(32),
            workspace="argilla",
            session_key=randomness.token_hex(32),
            engine_password=randomness.token_urlsafe(32),
            redis_password=randomness.token_urlsafe(32),
        )


@dataclass(slots=True)
class State:
    """What the last start left: ports (name to number), processes (name to process), and what came from outside."""

    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    #: Names of the parts whose addresses were given in the environment.
    external: list[str] = field(default_factory=list)
    #: Whether all parts answered at the end of the start.
    ready: bool = False


class Home:
    """The paths of one server's folder, and the two small files in it."""

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
        #: There while a server runs and after one that did not end by itself: the next one then looks closer.
        self.index_in_doubt = self.root / "index-in-doubt"

    def make(self) -> None:
        """Makes the folder and what it holds, for this user alone.

        Raises:
            ServerError: it cannot be made or written to.
        """
        try:
            for folder in (self.root, self.database.parent, self.elasticsearch, self.redis, self.logs, self.temporary):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.root.chmod(0o700)
        except OSError as error:
            raise ServerError(
                f"the server's folder {self.root} cannot be made: {error.strerror}; choose another with --data-dir"
            ) from error

    def log(self, name: str) -> Path:
        """The log of one part."""
        return self.logs / f"{name}.log"

    def secrets(self) -> Secrets | None:
        """The secrets, or None where there are none yet (or the file is unreadable, as after a full disk)."""
        known = _read(self.secrets_file)
        names = [one.name for one in fields(Secrets)]
        if known is None or not all(isinstance(known.get(name), str) and known[name] for name in names):
            return None
        return Secrets(**{name: known[name] for name in names})

    def keep_secrets(self, secrets: Secrets) -> None:
        """Writes the secrets, whole or not at all."""
        _write(self.secrets_file, asdict(secrets), sync=True)

    def state(self) -> State:
        """What the last start left; nothing where there was none or its file is unreadable."""
        known = _read(self.state_file) or {}
        try:
            return State(
                ports={str(name): int(port) for name, port in known.get("ports", {}).items()},
                processes={str(name): Process(**one) for name, one in known.get("processes", {}).items()},
                external=[str(name) for name in known.get("external", [])],
                ready=bool(known.get("ready", False)),
            )
        except (AttributeError, TypeError, ValueError):
            return State()

    def keep_state(self, state: State) -> None:
        """Writes the state, whole or not at all."""
        # Not forced to the disk: after a loss of power no process is there that it could tell of.
        _write(self.state_file, asdict(state), sync=False)


@contextmanager
def locked(path: Path, wait: Callable[[str], None], what: str) -> Iterator[int]:
    """Holds the lock of a folder; yields the open file, which a child may inherit to hold the lock longer than we do.

    Args:
        path: the lock's file.
        wait: is told once, when another holds the lock and we wait.
        what: what the other is doing, for that message.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServerError(f"{path} cannot be opened: {error.strerror}; is it another user's? Choose another folder") from error
    try:
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                    wait(f"waiting for another command that is {what}" + (f" (process {holder})" if holder else ""))
                    told = True
                time.sleep(0.2)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


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
            f"{path} cannot be written: {error.strerror}; make room, or choose another folder with --data-dir"
        ) from error
