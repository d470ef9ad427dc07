"""Agreement of annotators, against numbers that crowd-kit and krippendorff gave, and textbook examples."""

from __future__ import annotations

import json

import numpy as np
import pytest

from argilla_admap.mapping.analysis.agreement import dawid_skene, krippendorff_alpha, trusting
from tests.mapping.plain import DATA

ORACLE = json.loads((DATA.parent / "annotators_oracle.json").read_text())
ANSWERS = np.array(ORACLE["answers"])
NAN = np.nan
#: Krippendorff's own example of four observers and twelve units.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_example_gives_krippendorffs_number(level, alpha):
    assert krippendorff_alpha(OBSERVERS, level) == pytest.approx(alpha, abs=0.0006)


@pytest.mark.parametrize("level", ["nominal", "interval"])
def test_alpha_agrees_with_the_library(level):
    values = np.full((ANSWERS[:, 1].max() + 1, ANSWERS[:, 0].max() + 1), NAN)
    values[ANSWERS[:, 1], ANSWERS[:, 0]] = ANSWERS[:, 2]
    assert krippendorff_alpha(values, level) == pytest.approx(ORACLE["alpha"][level], abs=1e-9)


def test_alpha_is_one_in_agreement_and_absent_without_comparison():
    assert krippendorff_alpha(np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])) == 1
    assert krippendorff_alpha(np.array([[0.0, NAN], [NAN, 1.0]])) is None
    assert krippendorff_alpha(np.ones((3, 4))) is None
    with pytest.raises(ValueError, match="nominal, ordinal or interval"):
        krippendorff_alpha(OBSERVERS, "ratio")


def test_dawid_skene_agrees_with_the_library():
    result = dawid_skene(ANSWERS[:, 0], ANSWERS[:, 1], ANSWERS[:, 2], 3, smoothing=1e-10, rounds=ORACLE["rounds"])
    assert result.probability == pytest.approx(np.array(ORACLE["probability"]), abs=1e-4)


def test_a_poor_annotator_is_outvoted_by_good_ones():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    right = np.array([0.95, 0.95, 0.3, 0.3, 0.3])
    answers = np.where(rng.random((200, 5)) < right, truth[:, None], 1 - truth[:, None])
    item, annotator = np.meshgrid(np.arange(200), np.arange(5), indexing="ij")
    result = dawid_skene(item.ravel(), annotator.ravel(), answers.ravel(), 2)
    majority = (answers.mean(axis=1) > 0.5) == truth
    found = (result.label == truth).mean()
    assert max(found, 1 - found) > majority.mean() + 0.1
    assert result.confusion.sum(axis=2) == pytest.approx(np.ones((5, 2)))


def test_an_annotator_of_few_answers_is_trusted_at_first():
    """Two against one on a single item: the one is not taken for a liar who is right."""
    items, people, answers = np.array([0, 0, 0, 1]), np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1])
    found = dawid_skene(items, people, answers, 2, smoothing=trusting(2), class_smoothing=1.0)
    assert found.label.tolist() == [0, 1]
    assert 0.5 < found.probability[0, 0] < 1


def test_only_given_answers_are_possible_where_asked():
    items, people, answers = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0]), np.array([0, 0, 1, 2, 1])
    found = dawid_skene(items, people, answers, 3, smoothing=trusting(3), given_only=True)
    assert (found.probability[0, 1:] == 0).all()
    assert found.probability[1, 0] == 0
    assert found.probability[2].tolist() == [0, 1, 0]
