"""A correction reaches exactly its rows: random data, answers and edits of the original, in every layout and container.

The oracle follows each record by a number that the product never sees, and knows nothing of ids, hashes or formats: it compares
rows as Python values, with the readers of other libraries.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import random
from collections.abc import Callable, Sequence
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

from argilla_admap.formats.registry import FORMATS, read
from argilla_admap.formats.writeback.corrected import CorrectedReport, SeenRecord, write_corrected
from argilla_admap.records import Record
from tests.formats.row_layouts import LAYOUTS, Layout, Row, Unit

PROMPT, NOTE = "my__prompt", "my__note"


# --- files, by other libraries --------------------------------------------------------------------------------------------


def _lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _csv(rows: list[Row]) -> bytes:
    out = io.StringIO(newline="")
    table = csv.DictWriter(out, list(rows[0]))
    table.writeheader()
    table.writerows({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows)
    return out.getvalue().encode()


def _from_csv(content: bytes) -> list[Row]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def _parts(write: Callable[[Path, list[Row]], object], suffix: str) -> Callable[[Path, list[Row]], None]:
    def folder(path: Path, rows: list[Row]) -> None:
        path.mkdir()
        for number, start in enumerate(range(0, len(rows), 6)):
            write(path / f"part-{number:03}.{suffix}", rows[start : start + 6])

    return folder


def _whole(read: Callable[[Path], list[Row]]) -> Callable[[Path], list[Row]]:
    return lambda path: [row for part in sorted(path.iterdir()) for row in read(part)]


def _save_dict(path: Path, rows: list[Row]) -> None:
    half = (len(rows) + 6) // 12 * 6
    parts = {name: part for name, part in (("test", rows[:half]), ("train", rows[half:])) if part}
    datasets.DatasetDict({name: datasets.Dataset.from_list(part) for name, part in parts.items()}).save_to_disk(str(path))


def _load_dict(path: Path) -> list[Row]:
    loaded = datasets.load_from_disk(str(path))
    return [row for name in ("test", "train") if name in loaded for row in loaded[name].to_list()]


def _parse(content: bytes) -> list[Row]:
    return [json.loads(line) for line in content.splitlines()]


def _write_parquet(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)


@dataclass(frozen=True)
class Container:
    name: str
    write: Callable[[Path, list[Row]], object]
    read: Callable[[Path], list[Row]]
    split: str | None = None


CONTAINERS = [
    Container("x.jsonl", lambda p, rows: p.write_bytes(_lines(rows)), lambda p: _parse(p.read_bytes())),
    Container("one-line.json", lambda p, rows: p.write_text(json.dumps(rows)), lambda p: json.loads(p.read_bytes())),
    Container("indented.json", lambda p, rows: p.write_text(json.dumps(rows, indent=2)), lambda p: json.loads(p.read_bytes())),
    Container("x.csv", lambda p, rows: p.write_bytes(_csv(rows)), lambda p: _from_csv(p.read_bytes())),
    Container(
        "x.csv.gz",
        lambda p, rows: p.write_bytes(gzip.compress(_csv(rows))),
        lambda p: _from_csv(gzip.decompress(p.read_bytes())),
    ),
    Container("x.parquet", _write_parquet, lambda p: pq.read_table(p).to_pylist()),
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
    Container(
        "folder",
        _parts(lambda p, rows: p.write_bytes(_lines(rows)), "jsonl"),
        _whole(lambda p: _parse(p.read_bytes())),
    ),
    Container("shards", _parts(_write_parquet, "parquet"), _whole(lambda p: pq.read_table(p).to_pylist())),
    Container(
        "saved",
        lambda p, rows: datasets.Dataset.from_list(rows).save_to_disk(str(p)),
        lambda p: datasets.load_from_disk(str(p)).to_list(),
    ),
    Container("splits", _save_dict, _load_dict, split="all"),
]


def said(value: Any) -> Any:
    """The value as it is the same in all containers: a cell of CSV is text, a column of a table has one type."""
    if isinstance(value, str):
        if value[:1] in ("[", "{") or value in ("true", "false"):
            return said(json.loads(value))
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        return {key: said(inner) for key, inner in value.items() if inner not in (None, "")}
    if isinstance(value, list):
        return [said(item) for item in value]
    return float(value) if isinstance(value, (int, float)) else value


# --- the oracle -----------------------------------------------------------------------------------------------------------


@dataclass
class Pushed:
    """A record as it was pushed: all rows that were equal."""

    unit: Unit
    record: Record
    answer: dict[str, float] | None = None

    @property
    def id(self) -> str:
        return self.record.id


@dataclass
class Tracked:
    """A record of the file with where it comes from, and what its owner did to it."""

    unit: Unit
    origin: Pushed | None
    edited: set[str] = field(default_factory=set)


@dataclass
class World:
    """A layout, and what its rows say."""

    layout: Layout
    rng: random.Random

    @property
    def grouped(self) -> bool:
        """Whether rows that follow each other are one record, so that records of one prompt must not meet."""
        return self.layout.name in ("kto", "kto of -1", "helpsteer2", "scored-rows")

    def label(self, unit: Unit) -> dict[str, float]:
        return self.layout.label(unit)

    def relabel(self, unit: Unit, label: dict[str, float]) -> Unit:
        return self.layout.relabel(unit, label, str(unit[0][PROMPT]))

    def other_label(self, unit: Unit) -> dict[str, float]:
        """The record's own label or, more often, any other."""
        label = self.label(unit)
        return label if self.rng.random() < 0.35 else dict(zip(label, self.layout.any_label(self.rng), strict=True))

    def said(self, unit: Unit) -> object:
        """The rows as they are the same in all containers; of a pair of lists, the order within each is free."""
        free = ("chosen", "rejected") if self.layout.name == "pair-lists" else ()
        return [{key: sorted(map(str, v)) if key in free else v for key, v in said(row).items()} for row in unit]

    def noted(self, unit: Unit, note: str) -> Unit:
        return [{**row, NOTE: note} for row in unit]

    def crowd(self, unit: Unit) -> tuple[Any, ...]:
        """What records have in common that ids alone cannot tell apart."""
        return (unit[0]["id"],) if unit[0].get("id") else (unit[0][PROMPT], *sorted(self.label(unit)))

    def units(self, ids: str) -> list[Unit]:
        made: list[Unit] = []
        for number in range(self.rng.randint(3, 9)):
            if made and self.rng.random() < 0.2 and not self.grouped:
                made.append([dict(row) for row in self.rng.choice(made)])
                continue
            prompt = f"p{number}" if self.grouped else self.rng.choice(["p", "q", "r"])
            unit = self.layout.new(prompt, self.rng.sample(["yes", "no", "- maybe", "never"], self.layout.k), self.rng)
            identity = {"own": f"id{number}", "shared": f"id{self.rng.randint(0, 3)}"}.get(ids)
            beside = {PROMPT: prompt, NOTE: self.rng.choice(["n1", "n2", "n3"]), **({"id": identity} if identity else {})}
            made.append([{**row, **beside} for row in unit])
        return made

    def edited_file(self, tracked: list[Tracked]) -> list[Tracked]:
        rng, found = self.rng, []
        for one in tracked:
            what = rng.choice(["", "", "", "", "label", "texts", "note", "gone", "sibling"])
            if what == "label":
                now = self.relabel(one.unit, self.other_label(one.unit))
                found.append(Tracked(now, one.origin, {"label"} if now != one.unit else set()))
            elif what == "texts":
                changed = self.layout.other_texts(one.unit, str(one.unit[0][PROMPT]))
                found.append(Tracked(changed, one.origin, {"texts"}))
            elif what == "note":
                found.append(Tracked(self.noted(one.unit, f"edited {len(found)}"), one.origin, {"note"}))
            elif what == "sibling" and not self.grouped:
                found += [Tracked(self.noted(one.unit, f"new {len(found)}"), None), one]
            elif what != "gone":
                found.append(one)
        if rng.random() < 0.5:
            rng.shuffle(found)
        return found or tracked[:1]

    def check(self, before: list[Tracked], after: list[Unit], pushed: list[Pushed], report: CorrectedReport) -> None:
        crowds: dict[tuple[Any, ...], int] = {}
        for unit in [p.unit for p in pushed] + [t.unit for t in before]:
            crowds[self.crowd(unit)] = crowds.get(self.crowd(unit), 0) + 1
        there = [one.origin.id for one in before if one.origin is not None and "texts" not in one.edited]
        gone = [record.unit for record in pushed if record.id not in there]
        for one, now in zip(before, after, strict=True):
            # A row that its owner made another record's, as a whole, is that record's.
            origin = next((record for record in pushed if record.unit == one.unit), one.origin)
            if origin is not one.origin:
                one = Tracked(one.unit, origin)
            if origin is None and any(self.crowd(unit) == self.crowd(one.unit) for unit in gone):
                # A row that went and one that came with its texts are the same as a row whose note was edited.
                continue
            as_it_was = self.said(now) == self.said(one.unit)
            if origin is None or origin.answer is None or "texts" in one.edited:
                assert as_it_was, "a row that nobody answered stays"
                continue
            alone = crowds[self.crowd(origin.unit)] == 2
            written = self.said(now) == self.said(self.relabel(one.unit, origin.answer))
            now_label, old_label = self.label(one.unit), self.label(origin.unit)
            third = any(rating not in (old_label[text], origin.answer[text]) for text, rating in now_label.items())
            if origin.answer == old_label and "label" in one.edited:
                assert as_it_was, "a label that its owner changed stays"
                assert not alone or _same_order(now_label, old_label) or origin.id in report.conflicts, "and is said"
            elif third:
                assert as_it_was, "a label that its owner changed to a third one stays"
                assert not alone or origin.id in report.conflicts, "and is said"
            elif alone:
                assert written, "an answer is written"
                assert origin.id not in report.not_written
            else:
                assert written or as_it_was, "a row gets its own answer or none"
                if not written:
                    # A repeated row that its owner edited is a record of its own.
                    assert origin.id in report.not_written or one.edited & {"note", "label"}, "what is not written is said"


def _same_order(first: dict[str, float], second: dict[str, float]) -> bool:
    """Whether two labels of a pair prefer the same one."""
    (a, x), (b, y) = first.items() if len(first) == 2 else (("", 0.0), ("", 0.0))
    return len(first) == 2 and (x > y, x < y) == (second[a] > second[b], second[a] < second[b])


def pull(original: Path, output: Path, pushed: list[Pushed], **options: Any) -> CorrectedReport:
    seen, corrections = {}, {}
    for one in pushed:
        if one.answer is not None:
            record = one.record
            seen[one.id] = SeenRecord(record.ratings, record.prompt, record.completions)
            after = tuple(one.answer[text] for text in record.completions)
            if after != record.ratings:
                corrections[one.id] = after
    known = [one.id for one in pushed]
    return write_corrected(original, output, corrections, seen=seen, known=known, **options)


def pushed_records(world: World, path: Path, units: list[Unit], options: dict[str, Any]) -> list[Pushed]:
    """One record for all rows that are equal, in the order of the file, as the product reads them."""
    distinct = [unit for n, unit in enumerate(units) if unit not in units[:n]]
    records = list(read(path, **options).records())
    assert len(records) == len(distinct) == len({record.id for record in records})
    for record, unit in zip(records, distinct, strict=True):
        assert dict(zip(record.completions, record.ratings, strict=True)) == world.label(unit)
    return [Pushed(unit, record) for unit, record in zip(distinct, records, strict=True)]


def round_trip(container: Container, layout: Layout, rng: random.Random, ids: str, folder: Path, *, edit: bool) -> None:
    world = World(layout, rng)
    options = {**layout.options, **({"split": container.split} if container.split else {})}
    units = world.units(ids)
    original = folder / container.name
    rows = [len(unit) for unit in units]

    def write(path: Path, found: Sequence[Unit]) -> None:
        container.write(path, [row for unit in found for row in unit])

    def load(path: Path) -> list[Unit]:
        loaded = iter(container.read(path))
        return [list(unit) for unit in iter(lambda: list(itertools.islice(loaded, rows[0])), [])]

    write(original, units)
    pushed = pushed_records(world, original, units, options)
    for one in pushed:
        if rng.random() < 0.6:
            one.answer = world.other_label(one.unit)
    tracked = [Tracked(unit, next(p for p in pushed if p.unit == unit)) for unit in units]
    if edit:
        tracked = world.edited_file(tracked)
        original = folder / f"edited-{container.name}"
        write(original, [one.unit for one in tracked])
    output = folder / f"out-{container.name}"
    report = pull(original, output, pushed, **options)
    after = load(output)
    world.check(tracked, after, pushed, report)
    if not edit:
        assert report.conflicts == []

    # The same answers once more, against the file that has them.
    again = pull(output, folder / f"again-{container.name}", pushed, **options)
    assert again.corrected == 0
    assert load(folder / f"again-{container.name}") == after
    crowds = [world.crowd(one.unit) for one in pushed]
    if not edit:
        answered = [one for one in pushed if one.id not in report.not_written and one.answer is not None]
        assert not [one.id for one in answered if crowds.count(world.crowd(one.unit)) == 1 and one.id in again.conflicts]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@settings(max_examples=9, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(
    seed=st.integers(0, 2**32),
    container=st.sampled_from(CONTAINERS),
    ids=st.sampled_from(["none", "own", "shared"]),
    edit=st.booleans(),
)
def test_every_answer_reaches_its_rows_and_no_other(
    layout: Layout, seed: int, container: Container, ids: str, edit: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    round_trip(container, layout, random.Random(seed), ids, tmp_path_factory.mktemp("rows"), edit=edit)


def test_every_format_that_can_be_read_is_among_the_layouts() -> None:
    named = {layout.name.partition(" ")[0] for layout in LAYOUTS}
    assert {f.name for f in FORMATS} <= named
