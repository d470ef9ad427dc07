"""What a source may be, and what is said when it cannot be read."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames
from argilla_admap.formats.registry import Preferences, read
from argilla_admap.records import PREFERENCE_SCHEMA, content_id
from tests.formats.samples import sample

GOOD = '{"prompt": "p", "chosen": "a", "rejected": "b"}\n'


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refusal(source: str | Path, **options: object) -> str:
    with pytest.raises(InputError) as refused:
        read(source, **options).check()  # type: ignore[arg-type]
    return str(refused.value)


def texts(source: str | Path, **options: object) -> list[tuple[str, tuple[str, ...]]]:
    return [(r.prompt, r.completions) for r in read(source, **options).records()]  # type: ignore[arg-type]


def test_batches_have_the_schema_of_preferences_and_can_be_gone_through_twice() -> None:
    preferences = read(sample("plain"))
    assert preferences.table().schema == PREFERENCE_SCHEMA
    assert preferences.table().num_rows == preferences.report.records == 3


@pytest.mark.parametrize(
    ("values", "name", "said", "left_out"),
    [
        ({"annotator": "ann"}, None, "ann", []),
        ({"worker_id": 7}, None, "7", []),
        ({"worker_id": 7, "who": "bo"}, "who", "bo", ["worker_id"]),
        ({"annotator": ["ann", "bo"]}, None, None, []),
        ({"annotator": ""}, None, None, []),
        ({"note": "ann"}, None, None, ["note"]),
    ],
)
def test_who_gave_the_label_is_read_from_any_format(write, values, name: str | None, said: str | None, left_out) -> None:
    preferences = read(write("x.jsonl", json.dumps({**json.loads(GOOD), **values})), fields=FieldNames(annotator=name))
    assert preferences.table()["annotator"].to_pylist() == [said]
    assert list(preferences.report.left_out) == left_out


def test_rows_of_one_record_by_several_annotators_name_none(write) -> None:
    grades = dict.fromkeys(("helpfulness", "correctness", "coherence", "complexity", "verbosity"), 1)
    rows = [
        {"prompt": prompt, "response": text, **grades, "annotator_id": who}
        for prompt, text, who in ("pax", "pbx", "qcx", "qdy")
    ]
    path = write("x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert read(path).table()["annotator"].to_pylist() == ["x", None]


def test_an_annotator_field_that_is_absent_is_named(write) -> None:
    assert "'who', named by `annotator_field`, is missing" in refusal(
        write("x.jsonl", GOOD), fields=FieldNames(annotator="who")
    )


def test_the_chosen_format_says_in_words_what_is_taken_for_what() -> None:
    assert "`chosen`" in str(read(sample("trl")).format)
    assert "`overall_score`" in read(sample("ultrafeedback")).format.description


@pytest.mark.parametrize(
    ("packing", "pack"),
    [(".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)],
)
@pytest.mark.parametrize("extension", [".jsonl", ".json", ".csv"])
def test_packed_files_read_as_they_do_unpacked(write, extension: str, packing: str, pack) -> None:
    content = "prompt,chosen,rejected\np,a,b\n" if extension == ".csv" else GOOD
    assert texts(write(f"x{extension}{packing}", pack(content.encode()))) == [("p", ("a", "b"))]


def test_zstandard_files_of_several_frames_are_read_to_the_end(write) -> None:
    pack = zstandard.ZstdCompressor().compress
    path = write("x.jsonl.zst", pack(GOOD.encode()) + pack(GOOD.replace('"p"', '"q"').encode()))
    assert [prompt for prompt, _ in texts(path)] == ["p", "q"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        b"\n  \n" + GOOD.encode() + b"\n\n",
        GOOD.strip().encode(),
        b"[" + GOOD.encode() + b"]",
        json.dumps(json.loads(GOOD), indent=4).encode(),
    ],
    ids=["byte order mark", "CRLF", "blank lines", "no last line end", "an array", "one object over lines"],
)
@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_json_is_read_however_it_is_laid_out(write, name: str, content: bytes) -> None:
    if name == "x.jsonl" and content.startswith(b"{\n"):
        return
    assert texts(write(name, content)) == [("p", ("a", "b"))]


def test_an_array_is_read_across_the_borders_of_blocks(write) -> None:
    rows = [{"prompt": f'{n} "quoted" \\ [{{', "chosen": 'x\\"' * 40_000, "rejected": "]"} for n in range(30)]
    path = write("x.json", json.dumps(rows))
    assert [prompt for prompt, _ in texts(path)] == [row["prompt"] for row in rows]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_csv_records_may_go_over_lines_and_hold_quotes(write, delimiter: str) -> None:
    content = '\ufeffprompt,chosen,rejected\r\n"a, ""b""","x\r\ny",z\r\n\r\n'.replace(",", delimiter)
    assert texts(write("x.csv", content)) == [(f'a{delimiter} "b"', ("x\r\ny", "z"))]


def test_a_quote_within_a_csv_cell_is_a_letter(write) -> None:
    content = 'prompt,chosen,rejected\nHow long is 5"?,a,b\n5" and 6"?,c,d\nlast "?,e,f\n'
    assert [prompt for prompt, _ in texts(write("x.csv", content))] == ['How long is 5"?', '5" and 6"?', 'last "?']


def test_a_csv_record_that_the_csv_module_refuses_is_a_bad_row(write) -> None:
    path = write("x.csv", "prompt,chosen,rejected\np,a,b\nq\rx,a,b\nr,a,b\n")
    assert "row 2: not CSV" in refusal(path)
    assert [prompt for prompt, _ in texts(path, on_error="skip")] == ["p", "r"]


def test_tab_separated_values_are_read(write) -> None:
    assert texts(write("x.tsv", "prompt\tchosen\trejected\np, q\ta\tb\n")) == [("p, q", ("a", "b"))]


def test_a_folder_of_shards_is_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, prompt in (("b", "second"), ("a", "first")):
        pq.write_table(pa.Table.from_pylist([{"prompt": prompt, "chosen": "a", "rejected": "b"}]), tmp_path / f"{name}.parquet")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "dataset_info.json").write_text("{}")
    assert [prompt for prompt, _ in texts(tmp_path)] == ["first", "second"]


def test_a_saved_data_set_is_read_and_one_of_several_splits_is_asked_for(tmp_path: Path) -> None:
    data = datasets.Dataset.from_list([json.loads(GOOD), json.loads(GOOD.replace('"p"', '"q"'))])
    data.save_to_disk(str(tmp_path / "plain"))
    datasets.DatasetDict({"train": data, "test": data.select([1])}).save_to_disk(str(tmp_path / "splits"))
    assert [prompt for prompt, _ in texts(tmp_path / "plain")] == ["p", "q"]
    assert "has the splits train, test; name one with `split`" in refusal(tmp_path / "splits")
    assert [prompt for prompt, _ in texts(tmp_path / "splits", split="train")] == ["p", "q"]
    assert [prompt for prompt, _ in texts(tmp_path / "splits" / "test")] == ["q"]


@pytest.mark.parametrize("limit", [None, 1])
def test_a_hub_name_is_loaded_by_datasets_whole_or_streamed(tmp_path: Path, monkeypatch, limit: int | None) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.jsonl").write_text(GOOD + GOOD.replace('"p"', '"q"'))
    (folder / "test.jsonl").write_text(GOOD.replace('"p"', '"t"'))
    assert len(texts(f"hf:{folder}", limit=limit)) == (limit or 2)
    assert texts(f"hf:{folder}:test", limit=limit)[0][0] == "t"
    assert texts(f"hf:{folder}", limit=limit, split="test")[0][0] == "t"
    preferences = read(f"hf:{folder}")
    preferences.check()
    assert "only the split train is read, not test" in preferences.report.lines()[0]
    assert read(f"hf:{folder}", split="all").check().records == 3


def test_a_hub_name_that_cannot_be_loaded_says_what_to_do(tmp_path: Path) -> None:
    message = refusal(f"hf:{tmp_path / 'nothing'}:train")
    assert "cannot be loaded" in message
    assert "hf:ORG/NAME:SPLIT" in message


def test_standard_input_is_read_as_json_lines(monkeypatch) -> None:
    class Piped:
        buffer = io.BytesIO(GOOD.encode() * 2)

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", Piped())
    preferences = read("-")
    assert preferences.check().records == 1
    assert preferences.check().duplicates == 1


CUT = gzip.compress(GOOD.encode() * 5000, mtime=0)[:60]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.jsonl", b"", "the file is empty"),
        ("x.jsonl", b"\n \n", "only blank lines"),
        ("x.json", b"[]", "there are no rows"),
        ("x.csv", b"prompt,chosen,rejected\n", "there are no rows"),
        ("x.xlsx", b"PK", "extension '.xlsx' is not known"),
        ("x", b"{}", "is not known"),
        ("x.jsonl.gz", CUT, "cannot be unpacked"),
        ("x.jsonl.gz", GOOD.encode(), "cannot be unpacked"),
        ("x.jsonl.zst", zstandard.ZstdCompressor().compress(GOOD.encode() * 99)[:-4], "cannot be unpacked"),
        ("x.jsonl", gzip.compress(GOOD.encode(), mtime=0), "add .gz"),
        ("x.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
        ("x.parquet", b"", "cannot be read as Parquet"),
        ("x.jsonl", GOOD.encode("utf-16"), "UTF-16"),
        ("x.json", GOOD.encode("utf-16"), "iconv -f utf-16"),
        ("x.json", b"[" + GOOD.encode(), "the array is not closed"),
        ("x.json", b"[" + GOOD.encode()[:-6], "x.json:1: the object that begins here is not closed"),
        ("x.json", b"[" + GOOD.encode() + b"] and more", "after the end of the array"),
        ("x.csv", b'prompt,chosen,rejected\np,a,b\nq,"c,d\n', "x.csv:3: a quote that opens"),
        ("x.csv", b"prompt,prompt\na,b\n", "two columns have the name 'prompt'"),
        ("x.json", b'{"data": [{"prompt": "p"}],\n "n": 1}', "jq -c"),
        ("x.jsonl", b'{"foo": 1, "bar": 2}\n', "`prompt_field`"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(write, name: str, content: bytes, said: str) -> None:
    message = refusal(write(name, content))
    assert said in message
    assert name in message


def test_an_absent_file_a_folder_of_nothing_and_bad_options_say_so(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "absent.jsonl")
    assert "no file in this folder can be read" in refusal(tmp_path)
    assert "choose one of plain" in refusal(sample("trl"), format="docx")
    assert "is not 1 or more" in refusal(sample("trl"), limit=0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{oops", "not JSON"),
        ("[1, 2]", "a list ([1, 2]), expected a JSON object"),
        ('{"prompt": "p", "completions": [{"text": "a"}]}', "two or more"),
        ('{"prompt": "p", "completions": [{"text": "a"}, {"text": null}]}', "'text' of completion 2 is null"),
        ('{"prompt": "p", "completions": [{"text": "a"}, "b"]}', "completion 2 is text ('b')"),
        ('{"prompt": null, "completions": [{"text": "a"}, {"text": "b"}]}', "'prompt' is null"),
        ('{"completions": [{"text": "a"}, {"text": "b"}]}', "'prompt' is missing; the row has completions"),
        ('{"prompt": "p", "completions": {"text": "a"}}', "'completions' is an object"),
        *[
            (
                f'{{"prompt": "p", "completions": [{{"text": "a", "rating": {bad}}}, {{"text": "b"}}]}}',
                "'rating' of completion 1 is",
            )
            for bad in ("NaN", "Infinity", "1e999", "true", '"great"', "[1]", '"1_0"', '"nan"')
        ],
        (
            '{"prompt": "p", "completions": [{"text": "a", "scores": [1, "x"]}, {"text": "b"}]}',
            "'scores' of completion 1 is text",
        ),
        ('{"prompt": "p", "chosen": "a", "rejected": "b"}', "'completions' is missing"),
    ],
)
def test_a_bad_line_is_named_with_its_file_line_value_and_what_to_do(write, line: str, said: str) -> None:
    path = write("x.jsonl", sample("plain").read_text() + "\n" + line + "\n")
    message = refusal(path)
    assert f"{path}:5: " in message
    assert said in message
    assert "`on_error` skip" in message


def test_what_is_no_utf8_is_named_by_line_and_byte(write) -> None:
    path = write("x.jsonl", GOOD.encode() + GOOD.replace("a", "é").encode("latin-1"))
    assert f"{path}:2: not UTF-8 at byte 28" in refusal(path)


def test_rows_of_tables_are_named_by_their_number(tmp_path: Path) -> None:
    rows: list[Any] = [{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt": "q", "chosen": None, "rejected": "b"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    assert "x.parquet: row 2: 'chosen' is null" in refusal(tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("prompt,chosen,rejected\np,a,b\nq,a\n")
    assert "x.csv: row 2: 2 cells under a header of 3" in refusal(tmp_path / "x.csv")


def test_a_message_holds_nothing_that_a_terminal_would_obey_and_is_short(write) -> None:
    hostile = "\\u001b]0;title\\u0007\\u009b31m\\u202e" + "x" * 10_000
    message = refusal(write("x.jsonl", sample("plain").read_text() + f'{{"prompt": "p", "completions": "{hostile}"}}\n'))
    assert message.isprintable()
    assert len(message) < 500


def test_skipped_rows_are_counted_all_and_listed_the_first_twenty(write) -> None:
    path = write("x.jsonl", GOOD + "oops\n" * 30 + GOOD.replace('"p"', '"q"'))
    report = read(path, on_error="skip").check()
    assert (report.records, report.skipped, report.rows) == (2, 30, 32)
    assert len(report.skipped_examples) == 20
    assert f"{path}:2: not JSON" in report.skipped_examples[0]
    assert "and 10 more" in report.lines()[-1]


def test_a_file_of_bad_rows_only_is_an_error_even_when_they_are_skipped(write) -> None:
    assert "no row can be read" in refusal(write("x.jsonl", "oops\n"), on_error="skip")
    nothing = write("y.jsonl", '{"prompt": "p", "chosen": "a", "rejected": [1]}\n')
    assert "none of the 1 rows can be used" in refusal(nothing, format="trl", on_error="skip")


def test_a_stray_first_row_does_not_choose_the_format(write) -> None:
    path = write("x.jsonl", '{"instruction": "i", "chosen": "a", "rejected": "b"}\n' + GOOD * 3)
    assert read(path, on_error="skip").format.name == "trl"


def test_the_limit_counts_records_and_not_duplicates(write) -> None:
    path = write("x.jsonl", GOOD * 5 + GOOD.replace('"p"', '"q"') + GOOD.replace('"p"', '"r"'))
    assert [prompt for prompt, _ in texts(path, limit=2)] == ["p", "q"]


def test_lone_surrogates_are_replaced_and_nul_is_kept(write) -> None:
    path = write("x.jsonl", '{"prompt": "\\ud800\\u0000", "chosen": "a", "rejected": "\\ud83d\\ude00"}\n')
    assert texts(path) == [("\ufffd\0", ("a", "\U0001f600"))]


def test_an_empty_prompt_and_an_empty_completion_are_texts(write) -> None:
    assert texts(write("x.jsonl", '{"prompt": "", "chosen": "", "rejected": "b"}\n')) == [("", ("", "b"))]


def test_ratings_may_be_texts_and_na_is_no_rating() -> None:
    label = [r.ratings for r in read(sample("ultrafeedback"), fields=FieldNames(rating=("annotations",))).records()]
    assert label[0] == (4.5, 2.0)
    honesty = read(sample("ultrafeedback"), fields=FieldNames(rating=("annotations.honesty.Rating",)))
    assert next(honesty.records()).ratings == (4.0, None)


def test_a_rating_of_ten_that_should_be_one_is_in_the_label_of_ultrafeedback() -> None:
    assert [r.ratings for r in read(sample("ultrafeedback")).records()][1] == (8.5, 10.0)


def test_records_without_an_id_have_the_hash_of_their_texts() -> None:
    record = next(read(sample("trl")).records())
    assert record.id == content_id(record.prompt, record.completions)


BY_HAND = {"q": {"text": "p"}, "outs": [{"t": "a", "s": 3}, {"t": "b", "s": "4.5"}], "key": 7, "from.where": "here"}


def test_fields_are_named_by_hand_through_objects_and_lists(write) -> None:
    fields = FieldNames(prompt="q.text", completion=("outs.t",), rating=("outs.s",), id="key", source="from.where")
    record = next(read(write("x.jsonl", json.dumps(BY_HAND)), fields=fields).records())
    assert (record.id, record.prompt, record.completions, record.ratings, record.source) == (
        "7",
        "p",
        ("a", "b"),
        (3.0, 4.5),
        "here",
    )


def test_fields_are_named_one_for_each_completion(write) -> None:
    row = {"question": "p", "left": "a", "right": "b", "l": 1, "r": 2}
    fields = FieldNames(prompt="question", completion=("left", "right"), rating=("l", "r"))
    record = next(read(write("x.jsonl", json.dumps(row)), fields=fields).records())
    assert (record.completions, record.ratings) == (("a", "b"), (1.0, 2.0))


def test_a_pair_is_named_by_hand(write) -> None:
    row = {"question": "p", "win": "a", "lose": "b"}
    fields = FieldNames(prompt="question", chosen="win", rejected="lose")
    record = next(read(write("x.jsonl", json.dumps(row)), fields=fields).records())
    assert (record.completions, record.ratings) == (("a", "b"), (1.0, 0.0))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (FieldNames(prompt="nope", chosen="win", rejected="lose"), "'nope', named by `prompt_field`, is missing; the row has"),
        (FieldNames(chosen="win"), "needs both fields"),
        (FieldNames(prompt="question"), "which fields hold the completions"),
        (FieldNames(prompt="question", completion=("win",)), "expected a list"),
        (FieldNames(chosen="win", rejected="lose", prompt="question", rating=("x",)), "named by `rating_field`"),
        (FieldNames(chosen="win", rejected="lose", prompt="question", id="list"), "expected text or a number"),
    ],
)
def test_names_that_lead_nowhere_say_so(write, fields: FieldNames, said: str) -> None:
    assert said in refusal(write("x.jsonl", json.dumps({"question": "p", "win": "a", "lose": "b", "list": [1]})), fields=fields)


def test_kto_rows_that_are_not_grouped_say_what_to_do(write) -> None:
    rows = "".join(json.dumps({"prompt": p, "completion": "a", "label": True}) + "\n" for p in "pq")
    assert "sort the rows by prompt" in refusal(write("x.jsonl", rows))


def test_a_whole_pass_finds_a_bad_row_before_anything_is_spent(write) -> None:
    preferences = read(write("x.jsonl", GOOD * 100 + "oops\n"))
    assert isinstance(preferences, Preferences)
    with pytest.raises(InputError, match=":101: not JSON"):
        preferences.check()


def test_text_in_a_table_that_is_no_utf8_makes_its_row_bad(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "chosen": "aaaa", "rejected": f"bbb{n}"} for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet", compression="none", use_dictionary=False)
    content = (tmp_path / "x.parquet").read_bytes()
    at = content.index(b"bbb1")
    (tmp_path / "x.parquet").write_bytes(content[:at] + b"\xff" + content[at + 1 :])
    assert "row 2: 'rejected' is not UTF-8 at byte 1" in refusal(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", on_error="skip").check().skipped == 1


def test_columns_that_python_has_no_values_for_are_passed_over(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"], "at": pa.array([2**60], pa.timestamp("ms"))})
    pq.write_table(table, tmp_path / "x.parquet")
    assert texts(tmp_path / "x.parquet") == [("p", ("a", "b"))]


def test_decimal_ratings_are_numbers(tmp_path: Path) -> None:
    table = pa.table(
        {"instruction": ["p"], "generations": [["a", "b"]], "ratings": pa.array([[1, 2]], pa.list_(pa.decimal128(5, 2)))}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert next(read(tmp_path / "x.parquet").records()).ratings == (1.0, 2.0)


def test_a_line_of_many_megabytes_is_a_line(write) -> None:
    row = {"prompt": "p" * 5_000_000, "chosen": 'a"\n' * 1_000_000, "rejected": "b"}
    for name in ("x.jsonl", "x.json"):
        assert texts(write(name, json.dumps([row] if name == "x.json" else row)))[0][1] == (row["chosen"], "b")


def test_a_pair_beside_an_unknown_text_is_not_guessed_to_have_no_prompt(write) -> None:
    row = {"q": "p", "chosen": "a", "rejected": "b"}
    assert "(q: text, chosen: text, rejected: text); say which they are" in refusal(write("x.jsonl", json.dumps(row)))
    assert texts(write("x.jsonl", json.dumps(row)), fields=FieldNames(prompt="q")) == [("p", ("a", "b"))]
    known = {"chosen": "Q: p\nA: a", "rejected": "Q: p\nA: b", "source": "x", "id": "1"}
    assert texts(write("y.jsonl", json.dumps(known))) == [("Q: p\nA: ", ("a", "b"))]


def test_messages_that_share_no_beginning_need_a_prompt(write) -> None:
    sides = {side: [{"role": "assistant", "content": side}] for side in ("chosen", "rejected")}
    assert "begin with no common message" in refusal(write("x.jsonl", json.dumps(sides)))
    assert texts(write("y.jsonl", json.dumps({"prompt": "p", **sides}))) == [("p", ("chosen", "rejected"))]


def test_a_conversation_of_several_turns_keeps_them(write) -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    row = {
        side: [*turns, {"role": "user", "content": "more"}, {"role": "assistant", "content": side}]
        for side in ("chosen", "rejected")
    }
    record = next(read(write("x.jsonl", json.dumps(row))).records())
    assert [turn.role for turn in record.turns] == ["system", "user", "assistant", "user"]
    assert record.completions == ("chosen", "rejected")


def test_ultrafeedbacks_other_rating_is_a_score_that_the_data_carry(write) -> None:
    """The annotator gave an overall score and ratings by aspect: one is the label, the other a judge's score."""

    def item(overall: object, fine: object, *aspects: str) -> dict[str, object]:
        annotations = {f"aspect{n}": {"Rating": rating, "Rationale": ""} for n, rating in enumerate(aspects)}
        return {"response": f"text {overall}", "overall_score": overall, "fine-grained_score": fine, "annotations": annotations}

    row = {"instruction": "p", "completions": [item(10, 1.25), item(7, None, "4", "N/A", "5"), item(6, "odd")]}
    path = write("x.jsonl", (json.dumps(row) + "\n").encode())
    (record,) = read(path).records()
    assert record.ratings == (10.0, 7.0, 6.0)
    assert record.samples == ((1.25,), (4.5,), ())
    assert record.judge == "the data's ratings by aspect"
    (record,) = read(path, fields=FieldNames(rating=("annotations",))).records()
    assert (record.ratings[1], record.samples[0]) == (4.5, (10.0,))
    assert "the scores that the data carry are the mean of the aspects" in read(path).format.description


def test_a_stray_row_does_not_make_plain_texts_of_transcripts(write) -> None:
    turn = {name: f"\n\nHuman: q\n\nAssistant: {name}" for name in ("chosen", "rejected")}
    path = write(
        "x.jsonl",
        "".join(
            json.dumps(r) + "\n" for r in (turn, turn | {"rejected": turn["rejected"] + "!"}, {**turn, "chosen": "x"})
        ).encode(),
    )
    assert "x.jsonl:3: 'chosen' and 'rejected' share no 'Assistant:' turn" in refusal(path)
    records = list(read(path, on_error="skip").records())
    assert [(r.prompt, r.completions[0]) for r in records] == [("q", "chosen"), ("q", "chosen")]
