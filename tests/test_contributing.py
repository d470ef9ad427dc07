"""What the guide for contributors says is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "argilla_admap"


def test_each_file_and_room_that_the_guide_names_is_there() -> None:
    named = {name for name in re.findall(r"`([a-z_/]+(?:\.py|/))`", GUIDE) if "ROOM" not in name}
    assert {"formats/layouts/", "scoring/scorers/", "mapping/checks/", "review/queues/queues.py"} <= named
    missing = sorted(name for name in named if not any((base / name).exists() for base in (ROOT, PACKAGE)))
    assert missing == []


def test_the_tour_names_every_room_and_sub_room() -> None:
    tour = GUIDE.split("## A tour")[1].split("## How to add")[0]
    rooms = sorted(p.parent for p in PACKAGE.glob("*/*/__init__.py"))
    assert rooms
    for room in rooms:
        assert f"`{room.name}`" in tour, f"{room.relative_to(PACKAGE)} is not in the tour"
        assert f"`{room.parent.name}/`" in tour


def test_the_tour_names_every_file_and_folder_at_the_top() -> None:
    tour = GUIDE.split("## A tour")[1].split("## How to add")[0]
    top = [p.name for p in PACKAGE.glob("*.py") if not p.name.startswith("__")]
    top += [f"{p.name}/" for p in PACKAGE.iterdir() if (p / "__init__.py").exists()]
    assert [name for name in sorted(top) if f"`{name}`" not in tour] == []


def test_the_commands_of_the_guide_name_tests_that_are_there() -> None:
    for command in re.findall(r"^\.venv/bin/python -m pytest ([^#\n]+)", GUIDE, re.MULTILINE):
        for word in command.split():
            assert not word.startswith("tests/") or (ROOT / word).exists()
    assert (ROOT / "tests" / "run.sh").exists()


def test_the_changelog_has_the_version_of_the_package() -> None:
    version = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    changelog = (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {version[1]}" in changelog
    assert "## Unreleased" in changelog
