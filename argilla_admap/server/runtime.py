"""What the server runs on, built once for each user of a machine: a Python environment, and the search engine's classes.

The user's own pip and Maven fetch both. Elasticsearch's licence lets everyone use it; we do not redistribute it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from argilla_admap.errors import ServerError
from argilla_admap.server.data_dir import Report, locked, make_private

__all__ = ["Runtime", "ensure", "missing_packages", "printable", "read_log", "tail"]

_SOURCES = Path(__file__).with_name("elasticsearch")
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
#: What argilla-server needs to speak to PostgreSQL, with the wheels of its driver.
_POSTGRESQL = ("asyncpg~=0.30.0", "psycopg2-binary~=2.9.0")
_COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where the built programs are."""

    #: The interpreter that has argilla-server.
    python: Path
    #: The class path of the search engine; None where one that already runs is used.
    class_path: str | None


@dataclass(slots=True)
class _Build:
    """A folder that is complete when its marker is there, and is otherwise built from the start."""

    folder: Path
    what: str
    steps: Sequence[Sequence[str]]
    next_step: int = 0
    child: subprocess.Popen[bytes] | None = None
    begun: float = field(default_factory=time.monotonic)

    @property
    def log(self) -> Path:
        return self.folder.with_name(self.folder.name + ".log")

    def is_complete(self) -> bool:
        return (self.folder / _COMPLETE).exists()


def missing_packages(elasticsearch: bool, redis: bool) -> dict[str, str]:
    """The programs that are needed and absent, each with the Debian package that brings it.

    Args:
        elasticsearch: whether we start the search engine.
        redis: whether we start Redis.
    """
    missing = {}
    if elasticsearch:
        built = _engine_build().is_complete()
        for program in ("java",) if built else ("java", "javac"):
            if java(program) is None:
                missing[program] = "default-jdk-headless"
        if not built and shutil.which("mvn") is None:
            missing["mvn"] = "maven"
    if redis and shutil.which("redis-server") is None:
        missing["redis-server"] = "redis-server"
    if not _python_build(False).is_complete() and not (
        importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")
    ):
        missing["python3 -m venv"] = "python3-venv"
    return missing


def java(program: str = "java") -> str | None:
    """The path of `java` or `javac`: of JAVA_HOME where that is set, else of PATH."""
    home = os.environ.get("JAVA_HOME")
    if home:
        found = shutil.which(program, path=str(Path(home) / "bin"))
        if found:
            return found
    return shutil.which(program)


def ensure(report: Report, *, elasticsearch: bool, postgresql: bool) -> Runtime:
    """Builds what is not there yet, both at the same time.

    Args:
        report: is told what is being built.
        elasticsearch: whether we start the search engine.
        postgresql: whether the database is PostgreSQL, whose driver is an extra.
    Raises:
        ServerError: a step failed; with the end of its log.
    """
    python_build = _python_build(postgresql)
    builds = [python_build, *([_engine_build()] if elasticsearch else [])]
    if not all(build.is_complete() for build in builds):
        cache = python_build.folder.parent
        make_private(cache, "name another in ADMAP_CACHE_DIR")
        # The builders inherit the lock: if we are killed, the next start waits until pip or Maven has ended too.
        with locked(cache / "lock", report, "building the server's programs") as lock:
            _build_all([build for build in builds if not build.is_complete()], lock, report)
    return Runtime(
        python=python_build.folder / "bin" / "python",
        class_path=_class_path(_engine_build().folder) if elasticsearch else None,
    )


def read_log(log: Path, *, end: bool = True) -> str:
    """The last megabyte of a log, or the first; empty where there is none."""
    try:
        with log.open("rb") as file:
            if end:
                file.seek(max(0, log.stat().st_size - 1_000_000))
            return file.read(1_000_000).decode(errors="replace")
    except OSError:
        return ""


def tail(log: Path, lines: int = 10) -> str:
    """The last lines of a log, indented, without the frames of tracebacks."""
    noise = ("Traceback (most recent call last)", "During handling of", "The above exception was")
    text = read_log(log).splitlines()
    found = [line for line in text if line.strip() and not line[0].isspace() and not line.startswith(noise)]
    return "\n".join(f"    {printable(line)[:300]}" for line in found[-lines:]) or "    (nothing was logged)"


def printable(line: str) -> str:
    """The line without what controls a terminal, and without the password in an address: a log holds other programs' words."""
    line = re.sub(r"//[^\s'\"]*@", "//", line)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _cache() -> Path:
    chosen = os.environ.get("ADMAP_CACHE_DIR")
    base = Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_cache_dir("argilla-admap"))
    return base / "server"


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _python_build(postgresql: bool) -> _Build:
    extra = _POSTGRESQL if postgresql else ()
    version = ".".join(map(str, sys.version_info[:3]))
    # An environment points at the interpreter that made it: another interpreter needs another environment.
    key = _key(_REQUIREMENTS.read_text(encoding="utf-8"), *extra, version, sys.base_prefix)
    folder = _cache() / f"python-{key}"
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    return _Build(
        folder,
        "the server's Python environment",
        [[sys.executable, "-m", "venv", "--clear", str(folder)], [*pip, "-r", str(_REQUIREMENTS), *extra]],
    )


def _engine_build() -> _Build:
    sources = sorted(path for path in _SOURCES.rglob("*") if path.suffix in {".java", ".xml", ".properties"})
    key = _key(*(path.read_text(encoding="utf-8") for path in sources))
    folder = _cache() / f"elasticsearch-{key}"
    lib = folder / "lib"
    maven = ["mvn", "-q", "-B", "-f", str(_SOURCES / "pom.xml"), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    compiler = [java("javac") or "javac", "-proc:none", "-encoding", "UTF-8", "--release", "17", "-cp", str(lib / "*")]
    return _Build(
        folder,
        "the search engine (Elasticsearch, from Maven)",
        [
            [*maven, f"-DoutputDirectory={lib}"],
            [*compiler, "-d", str(folder / "classes"), *(str(path) for path in sources if path.suffix == ".java")],
        ],
    )


def _class_path(folder: Path) -> str:
    return os.pathsep.join([str(_SOURCES), str(folder / "classes"), str(folder / "lib" / "*")])


def _build_all(builds: Sequence[_Build], lock: int, report: Report) -> None:
    running = list(builds)
    try:
        for build in running:
            report(f"building {build.what}: once for this machine, a minute or two")
            if build.folder.exists():
                shutil.rmtree(build.folder)
            build.folder.mkdir(mode=0o700)
            build.log.unlink(missing_ok=True)
        while running:
            for build in list(running):
                if _advance(build, lock):
                    (build.folder / _COMPLETE).touch()
                    report(f"{build.what} is built ({time.monotonic() - build.begun:.0f} s)")
                    running.remove(build)
            time.sleep(0.1)
    finally:
        for build in running:
            if build.child is not None and build.child.poll() is None:
                build.child.terminate()
                build.child.wait()


def _advance(build: _Build, lock: int) -> bool:
    """Starts the build's next step when the one before has ended; True when all have."""
    if build.child is not None:
        code = build.child.poll()
        if code is None:
            return False
        if code != 0:
            raise ServerError(
                f"building {build.what} failed: {Path(build.steps[build.next_step - 1][0]).name} ended with {code}; "
                f"the end of {build.log}:\n{tail(build.log)}\n{_advice(build)}"
            )
    if build.next_step == len(build.steps):
        return True
    with build.log.open("ab") as log:
        try:
            build.child = subprocess.Popen(
                build.steps[build.next_step], stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[lock]
            )
        except OSError as error:
            raise ServerError(f"building {build.what} failed: {build.steps[build.next_step][0]}: {error.strerror}") from error
    build.next_step += 1
    return False


def _advice(build: _Build) -> str:
    text = read_log(build.log)
    if "No space left" in text:
        return f"The disk is full: make room (about 1 GB), or set ADMAP_CACHE_DIR to another folder than {build.folder.parent}."
    if "release version 17 not supported" in text or "invalid flag: --release" in text:
        return "Java 17 or newer is needed: sudo apt-get install openjdk-17-jdk-headless, and set JAVA_HOME to it."
    return "If a package could not be fetched, check the network or the mirror that pip and Maven are set to; then start again."
