"""Texts that are the same but for a few words: what is taken for one, and what is not."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pyarrow as pa
import pytest

from argilla_admap.mapping.data import near_duplicates
from argilla_admap.mapping.data.observed import observe
from argilla_admap.mapping.data.same_text import CompareBudget, Words, same_answer, same_question
from argilla_admap.mapping.data_map import build_map
from tests.mapping.plain import scored_stream
from tests.mapping.test_checks import LONGER, WALK, filler, issues_of, pair

FRANCE = "What is the capital of France?"
STORY = (
    "The keeper of the lighthouse rose before the sun, lit the lamp that the storm had put out, and counted the boats that had "
    "come home in the night. Three were missing. He took his coat, went down to the harbour, and asked every fisherman whom he "
    "met whether they had seen the boats of his brothers, but nobody answered him until the oldest of them shook his head."
)


@pytest.mark.parametrize(
    "other",
    [
        "what is the capital of france",
        "Please tell me: what is the captial of France?",
        "What's the capital of France?",
        "What is the  CAPITAL of France ?!",
        "What is the capital of the France?",
        "What is the cappital of France?",
        "What is the caital of France?",
        "Hi! Could you tell me what the capital of France is?",
    ],
)
def test_a_short_prompt_with_a_slip_or_a_polite_word_is_the_same(other):
    assert same_question(Words.of(FRANCE), Words.of(other))
    assert same_question(Words.of(other), Words.of(FRANCE))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FRANCE, "What is the capital of Italy?"),
        (FRANCE, "Where is the capital of France?"),
        (FRANCE, "What is the capital of South France?"),
        ("Who won the war between Iran and Kuwait?", "Who won the war between Iraq and Kuwait?"),
        ("What is the population of Slovakia?", "What is the population of Slovenia?"),
        ("Name the president of Austria", "Name the president of Australia"),
        ("How do I cook rice?", "How do I cook pasta?"),
        ("Is it legal to own a gun in Texas?", "Is it illegal to own a gun in Texas?"),
        ("Is it wise to own a gun in a town?", "Is it not wise to own a gun in a town?"),
        ("What is 5*3?", "What is 5 * 4?"),
        ("What is 5 + 3?", "What is 5 - 3 = ?"),
        ("Convert 10 miles to kilometres, and 20 too", "Convert 20 miles to kilometres, and 10 too"),
        ("man bites dog", "dog bites man"),
        ("Convert Celsius to Fahrenheit", "Convert Fahrenheit to Celsius"),
        ("Write a poem about the sea", "Write a poem about the sea without rhymes"),
        ("advantages of solar power", "disadvantages of solar power"),
        ("Describe the effects of inflation on growth", "Describe the effects of deflation on growth"),
        ("List three benefits of exercise", "List three risks of exercise"),
        ("the cat sat there", "the cut sat there"),
        ("法国的首都是哪里？", "意大利的首都是哪里？"),
        ("Столица Франции?", "Столица Италии?"),
    ],
)
def test_another_question_is_not_the_same_however_few_its_words(one, other):
    assert not same_question(Words.of(one), Words.of(other))
    assert not same_question(Words.of(other), Words.of(one))


def test_a_word_too_many_is_let_be_in_a_longer_prompt_and_not_where_strictness_is_asked():
    whole, less = Words.of("How do I cook brown rice at home?"), Words.of("How do I cook rice at home?")
    assert same_question(whole, less)
    assert not same_question(whole, less, strictly=True)
    assert same_question(whole, Words.of("How do I cook brwon rice at home?"), strictly=True)
    assert not same_question(Words.of("cook brown rice"), Words.of("cook rice"))
    assert not same_question(whole, Words.of("How do I cook rice at home tonight with friends over?"))


def test_in_a_very_long_prompt_a_plain_word_may_be_another_and_a_name_may_not():
    words = ["harbour", "lantern", "garden", "window", "market", "winter", "silver", "bridge", "castle", "forest"]
    long = "there is " + " ".join(f"{a} {b}" for a in words for b in words[:4])
    swapped = long.replace("garden window", "garden kettle", 1)
    assert same_question(Words.of(long), Words.of(swapped))
    assert not same_question(Words.of(long), Words.of(long.replace("garden window", "garden Portugal", 1)))
    assert not same_question(Words.of(long), Words.of(swapped.replace("market", "saddle", 3)))
    assert not same_question(Words.of(long[:200]), Words.of(long[:200].replace("garden window", "garden kettle", 1)))


def test_words_in_another_order_are_the_same_only_among_many():
    assert same_question(
        Words.of("describe lighthouse harbour lantern storm fisherman brother garden window evening"),
        Words.of("describe harbour lighthouse lantern storm fisherman brother garden window evening"),
    )


def test_an_answer_may_lack_a_word_and_may_not_say_another_one():
    story = Words.of(STORY)
    assert same_answer(story, Words.of(STORY.replace("oldest of", "old of")), strictly=False) is False
    assert same_answer(story, Words.of(STORY.replace("every ", "")), strictly=False)
    assert not same_answer(story, Words.of(STORY.replace("every ", "")), strictly=True)
    assert not same_answer(story, Words.of(STORY.replace("brothers", "sisters")), strictly=False)
    assert same_answer(story, Words.of(STORY.replace("lighthouse", "lighthosue")), strictly=True)
    assert not same_answer(Words.of("It is 12."), Words.of("It is 13."), strictly=True)


def test_short_prompts_that_differ_by_a_slip_contradict_each_other():
    other = "What is the captial of France, please?"
    issues, _ = issues_of(pair(FRANCE, *WALK), pair(other, *WALK[::-1]), extra=filler())
    assert issues == [["opposite_duplicate"]] * 2
    issues, _ = issues_of(pair(FRANCE, *WALK), pair(FRANCE.replace("France", "Italy"), *WALK[::-1]), extra=filler())
    assert issues == [[], []]


def test_completions_of_one_prompt_that_differ_in_form_or_by_a_word_are_one():
    # Other marks and a slip in short ones; a word in a long one.
    short = "The walk is about four miles along the old wall", "Nobody has ever walked there"
    again = "**The walk is abuot four miles, along the old wall.**", "Nobody has ever walked there!"
    issues, _ = issues_of(pair(LONGER, *short), pair(LONGER, *again[::-1]), extra=filler())
    assert issues == [["opposite_duplicate"]] * 2
    issues, _ = issues_of(pair(LONGER, STORY, "No idea."), pair(LONGER, "no idea", STORY.replace("every ", "")), extra=filler())
    assert issues == [["opposite_duplicate"]] * 2


def test_completions_that_say_another_thing_are_two():
    issues, _ = issues_of(pair("Is it so?", "It is the best", "No"), pair("Is it so?", "No", "It was the best"), extra=filler())
    assert issues == [[], []]
    issues, _ = issues_of(
        pair("How far?", "It is 12 miles", "It is far"), pair("How far?", "It is far", "It is 13 miles"), extra=filler()
    )
    assert issues == [[], []]
    issues, _ = issues_of(pair("How far?", "Paris is far", "No"), pair("How far?", "No", "Rome is far"), extra=filler())
    assert issues == [[], []]


def test_two_completions_of_one_record_stay_two_however_alike():
    slip = STORY.replace("lighthouse", "lighthosue")
    other = STORY.replace("harbour", "habrour")
    issues, data_map = issues_of(
        pair(LONGER, STORY, slip), pair(LONGER, slip, other), pair(LONGER, other, STORY), extra=filler()
    )
    assert not [found for found in issues if "opposite_duplicate" in found]
    assert data_map.summary["records"] == 43


def test_the_same_answers_to_many_prompts_join_only_those_that_ask_the_same():
    words = np.array(["river", "bridge", "castle", "garden", "window", "forest", "market", "silver", "lantern", "winter"])
    rng = np.random.default_rng(0)
    prompts = list(dict.fromkeys("tell of " + " ".join(rng.choice(words, 6, replace=False)) for _ in range(40)))
    records = [pair(prompt, *WALK) for prompt in prompts]
    records.append(pair("Please " + prompts[7].replace("of ", "of the "), *WALK[::-1]))
    issues, _ = issues_of(*records, extra=filler())
    assert [i for i, found in enumerate(issues) if found] == [7, len(prompts)]


def test_what_is_read_again_is_bounded(monkeypatch):
    other = "What is the captial of France, please?"
    rows = [pair(FRANCE, *WALK), pair(other, *WALK[::-1])]
    monkeypatch.setattr(near_duplicates, "MOST_BYTES", 10)
    issues, _ = issues_of(*rows, extra=filler())
    assert issues == [[], []]


def test_a_map_of_alike_records_does_not_depend_on_the_order_of_the_rows_or_their_batches():
    made = []
    for i in range(30):
        prompt, other = f"Where does the river number {i} meet the sea, and who lives there?", f"Nobody knows {i}, or says so"
        texts = {
            "a": (prompt, STORY, other),
            "b": ("Please say: " + prompt, STORY, other),
            "c": (prompt, STORY.replace("every ", ""), other + "."),
        }
        for name, (asked, first, second) in texts.items():
            turned = f"{name}{i}" in ("b3", "c7")
            ratings = (0.0, 1.0) if turned else (1.0, 0.0)
            completions = [{"text": t, "rating": r} for t, r in zip((first, second), ratings, strict=True)]
            made.append({"id": f"{name}{i}", "prompt": asked, "completions": completions})
    there = build_map(scored_stream(made)).frame.set_index("id")
    back = build_map(scored_stream(made[::-1], batch_rows=7)).frame.set_index("id").loc[there.index]
    issues = [list(x) for x in there["issues"]]
    assert issues == [list(x) for x in back["issues"]]
    found = {name for name, found in zip(there.index, issues, strict=True) if "opposite_duplicate" in found}
    assert found == {"a3", "b3", "c3", "a7", "b7", "c7"}
    assert there["p_wrong"].to_numpy() == pytest.approx(back["p_wrong"].to_numpy(), abs=1e-9, nan_ok=True)


def sentence(n, *, without=(), changed=(), swapped=None):
    """So many different words, some of them left out, replaced, or one exchanged with the next."""
    letters = "bcdfghjklmnpqrstvwxz"
    words = [f"{letters[i // 20]}a{letters[i % 20]}orum" for i in range(n)]
    if swapped is not None:
        words[swapped], words[swapped + 1] = words[swapped + 1], words[swapped]
    return Words.of(" ".join("kettle" + "xyz"[i % 3] if i in changed else w for i, w in enumerate(words) if i not in without))


@pytest.mark.parametrize(
    ("n", "missing", "same"),
    [(4, 1, False), (5, 1, True), (6, 2, False), (19, 2, False), (22, 2, True), (33, 3, True), (34, 4, False), (44, 4, True)],
)
def test_one_word_of_four_or_a_tenth_of_more_may_be_missing(n, missing, same):
    assert same_question(sentence(n), sentence(n, without=range(1, 1 + missing))) == same
    assert same_question(sentence(n, without=range(1, 1 + missing)), sentence(n)) == same


@pytest.mark.parametrize(
    ("n", "places", "same"), [(39, [20], False), (40, [20], True), (79, [20, 50], False), (80, [20, 50], True)]
)
def test_of_forty_words_one_may_be_another(n, places, same):
    assert same_question(sentence(n), sentence(n, changed=places)) == same
    # An answer of so few may be right or wrong by it.
    assert not same_answer(sentence(n), sentence(n, changed=places), strictly=False)


@pytest.mark.parametrize(("n", "same"), [(159, False), (160, True)])
def test_of_an_answer_of_a_hundred_and_sixty_words_one_may_be_another(n, same):
    assert same_answer(sentence(n), sentence(n, changed=[80]), strictly=False) == same


@pytest.mark.parametrize(("n", "same"), [(7, False), (8, True), (12, True)])
def test_of_eight_words_two_neighbours_may_change_places(n, same):
    assert same_question(sentence(n), sentence(n, swapped=3)) == same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("lighthouse", "lighthosue", True),
        ("lighthouse", "lightouse", True),
        ("lighthouse", "lightthouse", True),
        ("lighthouse", "lightxouse", True),
        ("lighthouse", "lightxxuse", False),
        ("lighthouse", "ighthouse", False),
        ("lighthouse", "lighthous", False),
        ("lighthouse", "lighthouses", True),
        ("word", "words", True),
        ("new", "news", False),
        ("word", "wored", True),
        ("cord", "card", False),
        ("count", "court", True),
        ("lighthouse", "lihgthosue", False),
    ],
)
def test_a_slip_is_one_letter_inside_a_word_or_a_plural(one, other, same):
    said = "the keeper of the {} sleeps", "the keeper of the {} sleeps"
    found = same_question(Words.of(said[0].format(one)), Words.of(said[1].format(other)), strictly=True)
    assert found == same
    assert same_question(Words.of(said[1].format(other)), Words.of(said[0].format(one)), strictly=True) == same


def keys(*texts):
    return near_duplicates.word_keys(pa.array(texts, pa.string())).tolist()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a+b", "a + b", True),
        ("a+b", "a b", False),
        ("a<b", "a>b", False),
        ("What is it?", "what  IS it", True),
        ("Zebra AZaz", "zebra azaz", True),
        ("take 10", "take 1", False),
        ("take 9", "take", False),
        ("take 19", "take 91", False),
        ("1 2", "2 1", False),
        ("one two", "two one", False),
        ("onetwo", "one two", False),
        ("ab", "ba", False),
        ("你好吗", "你 好 吗", True),
        ("你好吗", "好你吗", False),
        ("Ещё раз", "Ещё  раз.", True),
        ("ещё раз", "ещё рас", False),
        ("x{y}", "x [y]", False),
        ("", " .,!", True),
        (None, "", True),
        ("a" * 1023 + "b", "a" * 1023 + "b", True),
    ],
)
def test_the_number_of_all_words_is_the_same_where_words_numbers_and_signs_are(one, other, same):
    first, second = keys(one, other)
    assert (first == second) == same
    # Whatever stands beside them.
    assert keys("before", one, "after")[1] == first


def test_of_a_very_long_text_the_whole_is_compared():
    end = 2 * near_duplicates.END
    text = "lighthouse " * 200
    assert end == 1024
    for length, same in ((end, True), (end + 1, False)):
        whole = text[:length]
        assert (keys(whole)[0] == keys(whole.replace("e l", "e.l"))[0]) == same


def test_prompts_of_most_of_their_words_in_common_share_a_number_and_others_do_not():
    rng = np.random.default_rng(0)
    words = np.array(["".join(letters) for letters in product("bcdfghlmnprstv", "aeiou", "bcdfghlmnprstv", "aei")])
    prompts = [" ".join(rng.choice(words, 40)) for _ in range(200)]
    near = [" ".join(w for i, w in enumerate(p.split()) if i != 17) for p in prompts]
    far = [" ".join(["other" if i % 3 == 0 else w for i, w in enumerate(p.split())]) for p in prompts]
    whole, others, apart = (near_duplicates.sketches(pa.array(texts)) for texts in (prompts, near, far))
    assert whole.shape == (200, 5)
    assert (whole == others).any(axis=1).mean() > 0.9
    assert (whole == apart).any(axis=1).mean() < 0.1
    assert (whole == np.roll(whole, 1, axis=0)).any(axis=1).mean() == 0
    assert (whole[:, -1] == near_duplicates.word_keys(pa.array(prompts))).all()


def answers(total):
    """Two completions of so many bytes in all."""
    first = "About four miles along the wall"
    return first, "x" * (total - len(first))


@pytest.mark.parametrize(("total", "found"), [(59, []), (60, ["opposite_duplicate"])])
def test_short_completions_need_prompts_of_all_the_same_words(total, found):
    one, other = "How do I cook brown rice at home?", "How do I cook rice at home?"
    issues, _ = issues_of(*filler(), pair(one, *answers(total)), pair(other, *answers(total)[::-1]))
    assert issues[-2:] == [found] * 2
    issues, _ = issues_of(*filler(), pair(one, *answers(total)), pair(one.replace("brown", "borwn"), *answers(total)[::-1]))
    assert issues[-2:] == [["opposite_duplicate"]] * 2


@pytest.mark.parametrize(("length", "found"), [(199, []), (200, ["opposite_duplicate"])])
def test_completions_may_lack_a_word_from_two_hundred_bytes_on(length, found):
    less = STORY[: length - 1] + "."
    more = less.replace("the lamp", "the lamp quickly")
    issues, _ = issues_of(pair("How far?", less, "No idea"), pair("How far?", "No idea", more), extra=filler())
    assert issues == [found] * 2


def test_a_sketch_does_not_depend_on_its_neighbours_and_tells_numbers_apart():
    prompt = "walk 12 miles along the old wall, then 30 more beside the river and 7 across the bridge to the far tower"
    alone = near_duplicates.sketches(pa.array([prompt]))[0]
    among = near_duplicates.sketches(pa.array(["take 3 of 5", prompt, "4", "", prompt + " 9"]))
    assert (among[1] == alone).all()
    for other in (prompt.replace("12", "13"), prompt.replace("12", "30").replace("30 more", "12 more"), prompt + " 9"):
        assert not (near_duplicates.sketches(pa.array([other]))[0] == alone).any()
    assert (near_duplicates.sketches(pa.array([prompt.replace("old ", "")]))[0] == alone)[:-1].any()


@pytest.mark.parametrize(("one", "other"), [("", ""), ("", "?"), ("...", "?"), ("", "Where does one walk?")])
def test_prompts_without_words_are_not_the_same_prompt(one, other):
    issues, _ = issues_of(pair(one, *WALK), pair(other, *WALK[::-1]), extra=filler())
    assert issues == [[], []]


@pytest.mark.parametrize(("mark", "same"), [(".", True), ("?", True), (":", True), (",", False), ("", False)])
def test_a_capital_makes_a_name_inside_a_sentence_and_not_at_its_beginning(mark, same):
    said = f"People walked along rivers yesterday{mark} Lanterns shining brightly there"
    assert same_question(Words.of(said), Words.of(said.replace("Lanterns ", ""))) == same


def test_texts_of_few_different_words_are_not_put_side_by_side_for_minutes() -> None:
    chance = np.random.default_rng(0)
    texts = [Words.of(" ".join(chance.choice(["spam", "eggs"], 10_000))) for _ in range(2)]
    budget = CompareBudget()
    assert not same_answer(*texts, strictly=False, budget=budget)
    assert budget.left == CompareBudget().left


def test_what_may_be_spent_on_all_pairs_is_spent_once() -> None:
    a, b = (Words.of(f"the {x} walks green hills of {y} today") for x, y in (("farmer", "england"), ("farmmer", "englannd")))
    budget = CompareBudget(10)
    assert same_question(a, b, budget=budget)
    assert 0 < budget.left < 10
    assert not same_question(a, b, budget=CompareBudget(0))
    assert same_question(a, a, budget=CompareBudget(0))


def test_the_order_of_the_rows_does_not_decide_which_prompts_are_the_same() -> None:
    answers = ["A long and complete answer about the river, of more than sixty bytes in all.", "Quite another answer, shorter."]
    prompts = [
        "Describe in detail how the big Amazon river basin flows south",
        "describe in detail, how the big amazon river basin flows south",
        "Describe in detail how the big river basin flows south",
    ]
    completions = [{"text": text, "rating": k, "scores": [k + 1.0]} for k, text in enumerate(answers)]
    rows = [{"id": str(n), "prompt": prompt, "completions": completions} for n, prompt in enumerate(prompts)]
    parts = set()
    for order in permutations(rows):
        seen = observe(scored_stream(list(order)))
        keys = dict(zip((row["id"] for row in order), seen.prompt_keys.tolist(), strict=True))
        parts.add(tuple(keys[str(a)] == keys[str(b)] for a, b in ((0, 1), (0, 2), (1, 2))))
    assert len(parts) == 1
