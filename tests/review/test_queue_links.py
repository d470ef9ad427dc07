"""The links in a real browser: the page asks the server for exactly the queue's records, and shows the first of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from argilla_admap.cli import main
from argilla_admap.pipeline import push
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.argilla.refusals import Refused
from argilla_admap.review.queues.overview import find_queues
from argilla_admap.review.queues.queues import CONTRACT, QUEUES, Queue, adhoc_queue, similar_url
from tests.doubles.browser import sign_in
from tests.report.maps import made_up_rows, map_of
from tests.review.maps import data_map, many
from tests.review.test_push import answer, records, remote

ADHOC = [
    adhoc_queue("agreement<-0.25", "agreement:asc"),
    adhoc_queue("variance>0 and mean<1.9999999999", "mean:desc,p_wrong:desc"),
    adhoc_queue("p_wrong>=0.333 and p_wrong<0.75 and region in (high_var, low_avg)"),
    adhoc_queue("mean=0.1"),
]


def searches_of(page: Any, url: str) -> list[dict[str, Any]]:
    """The bodies of the record searches that the link causes."""
    bodies: list[dict[str, Any]] = []

    def remember(request: Any) -> None:
        if request.url.split("?")[0].endswith("/records/search"):
            bodies.append(json.loads(request.post_data or "{}"))

    page.on("request", remember)
    with page.expect_response(lambda answer: "/records/search" in answer.url, timeout=30_000) as caught:
        page.goto(url)
    assert caught.value.status == 200
    page.wait_for_load_state("networkidle")
    page.remove_listener("request", remember)
    return bodies


def test_a_link_shows_the_records_of_its_queue(
    argilla_client: Any, argilla_server: Any, workspace: str, browser_page: Any
) -> None:
    rows = many(60, seed=3)
    push(data_map(rows), "links", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    target = remote(api, workspace, "links")
    sign_in(browser_page, argilla_server.url, argilla_server.username, argilla_server.password)
    pending = {"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["pending"]}
    queues: list[Queue] = [*(QUEUES[name] for name in (*CONTRACT, "judge-disagrees", "not-scored")), *ADHOC]
    for queue in queues:
        expected, total = api.search(target, queue.body())
        assert total == int(queue.mask(data_map(rows).frame).sum()) > 0, queue
        asked = searches_of(browser_page, queue.url(target))[0]
        filters = [part for part in asked["filters"]["and"] if part["scope"].get("entity") != "response"]
        open_only = [part for part in filters if part["scope"] != {"entity": "record", "property": "status"}]
        body = {"sort": asked["sort"]} | ({"filters": {"and": open_only}} if open_only else {})
        found, count = api.search(target, body)
        assert count == total, (queue.title, asked)
        assert [item["id"] for item in found] == [item["id"] for item in expected], (queue.title, asked)
        assert pending["scope"]["property"] in json.dumps(asked)
        first = expected[0]["external_id"]
        browser_page.get_by_text(first, exact=True).first.wait_for(state="attached", timeout=30_000)


def test_a_similarity_link_shows_the_neighbours(
    argilla_client: Any, argilla_server: Any, workspace: str, browser_page: Any
) -> None:
    push(data_map(many(40, seed=4)), "near", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    target = remote(api, workspace, "near")
    placed = next(item for item in records(api, target).values() if "admap_position" in (item["vectors"] or {}))
    sign_in(browser_page, argilla_server.url, argilla_server.username, argilla_server.password)
    asked = searches_of(browser_page, similar_url(target, placed["id"]))[0]
    assert asked["query"]["vector"]["record_id"] == placed["id"]
    assert asked["query"]["vector"]["name"] == "admap_position"


@pytest.mark.parametrize("bulk", [10, 25])
def test_a_bulk_link_shows_many_at_once(
    argilla_client: Any, argilla_server: Any, workspace: str, browser_page: Any, bulk: int
) -> None:
    push(data_map(many(30)), "bulk", argilla_client, workspace=workspace)
    target = remote(Api(argilla_client), workspace, "bulk")
    sign_in(browser_page, argilla_server.url, argilla_server.username, argilla_server.password)
    with browser_page.expect_request(lambda request: "/records/search" in request.url) as caught:
        browser_page.goto(QUEUES["all"].url(target, bulk=bulk))
    assert f"limit={bulk}" in caught.value.url


def test_where_argilla_cannot_open_a_similarity_link_a_link_to_the_same_place_stands_in(
    argilla_client: Any, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(data_map(many(60, seed=5)), "near", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    target = remote(api, workspace, "near")
    placed = next(item for item in records(api, target).values() if "admap_position" in (item["vectors"] or {}))
    name = placed["external_id"]
    ours = find_queues(argilla_client, f"{workspace}/near", similar_to=name, by="map")[0]
    assert "similarity=" in ours.url
    placed_others = sum("admap_position" in (item["vectors"] or {}) for item in records(api, target).values()) - 1
    assert ours.count == ours.pending == min(50, placed_others)

    whole = Api.request

    def without_single_records(self: Api, method: str, path: str, **options: Any) -> Any:
        if path == f"/api/v1/records/{placed['id']}":
            raise Refused("a record with vectors", 500, "")
        return whole(self, method, path, **options)

    monkeypatch.setattr(Api, "request", without_single_records)
    theirs = find_queues(argilla_client, f"{workspace}/near", similar_to=name)[0]
    assert "similarity=" not in theirs.url
    found = {item["external_id"] for item in api.search(target, theirs.queue.body())[0]}
    assert theirs.count == len(found) < 60
    assert name in found
    neighbours, _ = api.search(
        target, {"query": {"vector": {"name": "admap_position", "record_id": placed["id"], "max_results": 10}}}, limit=10
    )
    assert {item["external_id"] for item in neighbours} <= found


def test_what_is_selected_in_the_report_is_what_argilla_opens_and_answers_are_marked(
    argilla_client: Any, argilla_environment: Any, workspace: str, new_page: Any, tmp_path: Path
) -> None:
    made_map = map_of(made_up_rows(60))
    made_map.write(tmp_path / "map.parquet")
    push(made_map, "report", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    target = remote(api, workspace, "report")
    ids = {name: item["id"] for name, item in records(api, target).items()}
    for name in ("record-3", "record-4"):
        answer(argilla_client, ids[name], {"better": "tie"})
    output = tmp_path / "map.html"
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "map.parquet"), "-o", str(output), "--dataset", target.full_name])
    assert ended.value.code == 0
    page = new_page()
    page.goto(output.as_uri())
    expect(page.locator("#review-boxes")).to_contain_text("label corrected")
    act = page.locator("#open-these a.act")
    links = []
    # By numbers: one region. By ids: two of the sources in a window of the map.
    page.locator("#region-boxes input").nth(0).uncheck()
    expect(act).not_to_have_text("Open these 60 in Argilla")
    links.append((int(act.inner_text().split()[2]), act.get_attribute("href")))
    page.locator("#source-boxes input").nth(1).uncheck()
    page.wait_for_selector("#open-these a.act[href*='search=']")
    links.append((int(act.inner_text().split()[2]), act.get_attribute("href")))
    sign_in(page, argilla_environment.url, argilla_environment.username, argilla_environment.password)
    for number, link in links:
        asked = searches_of(page, str(link))[0]
        kept = [part for part in asked["filters"]["and"] if part["scope"]["entity"] == "metadata"]
        _, total = api.search(target, {key: asked[key] for key in ("query",) if key in asked} | {"filters": {"and": kept}})
        assert total == number < 60
