"""The longer texts: each topic is there, what it names is there, and its commands are those of the command line."""

from __future__ import annotations

import re

import click
import pytest

import argilla_admap
from argilla_admap.cli import COMMANDS, cli
from argilla_admap.errors import InputError
from argilla_admap.formats.registry import FORMATS
from argilla_admap.topics import TOPICS


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_has_a_text_whose_commands_and_flags_are_there(name: str) -> None:
    text = argilla_admap.help(name)
    assert text.startswith("# ")
    context = click.Context(cli)
    for command in re.findall(r"\badmap ([a-z-]+)", text):
        assert command in COMMANDS, command
    found = [cli.get_command(context, one) for one in COMMANDS]
    known = {flag for command in found if command for param in command.params for flag in param.opts} | {"--debug"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known


def test_the_formats_are_told_from_the_formats_and_an_unknown_topic_names_those_that_are_there() -> None:
    text = argilla_admap.help("formats")
    assert all(f"- {one.name}: " in text for one in FORMATS)
    assert set(re.findall(r"^([a-z]+): ", argilla_admap.help(), re.MULTILINE)) == set(TOPICS)
    with pytest.raises(InputError, match="choose one of judges"):
        argilla_admap.help("judge")
