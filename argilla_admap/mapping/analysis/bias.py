"""What sways the judge beside quality: length, position, its own family; and where it agrees with the labels.

All comparisons are made *within* a prompt, so that a prompt that is hard, or that draws long answers, does not count. None
of these numbers is proof of a bias by itself: a longer answer can be the better one. Each is therefore given a second time
with the data set's label held fixed, where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import binomtest
from scipy.stats import t as student

from argilla_admap.errors import InputError
from argilla_admap.mapping.data.arrays import (
    Bools,
    Floats,
    Ints,
    double_column,
    groups_by_size,
    list_sizes,
    offsets_of,
    owners_of,
)
from argilla_admap.mapping.data.observations import OTHER_JUDGE, Numbers, NumbersReader
from argilla_admap.mapping.data.text_features import LANGUAGES, languages_of
from argilla_admap.tables import RecordStream

__all__ = ["Agreement", "Bias", "control_length", "estimate_bias", "measure_bias"]

Signs = npt.NDArray[np.int8]

#: With more pairs than this, a seeded sample of the records is taken.
_MOST_PAIRS = 4_000_000
#: Records whose slopes are summed up at a time.
_ROWS = 1 << 16
#: Columns that are looked at, beside each judge's scores.
_READ = ("prompt", "completions", "models", "ratings", "source", "judges")
_GROUPS_SHOWN = 20

#: A maker's models, by what their names hold; the first that fits counts.
FAMILIES = {
    "openai": r"gpt-?[345]|gpt4|gpt3|chatgpt|text-davinci|davinci|openai|(?:^|[^a-z0-9])o[134](?:-|$)|turbo-(?:03|06|11|2024)",
    "anthropic": r"claude|anthropic",
    "google": r"gemini|gemma|palm|bard|flan|google",
    "alibaba": r"qwen|qwq",
    "deepseek": r"deepseek",
    "mistral": r"mistral|mixtral|ministral|zephyr",
    "microsoft": r"(?:^|[^a-z])phi-?\d|wizardlm|orca|microsoft",
    "cohere": r"command-?[ar]?|cohere|aya",
    "01.ai": r"(?:^|[^a-z])yi-|01-ai",
    "tii": r"falcon",
    "bigscience": r"bloom",
    "meta": r"llama|alpaca|vicuna|koala|tulu|opt-\d|meta",
}
_FAMILIES = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in FAMILIES.items())


@dataclass(frozen=True, slots=True)
class BiasInput(Numbers):
    """The numbers of n records with m completions in all, and what may sway a judge.

    Attributes:
        log_length: flat, natural logarithm of the completion's characters (of 1 where it is empty).
        language: shape (n,), of the prompts: codes into `LANGUAGES`.
        judge: the judge's name; None where unknown.
    """

    log_length: Floats
    language: Ints
    judge: str | None


def read_bias_input(stream: RecordStream) -> BiasInput:
    """Reads the stream once; no text is kept."""
    reader = NumbersReader(stream.schema)
    lengths, languages = [np.zeros(0)], [np.zeros(0, np.int64)]
    judge = stream.info.get("judge")
    for batch in stream.columns([n for n in stream.schema.names if n in (*_READ, "scores") or n.startswith(OTHER_JUDGE)]):
        reader.add(batch)
        texts: Any = batch.column("completions")
        characters = np.asarray(pc.fill_null(pc.utf8_length(texts.flatten()), 0), dtype=np.float64)
        lengths.append(np.log(np.maximum(characters, 1.0)))
        languages.append(languages_of(batch.column("prompt")))
        if not judge and "judges" in batch.schema.names:
            judge = next((name for name in pc.unique(batch.column("judges")).to_pylist() if name), None)
    return BiasInput(
        **reader.numbers(),
        log_length=np.concatenate(lengths),
        language=np.concatenate(languages),
        judge=str(judge) if judge else None,
    )


def family_of(model: str | None) -> str | None:
    """Who makes the model, by its name; None where the name does not tell."""
    return next((name for name, pattern in _FAMILIES if model and pattern.search(model)), None)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% interval, and how many records it rests on."""

    value: float
    low: float
    high: float
    records: int

    @property
    def clear(self) -> bool:
        """The interval does not hold zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class LengthBias:
    """Length and score.

    Attributes:
        per_doubling: score points that a completion of twice the length gets more.
        per_doubling_given_label: the same at an equal label.
        judge_prefers_longer: share of a prompt's pairs with different scores in which the longer one scores higher.
        label_prefers_longer: the same of the labels; None without labels.
    """

    per_doubling: Estimate | None
    per_doubling_given_label: Estimate | None
    judge_prefers_longer: float | None
    label_prefers_longer: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often judge and label (or two judges) order a pair of completions the same way.

    Attributes:
        group: a source, a language, or "" for all.
        pairs: pairs that neither ties.
        accuracy: share of them with the same order.
        low, high: 95% interval of `accuracy` (Wilson).
    """

    group: str
    pairs: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bias:
    """What `measure_bias` found; what the data cannot show is None or empty.

    Attributes:
        judge: its name.
        length: see `LengthBias`.
        first_position: score points that the first completion of a record gets more than the others.
        first_position_given_label: the same at an equal label; None where the best label is always in one place.
        label_first: share of the records with one best label in which it is the first completion's.
        judge_family: who makes the judge.
        own_family: score points that completions of the judge's own family get more.
        own_family_given_label: the same at an equal label.
        by_source, by_language: agreement of judge and label; the first entry is that of all.
        judges: agreement of two judges, by "A | B", then by source and language as above.
    """

    judge: str | None
    length: LengthBias
    first_position: Estimate | None
    first_position_given_label: Estimate | None
    label_first: float | None
    judge_family: str | None
    own_family: Estimate | None
    own_family_given_label: Estimate | None
    by_source: tuple[Agreement, ...]
    by_language: tuple[Agreement, ...]
    judges: Mapping[str, tuple[Agreement, ...]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def measure_bias(stream: RecordStream) -> Bias:
    """Measures the judge of a scored stream, or of a map; reads it once."""
    return estimate_bias(read_bias_input(stream))


def estimate_bias(seen: BiasInput) -> Bias:
    """The same from the stream's numbers."""
    scored = np.isfinite(seen.scores)
    labelled = scored & np.isfinite(seen.ratings)
    first = np.zeros(len(seen.scores))
    first[seen.offsets[:-1][seen.sizes > 0]] = 1.0
    pairs = Pairs.of(seen)
    judged_family, own = _own_family(seen, seen.judge)
    doubled = seen.log_length / np.log(2)
    label_first = _label_first(seen, labelled)
    # A label that is always in one place cannot be separated from the place.
    separable = label_first is not None and 0.02 < label_first < 0.98
    languages = seen.language[pairs.record]
    sources = seen.sources[pairs.record]
    return Bias(
        judge=seen.judge,
        length=LengthBias(
            per_doubling=within_slopes(seen.offsets, seen.scores, [doubled], scored)[0],
            per_doubling_given_label=within_slopes(seen.offsets, seen.scores, [doubled, seen.ratings], labelled)[0],
            judge_prefers_longer=_share(pairs.score * pairs.length),
            label_prefers_longer=_share(pairs.rating * pairs.length),
        ),
        first_position=within_slopes(seen.offsets, seen.scores, [first], scored)[0],
        first_position_given_label=within_slopes(seen.offsets, seen.scores, [first, seen.ratings], labelled)[0]
        if separable
        else None,
        label_first=label_first,
        judge_family=judged_family,
        own_family=within_slopes(seen.offsets, seen.scores, [own], scored & np.isfinite(own))[0],
        own_family_given_label=within_slopes(seen.offsets, seen.scores, [own, seen.ratings], labelled & np.isfinite(own))[0],
        by_source=tuple(_agreements(pairs.score * pairs.rating, sources, seen.source_names)),
        by_language=tuple(_agreements(pairs.score * pairs.rating, languages, LANGUAGES)),
        judges={
            f"{seen.judge or 'first judge'} | {name}": (
                *_agreements(pairs.score * other, sources, seen.source_names),
                *list(_agreements(pairs.score * other, languages, LANGUAGES))[1:],
            )
            for name, other in pairs.others.items()
        },
    )


def within_slopes(offsets: Ints, outcome: Floats, causes: Sequence[Floats], keep: Bools) -> list[Estimate | None]:
    """Least-squares slopes of the outcome on the causes within records, each with a 95% interval.

    Records' own means are taken off first (a fixed effect for each record). The variance is clustered by record, with the
    correction G / (G - 1) and t of G - 1 degrees of freedom.

    Args:
        outcome: flat.
        causes: flat, one for each slope.
        keep: flat; the completions to use. Records with fewer than two of them do not count.
    Returns:
        an estimate for each cause, in the outcome's units per unit of the cause; None for all where a cause does not vary or
        fewer than ten records count.
    Source: Liang & Zeger, Biometrika 73 (1986) 13-22; Cameron & Miller, J. Human Resources 50 (2015) 317-372, eqs. 10-12.
    """
    nothing: list[Estimate | None] = [None] * len(causes)
    gram, moments, squares = np.zeros((len(causes),) * 2), np.zeros(len(causes)), 0.0
    records = items = 0
    for y, x, own, raw in _within(offsets, outcome, causes, keep):
        # A record in which no cause varies says nothing of any slope.
        records += int((np.bincount(own, np.square(x).sum(axis=1)) > 1e-12).sum())
        items += len(y)
        gram += x.T @ x
        moments += x.T @ y
        squares += float(np.square(raw).sum())
    if records < 10 or np.linalg.matrix_rank(gram, tol=1e-9 * max(float(np.trace(gram)), 1e-300)) < len(causes):
        return nothing
    slopes = np.linalg.solve(gram, moments)
    meat = np.zeros_like(gram)
    for y, x, own, _ in _within(offsets, outcome, causes, keep):
        pulls = x * (y - x @ slopes)[:, None]
        clusters = np.stack([np.bincount(own, pull) for pull in pulls.T], axis=1)
        meat += clusters.T @ clusters
    bread = np.linalg.inv(gram)
    covariance = bread @ meat @ bread * (records / (records - 1))
    reach = float(student.ppf(0.975, records - 1)) * np.sqrt(np.diag(covariance))
    # Where the outcome does not depend on a cause at all, rounding errors remain, which are no effect however small theirs.
    dust = 1e-9 * np.sqrt(squares / items / np.maximum(np.diag(gram) / items, 1e-300))
    slopes, reach = np.where(np.abs(slopes) <= dust, 0.0, slopes), np.where(reach <= dust, 0.0, reach)
    return [
        Estimate(float(slope), float(slope - half), float(slope + half), records)
        for slope, half in zip(slopes, reach, strict=True)
    ]


def _within(
    offsets: Ints, outcome: Floats, causes: Sequence[Floats], keep: Bools
) -> Iterator[tuple[Floats, Floats, Ints, Floats]]:
    """Of some records at a time, those with two completions or more: outcome and causes (m, c) less the record's own means.

    Then the record of each completion, counted from the first of these records, and the outcome as it is.
    """
    for start in range(0, len(offsets) - 1, _ROWS):
        ends = offsets[start : start + _ROWS + 1]
        part = slice(int(ends[0]), int(ends[-1]))
        own = owners_of(ends)[keep[part]]
        counts = np.bincount(own, minlength=len(ends) - 1)
        fit = counts[own] >= 2
        own = own[fit]
        if not len(own):
            continue
        columns = [values[part][keep[part]][fit] for values in (outcome, *causes)]
        y, *xs = (values - (np.bincount(own, values, minlength=len(counts)) / np.maximum(counts, 1))[own] for values in columns)
        yield y, np.stack(xs, axis=1), own, columns[0]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Each pair of completions of one prompt: the signs of their differences, 0 for a tie and where either is missing.

    Attributes:
        record: shape (p,), the record's position.
        score, rating, length: shape (p,), -1, 0 or 1.
        others: the same of the other judges.
    """

    record: Ints
    score: Signs
    rating: Signs
    length: Signs
    others: Mapping[str, Signs]

    @classmethod
    def of(cls, seen: BiasInput) -> Pairs:
        """All pairs; of a seeded sample of the records where there are more than four million."""
        chosen = np.ones(seen.n, bool)
        total = int((seen.sizes * (seen.sizes - 1) // 2).sum())
        if total > _MOST_PAIRS:
            chosen = np.random.default_rng(0).random(seen.n) < _MOST_PAIRS / total
        columns = {"score": seen.scores, "rating": seen.ratings, "length": seen.log_length, **_prefixed(seen.other_scores)}
        parts: dict[str, list[Any]] = {name: [] for name in columns}
        records: list[Ints] = [np.zeros(0, np.int64)]
        for group in groups_by_size(seen.offsets, np.repeat(chosen, seen.sizes)):
            for i, j in combinations(range(group.k), 2):
                records.append(group.rows)
                for name, values in columns.items():
                    difference = np.nan_to_num(values[group.items[:, i]] - values[group.items[:, j]])
                    parts[name].append(np.sign(difference).astype(np.int8))
        joined = {name: np.concatenate(pieces) if pieces else np.zeros(0, np.int8) for name, pieces in parts.items()}
        others = {name: joined[OTHER_JUDGE + name] for name in seen.other_scores}
        return cls(np.concatenate(records), joined["score"], joined["rating"], joined["length"], others)


def _prefixed(others: Mapping[str, Floats]) -> dict[str, Floats]:
    return {OTHER_JUDGE + name: values for name, values in others.items()}


def _share(products: Signs) -> float | None:
    """Of the products of two signs that are not zero, the share that is positive."""
    decided = int(np.count_nonzero(products))
    return float((products > 0).sum() / decided) if decided else None


def _agreements(products: Signs, groups: Ints, names: Sequence[str]) -> Iterator[Agreement]:
    """The share of positive products for all, then for each group, the largest first."""
    decided = products != 0
    if not decided.any():
        return
    yield _agreement("", int(decided.sum()), int((products > 0).sum()))
    known = decided & (groups >= 0)
    total = np.bincount(groups[known], minlength=len(names))
    alike = np.bincount(groups[known], products[known] > 0, minlength=len(names))
    for group in np.argsort(-total, kind="stable")[:_GROUPS_SHOWN]:
        if total[group]:
            yield _agreement(names[group], int(total[group]), int(alike[group]))


def _agreement(group: str, pairs: int, alike: int) -> Agreement:
    interval = binomtest(alike, pairs).proportion_ci(0.95, method="wilson")
    return Agreement(group, pairs, alike / pairs, float(interval.low), float(interval.high))


def _label_first(seen: BiasInput, labelled: Bools) -> float | None:
    """Of the records in which one completion has the best label, the share in which it is the first."""
    first = best = 0
    for group in groups_by_size(seen.offsets):
        if group.k < 2:
            continue
        ratings = np.where(labelled[group.items], seen.ratings[group.items], -np.inf)
        top = ratings.max(axis=1, keepdims=True)
        single = ((ratings == top).sum(axis=1) == 1) & np.isfinite(ratings).all(axis=1)
        best += int(single.sum())
        first += int((ratings.argmax(axis=1)[single] == 0).sum())
    return first / best if best else None


def _own_family(seen: BiasInput, judge: str | None) -> tuple[str | None, Floats]:
    """The judge's family; and for each completion 1 where its model is of it, 0 where of another, NaN where unknown."""
    family = family_of(judge)
    makers = [family_of(name) for name in seen.model_names]
    known = family is not None and family in makers
    # The last one is that of code -1, an unknown model.
    own = np.array([float(maker == family) if maker and known else np.nan for maker in makers] + [np.nan])
    return family, own[seen.models]


def control_length(stream: RecordStream, *, excess_only: bool = False) -> RecordStream:
    """The stream with its scores as they would be at equal length; only on request.

    The slope of the score on log length within prompts is regressed out: score - slope * (log length - mean log length of all
    completions). That also removes what makes a longer completion truly better: on real data the agreement with the labels
    falls. With `excess_only` the slope is that at an equal label, which leaves what labels reward too. The slope is kept in the
    stream's facts under ``length_control``. Where none can be estimated, the scores stay.

    Raises:
        InputError: the stream is not scored.
    Source: partialling out, Frisch & Waugh, Econometrica 1 (1933) 387-401; for judges, Dubois et al., arXiv 2404.04475.
    """
    if "scores" not in stream.schema.names:
        raise InputError("the data are not scored yet", option="length_control", hint="score them first with `admap score`")
    seen = read_bias_input(stream)
    centred = seen.log_length - (seen.log_length.mean() if len(seen.log_length) else 0.0)
    adjusted: dict[str, Floats] = {}
    facts: dict[str, Any] = {}
    for name, scores in {"scores": seen.scores, **_prefixed(seen.other_scores)}.items():
        causes, keep = [seen.log_length], np.isfinite(scores)
        if excess_only:
            causes, keep = [seen.log_length, seen.ratings], keep & np.isfinite(seen.ratings)
        slope = within_slopes(seen.offsets, scores, causes, keep)[0]
        value = slope.value if slope else 0.0
        adjusted[name] = scores - value * centred
        facts[name] = {
            "per_doubling": value * float(np.log(2)),
            "records": slope.records if slope else 0,
            "excess_only": excess_only,
        }

    def batches() -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in stream.batches():
            sizes = list_sizes(batch.column("completions"))
            length = int(sizes.sum())
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            for name in adjusted.keys() & columns.keys():
                offsets: Any = pa.array(offsets_of(sizes).astype(np.int32))
                columns[name] = pa.ListArray.from_arrays(offsets, double_column(adjusted[name][start : start + length]))
            start += length
            yield pa.RecordBatch.from_arrays([columns[f.name] for f in batch.schema], schema=batch.schema)

    return RecordStream(batches, stream.schema, {**stream.info, "length_control": facts})
