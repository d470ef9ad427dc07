"""What people answered about the labels: evidence for or against each, weighed by the reviewers' accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from argilla_admap.mapping.analysis.agreement import dawid_skene
from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.wrong.learning import Answers

__all__ = ["LabelAnswer", "match_answers", "weigh_answers"]

#: Accuracy of a reviewer of whom nothing is known, and how many answers that is worth.
USUAL_ACCURACY, WORTH = 0.95, 20.0


@dataclass(frozen=True, slots=True)
class LabelAnswer:
    """What people said of one record's label.

    Attributes:
        before: the ratings that they were asked about, in the record's own order; None where absent.
        after: the ratings that they settled on; equal to `before` where they confirmed it, None where they only doubt it.
        votes: by reviewer, whether the label is wrong.
    """

    before: tuple[float | None, ...]
    after: tuple[float | None, ...] | None
    votes: Mapping[str, bool]


def weigh_answers(n: int, records: Ints, reviewers: Ints, wrong: Bools, ratings: Floats) -> Answers:
    """The answers as evidence: each counts as much as its reviewer is accurate where several answered the same record.

    Args:
        n: how many records there are.
        records, reviewers: shape (answers,), codes from 0; one entry an answer.
        wrong: shape (answers,), whether it says that the label is wrong.
        ratings: flat, the ratings by which people settled; NaN where nobody corrected.
    Source: Dawid & Skene 1979 on the records with several answers, with a Beta prior of `USUAL_ACCURACY`.
    """
    several = np.bincount(records, minlength=n)[records] >= 2
    people = int(reviewers.max(initial=-1)) + 1
    prior = WORTH * np.array([[USUAL_ACCURACY, 1 - USUAL_ACCURACY], [1 - USUAL_ACCURACY, USUAL_ACCURACY]])
    confusion = np.tile(prior / WORTH, (people, 1, 1))
    if several.any():
        item = np.unique(records[several], return_inverse=True)[1]
        found = dawid_skene(item, reviewers[several], wrong[several].astype(np.int64), 2, smoothing=prior, class_smoothing=1.0)
        confusion[: len(found.confusion)] = found.confusion
    said = wrong.astype(np.int64)
    weight = np.log(confusion[reviewers, 1, said]) - np.log(confusion[reviewers, 0, said])
    return Answers(np.bincount(records, weight, minlength=n).astype(np.float64), np.bincount(records, minlength=n) > 0, ratings)


def match_answers(answers: Mapping[str, LabelAnswer], ids: Mapping[int, str], offsets: Ints, ratings: Floats) -> Answers:
    """The answers to the labels that the records have now.

    Where the label was corrected since, the answer confirms it; where it is another one, the answer says nothing of it.

    Args:
        answers: by record id.
        ids: of the records that were answered, by their positions among the n.
        offsets: shape (n + 1,), of the flat `ratings`; NaN where absent.
    """
    found: list[tuple[int, str, bool]] = []
    corrected = np.full(len(ratings), np.nan)
    for row, record_id in ids.items():
        answer = answers[record_id]
        part = slice(int(offsets[row]), int(offsets[row + 1]))
        before, after = (np.array(label or (), np.float64) for label in (answer.before, answer.after))
        if np.array_equal(ratings[part], before, equal_nan=True):
            found += [(row, person, said) for person, said in answer.votes.items()]
            if len(after) == part.stop - part.start and any(answer.votes.values()):
                corrected[part] = after
        elif len(after) and np.array_equal(ratings[part], after, equal_nan=True):
            found += [(row, person, not said) for person, said in answer.votes.items()]
    people = {person: code for code, person in enumerate(dict.fromkeys(person for _, person, _ in found))}
    rows, reviewers = (np.array(column, np.int64) for column in ([f[0] for f in found], [people[f[1]] for f in found]))
    return weigh_answers(len(offsets) - 1, rows, reviewers, np.array([f[2] for f in found], bool), corrected)
