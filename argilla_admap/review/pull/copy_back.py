"""Answers given in a review copy, copied back into the data set that was copied."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.records import printable
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address
from argilla_admap.review.dataset.adapters import External, Managed, RecordTexts
from argilla_admap.review.dataset.answers import Value, in_own_order
from argilla_admap.review.dataset.recognise import adapter_for
from argilla_admap.review.dataset.server_record import ServerRecord

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["CopiedBack", "copy_back"]

_BATCH = 100


@dataclass(frozen=True, slots=True)
class CopiedBack:
    """What was copied back.

    Attributes:
        dataset: ``WORKSPACE/NAME`` of the data set that was copied.
        answers: answers added there.
        present: answers of people who have one there already; theirs stays.
        unfit: answers that the questions there cannot express.
        unmatched: reviewed records that are not there.
    """

    dataset: str
    answers: int
    present: int
    unfit: int
    unmatched: int


@dataclass(slots=True)
class _Answered:
    """A reviewed record of the copy: its texts, and what each person said about its completions in its own order."""

    texts: RecordTexts
    said: dict[str, dict[str, Value]]


def copy_back(
    dataset: str,
    client: rg.Argilla,
    *,
    workspace: str | None = None,
    rating_question: str | None = None,
    dry_run: bool = False,
) -> CopiedBack:
    """Adds the submitted answers of a review copy to the records that were copied, each in its reviewer's name.

    Only a reviewer without any answer on the record there gets one: nothing of anybody is replaced. Idempotent.

    Args:
        dataset: the copy, ``[WORKSPACE/]NAME``.
        client: an owner's, for answers are written in other people's names.
        workspace: where `dataset` does not name it.
        rating_question: the question there, where it is not recognised.
        dry_run: count, and write nothing.

    Raises:
        InputError: `dataset` is no review copy, or the data set that was copied asks nothing about the label.
        ArgillaError: the data set that was copied is gone, or the server refused.
    """
    api = Api(client)
    copy = api.dataset(parse_address(dataset, workspace))
    noted = copy.info.get("home")
    if not isinstance(noted, dict):
        raise InputError(f"{copy.full_name} is no review copy", hint="`admap push` makes one with `copy_to`")
    place = next((place for place, item in api.datasets() if item["id"] == noted.get("id")), None)
    if place is None:
        raise ArgillaError(f"{noted.get('name')}, of which {copy.full_name} is a copy, is gone, or this user may not see it")
    target = api.dataset(place)
    adapter, copied = adapter_for(target, rating_question=rating_question), adapter_for(copy)
    if not isinstance(adapter, External) or not adapter.answerable or not isinstance(copied, Managed):
        asked = ", ".join(str(question["name"]) for question in target.questions)
        raise InputError(
            f"{target.full_name}: none of its questions ({asked}) can hold the answers", hint="name one with `rating_question`"
        )
    return _send(api, target, adapter, _answered(api, copy, copied), dry_run=dry_run)


def _answered(api: Api, copy: RemoteDataset, adapter: Managed) -> dict[str, _Answered]:
    found: dict[str, _Answered] = {}
    for page in api.pages(copy, ("responses",)):
        for item in page:
            record = ServerRecord(item, adapter)
            said = {str(r["user_id"]): said for r, said in record.submitted() if said and not isinstance(said, InputError)}
            if said and record.id is not None and record.texts is not None:
                found[record.id] = _Answered(record.texts, said)
    return found


def _send(
    api: Api, target: RemoteDataset, adapter: External, answered: Mapping[str, _Answered], *, dry_run: bool
) -> CopiedBack:
    by_text = {_key(record.texts): record_id for record_id, record in answered.items()}
    met: set[str] = set()
    items: list[dict[str, Any]] = []
    answers = present = unfit = 0
    for page in api.pages(target, ("responses",)):
        for item in page:
            there = ServerRecord(item, adapter)
            if there.texts is None:
                continue
            record_id = there.id if there.id in answered else by_text.get(_key(there.texts))
            if record_id is None:
                continue
            met.add(record_id)
            record = answered[record_id]
            have = {str(answer["user_id"]) for answer in item.get("responses") or ()}
            places = _places(record.texts, there.texts) or tuple(there.order.index(own) for own in range(len(there.order)))
            added = []
            for who, said in record.said.items():
                if who in have:
                    present += 1
                    continue
                values = _fitting(adapter.express(in_own_order(said, places)), target)
                if values is None:
                    unfit += 1
                    continue
                added.append({"user_id": who, "values": values, "status": "submitted"})
            if added:
                answers += len(added)
                items.append({"id": item["id"], "responses": added})
    if not dry_run:
        for start in range(0, len(items), _BATCH):
            api.put_records(target, items[start : start + _BATCH])
    return CopiedBack(target.full_name, answers, present, unfit, len(set(answered) - met))


def _places(own: RecordTexts, there: RecordTexts) -> tuple[int, ...] | None:
    """Where each of the record's own completions stands there; None where the texts do not say it."""
    prints = [text.strip() for text in there.completions]
    if len(set(prints)) != len(prints) or sorted(prints) != sorted(text.strip() for text in own.completions):
        return None
    return tuple(prints.index(text.strip()) for text in own.completions)


def _key(texts: RecordTexts) -> bytes:
    joined = "\0".join([texts.prompt.strip(), *sorted(text.strip() for text in texts.completions)])
    return hashlib.blake2b(printable(joined).encode(), digest_size=16).digest()


def _fitting(values: Mapping[str, Any] | None, target: RemoteDataset) -> dict[str, Any] | None:
    """The answer as the server accepts it; None where it would refuse it, and the whole request with it."""
    if values is None:
        return None
    for question in target.questions:
        name, settings = str(question["name"]), question["settings"]
        if name not in values and question.get("required"):
            return None
        options = [option["value"] for option in settings.get("options") or ()]
        if name in values and settings["type"] in ("rating", "label_selection") and values[name] not in options:
            return None
    return {name: {"value": value} for name, value in values.items()}
