"""A set of corrections is taken back exactly, in every format and container that they are written in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from argilla_admap.formats.registry import read
from argilla_admap.formats.writeback.corrected import write_corrected
from argilla_admap.formats.writeback.matching import text_print
from argilla_admap.formats.writeback.patches import Patch
from argilla_admap.formats.writeback.undo import WrittenChange, undo_corrections
from argilla_admap.records import Record
from tests.formats.samples import sample
from tests.formats.test_contract import each_container, each_sample, in_container, mirrored, records


def correct(original: Path, output: Path, wrong: Sequence[Record]) -> list[WrittenChange]:
    """The records' labels turned round in the file, and the changes."""
    wanted = {record.id: mirrored(record.ratings) for record in wrong}
    report = write_corrected(original, output, wanted)
    assert report.corrected == len(wrong)
    return [
        WrittenChange(
            record.id,
            record.ratings,
            wanted[record.id],
            tuple(map(text_print, record.completions)),
            # As they come out of a file of changes.
            tuple(Patch.from_json(json.loads(json.dumps(patch.json()))) for patch in report.patches[record.id]),
        )
        for record in wrong
    ]


@each_container
@each_sample
def test_corrections_are_taken_back_exactly(name: str, container: str, tmp_path: Path) -> None:
    original = in_container(name, container, tmp_path)
    if name == "completions" and container in ("csv", "parquet"):
        # Its objects have no place for a rating: in JSON one is made.
        return
    there, back = tmp_path / f"there.{container}", tmp_path / f"back.{container}"
    changes = correct(original, there, records(original)[:2])
    assert there.read_bytes() != original.read_bytes()
    done = undo_corrections(there, back, changes)
    assert (len(done.undone), done.exact, done.conflicts, done.unmatched) == (2, 2, {}, [])
    if container == "parquet":
        assert pq.read_table(back).equals(pq.read_table(original), check_metadata=True)
    else:
        assert back.read_bytes() == original.read_bytes()


def pairs(path: Path, n: int = 6) -> Path:
    """A file of pairs with ids."""
    rows = [{"id": f"r{i}", "prompt": f"p{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rows_that_moved_are_found_and_those_that_say_something_else_are_conflicts(tmp_path: Path) -> None:
    original, there, back = pairs(tmp_path / "a.jsonl"), tmp_path / "there.jsonl", tmp_path / "back.jsonl"
    changes = correct(original, there, records(original)[:4])
    lines = [json.loads(line) for line in there.read_text().splitlines()]
    lines[1]["mine"] = "a remark"  # the label still is the one that was written
    lines[2]["chosen"], lines[2]["rejected"] = lines[2]["rejected"], lines[2]["chosen"]  # taken back by hand
    lines[3]["chosen"] = "rewritten"
    there.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)), encoding="utf-8")
    done = undo_corrections(there, back, changes)
    assert (done.undone, done.exact, done.already) == (["r0", "r1"], 1, ["r2"])
    assert list(done.conflicts) == ["r3"]
    after = {line["id"]: line for line in map(json.loads, back.read_text().splitlines())}
    expected = {line["id"]: line for line in map(json.loads, original.read_text().splitlines())}
    assert after["r1"] == {**expected["r1"], "mine": "a remark"}
    assert after["r3"] == lines[3]
    assert all(after[name] == expected[name] for name in ("r0", "r2", "r4", "r5"))


def test_a_change_without_its_rows_is_taken_back_by_the_label(tmp_path: Path) -> None:
    original, there, back = pairs(tmp_path / "a.jsonl"), tmp_path / "there.jsonl", tmp_path / "back.jsonl"
    changes = correct(original, there, records(original)[:2])
    bare = [WrittenChange(change.id, change.before, change.after, change.prints) for change in changes]
    done = undo_corrections(there, back, [*bare, WrittenChange("gone", (1.0, 0.0), (0.0, 1.0))])
    assert (done.undone, done.exact, done.unmatched) == (["r0", "r1"], 0, ["gone"])
    assert back.read_bytes() == original.read_bytes()


def test_equal_rows_are_told_apart_by_their_places(tmp_path: Path) -> None:
    """The second row says from the start what the first one says after its correction."""
    original, there, back = tmp_path / "a.jsonl", tmp_path / "there.jsonl", tmp_path / "back.jsonl"
    rows = [{"prompt": "p", "chosen": "x", "rejected": "y"}, {"prompt": "p", "chosen": "y", "rejected": "x"}]
    original.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    changes = correct(original, there, records(original)[:1])
    assert len(set(there.read_text().splitlines())) == 1
    undo_corrections(there, back, changes)
    assert back.read_bytes() == original.read_bytes()


@pytest.mark.parametrize("written", ["text folder", "parquet folder", "one parquet", "saved"])
def test_folders_and_saved_data_sets_get_back_what_they_were(written: str, tmp_path: Path) -> None:
    import datasets

    original = tmp_path / "data"
    rows = [json.loads(line) for line in sample("trl").read_text().splitlines()]
    if written == "saved":
        datasets.Dataset.from_list(rows).save_to_disk(original)
    else:
        original.mkdir()
        for part in range(2):
            if written == "text folder":
                lines = [json.dumps({**row, "part": part}) + "\n" for row in rows]
                (original / f"{part}.jsonl").write_text("".join(lines))
            else:
                pq.write_table(pa.Table.from_pylist([{**row, "part": part} for row in rows]), original / f"{part}.parquet")
    end = ".parquet" if written == "one parquet" else ""
    there, back = tmp_path / f"there{end}", tmp_path / f"back{end}"
    before = list(read(original).records())
    changes = correct(original, there, [before[0], before[-1]])
    done = undo_corrections(there, back, changes)
    assert done.exact == 2
    assert list(read(back).records()) == before
    if written == "text folder":
        assert all((back / f"{part}.jsonl").read_bytes() == (original / f"{part}.jsonl").read_bytes() for part in range(2))


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    original, there = pairs(tmp_path / "a.jsonl"), tmp_path / "there.jsonl"
    changes = correct(original, there, records(original)[:2])
    assert undo_corrections(there, tmp_path / "back.jsonl", changes, dry_run=True).undone == ["r0", "r1"]
    assert not (tmp_path / "back.jsonl").exists()
