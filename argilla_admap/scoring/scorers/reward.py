"""A reward model's scalar, from a server or from a model on this machine.

A reward is any real number, on the model's own scale: higher is better, zero means nothing. A model gives a text one reward, so
there is no variance of a sample. Regions and P(wrong) depend on differences, and are comparable within one model only.

Servers speak different dialects (see `reward_dialects`); which one is asked is found out unless ``--reward-dialect`` says it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError, JudgeRefused
from argilla_admap.scoring.cache.keys import key_hash
from argilla_admap.scoring.cache.store import CacheEntry
from argilla_admap.scoring.client.dispatcher import ask_splitting
from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.scorer import ScoredCompletion, ScorerOption, Work
from argilla_admap.scoring.scorers.reward_servers import DIALECTS, Asked, Dialect, find_dialect

if TYPE_CHECKING:
    import pyarrow as pa

    from argilla_admap.scoring.client.dispatcher import Dispatcher
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.session import Session

__all__ = ["OPTIONS", "SCORER", "RewardScorer"]

OPTIONS = (
    ScorerOption("reward-url", "Where --scorer reward finds its server (vLLM, Text Embeddings Inference, llama.cpp)."),
    ScorerOption("reward-dialect", "How that server is asked.", default="auto", choices=("auto", *DIALECTS)),
    ScorerOption("reward-model", "The model's name there; without --reward-url, a model to load here (extra `reward`)."),
    ScorerOption("reward-label", "Of a model with several classes, the one whose value is the reward: its name or number."),
)


class RewardScorer:
    """See the module."""

    name = "reward"

    def __init__(self, options: ScoreOptions, session: Session) -> None:
        url, self._model = options.extra.get("reward-url"), options.extra.get("reward-model")
        self._label = options.extra.get("reward-label")
        self._session = session
        #: Judgements that the store held.
        self.cached = 0
        if url is None and self._model is None:
            raise InputError(
                "--scorer reward: name the reward model's server with --reward-url, or a model to load here with --reward-model"
            )
        self._dispatcher: Dispatcher | None = None
        self._local: Any = None
        self._dialect: Dialect | None = None
        if url is None:
            from argilla_admap.scoring.scorers.reward_local import LocalReward

            self._local = LocalReward(str(self._model), self._label)
            self._where = f"here {self._model}"
            return
        root, self._said = _split(url, options.extra.get("reward-dialect", "auto"))
        self._dispatcher = session.dispatcher(self._model or "reward", root, side=True)
        self._where = self._dispatcher.name
        # For an estimate, which asks nobody: what the server was when it was last asked.
        remembered = session.store.endpoint(f"reward {self._dispatcher.name}")
        self._dialect = DIALECTS.get(self._said) or DIALECTS.get(str(remembered.get("dialect")))
        self._served = str(remembered.get("model") or self._model or "")

    async def start(self) -> list[str]:
        if self._dispatcher is None:
            await self._local.start()
            return []
        try:
            self._dialect, served = await find_dialect(self._dispatcher.transport, self._said, self._model, self._label)
        except JudgeRefused as exc:
            raise JudgeRefused(f"--reward-url: {exc}") from exc
        self._served = served or self._model or ""
        self._session.store.remember_endpoint(
            f"reward {self._dispatcher.name}", {"dialect": self._dialect.name, "model": self._served}
        )
        if not self._served:
            return [
                "the reward server does not say which model it serves: name it with --reward-model, so that the rewards of"
                " another model on the same address are not taken for its own"
            ]
        return []

    async def score(self, batch: pa.RecordBatch) -> list[list[ScoredCompletion]]:
        rows = _rows(batch)
        keys = [[self._key(row, text) for text in row.completions] for row in rows]
        known: dict[bytes, CacheEntry | str] = dict(self._session.store.look_up([key for row in keys for key in row]))
        self.cached += len(known)
        missing = []
        for row, row_keys in zip(rows, keys, strict=True):
            pairs = {key: text for key, text in zip(row_keys, row.completions, strict=True) if key not in known}
            missing += [(row, key, text) for key, text in pairs.items()]
        known |= await (self._ask(missing) if self._dispatcher is not None else self._compute(missing))
        return [[_scored(known[key]) for key in row] for row in keys]

    async def _ask(self, missing: list[tuple[Asked, bytes, str]]) -> dict[bytes, CacheEntry | str]:
        dispatcher, dialect = self._dispatcher, self._dialect
        if dispatcher is None or dialect is None:
            return {}
        questions: list[_Reward] = []
        for row, key, text in missing:
            last = questions[-1] if questions else None
            if last is not None and last.row is row and len(last.texts) < dialect.most_texts:
                last.add(text, key)
            else:
                questions.append(_Reward(dialect, self._served or None, self._label, row, [text], [key]))
        found: dict[bytes, CacheEntry | str] = {}
        for answered in await asyncio.gather(*(ask_splitting(dispatcher, question) for question in questions)):
            found |= answered
        return found

    async def _compute(self, missing: list[tuple[Asked, bytes, str]]) -> dict[bytes, CacheEntry | str]:
        values = await self._local.rewards([(row, text) for row, _, text in missing])
        found: dict[bytes, CacheEntry | str] = {}
        for (_, key, _), value in zip(missing, values, strict=True):
            found[key] = one = CacheEntry(key, value, None, None, None, 0, 0, 0.0)
            self._session.store.put(one, _nothing)
        self._session.store.flush()
        return found

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        rows = _rows(batch)
        keys = {self._key(row, text): (row, text) for row in rows for text in row.completions}
        known = self._session.store.look_up(list(keys))
        missing = [row for key, row in keys.items() if key not in known]
        if self._dispatcher is None:
            return Work(cached=len(known))
        most = self._dialect.most_texts if self._dialect is not None else 1
        requests = sum(-(-sum(r is row for r, _ in missing) // most) for row in rows) if most > 1 else len(missing)
        tokens = sum((len(row.prompt.encode()) + len(text.encode())) // 4 for row, text in missing)
        # A server of one's own sends no bill.
        return Work(requests=requests, cached=len(known), input_tokens=tokens, cost_usd=0.0)

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"scorer": "reward", "range": None, "label": self._label}
        if self._dispatcher is None:
            return {**facts, **self._local.facts()}
        dialect = self._dialect.name if self._dialect is not None else None
        return {**facts, "model": self._served or None, "endpoint": self._where.rpartition(" ")[0], "dialect": dialect}

    def _key(self, row: Asked, text: str) -> bytes:
        dialect = self._dialect.name if self._dialect is not None else "local"
        model = self._served if self._dispatcher is not None else self._model
        return key_hash("reward", self._where, dialect, model, self._label, row.messages, text).digest()


class _Reward:
    """The question for the rewards of a few completions of one prompt."""

    def __init__(
        self, dialect: Dialect, model: str | None, label: str | None, row: Asked, texts: list[str], keys: list[bytes]
    ) -> None:
        self._dialect, self._model, self._label = dialect, model, label
        self.row, self.texts = row, texts
        self.keys: tuple[bytes, ...] = tuple(keys)
        self.path = dialect.path

    def add(self, text: str, key: bytes) -> None:
        """One more completion of the same prompt."""
        self.texts.append(text)
        self.keys = (*self.keys, key)

    def part(self, start: int, end: int) -> _Reward:
        texts, keys = self.texts[start:end], list(self.keys[start:end])
        return _Reward(self._dialect, self._model, self._label, self.row, texts, keys)

    def body(self) -> bytes:
        return self._dialect.body(self._model, self.row, self.texts)

    def tokens(self) -> tuple[int, int, int]:
        length = len(self.row.prompt.encode()) * len(self.texts) + sum(len(text.encode()) for text in self.texts)
        return length // 4, length, 0

    def read(self, reply: Any) -> list[ParsedAnswer]:
        values = self._dialect.read(reply, self._label)
        if len(values) != len(self.texts):
            raise Unreadable(f"{len(values)} rewards came back for {len(self.texts)} completions", again=False)
        return [ParsedAnswer(value) for value in values]

    def negotiate(self, words: str) -> bool:
        return False


def _split(url: str, dialect: str) -> tuple[str, str]:
    """The server's address and the dialect: an address may end in the path of one."""
    root = url.rstrip("/")
    for name, one in DIALECTS.items():
        if root.endswith(one.path):
            root, dialect = root.removesuffix(one.path), name if dialect == "auto" else dialect
            break
    return root.removesuffix("/v1"), dialect


def _rows(batch: pa.RecordBatch) -> list[Asked]:
    names = [n for n in ("prompt", "turns", "completions") if n in batch.schema.names]
    rows = []
    for row in batch.select(names).to_pylist():
        turns = row.get("turns") or [{"role": "user", "content": row["prompt"]}]
        messages = tuple((turn["role"] or "user", turn["content"] or "") for turn in turns)
        rows.append(Asked(row["prompt"], messages, tuple(text or "" for text in row["completions"])))
    return rows


def _scored(found: CacheEntry | str) -> ScoredCompletion:
    if isinstance(found, str):
        return ScoredCompletion(None, found)
    if found.score is None:
        return ScoredCompletion(None, "the server gave no number")
    return ScoredCompletion(found.score, None, None, 1, (found.score,))


def _nothing() -> None:
    return


SCORER = RewardScorer
