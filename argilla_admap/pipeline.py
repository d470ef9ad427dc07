"""The public functions that a script calls, and the main job in one call."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.tables import RecordStream

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.formats.format import FieldNames
    from argilla_admap.formats.writeback.undo import Undone
    from argilla_admap.mapping.analysis.label_answers import LabelAnswer
    from argilla_admap.mapping.data_map import DataMap
    from argilla_admap.review.pull.pull import PullResult
    from argilla_admap.review.push.push_options import PushProgress, PushResult
    from argilla_admap.review.watch.watch import Seen
    from argilla_admap.scoring.client.transport import Client
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.run import Progress as ScoreProgress
    from argilla_admap.scoring.run import Scored
    from argilla_admap.tables import RecordStream

__all__ = [
    *(
        "Run",
        "check",
        "connect",
        "map_path",
        "open_scored",
        "pull",
        "push",
        "read",
        "read_answers",
        "run",
        "score",
        "score_with",
        "undo",
        "watch",
    )
]

_ARGILLA = "argilla:"


def connect(client: rg.Argilla | None = None, *, data_dir: str | os.PathLike[str] | None = None) -> rg.Argilla:
    """The Argilla to speak to: the client given, else ``ARGILLA_API_URL``, else the embedded server.

    Raises:
        ArgillaError: there is none of the three, or it does not answer.
    """
    if client is not None:
        return client
    from argilla_admap.review.argilla import argilla_api

    url = os.environ.get("ARGILLA_API_URL")
    if url:
        key = os.environ.get("ARGILLA_API_KEY")
        if not key:
            raise ArgillaError(
                "ARGILLA_API_URL is set and ARGILLA_API_KEY is not", hint="take the key from Argilla's page, My settings"
            )
        return argilla_api.connect(url, key)
    from argilla_admap.server import launcher

    found = launcher.find(data_dir)
    if found is None:
        raise ArgillaError(
            "no Argilla server is known",
            hint="set ARGILLA_API_URL and ARGILLA_API_KEY, or start one of your own with `admap server start`",
        )
    return argilla_api.connect(found.url, found.api_key)


def read(
    source: Any,
    *,
    format: str | None = None,
    fields: FieldNames | None = None,
    on_error: str = "stop",
    limit: int | None = None,
    split: str | None = None,
    client: rg.Argilla | None = None,
) -> RecordStream:
    """The records of a file, a folder, ``hf:ORG/NAME[:SPLIT]``, ``argilla:[WORKSPACE/]DATASET``, or of an object in memory.

    Args:
        source: where the data are; or the data: a data frame of pandas or polars, an Arrow table, a `datasets.Dataset` or
            `DatasetDict`, a list of dicts, an `rg.Dataset`.
        format: its name, where it is not to be recognised; of files.
        fields: names of the fields, where they are to be said by hand.
        on_error: ``stop`` at a bad row, or ``skip`` it and list it in the result's `report`.
        limit: records to read at most.
        split: of a data set with several splits, one of them or ``all``.
        client: of the Argilla server, for data that are there.
    Returns:
        A stream that can be gone through more than once; nothing is held in memory.
    Raises:
        InputError: the source is absent, or no known format. A bad row raises it when it is reached.
    """
    named = isinstance(source, (str, os.PathLike))
    if (named and str(source).startswith(_ARGILLA)) or type(source).__module__.partition(".")[0] == "argilla":
        from argilla_admap.review.dataset.as_input import read_dataset

        for option, value in (("format", format), ("split", split)):
            if value is not None:
                raise InputError(f"{value!r}: a data set on Argilla has none", option=option, hint="leave it out")
        if named:
            name = str(source).removeprefix(_ARGILLA)
            return read_dataset(name, connect(client), fields=fields, on_error=on_error, limit=limit)
        import argilla as rg

        if not isinstance(source, rg.Dataset):
            raise InputError(f"a {type(source).__name__} of Argilla cannot be read", hint="give its Dataset")
        # The data set knows its server: no other needs to be known.
        return read_dataset(source, client or source._client, fields=fields, on_error=on_error, limit=limit)
    from argilla_admap.formats import registry

    return registry.read(source, format=format, fields=fields, on_error=on_error, limit=limit, split=split)


def open_scored(
    source: str,
    *,
    format: str | None = None,
    fields: FieldNames | None = None,
    on_error: str = "stop",
    split: str | None = None,
    say: Callable[[str], None] | None = None,
) -> RecordStream:
    """What `score` or `build_map` wrote, every row of it checked as it comes; else the records of any source, as `read`.

    Args:
        source: a Parquet file of scores or a map; or what `read` takes.
        format, fields, on_error, split: as for `read`; of data that are not scored yet.
        say: takes what was taken for what.
    Raises:
        InputError: the source is absent or cannot be used.
    """
    from argilla_admap.formats.format import FieldNames
    from argilla_admap.stored import holds_scores, read_stored
    from argilla_admap.tables import read_stream

    if source.endswith(".parquet") and Path(source).is_file():
        opened = read_stream(source)
        if holds_scores(opened):
            if format is not None or on_error != "stop" or (fields or FieldNames()) != FieldNames():
                raise InputError(
                    f"{source}: this file holds scores, in columns of our own",
                    hint="leave out `format`, `on_error` and the names of fields, which are for data that are not scored yet",
                )
            return read_stored(source, opened)
    preferences = read(source, format=format, fields=fields, on_error=on_error, split=split)
    check(preferences, say)
    return preferences


def check(preferences: RecordStream, say: Callable[[str], None] | None = None) -> dict[str, int]:
    """Goes through the records once before anything is spent, and says what was taken for what.

    Returns:
        ``{"labelled": records with a label}``; empty for records of our own making.
    Raises:
        InputError: a row cannot be used; nothing was asked, nothing written.
    """
    from argilla_admap.formats.registry import CheckedRecords

    if not isinstance(preferences, CheckedRecords):
        return {}
    if say is not None:
        say(f"Read as {preferences.format}")
    report = preferences.check()
    for line in (*report.lines(), *report.overview()):
        if say is not None:
            say(line)
    return {"labelled": report.labelled}


def score(
    preferences: Any,
    *,
    scorer: str | Callable[..., Any] = "judge",
    model: str | Sequence[str] | None = None,
    client: Client | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: Callable[[ScoreProgress], None] | None = None,
    warn: Callable[[str], None] | None = None,
    **options: Any,
) -> Scored:
    """Scores every completion; what was paid for is in the judgement store and never paid again.

    Args:
        preferences: what `read` gave, or what it takes: a path, a data frame, a list of dicts, ...
        scorer: ``judge``, ``reference``, ``reward``, ``existing`` (scores that the data carry), a ``.py`` file with a function
            ``score(prompt, completions)``, or such a function: a number for each completion.
        model: the judge's name, or several for a panel.
        client: an openai client to ask with; None: made from ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL``.
        output: a Parquet file to keep the scores in; None: a temporary one.
        progress: called about twice a second.
        warn: takes a sentence for the person; None: Python's own warnings.
        options: of `argilla_admap.scoring.options.ScoreOptions`: samples, max_cost, rubric, ...
    Raises:
        InputError: an option cannot be used; nothing was asked.
        ScoringError: the judge cannot be asked any more; what it answered is kept.
    """
    say = warn or (lambda words: warnings.warn(words, stacklevel=3))
    stream = preferences if isinstance(preferences, RecordStream) else read(preferences)
    scored = score_with(
        stream, _score_options(scorer, model, options), client=client, output=output, progress=progress, warn=say
    )
    if scorer == "existing" and not scored.summary["scored"]:
        say("no record carries scores: to have them scored leave `scorer` out and name a judge in `model`")
    return scored


def score_with(
    preferences: RecordStream,
    options: ScoreOptions,
    *,
    client: Client | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: Callable[[ScoreProgress], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Scored:
    """`score`, with the options as one value; adaptive where they say so."""
    if options.adaptive or options.screen is not None:
        from argilla_admap.adaptive import score_adaptively as how
    else:
        from argilla_admap.scoring.run import score as how
    place = None if output is None else os.fspath(output)
    return how(preferences, options, client=client, output=place, progress=progress, warn=warn)


def _score_options(
    scorer: str | Callable[..., Any], model: str | Sequence[str] | None, options: dict[str, Any]
) -> ScoreOptions:
    from argilla_admap.scoring.options import ScoreOptions

    models = (model,) if isinstance(model, str) else tuple(model or ())
    return ScoreOptions(scorer=scorer, models=models, **options)


def push(
    data_map: DataMap,
    dataset: str,
    client: rg.Argilla | None = None,
    *,
    progress: PushProgress | None = None,
    **options: Any,
) -> PushResult:
    """Makes the Argilla data set with its review page, or enriches the one that is there.

    Args:
        options: of `argilla_admap.review.push.push_options.PushOptions`.

    Raises:
        InputError: a value that Argilla would lose; nothing was sent.
        ArgillaError: there is no server, or it said no.
    """
    from argilla_admap.review.push import push as room
    from argilla_admap.review.push.push_options import PushOptions

    return room.push(data_map, dataset, connect(client), PushOptions(**options), progress=progress)


def pull(dataset: str, client: rg.Argilla | None = None, **options: Any) -> PullResult:
    """The reviewers' answers as corrected labels.

    Args:
        options: of `argilla_admap.review.pull.pull_options.PullOptions`.

    Raises:
        ArgillaError: there is no server or no such data set.
    """
    from argilla_admap.review.pull import pull as room
    from argilla_admap.review.pull.pull_options import PullOptions

    return room.pull(dataset, connect(client), PullOptions(**options))


def read_answers(place: str, client: rg.Argilla | None = None) -> dict[str, LabelAnswer]:
    """What people said of each label, by record id: what `build_map` learns from.

    Args:
        place: a data set on Argilla, or a file of changes that a pull wrote.

    Raises:
        ArgillaError: there is no server or no such data set.
        InputError: the file is absent, or a line of it is no change.
    """
    from argilla_admap.mapping.analysis.label_answers import LabelAnswer

    if place.endswith(".jsonl"):
        return {change["id"]: _answer_of(change) for change in _changes(Path(place))}
    from argilla_admap.review.pull.reviews import read_reviews

    return {
        review.id: LabelAnswer(
            tuple(review.before),
            tuple(review.after) if review.after is not None else None,
            # A tie says that neither is better, not that the label is the wrong way round.
            {one.user_id: one.corrects for one in review.answers if one.corrects is not None and one.verdict is None},
        )
        for review in read_reviews(place, connect(client)).records.values()
    }


def _answer_of(change: dict[str, Any]) -> LabelAnswer:
    """A line of a file of changes; a conflict settles nothing, and each of its votes is one."""
    from argilla_admap.mapping.analysis.label_answers import LabelAnswer

    before, after = tuple(change["before"]), tuple(change["after"])
    settled = change.get("outcome", "corrected") not in ("conflict", "unclear")
    votes = {
        str(vote["reviewer"]): tuple(vote["label"]) != before
        for vote in change.get("votes") or ()
        if vote["label"] is not None and vote["answer"].get("better") not in ("tie", "both_bad")
    }
    return LabelAnswer(before, after if settled else None, votes if "votes" in change else {"": before != after})


def _changes(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path}: cannot be read ({exc})", option="answers") from exc
    for number, line in enumerate(lines, 1):
        try:
            change = json.loads(line)
            if not (isinstance(change["id"], str) and isinstance(change["before"], list) and isinstance(change["after"], list)):
                raise TypeError
        except (ValueError, KeyError, TypeError) as exc:
            hint = "give a file that `admap pull` wrote with its changes, or the name of a data set on Argilla"
            raise InputError(f"{path}:{number}: not a change with id, before and after", option="answers", hint=hint) from exc
        yield change


def undo(
    changes: str | os.PathLike[str],
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    original_format: str | None = None,
    fields: FieldNames | None = None,
    split: str | None = None,
    on_error: str = "stop",
    dry_run: bool = False,
) -> Undone:
    """Takes the corrections of one pull back: `source` again, each of its rows that says what was written as it was before.

    Args:
        changes: the file of changes that the pull wrote.
        source: the file that holds the corrections.
        output: the file to write.
        original_format, fields, split, on_error: as for `pull`.
        dry_run: count, and write nothing.

    Raises:
        InputError: a file that cannot be used; nothing was written.
    """
    from argilla_admap.formats.writeback.undo import undo_corrections
    from argilla_admap.review.pull.audit import read_changes

    found, _ = read_changes(changes)
    return undo_corrections(
        source, output, found, format=original_format, fields=fields, split=split, on_error=on_error, dry_run=dry_run
    )


def watch(
    dataset: str,
    client: rg.Argilla | None = None,
    *,
    data_map: str | os.PathLike[str] | None = None,
    every: int = 50,
    listen: str | None = None,
    once: bool = False,
    stop: Event | None = None,
    **options: Any,
) -> Iterator[Seen]:
    """Takes answers in as they are made, and yields what each reading found, until `stop` is set.

    Args:
        dataset: ``[WORKSPACE/]NAME``.
        data_map: the map's file; with it P(wrong), flags and queues are renewed from the answers now and then.
        every: after so many answers.
        listen: ``HOST:PORT`` at which a server elsewhere is to tell of answers; one on this machine does so by itself.
        once: take in what is there, and end.
        stop: ends the watch within a second.
        options: of `argilla_admap.review.pull.pull_options.PullOptions`: workspace, resolve, adjudicators, rating_question.

    Raises:
        InputError: a data set that asks nothing about the label, or a map that cannot be read.
        ArgillaError: there is no server or no such data set.
    """
    from argilla_admap.review.pull.pull_options import PullOptions
    from argilla_admap.review.watch.watch import WatchOptions
    from argilla_admap.review.watch.watch import watch as begin

    argilla = connect(client)
    asked = WatchOptions(PullOptions(**options), every, listen, once)
    place = dataset if "/" in dataset or asked.pull.workspace is None else f"{asked.pull.workspace}/{dataset}"
    renew = None
    if data_map is not None:
        scored = open_scored(os.fspath(data_map))
        renew = partial(_learn, scored, place, argilla)
    return begin(place, argilla, asked, renew=renew, stop=stop)


def _learn(scored: RecordStream, dataset: str, client: rg.Argilla) -> None:
    from argilla_admap.mapping.data_map import build_map

    push(build_map(scored, stratify=scored.info.get("stratify"), answers=read_answers(dataset, client)), dataset, client)


@dataclass(frozen=True, slots=True)
class Run:
    """What the main job did."""

    scored: Scored
    data_map: DataMap
    pushed: PushResult
    #: Where the map is kept.
    output: Path

    def answer(self) -> dict[str, Any]:
        """The JSON answer: the push's, with `score` and `map` inside."""
        return {
            **self.pushed.json(),
            "score": self.scored.summary,
            "map": {**self.data_map.summary, "output": str(self.output)},
        }


def run(
    preferences: RecordStream,
    dataset: str,
    *,
    options: ScoreOptions,
    output: Path,
    client: rg.Argilla | None = None,
    judge: Client | None = None,
    stratify: str | None = None,
    score_progress: Callable[[ScoreProgress], None] | None = None,
    push_progress: PushProgress | None = None,
    warn: Callable[[str], None] | None = None,
    **push_options: Any,
) -> Run:
    """The main job: score, map, push. Stopped anywhere, the same call goes on where it was.

    Args:
        preferences: what `read` gave.
        dataset: ``[WORKSPACE/]NAME`` on Argilla.
        options: how to score.
        output: the map's file; the scores are kept beside it as ``NAME.scored.parquet``.
        client: of the Argilla server; asked for before the first judgement is paid.
        judge: an openai client.
        stratify: split the regions within each value of this column.
        push_options: of `argilla_admap.review.push.push_options.PushOptions`.
    """
    from argilla_admap.mapping.data_map import build_map
    from argilla_admap.review.argilla.argilla_api import Api, parse_address
    from argilla_admap.review.dataset.settings import choose_workspace

    # A server or workspace that is not there, or a bad row, is found out before the judge is paid.
    argilla = connect(client)
    address = parse_address(dataset, push_options.get("workspace"))
    api = Api(argilla)
    if api.find(address) is None:
        choose_workspace(api, address)
    check(preferences, warn)
    scored = score_with(preferences, options, client=judge, output=scored_path(output), progress=score_progress, warn=warn)
    data_map = build_map(scored, stratify=stratify)
    data_map.write(output)
    pushed = push(data_map, dataset, argilla, progress=push_progress, **push_options)
    return Run(scored, data_map, pushed, output)


def map_path(dataset: str) -> Path:
    """Where the map of a data set is kept when nobody says: ``NAME.map.parquet`` in the current folder."""
    name = dataset.rpartition("/")[2]
    # The name may hold what a file's name cannot, or begin as a hidden file or an option does.
    stem = re.sub(r"[^\w.-]", "_", name).lstrip(".-")
    return Path(f"{stem or 'data'}.map.parquet")


def scored_path(output: Path) -> Path:
    """Where the scores of a map are kept: beside it."""
    stem = output.name.removesuffix(".parquet").removesuffix(".map")
    return output.with_name(f"{stem}.scored.parquet")
