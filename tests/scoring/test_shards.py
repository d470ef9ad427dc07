"""Several machines score a part each, and the merge is what one machine would have written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import argilla_admap as admap
from argilla_admap.errors import InputError
from argilla_admap.scoring.cache.store import Store
from tests.doubles.judge_server import Judge

RECORDS = 60


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Pairs, each prompt twice, some records with the same texts as another."""
    path = tmp_path / "pairs.jsonl"
    rows = [
        {
            "id": f"r{i}",
            "prompt": f"Question {i % (RECORDS // 2)}?",
            "completions": [{"text": f"Answer {i % 40} a", "rating": 1}, {"text": f"Answer {i} b", "rating": 0}],
            "source": f"s{i % 3}",
        }
        for i in range(RECORDS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "argilla_admap", *map(str, words)]


def judged_by(judge: Judge, store: Path) -> list[str]:
    return ["--model", "m", "--base-url", judge.url, "--store", str(store), "--price", "1,1"]


def test_two_workers_and_a_merge_write_what_one_writes(source: Path, judge: Judge, tmp_path: Path) -> None:
    stores = [tmp_path / f"store-{i}.sqlite" for i in (1, 2)]
    parts = [tmp_path / f"part-{i}.parquet" for i in (1, 2)]
    workers = [
        subprocess.Popen(
            command("score", source, "-o", part, "--shard", f"{i}/2", *judged_by(judge, store)),
            env={**os.environ, "OPENAI_API_KEY": "none"},
        )
        for i, (part, store) in enumerate(zip(parts, stores, strict=True), start=1)
    ]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    asked_by_two = judge.counts()["requests"]
    one = admap.score(source, output=tmp_path / "one.parquet", model="m", base_url=judge.url, store=tmp_path / "one.sqlite")
    asked_by_one = judge.counts()["requests"] - asked_by_two
    store = tmp_path / "all.sqlite"
    answer = admap.merge([*reversed(parts)], tmp_path / "merged.parquet", part_store=stores, store=store)
    merged, whole = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("merged", "one"))
    assert merged.equals(whole)
    assert asked_by_two == asked_by_one == answer["requests"]
    for name in ("records", "completions", "scored", "unscored"):
        assert answer[name] == one.summary[name]
    assert answer["parts"] == 2
    assert min(pq.read_metadata(part).num_rows for part in parts) > 0
    # With the one store, nothing is asked again.
    again = admap.score(source, model="m", base_url=judge.url, store=store)
    assert again.summary["requests"] == 0
    assert answer["judgements"] == Store(store).count() == Store(tmp_path / "one.sqlite").count()


def scored(source: Path, tmp_path: Path, shard: str | None, name: str, **options: Any) -> Path:
    path = tmp_path / f"{name}.parquet"
    admap.score(source, output=path, scorer=lambda _prompt, texts: [float(len(t)) for t in texts], shard=shard, **options)
    return path


@pytest.mark.parametrize("of", [1, 3, 200])
def test_any_number_of_parts_is_the_whole(of: int, source: Path, tmp_path: Path) -> None:
    whole = pq.read_table(scored(source, tmp_path, None, "whole"))
    parts = [scored(source, tmp_path, f"{i}/{of}", f"part{i}") for i in range(1, min(of, 12) + 1)]
    if of == 200:
        # More parts than prompts: most are empty, and all of them must be there.
        with pytest.raises(InputError, match="parts are missing of 200: 13, 14"):
            admap.merge(parts, tmp_path / "merged.parquet")
        assert not (tmp_path / "merged.parquet").exists()
        return
    admap.merge(parts, tmp_path / "merged.parquet")
    assert pq.read_table(tmp_path / "merged.parquet").equals(whole)


def test_an_empty_part_is_a_part(tmp_path: Path) -> None:
    source = tmp_path / "one.jsonl"
    source.write_text(json.dumps({"id": "1", "prompt": "p", "completions": [{"text": "a"}, {"text": "b"}]}) + "\n")
    parts = [scored(source, tmp_path, f"{i}/2", f"part{i}") for i in (1, 2)]
    assert admap.merge(parts, tmp_path / "merged.parquet")["records"] == 1
    assert pq.read_table(tmp_path / "merged.parquet").num_rows == 1


def test_a_part_that_does_not_fit_ends_the_merge(source: Path, tmp_path: Path) -> None:
    first, second = (scored(source, tmp_path, f"{i}/2", f"part{i}") for i in (1, 2))
    short = scored(source, tmp_path, "2/2", "short", limit=RECORDS - 1)
    whole = scored(source, tmp_path, None, "whole")
    third = scored(source, tmp_path, "3/3", "third")
    for parts, words in (
        ([first], "parts are missing of 2: 2"),
        ([first, second, first], "part 1 of 2 is there twice"),
        ([first, short], "parts of different inputs"),
        ([first, whole], "scored without `shard`"),
        ([first, third], "a part of 3"),
    ):
        with pytest.raises(InputError, match=words):
            admap.merge(parts, tmp_path / "merged.parquet")
    assert not (tmp_path / "merged.parquet").exists()


@pytest.mark.parametrize("change", [("Answer 3 a", "Answer 3 A"), ('"rating": 1}', '"rating": 2}')])
def test_a_part_of_an_input_that_was_edited_meanwhile_ends_the_merge(
    source: Path, tmp_path: Path, change: tuple[str, str]
) -> None:
    first = scored(source, tmp_path, "1/2", "first")
    lines = source.read_text().splitlines(keepends=True)
    assert change[0] in lines[3]
    source.write_text("".join([*lines[:3], lines[3].replace(*change), *lines[4:]]))
    second = scored(source, tmp_path, "2/2", "second")
    with pytest.raises(InputError, match="parts of different inputs"):
        admap.merge([first, second], tmp_path / "merged.parquet")
    again = scored(source, tmp_path, "1/2", "again")
    assert admap.merge([again, second], tmp_path / "merged.parquet")["records"] == RECORDS


def test_parts_of_different_judges_are_not_put_together(source: Path, judge: Judge, tmp_path: Path) -> None:
    parts = [tmp_path / f"part{i}.parquet" for i in (1, 2)]
    for i, (part, model) in enumerate(zip(parts, ("m", "other"), strict=True), start=1):
        options: dict[str, Any] = {"base_url": judge.url, "store": tmp_path / "store.sqlite"}
        admap.score(source, output=part, shard=f"{i}/2", model=model, **options)
    with pytest.raises(InputError, match="different judges \\(model 'm' and 'other'\\)"):
        admap.merge(parts, tmp_path / "merged.parquet")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_a_shard_is_a_part_of_all(shard: str) -> None:
    with pytest.raises(InputError, match="not a shard"):
        admap.score([{"prompt": "p", "chosen": "a", "rejected": "b"}], shard=shard)


def test_what_is_undecided_cannot_be_told_from_a_part() -> None:
    with pytest.raises(InputError, match="told by all records"):
        admap.score([{"prompt": "p", "chosen": "a", "rejected": "b"}], shard="1/2", samples="auto")


def test_a_run_of_a_part_is_refused_for_its_map_would_be_of_that_part_alone(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a map and its review are of all records"):
        admap.run(source, "ws/name", shard="1/2", dry_run=True, store=tmp_path / "store")
