"""Text first: how many lines of the completions are in view on opening."""

from __future__ import annotations

from playwright.sync_api import Frame, Page

from tests.browser.conftest import Person, Review
from tests.browser.test_review_page import LIKELY, opened
from tests.doubles.browser import picture

_LINES = """() => {
  const frame = window.frameElement.getBoundingClientRect();
  const column = window.frameElement.closest(".record__content, .record").getBoundingClientRect();
  const bottom = Math.min(parent.innerHeight, column.bottom), top = Math.max(0, column.top);
  return [...document.querySelectorAll(".body")].map((body) => {
    const box = body.getBoundingClientRect();
    return Math.floor((bottom - Math.max(top, frame.top + box.top + 4)) / 20);
  });
}"""


def test_twelve_lines_of_a_pair_are_in_view_on_opening(owner: Person, pairs: Review) -> None:
    page: Page = owner.open(width=1280, height=720)
    frame: Frame = opened(page, pairs, LIKELY)[0]
    page.wait_for_timeout(900)
    picture(page, "in-view-1280")
    assert min(frame.evaluate(_LINES)) >= 12
