"""The plan of the house holds: rooms import only what lies below them, nothing heavy is imported before it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import argilla_admap

PACKAGE = Path(argilla_admap.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A module may import from its own room and from any room below it.
FLOORS = [
    {"errors"},
    {"records", "tables"},
    {"stored"},
    {"formats", "server", "example_data"},
    {"scoring"},
    {"mapping"},
    {"review", "report"},
    {"adaptive"},
    {"pipeline", "distributed"},
    {"demo", "doctor"},
    {"cli"},
]


def _room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _floor(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def _imports(module: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_a_room_imports_only_what_lies_below_it(module: Path) -> None:
    room = _room(module)
    if room in {"__init__", "__main__"}:
        return
    for name in _imports(module):
        parts = name.split(".")
        if parts[0] != "argilla_admap" or len(parts) < 2 or parts[1] in {room, "__version__"}:
            continue
        assert _floor(parts[1]) < _floor(room), (
            f"{module.relative_to(PACKAGE)} imports {name}, which lies above it or beside it"
        )


@pytest.mark.parametrize(("library", "rooms"), [("openai", {"scoring"}), ("argilla", {"review", "pipeline"})])
def test_only_one_room_speaks_to_each_service(library: str, rooms: set[str]) -> None:
    speakers = {_room(m) for m in MODULES if any(name.split(".")[0] == library for name in _imports(m))}
    assert speakers <= rooms


def test_no_module_asserts_on_what_a_user_gave() -> None:
    for module in MODULES:
        asserts = [n.lineno for n in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(n, ast.Assert)]
        assert not asserts, f"{module.relative_to(PACKAGE)}: assert in lines {asserts}; `python -O` drops them"


def test_modules_are_short_enough_to_be_held_in_the_head() -> None:
    long = {str(m.relative_to(PACKAGE)): n for m in MODULES if (n := len(m.read_text(encoding="utf-8").splitlines())) > 800}
    assert not long


@pytest.mark.parametrize("words", [["--help"], ["score", "--help"], ["push", "--help"], ["run", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    program = (
        f"import sys; sys.argv = ['admap', *{words!r}]\n"
        "from argilla_admap.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'argilla', 'openai', 'pandas', 'numpy', 'pyarrow', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Example:" in done.stdout


def test_importing_the_package_imports_no_library() -> None:
    program = "import sys, argilla_admap; sys.exit(str({'argilla', 'openai', 'numpy'} & set(sys.modules) or 0))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip() == "0"


def test_every_public_name_is_there() -> None:
    for name in argilla_admap.__all__:
        assert getattr(argilla_admap, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = argilla_admap.no_such_name
