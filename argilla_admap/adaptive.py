"""Looks where they count: score all once, then again only where a label is undecided, which the map tells.

Judging every completion alike spends most of the calls on labels that one look has settled. Here each round looks again at
what decides the records that are the least decided: the label's best and worst completion, or all of a record without a label,
whose region is in doubt. A look is another sample, the same judge beside a guide that it writes first, or a second judge:
whichever tells the most for its price. Of several judges the first scores everything, and the others are such second judges.
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
from argilla_admap.scoring.client.budget import find_price
from argilla_admap.scoring.judging.tokens import OUTPUT_PRICE
from argilla_admap.scoring.output import Scored, completions_of, guided_name, scored_batch, write_scored
from argilla_admap.scoring.scorer import ScoredCompletion
from argilla_admap.tables import RecordStream

if TYPE_CHECKING:
    from argilla_admap.scoring.client.transport import Client
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.run import Progress

__all__ = ["EXTRA_CALLS", "SAMPLE", "Look", "choose_looks", "estimate", "most_extra_calls", "next_round", "score_adaptively"]

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
#: What a guided look tells, in samples of the same judge, measured on LLMBar (`tests.bench.adaptive`).
GUIDE_WORTH = {"reference": 3.0, "criteria": 0.5, "both": 3.0}
#: The same of a second judge, measured on LLMBar and PandaLM (`tests.bench.adaptive`, as `second_judge`): of one that is about
#: as good as the first, a weaker and a stronger one.
JUDGE_WORTH = {"alike": 1.0, "weaker": 0.5, "stronger": 9.0}
#: A judge is taken for the stronger one where its listed price is so many times the other's; nothing else is known of it.
_PRICE_GAP = 3.0
#: The names of looks in the file of scores; a second judge's is followed by its model.
SAMPLE, GUIDE, JUDGE = "sample", "guide", "judge"
#: Scorers that ask a model whose grades count.
_ASKING = ("judge", "reference")
#: Squared points by which a judge on the scale of 1 to 5 errs however often it is asked.
_SYSTEMATIC = 0.25
#: Records by which what a look costs is told; and measured noises after which the spread of single looks is not gone by.
_PRICED, _MEASURED = 256, 8
#: Completions scored by both ways, after which the level of the second is drawn to that of the first.
_LEVELLED = 20
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
            f"{options.screen}: goes with one judge, not with {len(options.models)}",
            option="screen",
            hint="name one `model`; or all of them with `model` and samples auto, where all but the first are second judges",
        )
    runs = _Runs(options, client, progress, warn or (lambda _: None))
    plain = _first_look(options)
    if options.adaptive and (seconds := _second_judges(options)):
        runs.warn(
            f"{plain.model} scores everything; {' and '.join(seconds)} only what is undecided, where it pays; all score "
            "everything where `samples` is a number"
        )
    scored = runs.score(preferences, plain)
    facts: dict[str, Any] = {}
    if options.adaptive:
        scored, voices, facts["adaptive"] = _rounds(preferences, scored, runs, options, plain)
    else:
        voices = [] if runs.stopped else _screen(preferences, scored, runs, options)
    for voice in voices:
        if voice.look.startswith(JUDGE) and options.screen is not None:
            facts["screen"] = {"model": options.screen, "records": voice.records}
    return runs.finish(scored, voices, facts, output)


def estimate(preferences: RecordStream, options: ScoreOptions, *, client: Client | None = None) -> dict[str, Any]:
    """As `run.estimate`, of the first round; what all rounds and the second judge may come to is in `at_most`.

    How many rounds there are, and where, depends on the judge's answers: `at_most` takes them all for needed, and each of their
    calls for as dear as the average one.

    Raises:
        InputError: the options or the store cannot be used.
    """
    once = _first_look(options)
    answer = run.estimate(preferences, once, client=client)
    most: dict[str, Any] = {name: answer[name] for name in _ESTIMATED}
    if options.adaptive:
        extra = most_extra_calls(answer["completions"])
        _add(most, _anew(preferences, once, client), extra / max(1, answer["completions"]))
    for judge in _second_judges(options):
        second = replace(once, models=(judge,))
        _add(most, _anew(preferences, second, client), _screened(answer["records"]) / max(1, answer["records"]))
    return {**answer, "at_most": most}


def _first_look(options: ScoreOptions) -> ScoreOptions:
    """How every completion is scored first: where looks are chosen, by one judge and plainly, since a guide is to pay."""
    plain = replace(options, adaptive=False, screen=None, samples=options.samples or 1)
    return replace(plain, guide="none", models=options.models[:1]) if options.adaptive else plain


def _second_judges(options: ScoreOptions) -> tuple[str, ...]:
    """The judges that look only where it pays."""
    if options.screen is not None:
        return (options.screen,)
    # Other scorers ask no model, or have no use for a second one.
    return options.models[1:] if options.adaptive and options.scorer in _ASKING else ()


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
        self.client, self._progress, self.warn = client, progress, warn
        self._summaries: list[dict[str, Any]] = []

    def score(self, preferences: RecordStream, options: ScoreOptions) -> Scored:
        scored = run.score(
            preferences, replace(options, max_cost=self._left), client=self.client, progress=self._progress, warn=self.warn
        )
        self._summaries.append(scored.summary)
        if self._left is not None:
            self._left = max(0.0, self._left - (scored.summary["cost_usd"] or 0.0))
        return scored

    @property
    def stopped(self) -> bool:
        """Whether nothing more may be asked."""
        return any(one["stopped"] for one in self._summaries)

    def finish(self, scored: Scored, voices: Sequence[_Voice], facts: Mapping[str, Any], output: str | Path | None) -> Scored:
        """The last run's scores, those of other looks beside them, with the counts of all runs."""
        costs = [one["cost_usd"] for one in self._summaries]
        summary = {
            **scored.summary,
            **{name: sum(one[name] for one in self._summaries) for name in _SUMMED},
            "cached": self._summaries[0]["cached"],
            "cost_usd": None if None in costs else round(sum(costs), 6),
            "stopped": next((one["stopped"] for one in self._summaries if one["stopped"]), None),
            "seconds": round(sum(one["seconds"] for one in self._summaries), 3),
            "output": str(output) if output is not None else None,
            "model": ", ".join([scored.summary["model"], *(voice.name for voice in voices)]),
            **facts,
        }
        stream = _beside(scored, voices)
        stream.info["score"] = {**stream.info.get("score", {}), **facts, "cost_usd": summary["cost_usd"]}
        path, remove = write_scored(stream.batches(), stream.schema, stream.info, output)
        return Scored(path, summary, remove)


class Look(NamedTuple):
    """A way to look at a record once more."""

    name: str
    #: What it tells, in samples of the first judge.
    worth: float
    #: Of one completion, in the unit of the budget.
    cost: float
    #: It takes all completions of a record: it has a scale of its own, or grades them in one call.
    every: bool = False
    #: Who looks.
    model: str = ""


class _Voice(NamedTuple):
    """What another look than a sample gave."""

    look: str
    #: As the judges' names stand in the file of scores.
    name: str
    scored: Scored
    #: Beside the first judge's mean, which has 1.
    weight: float
    records: int


def _rounds(
    preferences: RecordStream, scored: Scored, runs: _Runs, options: ScoreOptions, plain: ScoreOptions
) -> tuple[Scored, list[_Voice], dict[str, Any]]:
    completions, records = scored.summary["completions"], scored.summary["records"]
    looks, budget = _looks(preferences, options, plain, runs.client, completions, records)
    a_round = max(32 * looks[0].cost, budget / _ROUNDS, *(8 * look.cost * completions / max(1, records) for look in looks))
    plan: dict[str, tuple[int, ...]] = {}
    taken: dict[str, list[str]] = {look.name: [] for look in looks if look.name != SAMPLE}
    voices: dict[str, _Voice] = {}
    rounds = 0
    while not runs.stopped:
        columns = _map_columns(scored, list(voices.values()))
        ratings, counts, variances = columns.lists
        chosen = choose_looks(
            columns.ids, columns.p_wrong, ratings, counts, min(a_round, budget), looks,
            variances=variances, region_confidence=columns.region_confidence, taken=taken,
        )  # fmt: skip
        if not any(chosen.values()):
            break
        rounds += 1
        had = dict(zip(columns.ids, counts, strict=True))
        for look in looks:
            some = chosen[look.name]
            budget -= look.cost * sum(sum(wanted) for wanted in some.values())
            if look.name != SAMPLE and some:
                taken[look.name] += some
                voices[look.name] = _look_again(preferences, scored, look, taken[look.name], runs, options)
            elif some:
                plan.update({record: tuple(map(sum, zip(had[record], more, strict=True))) for record, more in some.items()})
                runs.warn(f"round {rounds}: {len(some):,} records whose label or region is undecided are judged again")
                scored = runs.score(preferences, replace(plain, plan=dict(plan)))
    again = {*plan, *(record for some in taken.values() for record in some)}
    took = {SAMPLE: len(plan), **{name: len(some) for name, some in taken.items()}}
    return scored, list(voices.values()), {"rounds": rounds, "records_judged_again": len(again), "looks": took}


def most_extra_calls(completions: int) -> int:
    """Samples that the rounds may add to so many completions."""
    return round(EXTRA_CALLS * completions)


def _looks(
    preferences: RecordStream, options: ScoreOptions, plain: ScoreOptions, client: Client | None, completions: int, records: int
) -> tuple[list[Look], float]:
    """The ways to look again, what each costs a completion, and what all rounds may cost; in dollars, or in tokens.

    What they cost is estimated from the first records alone, and not from what was seen: a resume must choose the same.
    """
    ways = {SAMPLE: plain}
    if options.guide != "none":
        ways[GUIDE] = replace(plain, guide=options.guide)
    seconds = _second_judges(options)
    ways |= {f"{JUDGE} {model}": replace(plain, models=(model,)) for model in seconds}
    worth = {SAMPLE: 1.0, GUIDE: GUIDE_WORTH.get(options.guide, 0.0)}
    worth |= {f"{JUDGE} {model}": JUDGE_WORTH[how_good(plain.model, model, options)] for model in seconds}
    told = {
        name: _anew(preferences, replace(way, limit=min(way.limit or _PRICED, _PRICED)), client) for name, way in ways.items()
    }
    priced = all(one["cost_usd"] for one in told.values())
    looks = []
    for name, one in told.items():
        cost = one["cost_usd"] if priced else one["input_tokens"] + OUTPUT_PRICE * one["output_tokens"]
        # Where nothing is asked for, such as scores of the data, there is nothing to choose by.
        every, model = name != SAMPLE or options.together, ways[name].model
        looks.append(Look(name, worth[name], cost / max(1, one["completions"]) or 1.0, every, model))
    budget = most_extra_calls(completions) * looks[0].cost
    budget += sum(_screened(records) * look.cost * completions / max(1, records) for look in looks if look.model in seconds)
    return looks, budget


def how_good(first: str, second: str, options: ScoreOptions) -> str:
    """Whether a second judge is ``stronger`` than the first, ``weaker`` or ``alike``, as far as listed prices tell."""
    prices = [find_price(model, options.price, options.service_tier) for model in (first, second)]
    before, after = (price.input if price is not None else 0.0 for price in prices)
    if not before or not after:
        return "alike"
    return "stronger" if after >= _PRICE_GAP * before else "weaker" if before >= _PRICE_GAP * after else "alike"


def choose_looks(
    ids: Sequence[str],
    p_wrong: _Floats,
    ratings: Sequence[Sequence[float | None] | None],
    counts: Sequence[Sequence[int]],
    budget: float,
    looks: Sequence[Look] = (Look(SAMPLE, 1.0, 1.0),),
    *,
    variances: Sequence[Sequence[float | None] | None] | None = None,
    region_confidence: _Floats | None = None,
    taken: Mapping[str, Sequence[str]] | None = None,
    most_samples: int = MOST_SAMPLES,
    systematic: float = _SYSTEMATIC,
) -> dict[str, dict[str, tuple[int, ...]]]:
    """Which records to look at in the next round, and how; all empty: stop.

    A label is decided by its best and its worst completion: a sample is of those two, the others tell little of whether it is
    wrong. A record without a label is decided by its region, and so by all of its completions.

    A look is worth p (1 - p) (e - e') for each completion: p is P(wrong), or that the record belongs to its region; e and e'
    are the variances of the judge's error before and after it. So e - e' is how far the error goes down, and p (1 - p) how
    much the entropy of p, a logistic function of the scores, moves with it. With n samples of variance v the error is
    v / n + b, where b is systematic: no further sample takes it down. Another look errs by (v + b) / worth, and the two are
    joined by their precisions. What two samples agree on is left alone. Of each record the look with the most worth for its
    cost counts.

    Args:
        ids: of the records, shape (n_records,).
        p_wrong: shape (n_records,), 0..1; NaN where there is none.
        ratings: the label of each completion; None where there is none.
        counts: the first judge's samples of each completion.
        budget: of this round, in the unit of the looks' costs.
        looks: to choose from; that named `SAMPLE` may be taken again, the others once.
        variances: of one sample of each completion, squared score points; None where it is not known.
        region_confidence: shape (n_records,), 0..1; NaN where there is none. None: records without P(wrong) are left.
        taken: by look, the records that had it.
        most_samples: of one completion.
        systematic: b, squared score points.
    Returns:
        By look and record id, how often each completion is to be looked at: 0 or 1.
    """
    labelled = np.isfinite(p_wrong)
    p = np.where(labelled, p_wrong, np.nan if region_confidence is None else region_confidence)
    doubt = np.nan_to_num(p * (1 - p), nan=0.0)
    deciding = [
        _best_and_worst(labels) if known else tuple(range(len(had)))
        for known, labels, had in zip(labelled.tolist(), ratings, counts, strict=True)
    ]
    fewest = np.array([min((had[i] for i in some), default=0) for some, had in zip(deciding, counts, strict=True)], float)
    decide, every = np.array([len(some) for some in deciding], float), np.array([len(had) for had in counts], float)
    noise, n = _noise(deciding, variances, fewest), np.maximum(fewest, 1.0)
    took = {look.name: np.isin(np.array(ids), list((taken or {}).get(look.name, ()))) for look in looks}
    seen = sum((took[look.name] * look.worth for look in looks), np.zeros(len(ids))) / (noise + systematic)
    error = 1 / (1 / (noise / n + systematic) + seen)
    rates = np.zeros((len(looks), len(ids)))
    for place, look in enumerate(looks):
        if look.name == SAMPLE:
            able, after = fewest < most_samples, 1 / (1 / (noise / (n + 1) + systematic) + seen)
        else:
            able, after = ~took[look.name], 1 / (1 / error + look.worth / (noise + systematic))
        places = np.maximum(every if look.every else decide, 1.0)
        able = able & (doubt >= _SETTLED) & (fewest >= 1)
        rates[place] = np.where(able, doubt * (error - after) * decide / places / look.cost, 0.0)
    best, top = rates.argmax(axis=0), rates.max(axis=0)
    chosen: dict[str, dict[str, tuple[int, ...]]] = {look.name: {} for look in looks}
    # A stable sort: the same data give the same plan.
    for row in np.argsort(-top, kind="stable").tolist():
        look = looks[best[row]]
        again = range(len(counts[row])) if look.every else deciding[row]
        cost = len(again) * look.cost
        if top[row] <= 0 or cost > budget * (1 + 1e-9):
            break
        budget -= cost
        chosen[look.name][ids[row]] = tuple(int(place in again) for place in range(len(counts[row])))
    return chosen


def next_round(
    ids: Sequence[str],
    p_wrong: _Floats,
    ratings: Sequence[Sequence[float | None] | None],
    counts: Sequence[Sequence[int]],
    calls: int,
    **more: Any,
) -> dict[str, tuple[int, ...]]:
    """`choose_looks` where there are samples only, a call each: how many each completion of the chosen records should have."""
    had = dict(zip(ids, counts, strict=True))
    chosen = choose_looks(ids, p_wrong, ratings, counts, calls, **more)[SAMPLE]
    return {record: tuple(map(sum, zip(had[record], one, strict=True))) for record, one in chosen.items()}


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
    # One sample tells its own spread; several how far the next one would be from them.
    measured = np.isfinite(own) & (fewest > 1)
    usual = float(np.mean(own[measured if measured.sum() >= _MEASURED else np.isfinite(own)])) or 1.0
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


def _map_columns(scored: Scored, voices: Sequence[_Voice] = ()) -> _MapColumns:
    numbers = build_map(_beside(scored, voices)).numbers
    # null becomes NaN
    p_wrong, confidence = (np.array(numbers.column(name).to_pylist(), np.float64) for name in ("p_wrong", "region_confidence"))
    ids: list[Any] = numbers.column("id").to_pylist()
    # The first judge's own, whatever stands beside it.
    own = scored.table() if voices else numbers
    lists = [[values or () for values in own.column(name).to_pylist()] for name in _NUMBERS]
    return _MapColumns(ids, p_wrong, confidence, lists)


def _screen(preferences: RecordStream, scored: Scored, runs: _Runs, options: ScoreOptions) -> list[_Voice]:
    """The second judge's scores of the least decided records, all their completions: its scale is its own."""
    columns = _map_columns(scored)
    if not np.isfinite(columns.p_wrong).any():
        runs.warn("`screen`: there is no P(wrong) to go by, so the second judge was not asked")
        return []
    worth = np.nan_to_num(columns.p_wrong * (1 - columns.p_wrong), nan=0.0)
    open_ = np.flatnonzero(worth >= _DECIDED)
    order = open_[np.argsort(-worth[open_], kind="stable")][: _screened(len(worth))]
    look = Look(f"{JUDGE} {options.screen}", 1.0, 1.0, every=True, model=str(options.screen))
    some = [columns.ids[row] for row in order]
    return [_look_again(preferences, scored, look, some, runs, options)] if some else []


def _look_again(
    preferences: RecordStream, scored: Scored, look: Look, records: Sequence[str], runs: _Runs, options: ScoreOptions
) -> _Voice:
    """The scores that a guided look or a second judge gives to these records."""
    wanted = pa.array(list(records), pa.string())

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in preferences.batches():
            kept = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
            if kept.num_rows:
                yield kept

    some = RecordStream(batches, preferences.schema, preferences.info)
    own = replace(options, adaptive=False, screen=None, limit=None, samples=options.samples or 1)
    if look.name == GUIDE:
        name, weight = guided_name(scored.summary["model"], options.guide), look.worth
        own = replace(own, models=options.models[:1])
        runs.warn(f"{len(records):,} undecided records are looked at with a guide ({options.guide})")
    else:
        name, weight = look.model, 1.0
        own = replace(own, models=(name,), guide="none" if options.adaptive else options.guide)
        runs.warn(f"{name} looks at {len(records):,} records that are still undecided")
    return _Voice(look.name, name, runs.score(some, own), weight, len(records))


def _beside(scored: Scored, voices: Sequence[_Voice]) -> RecordStream:
    """The first judge's scores with those of other looks where they were taken, as those of a panel."""
    if not voices:
        return scored
    looked = [_looked(scored, voice) for voice in voices]
    judges = (scored.summary["model"], *(voice.name for voice in voices))
    weights = (1.0, *(voice.weight for voice in voices))

    def joined(batch: pa.RecordBatch) -> pa.RecordBatch:
        first = completions_of(batch)
        ids: list[Any] = batch.column("id").to_pylist()
        others = [
            [by_id.get(record, [_NOT_ASKED] * len(row)) for record, row in zip(ids, first, strict=True)] for by_id in looked
        ]
        return scored_batch(batch, judges, [first, *others], weights)[0]

    first = next(scored.batches(), None)
    schema = scored.schema if first is None else joined(first.slice(0, 0)).schema
    return RecordStream(lambda: (joined(batch) for batch in scored.batches()), schema, scored.info)


def _looked(scored: Scored, voice: _Voice) -> dict[str, list[ScoredCompletion]]:
    """By record what a look gave; the level of a guided one is drawn to that of the same judge without the guide."""
    by_id = _by_record(voice.scored)
    differences = [
        before.score - after.score
        for record, row in _by_record(scored).items()
        for before, after in zip(row, by_id.get(record, row), strict=True)
        if record in by_id and before.score is not None and after.score is not None
    ]
    if voice.look == GUIDE and len(differences) >= _LEVELLED:
        level = sum(differences) / len(differences)
        for row in by_id.values():
            row[:] = [one if one.score is None else replace(one, score=one.score + level) for one in row]
    return by_id


def _by_record(scored: Scored) -> dict[str, list[ScoredCompletion]]:
    found: dict[str, list[ScoredCompletion]] = {}
    for batch in scored.batches():
        ids: list[Any] = batch.column("id").to_pylist()
        found.update(zip(ids, completions_of(batch), strict=True))
    return found


_NOT_ASKED = ScoredCompletion(None, "not asked: the label was decided without")
