"""The commands that look at a map or at a data set, as functions with the same names and options."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError
from argilla_admap.pipeline import connect, open_scored

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.mapping.analysis.comparison import Comparison
    from argilla_admap.mapping.analysis.selection import Rules, Selection
    from argilla_admap.mapping.analysis.selftest import SelfTest
    from argilla_admap.mapping.data_map import DataMap
    from argilla_admap.review.queues.queues import QueueCount
    from argilla_admap.review.status.status import Status
    from argilla_admap.tables import RecordStream

__all__ = ["Selected", "compare", "queues", "select", "selftest", "status"]


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
    Raises:
        InputError: an option cannot be used, or no record is left; nothing was written.
    """
    from argilla_admap.mapping.analysis.selection import Rules, chosen_stream, select_records

    rules = Rules(
        regions=_listed(region),
        max_p_wrong=max_p_wrong,
        without_flags=_listed(without_flag),
        agreed_by=agreed_by,
        fraction=fraction,
        stratify=stratify,
        seed=seed,
    )
    opened = _opened(data_map)
    selection = select_records(opened.frame, rules, _vectors(embeddings, opened))
    if not selection.chosen.any():
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in selection.dropped.items())
        unplaced = selection.dropped.get("no region") == len(selection.chosen)
        hint = "score the data and map them again, or leave `region` out" if unplaced else "ask for less"
        place = "" if opened is data_map else f"{data_map}: "
        raise InputError(f"{place}no record is left ({reasons}); nothing was written", hint=hint)
    if output is None:
        return Selected(selection, 0, None)
    stream = chosen_stream(opened.stream(), selection)
    words = os.fspath(output)
    if format is None and Path(words).suffix == ".parquet" and not words.startswith("hf:"):
        from argilla_admap.tables import write_parquet

        write_parquet(Path(words), stream.batches(), stream.schema, stream.info)
        return Selected(selection, 0, words)
    from argilla_admap.formats import writing
    from argilla_admap.formats.data_card import CardFacts, data_card

    doubt = opened.frame["p_wrong"][selection.chosen]
    facts = CardFacts(
        title=Path(words.removeprefix("hf:")).name,
        records=int(selection.chosen.sum()),
        errors_left=(float(doubt.sum()), None, None) if doubt.notna().all() else None,
        sentences=(f"Chosen from {len(selection.chosen):,} records by an Alignment Data Map: {_in_words(rules)}.",),
    )
    report = writing.write(stream, words, format, card=lambda rows, name: data_card(facts, rows, name))
    return Selected(selection, report.left_out, words, report.format, tuple(report.notes))


def _in_words(rules: Rules) -> str:
    """The rules of a choice, for its data card."""
    parts = [f"region {', '.join(rules.regions)}"] if rules.regions else []
    parts += [f"P(wrong) up to {rules.max_p_wrong:g}"] if rules.max_p_wrong is not None else []
    parts += [f"without the flags {', '.join(rules.without_flags)}"] if rules.without_flags else []
    parts += [f"labels that {rules.agreed_by} judges agree with"] if rules.agreed_by is not None else []
    parts += [f"at most {rules.fraction:.0%} of the records, the best by mean score"] if rules.fraction is not None else []
    parts += [f"with the mix of {rules.stratify} kept"] if rules.stratify else []
    return ", ".join(parts) or "all records"


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    every = (names,) if isinstance(names, str) else names
    return tuple(name.strip() for one in every for name in one.split(","))


def _vectors(embeddings: str | os.PathLike[str] | None, data_map: DataMap) -> Any:
    if embeddings is None:
        return None
    if embeddings == "position":
        from argilla_admap.mapping.analysis.selection import map_vectors

        return map_vectors(data_map.frame)
    from argilla_admap.formats.vectors import read_vectors

    return read_vectors(Path(embeddings), data_map.frame["id"].tolist())


def compare(map_a: DataMap | str | os.PathLike[str], map_b: DataMap | str | os.PathLike[str]) -> Comparison:
    """Two maps of the same records, joined by id: what moved, how far the judges agree, how each is biased.

    Raises:
        InputError: a file is no map, or they share no record.
    """
    from argilla_admap.mapping.analysis.comparison import compare_maps

    return compare_maps(_opened(map_a), _opened(map_b))


def selftest(
    scored: RecordStream | DataMap | str | os.PathLike[str],
    *,
    kind: str = "swap",
    rate: float = 0.1,
    rounds: int = 5,
    seed: int = 0,
) -> SelfTest:
    """Plants known label errors in a copy, and measures how many are found; no file is changed, no judge asked.

    Args:
        scored: a map or scored data, or their file.
        kind: ``swap``, ``permutation`` or ``x10``.
        rate: share of the labelled records that get an error, above 0 and up to 0.45.
        rounds: repetitions, each with other records.
        seed: of the records chosen.
    Raises:
        InputError: an option cannot be used, or there is nothing to plant errors in.
    """
    from argilla_admap.mapping.analysis import selftest as analysis
    from argilla_admap.mapping.data_map import DataMap

    if isinstance(scored, (str, os.PathLike)):
        stream = open_scored(os.fspath(scored))
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

    wanted = (sort,) if isinstance(sort, str) else sort
    return find_queues(connect(client), dataset, where=where, sort=wanted, similar_to=similar_to, by=by)[1]


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
