"""Ids are unique in what is read, stable, and usable anywhere; duplicates and contradictions are told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.formats.format import Draft
from argilla_admap.formats.ids import Identities, Identity, safe_id
from argilla_admap.formats.registry import ReadReport, read
from argilla_admap.formats.writeback.corrected import write_corrected


def pair(identity: str | None, chosen: str = "a", rejected: str = "b", ratings: tuple[float, float] = (1.0, 0.0)) -> Draft:
    return Draft("p", (chosen, rejected), ratings, id=identity)


def name(identities: Identities, draft: Draft, rest: str = "") -> Identity:
    """The identity of a record whose rows hold `rest` beside what is read."""
    return identities.name(draft, repr((draft, rest)), lambda: rest)


def test_the_same_record_twice_is_a_duplicate_with_the_same_id() -> None:
    identities = Identities()
    first, second = name(identities, pair("x")), name(identities, pair("x"))
    assert (first.id, first.duplicate) == ("x", False)
    assert (second.id, second.duplicate) == ("x", True)


def test_one_id_of_two_contents_gets_a_suffix_made_of_the_content() -> None:
    identities = Identities()
    name(identities, pair("x"))
    second = name(identities, pair("x", "c"))
    assert second.id.startswith("x-")
    assert second.shared
    elsewhere = Identities()
    for n in range(5):
        name(elsewhere, pair("x", f"other {n}"))
    assert name(elsewhere, pair("x", "c")).id == second.id


def test_a_suffixed_record_keeps_its_id_when_its_label_is_corrected() -> None:
    ids = []
    for draft in (pair("x", "c"), pair("x", "b", "c")):
        identities = Identities()
        name(identities, pair("x"))
        ids.append(name(identities, draft).id)
    assert ids[0] == ids[1]


def test_a_suffixed_record_that_comes_again_is_a_duplicate_with_its_suffix() -> None:
    identities = Identities()
    for draft in (pair("x"), pair("x", ratings=(2.0, 0.0)), pair("x", "c"), pair("x", ratings=(3.0, 0.0))):
        named = name(identities, draft)
        again = name(identities, draft)
        assert again.duplicate
        assert again.id == named.id


def test_the_same_texts_with_another_label_are_both_kept_and_called_a_contradiction() -> None:
    identities = Identities()
    first = name(identities, pair("x"))
    second = name(identities, pair("x", ratings=(0.0, 1.0)))
    assert second.contradicts
    assert not second.duplicate
    assert first.id != second.id


def test_a_pair_that_is_there_the_other_way_round_is_a_contradiction() -> None:
    identities = Identities()
    name(identities, pair(None, "a", "b"))
    turned = name(identities, pair(None, "b", "a"))
    assert turned.contradicts
    assert not turned.duplicate


def test_the_same_pair_in_another_order_of_its_completions_contradicts_nothing() -> None:
    identities = Identities()
    name(identities, pair(None, "a", "b", (1.0, 0.0)))
    assert not name(identities, pair(None, "b", "a", (0.0, 1.0))).contradicts


def test_ratings_that_python_hashes_alike_are_told_apart() -> None:
    identities = Identities()
    name(identities, pair("x", ratings=(-1.0, 0.0)))
    assert not name(identities, pair("x", ratings=(-2.0, 0.0))).duplicate


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["x", "y", None]), st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from([0.0, 1.0])
        ),
        max_size=40,
    )
)
def test_ids_are_unique_and_the_same_when_read_again(drafts: list[tuple[str | None, str, str, float]]) -> None:
    passes = []
    for _ in range(2):
        identities = Identities()
        passes.append([name(identities, pair(i, a, b, (r, 0.5))) for i, a, b, r in drafts])
    assert passes[0] == passes[1]
    first_ids = [named.id for named in passes[0] if not named.duplicate]
    assert len(set(first_ids)) == len(first_ids)
    distinct = {(i, a, b, r) for i, a, b, r in drafts}
    assert len(first_ids) == len(distinct)


@pytest.mark.parametrize("plain", ["1", "lake-1", "a/b?c=d&e", "Straße 5", "=1+1", "x" * 200])
def test_an_id_that_can_be_written_anywhere_stays(plain: str) -> None:
    assert safe_id(plain) == plain


@pytest.mark.parametrize("hostile", ["a\nb", "a\x1b[2J", "a\u202eb", " a", "x" * 201, "\ud800", "\ufeffa"])
def test_other_ids_become_printable_short_and_stay_different(hostile: str) -> None:
    made = safe_id(hostile)
    assert made.isprintable()
    assert len(made) <= 140
    assert made != safe_id(hostile + "\n")
    assert made.encode()
    assert safe_id(made) == made


@pytest.mark.parametrize(("value", "identity"), [(7, "7"), (7.0, "7"), ("7", "7"), (7.5, "7.5"), (10**25 + 1, str(10**25 + 1))])
def test_ids_that_are_numbers_become_text(tmp_path: Path, value: object, identity: str) -> None:
    row = {"question_id": value, "prompt": "p", "chosen": "a", "rejected": "b"}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    assert next(read(tmp_path / "x.jsonl").records()).id == identity


def test_a_records_own_id_comes_before_its_prompts(tmp_path: Path) -> None:
    row = {"prompt_id": "q", "id": "own", "prompt": "p", "chosen": "a", "rejected": "b"}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    assert next(read(tmp_path / "x.jsonl").records()).id == "own"


def identity_of(rows: list[dict[str, Any]], folder: Path) -> tuple[list[str], ReadReport]:
    (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = read(folder / "x.jsonl")
    return [record.id for record in source.records()], source.report


def test_rows_that_differ_in_something_that_is_not_read_are_records_of_their_own(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b", "lang": lang} for lang in ("de", "fr", "de", "it")]
    ids, report = identity_of(rows, tmp_path)
    assert len(ids) == len(set(ids)) == 3
    assert (report.duplicates, report.contradictions, report.shared_ids) == (1, 0, 2)
    # The first of a file has the plain id; every other's is made of its own content.
    again, _ = identity_of([rows[0], rows[3], rows[1]], tmp_path)
    assert again == [ids[0], ids[2], ids[1]]


def test_the_order_of_keys_makes_no_row_another(tmp_path: Path) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "big": 2**70}
    ids, report = identity_of([row, dict(reversed(row.items()))], tmp_path)
    assert (len(ids), report.duplicates) == (1, 1)


@pytest.mark.parametrize(
    ("row", "correction"),
    [
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, (0.0, 1.0)),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "chosen_score": 4, "rejected_score": 2}, (1.0, 5.0)),
        ({"instruction": "p", "generations": ["a", "b", "c"], "ratings": [1, 2, 3]}, (3.0, 1.0, 2.0)),
        ({"instruction": "p", "output_1": "a", "output_2": "b", "preference": 1}, (0.0, 1.0)),
    ],
)
def test_a_suffix_made_of_the_rest_outlives_a_correction_of_the_label(
    tmp_path: Path, row: dict[str, Any], correction: tuple[float, ...]
) -> None:
    rows = [{**row, "id": "x", "rest": rest} for rest in "abc"]
    ids, _ = identity_of(rows, tmp_path)
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {ids[1]: correction})
    assert [record.id for record in read(tmp_path / "y.jsonl").records()] == ids
    before, after = ((tmp_path / name).read_text().splitlines() for name in ("x.jsonl", "y.jsonl"))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
