"""The cache of answers that were paid for, in one SQLite file.

An answer counts as received once `flush` has written it; a killed process loses none that was. Keys are content hashes, so
an edited record asks anew for what changed and nothing else.
"""

from __future__ import annotations

import errno
import io
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote

import orjson
import platformdirs

from argilla_admap.errors import InputError, ScoringError
from argilla_admap.scoring.cache.keys import KeySpace, addresses_by_model, key_space
from argilla_admap.tables import write_error

__all__ = ["CacheEntry", "Store", "default_path"]

_VERSION = 2
#: Version 1 has the same tables, with the rows in the order of their keys.
_READABLE = (1, _VERSION)
_CHUNK = 2000
#: So long another program may hold the file while it is opened.
_OPEN_SECONDS = 30.0
#: Bytes that are kept free for the answers that are under way when the disk gets full, and the least of them.
_ROOM, _LEAST_ROOM = 4 << 20, 256 << 10
_MAKE_ROOM = "make room on that disk and run the same command again: what was stored is kept"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS judgements (
    key BLOB PRIMARY KEY, score REAL, variance REAL, mass REAL, text, input INTEGER, output INTEGER, cost REAL
);
CREATE TABLE IF NOT EXISTS endpoints (name TEXT PRIMARY KEY, facts TEXT NOT NULL);
"""
#: Among the endpoints: the addresses that were known when keys held none, by model. Written when the store is first opened.
_OLD_KEYS = "keys without an address"


class CacheEntry(NamedTuple):
    """An answer that was paid for."""

    key: bytes
    #: The score, on the judge's scale; None for answers of another kind, which are in `text`.
    score: float | None
    #: Of the answer's own distribution, squared score points; None where the answer was one sample.
    variance: float | None
    #: Probability mass on the scale's digits; None where there was no distribution.
    mass: float | None
    #: A reason or a reference answer in words, or the bytes of an embedding.
    text: str | bytes | None
    input: int
    output: int
    #: US dollars; None where no price was known.
    cost: float | None


def default_path() -> Path:
    """Where judgements are kept unless `store` says otherwise."""
    return Path(platformdirs.user_data_dir("argilla-admap", appauthor=False)) / "judgements.sqlite"


class Store:
    """Judgements by key. One object for a process; several processes may have the same file open.

    Args:
        path: the file; None: in this user's data folder.
        create: make it where there is none; else an empty store is kept in memory.

    Raises:
        InputError: the file is no store of ours, or is damaged, or cannot be opened.
        ScoringError: it cannot be written to any more (a full disk): nothing further may be asked.
    """

    def __init__(self, path: Path | None = None, *, create: bool = True) -> None:
        self.path = Path(path) if path is not None else default_path()
        self._waiting: list[tuple[CacheEntry, Callable[[], None] | None]] = []
        self._room: IO[bytes] | None = None
        with self._translated("open"):
            in_memory = not create and not self.path.exists()
            if not create and not in_memory and not os.access(self.path, os.W_OK):
                # To look into it is enough, and all that the disk allows. What is still in the log is seen only with the log.
                log = Path(f"{self.path}-wal")
                how = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
                self._db = sqlite3.connect(f"file:{quote(str(self.path))}?{how}", uri=True, check_same_thread=False)
                self._check_tables()
                return
            if not in_memory:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Judgements are private: 0600 before anything is in it; the -wal and -shm files take the mode over.
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            place = ":memory:" if in_memory else self.path
            self._db = sqlite3.connect(place, timeout=_OPEN_SECONDS, isolation_level=None, check_same_thread=False)
            self._write_ahead()
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-4096")
            # Checkpoints sync the disk: they run in a thread of their own, see `checkpoint`.
            self._db.execute("PRAGMA wal_autocheckpoint=0")
            self._make_tables()
            self._db.execute("PRAGMA busy_timeout=0")

    def _write_ahead(self) -> None:
        """Sets the journal's mode. Of two programs that make a file, SQLite refuses one at once, whatever its time to wait."""
        deadline = time.monotonic() + _OPEN_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as exc:
                if not _is_busy(exc) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _make_tables(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, *_READABLE):
            raise _unusable(self.path, f"a judgement store of another version ({version})")
        if version:
            self._check_tables()
            if self.endpoint(_OLD_KEYS):
                return
        self._db.execute("BEGIN IMMEDIATE")
        # Idempotent: another process may have made them meanwhile.
        for change in _SCHEMA.split(";"):
            self._db.execute(change)
        facts = orjson.dumps({"addresses": self._addresses_without_keys()}).decode()
        self._db.execute("INSERT OR IGNORE INTO endpoints VALUES (?, ?)", (_OLD_KEYS, facts))
        if not version:
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        self._db.execute("COMMIT")

    def _check_tables(self) -> None:
        if not self._has_table("judgements"):
            raise _unusable(self.path, "a database, but not a judgement store")

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as exc:
            words = str(exc)
            if "full" in words or "disk I/O" in words:
                raise _DiskFull(f"{self.path}: {words}", hint=_MAKE_ROOM) from exc
            if _is_busy(exc):
                raise ScoringError(
                    f"{self.path}: held by another program ({words})", hint="end it, or name another `store`"
                ) from exc
            raise _unusable(self.path, f"cannot {doing} the judgement store ({words})") from exc
        except sqlite3.DatabaseError as exc:
            raise _unusable(self.path, f"not a judgement store, or damaged ({exc}); move the file away") from exc
        except OSError as exc:
            raise write_error(self.path, exc, "name another `store`") from exc

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        """Those of the keys that are known."""
        found: dict[bytes, CacheEntry] = {}
        # Without a Python frame for each row: a resume reads a million.
        make = partial(tuple.__new__, CacheEntry)
        with self._translated("read"):
            for start in range(0, len(keys), _CHUNK):
                chunk = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                rows = self._db.execute(f"SELECT * FROM judgements WHERE key IN ({marks})", chunk)  # noqa: S608  # marks only
                found.update((row[0], make(row)) for row in rows)
        return found

    def count(self) -> int:
        """How many judgements it holds."""
        with self._translated("read"):
            number: int = self._db.execute("SELECT COUNT(*) FROM judgements").fetchone()[0]
            return number

    def version(self) -> int:
        """Another number whenever another process has written since."""
        with self._translated("read"):
            number: int = self._db.execute("PRAGMA data_version").fetchone()[0]
            return number

    def take_in(self, path: Path) -> int:
        """Takes in what another store knows and this one does not; how many judgements that were.

        Raises:
            InputError: the file is no store of ours.
        """
        Store(path, create=False).close()
        before = self.count()
        with self._translated("write"):
            self._db.execute("PRAGMA busy_timeout=30000")
            self._db.execute("ATTACH ? AS part", (os.fspath(path),))
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for table in ("judgements", "endpoints"):
                    self._db.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM part.{table}")  # noqa: S608  # our own
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._db.execute("DETACH part")
                self._db.execute("PRAGMA busy_timeout=0")
        return self.count() - before

    def put(self, entry: CacheEntry, done: Callable[[], None] | None = None) -> None:
        """Takes an answer in; `done` is called when it is written."""
        self._waiting.append((entry, done))

    def hold_room(self) -> None:
        """Keeps room on the disk for the answers to what is asked from now on: a full disk loses none that is under way.

        Raises:
            ScoringError: there is no such room, and nothing may be asked.
        """
        size = _ROOM
        while self._room is None and size >= _LEAST_ROOM:
            self._room, size = self._room_of(size), size // 2
        if self._room is None:
            raise ScoringError(f"{self.path}: its disk is full: nothing is asked that could not be stored", hint=_MAKE_ROOM)

    def _room_of(self, size: int) -> IO[bytes] | None:
        """A file without a name, which goes with this process however that ends; None: the disk has not so many bytes."""
        room: IO[bytes] = io.BytesIO()  # where the file system keeps no room
        try:
            room = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115
            os.posix_fallocate(room.fileno(), 0, size)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                room.close()
                return None
        return room

    def flush(self) -> bool:
        """Writes all that was taken in, in one transaction. False: another process is writing at this moment, try again.

        Raises:
            ScoringError: the disk is full. Where room was held, all of it is written even so, and so is what comes after.
        """
        if not self._waiting:
            return True
        batch, self._waiting = self._waiting, []
        full: _DiskFull | None = None
        written = False
        try:
            written = self._write(batch)
        except _DiskFull as exc:
            if self._room is None:
                raise
            self._room.close()
            self._room, full = None, exc
            written = self._write(batch)
        finally:
            if not written:
                self._waiting = batch + self._waiting
        for _, done in batch if written else ():
            if done is not None:
                done()
        if full is not None:
            raise full
        return written

    def _write(self, batch: Sequence[tuple[CacheEntry, Any]]) -> bool:
        """Writes it; False: another process is writing."""
        with self._translated("write"):
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                if not _is_busy(exc):
                    raise
                return False
            try:
                self._db.executemany(
                    "INSERT OR REPLACE INTO judgements VALUES (?,?,?,?,?,?,?,?)", [entry for entry, _ in batch]
                )
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        return True

    def checkpoint(self) -> None:
        """Folds the log back into the file. Syncs the disk: to be called in a thread; blocks no reader and no writer."""
        with suppress(sqlite3.Error):
            connection = sqlite3.connect(self.path, timeout=5)
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                connection.close()

    def key_space(self, name: str) -> KeySpace:
        """Which keys are those of an endpoint and model, named as "ADDRESS MODEL"; its note only until it was said."""
        endpoint, _, model = name.partition(" ")
        facts: Any = self.endpoint(_OLD_KEYS)
        old = facts["addresses"] if facts else self._addresses_without_keys()
        with self._translated("read"):
            space = key_space(endpoint, model, old, self._addresses())
        return space._replace(note=None) if self.endpoint(f"{name} keys").get("said") == space.note else space

    def remember_said(self, name: str, note: str) -> None:
        """The person was told the note of an endpoint's and model's key space."""
        self.remember_endpoint(f"{name} keys", {"said": note})

    def _addresses(self) -> dict[str, list[str]]:
        names = self._db.execute("SELECT name FROM endpoints").fetchall()
        if self._has_table("batch_parts"):
            names += self._db.execute("SELECT endpoint FROM batch_parts").fetchall()
        return addresses_by_model([row[0] for row in names])

    def _addresses_without_keys(self) -> dict[str, list[str]] | None:
        """The addresses by model, of a store whose keys were written before they held one; None: it has no keys yet."""
        tables = [table for table in ("judgements", "batch_parts") if self._has_table(table)]
        used = any(self._db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)  # noqa: S608  # our own
        return self._addresses() if used else None

    def _has_table(self, name: str) -> bool:
        return self._db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None

    def endpoint(self, name: str) -> dict[str, object]:
        """What was learned of an endpoint and model."""
        with self._translated("read"):
            row = self._db.execute("SELECT facts FROM endpoints WHERE name = ?", (name,)).fetchone()
        return orjson.loads(row[0]) if row else {}

    def remember_endpoint(self, name: str, facts: dict[str, object]) -> None:
        """Keeps what was learned of an endpoint and model."""
        with self._translated("write"):
            self._db.execute("PRAGMA busy_timeout=5000")
            self._db.execute("INSERT OR REPLACE INTO endpoints VALUES (?, ?)", (name, orjson.dumps(facts).decode()))
            self._db.execute("PRAGMA busy_timeout=0")

    def close(self) -> None:
        """Writes what is left, and closes."""
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA busy_timeout=30000")
        try:
            self.flush()
        finally:
            if self._room is not None:
                self._room.close()
            self._db.close()


class _DiskFull(ScoringError):
    """The store cannot grow."""


def _is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether another program holds the file."""
    return "locked" in str(error) or "busy" in str(error)


def _unusable(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: {reason}", hint="name another `store`")
