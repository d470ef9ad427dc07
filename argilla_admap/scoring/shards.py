"""A part of the records for each of several machines, and what they scored put together again.

A record's shard is told by its prompt, so that equal questions are asked on one machine and paid once. Each scored file keeps
the place of its rows in the input; a merge finds a part that is missing, there twice, or scored by another judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array

from argilla_admap.errors import InputError
from argilla_admap.scoring.batch.ledger import waiting_in_batches
from argilla_admap.scoring.cache.store import Store
from argilla_admap.scoring.options import read_shard
from argilla_admap.scoring.output import ROW
from argilla_admap.tables import RecordStream, read_stream, row_groups, write_parquet

__all__ = ["merge_parts", "merge_stores", "record_slices", "shard_of", "text_hashes"]

#: What must be equal of judges whose scores stand in one file. Not the endpoint: each machine may have a server of its own.
_OF_A_JUDGE = ("scorer", "model", "range", "method", "prompt_version", "rubric", "reasons", "guide", "together", "samples")
_SUMMED = ("records", "completions", "scored", "unscored", "requests", "cached", "input_tokens", "output_tokens", "retried")
_ROWS = 256
_AGAIN = "score all parts of the same input with `shard` 1/N to N/N"


def shard_of(stream: RecordStream, words: str) -> RecordStream:
    """The records of one part, with their places in the column `ROW`. Records of equal prompts are in one part.

    Each pass leaves in the result's `info` which part it is, and of what input.

    Raises:
        InputError: as `read_shard`.
    """
    part, of = read_shard(words)
    schema = pa.schema([*stream.schema, pa.field(ROW, pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        first, digest = 0, 0
        for batch in stream.batches():
            rows = np.arange(first, first + batch.num_rows)
            first += batch.num_rows
            prompts = text_hashes(batch.column("prompt"))
            with np.errstate(over="ignore"):
                digest += int((_record_hashes(batch, prompts) * _odd(rows)).sum())
            own: Any = pa.array(prompts % np.uint64(of) == part - 1)
            columns = [*batch.columns, pa.array(rows)]
            found = pa.RecordBatch.from_arrays(columns, schema=schema).filter(own)
            if found.num_rows:
                yield found
        sharded.info["shard"] = {"part": part, "of": of, "records": first, "input": f"{digest % 2**64:016x}"}

    sharded = RecordStream(batches, schema, stream.info)
    return sharded


def record_slices(stream: RecordStream, limit: int | None) -> Iterator[pa.RecordBatch]:
    """The first `limit` records, or all, in batches of at most 256: what is asked together."""
    left = limit
    for batch in stream.batches():
        for start in range(0, batch.num_rows, _ROWS):
            piece = batch.slice(start, _ROWS if left is None else min(_ROWS, left))
            if left is not None:
                left -= piece.num_rows
            if piece.num_rows:
                yield piece
            if left == 0:
                return


def text_hashes(texts: Any) -> npt.NDArray[np.uint64]:
    """A number of each text, the same on every machine; shape (n,)."""
    hashed: npt.NDArray[np.uint64] = hash_array(np.asarray(texts.to_numpy(zero_copy_only=False), object), categorize=False)
    return hashed.astype(np.uint64)


def _record_hashes(batch: pa.RecordBatch, prompts: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A number of each record: of its id, prompt, completions and label; shape (n,)."""
    found: npt.NDArray[np.uint64] = text_hashes(batch.column("id")) + np.uint64(3) * prompts
    for factor, name in ((5, "completions"), (7, "ratings")):
        lists: Any = batch.column(name)
        # A slice has the values of its own rows alone; rows without a list have none.
        lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
        values = text_hashes(pc.cast(lists.flatten(), pa.string()).fill_null(""))
        ends = np.cumsum(lengths)
        places = np.arange(len(values)) - np.repeat(ends - lengths, lengths)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values * _odd(places), dtype=np.uint64)])
        found += np.uint64(factor) * (sums[ends] - sums[ends - lengths])
    return found


def _odd(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    odd: npt.NDArray[np.uint64] = np.uint64(2) * numbers.astype(np.uint64) + np.uint64(1)
    return odd


@dataclass(frozen=True, slots=True)
class _Part:
    """One scored part: its file, its records, and what the file says of itself."""

    path: str
    stream: RecordStream
    shard: Mapping[str, Any]
    score: Mapping[str, Any]


def merge_parts(paths: Sequence[str], output: str | Path | None) -> dict[str, Any]:
    """Puts scored parts together, in the order of the input.

    Args:
        paths: the files that `score` wrote with `shard`, in any order.
        output: the file to write, whole or absent; None: the parts are looked at, nothing is written.
    Returns:
        the summary of `score`, over all parts, and `parts`.
    Raises:
        InputError: no such file, no part, a part that is missing or there twice, parts of different inputs, different judges.
    """
    parts = [_opened(path) for path in paths]
    _check_parts(parts)
    filled = [part for part in parts if part.score["records"]] or parts[:1]
    _check_judges(filled)
    schema = pa.schema([field for field in filled[0].stream.schema if field.name != ROW])
    for part in filled[1:]:
        if part.stream.schema != filled[0].stream.schema:
            raise InputError(f"{part.path}: its columns are others than those of {filled[0].path}", hint=_AGAIN)
    records = int(parts[0].shard["records"])
    merged = _summary([part.score for part in parts])
    info = {name: value for name, value in filled[0].stream.info.items() if name != "shard"}
    info["score"] = {**filled[0].score, **merged}
    if output is not None:
        rows = (batch.drop_columns([ROW]) for batch in _in_order(filled, records))
        write_parquet(output, row_groups(rows), schema, info)
    return {
        **merged,
        "parts": len(parts),
        "model": filled[0].score.get("model"),
        "output": None if output is None else str(output),
    }


def _opened(path: str) -> _Part:
    stream = read_stream(path)
    shard, score = stream.info.get("shard"), stream.info.get("score")
    if not isinstance(shard, dict) or not isinstance(score, dict) or not {"part", "of", "records", "input"} <= set(shard):
        raise InputError(f"{path}: not a part: it was scored without `shard`", hint=_AGAIN)
    return _Part(path, stream, shard, score)


def _check_parts(parts: Sequence[_Part]) -> None:
    if not parts:
        raise InputError("no parts are given", option="parts", hint=_AGAIN)
    first = parts[0]
    seen: dict[int, str] = {}
    for part in parts:
        if part.shard["of"] != first.shard["of"]:
            words = f"{part.path} is a part of {part.shard['of']}, {first.path} of {first.shard['of']}"
            raise InputError(words, option="parts", hint=_AGAIN)
        if (part.shard["input"], part.shard["records"]) != (first.shard["input"], first.shard["records"]):
            raise InputError(f"{part.path} and {first.path} are parts of different inputs", option="parts", hint=_AGAIN)
        if part.shard["part"] in seen:
            words = (
                f"part {part.shard['part']} of {part.shard['of']} is there twice: {seen[part.shard['part']]} and {part.path}"
            )
            raise InputError(words, option="parts", hint="name each part once")
        seen[part.shard["part"]] = part.path
    missing = [str(number) for number in range(1, int(first.shard["of"]) + 1) if number not in seen]
    if missing:
        shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        hint = f"score what is missing with `shard` {missing[0]}/{first.shard['of']}"
        words = f"parts are missing of {first.shard['of']}: {shown}"
        raise InputError(words, option="parts", hint=hint)


def _check_judges(parts: Sequence[_Part]) -> None:
    def judges(part: _Part) -> list[dict[str, Any]]:
        return [{name: facts.get(name) for name in _OF_A_JUDGE} for facts in part.score.get("judges") or ()]

    first = judges(parts[0])
    for part in parts[1:]:
        if (own := judges(part)) != first:
            different = {
                name: (one[name], other[name])
                for one, other in zip(first, own, strict=False)
                for name in _OF_A_JUDGE
                if one[name] != other[name]
            }
            words = "; ".join(f"{name} {one!r} and {other!r}" for name, (one, other) in different.items())
            raise InputError(
                f"{parts[0].path} and {part.path} were scored by different judges ({words or 'not as many'})",
                hint="score all parts with the same options",
            )


def _in_order(parts: Sequence[_Part], records: int) -> Iterator[pa.RecordBatch]:
    """The rows of all parts by their places; holds a batch of each part at a time."""
    streams = [part.stream.batches() for part in parts]
    held = [next(stream, None) for stream in streams]
    done = 0
    while any(batch is not None for batch in held):
        # What is at or before the earliest end of a batch is complete.
        bound = min(batch.column(ROW)[-1].as_py() for batch in held if batch is not None)
        found = []
        for number, batch in enumerate(held):
            if batch is None:
                continue
            count = int(np.searchsorted(np.asarray(batch.column(ROW)), bound, "right"))
            found.append(batch.slice(0, count))
            held[number] = batch.slice(count) if count < batch.num_rows else next(streams[number], None)
        table = pa.Table.from_batches(found).sort_by(ROW).combine_chunks()
        places = np.asarray(table.column(ROW))
        expected = np.arange(done, done + len(places))
        if not np.array_equal(places, expected):
            at = int(expected[places != expected][0])
            raise InputError(f"row {at + 1} of the input is in no part, or in two", option="parts", hint=_AGAIN)
        done += len(places)
        yield from table.to_batches()
    if done != records:
        raise InputError(f"row {done + 1} of the input is in no part", option="parts", hint=_AGAIN)


def _summary(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    costs = [score.get("cost_usd") for score in scores]
    reasons: Counter[str] = Counter()
    for score in scores:
        reasons.update(score.get("reasons") or {})
    return {
        **{name: sum(int(score.get(name) or 0) for score in scores) for name in _SUMMED},
        "cost_usd": None if None in costs else round(sum(cost for cost in costs if cost is not None), 6),
        "stopped": next((score["stopped"] for score in scores if score.get("stopped")), None),
        "reasons": dict(reasons.most_common(20)),
    }


def merge_stores(stores: Sequence[Path], into: Path) -> int:
    """Takes the judgements of several stores into one; how many were new there.

    Raises:
        InputError: a file is absent or no store, or holds what a batch has not brought yet.
        ScoringError: the disk is full.
    """
    for path in stores:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file", option="part_store")
        if any(waiting_in_batches(path)):
            hint = "run its shard again to its end"
            raise InputError(f"{path}: some of its requests wait in a batch", option="part_store", hint=hint)
    store = Store(into)
    try:
        return sum(store.take_in(path) for path in stores if not into.samefile(path))
    finally:
        store.close()
