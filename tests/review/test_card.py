"""The card's encoding and its value."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.mapping.regions.coordinates import REGION_TITLES
from argilla_admap.mapping.regions.record_flags import FLAG_TITLES
from argilla_admap.records import Record, Turn
from argilla_admap.review.dataset import card
from tests.browser.hostile import HOSTILE

#: Every code point, lone surrogates and the characters of the encoding itself among them.
ANY = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cs", "Co"]), st.sampled_from("\u241b\u283c\u2800\u28ff<$&#{"))
)

PAIR = Record(
    id="a",
    prompt="Question",
    completions=("first", "second"),
    models=("m1", None),
    ratings=(1.0, 0.0),
    samples=((5.0,), (7.0,)),
    reasons=("why one", None),
    turns=(Turn("system", "Be brief."), Turn("user", "Question")),
)
ROW = {"scores": [5.0, float("nan")], "p_wrong": 0.25, "region": "low_avg", "flags": ["likely_wrong"], "judges": "j"}


@given(ANY, st.booleans())
def test_decoding_gives_back_exactly_what_was_encoded(text: str, opaque: bool) -> None:
    assert card.decode(card.encode(text, opaque=opaque)) == text


@given(st.text(st.sampled_from("\u241b\u2800\u283c\u28ffa\u00e9\u4e2d"), max_size=12))
def test_a_text_that_we_did_not_encode_is_decoded_escape_by_escape(text: str) -> None:
    assert card.decode(text) == card._RUN.sub(card._restored, text)


@given(ANY)
def test_encoded_text_holds_nothing_dangerous(text: str) -> None:
    encoded = card.encode(text)
    assert not set(encoded) & set('<>&$#{}"\\`\x00\n\r\u2028\u2029')
    encoded.encode()  # no lone surrogate is left


@pytest.mark.parametrize("name", HOSTILE)
def test_the_hostile_corpus_survives_the_way_to_argilla_and_back(name: str) -> None:
    sent = json.dumps({"_c": [card.encode(HOSTILE[name])]}, ensure_ascii=False).encode()
    assert card.decode(json.loads(sent)["_c"][0]) == HOSTILE[name]


def test_plain_words_stay_findable() -> None:
    encoded = card.encode('One line\nand <b>another</b>, don\'t "quote" it')
    # Argilla indexes a custom field as Python prints it.
    printed = str({"_c": [encoded]})
    for word in ("line", "and", "another", "don't", "quote"):
        assert word in printed
    assert "nand" not in printed


def test_our_own_sentences_stay_out_of_a_search() -> None:
    assert not any(letter.isalpha() and letter.isascii() for letter in card.encode("The judge disagrees.", opaque=True))


def test_a_blind_value_holds_texts_only() -> None:
    value = card.card_value(PAIR, ROW, (1, 0), revealed=False)
    assert set(value) == {"_v", "_p", "_c"}
    assert value["_c"] == ["second", "first"]


def test_an_open_value_follows_the_order_shown() -> None:
    value = card.card_value(PAIR, ROW, (1, 0), revealed=True)
    assert value["_r"] == [0.0, 1.0]
    assert value["_s"] == [None, 5.0]
    assert value["_t"] == [None, "why one"]
    assert [card.decode(flag) for flag in value["_f"]] == ["likely_wrong"]
    json.dumps(value, allow_nan=False)


def test_the_card_is_told_the_names_of_regions_and_flags() -> None:
    value = card.card_value(PAIR, ROW, (0, 1), revealed=True)
    assert card.decode(value["_g"]) in REGION_TITLES
    page = card.template()
    assert all(card.script_json(FLAG_TITLES[name]) in page for name in ("contested", "low_mean", "high_variance", "boundary"))
    assert all(card.script_json(title) in page for title in REGION_TITLES.values())


def test_reasons_name_the_completions_as_they_are_shown() -> None:
    row = {**ROW, "evidence": ["The label has A above B; the evidence has B above A, about 90 to 1."]}
    for order, words in (((0, 1), "has A above B; the evidence has B"), ((1, 0), "has B above A; the evidence has A")):
        shown = card.decode(card.card_value(PAIR, row, order, revealed=True)["_e"][0])
        assert words in shown


def test_the_small_map_counts_every_record_with_a_place() -> None:
    rng = np.random.default_rng(1)
    mean, variance = rng.uniform(1, 10, 500), rng.gamma(1, 2, 500)
    mean[:20] = np.nan
    info = card.map_info(mean, variance, thresholds={"variance": 2.0, "mean": 5.0})
    assert info["n"] == 480 == sum(info["cells"])
    assert len(info["cells"]) == info["nx"] * info["ny"]
    assert 0 < np.sqrt(info["variance"]) < info["x1"]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=60), st.sampled_from([0.25, 0.01, 1 / 3])
)
def test_a_record_on_a_line_of_the_map_lies_above_it(places: list[tuple[int, int]], step: float) -> None:
    mean = np.array([m for m, _ in places]) * step
    spread = np.array([s for _, s in places]) * step
    info = card.map_info(mean, spread**2)
    rise = (info["y1"] - info["y0"]) / info["ny"]
    width = info["x1"] / info["nx"]
    for index, count in enumerate(info["cells"]):
        row, column = divmod(index, info["nx"])
        inside = (mean >= info["y0"] + row * rise - (1e-8 if row else 1)) & (spread >= column * width - 1e-8)
        if row < info["ny"] - 1:
            inside &= mean < info["y0"] + (row + 1) * rise - 1e-8
        if column < info["nx"] - 1:
            inside &= spread < (column + 1) * width - 1e-8
        assert inside.sum() == count


@pytest.mark.parametrize(
    ("scores", "scale"),
    [
        ([0.2, 0.9], [0, 1]),
        ([1, 5, np.nan], [1, 5]),
        ([0, 3], [0, 5]),
        ([1, 7.5], [1, 10]),
        ([0, 9], [0, 10]),
        ([40, 80], [0, 100]),
        ([-3.2, 4.1], [-4, 5]),
    ],
)
def test_score_bars_share_one_scale(scores: list[float], scale: list[float]) -> None:
    assert card.map_info([1.0], [1.0], scores=scores)["scale"] == scale


@pytest.mark.parametrize("mean", [[], [np.nan], [3.0], [3.0, 3.0]])
def test_a_map_of_few_records_still_draws(mean: list[float]) -> None:
    info = card.map_info(mean, [1.0] * len(mean))
    assert sum(info["cells"]) == info["n"]
    assert info["y1"] > info["y0"]
    assert json.loads(json.dumps(info)) == info
    assert card.template(info).count("</script>") == 1
