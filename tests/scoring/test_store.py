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


def _known(number: int) -> CacheEntry:
    return CacheEntry(_key(number), number % 5 + 1.0, 0.25, 0.9, "words" if number % 7 == 0 else None, 300, 1, 0.001)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose answers came in a little out of order, as those of many requests in flight do."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    store = Store(path)
    swapped = random.Random(0)
    for number in sorted(range(ROWS), key=lambda n: n + swapped.uniform(0, 400)):
        store.put(_known(number), lambda: None)
    store.flush()
    store.close()
    return path


@pytest.mark.parametrize("order", ["as asked", "backwards", "shuffled", "every third", "with new ones between", "twice"])
def test_recall_finds_what_look_up_finds(filled: Path, order: str) -> None:
    numbers = list(range(ROWS))
    if order == "backwards":
        numbers.reverse()
    elif order == "shuffled":
        random.Random(1).shuffle(numbers)
    elif order == "every third":
        numbers = numbers[::3]
    elif order == "with new ones between":
        numbers = [n + (ROWS if n % 2 else 0) for n in numbers]
    elif order == "twice":
        numbers = [n for n in numbers for _ in range(2)]
    store = Store(filled)
    for start in range(0, len(numbers), 500):
        asked = numbers[start : start + 500]
        expected = {_key(n): _known(n) for n in asked if n < ROWS}
        assert store.recall([_key(n) for n in asked]) == expected
        assert store.look_up([_key(n) for n in asked]) == expected
    store.close()


def test_a_resume_reads_on_in_place_of_looking_up(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    look_up = Store.look_up

    def counted(self: Store, keys: list[bytes]) -> dict[bytes, CacheEntry]:
        looked.append(len(keys))
        return look_up(self, keys)

    monkeypatch.setattr(Store, "look_up", counted)
    store = Store(filled)
    for start in range(0, ROWS, 500):
        store.recall([_key(n) for n in range(start, start + 500)])
    store.close()
    assert sum(looked) < ROWS / 5


def test_answers_of_the_run_itself_and_of_another_process_are_found(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "s"), Store(tmp_path / "s")
    for start in range(0, 2000, 200):
        keys = [_key(n) for n in range(start, start + 200)]
        assert store.recall(keys) == {}
        for n in range(start, start + 200):
            (store if n % 2 else other).put(_known(n), lambda: None)
        store.flush()
        other.flush()
        assert len(store.recall(keys)) == len(other.recall(keys)) == 200
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
        old.executemany("INSERT INTO judgements VALUES (?,?,?,?,?,?,?,?)", [_known(n) for n in range(3000)])
    old.close()
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(Store(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for store in opened:
        assert store.recall([_key(n) for n in range(3000)]) == {_key(n): _known(n) for n in range(3000)}
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
    store.put(CacheEntry(b"k" * 16, 4.0, 0.5, 1.0, None, 10, 1, None), lambda: None)
    store.flush()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    looked = Store(tmp_path / "s.sqlite", create=False)
    assert looked.count() == 1
    looked.close()
    store.close()
