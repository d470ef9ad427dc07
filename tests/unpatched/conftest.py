"""One unpatched Argilla for the tests of this folder, of the version in ADMAP_ARGILLA_VERSION, else the embedded one's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.cli import main
from tests.doubles.unpatched_server import VERSIONS, UnpatchedServer, unpatched_server

Admap = Callable[..., Any]


@pytest.fixture(scope="session")
def unpatched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UnpatchedServer]:
    """The server; with ADMAP_ARGILLA_DATABASE, on that (empty) database instead of SQLite."""
    version = os.environ.get("ADMAP_ARGILLA_VERSION") or VERSIONS[0]
    database = os.environ.get("ADMAP_ARGILLA_DATABASE")
    external = {"database": database} if database else {}
    with unpatched_server(version, tmp_path_factory.mktemp("unpatched") / "server", external=external) as server:
        yield server


@pytest.fixture
def admap(
    unpatched: UnpatchedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Admap:
    """Runs a command in this process; its JSON answer where it ends with 0, else what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARGILLA_API_URL", unpatched.url)
    monkeypatch.setenv("ARGILLA_API_KEY", unpatched.api_key)
    monkeypatch.setenv("ADMAP_SERVER_DIR", str(tmp_path / "no-server"))

    def run(*words: object, code: int = 0, **environment: str) -> Any:
        with monkeypatch.context() as here:
            for name, value in environment.items():
                here.setenv(name, value)
            capsys.readouterr()  # what the test's own client has printed
            with pytest.raises(SystemExit) as ended:
                main([*map(str, words), "--json"])
        said = capsys.readouterr()
        assert ended.value.code == code, f"{words}: {said.err}"
        assert "Traceback" not in said.err
        assert unpatched.api_key not in said.err
        return json.loads(said.out) if code == 0 else " ".join(said.err.split())

    return run
