"""A file that cannot be read as it stands is told with a command that makes it readable: each is run here."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from argilla_admap.errors import InputError
from argilla_admap.formats.registry import read

ROWS = [{"prompt": f"Say {n}", "chosen": str(n), "rejected": "no"} for n in range(3)]
SHAPES = {
    "columns.json": {name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ROWS[0]},
    "split.json": {"columns": list(ROWS[0]), "index": [0, 1, 2], "data": [list(row.values()) for row in ROWS]},
    "viewer.json": {"features": [{"name": "prompt"}], "rows": [{"row_idx": n, "row": row} for n, row in enumerate(ROWS)]},
    "splits.json": {"train": ROWS[:2], "test": ROWS[2:]},
    "wrapped.json": {"version": 1, "data": ROWS},
    "by id.json": {f"id{n}": row for n, row in enumerate(ROWS)},
}


def repaired(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """What is read after the command of the message was run."""
    with pytest.raises(InputError) as caught:
        read(path).check()
    command = re.search(r"`([^`]* > (\S+|'[^']*'))`", str(caught.value))
    assert command, caught.value
    subprocess.run(command[1], shell=True, check=True, cwd=path.parent)  # our own message
    output = Path(command[2].strip("'"))
    return [(record.prompt, record.completions) for record in read(output).records()]


@pytest.mark.parametrize("name", SHAPES)
def test_rows_within_one_object_are_taken_out_by_the_commands_of_the_message(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(SHAPES[name]))
    assert repaired(tmp_path / name) == [(row["prompt"], (row["chosen"], row["rejected"])) for row in ROWS]


def test_windows_text_keeps_its_quotes_dashes_and_euro_signs(tmp_path: Path) -> None:
    text = "Sag „ja“ – schön, 5 €"
    (tmp_path / "x.csv").write_bytes(f'prompt,chosen,rejected\n"{text}","a","b"\n'.encode("windows-1252"))
    assert repaired(tmp_path / "x.csv") == [(text, ("a", "b"))]


def test_lines_that_end_as_on_old_macs_are_told_and_converted(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"prompt,chosen,rejected\rp,a,b\rq,c,d\r")
    assert repaired(tmp_path / "x.csv") == [("p", ("a", "b")), ("q", ("c", "d"))]


def test_spaces_in_a_header_are_told_and_taken_away(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('prompt, chosen, rejected\n"p, q", "a\nc", "b"\n')
    assert repaired(tmp_path / "x.csv") == [("p, q", ("a\nc", "b"))]
