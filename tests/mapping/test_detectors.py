"""What is found without a judge."""

from __future__ import annotations

import numpy as np

from argilla_admap.mapping.data_map import build_map
from tests.mapping.plain import scored_stream

LONG = (
    "The harbour lies to the north of the town and the ships that come in at night are seen from the hill. "
    "It was built in the last century, and the old walls of it still stand by the water. "
    "You can walk along them in the evening when the wind is down and the boats are in."
)
GERMAN = (
    "Der Hafen liegt im Norden der Stadt und die Schiffe, die in der Nacht kommen, sind vom Hügel aus nicht zu sehen. "
    "Das alte Gebäude ist aus dem letzten Jahrhundert und die Mauern stehen noch am Wasser. Man kann dort gehen, das ist gut."
)
RUSSIAN = "Гавань лежит к северу от города, и корабли, которые приходят ночью, видны с холма. Её построили в прошлом веке."


def issues_of(*records, extra=()):
    """The issues of records given as (prompt, [(text, rating), ...])."""
    rows = [
        {"id": f"r{i}", "prompt": prompt, "completions": [{"text": text, "rating": rating} for text, rating in completions]}
        for i, (prompt, completions) in enumerate((*records, *extra))
    ]
    data_map = build_map(scored_stream(rows))
    return [list(x) for x in data_map.frame["issues"]][: len(records)], data_map


def filler(n=40):
    return [(f"question {i}", [(f"good answer {i}", 1.0 + i % 5), (f"bad answer {i}", 1.0 + (i + 2) % 5)]) for i in range(n)]


def test_a_rating_multiplied_by_ten_is_impossible_and_surely_wrong_without_a_judge():
    issues, data_map = issues_of(("p", [("a", 40.0), ("b", 2.0)]), extra=filler())
    assert issues == [["impossible_value"]]
    sentences = data_map.stream().table().column("evidence").to_pylist()[0]
    assert sentences[0] == "The rating of completion A is outside the scale of all others."


def test_the_same_pair_with_opposite_labels_is_found_across_case_and_blanks():
    issues, _ = issues_of(
        ("What is it?", [("one", 1.0), ("two", 0.0)]),
        (" what is IT? ", [("two", 1.0), ("one", 0.0)]),
        ("Another?", [("one", 1.0), ("two", 0.0)]),
    )
    assert issues == [["opposite_duplicate"], ["opposite_duplicate"], []]


def test_pairs_of_one_prompt_that_go_round_in_a_circle_are_found():
    order = "abcdef"
    pairs = [("p", [(order[i], 1.0), (order[j], 0.0)]) for i in range(6) for j in range(i + 1, 6)]
    pairs[3] = ("p", [("e", 1.0), ("a", 0.0)])
    issues, _ = issues_of(*pairs)
    circle = [i for i, found in enumerate(issues) if "contradiction" in found]
    assert 3 in circle
    assert len(circle) <= 3


def test_one_text_twice_with_two_ratings_is_found():
    issues, _ = issues_of(("p", [("same", 1.0), ("Same ", 0.0)]), ("q", [("same", 1.0), ("same", 1.0)]))
    assert issues == [["identical_completions"], []]


def test_empty_and_truncated_completions_are_found_and_named():
    issues, data_map = issues_of(
        ("p", [("  \n", 0.0), (LONG, 1.0)]),
        ("q", [(LONG, 1.0), (LONG[:-30], 0.0)]),
        ("r", [(LONG + "\n```\ncode", 1.0), (LONG, 0.0)]),
    )
    assert issues == [["empty"], ["truncated"], ["truncated"]]
    assert data_map.stream().table().column("evidence").to_pylist()[1][0].startswith("Completion B stops")


def test_another_language_than_the_prompt_is_found_but_not_in_a_translation():
    prompt = "Where is the harbour and how old are the walls of it, please?"
    issues, _ = issues_of(
        (prompt, [(LONG, 1.0), (RUSSIAN, 0.0)]),
        (prompt + " Go on.", [(LONG, 1.0), (GERMAN, 0.0)]),
        ("Translate this into Russian: " + prompt, [(RUSSIAN, 1.0), (LONG, 0.0)]),
        (RUSSIAN, [(RUSSIAN + " Да.", 1.0), (RUSSIAN, 0.0)]),
    )
    assert issues == [["wrong_language"], ["wrong_language"], [], []]


def test_labels_of_unscored_pairs_are_doubted_by_the_other_pairs_of_the_prompt():
    rng = np.random.default_rng(0)
    records, wrong = [], []
    for p in range(120):
        quality = rng.permutation(4)
        for i in range(4):
            for j in range(i + 1, 4):
                up, down = (i, j) if quality[i] > quality[j] else (j, i)
                flip = rng.random() < 0.1
                up, down = (down, up) if flip else (up, down)
                records.append((f"prompt {p}", [(f"answer {p} {up}", 1.0), (f"answer {p} {down}", 0.0)]))
                wrong.append(flip)
    _, data_map = issues_of(*records)
    p = data_map.frame["p_wrong"].to_numpy()
    assert "no judge" in data_map.summary["warnings"][0]
    assert p[wrong].mean() > 3 * p[~np.array(wrong)].mean()
    assert data_map.frame["region"].isna().all()
    assert data_map.summary["flags"]["unscored"] == len(records)
