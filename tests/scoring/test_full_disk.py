"""A disk that fills up in the middle of a run: it ends with words that help, and what was paid for and written stays."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.errors import ScoringError
from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.run import score
from tests.doubles.batch_server import Batches
from tests.doubles.judge_server import Judge
from tests.scoring.makers import options, records, stream

# No file of the program may grow beyond so many bytes: to the program the same as a full disk (a write that fails).
LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); del sys.argv[1]\n"
    "from argilla_admap.cli import main; main()"
)


def _run(most_bytes: int, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(most_bytes), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=120, check=False)


def _write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_store_that_cannot_grow_ends_the_run_and_loses_nothing_that_it_took_in(judge: Judge, tmp_path: Path) -> None:
    rows = [{"id": r.id, "prompt": r.prompt, "completions": [{"text": t} for t in r.completions]} for r in records(300)]
    source = _write(tmp_path / "in.jsonl", rows)
    output, store = tmp_path / "out.parquet", tmp_path / "s.sqlite"
    words = ("score", source, "-o", output, "--base-url", judge.url, "--store", store, "--concurrency", 16, "--json")
    full = _run(250_000, *words)
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    assert "make room on that disk" in full.stderr
    assert "Unclosed" not in full.stderr
    assert not output.exists()
    assert 16 < judge.counts()["paid"] < 600

    again = _run(1 << 30, *words)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["scored"] == 600
    assert (judge.counts()["distinct"], judge.counts()["twice"] <= 16) == (600, True)


def test_answers_under_way_are_written_into_the_room_that_was_held_for_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.hold_room()
    held, pages = store._room, store._db.execute("PRAGMA page_count").fetchone()[0]
    assert held is not None
    assert os.fstat(held.fileno()).st_blocks * 512 >= 4 << 20
    assert [file.name for file in tmp_path.iterdir() if not file.name.startswith("s.sqlite")] == []
    store._db.execute(f"PRAGMA max_page_count={pages}")

    class Room:
        """Whose end makes room."""

        def close(self) -> None:
            assert held is not None
            held.close()
            store._db.execute("PRAGMA max_page_count=100000")

    store._room = Room()  # type: ignore[assignment]
    written: list[int] = []
    for number in range(400):
        store.put(CacheEntry(number.to_bytes(16, "big"), 1.0, None, None, None, 1, 1, None), lambda: written.append(1))
    with pytest.raises(ScoringError, match="full") as caught:
        store.flush()
    assert "make room on that disk" in caught.value.hint
    store.put(CacheEntry(b"late", 1.0, None, None, None, 1, 1, None))
    store.close()
    assert len(written) == 400
    assert Store(tmp_path / "s.sqlite").count() == 401


def test_on_a_full_disk_nothing_is_asked(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _start: int, size: int) -> None:
        if size > 300_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    few = score(stream(records(3)), options(judge.url, tmp_path))
    assert (few.summary["scored"], judge.counts()["paid"]) == (6, 6)

    def fuller(_descriptor: int, _start: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fuller)
    with pytest.raises(ScoringError, match="disk is full: nothing is asked"):
        score(stream(records(20)), options(judge.url, tmp_path))
    assert judge.counts()["paid"] == 6
    # What needs no answer needs no room.
    assert score(stream(records(3)), options(judge.url, tmp_path)).summary["cached"] == 6


def test_an_output_that_cannot_grow_is_absent_and_not_half(tmp_path: Path) -> None:
    noise = random.Random(0)
    rows: list[Any] = [
        {"id": f"r{n}", "prompt": "p", "completions": [{"text": noise.randbytes(4000).hex(), "scores": [3]} for _ in range(2)]}
        for n in range(300)
    ]
    source = _write(tmp_path / "in.jsonl", rows)
    output = tmp_path / "out.parquet"
    full = _run(400_000, "score", source, "-o", output, "--scorer", "existing")
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    assert str(output) in full.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_file_for_a_batch_that_cannot_grow_ends_the_run_with_words(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    rows = [{"id": r.id, "prompt": r.prompt, "completions": [{"text": t} for t in r.completions]} for r in records(300)]
    source = _write(tmp_path / "in.jsonl", rows)
    words = ("score", source, "-o", tmp_path / "out.parquet", "--base-url", batches.url, "--store", tmp_path / "s.sqlite")
    full = _run(300_000, *words, "--model", "gpt-4o", "--batch", "--method", "logprobs")
    assert (full.returncode, "Traceback" in full.stderr) == (1, False)
    assert "make room on that disk, or name another --store" in full.stderr
    assert not batches.paid
