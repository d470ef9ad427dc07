"""A copy of the embedded server's data, and back: the database as one consistent file, and the secrets.

The index is not copied: the next start fills it from the database, so that the two agree.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from argilla_admap.errors import InputError, ServerError
from argilla_admap.server.data_dir import DataDir, Report, locked, make_private
from argilla_admap.server.processes import is_alive

__all__ = ["Backup", "backup", "restore"]

_ABOUT, _DATABASE, _SECRETS = "backup.json", "argilla.db", "secrets.json"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup.

    Attributes:
        folder: where it is.
        at: when it was made, ISO 8601, UTC.
        version: of the database's layout, as Argilla counts it; a newer Argilla brings it up to date when it starts.
        records: of all data sets.
        responses: answers of people, drafts too.
    """

    folder: str
    at: str
    version: str
    records: int
    responses: int


def backup(
    folder: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    report: Report | None = None,
    *,
    dry_run: bool = False,
) -> Backup:
    """Copies the server's data into a new folder, for this user alone; the server may run meanwhile.

    Args:
        folder: made; it may be there and empty.
        data_dir: the server's folder; default: ADMAP_SERVER_DIR, else one of this user.
        report: is told each step.
        dry_run: say what would be copied.

    Raises:
        InputError: the folder holds something, or the server's database is not its own.
        ServerError: there is no server's data, or the copy cannot be written or is damaged.
    """
    source, target = DataDir(data_dir), Path(folder).expanduser().absolute()
    if "database" in source.state().external:
        raise InputError(f"{source.root}: its database is your own", hint="copy that one with its own program, such as pg_dump")
    if not source.database.is_file() or source.secrets() is None:
        raise ServerError(f"{source.root}: holds no server's data", hint="name the server's folder with `data_dir`")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: is there already", option="folder", hint="name a new folder")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if dry_run:
        return _described(source.database, target, now)
    # Whole or absent: it is made beside its place.
    partial = target.with_name(f".{target.name}.partial")
    with locked(source.lock_file, report or (lambda _line: None), "starting or stopping this server"):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            make_private(partial, "name a folder where you may write")
            with closing(_opened(source.database)) as live, closing(sqlite3.connect(partial / _DATABASE)) as copy:
                live.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
            (partial / _DATABASE).chmod(0o600)
            shutil.copy2(source.secrets_file, partial / _SECRETS)
            made = _described(partial / _DATABASE, target, now)
            (partial / _ABOUT).write_text(json.dumps(asdict(made), indent=1), encoding="utf-8")
            os.sync()
            partial.replace(target)
        except (OSError, sqlite3.Error) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise ServerError(f"{target}: the copy failed ({error})", hint="make room, or name another folder") from error
    return made


def restore(
    folder: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    report: Report | None = None,
    *,
    dry_run: bool = False,
) -> Backup:
    """Puts a backup in the place of the server's data; the server must be stopped. The next start fills the index.

    What was there before is kept, in a folder ``before-restore-TIME`` beside it.

    Args:
        folder: of the backup.
        data_dir: the server's folder; made when absent.
        report: is told each step.
        dry_run: look at the backup, and change nothing.

    Raises:
        InputError: the folder holds no backup, or a damaged one.
        ServerError: the server runs, or its folder cannot be written to.
    """
    report = report or (lambda _line: None)
    source, target = Path(folder).expanduser().absolute(), DataDir(data_dir)
    try:
        kept = Backup(**json.loads((source / _ABOUT).read_text(encoding="utf-8")))
        found = _described(source / _DATABASE, source, kept.at)
        if (found.records, found.responses) != (kept.records, kept.responses) or not (source / _SECRETS).is_file():
            raise ValueError("its parts do not belong together")
    except (OSError, ValueError, TypeError, sqlite3.Error) as error:
        raise InputError(f"{source}: is no whole backup ({error})", option="folder", hint="name another") from error
    if dry_run:
        return found
    target.make()
    with locked(target.lock_file, report, "starting or stopping this server"):
        if any(is_alive(process) for process in target.state().processes.values()):
            raise ServerError(f"{target.root}: the server runs", hint="stop it first with `admap server stop`")
        aside = target.root / f"before-restore-{time.strftime('%Y%m%d-%H%M%S')}"
        try:
            new = target.database.with_name("argilla.db.restored")
            shutil.copyfile(source / _DATABASE, new)
            new.chmod(0o600)
            old = [target.secrets_file, target.redis, *target.database.parent.glob(f"{target.database.name}*")]
            for path in old:
                if path.exists() and path != new:
                    aside.mkdir(mode=0o700, exist_ok=True)
                    path.replace(aside / path.name)
            # What the index holds is of the other database.
            target.dirty_marker.touch(mode=0o600)
            shutil.rmtree(target.elasticsearch)
            target.make()
            shutil.copy2(source / _SECRETS, target.secrets_file)
            target.secrets_file.chmod(0o600)
            new.replace(target.database)
        except OSError as error:
            raise ServerError(
                f"{target.root}: the backup cannot be put there ({error.strerror}); what was there is in {aside}",
                hint="make room, and restore again",
            ) from error
        if aside.exists():
            report(f"what was there before is in {aside}")
    return found


def _opened(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=30)


def _described(database: Path, folder: Path, at: str) -> Backup:
    """What a database holds. Raises sqlite3.Error where it is damaged, or none of Argilla's."""
    with closing(_opened(database)) as opened:
        if (state := opened.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(str(state))
        (version,) = opened.execute("SELECT version_num FROM alembic_version").fetchone()
        (records,) = opened.execute("SELECT count(*) FROM records").fetchone()
        (responses,) = opened.execute("SELECT count(*) FROM responses").fetchone()
    return Backup(str(folder), at, str(version), int(records), int(responses))
