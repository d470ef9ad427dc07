"""Files that were damaged, or made so: each kind that `python -m tests.bench.readers` found, as a message of ours."""

from __future__ import annotations

import gc
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import zstandard

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames
from argilla_admap.formats.registry import read
from tests.bench.readers import case, tried
from tests.formats.samples import sample

PAIR = {"prompt": "p", "chosen": "a", "rejected": "b"}


def said(source: Any, **words: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **words).check()
    return str(caught.value)


def arrow(path: Path, table: pa.Table) -> bytes:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["x.jsonl.zst", "x.jsonl.gz"])
def test_files_that_are_cut_leave_no_memory_behind(tmp_path: Path, name: str) -> None:
    content = json.dumps(PAIR).encode() * 100
    packed = zstandard.compress(content) if name.endswith("zst") else gzip.compress(content)
    (tmp_path / name).write_bytes(packed[:-9])
    said(tmp_path / name)
    gc.collect()
    before = psutil.Process().memory_info().vms
    for _ in range(20):
        assert "it is cut" in said(tmp_path / name)
        gc.collect()
    assert psutil.Process().memory_info().vms - before < 60e6


def test_an_arrow_file_whose_offsets_lead_outside_is_refused_and_ends_no_process(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    content = arrow(path, pa.table({name: [text * 40, text * 41] for name, text in PAIR.items()}))
    offsets = (0).to_bytes(4, "little") + (40).to_bytes(4, "little") + (81).to_bytes(4, "little")
    assert content.count(offsets) == 3
    for lie in (2**30, 2**32 - 9):
        path.write_bytes(content.replace(offsets, offsets[:4] + lie.to_bytes(4, "little") + offsets[8:]))
        code = "import sys; from argilla_admap.formats.registry import read; read(sys.argv[1]).check()"
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "InputError" in done.stderr
        assert "cannot be read as Arrow" in done.stderr


def test_an_arrow_file_with_a_damaged_name_is_refused(tmp_path: Path) -> None:
    content = arrow(tmp_path / "x.arrow", pa.table({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"]}))
    assert content.count(b"rejected") == 1
    (tmp_path / "x.arrow").write_bytes(content.replace(b"rejected", b"reje\xffted"))
    assert "cannot be read as Arrow" in said(tmp_path / "x.arrow")


def test_annotations_that_are_no_list_give_no_label() -> None:
    row = json.loads(sample("label-studio").read_text(encoding="utf-8").splitlines()[0])
    found = read([{**row, "annotations": 1}], format="label-studio")
    assert (found.check().records, found.report.labelled) == (1, 0)


def test_text_that_is_no_utf8_is_its_row_s_matter_and_not_the_file_s(tmp_path: Path) -> None:
    bad = pa.array([b"fine", b"\xff"]).view(pa.string())
    nested = pa.array([[{"role": "user", "content": "q"}]] * 2)
    arrow(tmp_path / "x.arrow", pa.table({"prompt": ["p", "q"], "chosen": bad, "rejected": ["b", "c"], "more": nested}))
    assert "row 2: 'chosen' is not UTF-8 at byte 1" in said(tmp_path / "x.arrow")
    assert read(tmp_path / "x.arrow", on_error="skip").check().records == 1


def test_a_parquet_footer_whose_statistics_do_not_fit_is_refused_and_ends_no_process(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"prompt": ["p"], "chosen": ["a"], "rejected": [["b"]]}), path)
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    # Of each byte of the footer one bit is changed: pyarrow's own look at a column would end the process at some.
    kept = 0
    for at in range(footer, len(content) - 8, 3):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            kept += read(path).check().records
        except InputError:
            continue
    assert kept


def test_a_parquet_page_that_says_it_is_larger_than_the_file_is_refused_before_memory_is_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({name: [text * 40] for name, text in PAIR.items()}), path, compression="none", use_dictionary=False)
    content = path.read_bytes()
    # A page's size in Thrift's compact protocol: 50 bytes. Of three bytes' worth it is more than the file has.
    size = b"\x15\x64,\x15\x02"
    assert content.count(size) == 3
    path.write_bytes(content.replace(size, b"\x15\xe4\xac\x15,\x15\x02", 1))
    assert " ends at byte " in said(path)


def test_more_digits_than_a_number_has_are_text() -> None:
    digits = "9" * 5000
    row = {"prompt": "p", "answer_a": "a", "answer_b": "b", "preference": f"Response {digits}"}
    assert "says none of answer_a, answer_b or a tie" in said([row])
    assert "is missing; the row has prompt, x" in said(
        [{"prompt": "p", "x": ["a"]}], fields=FieldNames(prompt="prompt", completion=(f"x.{digits}", "x.²"))
    )


def test_whole_numbers_of_any_size_in_a_frame_are_read() -> None:
    frame = pd.DataFrame([{**PAIR, "note": 10**30}, PAIR])
    assert read(frame).check().records == 2


def test_a_format_that_was_named_and_does_not_fit_is_refused_by_its_name() -> None:
    rows: list[dict[str, Any]] = [{"data": None, "annotations": []}]
    assert "not those of the format label-studio" in said(rows, format="label-studio")
    assert "the format is not recognised" in said([{}])


def test_ratings_of_another_number_than_the_completions_make_a_row_bad() -> None:
    assert "1 ratings for 3 completions" in said(sample("argilla-export-records"), fields=FieldNames(rating=("id",)))


def test_a_folder_s_file_without_a_row_is_passed_over_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(PAIR) + "\n")
    (tmp_path / "b.jsonl").write_bytes(b"")
    (tmp_path / "c.jsonl").write_text(json.dumps({**PAIR, "prompt": "q"}) + "\n")
    found = read(tmp_path)
    assert found.check().records == 2
    assert f"{tmp_path / 'b.jsonl'}: the file has no rows" in found.report.lines()
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "c.jsonl").unlink()
    assert "there are no rows" in said(tmp_path)
    assert "the file is empty" in said(tmp_path / "b.jsonl")


def test_some_hundred_made_inputs_give_records_or_a_message(tmp_path: Path) -> None:
    for number in range(300):
        one = case(7, number)
        found = tried(one, tmp_path)
        assert found.kind in ("records", "nothing", "refused"), (number, found)
