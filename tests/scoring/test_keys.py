"""The keys of the store: what gives another answer has another key, and what an older version paid for is still found."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.records import Turn, records_to_batch
from argilla_admap.scoring.cache.keys import KeySpace, addresses_by_model, key_hash, key_space
from argilla_admap.scoring.cache.store import Store
from argilla_admap.scoring.judging.items import BatchItems
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import estimate, score
from tests.doubles.batch_server import Batches
from tests.doubles.embeddings_server import Embeddings
from tests.doubles.judge_server import Judge
from tests.scoring.makers import options, record, records, stream
from tests.scoring.test_never_twice import write_records

OPENAI = "https://api.openai.com/v1"
#: Keys that version 0.1 made of the rows below.
GOLD = [
    ["be51e86ad6842f0ee078e8ebfc86aec3", "2d63d2019106c284fc272c04d8d77810"],
    ["43e7dcf51409fc0f2af40a4827fff463"],
    [
        "de834667418bffffac9dc47cda67f306",
        "513257e12a0623ce2b6f68422db37cc8",
        "dbf50a18dfb360b501260bbfbf96dcbb",
    ],
    ["db2fa4d6c9f8c8a4248efc62dee6dd08"],
]
AT_8080, AT_8081 = "http://127.0.0.1:8080/v1", "http://127.0.0.1:8081/v1"


def made_by_version_0_1(store: Path, *endpoints: str) -> Path:
    """Turns a store, which may be new, into one of the version whose keys had no address; it knows these endpoints."""
    Store(store).close()
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("DELETE FROM endpoints")
        database.executemany("INSERT INTO endpoints VALUES (?, '{}')", [(name,) for name in endpoints])
        if not database.execute("SELECT 1 FROM judgements").fetchone():
            database.execute("INSERT INTO judgements (key, score) VALUES (?, 3.0)", (b"another question",))
    return store


def elsewhere(judge: Judge) -> str:
    """Another address, as far as anybody can tell."""
    return judge.url.replace("127.0.0.1", "localhost")


def test_a_second_judge_of_the_same_name_at_another_address_is_asked(judge: Judge, tmp_path: Path) -> None:
    said: list[str] = []
    first = score(stream(records(5)), options(judge.url, tmp_path, models=("model",)), warn=said.append)
    assert said == []
    second = score(stream(records(5)), options(elsewhere(judge), tmp_path, models=("model",)), warn=said.append)
    assert [one.summary["requests"] for one in (first, second)] == [10, 10]
    [note] = said
    assert "another model under that name" in note
    assert judge.url in note
    for url in (judge.url, elsewhere(judge)):
        again = score(stream(records(5)), options(url, tmp_path, models=("model",)), warn=said.append)
        assert (again.summary["requests"], again.summary["cached"]) == (0, 10)
    assert len(said) == 1, "once is enough"


def test_a_reference_is_written_by_each_address(
    embeddings: Embeddings, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    written = []
    for url in (batches.url, batches.url.replace("127.0.0.1", "localhost")):
        extra = {"embedding_model": "use-m3", "embedding_base_url": embeddings.url}
        chosen = ScoreOptions(scorer="reference", store=tmp_path / "s", extra=extra, base_url=url, models=("gpt-4o",))
        scored = score(stream([record("a", "Why is the sky blue?", "It scatters light.", "Bananas.")]), chosen)
        assert scored.summary["unscored"] == 0
        written.append(sum(batches.paid_in_full.values()))
    assert written == [1, 2]


def test_an_older_store_is_used_for_the_one_address_that_it_knows(judge: Judge, tmp_path: Path) -> None:
    chosen = options(judge.url, tmp_path, models=("model",))
    made_by_version_0_1(tmp_path / "store.sqlite", f"{judge.url} model")
    score(stream(records(5)), chosen)
    made_by_version_0_1(tmp_path / "store.sqlite", f"{judge.url} model", f"{judge.url} model tokens")
    assert estimate(stream(records(5)), chosen)["cached"] == 10
    said: list[str] = []
    again = score(stream(records(6)), chosen, warn=said.append)
    assert (again.summary["requests"], again.summary["cached"]) == (2, 10)
    assert ["before it kept addresses are used as those of" in words for words in said] == [True]
    other = score(stream(records(5)), options(elsewhere(judge), tmp_path, models=("model",)), warn=said.append)
    assert other.summary["requests"] == 10
    assert len(said) == 2
    # Now that the store knows both, the older answers are still the first one's.
    assert score(stream(records(6)), chosen, warn=said.append).summary["requests"] == 0
    assert len(said) == 2


def test_an_older_store_that_knows_two_addresses_says_that_it_cannot_tell(judge: Judge, tmp_path: Path) -> None:
    made_by_version_0_1(tmp_path / "store.sqlite", f"{judge.url} model")
    score(stream(records(5)), options(judge.url, tmp_path, models=("model",)))
    made_by_version_0_1(tmp_path / "store.sqlite", f"{judge.url} model", f"{elsewhere(judge)} model tokens")
    said: list[str] = []
    for expected in (10, 0):
        scored = score(stream(records(5)), options(judge.url, tmp_path, models=("model",)), warn=said.append)
        assert scored.summary["requests"] == expected
    [note] = said
    assert "not used" in note
    assert f"{judge.url} is asked again" in note


def test_a_store_that_may_only_be_read_is_understood_too(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = options(judge.url, tmp_path, models=("model",))
    store = made_by_version_0_1(tmp_path / "store.sqlite", f"{judge.url} model")
    score(stream(records(5)), chosen)
    made_by_version_0_1(store, f"{judge.url} model")
    before = store.read_bytes()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert estimate(stream(records(5)), chosen)["cached"] == 10
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("endpoint", "old", "now", "parts", "says"),
    [
        (OPENAI, None, {}, (OPENAI,), None),
        (OPENAI, {}, {}, (), "are used as those of"),
        (OPENAI, {"m": [OPENAI]}, {"m": [OPENAI]}, (), "the only address"),
        (OPENAI, {"m": [AT_8080]}, {"m": [AT_8080]}, (OPENAI,), "another model under that name"),
        (AT_8080, {"m": [AT_8080, OPENAI]}, {"m": [AT_8080, OPENAI]}, (AT_8080,), "not used: they may be of any"),
        (AT_8080, {"other": [AT_8080]}, {"other": [AT_8080]}, (AT_8080,), "none of them is known to be of 'm'"),
        (AT_8081, None, {"m": [AT_8080]}, (AT_8081,), "another model under that name"),
        (AT_8081, None, {"m": [AT_8080, AT_8081]}, (AT_8081,), None),
    ],
)
def test_whose_keys_are_whose(endpoint: str, old: Any, now: Any, parts: tuple[str, ...], says: str | None) -> None:
    found = key_space(endpoint, "m", old, now)
    assert found == KeySpace(parts, found.note)
    assert (found.note is None) if says is None else (says in (found.note or ""))


def test_the_addresses_of_a_model_are_read_from_what_the_store_remembers() -> None:
    names = [f"{AT_8080} a b", f"{AT_8080} a b tokens", f"{AT_8081} a b keys", f"reward {OPENAI} rm", "keys without an address"]
    assert addresses_by_model(names) == {"a b": [AT_8080, AT_8081]}


def test_keys_of_texts_without_nul_are_those_of_version_0_1() -> None:
    rows = [
        record("1", "P\0Q", "X", "Y"),
        record("2", "Frage?", "Antwort"),
        record("3", "P", "Z", turns=[Turn("user", "a"), Turn("assistant", "b"), Turn("user", "P")]),
    ]
    keys = BatchItems(records_to_batch(rows)).keys(key_hash("1", "gpt", "digit", True, "words"), [2, 1, 3, 1])
    assert [[key.hex() for key in some] for some in keys] == GOLD


_TEXTS = st.lists(st.sampled_from(["", "X", "1", "2", "\0", "\0text", "\0turns", "[]"]), max_size=5).map("".join)


@given(_TEXTS, _TEXTS, _TEXTS, _TEXTS)
def test_no_text_has_the_key_of_another_or_of_its_sample(prompt: str, text: str, other_prompt: str, other: str) -> None:
    rows = [
        record("1", prompt, text),
        record("2", other_prompt, other),
        record("3", prompt, text, turns=[Turn("user", ""), Turn("user", prompt)]),
    ]
    keys = BatchItems(records_to_batch(rows)).keys(key_hash("x"), [12, 12, 12])
    distinct = {(p, t, turns) for p, t, turns in [(prompt, text, False), (other_prompt, other, False), (prompt, text, True)]}
    assert len({key for some in keys for key in some}) == 12 * len(distinct)


def _killed(judge: Judge, command: list[str], paid: int) -> None:
    """Starts a run and kills it when the judge has answered so many questions."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while judge.counts()["paid"] < paid:
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()


def test_a_run_that_is_killed_goes_on_under_the_same_keys_on_an_older_store_and_at_a_second_address(
    judge: Judge, tmp_path: Path
) -> None:
    n, flight = 300, 16
    source = write_records(tmp_path / "in.jsonl", n)
    store = made_by_version_0_1(tmp_path / "store.sqlite", f"{judge.url} gpt-4o")
    score(stream(records(50)), options(judge.url, tmp_path))
    made_by_version_0_1(store, f"{judge.url} gpt-4o")

    for url, had in ((judge.url, 100), (elsewhere(judge), 0)):
        judge.behave(latency=0.05)
        output = tmp_path / f"{had}.parquet"
        words = ["score", str(source), "-o", str(output), "--base-url", url, "--store", str(store)]
        command = [sys.executable, "-m", "argilla_admap", *words, "--concurrency", str(flight), "--json"]
        for paid in (60, 200):
            _killed(judge, command, paid)
        assert not output.exists()
        last = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert last.returncode == 0, last.stderr
        answer, counts = json.loads(last.stdout), judge.counts()
        assert (answer["scored"], answer["cached"] + answer["requests"]) == (2 * n, 2 * n)
        assert counts["distinct"] == 2 * n - had
        assert counts["twice"] <= 2 * flight
        # Said by the first run, which was killed, and by no other.
        assert "before it kept addresses" not in last.stderr
        assert "another model under that name" not in last.stderr
    assert Store(store).count() == 4 * n + 1
