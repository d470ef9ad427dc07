"""A correction reaches exactly its rows: random data, answers and edits of the original, in every container.

The oracle follows each row by a number that the product never sees, and knows nothing of ids, hashes or formats: it compares
rows as Python values, with the readers of other libraries.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from argilla_admap.formats.registry import read
from argilla_admap.formats.writeback.corrected import CorrectedReport, SeenRecord, write_corrected

Row = dict[str, Any]


# --- files, by other libraries --------------------------------------------------------------------------------------------


def _lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows)


def _read_csv(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return [{k: json.loads(v) if v.startswith("[") else v for k, v in row.items()} for row in csv.DictReader(file)]


def _write_folder(path: Path, rows: list[Row]) -> None:
    path.mkdir()
    for start in range(0, len(rows), 4):
        (path / f"part-{start:03}.jsonl").write_bytes(_lines(rows[start : start + 4]))


def _parse(content: bytes) -> list[Row]:
    return [json.loads(line) for line in content.splitlines()]


@dataclass(frozen=True)
class Container:
    name: str
    write: Callable[[Path, list[Row]], object]
    read: Callable[[Path], list[Row]]


CONTAINERS = [
    Container("x.jsonl", lambda p, rows: p.write_bytes(_lines(rows)), lambda p: _parse(p.read_bytes())),
    Container("one-line.json", lambda p, rows: p.write_text(json.dumps(rows)), lambda p: json.loads(p.read_bytes())),
    Container("indented.json", lambda p, rows: p.write_text(json.dumps(rows, indent=2)), lambda p: json.loads(p.read_bytes())),
    Container("x.csv", _write_csv, _read_csv),
    Container(
        "x.parquet",
        lambda p, rows: pq.write_table(pa.Table.from_pylist(rows), p, row_group_size=3),
        lambda p: pq.read_table(p).to_pylist(),
    ),
    Container(
        "x.jsonl.gz",
        lambda p, rows: p.write_bytes(gzip.compress(_lines(rows))),
        lambda p: _parse(gzip.decompress(p.read_bytes())),
    ),
    Container(
        "x.jsonl.zst",
        lambda p, rows: p.write_bytes(zstandard.ZstdCompressor().compress(_lines(rows))),
        lambda p: _parse(zstandard.ZstdDecompressor().decompressobj().decompress(p.read_bytes())),
    ),
    Container("folder", _write_folder, lambda p: [row for part in sorted(p.iterdir()) for row in _parse(part.read_bytes())]),
    Container(
        "saved",
        lambda p, rows: datasets.Dataset.from_list(rows).save_to_disk(str(p)),
        lambda p: datasets.load_from_disk(str(p)).to_list(),
    ),
]


# --- layouts, as values ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairLayout:
    """Which text is `chosen` is the label."""

    def row(self, rng: random.Random) -> Row:
        chosen, rejected = rng.sample(["yes", "no", "- maybe"], 2)
        return {"prompt": rng.choice(["p", "q", "r"]), "chosen": chosen, "rejected": rejected}

    def texts(self, row: Row) -> list[str]:
        return [row["chosen"], row["rejected"]]

    def prompt(self, row: Row) -> str:
        return str(row["prompt"])

    def label(self, row: Row) -> dict[str, float]:
        return {row["chosen"]: 1.0, row["rejected"]: 0.0}

    def relabel(self, row: Row, label: dict[str, float]) -> Row:
        best, worst = sorted(label, key=lambda text: -label[text])
        return {**row, "chosen": best, "rejected": worst}

    def any_label(self, row: Row, rng: random.Random) -> dict[str, float]:
        label = self.label(row)
        return label if rng.random() < 0.4 else {text: 1.0 - rating for text, rating in label.items()}

    def other_texts(self, row: Row) -> Row:
        return {**row, "rejected": row["rejected"] + "!"}


@dataclass(frozen=True)
class RatedLayout:
    """A list of ratings beside a list of texts."""

    def row(self, rng: random.Random) -> Row:
        texts = rng.sample(["yes", "no", "maybe", "never"], 3)
        return {"instruction": rng.choice("pqr"), "generations": texts, "ratings": [rng.randint(1, 5) for _ in texts]}

    def texts(self, row: Row) -> list[str]:
        return list(row["generations"])

    def prompt(self, row: Row) -> str:
        return str(row["instruction"])

    def label(self, row: Row) -> dict[str, float]:
        return dict(zip(row["generations"], map(float, row["ratings"]), strict=True))

    def relabel(self, row: Row, label: dict[str, float]) -> Row:
        return {**row, "ratings": [int(label[text]) for text in row["generations"]]}

    def any_label(self, row: Row, rng: random.Random) -> dict[str, float]:
        label = self.label(row)
        return label if rng.random() < 0.3 else {text: float(rng.randint(1, 5)) for text in label}

    def other_texts(self, row: Row) -> Row:
        return {**row, "generations": [row["generations"][0] + "!", *row["generations"][1:]]}


Layout = PairLayout | RatedLayout


# --- the oracle -----------------------------------------------------------------------------------------------------------


@dataclass
class Pushed:
    """A record as it was pushed: all rows that were equal."""

    row: Row
    id: str
    answer: dict[str, float] | None = None


@dataclass
class Tracked:
    """A row of the file with where it comes from, and what its owner did to it."""

    row: Row
    origin: Pushed | None
    edited: set[str] = field(default_factory=set)


def crowd(layout: Layout, row: Row) -> tuple[Any, ...]:
    """What rows have in common that ids alone cannot tell apart."""
    return (row["id"],) if "id" in row else (layout.prompt(row), *sorted(layout.texts(row)))


def made_rows(layout: Layout, rng: random.Random, ids: str) -> list[Row]:
    rows: list[Row] = []
    for number in range(rng.randint(3, 12)):
        if rows and rng.random() < 0.2:
            rows.append(dict(rng.choice(rows)))
            continue
        row = layout.row(rng)
        if ids != "none":
            row = {"id": f"id{number}" if ids == "own" else f"id{rng.randint(0, 3)}", **row}
        rows.append({**row, "note": rng.choice(["n1", "n2", "n3"])})
    return rows


def edited_file(layout: Layout, rng: random.Random, tracked: list[Tracked]) -> list[Tracked]:
    found: list[Tracked] = []
    for one in tracked:
        what = rng.choice(["", "", "", "", "label", "texts", "note", "gone", "sibling"])
        same = [other.row for other in tracked if crowd(layout, other.row) == crowd(layout, one.row)]
        if what == "note" and any(row != one.row and row["note"] == one.row["note"] for row in same):
            # Of two rows that differ in the label alone, nobody can tell which is which once the rest is another.
            what = ""
        if what == "label":
            now = layout.relabel(one.row, layout.any_label(one.row, rng))
            found.append(Tracked(now, one.origin, {"label"} if now != one.row else set()))
        elif what == "texts":
            found.append(Tracked(layout.other_texts(one.row), one.origin, {"texts"}))
        elif what == "note":
            found.append(Tracked({**one.row, "note": f"edited {len(found)}"}, one.origin, {"note"}))
        elif what == "sibling":
            found += [Tracked({**one.row, "note": f"new {len(found)}"}, None), one]
        elif what != "gone":
            found.append(one)
    if rng.random() < 0.5:
        rng.shuffle(found)
    return found or tracked[:1]


def check(layout: Layout, before: list[Tracked], after: list[Row], pushed: list[Pushed], report: CorrectedReport) -> None:
    assert len(after) == len(before)
    crowds: dict[tuple[Any, ...], int] = {}
    for row in [p.row for p in pushed] + [t.row for t in before]:
        crowds[crowd(layout, row)] = crowds.get(crowd(layout, row), 0) + 1
    there = [one.origin.id for one in before if one.origin is not None and "texts" not in one.edited]
    gone = [record.row for record in pushed if record.id not in there]
    for one, now in zip(before, after, strict=True):
        # A row that its owner made another record's, as a whole, is that record's.
        origin = next((record for record in pushed if record.row == one.row), one.origin)
        if origin is not one.origin:
            one = Tracked(one.row, origin)
        if origin is None and any(crowd(layout, row) == crowd(layout, one.row) for row in gone):
            # A row that went and one that came with its texts are the same as a row whose note was edited.
            continue
        if origin is None or origin.answer is None or "texts" in one.edited:
            assert now == one.row, "a row that nobody answered stays"
            continue
        alone = crowds[crowd(layout, origin.row)] == 2
        wanted = layout.relabel(one.row, origin.answer)
        now_label, old_label = layout.label(one.row), layout.label(origin.row)
        if any(rating not in (old_label[text], origin.answer[text]) for text, rating in now_label.items()) or (
            "label" in one.edited and origin.answer == old_label
        ):
            assert now == one.row, "a label that its owner changed stays"
            assert not alone or origin.id in report.conflicts, "and is said"
        elif alone:
            assert now == wanted, "an answer is written"
            assert origin.id not in report.not_written
        else:
            assert now in (wanted, one.row), "a row gets its own answer or none"
            if now != wanted:
                # A repeated row that its owner edited is a record of its own.
                assert origin.id in report.not_written or "note" in one.edited, "what is not written is said"


def pull(
    original: Path, output: Path, layout: Layout, pushed: list[Pushed], *, know: bool = True, **options: Any
) -> CorrectedReport:
    seen, corrections = {}, {}
    for one in pushed:
        if one.answer is not None:
            texts, label = layout.texts(one.row), layout.label(one.row)
            seen[one.id] = SeenRecord(tuple(label[t] for t in texts), layout.prompt(one.row), tuple(texts))
            if one.answer != label:
                corrections[one.id] = tuple(one.answer[t] for t in texts)
    known = [one.id for one in pushed] if know else None
    return write_corrected(original, output, corrections, seen=seen, known=known, **options)


def pushed_records(container: Container, layout: Layout, rows: list[Row], path: Path) -> list[Pushed]:
    """One record for all rows that are equal, in the order of the file, with the ids that the product gives."""
    container.write(path, rows)
    distinct = [row for n, row in enumerate(rows) if row not in rows[:n]]
    ids = [record.id for record in read(path).records()]
    assert len(ids) == len(distinct) == len(set(ids))
    return [Pushed(row, identity) for row, identity in zip(distinct, ids, strict=True)]


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda c: c.name)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(
    seed=st.integers(0, 2**32),
    layout=st.sampled_from([PairLayout(), RatedLayout()]),
    ids=st.sampled_from(["none", "own", "shared"]),
    edit=st.booleans(),
)
def test_every_answer_reaches_its_rows_and_no_other(
    container: Container,
    seed: int,
    layout: Layout,
    ids: str,
    edit: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("rows")
    round_trip(container, layout, rng, ids, folder, edit=edit)


def round_trip(container: Container, layout: Layout, rng: random.Random, ids: str, folder: Path, *, edit: bool) -> None:
    rows = made_rows(layout, rng, ids)
    pushed = pushed_records(container, layout, rows, folder / container.name)
    for one in pushed:
        if rng.random() < 0.6:
            one.answer = layout.any_label(one.row, rng)
    tracked = [Tracked(row, next(p for p in pushed if p.row == row)) for row in rows]
    original = folder / container.name
    if edit:
        tracked = edited_file(layout, rng, tracked)
        original = folder / f"edited-{container.name}"
        container.write(original, [one.row for one in tracked])
    output = folder / (f"out-{container.name}")
    report = pull(original, output, layout, pushed)
    after = container.read(output)
    check(layout, tracked, after, pushed, report)
    if not edit:
        assert report.conflicts == []

    # The same answers once more, against the file that has them.
    second = folder / f"again-{container.name}"
    container.write(second, after)
    again = pull(second, folder / f"third-{container.name}", layout, pushed)
    assert again.corrected == 0
    unedited = [one for one in pushed if one.id not in report.not_written and one.answer is not None]
    crowds = [crowd(layout, one.row) for one in pushed]
    if not edit:
        assert not [one.id for one in unedited if crowds.count(crowd(layout, one.row)) == 1 and one.id in again.conflicts]
