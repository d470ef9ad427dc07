"""A large push that is killed twice: `python -m tests.bench.interrupted_push [RECORDS]`.

On an Argilla of its own: the example's records, as many as asked for, their texts numbered, are mapped and pushed. At 30% the
push is killed (SIGKILL) and begun again; at 60% all parts of the server are, and both are begun again. In the end each record
of the database and of the search index is compared with the map: its texts, metadata and vectors, and once each. What was
measured is kept in `results/interrupted_push.json`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil

from argilla_admap.errors import AdmapError
from argilla_admap.example_data import write_example
from argilla_admap.mapping.data_map import DataMap
from argilla_admap.records import batch_to_records
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, connect, parse_address
from argilla_admap.review.argilla.properties import POSITION, TEXTS
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.layout import TITLE, record_fields
from argilla_admap.review.push.payload import Payload
from argilla_admap.review.push.text_vectors import text_vectors
from argilla_admap.server import launcher
from argilla_admap.server.data_dir import DataDir
from tests.bench.results import keep

RECORDS = 100_000
#: Shares of the records that the server holds when the push is killed, and when the server is.
PUSH_KILLED, SERVER_KILLED = 0.3, 0.6
_PLACE = "argilla/interrupted"
_PAGE = 1000


def write_numbered(path: Path, records: int) -> None:
    """Writes the example's records again and again, each with its number in its id and in every text."""
    source, _ = write_example(path.parent / "example")
    rows = itertools.cycle(source.read_text(encoding="utf-8").splitlines())
    with path.open("w", encoding="utf-8") as file:
        for number, line in zip(range(records), rows, strict=False):
            row = json.loads(line)
            row["id"] += f"-{number}"
            row["prompt"] += f" ({number})"
            for completion in row["completions"]:
                completion["text"] += f" ({number})"
            file.write(json.dumps(row) + "\n")


@dataclass
class Pushes:
    """The pushes of one map to one server; `told` holds what each took and did."""

    folder: Path
    data_dir: Path
    records: int
    told: list[dict[str, Any]] = field(default_factory=list)
    server_cpu: Counter[str] = field(default_factory=Counter)
    target: RemoteDataset | None = None

    def prepare(self) -> None:
        """Makes the map."""
        write_numbered(self.folder / "records.jsonl", self.records)
        for words in (
            ("score", "records.jsonl", "--scorer", "existing", "-o", "scored.parquet"),
            ("map", "scored.parquet", "-o", "map.parquet"),
        ):
            subprocess.run(_admap(*words), cwd=self.folder, check=True, capture_output=True)

    @property
    def api(self) -> Api:
        secrets = DataDir(self.data_dir).secrets()
        assert secrets is not None
        return Api(connect(f"http://127.0.0.1:{DataDir(self.data_dir).state().ports['server']}", secrets.api_key))

    def push(self, kill: str = "", share: float = 1.0) -> None:
        """Pushes; kills the ``client`` or the ``server`` once the server holds that share of the records."""
        api = self.api
        began, before, struck = time.perf_counter(), self.held(api), 0
        environment = {**os.environ, "ARGILLA_API_URL": api.url, "ARGILLA_API_KEY": str(api.client.api_key)}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            words = _admap("push", "map.parquet", "--dataset", _PLACE, "--json")
            with subprocess.Popen(words, cwd=self.folder, env=environment, stdout=out, stderr=err) as child:
                while not (ended := os.wait4(child.pid, os.WNOHANG))[0]:
                    time.sleep(1)
                    if kill and not struck and (held := self.held(api)) >= share * self.records:
                        struck = held
                        child.kill() if kill == "client" else self.kill_server()
                child.returncode = os.waitstatus_to_exitcode(ended[1])
            seconds = time.perf_counter() - began
            out.seek(0)
            err.seek(0)
            answer, complaint = out.read(), err.read().decode()
        assert bool(kill) == bool(struck) == bool(child.returncode), complaint
        assert "Traceback" not in complaint, complaint
        self.told.append(
            {
                "there_before": before,
                "killed": kill or None,
                "there_when_killed": struck or None,
                "exit_code": child.returncode,
                "seconds": round(seconds, 1),
                "cpu_seconds": round(ended[2].ru_utime + ended[2].ru_stime, 1),
                "peak_memory_mb": round(ended[2].ru_maxrss / 1024),
                "said": complaint.strip().splitlines()[-1] if child.returncode > 0 else None,
            }
            | (
                {name: value for name, value in json.loads(answer).items() if name in ("added", "updated", "notes")}
                if not kill
                else {}
            )
        )
        print(json.dumps(self.told[-1]), flush=True)

    def held(self, api: Api) -> int:
        """Records of the index, whose number costs the server least; 0 where there is no data set yet, or no server."""
        with suppress(AdmapError):
            if self.target is None or not self.target.ready:
                self.target = api.find(parse_address(_PLACE))
            if self.target is not None and self.target.ready:
                return int(api.progress(self.target)["total"])
        return 0

    def kill_server(self) -> None:
        """Kills all its parts at once."""
        self.count_server_cpu()
        for pid in launcher.status(self.data_dir).pids.values():
            assert pid is not None
            os.kill(pid, signal.SIGKILL)

    def count_server_cpu(self) -> None:
        """Adds the CPU seconds of the server's parts since they were started."""
        for name, pid in launcher.status(self.data_dir).pids.items():
            spent = psutil.Process(pid).cpu_times()
            self.server_cpu[name] += round(spent.user + spent.system)

    # In the end.

    def from_database(self, what: str) -> tuple[int, ...]:
        """What the database's file itself says."""
        with closing(sqlite3.connect(f"file:{DataDir(self.data_dir).database}?mode=ro", uri=True)) as database:
            found: tuple[int, ...] = database.execute(f"SELECT {what}").fetchone()
        return found

    def compare(self) -> dict[str, int]:
        """How many records of the database and of the index are not what they must be; all 0 where nothing was lost."""
        api = self.api
        target = api.dataset(parse_address(_PLACE))
        wanted = dict(self._wanted(target.info["place"]))
        assert len(wanted) == self.records
        held, names, others = dict[str, bytes](), dict[str, str](), Counter[str]()
        for page in api.pages(target, ("responses", "suggestions", "vectors")):
            for item in page:
                name = str(item["external_id"])
                others["twice"] += name in held
                others["touched"] += item["status"] != "pending" or bool(item["responses"] or item["suggestions"])
                held[name], names[item["id"]] = _digest(item["fields"], item["metadata"], item["vectors"]), name
        titles = {str(vector["id"]): name for name, vector in target.vectors.items()}
        indexed = dict[str, bytes]()
        for identity, found in self._index(target.id):
            name = str(found["external_id"])
            others["twice"] += name in indexed
            others["strange"] += names.get(identity) != name
            others["touched"] += found["status"] != "pending" or bool(found.get("responses") or found.get("suggestions"))
            metadata = {key: value for key, value in found["metadata"].items() if value is not None}
            indexed[name] = _digest(found["fields"], metadata, {titles[key]: value for key, value in found["vectors"].items()})
        rows, distinct = self.from_database("count(*), count(DISTINCT external_id) FROM records")
        (vectors,) = self.from_database("count(*) FROM vectors")
        return {
            "missing from the database": len(wanted.keys() - held.keys()),
            "missing from the index": len(wanted.keys() - indexed.keys()),
            "in the database or the index and not in the map": len((held.keys() | indexed.keys()) - wanted.keys()),
            "in the index and not in the database": others["strange"],
            "there twice": others["twice"] + rows - distinct,
            "with other texts, metadata or vectors in the database": sum(held.get(one) != it for one, it in wanted.items()),
            "with other texts, metadata or vectors in the index": sum(indexed.get(one) != it for one, it in wanted.items()),
            "with answers or suggestions that nobody gave": others["touched"],
            "rows of the database too many": abs(rows - self.records) + abs(vectors - 2 * self.records),
        }

    def _wanted(self, view: Any) -> Iterator[tuple[str, bytes]]:
        """Of each record of the map its id, and the digest of what a push that nothing disturbs leaves of it on Argilla."""
        data_map = DataMap.read(self.folder / "map.parquet")
        payload, row = Payload(data_map, view=view), 0
        lines = (self.folder / "records.jsonl").open(encoding="utf-8")
        with lines:
            for batch in data_map.batches():
                texts = text_vectors(batch).tolist()
                columns = batch.drop_columns(["prompt", "turns", "completions"]).to_pylist()
                for text, record, of_map, line in zip(texts, batch_to_records(batch), columns, lines, strict=False):
                    given = json.loads(line)
                    shown = [completion["text"] for completion in given["completions"]]
                    assert (record.id, record.prompt, list(record.completions)) == (given["id"], given["prompt"], shown)
                    metadata = payload.metadata(row)
                    assert metadata["admap_mean"] == of_map["mean"]
                    yield (
                        record.id,
                        _digest(
                            record_fields(record, of_map, blind=False), metadata, {POSITION: payload.vector(row), TEXTS: text}
                        ),
                    )
                    row += 1

    def _index(self, dataset: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every document of the data set's index, as the engine itself keeps it, by the server's id."""
        folder = DataDir(self.data_dir)
        secrets, port = folder.secrets(), folder.state().ports["elasticsearch"]
        assert secrets is not None
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=("admap", secrets.engine_password), timeout=60) as http:
            body: dict[str, Any] = {"size": _PAGE, "sort": ["_doc"]}
            found = http.post(f"/rg.{dataset}/_search?scroll=5m", json=body).raise_for_status().json()
            while hits := found["hits"]["hits"]:
                yield from ((hit["_id"], hit["_source"]) for hit in hits)
                scroll = {"scroll": "5m", "scroll_id": found["_scroll_id"]}
                found = http.post("/_search/scroll", json=scroll).raise_for_status().json()


def _admap(*words: str) -> list[str]:
    return [sys.executable, "-m", "argilla_admap", *words]


def _digest(fields: Mapping[str, Any], metadata: Mapping[str, Any], vectors: Mapping[str, Any]) -> bytes:
    """Of all that makes a record; the index keeps the card as Python prints it."""
    shown = fields[card.FIELD]
    if not isinstance(shown, str):
        shown = str(orjson.loads(orjson.dumps(shown)))
    whole = orjson.dumps([fields[TITLE], shown, metadata, vectors], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(whole, digest_size=16).digest()


def interrupted(records: int) -> dict[str, Any]:
    """Pushes so many records, killed twice: what it took, and how many records are not what they must be."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        pushes = Pushes(folder, folder / "server", records)
        pushes.prepare()
        launcher.start(pushes.data_dir, report=print)
        try:
            pushes.push("client", PUSH_KILLED)
            pushes.push("server", SERVER_KILLED)
            began = time.perf_counter()
            launcher.start(pushes.data_dir, report=print)
            back = time.perf_counter() - began
            pushes.push()
            pushes.push()  # which finds nothing to send
            pushes.count_server_cpu()
            differ = pushes.compare()
            (again,) = pushes.from_database("count(*) FROM records WHERE updated_at <> inserted_at")
        finally:
            launcher.stop(pushes.data_dir)
    return summary(pushes, differ) | {"sent_again": again, "server_back_seconds": round(back, 1)}


def summary(pushes: Pushes, differ: dict[str, int]) -> dict[str, Any]:
    """What is kept."""
    parts = pushes.told[:3]
    seconds = sum(one["seconds"] for one in parts)
    return {
        "records": pushes.records,
        "pushes": pushes.told,
        "seconds": round(seconds, 1),
        "records_a_second": round(pushes.records / seconds, 1),
        "client_cpu": round(sum(one["cpu_seconds"] for one in parts) / seconds, 3),
        "server_cpu_seconds": dict(pushes.server_cpu),
        "differ": differ,
    }


def main() -> None:
    found = interrupted(int(sys.argv[1]) if sys.argv[1:] else RECORDS)
    print(json.dumps(found, indent=1))
    keep("interrupted_push", found)
    sys.exit(int(any(found["differ"].values())))


if __name__ == "__main__":
    main()
