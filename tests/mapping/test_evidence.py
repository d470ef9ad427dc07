"""The reasons for P(wrong) as a reviewer reads them."""

from __future__ import annotations

import re

from argilla_admap.mapping.data_map import build_map
from argilla_admap.records import letter
from tests.mapping.plain import scored_stream
from tests.mapping.test_diagnosis import synthetic

SAID = re.compile(
    r"The judge gives [AB] [\d.]+ and [AB] [\d.]+, which speaks"
    r"( strongly| a little|) (for|against) the label \(([+-]?[\d.]+)\)\."
)


def test_the_judges_part_is_said_in_words_and_as_a_number_that_agree():
    table = build_map(scored_stream(synthetic(400)[0])).stream().table()
    seen = set()
    for sentences in table.column("evidence").to_pylist():
        for strength, side, number in (found.groups() for said in sentences if (found := SAID.fullmatch(said))):
            weight = float(number)
            assert (weight > 0) == (side == "against")
            # Odds of 2 and of 8 to 1, rounded: 0.7 and 2.1.
            assert (strength == " a little") == (abs(weight) < 0.7) or abs(weight) == 0.7
            assert (strength == " strongly") == (abs(weight) > 2.1) or abs(weight) == 2.1
            seen.add((strength, side))
    every = {(strength, side) for strength in (" strongly", " a little", "") for side in ("for", "against")}
    assert seen == every


SUM = re.compile(
    r"The probability adds up, in log-odds: wrong labels are \d+% here, (\S+); the evidence, (\S+); how far such evidence "
    r"can be trusted here, (\S+); together (\S+), a probability of (above |below |)([\d.]+)\."
)


def test_the_parts_of_p_wrong_add_up_to_the_number_that_is_shown():
    table = build_map(scored_stream(synthetic(400)[0])).stream().table()
    sums = 0
    for sentences, p in zip(table.column("evidence").to_pylist(), table.column("p_wrong").to_pylist(), strict=True):
        for prior, evidence, trust, total, bound, said in (f.groups() for s in sentences if (f := SUM.fullmatch(s))):
            assert abs(float(prior) + float(evidence) + float(trust) - float(total)) < 0.051
            assert bound or abs(float(said) - float(p or 0)) < 0.0051
            sums += 1
    assert sums > 300


def test_completions_are_called_as_the_review_card_calls_them():
    completions = [{"text": f"answer number {i}", "rating": i % 5} for i in range(28)]
    completions[27]["text"] = " "
    table = build_map(scored_stream([{"id": "many", "prompt": "p", "completions": completions}])).stream().table()
    assert f"Completion {letter(27)} is empty." in table.column("evidence")[0].as_py()
    assert letter(27) == "AB"
