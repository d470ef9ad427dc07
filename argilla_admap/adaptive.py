"""Samples where they count: score all once, then again only where a label is undecided, which the map tells.

Judging every completion alike spends most of the calls on labels that one look has settled. Here each round judges again what
decides the records that are the least decided for the samples they had: the label's best and worst completion, or all of a
record without a label, whose region is in doubt. A second, dearer judge may look at what stays open.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import InputError
from argilla_admap.mapping.data_map import build_map
from argilla_admap.scoring import run
from argilla_admap.scoring.output import Scored, completions_of, scored_batch, write_scored
from argilla_admap.scoring.scorer import ScoredCompletion
from argilla_admap.tables import RecordStream

if TYPE_CHECKING:
    from argilla_admap.scoring.client.transport import Client
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.run import Progress

__all__ = ["EXTRA_CALLS", "estimate", "most_extra_calls", "next_round", "score_adaptively"]

#: Calls a completion, on average, that the rounds may add to the first one.
EXTRA_CALLS = 0.5
#: After each round the map is fitted anew; more rounds choose better and fit longer.
_ROUNDS = 6
#: The second judge looks at no more than this share of the records.
_SCREENED_SHARE = 0.2
#: Below this p (1 - p) the second judge leaves a label alone.
_DECIDED = 0.02
#: Beyond so many samples of one completion no gain was seen.
MOST_SAMPLES = 5
#: Below this p (1 - p) no round judges a record again.
_SETTLED = 0.01
#: So many samples' worth of the usual noise stand beside a record's own, which a few samples tell badly.
_USUAL = 3.0
_Floats = npt.NDArray[np.float64]
_NUMBERS = ("ratings", "score_counts", "score_variances")
_ESTIMATED = ("requests", "input_tokens", "output_tokens", "cost_usd")
_SUMMED = ("requests", "input_tokens", "output_tokens", "retried")


def score_adaptively(
    preferences: RecordStream,
    options: ScoreOptions,
    *,
    client: Client | None = None,
    output: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Scored:
    """Scores with `options.adaptive` or `options.screen`; otherwise like `run.score`, whose errors it raises.

    `options.max_cost` holds for all rounds together. Stopped anywhere, the same call goes on: all answers are in the store.
    """
    if options.screen is not None and len(options.models) > 1:
        raise InputError(
            f"{options.screen}: goes with one judge, not with {len(options.models)}", option="screen", hint="name one `model`"
        )
    runs = _Runs(options, client, progress, warn or (lambda _: None))
    scored = runs.score(preferences, replace(options, adaptive=False, screen=None, samples=options.samples or 1))
    facts: dict[str, Any] = {}
    if options.adaptive:
        scored, facts["adaptive"] = _rounds(preferences, scored, runs, replace(options, adaptive=False, screen=None))
    second, chosen = None, 0
    if options.screen is not None and not scored.summary["stopped"]:
        second, chosen = _screen(preferences, scored, runs, options)
        facts["screen"] = {"model": options.screen, "records": chosen}
    return runs.finish(scored, second, facts, output)


def estimate(preferences: RecordStream, options: ScoreOptions, *, client: Client | None = None) -> dict[str, Any]:
    """As `run.estimate`, of the first round; what all rounds and the second judge may come to is in `at_most`.

    How many rounds there are, and where, depends on the judge's answers: `at_most` takes them all for needed, and each of their
    calls for as dear as the average one.

    Raises:
        InputError: the options or the store cannot be used.
    """
    once = replace(options, adaptive=False, screen=None, samples=options.samples or 1)
    answer = run.estimate(preferences, once, client=client)
    most: dict[str, Any] = {name: answer[name] for name in _ESTIMATED}
    if options.adaptive:
        extra = most_extra_calls(answer["completions"])
        _add(most, _anew(preferences, once, client), extra / max(1, answer["completions"]))
    if options.screen is not None:
        second = replace(once, models=(options.screen,))
        _add(most, _anew(preferences, second, client), _screened(answer["records"]) / max(1, answer["records"]))
    return {**answer, "at_most": most}


def _anew(preferences: RecordStream, options: ScoreOptions, client: Client | None) -> dict[str, Any]:
    """The estimate of one sample a completion where nothing is known yet."""
    with tempfile.TemporaryDirectory() as folder:
        return run.estimate(preferences, replace(options, samples=1, store=Path(folder, "none")), client=client)


def _add(most: dict[str, Any], one: dict[str, Any], share: float) -> None:
    for name in _ESTIMATED:
        known = most[name] is not None and one[name] is not None
        most[name] = most[name] + round(one[name] * share, 6 if name == "cost_usd" else None) if known else None


def _screened(records: int) -> int:
    """Records that the second judge looks at, at most."""
    return max(1, round(_SCREENED_SHARE * records))


class _Runs:
    """Runs that count together."""

    def __init__(
        self,
        options: ScoreOptions,
        client: Client | None,
        progress: Callable[[Progress], None] | None,
        warn: Callable[[str], None],
    ) -> None:
        self._left = options.max_cost
        self._client, self._progress, self.warn = client, progress, warn
        self._summaries: list[dict[str, Any]] = []

    def score(self, preferences: RecordStream, options: ScoreOptions) -> Scored:
        scored = run.score(
            preferences, replace(options, max_cost=self._left), client=self._client, progress=self._progress, warn=self.warn
        )
        self._summaries.append(scored.summary)
        if self._left is not None:
            self._left = max(0.0, self._left - (scored.summary["cost_usd"] or 0.0))
        return scored

    def finish(self, scored: Scored, second: Scored | None, facts: Mapping[str, Any], output: str | Path | None) -> Scored:
        """The last run's scores, the second judge's beside them, with the counts of all runs."""
        costs = [one["cost_usd"] for one in self._summaries]
        summary = {
            **scored.summary,
            **{name: sum(one[name] for one in self._summaries) for name in _SUMMED},
            "cached": self._summaries[0]["cached"],
            "cost_usd": None if None in costs else round(sum(costs), 6),
            "stopped": next((one["stopped"] for one in self._summaries if one["stopped"]), None),
            "seconds": round(sum(one["seconds"] for one in self._summaries), 3),
            "output": str(output) if output is not None else None,
            **facts,
        }
        stream: RecordStream = scored
        if second is not None:
            summary["model"] = f"{scored.summary['model']}, {second.summary['model']}"
            stream = _beside(scored, second)
        stream.info["score"] = {**stream.info.get("score", {}), **facts, "cost_usd": summary["cost_usd"]}
        path, remove = write_scored(stream.batches(), stream.schema, stream.info, output)
        return Scored(path, summary, remove)


def _rounds(preferences: RecordStream, scored: Scored, runs: _Runs, options: ScoreOptions) -> tuple[Scored, dict[str, Any]]:
    samples = options.samples or 1
    left = most_extra_calls(scored.summary["completions"])
    a_round = max(32, -(-left // _ROUNDS))
    plan: dict[str, tuple[int, ...]] = {}
    rounds = 0
    while left >= 2 and not scored.summary["stopped"]:
        columns = _map_columns(scored)
        ratings, counts, variances = columns.lists
        chosen = next_round(
            columns.ids, columns.p_wrong, ratings, counts, min(a_round, left),
            variances=variances, region_confidence=columns.region_confidence,
        )  # fmt: skip
        if not chosen:
            break
        had = dict(zip(columns.ids, counts, strict=True))
        left -= sum(sum(wanted) - sum(had[record]) for record, wanted in chosen.items())
        plan.update(chosen)
        rounds += 1
        runs.warn(f"round {rounds}: {len(chosen):,} records whose label or region is undecided are judged again")
        scored = runs.score(preferences, replace(options, samples=samples, plan=dict(plan)))
    return scored, {"rounds": rounds, "records_judged_again": len(plan)}


def most_extra_calls(completions: int) -> int:
    """Samples that the rounds may add to so many completions."""
    return round(EXTRA_CALLS * completions)


def next_round(
    ids: Sequence[str],
    p_wrong: _Floats,
    ratings: Sequence[Sequence[float | None] | None],
    counts: Sequence[Sequence[int]],
    calls: int,
    *,
    variances: Sequence[Sequence[float | None] | None] | None = None,
    region_confidence: _Floats | None = None,
    most_samples: int = MOST_SAMPLES,
) -> dict[str, tuple[int, ...]]:
    """How many samples each completion of the chosen records should have after the next round; empty: stop.

    A label is decided by its best and its worst completion: those two are judged once more, the others tell little of whether
    it is wrong. A record without a label is decided by its region, and so by all of its completions.

    A record is worth p (1 - p) v / (n (n + 1)) for each of its calls: p is P(wrong), or that it belongs to its region; n the
    fewest samples of the completions that decide, and v the variance of one sample of them. By so much another sample takes the
    variance of their mean down; and p (1 - p) is how much the entropy of p, a logistic function of that mean, moves with it. So
    what two samples agree on is left alone.

    Args:
        ids: of the records, shape (n_records,).
        p_wrong: shape (n_records,), 0..1; NaN where there is none.
        ratings: the label of each completion; None where there is none.
        counts: samples behind each completion's score.
        calls: at most so many calls in this round.
        variances: of one sample of each completion, squared score points; None where it is not known.
        region_confidence: shape (n_records,), 0..1; NaN where there is none. None: records without P(wrong) are left.
        most_samples: of one completion.
    Returns:
        By record id, the samples wanted of each completion: for `ScoreOptions.plan`.
    """
    labelled = np.isfinite(p_wrong)
    p = np.where(labelled, p_wrong, np.nan if region_confidence is None else region_confidence)
    doubt = np.nan_to_num(p * (1 - p), nan=0.0)
    deciding = [
        _best_and_worst(labels) if known else tuple(range(len(had)))
        for known, labels, had in zip(labelled.tolist(), ratings, counts, strict=True)
    ]
    fewest = np.array([min((had[i] for i in some), default=0) for some, had in zip(deciding, counts, strict=True)], float)
    noise = _noise(deciding, variances, fewest)
    worth = doubt * noise / np.maximum(fewest * (fewest + 1), 1.0)
    worth[(doubt < _SETTLED) | (fewest < 1) | (fewest >= most_samples)] = 0.0
    plan: dict[str, tuple[int, ...]] = {}
    # A stable sort: the same data give the same plan.
    for row in np.argsort(-worth, kind="stable").tolist():
        again = deciding[row]
        if worth[row] <= 0 or len(again) > calls:
            break
        calls -= len(again)
        plan[ids[row]] = tuple(had + (place in again) for place, had in enumerate(counts[row]))
    return plan


def _noise(
    deciding: Sequence[tuple[int, ...]], variances: Sequence[Sequence[float | None] | None] | None, fewest: _Floats
) -> _Floats:
    """The variance of one sample of the completions that decide: their own, drawn towards the usual one; shape (n_records,)."""
    if variances is None:
        return np.ones(len(deciding))
    own = np.full(len(deciding), np.nan)
    for row, (some, told) in enumerate(zip(deciding, variances, strict=True)):
        known = [v for v in (told[place] for place in some if told) if v is not None]
        if known:
            own[row] = sum(known) / len(known)
    if not np.isfinite(own).any():
        return np.ones(len(deciding))
    usual = float(np.nanmean(own)) or 1.0
    weight = np.where(np.isfinite(own), np.maximum(fewest - 1, 0.0), 0.0)
    return np.asarray((_USUAL * usual + weight * np.nan_to_num(own)) / (_USUAL + weight))


def _best_and_worst(labels: Sequence[float | None] | None) -> tuple[int, ...]:
    """Places of the highest and the lowest rating; empty where the label orders nothing."""
    rated = [(value, place) for place, value in enumerate(labels or ()) if value is not None]
    if len(rated) < 2:
        return ()
    best = max(rated, key=lambda one: (one[0], -one[1]))
    worst = min(rated)
    return (best[1], worst[1]) if best[0] > worst[0] else ()


class _MapColumns(NamedTuple):
    """What the map says of all records."""

    ids: list[str]
    #: Shape (n,), NaN where there is none.
    p_wrong: _Floats
    region_confidence: _Floats
    #: Of each record, by completion: ratings, samples, variances of one sample.
    lists: list[list[Any]]


def _map_columns(scored: Scored) -> _MapColumns:
    numbers = build_map(scored).numbers
    # null becomes NaN
    p_wrong, confidence = (np.array(numbers.column(name).to_pylist(), np.float64) for name in ("p_wrong", "region_confidence"))
    lists = [[values or () for values in numbers.column(name).to_pylist()] for name in _NUMBERS]
    ids: list[Any] = numbers.column("id").to_pylist()
    return _MapColumns(ids, p_wrong, confidence, lists)


def _screen(preferences: RecordStream, scored: Scored, runs: _Runs, options: ScoreOptions) -> tuple[Scored | None, int]:
    """The second judge's scores of the least decided records, all their completions: its scale is its own."""
    ids, p_wrong, _, _ = _map_columns(scored)
    if not np.isfinite(p_wrong).any():
        runs.warn("`screen`: there is no P(wrong) to go by, so the second judge was not asked")
        return None, 0
    worth = np.nan_to_num(p_wrong * (1 - p_wrong), nan=0.0)
    open_ = np.flatnonzero(worth >= _DECIDED)
    order = open_[np.argsort(-worth[open_], kind="stable")][: _screened(len(ids))]
    if not len(order):
        return None, 0
    wanted = pa.array([ids[row] for row in order])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in preferences.batches():
            kept = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
            if kept.num_rows:
                yield kept

    some = RecordStream(batches, preferences.schema, preferences.info)
    runs.warn(f"{options.screen} looks at {len(order):,} records that are still undecided")
    own = replace(options, adaptive=False, screen=None, models=(str(options.screen),), samples=options.samples or 1)
    return runs.score(some, own), len(order)


def _beside(scored: Scored, second: Scored) -> RecordStream:
    """The first judge's scores with the second's where it was asked, as those of a panel."""
    looked = {
        record: row
        for batch in second.batches()
        for record, row in zip(batch.column("id").to_pylist(), completions_of(batch), strict=True)
    }
    judges = (scored.summary["model"], second.summary["model"])

    def joined(batch: pa.RecordBatch) -> pa.RecordBatch:
        first = completions_of(batch)
        ids = batch.column("id").to_pylist()
        other = [looked.get(record, [_NOT_ASKED] * len(row)) for record, row in zip(ids, first, strict=True)]
        return scored_batch(batch, judges, [first, other])[0]

    first = next(scored.batches(), None)
    schema = scored.schema if first is None else joined(first.slice(0, 0)).schema
    return RecordStream(lambda: (joined(batch) for batch in scored.batches()), schema, scored.info)


_NOT_ASKED = ScoredCompletion(None, "not asked: the first judge had decided")
