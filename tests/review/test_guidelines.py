"""The overview of the reviewers: short enough, and a person's own words are kept."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.layout import ReviewLayout
from argilla_admap.review.queues.guidelines import (
    BEGIN,
    END,
    LIMIT,
    merge_guidelines,
    render_guidelines,
    room_beside,
)
from argilla_admap.review.queues.queues import Queue, QueueCount

PAIR = ReviewLayout("pair", False, (2, 2))
BLIND = ReviewLayout("pair", True, (2, 2))
ADDRESS = "http://127.0.0.1:6900/dataset/3e59fd0c-4842-48c8-b943-574958f661aa/annotation-mode"


def line(i: int, count: int = 5, title: str | None = None) -> QueueCount:
    url = f"{ADDRESS}?page=1&status=pending&metadata=admap_flags.flag_{i}&sort=metadata.admap_p_wrong.desc"
    queue = Queue(f"queue-{i}", title or f"Queue {i}", f"The reason to look at queue {i}.")
    return QueueCount(queue, count, count, url, url.replace("page=1", "page=1~10"))


def dense_map() -> dict[str, object]:
    """A map with a record in every cell, the longest that there is."""
    rng = np.random.default_rng(0)
    mean, spread = np.meshgrid(np.linspace(0, 10, 200), np.linspace(0, 4, 200))
    mean = np.concatenate([mean.ravel(), rng.normal(5, 1, 40_000)])
    variance = np.concatenate([spread.ravel() ** 2, rng.gamma(1, 1, 40_000)])
    return card.map_info(mean, variance, thresholds={"variance": 3.0, "mean": 6.0})


def test_each_queue_stands_there_with_count_reason_and_links() -> None:
    text = render_guidelines(PAIR, [line(0, 1234), line(1, 0)], summary={"records": 2000, "judge": "gpt-4o", "reviewed": 7})
    assert "2,000 records, scored by gpt-4o, 7 reviewed" in text
    assert re.search(
        r"\*\*\[Queue 0\]\(dataset/[^)]*page=1&[^)]*\)\*\*: 1,234 records, \[ten at once\]\(dataset/[^)]*page=1~10", text
    )
    assert "The reason to look at queue 0." in text
    assert "- Queue 1: 0 records" in text  # nothing to open


def test_the_map_is_in_it_and_the_whole_is_short_enough() -> None:
    text = render_guidelines(PAIR, [line(i) for i in range(11)], map_info=dense_map(), summary={"records": 80_000})
    assert "![The map: 80,000 records" in text
    assert len(text) <= LIMIT


@pytest.mark.parametrize("layout", [PAIR, BLIND, ReviewLayout("ratings", False, (2, 30))])
@pytest.mark.parametrize("room", [LIMIT, 6000, 3500, 2500])
def test_what_does_not_fit_is_left_out_from_the_least_needed(layout: ReviewLayout, room: int) -> None:
    text = render_guidelines(layout, [line(i) for i in range(40)], map_info=dense_map(), room=room)
    assert len(text) <= room
    assert text.startswith(BEGIN)
    assert text.endswith(END)
    assert "How to decide" in text
    assert "Enter" in text


def test_a_blind_home_holds_neither_map_nor_judge() -> None:
    text = render_guidelines(BLIND, [line(0, title="Mixed sample")], map_info=dense_map(), summary={"judge": "gpt-4o"})
    assert "data:image" not in text
    assert "gpt-4o" not in text
    assert "judge" not in text.lower()


def test_a_title_or_a_judge_cannot_break_out_of_its_place() -> None:
    hostile = "x](javascript:alert(1)) <img src=x onerror=alert(1)>\n# Heading `a`"
    text = render_guidelines(PAIR, [line(0, title=hostile)], summary={"judge": hostile})
    assert "<img" not in text
    assert "x](javascript" not in text.replace("\\]", "")
    assert "\n# Heading" not in text


@given(st.text(), st.text())
def test_a_persons_own_words_are_kept_through_every_refresh(before: str, after: str) -> None:
    first = merge_guidelines(f"{before}{BEGIN}old{END}{after}", f"{BEGIN}one{END}")
    second = merge_guidelines(first, f"{BEGIN}two{END}")
    if BEGIN not in before + after and END not in before + after:
        assert second == f"{before}{BEGIN}two{END}{after}"
    assert merge_guidelines(second, f"{BEGIN}two{END}") == second


def test_guidelines_without_marks_come_after_ours_whole() -> None:
    merged = merge_guidelines("Be kind.\n", f"{BEGIN}\nours\n{END}")
    assert merged == f"{BEGIN}\nours\n{END}\n\nBe kind.\n"
    assert merge_guidelines(None, "ours") == "ours"


def test_long_guidelines_of_a_person_are_never_cut() -> None:
    theirs = "w" * (LIMIT - 500)
    assert merge_guidelines(theirs, f"{BEGIN}{'x' * 600}{END}") == theirs
    room = room_beside(theirs)
    ours = render_guidelines(PAIR, [line(0)], room=room)
    assert len(ours) > room  # even the shortest does not fit: theirs stay alone
    assert merge_guidelines(theirs, ours) == theirs


def test_ours_shrinks_to_the_room_beside_a_persons_words() -> None:
    theirs = "w" * 6000
    ours = render_guidelines(PAIR, [line(i) for i in range(11)], map_info=dense_map(), room=room_beside(theirs))
    merged = merge_guidelines(theirs, ours)
    assert merged.endswith(theirs)
    assert BEGIN in merged
    assert len(merged) <= LIMIT
    assert room_beside(merged) >= len(ours)  # and may take its place again


def test_the_guidelines_say_when_the_queues_were_counted() -> None:
    at = datetime(2026, 11, 29, 13, 5, tzinfo=timezone.utc)
    assert "Counted on 29 November 2026 at 13:05 UTC" in render_guidelines(PAIR, [line(0)], at=at)
    assert "Counted on" not in render_guidelines(PAIR, [line(0)])
