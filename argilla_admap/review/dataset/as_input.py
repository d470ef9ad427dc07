"""``argilla:[WORKSPACE/]DATASET`` as input: the records of a data set on Argilla, streamed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

import orjson

from argilla_admap.errors import InputError
from argilla_admap.formats.registry import CheckedRecords, ReadReport
from argilla_admap.formats.values import in_backticks
from argilla_admap.records import Record
from argilla_admap.review.argilla.argilla_api import Address, Api, RemoteDataset, parse_address
from argilla_admap.review.dataset.adapters import DatasetAdapter, External
from argilla_admap.review.dataset.answers import Ratings
from argilla_admap.review.dataset.recognise import adapter_for
from argilla_admap.review.dataset.server_record import ServerRecord

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.formats.format import FieldNames

__all__ = ["DatasetRecords", "named_fields", "read_dataset"]

_SHOWN = 20
#: The search for records with an answer that somebody submitted.
_SUBMITTED = {"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["submitted"]}
_ANSWERED = {"filters": {"and": [_SUBMITTED]}}


class NamedFields(TypedDict, total=False):
    """The options of `adapter_for` that name fields."""

    prompt_field: str | None
    completion_fields: tuple[str, ...]
    labelled: bool


class DatasetRecords(CheckedRecords):
    """The records of a data set.

    Args:
        api, target, adapter: the data set and how to read it.
        on_error: what to do with a record that lacks a text: ``stop`` raises InputError, ``skip`` counts and lists it.
        limit: the most records to give.
        corrections: ratings, as `pull` gives them, to replace a record's own; then every record is given, also one that has
            the texts of another.
        only: the ids of the records to give; all where it is left out.
        dropped: the ids of records not to give.
        pages: the server's records, a page of JSON each, where they are read already; None: each pass asks the server.
    """

    def __init__(
        self,
        api: Api,
        target: RemoteDataset,
        adapter: DatasetAdapter,
        *,
        on_error: str = "stop",
        limit: int | None = None,
        corrections: Mapping[str, Ratings] | None = None,
        only: Set[str] | None = None,
        dropped: Collection[str] = (),
        pages: Iterable[bytes] | None = None,
    ) -> None:
        super().__init__({"source": f"argilla:{target.full_name}"})
        self.format = _description(target, adapter)
        self._api, self._target, self._adapter = api, target, adapter
        self._on_error, self._limit = on_error, limit
        self._corrections, self._only, self._dropped = corrections, only, frozenset(dropped)
        self._pages = pages

    def records(self) -> Iterator[Record]:
        """A new pass, one record at a time.

        Raises:
            InputError: a record without completions (with ``on_error="stop"``), or none that can be used.
        """
        report = self.report = ReadReport()
        # The id of a record that has none of its own is the hash of its texts: records with the same texts are told apart
        # only where each of them is wanted with its correction.
        seen: set[str] | None = set() if self._corrections is None else None
        include = ("suggestions",) if isinstance(self._adapter, External) else ()
        for page in self._api.pages(self._target, include) if self._pages is None else map(orjson.loads, self._pages):
            for item in page:
                report.rows += 1
                found = ServerRecord(item, self._adapter)
                record = found.record(self._target.full_name)
                if record is None:
                    self._skip(str(item.get("external_id") or item["id"]), report)
                    continue
                if record.id in self._dropped or (self._only is not None and record.id not in self._only):
                    continue
                if seen is not None:
                    if record.id in seen:
                        report.duplicates += 1
                        continue
                    seen.add(record.id)
                report.note(record)
                after = (self._corrections or {}).get(record.id)
                yield record if after is None else replace(record, ratings=found.in_order_of_texts(after))
                if report.records == self._limit:
                    self._say_where_labels_are(report)
                    return
        self._say_where_labels_are(report)
        if not report.records and self._corrections is None:
            first = f"; the first: {report.skipped_examples[0]}" if report.skipped else ""
            raise InputError(f"argilla:{self._target.full_name}: it holds no record that can be used{first}")

    def _say_where_labels_are(self, report: ReadReport) -> None:
        """What to do where no record has a label: people's answers are none, for a review would be compared with itself."""
        if report.labelled or not isinstance(self._adapter, External):
            return
        asked = ", ".join(str(question["name"]) for question in self._target.questions) or "none"
        report.unlabelled = f"no suggestion says one; the questions are {asked}: name one with `rating_field`, if it does"
        if self._adapter.answerable and (answered := self._api.count(self._target, _ANSWERED)):
            report.unlabelled = (
                f"{answered:,} have answers of people, which are a review's and not read as labels. To have them checked, "
                "write them into a file with `admap pull`, score and map it, and push that map with `copy_to`: what made a "
                "label does not confirm it"
            )

    def _skip(self, record_id: str, report: ReadReport) -> None:
        problem = f"argilla:{self._target.full_name}, record {record_id}: its prompt or all completions but one are not there"
        if self._on_error == "stop":
            raise InputError(problem, hint="complete it, or skip such records with `on_error` skip")
        report.skipped += 1
        if len(report.skipped_examples) < _SHOWN:
            report.skipped_examples.append(problem)


def read_dataset(
    dataset: str | rg.Dataset,
    client: rg.Argilla,
    *,
    fields: FieldNames | None = None,
    on_error: str = "stop",
    limit: int | None = None,
) -> DatasetRecords:
    """The records of a data set on Argilla.

    Args:
        dataset: ``[WORKSPACE/]NAME``, or the SDK's data set.
        client: of the server.
        fields: the prompt's and the completions' (or chosen's and rejected's), where they are not recognised; as rating, the
            question about the label.
        on_error, limit: see `DatasetRecords`.

    Raises:
        InputError: fields that are not recognised, or that Argilla's data sets do not have.
        UnknownDataset: there is no such data set.
        ArgillaError: the server refused.
    """
    if on_error not in ("stop", "skip"):
        raise InputError(f"{on_error!r} is neither stop nor skip", option="on_error")
    if limit is not None and limit < 1:
        raise InputError(f"{limit} is not 1 or more", option="limit")
    if isinstance(dataset, str):
        api = Api(client)
        target = api.dataset(parse_address(dataset))
    else:
        api = Api(dataset._client)
        target = api.dataset(Address(str(dataset.name), str(dataset.workspace.name)))
    question = _rating_question(target, fields) if fields is not None else None
    named = named_fields(fields)
    adapter = adapter_for(target, **named, rating_question=question)
    if isinstance(adapter, External) and question is not None:
        adapter = replace(adapter, question_named=True)
    elif isinstance(adapter, External) and named.get("labelled"):
        # The better and the worse one were named: no suggestion says otherwise.
        adapter = replace(adapter, choices={}, ratings={}, ranking={}, scale=None, passed=(), question_named=True)
    return DatasetRecords(api, target, adapter, on_error=on_error, limit=limit)


def named_fields(fields: FieldNames | None) -> NamedFields:
    """The names of the prompt's and of the completions' fields, where the user gave them, as `adapter_for` takes them."""
    if fields is None:
        return {}
    pair = tuple(name for name in (fields.chosen, fields.rejected) if name)
    if len(fields.prompts) > 1:
        raise InputError(
            f"{' '.join(fields.prompts)}: the prompt of a data set on Argilla is one field",
            option="prompt_field",
            hint="name one with `prompt_field`",
        )
    return {
        "prompt_field": next(iter(fields.prompts), None),
        "completion_fields": fields.completion or pair,
        "labelled": not fields.completion and len(pair) == 2,
    }


def _rating_question(target: RemoteDataset, fields: FieldNames) -> str | None:
    """The question that is named as the rating's field; the names of several rating questions begin alike, with this."""
    for option, value in (
        ("id_field", fields.id),
        ("source_field", fields.source),
        ("annotator_field", fields.annotator),
        ("verdict_field", fields.verdict),
        ("rating_order", fields.order),
    ):
        if value is not None:
            raise InputError(
                f"{value}: records on Argilla have their own ids and questions, and {target.full_name} is their source",
                option=option,
                hint="leave it out",
            )
    if len(fields.rating) > 1:
        raise InputError(
            " ".join(fields.rating),
            option="rating_field",
            hint=f"name one question of {target.full_name}, or what the names of its rating questions begin with",
        )
    return fields.rating[0] if fields.rating else None


def _description(target: RemoteDataset, adapter: DatasetAdapter) -> str:
    """Which field and question was taken for what."""
    place = f"the Argilla data set {target.full_name}"
    if not isinstance(adapter, External):
        return f"{place} (a review of ours)"
    prompt = f"the prompt is `{adapter.prompt}`" if adapter.prompt else "the prompt is in the completions' messages"
    texts = in_backticks(adapter.completions)
    asked = [*adapter.choices, *adapter.ratings, *adapter.ranking]
    label = in_backticks(asked) or ("the fields' names" if adapter.chosen is not None else "nothing")
    said = f"{place} ({prompt}; the completions are {texts}; the label is said by {label})"
    if adapter.passed:
        said += f"; {in_backticks(adapter.passed)} could say it too: name the one that does with `rating_field`"
    return said + (f"; not read: {in_backticks(adapter.unread)}" if adapter.unread else "")
