"""People's answers on Argilla as corrected labels.

Only submitted answers count: a draft is not said yet, and a discarded record was declined. Nothing is written to the answers;
`mark_outcomes` notes on each record how its review stands, so that the queues can show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.dataset.adapters import DatasetAdapter, External, Managed, adapter_for
from argilla_admap.review.dataset.layout import ratings_from_answer
from argilla_admap.review.dataset.server_record import label_of, order_of, record_id_of
from argilla_admap.review.dataset.settings import ensure_properties
from argilla_admap.review.pull import resolve as rules
from argilla_admap.review.pull.resolve import ReviewerAnswer, Value, resolve
from argilla_admap.review.pull.reveal import out_of_step, reveal

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["PullResult", "Ratings", "mark_outcomes", "pull"]

Ratings = tuple[float | None, ...]

_REVIEW = BY_COLUMN["review"]
_P_WRONG = BY_COLUMN["p_wrong"].name


@dataclass(frozen=True, slots=True)
class _Reviewed:
    """A record with a submitted answer."""

    label: Ratings
    order: tuple[int, ...]
    p_wrong: float | None
    answers: list[ReviewerAnswer]
    records: list[tuple[str, Mapping[str, Any]]]  # ids on the server, with their metadata


@dataclass(frozen=True, slots=True)
class PullResult:
    """What the reviewers said.

    Attributes:
        dataset: ``WORKSPACE/NAME``.
        records: all of the data set.
        reviewed: those with a submitted answer.
        corrected: those whose label the answers change.
        confirmed: those whose label they keep.
        conflicts: those whose reviewers contradict each other; their label stays.
        corrections: record id -> ratings in the record's own order, of the corrected records.
        changes: a line of CHANGES.jsonl each.
        outcomes: record id -> ``corrected``, ``confirmed``, ``conflict`` or ``unclear``, of the reviewed records.
        notes: what a person should know.
    """

    dataset: str
    records: int
    reviewed: int
    corrected: int
    confirmed: int
    conflicts: int
    corrections: Mapping[str, Ratings]
    changes: Sequence[Mapping[str, Any]]
    outcomes: Mapping[str, str]
    notes: tuple[str, ...] = ()
    _reviewed: Mapping[str, _Reviewed] = field(default_factory=dict, repr=False)
    _out_of_step: Sequence[str] = field(default=(), repr=False)

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "dataset": self.dataset,
            "records": self.records,
            "reviewed": self.reviewed,
            "corrected": self.corrected,
            "confirmed": self.confirmed,
            "conflicts": self.conflicts,
            "notes": list(self.notes),
        }


def pull(
    dataset: str,
    client: rg.Argilla,
    *,
    workspace: str | None = None,
    resolve: str = "majority",
    prompt_field: str | None = None,
    completion_fields: Sequence[str] = (),
    rating_question: str | None = None,
) -> PullResult:
    """The submitted answers, settled among several reviewers, as ratings in each record's own order.

    Args:
        dataset: ``[WORKSPACE/]NAME``, of our layouts or of somebody else's making.
        client: of the server; its user must be allowed to read all answers (owner, or admin of the workspace).
        workspace: where `dataset` does not say it.
        resolve: ``majority``, ``unanimous``, ``latest`` or ``dawid-skene``.
        prompt_field, completion_fields, rating_question: of somebody else's data set, where they are not recognised.

    Raises:
        InputError: an unknown rule, or a data set that asks nothing about the label.
        ArgillaError: the server said no.
    """
    if resolve not in rules.RULES:
        raise InputError(f"--resolve {resolve!r} is none of {', '.join(rules.RULES)}")
    api = Api(client)
    target = api.dataset(parse_address(dataset, workspace))
    adapter = adapter_for(
        target, prompt_field=prompt_field, completion_fields=completion_fields, rating_question=rating_question
    )
    if not adapter.answerable:
        asked = ", ".join(str(question["name"]) for question in target.questions) or "none"
        raise InputError(
            f"{target.full_name}: none of its questions ({asked}) says which completion is better; "
            "name one with --rating-question"
        )
    collected = _collect(api, target, adapter)
    return _settle(target, collected, resolve, api.usernames(target.workspace_id) if collected.reviewed else {})


@dataclass(slots=True)
class _Collected:
    """All reviewed records; of the others only their number and the ends of their labels."""

    records: int = 0
    low: float | None = None
    high: float | None = None
    reviewed: dict[str, _Reviewed] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    out_of_step: list[str] = field(default_factory=list)


def _collect(api: Api, target: RemoteDataset, adapter: DatasetAdapter) -> _Collected:
    found = _Collected()
    include = ("responses", "suggestions") if isinstance(adapter, External) else ("responses",)
    blind = isinstance(adapter, Managed) and adapter.layout.blind
    for page in api.pages(target, include):
        for item in page:
            found.records += 1
            if blind and out_of_step(item):
                found.out_of_step.append(str(item["id"]))
            submitted = [answer for answer in item.get("responses") or () if answer["status"] == "submitted"]
            label = label_of(item, adapter, target)
            for rating in label or ():
                if rating is not None:
                    found.low = rating if found.low is None else min(found.low, rating)
                    found.high = rating if found.high is None else max(found.high, rating)
            if submitted:
                _add(found, item, submitted, label, adapter)
    return found


def _add(
    found: _Collected,
    item: Mapping[str, Any],
    submitted: Sequence[Mapping[str, Any]],
    label: Ratings | None,
    adapter: DatasetAdapter,
) -> None:
    record_id = record_id_of(item, adapter)
    if label is None or record_id is None:
        found.unread.append(f"record {item.get('external_id') or item['id']}: its fields hold no completions")
        return
    metadata = item.get("metadata") or {}
    p_wrong = metadata.get(_P_WRONG)
    record = found.reviewed.setdefault(
        record_id,
        _Reviewed(
            label, order_of(item, adapter, record_id, len(label)), float(p_wrong) if p_wrong is not None else None, [], []
        ),
    )
    record.records.append((str(item["id"]), metadata))
    for answer in submitted:
        values = {name: said.get("value") for name, said in (answer.get("values") or {}).items()}
        try:
            meant = adapter.answer(values)
        except (InputError, KeyError, TypeError, ValueError) as error:
            found.unread.append(f"record {record_id}: {error}")
            continue
        if meant:
            at = datetime.fromisoformat(str(answer["updated_at"]).replace("Z", "+00:00"))
            record.answers.append(
                ReviewerAnswer(str(answer["user_id"]), meant, at if at.tzinfo else at.replace(tzinfo=timezone.utc))
            )


def _settle(target: RemoteDataset, found: _Collected, rule: str, usernames: Mapping[str, str]) -> PullResult:
    scale = (
        (found.low, found.high) if found.low is not None and found.high is not None and found.low < found.high else (0.0, 1.0)
    )
    answered = {record_id: record.answers for record_id, record in found.reviewed.items() if record.answers}
    corrections: dict[str, Ratings] = {}
    changes: list[dict[str, Any]] = []
    outcomes = dict.fromkeys(found.reviewed, "unclear")
    for record_id, settled in resolve(answered, rule).items():
        record = found.reviewed[record_id]
        if settled is None:
            outcomes[record_id] = "conflict"
            continue
        try:
            after = _ratings(settled, record, scale)
        except InputError as error:
            found.unread.append(f"record {record_id}: {error}")
            continue
        if after is None:
            continue
        if after == record.label:
            outcomes[record_id] = "confirmed"
            continue
        outcomes[record_id] = "corrected"
        corrections[record_id] = after
        changes.append(
            {
                "id": record_id,
                "before": list(record.label),
                "after": list(after),
                "reviewers": sorted({usernames.get(answer.reviewer, answer.reviewer) for answer in record.answers}),
                "resolved_by": rule,
                "at": max(answer.at for answer in record.answers).isoformat(),
                "p_wrong": record.p_wrong,
                "dataset": target.full_name,
            }
        )
    counts = list(outcomes.values())
    notes = []
    if counts.count("unclear"):
        notes.append(f"{counts.count('unclear'):,} reviewed records have no answer about the label; they stay as they are")
    if found.unread:
        notes.append(f"{len(found.unread):,} answers could not be read and changed nothing; the first: {found.unread[0]}")
    return PullResult(
        dataset=target.full_name,
        records=found.records,
        reviewed=len(found.reviewed),
        corrected=len(corrections),
        confirmed=counts.count("confirmed"),
        conflicts=counts.count("conflict"),
        corrections=corrections,
        changes=changes,
        outcomes=outcomes,
        notes=tuple(notes),
        _reviewed=found.reviewed,
        _out_of_step=found.out_of_step,
    )


def _ratings(settled: Mapping[str, Value], record: _Reviewed, scale: tuple[float, float]) -> Ratings | None:
    return ratings_from_answer(settled, record.label, record.order, scale=scale)


def mark_outcomes(result: PullResult, client: rg.Argilla) -> int:
    """Notes each reviewed record's outcome in its metadata, for the queue of the records whose reviewers disagree.

    A completed record of a blind review shows its label and scores from then on.

    Sends only what changed, with all other metadata as they were; answers are not touched. A data set that was never pushed
    to is left alone. Returns the number of records sent.
    """
    api = Api(client)
    target = api.dataset(parse_address(result.dataset))
    if BY_COLUMN["flags"].name not in target.properties:
        return 0
    reveal(api, target, result._out_of_step)
    items: list[tuple[str, str]] = []
    for record_id, outcome in result.outcomes.items():
        for server_id, metadata in result._reviewed[record_id].records:
            if metadata.get(_REVIEW.name) != outcome:
                items.append((server_id, outcome))
    if items:
        blind = not all(found.get("visible_for_annotators", True) for found in target.properties.values())
        ensure_properties(api, target, [_REVIEW.column], blind=blind)
    for start in range(0, len(items), 100):
        batch = items[start : start + 100]
        now = api.metadata_of(target, [server_id for server_id, _ in batch])
        api.put_records(
            target,
            [
                {"id": server_id, "metadata": {**now[server_id], _REVIEW.name: outcome}}
                for server_id, outcome in batch
                if server_id in now
            ],
        )
    return len(items)
