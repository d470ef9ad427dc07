"""Scored records: their columns, and the Parquet file that holds them."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import OutputError
from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.scoring.options import GUIDANCE
from argilla_admap.scoring.scorer import ScoredCompletion
from argilla_admap.scoring.scorers.existing import ExistingScorer
from argilla_admap.tables import RecordStream, read_stream, temporary_folder, write_parquet

__all__ = [
    "ROW",
    "Progress",
    "RunCounts",
    "Scored",
    "completions_of",
    "guided_name",
    "run_summary",
    "scored_batch",
    "scored_schema",
    "second_looks",
    "write_scored",
]

#: In a part of the records, each one's place in the input, from 0.
ROW = "shard_row"
#: What each judge of a panel has beside the combined columns, as ``scores.NAME``; and where a scored completion holds it.
_JUDGE_COLUMNS = {
    "scores": "score",
    "errors": "error",
    "score_variances": "variance",
    "score_counts": "count",
    "samples": "samples",
    "reasons": "reason",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    #: Completions scored or given up.
    done: int
    #: Completions in all; None while they are being counted.
    total: int | None
    unscored: int
    requests: int
    cost_usd: float | None
    #: Since the start.
    seconds: float


@dataclass(slots=True)
class RunCounts:
    """How many there were."""

    records: int = 0
    completions: int = 0
    scored: int = 0
    #: Reasons of unscored completions; at most 1,000 different ones are told apart.
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def unscored(self) -> int:
        """Completions without a score."""
        return self.completions - self.scored

    def add(self, records: int, results: Sequence[Sequence[ScoredCompletion]]) -> None:
        """Counts a batch in."""
        self.records += records
        for row in results:
            self.completions += len(row)
            for one in row:
                if one.score is not None:
                    self.scored += 1
                else:
                    reason = (one.error or "no reason given")[:200]
                    self.reasons[reason if reason in self.reasons or len(self.reasons) < 1000 else "other reasons"] += 1


def run_summary(
    count: RunCounts, totals: Mapping[str, Any], cached: int, judges: Sequence[str], seconds: float, output: str | None
) -> dict[str, Any]:
    """The JSON answer of ``score``.

    Args:
        totals: requests, failed, input_tokens, output_tokens, cost_usd (None: unknown) and stopped, of the run.
        cached: judgements that were known before.
    """
    cost = totals["cost_usd"]
    return {
        "records": count.records,
        "completions": count.completions,
        "scored": count.scored,
        "unscored": count.unscored,
        "requests": totals["requests"],
        "cached": cached,
        "input_tokens": totals["input_tokens"],
        "output_tokens": totals["output_tokens"],
        "cost_usd": None if cost is None else round(cost, 6),
        "model": ", ".join(judges),
        "output": output,
        "retried": totals["failed"],
        "stopped": totals["stopped"],
        "reasons": dict(count.reasons.most_common(20)),
        "seconds": round(seconds, 3),
    }


def guided_name(judge: str, guide: str) -> str:
    """The name under which a judge's looks beside a guide stand next to its plain ones."""
    return f"{judge} + {guide}"


def second_looks(judges: Iterable[str]) -> set[str]:
    """Of the names of a file's judges those that stand for guided looks of another one of them: they are no further judges."""
    names = set(judges)
    return {guided_name(name, guide) for name in names for guide in GUIDANCE} & names


def scored_schema(judges: Sequence[str]) -> pa.Schema:
    """The schema of the file: `SCORED_SCHEMA`, and for a panel the columns of each judge beside."""
    if len(judges) < 2:
        return SCORED_SCHEMA
    fields = list(SCORED_SCHEMA)
    for judge in judges:
        fields += [SCORED_SCHEMA.field(name).with_name(f"{name}.{judge}") for name in _JUDGE_COLUMNS]
    return pa.schema(fields)


def scored_batch(
    batch: pa.RecordBatch,
    judges: Sequence[str],
    results: Sequence[Sequence[Sequence[ScoredCompletion]]],
    weights: Sequence[float] | None = None,
) -> tuple[pa.RecordBatch, list[Sequence[ScoredCompletion]]]:
    """A batch of `scored_schema`, and the results that its main columns hold.

    Args:
        batch: of `PREFERENCE_SCHEMA`.
        judges: the scorers' names.
        results: of each scorer, for each record, a scored completion for each completion.
        weights: of each scorer in the main columns; None: all alike.
    """
    rows: list[Sequence[ScoredCompletion]] = list(results[0])
    if len(results) > 1:
        rows = [_panel_mean(judges, row, weights or [1.0] * len(judges)) for row in zip(*results, strict=True)]
    given = {name: batch.column(name) for name in batch.schema.names}
    columns = {**given, **_columns(rows)}
    if "reasons" in given and given["reasons"].null_count < batch.num_rows:
        columns["reasons"] = _reasons(rows, given["reasons"])
    columns["judges"] = _judges(batch, judges)
    if len(results) > 1:
        for judge, own in zip(judges, results, strict=True):
            columns.update({f"{name}.{judge}": column for name, column in _columns(own).items()})
    schema = scored_schema(judges)
    if ROW in given:
        schema = schema.append(batch.schema.field(ROW))
    arrays = [columns[f.name] if f.name in columns else pa.nulls(batch.num_rows, f.type) for f in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema), rows


def _judges(batch: pa.RecordBatch, judges: Sequence[str]) -> pa.Array[Any]:
    """Who scored each record: the judges; of scores that the data carry, whom the data name."""
    names = pa.array([", ".join(judges)] * batch.num_rows, pa.string())
    if list(judges) != [ExistingScorer.name]:
        return names
    told: Any = batch.column("judge")
    return pc.coalesce(told, names)


def completions_of(batch: pa.RecordBatch) -> list[list[ScoredCompletion]]:
    """The scored completions that the main columns of a batch of `scored_schema` hold."""
    columns: list[list[Any]] = [batch.column(name).to_pylist() for name in _JUDGE_COLUMNS]
    sizes: list[Any] = pc.list_value_length(batch.column("completions")).to_pylist()
    return [
        [
            ScoredCompletion(score, error, variance, count or 0, tuple(samples or ()), reason)
            for score, error, variance, count, samples, reason in zip(
                *(values if values is not None else [None] * size for values in row), strict=True
            )
        ]
        for size, *row in zip(sizes, *columns, strict=True)
    ]


def _columns(rows: Sequence[Sequence[ScoredCompletion]]) -> dict[str, pa.Array[Any]]:
    return {
        name: pa.array([[getattr(one, attribute) for one in row] for row in rows], SCORED_SCHEMA.field(name).type)
        for name, attribute in _JUDGE_COLUMNS.items()
    }


def _reasons(rows: Sequence[Sequence[ScoredCompletion]], given: pa.Array[Any]) -> pa.Array[Any]:
    """The judge's reasons; where it gave none, those that the data carry."""
    kept = [
        [one.reason if one.reason is not None else old for one, old in zip(row, olds or [None] * len(row), strict=True)]
        for row, olds in zip(rows, given.to_pylist(), strict=True)
    ]
    return pa.array(kept, pa.list_(pa.string()))


def _panel_mean(
    judges: Sequence[str], row: Sequence[Sequence[ScoredCompletion]], weights: Sequence[float]
) -> list[ScoredCompletion]:
    """A panel's completions: the mean of the judges that scored, each judge one voice however many samples it gave."""
    combined = []
    for voices in zip(*row, strict=True):
        said = [(v, v.score, weight) for v, weight in zip(voices, weights, strict=True) if v.score is not None]
        reasons = [f"{judge}: {v.reason}" for judge, v in zip(judges, voices, strict=True) if v.reason]
        if not said:
            error = "; ".join(f"{judge}: {v.error}" for judge, v in zip(judges, voices, strict=True))
            combined.append(ScoredCompletion(None, error, reason="\n".join(reasons) or None))
            continue
        count = sum(v.count for v in voices)
        # So that variance / count is the variance of this mean, as it is for one judge.
        # One sample's variance is the spread of its grades, not an error of its mean.
        total = sum(weight for _, _, weight in said)
        mean = sum(score * weight for _, score, weight in said) / total
        own = [v.variance / v.count * weight**2 for v, _, weight in said if v.variance is not None and v.count > 1]
        variance = sum(own) / total**2 * count if len(own) == len(said) else None
        samples = tuple(s for v in voices for s in v.samples)
        combined.append(ScoredCompletion(mean, None, variance, count, samples, "\n".join(reasons) or None))
    return combined


class Scored(RecordStream):
    """Scored records, in a Parquet file that each pass reads again. `summary` holds the counts and the cost."""

    def __init__(self, path: Path, summary: dict[str, Any], remove: Callable[[], None] | None = None) -> None:
        stream = read_stream(path)
        super().__init__(stream.batches, stream.schema, stream.info)
        self.summary = summary
        self.path = path
        if remove is not None:
            self._remove = weakref.finalize(self, remove)

    def __len__(self) -> int:
        return int(self.summary["records"])

    def __repr__(self) -> str:
        told = self.summary
        cost = "unknown" if told["cost_usd"] is None else f"${told['cost_usd']:,.2f}"
        counts = f"{told['scored']:,} completions scored, {told['unscored']:,} not"
        return f"<Scored: {told['records']:,} records, {counts}; cost {cost}>"


def write_scored(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    info: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    output: str | Path | None,
) -> tuple[Path, Callable[[], None] | None]:
    """Writes scored batches to ``output``, or to a private temporary folder; its path, and what removes the folder."""
    with ExitStack() as undo:
        if output is not None:
            path = Path(output)
        else:
            path = Path(undo.enter_context(temporary_folder("admap-scored")), "scored.parquet")
        try:
            write_parquet(path, batches, schema, info)
        except OutputError as exc:
            hint = f"{exc.hint}, and run the same command again: what was paid for is in the judgement store"
            raise OutputError(exc.message, hint=hint) from exc
        remove = undo.pop_all().close
    return path, remove if output is None else None
