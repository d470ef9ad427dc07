"""Invariants of the layers below the formats: no byte of a file is lost, and an edit changes its value alone."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.csv_text import CsvShard
from argilla_admap.formats.containers.json_text import JsonArray, JsonLines, load_json
from argilla_admap.formats.containers.shard import TextShard
from argilla_admap.formats.format import Copy, Put, Swap
from argilla_admap.formats.writeback.edits import PlaceError, edit_cells, edit_json, edit_value

SHARDS: list[type[TextShard]] = [JsonLines, JsonArray, CsvShard]
#: Bytes that mean something to one of the containers, and some that do not.
_TOKENS = [b"{", b"}", b"[", b"]", b'"', b"\\", b",", b"\n", b"\r\n", b" ", b"a", b"\xff", b":", b"1", b"\xef\xbb\xbf"]
noise = st.lists(st.sampled_from(_TOKENS), max_size=30)

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


@pytest.mark.parametrize("shard", SHARDS)
@given(content=noise.map(b"".join))
def test_the_pieces_of_any_file_are_the_file(shard: type[TextShard], content: bytes) -> None:
    try:
        pieces = list(shard(Path("x")).pieces(io.BytesIO(content)))
    except InputError:
        return
    assert b"".join(lead + raw + tail for _, lead, raw, tail in pieces) == content


@pytest.mark.parametrize("indent", [None, 1])
@given(rows=st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=6), escaped=st.booleans())
def test_the_rows_of_an_array_are_found_whatever_they_hold(
    rows: list[dict[str, Any]], escaped: bool, indent: int | None
) -> None:
    content = json.dumps(rows, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")
    found = [load_json(raw) for number, _, raw, _ in JsonArray(Path("x")).pieces(io.BytesIO(content)) if number]
    assert found == rows


@st.composite
def row_and_places(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[Any, ...], tuple[Any, ...]]:
    row = draw(st.dictionaries(st.text(max_size=3), json_values, min_size=2, max_size=4))
    first, second = draw(st.lists(st.sampled_from(list(row)), min_size=2, max_size=2, unique=True))
    path: tuple[Any, ...] = (first,)
    value = row[first]
    while isinstance(value, (dict, list)) and value and draw(st.booleans()):
        step = draw(st.sampled_from(list(value))) if isinstance(value, dict) else draw(st.integers(0, len(value) - 1))
        path, value = (*path, step), value[step]
    return row, path, (second,)


@given(given_row=row_and_places(), new=st.one_of(st.integers(), st.text(max_size=4)), indent=st.sampled_from([None, 2]))
def test_an_edit_of_json_text_is_the_edit_of_its_value(
    given_row: tuple[dict[str, Any], tuple[Any, ...], tuple[Any, ...]], new: object, indent: int | None
) -> None:
    row, first, second = given_row
    text = json.dumps(row, indent=indent)
    for edit in (Put(first, new), Swap(first, second), Copy(first, second)):
        assert json.loads(edit_json(text, [edit])) == edit_value(row, [edit])
    assert edit_json(edit_json(text, [Swap(first, second)]), [Swap(first, second)]) == text


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("{}", '{"r": 1}'),
        ('{"a":2}', '{"a":2,"r":1}'),
        ('{"a": 2}', '{"a": 2, "r": 1}'),
        ('{"a":2,"b":3}', '{"a":2,"b":3,"r":1}'),
        ('{\n  "a": 2,\n  "b": 3\n}', '{\n  "a": 2,\n  "b": 3,\n  "r": 1\n}'),
        ('{\n  "a": 2\n}', '{\n  "a": 2,\n  "r": 1\n}'),
    ],
)
def test_a_new_key_is_laid_out_as_its_neighbours(text: str, after: str) -> None:
    assert edit_json(text, [Put(("r",), 1)]) == after


def test_of_a_key_that_is_there_twice_the_last_counts() -> None:
    assert edit_json('{"a": 1, "a": 2}', [Put(("a",), 3)]) == '{"a": 1, "a": 3}'


def test_json_within_a_text_is_edited_within_the_text() -> None:
    row = {"ratings": '[1, "é"]'}
    assert edit_json(json.dumps(row), [Put(("ratings", 0), 5)]) == '{"ratings": "[5, \\"\\u00e9\\"]"}'
    assert edit_value(row, [Put(("ratings", 0), 5)]) == {"ratings": '[5, "é"]'}


@pytest.mark.parametrize("edit", [Put(("a", "b", "c"), 1), Put((0,), 1), Swap(("a",), ("z",)), Put(("l", 7), 1)])
def test_a_place_that_is_not_there_is_an_error(edit: Put | Swap) -> None:
    with pytest.raises(PlaceError):
        edit_json('{"a": 1, "l": [1]}', [edit])


@given(
    cells=st.lists(
        st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=6), min_size=2, max_size=4
    ),
    new=st.text(st.sampled_from('a",\n;'), max_size=5),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_an_edit_of_a_csv_record_changes_that_cell(cells: list[str], new: str, quoting: int) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=quoting, lineterminator="").writerow(cells)  # type: ignore[arg-type]
    header = [f"c{n}" for n in range(len(cells))]
    after = edit_cells(out.getvalue(), header, ",", [Put(("c0",), new)])
    assert next(csv.reader(io.StringIO(after, newline=""))) == [new, *cells[1:]]
    swapped = edit_cells(out.getvalue(), header, ",", [Swap(("c0",), ("c1",))])
    assert next(csv.reader(io.StringIO(swapped, newline=""))) == [cells[1], cells[0], *cells[2:]]
    with pytest.raises(PlaceError):
        edit_cells(out.getvalue(), header, ",", [Put(("nope",), new)])
