"""Text first: how many lines of the completions are in view on opening, and what stays in view while one scrolls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Frame

from tests.browser.conftest import Person, Review
from tests.browser.test_review_page import LIKELY, OLDEST, opened
from tests.doubles.browser import picture
from tests.review.maps import data_map, row

#: How many lines of text lie in view in each column of completions; of the column with the fewest.
_LINES = """() => {
  const frame = frameElement.getBoundingClientRect(), columns = new Map();
  const seen = ({ left, top, width, height }) => [0.1, 0.9].every((part) =>
    parent.document.elementFromPoint(frame.left + left + width / 2, frame.top + top + height * part) === frameElement);
  for (const body of document.querySelectorAll(".body")) {
    const range = document.createRange(), head = body.parentElement.querySelector(".head").getBoundingClientRect();
    range.selectNodeContents(body);
    const lines = [...range.getClientRects()].filter((line) => line.width > 1 && line.top > head.bottom - 3 && seen(line));
    const column = Math.round(body.getBoundingClientRect().left);
    columns.set(column, (columns.get(column) || 0) + new Set(lines.map((line) => Math.round(line.top))).size);
  }
  return Math.min(...columns.values());
}"""


def long_ones(k: int) -> list[dict[str, Any]]:
    """Records with long texts, a prompt that needs folding, and reasons."""
    sentence = "A sentence of some length that says little, and then one more that says no more than it. "
    texts = [f"Answer {i}. {sentence * 40}" for i in range(k)]
    reasons = [f"The judge's reason number {i}. {sentence}" for i in range(5)]
    return [row(f"long-{i}", k, prompt=sentence * 12, completions=texts, evidence=reasons) for i in range(2)]


@pytest.fixture(scope="module")
def long_texts(make_review: Callable[..., Review]) -> Callable[[int], Review]:
    """A review of long texts, made once for each number of completions."""
    made: dict[int, Review] = {}
    return lambda k: made.get(k) or made.setdefault(k, make_review(f"long-{k}", data_map(long_ones(k))))


def lines_in_view(frame: Frame, least: int) -> int:
    """The number of lines in view once there are so many and the page has come to rest."""
    frame.wait_for_function(f"least => ({_LINES})() >= least && parent.admapDesk.place", arg=least)
    frame.page.wait_for_load_state("networkidle")
    lines: int = frame.evaluate(_LINES)
    return lines


def test_twelve_lines_of_a_pair_are_in_view_on_opening(owner: Person, pairs: Review) -> None:
    page = owner.open(width=1280, height=720)
    frame = opened(page, pairs, LIKELY)[0]
    assert lines_in_view(frame, 12) >= 12
    picture(page, "in-view-1280")


@pytest.mark.parametrize("k", [3, 4, 6])
def test_twelve_lines_of_more_than_two_are_in_view_on_opening(
    owner: Person, long_texts: Callable[[int], Review], k: int
) -> None:
    page = owner.open(width=1280, height=720)
    frame = opened(page, long_texts(k), OLDEST)[0]
    assert lines_in_view(frame, 12) >= 12
    picture(page, f"in-view-1280-{k}")


@pytest.mark.parametrize("k", [2, 4])
def test_at_twice_the_size_six_lines_are_in_view_on_opening(owner: Person, long_texts: Callable[[int], Review], k: int) -> None:
    page = owner.open(width=640, height=360, device_scale_factor=2)
    frame = opened(page, long_texts(k), OLDEST)[0]
    assert lines_in_view(frame, 6) >= 6
    picture(page, f"in-view-640-{k}")


@pytest.mark.parametrize("k", [2, 6])
def test_letter_and_label_stay_in_view_while_one_scrolls(owner: Person, long_texts: Callable[[int], Review], k: int) -> None:
    page = owner.open(width=1280, height=720)
    frame = opened(page, long_texts(k), OLDEST)[0]
    page.keyboard.press("f")
    page.mouse.move(400, 500)
    for _ in range(3):
        page.mouse.wheel(0, 250)
    frame.wait_for_function(_HEADS)
    picture(page, f"scrolled-{k}")


# The first row of completions has scrolled past its beginning, and its heads stand at the upper edge of what is in view.
_HEADS = """() => {
  const frame = frameElement.getBoundingClientRect();
  const edge = frameElement.closest(".record__content").getBoundingClientRect().top;
  const seen = ({ left, top }) => parent.document.elementFromPoint(frame.left + left + 3, frame.top + top + 5) === frameElement;
  const heads = [...document.querySelectorAll(".head")].filter((head) => head.classList.contains("stuck"));
  return heads.length > 1 && heads.every((head) => {
    const box = head.getBoundingClientRect();
    return box.top > head.parentElement.getBoundingClientRect().top + 300 && Math.abs(frame.top + box.top - edge) < 2 &&
      [".letter", ".tag"].every((part) => seen(head.querySelector(part).getBoundingClientRect()));
  });
}"""
