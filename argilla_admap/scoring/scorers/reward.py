"""A reward model's scalar, from a server or from a model on this machine.

A reward is any real number, on the model's own scale: higher is better, zero means nothing. A model gives a text one reward, so
there is no variance of a sample. Regions and P(wrong) depend on differences, and are comparable within one model only.

Servers are asked in different ways (see `reward_servers`); which one this is, is found out unless `reward_dialect` names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError, JudgeRefused
from argilla_admap.scoring.cache.keys import key_hash
from argilla_admap.scoring.cache.store import CacheEntry
from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.scorer import ScoredCompletion, ScorerOption, Work
from argilla_admap.scoring.scorers.reward_servers import REWARD_SERVERS, RewardInput, RewardServer, find_server
from argilla_admap.scoring.scorers.split_retry import SplitRetry

if TYPE_CHECKING:
    import pyarrow as pa

    from argilla_admap.scoring.client.dispatcher import Dispatcher
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.session import Session

__all__ = ["OPTIONS", "SCORER", "RewardScorer"]

OPTIONS = (
    ScorerOption("reward_url", "Where the scorer reward finds its server (vLLM, Text Embeddings Inference, llama.cpp)."),
    ScorerOption("reward_dialect", "How that server is asked.", default="auto", choices=("auto", *REWARD_SERVERS)),
    ScorerOption("reward_model", "The model's name there; without `reward_url`, a model to load here (extra `reward`)."),
    ScorerOption("reward_label", "Of a model with several classes, the one whose value is the reward: its name or number."),
)


class RewardScorer:
    """See the module."""

    name = "reward"

    def __init__(self, options: ScoreOptions, session: Session) -> None:
        url, self._model = options.extra.get("reward_url"), options.extra.get("reward_model")
        self._label = options.extra.get("reward_label")
        self._session = session
        #: Judgements that the store held.
        self.cached = 0
        if url is None and self._model is None:
            raise InputError(
                "the scorer reward has no model",
                hint="name the reward model's server with `reward_url`, or a model to load here with `reward_model`",
            )
        self._dispatcher: Dispatcher | None = None
        self._local: Any = None
        self._one_at_a_time = asyncio.Lock()
        self._server: RewardServer | None = None
        if url is None:
            from argilla_admap.scoring.scorers.reward_local import LocalReward

            self._local = LocalReward(str(self._model), self._label)
            self._where = f"here {self._model}"
            return
        root, self._named = _split(url, options.extra.get("reward_dialect", "auto"))
        self._dispatcher = session.dispatcher(self._model or "reward", root, side=True)
        self._requests = SplitRetry(self._dispatcher)
        self._where = self._dispatcher.name
        # For an estimate, which asks nobody: what the server was when it was last asked.
        remembered = session.store.endpoint(f"reward {self._dispatcher.name}")
        self._server = REWARD_SERVERS.get(self._named) or REWARD_SERVERS.get(str(remembered.get("dialect")))
        self._served = str(remembered.get("model") or self._model or "")

    async def start(self) -> list[str]:
        if self._dispatcher is None:
            await self._local.start()
            return []
        try:
            self._server, served = await find_server(self._dispatcher.transport, self._named, self._model, self._label)
        except JudgeRefused as exc:
            raise JudgeRefused(str(exc), option="reward_url") from exc
        self._served = served or self._model or ""
        facts: dict[str, object] = {"dialect": self._server.name, "model": self._served}
        self._session.store.remember_endpoint(f"reward {self._dispatcher.name}", facts)
        if not self._served:
            return [
                "the reward server does not say which model it serves: name it with `reward_model`, so that the rewards of"
                " another model on the same address are not taken for its own"
            ]
        return []

    async def score(self, batch: pa.RecordBatch) -> list[list[ScoredCompletion]]:
        rows = _rows(batch)
        # A completion that several pairs share is scored once.
        wanted = {self._key(row, text): (row, text) for row in rows for text in row.completions}
        if self._dispatcher is None:
            known, new = await self._compute(wanted)
        else:
            known, new = await self._requests.ask(list(wanted), lambda missing: self._requests_for(missing, wanted))
        self.cached += len(known)
        found = new | known
        return [[_scored(found[self._key(row, text)]) for text in row.completions] for row in rows]

    def _requests_for(self, missing: list[bytes], wanted: dict[bytes, tuple[RewardInput, str]]) -> list[_RewardRequest]:
        server = self._server
        if server is None:
            return []
        together: list[tuple[RewardInput, list[tuple[str, bytes]]]] = []
        for key in missing:
            row, text = wanted[key]
            if not together or together[-1][0].messages != row.messages or len(together[-1][1]) >= server.most_texts:
                together.append((row, []))
            together[-1][1].append((text, key))
        return [_RewardRequest(server, self._served or None, self._label, row, texts) for row, texts in together]

    async def _compute(
        self, wanted: dict[bytes, tuple[RewardInput, str]]
    ) -> tuple[dict[bytes, CacheEntry], dict[bytes, CacheEntry | str]]:
        store = self._session.store
        async with self._one_at_a_time:
            known = store.look_up(list(wanted))
            missing = {key: pair for key, pair in wanted.items() if key not in known}
            values = await self._local.rewards(list(missing.values()))
            new: dict[bytes, CacheEntry | str] = {}
            for key, value in zip(missing, values, strict=True):
                new[key] = entry = CacheEntry(key, value, None, None, None, 0, 0, 0.0)
                store.put(entry)
            store.flush()
        return known, new

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        wanted = {self._key(row, text): (row, text) for row in _rows(batch) for text in row.completions}
        known = self._session.store.look_up(list(wanted))
        if self._dispatcher is None:
            return Work(cached=len(known))
        missing = [key for key in wanted if key not in known]
        requests = len(self._requests_for(missing, wanted)) if self._server is not None else len(missing)
        tokens = sum((len(row.prompt.encode()) + len(text.encode())) // 4 for row, text in (wanted[key] for key in missing))
        # A server of one's own sends no bill.
        return Work(requests=requests, cached=len(known), input_tokens=tokens, cost_usd=0.0)

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"scorer": "reward", "range": None, "label": self._label}
        if self._dispatcher is None:
            return {**facts, **self._local.facts()}
        dialect = self._server.name if self._server is not None else None
        return {**facts, "model": self._served or None, "endpoint": self._where.rpartition(" ")[0], "dialect": dialect}

    def _key(self, row: RewardInput, text: str) -> bytes:
        server = self._server.name if self._server is not None else "local"
        model = self._served if self._dispatcher is not None else self._model
        return key_hash("reward", self._where, server, model, self._label, row.messages, text).digest()


class _RewardRequest:
    """The request for the rewards of a few completions of one prompt."""

    def __init__(
        self,
        server: RewardServer,
        model: str | None,
        label: str | None,
        row: RewardInput,
        texts: Sequence[tuple[str, bytes]],
    ) -> None:
        self._server, self._model, self._label = server, model, label
        self._row, self._pairs = row, texts
        self._texts = [text for text, _ in texts]
        self.keys: tuple[bytes, ...] = tuple(key for _, key in texts)
        self.path = server.path

    def only(self, keys: Sequence[bytes]) -> _RewardRequest:
        pairs = [(text, key) for text, key in self._pairs if key in keys]
        return _RewardRequest(self._server, self._model, self._label, self._row, pairs)

    def body(self) -> bytes:
        return self._server.body(self._model, self._row, self._texts)

    def tokens(self) -> tuple[int, int, int]:
        length = len(self._row.prompt.encode()) * len(self._texts) + sum(len(text.encode()) for text in self._texts)
        return length // 4, length, 0

    def read(self, reply: Any) -> list[ParsedAnswer]:
        values = self._server.read(reply, self._label)
        if len(values) != len(self._texts):
            raise Unreadable(f"{len(values)} rewards came back for {len(self._texts)} completions", again=False)
        return [ParsedAnswer(value) for value in values]

    def negotiate(self, words: str) -> bool:
        return False


def _split(url: str, named: str) -> tuple[str, str]:
    """The server's address and how it is asked: an address may end in the path of one way."""
    root = url.rstrip("/")
    for name, one in REWARD_SERVERS.items():
        if root.endswith(one.path):
            root, named = root.removesuffix(one.path), name if named == "auto" else named
            break
    return root.removesuffix("/v1"), named


def _rows(batch: pa.RecordBatch) -> list[RewardInput]:
    names = [n for n in ("prompt", "turns", "completions") if n in batch.schema.names]
    rows = []
    for row in batch.select(names).to_pylist():
        turns = row.get("turns") or [{"role": "user", "content": row["prompt"]}]
        messages = tuple((turn["role"] or "user", turn["content"] or "") for turn in turns)
        rows.append(RewardInput(row["prompt"], messages, tuple(text or "" for text in row["completions"])))
    return rows


def _scored(found: CacheEntry | str) -> ScoredCompletion:
    if isinstance(found, str):
        return ScoredCompletion(None, found)
    if found.score is None:
        return ScoredCompletion(None, "the server gave no number")
    return ScoredCompletion(found.score, None, None, 1, (found.score,))


SCORER = RewardScorer
