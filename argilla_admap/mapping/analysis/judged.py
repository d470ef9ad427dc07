"""The judge against people: how often it orders completions as they do, and what P(wrong) said of labels they corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import beta

from argilla_admap.mapping.data.arrays import Bools, Floats

__all__ = ["agreed_pairs", "judge_against_people", "share_interval"]

#: Parts of P(wrong) in the reliability diagram.
_BINS = 10
#: From here on the judge counts as against the label.
_AGAINST = 0.5
#: Groups of fewer records say too little; so many groups are listed, the largest first.
_FEWEST, _MOST = 5, 20

#: One number a completion, None where there is none.
Numbers = Sequence[float | None]


def agreed_pairs(people: Numbers, judge: Numbers) -> float:
    """Share of the pairs of one record's completions that the judge puts in the people's order, 0..1; equal scores count half.

    NaN where people put no two completions in order, or the judge scored no two of those.
    """
    said, scores = (np.array([np.nan if v is None else v for v in values], float) for values in (people, judge))
    with np.errstate(invalid="ignore"):
        order, scored = np.sign(said[:, None] - said), np.sign(scores[:, None] - scores)
    compared = (order > 0) & np.isfinite(scored)
    return float((scored[compared] + 1).mean() / 2) if compared.any() else float("nan")


def share_interval(part: float, whole: float) -> dict[str, Any]:
    """``records``, the share ``accuracy`` and its 95% interval ``low``, ``high`` (Jeffreys; Brown, Cai & DasGupta 2001)."""
    if whole <= 0:
        return {"records": 0, "accuracy": None, "low": 0.0, "high": 1.0}
    low, high = beta.ppf([0.025, 0.975], part + 0.5, whole - part + 0.5)
    return {"records": int(whole), "accuracy": part / whole, "low": float(low), "high": float(high)}


def judge_against_people(
    agreed: Floats, p_wrong: Floats, corrected: Floats, groups: Mapping[str, Sequence[str | None]], random: Bools
) -> dict[str, Any]:
    """The judge against people, as JSON values.

    Args:
        agreed: shape (n,), of each reviewed record what `agreed_pairs` gives.
        p_wrong: shape (n,), NaN where unknown.
        corrected: shape (n,), 1 where people changed the label, 0 where they kept it, NaN where they settled nothing.
        groups: by field (source, language, ...) the group of each record; None where it has none.
        random: shape (n,), the records that were drawn at random.
    Returns:
        ``accuracy``, with ``low``, ``high`` and ``records``, of all that was read; ``random``, the same of the records drawn
        at random, which holds for the whole set; ``confusion``, where P(wrong) of 0.5 is against the label; ``reliability``,
        a line for each tenth of P(wrong); ``by``, a line for each larger group of each field, with its own ``confusion``.
    """
    compared, settled = np.isfinite(agreed), np.isfinite(corrected) & np.isfinite(p_wrong)
    against, changed = settled & (p_wrong >= _AGAINST), corrected == 1
    place = np.minimum((np.nan_to_num(p_wrong) * _BINS).astype(int), _BINS - 1)
    reliability = []
    for number in range(_BINS):
        inside = settled & (place == number)
        share = share_interval(float((inside & changed).sum()), float(inside.sum()))
        reliability.append(
            {
                "from": number / _BINS,
                "to": (number + 1) / _BINS,
                "records": share["records"],
                "said": float(p_wrong[inside].mean()) if inside.any() else None,
                "corrected": share["accuracy"],
                "low": share["low"],
                "high": share["high"],
            }
        )
    return {
        **_accuracy(agreed, compared),
        "random": _accuracy(agreed, compared & random),
        "confusion": _confusion(settled, against, changed),
        "reliability": reliability,
        "by": {field: _lines(agreed, compared, values, (settled, against, changed)) for field, values in groups.items()},
    }


def _confusion(settled: Bools, against: Bools, changed: Bools) -> dict[str, dict[str, int]]:
    return {
        name: {"corrected": int((rows & changed).sum()), "confirmed": int((rows & ~changed).sum())}
        for name, rows in (("against_the_label", settled & against), ("with_the_label", settled & ~against))
    }


def _accuracy(agreed: Floats, rows: Bools) -> dict[str, Any]:
    return share_interval(float(agreed[rows].sum()), float(rows.sum()))


def _lines(
    agreed: Floats, compared: Bools, values: Sequence[str | None], sorts: tuple[Bools, Bools, Bools]
) -> list[dict[str, Any]]:
    names = np.array([value or "" for value in values], object)
    lines = []
    for name in dict.fromkeys(value for value in values if value):
        inside = names == name
        settled, against, changed = (sort & inside for sort in sorts)
        lines.append(
            {"value": name, **_accuracy(agreed, compared & inside), "confusion": _confusion(settled, against, changed)}
        )
    return sorted((line for line in lines if line["records"] >= _FEWEST), key=lambda line: -line["records"])[:_MOST]
