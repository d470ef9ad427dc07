"""How the card draws texts: folded with the difference in view, code, tables, turns, other directions, many at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Frame, Page

from argilla_admap.records import Turn
from argilla_admap.review import card, layout
from tests.browser.card_page import page_of_cards
from tests.browser.test_card_hostile import INFO, PLAIN, ROW, open_cards
from tests.doubles.browser import picture, seen

FOX = "The quick brown fox jumps over the lazy dog. "
CODE = 'Here it is:\n\n```python\ndef f(x):\n    return x  # a "comment"\n```\nDone.'
TABLE = "Plans:\n\n| Plan | Price |\n|:-----|------:|\n| Free | 0 |\n| Team | 12 EUR |\n\nChoose."


@pytest.fixture
def draw(new_page: Callable[..., Page], tmp_path: Path) -> Callable[..., Frame]:
    """Draws one card of two completions and gives its frame."""

    def make(first: str, second: str, *, row: dict[str, Any] | None = None, width: str = "796px", **changes: Any) -> Frame:
        record = replace(PLAIN, completions=(first, second), **changes)
        fields = layout.record_fields(record, {**ROW, **(row or {})}, blind=False)
        frame: Frame = open_cards(new_page(), tmp_path, [fields], width=width)[0]
        return frame

    return make


def in_view(frame: Frame, words: str) -> bool:
    return words in frame.inner_text(".body >> nth=0") + frame.inner_text(".body >> nth=1")


@pytest.mark.parametrize("before", [0, 30, 400])
def test_a_long_text_is_folded_with_the_difference_in_view(draw: Callable[..., Frame], before: int) -> None:
    head, tail = FOX * before, FOX * 400
    frame = draw(f"{head}It ended well.{tail}", f"{head}It ended badly.{tail}")
    assert in_view(frame, "ended well")
    assert in_view(frame, "ended badly")
    assert frame.locator(".body button.gap").count() >= 2
    assert len(frame.inner_text(".body >> nth=0")) < 2500
    frame.locator(".body >> nth=0").locator("button.gap").first.click()
    assert len(frame.inner_text(".body >> nth=0")) > len(tail)
    frame.page.keyboard.press("d")
    assert frame.locator("mark").all_inner_texts() == ["well", "badly"]
    assert "99% of the words are alike" in frame.inner_text(".note")


def test_a_short_text_is_not_folded(draw: Callable[..., Frame]) -> None:
    assert draw(FOX * 10, "No.").locator("button.gap").count() == 0


def test_the_same_text_twice_is_said_to_be_the_same(draw: Callable[..., Frame]) -> None:
    assert "the same" in draw("Same.", "Same.").inner_text(".note")


def test_code_and_tables_stay_readable(draw: Callable[..., Frame]) -> None:
    frame = draw(CODE, TABLE)
    code = frame.locator("pre")
    assert code.inner_text().splitlines() == ["```python", "def f(x):", '    return x  # a "comment"', "```"]
    assert "mono" in code.evaluate("e => getComputedStyle(e).fontFamily").lower()
    assert frame.locator("td").all_inner_texts() == ["Free", "0", "Team", "12 EUR"]
    assert frame.locator("th").all_inner_texts() == ["Plan", "Price"]
    # What no rule stands under is no table, and a fence that never closes is code to its end.
    assert draw("a | b\nc | d", "```\nx\n\ny").locator("table, pre").count() == 1


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("مرحبا بالعالم، هذا نص.", "right"),
        ("שלום עולם, זה טקסט.", "right"),
        ("你好，世界。これは文です。", "left"),
        ("Hello.", "left"),
    ],
)
def test_each_text_starts_at_its_own_side(draw: Callable[..., Frame], text: str, side: str) -> None:
    frame = draw(text, "Other", prompt=text)
    for selector in (".body p >> nth=0", ".prompt p"):
        places = frame.locator(selector).evaluate(
            "e => { const r = document.createRange(); r.selectNodeContents(e); const t = r.getBoundingClientRect(),"
            " b = e.getBoundingClientRect(); return [t.left - b.left, b.right - t.right]; }"
        )
        assert (places[0] < places[1]) == (side == "left")


def test_turns_are_shown_as_turns_and_the_last_ones_first_in_view(draw: Callable[..., Frame]) -> None:
    turns = (Turn("system", "Be brief."), *(Turn("user" if i % 2 else "assistant", f"Turn {i}") for i in range(1, 8)))
    frame = draw("x", "y", turns=turns, prompt="Turn 7")
    assert frame.locator(".role").all_inner_texts() == ["Assistant", "User"]
    assert "Turn 7" in frame.inner_text(".prompt")
    frame.locator(".prompt button.gap").click()
    assert frame.locator(".role").count() == 8
    assert frame.locator(".role").first.inner_text() == "System"


@pytest.mark.parametrize("k", [3, 4, 5, 8, 9, 20])
@pytest.mark.parametrize("blind", [False, True])
def test_more_than_two_stand_side_by_side_and_beyond_eight_below_each_other(
    new_page: Callable[..., Page], tmp_path: Path, k: int, blind: bool
) -> None:
    record = replace(
        PLAIN,
        completions=tuple(f"Answer {i}. {FOX * (i % 3)}" for i in range(k)),
        models=tuple(f"model-{i}" for i in range(k)),
        ratings=tuple(float(i % 5 + 1) for i in range(k)),
        samples=((),) * k,
        reasons=(None,) * k,
    )
    row = {**ROW, "scores": [1.0 + i % 5 for i in range(k)], "score_variances": [0.1] * k, "score_counts": [3] * k}
    page = new_page()
    frame = open_cards(page, tmp_path, [layout.record_fields(record, row, blind=blind)])[0]
    boxes = [one.bounding_box() for one in frame.locator(".one").all()]
    assert len(boxes) == k
    columns = len({round(box["x"]) for box in boxes if box})
    assert columns == (1 if k > 8 else 3 if k == 3 or k > 4 else 2)
    assert frame.locator(".letter").last.inner_text().endswith(layout.letter(k - 1))
    picture(page, f"many-{k}-{'blind' if blind else 'open'}")
    page.keyboard.press("d")
    frame.locator("button[aria-label='Compare with B']").click()
    assert frame.locator(".one >> nth=1").locator("mark").count() == 0
    assert frame.locator(".one >> nth=0").locator("mark").count() > 0
    assert not seen(page).errors


@pytest.mark.parametrize(
    ("ratings", "scores", "verdict"),
    [
        ((1, 0), (5, 7), "The judge prefers the rejected completion, B, by 2 points"),
        ((1, 0), (7, 6), "The judge agrees with the label: the chosen completion, A, is better by 1 point"),
        ((0, 1), (7, 6.5), "The judge prefers the rejected completion, A, by 0.5 points"),
        ((1, 0), (6, 6), "The judge scores both alike; the label prefers A"),
        ((1, 1), (6, 7), "The label calls it a tie; the judge prefers B by 1 point"),
        ((1, 1), (6, 6), "Judge and label agree on a tie"),
        ((None, None), (6, 7), "The judge prefers B by 1 point; the data set has no label here."),
        ((1, 0), (None, 7), "Not scored: no number."),
    ],
)
def test_the_verdict_says_in_words_what_the_numbers_say(
    draw: Callable[..., Frame], ratings: Any, scores: Any, verdict: str
) -> None:
    frame = draw("x", "y", ratings=ratings, row={"scores": list(scores), "errors": ["no number", None], "p_wrong": None})
    assert frame.inner_text(".verdict").removesuffix(".") == verdict.removesuffix(".")


@pytest.mark.parametrize(("p", "words"), [(0.83, "0.83"), (0.9999, "above 0.99"), (0.0001, "below 0.01")])
def test_a_probability_is_never_said_to_be_certain(draw: Callable[..., Frame], p: float, words: str) -> None:
    assert f"wrong with probability {words}." in draw("x", "y", row={"p_wrong": p}).inner_text(".verdict")


def test_reasons_of_the_diagnosis_and_of_the_judge_are_shown(draw: Callable[..., Frame]) -> None:
    frame = draw("x", "y", row={"evidence": ["All five scores go against it.", "A near-duplicate has the opposite label."]})
    assert frame.locator(".why li").all_inner_texts() == [
        "All five scores go against it.",
        "A near-duplicate has the opposite label.",
    ]
    assert [text.splitlines()[-1] for text in frame.locator(".reason").all_inner_texts()] == ["Good.", "Better."]


def test_many_reasons_do_not_push_the_texts_away(draw: Callable[..., Frame]) -> None:
    reasons = [f"Reason number {i}." for i in range(7)]
    frame = draw("x", "y", row={"evidence": reasons})
    assert frame.locator(".why li").count() == 4
    frame.locator(".why button", has_text="4 more reasons").click()
    assert frame.locator(".why li").all_inner_texts() == reasons


@pytest.mark.parametrize("width", ["300px", "460px", "700px", "1400px"])
def test_nothing_is_cut_off_at_any_width(draw: Callable[..., Frame], width: str) -> None:
    frame = draw(CODE + "x" * 400, TABLE, width=width, models=("a-model-of-a-very-long-name-" * 4, "b"))
    assert frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    height = frame.evaluate("document.querySelector('#admap').getBoundingClientRect().height")
    frame.wait_for_function(
        "Math.abs(window.frameElement.clientHeight - document.querySelector('#admap').getBoundingClientRect().height) < 6"
    )
    assert height > 200


def test_the_frame_takes_none_of_argillas_style_sheets(new_page: Callable[..., Page], tmp_path: Path) -> None:
    file = tmp_path / "cards.html"
    file.write_text(page_of_cards([layout.record_fields(PLAIN, ROW, blind=False)], card.template(INFO)), encoding="utf-8")
    page = new_page()
    page.goto(file.as_uri())
    page.frames[1].wait_for_selector("#admap .all")
    assert page.frames[1].evaluate("document.querySelectorAll('head style, head link').length") == 1
