"""DataMap: the result that the rooms above pass around; made by `build_map`, kept as MAP.parquet."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap import mapping
from argilla_admap.errors import InputError
from argilla_admap.mapping.analysis.label_answers import LabelAnswer, match_answers
from argilla_admap.mapping.checks.check import CheckInput, run_checks
from argilla_admap.mapping.data.arrays import Floats, Ints, coded_column, codes_of, double_column, names_column
from argilla_admap.mapping.data.observations import Observations, observe, scores_of_samples
from argilla_admap.mapping.regions.coordinates import (
    ASSUMED_NOISE,
    REGIONS,
    GivenThresholds,
    Thresholds,
    compute_coordinates,
    region_confidence,
    split_regions,
    with_noise,
)
from argilla_admap.mapping.regions.record_flags import FLAGS, flag_records
from argilla_admap.mapping.regions.sources import (
    HIGH_ASSOCIATION,
    cramers_v,
    noise_by_source,
    source_warning,
    sources_by_region,
    worse_sources,
)
from argilla_admap.mapping.wrong.contested import agreement, contested
from argilla_admap.mapping.wrong.diagnosis import Diagnosis, diagnose, labels_and_strengths
from argilla_admap.mapping.wrong.learning import Answers
from argilla_admap.mapping.wrong.reasons import Evidence
from argilla_admap.records import MAP_FIELDS, SCORED_SCHEMA
from argilla_admap.stored import read_stored, stored_scores
from argilla_admap.tables import RecordStream, read_stream, write_parquet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TEXT_COLUMNS", "DataMap", "as_scored", "build_map"]

#: Columns that hold long text: streamed through, never held.
TEXT_COLUMNS = frozenset({"prompt", "turns", "completions", "reasons", "errors", "reference", "samples", "evidence"})

#: Columns without which a file is no map.
_OF_A_MAP = ("id", "prompt", "completions", "ratings", "scores", *(field.name for field in MAP_FIELDS))

#: Keys of `DataMap.info` that are the map's own.
MAP_INFO = frozenset(
    {"thresholds", "strata", "stratify", "summary", "flag_rules", "fit", "variance", "judge", "judge_noise"}
    | {"prompt_version", "sources_by_region"}
)

#: P(wrong) without the record's own answer, in maps that learned from answers: what estimates of the errors left rest on.
UNREAD = pa.field("p_wrong_unread", pa.float64())

#: What a map adds beside `MAP_FIELDS`.
EXTRA_FIELDS: list[pa.Field[Any]] = [
    pa.field("variance_total", pa.float64()),  # population variance of the scores: the paper's, judge's noise and all
    pa.field("variance_judge", pa.float64()),  # what the judge's noise adds to it; 0 where it is not known
    pa.field("variance_between", pa.float64()),  # the first less the second, never below 0
    pa.field("cosine", pa.float64()),  # the paper's agreement
    pa.field("issues", pa.list_(pa.string())),  # what the label-free checks found
    pa.field("evidence", pa.list_(pa.string())),  # the reasons for P(wrong), in words
]


_TOTAL = "the population variance of the scores"
_BETWEEN = (
    "between completions: the population variance of the scores (variance_total) less the judge's own (variance_judge), which "
    "is known where completions have several samples"
)


class DataMap:
    """Records on the map.

    Attributes:
        numbers: every column of the map but its long texts, as one Arrow table; a row a record.
        info: thresholds, judge, counts and fitted constants, as JSON values (the file's metadata).
        schema: of `batches()`.
    """

    def __init__(
        self,
        source: RecordStream,
        numbers: pa.Table,
        added: pa.Table | None,
        info: Mapping[str, Any],
        evidence: Callable[[int, int], pa.Array[Any]] | None = None,
    ) -> None:
        """
        Args:
            source: the records with their texts.
            numbers: as above.
            added: the map's columns, which `source` does not have; None when it has.
            evidence: renders the column of that name for the records start..stop; None when `source` has it.
        """
        self._source, self._added, self._evidence = source, added, evidence
        self.numbers = numbers
        self.info: dict[str, Any] = dict(info)
        ours = [] if added is None else [*added.schema, EXTRA_FIELDS[-1]]
        self.schema = pa.schema([*source.schema, *ours])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The map as a DataFrame: a row a record, the long texts left out; lists are NumPy arrays."""
        return self.numbers.to_pandas()

    @property
    def thresholds(self) -> Thresholds | None:
        """The two values that split the map; None when no record could be placed."""
        stored = self.info.get("thresholds")
        return Thresholds.from_json(stored) if stored else None

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, thresholds, noise rate and flags: what `admap map` prints as JSON."""
        return dict(self.info["summary"])

    def __len__(self) -> int:
        return self.numbers.num_rows

    def __repr__(self) -> str:
        summary = self.info["summary"]
        rate = summary.get("noise_rate")
        wrong = "" if rate is None else f", about {rate:.1%} of the labels wrong"
        return f"<DataMap of {len(self):,} records, {summary['mapped']:,} on the map{wrong}; judge: {self.info.get('judge')}>"

    def _repr_html_(self) -> str:
        """The picture, where a notebook shows a map; without matplotlib or a place on the map, its words."""
        words = f"<p>{html.escape(repr(self))}</p>"
        try:
            from matplotlib.figure import Figure
        except ImportError:
            return words
        # Not pyplot's: a notebook would show that figure a second time, and keep it.
        figure = Figure(figsize=(7, 5))
        try:
            self.plot(figure.subplots())
        except InputError as exc:
            return f"{words}<p>{html.escape(str(exc))}</p>"
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=90, bbox_inches="tight")
        data = base64.b64encode(picture.getvalue()).decode()
        return f'{words}<img alt="The map: mean score against variance of scores" src="data:image/png;base64,{data}">'

    def head(self, n: int = 5) -> pd.DataFrame:
        """The first `n` records with their texts, as a DataFrame."""
        return next(self.batches()).slice(0, n).to_pandas() if len(self) else self.frame

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All columns, texts too, streamed from the source."""
        added, start = self._added, 0
        for batch in self._source.batches():
            if added is None or self._evidence is None:
                yield batch
                continue
            stop = start + batch.num_rows
            ours = added.slice(start, batch.num_rows).combine_chunks().to_batches(max_chunksize=max(batch.num_rows, 1))
            columns = [*batch.columns, *(ours[0].columns if ours else [])]
            if ours:
                yield pa.RecordBatch.from_arrays([*columns, self._evidence(start, stop)], schema=self.schema)
            start = stop

    def stream(self) -> RecordStream:
        """The map as a stream of record batches."""
        return RecordStream(self.batches, self.schema, self.info)

    def plot(self, ax: Any = None) -> Any:
        """Draws the map into matplotlib's `ax`, or into a new figure, and returns the axes.

        Raises:
            AdmapError: matplotlib is not installed; the message says how to get it.
            InputError: no record has a place on the map.
        """
        return mapping.draw(self, ax)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes MAP.parquet, whole or not at all.

        Raises:
            InputError: the folder cannot be written to.
        """
        write_parquet(path, self.batches(), self.schema, self.info)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> DataMap:
        """The map in a file that `write` made. The whole file is read: a bad row is known before anything is done.

        Raises:
            InputError: absent, not Parquet, not a map, or with a row that cannot be used.
        """
        opened = read_stream(path)
        missing = [name for name in _OF_A_MAP if name not in opened.schema.names]
        if missing or not isinstance(opened.info.get("summary"), dict):
            lacks = f"no column {missing[0]!r}" if missing else "no summary in its metadata"
            raise InputError(f"{path}: not a map ({lacks})", hint="make one with `admap map`")
        source = read_stored(path, opened)
        light = [field for field in source.schema if field.name not in TEXT_COLUMNS]
        kept = [batch.select([field.name for field in light]) for batch in source.batches()]
        return cls(source, pa.Table.from_batches(kept, schema=pa.schema(light)), None, source.info)


def build_map(
    scored: Any,
    *,
    stratify: str | None = None,
    thresholds: Thresholds | Mapping[str, Any] | DataMap | None = None,
    between: bool = False,
    answers: Mapping[str, LabelAnswer] | None = None,
) -> DataMap:
    """Places each record on the map and says how probably its label is wrong.

    Reads the stream once, and again when the map is written. Records without ratings get their place and region, records
    without scores what can be found without a judge; what is unknown is null.

    Args:
        scored: a stream of `SCORED_SCHEMA`; of `PREFERENCE_SCHEMA` too. Or the file that `score` wrote, or what `read` takes.
        stratify: a column; the regions are then split within each of its values.
        thresholds: two values, or a map whose values to use, instead of those of these records.
        between: take the judge's own noise, known where completions have several samples, off the variance and so off the
            regions; else the variance is the population variance of the scores, as in the paper.
        answers: what people said of labels, by record id: P(wrong) learns from them.
    Raises:
        InputError: no such column, or thresholds that are no numbers.
    """
    scored = _opened(scored)
    if stratify is not None and stratify not in scored.schema.names:
        hint = f"the columns are {', '.join(scored.schema.names)}"
        raise InputError(f"there is no column {stratify!r}", option="stratify", hint=hint)
    if stratify is not None and pa.types.is_nested(scored.schema.field(stratify).type):
        hint = "name a column with one value a record"
        raise InputError(f"the values of {stratify!r} are lists", option="stratify", hint=hint)
    source = as_scored(scored)
    tapped, kept = _tapped(source)
    seen = observe(tapped, stratify)
    denoised = compute_coordinates(seen.offsets, seen.scores, seen.error_variances())
    place = denoised if between else with_noise(denoised)
    mapped = np.isfinite(place.variance)
    split = split_regions(place, seen.sources, seen.source_names, stratify, thresholds_of(thresholds))
    error, assumed = _mean_error(seen)
    confidence = region_confidence(place, split.region, error, split.cuts)
    labels, strength, known = labels_and_strengths(seen)
    said = None
    if answers is not None:
        ids = [str(value) for batch in kept for value in batch.column("id").to_pylist()]
        said = match_answers(answers, ids, seen.offsets, seen.ratings)
    diagnosis = diagnose(seen, labels, strength, known, said, _groups(kept, seen) if said is not None else None)
    findings = run_checks(CheckInput(seen, labels, seen.owner, strength, known))
    taste = contested(seen, error)
    correlation, cosine = agreement(seen.offsets, seen.ratings, seen.scores)
    masks, rules = flag_records(
        p_wrong=diagnosis.p_wrong,
        contested=taste,
        mean=place.mean,
        variance=place.variance,
        confidence=confidence,
        unscored=place.scored < seen.sizes,
    )
    added = pa.table(
        {
            "k": pa.array(seen.sizes.astype(np.int32)),
            "mean": double_column(place.mean),
            "variance": double_column(place.variance),
            "region": coded_column(split.region, REGIONS),
            "region_confidence": double_column(confidence),
            "agreement": double_column(correlation),
            "p_wrong": double_column(diagnosis.p_wrong),
            "contested": double_column(taste),
            "flags": names_column(masks, seen.n),
            "variance_total": double_column(denoised.total),
            "variance_judge": double_column(np.where(mapped, denoised.noise, np.nan)),
            "variance_between": double_column(denoised.variance),
            "cosine": double_column(cosine),
            "issues": names_column(findings.records, seen.n),
        },
        schema=pa.schema([*MAP_FIELDS, *EXTRA_FIELDS[:-1]]),
    )
    if said is not None:
        added = added.append_column(UNREAD, double_column(diagnosis.p_unread if len(diagnosis.p_unread) else diagnosis.p_wrong))
    association = cramers_v(split.region[mapped & (seen.sources >= 0)], seen.sources[mapped & (seen.sources >= 0)])
    high = association is not None and association >= HIGH_ASSOCIATION
    column = stratify or "source"
    rate = diagnosis.mixture.noise_rate if diagnosis.mixture else None
    noise = noise_by_source(diagnosis.p_wrong, ~labels.constant, seen.sources, seen.source_names, rate)
    summary = {
        "records": seen.n,
        "mapped": int(mapped.sum()),
        "regions": {name: int((split.region == code).sum()) for code, name in enumerate(REGIONS)},
        "thresholds": split.thresholds.as_json() if split.thresholds else None,
        "noise_rate": diagnosis.noise_rate,
        "noise_interval": list(diagnosis.noise_interval) if diagnosis.noise_interval else None,
        "noise_by_source": [asdict(part) for part in noise],
        "refusal": diagnosis.refusal,
        "warnings": [
            *diagnosis.warnings,
            *([source_warning(column, association)] if association is not None and high and stratify is None else []),
            *worse_sources(noise, column),
            *([] if thresholds is None else _off_scale(split.thresholds, place.mean[mapped])),
            *_several_judges(kept),
        ],
        "flags": {name: int(masks[name].sum()) for name in FLAGS},
        "issues": {name: int(mask.sum()) for name, mask in findings.records.items() if mask.any()},
        "boundary_ties": int(split.tied.sum()),
        "association": association,
        "learned_from": _learned_from(diagnosis, said),
    }
    info = {
        **source.info,
        **_who_judged(kept, source.info),
        "thresholds": summary["thresholds"],
        "strata": split.strata,
        "stratify": stratify,
        "summary": summary,
        "flag_rules": rules,
        "fit": diagnosis.facts,
        "variance": _BETWEEN if between else _TOTAL,
        "judge_noise": "assumed, a share of the scale: no completion has several samples" if assumed else "from the samples",
        "sources_by_region": sources_by_region(split.region, seen.sources, seen.source_names),
    }
    evidence = Evidence(seen, diagnosis, lambda start, stop: findings.sentences(seen.offsets, start, stop), mapped)
    return DataMap(source, _numbers(source.schema, kept, added), added, info, evidence.column)


def _groups(kept: list[pa.RecordBatch], seen: Observations) -> dict[str, Ints]:
    """In what respects records may be alike: source, and every column of words or numbers that repeat, e.g. an annotator's."""
    found = {"source": seen.sources}
    table = pa.Table.from_batches(kept)
    for field in table.schema:
        repeats = pa.types.is_string(field.type) or pa.types.is_integer(field.type)
        if repeats and field.name not in SCORED_SCHEMA.names:
            codes, names = codes_of([table.column(field.name).cast(pa.string())])
            if 2 <= len(names) <= seen.n / 3:
                found[field.name] = codes
    return found


def _learned_from(diagnosis: Diagnosis, said: Answers | None) -> dict[str, Any] | None:
    """How many answers P(wrong) learned from; None where there were none to take."""
    if said is None:
        return None
    answered, taught = int(said.answered.sum()), said.teach and diagnosis.mixture is not None
    return {"answers": answered, "wrong": int((said.answered & said.wrong).sum()), "learned": taught}


def _opened(scored: Any) -> RecordStream:
    if isinstance(scored, RecordStream):
        return scored
    from argilla_admap.formats import registry

    return stored_scores(scored) or registry.read(scored)


def _off_scale(given: Thresholds | None, means: Floats) -> list[str]:
    """What to know where given thresholds do not fit the scores."""
    if given is None or not len(means) or means.min() <= given.mean <= means.max():
        return []
    return [
        f"the given threshold of the mean, {given.mean:g}, is outside of these records' means, {means.min():g} to "
        f"{means.max():g}: the scores may have another scale than those it comes from"
    ]


def thresholds_of(value: Thresholds | Mapping[str, Any] | DataMap | None) -> GivenThresholds | None:
    """The thresholds that a caller gave, in any of the forms.

    Raises:
        InputError: a map without thresholds, or numbers that are none.
    """
    if value is None:
        return None
    if isinstance(value, DataMap):
        if value.thresholds is None:
            raise InputError("that map has none, since none of its records could be placed", option="thresholds")
        strata = value.info.get("strata") or {}
        return GivenThresholds(value.thresholds, {name: Thresholds.from_json(pair) for name, pair in strata.items()})
    return GivenThresholds(value if isinstance(value, Thresholds) else Thresholds.from_json(value))


def _who_judged(kept: list[pa.RecordBatch], info: Mapping[str, Any]) -> dict[str, Any]:
    """The judges' names (the first five), and the version of the words that they were asked in."""
    found: Any = pc.unique(pa.chunked_array([batch.column("judges") for batch in kept], pa.string()))
    asked = (info.get("score") or {}).get("judges") or ()
    versions = [facts["prompt_version"] for facts in asked if facts.get("prompt_version")]
    return {
        "judge": ", ".join([name for name in found.to_pylist() if name][:5]) or None,
        "prompt_version": versions[0] if versions else None,
    }


def _several_judges(kept: list[pa.RecordBatch]) -> list[str]:
    """What to know where some records were scored by one judge and some by another."""
    scored: Any = pa.chunked_array([batch.column("judges") for batch in kept], pa.string())
    counts = sorted(((row["counts"], row["values"]) for row in pc.value_counts(scored.drop_null()).to_pylist()), reverse=True)
    if len(counts) < 2:
        return []
    shown = "; ".join(f"{judge}: {count:,} records" for count, judge in counts[:5])
    return [
        f"the records were scored by {len(counts)} judges, each a part of them ({shown}): their scores are not on one scale, "
        "and thresholds and P(wrong) mix them; score all with one judge, or map each part by itself"
    ]


def _mean_error(seen: Observations) -> tuple[Floats, bool]:
    """Mean error variance of each record's scores, shape (n,), and whether it is assumed, since there are no repeated samples.

    Each completion's own is shrunk towards the pooled one: it may be unknown, or 0 by the chance of few samples.
    """
    errors = seen.error_variances()
    scored = np.isfinite(seen.scores)
    known = scored & np.isfinite(errors)
    scale = float(np.ptp(seen.scores[scored])) if scored.any() else 0.0
    pooled = float(np.sort(errors[known]).mean()) if known.any() else (ASSUMED_NOISE * scale) ** 2
    # Each completion's own estimate has count - 1 degrees of freedom; the pooled one counts as two more.
    freedom = np.where(known, np.maximum(seen.sample_counts - 1, 0), 0)
    shrunk = (freedom * np.where(known, errors, 0.0) + 2 * pooled) / (freedom + 2)
    owner = seen.owner
    count = np.bincount(owner[scored], minlength=seen.n)
    total = np.bincount(owner[scored], shrunk[scored], minlength=seen.n)
    return np.asarray(total / np.maximum(count, 1)), not known.any()


def as_scored(stream: RecordStream) -> RecordStream:
    """The stream in the columns of `SCORED_SCHEMA`, others passed through and what an earlier map added left out.

    Data that are not scored yet get the scores of the samples that they carry; what else scoring would add is null.
    """
    ours = {f.name for f in (*MAP_FIELDS, *EXTRA_FIELDS, UNREAD)}
    have = [f for f in stream.schema if f.name not in ours and f.name != "judge"]
    names = {f.name for f in have}
    schema = pa.schema([*have, *(f for f in SCORED_SCHEMA if f.name not in names)])
    unscored = "scores" not in names and "samples" in names

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream.batches():
            made: dict[str, Any] = {name: batch.column(name) for name in names}
            if unscored:
                made |= scores_of_samples(batch)
            if "judge" in batch.schema.names and "judges" not in made:
                made["judges"] = batch.column("judge")
            columns = [made[f.name] if f.name in made else pa.nulls(batch.num_rows, f.type) for f in schema]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return RecordStream(batches, schema, {k: v for k, v in stream.info.items() if k not in MAP_INFO})


def _tapped(stream: RecordStream) -> tuple[RecordStream, list[pa.RecordBatch]]:
    """The stream, and its columns without long text, which collect in the list as the stream is read."""
    light = [name for name in stream.schema.names if name not in TEXT_COLUMNS]
    kept: list[pa.RecordBatch] = []

    def batches() -> Iterator[pa.RecordBatch]:
        # A second pass starts afresh.
        kept.clear()
        for batch in stream.batches():
            kept.append(batch.select(light))
            yield batch

    return RecordStream(batches, stream.schema, stream.info), kept


def _numbers(schema: pa.Schema, kept: list[pa.RecordBatch], added: pa.Table) -> pa.Table:
    """The columns that were kept with the map's own."""
    light = pa.schema([f for f in schema if f.name not in TEXT_COLUMNS])
    table = pa.Table.from_batches(kept, schema=light)
    for field in added.schema:
        table = table.append_column(field, added.column(field.name))
    return table
