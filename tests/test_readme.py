"""What the README says is tried as it is written there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.example_data import write_example
from tests.doubles.argilla_server import TestServer
from tests.doubles.judge_server import Judge

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text of a section."""
    found = re.search(rf"^## {re.escape(title)}$\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title!r}"
    return found[1]


def blocks(title: str, language: str) -> list[str]:
    """The code blocks of a section."""
    return re.findall(rf"^```{language}\n(.*?)^```$", section(title), re.MULTILINE | re.DOTALL)


def shell(script: str, folder: Path, environment: dict[str, str], *, timeout: float = 300) -> str:
    """Runs a block as its reader would paste it, and stops at the first command that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{script}\nstdout: {done.stdout}\nstderr: {done.stderr}"
    return done.stdout


@pytest.fixture
def reader(tmp_path: Path, argilla_server: TestServer, judge: Judge) -> tuple[Path, dict[str, str]]:
    """A folder with `preferences.jsonl`, and the environment of somebody who installed the package and has a judge."""
    original, _ = write_example(tmp_path)
    assert original.name == "preferences.jsonl"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_DATA_HOME": str(tmp_path / "home"),
        "OPENAI_BASE_URL": judge.url,
        "ARGILLA_API_URL": argilla_server.url,
        "ARGILLA_API_KEY": argilla_server.api_key,
    }
    return tmp_path, environment


@pytest.fixture
def clean_datasets(argilla_client: Any) -> Any:
    """The README's own names are free before, and removed after."""

    def remove() -> None:
        for dataset in list(argilla_client.datasets):
            if dataset.name in {"my-data", "their-data"}:
                dataset.delete()

    remove()
    yield
    remove()


def test_the_data_scientists_and_the_returning_persons_commands_run_as_written(
    reader: tuple[Path, dict[str, str]], clean_datasets: None
) -> None:
    folder, environment = reader
    for script in blocks("For the data scientist: score and push", "bash"):
        shell(script, folder, environment)
    for script in blocks("For the data scientist: score and push", "python"):
        (folder / "script.py").write_text(script, encoding="utf-8")
        printed = shell("python script.py", folder, environment)
        assert "records to read" in printed
    for script in blocks("A week later: bring the corrections home", "bash"):
        shell(script, folder, environment)
    # Nobody answered: the file comes back byte for byte.
    assert (folder / "corrected.jsonl").read_bytes() == (folder / "preferences.jsonl").read_bytes()
    assert (folder / "changes.jsonl").read_bytes() == b""


def test_the_first_command_works_in_a_fresh_clone(tmp_path: Path, argilla_server: TestServer) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(clone)], check=True, timeout=120)
    first, pull = blocks("Three minutes", "bash")
    environment = {
        **os.environ,
        # The server of the tests stands in for the one that would be started: the same folder layout, found the same way.
        "ADMAP_SERVER_DIR": str(argilla_server.data_dir),
        "XDG_DATA_HOME": str(tmp_path / "home"),
    }
    for name in ("ARGILLA_API_URL", "ARGILLA_API_KEY", "VIRTUAL_ENV", "OPENAI_API_KEY"):
        environment.pop(name, None)
    printed = shell(first, clone, environment, timeout=900)
    assert "flipped on purpose" in printed
    assert argilla_server.url in printed
    assert argilla_server.password in printed
    shell(pull, clone, environment)
    assert (clone / "corrected.jsonl").read_bytes() == (clone / "admap-demo" / "preferences.jsonl").read_bytes()
    # What the commands leave behind must not look like a change of the project.
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert not [
        line
        for line in status.stdout.splitlines()
        if "admap-demo" not in line and "corrected" not in line and "changes" not in line
    ]
    shutil.rmtree(clone)


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    (command,) = blocks("Tests", "bash")
    script = command.strip().splitlines()[-1].split("#")[0].strip()
    assert script in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_command_that_the_readme_names_is_there() -> None:
    from argilla_admap.cli import COMMANDS

    named = set(re.findall(r"\badmap ([a-z-]+)\b", README)) - {"python"}
    assert named <= set(COMMANDS)
    assert set(COMMANDS) <= named, "the README tells of each command"


def test_it_is_short() -> None:
    assert len(README.splitlines()) < 200, "what is longer is a topic (argilla_admap/topics), or a page beside what it tells of"


def test_its_links_and_pictures_are_there() -> None:
    for page in (ROOT / "README.md", *ROOT.glob("examples/*.md"), *ROOT.glob("docker/*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"
