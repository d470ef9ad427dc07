"""A queue's mask, its query, its search and its link select the same records, on the real server."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.errors import InputError
from argilla_admap.pipeline import push
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.queues.queues import CONTRACT, QUEUES, Queue, adhoc_queue, reviewer_queue, similar_url, usable
from tests.review.maps import data_map, many

WHERES = [
    "mean<2",
    "mean<=2",
    "mean>=0.1 and mean<0.3",
    "mean>0.1",
    "mean=2",
    "variance>0",
    "mean<2 and variance>=1",
    "p_wrong>=0.5 and region in (high_var, low_avg)",
    "agreement<0 and flags=likely_wrong",
    "agreement>=-0.5",
    "p_wrong>0.25 and p_wrong<=0.75 and variance<2.5",
]


@pytest.fixture(scope="module")
def pushed(argilla_client: Any) -> Iterator[tuple[Api, RemoteDataset, pd.DataFrame, Any]]:
    """A data set of 150 records with every flag, values at the edges of float32 and values missing."""
    import argilla as rg

    name = f"queues-{uuid.uuid4().hex[:10]}"
    client = argilla_client
    workspace = rg.Workspace(name=name, client=client).create()
    made = data_map(many(150))
    push(made, f"{name}/queues", client, reviewers=[client.me.username])
    api = Api(client)
    target = api.dataset(parse_address(f"{name}/queues"))
    frame = made.frame.assign(reviewer=[[client.me.username]] * 150)  # type: ignore[list-item]
    yield api, target, frame, client.datasets("queues", workspace=name)
    for dataset in workspace.datasets:
        dataset.delete()
    workspace.delete()


def _by_search(api: Api, target: RemoteDataset, queue: Queue) -> list[str]:
    found, total = api.search(target, queue.body())
    assert len(found) == total
    return [record["external_id"] for record in found]


def _by_link(api: Api, target: RemoteDataset, url: str) -> list[str]:
    """The ids that the page finds: its address read as the page's own code reads it."""
    query = {key: unquote(values[0]) for key, values in parse_qs(urlsplit(url).query).items()}
    filters: list[dict[str, Any]] = []
    for part in query.get("metadata", "").split("~") if query.get("metadata") else []:
        name, _, rest = part.partition(".")
        scope = {"entity": "metadata", "metadata_property": name}
        bounds = re.fullmatch(r"ge(-?[\d.]+)\.le(-?[\d.]+)", rest)
        if bounds:
            filters.append({"type": "range", "scope": scope, "ge": float(bounds[1]), "le": float(bounds[2])})
        else:
            filters.append({"type": "terms", "scope": scope, "values": rest.split(".")})
    sort = []
    for part in query["sort"].split("~"):
        entity, name, order = part.split(".")
        key = "metadata_property" if entity == "metadata" else "property"
        sort.append({"scope": {"entity": entity, key: name}, "order": order})
    body = {"sort": sort} | ({"filters": {"and": filters}} if filters else {})
    return [record["external_id"] for record in api.search(target, body)[0]]


@pytest.mark.parametrize("name", [*CONTRACT, "judge-disagrees", "opposite-duplicates", "obvious-errors", "not-scored"])
def test_the_three_renderings_of_a_queue_select_the_same_records(pushed: Any, name: str) -> None:
    _same_everywhere(pushed, QUEUES[name])


@pytest.mark.parametrize("where", WHERES)
def test_the_three_renderings_of_a_condition_select_the_same_records(pushed: Any, where: str) -> None:
    _same_everywhere(pushed, adhoc_queue(where, "variance:desc"))


def test_the_queue_of_a_reviewer_holds_the_records_assigned_to_them(pushed: Any, argilla_client: Any) -> None:
    _same_everywhere(pushed, reviewer_queue(argilla_client.me.username))


def _same_everywhere(pushed: Any, queue: Queue) -> None:
    api, target, frame, dataset = pushed
    expected = set(frame["id"][queue.mask(frame)])
    assert expected
    found = _by_search(api, target, queue)
    assert set(found) == expected
    assert {record.id for record in dataset.records(queue.query())} == expected
    assert api.count(target, queue.body()) == len(expected)
    assert _by_link(api, target, queue.url(dataset)) == found
    assert queue.url(target) == queue.url(dataset)


def test_a_queue_comes_in_the_order_of_its_frame(pushed: Any) -> None:
    api, target, frame, _ = pushed
    queue = adhoc_queue("mean>=0", "mean:asc,p_wrong:desc")
    singles = frame.assign(mean=frame["mean"].astype(np.float32), p_wrong=frame["p_wrong"].astype(np.float32))
    assert _by_search(api, target, queue) == list(queue.select(singles)["id"])


def test_every_queue_is_offered_where_its_metadata_are() -> None:
    always = {prop.name for prop in BY_COLUMN.values() if prop.always}
    assert all(usable(QUEUES[name], always) for name in CONTRACT)
    assert not usable(QUEUES["reviewers-disagree"], always)


def test_a_similarity_link_is_free_of_filters(pushed: Any) -> None:
    url = similar_url(pushed[3], "1234")
    assert "similarity=record.1234.vector.admap_position.limit.50.order.most" in url
    assert "metadata=" not in url


def test_a_bulk_link_asks_for_a_page_of_ten(pushed: Any) -> None:
    assert "page=1~10&" in QUEUES["all"].url(pushed[3], bulk=10)


@pytest.mark.parametrize(("neighbours", "count"), [(0, 0), (3, 3), (80, 50)])
def test_the_queue_of_similar_records_is_counted(neighbours: int, count: int) -> None:
    from argilla_admap.review.argilla.properties import POSITION
    from argilla_admap.review.queues.similar import similar_records

    class Server:
        def search(self, _: Any, body: dict[str, Any], *, limit: int) -> tuple[list[dict[str, Any]], int]:
            found = [{"id": str(i), "status": "completed" if i == 1 else "pending"} for i in range(neighbours)]
            return (found[:limit], limit) if "query" in body else ([{"id": "own"}], 1)

        def request(self, *_: Any) -> None:
            return None

    vectors = {POSITION: {"name": POSITION}}
    target = RemoteDataset("1", "n", "w", "2", True, None, {}, 1, True, "http://argilla", vectors=vectors)
    found = similar_records(Server(), target, "r1")  # type: ignore[arg-type]
    assert (found.count, found.pending) == (count, max(0, count - 1))


def test_a_record_without_the_value_is_in_no_range() -> None:
    frame = pd.DataFrame({"mean": [np.nan, 1.0], "p_wrong": [0.5, None]})
    assert adhoc_queue("mean>=-1000").mask(frame).tolist() == [False, True]
    assert adhoc_queue("p_wrong<=1").mask(frame).tolist() == [True, False]
    assert adhoc_queue("region=high_var").mask(frame).tolist() == [False, False]


def test_a_link_holds_no_exponent() -> None:
    class Anywhere:
        api_url, id = "http://argilla", "x"

    for where in ("mean>=0.00000001", "variance<=100000000000", "mean<0", "mean>0"):
        link = adhoc_queue(where).url(Anywhere())
        assert not re.search(r"\de[-+]?\d", link), link


@pytest.mark.parametrize(
    ("where", "position", "words"),
    [
        ("meen<2", 1, "did you mean 'mean'"),
        ("mean<2 or variance>1", 11, "no `or`"),
        ("mean<", 6, "cannot be read"),
        ("mean<high", 6, "is not"),
        ("region<3", 8, "terms"),
        ("mean<2; drop", 7, "cannot be read"),
        ("mean<1 and mean>2", 12, "no record can match"),
        ("p_wrong>1", 1, "no record can match"),
        ("mean<1e99", 6, "too large"),
        ("region='a.b'", 8, "link cannot carry"),
        ("flags=boundary and flags=contested", 20, "given twice"),
        ("region=low_avg and  ü<2", 21, "unknown name 'ü'"),
        ("", 1, "no condition"),
        ("__import__('os').system('x')", 1, "no condition"),
    ],
)
def test_a_condition_that_cannot_be_read_is_named_with_its_position(where: str, position: int, words: str) -> None:
    from argilla_admap.review.queues.conditions import parse_where

    with pytest.raises(InputError, match=re.escape(f"position {position} ")) as caught:
        parse_where(where)
    assert words in str(caught.value)
    assert "p_wrong" in str(caught.value)


@pytest.mark.parametrize("sort", ["nothing:asc", "mean:down"])
def test_an_order_that_cannot_be_read_is_named(sort: str) -> None:
    with pytest.raises(InputError, match=re.escape(sort)):
        adhoc_queue(None, sort)


@given(st.text(alphabet="mean variance_p0123456789.<>=()'\"andorin,-e\n\u2028", max_size=40))
def test_any_text_is_a_condition_or_a_message(text: str) -> None:
    try:
        queue = adhoc_queue(text)
    except InputError:
        return
    assert all(condition.column in BY_COLUMN for condition in queue.conditions)


@pytest.mark.parametrize(
    ("where", "same"),
    [
        ("1 <= mean <= 2", "mean>=1 and mean<=2"),
        ("2 > mean", "mean<2"),
        ("MEAN < 2 AND p-wrong >= 0.5", "mean<2 and p_wrong>=0.5"),
        ("region == high_var", "region=high_var"),
        ("region in [high_var, 'low_avg']", "region in (high_var, low_avg)"),
        ("admap_mean>-1", "mean > -1"),
    ],
)
def test_a_condition_may_be_written_in_several_ways(where: str, same: str) -> None:
    assert adhoc_queue(where).conditions == adhoc_queue(same).conditions


def test_two_ranges_of_one_column_become_one() -> None:
    (condition,) = adhoc_queue("mean>=1 and mean<=3 and mean>=2").conditions
    assert condition == replace(condition, low=2.0, high=3.0)
