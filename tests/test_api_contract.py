"""Each command of the command line is a public function of the same name, with the same options as keyword arguments."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import argilla_admap
from argilla_admap.cli import COMMANDS, cli
from argilla_admap.errors import InputError
from argilla_admap.example_data import write_example

#: Options that are about the terminal, or about a question that only a person at one is asked.
TERMINAL = {
    "json": "a function returns values",
    "json_lines": "a function returns values",
    "yes": "a function asks no question",
    "browser": "opens a page for the person at the terminal",
    "stay": "waits for Ctrl-C",
}
#: Options whose meaning a function has in another way.
OTHERWISE = {
    ("server start", "dry_run"): "argilla_admap.server.status tells the same",
    ("server stop", "dry_run"): "argilla_admap.server.status tells the same",
}


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", one) for below, one in command.commands.items())
        else:
            yield name, command


def function_of(name: str) -> Any:
    found: Any = argilla_admap
    for part in name.split():
        found = getattr(found, part.replace("-", "_"))
    return found


def names_of(option: click.Parameter) -> set[str]:
    """What the option may be called as a keyword: by each of its flags, or as the command takes it."""
    flags = {flag.lstrip("-").replace("-", "_") for flag in (*option.opts, *option.secondary_opts)}
    return flags | {str(option.name)}


COMMANDS_NOW = dict(commands())


@pytest.mark.parametrize("name", COMMANDS_NOW)
def test_each_command_is_a_function_with_the_same_options(name: str) -> None:
    function = function_of(name)
    assert callable(function)
    takes = inspect.signature(function).parameters
    missing = []
    for param in COMMANDS_NOW[name].params:
        names = names_of(param)
        if isinstance(param, click.Option) and not names & {"help", *TERMINAL, *takes}:
            missing += [flag for flag in param.opts if not any((name, one) in OTHERWISE for one in names)]
    assert missing == []


#: What a command cannot do without.
WORDS = {
    **dict.fromkeys(("report", "compare", "map", "merge", "select", "score"), "-o out.parquet"),
    **dict.fromkeys(("run", "push"), "--dataset d"),
    "demo": "--exit --no-browser",
    "pull": "-o out.jsonl",
    "watch": "--once",
}


@pytest.mark.parametrize("name", COMMANDS_NOW)
def test_a_command_calls_its_function_and_does_nothing_beside(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = function_of(name)

    def refuse(*_args: Any, **_options: Any) -> None:
        raise InputError(f"{name} was called")

    for module in (sys.modules[function.__module__], argilla_admap):
        if getattr(module, function.__name__, None) is function:
            monkeypatch.setattr(module, function.__name__, refuse)
    monkeypatch.chdir(tmp_path)
    command = COMMANDS_NOW[name]
    arguments = [f"in{place}" for place, one in enumerate(command.params) if isinstance(one, click.Argument)]
    done = CliRunner().invoke(command, [*arguments, *WORDS.get(name, "").split()])
    assert str(done.exception) == f"{name} was called"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS_NOW)
def test_a_default_of_the_command_line_is_the_function_s(name: str) -> None:
    takes = inspect.signature(function_of(name)).parameters
    different = {}
    for param in COMMANDS_NOW[name].params:
        known = next((one for one in sorted(names_of(param)) if one in takes), None)
        # What click leaves out is None; a function says an empty list or text for the same.
        if isinstance(param, click.Option) and known == param.name and isinstance(param.default, (str, int, float)):
            given = takes[known].default
            if given is not inspect.Parameter.empty and given != param.default and not param.multiple:
                different[known] = (given, param.default)
    assert {one: pair for one, pair in different.items() if str(pair[0]) != str(pair[1])} == {}


def test_every_exception_is_still_one() -> None:
    flags = {name for command in COMMANDS_NOW.values() for param in command.params for name in names_of(param)}
    assert set(TERMINAL) <= flags
    assert {name for name, _ in OTHERWISE} <= set(COMMANDS_NOW)


def test_the_names_stay_functions_whatever_is_imported_first() -> None:

    assert all(inspect.isfunction(function_of(name)) for name in ("report", "demo", "doctor", "map", "judge-check"))


def test_a_path_with_its_options_is_read_as_read_reads_it(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"q": "Hi?", "good": "Yes.", "bad": "No."}\n{"q": "Who?", "good": "I.", "bad": "You."}\n', encoding="utf-8"
    )
    named: dict[str, Any] = {"prompt_field": "q", "chosen_field": "good", "rejected_field": "bad"}
    assert argilla_admap.score(rows, dry_run=True, store=tmp_path / "store.sqlite", **named)["completions"] == 4
    (prompt, *_) = argilla_admap.read(rows, **named).table().column("prompt").to_pylist()
    assert prompt == "Hi?"
    with pytest.raises(InputError, match="read already"):
        argilla_admap.score(argilla_admap.read(rows, **named), scorer="existing", prompt_field="q")
    with pytest.raises(TypeError, match="promt_field"):
        argilla_admap.read(rows, promt_field="q")
    with pytest.raises(InputError, match="max_csot"):
        argilla_admap.score(rows, max_csot=1, **named)


def test_from_a_file_to_a_report_in_three_calls(tmp_path: Path) -> None:
    pairs, _ = write_example(tmp_path)
    scored = argilla_admap.score(pairs, scorer="existing", output=tmp_path / "scored.parquet")
    assert scored.summary["unscored"] == 0
    made = argilla_admap.map(tmp_path / "scored.parquet", tmp_path / "map.parquet", thresholds="0.5,4")
    assert made.summary["thresholds"]["mean"] == 4
    dry = argilla_admap.report(tmp_path / "map.parquet", tmp_path / "map.html", dry_run=True)
    assert (dry.json(), (tmp_path / "map.html").exists()) == ({"records": 201, "output": None}, False)
    drawn = argilla_admap.report(made, tmp_path / "map.html").json()
    assert drawn["drawn"] == 201
    assert drawn["bytes"] == (tmp_path / "map.html").stat().st_size
    assert "label errors, estimated" in drawn["figures"]


def test_the_doctor_and_the_dry_demo_touch_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARGILLA_API_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    found = argilla_admap.doctor(store=tmp_path / "store.sqlite", data_dir=tmp_path / "server")
    assert {one.part for one in found} >= {"judge", "store", "server"}
    assert argilla_admap.demo(tmp_path / "demo", dry_run=True)["requests"] == 0
    assert not argilla_admap.server.status(tmp_path / "server").running
    assert list(tmp_path.iterdir()) == []
