"""The figures of a map, of the judge's bias and of two maps' agreement in words, for the page and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from argilla_admap.mapping.checks.check import all_checks
from argilla_admap.mapping.regions.coordinates import REGION_TITLES
from argilla_admap.mapping.regions.record_flags import FLAG_TITLES, LIKELY_WRONG
from argilla_admap.mapping.regions.sources import HIGH_ASSOCIATION, cramers_v
from argilla_admap.mapping.wrong.learning import LEAST_ANSWERS
from argilla_admap.records import printable
from argilla_admap.reporting.points import REGIONS, Points

__all__ = [
    "OUTCOMES",
    "Figure",
    "bias_figures",
    "comparison_figures",
    "diagnosis_sentences",
    "headline",
    "map_figures",
    "next_step",
    "outcome_figures",
    "share",
]

#: How the review of a record ends.
OUTCOMES = {
    "confirmed": "label confirmed",
    "corrected": "label corrected",
    "conflict": "reviewers disagree",
    "unclear": "answer unclear",
}

#: This many of the sources get a line of their own.
_MOST_SOURCES = 8
_NAME = 60
#: Groups of fewer pairs say too little to be named.
_FEWEST_PAIRS = 20
_GROUPS = 8
#: A noise rate below this is not printed as a number.
_HARDLY = 0.0005
#: What there is without P(wrong).
_WITHOUT = "the queue likely-wrong is empty; regions, the other flags and what is found without a judge are there all the same"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what it is, its value, and what it means."""

    label: str
    value: str
    note: str = ""


def share(part: float, whole: float) -> str:
    """A share in per cent, with a decimal where it is small."""
    if not whole:
        return "0%"
    percent = 100 * part / whole
    return f"{percent:.1f}%" if 0 < percent < 10 else f"{percent:.0f}%"


def map_figures(points: Points) -> list[Figure]:
    """The figures of every map."""
    n = len(points)
    mapped = int(points.mapped.sum())
    figures = [Figure("records", f"{n:,}", f"{mapped:,} have a place on the map" if mapped < n else "")]
    judge = points.info.get("judge") or points.info.get("judges")
    if isinstance(judge, str) and judge:
        figures.append(Figure("judge", judge))
    controlled = points.info.get("length_control")
    if isinstance(controlled, Mapping):
        taken = controlled.get("scores", {}).get("per_doubling", 0.0)
        figures.append(Figure("scores at equal length", f"{-taken:+.2f} a doubling", "asked for when the map was made"))
    thresholds = points.info.get("thresholds")
    if isinstance(thresholds, Mapping) and "variance" in thresholds:
        figures.append(
            Figure(
                "regions split at",
                f"variance {thresholds['variance']:.3g}, mean {thresholds['mean']:.3g}",
                "high variance above the first; the rest by mean, high average above the second",
            )
        )
    for code, region in enumerate(REGIONS[1:], start=1):
        count = int((points.region == code).sum())
        figures.append(Figure(REGION_TITLES[region], f"{count:,}", share(count, n) + " of the records"))
    summary = _summary(points)
    figures += _noise(summary)
    p_wrong = points.numbers["p_wrong"]
    if np.isfinite(p_wrong).any():
        expected = float(np.nansum(p_wrong))
        note = f"wrong labels expected among these records; {int((p_wrong >= LIKELY_WRONG).sum()):,} at {LIKELY_WRONG} or more"
        figures.append(Figure("sum of P(wrong)", f"{expected:,.0f}", note))
    else:
        reason = summary.get("refusal") or "the records carry no labels, or judge and labels do not agree enough"
        figures.append(Figure("P(wrong)", "none", f"{reason}; {_WITHOUT}"))
    # The association of region and source has a line of its own below.
    warnings = summary.get("warnings")
    figures += [
        Figure("note", "", str(words))
        for words in (warnings if isinstance(warnings, list) else ())
        if "Cramér" not in str(words)
    ]
    figures += _association(points)
    known = list(FLAG_TITLES)
    for flag in sorted(points.flag_names, key=lambda name: (known.index(name) if name in known else len(known), name)):
        bit = points.flag_names.index(flag)
        count = int((points.flags >> bit & 1).sum())
        figures.append(Figure(f"flag: {FLAG_TITLES.get(flag, flag.replace('_', ' '))}", f"{count:,}", share(count, n)))
    issues = summary.get("issues")
    titles = {check.name: check.title for check in all_checks()}
    for issue, count in issues.items() if isinstance(issues, Mapping) else ():
        figures.append(Figure(f"found: {titles.get(issue, issue.replace('_', ' '))}", f"{count:,}", share(count, n)))
    return figures


def diagnosis_sentences(summary: Mapping[str, Any]) -> list[str]:
    """What `admap map` found of the labels as a whole: the noise rate or why there is none, and the warnings."""
    found = (noise_sentence(summary), refusal_sentence(summary), learned_sentence(summary))
    return [*(words for words in found if words), *(f"Note: {warning}." for warning in summary.get("warnings") or ())]


def learned_sentence(summary: Mapping[str, Any]) -> str | None:
    """How many of people's answers P(wrong) has learned from; None where there were none to take."""
    facts = summary.get("learned_from")
    if not facts:
        return None
    said = f"{facts['answers']:,} records were answered, {facts['wrong']:,} of them as wrong"
    if facts["learned"]:
        return f"P(wrong) has learned from people: {said}."
    return (
        f"P(wrong) of the other records is as it was: {said}, and it learns from {LEAST_ANSWERS} on where there is a P(wrong)."
    )


def refusal_sentence(summary: Mapping[str, Any]) -> str | None:
    """Why there is no P(wrong), and what there is all the same; None where there is one."""
    refusal = summary.get("refusal")
    if not refusal:
        return None
    return f"No P(wrong): {sentence(refusal)} {_WITHOUT[0].upper()}{_WITHOUT[1:]}."


def sentence(reason: object) -> str:
    """A reason as the end of a sentence: a question keeps its question mark."""
    return str(reason) if str(reason).endswith(("?", "!", ".")) else f"{reason}."


def noise_sentence(summary: Mapping[str, Any]) -> str | None:
    """The estimated share of wrong labels with its interval; None where there is none."""
    rate = summary.get("noise_rate")
    if rate is None:
        return None
    start = "Hardly any of the labels are wrong" if rate < _HARDLY else f"About {rate:.1%} of the labels are probably wrong"
    return f"{start} ({_interval(summary.get('noise_interval'))})."


def _interval(interval: Any) -> str:
    if not interval:
        return "estimated; an earlier version made this map without an interval"
    low, high = interval
    return f"90% interval: {low:.1%} to {high:.1%}"


def _noise(summary: Mapping[str, Any]) -> list[Figure]:
    """The rate of wrong labels with its interval: of all, and of each of the larger sources."""
    rate = summary.get("noise_rate")
    if not isinstance(rate, (int, float)):
        return []
    note = f"{_interval(summary.get('noise_interval'))}; fitted to this map's labels and scores"
    figures = [Figure("label errors, estimated", f"{rate:.1%}" if rate >= _HARDLY else "hardly any", note)]
    by_source = summary.get("noise_by_source")
    for part in by_source[:_MOST_SOURCES] if isinstance(by_source, list) else ():
        mean = part["expected_wrong"] / part["records"]
        note = (
            f"{_interval(part['noise_interval'])}, of {part['records']:,} records; "
            f"their mean P(wrong), computed with one rate for all, is {mean:.1%}"
        )
        figures.append(Figure(f"label errors: {printable(part['source'])[:_NAME]}", f"{part['noise_rate']:.1%}", note))
    return figures


def _association(points: Points) -> list[Figure]:
    """Whether regions go with sources: choosing a region then means choosing sources."""
    placed = points.region > 0
    strength = cramers_v(points.region[placed].astype(np.int64), points.source[placed])
    if strength is None:
        return []
    note = "0: every region has the same mix of sources; 1: a region is a source"
    if strength >= HIGH_ASSOCIATION:
        counts = np.zeros((len(points.source_names), len(REGIONS)))
        np.add.at(counts, (points.source[placed], points.region[placed]), 1)
        # The source that is furthest above its share in a region.
        of_all = counts.sum(axis=1) / counts.sum()
        inside = counts / np.maximum(counts.sum(axis=0), 1)
        source, region = (int(code) for code in np.unravel_index(int(np.argmax(inside - of_all[:, None])), counts.shape))
        note = (
            f"{points.source_names[source]} is {share(of_all[source], 1)} of all and {share(inside[source, region], 1)} of "
            f"{REGION_TITLES[REGIONS[region]]}; regions can be split within each source instead"
        )
    return [Figure("region and source: Cramér's V", f"{strength:.2f}", note)]


def headline(points: Points) -> str:
    """The one sentence that says what the map found."""
    n = len(points)
    p_wrong = points.numbers["p_wrong"]
    summary = _summary(points)
    if np.isfinite(p_wrong).any():
        suspects = int((p_wrong >= LIKELY_WRONG).sum())
        errors = round(float(np.nansum(p_wrong)))
        expected = f"about {errors:,} {'error is' if errors == 1 else 'errors are'} expected"
        if summary.get("noise_interval"):
            expected += f" (noise rate {summary['noise_rate']:.1%}, {_interval(summary['noise_interval'])})"
        return f"{suspects:,} of {n:,} labels {'is' if suspects == 1 else 'are'} more probably wrong than right; {expected}."
    refusal = summary.get("refusal")
    return f"{n:,} records; no P(wrong)" + (f": {sentence(refusal)}" if refusal else ".")


def next_step(points: Points, reviews: npt.NDArray[np.uint8], *, pushed: bool) -> dict[str, Any]:
    """What to do next, and the page's filter that shows it: ``text``, ``show`` (None where there is nothing to show).

    Args:
        reviews: shape (n,), 0 where the record has no answer.
        pushed: whether the page links to a data set.
    """
    p_wrong = points.numbers["p_wrong"]
    unread = reviews == 0
    if not np.isfinite(p_wrong).any():
        return {"text": "Next: score the labels' completions with a judge, so that wrong labels can be found.", "show": None}
    suspects = int((unread & (p_wrong >= LIKELY_WRONG)).sum())
    lowest = LIKELY_WRONG
    if not suspects:
        lowest = 0.2
        suspects = int((unread & (p_wrong >= lowest)).sum())
    if not suspects:
        return {"text": "Next: nothing; no unread label is suspect. Take a random sample to be sure.", "show": None}
    these = f"the {suspects:,} labels" if suspects > 1 else "the one label"
    where = "" if pushed else ": push the map to Argilla with admap push, and make this page again for its links"
    kind = "more probably wrong than right" if lowest == LIKELY_WRONG else "suspect"
    already = " and not reviewed yet" if not unread.all() else ""
    verb = "are" if suspects > 1 else "is"
    text = f"Next: review {these} that {verb} {kind}{already}{where}."
    return {"text": text, "show": {"from": lowest, "reviews": 1}}


def outcome_figures(points: Points, reviews: npt.NDArray[np.uint8]) -> list[Figure]:
    """How far the review is, of a map whose answers were read; nothing without answers."""
    done = int((reviews > 0).sum())
    if not done:
        return []
    counts = [int((reviews == code).sum()) for code in range(1, len(OUTCOMES) + 1)]
    confirmed, corrected, conflicts, _ = counts
    note = f"{confirmed:,} labels confirmed, {corrected:,} corrected, {conflicts:,} that reviewers disagree on"
    figures = [Figure("reviewed", f"{done:,} of {len(points):,}", note)]
    p_wrong = points.numbers["p_wrong"]
    decided = np.isin(reviews, (1, 2)) & np.isfinite(p_wrong)
    if decided.sum() >= _FEWEST_PAIRS:
        wrong = float((reviews[decided] == 2).mean())
        figures.append(
            Figure("P(wrong) of the reviewed", f"{float(p_wrong[decided].mean()):.0%}", f"{wrong:.0%} of them were corrected")
        )
    return figures


def _summary(points: Points) -> Mapping[str, Any]:
    summary = points.info.get("summary")
    return summary if isinstance(summary, Mapping) else {}


def bias_figures(bias: Mapping[str, Any]) -> list[Figure]:
    """The lines of `Bias.as_json()`; what the data cannot show has none."""
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
        note = f"the best label is the first in {share(first, 1)} of records, so place and label cannot be told apart"
        return [Figure("first completion: score", _estimate(plain), note)]
    shown = held or plain
    note = "at an equal label" if held else "the data have no labels to hold fixed"
    if _clear(shown):
        note += "; a bias only if the judge saw the completions side by side, since a judge that sees each alone has no order"
    else:
        note += ": no clear effect of position"
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
    span = f"{whole['low']:.2f} to {whole['high']:.2f}, of {whole['pairs']:,} pairs that neither ties"
    figures = [Figure(title, f"in {share(whole['accuracy'], 1)} of pairs", span)]
    for kind, parts in (("source", by_source[1:]), ("language", by_language[1:])):
        large = [part for part in parts if part["pairs"] >= _FEWEST_PAIRS][:_GROUPS]
        if len(large) > 1:
            listed = ", ".join(f"{part['group']} {share(part['accuracy'], 1)}" for part in large)
            figures.append(Figure(f"{title}, by {kind}", listed))
    return figures


def comparison_figures(answer: Mapping[str, Any]) -> list[Figure]:
    """The lines of `Comparison.answer`."""
    regions, orders, doubts = answer["regions"], answer["completions"], answer["p_wrong"]
    figures = [
        Figure(
            "records in both",
            f"{answer['common']:,}",
            f"{answer['only_a']:,} in a only, {answer['only_b']:,} in b only"
            + (f"; {answer['other_texts']:,} have other texts in b, and are left out" if answer["other_texts"] else ""),
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
