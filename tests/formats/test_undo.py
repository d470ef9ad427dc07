"""A set of corrections is taken back exactly, in every format and container that they are written in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argilla_admap.cli import main
from argilla_admap.errors import InputError
from argilla_admap.formats.registry import read
from argilla_admap.formats.writeback.corrected import SeenRecord, write_corrected
from argilla_admap.formats.writeback.left_out import LeftOut, read_gaps
from argilla_admap.formats.writeback.matching import text_print
from argilla_admap.formats.writeback.patches import Patch
from argilla_admap.formats.writeback.undo import Undone, WrittenChange, undo_corrections
from argilla_admap.records import Record
from tests.formats.samples import SAMPLES, sample
from tests.formats.test_contract import CONTAINERS, each_container, each_sample, in_container, mirrored, records


def correct(original: Path, output: Path, wrong: Sequence[Record], **options: Any) -> list[WrittenChange]:
    """The records' labels turned round in the file, and the changes."""
    wanted = {record.id: mirrored(record.ratings) for record in wrong}
    report = write_corrected(original, output, wanted, **options)
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


def test_the_command_says_what_came_back_and_only_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, changes, back = pairs(tmp_path / "there.jsonl"), tmp_path / "changes.jsonl", tmp_path / "back.jsonl"
    line = {"before": [0.0, 1.0], "after": [1.0, 0.0], "written": True}
    changes.write_text(json.dumps({"id": "r1", **line}) + "\n" + json.dumps({"id": "r9", **line}) + "\n", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["pull", "--undo", str(changes), str(there), "-o", str(back)])
    assert ended.value.code == 3
    assert capsys.readouterr().err == (
        "changes taken back: 1; of these, the label alone, since the pull wrote another format or the row was changed later: 1"
        f"; of records that are not in {there}: 1.\n"
    )
    was, now = (json.loads(path.read_text(encoding="utf-8").splitlines()[1]) for path in (there, back))
    assert (now["chosen"], now["rejected"]) == (was["rejected"], was["chosen"])


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


def folder_of(written: str, tmp_path: Path) -> Path:
    """A folder of two files, or a saved data set."""
    import datasets

    original = tmp_path / "data"
    rows = [json.loads(line) for line in sample("trl").read_text().splitlines()]
    if written == "saved":
        datasets.Dataset.from_list(rows).save_to_disk(original)
        return original
    original.mkdir()
    for part in range(2):
        if written == "text folder":
            lines = [json.dumps({**row, "part": part}) + "\n" for row in rows]
            (original / f"{part}.jsonl").write_text("".join(lines))
        else:
            pq.write_table(pa.Table.from_pylist([{**row, "part": part} for row in rows]), original / f"{part}.parquet")
    return original


@pytest.mark.parametrize("written", ["text folder", "parquet folder", "one parquet", "saved"])
def test_folders_and_saved_data_sets_get_back_what_they_were(written: str, tmp_path: Path) -> None:
    original = folder_of(written, tmp_path)
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


def undone(original: Path, there: Path, back: Path, wrong: Sequence[Record], equal: Sequence[Record], **options: Any) -> Undone:
    """`wrong` corrected and `equal` left out of the file `there`, and both taken back."""
    seen = {record.id: SeenRecord(record.ratings, record.prompt, record.completions) for record in (*wrong, *equal)}
    with LeftOut(there.with_name("left-out.arrow")) as rows:
        given: dict[str, Any] = {"seen": seen, "equal": {r.id for r in equal}, "ties": "drop", "left_out": rows, **options}
        changes = correct(original, there, wrong, **given)
    gaps = read_gaps(rows.path) if rows.rows else []
    done = undo_corrections(there, back, changes, gaps=gaps)
    assert (done.exact, done.conflicts, done.unmatched) == (len(wrong), {}, [])
    assert (done.put_back, done.not_put_back) == (rows.rows, 0)
    return done


def rows_of(path: Path) -> list[Any]:
    """The rows of a file, read by other libraries than ours."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize(("name", "container"), zip(SAMPLES, cycle(CONTAINERS), strict=False))
def test_rows_that_were_left_out_stand_where_they_stood(name: str, container: str, tmp_path: Path) -> None:
    original = in_container(name, container, tmp_path)
    there, back = tmp_path / f"there.{container}", tmp_path / f"back.{container}"
    first, *others = records(original)
    last = others[-1:]
    corrected = [] if name == "completions" and container in ("csv", "parquet") else others[:-1][:1]
    whole = rows_of(original)
    for equal, reviewed in (([first], False), ([first, *last], False), (last, True), ([first, *others], False)):
        wrong = [one for one in corrected if one not in equal]
        undone(original, there, back, wrong, equal, only_reviewed=reviewed)
        kept = rows_of(there) if there.stat().st_size else []
        assert len(kept) < len(whole)
        assert not wrong or kept != [row for row in whole if row in kept]
        if container == "parquet":
            assert pq.read_table(back).equals(pq.read_table(original), check_metadata=True)
        else:
            assert back.read_bytes() == original.read_bytes()


#: What may stand between two rows, and between all of them.
JOINTS = {
    "jsonl": ["\n", "\r\n", "\n\n  \r\n", " \t\n ", "\n \n\n"],
    "csv": ["\n", "\r\n", "\n\n"],
    "json": [",", ",\n  ", " ,\r\n\n", "\n , "],
}


@st.composite
def odd_texts(draw: st.DrawFn) -> tuple[str, str, list[bool], list[int], bool]:
    """A container, a text of pairs in it, of each row whether it is left out and how it was reviewed, and `only_reviewed`."""
    container = draw(st.sampled_from(sorted(JOINTS)))
    number = draw(st.integers(1, 7))
    joint = st.sampled_from(JOINTS[container])
    texts = []
    for place in range(number):
        prompt = f"p{place}" + draw(st.sampled_from(["", "\u00e9", ' "x", ', "a\nb", "\u2028", "[{"]))
        row = {"prompt": prompt, "chosen": f"good {place}", "rejected": f"bad {place}"}
        if container == "csv":
            out = io.StringIO(newline="")
            csv.writer(out, lineterminator="\n").writerow(row.values())
            texts.append(out.getvalue()[:-1])
        else:
            texts.append(json.dumps(row, ensure_ascii=draw(st.booleans()), indent=1 if container == "json" else None))
    body = texts[0] + "".join(draw(joint) + text for text in texts[1:])
    head, end = draw(st.sampled_from(["", "\ufeff"])), draw(st.sampled_from(["", "\n", "\r\n", "\n\n"]))
    if container == "json":
        head, end = head + draw(st.sampled_from(["[", " [\n "])), draw(st.sampled_from(["]", "\n]\n"]))
    elif container == "csv":
        head += "prompt,chosen,rejected" + draw(st.sampled_from(["\n", "\r\n"]))
    dropped = draw(st.lists(st.booleans(), min_size=number, max_size=number))
    said = draw(st.lists(st.integers(0, 2), min_size=number, max_size=number))
    return container, head + body + end, dropped, said, draw(st.booleans())


@given(odd_texts())
@settings(max_examples=150, deadline=None)
def test_whatever_stands_between_rows_the_file_comes_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, text: tuple[str, str, list[bool], list[int], bool]
) -> None:
    container, content, dropped, said, only_reviewed = text
    folder = tmp_path_factory.mktemp("odd")
    original, there, back = (folder / f"{name}.{container}" for name in ("original", "there", "back"))
    original.write_bytes(content.encode())
    whole = records(original)
    equal = [one for one, gone in zip(whole, dropped, strict=True) if gone]
    wrong = [one for one, gone, how in zip(whole, dropped, said, strict=True) if not gone and how == 1]
    undone(original, there, back, wrong, equal, only_reviewed=only_reviewed)
    assert back.read_bytes() == content.encode()
    # What is in between is what an own reading of the original says.
    kept = [one for one in whole if one not in equal and (one in wrong or not only_reviewed)]
    turned = [one.prompt for one in wrong]
    expected = [(one.prompt, "bad" if one.prompt in turned else "good") for one in kept]
    rows = rows_of(there) if there.stat().st_size else []
    assert [(row["prompt"], row["chosen"].split()[0]) for row in rows] == expected


def test_rows_are_put_back_into_a_file_that_was_edited_since_and_only_once(tmp_path: Path) -> None:
    original, there = pairs(tmp_path / "a.jsonl"), tmp_path / "there.jsonl"
    whole = records(original)
    undone(original, there, tmp_path / "b.jsonl", whole[:1], [whole[2], whole[5]])
    gaps = read_gaps(tmp_path / "left-out.arrow")
    again = undo_corrections(tmp_path / "b.jsonl", tmp_path / "c.jsonl", [], gaps=gaps)
    assert (again.put_back, (tmp_path / "c.jsonl").read_bytes()) == (2, original.read_bytes())
    lines = there.read_text().splitlines()
    new = json.dumps({"id": "new", "prompt": "p", "chosen": "x", "rejected": "y"})
    there.write_text("\n".join([new, *lines, new]))
    done = undo_corrections(there, tmp_path / "d.jsonl", [], gaps=gaps)
    assert (done.put_back, done.not_put_back) == (2, 0)
    ids = [json.loads(line)["id"] for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert ids == ["new", "r0", "r1", "r2", "r3", "r4", "r5", "new"]
    # The row that r2 stood behind is gone: nothing is guessed.
    there.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    done = undo_corrections(there, tmp_path / "e.jsonl", [], gaps=gaps)
    assert (done.put_back, done.not_put_back) == (1, 1)


@pytest.mark.parametrize("written", ["text folder", "parquet folder", "one parquet", "saved"])
def test_rows_left_out_of_folders_and_saved_data_sets_are_put_back(written: str, tmp_path: Path) -> None:
    original = folder_of(written, tmp_path)
    end = ".parquet" if written == "one parquet" else ""
    before = list(read(original).records())
    half = len(before) // 2
    for number, equal in enumerate(([before[0], before[-1]], before[half:], before[1 : half + 1])):
        there, back = tmp_path / f"there{number}{end}", tmp_path / f"back{number}{end}"
        undone(original, there, back, [one for one in before[:1] if one not in equal], equal)
        assert list(read(back).records()) == before
        if written == "text folder":
            assert all((back / f"{part}.jsonl").read_bytes() == (original / f"{part}.jsonl").read_bytes() for part in range(2))


def test_a_file_of_rows_that_is_no_such_file_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"ARROW1 and no more"):
        (tmp_path / "rows.arrow").write_bytes(content)
        with pytest.raises(InputError, match="put it there again"):
            read_gaps(tmp_path / "rows.arrow")
    with pytest.raises(InputError, match="left out cannot be read"):
        read_gaps(tmp_path / "absent.arrow")
