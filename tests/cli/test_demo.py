"""The demo: real pairs, planted errors that are owned up to, queues that open in the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.doubles.argilla_server import TestServer


@pytest.fixture
def demo(tmp_path: Path, argilla_server: TestServer, argilla_client: Any) -> Any:
    """The demo's JSON answer, shown on the server of the tests, and the words on stderr."""
    environment = {k: v for k, v in os.environ.items() if k not in {"ARGILLA_API_URL", "ARGILLA_API_KEY", "OPENAI_API_KEY"}}
    environment["XDG_DATA_HOME"] = str(tmp_path / "home")
    line = [sys.executable, "-m", "argilla_admap", "demo", "--no-browser", "--json"]
    line += ["--data-dir", str(argilla_server.data_dir)]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout), done.stderr
    workspace = json.loads(done.stdout)["dataset"].split("/")[0]
    argilla_client.datasets(name="admap-demo", workspace=workspace).delete()


def test_the_demo_says_what_it_planted_and_its_link_opens_the_queue(
    demo: tuple[dict[str, Any], str], tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    answer, words = demo
    assert "flipped on purpose" in words.splitlines()[0]
    planted = (tmp_path / "admap-demo" / "planted_errors.txt").read_text().split()
    assert len(planted) == 20
    assert answer["records"] == 201
    assert answer["score"]["requests"] == 0
    queue = next(q for q in answer["queues"] if q["name"] == "likely-wrong")
    page = new_page()
    page.goto(queue["url"])
    page.locator('input[type="text"], input[name="username"]').first.fill(answer["username"])
    page.locator('input[type="password"]').fill(answer["password"])
    page.keyboard.press("Enter")
    page.get_by_text(f"1 of {queue['count']}").wait_for(timeout=30_000)
    # The first record of the queue is one whose label was flipped.
    card = page.frame_locator("iframe").first
    card.get_by_text("The judge prefers", exact=False).first.wait_for(timeout=30_000)
    shown = card.locator("body").inner_text()
    assert any(record in shown for record in planted)


def test_live_without_a_key_says_so_and_starts_nothing(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OPENAI_API_KEY"}
    line = [sys.executable, "-m", "argilla_admap", "demo", "--live", "--no-browser"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_dry_run_says_the_size_and_writes_nothing(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "argilla_admap", "demo", "--dry-run", "--json"]
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "home"), "ADMAP_SERVER_DIR": str(tmp_path / "server")}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["records"], answer["requests"], answer["dataset"]) == (201, 0, "admap-demo")
    assert not list(tmp_path.iterdir())
