"""Below the command line a parameter has its Python name; the command line shows the flag."""

from __future__ import annotations

import pickle
from typing import Any

import click

from argilla_admap.cli import cli
from argilla_admap.cli.flags import error_words, with_flags
from argilla_admap.errors import InputError


def _context(name: str) -> click.Context:
    parent = click.Context(cli)
    command = cli.get_command(parent, name)
    assert command is not None
    return click.Context(command, parent=parent)


def test_a_script_reads_python_names_and_the_command_line_flags() -> None:
    error = InputError("-1 is not an amount", option="max_cost", hint="give 0 or more, or leave `max_cost` out")
    assert str(error) == "`max_cost`: -1 is not an amount; give 0 or more, or leave `max_cost` out"
    assert error_words(error, _context("score")) == ("--max-cost: -1 is not an amount; give 0 or more, or leave --max-cost out")


def test_a_flag_that_the_command_does_not_have_is_not_advised() -> None:
    assert with_flags("see `max_cost` and `stratify`", _context("map")) == "see `max_cost` and --stratify"


def test_fields_of_the_data_class_are_flags_too() -> None:
    assert with_flags("name it with `rating_field` or `models`", _context("score")) == "name it with --rating-field or --model"


def test_an_error_keeps_hint_and_option_across_processes() -> None:
    copy: Any = pickle.loads(pickle.dumps(InputError("bad", option="limit", hint="give more")))
    assert (copy.message, copy.option, copy.hint) == ("bad", "limit", "give more")
