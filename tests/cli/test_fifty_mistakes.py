"""The likeliest mistakes, each as it is typed: the exit code, what the message names, and that nothing is lost or written.

Others have tests beside what they are about: rows that cannot be read in ``formats/test_reading.py``, answers of judges in
``scoring/test_odd_judges.py``, full disks in ``scoring/test_full_disk.py`` and ``test_commands.py``.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.cli import main

PAIRS = [{"prompt": f"p{n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(3)]
PLAIN = [
    {"id": str(n), "prompt": "p", "completions": [{"text": f"a{n}", "rating": 1, "scores": [4]}, {"text": "b", "rating": 0}]}
    for n in range(3)
]


def lines(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


FILES = {
    "pairs.jsonl": lines(PAIRS),
    "plain.jsonl": lines(PLAIN),
    "semicolon.csv": b"question;good;bad\np;a;b\n",
    "excel.csv": "prompt,chosen,rejected\np,caf\xe9,b\n".encode("latin-1"),
    "spaces.csv": b"prompt, chosen, rejected\np,a,b\n",
    "odd.csv": b"prompt,chosen,rejected\np,a\n",
    "empty.jsonl": b"",
    "sheet.xlsx": b"PK\x03\x04",
    "page.jsonl": b"<!DOCTYPE html><html>Sign in</html>\n",
    "packed.jsonl": gzip.compress(lines(PAIRS)),
    "utf16.jsonl": lines(PAIRS).decode().encode("utf-16"),
    "single.jsonl": lines([{"prompt": "p", "completion": "a"}]),
    "one.jsonl": lines([{"prompt": "p", "completions": [{"text": "a"}]}]),
    "null.jsonl": lines([*PAIRS, {"prompt": "p", "chosen": None, "rejected": "b"}]),
    "table.json": json.dumps({"data": PAIRS, "n": 3}).encode(),
    "rubric.md": b"",
}
SCORE = "score pairs.jsonl -o out.parquet"
EXISTING = "-o out.parquet --scorer existing"
ADDRESS = {"ARGILLA_API_URL": "http://127.0.0.1:9", "ARGILLA_API_KEY": "some-key"}

#: What is typed, the variables that are set, the exit code, and words of the message.
MISTAKES: list[tuple[str, dict[str, str], int, tuple[str, ...]]] = [
    # The line.
    ("scroe pairs.jsonl", {}, 2, ("scroe", "Did you mean 'score'")),
    ("score", {}, 2, ("Missing argument 'INPUT'", "admap score")),
    ("score pairs.jsonl", {}, 2, ("-o SCORED.parquet", "--dry-run")),
    ("score pairs.jsonl -o out.parquet --modle gpt-4o", {}, 2, ("--modle", "--model")),
    ("push map.parquet", {}, 2, ("--dataset",)),
    ("score pairs.jsonl -o out.csv --scorer existing", {}, 2, ("out.csv", ".parquet")),
    ("score pairs.jsonl -o absent/out.parquet --scorer existing", {}, 2, ("absent/out.parquet", "folder")),
    (f"{SCORE} --limit 0", {}, 2, ("--limit", "0")),
    (f"{SCORE} --samples many", {}, 2, ("--samples", "many")),
    (f"{SCORE} --max-cost=-1", {}, 2, ("--max-cost", "-1")),
    (f"{SCORE} --scorer judges", {}, 2, ("--scorer", "judges", "judge")),
    (f"{SCORE} --rubric absent.md", {"OPENAI_API_KEY": "k"}, 2, ("--rubric", "absent.md")),
    (f"{SCORE} --rubric rubric.md", {"OPENAI_API_KEY": "k"}, 2, ("rubric.md", "empty")),
    (f"{SCORE} --method probabilities", {}, 2, ("--method", "logprobs")),
    (f"{SCORE} --format docx", {}, 2, ("--format", "docx", "trl")),
    (f"{SCORE} --split train", {}, 2, ("--split", "pairs.jsonl")),
    (f"{SCORE} --on-error ignore", {}, 2, ("--on-error", "skip")),
    # The file.
    (f"score absent.jsonl {EXISTING}", {}, 2, ("absent.jsonl", "hf:ORG/NAME")),
    (f"score empty.jsonl {EXISTING}", {}, 2, ("empty.jsonl", "empty")),
    (f"score sheet.xlsx {EXISTING}", {}, 2, ("sheet.xlsx", ".csv")),
    (f"score semicolon.csv {EXISTING} --prompt-field prompt", {}, 2, ("--completion-field", "good, question")),
    (f"score excel.csv {EXISTING}", {}, 2, ("excel.csv", "iconv -f windows-1252 -t utf-8 < ")),
    (f"score spaces.csv {EXISTING}", {}, 2, ("spaces.csv:1", "python3 -c")),
    (f"score odd.csv {EXISTING}", {}, 2, ("odd.csv: row 1", "2 cells under a header of 3")),
    (f"score page.jsonl {EXISTING}", {}, 2, ("page.jsonl:1", "not JSON", "--on-error skip")),
    (f"score packed.jsonl {EXISTING}", {}, 2, ("packed.jsonl", "add .gz")),
    (f"score utf16.jsonl {EXISTING}", {}, 2, ("utf16.jsonl", "iconv -f utf-16")),
    (f"score single.jsonl {EXISTING}", {}, 2, ("single.jsonl", "completion: text", "--completion-field")),
    (f"score one.jsonl {EXISTING}", {}, 2, ("one.jsonl:1", "two or more")),
    (f"score null.jsonl {EXISTING}", {}, 2, ("null.jsonl:4", "'chosen' is null", "--on-error skip")),
    (f"score table.json {EXISTING}", {}, 2, ("table.json", "jq -c '.[\"data\"][]'")),
    (f"score pairs.jsonl {EXISTING} --prompt-field question", {}, 2, ("--prompt-field", "question")),
    (f"score pairs.jsonl {EXISTING} --chosen-field winner --rejected-field bad", {}, 2, ("winner", "chosen")),
    (f"score pairs.jsonl {EXISTING}", {}, 3, ("6",)),
    ("score plain.jsonl -o plain.jsonl --scorer existing", {}, 2, ("plain.jsonl",)),
    ("map pairs.jsonl -o out.parquet", {}, 0, ("Next: score the completions (`admap score`)",)),
    ("map absent.parquet -o out.parquet", {}, 2, ("absent.parquet",)),
    ("push pairs.jsonl --dataset d", {}, 2, ("pairs.jsonl", "admap map")),
    ("report pairs.jsonl -o out.html", {}, 2, ("pairs.jsonl", "admap map")),
    ("select pairs.jsonl -o out.jsonl", {}, 2, ("pairs.jsonl", "admap map")),
    ("compare pairs.jsonl plain.jsonl", {}, 2, ("pairs.jsonl", "admap map")),
    # The judge.
    (SCORE, {}, 2, ("OPENAI_API_KEY", "--base-url", "--scorer existing")),
    (f"{SCORE} --base-url localhost:8000/v1", {}, 2, ("localhost:8000/v1", "--base-url", "http://127.0.0.1:8000/v1")),
    (f"{SCORE} --model m --price free", {"OPENAI_API_KEY": "k"}, 2, ("--price", "free")),
    # Argilla, without a server.
    ("queues anything", {}, 1, ("admap server start", "ARGILLA_API_URL")),
    ("queues anything", {"ARGILLA_API_URL": "http://127.0.0.1:9"}, 1, ("ARGILLA_API_KEY",)),
    ("queues anything", {**ADDRESS, "ARGILLA_API_URL": "localhost:6900"}, 2, ("localhost:6900", "http://")),
    ("pull d", ADDRESS, 2, ("-o",)),
    ("server start --port 99999999", {}, 2, ("--port", "99999999")),
]


@pytest.mark.parametrize(
    ("line", "environment", "code", "words"), MISTAKES, ids=lambda one: one if isinstance(one, str) else ""
)
def test_the_message_names_what_is_wrong_and_what_to_do_and_nothing_is_lost(
    line: str,
    environment: dict[str, str],
    code: int,
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ARGILLA_API_URL", "ARGILLA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ADMAP_SERVER_DIR", str(tmp_path / "home" / "server"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    said = capsys.readouterr().err
    assert ended.value.code == code, said
    for word in words:
        assert word in " ".join(said.split()) or word in said, said
    assert "Traceback" not in said
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name in FILES} == FILES
    assert {path.name for path in tmp_path.iterdir()} - FILES.keys() <= (
        {"home", "out.parquet"} if code in (0, 3) else {"home"}
    )
