"""``argilla:[WORKSPACE/]DATASET`` as input: the records of a data set on Argilla, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError
from argilla_admap.formats.registry import CheckedRecords, ReadReport
from argilla_admap.records import Record
from argilla_admap.review.argilla.argilla_api import Address, Api, RemoteDataset, parse_address
from argilla_admap.review.dataset.adapters import DatasetAdapter, External, adapter_for
from argilla_admap.review.dataset.server_record import as_it_stands, record_of

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.formats.format import FieldNames

__all__ = ["DatasetRecords", "named_fields", "read_dataset"]

_SHOWN = 20


class DatasetRecords(CheckedRecords):
    """The records of a data set, a pass over the server each time the stream is gone through."""

    def __init__(
        self,
        api: Api,
        target: RemoteDataset,
        adapter: DatasetAdapter,
        *,
        on_error: str,
        limit: int | None,
        corrections: Mapping[str, tuple[float | None, ...]] | None,
        only: Mapping[str, object] | None,
    ) -> None:
        super().__init__({"source": f"argilla:{target.full_name}"})
        self.format = _words(target, adapter)
        self._api, self._target, self._adapter = api, target, adapter
        self._on_error, self._limit = on_error, limit
        self._corrections, self._only = corrections, only

    def records(self) -> Iterator[Record]:
        """A new pass, one record at a time.

        Raises:
            InputError: a record without completions (with ``on_error="stop"``), or none that can be used.
        """
        report = self.report = ReadReport()
        target, adapter = self._target, self._adapter
        # Records without an id of their own have one of their texts: those of the same texts are told from each other only
        # where each is wanted as it stands there, with its correction.
        seen: set[str] | None = set() if self._corrections is None else None
        for page in self._api.pages(target, ("suggestions",) if isinstance(adapter, External) else ()):
            for item in page:
                report.rows += 1
                record = record_of(item, adapter, target)
                if record is None:
                    self._pass_over(item, report)
                    continue
                if self._only is not None and record.id not in self._only:
                    continue
                if seen is not None:
                    if record.id in seen:
                        report.duplicates += 1
                        continue
                    seen.add(record.id)
                report.records += 1
                after = (self._corrections or {}).get(record.id)
                yield record if after is None else replace(record, ratings=as_it_stands(after, item, adapter, record.id))
                if report.records == self._limit:
                    return
        if not report.records and self._corrections is None:
            first = f"; the first: {report.skipped_examples[0]}" if report.skipped else ""
            raise InputError(f"argilla:{target.full_name}: it holds no record that can be used{first}")

    def _pass_over(self, item: Mapping[str, Any], report: ReadReport) -> None:
        problem = (
            f"argilla:{self._target.full_name}, record {item.get('external_id') or item['id']}: not all its texts are there"
        )
        if self._on_error == "stop":
            raise InputError(f"{problem}. Complete it, or pass over such records with --on-error skip")
        report.skipped += 1
        if len(report.skipped_examples) < _SHOWN:
            report.skipped_examples.append(problem)


def read_dataset(
    dataset: str | rg.Dataset,
    client: rg.Argilla,
    *,
    workspace: str | None = None,
    fields: FieldNames | None = None,
    rating_question: str | None = None,
    corrections: Mapping[str, tuple[float | None, ...]] | None = None,
    only: Mapping[str, object] | None = None,
    on_error: str = "stop",
    limit: int | None = None,
) -> DatasetRecords:
    """The records of a data set on Argilla.

    Args:
        dataset: ``[WORKSPACE/]NAME``, or the SDK's data set.
        client: of the server.
        workspace: where `dataset` does not say it.
        fields: the prompt's and the completions' (or chosen's and rejected's), where they are not recognised; as rating, the
            question about the label.
        rating_question: the same question.
        corrections: ratings, as `pull` gives them, to put in the place of a record's own; then every record is given, also
            one of the texts of another.
        only: the ids of the records to give; all where it is left out.
        on_error: what a record that lacks a text does: ``stop`` raises InputError, ``skip`` counts and lists it.
        limit: the most records to give.

    Raises:
        InputError: fields that are not recognised, or that Argilla's data sets do not have.
        UnknownDataset: there is no such data set.
        ArgillaError: the server said no.
    """
    if on_error not in ("stop", "skip"):
        raise InputError(f"on_error is {on_error!r}, expected 'stop' or 'skip'")
    if limit is not None and limit < 1:
        raise InputError(f"the limit is {limit}, expected 1 or more")
    api = Api(client)
    if isinstance(dataset, str):
        target = api.dataset(parse_address(dataset, workspace))
    else:
        api = Api(dataset._client)
        target = api.dataset(Address(str(dataset.name), str(dataset.workspace.name)))
    prompt, completions = named_fields(fields)
    if rating_question is None and fields is not None:
        rating_question = _rating_question(target, fields)
    adapter = adapter_for(target, prompt_field=prompt, completion_fields=completions, rating_question=rating_question)
    return DatasetRecords(api, target, adapter, on_error=on_error, limit=limit, corrections=corrections, only=only)


def named_fields(fields: FieldNames | None) -> tuple[str | None, tuple[str, ...]]:
    """The fields of the prompt and of the completions that are said by hand."""
    if fields is None:
        return None, ()
    pair = tuple(name for name in (fields.chosen, fields.rejected) if name)
    if len(fields.prompts) > 1:
        raise InputError(
            f"{' '.join(fields.prompts)}: the prompt of a data set on Argilla is one field",
            option="prompt_field",
            hint="name one with `prompt_field`",
        )
    return next(iter(fields.prompts), None), fields.completion or pair


def _rating_question(target: RemoteDataset, fields: FieldNames) -> str | None:
    """The question that is named as the rating's field; several ratings' names begin alike, and that beginning names them."""
    for option, value in (
        ("id_field", fields.id),
        ("source_field", fields.source),
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
            f"--rating-field {' '.join(fields.rating)}: name one question of {target.full_name}, or what the names of its "
            "rating questions begin with"
        )
    return fields.rating[0] if fields.rating else None


def _words(target: RemoteDataset, adapter: DatasetAdapter) -> str:
    """What was taken for what."""
    place = f"the Argilla data set {target.full_name}"
    if not isinstance(adapter, External):
        return f"{place} (a review of ours)"
    prompt = f"the prompt is `{adapter.prompt}`" if adapter.prompt else "the prompt is in the completions' messages"
    texts = ", ".join(f"`{name}`" for name in adapter.completions)
    asked = [*adapter.choices, *adapter.ratings, *adapter.ranking]
    label = ", ".join(f"`{name}`" for name in asked) or ("the fields' names" if adapter.labelled else "nothing")
    return f"{place} ({prompt}; the completions are {texts}; the label is said by {label})"
