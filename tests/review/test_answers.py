"""What an answer means for the label: an answer belongs to a text, and a rating to the data set's own scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.errors import InputError
from argilla_admap.review.dataset.answers import (
    DEFAULT_SCALE,
    ContradictoryAnswer,
    Ratings,
    RatingScale,
    alike,
    in_own_order,
    in_terms_of_texts,
    ratings_from_answer,
)

ratings_of_pairs = st.tuples(*[st.one_of(st.none(), st.floats(-5, 10))] * 2)
orders = st.sampled_from([(0, 1), (1, 0)])


def meant(
    values: dict[str, Any],
    ratings: Sequence[float | None],
    order: Sequence[int] = (),
    *,
    scale: RatingScale = DEFAULT_SCALE,
    ends: tuple[float, float] = (0.0, 1.0),
) -> Ratings | None:
    """The label after an answer to the completions in this order."""
    return ratings_from_answer(in_own_order(values, order or range(len(ratings))), ratings, scale=scale, ends=ends)


@given(ratings_of_pairs, orders, st.sampled_from("ab"))
def test_an_answer_puts_the_chosen_completion_first(
    ratings: tuple[float | None, float | None], order: tuple[int, int], answer: str
) -> None:
    after = meant({"better": answer}, ratings, order)
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
    once = meant({"better": answer}, ratings, order, ends=(-5, 10))
    assert once is not None
    assert meant({"better": answer}, once, order, ends=(-5, 10)) == pytest.approx(once)


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
        ("both_bad", (0.5, 0.5), (0, 1), (0.0, 0.0)),
        ("tie", (0.0, 0.0), (0, 1), (0.5, 0.5)),
        ("both_bad", (3.0, 3.0), (1, 5), (3.0, 3.0)),
    ],
)
def test_what_a_pairs_answer_means(answer: str, ratings: Any, scale: Any, after: Any) -> None:
    assert meant({"better": answer}, ratings, ends=scale) == after


def test_a_blind_answer_finds_its_way_back_to_the_records_order() -> None:
    # Completion 1 was shown first, as A.
    assert meant({"better": "a"}, (1.0, 0.0), (1, 0)) == (0.0, 1.0)
    values = {"rating_a": 5, "rating_b": 1, "rating_c": 3}
    assert meant(values, (3.0, 2.0, 1.0), (2, 0, 1)) == (1.0, 3.0, 5.0)


def test_a_completion_that_was_not_rated_keeps_its_rating() -> None:
    assert meant({"rating_b": 4, "note": "x"}, (3.0, 2.0, None)) == (3.0, 4.0, None)


def test_no_answer_about_the_label_is_no_change() -> None:
    assert meant({"note": "x", "label_wrong": "wrong"}, (1.0, 0.0)) is None


@pytest.mark.parametrize("values", [{"better": "c"}, {"rating_a": "good"}])
def test_an_answer_that_was_never_offered_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        meant(values, (1.0, 0.0))


@pytest.mark.parametrize(
    ("ratings", "asked", "ends"),
    [
        ([1, 0], range(2), (0, 1)),
        ([1.0, 3.0, 5.0], range(1, 6), (1, 5)),
        ([2, 7], range(1, 11), (1, 10)),
        ([0, 4], range(5), (0, 4)),
        ([0, 5], range(6), (0, 5)),
        ([0, 9], range(11), (0, 10)),
        ([4.5, 3], range(1, 6), (1, 5)),
        ([7.5, 8.5, 6, 3], range(1, 11), (1, 10)),
        ([0, 37, 80, 100], range(11), (0, 100)),
        ([0.2, 0.8], range(11), (0, 1)),
        ([-3, 1], range(1, 8), (-3, 3)),
        ([-0.3, 0.7], range(11), (-0.7, 0.7)),
        ([-1, -2, -3], range(1, 4), (-3, -1)),
        ([20], range(11), (0, 100)),
        ([None, float("nan")], range(1, 6), (1, 5)),
    ],
)
def test_the_scale_is_the_data_sets_own(ratings: list[Any], asked: range, ends: tuple[float, float]) -> None:
    assert RatingScale.of(ratings) == RatingScale(tuple(asked), float(ends[0]), float(ends[1]))


_TEN, _HUNDRED = RatingScale.of([7.5, 8.5, 6, 3]), RatingScale.of([0, 37, 80, 100])


@pytest.mark.parametrize(
    ("scale", "before", "answers", "after"),
    [
        # The nearest whole number keeps a half; any other corrects it.
        (_TEN, (7.5, 8.5, 6.0, 3.0), (8, 9, 6, 3), (7.5, 8.5, 6.0, 3.0)),
        (_TEN, (7.5, 8.5, 6.0, 3.0), (7, 8, 6, 3), (7.5, 8.5, 6.0, 3.0)),
        (_TEN, (7.5, 8.5, 6.0, 3.0), (5, 9, 6, 3), (5.0, 8.5, 6.0, 3.0)),
        (_HUNDRED, (37.0, 80.0), (4, 8), (37.0, 80.0)),
        (_HUNDRED, (37.0, 80.0), (9, 8), (90.0, 80.0)),
        # 46 is nearest to 5, and stays below the 50 that the other becomes, though the answers are equal: both are written.
        (_HUNDRED, (44.0, 46.0), (5, 5), (50.0, 50.0)),
        (RatingScale.of([0.2, 0.8]), (0.2, 0.8), (3, 1), (0.3, 0.1)),
        (RatingScale.of([-3, 2]), (-3.0, 2.0), (7, 1), (3.0, -3.0)),
    ],
)
def test_ratings_are_written_on_the_data_sets_scale(
    scale: RatingScale, before: tuple[float, ...], answers: tuple[int, ...], after: tuple[float, ...]
) -> None:
    said = {f"rating_{'abcd'[i]}": value for i, value in enumerate(answers)}
    assert meant(said, before, scale=scale) == after


@given(st.lists(st.floats(0, 100), min_size=2, max_size=5), st.data())
def test_ratings_stand_in_the_order_of_the_answers(before: list[float], data: st.DataObject) -> None:
    answers = data.draw(st.lists(st.integers(0, 10), min_size=len(before), max_size=len(before)))
    after = _HUNDRED.ratings(answers, tuple(before))
    assert all(0 <= rating <= 100 for rating in after if rating is not None)
    for i in range(len(before)):
        for j in range(len(before)):
            if answers[i] > answers[j]:
                assert after[i] > after[j] or (after[i], after[j]) == (before[i], before[j])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("ratings", "ends"), [([1, 4.0], (1, 5)), ([7.5, 3], (1, 10)), ([0, 37, 100], (0, 100)), ([1, 0], (0, 1)), ([None], (1, 5))]
)
def test_questions_of_an_earlier_version_are_taken_on_the_labels_scale(ratings: list[Any], ends: tuple[float, float]) -> None:
    found = DEFAULT_SCALE.fitted(ratings)
    assert (found.asked, found.low, found.high) == ((1, 2, 3, 4, 5), *ends)


@pytest.mark.parametrize(
    ("scale", "ratings", "words"),
    [
        (RatingScale.of([1, 5]), [1.0, 4.0], []),
        (_TEN, [7.5, 8.0], ["whole numbers from 1 to 10; a rating between"]),
        (_HUNDRED, [0.0, 40.0], ["from 0 to 10: an answer of 0 stands for 0 in the data, 10 for 100"]),
        (_HUNDRED, [37.0], ["10 for 100); a rating between"]),
        (RatingScale.of([1, 5]), [9.0], ["a rating of 9 lies outside 1 to 5"]),
    ],
)
def test_what_is_asked_on_another_scale_is_said(scale: RatingScale, ratings: list[float], words: list[str]) -> None:
    found = scale.notes(ratings)
    assert len(found) == len(words)
    assert all(said in note for said, note in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("before", "places", "after"),
    [
        ((7.5, 8.5, 6.0), (2, 3, 1), (7.5, 8.5, 6.0)),
        ((7.5, 8.5, 6.0), (3, 2, 1), (8.5, 7.5, 6.0)),
        ((7.5, 8.5, 6.0), (2, 2, 1), (8.0, 8.0, 6.0)),
        ((4.0, 4.0, 1.0), (3, 2, 1), (4.0, 2.5, 1.0)),
        ((None, None, None), (3, 2, 1), (3.0, 2.0, 1.0)),
    ],
)
def test_a_ranking_reorders_the_records_own_ratings(before: Ratings, places: tuple[int, ...], after: Ratings) -> None:
    scale = RatingScale((1, 2, 3), 1.0, 3.0, places=True)
    assert scale.ratings(places, before) == after


@given(st.lists(st.integers(1, 5), min_size=2, max_size=6), st.data())
def test_only_a_changed_order_corrects_ratings(label: list[int], data: st.DataObject) -> None:
    answers = data.draw(st.lists(st.integers(1, 5), min_size=len(label), max_size=len(label)))
    before = tuple(map(float, label))
    after = meant({f"rating_{'abcdef'[i]}": value for i, value in enumerate(answers)}, before)
    assert after is not None
    assert alike(after, answers)
    assert (after == before) == alike(before, answers)


@pytest.mark.parametrize(
    ("label", "said", "means"),
    [
        ((1.0, 0.0), "keep", "a"),
        ((1.0, 0.0), "flip", "b"),
        ((0.0, 1.0), "keep", "b"),
        ((2.0, 4.0), "flip", "a"),
        ((0.5, 0.5), "keep", "keep"),
        ((1.0, 0.0), "tie", "tie"),
        ((None, None), "a", "a"),
    ],
)
def test_keep_and_flip_mean_the_label_on_the_card(label: Any, said: str, means: str) -> None:
    assert in_terms_of_texts({"better": said}, label) == {"better": means}


@pytest.mark.parametrize(("label", "said"), [((0.5, 0.5), "flip"), ((None, None), "keep"), ((None, None), "flip")])
def test_what_a_label_cannot_be_told_is_refused(label: Any, said: str) -> None:
    with pytest.raises(InputError, match="says nothing here"):
        in_terms_of_texts({"better": said}, label)


_OPPOSITE = {"rating_a": 1, "rating_b": 5}


@pytest.mark.parametrize(
    ("said", "contradicts"),
    [
        ({"better": "b", "label_wrong": "right"}, True),
        ({"better": "a", "label_wrong": "wrong"}, True),
        ({"better": "tie", "label_wrong": "right"}, True),
        ({"better": "b", "label_wrong": "wrong"}, False),
        ({"better": "a", "label_wrong": "right"}, False),
        ({"better": "b", "label_wrong": "unsure"}, False),
        ({**_OPPOSITE, "label_wrong": "right"}, True),
        ({**_OPPOSITE, "label_wrong": "wrong"}, False),
    ],
)
def test_an_answer_of_an_earlier_version_that_contradicts_itself_is_recognised(said: Any, contradicts: bool) -> None:
    if contradicts:
        with pytest.raises(ContradictoryAnswer):
            in_terms_of_texts(said, (4.0, 2.0))
    else:
        assert "label_wrong" not in in_terms_of_texts(said, (4.0, 2.0))
