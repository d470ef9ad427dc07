"""Hostile texts on the real page, on the whole way: map, push, Argilla, browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from argilla_admap.records import printable
from tests.browser.conftest import Person, Review
from tests.browser.hostile import HOSTILE, SIGNAL
from tests.browser.test_card_hostile import _READ, whole
from tests.doubles.browser import card_frames, seen
from tests.review.maps import data_map, row

#: What a file of records can hold: no lone surrogates, for they are no text.
TEXTS = {name: printable(text) for name, text in HOSTILE.items()}


@pytest.fixture(scope="module")
def hostile(make_review: Callable[..., Review]) -> Review:
    rows = [
        row(
            f"{i}-{text[:60]}",
            prompt=text,
            completions=[text, f"{text} and more"],
            models=[text[:300], "m"],
            reasons=[text, "Better."],
            judges=text[:60] or "judge",
            source=text[:60],
            turns=[{"role": "user", "content": text}, {"role": text[:60] or "x", "content": "y"}],
        )
        for i, text in enumerate(TEXTS.values())
    ]
    return make_review("hostile", data_map(rows))


@pytest.mark.parametrize("person", ["owner", "reader"], indirect=True)
def test_every_record_of_the_corpus_is_shown_as_it_is(person: Person, hostile: Review) -> None:
    page = person.open()
    shown: dict[str, dict[str, Any]] = {}
    for at in range(1, len(TEXTS) + 1, 10):
        left = min(10, len(TEXTS) - at + 1)
        page.goto(hostile.url(f"page={at}~10&status=pending&sort=record.inserted_at.asc"))
        frames = card_frames(page, left)
        page.keyboard.press("f")
        page.keyboard.press("p")
        # Drawn as Markdown it must be safe, and as its source every character must be there.
        drawn = [frame.evaluate(_READ) for frame in frames]
        assert [one["strange"] for one in drawn] == [0] * left
        page.keyboard.press("s")
        for frame in frames:
            shown[frame.evaluate("document.querySelector('.name').textContent")] = frame.evaluate(_READ)
        page.keyboard.press("s")  # the choice stays for the next page
    page.wait_for_timeout(300)

    did = seen(page)
    assert not did.dialogs
    assert not [url for url in did.requests if SIGNAL in url]
    assert not [error for error in did.errors if "ERR_NAME_NOT_RESOLVED" not in error]
    assert page.title() != "ran"
    assert len(shown) == len(TEXTS)
    for i, (name, text) in enumerate(TEXTS.items()):
        card = shown[f"{i}-{text[:60]}"]
        assert card["strange"] == 0, name
        assert whole(card["body"][0]) == (whole(text) if text.strip() else "(empty)"), name
        assert whole(card["turns"][0]) == (whole(text) if text.strip() else "(empty)"), name
        assert card["models"] == [m for m in (text[:300], "m") if m], name


def test_the_answer_to_a_hostile_record_comes_back(owner: Person, hostile: Review, argilla_client: Any) -> None:
    page = owner.open()
    page.goto(hostile.url("page=1&status=pending&sort=record.inserted_at.asc"))
    frame = card_frames(page)[0]
    record_id = frame.evaluate("document.querySelector('.name').textContent")
    with page.expect_response(lambda answer: "/responses" in answer.url):
        page.keyboard.press("2")
    from argilla_admap.pipeline import pull

    result = pull(hostile.remote.full_name, argilla_client)
    assert list(result.corrections) == [record_id]
