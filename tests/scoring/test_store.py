"""The judgement store: what was answered is found, in whatever order it is asked for."""

from __future__ import annotations

import random
import sqlite3
import threading
from pathlib import Path

import pytest

from argilla_admap.errors import InputError
from argilla_admap.scoring.cache.store import CacheEntry, Store

ROWS = 6000


def _key(number: int) -> bytes:
    return random.Random(number).randbytes(16)


def _entry(number: int) -> CacheEntry:
    return CacheEntry(_key(number), number % 5 + 1.0, 0.25, 0.9, "words" if number % 7 == 0 else None, 300, 1, 0.001)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with many answers."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    store = Store(path)
    swapped = random.Random(0)
    for number in sorted(range(ROWS), key=lambda n: n + swapped.uniform(0, 400)):
        store.put(_entry(number))
    store.flush()
    store.close()
    return path


def test_what_was_answered_is_found_in_any_order_and_chunk(filled: Path) -> None:
    numbers = [n for n in range(0, 2 * ROWS, 2) for _ in range(2)]
    random.Random(1).shuffle(numbers)
    store = Store(filled)
    assert store.look_up([_key(n) for n in numbers]) == {_key(n): _entry(n) for n in numbers if n < ROWS}
    store.close()


def test_answers_of_the_run_itself_and_of_another_process_are_found(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "s"), Store(tmp_path / "s")
    for start in range(0, 2000, 200):
        keys = [_key(n) for n in range(start, start + 200)]
        assert store.look_up(keys) == {}
        for n in range(start, start + 200):
            (store if n % 2 else other).put(_entry(n))
        store.flush()
        other.flush()
        assert len(store.look_up(keys)) == len(other.look_up(keys)) == 200
    store.close()
    other.close()


def test_a_store_of_the_first_version_is_taken_over_by_whoever_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE judgements (key BLOB PRIMARY KEY, score REAL, variance REAL, mass REAL, text, input INTEGER, "
            "output INTEGER, cost REAL) WITHOUT ROWID; CREATE TABLE endpoints (name TEXT PRIMARY KEY, facts TEXT NOT NULL);"
            "INSERT INTO endpoints VALUES ('http://there gpt', '{\"logprobs\":\"full\"}'); PRAGMA user_version=1;"
        )
        old.executemany("INSERT INTO judgements VALUES (?,?,?,?,?,?,?,?)", [_entry(n) for n in range(3000)])
    old.close()
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(Store(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for store in opened:
        assert store.look_up([_key(n) for n in range(3000)]) == {_key(n): _entry(n) for n in range(3000)}
        assert store.endpoint("http://there gpt") == {"logprobs": "full"}
        store.close()


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "later.sqlite"
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version=3")
    later.close()
    with pytest.raises(InputError, match=r"another version \(3\)"):
        Store(path)
    with sqlite3.connect(path) as later:
        assert later.execute("SELECT name FROM sqlite_master").fetchall() == []
        assert later.execute("PRAGMA user_version").fetchone() == (3,)
    later.close()


def test_a_store_that_may_only_be_read_can_be_looked_into_and_not_written_to(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(filled).checkpoint()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    before = filled.read_bytes()
    store = Store(filled, create=False)
    assert store.count() > 0
    store.close()
    assert filled.read_bytes() == before


def test_a_database_of_another_program_is_named_as_such(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("PRAGMA user_version=2")
    other.execute("CREATE TABLE letters (text)")
    other.commit()
    other.close()
    with pytest.raises(InputError, match="not a judgement store"):
        Store(tmp_path / "other.sqlite")


def test_what_is_in_the_log_yet_is_seen_in_a_store_that_may_only_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.put(CacheEntry(b"k" * 16, 4.0, 0.5, 1.0, None, 10, 1, None))
    store.flush()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    looked = Store(tmp_path / "s.sqlite", create=False)
    assert looked.count() == 1
    looked.close()
    store.close()
