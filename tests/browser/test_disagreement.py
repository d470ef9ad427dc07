"""Records whose reviewers disagree open for the owner with what was said, and leave the queue with a further answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from argilla_admap.pipeline import push
from argilla_admap.review.argilla.argilla_api import Api, parse_address
from argilla_admap.review.pull.pull import PullResult
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.to_file import pull_to_file
from argilla_admap.review.queues.disagreements import open_disagreements
from argilla_admap.review.queues.overview import count_queues
from argilla_admap.review.queues.queues import REVIEWERS_DISAGREE
from tests.doubles.argilla_server import Annotator, TestServer
from tests.doubles.browser import card_frames, sign_in
from tests.review.maps import data_map, row


def say(person: Annotator, record: str, value: str, note: str) -> None:
    values = {"better": {"value": value}, "note": {"value": note}}
    answer = person.client.http_client.post(
        f"/api/v1/records/{record}/responses", json={"status": "submitted", "values": values}
    )
    answer.raise_for_status()


def take_in(client: Any, name: str, folder: Path) -> PullResult:
    """As `admap pull` does: the answers into a file, the outcomes onto Argilla."""
    return pull_to_file(name, client, PullOptions(output=str(folder / "out.jsonl"))).result


def test_the_owner_sees_both_answers_and_decides(
    argilla_server: TestServer,
    argilla_client: Any,
    workspace: str,
    annotator: Annotator,
    second_annotator: Annotator,
    browser_page: Page,
    tmp_path: Path,
) -> None:
    people = (annotator.username, second_annotator.username)
    name = f"{workspace}/split"
    push(data_map([row(f"p{i}") for i in range(3)]), name, argilla_client, reviewers=people, overlap=2)
    api = Api(argilla_client)
    dataset = api.dataset(parse_address(name))
    asked = next(q for q in dataset.questions if q["name"] == "better")["settings"]["options"]
    one, other = (str(option["value"]) for option in asked[:2])
    items = [item["id"] for page in api.pages(dataset) for item in page]
    for record in items[:2]:
        say(annotator, record, one, "sure <b>of it</b>")
        say(second_annotator, record, other if record == items[0] else one, "no doubt")
    assert take_in(argilla_client, name, tmp_path).conflicts == 1

    dataset = api.refresh(dataset)
    (queue,) = (found for found in count_queues(api, dataset) if found.queue == REVIEWERS_DISAGREE)
    assert (queue.count, queue.pending) == (1, 1)
    assert open_disagreements(api, dataset) == 0  # the pull opened them
    sign_in(browser_page, argilla_server.url, argilla_server.username, argilla_server.password)
    browser_page.goto(queue.url)
    card = card_frames(browser_page)[0]
    assert card.evaluate("record.id") == items[0]
    told = browser_page.frame_locator("iframe").first.locator(".others")
    expect(told).to_contain_text("Note: sure <b>of it</b>", timeout=30_000)
    expect(told).to_contain_text("Note: no doubt")
    with browser_page.expect_response(lambda answer: "/responses" in answer.url and answer.request.method == "PUT"):
        browser_page.keyboard.press("1")
    expect(browser_page.locator("[data-admap=end]")).to_be_visible(timeout=30_000)

    settled = take_in(argilla_client, name, tmp_path)
    assert (settled.reviewed, settled.conflicts) == (2, 0)
    assert REVIEWERS_DISAGREE not in {found.queue for found in count_queues(api, api.refresh(dataset))}
