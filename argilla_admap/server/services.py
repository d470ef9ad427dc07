"""The four parts of a server: how each is started, and how it is known to be ready."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from argilla_admap.server.data_dir import Home, Secrets
from argilla_admap.server.health import argilla_answers, elasticsearch_answers, redis_answers
from argilla_admap.server.processes import Program
from argilla_admap.server.runtime import Runtime, java

__all__ = ["NAMES", "TITLES", "External", "Plan"]

#: In the order in which they are started; they are stopped in the reverse order.
NAMES = ("redis", "elasticsearch", "server", "worker")
TITLES = {"redis": "Redis", "elasticsearch": "Elasticsearch", "server": "Argilla", "worker": "the worker"}

_INSIDE = Path(__file__).with_name("server_entry.py")
# What a child may know of our environment. All else, keys of judges above all, stays with us.
_PASSED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "JAVA_HOME", "LD_LIBRARY_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("ARGILLA_ELASTICSEARCH_SSL_VERIFY", "ARGILLA_ELASTICSEARCH_CA_PATH", "ARGILLA_REDIS_USE_CLUSTER"),
    *("ARGILLA_DATABASE_SQLITE_TIMEOUT", "ARGILLA_DATABASE_POSTGRESQL_POOL_SIZE", "ARGILLA_DATABASE_POSTGRESQL_MAX_OVERFLOW"),
)


@dataclass(frozen=True, slots=True, repr=False)
class External:
    """Addresses of parts that already run, from the environment; None where the part is ours."""

    elasticsearch: str | None = None
    redis: str | None = None
    database: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> External:
        """Reads the three variables that argilla-server itself knows them by."""
        return cls(
            elasticsearch=environment.get("ARGILLA_ELASTICSEARCH") or None,
            redis=environment.get("ARGILLA_REDIS_URL") or None,
            database=environment.get("ARGILLA_DATABASE_URL") or None,
        )

    @property
    def names(self) -> list[str]:
        """The parts that come from outside."""
        return [name for name in ("elasticsearch", "redis", "database") if getattr(self, name)]


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """All that decides how the parts are started."""

    home: Home
    secrets: Secrets
    ports: Mapping[str, int]
    external: External
    runtime: Runtime
    _programs: dict[str, Program] = field(default_factory=dict)

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
        """The queue's address, with the password of ours."""
        return self.external.redis or f"redis://:{self.secrets.redis_password}@127.0.0.1:{self.ports.get('redis')}/0"

    @property
    def names(self) -> list[str]:
        """The parts that are ours to start."""
        return [name for name in NAMES if name not in self.external.names]

    def program(self, name: str) -> Program:
        """How a part is started."""
        if name == "redis":
            return self._redis()
        if name == "elasticsearch":
            return self._elasticsearch()
        words = ["serve", str(self.ports["server"])] if name == "server" else ["work"]
        environment = self._argilla_environment()
        if name == "server":
            environment |= {
                "ADMAP_USERNAME": self.secrets.username,
                "ADMAP_PASSWORD": self.secrets.password,
                "ADMAP_API_KEY": self.secrets.api_key,
                "ADMAP_WORKSPACE": self.secrets.workspace,
            }
        # -I: neither the folder that we are in nor PYTHONPATH may bring another module of the same name.
        python = [str(self.runtime.python), "-I", str(_INSIDE), *words]
        return Program(
            name,
            python,
            environment,
            _passed(),
            self.home.log(name),
            self.home.root,
            version=importlib.metadata.version("argilla-admap"),
        )

    def is_ready(self, name: str) -> bool:
        """Whether a part answers now."""
        if name == "redis":
            return redis_answers(self.redis_url)
        if name == "elasticsearch":
            return elasticsearch_answers(self.elasticsearch_url)
        if name == "server":
            return argilla_answers(self.url, self.secrets.api_key)
        try:
            return "admap: listening" in self.home.log(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False

    def _redis(self) -> Program:
        lines = [
            "bind 127.0.0.1",
            f"port {self.ports['redis']}",
            f"requirepass {self.secrets.redis_password}",
            # Jobs that wait outlive a stop; at most the last second of them is lost with the machine's power.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "daemonize no",
        ]
        # By its input, so that no list of processes and no file shows the password.
        words = ["redis-server", "-"]
        given = "\n".join(lines) + "\n"
        return Program("redis", words, self._environment(), _passed(), self.home.log("redis"), self.home.redis, given)

    def _elasticsearch(self) -> Program:
        words = [
            java() or "java",
            "-Xms512m",
            "-Xmx512m",
            # One small node: the first compiler tier and the serial collector start fastest and need the least memory.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={self.home.logs / 'elasticsearch-crash.log'}",
            f"-Djava.io.tmpdir={self.home.temporary}",
            "-Dfile.encoding=UTF-8",
            "-cp",
            self.runtime.class_path or "",
            "org.elasticsearch.node.EmbeddedNode",
            str(self.home.elasticsearch),
            str(self.ports["elasticsearch"]),
        ]
        environment = self._environment() | {"ADMAP_ENGINE_PASSWORD": self.secrets.engine_password}
        return Program("elasticsearch", words, environment, _passed(), self.home.log("elasticsearch"), self.home.root)

    def _argilla_environment(self) -> dict[str, str]:
        # Relative to the folder in which the parts run: a path may hold characters that mean something in an address.
        embedded = f"sqlite+aiosqlite:///{self.home.database.relative_to(self.home.root)}?check_same_thread=False"
        return self._environment() | {
            "ARGILLA_HOME_PATH": str(self.home.root),
            "ARGILLA_DATABASE_URL": self.external.database or embedded,
            "ARGILLA_ELASTICSEARCH": self.elasticsearch_url,
            "ARGILLA_REDIS_URL": self.redis_url,
            "ARGILLA_AUTH_SECRET_KEY": self.secrets.session_key,
            # Only the page itself may call the API from a browser.
            "ARGILLA_CORS_ORIGINS": json.dumps([self.url]),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def _environment(self) -> dict[str, str]:
        # C.UTF-8: Java reads the names of folders by it.
        return {"TMPDIR": str(self.home.temporary), "PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8"}


def _passed() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED if name in os.environ}
