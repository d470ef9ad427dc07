"""What answers, in which versions, what is wrong, and how to mend it. Spends nothing, and changes only what it is to mend.

What `repair` mends loses nothing: who may read the store and the server's folder, a server of our own of which a part has
ended, its index where it differs from the database, and queues that hold other numbers of records than the page tells.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import shlex
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from argilla_admap import pipeline
from argilla_admap.errors import AdmapError, ArgillaError, InputError
from argilla_admap.scoring.options import DEFAULT_MODEL

if TYPE_CHECKING:
    from argilla_admap.review.argilla.argilla_api import Api
    from argilla_admap.scoring.client.transport import Client, Reply

__all__ = ["Finding", "examine", "summary", "versions"]

_PACKAGES = ("argilla-admap", "argilla", "openai", "aiohttp", "numpy", "pandas", "pyarrow")
_OPTIONAL = ("matplotlib", "sentence-transformers", "torch", "transformers")
_WITHIN = 10.0
#: Less room than this on a disk will not do for a data set of any size.
_ROOM = 1 << 30
_REPAIR = "Run `admap doctor` with `repair`"


class Finding(NamedTuple):
    """One thing that was looked at."""

    part: str
    #: ``ok``; ``note``: works, or is not set up, and there is something to know; ``wrong``: will fail; ``mended``.
    state: str
    found: str
    #: What to do; None where there is nothing to do. Parameters of functions are in backticks, as in errors.
    mend: str | None = None


def versions() -> dict[str, str | None]:
    """Of Python and of the packages that matter; None: not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in (*_PACKAGES, *_OPTIONAL):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def examine(
    *,
    model: str = DEFAULT_MODEL,
    base_url: str | None = None,
    store: Path | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    repair: bool = False,
) -> Iterator[Finding]:
    """Looks at the judge, the judgement store, the server of our own and the Argilla that commands would use, in this order.

    Args:
        model: the judge that will be asked for.
        base_url: the judge's server; None: OPENAI_BASE_URL, else OpenAI.
        store: the judgement store; None: this user's.
        data_dir: the folder of the server of our own; None: this user's.
        repair: mend what can be mended without a loss.
    """
    from argilla_admap.scoring.cache.store import default_path
    from argilla_admap.server.data_dir import DataDir

    place = store or default_path()
    yield from _judge(model, base_url, store)
    yield from _store(store)
    yield from _private("store", [place, *(Path(f"{place}{end}") for end in ("-wal", "-shm", "-claims"))], repair)
    folder = DataDir(data_dir)
    yield from _private("server", [folder.root, folder.secrets_file], repair)
    yield from _server(data_dir, repair)
    yield from _argilla(data_dir, repair)


def _private(part: str, places: Sequence[Path], repair: bool) -> Iterator[Finding]:
    """Whether others on this machine can read what is this user's alone."""
    for place in places:
        if not place.exists() or place.stat().st_uid != os.geteuid() or not place.stat().st_mode & 0o077:
            continue
        if repair:
            place.chmod(place.stat().st_mode & 0o700)
            yield Finding(part, "mended", f"{place} was open to other users of this machine, and is yours alone now")
        else:
            command = f"chmod go= {shlex.quote(str(place))}"
            yield Finding(part, "wrong", f"{place} is open to other users of this machine", f"{_REPAIR}, or `{command}`.")


# The judge.


def _judge(model: str, base_url: str | None, store: Path | None) -> Iterator[Finding]:
    from argilla_admap.scoring.client.budget import find_price
    from argilla_admap.scoring.client.transport import ConnectionFailed, endpoint_name, make_client

    try:
        client = make_client(base_url)
    except InputError as exc:
        absent = not (base_url or os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY"))
        yield _refused("judge", exc, state="note" if absent else "wrong")
        return
    name = endpoint_name(client)
    try:
        with ThreadPoolExecutor(1) as apart:
            # In a notebook a loop runs in this thread already.
            reply = apart.submit(asyncio.run, _models(client, model)).result()
    except ConnectionFailed as exc:
        yield Finding(
            "judge", "wrong", f"{name}: {exc}", "Start that server, or name another with `base_url` (it ends in /v1)."
        )
        return
    except AdmapError as exc:
        yield _refused("judge", exc)
        return
    yield from _answered(name, model, reply)
    yield from _learned(name, model, store)
    if find_price(model, None) is None:
        yield Finding(
            "price",
            "note",
            f"no price is listed for {model}: costs are not shown, and `max_cost` cannot be kept",
            "Give US dollars a million tokens, in and out, with `price` (0,0 for a server of your own).",
        )


def _learned(name: str, model: str, path: Path | None) -> Iterator[Finding]:
    """What earlier runs found out of this endpoint and model."""
    from argilla_admap.scoring.cache.store import Store, default_path
    from argilla_admap.scoring.judging.capabilities import Capabilities

    if not (path or default_path()).exists():
        return
    try:
        store = Store(path, create=False)
    except AdmapError:
        return  # said below
    try:
        facts = store.endpoint(f"{name} {model}")
    finally:
        store.close()
    if limits := Capabilities.recall(facts, hosted=False).limits():
        yield Finding("model", "ok", f"{model} {', '.join(limits)}: found out by earlier runs, and kept to")


async def _models(client: Client, model: str) -> Reply:
    from argilla_admap.scoring.client.transport import open_transport

    transport = open_transport(client, model)
    try:
        return await transport.get("/models", _WITHIN)
    finally:
        await transport.close()


def _answered(name: str, model: str, reply: Reply) -> Iterator[Finding]:
    from argilla_admap.scoring.client.failures import RetryAction, classify
    from argilla_admap.scoring.judging.models import ending, listed_models

    if reply.status != 200:
        fault = classify(reply.status, reply.headers, reply.body)
        if fault.action is RetryAction.RENEW_KEY:
            yield Finding("judge", "wrong", f"{name}: {fault.reason}", "Set OPENAI_API_KEY to a valid key.")
        elif reply.status in (404, 405, 501):
            yield Finding(
                "judge",
                "note",
                f"{name} answers, and has no list of models: whether it has {model} is not known",
                "If the address should end in /v1, name it so with `base_url`.",
            )
        else:
            advice = fault.hint[:1].upper() + fault.hint[1:] + "." if fault.hint else ""
            yield Finding(
                "judge", "wrong", f"{name}: {fault.reason}", advice or "Try again later, or name another with `base_url`."
            )
        return
    listed = listed_models(reply)
    if listed is None:
        yield Finding(
            "judge", "wrong", f"{name}: what answers there is no OpenAI-compatible server", "Check `base_url`: it ends in /v1."
        )
        return
    known = sorted(entry["id"] for entry in listed)
    if model not in known:
        shown = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
        mend = f"Name one that it has with `model`: {shown}." if known else "Load a model there first."
        yield Finding("judge", "wrong", f"{name} answers, and does not list the model {model}", mend)
        return
    yield Finding("judge", "ok", f"{name} answers and has {model}")
    ends = ending(listed, model)
    if ends is not None:
        yield Finding("model", "wrong" if ends.over else "note", ends.words, f"{ends.hint[:1].upper()}{ends.hint[1:]}.")


# The judgement store.


def _store(path: Path | None) -> Iterator[Finding]:
    from argilla_admap.scoring.batch.ledger import waiting_in_batches
    from argilla_admap.scoring.cache.store import Store, default_path

    place = path or default_path()
    folder = next(parent for parent in place.absolute().parents if parent.exists())
    if not os.access(place if place.exists() else folder, os.W_OK) or not folder.is_dir():
        yield Finding("store", "wrong", f"{place} cannot be written to", "Name another file with `store`.")
        return
    if not place.exists():
        yield Finding("store", "ok", f"{place}: none yet; the first `admap score` makes it")
    else:
        try:
            store = Store(place, create=False)
            try:
                yield Finding(
                    "store", "ok", f"{place}: {store.count():,} judgements kept, {place.stat().st_size / 1e6:,.1f} MB"
                )
            finally:
                store.close()
        except AdmapError as exc:
            yield _refused("store", exc)
            return
        waiting, unread = waiting_in_batches(place)
        if waiting or unread:
            yield Finding(
                "batches",
                "note",
                f"{waiting:,} judgements wait in batches, {unread:,} came back and were not read yet",
                "Run the command that submitted them (with `batch`) again.",
            )
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        yield Finding("disk", "note", f"{folder}: {free / 1e6:,.0f} MB are free", "Make room, or name another with `store`.")


# Argilla.


def _server(data_dir: str | os.PathLike[str] | None, repair: bool) -> Iterator[Finding]:
    from argilla_admap.server import launcher
    from argilla_admap.server.runtime import missing_packages

    try:
        status = launcher.status(data_dir)
    except AdmapError as exc:
        yield _refused("server", exc)
        return
    if status.running and not status.problems:
        yield Finding("server", "ok", f"an Argilla of your own runs at {status.url}; its data are in {status.data_dir}")
        return
    if repair and status.problems:
        try:
            launcher.start(data_dir)
        except AdmapError as exc:
            yield _refused("server", exc)
        else:
            yield Finding("server", "mended", f"{status.data_dir}: {'; '.join(status.problems)}; it was started again")
        return
    for problem in status.problems:
        yield Finding("server", "wrong", f"{status.data_dir}: {problem}", f"{_REPAIR}, or `admap server start`.")
    if not status.problems:
        missing = missing_packages("elasticsearch" not in status.external, "redis" not in status.external)
        packages = " ".join(sorted(set(missing.values())))
        yield Finding(
            "server",
            "note",
            "no Argilla of your own runs" + (f"; to start one, {', '.join(missing)} would be needed" if missing else ""),
            f"Install {packages} (apt-get install {packages}), or use an Argilla that runs elsewhere."
            if missing
            else "Start one with `admap server start`, if you need it.",
        )


def _argilla(data_dir: str | os.PathLike[str] | None, repair: bool) -> Iterator[Finding]:
    from argilla_admap.review.argilla.argilla_api import Api
    from argilla_admap.server import launcher

    named = bool(os.environ.get("ARGILLA_API_URL"))
    try:
        api = Api(pipeline.connect(data_dir=data_dir))
        me = api.me()
        version = api.version()
    except ArgillaError as exc:
        yield _refused("argilla", exc, state="wrong" if named else "note")
        return
    yield Finding("argilla", "ok", f"{api.url}: Argilla {version}, as {me['username']} ({me['role']})")
    yield from _version(api)
    if me["role"] == "annotator":
        yield Finding("argilla", "note", "an annotator's key cannot push or pull", "Take an owner's or an admin's key.")
        return
    try:
        found = list(_indexes(api))
        own = launcher.find(data_dir)
        differ = {one.found for one in found if one.state == "wrong"}
        if repair and differ and own is not None and own.url.rstrip("/") == api.url.rstrip("/"):
            launcher.stop(data_dir)
            launcher.start(data_dir)
            found = list(_indexes(api))
            still = {one.found for one in found if one.state == "wrong"}
            yield from (Finding("data set", "mended", words) for words in sorted(differ - still))
        yield from found
        yield from _queues(api, repair)
    except AdmapError as exc:
        yield _refused("data sets", exc)


def _version(api: Api) -> Iterator[Finding]:
    """What the server's version cannot do; see ``admap help argilla``."""
    try:
        api.check_version()
    except AdmapError as exc:
        yield _refused("argilla", exc)
        return
    if not api.replaces_fields():
        yield Finding(
            "argilla",
            "note",
            f"Argilla {api.version()} cannot change texts and numbers of records that are there: a push that would is refused",
            "Update it to 2.6 or newer.",
        )
    client = importlib.metadata.version("argilla")
    if api.is_newer_than(client):
        words = f"the server is version {api.version()}, the client {client}: nobody has tried these two together"
        yield Finding("argilla", "note", words, "Update the client: `pip install -U argilla`.")


def _queues(api: Api, repair: bool) -> Iterator[Finding]:
    """The page tells how many records each queue has, as they were counted by the last push or pull."""
    from argilla_admap.review.queues.overview import renew_counts

    for address, item in api.datasets():
        dataset = api.find(address) if item["status"] == "ready" else None
        if dataset is None or not renew_counts(api, dataset, dry=not repair):
            continue
        if repair:
            yield Finding("queues", "mended", f"{dataset.full_name}: the queues were counted anew")
        else:
            words = f"{dataset.full_name}: its queues hold other numbers of records than the page tells"
            yield Finding("queues", "note", words, f"{_REPAIR}, or `admap pull`: both count them anew.")


def _indexes(api: Api) -> Iterator[Finding]:
    """What the page shows and the queues count is the search index; what is kept is the database."""
    whole = records = 0
    for address, item in api.datasets():
        if item["status"] != "ready":
            continue
        dataset = api.find(address)
        if dataset is None:
            continue
        stored, indexed = api.total(dataset), int(api.progress(dataset)["total"])
        if stored == indexed:
            whole, records = whole + 1, records + stored
        else:
            yield Finding(
                "data set",
                "wrong",
                f"{dataset.full_name}: the database holds {stored:,} records and the index {indexed:,}; "
                "the page and the queues go by the index",
                "A server of your own: `admap doctor` with `repair` stops and starts it. Another: on its machine, "
                "`python -m argilla_server search-engine reindex`.",
            )
    if whole:
        sets = "1 data set is" if whole == 1 else f"{whole:,} data sets are"
        yield Finding("data sets", "ok", f"{sets} in the index as in the database, {records:,} records")


def _refused(part: str, exc: AdmapError, state: str = "wrong") -> Finding:
    """An error as a finding: its message is what was found, its hint what to do."""
    found = f"`{exc.option}`: {exc.message}" if exc.option else exc.message
    return Finding(part, state, found, f"{exc.hint[:1].upper()}{exc.hint[1:]}." if exc.hint else None)


def summary(findings: list[Finding]) -> dict[str, Any]:
    """The JSON answer of `admap doctor`."""
    return {
        "versions": versions(),
        "findings": [finding._asdict() for finding in findings],
        "wrong": sum(finding.state == "wrong" for finding in findings),
    }
