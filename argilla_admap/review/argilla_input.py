"""``argilla:[WORKSPACE/]DATASET`` as input: the records of a data set on Argilla, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from argilla_admap.records import PREFERENCE_SCHEMA, Record, records_to_batch
from argilla_admap.review.argilla_api import Api, parse_address
from argilla_admap.review.existing import read_layout
from argilla_admap.review.reading import record_of
from argilla_admap.tables import BATCH_ROWS, RecordStream

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["read_argilla"]


def read_argilla(
    dataset: str,
    client: rg.Argilla,
    *,
    workspace: str | None = None,
    prompt_field: str | None = None,
    completion_fields: Sequence[str] = (),
    rating_question: str | None = None,
    corrections: Mapping[str, tuple[float | None, ...]] | None = None,
    only: Mapping[str, object] | None = None,
    limit: int | None = None,
) -> RecordStream:
    """The records of a data set, a pass over the server each time the stream is gone through.

    Args:
        dataset: ``[WORKSPACE/]NAME``.
        client: of the server.
        workspace: where `dataset` does not say it.
        prompt_field, completion_fields, rating_question: where they are not recognised.
        corrections: ratings to put in the place of a record's own.
        only: the ids of the records to give; all where it is left out.
        limit: the most records to give.

    Raises:
        InputError: fields that are not recognised.
        ArgillaError: there is no such data set, or the server said no.
    """
    api = Api(client)
    target = api.dataset(parse_address(dataset, workspace))
    reading = read_layout(
        target, prompt_field=prompt_field, completion_fields=completion_fields, rating_question=rating_question
    )

    def records() -> Iterator[Record]:
        for page in api.pages(target, ("suggestions",)):
            for item in page:
                record = record_of(item, reading, target)
                if record is not None and (only is None or record.id in only):
                    yield record

    def batches() -> Iterator[pa.RecordBatch]:
        pending: list[Record] = []
        for count, record in enumerate(records(), 1):
            pending.append(_corrected(record, (corrections or {}).get(record.id)))
            if len(pending) >= BATCH_ROWS:
                yield records_to_batch(pending)
                pending = []
            if count == limit:
                break
        if pending:
            yield records_to_batch(pending)

    return RecordStream(batches, PREFERENCE_SCHEMA, {"source": f"argilla:{target.full_name}"})


def _corrected(record: Record, ratings: tuple[float | None, ...] | None) -> Record:
    return record if ratings is None else replace(record, ratings=ratings)
