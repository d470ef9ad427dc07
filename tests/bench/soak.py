"""A review under fire: ``python -m tests.bench.soak --minutes N`` keeps what it counted in `results/soak.json`.

On an Argilla of its own, at the same time: ten people answer through the API, two maps are pushed in turns, answers are pulled
and watched. Parts of the server are killed and started again, our own commands are killed (SIGKILL), and disks fill up: the
server's, where this user may mount one (root), and that of a pull. In the end the database, the index, the corrected original
and the answers that the server had taken are compared record by record.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

from argilla_admap.errors import ServerError
from argilla_admap.example_data import write_example
from argilla_admap.server import launcher
from argilla_admap.server.data_dir import DataDir
from tests.bench.results import keep
from tests.unpatched.people import Person, login, records

PARTS = ("elasticsearch", "server", "redis", "worker")
_PLACE = "argilla/soak"
#: Bytes that a pull may write at most, where its disk is to be full.
_FULL = 20_000
_LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (%d,) * 2); from argilla_admap.cli import main; main()"


@dataclass
class Soak:
    """One soak: its folder, what was answered, what was counted, and what went wrong.

    Attributes:
        possible: of a person and a record, each answer that the server may hold: the last that it took, and those since then of
            which it said neither yes nor no.
    """

    folder: Path
    data_dir: Path
    records: int
    people: int = 10
    pause: float = 0.5
    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    possible: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    back: list[float] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def prepare(self) -> None:
        """Makes the data, two maps of them, the data set and the people."""
        whole, planted = write_example(self.folder / "whole")
        lines = whole.read_text(encoding="utf-8").splitlines()[: self.records]
        self.original = self.folder / "original.jsonl"
        self.original.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        other = [json.loads(line) for line in lines]
        for row in other:
            for completion in row["completions"]:
                completion["scores"] = [None if score is None else score * 0.9 + 0.2 for score in completion["scores"] or ()]
        (self.folder / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in other), encoding="utf-8")
        self.truth = {row["id"]: "flip" if row["id"] in planted else "keep" for row in other}
        for name in ("original", "other"):
            self.run("score", f"{name}.jsonl", "--scorer", "existing", "-o", f"{name}.scored.parquet")
            self.run("map", f"{name}.scored.parquet", "-o", f"{name}.parquet")
        self.run("push", "original.parquet", "--dataset", _PLACE)
        made = self.run("reviewers", "add", *(f"person-{i}" for i in range(self.people)), "--workspace", "argilla")["reviewers"]
        self.reviewers = [login(self.url, one["name"], one["password"]) for one in made]
        self.named = {name: str(item["id"]) for name, item in records(self.url, self.key, _PLACE).items()}

    @property
    def url(self) -> str:
        port = DataDir(self.data_dir).state().ports["server"]
        return f"http://127.0.0.1:{port}"

    @property
    def key(self) -> str:
        secrets = DataDir(self.data_dir).secrets()
        assert secrets is not None
        return secrets.api_key

    def words(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "argilla_admap", *map(str, words)]

    def begin(self, line: list[str], **more: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "ARGILLA_API_URL": self.url, "ARGILLA_API_KEY": self.key}
        return subprocess.Popen(
            line, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
        )

    def run(self, *words: object) -> dict[str, Any]:
        """A command that must succeed; its JSON answer."""
        child = self.begin([*self.words(*words), "--json"])
        out, err = child.communicate(timeout=600)
        assert child.returncode == 0, f"{words}: {err}"
        answer: dict[str, Any] = json.loads(out)
        return answer

    def wrong(self, what: str) -> None:
        """Notes a thing that must not happen."""
        self.problems.append(" ".join(what.split())[:600])

    # What goes on at the same time.

    def answer(self, who: Person, rng: random.Random) -> None:
        """A person answers, or answers anew."""
        with httpx.Client(base_url=self.url, headers={"X-Argilla-Api-Key": who.key}, timeout=120) as http:
            while not self.stop.wait(rng.uniform(0.5, 1.5) * self.pause):
                name = rng.choice(list(self.named))
                right = rng.random() < 0.9
                value = self.truth[name] if right else {"flip": "keep", "keep": "flip"}[self.truth[name]]
                status = "discarded" if rng.random() < 0.1 else "submitted"
                item = {"record_id": self.named[name], "values": {"better": {"value": value}}, "status": status}
                known, said = self.possible[who.name, name], (status, value)
                try:
                    found = http.post("/api/v1/me/responses/bulk", json={"items": [item]})
                    taken = found.status_code == 200 and found.json()["items"][0]["error"] is None
                except httpx.HTTPError:
                    taken = False
                if taken:
                    known.clear()
                    self.counts["answers taken"] += 1
                else:
                    known.add(("none", "none")) if not known else None
                    self.counts["answers in doubt"] += 1
                    self.stop.wait(1)
                known.add(said)

    def command(self, name: str, words: Callable[[random.Random], list[str]], rng: random.Random, every: float) -> None:
        """A command of ours, again and again; every third is killed."""
        while not self.stop.wait(every):
            line = words(rng)
            child = self.begin(line)
            killed = False
            if rng.random() < 0.33:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(rng.uniform(0.5, 8))
                if child.poll() is None:
                    child.kill()
                    killed = True
            _, err = child.communicate()
            outcome = "killed" if killed else "done" if child.returncode in (0, 3) else "refused"
            self.counts[f"{name} {outcome}"] += 1
            if "Traceback" in err or "defect" in err or child.returncode not in (0, 1, 3, -signal.SIGKILL):
                self.wrong(f"{name} ended with {child.returncode}: {err}")
            self.look_at_outputs()

    def look_at_outputs(self) -> None:
        """An output is whole or absent."""
        for path in self.folder.glob("out*.jsonl"):
            lines = path.read_text(encoding="utf-8").splitlines()
            if len(lines) != len(self.truth) or not all(json.loads(line)["id"] in self.truth for line in lines):
                self.wrong(f"{path.name} is not whole: {len(lines)} lines")

    def pull_words(self, rng: random.Random) -> list[str]:
        number = rng.randrange(3)
        words = ["pull", _PLACE, "--original", "original.jsonl", "-o", f"out{number}.jsonl"]
        if rng.random() < 0.25:
            self.counts["pull on a full disk"] += 1
            return [sys.executable, "-c", _LIMITED % _FULL, *words]
        return self.words(*words)

    def watch(self, rng: random.Random) -> None:
        """A watch that is killed and started again; in the end it is asked to stop."""
        while not self.stop.is_set():
            child = self.begin(self.words("watch", _PLACE, "--json-lines"), start_new_session=True)
            heard: list[str] = []
            reader = threading.Thread(target=lambda child=child, heard=heard: heard.extend(child.stdout or ()))
            reader.start()
            until = time.monotonic() + rng.uniform(15, 60)
            while child.poll() is None and time.monotonic() < until and not self.stop.wait(0.2):
                pass
            if child.poll() is not None:
                self.counts["watch refused"] += 1  # it was started while the server was down
            elif self.stop.is_set():
                child.send_signal(signal.SIGTERM)
            else:
                child.kill()
                self.counts["watch killed"] += 1
            err = child.stderr.read() if child.stderr else ""
            child.wait()
            reader.join()
            self.counts["watch readings"] += len(heard)
            if "Traceback" in err or "defect" in err:
                self.wrong(f"watch: {err}")
            self.stop.wait(1)

    # What is done to the server.

    def kill(self, part: str) -> None:
        """Kills a part, waits a moment, and has `admap server start` bring it back."""
        pid = launcher.status(self.data_dir).pids[part]
        if pid is None:
            self.wrong(f"{part} did not run")
        else:
            os.kill(pid, signal.SIGKILL)
        self.counts[f"{part} killed"] += 1
        self.stop.wait(2)
        self.start()

    def start(self) -> None:
        began = time.monotonic()
        try:
            launcher.start(self.data_dir)
        except ServerError as error:
            self.wrong(f"the server did not come back: {error}")
        self.back.append(round(time.monotonic() - began, 1))

    def fill_disk(self, room: Path) -> None:
        """Leaves no byte on the server's disk for some seconds."""
        ballast = room / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 65_536)
        self.counts["server's disk filled"] += 1
        self.stop.wait(8)
        ballast.unlink()
        self.start()

    def go(self, seconds: float, breaks: list[Callable[[], None]], *, every: float = 10.0) -> None:
        """All at once, for so many seconds."""
        maps = itertools.cycle(("other", "original"))

        def push_words(_: random.Random) -> list[str]:
            return self.words("push", f"{next(maps)}.parquet", "--dataset", _PLACE)

        work = [partial(self.answer, who, random.Random(f"{self.seed} {who.name}")) for who in self.reviewers]
        work.append(partial(self.command, "push", push_words, random.Random(self.seed + 1), every))
        work.append(partial(self.command, "pull", self.pull_words, random.Random(self.seed + 2), every))
        work.append(partial(self.watch, random.Random(self.seed + 3)))
        threads = [threading.Thread(target=self._told, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        try:
            # Each at least once, however short it is.
            for number, breaking in enumerate(itertools.cycle(breaks)):
                if number >= len(breaks) and time.monotonic() >= end:
                    break
                self.stop.wait(every)
                breaking()
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(180)

    def _told(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.wrong(f"the soak itself: {type(error).__name__}: {error}")

    # In the end.

    def compare(self) -> dict[str, int]:
        """How many records, answers and lines differ from what they must be; all 0 where nothing was lost."""
        self.stop.clear()
        self.start()
        self.run("push", "original.parquet", "--dataset", _PLACE)
        watched = self.run("watch", _PLACE, "--once")
        pulled = self.run("pull", _PLACE, "--original", "original.jsonl", "-o", "corrected.jsonl", "--changes", "changes.jsonl")
        self.run("pull", "--undo", "changes.jsonl", "corrected.jsonl", "-o", "undone.jsonl")
        held = records(self.url, self.key, _PLACE)
        indexed = self.index(next(iter(held.values()))["dataset_id"])
        expected = {name: self._settled(item) for name, item in held.items()}
        old, new, undone = (
            (self.folder / name).read_bytes().splitlines() for name in ("original.jsonl", "corrected.jsonl", "undone.jsonl")
        )
        changed = {json.loads(before)["id"] for before, after in zip(old, new, strict=True) if before != after}
        flips = {name for name, outcome in expected.items() if outcome == "flip"}
        wanted = {row["id"]: row for row in pq.read_table(self.folder / "original.parquet").to_pylist()}
        reviewed = sum(outcome is not None for outcome in expected.values())
        stale = [item for item in held.values() if _indexed(item) != _in_index(indexed.get(item["id"]))]
        for item in stale[:5]:
            self.wrong(f"the index of {item['external_id']}: {_in_index(indexed.get(item['id']))} and not {_indexed(item)}")
        return {
            "records missing or twice": len(set(self.truth) ^ set(held)) + abs(len(held) - len(self.truth)),
            "answers that are not what was taken": self._lost_answers(held),
            "records of the index that differ": len(stale) + len(set(indexed) - {item["id"] for item in held.values()}),
            "records with another map's values": sum(
                abs(item["metadata"]["admap_mean"] - wanted[name]["mean"]) > 1e-6 for name, item in held.items()
            ),
            "records with another outcome noted": sum(
                item["metadata"].get("admap_review") != _OUTCOMES[expected[name]] for name, item in held.items()
            ),
            "lines of the original that differ": len(changed ^ flips),
            "lines that undo does not bring back": sum(a != b for a, b in zip(old, undone, strict=True)),
            "counts of watch and pull that differ": abs(watched["reviewed"] - reviewed) + abs(pulled["reviewed"] - reviewed),
            "wrong on the way": len(self.problems),
        }

    def _lost_answers(self, held: dict[str, dict[str, Any]]) -> int:
        people = {str(one["id"]): str(one["username"]) for one in self._get("/api/v1/users")["items"]}
        # Where two differ, the owner has an empty draft, of the queue of disagreements.
        answers = [(name, one) for name, item in held.items() for one in item["responses"] if one["values"]]
        found = {(people[one["user_id"]], name): _said(one) for name, one in answers}
        asked = set(found) | set(self.possible)
        lost = [pair for pair in asked if found.get(pair, ("none", "none")) not in self.possible.get(pair, set())]
        for pair in lost[:5]:
            self.wrong(f"{pair}: the server holds {found.get(pair)}, and took {self.possible.get(pair)}")
        return len(lost) + len(answers) - len(found)

    def _settled(self, item: dict[str, Any]) -> str | None:
        """What most said of a record; ``conflict`` where as many said the other; None: nobody."""
        said = Counter(_said(one)[1] for one in item["responses"] if one["status"] == "submitted")
        if not said:
            return None
        return "conflict" if said["flip"] == said["keep"] else said.most_common(1)[0][0]

    def _get(self, path: str) -> Any:
        return httpx.get(self.url + path, headers={"X-Argilla-Api-Key": self.key}, timeout=60).raise_for_status().json()

    def index(self, dataset: str) -> dict[str, Any]:
        """Every document of the data set's index, as the engine itself keeps it, by the server's id."""
        folder = DataDir(self.data_dir)
        secrets, port = folder.secrets(), folder.state().ports["elasticsearch"]
        assert secrets is not None
        found = httpx.post(
            f"http://127.0.0.1:{port}/rg.{dataset}/_search",
            auth=("admap", secrets.engine_password),
            json={"size": 10_000, "query": {"match_all": {}}},
            timeout=60,
        )
        return {hit["_id"]: hit["_source"] for hit in found.raise_for_status().json()["hits"]["hits"]}


_OUTCOMES = {None: None, "keep": "confirmed", "flip": "corrected", "conflict": "conflict"}


def _said(response: dict[str, Any]) -> tuple[str, str | None]:
    """Status and value of an answer."""
    return response["status"], ((response["values"] or {}).get("better") or {}).get("value")


def _numbers(vectors: dict[str, list[float]] | None) -> list[list[float]]:
    """The vectors of a record, which the index knows by other names, to the digits that it keeps."""
    return sorted([round(number, 4) for number in vector] for vector in (vectors or {}).values())


def _indexed(item: dict[str, Any]) -> Any:
    """What the index must hold of a record."""
    answers = {one["id"]: _said(one) for one in item["responses"]}
    return item["status"], answers, item["metadata"], _numbers(item["vectors"])


def _in_index(source: dict[str, Any] | None) -> Any:
    """The same, of a document."""
    if source is None:
        return None
    answers = {
        one["id"]: (one["status"], next((value for name, value in one.items() if name.endswith("better")), None))
        for one in source.get("responses") or ()
    }
    metadata = {name: value for name, value in (source.get("metadata") or {}).items() if value is not None}
    return source["status"], answers, metadata, _numbers(source.get("vectors"))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path | None]:
    """A disk of that size at the folder; None where this user may not mount one. Gone in the end."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def soak(minutes: float, records: int, seed: int = 0) -> dict[str, Any]:
    """Runs it on a server of its own; what was counted and what differs."""
    with tempfile.TemporaryDirectory() as text, small_disk(Path(text) / "disk", 1500) as disk:
        folder = Path(text) / "work"
        folder.mkdir()
        one = Soak(folder, (disk or Path(text)) / "server", records, seed=seed)
        launcher.start(one.data_dir, report=print)
        try:
            one.prepare()
            breaks: list[Callable[[], None]] = [partial(one.kill, part) for part in PARTS]
            if disk is not None:
                breaks.append(partial(one.fill_disk, disk))
            one.go(60 * minutes, breaks)
            differ = one.compare()
        finally:
            launcher.stop(one.data_dir)
    return summary(one, differ) | {"minutes": minutes, "server's disk": "filled" if disk else "this user may not mount one"}


def summary(one: Soak, differ: dict[str, int]) -> dict[str, Any]:
    """What is kept of a soak."""
    back = sorted(one.back)
    return {
        "records": len(one.truth),
        "people": one.people,
        "counts": dict(sorted(one.counts.items())),
        "seconds to be back": {"median": back[len(back) // 2], "most": back[-1]} if back else None,
        "differ": differ,
        "problems": one.problems[:20],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--records", type=int, default=200, help="up to 363")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = soak(options.minutes, options.records, options.seed)
    print(json.dumps(found, indent=1))
    keep("soak", found)
    sys.exit(int(any(found["differ"].values())))


if __name__ == "__main__":
    main()
