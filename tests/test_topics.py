"""The longer texts: each topic is there, what it names is there, and the command line takes each of its commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

import argilla_admap
from argilla_admap.cli import COMMANDS, cli, main
from argilla_admap.errors import InputError
from argilla_admap.example_data import write_example
from argilla_admap.formats.registry import FORMATS
from argilla_admap.scoring.scorer import scorer_module
from argilla_admap.topics import TOPICS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "examples").glob("*.md")), *sorted((ROOT / "docker").glob("*.md"))]
#: Words that stand for what a reader puts there, by what they stand for here.
STANDS_FOR = {"$SLURM_ARRAY_TASK_ID/8": "1/8"}


def texts() -> dict[str, str]:
    pages = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
    return {name: argilla_admap.help(name) for name in TOPICS} | pages


def commands_of(text: str) -> list[str]:
    """The whole commands of a text: of its blocks, and those in backticks that are more than a name."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines() + re.findall(r"^ {4}(.+)$", text, re.MULTILINE)
    return [line.strip() for line in lines if re.match(r"\s*(\.venv/bin/)?admap ", line)]


def taken(line: str) -> None:
    """Parses the command as the command line does, and runs nothing. Raises click.UsageError."""
    for word, stands_for in STANDS_FOR.items():
        line = line.replace(word, stands_for)
    words = shlex.split(line, comments=True)[1:]
    context = click.Context(cli, info_name="admap")
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command, context = found, click.Context(found, parent=context, info_name=name)
    command.make_context(command.name, words, parent=context.parent)


@pytest.mark.parametrize("name", texts())
def test_each_command_of_a_text_is_one_that_is_taken(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("map.parquet", "scored.parquet", "changes.jsonl", "corrected.jsonl", "preferences.jsonl", "my_scorer.py"):
        (tmp_path / file).touch()
    for line in commands_of(texts()[name]):
        taken(line)


def test_a_command_that_is_wrong_would_be_found() -> None:
    found = commands_of("    admap queues my-data --were x\n\n```bash\nadmap score a -o b.parquet \\\n  --samples many\n```\n")
    assert len(found) == 2
    for line in found:
        with pytest.raises(click.UsageError):
            taken(line)
    assert sum(len(commands_of(text)) for text in texts().values()) > 45


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_has_a_text_whose_commands_and_flags_are_there(name: str) -> None:
    text = argilla_admap.help(name)
    assert text.startswith("# ")
    context = click.Context(cli)
    for command in re.findall(r"\badmap ([a-z-]+)", text):
        assert command in COMMANDS, command
    for topic in re.findall(r"`admap help ([a-z-]+)", text):
        assert topic in TOPICS
    for path in re.findall(r"\b(?:examples|docker)/[\w.]*", text):
        assert (ROOT / path).exists(), path
    found = [cli.get_command(context, one) for one in COMMANDS]
    # Programs of others have flags of their own.
    ours = re.sub(
        r"`(?:vllm|llama-server|text-embeddings-router|python) [^`]*`|#SBATCH .*|ray start .*|ray job submit .* -- ", "", text
    )
    known = {flag for command in found if command for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    for scorer in ("reference", "reward"):
        known |= {f"--{option.name.replace('_', '-')}" for option in scorer_module(scorer).OPTIONS}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours)) <= known | {"--debug", "--help"}


def test_the_formats_are_told_from_the_formats_and_an_unknown_topic_names_those_that_are_there() -> None:
    text = argilla_admap.help("formats")
    assert all(f"- {one.name}: " in text for one in FORMATS)
    assert set(re.findall(r"^([a-z-]+): ", argilla_admap.help(), re.MULTILINE)) == set(TOPICS)
    with pytest.raises(InputError, match="choose one of review"):
        argilla_admap.help("judge")


def test_the_readme_names_each_topic() -> None:
    (line,) = re.findall(
        r"^\| `admap help TOPIC` \| longer texts: (.+) \|$", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE
    )
    assert line.split(", ") == list(TOPICS)


def test_commands_that_need_no_server_and_no_judge_run_as_they_stand_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    write_example(tmp_path)
    found = {line.partition("#")[0].strip() for text in texts().values() for line in commands_of(text)}
    for line in (
        "admap score preferences.jsonl -o scored.parquet --dry-run",
        "admap score preferences.jsonl -o scored.parquet --scorer existing",
        "admap map scored.parquet -o map.parquet",
        "admap selftest map.parquet",
    ):
        assert line in found or "existing" in line, line
        with pytest.raises(SystemExit) as ended:
            main(line.split()[1:])
        assert ended.value.code == 0, (line, capsys.readouterr().err)
    # And what the topic on Python shows, as a notebook's cells.
    (cell,) = re.findall(r"((?:^ {4}.*\n)+)", argilla_admap.help("python").partition("`rg.Dataset`")[2], re.MULTILINE)
    names: dict[str, object] = {"admap": argilla_admap}
    exec(re.sub("^ {4}", "", cell, flags=re.MULTILINE), names)
    assert len(names["data_map"]) == 201  # type: ignore[arg-type]


def test_every_request_to_argilla_and_every_patch_of_it_is_in_the_list_of_what_is_relied_on() -> None:
    text, room = argilla_admap.help("argilla"), Path(argilla_admap.__file__).parent
    listed = set(re.findall(r"\b(?:GET|POST|PUT|PATCH|DELETE) /api/v1/[^ ,\n]+", text))
    made = set()
    for path in room.joinpath("review").rglob("*.py"):
        code = path.read_text(encoding="utf-8").replace('f"{base}/', 'f"/api/v1/datasets/{id}/')
        for how, place in re.findall(r'(request\("[A-Z]+", |_items\(|_http\.post\()f?"(/api/v1/[^"?]+)"', code):
            verb = how.split('"')[1] if how.startswith("request") else "POST" if "post" in how else "GET"
            made.add(f"{verb} {re.sub(r'{[^}]*}', '{}', re.sub(r'quote[(]|[)]', '', place))}")
    assert len(made) > 30
    assert made == listed
    entry = room.joinpath("server", "server_entry.py").read_text(encoding="utf-8")
    replaced = set(re.findall(r"^    (?!settings)\w+(?:\.\w+)*\.(\w+)(?:, \w+\.(\w+))? = ", entry, re.MULTILINE))
    for name in (name for names in replaced for name in names if name):
        assert name in text, name
