"""The map onto Argilla: a data set with its review page, or metadata for the one that is there.

Nothing that a person made is touched: answers, suggestions, other metadata and settings stay as they are. Only what differs
is sent, so that a push that was killed half way goes on where it stopped, and a second one sends nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.records import batch_to_records
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address
from argilla_admap.review.argilla.properties import HIDDEN_PART
from argilla_admap.review.dataset import card, hidden_fields, layout
from argilla_admap.review.dataset.adapters import adapter_for, external_id, managed_layout
from argilla_admap.review.dataset.settings import choose_workspace, complete_settings, create_dataset
from argilla_admap.review.push.enrich import enrich
from argilla_admap.review.push.payload import Payload
from argilla_admap.review.push.result import PushProgress, PushResult
from argilla_admap.review.push.sender import Sender, StoredRecords, existing_records
from argilla_admap.review.queues.overview import count_queues, refresh_overview

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.mapping.data_map import DataMap

__all__ = ["PushProgress", "PushResult", "push"]


def push(
    data_map: DataMap,
    dataset: str,
    client: rg.Argilla,
    *,
    workspace: str | None = None,
    blind: bool = False,
    reviewers: Sequence[str] = (),
    overlap: int = 1,
    copy_to: str | None = None,
    prompt_field: str | None = None,
    completion_fields: Sequence[str] = (),
    dry_run: bool = False,
    progress: PushProgress | None = None,
) -> PushResult:
    """Makes the Argilla data set with its review page, or enriches the one that is there.

    Args:
        data_map: the records and where they lie.
        dataset: ``[WORKSPACE/]NAME``. Absent: it is made. One that we made: what changed is sent, new records are added,
            records gone from the map stay. Somebody else's: it gets metadata and the vector, matched by id, then by text.
        client: of the server.
        workspace: where `dataset` does not say it.
        blind: for a new data set: label, scores and models hidden, the order shuffled.
        reviewers: usernames to assign the records to.
        overlap: how many of them see each record; as many answers complete it.
        copy_to: makes a review copy of this name instead of touching somebody else's `dataset`; it keeps the ids.
        prompt_field, completion_fields: of somebody else's data set, where they are not recognised.
        dry_run: say what would be done, and write nothing.
        progress: told how it goes.

    Raises:
        InputError: a value or an id that Argilla would lose, or options that do not fit; nothing was sent.
        ArgillaError: the server said no, or its index lost records that could not be repaired.
    """
    if overlap < 1 or (reviewers and overlap > len(set(reviewers))):
        raise InputError(f"--overlap {overlap}: each record goes to 1 up to {max(1, len(set(reviewers)))} reviewers")
    api = Api(client)
    address = parse_address(dataset, workspace)
    target = api.find(address)
    home = None
    if copy_to is not None:
        if target is None or managed_layout(target) is not None:
            raise InputError(f"--copy-to: {address} is {'absent' if target is None else 'a review of ours already'}")
        home = {"id": target.id, "name": target.full_name}
        address = parse_address(copy_to if "/" in copy_to else f"{target.workspace}/{copy_to}")
        target = api.find(address)
    if target is not None and not _ours(target):
        if blind or reviewers:
            raise InputError(f"{target.full_name} is not ours to re-arrange: use --copy-to NAME with --blind or --reviewers")
        adapter = adapter_for(target, prompt_field=prompt_field, completion_fields=completion_fields)
        return enrich(api, target, data_map, adapter, dry_run=dry_run, progress=progress)
    return _push_own(
        api,
        data_map,
        address,
        target,
        blind=blind,
        reviewers=reviewers,
        overlap=overlap,
        home=home,
        dry_run=dry_run,
        progress=progress,
    )


def _ours(target: RemoteDataset) -> bool:
    """Made by a push, perhaps one that was killed before it had made all settings."""
    return managed_layout(target) is not None or (not target.ready and "admap" in target.info)


def _push_own(
    api: Api,
    data_map: DataMap,
    address: Any,
    target: RemoteDataset | None,
    *,
    blind: bool,
    reviewers: Sequence[str],
    overlap: int,
    home: Mapping[str, Any] | None,
    dry_run: bool,
    progress: PushProgress | None,
) -> PushResult:
    wanted = _layout(data_map, blind, target)
    stored = target.info.get("admap", {}) if target is not None else {}
    if not reviewers and stored.get("reviewers"):
        # Who was assigned stays assigned, and new records are assigned as the others were.
        reviewers, overlap = stored["reviewers"], int(stored.get("overlap", 1))
    payload = Payload(data_map, reviewers=reviewers, overlap=overlap, mixed=wanted.blind, place=stored.get("place"))
    created = target is None or not target.ready
    total = len(payload)
    facts: dict[str, Any] = {
        "layout": {"kind": wanted.kind, "blind": wanted.blind, "k": list(wanted.k)},
        "place": payload.place.json(),
    }
    info = _map_info(data_map)
    mapped = None if wanted.blind else info  # annotators can read what is kept with the data set
    summary = {"judge": data_map.info.get("judge"), "records": total}
    # Kept with the data set, so that pull can draw the guidelines again without the map.
    facts |= {"map": mapped, "summary": summary}
    if reviewers:
        facts |= {"reviewers": list(reviewers), "overlap": overlap}
    if home or stored.get("home"):
        facts["home"] = home or stored["home"]
    notes: list[str] = []
    if reviewers:
        place = target.workspace_id if target is not None else api.workspaces().get(choose_workspace(api, address), "")
        notes += _check_reviewers(api, reviewers, place)
    if dry_run and target is None:
        return PushResult(str(address), True, total, total, 0, 0, notes=(*notes, "dry run: nothing was written"))
    if not dry_run:
        if target is None:
            target = create_dataset(api, address, {"admap": facts}, overlap)
        target = complete_settings(api, target, wanted, payload.columns, map_info=info)
        if target.info.get("admap") != facts:
            api.update_dataset(target, metadata={**target.info, "admap": facts})
        if reviewers and target.min_submitted != overlap:
            api.update_dataset(target, distribution={"strategy": "overlap", "min_submitted": overlap})
    if target is None:  # a dry run of an absent data set has returned
        raise ArgillaError(f"{address}: the data set went away")
    began = time.monotonic()
    known = existing_records(api, target) if target.ready else StoredRecords()
    sender = Sender(api, target, known, dry_run=dry_run)
    key = hidden_fields.key_of(target) if wanted.blind and target.allow_extra_metadata else None
    for row, item in _items(data_map, payload, wanted, known, key):
        sender.add(item)
        if progress is not None and (row % 100 == 99 or row + 1 == total):
            progress(row + 1, total)
    sender.flush()
    seconds = time.monotonic() - began
    if dry_run:
        return PushResult(
            target.full_name, created, total, sender.added, sender.updated, 0, notes=(*notes, "dry run: nothing was written")
        )
    sender.verify()
    notes += sender.notes
    target = api.refresh(target)
    counts = count_queues(api, target)
    refresh_overview(api, target, counts, map_info=mapped, summary=summary)
    left = len(known) - sender.met
    if left > 0:
        notes.append(f"{left:,} records of the data set are not in this map; they were left alone")
    return PushResult(
        target.full_name,
        created,
        total,
        sender.added,
        sender.updated,
        0,
        tuple(found.json() for found in counts),
        tuple(notes),
        seconds,
    )


def _items(
    data_map: DataMap, payload: Payload, wanted: layout.ReviewLayout, known: StoredRecords, key: str | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each record as Argilla takes it, streamed. A blind record shows label and scores once its review is completed; until
    then they travel along sealed with the `key`, for the pull that finds it completed."""
    row = 0
    for batch in data_map.batches():
        extra = [name for name in batch.schema.names if name not in ("prompt", "turns", "completions", "samples")]
        rows = batch.select(extra).to_pylist()
        columns: dict[str, Any]
        for record, columns in zip(batch_to_records(batch), rows, strict=True):
            if record.id != payload.ids[row]:
                raise InputError(
                    f"the map's texts and numbers are not in one order at record {record.id!r}; make the map again"
                )
            name = external_id(record.id)
            stored = known.get(name)
            fields = layout.record_fields(record, columns, blind=wanted.blind, revealed=True)
            item: dict[str, Any] = {"external_id": name, "fields": fields, "metadata": payload.metadata(row)}
            if wanted.blind:
                hidden = hidden_fields.hidden_part(fields[card.FIELD])
                if key is not None:
                    item["metadata"][HIDDEN_PART] = hidden_fields.encrypt_hidden(key, record.id, hidden)
                if stored is None or not stored.completed:
                    fields[card.FIELD] = {part: fields[card.FIELD][part] for part in hidden_fields.OPEN_KEYS}
            vector = payload.vector(row)
            if vector is not None:
                item["vector"] = vector
            yield row, item
            row += 1


def _layout(data_map: DataMap, blind: bool, target: RemoteDataset | None) -> layout.ReviewLayout:
    """The layout that fits the map's records; an existing data set keeps its own.

    Raises:
        InputError: the data set that is there asks its reviewers something that does not fit.
    """
    sizes = data_map.numbers.column("k")
    if not len(sizes):
        raise InputError("the map holds no record")
    bounds: Any = pc.min_max(sizes).as_py()
    low, high = int(bounds["min"]), int(bounds["max"])
    current = managed_layout(target) if target is not None else None
    if current is None:
        if low == high == 2:
            return layout.ReviewLayout("pair", blind, (2, 2))
        return layout.ReviewLayout("ratings", blind, (low, high), layout.rating_scale(_distinct_ratings(data_map)))
    name = target.full_name if target is not None else ""
    if blind and not current.blind:
        raise InputError(f"{name} is an open review; push the blind one under another name")
    if low < current.k[0] or high > current.k[1]:
        raise InputError(
            f"{name} asks about {current.k[0]} to {current.k[1]} completions and the map has records of {low} to {high}; "
            "Argilla adds no question to a published data set: push under another name"
        )
    return current


def _distinct_ratings(data_map: DataMap) -> list[float | None]:
    column: Any = data_map.numbers.column("ratings")
    found: list[float | None] = pc.unique(pc.list_flatten(column)).to_pylist()
    return found


def _map_info(data_map: DataMap) -> dict[str, Any]:
    numbers = data_map.numbers
    scores: Any = numbers.column("scores")
    return card.map_info(
        numbers.column("mean").to_numpy(),
        numbers.column("variance").to_numpy(),
        thresholds=data_map.info.get("thresholds"),
        scores=pc.list_flatten(scores).to_numpy(),
        scale=_judge_scale(data_map.info),
    )


def _judge_scale(info: Mapping[str, Any]) -> list[float] | None:
    """The two ends of the scale that the scorer says it uses; None where it says none, or two say different ones.

    A similarity can be as low as -1 and hardly ever is below 0: the scores themselves tell which half is in use.
    """
    scales = [facts.get("range") for facts in (info.get("score") or {}).get("judges") or () if isinstance(facts, Mapping)]
    if not scales or any(scale != scales[0] for scale in scales) or not scales[0]:
        return None
    low, high = (float(end) for end in scales[0])
    return [low, high] if low < high and low >= 0 else None


def _check_reviewers(api: Api, reviewers: Sequence[str], workspace_id: str) -> list[str]:
    """Refuses names that are nobody's; returns notes on people who will not see the data set."""
    names = set(api.usernames(workspace_id).values())
    unknown = [name for name in reviewers if names and name not in names]
    if unknown:
        raise InputError(f"--reviewers: there is no user {unknown[0]!r} on {api.url}; there are {', '.join(sorted(names))}")
    for name in reviewers:
        if any(character in name for character in ".~,"):
            raise InputError(f"--reviewers: a link cannot carry the name {name!r}; its characters . ~ , have a meaning there")
    inside = {name for name, _ in api.members(workspace_id).values()} | {str(api.me()["username"])}
    return [
        f"{name} is no member of the workspace and will not see the data set; add them in Argilla's settings"
        for name in reviewers
        if name not in inside
    ]
