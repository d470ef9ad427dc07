"""DataMap: the result that the rooms above pass around; made by `build_map`, kept as MAP.parquet."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from argilla_admap import distributed, mapping
from argilla_admap.distributed import check_engine
from argilla_admap.errors import InputError
from argilla_admap.mapping.added_columns import EXTRA_FIELDS, UNREAD, AddedColumns
from argilla_admap.mapping.analysis.label_answers import LabelAnswer, match_answers
from argilla_admap.mapping.checks.check import CheckInput, comparing_checks, run_checks
from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, codes_of, items_of
from argilla_admap.mapping.data.observations import Observations, scores_of_samples
from argilla_admap.mapping.data.observed import InOrder, Observed, in_order, observe_pieces
from argilla_admap.mapping.regions.coordinates import (
    REGIONS,
    Coordinates,
    GivenThresholds,
    RecordThresholds,
    Thresholds,
    compute_coordinates,
    region_confidence,
    split_regions,
    with_noise,
)
from argilla_admap.mapping.regions.judge_error import fit_error
from argilla_admap.mapping.regions.record_flags import FLAGS, flag_records
from argilla_admap.mapping.regions.sources import (
    HIGH_ASSOCIATION,
    cramers_v,
    noise_by_source,
    source_warning,
    sources_by_region,
    worse_sources,
)
from argilla_admap.mapping.wrong.contested import agreement, are_votes, contested, usual_margins
from argilla_admap.mapping.wrong.diagnosis import Diagnosis, fit_wrong, strengths_elsewhere, with_answers
from argilla_admap.mapping.wrong.labels import Labels, fit_labels
from argilla_admap.mapping.wrong.learning import Answers, model_pairs
from argilla_admap.mapping.wrong.reasons import Evidence
from argilla_admap.records import MAP_FIELDS, SCORED_SCHEMA
from argilla_admap.stored import read_stored, stored_scores
from argilla_admap.tables import RecordStream, Spool, read_stream, release_memory, write_parquet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TEXT_COLUMNS", "DataMap", "as_scored", "build_map", "check_stratum", "thresholds_of"]

#: Columns that hold long text: streamed through, never held.
TEXT_COLUMNS = frozenset({"prompt", "turns", "completions", "reasons", "errors", "reference", "samples", "evidence"})

#: Columns without which a file is no map.
_OF_A_MAP = ("id", "prompt", "completions", "ratings", "scores", *(field.name for field in MAP_FIELDS))

#: Keys of `DataMap.info` that are the map's own.
MAP_INFO = frozenset(
    {"thresholds", "strata", "stratify", "summary", "flag_rules", "fit", "variance", "judge", "judge_noise"}
    | {"prompt_version", "sources_by_region"}
)

_TOTAL = "the population variance of the scores"
_ASSUMED = "assumed, a share of the scale: no completion has several samples"
_BETWEEN = (
    "between completions: the population variance of the scores (variance_total) less the judge's own (variance_judge), which "
    "is known where completions have several samples"
)


class DataMap:
    """Records on the map.

    Attributes:
        info: thresholds, judge, counts and fitted constants, as JSON values (the file's metadata).
        schema: of `batches()`.
    """

    def __init__(
        self,
        source: RecordStream,
        info: Mapping[str, Any],
        *,
        columns: AddedColumns | None = None,
        records: int | None = None,
    ) -> None:
        """
        Args:
            source: the records with their texts.
            info: as above.
            columns: the map's own, which `source` does not have; None when it has.
            records: how many of `source`, where they are counted already.
        """
        self._source, self._columns, self._records = source, columns, records
        self.info: dict[str, Any] = dict(info)
        self.schema = pa.schema([*source.schema, *(columns.schema if columns is not None else ())])

    @cached_property
    def numbers(self) -> pa.Table:
        """Every column of the map but its long texts, as one Arrow table, a row a record; the source is read again for it."""
        return self._read(self.light)

    @property
    def light(self) -> list[str]:
        """The names of the columns in `numbers`."""
        return [name for name in self.schema.names if name not in TEXT_COLUMNS]

    def table(self, names: Collection[str]) -> pa.Table:
        """Those of the named columns that the map has, as one Arrow table.

        Of a file, only they are read and held: all `numbers` of a million records take some 400 MB.
        """
        wanted = [name for name in self.schema.names if name in names]
        held = self._columns is not None or "numbers" in self.__dict__
        return self.numbers.select(wanted) if held else self._read(wanted)

    def _read(self, names: list[str]) -> pa.Table:
        rows = self._source.columns(names) if self._columns is None else self._rows(texts=False)
        found = pa.Table.from_batches((one.select(names) for one in rows), pa.schema([self.schema.field(n) for n in names]))
        # Many small pieces take half as much again as one of each column.
        for place, name in enumerate(names):
            found = found.set_column(place, found.schema.field(place), found.select([name]).combine_chunks().column(0))
        release_memory()
        return found

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The map as a DataFrame: a row a record, the long texts left out; lists are NumPy arrays."""
        return self.numbers.to_pandas()

    def columns(self, names: Collection[str] | None = None) -> pd.DataFrame:
        """Those of the named columns that the map has, or all but long texts; lists stay Arrow arrays, which a large map needs.

        Of a million records `frame` takes a gigabyte.
        """
        import pandas as pd

        table = self.numbers if names is None else self.table(names)
        return table.to_pandas(types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_list(kind) else None)

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
        if self._records is None:
            self._records = int(self.info["summary"]["records"]) if self._columns is not None else self.table(["id"]).num_rows
        return self._records

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
        return self._rows(texts=True)

    def _rows(self, *, texts: bool) -> Iterator[pa.RecordBatch]:
        if self._columns is None:
            return self._source.batches()
        return self._columns.beside(self._source.batches(), self.schema, texts=texts)

    def stream(self) -> RecordStream:
        """The map as a stream of record batches."""
        return RecordStream(self.batches, self.schema, self.info, None if self._columns is not None else self._source.columns)

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
        opened = read_stream(path, rows=None)
        missing = [name for name in _OF_A_MAP if name not in opened.schema.names]
        if missing or not isinstance(opened.info.get("summary"), dict):
            lacks = f"no column {missing[0]!r}" if missing else "no summary in its metadata"
            raise InputError(f"{path}: not a map ({lacks})", hint="make one with `admap map`")
        source = read_stored(path, opened)
        records = sum(batch.num_rows for batch in source.batches())
        release_memory()
        return cls(source, source.info, records=records)


def build_map(
    scored: Any,
    *,
    stratify: str | None = None,
    thresholds: Thresholds | Mapping[str, Any] | DataMap | None = None,
    between: bool = False,
    answers: Mapping[str, LabelAnswer] | None = None,
    engine: str = "local",
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
        engine: local, or ray: what is done for each piece by itself is done on a Ray cluster; all is fitted here.
    Raises:
        InputError: no such column, or thresholds that are no numbers.
    """
    check_engine(engine)
    each = in_order if engine == "local" else distributed.in_order
    scored = _opened(scored)
    check_stratum(scored, stratify)
    # The arithmetic is many small matrices: threads of its own would wait for each other longer than they work.
    with threadpool_limits(limits=1, user_api="blas"):
        data_map = _built(scored, stratify, thresholds, between, answers, each)
    release_memory()
    return data_map


def _built(
    scored: RecordStream,
    stratify: str | None,
    thresholds: Thresholds | Mapping[str, Any] | DataMap | None,
    between: bool,
    answers: Mapping[str, LabelAnswer] | None,
    each: InOrder,
) -> DataMap:
    source = as_scored(scored)
    tap = _Tap(source, answers)
    places: list[Coordinates] = []
    book = observe_pieces(
        tap.stream,
        stratify,
        lambda one: places.append(compute_coordinates(one.offsets, one.scores, one.error_variances())),
        each,
    )
    denoised = Coordinates.joined(places)
    places.clear()
    place = denoised if between else with_noise(denoised)
    mapped = np.isfinite(place.variance)
    split = split_regions(place, book.sources, book.source_names, stratify, thresholds_of(thresholds))
    sample = book.sample
    scale = fit_labels(sample.offsets, sample.ratings, sample.scores)
    error = fit_error(sample)
    said, alike = None, {}
    if answers is not None:
        said, alike = match_answers(answers, tap.answered, book.offsets, book.ratings()), _groups(tap.kept, book)

    def labels_of(part: Observations) -> Labels:
        return scale.labels(part.offsets, part.ratings)

    strength, known = strengths_elsewhere(book, labels_of, lambda _, part: labels_of(part).rating, None)
    compared = {name: np.zeros(book.n, np.uint64) for name in comparing_checks()}
    for rows, part in book.repeated():
        flat = items_of(book.offsets, rows)
        repeated = CheckInput(part, labels_of(part), part.owner, strength[flat], known[flat])
        for name, (test, _) in comparing_checks().items():
            compared[name][rows] = test(repeated)
    among = {name: found(compared.pop(name)) for name, (_, found) in comparing_checks().items()}
    model = fit_wrong(book, labels_of, (strength, known), said)
    usual, votes = usual_margins(sample.offsets, sample.ratings, sample.scores), are_votes(sample.offsets, sample.ratings)

    release_memory()
    # Not by way of `book`, whose pieces are on this machine's disk.
    offsets = book.offsets

    def finish(one: tuple[slice, Observations]) -> tuple[slice, dict[str, Any], dict[str, Bools], Evidence]:
        at, piece = one
        flat, labels = slice(int(offsets[at.start]), int(offsets[at.stop])), labels_of(piece)
        diagnosis = model.diagnose(piece, labels, flat)
        given = CheckInput(piece, labels, piece.owner, strength[flat], known[flat])
        findings = run_checks(given, {name: mask[at] for name, mask in among.items()})
        errors = error.of(piece)
        correlation, cosine = agreement(piece.offsets, piece.ratings, piece.scores, usual)
        cuts = RecordThresholds(split.cuts.variance[at], split.cuts.mean[at])
        numbers = {
            "p_wrong": diagnosis.p_wrong,
            "constant": diagnosis.constant,
            "spoilt": diagnosis.spoilt,
            "contested": contested(piece, errors, votes),
            "agreement": correlation,
            "cosine": cosine,
            "confidence": region_confidence(place.part(at), split.region[at], errors, cuts),
        }
        if said is not None:
            numbers["models"] = model_pairs(piece)
        return at, numbers, findings.records, Evidence.of(piece, diagnosis, findings, mapped[at])

    numbers: dict[str, Any] = {}
    issues: dict[str, Bools] = {}
    spool: Spool[Evidence] = Spool()
    for at, found, issue, reasons in each(finish, book.pieces()):
        for whole, values in ((numbers, found), (issues, issue)):
            for name, own in values.items():
                whole.setdefault(name, np.empty(book.n, own.dtype))[at] = own
        spool.add(reasons)
    diagnosis = model.over(numbers["p_wrong"], numbers["constant"], numbers["spoilt"])
    if said is not None:
        diagnosis = with_answers(diagnosis, said, {"model pair": numbers["models"], **alike}, book.folds)
    masks, rules = flag_records(
        p_wrong=diagnosis.p_wrong,
        contested=numbers["contested"],
        mean=place.mean,
        variance=place.variance,
        confidence=numbers["confidence"],
        unscored=place.scored < np.diff(book.offsets),
    )
    doubles = {
        "region_confidence": numbers["confidence"],
        "agreement": numbers["agreement"],
        "p_wrong": diagnosis.p_wrong,
        "contested": numbers["contested"],
        "cosine": numbers["cosine"],
    }
    if said is not None:
        doubles["p_wrong_unread"] = diagnosis.p_unread if len(diagnosis.p_unread) else diagnosis.p_wrong
    columns = AddedColumns(
        book.offsets, denoised, place.variance, split.region, doubles, masks, issues, spool, diagnosis.noise_rate
    )
    association = cramers_v(split.region, book.sources)
    high = association is not None and association >= HIGH_ASSOCIATION
    column = stratify or "source"
    rate = diagnosis.mixture.noise_rate if diagnosis.mixture else None
    noise = noise_by_source(diagnosis.p_wrong, ~diagnosis.constant, book.sources, book.source_names, rate)
    summary = {
        "records": book.n,
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
            *_several_judges(tap.judges),
        ],
        "flags": {name: int(masks[name].sum()) for name in FLAGS},
        "issues": {name: int(mask.sum()) for name, mask in issues.items() if mask.any()},
        "boundary_ties": int(split.tied.sum()),
        "association": association,
        "learned_from": _learned_from(diagnosis, said),
    }
    info = {
        **source.info,
        **_who_judged(tap.judges, source.info),
        "thresholds": summary["thresholds"],
        "strata": split.strata,
        "stratify": stratify,
        "summary": summary,
        "flag_rules": rules,
        "fit": diagnosis.facts,
        "variance": _BETWEEN if between else _TOTAL,
        "judge_noise": _ASSUMED if error.assumed else "from the samples",
        "sources_by_region": sources_by_region(split.region, book.sources, book.source_names),
    }
    return DataMap(source, info, columns=columns)


def check_stratum(scored: RecordStream, stratify: str | None) -> None:
    """Raises InputError where there is no such column, or one of lists."""
    if stratify is not None and stratify not in scored.schema.names:
        hint = f"the columns are {', '.join(scored.schema.names)}"
        raise InputError(f"there is no column {stratify!r}", option="stratify", hint=hint)
    if stratify is not None and pa.types.is_nested(scored.schema.field(stratify).type):
        hint = "name a column with one value a record"
        raise InputError(f"the values of {stratify!r} are lists", option="stratify", hint=hint)


def _groups(kept: list[pa.RecordBatch], book: Observed) -> dict[str, Ints]:
    """In what respects records may be alike: source, annotator, and every other column of words or numbers that repeat."""
    found = {"source": book.sources}
    table = pa.Table.from_batches(kept)
    for field in table.schema:
        codes, names = codes_of([table.column(field.name).cast(pa.string())])
        if 2 <= len(names) <= book.n / 3:
            found[field.name] = codes
    return found


def _may_group(field: pa.Field[Any]) -> bool:
    """Whether records may be alike in what a column says."""
    repeats = pa.types.is_string(field.type) or pa.types.is_integer(field.type)
    return repeats and (field.name == "annotator" or field.name not in SCORED_SCHEMA.names)


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


def _who_judged(judges: Mapping[str, int], info: Mapping[str, Any]) -> dict[str, Any]:
    """The judges' names (the first five), and the version of the words that they were asked in."""
    asked = (info.get("score") or {}).get("judges") or ()
    versions = [facts["prompt_version"] for facts in asked if facts.get("prompt_version")]
    return {
        "judge": ", ".join([name for name in judges if name][:5]) or None,
        "prompt_version": versions[0] if versions else None,
    }


def _several_judges(judges: Mapping[str, int]) -> list[str]:
    """What to know where some records were scored by one judge and some by another."""
    counts = sorted(((count, judge) for judge, count in judges.items()), reverse=True)
    if len(counts) < 2:
        return []
    shown = "; ".join(f"{judge}: {count:,} records" for count, judge in counts[:5])
    return [
        f"the records were scored by {len(counts)} judges, each a part of them ({shown}): their scores are not on one scale, "
        "and thresholds and P(wrong) mix them; score all with one judge, or map each part by itself"
    ]


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


class _Tap:
    """A stream that is read on, and what is kept of it.

    Attributes:
        judges: how many records each judged, in the order of their first.
        answered: the ids of records that people answered, by position.
        kept: the columns by which records may be alike, where there are answers.
    """

    def __init__(self, stream: RecordStream, answers: Mapping[str, LabelAnswer] | None) -> None:
        self._source = stream
        self._asked = None if answers is None else pa.array(answers, pa.string())
        self._alike = [field.name for field in stream.schema if _may_group(field)]
        self.judges: dict[str, int] = {}
        self.answered: dict[int, str] = {}
        self.kept: list[pa.RecordBatch] = []
        self.stream = RecordStream(self._batches, stream.schema, stream.info)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        # A second pass starts afresh.
        self.judges.clear()
        self.answered.clear()
        self.kept.clear()
        start = 0
        for batch in self._source.batches():
            named: Any = batch.column("judges")
            for one in pc.value_counts(named.drop_null()):
                judge = one["values"].as_py()
                self.judges[judge] = self.judges.get(judge, 0) + one["counts"].as_py()
            if self._asked is not None:
                ids: Any = batch.column("id").cast(pa.string())
                rows = np.flatnonzero(pc.is_in(ids, self._asked))
                self.answered |= zip((start + rows).tolist(), ids.take(pa.array(rows)).to_pylist(), strict=True)
                self.kept.append(batch.select(self._alike))
            start += batch.num_rows
            yield batch
