"""The ledger of the Batch API, in the judgement store's own file: which questions wait in which batch, and which came back.

A submission is one file of requests and the batch that reads it. It is entered with its questions before anything is sent, so
that a start after a kill finds each question answered, or waiting in a submission, or asked by nobody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from argilla_admap.errors import ScoringError

__all__ = ["BatchLedger", "Replied", "Submission", "Waiting", "waiting_in_batches"]

_CHUNK = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch_parts (
    part TEXT PRIMARY KEY, endpoint TEXT NOT NULL, path TEXT NOT NULL, requests INTEGER NOT NULL, file TEXT NOT NULL,
    file_id TEXT, batch_id TEXT, creating INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS batch_items (key BLOB PRIMARY KEY, part TEXT NOT NULL, tries INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS batch_items_of_part ON batch_items (part);
CREATE TABLE IF NOT EXISTS batch_replies (
    key BLOB PRIMARY KEY, endpoint TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL, tries INTEGER NOT NULL
);
"""


class Submission(NamedTuple):
    """One file of requests, and how far it has come."""

    name: str
    path: str
    requests: int
    #: The file's name in the folder of batches.
    file: str
    file_id: str | None
    batch_id: str | None
    #: Its batch was about to be created: it may exist without our knowing its id.
    creating: bool


class Waiting(NamedTuple):
    """A question that is in a batch."""

    submission: str


class Replied(NamedTuple):
    """What a batch brought back for a question."""

    #: HTTP status; 0 where the batch ended without an answer.
    status: int
    body: bytes
    #: How often it was asked in batches.
    tries: int


class BatchLedger:
    """The submissions of one endpoint and model.

    Args:
        store: the judgement store's file.
        endpoint: as the store names it, model included.

    Raises:
        ScoringError: the file cannot be written to.
    """

    def __init__(self, store: Path, endpoint: str) -> None:
        self._endpoint = endpoint
        with _translated(store):
            self._db = sqlite3.connect(store, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            # A run that was killed left these behind: the next start asks them anew, as any start asks what is unscored.
            self._db.execute("UPDATE batch_replies SET tries = 0 WHERE endpoint = ? AND status != 200", (endpoint,))
        self._path = store

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, Waiting | Replied]:
        """Those of the questions that wait in a batch or came back from one."""
        found: dict[bytes, Waiting | Replied] = {}
        with _translated(self._path):
            for start in range(0, len(keys), _CHUNK):
                chunk = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                replies = self._db.execute(
                    f"SELECT key, status, body, tries FROM batch_replies WHERE key IN ({marks})",  # noqa: S608  # marks only
                    chunk,
                )
                found.update((row[0], Replied(row[1], row[2], row[3])) for row in replies)
                items = self._db.execute(
                    f"SELECT key, part FROM batch_items WHERE key IN ({marks})",  # noqa: S608  # marks only
                    chunk,
                )
                found.update((row[0], Waiting(row[1])) for row in items)
        return found

    def add(self, name: str, path: str, file: str, items: Sequence[tuple[bytes, int]]) -> set[bytes]:
        """Enters a submission with its questions (key, how often asked before), before anything is sent.

        Returns:
            questions that another process has handed in or has answered since they were gathered; then nothing was written.
        """
        keys = [(key,) for key, _ in items]
        with self._transaction():
            self._db.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (key BLOB PRIMARY KEY) WITHOUT ROWID")
            self._db.execute("DELETE FROM wanted")
            self._db.executemany("INSERT INTO wanted VALUES (?)", keys)
            taken = {row[0] for row in self._db.execute("SELECT key FROM wanted JOIN batch_items USING (key)")}
            taken |= {row[0] for row in self._db.execute("SELECT key FROM wanted JOIN judgements USING (key)")}
            if taken:
                return taken
            self._db.execute(
                "INSERT OR REPLACE INTO batch_parts (part, endpoint, path, requests, file) VALUES (?,?,?,?,?)",
                (name, self._endpoint, path, len(items), file),
            )
            self._db.executemany("INSERT INTO batch_items VALUES (?,?,?)", [(key, name, tries) for key, tries in items])
            self._db.executemany("DELETE FROM batch_replies WHERE key = ?", keys)
        return set()

    def submissions(self) -> list[Submission]:
        """All whose answers are not in yet."""
        with _translated(self._path):
            rows = self._db.execute(
                "SELECT part, path, requests, file, file_id, batch_id, creating FROM batch_parts "
                "WHERE endpoint = ? ORDER BY rowid",
                (self._endpoint,),
            )
            return [Submission._make((*row[:6], bool(row[6]))) for row in rows]

    def files(self) -> set[str]:
        """The files of all submissions, of whichever endpoint."""
        with _translated(self._path):
            return {row[0] for row in self._db.execute("SELECT file FROM batch_parts")}

    def uploaded(self, name: str, file_id: str) -> None:
        """The submission's file is on the server."""
        self._write("UPDATE batch_parts SET file_id = ? WHERE part = ?", file_id, name)

    def creating(self, name: str) -> None:
        """The next call creates the submission's batch."""
        self._write("UPDATE batch_parts SET creating = 1 WHERE part = ?", name)

    def created(self, name: str, batch_id: str | None) -> None:
        """The submission's batch exists; None: it does not, and nobody is creating it."""
        self._write("UPDATE batch_parts SET batch_id = ?, creating = 0 WHERE part = ?", batch_id, name)

    def reply(self, rows: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Keeps answers (key, HTTP status, body) of a submission until they are read. Idempotent."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO batch_replies SELECT key, ?1, ?3, ?4, tries + 1 FROM batch_items WHERE key = ?2",
                ((self._endpoint, *row) for row in rows),
            )

    def complete(self, name: str, reason: bytes) -> None:
        """The submission is through: what it brought no answer for may be asked again."""
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO batch_replies SELECT key, ?, 0, ?, tries + 1 FROM batch_items WHERE part = ?",
                (self._endpoint, reason, name),
            )
            self._forget(name)

    def drop(self, name: str) -> None:
        """The submission was never sent, or is lost: its questions are asked by nobody."""
        with self._transaction():
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._db.execute("DELETE FROM batch_items WHERE part = ?", (name,))
        self._db.execute("DELETE FROM batch_parts WHERE part = ?", (name,))

    def clean(self) -> None:
        """Lets go of answers that were read into the store."""
        self._write("DELETE FROM batch_replies WHERE key IN (SELECT key FROM judgements)")

    def forget(self, keys: Sequence[bytes]) -> None:
        """Lets go of answers that gave no judgement: the next run asks anew."""
        with self._transaction():
            self._db.executemany("DELETE FROM batch_replies WHERE key = ?", [(key,) for key in keys])

    def _write(self, sql: str, *values: object) -> None:
        with self._transaction():
            self._db.execute(sql, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


def waiting_in_batches(store: Path) -> tuple[int, int]:
    """Judgements of the store that wait in batches, and answers that came back and were not read yet; of all endpoints."""
    with suppress(sqlite3.Error):  # a store that never saw a batch has no such tables
        connection = sqlite3.connect(f"file:{quote(str(store))}?mode=ro", uri=True)
        try:
            waiting = connection.execute("SELECT COALESCE(SUM(requests), 0) FROM batch_parts").fetchone()[0]
            unread = connection.execute(
                "SELECT COUNT(*) FROM batch_replies WHERE status = 200 AND key NOT IN (SELECT key FROM judgements)"
            ).fetchone()[0]
            return int(waiting), int(unread)
        finally:
            connection.close()
    return 0, 0


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise ScoringError(
            f"{path}: cannot keep the ledger of batches ({exc})", hint="put that right and run the same command again"
        ) from exc
