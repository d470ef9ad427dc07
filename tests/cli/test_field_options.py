"""The options that name fields, and what a command says of the data before it spends anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from argilla_admap.cli import cli
from argilla_admap.errors import InputError

ROWS = [{"place": "Here", "question": f"q{n}", "one": "x", "two": "y", "winner": n % 2, "why": "so"} for n in range(4)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def score(data: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["score", str(data), "--dry-run", "--scorer", "existing", *words])


TEXTS = ("--completion-field", "one", "--completion-field", "two")


def test_a_verdict_its_values_and_a_prompt_of_two_fields_are_given_by_hand(data: Path) -> None:
    done = score(data, *TEXTS, "--prompt-field", "place", "--prompt-field", "question", "--verdict-field", "winner",
                 "--verdict-values", "a=0,b=1")  # fmt: skip
    assert done.exit_code == 0
    assert "0 is taken as: the first is better, 1 is taken as: the second is better" in done.stderr
    assert "Not read: 'why' (4 rows)" in done.stderr
    assert "4 records, 4 with a label" in done.stderr
    assert "The first as it is read: the prompt 'Here\\n\\nq0'\n  1: 'x'\n  0: 'y'" in done.stderr


@pytest.mark.parametrize(
    "flag", ["--chosen-field", "--rejected-field", "--verdict-field", "--id-field", "--source-field", "--annotator-field"]
)
def test_an_option_with_one_value_says_so_when_it_is_given_twice(data: Path, flag: str) -> None:
    done = score(data, flag, "one", flag, "two")
    assert done.exit_code == 2
    assert f"'{flag}': takes one value, and was given 2: one, two" in done.stderr


@pytest.mark.parametrize("values", ["0", "first=0", "a=", "a=0,first=1"])
def test_values_without_a_meaning_are_refused(data: Path, values: str) -> None:
    done = score(data, *TEXTS, "--verdict-field", "winner", "--verdict-values", values)
    assert done.exit_code == 2
    assert "does not say what values mean" in done.stderr


def test_a_value_may_hold_a_comma(data: Path) -> None:
    data.write_text(json.dumps({**ROWS[0], "winner": "the first, clearly"}) + "\n")
    done = score(data, *TEXTS, "--verdict-field", "winner", "--verdict-values", "a=the first, clearly,b=the other")
    assert "1 record, 1 with a label" in done.stderr


def test_numbers_that_could_mean_the_opposite_are_asked_for(data: Path) -> None:
    data.write_text("".join(json.dumps({**row, "winner": 0.2 + n / 9}) + "\n" for n, row in enumerate(ROWS)))
    done = score(data, *TEXTS, "--verdict-field", "winner")
    assert isinstance(done.exception, InputError)
    assert "say what they mean with `verdict_values`" in done.exception.hint
