"""The entry of server and worker, in the environment that has argilla-server: ``python -I server_entry.py serve PORT | work``.

It is started by its path: nothing of argilla_admap can be imported here. Addresses and secrets come in environment variables
(``ARGILLA_*`` are argilla-server's own).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import re
import runpy
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

#: In the server's folder, which is the working directory: there while a server runs, and after one that was killed.
DIRTY_MARKER = Path("index-in-doubt")
#: Beside it: a line for each record whose change reached the database and not the index, since the engine failed.
MISSED_WRITES = Path("index-missed")
#: How often Elasticsearch tries an update again that met another one of the same record.
_CONFLICTS = 10


def log(step: str) -> None:
    """Writes a line to the log; the launcher looks for some of them."""
    print(f"admap: {step}", flush=True)  # noqa: T201  # standard output is the log file here


def migrate() -> None:
    """Brings the database to argilla-server's newest revision.

    SQLite cannot roll back half a migration. So the migration runs on a copy, which then replaces the database in one
    step: stopped at any moment, the database is the old one or the new one.
    """
    from alembic import command
    from alembic.config import Config
    from argilla_server.database import ALEMBIC_CONFIG_FILE, database_url_sync
    from argilla_server.settings import settings
    from sqlalchemy import make_url

    config = Config(ALEMBIC_CONFIG_FILE)
    if not settings.database_is_sqlite:
        command.upgrade(config, "head")
        return
    database = Path(str(make_url(database_url_sync()).database))
    # Opening it also rolls back what a killed server had half written: no journal may be left beside the new file.
    if is_newest():
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


def ready_sqlite_for_large_datasets() -> None:
    """Makes SQLite read the records that are asked for and not all of a data set, at each page and at each bulk request.

    Argilla gives records in the order of `inserted_at`, which no index has. And it asks for records by their ids *and* by their
    data set: an SQLite that knows nothing of the sizes takes the few data sets for the shorter way. It is told that a data set
    is large (https://sqlite.org/fileformat2.html#stat1tab); connections that are opened later know it.
    """
    from argilla_server.database import sync_engine
    from argilla_server.settings import settings
    from sqlalchemy import text

    if not settings.database_is_sqlite:
        return
    # Rows in all, and of one value of each column.
    sizes = {"ix_records_dataset_id": "1000000 100000", "admap_records_by_age": "1000000 100000 1"}
    sizes["ix_records_status"] = "1000000 500000"
    with sync_engine.begin() as connection:
        connection.execute(text("CREATE INDEX IF NOT EXISTS admap_records_by_age ON records (dataset_id, inserted_at)"))
        connection.execute(text("ANALYZE sqlite_schema"))
        connection.execute(text("DELETE FROM sqlite_stat1 WHERE tbl = 'records'"))
        for index, size in sizes.items():
            values = {"index": index, "size": size}
            connection.execute(text("INSERT INTO sqlite_stat1 VALUES ('records', :index, :size)"), values)
    sync_engine.dispose()


def is_newest() -> bool:
    """Whether the database is at the newest revision."""
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from argilla_server.database import ALEMBIC_CONFIG_FILE, sync_engine

    with sync_engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    sync_engine.dispose()
    return bool(current == ScriptDirectory.from_config(Config(ALEMBIC_CONFIG_FILE)).get_current_head())


async def ensure_owner(username: str, password: str, api_key: str, workspace: str) -> None:
    """Makes the first user and workspace, or gives an existing user this password and key."""
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
            # The file with the secrets was lost and made anew; the database is ours, so the new secrets hold.
            await user.update(session, api_key=api_key, password_hash=accounts.hash_password(password))
    # The pool belongs to this event loop, which ends here; the server's loop opens its own.
    await async_engine.dispose()


async def repair_index(dirty: bool) -> None:
    """Makes the search index hold what the database holds.

    A record is committed to the database first and sent to the index then: a kill between the two, or an engine that
    fails, leaves it out. An index that is new, lost or damaged is filled again.

    Args:
        dirty: the last server was killed: what was changed last is sent again.
    """
    from argilla_server.database import AsyncSessionLocal, async_engine
    from argilla_server.search_engine import get_search_engine
    from argilla_server.search_engine.commons import es_index_name_for_dataset

    taken, missed = take_missed_writes()
    async with AsyncSessionLocal() as session:
        datasets = await ready_datasets(session)
        changed = await last_changes(session) if dirty else {}
        if datasets:
            async for engine in get_search_engine():
                await wait_for(engine)
                for dataset in datasets:
                    again = changed.get(dataset.id, set()) | missed.get(es_index_name_for_dataset(dataset), set())
                    await repair_dataset(session, engine, dataset, again)
    await async_engine.dispose()
    for path in taken:
        path.unlink()


def take_missed_writes() -> tuple[list[Path], dict[str, set[str]]]:
    """The files that hold what the index has missed, to be removed once it is repaired, and the ids by index."""
    if MISSED_WRITES.exists():
        # Out of the way of the worker, which may note more meanwhile.
        MISSED_WRITES.rename(f"{MISSED_WRITES}.{time.time_ns()}")
    taken = list(Path().glob(f"{MISSED_WRITES}.*"))
    missed: dict[str, set[str]] = {}
    for path in taken:
        # The last line of a program that was killed may be cut.
        for index, record_id in re.findall(r"^(\S+) ([0-9a-f-]{36})$", path.read_text(encoding="utf-8"), re.MULTILINE):
            missed.setdefault(index, set()).add(record_id)
    return taken, missed


async def wait_for(engine: Any) -> None:
    """Waits until the search engine, which starts beside us, answers."""
    for _ in range(600):
        if await engine.ping():
            return
        await asyncio.sleep(0.2)
    sys.exit("admap: the search engine did not answer for two minutes")


def is_ours(own_port: int, port: int) -> bool | None:
    """Whether a process of this user has accepted the connection from one port of this machine to another; None: nobody yet.

    Asked of the kernel once the connection is made, and before a secret is sent: a port can pass to another user's program
    when the one that listened has ended, a connection cannot.
    """
    accepted = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
            _, local, remote, state, _, _, _, uid, _, inode, *_ = line.split()
            # 01: established.
            if state == "01" and local.endswith(f":{port:04X}") and remote.endswith(f":{own_port:04X}"):
                accepted.append((int(uid), int(inode)))
    # Until a program accepts a connection it is no file of anybody's.
    if not accepted or not all(inode for _, inode in accepted):
        return None
    return all(uid == os.geteuid() for uid, _ in accepted)


def trust_our_own_engine_only() -> None:
    """The password goes out on connections that our user's engine has accepted: should it die, another could take its port."""
    from aiohttp import ClientConnectionError
    from elastic_transport import AiohttpHttpNode

    create_session = AiohttpHttpNode._create_aiohttp_session

    def create_guarded_session(node: Any) -> None:
        create_session(node)
        connector = node.session.connector
        connect = connector._create_connection

        async def connect_to_ours(*words: Any) -> Any:
            protocol = await connect(*words)
            ports = [protocol.transport.get_extra_info(end)[1] for end in ("sockname", "peername")]
            for _ in range(500):
                if (ours := is_ours(*ports)) is not None:
                    break
                await asyncio.sleep(0.01)
            if not ours:
                protocol.close()
                raise ClientConnectionError(f"what listens on port {ports[1]} is not our search engine")
            return protocol

        connector._create_connection = connect_to_ours

    AiohttpHttpNode._create_aiohttp_session = create_guarded_session


async def repair_dataset(session: Any, engine: Any, dataset: Any, changed: set[str]) -> None:
    """Sends to the index what it lacks of one data set and what was changed; removes what the database no longer has."""
    from argilla_server.models import Record
    from argilla_server.search_engine.commons import es_index_name_for_dataset
    from elasticsearch8.helpers import async_scan
    from sqlalchemy import func, select

    index = es_index_name_for_dataset(dataset)
    if not await is_sound(engine.client, index):
        log(f"the index of {dataset.name} is absent or damaged: making a new one")
        await engine.delete_index(dataset)
        await engine.create_index(dataset)
    expected = (await session.execute(select(func.count(Record.id)).filter_by(dataset_id=dataset.id))).scalar_one()
    found = (await engine.client.count(index=index))["count"]
    wanted = set(changed)
    if expected != found:
        present = {hit["_id"] async for hit in async_scan(engine.client, index=index, query={"_source": False})}
        stored = {str(one) for one in (await session.execute(select(Record.id).filter_by(dataset_id=dataset.id))).scalars()}
        wanted |= stored ^ present
    if wanted:
        log(f"the index of {dataset.name}: sending {len(wanted):,} records again")
        await send(dataset.id, engine, sorted(wanted))


async def is_sound(client: Any, index: str) -> bool:
    """Whether an index is there and can be read in full."""
    if not await client.indices.exists(index=index):
        return False
    # A disk that was full: the engine gives a shard up after five tries, and takes it again when it is told to.
    await client.cluster.reroute(retry_failed=True)
    while True:
        # The client waits ten seconds for an answer, and one that comes too late (408) is none to it.
        patient = client.options(ignore_status=408)
        health = await patient.cluster.health(index=index, wait_for_status="yellow", timeout="5s")
        if health["status"] != "red":
            return True
        # An index that is still being read from the disk is not damaged.
        if health["initializing_shards"] == 0:
            return False


async def last_changes(session: Any) -> dict[Any, set[str]]:
    """The ids of the records changed within fifteen seconds of the last change, by data set.

    The last request, and those beside it, could have been half done.
    """
    from argilla_server.models import Record, Response, Suggestion, Vector
    from sqlalchemy import func, select

    kinds = (Record, Response, Suggestion, Vector)
    latest = [(await session.execute(select(func.max(kind.updated_at)))).scalar() for kind in kinds]
    since = max((one for one in latest if one is not None), default=datetime.max) - timedelta(seconds=15)
    found: dict[Any, set[str]] = {}
    for kind in kinds:
        changed = select(Record.dataset_id, Record.id).where(kind.updated_at >= since)
        rows = await session.execute(changed if kind is Record else changed.join(kind, kind.record_id == Record.id))
        for dataset_id, record_id in rows:
            found.setdefault(dataset_id, set()).add(str(record_id))
    return found


async def send(dataset_id: Any, engine: Any, wanted: list[str]) -> None:
    """Sends whole records to the index again, a hundred at a time; removes those that the database no longer has."""
    from argilla_server.database import AsyncSessionLocal
    from argilla_server.models import Record, Response, Suggestion
    from argilla_server.search_engine.commons import es_index_name_for_dataset
    from elasticsearch8.helpers import async_bulk
    from sqlalchemy import select
    from sqlalchemy.orm import selectinload

    relations = (
        selectinload(Record.responses).selectinload(Response.user),
        selectinload(Record.suggestions).selectinload(Suggestion.question),
        selectinload(Record.vectors),
    )
    for begin in range(0, len(wanted), 100):
        ids = [UUID(one) for one in wanted[begin : begin + 100]]
        # A session keeps all that it has read: a new one for each hundred keeps memory flat.
        async with AsyncSessionLocal() as session:
            (dataset,) = await ready_datasets(session, dataset_id)
            records = (await session.execute(select(Record).where(Record.id.in_(ids)).options(*relations))).scalars().all()
            await engine.index_records(dataset, records)
            index, gone = es_index_name_for_dataset(dataset), set(ids) - {record.id for record in records}
            removals = [{"_op_type": "delete", "_index": index, "_id": str(one)} for one in gone]
            await async_bulk(engine.client, removals, raise_on_error=False, refresh=True)
        if (begin // 100) % 20 == 19:
            log(f"the index: {begin + 100:,} of {len(wanted):,} records")


async def ready_datasets(session: Any, dataset_id: Any = None) -> Any:
    """The published data sets, or one of them, with all that their index is made from."""
    from argilla_server.enums import DatasetStatus
    from argilla_server.models import Dataset
    from sqlalchemy import select
    from sqlalchemy.orm import selectinload

    settings = (Dataset.fields, Dataset.questions, Dataset.metadata_properties, Dataset.vectors_settings)
    query = select(Dataset).where(Dataset.status == DatasetStatus.ready).options(*map(selectinload, settings))
    if dataset_id is not None:
        query = query.where(Dataset.id == dataset_id)
    return (await session.execute(query)).scalars().all()


def note_missed_writes() -> None:
    """Notes each record that a failed request to the engine leaves out of the index: the next start sends it again.

    The server commits an answer before it sends it to the engine, and keeps it though the engine does not answer.
    """
    from argilla_server.search_engine.elasticsearch import ElasticSearchEngine

    update, bulk = ElasticSearchEngine._update_document_request, ElasticSearchEngine._bulk_op_request

    unnoted: list[tuple[str, Any]] = []

    def note(missed: list[tuple[str, Any]]) -> None:
        unnoted.extend(missed)
        # On a full disk no note can be made either: it is, with the first request after that.
        with suppress(OSError):
            with MISSED_WRITES.open("a", encoding="utf-8") as file:
                # The line before may be cut.
                file.write("".join(f"\n{index} {record_id}\n" for index, record_id in unnoted))
            unnoted.clear()

    async def noted_update(self: Any, index_name: str, id: str, body: dict[str, Any]) -> None:
        try:
            # A person answers a record while a push or a pull writes to it: Elasticsearch takes the changed one again.
            await update(self, index_name, id, {**body, "retry_on_conflict": _CONFLICTS})
            if unnoted:
                note([])
        except BaseException:
            note([(index_name, id)])
            raise

    async def noted_bulk(self: Any, actions: list[dict[str, Any]]) -> None:
        try:
            await bulk(self, actions)
            if unnoted:
                note([])
        except BaseException:
            note([(action["_index"], action["_id"]) for action in actions])
            raise

    ElasticSearchEngine._update_document_request, ElasticSearchEngine._bulk_op_request = noted_update, noted_bulk


def keep_the_client_of_the_engine() -> None:
    """The server makes a client, and with it a connection whose owner must be asked for, for every request: keeps one for all.

    A connection that breaks is made anew by the client, which tries a request again on it.
    """
    from argilla_server.search_engine.elasticsearch import ElasticSearchEngine

    make = ElasticSearchEngine.new_instance
    made: list[Any] = []

    async def new_instance(_engine: Any) -> Any:
        if not made:
            made.append(await make())
        return made[0]

    async def close(_engine: Any) -> None:
        """It ends with the server."""

    ElasticSearchEngine.new_instance, ElasticSearchEngine.close = classmethod(new_instance), close


def skip_events_without_webhooks() -> None:
    """Bulk writes spend half of their time on events even when no webhook is registered: checks that first."""
    from argilla_server.bulk import records_bulk
    from argilla_server.models import Webhook
    from sqlalchemy import select

    notify: Callable[..., Awaitable[list[Any]]] = records_bulk.notify_record_event_v1

    async def notify_webhooks(db: Any, record_event: Any, record: Any) -> list[Any]:
        # A session lives as long as one request: the question is asked once for each bulk.
        registered = db.info.get("admap_webhook_registered")
        if registered is None:
            found = await db.execute(select(Webhook.id).where(Webhook.enabled.is_(True)).limit(1))
            registered = db.info["admap_webhook_registered"] = found.first() is not None
        return await notify(db, record_event, record) if registered else []

    records_bulk.notify_record_event_v1 = notify_webhooks


def load_vectors_of_a_single_record() -> None:
    """Asked for one record with a vector, the server answers 500: it did not load the vector's name.

    The page asks so when a link opens the records that are similar to one.
    """
    from argilla_server.api.handlers.v1 import records
    from argilla_server.models import Vector

    load = records.selectinload

    def load_with_names(attribute: Any) -> Any:
        option = load(attribute)
        return option.selectinload(Vector.vector_settings) if attribute.key == "vectors" else option

    records.selectinload = load_with_names


def keep_changes_of_notes() -> None:
    """Asked to change a data set's metadata, the server answers with the new ones and keeps the old: it alters the very
    object that the database's session compares with.
    """
    from argilla_server.models.mixins import CRUDMixin

    fill = CRUDMixin.fill

    def fill_anew(row: Any, replace_dict: bool = False, **values: Any) -> Any:
        merged = {
            name: {**(getattr(row, name, None) or {}), **value} if isinstance(value, dict) and not replace_dict else value
            for name, value in values.items()
        }
        return fill(row, True, **merged)

    CRUDMixin.fill = fill_anew


def hide_from_annotators() -> None:
    """See :mod:`argilla_admap.server.annotator_view`, which lies beside this file and is loaded by its path likewise."""
    from argilla_server._app import app

    path = Path(__file__).with_name("annotator_view.py")
    runpy.run_path(str(path))["close_to_annotators"](app)


def build_type_adapters_once() -> None:
    """The server builds a pydantic validator for every value that it validates; one for each type is enough."""
    from argilla_server.models import database
    from pydantic import TypeAdapter

    database.TypeAdapter = functools.cache(TypeAdapter)


def disable_compression() -> None:
    """On loopback, compressing an answer costs more than sending it."""
    import brotli_asgi

    class Uncompressed:
        def __init__(self, app: Any, **_options: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self._app(scope, receive, send)

    brotli_asgi.BrotliMiddleware = Uncompressed


def serve(port: int) -> None:
    """Migrates, makes the owner, repairs the index, and serves on loopback until it is stopped."""
    disable_compression()
    if os.environ["ADMAP_OWN_ENGINE"]:
        trust_our_own_engine_only()
    migrate()
    ready_sqlite_for_large_datasets()
    # The migration's logging set-up disables every logger that was there before it.
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False
    names = ("ADMAP_USERNAME", "ADMAP_PASSWORD", "ADMAP_API_KEY", "ADMAP_WORKSPACE")
    asyncio.run(ensure_owner(*(os.environ.pop(name) for name in names)))
    log("the database is ready")
    asyncio.run(repair_index(dirty=DIRTY_MARKER.exists()))
    note_missed_writes()
    keep_the_client_of_the_engine()
    skip_events_without_webhooks()
    load_vectors_of_a_single_record()
    hide_from_annotators()
    keep_changes_of_notes()
    build_type_adapters_once()
    import uvicorn

    DIRTY_MARKER.touch()
    # uvicorn raises the signal again after the last request; that would end us before the marker is removed.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    uvicorn.run("argilla_server:app", host="127.0.0.1", port=port, access_log=False)
    DIRTY_MARKER.unlink(missing_ok=True)


def work() -> None:
    """Runs the jobs of the queue (statuses, webhooks, imports) until it is stopped."""
    from argilla_server.jobs.queues import DEFAULT_QUEUE, HIGH_QUEUE, REDIS_CONNECTION
    from rq import Worker

    # The server may still be migrating.
    while not is_newest():
        time.sleep(0.2)
    note_missed_writes()
    if os.environ["ADMAP_OWN_ENGINE"]:
        trust_our_own_engine_only()
    log("listening")
    # The urgent queue first. One worker: each is a process of 270 MB.
    Worker([HIGH_QUEUE, DEFAULT_QUEUE], connection=REDIS_CONNECTION).work(logging_level="WARNING")


def main(arguments: list[str]) -> None:
    """Runs the server or the worker."""
    if arguments[:1] == ["serve"]:
        serve(int(arguments[1]))
    elif arguments == ["work"]:
        work()
    else:
        sys.exit("usage: server_entry.py serve PORT | work")


if __name__ == "__main__":
    main(sys.argv[1:])
