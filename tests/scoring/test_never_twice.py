"""What was paid for is never paid for again: after a kill, beside another process, for duplicates, for an edited record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from argilla_admap.errors import InputError
from argilla_admap.scoring.cache.locks import KeyLocks
from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.run import score
from tests.doubles.judge_server import Judge
from tests.scoring.makers import options, record, records, stream


def write_records(path: Path, n: int) -> Path:
    with path.open("w", encoding="utf-8") as lines:
        for one in records(n):
            completions = [{"text": text} for text in one.completions]
            lines.write(json.dumps({"id": one.id, "prompt": one.prompt, "completions": completions}) + "\n")
    return path


def start_admap(judge: Judge, folder: Path, source: Path, output: str, *more: str) -> subprocess.Popen[str]:
    words = ["score", str(source), "-o", str(folder / output), "--base-url", judge.url, "--store", str(folder / "s.sqlite")]
    command = [sys.executable, "-m", "argilla_admap", *words, "--json", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def test_a_second_run_asks_nothing(judge: Judge, tmp_path: Path) -> None:
    chosen = options(judge.url, tmp_path)
    first = score(stream(records(50)), chosen)
    again = score(stream(records(50)), chosen)
    assert (first.summary["requests"], first.summary["cached"]) == (100, 0)
    assert (again.summary["requests"], again.summary["cached"], again.summary["cost_usd"]) == (0, 100, 0)
    assert again.table().column("scores") == first.table().column("scores")
    assert judge.counts()["paid"] == 100


def test_an_edited_record_costs_its_own_calls(judge: Judge, tmp_path: Path) -> None:
    chosen = options(judge.url, tmp_path)
    rows = records(30)
    score(stream(rows), chosen)
    rows[7] = record("r7", rows[7].prompt, rows[7].completions[0], "Another answer")
    assert score(stream(rows), chosen).summary["requests"] == 1
    rows[7] = record("r7", "Another question", *rows[7].completions)
    assert score(stream(rows), chosen).summary["requests"] == 2


def test_duplicates_share_one_call(judge: Judge, tmp_path: Path) -> None:
    judge.behave(latency=0.05)
    rows = [record(f"r{i}", "The same question", "The same answer", "Another answer") for i in range(600)]
    summary = score(stream(rows), options(judge.url, tmp_path)).summary
    assert (summary["scored"], summary["requests"]) == (1200, 2)
    assert judge.counts()["twice"] == 0


def test_a_kill_loses_at_most_what_was_in_flight(judge: Judge, tmp_path: Path) -> None:
    judge.behave(latency=0.05)
    source = write_records(tmp_path / "in.jsonl", 1000)
    for paid in (300, 900):
        running = start_admap(judge, tmp_path, source, "out.parquet", "--concurrency", "16")
        while judge.counts()["paid"] < paid:
            assert running.poll() is None, running.communicate()
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert not (tmp_path / "out.parquet").exists()
    last = start_admap(judge, tmp_path, source, "out.parquet", "--concurrency", "16")
    answer = json.loads(last.communicate(timeout=120)[0])
    counts = judge.counts()
    assert (last.returncode, answer["scored"], counts["distinct"]) == (0, 2000, 2000)
    assert counts["twice"] <= 2 * 16


def test_two_processes_on_one_store_share_the_work(judge: Judge, tmp_path: Path) -> None:
    judge.behave(latency=0.05)
    source = write_records(tmp_path / "in.jsonl", 500)
    pair = [start_admap(judge, tmp_path, source, f"out{n}.parquet", "--concurrency", "20") for n in range(2)]
    answers = [json.loads(one.communicate(timeout=120)[0]) for one in pair]
    counts = judge.counts()
    assert [one.returncode for one in pair] == [0, 0]
    assert [answer["scored"] for answer in answers] == [1000, 1000]
    assert (counts["paid"], counts["twice"]) == (1000, 0)
    assert sum(answer["requests"] for answer in answers) == 1000
    assert min(answer["requests"] for answer in answers) > 0


def test_runs_that_want_three_and_four_samples_pay_four(judge: Judge, tmp_path: Path) -> None:
    judge.behave(latency=0.02, noise=True)
    bought: list[int] = []

    def run(samples: int) -> None:
        wanted = options(judge.url, tmp_path, method="sample", samples=samples, concurrency=8)
        bought.append(score(stream(records(60)), wanted).summary["output_tokens"])

    threads = [threading.Thread(target=run, args=(samples,)) for samples in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # A token each. Samples of one completion that both want at the same moment are locked by the first of them only.
    assert 480 <= sum(bought) <= 1.02 * 480


def test_a_dead_process_holds_no_lock(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from argilla_admap.scoring.cache.locks import KeyLocks\n"
        "locks = KeyLocks(Path(sys.argv[1])); print(locks.acquire(b'k' * 16), flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline().strip() == "True"
    mine = KeyLocks(tmp_path / "s")
    assert not mine.acquire(b"k" * 16)
    assert mine.acquire(b"other key 123456")
    other.kill()
    other.wait()
    assert mine.acquire(b"k" * 16)


def test_two_runs_in_one_process_are_kept_apart(tmp_path: Path) -> None:
    first, second = KeyLocks(tmp_path / "s"), KeyLocks(tmp_path / "s")
    assert first.acquire(b"k" * 16)
    assert not second.acquire(b"k" * 16)
    first.release(b"k" * 16)
    assert second.acquire(b"k" * 16)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_keeps_what_was_answered_and_says_how_to_go_on(judge: Judge, tmp_path: Path, stop: signal.Signals) -> None:
    judge.behave(latency=0.1)
    source = write_records(tmp_path / "in.jsonl", 500)
    running = start_admap(judge, tmp_path, source, "out.parquet", "--concurrency", "8")
    while judge.counts()["paid"] < 60:
        time.sleep(0.02)
    running.send_signal(stop)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "run the same" in said
    assert "Traceback" not in said
    paid = judge.counts()["paid"]
    last = start_admap(judge, tmp_path, source, "out.parquet", "--concurrency", "8")
    assert json.loads(last.communicate(timeout=120)[0])["requests"] == 1000 - paid
    assert judge.counts()["twice"] == 0


def test_the_store_is_for_its_owner_only(judge: Judge, tmp_path: Path) -> None:
    score(stream(records(3)), options(judge.url, tmp_path))
    assert (tmp_path / "store.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be read as one" * 40, b"SQLite format 3\0" + b"x" * 4000]
)
def test_a_damaged_store_is_named_and_nothing_is_asked(judge: Judge, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store.sqlite").write_bytes(content)
    with pytest.raises(InputError, match=r"store\.sqlite.*`store`"):
        score(stream(records(3)), options(judge.url, tmp_path))
    assert judge.counts()["requests"] == 0


def test_a_store_of_another_version_is_not_touched(judge: Judge, tmp_path: Path) -> None:
    Store(tmp_path / "store.sqlite").close()
    import sqlite3

    with sqlite3.connect(tmp_path / "store.sqlite") as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(InputError, match="another version"):
        score(stream(records(3)), options(judge.url, tmp_path))


def test_an_answer_counts_when_it_is_written(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "s"), Store(tmp_path / "s")
    told: list[bool] = []
    known = CacheEntry(b"k" * 16, 4.5, 0.25, 0.99, "why", 300, 1, 0.1)
    before = other.version()
    store.put(known, lambda: told.append(True))
    assert (told, other.look_up([known.key])) == ([], {})
    assert store.flush()
    assert (told, other.look_up([known.key, b"x" * 16])) == ([True], {known.key: known})
    assert other.version() != before
    store.close()
    other.close()
