"""Texts as vectors, by an endpoint or by a model on this machine; each text once, kept in the judgement store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from argilla_admap.errors import InputError, JudgeRefused
from argilla_admap.scoring.cache.keys import key_hash
from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.options import DEFAULT_EMBEDDER
from argilla_admap.scoring.scorer import Work
from argilla_admap.scoring.scorers.split_retry import SplitRetry

if TYPE_CHECKING:
    from argilla_admap.scoring.client.dispatcher import Dispatcher
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.session import Session

__all__ = ["LOCAL", "Embedded", "EndpointEmbedder", "LocalEmbedder", "choose_embedder", "cosine"]

#: A model's name with this before it is loaded here, by sentence-transformers.
LOCAL = "local:"
#: What every endpoint takes in one request, as far as is known: Text Embeddings Inference takes 32 unless told otherwise.
_MOST_TEXTS = 32
_MOST_CHARACTERS = 60_000
_EMPTY = "an empty text has no embedding"


class Embedded(NamedTuple):
    """A text's vector, of length 1; or why there is none."""

    vector: np.ndarray | None
    error: str | None = None
    #: It was in the store.
    known: bool = False


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two vectors of length 1, in -1..1."""
    return float(np.clip(np.dot(a, b), -1.0, 1.0))


class EndpointEmbedder:
    """Asks an OpenAI-compatible ``/embeddings``.

    Args:
        dispatcher: the way to the model.
        model: as the server calls it.
    """

    def __init__(self, dispatcher: Dispatcher, model: str) -> None:
        self._dispatcher = dispatcher
        self._requests = SplitRetry(dispatcher)
        self._model = model

    async def start(self) -> list[str]:
        """Makes ready; returns warnings for the person."""
        return []

    async def embed(self, texts: Sequence[str]) -> dict[str, Embedded]:
        """The vectors of the texts; equal texts are embedded once, and those of earlier runs not again."""
        texts_of = {self._key(text): text for text in texts if text.strip()}

        def requests(missing: list[bytes]) -> list[_EmbeddingRequest]:
            return [_EmbeddingRequest(self._model, part) for part in _parts([(texts_of[key], key) for key in missing])]

        try:
            known, asked = await self._requests.ask(list(texts_of), requests)
        except JudgeRefused as exc:
            raise JudgeRefused(f"embeddings of {self._model!r} (`embedding_model`, `embedding_base_url`): {exc}") from exc
        found = {text: Embedded(None, _EMPTY) for text in texts if not text.strip()}
        found |= {texts_of[key]: Embedded(_vector(entry.text), known=True) for key, entry in known.items()}
        for key, one in asked.items():
            found[texts_of[key]] = (
                Embedded(None, f"no embedding: {one}") if isinstance(one, str) else Embedded(_vector(one.text))
            )
        return found

    def _key(self, text: str) -> bytes:
        return key_hash("embedding", self._dispatcher.name, text).digest()

    def estimate(self, texts: Sequence[str]) -> Work:
        """What `embed` would ask and cost."""
        keys = {self._key(text): text for text in texts if text.strip()}
        known = self._dispatcher.cached(list(keys))
        missing = [(text, key) for key, text in keys.items() if key not in known]
        tokens = sum(len(text.encode()) // 4 for text, _ in missing)
        price = self._dispatcher.price
        return Work(len(_parts(missing)), len(known), tokens, 0, price.cost(tokens, 0) if price is not None else None)

    def facts(self) -> dict[str, Any]:
        return {"embedding_model": self._model, "embedding_endpoint": self._dispatcher.name.rpartition(" ")[0]}


def _parts(texts: Sequence[tuple[str, bytes]]) -> list[list[tuple[str, bytes]]]:
    """Texts and their keys, as many together as a request holds."""
    parts: list[list[tuple[str, bytes]]] = []
    characters = 0
    for text, key in texts:
        if not parts or len(parts[-1]) >= _MOST_TEXTS or characters + len(text) > _MOST_CHARACTERS:
            parts.append([])
            characters = 0
        parts[-1].append((text, key))
        characters += len(text)
    return parts


class _EmbeddingRequest:
    """The request for the vectors of a few texts."""

    path = "/embeddings"

    def __init__(self, model: str, texts: Sequence[tuple[str, bytes]]) -> None:
        self._model = model
        self._texts = texts
        self.keys: tuple[bytes, ...] = tuple(key for _, key in texts)

    def only(self, keys: Sequence[bytes]) -> _EmbeddingRequest:
        return _EmbeddingRequest(self._model, [(text, key) for text, key in self._texts if key in keys])

    def body(self) -> bytes:
        return orjson.dumps({"model": self._model, "input": [text for text, _ in self._texts], "encoding_format": "float"})

    def tokens(self) -> tuple[int, int, int]:
        length = sum(len(text.encode()) for text, _ in self._texts)
        return length // 4, length, 0

    def read(self, reply: Any) -> list[ParsedAnswer]:
        rows = sorted(reply["data"], key=lambda row: row["index"])
        if len(rows) != len(self._texts):
            raise Unreadable(f"{len(rows)} embeddings came back for {len(self._texts)} texts", again=False)
        return [ParsedAnswer(None, text=_packed(row["embedding"])) for row in rows]

    def negotiate(self, words: str) -> bool:
        return False


class LocalEmbedder:
    """As `EndpointEmbedder`, by a sentence-transformers model on this machine: one batch at a time, in a thread.

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
                f"{LOCAL}{self._name}: sentence-transformers is not installed",
                option="embedding_model",
                hint="pip install 'argilla-admap[embeddings]', or name an endpoint's model",
            ) from exc
        try:
            self._model = await asyncio.to_thread(SentenceTransformer, self._name)
        except (OSError, ValueError) as exc:
            raise InputError(f"{LOCAL}{self._name}: cannot be loaded ({exc})", option="embedding_model") from exc
        return []

    async def embed(self, texts: Sequence[str]) -> dict[str, Embedded]:
        keys = {text: self._key(text) for text in texts if text.strip()}
        found = {text: Embedded(None, _EMPTY) for text in texts if text not in keys}
        async with self._one_at_a_time:
            known = self._store.look_up(list(keys.values()))
            found |= {text: Embedded(_vector(known[key].text), known=True) for text, key in keys.items() if key in known}
            missing = [text for text in keys if text not in found]
            vectors = await asyncio.to_thread(self._encode, missing) if missing else ()
            for text, vector in zip(missing, vectors, strict=True):
                try:
                    packed = _packed(vector)
                except Unreadable as exc:
                    found[text] = Embedded(None, f"no embedding: {exc}")
                    continue
                found[text] = Embedded(_vector(packed))
                self._store.put(CacheEntry(keys[text], None, None, None, packed, 0, 0, 0.0))
            self._store.flush()
        return found

    def _key(self, text: str) -> bytes:
        return key_hash("embedding", LOCAL + self._name, text).digest()

    def _encode(self, texts: list[str]) -> Any:
        most = self._model.max_seq_length
        if most:
            lengths = self._model.tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]
            self._cut += sum(len(ids) > most for ids in lengths)
        return self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)

    def estimate(self, texts: Sequence[str]) -> Work:
        return Work(cached=len(self._store.look_up([*{self._key(text) for text in texts if text.strip()}])))

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"embedding_model": LOCAL + self._name}
        if self._cut:
            # Regions depend on where texts are cut, so it is said.
            facts |= {"texts_cut": self._cut, "cut_at_tokens": self._model.max_seq_length}
        return facts


def choose_embedder(options: ScoreOptions, session: Session) -> EndpointEmbedder | LocalEmbedder:
    """The one that `embedding_model` and `embedding_base_url` name.

    Raises:
        InputError: there is no key for its server.
    """
    model = options.extra.get("embedding_model", DEFAULT_EMBEDDER)
    if model.startswith(LOCAL):
        return LocalEmbedder(session.store, model.removeprefix(LOCAL))
    try:
        return EndpointEmbedder(session.dispatcher(model, options.extra.get("embedding_base_url"), side=True), model)
    except InputError as exc:
        raise InputError(
            f"embeddings of {model!r}: {exc.message}",
            option="embedding_model",
            hint=f"name their server with `embedding_base_url`, or embed on this machine with `embedding_model` {LOCAL}NAME",
        ) from exc


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
