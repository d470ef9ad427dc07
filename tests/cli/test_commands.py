"""Every command: its help, its errors, its exit codes, and that stdout is data."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from argilla_admap.cli import COMMANDS, cli
from argilla_admap.cli.printing import table
from argilla_admap.errors import InputError

SUBCOMMANDS = [
    *(f"server {name}" for name in ("start", "stop", "status", "env", "backup", "restore")),
    *("reviewers add", "reviewers list"),
]


def admap(*words: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command as its user does."""
    line = [sys.executable, "-m", "argilla_admap", *map(str, words)]
    environment = {**os.environ, **(env or {})}
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("command", ["", *COMMANDS, *SUBCOMMANDS])
def test_help_ends_with_an_example_that_parses(command: str) -> None:
    done = admap(*command.split(), "--help")
    assert done.returncode == 0, done.stderr
    example = re.search(r"Example: (?:eval \"\$\()?admap ((?:.|\n)+?)(?:\)\")?\n\n", done.stdout)
    assert example, done.stdout
    words = shlex.split(example[1])
    assert words[: len(command.split())] == command.split()
    # The options of the example are options of the command.
    text = admap(*command.split(), "--help").stdout
    for word in words:
        if word.startswith("--") and command:
            assert word in text


def test_an_unknown_command_names_the_nearest() -> None:
    done = admap("scroe")
    assert done.returncode == 2
    assert "'score'" in done.stderr
    assert done.stdout == ""


def test_a_bad_line_names_file_line_value_and_what_to_do(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b"}] * 3 + [{"prompt": "p", "chosen": None, "rejected": "b"}]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = admap("score", "pairs.jsonl", "-o", "out.parquet", "--scorer", "existing", cwd=tmp_path)
    assert done.returncode == 2
    assert "pairs.jsonl:4" in done.stderr
    assert "'chosen' is null" in done.stderr
    assert "--on-error skip" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pairs.jsonl"], "nothing was written"


BAD = {
    "absent.jsonl": None,
    "empty.jsonl": b"",
    "binary.jsonl": b"\x00\xff\xfe\x80" * 50,
    "text.jsonl": b"hello\n",
    "cut.jsonl": b'{"prompt": "p", "chosen": "a", "reje',
    "array.jsonl": b"[1, 2]\n",
    "other.jsonl": b'{"name": "x"}\n',
    "cut.json": b'[{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prom',
    "cut.jsonl.gz": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01",
    "not.parquet": b"PAR1 but not really",
    "header.csv": b"prompt,chosen,rejected\n",
    "nan.jsonl": b'{"id": "1", "prompt": "p", "completions": [{"text": "a", "rating": NaN}, {"text": "b", "rating": 1}]}\n',
    "one.jsonl": b'{"id": "1", "prompt": "p", "completions": [{"text": "a", "rating": 1}]}\n',
    "latin.jsonl": b'{"prompt": "p", "chosen": "caf\xe9", "rejected": "b"}\n',
    "what.xyz": b"{}",
}


@pytest.mark.parametrize("name", BAD)
def test_input_that_cannot_be_read_ends_with_2_a_message_and_nothing_written(name: str, tmp_path: Path) -> None:
    content = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    before = sorted(p.name for p in tmp_path.iterdir())
    # A judge that answers nothing: had it been asked, the message would be another.
    env = {
        "OPENAI_API_KEY": "sk-not-a-key",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "XDG_DATA_HOME": str(tmp_path / "home"),
    }
    done = admap("score", name, "-o", "out.parquet", cwd=tmp_path, env=env)
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert "sk-not-a-key" not in done.stderr
    assert done.stdout == ""
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == before


@pytest.mark.parametrize(
    "words",
    [
        ["score", "pairs.jsonl"],
        ["score", "pairs.jsonl", "-o", "x.parquet", "--samples", "0"],
        ["score", "pairs.jsonl", "-o", "x.parquet", "--max-cost", "-1"],
        ["score", "pairs.jsonl", "-o", "x.parquet", "--scorer", "no-such"],
        ["score", "pairs.jsonl", "-o", "no/such/folder/x.parquet", "--scorer", "existing"],
        ["map", "pairs.jsonl"],
        ["map", "absent.parquet", "-o", "x.parquet"],
        ["push", "pairs.jsonl", "--dataset", "x"],
        ["push", "absent.parquet", "--dataset", "x"],
        ["run", "pairs.jsonl"],
    ],
    ids=" ".join,
)
def test_usage_errors_end_with_2(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    done = admap(*words, cwd=tmp_path, env={"XDG_DATA_HOME": str(tmp_path / "home"), "OPENAI_API_KEY": "k"})
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.parquet").exists()


def test_without_an_argilla_server_the_message_says_how_to_get_one(tmp_path: Path) -> None:
    env = {"ADMAP_SERVER_DIR": str(tmp_path / "no-server"), "ARGILLA_API_URL": "", "ARGILLA_API_KEY": ""}
    done = admap("queues", "anything", cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert "admap server start" in done.stderr
    assert "ARGILLA_API_URL" in done.stderr


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    done = admap("queues", "anything", env={"ARGILLA_API_URL": "http://127.0.0.1:9", "ARGILLA_API_KEY": "secret-key"})
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "secret-key" not in done.stderr + done.stdout


def test_the_module_is_the_command() -> None:
    assert admap("--version").stdout.startswith("admap, version ")


def test_json_is_one_object_on_stdout(tmp_path: Path) -> None:
    row = {
        "id": "1",
        "prompt": "p",
        "completions": [{"text": "a", "rating": 1, "scores": [4]}, {"text": "b", "rating": 0, "scores": [2]}],
    }
    (tmp_path / "plain.jsonl").write_text(json.dumps(row) + "\n")
    scored = admap("score", "plain.jsonl", "-o", "s.parquet", "--scorer", "existing", "--json", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    answer = json.loads(scored.stdout)
    counts = {"records", "completions", "scored", "unscored", "requests", "cached", "input_tokens", "output_tokens"}
    assert counts | {"cost_usd", "model", "output"} <= set(answer)
    assert answer["scored"] == 2
    mapped = admap("map", "s.parquet", "-o", "m.parquet", "--json", cwd=tmp_path)
    assert {"records", "mapped", "regions", "thresholds", "noise_rate", "flags", "output"} <= set(json.loads(mapped.stdout))


def test_some_unscored_ends_with_3(tmp_path: Path) -> None:
    row = {"id": "1", "prompt": "p", "completions": [{"text": "a", "rating": 1, "scores": [4]}, {"text": "b", "rating": 0}]}
    (tmp_path / "plain.jsonl").write_text(json.dumps(row) + "\n")
    done = admap("score", "plain.jsonl", "-o", "s.parquet", "--scorer", "existing", "--json", cwd=tmp_path)
    assert done.returncode == 3
    assert json.loads(done.stdout)["unscored"] == 1


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shlex.quote(sys.executable)} -m argilla_admap --help | head -c 1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["score in.jsonl", "map in.jsonl", "run in.jsonl --dataset d"])
def test_a_parquet_file_under_another_ending_is_refused_before_anything_is_done(command: str, tmp_path: Path) -> None:
    done = admap(*command.split(), "-o", "out.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert ".parquet" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["score", "map", "run --dataset d"])
def test_the_input_is_never_written_over(command: str, tmp_path: Path) -> None:
    content = pa.table({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"]})
    pq.write_table(content, tmp_path / "pairs.parquet")
    before = (tmp_path / "pairs.parquet").read_bytes()
    name, *rest = command.split()
    done = admap(name, "pairs.parquet", *rest, "-o", "pairs.parquet", cwd=tmp_path)
    assert done.returncode == 2
    assert "this is the input" in done.stderr
    assert (tmp_path / "pairs.parquet").read_bytes() == before


@pytest.mark.parametrize("changes", ["pairs.jsonl", "out.jsonl"])
def test_changes_never_write_over_the_original_or_the_output(changes: str, tmp_path: Path) -> None:
    from argilla_admap.review.pull.pull_options import PullOptions

    (tmp_path / "pairs.jsonl").write_text("{}\n")
    # Refused before Argilla is asked: no client is needed.
    with pytest.raises(InputError, match="`changes`"):
        PullOptions(output=str(tmp_path / "out.jsonl"), original=str(tmp_path / "pairs.jsonl"), changes=str(tmp_path / changes))
    assert (tmp_path / "pairs.jsonl").read_text() == "{}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_a_traceback_shows_no_key_and_keeps_the_exit_code(tmp_path: Path) -> None:
    """An address with a password in it, and a key, in the errors of the libraries below."""
    secret = {"ARGILLA_API_URL": "http://user:password-of-mine@127.0.0.1:9", "ARGILLA_API_KEY": "key-of-mine"}
    done = admap("queues", "anything", "--debug", env=secret)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "of-mine" not in done.stderr
    absent = admap("score", "absent.jsonl", "-o", tmp_path / "o.parquet", "--debug", cwd=tmp_path)
    assert absent.returncode == 2
    assert "Traceback" in absent.stderr
    assert absent.stderr.splitlines()[-1].startswith("admap: absent.jsonl: there is no such file")


def test_a_table_holds_nothing_that_speaks_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table(None, ["source"], [["bad\x1b]0;owned\x07\x1b[2J\nnext\u202e"], ["ordinary: é 漢"]])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "ordinary: é 漢" in shown
    assert len(shown.splitlines()) == 3


def test_a_shell_completes_commands_and_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words, place, expected in (
        ("admap pu", "1", {"push", "pull"}),
        ("admap push --adj", "2", {"--adjudicate", "--adjudicator"}),
    ):
        monkeypatch.setenv("_ADMAP_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", place)
        with pytest.raises(SystemExit):
            cli(prog_name="admap")
        assert {line.partition(",")[2] for line in capsys.readouterr().out.split()} == expected
