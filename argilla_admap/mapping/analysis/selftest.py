"""What this judge can find in these data: known errors are planted in a copy of the labels and looked for, without a call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from argilla_admap.errors import InputError
from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.data.observed import observe
from argilla_admap.mapping.data_map import as_scored
from argilla_admap.mapping.wrong.diagnosis import Diagnosis, diagnose, labels_and_strengths
from argilla_admap.mapping.wrong.labels import prepare_labels
from argilla_admap.tables import RecordStream

__all__ = ["KINDS", "SelfTest", "calibration_error", "rank_quality", "selftest"]

KINDS = ("swap", "permutation", "x10")
READ = 100
BINS = 10


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The result, averaged over the rounds.

    Attributes:
        answer: the JSON of `admap selftest`: `planted, auroc, average_precision, precision_at_k, recall_at_k, ece`, the counts
            of the first records read with an interval, and the same by kind and round.
    """

    answer: dict[str, Any]

    def sentence(self) -> str:
        """The result for a reader."""
        first = self.answer["first_read"]
        return (
            f"Of the first {first['records']} records you read, about {first['wrong']:.0f} will be wrong "
            f"({first['low']:.0f} to {first['high']:.0f}), if your errors are like these: {self.answer['kind']}, "
            f"{self.answer['rate']:.0%} of the records."
        )


def selftest(scored: RecordStream, *, kind: str = "swap", rate: float = 0.1, rounds: int = 5, seed: int = 0) -> SelfTest:
    """Plants errors in a copy of the labels, diagnoses the copy, and counts what is found; several rounds, each with others.

    The data have unknown errors of their own: a record whose P(wrong) was p counts by 1 - p, so that finding it again is a
    false alarm only as far as its label may be right.

    Args:
        kind: of `KINDS`: the best and the worst exchanged, the ratings dealt out at random, or the worst multiplied by ten.
        rate: share of the labelled records that get an error, 0..0.45.
    Raises:
        InputError: nothing to plant in (no scores, no ratings that differ), or an unknown kind, rate or count.
    """
    if kind not in KINDS:
        raise InputError(f"there is no kind {kind!r}", option="kind", hint=f"choose from {', '.join(KINDS)}")
    if not 0 < rate <= 0.45:
        raise InputError(f"{rate} is not above 0 and at most 0.45", option="rate")
    if rounds < 1:
        raise InputError(f"{rounds} is not 1 or more", option="rounds")
    seen = observe(as_scored(scored))
    able = _able(seen)
    before = np.nan_to_num(_diagnosed(seen).p_wrong, nan=0.0)
    planted = round(rate * len(able))
    if not np.isfinite(seen.scores).any():
        raise InputError("nothing is scored in these data", hint="score them first with `admap score`")
    if not np.isfinite(seen.ratings).any():
        raise InputError("the records carry no ratings: there are no labels to plant errors in")
    if planted < 1 or len(able) < 2:
        raise InputError(f"only {len(able)} records have ratings that differ: too few to plant errors in {rate:.2g} of them")
    results = []
    for number in range(rounds):
        rng = np.random.default_rng([seed, number])
        # Chosen by the records' ids, not by the order of the rows.
        ordered = able[np.argsort(seen.keys[able], kind="stable")]
        chosen = rng.choice(ordered, planted, replace=False)
        wrong = np.zeros(seen.n, bool)
        wrong[chosen] = True
        results.append(_round(replace(seen, ratings=_spoil(seen, chosen, kind, rng)), wrong, able, before[able]))
    return SelfTest(_answer(results, kind, rate, planted, len(able)))


def _able(seen: Observations) -> Ints:
    """Records to plant in: with ratings that differ, none of them impossible."""
    labels = prepare_labels(seen.offsets, seen.ratings, seen.scores)
    has = np.zeros(seen.n, bool)
    has[seen.owner[labels.used]] = True
    return np.flatnonzero(has & ~labels.constant & ~labels.spoilt)


def _diagnosed(seen: Observations) -> Diagnosis:
    return diagnose(seen, *labels_and_strengths(seen))


def _spoil(seen: Observations, chosen: Ints, kind: str, rng: np.random.Generator) -> Floats:
    """The ratings with an error in each of the records chosen."""
    ratings: Floats = seen.ratings.copy()
    for row in chosen:
        items = np.arange(seen.offsets[row], seen.offsets[row + 1])
        items = items[np.isfinite(ratings[items])]
        r = ratings[items]
        best, worst = rng.choice(np.flatnonzero(r == r.max())), rng.choice(np.flatnonzero(r == r.min()))
        if kind == "swap":
            ratings[items[[best, worst]]] = r[[worst, best]]
        elif kind == "permutation":
            dealt = rng.permutation(r)
            while np.array_equal(dealt, r):
                dealt = rng.permutation(r)
            ratings[items] = dealt
        else:
            # A worst of 0 would stay 0 when multiplied: ten times the best is used instead.
            ratings[items[worst]] = r[worst] * 10 if r[worst] > 0 else r.max() * 10
    return ratings


def _round(seen: Observations, wrong: Bools, able: Ints, before: Floats) -> dict[str, Any]:
    diagnosis = _diagnosed(seen)
    p = np.nan_to_num(diagnosis.p_wrong[able], nan=0.0)
    bad = wrong[able]
    order = np.lexsort((seen.keys[able], -p))
    read = min(READ, len(able))
    first = order[:read]
    weight = 1 - before
    return {
        **rank_quality(p, bad, weight),
        "ece": calibration_error(p, bad, weight),
        "recall_at_100": float(bad[first].sum() / bad.sum()),
        # A reader meets the data's own errors too; an error planted in a wrong label may have corrected it.
        "first": float(np.where(bad, weight, before)[first].sum()),
        "read": read,
        "noise_rate": diagnosis.noise_rate,
        "refusal": diagnosis.refusal,
    }


def _answer(results: list[dict[str, Any]], kind: str, rate: float, planted: int, records: int) -> dict[str, Any]:
    def mean(name: str) -> float:
        return float(np.mean([r[name] for r in results]))

    read = results[0]["read"]
    first = mean("first")
    # Between rounds, and within one (the errors of other data would fall otherwise): two standard deviations.
    within = read * (first / read) * (1 - first / read)
    spread = 2 * float(np.sqrt(np.var([r["first"] for r in results]) + within))
    rates = [r["noise_rate"] for r in results if r["noise_rate"] is not None]
    return {
        "planted": planted,
        "records": records,
        "kind": kind,
        "rate": rate,
        "rounds": len(results),
        "auroc": mean("auroc"),
        "average_precision": mean("average_precision"),
        "precision_at_k": mean("precision_at_k"),
        "recall_at_100": mean("recall_at_100"),
        "ece": mean("ece"),
        "interval": {
            name: [min(r[name] for r in results), max(r[name] for r in results)]
            for name in ("auroc", "average_precision", "precision_at_k", "ece")
        },
        "noise_rate": float(np.mean(rates)) if rates else None,
        "first_read": {
            "records": read,
            "wrong": first,
            "low": max(0.0, first - spread),
            "high": min(float(read), first + spread),
        },
        "refused": sum(r["refusal"] is not None for r in results),
        "refusal": next((r["refusal"] for r in results if r["refusal"]), None),
    }


def rank_quality(p: Floats, bad: Bools, weight: Floats | None = None) -> dict[str, float]:
    """AUROC, average precision, and precision at k, k being the number of bad ones; ties count as their average.

    Args:
        p: shape (n,), the suspicious first.
        bad: shape (n,).
        weight: shape (n,), how much each counts; None counts each as one.
    """
    weight = np.ones(len(p)) if weight is None else weight
    total, others = float(weight[bad].sum()), float(weight[~bad].sum())
    if total <= 0 or others <= 0:
        return {"auroc": 0.5, "average_precision": 0.0, "precision_at_k": 0.0}
    _, place = np.unique(-p, return_inverse=True)
    hits, both = np.bincount(place, weight * bad), np.bincount(place, weight)
    found, reached = np.cumsum(hits), np.cumsum(both)
    # The group of equal values that holds the k-th counts by its average.
    group = int(np.searchsorted(reached, total))
    inside = total - (reached[group] - both[group])
    return {
        "auroc": float(roc_auc_score(bad, p, sample_weight=weight)),
        "average_precision": float(average_precision_score(bad, p, sample_weight=weight)),
        "precision_at_k": float((found[group] - hits[group] + inside * hits[group] / both[group]) / total),
    }


def calibration_error(p: Floats, bad: Bools, weight: Floats | None = None) -> float:
    """Expected calibration error: mean distance of P(wrong) from the share that is wrong, over ten bins of equal width.

    Args:
        p, bad, weight: as for `rank_quality`.
    Source: Naeini, Cooper & Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (AAAI 2015).
    """
    weight = np.ones(len(p)) if weight is None else weight
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    predicted, actual = np.bincount(place, weight * p, minlength=BINS), np.bincount(place, weight * bad, minlength=BINS)
    return float(np.abs(predicted - actual).sum() / weight.sum())
