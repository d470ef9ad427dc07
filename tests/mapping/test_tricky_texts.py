"""Texts of real life on which a detector that asks no judge goes wrong easily, each with what is to be found."""

from __future__ import annotations

import json
import math
import string
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from argilla_admap.mapping.data.text_features import DENSE_FEATURES, SCRIPTS, facts_of
from argilla_admap.mapping.data_map import build_map
from tests.mapping.plain import scored_stream

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "texts" / "tricky.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    # A map each: no record is another's duplicate.
    rows = [{"id": case["name"], "prompt": case["prompt"], "completions": case["completions"]} for case in CASES]
    return {row["id"]: list(build_map(scored_stream([row])).frame["issues"][0]) for row in rows}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_what_is_wrong_is_found_and_what_is_right_is_let_be(case: dict[str, Any], found: dict[str, list[str]]) -> None:
    assert found[case["name"]] == case["issues"]


PORTUGUESE = (
    "O porto fica ao norte da cidade e os navios que chegam à noite são vistos da colina. Foi construído no século passado, e "
    "os velhos muros que não caíram ainda estão de pé. Uma caminhada ao longo deles é para quem gosta de uma boa vista."
)
ENGLISH = (
    "The harbour lies to the north of the town and the ships that come in at night are seen from the hill. It was built in the "
    "last century, and the old walls of it still stand by the water. You can walk along them in the evening."
)


@pytest.mark.parametrize(("prompt", "wrong"), [("", "C"), ("Tell me all that you know of the old harbour, please.", "A")])
def test_without_a_prompt_the_language_of_most_completions_is_right(prompt: str, wrong: str) -> None:
    row = {
        "id": "r",
        "prompt": prompt,
        "completions": [{"text": text, "rating": 1.0} for text in (PORTUGUESE, PORTUGUESE + " Sim.", ENGLISH)],
    }
    table = build_map(scored_stream([row])).stream().table()
    assert table.column("issues").to_pylist() == [["wrong_language"]]
    assert table.column("evidence").to_pylist()[0][0].startswith(f"Completion {wrong} is in another language")


@pytest.mark.parametrize("scale", [(1, 5), (1, 10), (0, 1), (0, 100)])
def test_the_highest_rating_of_a_scale_is_no_impossible_one(scale: tuple[int, int]) -> None:
    low, high = scale
    rows = [
        {
            "id": f"r{i}",
            "prompt": f"question {i}",
            "completions": [
                {"text": f"a {i}", "rating": float(low + i % (high - low + 1))},
                {"text": f"b {i}", "rating": float(low)},
            ],
        }
        for i in range(120)
    ]
    rows[0]["completions"][0]["rating"] = float(high)
    frame = build_map(scored_stream(rows)).frame
    assert not [found for found in frame["issues"] if "impossible_value" in found]


@pytest.mark.parametrize("sizes", [(0, 1, 7, 254, 255, 256, 1021, 0, 3000)], ids=str)
def test_counts_are_those_of_every_byte(sizes: tuple[int, ...]) -> None:
    text = "Ab, c9`\n\t- Ж ж ω ש ع ก 漢 の 한 é "
    texts = ["".join(text[(size + i) % len(text)] for i in range(size)) for size in sizes]
    for some in (texts, [one.encode("ascii", "ignore").decode() for one in texts]):
        facts, raw = facts_of(pa.array(some).slice(1)), [one.encode() for one in some[1:]]
        assert facts.length.tolist() == [len(one) for one in raw]
        for name, members in (
            ("capitals", string.ascii_uppercase),
            ("digits", string.digits),
            ("punctuation", string.punctuation),
        ):
            share = [sum(byte in members.encode() for byte in one) / max(len(one), 1) for one in raw]
            assert facts.dense[:, DENSE_FEATURES.index(name)] == pytest.approx(share, abs=1e-6)
        lines = [math.log1p(one.count(b"\n")) for one in raw]
        assert facts.dense[:, DENSE_FEATURES.index("lines")] == pytest.approx(lines, abs=1e-6)
    cyrillic, chinese = facts_of(pa.array(["привет, " * 200, "漢字" * 300])).script
    assert (SCRIPTS[cyrillic], SCRIPTS[chinese]) == ("Cyrillic", "Chinese")
