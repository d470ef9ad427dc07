"""Soft labels of several reviewers, and how far they agree: answers planted on the real server against a reference."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argilla_admap.errors import InputError
from argilla_admap.mapping.analysis.agreement import krippendorff_alpha
from argilla_admap.pipeline import push
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.dataset.recognise import adapter_for
from argilla_admap.review.people.reliability import agreement, known_answers
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.reviews import read_reviews
from argilla_admap.review.pull.to_file import pull_to_file
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote

#: What each of three people answers: r0 in agreement, r1 and r2 not, r3 a tie of one, r4 by one alone.
SAID = {"r0": "aaa", "r1": "aab", "r2": "bba", "r3": ("a", "a", "tie"), "r4": "b"}


def planted(api: Api, workspace: str, people: Any, said: Any = SAID, **options: Any) -> None:
    """The answers on a data set of twelve records; the others have none."""
    rows = [row(f"r{i}", flags=["likely_wrong"] if i < 2 else [], p_wrong=0.9 if i < 2 else 0.01) for i in range(12)]
    names = [person.username for person in people]
    push(data_map(rows), "soft", api.client, workspace=workspace, overlap=len(people), reviewers=names, **options)
    ids = {name: str(item["id"]) for name, item in records(api, remote(api, workspace, "soft")).items()}
    for name, given in said.items():
        for person, value in zip(people, given, strict=False):
            answer(person.client, ids[name], {"better": value})


def reference_alpha(said: Any, people: range) -> float:
    """Krippendorff's nominal alpha from its definition: 1 - observed over expected disagreement, over pairs of values."""
    units = [[given[i] for i in people if i < len(given)] for given in said.values()]
    units = [unit for unit in units if len(unit) > 1]
    n = sum(map(len, units))
    observed = sum(sum(a != b for a in u for b in u) / (len(u) - 1) for u in units) / n
    totals = Counter(value for unit in units for value in unit)
    expected = sum(totals[a] * totals[b] for a in totals for b in totals if a != b) / (n * (n - 1))
    return 1 - observed / expected


def test_soft_labels_and_agreement_are_those_of_a_reference(
    argilla_client: Any, workspace: str, make_annotator: Any, tmp_path: Path
) -> None:
    api, people = Api(argilla_client), sorted((make_annotator() for _ in range(3)), key=lambda one: str(one.username))
    planted(api, workspace, people)
    output = tmp_path / "soft.jsonl"
    pull_to_file("soft", argilla_client, PullOptions(workspace=workspace, output=str(output), format="trl", soft=True))
    rows = {line["id"]: line for line in map(json.loads, output.read_text().splitlines())}
    for name, given in SAID.items():
        first = "a" if rows[name]["chosen"].endswith("number 0.") else "b"
        votes = sum(1.0 if value == first else 0.5 if value == "tie" else 0.0 for value in given) / len(given)
        assert rows[name]["chosen_votes"] == pytest.approx(votes)
        assert rows[name]["reviewers"] == len(given)
        assert 0.5 < rows[name]["chosen_probability"] <= 1
    assert rows["r0"]["chosen_probability"] > rows["r3"]["chosen_probability"]
    assert rows["r9"]["chosen_probability"] is rows["r9"]["reviewers"] is None
    table = tmp_path / "soft.parquet"
    pull_to_file("soft", argilla_client, PullOptions(workspace=workspace, output=str(table), format="plain", soft=True))
    import pyarrow.parquet as pq

    chances = pq.read_table(table).column("chosen_probability").to_pylist()
    assert [chance is None for chance in chances] == [name not in SAID for name in (f"r{i}" for i in range(12))]
    with pytest.raises(InputError, match="`soft`"):
        pull_to_file("soft", argilla_client, PullOptions(output=str(output), original=str(output), soft=True))

    reviews = read_reviews("soft", argilla_client, PullOptions(workspace=workspace))
    found = agreement(reviews)
    assert found["all"][0].alpha == pytest.approx(reference_alpha(SAID, range(3)))
    assert found["all"][0].records == 4
    compared = list(SAID.items())[:4]
    expected = {
        f"{people[i].username} and {people[j].username}": reference_alpha({k: [v[i], v[j]] for k, v in compared}, range(2))
        for i, j in combinations(range(3), 2)
    }
    assert {pair.name: pair.alpha for pair in found["pairs"]} == pytest.approx(expected)
    queues = {queue.name: queue for queue in found["queues"]}
    assert queues["likely-wrong"].alpha == pytest.approx(reference_alpha({k: SAID[k] for k in ("r0", "r1")}, range(3)))
    assert queues["all"].alpha == found["all"][0].alpha
    assert all(person.known == 0 and person.accuracy is None for person in known_answers(reviews))


def test_reviewers_are_measured_on_controls_and_on_what_was_adjudicated(
    argilla_client: Any, workspace: str, make_annotator: Any
) -> None:
    api, people = Api(argilla_client), [make_annotator(), make_annotator()]
    rng = np.random.default_rng(0)
    names = [f"r{i}" for i in range(12)]
    # The label says the first; the second person is often wrong about it.
    own = [["a" for _ in names], ["a" if rng.random() < 0.5 else "b" for _ in names]]
    planted(api, workspace, people, {}, blind=True)
    target = remote(api, workspace, "soft")
    adapter = adapter_for(target)
    for name, item in records(api, target).items():
        turned = adapter.order(item, 2) == (1, 0)
        for i, person in enumerate(people):
            answer(person.client, item["id"], {"better": "ab"[("ab".index(own[i][names.index(name)]) + turned) % 2]})
    reviews = read_reviews("soft", argilla_client, PullOptions(workspace=workspace))
    controls = [n for n, name in enumerate(names) if reviews.records[name].sample == "control"]
    assert controls
    found = {person.name: person for person in known_answers(reviews)}
    for i, person in enumerate(people):
        mine = found[person.username]
        right = sum(own[i][n] == "a" for n in controls)
        assert (mine.known, mine.right, mine.accuracy) == (len(controls), right, right / len(controls))
        assert float(mine.low or 0) <= right / len(controls) <= float(mine.high or 0)
    decided = read_reviews("soft", argilla_client, PullOptions(workspace=workspace, adjudicators=(people[0].username,)))
    second = next(person for person in known_answers(decided) if person.name == people[1].username)
    assert (second.known, second.right) == (12, own[1].count("a"))


def test_ratings_are_compared_by_their_order(argilla_client: Any, workspace: str, make_annotator: Any) -> None:
    api, people = Api(argilla_client), [make_annotator(), make_annotator()]
    push(data_map([row(f"r{i}", 3) for i in range(4)]), "soft", api.client, workspace=workspace, overlap=2)
    for name, item in records(api, remote(api, workspace, "soft")).items():
        for turn, person in enumerate(people):
            ratings = [1 + (int(name[1:]) + place + turn) % 5 for place in range(3)]
            answer(person.client, item["id"], {f"rating_{letter}": value for letter, value in zip("abc", ratings, strict=True)})
    (found,) = agreement(read_reviews("soft", argilla_client, PullOptions(workspace=workspace)))["pairs"]
    given = np.array([[1 + (i + place + turn) % 5 for i in range(4) for place in range(3)] for turn in range(2)], float)
    assert (found.level, found.records) == ("ordinal", 4)
    assert found.alpha == pytest.approx(krippendorff_alpha(given, "ordinal"))
