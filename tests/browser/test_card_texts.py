"""How the card draws texts: folded with the difference in view, code, tables, turns, other directions, many at once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Frame, Page

from argilla_admap.mapping.regions.coordinates import REGION_TITLES
from argilla_admap.mapping.regions.record_flags import FLAG_TITLES
from argilla_admap.records import Turn, letter
from argilla_admap.review.dataset import card, layout
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
    assert frame.locator(".role").all_inner_texts() == ["System", "Assistant", "User"]
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
    assert frame.locator(".letter").last.inner_text().endswith(letter(k - 1))
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


@pytest.mark.parametrize(
    ("ratings", "words"),
    [
        ((10.25, 0.5), ["label: chosen (10.25)", "label: rejected (0.5)"]),
        ((0.5, 0.5), ["label: tie"] * 2),
        ((7, 7), ["label: tie (7)"] * 2),
        ((20.5, 10), ["label: chosen (20.5)", "label: rejected (10)"]),
    ],
)
def test_a_label_is_said_with_all_of_its_digits(draw: Callable[..., Frame], ratings: Any, words: list[str]) -> None:
    assert draw("x", "y", ratings=ratings).locator(".tag").all_inner_texts() == words


@pytest.mark.parametrize(("p", "words"), [(0.83, "0.83"), (0.9999, "above 0.99"), (0.0001, "below 0.01")])
def test_a_probability_is_never_said_to_be_certain(draw: Callable[..., Frame], p: float, words: str) -> None:
    assert f"wrong with probability {words}." in draw("x", "y", row={"p_wrong": p}).inner_text(".verdict")


def test_the_region_and_the_flags_are_named_as_everywhere(draw: Callable[..., Frame]) -> None:
    row = {"region": "high_var", "flags": ["likely_wrong", "low_mean", "high_variance", "boundary"]}
    facts = draw("x", "y", row=row).inner_text(".facts")
    assert f"region {REGION_TITLES['high_var']}" in facts
    assert FLAG_TITLES["low_mean"] in facts
    assert FLAG_TITLES["boundary"] in facts
    assert facts.count("high variance") == 1
    assert "likely" not in facts


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


def of_many(scores: Any, ratings: Any, **columns: Any) -> dict[str, Any]:
    """The fields of a record of as many completions as there are scores."""
    k = len(scores)
    record = replace(
        PLAIN,
        completions=tuple(f"Answer {i}. {FOX * 12}" for i in range(k)),
        models=tuple(f"model-{i}" for i in range(k)),
        ratings=tuple(ratings),
        samples=((),) * k,
        reasons=(None,) * k,
    )
    row = {**ROW, "scores": list(scores), "score_variances": [None] * k, "score_counts": [1] * k, "p_wrong": None}
    return layout.record_fields(record, {**row, **columns}, blind=False)


@pytest.fixture
def draw_many(new_page: Callable[..., Page], tmp_path: Path) -> Callable[..., list[Frame]]:
    """Draws cards, one below the other."""

    def make(*fields: dict[str, Any], info: Any = INFO, width: str = "726px", height: int = 900) -> list[Frame]:
        page = new_page(width=int(width.removesuffix("px")) + 80, height=height)
        frames: list[Frame] = open_cards(page, tmp_path, list(fields), info=info, width=width)
        return frames

    return make


TIES: list[tuple[Any, Any, str]] = [
    (
        (8, 8, 3, 5),
        (1, 4, 2, 3),
        "The judge ties A and B at the top, the label puts B first; they order 3 of 6 pairs alike.",
    ),
    ((3, 8, 8, 5), (1, 4, 4, 3), "Judge and label both tie B and C at the top; they order 5 of 5 pairs alike."),
    ((9, 8, 3, 5), (4, 3, 1, 2), "Judge and label both put A first; they order 6 of 6 pairs alike."),
    (
        (9, 8, 3, 5),
        (4, 4, 1, 2),
        "The judge puts A first, the label ties A and B at the top; they order 5 of 5 pairs alike.",
    ),
    ((5, 5, 5, 5), (4, 3, 1, 2), "The judge scores all 4 alike; the label puts A first."),
    ((5, 5, 5, 5), (4, 4, 1, 2), "The judge scores all 4 alike; the label ties A and B at the top."),
    ((5, 5, 5), (2, 2, 2), "The judge scores all 3 alike; so does the label."),
    ((5, 7, 5), (2, 2, 2), "The label calls all alike; the judge puts B first."),
    ((5, 5, None), (1, 2, 3), "The judge scores all 2 that are scored alike; the label puts C first."),
    ((8, 8, 3), (None,) * 3, "The judge ties A and B at the top and puts C last; the data set has no label here."),
    ((8, 3, 3), (None,) * 3, "The judge puts A first; the data set has no label here."),
    ((8, 5, 3), (None,) * 3, "The judge puts A first and C last; the data set has no label here."),
    ((4, 4, 4), (None,) * 3, "The judge scores all 3 alike; the data set has no label here."),
]


def test_a_tie_among_many_is_called_a_tie(draw_many: Callable[..., list[Frame]]) -> None:
    frames = draw_many(*(of_many(scores, ratings) for scores, ratings, _ in TIES))
    assert [frame.inner_text(".verdict") for frame in frames] == [verdict for _, _, verdict in TIES]


def test_scores_that_differ_are_not_shown_as_the_same(draw_many: Callable[..., list[Frame]]) -> None:
    close, apart = draw_many(of_many((8.0, 7.98, 3, 5), (1, 4, 2, 3)), of_many((8.0, 7.9, 3, 5), (1, 4, 2, 3)))
    assert close.locator(".board b").all_inner_texts() == ["8.00", "7.98", "3.00", "5.00"]
    assert apart.locator(".board b").all_inner_texts() == ["8.0", "7.9", "3.0", "5.0"]


@pytest.mark.parametrize("k", [2, 3, 4, 6, 8, 12])
def test_letters_scores_labels_and_bars_of_all_are_seen_at_once(draw_many: Callable[..., list[Frame]], k: int) -> None:
    # The height that is left for the card in Argilla's page of 1280 x 720.
    frame = draw_many(of_many([1.0 + i % 9 for i in range(k)], [float(i % 5 + 1) for i in range(k)]), height=720)[0]
    view = frame.page.evaluate("document.querySelector('iframe').getBoundingClientRect().top") + 400
    places = [*frame.locator(".meter").all(), *frame.locator(".board .letter, .head:has(.scale) .letter").all()]
    assert len(places) == 2 * k
    for place in places:
        box = place.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= view
        assert box["width"] > 3
    shown = frame.inner_text(".board" if k > 3 else ".all")
    for i in range(k):
        assert re.search(rf"label:? (chosen \()?{i % 5 + 1}" if k > 2 else r"label: (chosen|rejected)", shown)
    cells = frame.locator(".board button").all()
    for cell in cells:
        assert cell.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


@pytest.mark.parametrize("width", ["300px", "540px", "726px"])
def test_nothing_overlaps_in_the_board(draw_many: Callable[..., list[Frame]], width: str) -> None:
    fields = of_many([10.0, 8.25, 3, 5, 1, 10], (10, 4, 2, 3, 10, 1), score_variances=[0.2] * 6)
    frame = draw_many(fields, width=width)[0]
    for line in frame.locator(".board .line").all():
        assert line.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
        boxes = [part.bounding_box() for part in line.locator("> *").all()]
        for before, after in itertools.pairwise(boxes):
            assert before is not None
            assert after is not None
            assert before["x"] + before["width"] <= after["x"]


@pytest.mark.parametrize(("scale", "ends"), [((1, 5), ["1", "5"]), ((0.0, 1.0), ["0", "1"]), ((-3.5, 12), ["-3.5", "12"])])
def test_the_bars_have_the_judges_scale_and_name_its_ends(draw_many: Callable[..., list[Frame]], scale: Any, ends: Any) -> None:
    middle = (scale[0] + scale[1]) / 2
    info = card.map_info([middle], [0.1], scores=[middle], scale=scale)
    frame = draw_many(of_many((middle, scale[0], scale[1], middle), (1, 2, 3, 4)), info=info)[0]
    assert frame.locator(".scale >> nth=0").locator("span").all_inner_texts() == ends
    parts = frame.evaluate("[...document.querySelectorAll('.meter i')].map(e => e.offsetWidth / e.parentElement.offsetWidth)")
    assert [round(part, 1) for part in parts] == [0.5, 0, 1, 0.5]


@pytest.mark.parametrize("edges", [(8.5, 1.0), (8.9, 2.0), (1.5, 0.05), (5.0, 4.0)])
def test_the_names_of_the_regions_are_covered_by_nothing(draw_many: Callable[..., list[Frame]], edges: Any) -> None:
    places = [(8.9, 0.1), (8.6, 0.9), (1.2, 0.01), (8.9, 2.9), (8.7, 1.5), (5.0, 3.0)]
    grid = [(1 + 8 * i / 19, 4 * j / 19) for i in range(20) for j in range(20)]
    info = card.map_info(
        [g[0] for g in grid], [g[1] for g in grid], thresholds={"mean": edges[0], "variance": edges[1]}, scale=(1, 10)
    )
    cards = [of_many((8, 7, 3), (3, 2, 1), mean=mean, variance=variance) for mean, variance in places]
    for at, frame in zip(places, draw_many(*cards, info=info), strict=True):
        names = frame.evaluate(_MAP_BOXES)
        assert len(names["zones"]) >= (1 if edges[1] < 0.1 else 2)
        for zone in names["zones"]:
            left, top, right, bottom = zone["box"]
            assert left >= names["frame"][0] - 1
            assert right <= names["frame"][2] + 1
            for what in (names["here"], *names["edges"]):
                apart = what[2] <= left + 0.5 or what[0] >= right - 0.5 or what[3] <= top + 3 or what[1] >= bottom - 3
                assert apart, (at, zone, what)


_MAP_BOXES = """() => {
  const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const all = selector => [...document.querySelectorAll(".map " + selector)];
  return {
    zones: all("text.zone").map(e => ({words: e.textContent, box: box(e)})),
    edges: all(".edge").map(box), here: box(all(".here")[0]), frame: box(all(".frame")[0]),
  };
}"""
