"""A queue is a place on the real page: where one is, what is left, what comes next; no answer is skipped, lost or turned."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, Review
from tests.doubles.browser import card_frames, seen

SETTLED = 30_000  # milliseconds in which the server of a busy machine has counted


def strip(page: Page) -> Any:
    return page.frame_locator("iframe").first.locator(".place")


# Every answer is given before the strip has looked at the address, as on a fast machine.
LATE = "const timer = setTimeout; window.setTimeout = (f, ms, ...rest) => timer(f, ms === 250 ? 1500 : ms, ...rest)"


def open_queue(person: Person, review: Review, name: str, script: str = "") -> Page:
    page = person.open()
    page.add_init_script(script)
    page.goto(review.queue(name)["url"])
    card_frames(page)
    return page


def answers(review: Review) -> dict[str, str]:
    """Record -> the submitted answer to the first question."""
    found: dict[str, str] = {}
    for items in review.api.pages(review.remote, ("responses",)):
        for item in items:
            for response in item.get("responses") or ():
                found[item["id"]] = str(response["values"]["better"]["value"])
    return found


def in_order(review: Review, name: str) -> list[str]:
    """The ids of a queue's records in its order."""
    from argilla_admap.review.queues.queues import QUEUES

    items, _ = review.api.search(review.remote, QUEUES[name].body())
    return [item["id"] for item in items]


def test_the_data_set_opens_at_its_first_queue_whose_counts_are_the_servers(pairs: Review, owner: Person) -> None:
    page = owner.open()
    page.goto(f"{pairs.remote.api_url}/dataset/{pairs.remote.id}/annotation-mode")
    page.wait_for_url(lambda url: "likely_wrong" in url, timeout=SETTLED)
    card_frames(page)
    first, second = pairs.queue("likely-wrong"), pairs.queue("contested")
    expect(strip(page)).to_contain_text(f"1 of {first['count']}", timeout=SETTLED)
    expect(strip(page)).to_contain_text(f"{first['count']} left")
    expect(strip(page)).to_contain_text(f"Contested ({second['count']})")
    strip(page).get_by_role("link", name="next").click()
    page.wait_for_url(lambda url: "contested" in url, timeout=SETTLED)
    expect(strip(page)).to_contain_text(f"1 of {second['count']}", timeout=SETTLED)
    assert not [error for error in seen(page).errors if "ERR_NAME_NOT_RESOLVED" not in error]


def test_four_answers_typed_ahead_land_on_four_records_and_a_reload_skips_none(pairs: Review, owner: Person) -> None:
    page = open_queue(owner, pairs, "likely-wrong", LATE)
    order, before = in_order(pairs, "likely-wrong"), answers(pairs)
    expect(strip(page)).to_contain_text(f"1 of {len(order)}", timeout=SETTLED)
    for key in ("1", "Enter", "2", "Enter", "3", "Enter", "4", "Enter"):
        page.keyboard.press(key)
    expect(strip(page)).to_contain_text(f"5 of {len(order)}", timeout=SETTLED)
    given = answers(pairs)
    assert set(given) - set(before) == set(order[:4])
    assert len({given[record] for record in order[:4]}) == 4
    words = {"flip": "flipped", "keep": "kept", "tie": "called a tie", "both_bad": "called both bad"}
    said = [(word, sum(given.get(record) == value for record in order)) for value, word in words.items()]
    payoff = ", ".join(f"{word} {n}" for word, n in said if n)
    expect(strip(page)).to_contain_text(payoff)  # as added up here
    page.wait_for_url(lambda url: "page=1&" in url + "&", timeout=SETTLED)
    page.reload()
    card_frames(page)
    expect(strip(page)).to_contain_text(f"5 of {len(order)}", timeout=SETTLED)
    expect(strip(page)).to_contain_text(payoff)  # as counted by the server
    assert card_frames(page)[0].evaluate("record.id") == order[4]


def test_the_end_of_a_queue_says_so_leads_on_and_its_form_changes_no_answer(pairs: Review, owner: Person) -> None:
    page = open_queue(owner, pairs, "obvious-errors")
    (record,) = in_order(pairs, "obvious-errors")
    for key in ("1", "Enter", "2", "Enter", "3", "Enter"):
        page.keyboard.press(key)
    end = page.locator("[data-admap=end]")
    expect(end).to_contain_text("Obvious errors is read to its end", timeout=SETTLED)
    expect(end.locator("a")).to_be_focused(timeout=SETTLED)
    once = answers(pairs)[record]
    page.locator("label[for=better_tie]").click(force=True)
    page.keyboard.press("3")
    page.wait_for_timeout(600)
    assert answers(pairs)[record] == once
    end.locator("a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "impossible_value" not in url, timeout=SETTLED)
    card_frames(page)
    assert answers(pairs)[record] == once
