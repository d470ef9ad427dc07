"""The settings of a data set, made piece by piece, so that a push that was killed in between can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from argilla_admap.errors import ArgillaError, InputError, UnknownDataset
from argilla_admap.review.argilla.argilla_api import Address, Api, RemoteDataset
from argilla_admap.review.argilla.cipher import new_key
from argilla_admap.review.argilla.properties import (
    BY_COLUMN,
    HIDDEN_KEY,
    HIDDEN_KEY_TITLE,
    POSITION,
    POSITION_TITLE,
    PROPERTIES,
    TEXTS,
    TEXTS_TITLE,
)
from argilla_admap.review.argilla.refusals import Refused
from argilla_admap.review.dataset import card, layout

__all__ = [
    "choose_workspace",
    "complete_settings",
    "create_dataset",
    "ensure_properties",
    "ensure_text_vector",
    "refuse_taken_names",
]

_DIMENSIONS = 3
_MOST_VECTORS = 5
_TAKEN = "remove it in Argilla's settings, or make a review copy of the data set with `copy_to`"


def create_dataset(api: Api, address: Address, info: Mapping[str, Any], min_submitted: int) -> RemoteDataset:
    """An unpublished data set without fields or questions.

    Raises:
        ArgillaError: its workspace is not there, or several could be meant.
    """
    workspace = choose_workspace(api, address)
    body = {
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": min_submitted},
        "metadata": dict(info),
    }
    place = Address(address.name, workspace)
    try:
        api.create_dataset(api.workspaces()[workspace], address.name, body)
    except Refused as error:
        # It was asked twice, because the first answer got lost.
        if error.status != 409:
            raise
    return api.dataset(place)


def choose_workspace(api: Api, address: Address) -> str:
    """The workspace of an address; where the server has none at all, it is made.

    Raises:
        UnknownDataset: it is not there, or several could be meant.
    """
    known = api.workspaces()
    if address.workspace in known:
        return str(address.workspace)
    if address.workspace is not None and known:
        raise UnknownDataset(
            f"{api.url}: there is no workspace {address.workspace!r}",
            hint=f"there are {', '.join(sorted(known))}: name one of these, or make it in Argilla's settings",
        )
    if not known:
        name = address.workspace or "admap"
        api.create_workspace(name)
        return name
    if len(known) == 1:
        return next(iter(known))
    for usual in ("default", "argilla", "admap"):
        if usual in known:
            return usual
    raise UnknownDataset(
        f"{api.url} has the workspaces {', '.join(sorted(known))}", hint=f"say which one: WORKSPACE/{address.name}"
    )


def complete_settings(
    api: Api,
    dataset: RemoteDataset,
    wanted: layout.ReviewLayout,
    columns: Iterable[str],
    *,
    map_info: Mapping[str, Any] | None,
) -> RemoteDataset:
    """The data set with everything that our layout needs, published; what is there already stays.

    Raises:
        ArgillaError: an unpublished data set of this name holds other people's settings.
    """
    settings = layout.build_settings(wanted, client=api.client, map_info=map_info)
    if not dataset.ready:
        have = {str(part["name"]) for part in (*dataset.fields, *dataset.questions)}
        ours = {part.name for part in (*settings.fields, *settings.questions)}
        if have - ours:
            raise ArgillaError(
                f"{dataset.full_name} is not published and holds {sorted(have - ours)[0]!r}, which is not ours",
                hint="publish it, or push under another name",
            )
        for add, parts in ((api.add_field, settings.fields), (api.add_question, settings.questions)):
            for part in parts:
                if part.name not in have and not _once(add, dataset.id, part.api_model().model_dump()):
                    # Another push made it just now; if that has published the data set, it is complete.
                    dataset = api.refresh(dataset)
                    have |= {str(known["name"]) for known in (*dataset.fields, *dataset.questions)}
    ensure_properties(api, dataset, columns, blind=wanted.blind)
    if wanted.blind:
        _close_what_was_open(api, dataset)
    if wanted.blind and HIDDEN_KEY not in dataset.properties and dataset.allow_extra_metadata:
        offered = {"type": "terms", "values": [new_key()]}
        body = {"name": HIDDEN_KEY, "title": HIDDEN_KEY_TITLE, "settings": offered, "visible_for_annotators": False}
        _once(api.add_property, dataset.id, body)
    if not dataset.ready:
        api.publish(dataset.id)
    else:
        _refresh_template(api, dataset, settings)
    return api.refresh(dataset)


def _close_what_was_open(api: Api, dataset: RemoteDataset) -> None:
    """An earlier version gave a blind data set the places on the map, and hid from annotators to whom a record is assigned."""
    if POSITION in dataset.vectors:
        api.remove_vector(str(dataset.vectors[POSITION]["id"]))
    for prop in BY_COLUMN.values():
        found = dataset.properties.get(prop.name)
        if prop.neutral and found is not None and not found["visible_for_annotators"]:
            api.show_property(str(found["id"]), str(found["title"]))


def _refresh_template(api: Api, dataset: RemoteDataset, settings: Any) -> None:
    """The card's template holds the whole map's picture: it changes with the map, and with the version of this package."""
    fresh = next(part for part in settings.fields if part.name == card.FIELD).template
    for part in dataset.fields:
        before = str(part["settings"].get("template") or "")
        if part["name"] == card.FIELD and (after := card.with_place(fresh, card.place_in(before))) != before:
            api.update_template(str(part["id"]), after)


def ensure_properties(api: Api, dataset: RemoteDataset, columns: Iterable[str], *, blind: bool) -> list[str]:
    """Adds the metadata properties and the vector that are missing, one by one; nothing else of the settings is sent.

    A blind data set gets no place on the map. Returns notes for the user.

    Raises:
        InputError: one of our names is taken by something else; nothing was added.
    """
    notes: list[str] = []
    props = [BY_COLUMN[column] for column in columns]
    for prop in props:
        kind = dataset.kind(prop.name)
        if kind not in (None, prop.kind):
            raise InputError(
                f"{dataset.full_name} has a metadata property {prop.name!r} of type {kind}, ours is {prop.kind}", hint=_TAKEN
            )
    vector = dataset.vectors.get(POSITION)
    if vector is not None and int(vector["dimensions"]) != _DIMENSIONS:
        raise InputError(
            f"{dataset.full_name} has a vector {POSITION!r} of {vector['dimensions']} dimensions, ours has {_DIMENSIONS}",
            hint=_TAKEN,
        )
    for prop in props:
        if prop.name not in dataset.properties:
            _once(api.add_property, dataset.id, prop.request(blind=blind))
    if blind:
        # Annotators may search by any vector and be shown it, and the place on the map tells the scores.
        return notes
    if vector is None and len(dataset.vectors) >= _MOST_VECTORS:
        notes.append(
            f"{dataset.full_name} has {len(dataset.vectors)} vectors, as many as Argilla allows: ours, for similarity on the "
            "map, was left out"
        )
    elif vector is None:
        _once(api.add_vector, dataset.id, {"name": POSITION, "title": POSITION_TITLE, "dimensions": _DIMENSIONS})
    return notes


def refuse_taken_names(dataset: RemoteDataset) -> None:
    """Refuses somebody else's data set that holds metadata under our names, which a push would replace.

    A property of ours has neither options nor ends, and another title than its name; where all are there, a push has made them.

    Raises:
        InputError: it names the property.
    """
    pushed = all(prop.name in dataset.properties for prop in PROPERTIES if prop.always)
    for prop in PROPERTIES:
        found = dataset.properties.get(prop.name, {})
        limits = [key for key in ("values", "min", "max") if (found.get("settings") or {}).get(key) is not None]
        if limits or (found and found["title"] == prop.name and not pushed):
            raise InputError(
                f"{dataset.full_name} has a metadata property {prop.name!r} that no push made; ours of this name would replace "
                "its values",
                hint=_TAKEN,
            )


def ensure_text_vector(api: Api, dataset: RemoteDataset, title: str, dimensions: int) -> tuple[bool, list[str]]:
    """Adds the vector of a record's texts where Argilla allows one more, in place of one of ours that was made otherwise.

    Returns whether it is there now, and notes for the user.
    """
    vector = dataset.vectors.get(TEXTS)
    if vector is not None and vector["title"] != title and str(vector["title"]).startswith(TEXTS_TITLE):
        api.remove_vector(str(vector["id"]))
        vector = None
    if vector is None and len(dataset.vectors.keys() - {TEXTS}) >= _MOST_VECTORS:
        return False, [f"{dataset.full_name} has {len(dataset.vectors)} vectors already: similarity by text was left out"]
    if vector is None:
        _once(api.add_vector, dataset.id, {"name": TEXTS, "title": title, "dimensions": dimensions})
    elif int(vector["dimensions"]) != dimensions:
        return False, [
            f"{dataset.full_name} has a vector {TEXTS!r} of {vector['dimensions']} dimensions, ours has {dimensions}"
        ]
    return True, []


def _once(add: Callable[[str, Mapping[str, Any]], None], dataset_id: str, body: Mapping[str, Any]) -> bool:
    """Adds what another push, or an earlier request whose answer got lost, may have added already; whether it was absent."""
    try:
        add(dataset_id, body)
    except Refused as error:
        if error.status not in (409, 422):
            raise
        if error.status == 422 and "published" not in str(error):
            raise
        return False
    return True
