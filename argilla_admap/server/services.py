"""The four services of a server: how each is started, and how it is known to be ready."""

from __future__ import annotations

import base64
import http.client
import importlib.metadata
import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from argilla_admap.server.data_dir import DataDir, Secrets
from argilla_admap.server.processes import Process, Program, listens
from argilla_admap.server.runtime import Runtime, java, read_log
from argilla_admap.server.server_entry import is_ours

__all__ = ["NAMES", "TITLES", "ExternalServices", "Services", "argilla_answers", "elasticsearch_answers", "redis_answers"]

#: In the order in which they are started; they are stopped in the reverse order.
NAMES = ("redis", "elasticsearch", "server", "worker")
TITLES = {"redis": "Redis", "elasticsearch": "Elasticsearch", "server": "Argilla", "worker": "the worker"}

# More than any of our services answers to the question whether it is ready.
_MOST_BYTES = 1_000_000
_ENTRY = Path(__file__).with_name("server_entry.py")
_SOCKET = "socket"
# What a service inherits of our environment. All else, above all the keys of judges, stays with us.
_INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "JAVA_HOME", "LD_LIBRARY_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("ARGILLA_ELASTICSEARCH_SSL_VERIFY", "ARGILLA_ELASTICSEARCH_CA_PATH", "ARGILLA_REDIS_USE_CLUSTER"),
    *("ARGILLA_DATABASE_SQLITE_TIMEOUT", "ARGILLA_DATABASE_POSTGRESQL_POOL_SIZE", "ARGILLA_DATABASE_POSTGRESQL_MAX_OVERFLOW"),
)


@dataclass(frozen=True, slots=True, repr=False)
class ExternalServices:
    """Addresses of services that already run, from the environment; None where the service is ours."""

    elasticsearch: str | None = None
    redis: str | None = None
    database: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ExternalServices:
        """Reads argilla-server's own three variables."""
        return cls(
            elasticsearch=environment.get("ARGILLA_ELASTICSEARCH") or None,
            redis=environment.get("ARGILLA_REDIS_URL") or None,
            database=environment.get("ARGILLA_DATABASE_URL") or None,
        )

    @property
    def names(self) -> list[str]:
        """The services that come from outside."""
        return [name for name in ("elasticsearch", "redis", "database") if getattr(self, name)]


@dataclass(frozen=True, slots=True, repr=False)
class Services:
    """How the services of one server are started, and whether they are ready."""

    data_dir: DataDir
    secrets: Secrets
    ports: Mapping[str, int]
    external: ExternalServices
    runtime: Runtime

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.ports['server']}"

    @property
    def elasticsearch_url(self) -> str:
        """The engine's address, with the password of ours."""
        port = self.ports.get("elasticsearch")
        return self.external.elasticsearch or f"http://admap:{self.secrets.engine_password}@127.0.0.1:{port}"

    @property
    def redis_url(self) -> str:
        """The queue's address. Ours is a socket in the private folder, where no other user can put one: named by the working
        directory of server and worker, because a socket's name is short.
        """
        return self.external.redis or f"unix:///proc/self/cwd/{self.data_dir.redis.name}/{_SOCKET}"

    @property
    def names(self) -> list[str]:
        """The services that are ours to start."""
        return [name for name in NAMES if name not in self.external.names]

    def program(self, name: str) -> Program:
        """How a service is started."""
        if name == "redis":
            return self._redis()
        if name == "elasticsearch":
            return self._elasticsearch()
        # -I: neither the working directory nor PYTHONPATH may bring another module of the same name.
        python = [str(self.runtime.python), "-I", str(_ENTRY)]
        environment = self._argilla_environment()
        if name == "worker":
            return self._program(name, [*python, "work"], environment)
        environment |= {
            "ADMAP_USERNAME": self.secrets.username,
            "ADMAP_PASSWORD": self.secrets.password,
            "ADMAP_API_KEY": self.secrets.api_key,
            "ADMAP_WORKSPACE": self.secrets.workspace,
        }
        return self._program(name, [*python, "serve", str(self.ports["server"])], environment)

    def is_ready(self, name: str, process: Process) -> bool:
        """Whether a service answers now, and it is our own process that does."""
        if name in self.ports and not listens(process, self.ports[name]):
            return False
        if name == "redis":
            return redis_answers(self.data_dir.redis / _SOCKET)
        if name == "elasticsearch":
            return elasticsearch_answers(self.elasticsearch_url, own=True)
        if name == "server":
            return argilla_answers(self.url, self.secrets.api_key)
        return "admap: listening" in read_log(self.data_dir.log(name), end=False)

    def _program(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        folder: Path | None = None,
        stdin: str = "",
    ) -> Program:
        # C.UTF-8: Java reads the names of folders by it.
        environment = {"TMPDIR": str(self.data_dir.temporary), "PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8", **environment}
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        # The entry is ours: a new version of it is started anew.
        version = importlib.metadata.version("argilla-admap") if name in ("server", "worker") else ""
        log = self.data_dir.log(name)
        return Program(name, arguments, environment, inherited, log, folder or self.data_dir.root, stdin, version)

    def _redis(self) -> Program:
        lines = [
            "port 0",
            f"unixsocket {_SOCKET}",
            "unixsocketperm 600",
            # Jobs that wait survive a stop; at most the last second of them is lost with the machine's power.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "daemonize no",
            "",
        ]
        return self._program("redis", ["redis-server", "-"], {}, self.data_dir.redis, "\n".join(lines))

    def _elasticsearch(self) -> Program:
        arguments = [
            java() or "java",
            "-Xms512m",
            "-Xmx512m",
            # One small node: the first compiler tier and the serial collector start fastest and need the least memory.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            # No file about this process in the machine's own folder of temporary files.
            "-XX:-UsePerfData",
            f"-XX:ErrorFile={self.data_dir.logs / 'elasticsearch-crash.log'}",
            f"-Djava.io.tmpdir={self.data_dir.temporary}",
            "-Dfile.encoding=UTF-8",
            "-cp",
            self.runtime.class_path or "",
            "org.elasticsearch.node.EmbeddedNode",
            str(self.data_dir.elasticsearch),
            str(self.ports["elasticsearch"]),
        ]
        return self._program("elasticsearch", arguments, {"ADMAP_ENGINE_PASSWORD": self.secrets.engine_password})

    def _argilla_environment(self) -> dict[str, str]:
        # Relative to the working directory of the services: a path may hold characters that mean something in an address.
        database = self.data_dir.database.relative_to(self.data_dir.root)
        return {
            "ARGILLA_HOME_PATH": str(self.data_dir.root),
            "ARGILLA_DATABASE_URL": self.external.database or f"sqlite+aiosqlite:///{database}?check_same_thread=False",
            "ARGILLA_ELASTICSEARCH": self.elasticsearch_url,
            "ARGILLA_REDIS_URL": self.redis_url,
            "ARGILLA_AUTH_SECRET_KEY": self.secrets.session_key,
            # Whether the server must make sure that it is our engine that listens before it sends the password.
            "ADMAP_OWN_ENGINE": "" if self.external.elasticsearch else "1",
            # Only the page itself may call the API from a browser.
            "ARGILLA_CORS_ORIGINS": json.dumps([self.url]),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }


def argilla_answers(url: str, api_key: str, timeout: float = 5.0) -> bool:
    """Whether our own Argilla serves at this address and knows this key."""
    status, body = _get(f"{url}/api/v1/me", {"X-Argilla-Api-Key": api_key}, timeout, own=True)
    return status == 200 and "username" in body


def elasticsearch_answers(url: str, timeout: float = 5.0, *, own: bool = False) -> bool:
    """Whether the engine at this address can be searched; the address may hold a user and a password.

    Args:
        url: the address.
        timeout: seconds.
        own: nothing is sent to a program of another user.
    """
    status, body = _get(url.rstrip("/") + "/_cluster/health?wait_for_status=yellow&timeout=1s", {}, timeout, own=own)
    return status == 200 and body.get("timed_out") is False


def redis_answers(address: str | Path, timeout: float = 5.0) -> bool:
    """Whether a Redis answers and lets us in: at redis://[user:password@]host:port/... or at a socket in a folder."""
    commands = [["PING"]]
    try:
        if isinstance(address, Path):
            connection = _connect(address, timeout)
        else:
            parts = urlsplit(address)
            if parts.password:
                user = [unquote(parts.username)] if parts.username else []
                commands.insert(0, ["AUTH", *user, unquote(parts.password)])
            connection = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=timeout)
        with connection:
            answers = connection.makefile("rb")
            for words in commands:
                lines = [f"*{len(words)}", *(line for word in words for line in (f"${len(word.encode())}", word)), ""]
                connection.sendall("\r\n".join(lines).encode())
                answer = answers.readline(_MOST_BYTES)
    except (OSError, ValueError):
        return False
    # While it still loads its file it says -LOADING.
    return answer.startswith(b"+PONG")


def _connect(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    folder = os.open(path.parent, os.O_PATH)
    try:
        # A socket's name has 107 bytes at most; the folder's may have more.
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(folder)
    return connection


def _is_ours_in_time(connection: socket.socket, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    # A server that is busy accepts a connection a moment after it is made.
    while (ours := is_ours(connection.getsockname()[1], connection.getpeername()[1])) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(ours)


def _get(url: str, headers: dict[str, str], timeout: float, *, own: bool) -> tuple[int, dict[str, object]]:
    try:
        parts = urlsplit(url)
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers = {**headers, "Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        # Not through a proxy: what we start is on loopback, and what is named in the environment is named in full.
        with closing(kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)) as connection:
            connection.connect()
            if own and not _is_ours_in_time(connection.sock, timeout):
                return 0, {}
            connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
            answer = connection.getresponse()
            body = json.loads(answer.read(_MOST_BYTES) or b"{}")
            return answer.status, body if isinstance(body, dict) else {}
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return 0, {}
