"""The likeliest mistakes with a server: the exit code, what the message names and what to do, and nothing on it is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from argilla_admap.cli import main
from tests.doubles.argilla_server import TestServer

PLAIN = (
    '{"id": "1", "prompt": "p", "completions": [{"text": "a", "rating": 1, "scores": [4]}, {"text": "b", "rating": 0, '
    '"scores": [2]}]}\n'
)


def test_each_names_what_is_wrong_and_what_to_do(
    argilla_environment: TestServer,
    argilla_client: Any,
    workspace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.jsonl").write_text(PLAIN)
    url = argilla_environment.url

    def said(line: str, code: int, **environment: str) -> str:
        with monkeypatch.context() as here:
            for name, value in environment.items():
                here.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main(line.replace("WS", workspace).split())
        err = capsys.readouterr().err
        assert ended.value.code == code, f"{line}: {err}"
        assert "Traceback" not in err
        return " ".join(err.split())

    said("run plain.jsonl --scorer existing --dataset WS/there -o m.parquet", 0)
    for line, code, words in (
        ("queues WS/absent", 2, (f"{workspace}/absent", "there")),
        ("queues no-such-workspace/there", 2, ("no-such-workspace", workspace)),
        ("pull WS/absent -o out.jsonl", 2, (f"{workspace}/absent",)),
        ("status WS/absent", 2, (f"{workspace}/absent",)),
        ("queues WS/there --where mean<<2", 2, ("--where", "mean<<2")),
        ("queues WS/there --where quality<2", 2, ("--where", "quality", "mean")),
        ("queues WS/there --sort p_worng:desc", 2, ("--sort", "p_worng", "p_wrong")),
        ("pull WS/there -o absent/out.jsonl", 2, ("absent",)),
        ("pull WS/there -o out.docx", 2, ("out.docx",)),
        ("pull WS/there -o out.jsonl --original absent.jsonl", 2, ("absent.jsonl",)),
        ("push m.parquet --dataset no-such-workspace/new", 2, ("no-such-workspace",)),
    ):
        message = said(line, code)
        for word in words:
            assert word in message, (line, message)
    assert "ARGILLA_API_KEY" in said("queues WS/there", 1, ARGILLA_API_KEY="argilla.apikey.wrong")
    assert "/argilla" in said("queues WS/there", 1, ARGILLA_API_URL=f"{url}/argilla")
    names = [dataset.name for dataset in argilla_client.workspaces(workspace).datasets]
    assert names == ["there"]
    assert not list(tmp_path.glob("out.*"))
