"""Push and pull beside bare HTTP, on a real Argilla: `python -m tests.bench.server_speed [RECORDS]`.

A server of its own is started (with ADMAP_TEST_SERVER_DIR set, that one is taken). `admap push` makes a data set; then a
program that knows nothing but the bodies of the requests sends the same records, in the same batches, to a second one. `admap
pull` is compared with bare requests for the same pages. A second push, which finds nothing to send, is timed too. What counts
is how much longer ours take, and the share of the time in which the client computes, beside that of the bare client: a push
and a pull of two records say how much of that is the start, which a larger data set does not pay again.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.review.argilla.argilla_api import PAGE, Api, connect, parse_address
from argilla_admap.server import launcher
from argilla_admap.tables import write_parquet
from tests.bench.mapping_speed import measure, synthetic
from tests.bench.results import keep

RECORDS, ROUNDS = 20_000, 2
CHARACTERS = 1200
BATCH = 100
_PARTS = ("responses", "suggestions", "vectors")


def compare(records: int = RECORDS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians of the rounds: seconds, the client's share of CPU, and ours over bare HTTP."""
    kept = os.environ.get("ADMAP_TEST_SERVER_DIR")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data_dir = Path(kept) if kept else folder / "server"
        server = (launcher.find(data_dir) if kept else None) or launcher.start(data_dir, report=print)
        os.environ |= {"ARGILLA_API_URL": server.url, "ARGILLA_API_KEY": server.api_key}
        try:
            found = [_round(Api(connect(server.url, server.api_key)), folder, records) for _ in range(rounds)]
        finally:
            if not kept:
                launcher.stop(data_dir)
    return {
        "records": records,
        "characters": CHARACTERS,
        **{name: round(median(one[name] for one in found), 3) for name in found[0]},
    }


def _round(api: Api, folder: Path, records: int) -> dict[str, float]:
    maps = {}
    for count in (records, 2):
        scored, maps[count] = folder / f"{count}.scored.parquet", folder / f"{count}.map.parquet"
        write_parquet(scored, synthetic(count, 2, CHARACTERS), SCORED_SCHEMA)
        _admap("map", scored, "-o", maps[count])
    name, other = (f"bench-{uuid.uuid4().hex[:8]}" for _ in range(2))
    start = _admap("push", maps[2], "--dataset", other)
    pull_start = _admap("pull", other, "-o", folder / "out.jsonl")
    push = _admap("push", maps[records], "--dataset", name)
    target = api.dataset(parse_address(name))
    bodies = folder / "bodies.jsonl"
    with bodies.open("w") as file:
        for page in api.pages(target, _PARTS, size=BATCH):
            file.write(json.dumps({"items": [_sent(item) for item in page if item["external_id"] not in ("0", "1")]}) + "\n")
    elsewhere = api.dataset(parse_address(other))
    bare_push = _bare("put", f"/api/v1/datasets/{elsewhere.id}/records/bulk", bodies)
    again = _admap("push", maps[records], "--dataset", name)
    pull = _admap("pull", name, "-o", folder / "out.jsonl")
    bare_pull = _bare("get", f"/api/v1/datasets/{target.id}/records?include=responses&limit={PAGE}", records)
    for one in (target, elsewhere):
        api.request("DELETE", f"/api/v1/datasets/{one.id}")
    return {
        **_compared("push", push, start, bare_push),
        **_compared("pull", pull, pull_start, bare_pull),
        "push_again_seconds": again["seconds"],
        "push_again_cpu_seconds": again["cpu_seconds"],
    }


def _compared(what: str, ours: dict[str, float], start: dict[str, float], bare: dict[str, float]) -> dict[str, float]:
    """Ours beside the bare client; `after_start` is the client's share of the time that two records do not take."""
    found = {
        "seconds": ours["seconds"],
        "of_bare": ours["seconds"] / bare["seconds"],
        "cpu_seconds": ours["cpu_seconds"],
        "client_cpu": ours["cpu_seconds"] / ours["seconds"],
        "client_cpu_after_start": (ours["cpu_seconds"] - start["cpu_seconds"]) / (ours["seconds"] - start["seconds"]),
        "bare_client_cpu": bare["cpu_seconds"] / bare["seconds"],
        "start_cpu_seconds": start["cpu_seconds"],
        "peak_memory_mb": ours["peak_memory_mb"],
    }
    return {f"{what}_{name}": value for name, value in found.items()}


def _sent(item: dict[str, Any]) -> dict[str, Any]:
    """A record as it is sent, made of how the server gives it."""
    given = {name: item[name] for name in ("external_id", "fields", "metadata", "vectors") if item.get(name)}
    names = ("question_id", "value", "agent")
    return given | {"suggestions": [{name: one[name] for name in names} for one in item.get("suggestions") or ()]}


def _admap(*words: Any) -> dict[str, float]:
    return measure([sys.executable, "-m", "argilla_admap", *map(str, words)])


def _bare(*words: Any) -> dict[str, float]:
    return measure([sys.executable, "-m", "tests.bench.server_speed", *map(str, words)])


def _request(method: str, path: str, body: bytes | None = None) -> Any:
    from http.client import HTTPConnection

    url = urlsplit(os.environ["ARGILLA_API_URL"])
    connection = HTTPConnection(str(url.hostname), url.port, timeout=600)
    headers = {"X-Argilla-Api-Key": os.environ["ARGILLA_API_KEY"], "content-type": "application/json"}
    connection.request(method, f"{url.path.rstrip('/')}{path}", body, headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path}: {answer.status} {said[:500]!r}")
    return json.loads(said)


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["put"]:
        for line in Path(words[2]).read_bytes().splitlines():
            _request("PUT", words[1], line)
    elif words[:1] == ["get"]:
        # Page by page from an offset: what a client does that knows no better.
        for offset in range(0, int(words[2]), PAGE):
            _request("GET", f"{words[1]}&offset={offset}")
    else:
        began = time.perf_counter()
        figures = compare(*map(int, words))
        print(json.dumps(figures, indent=1), f"{time.perf_counter() - began:.0f} s")
        keep("server_speed", figures)


if __name__ == "__main__":
    main()
