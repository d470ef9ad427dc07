"""What is found without a judge."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from itertools import combinations

import numpy as np
import pytest

import argilla_admap as admap
from argilla_admap.mapping.checks.check import all_checks, check_queues
from argilla_admap.mapping.data_map import build_map
from argilla_admap.mapping.wrong.other_records import leave_one_out_strengths
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


LONGER = (
    "How far is it from the old harbour to the lighthouse on the hill, and can one walk there in the evening with children?"
)
WALK = ("About four miles along the wall; yes, it is an easy walk.", "Nobody knows how far it is and nobody ever walked there.")


def pair(prompt, first, second):
    return (prompt, [(first, 1.0), (second, 0.0)])


@pytest.mark.parametrize(
    "other",
    [
        LONGER.upper(),
        LONGER.replace(",", " -").replace("?", " ?!").replace("-", ""),
        "Please tell me: " + LONGER,
        LONGER.replace("children", "my children").replace("old ", ""),
        "  " + LONGER.replace(" ", "  ") + "\n",
    ],
)
def test_a_prompt_of_nearly_the_same_words_is_the_same_prompt_to_the_same_two_completions(other):
    issues, data_map = issues_of(pair(LONGER, *WALK), pair(other, *WALK[::-1]), extra=filler())
    assert issues == [["opposite_duplicate"], ["opposite_duplicate"]]
    sentences = data_map.stream().table().column("evidence").to_pylist()[1]
    assert sentences[0] == "The same two completions of this prompt, or of one like it, have the opposite label elsewhere."


@pytest.mark.parametrize(
    ("prompt", "other", "completions"),
    [
        # Another number, another sign, another question, short answers to another question, other completions.
        (LONGER + " Say it in 3 words.", LONGER + " Say it in 4 words.", WALK),
        (
            "Is it right for all values of a, b and c that a + b = c?",
            "Is it right for all values of a, b and c that a = b = c?",
            WALK,
        ),
        (
            LONGER,
            "What do you know of the history of lighthouses in the north, and who was the first to build one there?",
            WALK,
        ),
        (LONGER, LONGER.replace("old", "new"), ("Yes", "No")),
    ],
)
def test_another_question_with_the_same_answers_is_no_contradiction(prompt, other, completions):
    issues, _ = issues_of(pair(prompt, *completions), pair(other, *completions[::-1]), extra=filler())
    assert issues == [[], []]


def test_short_answers_contradict_each_other_where_all_words_of_the_prompt_are_the_same():
    issues, _ = issues_of(pair("Is it so?", "Yes", "No"), pair("is it,  so", "No", "Yes"), pair("Is it so", "No", "No!"))
    assert issues == [["opposite_duplicate"], ["opposite_duplicate"], []]


def test_what_a_near_duplicate_says_of_a_label_counts_for_p_wrong():
    rng = np.random.default_rng(3)
    records = []
    for _ in range(120):
        number = " ".join(rng.choice(["north", "south", "east", "west", "river", "hill", "bridge", "tower"], 14))
        good, bad = f"{number}: the long and right answer of the two", f"{number}: the long and wrong answer of the two"
        records += [pair(f"{start}{number}, is it?", good, bad) for start in ("", "Please say: ", "So, ")]
    records[1] = pair(records[1][0], *[text for text, _ in records[1][1]][::-1])
    _, data_map = issues_of(*records)
    p = data_map.frame["p_wrong"].to_numpy()
    assert p.argmax() == 1
    assert p[1] > 5 * p[3:].max()


def test_a_record_does_not_speak_for_its_own_label():
    ratings = np.array([1.0, -1.0, 1.0, -1.0])
    keys = np.array([7, 7], np.uint64), np.array([1, 2, 1, 2], np.uint64)
    strength, known = leave_one_out_strengths(np.array([0, 2, 4]), *keys, ratings, np.ones(4, bool))
    # One comparison elsewhere, of difference 2: (1 + RIDGE / 2) * (s_1 - s_2) = 2.
    assert known.all()
    assert strength == pytest.approx([2 / 3, -2 / 3, 2 / 3, -2 / 3])


def test_a_record_that_is_trusted_less_speaks_less_for_others_and_none_where_not_at_all():
    ratings = np.array([1.0, -1.0] * 3)
    keys = np.array([7, 7, 7], np.uint64), np.array([1, 2] * 3, np.uint64)
    strength, known = leave_one_out_strengths(
        np.array([0, 2, 4, 6]), *keys, ratings, np.ones(6, bool), np.array([1.0, 0.5, 0.0])
    )
    # Of weight w elsewhere, all of difference 2: (w + RIDGE / 2) * (s_1 - s_2) = 2 * w, with w of .5, 1 and 1.5.
    assert known.all()
    assert strength[::2] == pytest.approx([1 / 2, 2 / 3, 3 / 4])
    assert strength[1::2] == pytest.approx([-1 / 2, -2 / 3, -3 / 4])


def test_very_many_records_of_a_prompt_of_many_completions_take_little_memory():
    """Forty completions in 20,000 records: matrices of forty by forty for each record would take 256 MB."""
    rng, n = np.random.default_rng(1), 20_000
    keys = np.full(n, 7, np.uint64), np.argsort(rng.random((n, 40)))[:, :2].ravel().astype(np.uint64)
    worth = np.linspace(-1, 1, 40)
    ratings = np.sign(worth[keys[1]].reshape(n, 2) @ np.array([[1, -1], [-1, 1]])).ravel() * 1.0
    tracemalloc.start()
    strength, known = leave_one_out_strengths(np.arange(0, 2 * n + 1, 2), *keys, ratings, np.ones(2 * n, bool))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert known.all()
    assert np.corrcoef(strength, worth[keys[1]])[0, 1] > 0.99
    assert peak < 60e6


@pytest.mark.parametrize(("k", "completions"), [(2, 5), (4, 6), (9, 20)])
def test_the_strengths_are_those_of_least_squares_without_the_record(k, completions):
    rng, n = np.random.default_rng(2), 12
    sizes = rng.integers(2, k + 1, n)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    keys = np.full(n, 7, np.uint64), rng.integers(completions, size=offsets[-1]).astype(np.uint64)
    ratings, trust = rng.normal(size=offsets[-1]), rng.random(n)
    strength, known = leave_one_out_strengths(offsets, *keys, ratings, np.ones(offsets[-1], bool), trust)
    for record in range(n):
        edges, differences = [np.eye(completions)], [np.zeros(completions)]
        for other in set(range(n)) - {record}:
            items = np.arange(offsets[other], offsets[other + 1])
            weight = np.sqrt(2 * trust[other] / len(items))
            for a, b in combinations(items, 2):
                edge = np.zeros((1, completions))
                edge[0, keys[1][a].astype(int)] += weight
                edge[0, keys[1][b].astype(int)] -= weight
                edges.append(edge)
                differences.append(weight * np.array([ratings[a] - ratings[b]]))
        best = np.linalg.lstsq(np.concatenate(edges), np.concatenate(differences), rcond=None)[0]
        items = np.arange(offsets[record], offsets[record + 1])
        items = items[known[items]]
        np.testing.assert_allclose(strength[items], best[keys[1][items].astype(int)], atol=1e-10)
    assert known.any()


PICTURE = "[1 image, not shown]"


def test_texts_with_pictures_that_are_not_shown_contradict_nothing():
    """The same question about another picture has another answer, and two pictures under the same words are two answers."""
    issues, data_map = issues_of(
        (f"{PICTURE}\nIs this a cat, or is it something else?", [("Yes, it is a cat.", 1.0), ("No, it is not.", 0.0)]),
        (f"{PICTURE}\nIs this a cat, or is it something else?", [("Yes, it is a cat.", 0.0), ("No, it is not.", 1.0)]),
        ("Draw the harbour of the town.", [(f"Here it is: {PICTURE}", 1.0), (f"Here it is: {PICTURE}", 0.0)]),
        ("Draw the old walls.", [(f"This one. {PICTURE}", 1.0), (f"That one. {PICTURE}", 0.0)]),
        ("Draw the old walls.", [(f"This one. {PICTURE}", 0.0), (f"That one. {PICTURE}", 1.0)]),
        extra=filler(),
    )
    assert issues == [[], [], [], [], []]
    assert data_map.summary["issues"] == {}
    # Of words alone the same are found.
    words, _ = issues_of(
        *[
            (p.replace(PICTURE, ""), [(t.replace(PICTURE, ""), r) for t, r in c])
            for p, c in [
                (f"{PICTURE} Is this a cat, or is it something else?", [("Yes, it is a cat.", 1.0), ("No, it is not.", 0.0)]),
                (f"{PICTURE} Is this a cat, or is it something else?", [("Yes, it is a cat.", 0.0), ("No, it is not.", 1.0)]),
                ("Draw the harbour of the town.", [(f"Here it is: {PICTURE}", 1.0), (f"Here it is: {PICTURE}", 0.0)]),
            ]
        ]
    )
    assert words == [["opposite_duplicate"], ["opposite_duplicate"], ["identical_completions"]]


def test_a_call_of_a_tool_is_no_empty_completion(tmp_path):
    def call(name, content):
        return [{"role": "assistant", "content": content, "tool_calls": [{"function": {"name": name, "arguments": "{}"}}]}]

    row = {"prompt": "Weather?", "chosen": call("weather", ""), "rejected": call("stock", None)}
    file = tmp_path / "calls.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert build_map(admap.read(file)).summary["issues"] == {}


NEW_CHECK = '''
"""A completion of a few letters."""
from argilla_admap.mapping.checks.check import Check
CHECK = Check(
    name="short",
    title="a completion of a few letters",
    sentence="Completion {} is very short.",
    test=lambda given: given.seen.texts.length < 5,
)
'''
FOLLOWS = """
import sys
import tracemalloc
from itertools import combinations
import argilla_admap.mapping.checks as checks
checks.__path__.append(sys.argv[1])
import argilla_admap as admap
from argilla_admap.reporting.points import gather_points
from argilla_admap.reporting.words import map_figures
from tests.mapping.plain import scored_stream
texts = [[("a long answer", 1.0), ("no", 0.0)], [("a long answer", 1.0), ("another answer", 0.0)]]
completions = [[{"text": text, "rating": rating, "scores": [rating]} for text, rating in pair] for pair in texts]
rows = [{"id": str(i), "prompt": f"p {i}", "completions": pair} for i, pair in enumerate(completions)]
data_map = admap.build_map(scored_stream(rows))
queue = admap.QUEUES["obvious-errors"]
assert data_map.summary["issues"] == {"short": 1}, data_map.summary
assert "Completion B is very short." in data_map.stream().table().column("evidence")[0].as_py()
assert queue.mask(data_map.frame).tolist() == [True, False]
assert "a completion of a few letters" in queue.why
assert "found: a completion of a few letters" in {figure.label for figure in map_figures(gather_points(data_map))}
"""


def test_a_new_check_is_one_file_and_all_else_follows(tmp_path):
    (tmp_path / "short.py").write_text(NEW_CHECK, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", FOLLOWS, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_each_check_has_words_a_name_of_its_own_and_a_queue():
    checks = all_checks()
    assert len({check.name for check in checks}) == len(checks) >= 7
    assert all(check.title and check.sentence.endswith(".") and check.sentence.count("{}") <= 1 for check in checks)
    queued = [name for _, names in check_queues() for name in names]
    assert sorted(queued) == sorted(check.name for check in checks)
    for check in checks:
        assert all(other in {earlier.name for earlier in checks if earlier.rank < check.rank} for other in check.unless)
