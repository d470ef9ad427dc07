"""The map onto Argilla: a managed data set with its review page, or metadata for an external one.

Nothing that a person made is touched: answers, suggestions, other metadata and settings stay as they are. Only what differs
is sent, so that a push that was killed half way is resumed where it stopped, and a second one sends nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.mapping.data.arrays import Bools
from argilla_admap.records import Record, batch_to_records, content_id
from argilla_admap.review.argilla.argilla_api import INFO, Address, Api, RemoteDataset, parse_address
from argilla_admap.review.argilla.cipher import key_of
from argilla_admap.review.argilla.properties import BY_COLUMN, HIDDEN_PART, TEXTS
from argilla_admap.review.dataset import card, hidden_fields
from argilla_admap.review.dataset.adapters import external_id
from argilla_admap.review.dataset.answers import RatingScale, question_rating
from argilla_admap.review.dataset.layout import (
    OF_BOTH,
    OF_SIDES,
    ReviewLayout,
    managed_layout,
    record_fields,
    scale_is_kept,
    shown_order,
)
from argilla_admap.review.dataset.recognise import adapter_for
from argilla_admap.review.dataset.settings import choose_workspace, complete_settings, create_dataset, ensure_text_vector
from argilla_admap.review.push.enrich import enrich
from argilla_admap.review.push.not_pushed import NotPushed, part_to_push
from argilla_admap.review.push.payload import Payload, pushed_map
from argilla_admap.review.push.push_options import PushOptions, PushProgress, PushResult
from argilla_admap.review.push.sender import Sender
from argilla_admap.review.push.stored_records import (
    StoredRecord,
    StoredRecords,
    digest,
    existing_records,
    lacks_text_vectors,
)
from argilla_admap.review.push.text_vectors import EmbeddedTexts, HashedWords, TextVectors
from argilla_admap.review.queues.overview import count_queues, last_drawn, refresh_overview
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.tables import origin_mark

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.mapping.data_map import DataMap

__all__ = ["push"]

_ID, _ORDER, _REVIEW = (BY_COLUMN[column].name for column in ("id", "order", "review"))
_DRY_RUN = "dry run: nothing was written"
#: Records that are prepared at once.
_PREPARED = 512
#: What Argilla 2.8 has no right for.
_NOT_BLIND = (
    "this server lets annotators filter and sort by what is hidden from them, and shows them other people's answers: with a "
    "key and some skill they find out label, scores and P(wrong) of a record. The server of `admap server start` does not"
)


def push(
    data_map: DataMap,
    dataset: str,
    client: rg.Argilla,
    options: PushOptions = PushOptions(),  # noqa: B008  # frozen
    *,
    progress: PushProgress | None = None,
    embedding: ScoreOptions | None = None,
) -> PushResult:
    """Makes the Argilla data set with its review page, or enriches the one that is there.

    Args:
        data_map: the records and where they lie.
        dataset: ``[WORKSPACE/]NAME``. Absent: it is made. A managed one: what changed is sent, new records are added, records
            gone from the map stay. An external one: it gets metadata and the vector, matched by id, then by text.
        client: of the server.
        options: how to push.
        progress: told how it goes.
        embedding: whom to ask, and what it may cost, where a model makes the vectors of the texts.

    Raises:
        InputError: a value or an id that Argilla would lose, or options that do not fit; nothing was sent.
        ArgillaError: the server refused, or its index lost records that could not be repaired.
    """
    api = Api(client)
    address = parse_address(dataset, options.workspace)
    api.check_version()
    target = api.find(address)
    origin = None
    if options.copy_to is not None:
        if target is None or managed_layout(target) is not None:
            raise InputError(f"{address} is {'absent' if target is None else 'a review of ours already'}", option="copy_to")
        origin = {"id": target.id, "name": target.full_name}
        address = parse_address(options.copy_to if "/" in options.copy_to else f"{target.workspace}/{options.copy_to}")
        target = api.find(address)
    managed = target is None or _is_managed(target)
    if not managed and (options.blind or options.reviewers or options.only):
        raise InputError(
            f"{address} was made by somebody else and cannot be rearranged",
            hint="make a review copy with `copy_to`, which takes `blind`, `reviewers` and `only`",
        )
    part = part_to_push(data_map, options.only, options.audit) if options.only is not None else None
    texts = _text_vectors(data_map, target, options, embedding, part)
    try:
        if target is None or managed:
            pushed = _push_managed(api, data_map, address, target, origin, options, texts, part, progress)
        else:
            adapter = adapter_for(target, prompt_field=options.prompt_field, completion_fields=options.completion_fields)
            pushed = enrich(
                api, target, data_map, adapter, texts=texts, dry_run=options.dry_run, audit=options.audit, progress=progress
            )
    finally:
        said = texts.close() if texts is not None else []
    return replace(pushed, notes=(*pushed.notes, *said))


def _text_vectors(
    data_map: DataMap,
    target: RemoteDataset | None,
    options: PushOptions,
    embedding: ScoreOptions | None,
    part: Bools | None,
) -> TextVectors | None:
    """How the vectors of the texts are made; None: none are, and those that are there stay."""
    there = target.vectors.get(TEXTS) if target is not None else None
    if options.text_vectors == "endpoint":
        return EmbeddedTexts(embedding or ScoreOptions(), _batches(data_map, part), dry=options.dry_run)
    hashed = (
        there is None or there["title"] == HashedWords.title
        if options.text_vectors is None
        else options.text_vectors == "hashed"
    )
    return HashedWords() if hashed else None


def _batches(data_map: DataMap, part: Bools | None) -> Iterator[pa.RecordBatch]:
    """The map's batches; with `part`, shape (n,), only those of its records."""
    row = 0
    for batch in data_map.batches():
        yield batch if part is None else batch.filter(pa.array(part[row : row + batch.num_rows]))
        row += batch.num_rows


def _is_managed(target: RemoteDataset) -> bool:
    """Made by a push, perhaps one that was killed before it had made all settings."""
    return managed_layout(target) is not None or (not target.ready and INFO in target.metadata)


def _push_managed(
    api: Api,
    data_map: DataMap,
    address: Address,
    target: RemoteDataset | None,
    origin: Mapping[str, Any] | None,
    options: PushOptions,
    texts: TextVectors | None,
    part: Bools | None,
    progress: PushProgress | None,
) -> PushResult:
    layout = _layout(data_map, options.blind, target)
    stored = target.info if target is not None else {}
    if not options.reviewers and stored.get("reviewers"):
        # Who was assigned stays assigned, and new records are assigned as the others were.
        options = replace(options, reviewers=tuple(stored["reviewers"]), overlap=int(stored.get("overlap", 1)))
    reviewers, overlap = options.reviewers, options.overlap
    payload = Payload(
        data_map,
        reviewers=reviewers,
        overlap=overlap,
        mixed=layout.blind,
        audit=options.audit,
        drawn=last_drawn(api, target),
        view=stored.get("place"),
    )
    began = time.monotonic()
    known = existing_records(api, target) if target is not None and target.ready else StoredRecords()
    if part is not None:
        rows = [known.rows(list(map(external_id, ids))) for ids in payload.ids.parts()]
        part = part | payload.drawn | (np.concatenate(rows) >= 0)
    total = len(payload) if part is None else int(part.sum())
    left_out = len(payload) - total
    map_info = _map_info(data_map)
    # Noted when the data set is made: Argilla 2.8 keeps no later change of such notes.
    keyed = layout.blind and (target is None or bool((stored.get("layout") or {}).get("keyed")))
    # Kept with the data set, so that pull can draw the guidelines again without the map. Annotators can read it.
    info: dict[str, Any] = {
        "layout": layout.info() | {"keyed": True} if keyed else layout.info(),
        "place": payload.view.json(),
        "map": None if layout.blind else map_info,
        "summary": {"judge": data_map.info.get("judge"), "records": total},
        **(
            NotPushed.of_map(data_map.table(NotPushed.columns), ~part).note(str(options.only), left_out)
            if part is not None and left_out
            else {}
        ),
        "pushed": pushed_map(data_map, stored.get("pushed")),
        **origin_mark(data_map.info),
    }
    if reviewers:
        info |= {"reviewers": list(reviewers), "overlap": overlap}
    if origin or stored.get("home"):
        info["home"] = origin or stored["home"]
    notes = layout.scale.notes(_distinct_ratings(data_map)) if layout.kind == "ratings" else []
    notes += _other_judge(stored.get("summary"), info["summary"]["judge"])
    if layout.bulk_safe and (without := total - _ordered(data_map)):
        notes.append(
            f"{without:,} records have no label that could be kept or flipped, and this data set asks about nothing else but "
            "ties: push them under another name"
        )
    if left_out:
        notes.append(_left_out(left_out, payload))
    if reviewers:
        workspace_id = target.workspace_id if target is not None else api.workspaces().get(choose_workspace(api, address), "")
        notes += _check_reviewers(api, reviewers, workspace_id)
    if layout.blind and not api.hides_from_annotators():
        notes.append(_NOT_BLIND)
    created = target is None or not target.ready
    if options.dry_run and target is None:
        return PushResult(str(address), True, len(payload), total, 0, left_out=left_out, notes=(*notes, _DRY_RUN))
    if target is not None and target.ready and not api.replaces_fields():
        usual = replace(layout, key=key_of(target)) if keyed else layout
        rehearsed = _items(data_map, payload, usual, known, _sealing_key(usual, target), {}, part)
        _check_fields_stay(api, target, rehearsed)
    if not options.dry_run:
        target = create_dataset(api, address, {INFO: info}, overlap) if target is None else target
        target = complete_settings(api, target, layout, payload.columns, map_info=map_info)
        if keyed:
            layout = replace(layout, key=key_of(target))
        if target.info != info:
            api.update_dataset(target, metadata={**target.metadata, INFO: info})
        if reviewers and target.min_submitted != overlap:
            api.update_dataset(target, distribution={"strategy": "overlap", "min_submitted": overlap})
    if target is None:  # a dry run of an absent data set has returned
        raise ArgillaError(f"{address}: the data set is gone")
    all_texts = False
    if texts is not None and not options.dry_run:
        there, texts_notes = ensure_text_vector(api, target, texts.title, texts.dimensions)
        texts = texts if there else None
        target = api.refresh(target)
        all_texts = there and lacks_text_vectors(api, target)
        notes += texts_notes
    sender = Sender(api, target, dry_run=options.dry_run)
    key = _sealing_key(layout, target)
    rated = {str(q["name"]): str(q["id"]) for q in target.questions if layout.kind == "ratings" and q.get("id")}
    items = _items(data_map, payload, layout, known, key, rated, part, all_texts=all_texts)
    if texts is not None and not options.dry_run:
        items = _with_texts(items, texts)
    for done, (item, held) in enumerate(chain.from_iterable(zip(some.items, some.stored, strict=True) for some in items), 1):
        sender.add(item, held)
        if progress is not None and (done % 100 == 0 or done == total):
            progress(done, total)
    sender.flush()
    result = PushResult(
        target.full_name,
        created,
        len(payload),
        sender.added,
        sender.updated,
        left_out=left_out,
        seconds=time.monotonic() - began,
        notes=tuple(notes),
    )
    if options.dry_run:
        return replace(result, notes=(*notes, _DRY_RUN))
    sender.verify()
    notes += sender.notes
    if sender.stale:
        notes.append(f"{sender.stale:,} answers were given to completions that this push replaced: they do not count any more")
    target = api.refresh(target)
    notes += [] if reviewers else _unassigned(api, target)
    if texts is None and sender.added and not created and TEXTS in target.vectors:
        notes.append(
            f"{sender.added:,} new records have no vector of their texts, which a model made: give `text_vectors` again"
        )
    counts = count_queues(api, target)
    refresh_overview(api, target, counts, map_info=info["map"], summary=info["summary"])
    left = len(known) - sender.met
    if left > 0:
        notes.append(f"{left:,} records of the data set are not in this map; they were left alone")
    return replace(result, queues=tuple(found.json() for found in counts), notes=tuple(notes))


def _sealing_key(layout: ReviewLayout, target: RemoteDataset) -> str | None:
    """With which a blind record's hidden part is encrypted; None where it does not travel along."""
    return key_of(target) if layout.blind and target.allow_extra_metadata else None


def _check_fields_stay(api: Api, target: RemoteDataset, given: Iterable[_Items]) -> None:
    """Refuses what Argilla 2.5 would do by half: it takes a record's metadata and leaves its old texts and numbers on the page.

    Raises:
        InputError: records that are there would change; nothing was sent.
    """
    rehearsal = Sender(api, target, dry_run=True)
    for some in given:
        for item, stored in zip(some.items, some.stored, strict=True):
            rehearsal.add(item, stored)
    if rehearsal.reworded:
        raise InputError(
            f"{target.full_name}: {rehearsal.reworded:,} records would show other texts or numbers than before, and Argilla "
            f"{api.version()} cannot change the fields of a record that is there",
            hint="update it to 2.6 or newer, or push under another name: the answers that are there can still be pulled",
        )


class _Items(NamedTuple):
    """Some records as Argilla takes them, and what is there of each; where each stands in a batch of the map; those of them
    that lack the vector of their texts."""

    items: list[dict[str, Any]]
    stored: list[StoredRecord | None]
    places: list[int]
    wordless: list[int]
    batch: pa.RecordBatch


def _items(
    data_map: DataMap,
    payload: Payload,
    layout: ReviewLayout,
    known: StoredRecords,
    key: str | None,
    questions: Mapping[str, str],
    part: Bools | None,
    *,
    all_texts: bool = False,
) -> Iterator[_Items]:
    """The records as Argilla takes them, streamed; with `part` those and the ones that are there already.

    With `all_texts` those that are there lack the vector of their texts.

    A blind record shows label and scores once its review is completed; until then they travel along encrypted with the `key`,
    for the pull that finds it completed. In an open review ratings start from the label's; `questions` are the ids of the
    rating questions by name.
    """
    row = 0
    for batch in _cut(data_map.batches()):
        rows = batch.select([name for name in batch.schema.names if name in card.COLUMNS]).to_pylist()
        columns: dict[str, Any]
        inside = np.ones(len(rows), bool) if part is None else part[row : row + len(rows)]
        made = _Items([], [], [], [], batch)
        records = batch_to_records(batch)
        ids = payload.ids[row : row + len(rows)]
        there = known.rows([external_id(record.id) for record in records]).tolist()
        for place, (sent, record, columns) in enumerate(zip(inside, records, rows, strict=True)):
            if record.id != ids[place]:
                raise InputError(
                    f"the map's texts and numbers are not in one order at record {record.id!r}", hint="make the map again"
                )
            row += 1
            name, stored = external_id(record.id), known.at(there[place])
            if stored is None and known and (before := _before(record, known, payload)) is not None:
                name, stored = before, known.get(before)
            if not sent and stored is None:
                continue
            k = len(record.completions)
            usual = shown_order(record.id, k, blind=layout.blind, key=layout.key)
            kept = stored.order_of(record.completions) if stored is not None else None
            order = kept or usual
            fields = record_fields(record, columns, blind=layout.blind, revealed=True, order=order, key=layout.key)
            if stored is not None and kept is not None and stored.answered and not layout.blind:
                fields[card.FIELD] = card.with_label_asked(fields[card.FIELD], stored.label)
            item: dict[str, Any] = {"external_id": name, "fields": fields, "metadata": payload.metadata(row - 1)}
            if name != external_id(record.id):
                item["metadata"][_ID] = external_id(record.id)
            if order != usual:
                item["metadata"][_ORDER] = orjson.dumps(order).decode()
            if layout.blind:
                if key is not None:
                    hidden = hidden_fields.hidden_part(fields[card.FIELD])
                    item["metadata"][HIDDEN_PART] = hidden_fields.encrypt_hidden(key, record.id, hidden)
                if stored is None or not stored.completed or (stored.others or {}).get(_REVIEW) == "conflict":
                    fields[card.FIELD] = hidden_fields.open_part(fields[card.FIELD])
            elif questions:
                item["suggestions"] = _from_label(card.shown_label(fields[card.FIELD]), layout.scale, questions)
            vector = payload.vector(row - 1)
            if vector is not None and not layout.blind:
                item["vector"] = vector
            if stored is not None:
                item["digest"] = digest(fields)
            # The vector of texts that are there already is there with them.
            if sent and (all_texts or stored is None or item["digest"] != stored.fields):
                made.wordless.append(len(made.items))
            made.items.append(item)
            made.stored.append(stored)
            made.places.append(place)
        yield made


def _cut(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same in smaller batches: what Argilla is sent is many times as large."""
    for batch in batches:
        yield from (batch.slice(start, _PREPARED) for start in range(0, batch.num_rows, _PREPARED))


def _with_texts(given: Iterable[_Items], vectors: TextVectors) -> Iterator[_Items]:
    """The same, with the vectors of the texts of those that need one."""
    for some in given:
        places = [some.places[i] for i in some.wordless]
        found = vectors.of(some.batch.take(pa.array(places, pa.int64()))) if places else ()
        for i, vector in zip(some.wordless, found, strict=True):
            if vector.any():
                some.items[i]["texts"] = vector.tolist()
        yield some


def _from_label(label: Sequence[float | None], scale: RatingScale, questions: Mapping[str, str]) -> list[dict[str, Any]]:
    """The label's ratings as suggestions, from which a reviewer's start; nothing where the label orders nothing."""
    if len({rating for rating in label if rating is not None}) < 2:
        return []
    asked = {question_rating(i): scale.asked_for(rating) for i, rating in enumerate(label) if rating is not None}
    return [
        {"question_id": questions[name], "value": value, "agent": "label"}
        for name, value in asked.items()
        if value is not None and name in questions
    ]


def _before(record: Record, known: StoredRecords, payload: Payload) -> str | None:
    """The external id under which a pair is there whose sides were exchanged by a correction; None where it is not.

    The id of a record without one of its own is the hash of its texts in their order: of that pair it is another one. It is
    the same record still, and keeps its answers.
    """
    if len(record.completions) != 2 or record.id != content_id(record.prompt, record.completions):
        return None
    before = content_id(record.prompt, record.completions[::-1])
    return before if known.get(before) is not None and before not in payload.id_set else None


def _layout(data_map: DataMap, blind: bool, target: RemoteDataset | None) -> ReviewLayout:
    """The layout that fits the map's records; an existing data set keeps its own.

    Raises:
        InputError: the data set that is there asks its reviewers something that does not fit.
    """
    sizes = data_map.table(("k",)).column("k")
    if not len(sizes):
        raise InputError("the map holds no record")
    bounds: Any = pc.min_max(sizes).as_py()
    low, high = int(bounds["min"]), int(bounds["max"])
    current = managed_layout(target) if target is not None else None
    if target is None or current is None:
        if low == high == 2:
            return ReviewLayout("pair", blind, (2, 2), choices=() if blind else _choices(data_map))
        return ReviewLayout("ratings", blind, (low, high), RatingScale.of(_distinct_ratings(data_map)))
    elsewhere = "push under another name"
    if blind and not current.blind:
        raise InputError(f"{target.full_name} is an open review", hint=elsewhere)
    if low < current.k[0] or high > current.k[1]:
        raise InputError(
            f"{target.full_name} asks about {current.k[0]} to {current.k[1]} completions and the map has records of {low} to "
            f"{high}; Argilla adds no question to a published data set",
            hint=elsewhere,
        )
    if current.kind == "ratings" and not scale_is_kept(target):
        return replace(current, scale=current.scale.fitted(_distinct_ratings(data_map)))
    return current


def _choices(data_map: DataMap) -> tuple[str, ...]:
    """What to ask about these pairs: about the label, about the sides, or both where only some have a label to keep or flip."""
    ordered = _ordered(data_map)
    return OF_SIDES if not ordered else OF_BOTH if ordered < len(data_map) else ()


def _ordered(data_map: DataMap) -> int:
    """How many pairs have a label that puts one side first."""
    column: Any = data_map.table(("ratings",)).column("ratings")
    lengths: Any = pc.list_value_length(column)
    two: Any = 2
    pairs = column.filter(pc.equal(lengths, two))
    different: Any = pc.not_equal(pc.list_element(pairs, 0), pc.list_element(pairs, 1))
    return int(pc.sum(different).as_py() or 0)


def _distinct_ratings(data_map: DataMap) -> list[float | None]:
    column: Any = data_map.table(("ratings",)).column("ratings")
    found: list[float | None] = pc.unique(pc.list_flatten(column)).to_pylist()
    return found


def _map_info(data_map: DataMap) -> dict[str, Any]:
    numbers = data_map.table(("mean", "variance", "scores"))
    scores: Any = numbers.column("scores")
    return card.map_info(
        numbers.column("mean").to_numpy(),
        numbers.column("variance").to_numpy(),
        thresholds=data_map.info.get("thresholds"),
        scores=pc.list_flatten(scores).to_numpy(),
        scale=_judge_scale(data_map.info),
    )


def _other_judge(summary: Mapping[str, Any] | None, judge: object) -> list[str]:
    """What to say where a data set was judged by somebody else before."""
    before = (summary or {}).get("judge")
    if not before or not judge or before == judge:
        return []
    return [
        f"this map is judged by {judge}, the data set was by {before}: records that the map does not hold keep the values of "
        f"{before}, and two judges' scores and P(wrong) should not be compared"
    ]


def _judge_scale(info: Mapping[str, Any]) -> list[float] | None:
    """The two ends of the scale that the scorer declares; None where it declares none, or two declare different ones.

    A similarity can be as low as -1 and hardly ever is below 0: the scores themselves tell which half is in use.
    """
    scales = [facts.get("range") for facts in (info.get("score") or {}).get("judges") or () if isinstance(facts, Mapping)]
    if not scales or any(scale != scales[0] for scale in scales) or not scales[0]:
        return None
    low, high = (float(end) for end in scales[0])
    return [low, high] if low < high and low >= 0 else None


def _left_out(number: int, payload: Payload) -> str:
    """What to say of the records that are not sent."""
    words = f"{number:,} records of the map were not asked for by `only` and are not in the data set"
    if payload.drawn.any():
        return f"{words}; the random sample was drawn from all records, so `status` counts them in"
    return f"{words}; draw a random sample with `audit`, or nobody can say how many errors they hold"


def _unassigned(api: Api, target: RemoteDataset) -> list[str]:
    """A note where several people review a data set whose records are given to nobody, and one answer is enough."""
    names = sorted(name for name, role in api.members(target.workspace_id).values() if role == "annotator")
    if len(names) < 2 or target.min_submitted > 1:
        return []
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return [
        f"{listed} see the same queues, so two of them may read the same record at once; assign the records with `reviewers`"
    ]


def _check_reviewers(api: Api, reviewers: tuple[str, ...], workspace_id: str) -> list[str]:
    """Refuses names that are nobody's; returns notes on people who will not see the data set."""
    names = set(api.usernames(workspace_id).values())
    unknown = [name for name in reviewers if names and name not in names]
    if unknown:
        raise InputError(
            f"there is no user {unknown[0]!r} on {api.url}", option="reviewers", hint=f"there are {', '.join(sorted(names))}"
        )
    inside = {name for name, _ in api.members(workspace_id).values()} | {str(api.me()["username"])}
    return [
        f"{name} is not a member of the workspace and will not see the data set; add them in Argilla's settings"
        for name in reviewers
        if name not in inside
    ]
