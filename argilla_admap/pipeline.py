"""The public functions that a script calls, and the main job in one call."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, overload

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.keywords import FIELDS, READING, listed, reading_of, scoring_of, takes
from argilla_admap.progress import drawn
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.push.push_options import PushOptions, PushProgress, PushResult
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.tables import RecordStream

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.formats.format import FieldNames
    from argilla_admap.formats.writeback.undo import Undone
    from argilla_admap.mapping.analysis.label_answers import LabelAnswer
    from argilla_admap.mapping.data_map import DataMap
    from argilla_admap.review.pull.copy_back import CopiedBack
    from argilla_admap.review.pull.pull import PullResult
    from argilla_admap.review.pull.to_file import Pulled
    from argilla_admap.review.watch.watch import Seen
    from argilla_admap.scoring.client.transport import Client
    from argilla_admap.scoring.run import Progress as ScoreProgress
    from argilla_admap.scoring.run import Scored
    from argilla_admap.tables import RecordStream

__all__ = [
    *(
        "SCORING",
        "SETTLING",
        "open_records",
        "Run",
        "check",
        "connect",
        "estimate",
        "map_path",
        "open_scored",
        "pull",
        "push",
        "read",
        "read_answers",
        "run",
        "score",
        "run_with",
        "score_with",
        "undo",
        "watch",
    )
]

_ARGILLA = "argilla:"
#: The options of scoring by the command line's names.
SCORING = {"scorer": "judge", "model": None, **{one.name: one.default for one in dataclasses.fields(ScoreOptions)}}
for _name in ("models", "model_named", "plan", "extra"):
    del SCORING[_name]
#: The options of a push to a data set of ours: fields of another one are told by `push` itself.
_PUSHED = {one.name: one.default for one in dataclasses.fields(PushOptions) if one.name not in ("reviewers", "dry_run")}
#: How several reviewers' answers are settled, where nothing is written.
SETTLING = {"workspace": None, "resolve": "majority", "adjudicators": (), "rating_question": None}


def connect(client: rg.Argilla | None = None, *, data_dir: str | os.PathLike[str] | None = None) -> rg.Argilla:
    """The Argilla to speak to: the client given, else ``ARGILLA_API_URL``, else the embedded server.

    Raises:
        ArgillaError: there is none of the three, or it does not answer.
        InputError: ARGILLA_API_URL is no address.
    """
    if client is not None:
        return client
    from argilla_admap.formats.values import shorten
    from argilla_admap.review.argilla import argilla_api
    from argilla_admap.review.argilla.refusals import plain_url

    url = os.environ.get("ARGILLA_API_URL")
    if url:
        if not url.startswith(("http://", "https://")):
            hint = "give it as the browser shows it, such as http://127.0.0.1:6900"
            raise InputError(f"ARGILLA_API_URL is {shorten(plain_url(url))}, which is no address", hint=hint)
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


@takes(dict.fromkeys(FIELDS))
def read(
    source: Any,
    *,
    format: str | None = None,
    fields: FieldNames | None = None,
    on_error: str = "stop",
    limit: int | None = None,
    split: str | None = None,
    client: rg.Argilla | None = None,
    **named: Any,
) -> RecordStream:
    """The records of a file, a folder, ``hf:ORG/NAME[:SPLIT]``, ``argilla:[WORKSPACE/]DATASET``, or of an object in memory.

    Args:
        source: where the data are; or the data: a data frame of pandas or polars, an Arrow table, a `datasets.Dataset` or
            `DatasetDict`, a list of dicts, an `rg.Dataset`.
        format: its name, where it is not to be recognised; of files.
        fields: names of the fields, where they are to be said by hand, as one value.
        named: names of single fields: ``prompt_field="question"``, ``rating_field=["a", "b"]``, ...
        on_error: ``stop`` at a bad row, or ``skip`` it and list it in the result's `report`.
        limit: records to read at most.
        split: of a data set with several splits, one of them or ``all``.
        client: of the Argilla server, for data that are there.
    Returns:
        A stream that can be gone through more than once; nothing is held in memory.
    Raises:
        InputError: the source is absent, or no known format. A bad row raises it when it is reached.
    """
    fields = reading_of({"fields": fields, **named} if fields is not None else named).get("fields")
    if named:
        raise TypeError(f"read() got an unexpected keyword argument {next(iter(named))!r}")
    place = isinstance(source, (str, os.PathLike))
    if (place and str(source).startswith(_ARGILLA)) or type(source).__module__.partition(".")[0] == "argilla":
        from argilla_admap.review.dataset.as_input import read_dataset

        for option, value in (("format", format), ("split", split)):
            if value is not None:
                raise InputError(f"{value!r}: a data set on Argilla has none", option=option, hint="leave it out")
        if place:
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
    from argilla_admap.stored import stored_scores

    if (scored := stored_scores(source)) is not None:
        if format is not None or on_error != "stop" or (fields or FieldNames()) != FieldNames():
            raise InputError(
                f"{source}: this file holds scores, in columns of our own",
                hint="leave out `format`, `on_error` and the names of fields, which are for data that are not scored yet",
            )
        return scored
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


@overload
def score(
    preferences: Any, *, dry_run: Literal[False] = False, output: str | os.PathLike[str] | None = None, **options: Any
) -> Scored: ...
@overload
def score(preferences: Any, *, dry_run: Literal[True], **options: Any) -> dict[str, Any]: ...
@takes(SCORING, READING)
def score(
    preferences: Any,
    *,
    client: Client | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: Callable[[ScoreProgress], None] | None = None,
    warn: Callable[[str], None] | None = None,
    dry_run: bool = False,
    **options: Any,
) -> Scored | dict[str, Any]:
    """Scores every completion; what was paid for is in the judgement store and never paid again.

    Args:
        preferences: what `read` gave; or what it takes (a path, a data frame, a list of dicts, ...), with its options.
        client: an openai client to ask with; None: made from ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL``.
        output: a Parquet file to keep the scores in; None: a temporary one.
        progress: called about twice a second; None: a bar in a notebook, else nothing.
        warn: takes a sentence for the person; None: Python's own warnings.
        dry_run: ask nobody, and return the calls, tokens and dollars that it would take.
        options: of `argilla_admap.scoring.options.ScoreOptions`: scorer (a name, a ``.py`` file or a function that gives a
            number for each completion), model (a name, or several for a panel), samples, max_cost, rubric, ...
    Raises:
        InputError: an option cannot be used; nothing was asked.
        ScoringError: the judge cannot be asked any more; what it answered is kept.
    """
    reading = reading_of(options)
    asked = scoring_of(options)
    stream = open_records(preferences, reading, asked.limit)
    # Before the first call: bad input never costs one.
    found = check(stream, warn)
    say = warn or (lambda words: warnings.warn(words, stacklevel=3))
    if asked.unused:
        say(asked.unused)
    if dry_run:
        return {**estimate(stream, asked), **found}
    with drawn(progress, "scoring") as told:
        scored = score_with(stream, asked, client=client, output=output, progress=told, warn=say)
    scored.summary.update(found)
    if asked.scorer == "existing" and not scored.summary["scored"]:
        say("no record carries scores: to have them scored leave `scorer` out and name a judge in `model`")
    return scored


def open_records(preferences: Any, reading: dict[str, Any], limit: int | None = None) -> RecordStream:
    """The stream itself, or what is read of a place."""
    if not isinstance(preferences, RecordStream):
        return read(preferences, limit=limit, **reading)
    if reading:
        raise InputError("the records are read already", option=next(iter(reading)), hint="give it to `read`, or give the path")
    return preferences


def estimate(preferences: RecordStream, options: ScoreOptions) -> dict[str, Any]:
    """What scoring would ask and cost; asks nobody."""
    if options.adaptive or options.screen is not None:
        from argilla_admap.adaptive import estimate as how
    else:
        from argilla_admap.scoring.run import estimate as how
    return how(preferences, options)


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


@takes(PushOptions)
def push(
    data_map: DataMap | str | os.PathLike[str] | None,
    dataset: str,
    client: rg.Argilla | None = None,
    *,
    reviewers: str | Sequence[str] = (),
    completion_field: str | Sequence[str] = (),
    adjudicate: bool = False,
    adjudicator: str | None = None,
    embedding_model: str | None = None,
    embedding_base_url: str | None = None,
    max_cost: float | None = None,
    price: tuple[float, float] | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: PushProgress | None = None,
    **options: Any,
) -> PushResult:
    """Makes the Argilla data set with its review page, or enriches the one that is there.

    Args:
        data_map: a map, or its file; None with `adjudicate`: the conflicts alone.
        progress: called after each request with how many records were sent; None: a bar in a notebook, else nothing.
        dataset: ``[WORKSPACE/]NAME``.
        client: of the server; None: ``ARGILLA_API_URL``, else the embedded server.
        reviewers: usernames to assign the records to.
        completion_field: the completions' fields of a data set that is not ours, where they are not recognised.
        adjudicate: put the conflicts into a third person's queue.
        adjudicator: that person; None: the client's own user.
        embedding_model, embedding_base_url, max_cost, price, store: for `text_vectors` endpoint: the model (or ``local:NAME``),
            its server, the US dollars that it may cost, its price a million tokens in and out, and where vectors are kept.
        options: of `argilla_admap.review.push.push_options.PushOptions`.

    Raises:
        InputError: a value that Argilla would lose; nothing was sent.
        ArgillaError: there is no server, or it said no.
    """
    from argilla_admap.mapping.data_map import DataMap
    from argilla_admap.review.people.adjudication import ask_adjudicator
    from argilla_admap.review.push import push as room

    if completion_field:
        options["completion_fields"] = listed(completion_field)
    asked = PushOptions(reviewers=listed(reviewers), **options)
    if data_map is None and not adjudicate:
        raise InputError("no map is given", option="data_map", hint="only `adjudicate` does without")
    opened = DataMap.read(data_map) if isinstance(data_map, (str, os.PathLike)) else data_map
    embedding = _embedding_options(embedding_model, embedding_base_url, max_cost, store, price)
    argilla = connect(client)
    pushed = PushResult(dataset, created=False, records=0, added=0, updated=0)
    if opened is not None:
        with drawn(progress, "pushing") as told:
            pushed = room.push(opened, dataset, argilla, asked, progress=told, embedding=embedding)
    if not adjudicate or (asked.dry_run and pushed.created):
        return pushed
    conflicts = ask_adjudicator(dataset, argilla, adjudicator=adjudicator, dry_run=asked.dry_run)
    return replace(pushed, dataset=conflicts.dataset, adjudicate=conflicts.json())


def _embedding_options(
    model: str | None,
    base_url: str | None,
    max_cost: float | None,
    store: str | os.PathLike[str] | None,
    price: tuple[float, float] | None = None,
) -> ScoreOptions:
    """Of the model that makes the vectors of the texts."""
    extra = {name: value for name, value in (("embedding_model", model), ("embedding_base_url", base_url)) if value}
    return ScoreOptions(max_cost=max_cost, price=price, store=Path(store) if store else None, extra=extra)


@overload
def pull(dataset: str, client: rg.Argilla | None = None, *, home: Literal[True], **options: Any) -> CopiedBack: ...
@overload
def pull(
    dataset: str,
    client: rg.Argilla | None = None,
    *,
    output: None = None,
    home: Literal[False] = False,
    dry_run: Literal[False] = False,
    **options: Any,
) -> PullResult: ...
@overload
def pull(
    dataset: str,
    client: rg.Argilla | None = None,
    *,
    output: None = None,
    home: Literal[False] = False,
    dry_run: Literal[True],
    **options: Any,
) -> Pulled: ...
@overload
def pull(
    dataset: str,
    client: rg.Argilla | None = None,
    *,
    output: str | os.PathLike[str],
    home: Literal[False] = False,
    undo: None = None,
    **options: Any,
) -> Pulled: ...
@overload
def pull(
    dataset: str,
    client: rg.Argilla | None = None,
    *,
    undo: str | os.PathLike[str],
    output: str | os.PathLike[str],
    **options: Any,
) -> Undone: ...
@takes(PullOptions, READING)
def pull(
    dataset: str,
    client: rg.Argilla | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    home: bool = False,
    undo: str | os.PathLike[str] | None = None,
    **options: Any,
) -> PullResult | Pulled | CopiedBack | Undone:
    """The reviewers' answers as corrected labels.

    Args:
        dataset: ``[WORKSPACE/]NAME``; with `undo`, the file that holds the corrections.
        client: of the server; None: as for `push`.
        output: the file or new folder to write; None: nothing is written, the answers are returned.
        home: of a review copy: adds its answers to the data set that was copied.
        undo: the file of changes of an earlier pull: they are taken back, as `argilla_admap.undo` does.
        options: of `argilla_admap.review.pull.pull_options.PullOptions`, and names of fields as for `read`.

    Raises:
        InputError: an option that cannot be used.
        ArgillaError: there is no server or no such data set.
    """
    for name in ("original", "changes"):
        if options.get(name) is not None:
            options[name] = os.fspath(options[name])
    kept = {name: options.pop(name) for name in ("format", "split", "on_error") if name in options}
    options |= kept | reading_of(options)
    asked = PullOptions(output=None if output is None else os.fspath(output), **options)
    if home:
        from argilla_admap.review.pull.copy_back import copy_back

        return copy_back(dataset, connect(client), **asked.only("home", "workspace", "rating_question", "dry_run"))
    if undo is not None:
        if output is None:
            raise InputError(
                "no file to write is named", option="output", hint="the file that holds the corrections stays as it is"
            )
        return _take_back(undo, dataset, **asked.only("undo", "output", *_REREAD, "dry_run"))
    if output is None and asked.changes is None and asked.original is None and not asked.dry_run:
        from argilla_admap.review.pull import pull as room

        return room.pull(dataset, connect(client), asked)
    from argilla_admap.review.pull.to_file import pull_to_file

    return pull_to_file(dataset, connect(client), asked)


def read_answers(place: str, client: rg.Argilla | None = None) -> dict[str, LabelAnswer]:
    """What people said of each label, by record id: what `build_map` learns from.

    Args:
        place: a data set on Argilla, or a file of changes that a pull wrote.
        client: of the server; None: as for `push`.

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

    Rows that the pull left out (`ties` drop, `reviewed_only`) are put back where they stood.

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

    found = read_changes(changes)
    return undo_corrections(
        source,
        output,
        found.written,
        gaps=found.gaps,
        format=original_format,
        fields=fields,
        split=split,
        on_error=on_error,
        dry_run=dry_run,
    )


_take_back = undo
#: How the file is read again that corrections are taken back in.
_REREAD = ("original_format", "fields", "split", "on_error")


@takes(SETTLING, of=PullOptions)
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
        client: of the server; None: as for `push`.
        stop: ends the watch within a second.
        options: of `argilla_admap.review.pull.pull_options.PullOptions`: workspace, resolve, adjudicators, rating_question.

    Raises:
        InputError: a data set that asks nothing about the label, or a map that cannot be read.
        ArgillaError: there is no server or no such data set.
    """
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


@overload
def run(preferences: Any, dataset: str, *, dry_run: Literal[False] = False, **options: Any) -> Run: ...
@overload
def run(preferences: Any, dataset: str, *, dry_run: Literal[True], **options: Any) -> dict[str, Any]: ...
@takes(SCORING, READING, _PUSHED, of=PushOptions)
def run(
    preferences: Any,
    dataset: str,
    *,
    output: str | os.PathLike[str] | None = None,
    stratify: str | None = None,
    reviewers: str | Sequence[str] = (),
    embedding_model: str | None = None,
    embedding_base_url: str | None = None,
    client: rg.Argilla | None = None,
    judge: Client | None = None,
    score_progress: Callable[[ScoreProgress], None] | None = None,
    push_progress: PushProgress | None = None,
    warn: Callable[[str], None] | None = None,
    dry_run: bool = False,
    **options: Any,
) -> Run | dict[str, Any]:
    """The main job: score, map, push. Stopped anywhere, the same call goes on where it was.

    Args:
        preferences: what `read` gave; or what it takes, with its options.
        dataset: ``[WORKSPACE/]NAME`` on Argilla.
        output: the map's file, ``NAME.map.parquet`` by default; the scores are kept beside it as ``NAME.scored.parquet``.
        stratify: split the regions within each value of this column.
        reviewers: usernames to assign the records to.
        embedding_model, embedding_base_url: for `text_vectors` endpoint: the model (or ``local:NAME``), and where it is served.
        client: of the Argilla server; None: as for `push`.
        judge: an openai client.
        score_progress, push_progress: called now and then with how far each is; None: a bar in a notebook, else nothing.
        warn: takes a sentence for the person; None: Python's own warnings.
        dry_run: ask nobody, and return the calls, tokens and dollars that it would take.
        options: those of `score` and of `push`.
    Raises:
        InputError: an option cannot be used; nothing was asked.
    """
    reading = reading_of(options)
    pushed = {name: options.pop(name) for name in _PUSHED if name in options}
    embedder = {"embedding_model": embedding_model, "embedding_base_url": embedding_base_url}
    given = {name: value for name, value in embedder.items() if value is not None}
    if pushed.get("text_vectors") == "endpoint":
        pushed |= embedder
    elif given and options.get("scorer") != "reference":
        raise InputError(
            "no vectors are asked of a model", option=min(given), hint="add `text_vectors` endpoint, or leave it out"
        )
    if options.get("scorer") == "reference":
        # It embeds by the same model; other scorers know none.
        options |= given
    asked = scoring_of(options)
    if asked.shard is not None:
        hint = "score each part, join them with merge, then map and push; or have a cluster do it all with `engine` ray"
        raise InputError("a map and its review are of all records, and a shard holds its own alone", option="shard", hint=hint)
    stream = open_records(preferences, reading, asked.limit)
    if dry_run:
        check(stream, warn)
        return {**estimate(stream, asked), "dataset": dataset}
    return run_with(
        stream,
        dataset,
        options=asked,
        output=map_path(dataset) if output is None else Path(output),
        client=client,
        judge=judge,
        stratify=stratify,
        score_progress=score_progress,
        push_progress=push_progress,
        warn=warn,
        reviewers=listed(reviewers),
        **pushed,
    )


def run_with(
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
    """`run`, with the options of scoring as one value; `push_options` are those of `PushOptions`."""
    from argilla_admap.mapping.data_map import build_map
    from argilla_admap.review.argilla.argilla_api import Api, parse_address
    from argilla_admap.review.dataset.settings import choose_workspace
    from argilla_admap.scoring.text_embedding import TextEmbedding

    # A server that is too old or not there, a workspace that is not there, a bad row, or vectors without a price are found out
    # before the judge is paid.
    argilla = connect(client)
    address = parse_address(dataset, push_options.get("workspace"))
    api = Api(argilla)
    api.check_version()
    if api.find(address) is None:
        choose_workspace(api, address)
    check(preferences, warn)
    if options.unused and warn is not None:
        warn(options.unused)
    embedded = push_options.get("text_vectors") == "endpoint"
    if embedded:
        push_options["embedding_base_url"] = push_options.get("embedding_base_url") or options.base_url
        push_options["store"] = options.store
        model, url = push_options.get("embedding_model"), push_options["embedding_base_url"]
        TextEmbedding(_embedding_options(model, url, options.max_cost, options.store), dry=True).close()
    with drawn(score_progress, "scoring") as told:
        scored = score_with(preferences, options, client=judge, output=scored_path(output), progress=told, warn=warn)
    data_map = build_map(scored, stratify=stratify, engine=options.engine)
    data_map.write(output)
    if embedded and options.max_cost is not None:
        push_options["max_cost"] = max(0.0, options.max_cost - (scored.summary["cost_usd"] or 0.0))
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
