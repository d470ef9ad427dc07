"""The card shows hostile text as it is: nothing runs, nothing is asked for, nothing breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from argilla_admap.records import Record, Turn
from argilla_admap.review.dataset import card, layout
from tests.browser.card_page import page_of_cards
from tests.browser.hostile import HOSTILE, SIGNAL
from tests.doubles.browser import seen

PLAIN = Record(
    id="plain",
    prompt="A question",
    completions=("One answer", "Another answer"),
    models=("m1", "m2"),
    ratings=(1.0, 0.0),
    samples=((5.0,), (7.0,)),
    reasons=("Good.", "Better."),
)
ROW: dict[str, Any] = {
    "scores": [5.0, 7.0],
    "score_variances": [0.2, 0.4],
    "score_counts": [3, 3],
    "mean": 6.0,
    "variance": 1.0,
    "p_wrong": 0.8,
    "region": "high_avg",
    "flags": ["likely_wrong"],
    "evidence": ["Why."],
    "judges": "judge",
}
INFO = card.map_info([6, 5, 4, 7], [1, 2, 0.5, 0.1], thresholds={"variance": 0.9, "mean": 5.5})

_READ = """() => ({
  body: [...document.querySelectorAll(".body")].map(e => e.textContent),
  turns: [...document.querySelectorAll(".turn .text")].map(e => e.textContent),
  roles: [...document.querySelectorAll(".role")].map(e => e.textContent),
  reasons: [...document.querySelectorAll(".reason .text")].map(e => e.textContent),
  models: [...document.querySelectorAll(".model")].map(e => e.textContent),
  id: document.querySelector(".name").textContent,
  judge: document.querySelector(".judge").textContent,
  why: [...document.querySelectorAll(".why li")].map(e => e.textContent),
  strange: document.querySelectorAll("img, iframe, script[src], object, embed, form, input, link").length,
  scripts: document.querySelectorAll("script").length,
})"""


def open_cards(page: Page, path: Path, fields: list[Any], *, info: Any = None, **options: Any) -> list[Any]:
    file = path / "cards.html"
    file.write_text(page_of_cards(fields, card.template(info or INFO), **options), encoding="utf-8")
    page.goto(file.as_uri())
    page.wait_for_function("n => document.querySelectorAll('iframe').length === n", arg=len(fields))
    frames = [frame for frame in page.frames if frame.parent_frame is not None]
    for frame in frames:
        frame.wait_for_selector("#admap .all", state="attached")
    return frames


def whole(shown: str) -> str:
    """A text without the line ends that the drawing of code, tables and ends of texts leaves out."""
    return shown.replace("\n", "").replace("|", "").replace("-", "").replace(" ", "")


@pytest.mark.parametrize("mode", ["folded", "rendered", "full", "differences"])
def test_hostile_text_is_shown_as_it_is_everywhere(new_page: Callable[..., Page], tmp_path: Path, mode: str) -> None:
    fields = []
    for text in HOSTILE.values():
        short = text[:300]
        record = replace(
            PLAIN,
            id=short or "x",
            prompt=text,
            turns=(Turn("user", text), Turn(short or "assistant", "An answer"), Turn("user", text)),
            completions=(text, f"{text} and more"),
            models=(short, "m2"),
            reasons=(text, "Better."),
        )
        row = {**ROW, "judges": short or "judge", "evidence": [short or "Why."], "errors": [text, None]}
        fields.append(layout.record_fields(record, row, blind=False))
    page = new_page()
    frames = open_cards(page, tmp_path, fields)
    if mode != "folded":
        page.keyboard.press("f")
        page.keyboard.press("p")
    if mode in ("full", "differences"):
        page.keyboard.press("s")
    if mode == "differences":
        page.keyboard.press("d")
    shown = [frame.evaluate(_READ) for frame in frames]
    page.wait_for_timeout(300)

    did = seen(page)
    assert not did.errors
    assert not did.dialogs
    assert not [url for url in did.requests if SIGNAL in url or not url.startswith(("file:", "about:"))]
    assert page.title() == "Review cards"
    for (name, text), card_shown in zip(HOSTILE.items(), shown, strict=True):
        assert card_shown["strange"] == 0, name
        assert card_shown["scripts"] == 3, name  # Argilla's two and the card's own
        assert card_shown["id"] == (text[:300] or "x"), name
        assert card_shown["models"] == [m for m in (text[:300], "m2") if m], name
        assert card_shown["why"] == [text[:300] or "Why."], name
        assert (text[:300] or "judge") in card_shown["judge"], name
        if mode in ("full", "differences"):
            expected = whole(text) if text.strip() else "(empty)"
            assert whole(card_shown["body"][0]) == expected, name
            assert whole(card_shown["turns"][0]) == expected, name


def test_a_record_without_a_card_says_so(browser_page: Page, tmp_path: Path) -> None:
    file = tmp_path / "cards.html"
    file.write_text(page_of_cards([{"admap_title": "x"}], card.template(INFO)), encoding="utf-8")
    browser_page.goto(file.as_uri())
    frame = browser_page.frames[1]
    frame.wait_for_selector("#admap p")
    assert "no review card yet" in frame.inner_text("#admap")
    assert not seen(browser_page).errors


def test_the_template_itself_holds_nothing_that_argilla_would_replace() -> None:
    template = card.template(INFO)
    assert "$" not in template
    assert "#RECORD_OBJECT#" not in template
    assert "#TEMPLATE#" not in template
    assert "http" not in template.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1998/Math/MathML", "")
    assert len(template) < 100_000


#: A text that turns the direction of all that follows it in its paragraph, unless it is kept apart.
TURNS = "\u202e\u2067TURNED"


@pytest.mark.parametrize("k", [2, 6])
def test_a_text_that_turns_its_direction_turns_nothing_outside_its_own_box(
    new_page: Callable[..., Page], tmp_path: Path, k: int
) -> None:
    def card_of(text: str) -> dict[str, Any]:
        record = replace(
            PLAIN,
            id=f"id {text}",
            completions=(f"{text} and more",) * k,
            models=(text,) * k,
            ratings=tuple(float(k - i) for i in range(k)),
            samples=((),) * k,
            reasons=(text,) * k,
            turns=(Turn(text, f"{text} {'word ' * 400}"), Turn("user", text)),
        )
        row = {
            **ROW,
            "scores": [None] * k,
            "score_variances": [None] * k,
            "score_counts": [None] * k,
            "errors": [text] * k,
            "judges": text,
            "evidence": [text, "Two.", text],
        }
        return layout.record_fields(record, row, blind=False)

    page = new_page(height=700)
    frames = open_cards(page, tmp_path, [card_of("XXTURNED"), card_of(TURNS)])
    plain, turned = (frame.evaluate(_ORDER) for frame in frames)
    assert plain == turned
    assert len(plain["head"]) == k
    assert all(words == ["letter", "tag", "model", "score"] for words in plain["head"])


_ORDER = """() => {
  const left = element => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return range.getBoundingClientRect().left;
  };
  const places = (root, selectors) => selectors.filter(s => root.querySelector(s))
    .sort((a, b) => left(root.querySelector(a)) - left(root.querySelector(b)))
    .map(s => s.slice(1));
  const verdict = document.querySelector(".verdict"), first = document.createRange();
  first.setStart(verdict.firstChild, 0);
  first.setEnd(verdict.firstChild, 3);
  return {
    head: [...document.querySelectorAll(".head")].map(e => places(e, [".letter", ".tag", ".model", ".score"])),
    starts: Math.round(first.getBoundingClientRect().left),
    facts: places(document.querySelector(".facts"), [".name", "span"]),
    button: document.querySelectorAll(".prompt button").length,
  };
}"""
