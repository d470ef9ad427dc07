"""What runs inside the embedded server's own environment: ``python -I inside.py serve|work``.

It is started by path, with the interpreter that has argilla-server: nothing of argilla_admap can be imported here.
Addresses and secrets come by environment variables (``ARGILLA_*`` are argilla-server's own).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any


def migrate() -> None:
    """Brings the database to argilla-server's newest revision.

    SQLite does not take back half a migration. So the migration runs on a copy, which then takes the place of the
    database in one step: stopped at any moment, the database is the old one or the new one.
    """
    from alembic import command
    from alembic.config import Config
    from argilla_server.database import ALEMBIC_CONFIG_FILE, database_url_sync, sync_engine
    from argilla_server.settings import settings
    from sqlalchemy import make_url

    config = Config(ALEMBIC_CONFIG_FILE)
    if not settings.database_is_sqlite:
        command.upgrade(config, "head")
        return
    database = Path(str(make_url(database_url_sync()).database))
    if is_newest(config, sync_engine):
        return
    copy = database.with_name(database.name + ".migrating")
    for rest in database.parent.glob(copy.name + "*"):
        rest.unlink()
    if database.exists():
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    original = settings.database_url
    settings.database_url = f"sqlite+aiosqlite:///{copy}?check_same_thread=False"
    try:
        command.upgrade(config, "head")
    finally:
        settings.database_url = original
    with copy.open("rb") as whole:
        os.fsync(whole.fileno())
    copy.replace(database)


def is_newest(config: Any, engine: Any) -> bool:
    """Whether the database stands at the newest revision already."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    return bool(current == ScriptDirectory.from_config(config).get_current_head())


async def ensure_owner(username: str, password: str, api_key: str, workspace: str) -> None:
    """Makes the first user and workspace, or gives the user who is there this password and key (it is our database)."""
    from argilla_server.contexts import accounts
    from argilla_server.database import AsyncSessionLocal, async_engine
    from argilla_server.models import User, UserRole, Workspace

    async with AsyncSessionLocal() as session:
        user = await User.get_by(session, username=username)
        space = await Workspace.get_by(session, name=workspace) or await Workspace.create(session, name=workspace)
        if user is None:
            await User.create(
                session,
                first_name=username,
                username=username,
                role=UserRole.owner,
                api_key=api_key,
                password_hash=accounts.hash_password(password),
                workspaces=[space],
            )
        elif user.api_key != api_key:
            # The file with the secrets was lost and made anew: the new ones are the ones that hold.
            await user.update(session, api_key=api_key, password_hash=accounts.hash_password(password))
    # The pool belongs to this event loop, which ends here; the server's loop opens its own.
    await async_engine.dispose()


def skip_events_that_nobody_hears() -> None:
    """Bulk writes build an event for every record even when no webhook is registered, half of their time: ask first."""
    from argilla_server.bulk import records_bulk
    from argilla_server.models import Webhook
    from sqlalchemy import select

    notify: Callable[..., Awaitable[list[Any]]] = records_bulk.notify_record_event_v1

    async def notify_if_heard(db: Any, record_event: Any, record: Any) -> list[Any]:
        # A session lives as long as one request: the answer is asked once for a bulk, and never kept longer.
        heard = db.info.get("admap_webhook_registered")
        if heard is None:
            found = await db.execute(select(Webhook.id).where(Webhook.enabled.is_(True)).limit(1))
            heard = db.info["admap_webhook_registered"] = found.first() is not None
        return await notify(db, record_event, record) if heard else []

    records_bulk.notify_record_event_v1 = notify_if_heard


def serve_uncompressed() -> None:
    """On loopback compressing an answer costs more than sending it."""
    import brotli_asgi

    class Uncompressed:
        def __init__(self, app: Any, **_options: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self._app(scope, receive, send)

    brotli_asgi.BrotliMiddleware = Uncompressed


def say(step: str) -> None:
    """A line that the launcher looks for in the log."""
    print(f"admap: {step}", flush=True)  # noqa: T201  # standard output is the log file here


def serve(port: int) -> None:
    """Migrates, makes the owner, and serves on loopback until it is stopped."""
    serve_uncompressed()
    migrate()
    # The migration's own logging set-up silences every logger that was there before it.
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False
    say("migrated")
    asyncio.run(
        ensure_owner(
            os.environ.pop("ADMAP_USERNAME"),
            os.environ.pop("ADMAP_PASSWORD"),
            os.environ.pop("ADMAP_API_KEY"),
            os.environ.pop("ADMAP_WORKSPACE"),
        )
    )
    say("owner is there")
    skip_events_that_nobody_hears()
    import uvicorn

    uvicorn.run("argilla_server:app", host="127.0.0.1", port=port, access_log=False)


def work() -> None:
    """Does the jobs of the queue (statuses, webhooks, imports) until it is stopped."""
    from argilla_server.jobs.queues import DEFAULT_QUEUE, HIGH_QUEUE, REDIS_CONNECTION
    from rq import Worker

    say("listening")
    # The urgent queue first. One worker: each is a process of 270 MB.
    Worker([HIGH_QUEUE, DEFAULT_QUEUE], connection=REDIS_CONNECTION).work(logging_level="WARNING")


def main(words: list[str]) -> None:
    """Reads the two forms of the command line."""
    if words[:1] == ["serve"]:
        serve(int(words[1]))
    elif words == ["work"]:
        work()
    else:
        sys.exit("usage: inside.py serve PORT | work")


if __name__ == "__main__":
    main(sys.argv[1:])
