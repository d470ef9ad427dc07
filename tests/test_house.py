"""The plan of the house holds: rooms import only what lies below them, nothing heavy is imported before it is asked for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import argilla_admap

PACKAGE = Path(argilla_admap.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A module may import from its own room and from any room below it.
FLOORS = [
    {"errors"},
    {"records", "tables"},
    {"stored", "distributed"},
    {"formats", "server", "example_data"},
    {"scoring", "topics"},
    {"mapping"},
    {"review", "reporting"},
    {"adaptive", "judge_audit", "keywords", "progress"},
    {"pipeline"},
    {"demonstration", "checkup", "reviewers"},
    {"commands"},
    {"cli"},
]


# Within a room, from the ground up. A sub-room imports only from those before it.
SUBROOMS = {
    "formats": ["containers", "rows", "layouts", "writeback"],
    "scoring": ["cache", "client", "batch", "judging", "questions", "scorers"],
    "mapping": ["data", "regions", "wrong", "checks", "analysis"],
    "review": ["argilla", "dataset", "queues", "push", "pull", "people", "status", "watch"],
    "cli": ["review", "scoring", "mapping", "machine"],
}


@cache
def _tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def _room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _floor(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


@cache
def _imports(module: Path) -> list[str]:
    names = []
    for node in ast.walk(_tree(module)):
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


def _dotted(module: Path) -> str:
    parts = module.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported_modules(module: Path) -> set[str]:
    """The modules of ours that a module imports, by their dotted names."""
    ours = {_dotted(m) for m in MODULES}
    found: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & ours
            found |= {node.module} if names - ours else set()
    return (found & ours) - {_dotted(module)}


@pytest.mark.parametrize("room", SUBROOMS)
def test_a_sub_room_imports_only_what_lies_below_it(room: str) -> None:
    floors = SUBROOMS[room]
    folders = {m.parent.name for m in (PACKAGE / room).glob("*/__init__.py")}
    assert folders == set(floors), "a new sub-room takes its place in SUBROOMS"
    for module in (PACKAGE / room).rglob("*/*.py"):
        here = module.parent.name
        for name in _imported_modules(module):
            parts = name.split(".")
            if len(parts) > 3 and parts[1] == room and parts[2] != here:
                assert floors.index(parts[2]) < floors.index(here), f"{_dotted(module)} imports {name}, which lies above it"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {_dotted(m): _imported_modules(m) for m in MODULES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for below in graph[name]:
                visit(below, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_imports_are_written_where_they_can_be_seen() -> None:
    # The command line and the package itself find modules by name on purpose, and so does the search for scorers and checks.
    allowed = {
        "__init__.py",
        "cli/__init__.py",
        "cli/scoring_options.py",
        "scoring/scorer.py",
        "formats/registry.py",
        "scoring/client/transport.py",
    }
    hidden = {
        str(m.relative_to(PACKAGE))
        for m in MODULES
        if "import_module" in m.read_text(encoding="utf-8") and m.relative_to(PACKAGE).parts[:2] != ("mapping", "checks")
    }
    assert hidden <= allowed


def test_each_file_and_each_class_has_a_name_of_its_own() -> None:
    names: dict[str, list[str]] = {}
    for module in MODULES:
        if module.name not in {"__init__.py", "__main__.py"}:
            names.setdefault(f"file {module.name}", []).append(_dotted(module))
        for node in ast.walk(_tree(module)):
            if isinstance(node, ast.ClassDef):
                names.setdefault(f"class {node.name.lstrip('_')}", []).append(_dotted(module))
    assert {name: places for name, places in names.items() if len(places) > 1} == {}


def test_flags_are_written_by_the_command_line_alone() -> None:
    flag = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    # These speak of other programs' flags.
    others = {"--reranking", "--appendonly", "--requirepass", "--only-binary", "--no-deps", "--port", "--embeddings"}
    seen: dict[str, list[str]] = {}
    for module in MODULES:
        if _room(module) in {"cli", "__main__"} or module.relative_to(PACKAGE).parts[0] == "server":
            continue
        found = sorted(set(flag.findall(module.read_text(encoding="utf-8"))) - others)
        if found:
            seen[_dotted(module)] = found
    assert seen == {}


def test_a_folder_with_many_files_has_sub_rooms() -> None:
    folders = {m.parent for m in MODULES} - {PACKAGE}
    crowded = {str(f.relative_to(PACKAGE)): n for f in folders if (n := len(set(f.glob("*.py")) - {f / "__init__.py"})) > 10}
    assert crowded == {}


@pytest.mark.parametrize(
    ("library", "rooms"), [("openai", {"scoring"}), ("argilla", {"review", "reviewers", "pipeline", "commands"})]
)
def test_only_one_room_speaks_to_each_service(library: str, rooms: set[str]) -> None:
    speakers = {_room(m) for m in MODULES if any(name.split(".")[0] == library for name in _imports(m))}
    assert speakers <= rooms


def test_no_module_asserts_on_what_a_user_gave() -> None:
    for module in MODULES:
        asserts = [n.lineno for n in ast.walk(_tree(module)) if isinstance(n, ast.Assert)]
        assert not asserts, f"{module.relative_to(PACKAGE)}: assert in lines {asserts}; `python -O` drops them"


def test_modules_are_short_enough_to_be_held_in_the_head() -> None:
    """One concept a file, as long as the concept is."""
    long = {str(m.relative_to(PACKAGE)): n for m in MODULES if (n := len(m.read_text(encoding="utf-8").splitlines())) > 800}
    assert long == {}


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
