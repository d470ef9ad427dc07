"""Layouts as plain values: how a label is written and read in each, without the package, for the oracle of right rows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from argilla_admap.formats.format import FieldNames

__all__ = ["LAYOUTS", "Items", "Layout", "Row", "Unit"]

Row = dict[str, Any]
#: The rows of one record.
Unit = list[Row]
#: Completions with their ratings, in the order of the rows; a pair's better one first.
Items = list[tuple[str, float]]

PAIR, SCORED_PAIR, RATED, RANKS, LEVELS = "pair", "scored pair", "rated", "ranks", "good or bad"


@dataclass(frozen=True)
class Layout:
    """One way to write preference data.

    Attributes:
        make: the rows of a prompt and its rated completions.
        take: of such rows, the ratings by text.
        labels: the labels of K completions that it can express: kinds above, or all of them.
        k: completions a record.
        options: what is said by hand to read it.
    """

    name: str
    make: Callable[[str, Items], Unit]
    take: Callable[[Unit], Items]
    labels: str | Sequence[Sequence[float]]
    k: int = 2
    scale: Sequence[float] = (1, 2, 3, 4, 5)
    options: Mapping[str, Any] = field(default_factory=dict)

    def any_label(self, rng: random.Random) -> list[float]:
        if not isinstance(self.labels, str):
            return list(rng.choice(self.labels))
        if self.labels == PAIR:
            return rng.sample([1.0, 0.0], 2)
        if self.labels == RANKS:
            return [float(n) for n in rng.sample(range(1, self.k + 1), self.k)]
        if self.labels == SCORED_PAIR:
            return [float(n) for n in rng.sample(self.scale, 2)]
        return [float(rng.choice(self.scale if self.labels == RATED else (0, 1))) for _ in range(self.k)]

    @property
    def sorted(self) -> bool:
        """Whether the better completion stands first."""
        return self.labels in (PAIR, SCORED_PAIR)

    def new(self, prompt: str, texts: Sequence[str], rng: random.Random) -> Unit:
        return self.make(prompt, self._ordered(list(zip(texts, self.any_label(rng), strict=True))))

    def _ordered(self, items: Items) -> Items:
        return sorted(items, key=lambda item: -item[1]) if self.sorted else items

    def label(self, unit: Unit) -> dict[str, float]:
        return {text: float(rating) for text, rating in self.take(unit)}

    def relabel(self, unit: Unit, label: Mapping[str, float], prompt: str) -> Unit:
        """The rows with another label, and all else in them as it was."""
        return self._remade(unit, prompt, self._ordered([(text, label[text]) for text, _ in self.take(unit)]))

    def other_texts(self, unit: Unit, prompt: str) -> Unit:
        items = self.take(unit)
        return self._remade(unit, prompt, [*items[:-1], (f"{items[-1][0]}!", items[-1][1])])

    def _remade(self, unit: Unit, prompt: str, items: Items) -> Unit:
        made = zip(unit, self.make(prompt, items), strict=True)
        return [{**old, **new, **{key: old[key] for key in old if key == "id"}} for old, new in made]


def _say(role: str, text: str) -> Row:
    return {"role": role, "content": text}


def _plain_pair(name: str, prompt: str, better: str, worse: str, **options: Any) -> Layout:
    return Layout(
        name,
        lambda p, items: [{prompt: p, better: items[0][0], worse: items[1][0]}],
        lambda unit: [(unit[0][better], 1.0), (unit[0][worse], 0.0)],
        PAIR,
        options=options,
    )


def _chat(prompt: str, text: str) -> list[Row]:
    return [_say("user", prompt), _say("assistant", text)]


def _verdict(
    name: str,
    sides: tuple[str, str],
    verdict: str,
    values: Mapping[tuple[float, float], Any],
    prompt: str = "prompt",
    **options: Any,
) -> Layout:
    """Two answers and a field that says which is better; `values` says what is written for each label."""
    labels = {str(value): label for label, value in values.items()}
    return Layout(
        name,
        lambda p, items: [{prompt: p, sides[0]: items[0][0], sides[1]: items[1][0], verdict: values[items[0][1], items[1][1]]}],
        lambda unit: list(zip((unit[0][n] for n in sides), labels[str(unit[0][verdict])], strict=True)),
        list(values),
        options=options,
    )


A, B, TIE, BAD = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.0, 0.0)


def _objects(name: str, prompt: str, base: str, text: str, rating: str, *, ranks: bool = False, k: int = 3) -> Layout:
    """A list of objects, one for each completion."""
    return Layout(
        name,
        lambda p, items: [{prompt: p, base: [{text: t, rating: k + 1 - int(r) if ranks else int(r)} for t, r in items]}],
        lambda unit: [(o[text], k + 1 - float(o[rating]) if ranks else float(o[rating])) for o in unit[0][base]],
        RANKS if ranks else RATED,
        k,
    )


def _lists(name: str, prompt: str, texts: str, ratings: str, *, ranks: bool = False) -> Layout:
    """A list of texts, and a list of ratings beside it."""
    return Layout(
        name,
        lambda p, items: [
            {prompt: p, texts: [t for t, _ in items], ratings: [4 - int(r) if ranks else int(r) for _, r in items]}
        ],
        lambda unit: [(t, 4 - float(r) if ranks else float(r)) for t, r in zip(unit[0][texts], unit[0][ratings], strict=True)],
        RANKS if ranks else RATED,
        3,
    )


def _rows(name: str, prompt: str, text: str, rating: str, write: Callable[[float], Any], labels: str, k: int = 2) -> Layout:
    """A row a completion."""
    read = {json.dumps(write(r)): float(r) for r in ((0, 1) if labels == LEVELS else (1, 2, 3, 4, 5))}
    return Layout(
        name,
        lambda p, items: [{prompt: p, text: t, rating: write(r)} for t, r in items],
        lambda unit: [(row[text], read[json.dumps(row[rating])]) for row in unit],
        labels,
        k,
    )


def _strength(p: str, items: Items) -> Unit:
    return [
        {
            "context": [_say("user", p)],
            "response1": items[0][0],
            "response2": items[1][0],
            "overall_preference": int(items[1][1] - items[0][1]),
        }
    ]


LAYOUTS = [
    _plain_pair("trl", "prompt", "chosen", "rejected"),
    _plain_pair("alpaca", "instruction", "chosen", "rejected"),
    _plain_pair("orca", "input", "chosen", "rejected"),
    _plain_pair("argilla_binarized", "instruction", "chosen_response", "rejected_response"),
    _plain_pair("stack-exchange-paired", "question", "response_j", "response_k"),
    _plain_pair("named-pair", "prompt", "preferred", "dispreferred"),
    _plain_pair("named-pair of ms-swift", "query", "response", "rejected_response"),
    _plain_pair("fields", "q", "x", "y", fields=FieldNames(prompt="q", chosen="x", rejected="y")),
    Layout(
        "orca with ratings",
        lambda p, items: [
            {"input": p, "chosen": items[0][0], "rejected": items[1][0], "rating": [int(items[0][1]), int(items[1][1])]}
        ],
        lambda unit: list(zip((unit[0]["chosen"], unit[0]["rejected"]), unit[0]["rating"], strict=True)),
        SCORED_PAIR,
    ),
    Layout(
        "named-pair with scores",
        lambda p, items: [
            {
                "prompt": p,
                "better_answer": items[0][0],
                "worse_answer": items[1][0],
                "better_score": int(items[0][1]),
                "worse_score": int(items[1][1]),
            }
        ],
        lambda unit: [(unit[0][f"{side}_answer"], unit[0][f"{side}_score"]) for side in ("better", "worse")],
        SCORED_PAIR,
    ),
    Layout(
        "trl-messages",
        lambda p, items: [{"chosen": _chat(p, items[0][0]), "rejected": _chat(p, items[1][0])}],
        lambda unit: [(unit[0][side][1]["content"], rating) for side, rating in (("chosen", 1.0), ("rejected", 0.0))],
        PAIR,
    ),
    Layout(
        "ultrafeedback_binarized",
        lambda p, items: [
            {
                "prompt": p,
                "chosen": _chat(p, items[0][0]),
                "rejected": _chat(p, items[1][0]),
                "messages": _chat(p, items[0][0]),
                "score_chosen": items[0][1],
                "score_rejected": items[1][1],
            }
        ],
        lambda unit: [(unit[0][side][1]["content"], unit[0][f"score_{side}"]) for side in ("chosen", "rejected")],
        SCORED_PAIR,
    ),
    Layout(
        "sharegpt",
        lambda p, items: [
            {
                "conversations": [{"from": "human", "value": p}],
                **{side: {"from": "gpt", "value": t} for side, (t, _) in zip(("chosen", "rejected"), items, strict=True)},
            }
        ],
        lambda unit: [(unit[0]["chosen"]["value"], 1.0), (unit[0]["rejected"]["value"], 0.0)],
        PAIR,
    ),
    Layout(
        "openai-dpo",
        lambda p, items: [
            {
                "input": {"messages": [_say("user", p)]},
                "preferred_output": [_say("assistant", items[0][0])],
                "non_preferred_output": [_say("assistant", items[1][0])],
            }
        ],
        lambda unit: [(unit[0]["preferred_output"][0]["content"], 1.0), (unit[0]["non_preferred_output"][0]["content"], 0.0)],
        PAIR,
    ),
    Layout(
        "ms-swift",
        lambda p, items: [{"messages": _chat(p, items[0][0]), "rejected_response": items[1][0]}],
        lambda unit: [(unit[0]["messages"][1]["content"], 1.0), (unit[0]["rejected_response"], 0.0)],
        PAIR,
    ),
    Layout(
        "hh-rlhf",
        lambda p, items: [
            {side: f"\n\nHuman: {p}\n\nAssistant: {t}" for side, (t, _) in zip(("chosen", "rejected"), items, strict=True)}
        ],
        lambda unit: [(unit[0][side].rpartition("Assistant: ")[2], r) for side, r in (("chosen", 1.0), ("rejected", 0.0))],
        PAIR,
    ),
    Layout(
        "trl-implicit",
        lambda p, items: [{"chosen": f"{p} is asked\n{items[0][0]}", "rejected": f"{p} is asked\n{items[1][0]}"}],
        lambda unit: [(unit[0][side].partition("\n")[2], r) for side, r in (("chosen", 1.0), ("rejected", 0.0))],
        PAIR,
    ),
    Layout(
        "pair-lists",
        lambda p, items: [
            {"prompt": p, **{side: [t for t, r in items if r == n] for side, n in (("chosen", 1.0), ("rejected", 0.0))}}
        ],
        lambda unit: [(t, r) for side, r in (("chosen", 1.0), ("rejected", 0.0)) for t in unit[0][side]],
        [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)],
        3,
    ),
    _objects("plain", "prompt", "completions", "text", "rating"),
    _objects("ultrafeedback", "instruction", "completions", "response", "overall_score"),
    _objects("completions", "prompt", "responses", "response", "score"),
    _objects("completions with ranks", "prompt", "completions", "text", "rank", ranks=True),
    _objects("nectar", "prompt", "answers", "answer", "rank", ranks=True),
    _lists("distilabel", "instruction", "generations", "ratings"),
    _lists("distilabel with ranks", "prompt", "responses", "ranks", ranks=True),
    Layout(
        "columns",
        lambda p, items: [
            {
                "id": "",
                "prompt": p,
                "completions": [t for t, _ in items],
                "ratings": [r for _, r in items],
                "samples": [[3.0, 4.0] for _ in items],
            }
        ],
        lambda unit: list(zip(unit[0]["completions"], unit[0]["ratings"], strict=True)),
        RATED,
        3,
    ),
    _verdict("arena", ("response_a", "response_b"), "winner", {A: "model_a", B: "model_b", TIE: "tie", BAD: "tie (bothbad)"}),
    _verdict("versus in letters", ("response_A", "response_B"), "label", {A: "A>B", B: "B>A", TIE: "A=B"}, "question"),
    _verdict("versus from 1", ("output_1", "output_2"), "preference", {A: 1, B: 2}, "instruction"),
    _verdict("versus from 0", ("response_0", "response_1"), "better_response_id", {A: 0, B: 1}),
    _verdict("versus by booleans", ("response_0", "response_1"), "label", {A: True, B: False}),
    Layout(
        "versus by shares",
        lambda p, items: [{"prompt": p, "response_a": items[0][0], "response_b": items[1][0], "label": [r for _, r in items]}],
        lambda unit: list(zip((unit[0]["response_a"], unit[0]["response_b"]), unit[0]["label"], strict=True)),
        [A, B, TIE],
    ),
    _verdict("versus by names", ("answer_a", "answer_b"), "better", {A: "answer_a", B: "answer_b"}),
    _verdict("versus left and right", ("left_answer", "right_answer"), "choice", {A: "left", B: "right"}),
    _verdict(
        "versus by hand",
        ("u", "v"),
        "which",
        {A: "X", B: "Y", TIE: "Z", BAD: "W"},
        fields=FieldNames(
            prompt="prompt",
            completion=("u", "v"),
            verdict="which",
            verdict_values=(("a", "X"), ("b", "Y"), ("tie", "Z"), ("both_bad", "W")),
        ),
    ),
    Layout(
        "helpsteer3",
        _strength,
        lambda unit: [
            (unit[0]["response1"], max(-unit[0]["overall_preference"], 0)),
            (unit[0]["response2"], max(unit[0]["overall_preference"], 0)),
        ],
        [(3, 0), (2, 0), (1, 0), (0, 0), (0, 1), (0, 2), (0, 3)],
    ),
    Layout(
        "versus with scores",
        lambda p, items: [
            {"question": p, "answer_0": items[0][0], "answer_1": items[1][0], "score_0": items[0][1], "score_1": items[1][1]}
        ],
        lambda unit: [(unit[0][f"answer_{n}"], unit[0][f"score_{n}"]) for n in (0, 1)],
        RATED,
    ),
    _rows("kto", "prompt", "completion", "label", bool, LEVELS),
    _rows("kto of -1", "prompt", "completion", "label", lambda r: 1 if r else -1, LEVELS),
    _rows("helpsteer2", "prompt", "response", "helpfulness", int, RATED),
    _rows("scored-rows", "question", "answer", "score", int, RATED, 3),
    Layout(
        "argilla-export",
        lambda p, items: [
            {
                "prompt": p,
                "response_0": items[0][0],
                "response_1": items[1][0],
                "preference.responses": ["response_0" if items[0][1] else "response_1"],
                "preference.responses.status": ["submitted"],
            }
        ],
        lambda unit: [
            (unit[0][name], float(unit[0]["preference.responses"] == [name])) for name in ("response_0", "response_1")
        ],
        [A, B],
    ),
    Layout(
        "label-studio",
        lambda p, items: [
            {
                "data": {"prompt": p, "answer1": items[0][0], "answer2": items[1][0]},
                "annotations": [
                    {
                        "result": [
                            {
                                "value": {"selected": "left" if items[0][1] else "right"},
                                "from_name": "pw",
                                "type": "pairwise",
                            }
                        ],
                        "was_cancelled": False,
                    }
                ],
            }
        ],
        lambda unit: [
            (unit[0]["data"][name], float(unit[0]["annotations"][0]["result"][0]["value"]["selected"] == side))
            for name, side in (("answer1", "left"), ("answer2", "right"))
        ],
        [A, B],
    ),
]
