"""What the page asks, in which order it shows, and what an answer means for the label."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.errors import InputError
from argilla_admap.records import Record, letter
from argilla_admap.review.dataset import card, layout
from argilla_admap.review.dataset.layout import ReviewLayout, rating_scale, ratings_from_answer, shown_order

ratings_of_pairs = st.tuples(*[st.one_of(st.none(), st.floats(-5, 10))] * 2)
orders = st.sampled_from([(0, 1), (1, 0)])


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


@given(ratings_of_pairs, orders, st.sampled_from("ab"))
def test_an_answer_puts_the_chosen_completion_first(
    ratings: tuple[float | None, float | None], order: tuple[int, int], answer: str
) -> None:
    after = ratings_from_answer({"better": answer}, ratings, order)
    assert after is not None
    chosen = order["ab".index(answer)]
    assert after[chosen] > after[1 - chosen]  # type: ignore[operator]
    if None not in ratings and ratings[0] != ratings[1]:
        assert sorted(after) == sorted(ratings)
        if ratings[chosen] > ratings[1 - chosen]:  # type: ignore[operator]
            assert after == ratings


@given(ratings_of_pairs, orders, st.sampled_from(["a", "b", "tie", "both_bad"]))
def test_the_same_answer_again_changes_nothing_more(
    ratings: tuple[float | None, float | None], order: tuple[int, int], answer: str
) -> None:
    once = ratings_from_answer({"better": answer}, ratings, order)
    assert once is not None
    assert ratings_from_answer({"better": answer}, once, order) == pytest.approx(once)


@pytest.mark.parametrize(
    ("answer", "ratings", "scale", "after"),
    [
        ("a", (1.0, 0.0), (0, 1), (1.0, 0.0)),
        ("b", (1.0, 0.0), (0, 1), (0.0, 1.0)),
        ("b", (4.5, 3.0), (1, 5), (3.0, 4.5)),
        ("a", (0.5, 0.5), (0, 1), (1.0, 0.0)),
        ("b", (3.0, 3.0), (1, 5), (1.0, 5.0)),
        ("a", (None, None), (0, 1), (1.0, 0.0)),
        ("tie", (1.0, 0.0), (0, 1), (0.5, 0.5)),
        ("tie", (None, 2.0), (1, 5), (3.0, 3.0)),
        ("both_bad", (4.0, 2.0), (1, 5), (2.0, 2.0)),
        ("both_bad", (None, None), (1, 5), (1.0, 1.0)),
    ],
)
def test_what_a_pairs_answer_means(answer: str, ratings: Any, scale: Any, after: Any) -> None:
    assert ratings_from_answer({"better": answer}, ratings, (0, 1), scale=scale) == after


def test_a_blind_answer_finds_its_way_back_to_the_records_order() -> None:
    # Completion 1 was shown first, as A.
    assert ratings_from_answer({"better": "a"}, (1.0, 0.0), (1, 0)) == (0.0, 1.0)
    values = {"rating_a": 5, "rating_b": 1, "rating_c": 3}
    assert ratings_from_answer(values, (1.0, 2.0, 3.0), (2, 0, 1)) == (1.0, 3.0, 5.0)


def test_a_completion_that_was_not_rated_keeps_its_rating() -> None:
    assert ratings_from_answer({"rating_b": 4, "note": "x"}, (1.0, 2.0, None), (0, 1, 2)) == (1.0, 4.0, None)


def test_no_answer_about_the_label_is_no_change() -> None:
    assert ratings_from_answer({"note": "x", "label_wrong": "wrong"}, (1.0, 0.0), (0, 1)) is None


@pytest.mark.parametrize("values", [{"better": "c"}, {"rating_a": "good"}])
def test_an_answer_that_was_never_offered_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ratings_from_answer(values, (1.0, 0.0), (0, 1))


@pytest.mark.parametrize(
    ("ratings", "scale"),
    [
        ([1, 0], (0, 1)),
        ([1.0, 3.0, 5.0], (1, 2, 3, 4, 5)),
        ([2, 7], tuple(range(1, 11))),
        ([0, 4], (0, 1, 2, 3, 4)),
        ([0, 5], (0, 1, 2, 3, 4, 5)),
        ([0, 9], tuple(range(11))),
        ([4.5, 3], (1, 2, 3, 4, 5)),
        ([-3, 3], (1, 2, 3, 4, 5)),
        ([20], (1, 2, 3, 4, 5)),
        ([None, float("nan")], (1, 2, 3, 4, 5)),
    ],
)
def test_the_scale_is_the_data_sets_own_where_argilla_can_ask_it(ratings: list[Any], scale: tuple[int, ...]) -> None:
    assert rating_scale(ratings) == scale


def test_letters_go_on_after_z() -> None:
    assert [letter(i) for i in (0, 1, 25, 26, 27, 51, 52)] == ["A", "B", "Z", "AA", "AB", "AZ", "BA"]


@pytest.mark.parametrize(
    "wanted", [ReviewLayout("pair", True, (2, 2)), ReviewLayout("pair", False, (2, 2)), ReviewLayout("ratings", False, (3, 5))]
)
def test_settings_are_recognised_again(argilla_client: Any, wanted: ReviewLayout) -> None:
    settings = layout.build_settings(wanted, client=argilla_client)
    names = [question.name for question in settings.questions]
    found = layout.recognise(names)
    assert found is not None
    assert (found.kind, found.blind, found.k[1]) == (wanted.kind, wanted.blind, wanted.k[1])
    assert names[-1] == "note"
    assert [field.name for field in settings.fields] == ["admap_title", "admap"]
    required = [question.name for question in settings.questions if question.required]
    assert required == (["better"] if wanted.kind == "pair" else ["rating_a", "rating_b", "rating_c"])


def test_somebody_elses_questions_are_not_ours() -> None:
    assert layout.recognise(["preference", "note"]) is None
    assert layout.recognise(["rating_a", "rating_c"]) is None


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
