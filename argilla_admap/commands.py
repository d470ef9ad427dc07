"""The commands that look at a map, a data set, a judge or this machine, as functions of the same names and options."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from argilla_admap.distributed import check_engine
from argilla_admap.errors import InputError
from argilla_admap.keywords import READING, listed, reading_of, scoring_of, takes
from argilla_admap.pipeline import SCORING, SETTLING, check, connect, open_records, open_scored, read_answers
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.scoring.options import DEFAULT_MODEL

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.checkup import Finding
    from argilla_admap.demonstration import Demo
    from argilla_admap.formats.data_card import CardFacts
    from argilla_admap.judge_audit import JudgeAudit
    from argilla_admap.mapping.analysis.comparison import Comparison
    from argilla_admap.mapping.analysis.label_answers import LabelAnswer
    from argilla_admap.mapping.analysis.selection import Rules, Selection
    from argilla_admap.mapping.analysis.selftest import SelfTest
    from argilla_admap.mapping.data_map import DataMap
    from argilla_admap.mapping.regions.alone import Places
    from argilla_admap.reporting.page import RecordLink
    from argilla_admap.review.queues.queues import QueueCount
    from argilla_admap.review.status.status import Status
    from argilla_admap.scoring.client.transport import Client
    from argilla_admap.scoring.run import Progress
    from argilla_admap.tables import RecordStream

__all__ = [
    "Report",
    "Selected",
    "compare",
    "demo",
    "doctor",
    "help",
    "judge_check",
    "map",
    "merge",
    "queues",
    "report",
    "select",
    "selftest",
    "status",
]

#: Records of a batch where only scores are read.
_PLACE_ROWS = 1 << 16
_PICTURES = (".png", ".svg", ".pdf")


def _opened(data_map: DataMap | str | os.PathLike[str]) -> DataMap:
    from argilla_admap.mapping.data_map import DataMap

    return data_map if isinstance(data_map, DataMap) else DataMap.read(data_map)


@dataclass(frozen=True, slots=True)
class Selected:
    """A training subset.

    Attributes:
        selection: what was chosen, and what was not.
        left_out: chosen records that the output's format cannot hold.
        output: the file written; None where none was asked for.
        format: the name of the format written; None for a map.
        notes: what else the user should know.
    """

    selection: Selection
    left_out: int
    output: str | None
    format: str | None = None
    notes: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **self.selection.as_json(),
            "left_out": self.left_out,
            "output": self.output,
            "format": self.format,
            "notes": list(self.notes),
        }


def select(
    data_map: DataMap | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    region: str | Sequence[str] = (),
    max_p_wrong: float | None = None,
    without_flag: str | Sequence[str] = (),
    agreed_by: int | None = None,
    fraction: float | None = None,
    stratify: str | None = None,
    embeddings: str | os.PathLike[str] | None = None,
    seed: int = 0,
    format: str | None = None,
    dataset: str | None = None,
    client: rg.Argilla | None = None,
    engine: str = "local",
    dry_run: bool = False,
) -> Selected:
    """Chooses the records to train on.

    Args:
        data_map: a map, or its file.
        output: the file or new folder to write, whole or absent, or ``hf:ORG/NAME[:SPLIT]``; None: nothing is written.
        region: only these regions: ``high_var``, ``high_avg``, ``low_avg``.
        max_p_wrong: only records with P(wrong) up to this, 0..1.
        without_flag: leaves out records with one of these flags.
        agreed_by: only records whose label so many judges of the map agree with.
        fraction: at most this share of the records, in (0, 1], the best by mean score.
        stratify: a column whose mix is kept.
        embeddings: for a diverse subset: a .npy or .parquet of vectors, or ``position``, the map's own.
        seed: of the order of equal records.
        format: of the output; None: what TRL reads, but that a .parquet keeps the map's columns.
        dataset: the data set the map was pushed to: the data card says who checked the labels, and how many are wrong.
        client: of the Argilla server; None: as for `push`.
        engine: local, or ray: records are taken out on a Ray cluster; which ones is found out here, by all numbers together.
        dry_run: choose, and write nothing.
    Raises:
        InputError: an option cannot be used, or no record is left; nothing was written.
    """
    from argilla_admap.mapping.analysis.selection import Rules, chosen_stream, select_records

    check_engine(engine)
    rules = Rules(
        regions=listed(region),
        max_p_wrong=max_p_wrong,
        without_flags=listed(without_flag),
        agreed_by=agreed_by,
        fraction=fraction,
        stratify=stratify,
        seed=seed,
    )
    opened = _opened(data_map)
    frame = opened.columns(rules.columns(opened.light))
    selection = select_records(frame, rules, _vectors(embeddings, opened))
    if not selection.chosen.any():
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in selection.dropped.items())
        unplaced = selection.dropped.get("no region") == len(selection.chosen)
        hint = "score the data and map them again, or leave `region` out" if unplaced else "ask for less"
        place = "" if opened is data_map else f"{data_map}: "
        raise InputError(f"{place}no record is left ({reasons}); nothing was written", hint=hint)
    if output is None or dry_run:
        return Selected(selection, 0, None)
    stream = chosen_stream(opened.stream(), selection, engine)
    words = os.fspath(output)
    if format is None and Path(words).suffix == ".parquet" and not words.startswith("hf:"):
        from argilla_admap.tables import write_parquet

        write_parquet(Path(words), stream.batches(), stream.schema, stream.info)
        return Selected(selection, 0, words)
    from argilla_admap.formats import writing
    from argilla_admap.formats.data_card import CardFacts, data_card

    doubt = frame["p_wrong"][selection.chosen]
    facts = CardFacts(
        title=Path(words.removeprefix("hf:")).name,
        records=int(selection.chosen.sum()),
        errors_left=(float(doubt.sum()), None, None) if doubt.notna().all() else None,
        sentences=(f"Chosen from {len(selection.chosen):,} records by an Alignment Data Map: {_in_words(rules)}.",),
    )
    if dataset is not None:
        facts = _reviewed(facts, dataset, client, opened, set(frame["id"][selection.chosen]))
    report = writing.write(stream, words, format, card=lambda rows, name: data_card(facts, rows, name))
    return Selected(selection, report.left_out, words, report.format, tuple(report.notes))


def _reviewed(facts: CardFacts, dataset: str, client: rg.Argilla | None, data_map: DataMap, chosen: set[str]) -> CardFacts:
    """The facts with what people said of the records that were chosen."""
    from argilla_admap.review.pull.label_errors import checked_labels, label_errors
    from argilla_admap.review.pull.reviews import read_reviews
    from argilla_admap.review.push.not_pushed import NotPushed

    reviews = read_reviews(dataset, connect(client))
    # Where a part of the map was pushed: the map itself knows the others, and which of them were chosen.
    absent = ~data_map.columns(("id",))["id"].isin(set(reviews.frame["id"])).to_numpy(bool)
    others = NotPushed.of_map(data_map.table(NotPushed.columns), absent, chosen)
    wrong = label_errors(reviews, chosen, others).estimate.total
    corrected = sum(one.outcome == "corrected" for one in reviews.records.values() if one.id in chosen)
    said = (
        f"{corrected:,} of these labels were corrected by people, and stand here as they were: `admap pull` writes corrections."
    )
    return replace(
        facts,
        **checked_labels(reviews, chosen),
        errors_left=(wrong.value, wrong.low, wrong.high),
        sentences=(*facts.sentences, *([said] if corrected else [])),
    )


def _in_words(rules: Rules) -> str:
    """The rules of a choice, for its data card."""
    parts = [f"region {', '.join(rules.regions)}"] if rules.regions else []
    parts += [f"P(wrong) up to {rules.max_p_wrong:g}"] if rules.max_p_wrong is not None else []
    parts += [f"without the flags {', '.join(rules.without_flags)}"] if rules.without_flags else []
    parts += [f"labels that {rules.agreed_by} judges agree with"] if rules.agreed_by is not None else []
    parts += [f"at most {rules.fraction:.0%} of the records, the best by mean score"] if rules.fraction is not None else []
    parts += [f"with the mix of {rules.stratify} kept"] if rules.stratify else []
    return ", ".join(parts) or "all records"


def _vectors(embeddings: str | os.PathLike[str] | None, data_map: DataMap) -> Any:
    if embeddings is None:
        return None
    if embeddings == "position":
        from argilla_admap.mapping.analysis.selection import map_vectors

        return map_vectors(data_map.columns(("mean", "variance")))
    from argilla_admap.formats.vectors import read_vectors

    return read_vectors(Path(embeddings), data_map.columns(("id",))["id"].tolist())


def compare(
    map_a: DataMap | str | os.PathLike[str],
    map_b: DataMap | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    dry_run: bool = False,
) -> Comparison:
    """Two maps of the same records, joined by id: what moved, how far the judges agree, how each is biased.

    Args:
        map_a, map_b: maps, or their files.
        output: a file for the records that changed region, as JSON lines, farthest first.
        dry_run: compare, and write nothing.
    Raises:
        InputError: a file is no map, or they share no record.
    """
    from argilla_admap.mapping.analysis.comparison import compare_maps

    found = compare_maps(_opened(map_a), _opened(map_b))
    if output is not None and not dry_run:
        from argilla_admap.tables import atomic_path

        with atomic_path(Path(output)) as temporary:
            found.moved.to_json(temporary, orient="records", lines=True, force_ascii=False)
    return found


def selftest(
    scored: RecordStream | DataMap | str | os.PathLike[str],
    *,
    kind: str = "swap",
    rate: float = 0.1,
    rounds: int = 5,
    seed: int = 0,
    warn: Callable[[str], None] | None = None,
) -> SelfTest:
    """Plants known label errors in a copy, and measures how many are found; no file is changed, no judge asked.

    Args:
        scored: a map or scored data, or their file.
        kind: ``swap``, ``permutation`` or ``x10``.
        rate: share of the labelled records that get an error, above 0 and up to 0.45.
        rounds: repetitions, each with other records.
        seed: of the records chosen.
        warn: takes a sentence for the person.
    Raises:
        InputError: an option cannot be used, or there is nothing to plant errors in.
    """
    from argilla_admap.mapping.analysis import selftest as analysis
    from argilla_admap.mapping.data_map import DataMap

    if isinstance(scored, (str, os.PathLike)):
        stream = open_scored(os.fspath(scored), say=warn)
    else:
        stream = scored.stream() if isinstance(scored, DataMap) else scored
    return analysis.selftest(stream, kind=kind, rate=rate, rounds=rounds, seed=seed)


def queues(
    dataset: str,
    client: rg.Argilla | None = None,
    *,
    where: str | None = None,
    sort: str | Sequence[str] = (),
    similar_to: str | None = None,
    by: str | None = None,
) -> list[QueueCount]:
    """The review queues of a data set on Argilla, with their counts and links.

    Args:
        dataset: ``[WORKSPACE/]NAME``.
        client: of the server; None: as for `push`.
        where: a queue of one's own, such as ``mean<2 and variance>=1``.
        sort: its order, such as ``p_wrong:desc``.
        similar_to: the id of a record: the queue of those most like it.
        by: what is compared, ``text`` or ``map``; None: the texts where they have a vector.

    Raises:
        InputError: conditions that cannot be read.
        ArgillaError: there is no server, or no such data set or record.
    """
    from argilla_admap.review.queues.overview import find_queues
    from argilla_admap.review.queues.queues import adhoc_queue

    wanted = (sort,) if isinstance(sort, str) else sort
    if where or wanted:
        adhoc_queue(where, wanted)  # conditions that cannot be read are said before a server is asked
    return find_queues(connect(client), dataset, where=where, sort=wanted, similar_to=similar_to, by=by)


@takes(SETTLING, of=PullOptions)
def status(dataset: str, client: rg.Argilla | None = None, **options: Any) -> Status:
    """How the review of a data set on Argilla stands: counts, label errors left, the judge against people, worse slices.

    Args:
        dataset: ``[WORKSPACE/]NAME``.
        client: of the server; None: as for `push`.
        options: ``resolve``, ``workspace`` and ``rating_question`` of `argilla_admap.review.pull.pull_options.PullOptions`.
    Raises:
        InputError: a data set that asks nothing about the label.
        ArgillaError: there is no server or no such data set.
    """
    from argilla_admap.review.pull.pull_options import PullOptions
    from argilla_admap.review.status.status import review_status

    return review_status(dataset, connect(client), PullOptions(**options))


def merge(
    parts: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    part_store: Sequence[str | os.PathLike[str]] = (),
    store: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Puts together what several machines scored with `shard`, in the order of the input.

    Args:
        parts: the files that `score` wrote, one of each part, in any order.
        output: the .parquet to write; None: nothing is written.
        part_store: the machines' judgement stores, to be taken into the one store.
        store: the one store; None: this user's.
        dry_run: look at the parts, and write nothing.
    Returns:
        what `score` says of its run, over all parts; ``parts``; ``judgements``: those that were new in the store.
    Raises:
        InputError: a part is missing, there twice, of another input or scored by another judge; or no part or store at all.
    """
    from argilla_admap.scoring.cache.store import default_path
    from argilla_admap.scoring.shards import merge_parts, merge_stores

    answer = merge_parts([os.fspath(part) for part in parts], None if dry_run or output is None else Path(output))
    stores = [Path(one) for one in part_store]
    new = merge_stores(stores, Path(store) if store is not None else default_path()) if stores and not dry_run else 0
    return {**answer, "judgements": new}


@overload
def map(
    scored: RecordStream | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    regions_only: Literal[False] = False,
    **options: Any,
) -> DataMap: ...
@overload
def map(
    scored: RecordStream | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    regions_only: Literal[True],
    **options: Any,
) -> Places: ...
@takes(READING)
def map(
    scored: RecordStream | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    stratify: str | None = None,
    thresholds: Any = None,
    between: bool = False,
    length_control: str | None = None,
    answers: Mapping[str, LabelAnswer] | str | None = None,
    regions_only: bool = False,
    client: rg.Argilla | None = None,
    engine: str = "local",
    warn: Callable[[str], None] | None = None,
    dry_run: bool = False,
    **options: Any,
) -> DataMap | Places:
    """Places each record on the map and says how probably its label is wrong: `build_map`, from a file to a file.

    Args:
        scored: what `score` gave or wrote; or data that are not scored yet, with the options of `read`.
        output: the .parquet to write; None: nothing is written.
        stratify: split the regions within each value of this column.
        thresholds: those of an earlier map (or of its file), or two numbers: variance, mean.
        between: take the judge's own noise off the variance.
        length_control: take the judge's taste for length off the scores: ``all`` of it, or the ``excess`` over the labels'.
        answers: what `read_answers` gave, or what it takes: P(wrong) learns from them.
        regions_only: coordinates, thresholds and regions alone, by the scores, without a look at texts and labels: many times
            as fast. What is written holds id, k, mean, variance and region, and is no map to push.
        client: of the Argilla server, for answers that are there.
        engine: local, or ray: what is done for each record by itself is done on a Ray cluster.
        warn: takes a sentence for the person.
        dry_run: make the map, and write nothing.
    Raises:
        InputError: an option that cannot be used, or records that cannot be read.
    """
    from argilla_admap.mapping.data_map import build_map

    reading = reading_of(options)
    if options:
        raise TypeError(f"map() got an unexpected keyword argument {next(iter(options))!r}")
    if length_control not in (None, "all", "excess"):
        raise InputError(f"{length_control!r} is neither all nor excess", option="length_control")
    check_engine(engine)
    if regions_only:
        if engine != "local":
            raise InputError("reads numbers alone, in seconds", option="engine", hint="leave it out with `regions_only`")
        if length_control or answers is not None:
            option = "length_control" if length_control else "answers"
            raise InputError("needs texts and labels", option=option, hint="leave it out, or leave out `regions_only`")
        return _places(scored, None if dry_run else output, stratify, _thresholds(thresholds), between, reading, warn)
    if isinstance(scored, (str, os.PathLike)):
        stream = open_scored(os.fspath(scored), say=warn, **reading)
    else:
        stream = open_records(scored, reading)
    limits = _thresholds(thresholds)
    if length_control:
        from argilla_admap.mapping.analysis.bias import control_length

        stream = control_length(stream, excess_only=length_control == "excess")
        slope = stream.info["length_control"]["scores"]["per_doubling"]
        if warn is not None:
            warn(f"Scores are taken at equal length: {slope:+.3g} points per doubling of length were removed.")
    said = read_answers(answers, client) if isinstance(answers, str) else answers
    data_map = build_map(stream, stratify=stratify, thresholds=limits, between=between, answers=said, engine=engine)
    if output is not None and not dry_run:
        data_map.write(Path(output))
    return data_map


def _places(
    scored: RecordStream | str | os.PathLike[str],
    output: str | os.PathLike[str] | None,
    stratify: str | None,
    limits: Any,
    between: bool,
    reading: Mapping[str, Any],
    warn: Callable[[str], None] | None,
) -> Places:
    """`map` with `regions_only`."""
    from argilla_admap.mapping.data_map import as_scored, check_stratum, thresholds_of
    from argilla_admap.mapping.regions.alone import PLACE_SCHEMA, place_records, wanted_columns
    from argilla_admap.stored import stored_scores
    from argilla_admap.tables import read_stream, write_parquet

    wanted = wanted_columns(stratify, between=between)
    if isinstance(scored, (str, os.PathLike)) and (stored := stored_scores(scored)) is not None:
        check_stratum(stored, stratify)
        have = [name for name in wanted if name in stored.schema.names]
        scores, ids = (read_stream(scored, columns, _PLACE_ROWS) for columns in (have, ["id"]))
    else:
        opened: RecordStream
        if isinstance(scored, (str, os.PathLike)):
            opened = open_scored(os.fspath(scored), say=warn, **reading)
        else:
            opened = open_records(scored, dict(reading))
        check_stratum(opened, stratify)
        scores = ids = as_scored(opened)
    places = place_records(scores, ids, stratify=stratify, given=thresholds_of(limits), between=between)
    if output is not None:
        facts = {"summary": places.summary, "regions_only": True}
        write_parquet(output, places.batches(), PLACE_SCHEMA, facts, repeated=("k", "region"))
    return places


def _thresholds(given: Any) -> Any:
    """What `build_map` takes: an earlier map's thresholds, or two numbers, also as words.

    Raises:
        InputError: neither a map nor two numbers.
    """
    from argilla_admap.mapping.regions.coordinates import Thresholds

    if isinstance(given, (str, os.PathLike)):
        words = os.fspath(given)
        if Path(words).is_file() or words.endswith(".parquet"):
            return _opened(words)
        given = words.split(",")
    if not isinstance(given, (list, tuple)):
        return given
    try:
        variance, mean = (float(part) for part in given)
    except ValueError as exc:
        words = ",".join(str(part) for part in given)
        hint = "give a map's file, or two numbers such as 0.5,4"
        raise InputError(f"{words}: not the thresholds of a map", option="thresholds", hint=hint) from exc
    return Thresholds.from_json({"variance": variance, "mean": mean})


@dataclass(frozen=True, slots=True)
class Report:
    """A map that was drawn.

    Attributes:
        answer: the JSON answer: records, output, bias; and what was drawn.
        figures: label, value and note of each figure beside the map.
    """

    answer: dict[str, Any]
    figures: tuple[Any, ...] = ()

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        shown = {one.label: f"{one.value} ({one.note})" if one.note else one.value for one in self.figures}
        return {**self.answer, **({"figures": shown} if self.figures else {})}


def report(
    data_map: DataMap | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    title: str | None = None,
    status: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    client: rg.Argilla | None = None,
    warn: Callable[[str], None] | None = None,
    dry_run: bool = False,
) -> Report:
    """Draws a map and explains its figures: an .html page that opens offline, or a picture.

    Args:
        data_map: a map, or its file.
        output: the .html, .png, .svg or .pdf to write.
        dataset: the data set the map was pushed to: a click on a point opens its record, what was reviewed is marked, and a
            panel shows how the review stands.
        status: takes the review from here, without a server: what `status(...).json()` gave, or the file of it.
        title: of the page or picture; None: the map's file name, and none on a picture.
        client: of the Argilla server; None: as for `push`.
        warn: takes a sentence for the person.
        dry_run: write nothing.
    Raises:
        InputError: another kind of file, no map, or a data set that was never pushed to.
        ArgillaError: no server, or no such data set.
    """
    from argilla_admap.mapping.analysis.bias import measure_bias
    from argilla_admap.reporting.page import write_page
    from argilla_admap.reporting.points import gather_points
    from argilla_admap.reporting.review_words import read_status, review_figures
    from argilla_admap.reporting.words import bias_figures, map_figures
    from argilla_admap.tables import release_memory

    path = Path(output)
    kind = path.suffix.lower()
    if kind not in (".html", *_PICTURES):
        raise InputError(f"{path}: give a file that ends in {', '.join(('.html', *_PICTURES))}")
    opened = _opened(data_map)
    link, outcomes, review = _review(dataset, client, warn) if dataset else (None, {}, None)
    if status is not None:
        review = read_status(Path(status)) if isinstance(status, (str, os.PathLike)) else dict(status)
    records = len(opened)
    if dry_run:
        return Report({"records": records, "output": None})
    bias = measure_bias(opened.stream()).as_json()
    release_memory()
    answer: dict[str, Any] = {"records": records, "output": str(path), "bias": bias}
    judged = bias_figures(bias)
    if kind == ".html":
        name = None if opened is data_map else os.fspath(data_map)  # type: ignore[arg-type]  # a map is the map opened
        title = title or (Path(name).stem if name else path.stem)
        shown: dict[str, Any] = {"outcomes": outcomes, "status": review}
        written = write_page(opened, path, title=title, link=link, figures=judged, name=name or title, **shown)
        answer |= {
            "reviewed": len(outcomes),
            "drawn": written.drawn,
            "texts": written.texts,
            "bytes": written.bytes,
        }
        figures = list(written.figures)
    else:
        from argilla_admap.reporting.plots import write_picture

        answer["drawn"] = write_picture(opened, path, title=title or "")
        answer["bytes"] = path.stat().st_size
        figures = [*map_figures(gather_points(opened)), *judged]
    if review is not None:
        figures += review_figures(review)
        answer |= {name: review[name] for name in ("judge", "slices")}
    return Report(answer, tuple(figures))


def _review(
    dataset: str, client: rg.Argilla | None, warn: Callable[[str], None] | None
) -> tuple[RecordLink, Mapping[str, str], dict[str, Any] | None]:
    """How the page finds a record in the data set, how the review of each record ended that has answers, and how it stands."""
    from argilla_admap.reporting.page import RecordLink
    from argilla_admap.review.argilla.argilla_api import Api, parse_address
    from argilla_admap.review.argilla.properties import BY_COLUMN
    from argilla_admap.review.dataset.card import FIELD
    from argilla_admap.review.dataset.layout import managed_layout

    argilla = connect(client)
    target = Api(argilla).dataset(parse_address(dataset))
    if not {BY_COLUMN[column].name for column in ("mean", "variance")} <= set(target.properties):
        raise InputError(f"{target.full_name} was never pushed to; do it with `admap push MAP` and this data set")
    layout = managed_layout(target)
    # The blind card holds no id, and a foreign data set no card: there the record's numbers alone must do.
    search = FIELD if layout is not None and not layout.blind else None
    link = RecordLink(page=target.page, dataset=target.full_name, search=search)
    try:
        found = status(target.full_name, argilla)
        return link, found.reviews.result.outcomes, found.answer
    except InputError as error:
        # Its questions ask nothing about the label.
        if warn is not None:
            warn(f"no answers were read: {error}")
        return link, {}, None


@overload
def judge_check(preferences: Any, *, dry_run: Literal[False] = False, **options: Any) -> JudgeAudit: ...
@overload
def judge_check(preferences: Any, *, dry_run: Literal[True], **options: Any) -> dict[str, Any]: ...
@takes(SCORING, READING)
def judge_check(
    preferences: Any,
    *,
    records: int = 100,
    seed: int = 0,
    client: Client | None = None,
    progress: Callable[[Progress], None] | None = None,
    warn: Callable[[str], None] | None = None,
    dry_run: bool = False,
    **options: Any,
) -> JudgeAudit | dict[str, Any]:
    """Measures a judge on a sample of one's own records, for less than a dollar unless `max_cost` allows more.

    Args:
        preferences: what `read` gave; or what it takes, with its options.
        records: how many are looked at, drawn at random; fewer where they would cost more than `max_cost`.
        seed: of the draw, and of what is shuffled.
        client: an openai client to ask with.
        progress: called about twice a second.
        warn: takes a sentence for the person.
        dry_run: ask nobody, and return the calls, tokens and dollars that it would take.
        options: those of `score`.
    Raises:
        InputError: no record has two completions with words, or an option cannot be used; nothing was asked.
        ScoringError: the judge cannot be asked any more; what it answered is kept.
    """
    from argilla_admap.judge_audit import plan_audit, run_audit

    reading = reading_of(options)
    asked = scoring_of(options)
    stream = open_records(preferences, reading, asked.limit)
    check(stream, warn)
    plan = plan_audit(stream, asked, records=records, seed=seed, client=client)
    return plan.estimate if dry_run else run_audit(plan, client=client, progress=progress, warn=warn)


def doctor(
    *,
    model: str = DEFAULT_MODEL,
    base_url: str | None = None,
    store: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    repair: bool = False,
    say: Callable[[Finding], None] | None = None,
) -> list[Finding]:
    """What answers, in which versions, what is wrong and how to mend it; spends nothing, and changes nothing without `repair`.

    Args:
        model: the judge that will be asked for.
        base_url: the judge's server; None: OPENAI_BASE_URL, else OpenAI.
        store: the judgement store; None: this user's.
        data_dir: the folder of the server of one's own; None: this user's.
        repair: mend what can be mended without a loss: who may read the store, a server that lost a part, its index.
        say: takes each finding as soon as it is made.
    """
    from argilla_admap.checkup import examine

    found = []
    place = None if store is None else Path(store)
    for one in examine(model=model, base_url=base_url, store=place, data_dir=data_dir, repair=repair):
        found.append(one)
        if say is not None:
            say(one)
    return found


def help(topic: str | None = None) -> str:
    """The longer text of a topic, as Markdown; without a topic, the topics and what they are about.

    Args:
        topic: judges, formats, map, privacy, threats, faq or troubleshooting.

    Raises:
        InputError: there is no such topic.
    """
    from argilla_admap import topics

    return "\n".join(f"{name}: {about}" for name, about in topics.TOPICS.items()) if topic is None else topics.topic(topic)


def _say_nothing(_line: str) -> None:
    """Where nobody listens."""


@overload
def demo(
    output_dir: str | os.PathLike[str] = ...,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    blind: bool = False,
    live: bool = False,
    say: Callable[[str], None] = ...,
    score_progress: Callable[[Progress], None] | None = None,
    push_progress: Callable[[int, int], None] | None = None,
    dry_run: Literal[False] = False,
) -> Demo: ...
@overload
def demo(
    output_dir: str | os.PathLike[str] = ...,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    blind: bool = False,
    live: bool = False,
    say: Callable[[str], None] = ...,
    score_progress: Callable[[Progress], None] | None = None,
    push_progress: Callable[[int, int], None] | None = None,
    dry_run: Literal[True],
) -> dict[str, Any]: ...
def demo(
    output_dir: str | os.PathLike[str] = "admap-demo",
    *,
    data_dir: str | os.PathLike[str] | None = None,
    blind: bool = False,
    live: bool = False,
    say: Callable[[str], None] = _say_nothing,
    score_progress: Callable[[Progress], None] | None = None,
    push_progress: Callable[[int, int], None] | None = None,
    dry_run: bool = False,
) -> Demo | dict[str, Any]:
    """A server of one's own, real pairs with planted label errors, their map and their queues. The server goes on running.

    Args:
        output_dir: where the example and its map go; made when absent.
        data_dir: the server's folder; None: one of this user.
        blind: with the blind layout.
        live: ask the judge, which is paid; else the recorded scores are used.
        say: takes a line for the person.
        score_progress, push_progress: called about twice a second.
        dry_run: start and write nothing, and return what the judge would cost.
    Raises:
        ServerError: a program is missing or the server does not start.
    """
    import tempfile

    from argilla_admap import demonstration

    if dry_run:
        with tempfile.TemporaryDirectory() as folder:
            return {**demonstration.estimate_cost(Path(folder), live=live), "dataset": demonstration.DATASET}
    return demonstration.show(
        Path(output_dir),
        data_dir=data_dir,
        blind=blind,
        live=live,
        say=say,
        score_progress=score_progress,
        push_progress=push_progress,
    )
