"""A map made in many pieces, with what waits on disk, is the map made in one."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from argilla_admap.mapping.analysis.label_answers import LabelAnswer
from argilla_admap.mapping.data import observed
from argilla_admap.mapping.data_map import build_map
from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.tables import RecordStream, Spool

RECORDS, BATCH = 20_000, 512
WORDS = np.array(["a", "river", "the", "green", "hill", "old", "town", "far", "every", "road", "near", "water", "light"])


def records(prompts: int, n: int = RECORDS, k: int = 3) -> RecordStream:
    """Scored records, prompts more than once, with the same or nearly the same completions, one label in ten wrong."""
    rng = np.random.default_rng(5)
    pool = [" ".join(words) for words in rng.choice(WORDS, (500, 12))]
    quality = rng.normal(size=(n, k))
    scores = np.clip(np.round(3 + 1.5 * (quality + 0.5 * rng.normal(size=(n, k))), 1), 1, 5)
    ratings = np.clip(np.round(3 + 1.5 * (quality + 0.3 * rng.normal(size=(n, k)))), 1, 5)
    wrong = rng.random(n) < 0.1
    ratings[wrong] = ratings[wrong][:, ::-1]
    ratings[rng.random((n, k)) < 0.01] *= 10
    for values in (ratings, scores):
        values[rng.random((n, k)) < 0.02] = np.nan
    asked = rng.integers(prompts, size=n).tolist()
    chosen = rng.permuted(np.tile(np.arange(5), (n, 1)), axis=1)[:, :k].tolist()
    columns = {
        "id": [f"r{i}" for i in range(n)],
        "prompt": [f"Tell me {'the ' * (i % 3 == 0)}story number {p}" for i, p in enumerate(asked)],
        "completions": [
            [f"{pool[(7 * p + j) % 500]} {'as well ' * (i % 5 == 0)}{p} {j}." for j in row]
            for i, (p, row) in enumerate(zip(asked, chosen, strict=True))
        ],
        "models": np.array([f"m{m}" for m in range(9)])[rng.integers(9, size=(n, k))].tolist(),
        "ratings": pa.array(ratings.ravel(), from_pandas=True),
        "source": [f"s{i % 3}" for i in range(n)],
        "scores": pa.array(scores.ravel(), from_pandas=True),
        "score_variances": rng.random(n * k),
        "score_counts": np.full(n * k, 3),
        "judges": ["gpt-4o"] * n,
    }
    ends = pa.array(np.arange(0, n * k + 1, k, dtype=np.int32))
    for name in ("ratings", "scores", "score_variances", "score_counts"):
        columns[name] = pa.ListArray.from_arrays(ends, pa.array(columns[name], SCORED_SCHEMA.field(name).type.value_type))
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(n, f.type) for f in SCORED_SCHEMA]
    table = pa.Table.from_arrays(arrays, schema=SCORED_SCHEMA)
    return RecordStream(lambda: iter(table.to_batches(max_chunksize=BATCH)), table.schema)


def written(stream: RecordStream, path: Path, answers: dict[str, LabelAnswer] | None = None) -> pa.Table:
    build_map(stream, answers=answers).write(path)
    return pq.read_table(path)


def assert_same(one: pa.Table, other: pa.Table) -> None:
    assert one.schema.names == other.schema.names
    for name in one.schema.names:
        a, b = one.column(name), other.column(name)
        if pa.types.is_floating(a.type):
            np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=0, atol=1e-9, err_msg=name)
        else:
            assert a.equals(b), name
    first, second = (json.loads(table.schema.metadata[b"admap"]) for table in (one, other))
    assert first["summary"]["regions"] == second["summary"]["regions"]
    assert first["summary"]["flags"] == second["summary"]["flags"]
    assert first["summary"]["issues"] == second["summary"]["issues"]


@pytest.mark.parametrize(("prompts", "sample"), [(6_000, 100_000), (10**9, 5_000)], ids=["few prompts", "a sample"])
def test_a_map_in_pieces_is_the_map_in_one(prompts, sample, tmp_path, monkeypatch):
    stream = records(prompts)
    monkeypatch.setattr(observed, "SAMPLE", sample)
    whole = written(stream, tmp_path / "whole.parquet")
    monkeypatch.setattr(observed, "PIECE_ROWS", 1500)
    monkeypatch.setattr(observed, "PART_ITEMS", 4000)
    monkeypatch.setattr(Spool, "IN_MEMORY", 1 << 16)
    pieces = written(stream, tmp_path / "pieces.parquet")
    assert pieces.column("p_wrong").null_count < RECORDS / 100
    assert_same(whole, pieces)


def test_a_prompt_of_very_many_records_is_looked_at_a_part_at_a_time(tmp_path, monkeypatch):
    stream = records(4, 6000, 2)
    whole = written(stream, tmp_path / "whole.parquet")
    monkeypatch.setattr(observed, "PIECE_ROWS", 1500)
    monkeypatch.setattr(observed, "PART_ITEMS", 1000)
    book = observed.observe_pieces(stream)
    parts = list(book.repeated())
    assert np.array_equal(np.sort(np.concatenate([rows for rows, _ in parts])), np.arange(6000))
    assert max(part.offsets[-1] for _, part in parts) < 2000
    # What compares records finds the same; what the other records say is weighed by those of the part.
    pieces = written(stream, tmp_path / "pieces.parquet")
    assert "opposite_duplicate" in str(whole.column("issues")[:100])
    changed = np.array([a != b for a, b in zip(*(one.column("issues").to_pylist() for one in (whole, pieces)), strict=True)])
    assert changed.mean() < 0.02
    np.testing.assert_allclose(whole.column("p_wrong").to_numpy(), pieces.column("p_wrong").to_numpy(), atol=0.2)


def test_records_of_many_completions_are_held_few_at_a_time(monkeypatch):
    stream, most = records(10**9, 2048, 5), []
    monkeypatch.setattr(observed, "PIECE_ITEMS", 3000)
    monkeypatch.setattr(observed, "SAMPLE_ITEMS", 4000)
    book = observed.observe_pieces(stream, note=lambda piece: most.append(int(piece.offsets[-1])))
    assert max(most) < 3000 + 5 * BATCH
    assert 3900 < book.sample.offsets[-1] <= 4000
    again = observed.observe_pieces(stream)
    assert np.array_equal(np.sort(again.sample.keys), np.sort(book.sample.keys))


def test_the_names_of_models_are_looked_up_once_a_piece(monkeypatch):
    stream, looked_up = records(10**9, 4000), [0]
    monkeypatch.setattr(observed, "PIECE_ROWS", 500)
    book = observed.observe_pieces(stream)

    class Counted(dict[str, int]):
        def __getitem__(self, name: str) -> int:
            looked_up[0] += 1
            return super().__getitem__(name)

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("goes through all names")

    book._model_codes = Counted(book._model_codes)
    pieces = [piece for _, piece in book.pieces()]
    assert looked_up[0] == sum(len(np.unique(piece.models[piece.models >= 0])) for piece in pieces)


def test_what_people_answered_is_learned_in_pieces_as_in_one(tmp_path, monkeypatch):
    stream = records(10**9, 4000)
    rows = [row for batch in stream.batches() for row in batch.select(["id", "ratings"]).to_pylist()][:200]
    answers = {
        row["id"]: LabelAnswer(tuple(row["ratings"]), tuple(reversed(row["ratings"])), {"ann": number % 4 == 0})
        for number, row in enumerate(rows)
    }
    whole = written(stream, tmp_path / "whole.parquet", answers)
    monkeypatch.setattr(observed, "PIECE_ROWS", 1000)
    pieces = written(stream, tmp_path / "pieces.parquet", answers)
    assert json.loads(whole.schema.metadata[b"admap"])["summary"]["learned_from"]["learned"]
    assert_same(whole, pieces)


def test_batches_are_let_go_once_they_are_looked_at():
    table, given, most = records(10**9, 4096).table(), [], [0]

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(table), 64):
            batch = table.slice(start, 64).combine_chunks().to_batches()[0]
            given.append(weakref.ref(batch))
            most[0] = max(most[0], sum(one() is not None for one in given))
            yield batch

    observed.observe_pieces(RecordStream(batches, table.schema))
    assert most[0] <= observed.WORKERS + 4
