"""A push of a part of the map: who is sent, what stays there, and that the rest is counted in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from argilla_admap.commands import status
from argilla_admap.errors import InputError
from argilla_admap.pipeline import push
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.push.not_pushed import NotPushed, part_to_push
from argilla_admap.review.push.payload import random_number
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


def rows(n: int = 80) -> list[dict[str, Any]]:
    """The first eight are wrong; two of these carry no flag. One has an issue, one no label."""
    found = []
    for i in range(n):
        wrong = i < 8
        flags = ["likely_wrong"] if i < 6 else ["low_mean"] if i in (20, 21) else []
        issues = ["truncated"] if i == 30 else None
        ratings = None if i == 40 else [1.0, 0.0]
        found.append(
            row(f"r{i}", flags=flags, issues=issues, ratings=ratings, p_wrong=(0.9 if i < 6 else 0.05) if ratings else None)
            | {"scores": [3.0, 8.0] if wrong else [8.0, 3.0]}
        )
    return found


FLAGGED = {*(f"r{i}" for i in range(6)), "r20", "r21", "r30"}


def names(given: list[dict[str, Any]], inside: Any) -> set[str]:
    return {one["id"] for one, within in zip(given, inside, strict=True) if within}


def test_a_part_is_the_flagged_or_a_queue_and_the_random_sample_is_of_all() -> None:
    given = rows()
    assert names(given, part_to_push(data_map(given), "flagged")) == FLAGGED
    assert names(given, part_to_push(data_map(given), "likely-wrong")) == {f"r{i}" for i in range(6)}
    sample = set(sorted((one["id"] for one in given), key=random_number)[:10])
    assert names(given, part_to_push(data_map(given), "flagged", 10)) == FLAGGED | sample
    for wrong in ("flaged", "all", "mixed", "reviewers-disagree"):
        with pytest.raises(InputError, match="no part of this map") as raised:
            part_to_push(data_map(given), wrong)
        assert raised.value.option == "only"
        assert "flagged, likely-wrong" in (raised.value.hint or "")


def test_what_is_kept_of_the_rest_tells_their_number_flags_and_p_wrong() -> None:
    given = rows()
    numbers = data_map(given).numbers
    rest = NotPushed.of_map(numbers, ~part_to_push(data_map(given), "likely-wrong"))
    kept = NotPushed.of_dataset(rest.note("likely-wrong", 74))
    assert len(rest) == len(kept) == 73  # the one without a label counts for nothing
    assert sorted(rest.flags) == sorted(kept.flags)
    assert np.sort(kept.p_wrong) == pytest.approx(np.sort(rest.p_wrong), rel=0.12)  # half a step of the grid
    chosen = NotPushed.of_map(numbers, np.ones(80, bool), {"r1", "r40", "elsewhere"})
    assert (len(chosen), chosen.counted.sum()) == (79, 1)
    assert len(NotPushed.of_dataset({})) == 0


def test_a_push_of_the_flagged_keeps_what_is_there_and_the_estimate_is_of_all(api: Api, workspace: str) -> None:
    given = rows()

    def push_it(**options: Any) -> Any:
        return push(data_map(given), "review", api.client, workspace=workspace, **options)

    planned = push_it(only="flagged", audit=40, dry_run=True)
    made = push_it(only="flagged", audit=40)
    sample = set(sorted((one["id"] for one in given), key=random_number)[:40])
    there = records(api, remote(api, workspace, "review"))
    assert set(there) == FLAGGED | sample
    assert (made.records, made.added, made.left_out) == (80, len(there), 80 - len(there))
    assert (planned.added, planned.left_out) == (made.added, made.left_out)
    assert any("not in the data set" in note for note in made.notes)
    assert push_it(only="flagged").added == push_it(only="likely-wrong").added == 0  # nothing is removed, nothing twice
    for name in sample - {"r40"}:
        answer(api.client, there[name]["id"], {"better": "flip" if int(name[1:]) < 8 else "keep"})
    part = status("review", api.client, workspace=workspace).json()
    assert (part["labels"], part["left_out"]) == (79, 80 - len(there) - ("r40" not in there))
    assert "are not in the data set" in part["advice"]
    more = push_it()
    assert (more.added, more.left_out) == (80 - len(there), 0)
    whole = status("review", api.client, workspace=workspace).json()
    assert (whole["labels"], whole["left_out"]) == (79, 0)
    for end in ("value", "low", "high"):
        assert part["estimated_errors"][end] == pytest.approx(whole["estimated_errors"][end], abs=1.0)
