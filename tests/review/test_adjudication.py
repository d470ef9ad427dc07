"""Conflicts decided by a third person, on the real server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from argilla_admap.errors import InputError
from argilla_admap.pipeline import pull, push
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.people.adjudication import ask_adjudicator
from argilla_admap.review.pull.audit import audit_trail
from argilla_admap.review.pull.pull import mark_outcomes
from argilla_admap.review.queues.overview import count_queues
from argilla_admap.review.queues.queues import QUEUES, adjudicate_queue
from tests.cli.test_commands import admap
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote, work_of_people

ROWS = [row(f"r{i}") for i in range(4)]


def disputed(api: Api, workspace: str, people: Any, **options: Any) -> None:
    """A data set in which two people contradict each other on r0 and r1, and agree on r2."""
    push(
        data_map(ROWS), "decide", api.client, workspace=workspace, overlap=2, reviewers=[p.username for p in people], **options
    )
    ids = {name: str(item["id"]) for name, item in records(api, remote(api, workspace, "decide")).items()}
    for name, given in {"r0": "ab", "r1": "ba", "r2": "aa"}.items():
        for person, value in zip(people, given, strict=True):
            answer(person.client, ids[name], {"better": value})


@pytest.mark.usefixtures("argilla_environment")
def test_a_third_person_decides_and_the_conflict_leaves_the_queues(
    argilla_client: Any, workspace: str, make_annotator: Any
) -> None:
    api, people, third = Api(argilla_client), [make_annotator(), make_annotator()], make_annotator()
    disputed(api, workspace, people)
    before = records(api, remote(api, workspace, "decide"))
    words = ("push", "--dataset", f"{workspace}/decide", "--adjudicate", "--adjudicator", third.username, "--json")
    done = admap(*words)
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout)["adjudicate"]
    assert {name: asked[name] for name in ("adjudicator", "conflicts", "asked", "added", "own")} == {
        "adjudicator": third.username,
        "conflicts": 2,
        "asked": 2,
        "added": 2,
        "own": 0,
    }
    assert "status=draft" in asked["url"]
    target = remote(api, workspace, "decide")
    queue = adjudicate_queue(third.username)
    mine, total = _Mine(third.client).search(target, queue.body(_draft()))
    assert (total, {item["external_id"] for item in mine}) == (2, {"r0", "r1"})
    assert {found.queue.name: found.count for found in count_queues(api, target)}[queue.name] == 2
    # Idempotent, and nobody's answer is touched.
    again = ask_adjudicator("decide", argilla_client, workspace=workspace, adjudicator=third.username)
    assert (again.asked, again.added) == (2, 0)
    after = records(api, target)
    for name, item in after.items():
        item["responses"] = [r for r in item["responses"] if r["user_id"] != third.id]
        assert work_of_people({name: item}) == work_of_people({name: before[name]})
    # A push keeps what was asked; the answer outweighs both votes.
    push(data_map([{**one, "p_wrong": 0.3} for one in ROWS]), "decide", argilla_client, workspace=workspace)
    _decide(api, workspace, third, "r0", "tie")
    result = pull("decide", argilla_client, workspace=workspace)
    assert (result.conflicts, result.corrections) == (1, {"r0": (0.5, 0.5)})
    line = next(line for line in audit_trail(result) if line["id"] == "r0")
    assert (line["resolved_by"], len(line["votes"])) == ("adjudicator", 3)
    assert [vote["reviewer"] for vote in line["votes"] if vote["adjudicator"]] == [third.username]
    mark_outcomes(result, api)
    assert api.count(target, queue.body()) == api.count(target, QUEUES["reviewers-disagree"].body()) == 1


def test_a_named_adjudicator_outweighs_everywhere(argilla_client: Any, workspace: str, make_annotator: Any) -> None:
    api, people = Api(argilla_client), [make_annotator() for _ in range(2)]
    disputed(api, workspace, people)
    found = pull("decide", argilla_client, workspace=workspace, adjudicators=(people[1].username,))
    assert (found.conflicts, found.corrections) == (0, {"r0": (0.0, 1.0)})
    with pytest.raises(InputError, match="no user 'nobody'"):
        pull("decide", argilla_client, workspace=workspace, adjudicators=("nobody",))
    # Who contradicts the others is no third person.
    own = ask_adjudicator("decide", argilla_client, workspace=workspace, adjudicator=people[0].username)
    assert (own.conflicts, own.asked, own.own) == (2, 0, 2)
    with pytest.raises(InputError, match="`adjudicator`"):
        ask_adjudicator("decide", argilla_client, workspace=workspace, adjudicator="nobody")


def test_a_conflict_of_a_blind_review_stays_blind_until_it_is_decided(
    argilla_client: Any, workspace: str, make_annotator: Any
) -> None:
    api, people, third = Api(argilla_client), [make_annotator(), make_annotator()], make_annotator()
    disputed(api, workspace, people, blind=True)
    asked = ask_adjudicator("decide", argilla_client, workspace=workspace, adjudicator=third.username)
    # The link opens for a person to whom the outcomes of the reviews are hidden.
    queue = adjudicate_queue(third.username, blind=True)
    target = remote(api, workspace, "decide")
    assert (asked.url, "admap_review" in asked.url) == (queue.url(target), False)
    assert _Mine(third.client).search(target, queue.body(_draft()))[1] == 2
    push(data_map([{**one, "p_wrong": 0.3} for one in ROWS]), "decide", argilla_client, workspace=workspace)
    cards = {name: item["fields"]["admap"] for name, item in records(api, remote(api, workspace, "decide")).items()}
    assert {name: "_s" in card for name, card in cards.items()} == {"r0": False, "r1": False, "r2": True, "r3": False}
    _decide(api, workspace, third, "r1", "tie")
    mark_outcomes(pull("decide", argilla_client, workspace=workspace), api)
    cards = {name: item["fields"]["admap"] for name, item in records(api, remote(api, workspace, "decide")).items()}
    assert {name: "_s" in card for name, card in cards.items()} == {"r0": False, "r1": True, "r2": True, "r3": False}


def _draft() -> dict[str, Any]:
    return {"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["draft"]}


class _Mine(Api):
    """The searches of one person's page."""

    def request(self, method: str, path: str, **words: Any) -> Any:
        return super().request(method, path.replace("/datasets/", "/me/datasets/"), **words)


def _decide(api: Api, workspace: str, person: Any, record: str, value: str) -> None:
    """The prepared draft becomes the person's answer, as the page does it."""
    given = records(api, remote(api, workspace, "decide"))[record]["responses"]
    draft = next(response for response in given if response["user_id"] == person.id)
    body = {"values": {"better": {"value": value}}, "status": "submitted"}
    Api(person.client).request("PUT", f"/api/v1/responses/{draft['id']}", json=body)
