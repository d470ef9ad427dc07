"""The judge against people, and slices with more errors than the rest: oracle values, and no more false alarms than said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.special import betainc
from scipy.stats import binom

from argilla_admap.mapping.analysis.judged import agreed_pairs, judge_against_people, share_interval
from argilla_admap.mapping.analysis.slices import FALSE_DISCOVERIES, Slice, prompt_clusters, worse_slices
from argilla_admap.mapping.data.arrays import Floats

Fields = dict[str, Sequence[str | None]]


@pytest.mark.parametrize(
    ("people", "judge", "share"),
    [
        ((1, 0), (7, 3), 1.0),
        ((1, 0), (3, 7), 0.0),
        ((1, 0), (5, 5), 0.5),
        ((3, 2, 1), (9, 1, 5), 2 / 3),
        ((2, 2, 1), (1, 9, 5), 0.5),
        ((1, 1), (3, 7), None),
        ((1, 0), (3, None), None),
        ((None, 0), (3, 7), None),
        ((), (), None),
    ],
)
def test_how_far_the_judge_orders_as_people_do(people: tuple[float], judge: tuple[float], share: float | None) -> None:
    found = agreed_pairs(people, judge)
    assert np.isnan(found) if share is None else found == pytest.approx(share)


def test_accuracy_confusion_reliability_and_groups() -> None:
    agreed = np.array([1.0] * 8 + [0.0] * 2 + [np.nan])
    p = np.array([0.05] * 6 + [0.95] * 4 + [np.nan])
    corrected = np.array([0.0] * 5 + [1.0] * 4 + [0.0, np.nan])
    sources = ["x"] * 6 + ["y"] * 5
    random = np.arange(11) < 5
    found = judge_against_people(agreed, p, corrected, {"source": sources}, random)
    assert (found["accuracy"], found["records"]) == (0.8, 10)
    assert (found["random"]["accuracy"], found["random"]["records"]) == (1.0, 5)
    assert found["confusion"] == {
        "against_the_label": {"corrected": 3, "confirmed": 1},
        "with_the_label": {"corrected": 1, "confirmed": 5},
    }
    first, last = found["reliability"][0], found["reliability"][-1]
    assert (first["records"], first["said"], first["corrected"]) == (6, pytest.approx(0.05), pytest.approx(1 / 6))
    assert (last["records"], last["corrected"]) == (4, 0.75)
    assert found["reliability"][5]["corrected"] is None
    (line,) = found["by"]["source"]  # y has four that count
    assert (line["value"], line["records"]) == ("x", 6)
    assert line["confusion"] == {
        "against_the_label": {"corrected": 0, "confirmed": 0},
        "with_the_label": {"corrected": 1, "confirmed": 5},
    }


def test_the_interval_of_a_share() -> None:
    found = share_interval(8, 10)
    # Jeffreys' prior adds half a success and half a failure.
    assert [betainc(8.5, 2.5, found[end]) for end in ("low", "high")] == pytest.approx([0.025, 0.975])
    assert share_interval(0, 0)["accuracy"] is None


def set_of_records(seed: int, *, bad: float = 0.05, judge_bias: bool = False) -> tuple[Floats, Floats, Fields]:
    """1,000 records, of which 150 suspects and 100 random ones are read; annotator 7 errs at the rate `bad`."""
    rng = np.random.default_rng(seed)
    fields = {name: rng.integers(0, k, 1000) for name, k in {"annotator": 12, "language": 3, "source": 6, "models": 10}.items()}
    wrong = rng.random(1000) < np.where(fields["annotator"] == 7, bad, 0.05)
    evidence = rng.normal(size=1000) + 2.2 * wrong + (judge_bias & (fields["language"] == 2))
    p = 1 / (1 + np.exp(-(evidence * 2.2 - 5)))
    read = np.zeros(1000, bool)
    read[np.argsort(-p)[:150]] = True
    read[rng.permutation(1000)[:100]] = True
    named: Fields = {name: [f"{name} {value}" for value in values] for name, values in fields.items()}
    return np.where(read, wrong.astype(float), np.nan), p, named


def test_an_annotator_who_errs_is_named() -> None:
    hits = 0
    for seed in range(10):
        corrected, p, fields = set_of_records(seed, bad=0.4)
        found, looked = worse_slices(corrected, p, fields)
        assert looked == 31
        hits += ("annotator", "annotator 7") in [(one.field, one.value) for one in found[:1]]
    assert hits >= 9


@pytest.mark.parametrize("judge_bias", [False, True])
def test_chance_is_seldom_named_even_where_the_judge_suspects_one_language_more(judge_bias: bool) -> None:
    alarms = [bool(worse_slices(*set_of_records(seed, judge_bias=judge_bias))[0]) for seed in range(80)]
    assert np.mean(alarms) <= FALSE_DISCOVERIES + 2 * np.sqrt(FALSE_DISCOVERIES * (1 - FALSE_DISCOVERIES) / 80)


def test_where_all_is_read_it_is_the_binomial_test_of_the_slices_share() -> None:
    corrected = np.array([1.0] * 8 + [0.0] * 2 + [1.0] * 2 + [0.0] * 88)
    fields: Fields = {"source": ["bad"] * 10 + ["good"] * 90}
    (found,), looked = worse_slices(corrected, np.full(100, np.nan), fields)
    assert looked == 2
    assert (found.value, found.corrected, found.of, found.reviewed, found.rate) == ("bad", 8, 10, 10, 0.8)
    assert found.expected == pytest.approx(1.0)
    assert found.p_value == pytest.approx(binom.sf(7, 10, 0.1))
    assert found.q_value == pytest.approx(2 * found.p_value)
    assert isinstance(found, Slice)


def test_nothing_to_look_at_names_nothing() -> None:
    fields: Fields = {"source": ["x"] * 25 + ["y"] * 25}
    assert worse_slices(np.full(50, np.nan), np.full(50, 0.1), fields) == ([], 0)


def test_prompts_of_like_words_are_one_cluster() -> None:
    prompts = [f"Write a poem about the sea and number {i}" for i in range(50)]
    prompts += [f"Solve the equation with matrix algebra, exercise {i}" for i in range(50)]
    names = prompt_clusters(prompts)
    assert len(set(names[:50])) == len(set(names[50:])) == 1
    assert names[0] != names[50]
    assert "poem" in (names[0] or "")
    assert set(prompt_clusters(prompts[:20])) == {None}
