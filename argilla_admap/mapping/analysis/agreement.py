"""Several annotators of the same items: how far they agree beyond chance, and what they say together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argilla_admap.mapping.data.arrays import Floats, Ints

__all__ = ["DawidSkene", "dawid_skene", "krippendorff_alpha", "trusting"]


def krippendorff_alpha(values: Floats, level: str = "nominal") -> float | None:
    """Krippendorff's alpha: 1 is perfect agreement, 0 is chance, below 0 is systematic disagreement.

    Args:
        values: shape (annotators, items), NaN where an annotator did not answer.
        level: how far two answers differ: ``nominal`` (0 or 1), ``ordinal`` (squared difference of their middle ranks) or
            ``interval`` (squared difference).
    Returns:
        None where fewer than two answers can be compared, or where all answers are equal.
    Raises:
        ValueError: an unknown level.
    Source: Krippendorff, Content Analysis (2004), § 11.3: 1 - observed disagreement / expected disagreement.
    """
    if level not in ("nominal", "ordinal", "interval"):
        raise ValueError(f"level {level!r}: choose nominal, ordinal or interval")
    answered = np.isfinite(values).sum(axis=0)
    columns = values[:, answered >= 2]
    present = np.isfinite(columns)
    if not present.any():
        return None
    names, codes = np.unique(columns[present], return_inverse=True)
    units = np.nonzero(present.T)[0]
    # The answers by item, in the order in which a mask picks them: annotators first, so items are sorted along.
    items = np.broadcast_to(np.arange(columns.shape[1]), columns.shape)[present]
    counts = np.zeros((columns.shape[1], len(names)))
    np.add.at(counts, (items, codes), 1)
    of = counts.sum(axis=1)
    pairs = (counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(names))) / (of - 1)[:, None, None]
    coincidence = pairs.sum(axis=0)
    totals = coincidence.sum(axis=1)
    n = totals.sum()
    places = names if level == "interval" else totals.cumsum() - totals / 2
    distance = 1.0 - np.eye(len(names)) if level == "nominal" else np.square(places[:, None] - places)
    expected = float((np.outer(totals, totals) * distance).sum() / (n - 1))
    observed = float((coincidence * distance).sum())
    return None if expected == 0 or not len(units) else 1 - observed / expected


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """What the annotators say together.

    Attributes:
        probability: shape (items, classes), of each class being the true one.
        confusion: shape (annotators, classes, classes): P(answer | true class), rows sum to 1.
        prior: shape (classes,), share of each class.
    """

    probability: Floats
    confusion: Floats
    prior: Floats

    @property
    def label(self) -> Ints:
        """The likeliest class of each item, shape (items,)."""
        return np.asarray(self.probability.argmax(axis=1), np.int64)


def dawid_skene(
    items: Ints,
    annotators: Ints,
    answers: Ints,
    classes: int,
    *,
    smoothing: float | Floats = 0.01,
    class_smoothing: float = 0.0,
    given_only: bool = False,
    rounds: int = 100,
) -> DawidSkene:
    """The true classes and each annotator's error rates, by expectation maximisation from the majority.

    Args:
        items, annotators, answers: shape (answers,), codes from 0; one entry an answer.
        classes: how many there are.
        smoothing: pseudo-counts added to each annotator's confusion matrix, so that an answer never seen is not impossible:
            one number, or shape (classes, classes), true class by answer. `trusting` gives annotators of few answers credit.
        class_smoothing: pseudo-count of each class: of few items, the commonest answer must not become the only one.
        given_only: only classes that somebody answered are possible for an item.
        rounds: the most steps; it stops when no probability moves by 1e-6.
    Source: Dawid & Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm" (1979).
    """
    n, m = int(items.max(initial=-1)) + 1, int(annotators.max(initial=-1)) + 1
    votes = np.zeros((n, classes))
    np.add.at(votes, (items, answers), 1)
    probability = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
    confusion, prior = np.zeros((m, classes, classes)), np.full(classes, 1 / classes)
    for _ in range(rounds if n else 0):
        confusion = np.array(np.broadcast_to(smoothing, (m, classes, classes)), np.float64)
        np.add.at(confusion.transpose(0, 2, 1), (annotators, answers), probability[items])
        confusion /= confusion.sum(axis=2, keepdims=True)
        prior = (probability.sum(axis=0) + class_smoothing) / (n + classes * class_smoothing)
        with np.errstate(divide="ignore"):
            likelihood = np.tile(np.log(prior), (n, 1))
            np.add.at(likelihood, items, np.log(confusion)[annotators, :, answers])
        if given_only:
            likelihood[(votes == 0) & (votes.sum(axis=1, keepdims=True) > 0)] = -np.inf
        likelihood -= likelihood.max(axis=1, keepdims=True)
        new = np.exp(likelihood)
        new /= new.sum(axis=1, keepdims=True)
        moved = float(np.abs(new - probability).max(initial=0))
        probability = new
        if moved < 1e-6:
            break
    return DawidSkene(probability, confusion, prior)


def trusting(classes: int) -> Floats:
    """Pseudo-counts that start each annotator out as right more often than not: a few answers prove nothing against them."""
    return 2.0 * np.eye(classes) + 0.5
