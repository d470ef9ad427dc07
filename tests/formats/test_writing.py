"""Records written as new files read back as they were."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argilla_admap.errors import InputError
from argilla_admap.formats.registry import read
from argilla_admap.formats.writeback.corrected import write_corrected
from argilla_admap.formats.writing import WRITABLE, write
from argilla_admap.records import PREFERENCE_SCHEMA, Record, Turn, records_to_batch
from argilla_admap.tables import RecordStream
from tests.formats.samples import sample

#: Layouts that are read as one of another name.
READ_AS = {
    "trl-messages-implicit": "trl-messages",
    "kto-messages": "kto",
    "sharegpt-kto": "kto",
    "axolotl": "sharegpt",
    "prompt-pairs": "trl",
    "intel": "alpaca",
}
CONTAINERS = ("jsonl", "json", "csv", "parquet", "jsonl.gz", "json.zst", "csv.gz")


def stream(*records: Record) -> RecordStream:
    return RecordStream.from_table(pa.Table.from_batches([records_to_batch(records)]))


def record(*completions: str, ratings: tuple[float | None, ...] = (1.0, 0.0), **more: object) -> Record:
    nothing = (None,) * len(completions)
    given = {"id": "x", "prompt": "p", "models": nothing, "samples": ((),) * len(completions), "reasons": nothing, **more}
    return Record(completions=completions, ratings=ratings, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", WRITABLE)
def test_every_written_format_is_recognised_and_reads_back_with_the_same_preference(
    name: str, container: str, tmp_path: Path
) -> None:
    source = read(sample("plain"))
    report = write(source, tmp_path / f"x.{container}", name)
    back = read(tmp_path / f"x.{container}")
    assert back.format.name == READ_AS.get(name, name)
    assert (report.rows, report.records) == (back.check().rows, back.check().records)
    assert report.records == 3
    for before, after in zip(source.records(), back.records(), strict=True):
        assert after.id == before.id
        # Words that both answers begin with are the prompt's where they stand in one text with it.
        assert name == "trl-implicit" or after.prompt == before.prompt
        rated = dict(zip(before.completions, before.ratings, strict=True))
        whole = {text: next(old for old in before.completions if old.endswith(text)) for text in after.completions}
        best, worst = (pick(after.completions, key=lambda text: rated[whole[text]] or 0) for pick in (max, min))
        label = dict(zip(after.completions, after.ratings, strict=True))
        assert (label[best] or 0) > (label[worst] or 0)
        assert (rated[whole[best]], rated[whole[worst]]) == (1.0, 0.0)


@pytest.mark.parametrize("container", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize("name", ["plain", "trl-messages", "hh-rlhf", "ultrafeedback"])
def test_plain_is_the_whole_record(name: str, container: str, tmp_path: Path) -> None:
    source = read(sample(name))
    write(source, tmp_path / f"x.{container}", "plain")
    assert list(read(tmp_path / f"x.{container}").records()) == list(source.records())


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.one_of(st.none(), st.floats(-1e9, 1e9))


@st.composite
def any_record(draw: st.DrawFn) -> Record:
    k = draw(st.integers(2, 4))
    row = st.lists(words, min_size=k, max_size=k)
    turns = draw(st.lists(st.builds(Turn, st.sampled_from(["user", "assistant", "system"]), words), max_size=3))
    if len(turns) == 1 and turns[0].role == "user":
        turns = []
    from argilla_admap.records import render_turns

    prompt = render_turns(turns) if turns else draw(words.filter(lambda text: not text.lstrip().startswith(("[", "{"))))
    return Record(
        id=draw(st.text("abc123-", min_size=1, max_size=5)),
        prompt=prompt,
        turns=tuple(turns),
        completions=tuple(draw(row)),
        models=tuple(draw(st.lists(st.one_of(st.none(), words.filter(bool)), min_size=k, max_size=k))),
        ratings=tuple(draw(st.lists(numbers, min_size=k, max_size=k))),
        samples=tuple(tuple(draw(st.lists(numbers, max_size=3))) for _ in range(k)),
        reasons=tuple(draw(st.lists(st.one_of(st.none(), words.filter(bool)), min_size=k, max_size=k))),
        source=draw(st.one_of(st.none(), words.filter(lambda text: text and not text.startswith("[")))),
        judge=draw(st.one_of(st.none(), words.filter(bool))),
        reference=draw(st.one_of(st.none(), words.filter(bool))),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    records=st.lists(any_record(), min_size=1, max_size=5, unique_by=lambda r: r.id),
    container=st.sampled_from(["jsonl", "json", "parquet"]),
)
def test_write_then_read_is_the_identity(records: list[Record], container: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{container}"
    write(stream(*records), path, "plain")
    assert list(read(path, format="plain").records()) == records


def test_pairs_of_more_than_two_are_the_best_and_the_worst(tmp_path: Path) -> None:
    write(stream(record("a", "b", "c", "d", ratings=(2.0, 4.0, None, 4.0))), tmp_path / "x.jsonl", "trl")
    assert json.loads((tmp_path / "x.jsonl").read_text()) == {"id": "x", "prompt": "p", "chosen": "b", "rejected": "a"}


def test_records_that_are_no_pair_are_left_out_and_counted(tmp_path: Path) -> None:
    equal = record("a", "b", ratings=(1.0, 1.0))
    unrated = record("a", "b", ratings=(None, None), id="y")
    report = write(stream(equal, unrated, record("a", "b", id="z")), tmp_path / "x.jsonl", "trl")
    assert (report.records, report.rows, report.left_out) == (3, 1, 2)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "'=", "''-", "\uff1d"])
def test_text_in_csv_starts_no_formula_and_comes_back_as_it_was(tmp_path: Path, begin: str) -> None:
    formula = begin + 'HYPERLINK("http://x");=1'
    written = record(formula, "b", prompt=formula)
    report = write(stream(written, record("'x", "1", id="y")), tmp_path / "x.csv", "trl")
    with (tmp_path / "x.csv").open(newline="") as file:
        header, first, second = csv.reader(file)
    assert header == ["id", "prompt", "chosen", "rejected", "admap_guarded"]
    assert first == ["x", "'" + formula, "'" + formula, "b", "2"]
    assert second == ["y", "p", "'x", "1", "0"]
    assert report.guarded == 2
    back = list(read(tmp_path / "x.csv").records())
    assert (back[0].prompt, back[0].completions, back[1].completions) == (formula, (formula, "b"), ("'x", "1"))
    # A correction exchanges the texts with their guards.
    write_corrected(tmp_path / "x.csv", tmp_path / "y.csv", {"x": (0.0, 1.0)})
    assert next(read(tmp_path / "y.csv").records()).completions == ("b", formula)


def test_csv_without_such_texts_has_no_column_of_ours_and_somebody_elses_quote_marks_stay(tmp_path: Path) -> None:
    write(stream(record("'=a", "b", id="x")), tmp_path / "guarded.csv", "trl")
    write(stream(record("'a", "b", id="x")), tmp_path / "x.csv", "trl")
    assert (tmp_path / "x.csv").read_text() == '"id","prompt","chosen","rejected"\n"x","p","\'a","b"\n'
    (tmp_path / "theirs.csv").write_text("prompt,chosen,rejected\np,'=a,b\n")
    assert next(read(tmp_path / "theirs.csv").records()).completions == ("'=a", "b")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(texts=st.lists(st.text(st.sampled_from("'=+-@ab,;\"\n\r\t "), max_size=5), min_size=3, max_size=3))
def test_any_text_in_csv_comes_back_as_it_was(texts: list[str], tmp_path: Path) -> None:
    prompt, *completions = texts
    write(stream(record(*completions, prompt=prompt)), tmp_path / "x.csv", "trl")
    back = next(read(tmp_path / "x.csv").records())
    assert (back.prompt, back.completions) == (prompt, tuple(completions))


def test_json_of_nothing_is_an_empty_array(tmp_path: Path) -> None:
    write(stream(record("a", "b", ratings=(1.0, 1.0))), tmp_path / "x.json", "trl")
    assert json.loads((tmp_path / "x.json").read_text()) == []


def test_packed_output_has_neither_name_nor_time(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write(stream(record("a", "b")), tmp_path / f"{name}.jsonl.gz")
    assert (tmp_path / "x.jsonl.gz").read_bytes() == (tmp_path / "y.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes()).startswith(b'{"id":"x"')


@pytest.mark.parametrize(
    ("name", "format_name", "said"),
    [
        ("x.docx", "plain", "is not known"),
        ("x.jsonl", "docx", "choose one of trl"),
        ("absent/x.jsonl", "plain", "there is no folder .*absent"),
    ],
)
def test_what_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path, name: str, format_name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        write(stream(record("a", "b")), tmp_path / name, format_name)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_no_file(tmp_path: Path) -> None:
    def broken():
        yield records_to_batch([record("a", "b")])
        raise InputError("cut")

    with pytest.raises(InputError, match="cut"):
        write(RecordStream(broken, PREFERENCE_SCHEMA), tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_what_a_format_has_no_place_for_is_said(tmp_path: Path) -> None:
    rich = record("a", "b", ratings=(5.0, 2.0), models=("m", None), source="s")
    assert write(stream(rich), tmp_path / "x.jsonl", "trl").no_place == ["models", "ratings", "source"]
    assert write(stream(record("a", "b")), tmp_path / "y.jsonl", "trl").no_place == []
    assert write(stream(rich), tmp_path / "z.parquet", "plain").no_place == []


def test_a_nul_is_written_as_csv_or_the_person_is_told(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.csv"
    source.write_text(json.dumps({"prompt": "a\0b", "chosen": "c", "rejected": "d"}) + "\n")
    if sys.version_info >= (3, 11):
        write(read(str(source)), output)
        assert '"a\0b"' in output.read_text()
        return
    with pytest.raises(InputError, match="NUL") as raised:
        write(read(str(source)), output)
    assert "JSON Lines" in (raised.value.hint or "")
    assert not output.exists()


def test_a_dash_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="standard output is not written to"):
        write(stream(record("a", "b")), "-")
    assert list(tmp_path.iterdir()) == []
