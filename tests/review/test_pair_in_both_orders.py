"""A data set of somebody else's that holds one pair twice, in both orders, as sets against position bias do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.dataset.adapters import External
from argilla_admap.review.pull import pull as pulling
from argilla_admap.review.pull.pull import PullResult
from argilla_admap.review.pull.pull_options import PullOptions

ADAPTER = External("prompt", ("response_a", "response_b"), choices={"which": {"A": "a", "B": "b", "=": "tie"}})
TARGET = RemoteDataset("1", "theirs", "w", "2", True, None, {}, 1, True, "http://argilla")


class Answered:
    """An API whose data set holds both records; push noted on each the id in the map, and on the second the other order."""

    def __init__(self, first: dict[str, str], second: dict[str, str]) -> None:
        noted = {"admap_id": "m1", "admap_label": "[0.0,1.0]"}
        self._items = [
            self._item(1, ("good", "bad"), noted, first),
            self._item(2, ("bad", "good"), {**noted, "admap_order": "[1,0]"}, second),
        ]

    @staticmethod
    def _item(number: int, texts: tuple[str, str], metadata: dict[str, str], answers: dict[str, str]) -> dict[str, Any]:
        responses = [
            {"status": "submitted", "user_id": who, "values": {"which": {"value": said}}, "updated_at": "2026-01-01T00:00:00Z"}
            for who, said in answers.items()
        ]
        fields = {"prompt": "P", "response_a": texts[0], "response_b": texts[1]}
        return {"id": str(number), "external_id": str(number), "fields": fields, "metadata": metadata, "responses": responses}

    def pages(self, *_: Any) -> Iterator[list[dict[str, Any]]]:
        yield self._items


def pulled(first: dict[str, str], second: dict[str, str]) -> PullResult:
    found = pulling._collect(Answered(first, second), TARGET, ADAPTER)  # type: ignore[arg-type]
    return pulling._settle(TARGET, ADAPTER, found, PullOptions(), {})


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ({}, {"u": "B"}, "corrected"),
        ({"v": "A"}, {"u": "B"}, "corrected"),
        ({"v": "A"}, {"u": "B", "w": "B"}, "corrected"),
        ({"v": "B"}, {"u": "A"}, "confirmed"),
        ({"v": "A"}, {"u": "A"}, "conflict"),
    ],
)
def test_answers_to_both_records_speak_of_the_same_texts(first: dict[str, str], second: dict[str, str], outcome: str) -> None:
    result = pulled(first, second)
    assert result.outcomes == {"m1": outcome}
    # The label preferred "bad", which is the second text in the map; the reviewers of "corrected" say "good".
    assert result.corrections == ({"m1": (1.0, 0.0)} if outcome == "corrected" else {})
