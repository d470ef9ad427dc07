"""Records answered by keyboard alone, by an annotator: each answer comes back on the completion that it was meant for."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from argilla_admap.pipeline import pull
from argilla_admap.records import letter
from argilla_admap.review.argilla.cipher import key_of
from argilla_admap.review.dataset.answers import question_rating
from argilla_admap.review.dataset.layout import shown_order
from tests.browser.conftest import Person, Review
from tests.browser.test_review_page import (
    OLDEST,
    checked,
    given_answers,
    opened,
    shown_record,
    type_at_once,
    wait_for_next,
)
from tests.review.maps import data_map, row

#: Fifty take a minute for each layout; a few tell as much on every run.
RECORDS = int(os.environ.get("ADMAP_KEYBOARD_RECORDS", "4"))
ORDERS = ((1.0, 0.0), (0.0, 1.0))


def asked(person: Person, make_review: Callable[..., Review], name: str, rows: list[dict[str, Any]], *, blind: bool) -> Review:
    return make_review(f"{name}-{'blind' if blind else 'open'}-{person.role}", data_map(rows), blind=blind)


def submit(page: Any) -> None:
    with page.expect_response(lambda answer: "/responses" in answer.url):
        page.keyboard.press("Enter")


def brought_home(review: Review, client: Any, rows: list[dict[str, Any]]) -> dict[str, tuple[float | None, ...]]:
    """The labels of all records after a pull."""
    result = pull(review.remote.full_name, client)
    assert result.reviewed == len(rows)
    return {r["id"]: result.corrections.get(r["id"], tuple(r["ratings"])) for r in rows}


@pytest.mark.parametrize("blind", [False, True], ids=["open", "blind"])
def test_answers_to_pairs_come_back_as_they_were_meant(
    reader: Person, make_review: Callable[..., Review], argilla_client: Any, blind: bool
) -> None:
    rows = [row(f"pair-{i}", ratings=list(ORDERS[i // 2 % 2])) for i in range(RECORDS)]
    review = asked(reader, make_review, "pairs", rows, blind=blind)
    page = reader.open(width=1280, height=720)
    frame = opened(page, review, OLDEST)[0]
    expected = {}
    for i in range(RECORDS):
        record = shown_record(frame)
        name = record["external_id"]
        said = ("ab" if blind else ("keep", "flip"))[i % 4] if i % 4 < 2 else ("tie", "both_bad")[i % 4 - 2]
        own = ORDERS[int(name.removeprefix("pair-")) // 2 % 2]
        best = ORDERS[shown_order(name, 2, blind=blind, key=key_of(review.remote))["ab".find(said)]]
        meant = {"tie": (0.5, 0.5), "both_bad": (0.0, 0.0), "keep": own, "flip": own[::-1]}
        expected[name] = meant.get(said, best)
        if i % 4 == 1:
            page.keyboard.press("d")
        with page.expect_response(lambda answer: "/responses" in answer.url):
            page.keyboard.press("1234"[i % 4])
            if i % 2:
                page.keyboard.press("Enter")
        frame = wait_for_next(page, record["id"]) if i + 1 < RECORDS else frame
    assert brought_home(review, argilla_client, rows) == expected


def test_a_digit_goes_on_by_itself_another_one_corrects_it_and_a_note_is_not_an_answer(
    reader: Person, make_review: Callable[..., Review]
) -> None:
    review = make_review("digits", data_map([row(f"d{i}") for i in range(3)]))
    page = reader.open(width=1280, height=720)
    first = shown_record(opened(page, review, OLDEST)[0])["id"]
    for key in "fs":
        page.keyboard.press(key)
    type_at_once(page, "21")
    frame = wait_for_next(page, first)
    second = shown_record(frame)["id"]
    # The view that was chosen stays for the next record.
    pressed = "[...document.querySelectorAll('.views [aria-pressed=true]')].map(e => e.getAttribute('aria-keyshortcuts'))"
    assert frame.evaluate(pressed) == ["f", "s"]
    page.keyboard.press("n")
    page.keyboard.type("1 2 fdn")
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    third = shown_record(wait_for_next(page, second))["id"]
    assert given_answers(review) == {first: {"better": "keep"}, second: {"better": "tie", "note": "1 2 fdn"}}
    assert third not in (first, second)


def test_only_answers_that_mean_something_are_offered_and_an_answer_is_said_on_its_card(
    owner: Person, make_review: Callable[..., Review]
) -> None:
    labels = {"tie": [0.5, 0.5], "ordered": [1.0, 0.0], "without": [None, None]}
    review = make_review("offered", data_map([row(name, ratings=given) for name, given in labels.items()]))
    offered = {"tie": "keep tie both_bad a b", "ordered": "keep flip tie both_bad", "without": "tie both_bad a b"}
    page = owner.open(width=1280, height=720)
    frame = opened(page, review, OLDEST)[0]
    for place in range(3):
        record = shown_record(frame)
        name = record["external_id"]
        page.wait_for_function(_OFFERED, arg=offered[name].split())
        if name != "ordered":
            page.keyboard.press("2")
            expect(frame.locator(".note")).to_contain_text("no label to keep" if name == "without" else "The label is a tie")
        page.keyboard.press("2" if name == "ordered" else "6")
        page.keyboard.press("Enter")
        frame = wait_for_next(page, record["id"]) if place < 2 else frame
    expect(page.locator("[data-admap=end], .wrapper--empty").first).to_be_visible(timeout=30_000)
    assert sorted(answer["better"] for answer in given_answers(review).values()) == ["b", "b", "flip"]
    said = {}
    for place in (1, 2, 3):
        frame = opened(page, review, OLDEST.replace("pending", "submitted").replace("page=1", f"page={place}"))[0]
        said[shown_record(frame)["external_id"]] = frame.inner_text(".verdict")
    assert said["ordered"].startswith("You flipped the label.")
    assert said["tie"].startswith("Your answer, B, contradicts the label.")


_OFFERED = """names => [...document.querySelectorAll("input[id^=better_]")]
  .filter(item => document.querySelector(`label[for=${item.id}]`).offsetParent).map(item => item.id.slice(7)).sort().join()
  === [...names].sort().join()"""


def test_the_order_is_fine_is_one_key_and_not_one_of_the_record_before(
    reader: Person, make_review: Callable[..., Review]
) -> None:
    review = make_review("fine", data_map([row(f"o{i}", 3, ratings=[4.0, 2.0, 1.0]) for i in range(3)]))
    page = reader.open(width=1280, height=720)
    first = shown_record(opened(page, review, OLDEST)[0])["id"]
    page.wait_for_function("document.querySelectorAll('input:checked').length === 3")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    second = shown_record(wait_for_next(page, first))["id"]
    page.wait_for_timeout(1500)
    assert given_answers(review) == {first: {"rating_a": 4, "rating_b": 2, "rating_c": 1}}
    assert second != first


@pytest.mark.parametrize("blind", [False, True], ids=["open", "blind"])
def test_ratings_of_six_on_a_scale_to_ten_come_back_on_their_completions(
    reader: Person, make_review: Callable[..., Review], argilla_client: Any, blind: bool
) -> None:
    rng = random.Random(4)
    rows = [row(f"six-{i}", 6, ratings=[float(rng.randint(1, 10)) for _ in range(6)]) for i in range(RECORDS)]
    rows[0]["ratings"] = [10.0, 9.0, 1.0, 4.0, 5.0, 6.0]  # so that the scale reaches to ten
    review = asked(reader, make_review, "six", rows, blind=blind)
    page = reader.open(width=1280, height=720)
    frame = opened(page, review, OLDEST)[0]
    expected = {}
    for i in range(RECORDS):
        record = shown_record(frame)
        name = record["external_id"]
        given = [rng.choice([1, 10, 1, 10, 2, 7]) for _ in range(6)]
        # As fast as the keys can be pressed, with both ways to say ten. A 1 and then a ten by 0 need a breath between them.
        for value, following in zip(given, [*given[1:], 0], strict=True):
            type_at_once(page, "0" if i % 2 and value == 10 else str(value))
            if i % 2 and (value, following) == (1, 10):
                page.wait_for_timeout(400)
        page.wait_for_function(
            "names => names.every(name => document.getElementById(name).checked)",
            arg=[f"{question_rating(p)}_{value}" for p, value in enumerate(given)],
        )
        assert len(checked(page)) == 6
        order = shown_order(name, 6, blind=blind, key=key_of(review.remote))
        expected[name] = {own: float(given[place]) for place, own in enumerate(order)}
        submit(page)
        frame = wait_for_next(page, record["id"]) if i + 1 < RECORDS else frame
    meant = {name: tuple(said[own] for own in range(6)) for name, said in expected.items()}
    assert brought_home(review, argilla_client, rows) == meant


def test_the_completion_that_is_asked_about_is_in_view_and_framed(reader: Person, make_review: Callable[..., Review]) -> None:
    text = "A sentence of some length that says little. " * 60
    rows = [row("long", 6, ratings=[10.0, 2.0, 3.0, 4.0, 5.0, 6.0], completions=[f"{i} {text}" for i in range(6)])]
    review = make_review("long", data_map(rows))
    page = reader.open(width=1280, height=720)
    frame = opened(page, review, OLDEST)[0]
    page.keyboard.press("f")
    for i in range(6):
        page.wait_for_function("id => document.activeElement.id.startsWith(id)", arg=f"{question_rating(i)}_")
        assert frame.locator(".one.asked .letter").inner_text().endswith(letter(i))
        if i:
            top = frame.locator(".one >> nth=" + str(i)).bounding_box()
            view = page.evaluate(
                "(({top, bottom}) => [top, bottom])(document.querySelector('.record__content').getBoundingClientRect())"
            )
            assert top is not None
            assert view[0] - 1 <= top["y"] < view[1] - 40
        page.keyboard.press("7")
    before = frame.locator(".one >> nth=5").bounding_box()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("PageDown")
    after = frame.locator(".one >> nth=5").bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["y"] - before["y"]) > 100
