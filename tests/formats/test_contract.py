"""Every format, in every container: what is read, and that reading and correcting are inverse."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.formats.format import TieCannotBeSaid
from argilla_admap.formats.registry import FORMATS, read
from argilla_admap.formats.writeback.corrected import write_corrected
from argilla_admap.formats.writeback.edits import edit_json, edit_value
from argilla_admap.records import Record
from tests.formats.samples import SAMPLES, sample

CONTAINERS = ("jsonl", "json", "csv", "parquet")
#: Samples of formats that only know better and worse.
WITHOUT_TIES = {
    *("trl", "trl-messages", "trl-implicit", "hh-rlhf", "alpaca", "sharegpt", "versus", "versus-shp", "trl-system"),
    *(
        "trl-messages-implicit",
        "trl-messages-json-text",
        "trl-messages-parts",
        "trl-messages-python-text",
        "trl-messages-tools",
    ),
    *("ms-swift", "ms-swift-messages", "openai-dpo", "pair-lists", "pair-lists-three", "stack-exchange-paired"),
    *("argilla_binarized-system", "versus-boolean", "versus-field-name", "versus-label-studio-min", "versus-llmbar"),
    *(
        "named-pair-messages",
        "versus-numbered-words",
        "label-studio",
        "argilla-export",
        "argilla-export-records",
        "ultrafeedback-cleaned",
    ),
}
#: Samples of pairs with ratings beside them, which become equal while the pair stays a pair.
PAIRS_WITH_RATINGS = {
    "argilla_binarized",
    "ultrafeedback_binarized",
    "orca",
    "ultrafeedback-cleaned",
    "trl-messages-implicit",
} | {"named-pair"}

#: Samples whose completions are good or bad.
TWO_LEVELS = {"kto-minus-one", "kto-words", "kto", "kto-messages", "kto-tag", "pair-lists", "pair-lists-three"}

each_sample = pytest.mark.parametrize("name", SAMPLES)
each_container = pytest.mark.parametrize("container", CONTAINERS)


def in_container(name: str, container: str, folder: Path) -> Path:
    """The sample's rows in a file of the container."""
    rows = [json.loads(line) for line in sample(name).read_text().splitlines()]
    path = folder / f"data.{container}"
    if container == "jsonl":
        path.write_bytes(sample(name).read_bytes())
    elif container == "json":
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    elif container == "csv":
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {key: value if isinstance(value, str) or value is None else json.dumps(value) for key, value in row.items()}
            for row in rows
        )
        path.write_bytes(out.getvalue().encode())
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return path


def by_text(record: Record) -> dict[str, float | None]:
    """The label without the completions' order, which changes when the sides of a pair do."""
    return dict(zip(record.completions, record.ratings, strict=True))


def better_pairs(label: Mapping[str, float | None]) -> set[tuple[str, str]]:
    """All pairs of which the first is better."""
    return {(a, b) for a, x in label.items() for b, y in label.items() if x is not None and y is not None and x > y}


def mirrored(ratings: tuple[float | None, ...]) -> tuple[float, ...]:
    """The best is the worst, on the same scale."""
    known = [r for r in ratings if r is not None]
    if len(set(known)) < 2:
        return tuple(float(n) for n in range(len(ratings)))
    return tuple(min(known) + max(known) - (r if r is not None else min(known)) for r in ratings)


def records(path: Path) -> list[Record]:
    return list(read(path).records())


@each_sample
def test_each_sample_is_recognised_by_itself(name: str) -> None:
    assert read(sample(name)).format.name == SAMPLES[name]


@each_sample
def test_only_one_format_is_the_best_for_the_sample_when_it_is_named(name: str) -> None:
    assert [r.completions for r in read(sample(name), format=SAMPLES[name]).records()] == [
        r.completions for r in records(sample(name))
    ]


def test_every_format_has_a_sample() -> None:
    assert {f.name for f in FORMATS} - set(SAMPLES.values()) == {"fields"}


@each_container
@each_sample
def test_each_sample_reads_the_same_from_every_container(name: str, container: str, tmp_path: Path) -> None:
    assert records(in_container(name, container, tmp_path)) == records(sample(name))


@each_container
@each_sample
def test_corrections_that_say_what_the_file_says_leave_every_byte(name: str, container: str, tmp_path: Path) -> None:
    original = in_container(name, container, tmp_path)
    same = {r.id: r.ratings for r in records(original)}
    report = write_corrected(original, tmp_path / f"out.{container}", same)
    assert report.corrected == 0
    assert len(report.already) == len(same)
    if container == "parquet":
        assert pq.read_table(tmp_path / "out.parquet").equals(pq.read_table(original), check_metadata=True)
    else:
        assert (tmp_path / f"out.{container}").read_bytes() == original.read_bytes()


@each_container
@each_sample
def test_a_corrected_record_reads_back_in_the_corrected_order_and_the_others_as_they_were(
    name: str, container: str, tmp_path: Path
) -> None:
    original = in_container(name, container, tmp_path)
    before = records(original)
    wrong = before[0]
    wanted = mirrored(wrong.ratings)
    if name == "completions" and container in ("csv", "parquet"):
        # Its objects have no place for a rating: in JSON one is made.
        return
    report = write_corrected(original, tmp_path / f"out.{container}", {wrong.id: wanted})
    after = records(tmp_path / f"out.{container}")
    assert report.corrected == 1
    assert not report.unmatched
    assert better_pairs(by_text(after[0])) == better_pairs(dict(zip(wrong.completions, wanted, strict=True)))
    assert after[1:] == before[1:]
    assert after[0].prompt == wrong.prompt


@each_sample
def test_only_the_corrected_rows_bytes_change(name: str, tmp_path: Path) -> None:
    original = sample(name)
    wrong = records(original)[1]
    wanted = mirrored(wrong.ratings)
    write_corrected(original, tmp_path / "out.jsonl", {wrong.id: wanted})
    before, after = original.read_bytes().splitlines(), (tmp_path / "out.jsonl").read_bytes().splitlines()
    rows_a_record = len(before) // 3
    changed = {n // rows_a_record for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}
    assert changed == {1}


@each_sample
def test_correcting_twice_back_and_forth_gives_the_first_bytes(name: str, tmp_path: Path) -> None:
    original = sample(name)
    first = records(original)[0]
    if len(set(first.ratings)) == 1:
        return
    write_corrected(original, tmp_path / "there.jsonl", {first.id: mirrored(first.ratings)})
    turned = records(tmp_path / "there.jsonl")[0]
    back = tuple(by_text(first)[text] for text in turned.completions)
    write_corrected(tmp_path / "there.jsonl", tmp_path / "back.jsonl", {turned.id: back})
    assert (tmp_path / "back.jsonl").read_bytes() == original.read_bytes()


@each_sample
def test_a_tie_is_written_where_the_format_can_say_it_and_counted_where_it_cannot(name: str, tmp_path: Path) -> None:
    original = sample(name)
    first = records(original)[0]
    tie = (2.0,) * len(first.ratings)
    report = write_corrected(original, tmp_path / "out.jsonl", {first.id: tie})
    if name in PAIRS_WITH_RATINGS:
        assert report.ties_kept == [first.id]
        assert len(set(records(tmp_path / "out.jsonl")[0].ratings)) == 1
    elif name in WITHOUT_TIES:
        assert report.ties_kept == [first.id]
        assert (tmp_path / "out.jsonl").read_bytes() == original.read_bytes()
        dropped = write_corrected(original, tmp_path / "dropped.jsonl", {first.id: tie}, ties="drop")
        assert dropped.ties_dropped == [first.id]
        assert (tmp_path / "dropped.jsonl").read_bytes() == b"".join(original.read_bytes().splitlines(keepends=True)[1:])
    else:
        assert report.ties_kept == []
        assert len(set(records(tmp_path / "out.jsonl")[0].ratings)) == 1


@each_sample
@given(data=st.data())
def test_any_correction_reads_back_in_its_order(name: str, data: st.DataObject) -> None:
    chosen = read(sample(name)).format
    lines = sample(name).read_text().splitlines()
    size = len(lines) // 3
    first = data.draw(st.integers(0, 2)) * size
    texts = lines[first : first + size]
    rows = [json.loads(text) for text in texts]
    draft = chosen.format.parse(rows, chosen.fields)
    k = len(draft.completions)
    wanted = data.draw(st.lists(st.sampled_from([None, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0]), min_size=k, max_size=k))
    expected = [old if new is None else new for old, new in zip(draft.ratings, wanted, strict=True)]
    try:
        edits = chosen.format.correct(rows, draft, wanted, chosen.fields)
    except TieCannotBeSaid:
        # A verdict knows one better side; both bad is more than most can say.
        assert len(set(expected)) < len(expected) or name in TWO_LEVELS
        assert name in WITHOUT_TIES | PAIRS_WITH_RATINGS or max(expected) == 0
        return
    after = [json.loads(edit_json(text, mine)) for text, mine in zip(texts, edits, strict=True)]
    label = dict(
        zip(*(getattr(chosen.format.parse(after, chosen.fields), part) for part in ("completions", "ratings")), strict=True)
    )
    asked = better_pairs(dict(zip(draft.completions, expected, strict=True)))
    if name in TWO_LEVELS:
        # Good and bad are all that it knows.
        assert not {(b, a) for a, b in better_pairs(label)} & asked
    else:
        assert better_pairs(label) == asked
    assert after == [edit_value(row, mine) for row, mine in zip(rows, edits, strict=True)]


def test_ratings_that_contradict_the_chosen_side_are_taken_in_its_order(tmp_path: Path) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "chosen_score": 2, "rejected_score": 7}
    (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
    record = records(tmp_path / "x.jsonl")[0]
    assert record.ratings == (7.0, 2.0)
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {record.id: (2.0, 7.0)})
    after = json.loads((tmp_path / "y.jsonl").read_text())
    assert after == {"prompt": "p", "chosen": "b", "rejected": "a", "chosen_score": 7, "rejected_score": 2}
