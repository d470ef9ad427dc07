"""Ids are unique in what is read, stable, and usable anywhere; duplicates and contradictions are told apart."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.formats.format import Draft
from argilla_admap.formats.ids import HashSet, Identities, safe_id
from argilla_admap.formats.registry import read


def pair(identity: str | None, chosen: str = "a", rejected: str = "b", ratings: tuple[float, float] = (1.0, 0.0)) -> Draft:
    return Draft("p", (chosen, rejected), ratings, id=identity)


def test_the_same_record_twice_is_a_duplicate_with_the_same_id() -> None:
    identities = Identities()
    first, second = identities.name(pair("x")), identities.name(pair("x"))
    assert (first.id, first.duplicate) == ("x", False)
    assert (second.id, second.duplicate) == ("x", True)


def test_one_id_of_two_contents_gets_a_suffix_made_of_the_content() -> None:
    identities = Identities()
    identities.name(pair("x"))
    second = identities.name(pair("x", "c"))
    assert second.id.startswith("x-")
    assert second.shared
    elsewhere = Identities()
    for n in range(5):
        elsewhere.name(pair("x", f"other {n}"))
    assert elsewhere.name(pair("x", "c")).id == second.id


def test_a_suffixed_record_keeps_its_id_when_its_label_is_corrected() -> None:
    ids = []
    for draft in (pair("x", "c"), pair("x", "b", "c")):
        identities = Identities()
        identities.name(pair("x"))
        ids.append(identities.name(draft).id)
    assert ids[0] == ids[1]


def test_a_suffixed_record_that_comes_again_is_a_duplicate_with_its_suffix() -> None:
    identities = Identities()
    for draft in (pair("x"), pair("x", ratings=(2.0, 0.0)), pair("x", "c"), pair("x", ratings=(3.0, 0.0))):
        named = identities.name(draft)
        again = identities.name(draft)
        assert again.duplicate
        assert again.id == named.id


def test_the_same_texts_with_another_label_are_both_kept_and_called_a_contradiction() -> None:
    identities = Identities()
    first = identities.name(pair("x"))
    second = identities.name(pair("x", ratings=(0.0, 1.0)))
    assert second.contradicts
    assert not second.duplicate
    assert first.id != second.id


def test_a_pair_that_is_there_the_other_way_round_is_a_contradiction() -> None:
    identities = Identities()
    identities.name(pair(None, "a", "b"))
    turned = identities.name(pair(None, "b", "a"))
    assert turned.contradicts
    assert not turned.duplicate


def test_the_same_pair_in_another_order_of_its_completions_contradicts_nothing() -> None:
    identities = Identities()
    identities.name(pair(None, "a", "b", (1.0, 0.0)))
    assert not identities.name(pair(None, "b", "a", (0.0, 1.0))).contradicts


def test_ratings_that_python_hashes_alike_are_told_apart() -> None:
    identities = Identities()
    identities.name(pair("x", ratings=(-1.0, 0.0)))
    assert not identities.name(pair("x", ratings=(-2.0, 0.0))).duplicate


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
        passes.append([identities.name(pair(i, a, b, (r, 0.5))) for i, a, b, r in drafts])
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


@given(st.sets(st.integers(1, 2**64 - 1), max_size=3000))
def test_the_compact_set_holds_what_a_set_holds(values: set[int]) -> None:
    compact = HashSet()
    assert all(compact.add(value) for value in values)
    assert not any(compact.add(value) for value in values)
    assert len(compact) == len(values)
    assert all(value in compact for value in values)
    assert all(((value + 1) in compact) == (value + 1 in values) for value in values)


def test_the_compact_set_takes_little_memory() -> None:
    compact, random_numbers = HashSet(), random.Random(1)
    for _ in range(100_000):
        compact.add(random_numbers.getrandbits(64) or 1)
    assert len(compact._places) * 8 / len(compact) < 25
