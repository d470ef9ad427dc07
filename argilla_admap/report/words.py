"""The figures of a map in words: what the report's page, picture and command line say beside the drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from argilla_admap.mapping.regions.association import HIGH_ASSOCIATION, cramers_v
from argilla_admap.records import printable
from argilla_admap.report.points import REGIONS, Points

__all__ = [
    "FLAG_TITLES",
    "ISSUE_TITLES",
    "REGION_TITLES",
    "Figure",
    "diagnosis_sentences",
    "headline",
    "map_figures",
    "noise_sentence",
    "refusal_sentence",
    "sentence",
    "share",
]

REGION_TITLES = {"high_var": "high variance", "high_avg": "high average", "low_avg": "low average"}
FLAG_TITLES = {
    "likely_wrong": "likely wrong",
    "contested": "contested",
    "low_mean": "low mean",
    "high_variance": "high variance",
    "boundary": "on a region's boundary",
    "unscored": "unscored",
}
#: What the detectors that ask no judge find.
ISSUE_TITLES = {
    "impossible_value": "a rating outside the scale",
    "opposite_duplicate": "the same pair with the opposite label",
    "contradiction": "other records of the prompt say the opposite",
    "identical_completions": "one text twice, rated differently",
    "empty": "an empty completion",
    "truncated": "a completion that is cut off",
    "wrong_language": "a completion in another language",
}
#: Of the sources, so many have a line of their own.
_SOURCES_TOLD = 8
_NAME = 60


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what it is, its value, and what to make of it."""

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
    """The figures that can be said of every map."""
    n = len(points)
    mapped = int(points.mapped.sum())
    figures = [Figure("records", f"{n:,}", f"{mapped:,} have a place on the map" if mapped < n else "")]
    judge = points.info.get("judge") or points.info.get("judges")
    if isinstance(judge, str) and judge:
        figures.append(Figure("judge", judge))
    controlled = points.info.get("length_control")
    if isinstance(controlled, Mapping):
        taken = controlled.get("scores", {}).get("per_doubling", 0.0)
        figures.append(Figure("scores at equal length", f"{-taken:+.2f} a doubling", "asked for with --length-control"))
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
    doubt = points.numbers["p_wrong"]
    if np.isfinite(doubt).any():
        expected = float(np.nansum(doubt))
        note = f"wrong labels expected among these records; {int((doubt >= 0.5).sum()):,} at 0.5 or more"
        figures.append(Figure("sum of P(wrong)", f"{expected:,.0f}", note))
    else:
        reason = summary.get("refusal") or "the records carry no labels, or judge and labels do not agree enough"
        figures.append(Figure("P(wrong)", "none", f"{reason}; {_WITHOUT}"))
    # The lean of a region to a source is said with its figures below; the map's own sentence on it would say it twice.
    warnings = summary.get("warnings")
    figures += [
        Figure("mind", "", str(words))
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
    for issue, count in issues.items() if isinstance(issues, Mapping) else ():
        figures.append(Figure(f"found: {ISSUE_TITLES.get(issue, issue.replace('_', ' '))}", f"{count:,}", share(count, n)))
    return figures


#: What stands when there is no P(wrong).
_WITHOUT = "the queue likely-wrong is empty; regions, the other flags and what is found without a judge hold all the same"


def diagnosis_sentences(summary: Mapping[str, Any]) -> list[str]:
    """What `admap map` found of the labels as a whole: the noise rate or why there is none, and what to mind."""
    told = (noise_sentence(summary), refusal_sentence(summary))
    return [*(words for words in told if words), *(f"Note: {warning}." for warning in summary.get("warnings") or ())]


def refusal_sentence(summary: Mapping[str, Any]) -> str | None:
    """Why there is no P(wrong), and what there is all the same; None where there is one."""
    refusal = summary.get("refusal")
    if not refusal:
        return None
    return f"No P(wrong): {sentence(refusal)} {_WITHOUT[0].upper()}{_WITHOUT[1:]}."


def sentence(reason: object) -> str:
    """A reason as the end of a sentence: a question keeps its mark."""
    return str(reason) if str(reason).endswith(("?", "!", ".")) else f"{reason}."


def noise_sentence(summary: Mapping[str, Any]) -> str | None:
    """The estimated share of wrong labels with its interval; None where there is none."""
    rate = summary.get("noise_rate")
    if rate is None:
        return None
    start = "Hardly any of the labels are wrong" if rate < _HARDLY else f"About {rate:.1%} of the labels are probably wrong"
    return f"{start} ({_interval(summary.get('noise_interval'))})."


#: Less than this is no share to print.
_HARDLY = 0.0005


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
    told = summary.get("noise_by_source")
    for part in told[:_SOURCES_TOLD] if isinstance(told, list) else ():
        mean = part["expected_wrong"] / part["records"]
        note = (
            f"{_interval(part['noise_interval'])}, of {part['records']:,} records; "
            f"their mean P(wrong), told with one rate for all, is {mean:.1%}"
        )
        figures.append(Figure(f"label errors: {printable(part['source'])[:_NAME]}", f"{part['noise_rate']:.1%}", note))
    return figures


def _association(points: Points) -> list[Figure]:
    """Whether a region is in part a source: then a choice of the region is a choice of sources."""
    placed = points.region > 0
    strength = cramers_v(points.region[placed].astype(np.int64), points.source[placed])
    if strength is None:
        return []
    note = "0: the sources lie alike in all regions; 1: a region is a source"
    if strength >= HIGH_ASSOCIATION:
        counts = np.zeros((len(points.source_names), len(REGIONS)))
        np.add.at(counts, (points.source[placed], points.region[placed]), 1)
        # The source that is furthest above its share in a region.
        of_all = counts.sum(axis=1) / counts.sum()
        inside = counts / np.maximum(counts.sum(axis=0), 1)
        source, region = (int(code) for code in np.unravel_index(int(np.argmax(inside - of_all[:, None])), counts.shape))
        note = (
            f"{points.source_names[source]} is {share(of_all[source], 1)} of all and {share(inside[source, region], 1)} of "
            f"{REGION_TITLES[REGIONS[region]]}; `admap map --stratify source` splits within each source"
        )
    return [Figure("region and source: Cramér's V", f"{strength:.2f}", note)]


def headline(points: Points) -> str:
    """The one sentence that says what the map found."""
    n = len(points)
    doubt = points.numbers["p_wrong"]
    if np.isfinite(doubt).any():
        suspects = int((doubt >= 0.5).sum())
        errors = round(float(np.nansum(doubt)))
        expected = f"about {errors:,} {'error is' if errors == 1 else 'errors are'} expected"
        summary = _summary(points)
        if summary.get("noise_interval"):
            expected += f" (noise rate {summary['noise_rate']:.1%}, {_interval(summary['noise_interval'])})"
        return f"{suspects:,} of {n:,} labels {'is' if suspects == 1 else 'are'} more probably wrong than right; {expected}."
    refusal = _summary(points).get("refusal")
    return f"{n:,} records; no P(wrong)" + (f": {sentence(refusal)}" if refusal else ".")


def _summary(points: Points) -> Mapping[str, Any]:
    summary = points.info.get("summary")
    return summary if isinstance(summary, Mapping) else {}
