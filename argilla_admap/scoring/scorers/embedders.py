"""Texts as vectors, by an endpoint or by a model on this machine; each text once, kept in the judgement store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import orjson

from argilla_admap.errors import InputError, JudgeRefused
from argilla_admap.scoring.cache.keys import key_hash
from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.client.dispatcher import ask_splitting
from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.scorer import Work

if TYPE_CHECKING:
    from argilla_admap.scoring.client.dispatcher import Dispatcher

__all__ = ["LOCAL", "Embedded", "Embedder", "EndpointEmbedder", "LocalEmbedder", "cosine"]

#: A model's name with this before it is loaded here, by sentence-transformers.
LOCAL = "local:"
#: What every endpoint takes in one request, as far as is known: Text Embeddings Inference takes 32 unless told otherwise.
_MOST_TEXTS = 32
_MOST_CHARACTERS = 60_000


class Embedded(NamedTuple):
    """A text's vector, of length 1; or why there is none."""

    vector: np.ndarray | None
    error: str | None = None
    #: It was in the store.
    known: bool = False


class Embedder(Protocol):
    """Makes vectors of texts."""

    async def start(self) -> list[str]:
        """Makes ready; returns warnings for the person."""
        ...

    async def embed(self, texts: Sequence[str]) -> dict[str, Embedded]:
        """The vectors of the texts; equal texts are embedded once, and those of earlier runs not again."""
        ...

    def estimate(self, texts: Sequence[str]) -> Work:
        """What `embed` would ask and cost."""
        ...

    def facts(self) -> dict[str, Any]:
        """The model, and what it did to the texts."""
        ...


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two vectors of length 1, in -1..1."""
    return float(np.clip(np.dot(a, b), -1.0, 1.0))


class EndpointEmbedder:
    """Asks an OpenAI-compatible ``/embeddings``.

    Args:
        dispatcher: the way to the model.
        model: as the server dispatcher it.
    """

    def __init__(self, dispatcher: Dispatcher, model: str) -> None:
        self._dispatcher = dispatcher
        self._model = model
        self._under_way: dict[bytes, asyncio.Future[None]] = {}

    async def start(self) -> list[str]:
        return []

    async def embed(self, texts: Sequence[str]) -> dict[str, Embedded]:
        keys = {text: self._key(text) for text in texts}
        found = {text: Embedded(None, "an empty text has no embedding") for text in keys if not text.strip()}
        wanted = {text: key for text, key in keys.items() if text not in found}
        # A text that another batch of records is having embedded: its vector is in the store when that is done.
        if elsewhere := [self._under_way[key] for key in wanted.values() if key in self._under_way]:
            await asyncio.wait(elsewhere)
        known = self._dispatcher.known(list(wanted.values()))
        found |= {text: Embedded(_vector(known[key].text), known=True) for text, key in wanted.items() if key in known}
        questions = [_Embed(self._model, part) for part in self._parts([(t, k) for t, k in wanted.items() if k not in known])]
        done = asyncio.get_running_loop().create_future()
        ours = [key for question in questions for key in question.keys]
        self._under_way |= dict.fromkeys(ours, done)
        try:
            for answered in await asyncio.gather(*(self._ask(question) for question in questions)):
                found |= answered
        except JudgeRefused as exc:
            raise JudgeRefused(f"embeddings of {self._model!r} (--embedding-model, --embedding-base-url): {exc}") from exc
        finally:
            for key in ours:
                self._under_way.pop(key, None)
            done.set_result(None)
        return found

    def _parts(self, texts: list[tuple[str, bytes]]) -> list[list[tuple[str, bytes]]]:
        parts: list[list[tuple[str, bytes]]] = []
        characters = 0
        for text, key in texts:
            if not parts or len(parts[-1]) >= _MOST_TEXTS or characters + len(text) > _MOST_CHARACTERS:
                parts.append([])
                characters = 0
            parts[-1].append((text, key))
            characters += len(text)
        return parts

    async def _ask(self, question: _Embed) -> dict[str, Embedded]:
        found = await ask_splitting(self._dispatcher, question)
        return {
            text: Embedded(None, f"no embedding: {one}") if isinstance(one := found[key], str) else Embedded(_vector(one.text))
            for text, key in question.texts
        }

    def _key(self, text: str) -> bytes:
        return key_hash("embedding", self._dispatcher.name, text).digest()

    def estimate(self, texts: Sequence[str]) -> Work:
        keys = {self._key(text): text for text in texts if text.strip()}
        known = self._dispatcher.known(list(keys))
        missing = [(text, key) for key, text in keys.items() if key not in known]
        tokens = sum(len(text.encode()) // 4 for text, _ in missing)
        price = self._dispatcher.price
        return Work(len(self._parts(missing)), len(known), tokens, 0, price.cost(tokens, 0) if price is not None else None)

    def facts(self) -> dict[str, Any]:
        return {"embedding_model": self._model, "embedding_endpoint": self._dispatcher.name.rpartition(" ")[0]}


class _Embed:
    """The question for the vectors of a few texts."""

    path = "/embeddings"

    def __init__(self, model: str, texts: Sequence[tuple[str, bytes]]) -> None:
        self._model = model
        self.texts = texts
        self.keys: tuple[bytes, ...] = tuple(key for _, key in texts)

    def part(self, start: int, end: int) -> _Embed:
        return _Embed(self._model, self.texts[start:end])

    def body(self) -> bytes:
        return orjson.dumps({"model": self._model, "input": [text for text, _ in self.texts], "encoding_format": "float"})

    def tokens(self) -> tuple[int, int, int]:
        length = sum(len(text.encode()) for text, _ in self.texts)
        return length // 4, length, 0

    def read(self, reply: Any) -> list[ParsedAnswer]:
        rows = sorted(reply["data"], key=lambda row: row["index"])
        if len(rows) != len(self.texts):
            raise Unreadable(f"{len(rows)} embeddings came back for {len(self.texts)} texts", again=False)
        return [ParsedAnswer(None, text=_packed(row["embedding"])) for row in rows]

    def negotiate(self, words: str) -> bool:
        return False


class LocalEmbedder:
    """Runs a sentence-transformers model on this machine, one batch at a time, in a thread.

    Args:
        store: keeps the vectors.
        model: a name on the Hugging Face hub, or a folder.
    """

    def __init__(self, store: Store, model: str) -> None:
        self._store = store
        self._name = model
        self._model: Any = None
        self._one_at_a_time = asyncio.Lock()
        self._cut = 0

    async def start(self) -> list[str]:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as exc:
            raise InputError(
                f"--embedding-model {LOCAL}{self._name}: sentence-transformers is not installed; "
                "pip install 'argilla-admap[embeddings]', or name an endpoint's model"
            ) from exc
        try:
            self._model = await asyncio.to_thread(SentenceTransformer, self._name)
        except (OSError, ValueError) as exc:
            raise InputError(f"--embedding-model {LOCAL}{self._name}: cannot be loaded ({exc})") from exc
        return []

    async def embed(self, texts: Sequence[str]) -> dict[str, Embedded]:
        keys = {text: key_hash("embedding", LOCAL + self._name, text).digest() for text in texts}
        found = {text: Embedded(None, "an empty text has no embedding") for text in keys if not text.strip()}
        async with self._one_at_a_time:
            known = self._store.look_up(list(keys.values()))
            before = set(known)
            missing = [text for text, key in keys.items() if key not in known and text not in found]
            if missing:
                for text, vector in zip(missing, await asyncio.to_thread(self._encode, missing), strict=True):
                    one = CacheEntry(keys[text], None, None, None, _packed(vector), 0, 0, 0.0)
                    known[one.key] = one
                    self._store.put(one, _nothing)
                self._store.flush()
        return found | {
            text: Embedded(_vector(known[key].text), known=key in before) for text, key in keys.items() if key in known
        }

    def _encode(self, texts: list[str]) -> Any:
        most = self._model.max_seq_length
        if most:
            lengths = self._model.tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]
            self._cut += sum(len(ids) > most for ids in lengths)
        return self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)

    def estimate(self, texts: Sequence[str]) -> Work:
        keys = {key_hash("embedding", LOCAL + self._name, text).digest() for text in texts if text.strip()}
        return Work(cached=len(self._store.look_up(list(keys))))

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"embedding_model": LOCAL + self._name}
        if self._cut:
            # Regions depend on where texts are cut, so it is said.
            facts |= {"texts_cut": self._cut, "cut_at_tokens": self._model.max_seq_length}
        return facts


def _packed(vector: Any) -> bytes:
    """A vector made of length 1, as half-precision bytes: the error of a cosine is below 0.001, the size a quarter."""
    values = np.asarray(vector, dtype=np.float64).reshape(-1)
    length = float(np.linalg.norm(values))
    if not np.isfinite(length) or length == 0.0:
        raise Unreadable("the embedding is zero or not finite", again=False)
    return (values / length).astype(np.float16).tobytes()


def _vector(packed: str | bytes | None) -> np.ndarray:
    values = np.frombuffer(packed if isinstance(packed, bytes) else b"", dtype=np.float16).astype(np.float32)
    unit: np.ndarray = values / np.linalg.norm(values)
    return unit


def _nothing() -> None:
    return
