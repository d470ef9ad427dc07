"""Several answers to one record become one, or a conflict."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.review.dataset.answers import Value
from argilla_admap.review.pull.resolve import RULES, ReviewerAnswer, resolve

_NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def said(*values: Value, question: str = "better") -> list[ReviewerAnswer]:
    """One answer a person, each a minute later than the last."""
    return [ReviewerAnswer(f"person-{i}", {question: value}, _NOON + timedelta(minutes=i)) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("rule", "values", "settled"),
    [
        ("majority", "aab", "a"),
        ("majority", "ab", None),
        ("majority", "aabb", None),
        ("majority", "b", "b"),
        ("unanimous", "aaa", "a"),
        ("unanimous", "aab", None),
        ("latest", "aab", "b"),
        ("dawid-skene", "aab", "a"),
        ("dawid-skene", "ab", None),
        ("dawid-skene", "b", "b"),
    ],
)
def test_a_rule_settles(rule: str, values: str, settled: str | None) -> None:
    assert resolve({"r": said(*values)}, rule) == {"r": None if settled is None else {"better": settled}}


def test_ratings_are_settled_one_completion_at_a_time() -> None:
    answers = [
        ReviewerAnswer("x", {"rating_a": 1, "rating_b": 5}, _NOON),
        ReviewerAnswer("y", {"rating_a": 2, "rating_b": 5}, _NOON),
        ReviewerAnswer("z", {"rating_a": 1, "rating_b": 4}, _NOON),
    ]
    assert resolve({"r": answers}, "majority") == {"r": {"rating_a": 1, "rating_b": 5}}
    assert resolve({"r": answers[:2]}, "majority") == {"r": None}


def test_dawid_skene_trusts_the_reviewers_that_agree_with_the_others() -> None:
    rng = np.random.default_rng(7)
    truth = {f"r{i}": str(rng.choice(["a", "b"])) for i in range(300)}
    other = {"a": "b", "b": "a"}
    people = {"good": 0.95, "fair": 0.9, "bad": 0.52, "worse": 0.48, "odd": 0.5}
    answers = {
        record: [
            ReviewerAnswer(who, {"better": right if rng.random() < skill else other[right]}, _NOON)
            for who, skill in people.items()
        ]
        for record, right in truth.items()
    }

    def accuracy(rule: str) -> float:
        found = resolve(answers, rule)
        return sum(found[record] == {"better": right} for record, right in truth.items()) / len(truth)

    assert accuracy("dawid-skene") > accuracy("majority") + 0.05


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=3), st.lists(st.sampled_from(["a", "b", "tie"]), min_size=1, max_size=5), max_size=6
    ),
    st.sampled_from(sorted(RULES)),
)
def test_a_settled_answer_is_one_that_somebody_gave(votes: dict[str, list[str]], rule: str) -> None:
    found = resolve({record: said(*values) for record, values in votes.items()}, rule)
    assert set(found) == set(votes)
    for record, settled in found.items():
        assert settled is None or settled["better"] in votes[record]
        if len(set(votes[record])) == 1:
            assert settled == {"better": votes[record][0]}
