"""``argilla:[WORKSPACE/]DATASET`` as input: the records of a data set on Argilla, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from argilla_admap.records import PREFERENCE_SCHEMA, Record, records_to_batch
from argilla_admap.review.argilla_api import Address, Api, parse_address
from argilla_admap.review.existing import Foreign, read_layout
from argilla_admap.review.reading import as_it_stands, record_of
from argilla_admap.tables import BATCH_ROWS, RecordStream

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.formats.shape import FieldNames

__all__ = ["named_fields", "read_dataset"]


def read_dataset(
    dataset: str | rg.Dataset,
    client: rg.Argilla,
    *,
    workspace: str | None = None,
    fields: FieldNames | None = None,
    rating_question: str | None = None,
    corrections: Mapping[str, tuple[float | None, ...]] | None = None,
    only: Mapping[str, object] | None = None,
    limit: int | None = None,
) -> RecordStream:
    """The records of a data set, a pass over the server each time the stream is gone through.

    Args:
        dataset: ``[WORKSPACE/]NAME``, or the SDK's data set.
        client: of the server.
        workspace: where `dataset` does not say it.
        fields: the prompt's and the completions' (or chosen's and rejected's), where they are not recognised.
        rating_question: the question about the label, where it is not recognised.
        corrections: ratings, as `pull` gives them, to put in the place of a record's own.
        only: the ids of the records to give; all where it is left out.
        limit: the most records to give.

    Raises:
        InputError: fields that are not recognised.
        ArgillaError: there is no such data set, or the server said no.
    """
    api = Api(client)
    if isinstance(dataset, str):
        target = api.dataset(parse_address(dataset, workspace))
    else:
        api = Api(dataset._client)
        target = api.dataset(Address(str(dataset.name), str(dataset.workspace.name)))
    prompt, completions = named_fields(fields)
    reading = read_layout(target, prompt_field=prompt, completion_fields=completions, rating_question=rating_question)

    def records() -> Iterator[Record]:
        for page in api.pages(target, ("suggestions",) if isinstance(reading, Foreign) else ()):
            for item in page:
                record = record_of(item, reading, target)
                if record is None or (only is not None and record.id not in only):
                    continue
                after = (corrections or {}).get(record.id)
                yield record if after is None else replace(record, ratings=as_it_stands(after, item, reading, record.id))

    def batches() -> Iterator[pa.RecordBatch]:
        pending: list[Record] = []
        for count, record in enumerate(records(), 1):
            pending.append(record)
            if len(pending) >= BATCH_ROWS:
                yield records_to_batch(pending)
                pending = []
            if count == limit:
                break
        if pending:
            yield records_to_batch(pending)

    return RecordStream(batches, PREFERENCE_SCHEMA, {"source": f"argilla:{target.full_name}"})


def named_fields(fields: FieldNames | None) -> tuple[str | None, tuple[str, ...]]:
    """The fields of the prompt and of the completions that are said by hand."""
    if fields is None:
        return None, ()
    pair = tuple(name for name in (fields.chosen, fields.rejected) if name)
    return fields.prompt, fields.completion or pair
