"""A third person decides conflicts on the page: records that are completed, without the others' names or answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from argilla_admap.pipeline import pull, push
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.people.adjudication import ask_adjudicator
from tests.browser.test_review_page import wait_for_next
from tests.doubles.browser import card_frames, picture, sign_in
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote


@pytest.mark.parametrize("blind", [False, True], ids=["open", "blind"])
def test_conflicts_are_decided_by_keyboard_and_leave_the_queue(
    argilla_client: Any, argilla_url: str, workspace: str, make_annotator: Any, new_page: Callable[..., Page], blind: bool
) -> None:
    api, people, third = Api(argilla_client), [make_annotator(), make_annotator()], make_annotator()
    names = [person.username for person in people]
    rows = [row(f"r{i}") for i in range(4)]
    push(data_map(rows), "decide", argilla_client, workspace=workspace, overlap=2, reviewers=names, blind=blind)
    ids = {name: str(item["id"]) for name, item in records(api, remote(api, workspace, "decide")).items()}
    for name, given in {"r0": ("tie", "both_bad"), "r1": ("both_bad", "tie"), "r2": ("tie", "tie")}.items():
        for person, value in zip(people, given, strict=True):
            answer(person.client, ids[name], {"better": value})
    asked = ask_adjudicator("decide", argilla_client, workspace=workspace, adjudicator=third.username)
    assert asked.asked == 2
    page = new_page()
    sign_in(page, argilla_url, third.username, third.password)
    page.goto(asked.url, wait_until="networkidle")
    decided = []
    for turn in range(2):
        (frame,) = card_frames(page)[:1]
        record = frame.evaluate("record")
        decided.append(record["external_id"])
        text = page.inner_text("body") + frame.inner_text("body")
        assert all(name not in text for name in names)
        frame.wait_for_selector(f"text=For {third.username} to decide")
        if turn == 0:
            picture(page, f"adjudicate-{'blind' if blind else 'open'}")
        with page.expect_response(lambda response: "/responses" in response.url):
            page.keyboard.press("4")
        if turn == 0:
            wait_for_next(page, record["id"])
    assert sorted(decided) == ["r0", "r1"]
    result = pull("decide", argilla_client, workspace=workspace)
    assert result.conflicts == 0
    assert {name: result.verdicts[name] for name in ("r0", "r1", "r2")} == {"r0": "both_bad", "r1": "both_bad", "r2": "tie"}
