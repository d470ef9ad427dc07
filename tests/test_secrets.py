"""Marked secrets in the environment are found nowhere after a full run and after what fails: not in files, outputs, logs,
tracebacks, the store, Argilla's records and settings, or the list of processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from argilla_admap.example_data import write_example
from tests.doubles.argilla_server import TestServer
from tests.doubles.judge_server import Judge

MARK = "mark3d"
KEY = f"sk-{MARK}-0123456789abcdef"
OTHERS = {
    "ARGILLA_PASSWORD": f"{MARK}-password-1",
    "HF_TOKEN": f"hf_{MARK}token",
    "OPENAI_ORG_ID": f"org-{MARK}",
    "DATABASE_PASSWORD": f"{MARK}-password-2",
}


def run(folder: Path, *words: object, **environment: str) -> tuple[int, str, set[str]]:
    """The exit code, all that was printed, and the command lines of the program and its children while it ran."""
    told = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), "XDG_CACHE_HOME": str(folder / "cache")}
    told |= {"TMPDIR": str(folder), **OTHERS, **environment}
    line = [sys.executable, "-m", "argilla_admap", *map(str, words)]
    lines: set[str] = set()
    with (folder / "printed").open("w+") as printed:
        program = subprocess.Popen(line, cwd=folder, env=told, stdout=printed, stderr=subprocess.STDOUT)
        while program.poll() is None:
            try:
                seen = psutil.Process(program.pid)
                lines |= {" ".join(one.cmdline()) for one in (seen, *seen.children(recursive=True))}
            except psutil.NoSuchProcess:
                continue
            try:
                program.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        printed.seek(0)
        return program.returncode, printed.read(), lines


def test_marked_secrets_are_found_nowhere(
    judge: Judge, argilla_environment: TestServer, workspace: str, tmp_path: Path, argilla_client: object
) -> None:
    judge.behave(key=KEY, models=[{"id": "m"}])
    address = judge.url.replace("//", f"//user:{MARK}-password-3@")
    argilla = {"ARGILLA_API_URL": argilla_environment.url, "ARGILLA_API_KEY": argilla_environment.api_key}
    example, _ = write_example(tmp_path / "example")
    (tmp_path / "pairs.jsonl").write_text("".join(example.read_text().splitlines(keepends=True)[:30]))
    whole = ("run", "pairs.jsonl", "--model", "m", "--dataset", f"{workspace}/marked", "-o", "pairs.map.parquet", "--debug")
    judge_and_key = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"http://u:{MARK}-pw@127.0.0.1:9/v1?key={MARK}"}
    queues = ("queues", f"{workspace}/marked", "--debug")
    attempts = [
        (0, whole, {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": judge.url, **argilla}),
        (0, ("report", "pairs.map.parquet", "-o", "map.html"), {}),
        (0, ("pull", f"{workspace}/marked", "-o", "pulled.jsonl", "--debug"), {"OPENAI_API_KEY": KEY, **argilla}),
        # And what fails: a wrong key of either, a password in an address, a judge that is not there, an address that is none.
        (1, (*whole, "--store", "fresh.sqlite"), {"OPENAI_API_KEY": f"{KEY}-wrong", "OPENAI_BASE_URL": address, **argilla}),
        (1, queues, {**argilla, "ARGILLA_API_KEY": f"{MARK}.argilla"}),
        (
            1,
            ("doctor",),
            {**judge_and_key, **argilla},
        ),
        (2, ("score", "pairs.jsonl", "-o", "x.parquet", "--debug", "--model", "m"), {"OPENAI_BASE_URL": f"{MARK}-no-address"}),
    ]
    for place, (code, words, environment) in enumerate(attempts):
        ended, printed, lines = run(tmp_path, *words, **environment)
        assert ended == code or code is None, (words, environment, printed)
        (tmp_path / f"printed-{place}").write_text(printed)
        for secret in (MARK, argilla_environment.api_key, argilla_environment.password):
            # What was typed as an address is repeated in the message: it is no secret place.
            if code != 2:
                assert secret not in printed, words
            assert not any(secret in line for line in lines)
    (tmp_path / f"printed-{len(attempts) - 1}").unlink()
    (tmp_path / "printed").unlink()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"map.html", "pulled.jsonl", "judgements.sqlite"} <= {path.name for path in files}
    files += [path for path in (argilla_environment.data_dir / "logs").rglob("*") if path.is_file()]
    files += [path for path in argilla_environment.data_dir.rglob("*.db*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        assert MARK.encode() not in content, path
        if path.suffix == ".log" or tmp_path in path.parents:
            assert argilla_environment.api_key.encode() not in content, path
    # What Argilla holds is compressed in its index; so ask it.
    client: Any = argilla_client
    (dataset,) = client.workspaces(workspace).datasets
    shown = client.http_client.get(f"/api/v1/datasets/{dataset.id}/records", params={"limit": 100}).text
    assert '"admap_' in shown
    assert MARK not in shown
