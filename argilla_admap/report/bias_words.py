"""The judge's bias, and the agreement of two maps, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from argilla_admap.report.words import Figure, share

__all__ = ["bias_figures", "comparison_figures"]

#: Groups of fewer pairs tell too little to be named.
_FEWEST_PAIRS = 20
_GROUPS = 8


def bias_figures(bias: Mapping[str, Any]) -> list[Figure]:
    """The lines of `argilla_admap.mapping.analysis.bias.Bias.as_json()`; a part that the data do not tell has none."""
    return [
        *_length(bias["length"]),
        *_position(bias),
        *_family(bias),
        *_agreement("label", bias["by_source"], bias["by_language"]),
        *(figure for pair, parts in bias["judges"].items() for figure in _agreement(pair, parts, ())),
    ]


def _estimate(estimate: Mapping[str, Any]) -> str:
    return f"{estimate['value']:+.2f} points ({estimate['low']:+.2f} to {estimate['high']:+.2f})"


def _clear(estimate: Mapping[str, Any]) -> bool:
    return bool(estimate["low"] > 0 or estimate["high"] < 0)


def _length(length: Mapping[str, Any]) -> list[Figure]:
    plain, held = length["per_doubling"], length["per_doubling_given_label"]
    if plain is None:
        return []
    note = "score that a completion of twice the length gets more, within a prompt"
    if held is not None:
        verdict = (
            "so length itself is rewarded" if held["low"] > 0 else "so length itself is punished" if held["high"] < 0 else ""
        )
        note += f"; {_estimate(held)} where the label is equal" + (f", {verdict}" if verdict else ": no clear bias")
    figures = [Figure("length: per doubling", _estimate(plain), note)]
    if length["judge_prefers_longer"] is not None:
        label = length["label_prefers_longer"]
        compared = f"the labels in {share(label, 1)}" if label is not None else ""
        figures.append(
            Figure("judge prefers the longer one", f"in {share(length['judge_prefers_longer'], 1)} of pairs", compared)
        )
    return figures


def _position(bias: Mapping[str, Any]) -> list[Figure]:
    plain, held, first = bias["first_position"], bias["first_position_given_label"], bias["label_first"]
    if plain is None:
        return []
    if first is not None and held is None:
        note = f"the best label stands first in {share(first, 1)} of records, so place and label cannot be told apart"
        return [Figure("first completion: score", _estimate(plain), note)]
    shown = held or plain
    note = "at an equal label" if held else "the data have no labels to hold fixed"
    if _clear(shown):
        note += "; a bias only if the judge saw the completions side by side: one that sees each alone cannot know its place"
    else:
        note += ": no clear effect of the place"
    return [Figure("first completion: score", _estimate(shown), note)]


def _family(bias: Mapping[str, Any]) -> list[Figure]:
    plain, held, family = bias["own_family"], bias["own_family_given_label"], bias["judge_family"]
    if plain is None:
        return []
    note = f"score of the completions by {family}'s models, the judge's own family, over the others of the prompt"
    if held is not None:
        verdict = (
            "no clear preference" if not _clear(held) else "it prefers its own" if held["value"] > 0 else "it marks them down"
        )
        note += f"; {_estimate(held)} where the label is equal: {verdict}"
    return [Figure("own family", _estimate(plain), note)]


def _agreement(other: str, by_source: Sequence[Mapping[str, Any]], by_language: Sequence[Mapping[str, Any]]) -> list[Figure]:
    if not by_source:
        return []
    whole = by_source[0]
    title = "judge and label agree" if other == "label" else f"{other} agree"
    span = f"{whole['low']:.2f} to {whole['high']:.2f}, of {whole['pairs']:,} pairs that both part"
    figures = [Figure(title, f"in {share(whole['accuracy'], 1)} of pairs", span)]
    for kind, parts in (("source", by_source[1:]), ("language", by_language[1:])):
        told = [part for part in parts if part["pairs"] >= _FEWEST_PAIRS][:_GROUPS]
        if len(told) > 1:
            listed = ", ".join(f"{part['group']} {share(part['accuracy'], 1)}" for part in told)
            figures.append(Figure(f"{title}, by {kind}", listed))
    return figures


def comparison_figures(answer: Mapping[str, Any]) -> list[Figure]:
    """The lines of `argilla_admap.mapping.analysis.comparison.Comparison.answer`."""
    regions, orders, doubts = answer["regions"], answer["completions"], answer["p_wrong"]
    figures = [
        Figure(
            "records in both",
            f"{answer['common']:,}",
            f"{answer['only_a']:,} in a only, {answer['only_b']:,} in b only",
        ),
        Figure(
            "same region",
            f"{regions['same']:,} ({share(regions['agreement'], 1)})",
            f"{regions['moved']:,} moved"
            + (f"; kappa {regions['kappa']:.2f} (1: all the same, 0: by chance)" if regions["kappa"] is not None else ""),
        ),
    ]
    for name in ("mean", "variance"):
        part = answer[name]
        if part["rank_correlation"] is not None:
            change = f"changes by {part['mean_change']:+.2f} on average, {part['mean_absolute_change']:.2f} up or down"
            figures.append(Figure(f"rank correlation, {name}", f"{part['rank_correlation']:.2f}", change))
    if orders["same_order"] is not None:
        note = f"of {orders['pairs']:,} pairs of one prompt; with ties {share(orders['same_order_or_tied'], 1)}"
        figures.append(Figure("completions in the same order", share(orders["same_order"], 1), note))
    if doubts["both"]:
        note = (
            f"{doubts['suspects_both']:,} in both; {doubts['cleared']:,} of a's are below in b, "
            f"{doubts['newly_suspect']:,} of b's were below in a"
        )
        figures.append(Figure("P(wrong) 0.5 or more", f"a {doubts['suspects_a']:,}, b {doubts['suspects_b']:,}", note))
        figures.append(Figure(f"of the top {doubts['top']} by P(wrong)", f"{doubts['top_overlap']} are the same"))
    return figures
