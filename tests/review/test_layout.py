"""What the page asks, and in which order it shows."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.records import Record, letter
from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.dataset import card, layout
from argilla_admap.review.dataset.answers import RatingScale
from argilla_admap.review.dataset.layout import ReviewLayout, managed_layout, shown_order


def record(k: int = 2, record_id: str = "r1") -> Record:
    return Record(
        id=record_id,
        prompt="Question",
        completions=tuple(f"answer {i}" for i in range(k)),
        models=tuple(f"m{i}" for i in range(k)),
        ratings=tuple(float(k - i) for i in range(k)),
        samples=((),) * k,
        reasons=(None,) * k,
    )


@given(st.text(min_size=1), st.integers(2, 12))
def test_the_open_layout_keeps_the_records_own_order(record_id: str, k: int) -> None:
    assert shown_order(record_id, k, blind=False) == tuple(range(k))


@given(st.text(), st.integers(2, 12))
def test_the_blind_order_is_a_shuffle_that_never_changes(record_id: str, k: int) -> None:
    order = shown_order(record_id, k, blind=True)
    assert sorted(order) == list(range(k))
    assert order == shown_order(record_id, k, blind=True)


def test_blind_orders_are_even() -> None:
    swapped = sum(shown_order(f"record-{i}", 2, blind=True) == (1, 0) for i in range(2000))
    assert abs(swapped - 1000) < 4 * math.sqrt(500)
    assert shown_order("llmbar-natural-0", 4, blind=True) == shown_order("llmbar-natural-0", 4, blind=True)


def test_an_order_of_an_earlier_version_still_holds() -> None:
    # Written down, because reviews that are under way were shown in this order.
    assert [shown_order(f"record-{i}", 3, blind=True) for i in range(4)] == EARLIER


EARLIER = [(0, 1, 2), (1, 0, 2), (1, 0, 2), (0, 2, 1)]


def test_letters_go_on_after_z() -> None:
    assert [letter(i) for i in (0, 1, 25, 26, 27, 51, 52)] == ["A", "B", "Z", "AA", "AB", "AZ", "BA"]


def remote(settings: Any, wanted: ReviewLayout) -> RemoteDataset:
    """The data set that the server would describe, made with these settings."""
    fields, questions = ([part.api_model().model_dump() for part in parts] for parts in (settings.fields, settings.questions))
    info = {"admap": {"layout": wanted.info()}}
    return RemoteDataset("1", "n", "w", "2", True, None, info, 1, True, "http://argilla", fields, questions)


@pytest.mark.parametrize(
    "wanted",
    [
        ReviewLayout("pair", True, (2, 2)),
        ReviewLayout("pair", False, (2, 2)),
        ReviewLayout("pair", False, (2, 2), choices=layout.OF_BOTH),
        ReviewLayout("pair", False, (2, 2), choices=layout.OF_SIDES),
        ReviewLayout("ratings", False, (3, 5)),
        ReviewLayout("ratings", True, (4, 4), RatingScale.of([0, 37, 100])),
    ],
)
def test_settings_are_recognised_again(argilla_client: Any, wanted: ReviewLayout) -> None:
    settings = layout.build_settings(wanted, client=argilla_client)
    names = [question.name for question in settings.questions]
    assert managed_layout(remote(settings, wanted)) == wanted
    assert names[-1] == "note"
    assert "label_wrong" not in names
    assert [field.name for field in settings.fields] == ["admap_title", "admap"]
    required = [question.name for question in settings.questions if question.required]
    assert required == (["better"] if wanted.kind == "pair" else [f"rating_{'abcd'[i]}" for i in range(wanted.k[0])])


@pytest.mark.parametrize("names", [["preference", "note"], ["rating_a", "rating_c"]])
def test_the_questions_of_an_external_data_set_are_not_ours(names: list[str]) -> None:
    field = {"name": "admap", "settings": {"type": "custom"}}
    questions = [{"name": name, "settings": {"options": [{"value": 1}]}} for name in names]
    found = RemoteDataset("1", "n", "w", "2", True, None, {}, 1, True, "http://argilla", [field], questions)
    assert managed_layout(found) is None


@given(st.text(min_size=1))
def test_the_title_is_safe_whatever_the_id_is(record_id: str) -> None:
    for blind in (True, False):
        title = layout.record_title(record_id, blind=blind)
        assert title
        assert all(character.isascii() and (character.isalnum() or character in "_.:-") for character in title)


def test_a_blind_title_does_not_tell_the_id() -> None:
    assert "flipped" not in layout.record_title("flipped-3", blind=True)
    assert layout.record_title("flipped-3", blind=False) == "flipped-3"


def test_fields_of_a_completed_blind_record_may_show_everything() -> None:
    row = {"scores": [3.0, 5.0], "p_wrong": 0.9}
    hidden = layout.record_fields(record(), row, blind=True)["admap"]
    shown = layout.record_fields(record(), row, blind=True, revealed=True)["admap"]
    order = shown_order("r1", 2, blind=True)
    assert "_s" not in hidden
    assert shown["_s"] == [row["scores"][i] for i in order]
    assert shown["_c"] == hidden["_c"]
    assert [card.decode(text) for text in shown["_c"]] == [f"answer {i}" for i in order]
