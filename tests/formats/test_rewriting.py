"""Corrections go back into the original, and nothing else in it changes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames
from argilla_admap.formats.registry import read
from argilla_admap.formats.writeback.corrected import write_corrected
from tests.formats.samples import sample

ODD_LINES = (
    b'\xef\xbb\xbf{"prompt":"p1", "chosen" : "a\\u00e9", "rejected":"b\xc3\xa9", "n": 1.10}\r\n'
    b"\r\n"
    b'  {"rejected": "\\/d", "prompt": "p2",\t"chosen": "c", "big": 123456789012345678901234567890, "e": 1E5}  \n'
    b'{"prompt": "p3", "chosen": "e", "rejected": "f"}'
)


def corrected(path: Path, output: Path, wanted: dict[str, tuple[float | None, ...]], **options: object) -> bytes:
    """The bytes after the records of these prompts got these ratings."""
    ids = {r.prompt: r.id for r in read(path, on_error="skip").records()}
    write_corrected(path, output, {ids[prompt]: ratings for prompt, ratings in wanted.items()}, **options)  # type: ignore[arg-type]
    return output.read_bytes()


def test_a_swapped_line_keeps_its_spaces_escapes_numbers_and_order(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(ODD_LINES)
    after = corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {"p1": (0, 1), "p2": (0, 1)})
    assert after == (
        b'\xef\xbb\xbf{"prompt":"p1", "chosen" : "b\xc3\xa9", "rejected":"a\\u00e9", "n": 1.10}\r\n'
        b"\r\n"
        b'  {"rejected": "c", "prompt": "p2",\t"chosen": "\\/d", "big": 123456789012345678901234567890, "e": 1E5}  \n'
        b'{"prompt": "p3", "chosen": "e", "rejected": "f"}'
    )


def test_a_new_rating_is_written_as_the_old_one_was(tmp_path: Path) -> None:
    line = (
        '{"prompt":"p","completions":[{"text":"a","rating":3},{"text":"b","rating":2.0},'
        '{"text":"c","rating":"4"},{"text":"d"}]}\n'
    )
    (tmp_path / "x.jsonl").write_text(line)
    after = corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {"p": (1.0, 5.0, 2.0, 4.0)})
    assert after.decode() == (
        '{"prompt":"p","completions":[{"text":"a","rating":1},{"text":"b","rating":5.0},{"text":"c","rating":"2"},'
        '{"text":"d","rating":4}]}\n'
    )


def test_a_null_in_a_correction_leaves_that_rating(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"instruction": "p", "generations": ["a", "b"], "ratings": [1, 2]}\n')
    after = corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {"p": (None, 5.0)})
    assert json.loads(after)["ratings"] == [1, 5]


def test_a_list_of_ratings_that_is_not_there_is_made(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"instruction": "p", "generations": ["a", "b"], "more": {}}\n')
    after = corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {"p": (2.0, 5.0)})
    assert after == b'{"instruction": "p", "generations": ["a", "b"], "more": {}, "ratings": [2, 5]}\n'


def test_an_array_keeps_all_that_stands_between_its_rows(tmp_path: Path) -> None:
    rows = ['{"prompt": "p1",\n   "chosen": "a", "rejected": "b"}', '{"prompt":"p2","chosen":"c","rejected":"d"}']
    (tmp_path / "x.json").write_text(f"\n [ {rows[0]}\n\n ,\t{rows[1]} ]\n\n")
    after = corrected(tmp_path / "x.json", tmp_path / "y.json", {"p2": (0, 1)})
    assert after.decode() == f"\n [ {rows[0]}\n\n ,\t" + '{"prompt":"p2","chosen":"d","rejected":"c"} ]\n\n'


@pytest.mark.parametrize("dropped", [["p1"], ["p2"], ["p3"], ["p1", "p2"], ["p2", "p3"], ["p1", "p2", "p3"]])
def test_an_array_stays_an_array_when_ties_are_dropped(tmp_path: Path, dropped: list[str]) -> None:
    rows = [{"prompt": f"p{n}", "chosen": "a", "rejected": "b"} for n in (1, 2, 3)]
    (tmp_path / "x.json").write_text(json.dumps(rows, indent=2) + "\n")
    after = corrected(tmp_path / "x.json", tmp_path / "y.json", dict.fromkeys(dropped, (1.0, 1.0)), ties="drop")
    assert [row["prompt"] for row in json.loads(after)] == [f"p{n}" for n in (1, 2, 3) if f"p{n}" not in dropped]


def test_csv_keeps_the_quotes_and_line_ends_of_all_other_cells(tmp_path: Path) -> None:
    content = 'prompt,chosen,rejected,score_chosen,score_rejected\r\n"p1",a,"b ""x""\r\ny",4,2\r\n\r\np2,"=c",d,"4.5",1\r\n'
    (tmp_path / "x.csv").write_bytes(content.encode())
    after = corrected(tmp_path / "x.csv", tmp_path / "y.csv", {"p1": (2.0, 5.0)})
    assert after.decode() == content.replace('a,"b ""x""\r\ny",4,2', '"b ""x""\r\ny",a,5,2')
    again = corrected(tmp_path / "x.csv", tmp_path / "z.csv", {"p2": (3.0, 1.0)})
    assert again.decode() == content.replace('"4.5"', '"3.0"')


def test_a_csv_record_with_quotes_within_a_cell_is_written_so_that_it_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('prompt,chosen,rejected\np,a "q" z,b\n')
    corrected(tmp_path / "x.csv", tmp_path / "y.csv", {"p": (0, 1)})
    assert next(read(tmp_path / "y.csv").records()).completions == ("b", 'a "q" z')


@pytest.mark.parametrize(
    ("packing", "unpack"), [(".gz", gzip.decompress), (".zst", zstandard.ZstdDecompressor().decompressobj)]
)
def test_packed_files_are_written_packed(tmp_path: Path, packing: str, unpack) -> None:
    if packing == ".gz":
        (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(ODD_LINES))
    else:
        (tmp_path / "x.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(ODD_LINES))
    after = corrected(tmp_path / f"x.jsonl{packing}", tmp_path / f"y.jsonl{packing}", {"p3": (0, 1)})
    content = unpack(after) if packing == ".gz" else unpack().decompress(after)
    assert content == ODD_LINES.replace(b'"chosen": "e", "rejected": "f"', b'"chosen": "f", "rejected": "e"')
    assert corrected(tmp_path / f"x.jsonl{packing}", tmp_path / f"z.jsonl{packing}", {"p3": (0, 1)}) == after


def test_parquet_keeps_schema_metadata_compression_row_groups_and_all_other_values(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            pa.field("prompt", pa.large_string(), metadata={"about": "it"}),
            pa.field("chosen", pa.dictionary(pa.int32(), pa.string())),
            pa.field("rejected", pa.dictionary(pa.int32(), pa.string())),
            pa.field("at", pa.timestamp("ns")),
            pa.field("small", pa.float32()),
            pa.field("vector", pa.list_(pa.float32(), 2)),
        ],
        metadata={"huggingface": '{"info": 1}'},
    )
    rows = [
        {"prompt": f"p{n}", "chosen": f"a{n}", "rejected": f"b{n}", "at": n, "small": float("nan"), "vector": [0.1, n]}
        for n in range(7)
    ]
    table = pa.Table.from_pylist(rows, schema)
    pq.write_table(
        table, tmp_path / "x.parquet", row_group_size=3, compression={"prompt": "gzip", "chosen": "none", "rejected": "zstd"}
    )
    corrected(tmp_path / "x.parquet", tmp_path / "y.parquet", {"p4": (0, 1)})
    before, after = pq.ParquetFile(tmp_path / "x.parquet"), pq.ParquetFile(tmp_path / "y.parquet")
    assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
    # Arrow's own copy of the schema, compared above, is not written in one way only.
    kept = [{k: v for k, v in file.metadata.metadata.items() if k != b"ARROW:schema"} for file in (before, after)]
    assert kept[0] == kept[1] == {b"huggingface": b'{"info": 1}'}
    for group in range(3):
        ours, theirs = after.metadata.row_group(group), before.metadata.row_group(group)
        assert ours.num_rows == theirs.num_rows
        assert [ours.column(n).compression for n in range(5)] == [theirs.column(n).compression for n in range(5)]
    expected = table.to_pylist()
    expected[4]["chosen"], expected[4]["rejected"] = "b4", "a4"
    assert repr(after.read().to_pylist()) == repr(expected)


def test_parquet_rows_are_dropped_where_a_tie_cannot_be_said(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "chosen": "a", "rejected": "b"} for n in range(4)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet", row_group_size=2)
    corrected(tmp_path / "x.parquet", tmp_path / "y.parquet", {"p1": (1.0, 1.0)}, ties="drop")
    assert pq.read_table(tmp_path / "y.parquet")["prompt"].to_pylist() == ["p0", "p2", "p3"]


def test_a_parquet_column_that_cannot_hold_the_rating_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    rows: list[Any] = [{"prompt": "p", "completions": [{"text": "a"}, {"text": "b"}]}, {"instruction": "i"}]
    pq.write_table(pa.Table.from_pylist(rows[:1]), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="row 1: the file cannot hold the correction"):
        corrected(tmp_path / "x.parquet", tmp_path / "y.parquet", {"p": (1.0, 2.0)})
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]
    whole = [{"instruction": "p", "generations": ["a", "b"], "ratings": [1, 2]}]
    pq.write_table(pa.Table.from_pylist(whole), tmp_path / "z.parquet")
    with pytest.raises(InputError, match="row 1: the file cannot hold the correction"):
        corrected(tmp_path / "z.parquet", tmp_path / "y.parquet", {"p": (1.5, 2.0)})


def test_a_folder_is_written_as_a_folder_with_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.jsonl").write_text('{"prompt": "p1", "chosen": "a", "rejected": "b"}\n')
    (tmp_path / "in" / "deep" / "b.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "p2", "chosen": "a", "rejected": "b"}\n'))
    ids = {r.prompt: r.id for r in read(tmp_path / "in").records()}
    write_corrected(tmp_path / "in", tmp_path / "out", {ids["p2"]: (0, 1)})
    assert (tmp_path / "out" / "a.jsonl").read_bytes() == (tmp_path / "in" / "a.jsonl").read_bytes()
    assert [r.completions for r in read(tmp_path / "out").records()] == [("a", "b"), ("b", "a")]
    with pytest.raises(InputError, match="is there already"):
        write_corrected(tmp_path / "in", tmp_path / "out", {})


def saved_data_set(folder: Path, splits: dict[str, int]) -> Path:
    """A saved `DatasetDict`, whose splits have so many rows; a saved data set where there is one split without a name."""
    made = {
        split: datasets.Dataset.from_list(
            [{"prompt": f"{split}{n}", "chosen": "a", "rejected": "b", "n": n} for n in range(rows)]
        )
        for split, rows in splits.items()
    }
    (made[""] if "" in made else datasets.DatasetDict(made)).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def test_a_saved_data_set_is_written_as_one_or_as_a_parquet_file(tmp_path: Path) -> None:
    saved = saved_data_set(tmp_path, {"": 3})
    ids = {r.prompt: r.id for r in read(saved).records()}
    for output in ("out", "out.parquet"):
        write_corrected(saved, tmp_path / output, {ids["1"]: (0, 1)})
        assert [r.completions for r in read(tmp_path / output).records()] == [("a", "b"), ("b", "a"), ("a", "b")]
    before, after = (datasets.load_from_disk(str(path)) for path in (saved, tmp_path / "out"))
    assert after.features == before.features
    assert after._fingerprint != before._fingerprint
    assert after["n"] == before["n"]
    write_corrected(saved, tmp_path / "dropped", {ids["1"]: (1, 1)}, ties="drop")
    assert list(datasets.load_from_disk(str(tmp_path / "dropped"))["n"]) == [0, 2]
    with pytest.raises(InputError, match=r"ends in \.parquet, or a folder"):
        write_corrected(saved, tmp_path / "out.jsonl", {})
    with pytest.raises(InputError, match="is there already"):
        write_corrected(saved, tmp_path / "out", {})


def test_of_a_data_set_with_splits_one_or_all_are_asked_for_and_it_is_written_whole(tmp_path: Path) -> None:
    saved = saved_data_set(tmp_path, {"train": 3, "test": 2})
    with pytest.raises(InputError, match=r"has the splits train, test; name one with `split`, or `split` all"):
        read(saved)
    with pytest.raises(InputError, match="there is no split 'dev'; name one of train, test"):
        read(saved, split="dev")
    assert [r.prompt for r in read(saved, split="all").records()] == ["train0", "train1", "train2", "test0", "test1"]
    ids = {r.prompt: r.id for r in read(saved, split="test").records()}
    assert list(ids) == ["test0", "test1"]
    write_corrected(saved, tmp_path / "out", {ids["test1"]: (0, 1)}, split="test")
    after = datasets.load_from_disk(str(tmp_path / "out"))
    assert {name: list(split["chosen"]) for name, split in after.items()} == {"train": ["a", "a", "a"], "test": ["a", "b"]}
    only = saved_data_set(tmp_path / "one", {"test": 2})
    assert read(only).check().records == 2


def test_a_split_of_data_without_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no splits"):
        read(sample("trl"), split="train")


def test_a_data_set_of_the_hub_is_written_as_one_parquet_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_bytes(sample("trl").read_bytes())
    first = next(read(f"hf:{tmp_path / 'data'}").records())
    write_corrected(f"hf:{tmp_path / 'data'}", tmp_path / "out.parquet", {first.id: (0, 1)})
    assert next(read(tmp_path / "out.parquet").records()).completions == tuple(reversed(first.completions))


def test_bad_rows_stay_as_they_were_and_are_counted(tmp_path: Path) -> None:
    content = b'oops \xff\n{"prompt": "p1", "chosen": "a", "rejected": "b"}\n{"prompt": "p2"}\n'
    (tmp_path / "x.jsonl").write_bytes(content)
    after = corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {"p1": (0, 1)}, on_error="skip")
    assert after == content.replace(b'"a", "rejected": "b"', b'"b", "rejected": "a"')
    with pytest.raises(InputError, match=r"x\.jsonl:1"):
        write_corrected(tmp_path / "x.jsonl", tmp_path / "z.jsonl", {})
    assert not (tmp_path / "z.jsonl").exists()


def test_duplicates_of_a_corrected_record_are_corrected_too_and_counted(tmp_path: Path) -> None:
    line = '{"prompt": "p", "chosen": "a", "rejected": "b"}\n'
    (tmp_path / "x.jsonl").write_text(line + '{"prompt": "q", "chosen": "a", "rejected": "b"}\n' + line)
    identity = next(read(tmp_path / "x.jsonl").records()).id
    report = write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {identity: (0, 1)})
    assert (report.corrected, report.corrected_rows, report.duplicates_corrected, report.records) == (1, 2, 1, 2)
    assert [json.loads(r)["chosen"] for r in (tmp_path / "y.jsonl").read_text().splitlines()] == ["b", "a", "b"]


def test_pairs_that_share_their_prompts_id_are_corrected_one_by_one(tmp_path: Path) -> None:
    rows = [{"prompt_id": "x", "prompt": "p", "chosen": f"a{n}", "rejected": "b"} for n in range(3)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ids = [r.id for r in read(tmp_path / "x.jsonl").records()]
    assert len(set(ids)) == 3
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {ids[2]: (0, 1)})
    assert [r.id for r in read(tmp_path / "y.jsonl").records()] == ids
    assert [r.completions[0] for r in read(tmp_path / "y.jsonl").records()] == ["a0", "a1", "b"]


def test_the_columns_of_a_side_go_with_it_and_the_scores_stay_in_order(tmp_path: Path) -> None:
    original = sample("argilla_binarized")
    first = next(read(original).records())
    write_corrected(original, tmp_path / "y.jsonl", {first.id: (2.5, 4.75)})
    before, after = (json.loads(path.read_text().splitlines()[0]) for path in (original, tmp_path / "y.jsonl"))
    assert (after["chosen_response"], after["chosen_model"]) == (before["rejected_response"], before["rejected_model"])
    assert (after["chosen_avg_rating"], after["rejected_avg_rating"]) == (4.75, 2.5)


def test_the_conversation_to_train_on_follows_the_chosen_side(tmp_path: Path) -> None:
    original = sample("ultrafeedback_binarized")
    first = next(read(original).records())
    write_corrected(original, tmp_path / "y.jsonl", {first.id: (6.5, 8.0)})
    after = json.loads((tmp_path / "y.jsonl").read_text().splitlines()[0])
    assert after["messages"] == after["chosen"]
    assert after["chosen"][-1]["content"] == first.completions[1]
    assert (after["score_chosen"], after["score_rejected"]) == (8.0, 6.5)


def test_corrections_that_the_original_does_not_hold_are_listed(tmp_path: Path) -> None:
    report = write_corrected(sample("trl"), tmp_path / "y.jsonl", {"nobody": (0, 1)})
    assert report.unmatched == ["nobody"]


def test_a_correction_of_another_number_of_completions_is_refused(tmp_path: Path) -> None:
    first = next(read(sample("trl")).records())
    with pytest.raises(InputError, match="has 3 ratings, the record has 2 completions"):
        write_corrected(sample("trl"), tmp_path / "y.jsonl", {first.id: (0, 1, 2)})


def test_the_original_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(sample("trl").read_bytes())
    with pytest.raises(InputError, match="this is the original"):
        write_corrected(path, path, {})
    with pytest.raises(InputError, match="the original is jsonl"):
        write_corrected(path, tmp_path / "x.csv", {})
    assert path.read_bytes() == sample("trl").read_bytes()


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path) -> None:
    first = next(read(sample("trl")).records())
    report = write_corrected(sample("trl"), tmp_path / "y.jsonl", {first.id: (0, 1)}, dry_run=True)
    assert (report.corrected, report.output) == (1, None)
    assert list(tmp_path.iterdir()) == []


def test_fields_named_by_hand_are_corrected_where_they_stand(tmp_path: Path) -> None:
    row = {"q": "p", "a": {"text": "x", "score": 1}, "b": {"text": "y", "score": 2}}
    (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
    fields = FieldNames(prompt="q", completion=("a.text", "b.text"), rating=("a.score", "b.score"))
    identity = next(read(tmp_path / "x.jsonl", fields=fields).records()).id
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {identity: (2.0, 1.0)}, fields=fields)
    after = json.loads((tmp_path / "y.jsonl").read_text())
    assert after == {"q": "p", "a": {"text": "x", "score": 2}, "b": {"text": "y", "score": 1}}


def test_a_pair_named_by_hand_is_swapped_within_its_objects(tmp_path: Path) -> None:
    row = {"q": "p", "pair": {"win": "x", "lose": "y"}}
    (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
    fields = FieldNames(prompt="q", chosen="pair.win", rejected="pair.lose")
    identity = next(read(tmp_path / "x.jsonl", fields=fields).records()).id
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {identity: (0, 1)}, fields=fields)
    assert json.loads((tmp_path / "y.jsonl").read_text()) == {"q": "p", "pair": {"win": "y", "lose": "x"}}


def test_fields_without_a_place_for_a_rating_say_so(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"q": "p", "a": "x", "b": "y"}\n')
    fields = FieldNames(prompt="q", completion=("a", "b"))
    identity = next(read(tmp_path / "x.jsonl", fields=fields).records()).id
    with pytest.raises(InputError, match="name one with `rating_field`"):
        write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {identity: (0, 1)}, fields=fields)


def test_a_file_that_was_corrected_before_takes_the_same_corrections_again(tmp_path: Path) -> None:
    pairs = list(read(sample("trl")).records())
    wanted = {pairs[0].id: (0.0, 1.0), pairs[1].id: (0.0, 1.0)}
    write_corrected(sample("trl"), tmp_path / "once.jsonl", wanted)
    report = write_corrected(tmp_path / "once.jsonl", tmp_path / "twice.jsonl", wanted)
    assert (report.corrected, len(report.already), report.unmatched) == (0, 2, [])
    assert (tmp_path / "twice.jsonl").read_bytes() == (tmp_path / "once.jsonl").read_bytes()
    back = write_corrected(tmp_path / "once.jsonl", tmp_path / "back.jsonl", {pairs[0].id: (1.0, 0.0)})
    assert back.corrected == 1
    assert (tmp_path / "back.jsonl").read_bytes().splitlines()[0] == sample("trl").read_bytes().splitlines()[0]


def test_of_two_pairs_that_contradict_each_other_only_the_corrected_one_changes(tmp_path: Path) -> None:
    content = '{"prompt": "p", "chosen": "a", "rejected": "b"}\n{"prompt": "p", "chosen": "b", "rejected": "a"}\n'
    (tmp_path / "x.jsonl").write_text(content)
    first = next(read(tmp_path / "x.jsonl").records())
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {first.id: (0.0, 1.0)})
    lines = (tmp_path / "y.jsonl").read_text().splitlines()
    assert lines[0] == lines[1] == content.splitlines()[1]


@pytest.mark.parametrize("ties", ["keep", "drop"])
def test_rows_of_an_array_in_one_line_are_told_apart(tmp_path: Path, ties: str) -> None:
    rows = [{"id": f"q{n}", "prompt": f"p{n}", "chosen": "a", "rejected": "b"} for n in range(6)]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    report = write_corrected(tmp_path / "x.json", tmp_path / "y.json", {"q1": (0, 1), "q3": (1, 1), "q5": (0, 1)}, ties=ties)
    assert report.corrected == 2
    expected = [{**row, "chosen": "b", "rejected": "a"} if row["id"] in ("q1", "q5") else row for row in rows]
    assert json.loads((tmp_path / "y.json").read_text()) == [r for r in expected if ties == "keep" or r["id"] != "q3"]
