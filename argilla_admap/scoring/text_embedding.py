"""Vectors of texts for a caller outside of scoring: by an endpoint or a local model, each text paid once, within a budget."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from argilla_admap.errors import InputError, ScoringError
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.scorer import Work
from argilla_admap.scoring.scorers.embedders import choose_embedder
from argilla_admap.scoring.session import Session

__all__ = ["TextEmbedding"]

_T = TypeVar("_T")
#: So many usual texts are embedded too: their mean is taken off every vector.
_USUAL = 64


class TextEmbedding:
    """Embeds texts by one model.

    The vectors of most models all lie near one direction, so that unrelated texts seem alike: the mean of some usual texts is
    taken off. A cosine near 0 then says that two texts have nothing to do with each other.

    Args:
        options: of them count `base_url`, `max_cost`, `price`, `store`, and in `extra` `embedding_model, embedding_base_url`.
        dry: only estimate.

    Attributes:
        model: as the server calls it, or ``local:NAME``.
        failed: texts that got no vector, and why the newest of them got none.

    Raises:
        InputError: no key or no such server; a limit and a model without a known price.

    Source: Mu and Viswanath, All-but-the-Top, ICLR 2018, of which this is the first step.
    """

    def __init__(self, options: ScoreOptions, *, dry: bool = False) -> None:
        self.failed, self.why = 0, ""
        # One thread with one loop: the caller may be on a loop of its own, as in a notebook.
        self._thread, self._loop = ThreadPoolExecutor(1), asyncio.new_event_loop()
        self._session = Session(options, dry=dry)
        self._mean: npt.NDArray[np.float32] | None = None
        try:
            self._embedder = self._run(lambda: self._start(options, dry))
        except BaseException:
            self.close()
            raise
        self.model = str(self._embedder.facts()["embedding_model"])

    async def _start(self, options: ScoreOptions, dry: bool) -> Any:
        embedder = choose_embedder(options, self._session)
        for (_, model), dispatcher in self._session.dispatchers.items():
            if options.max_cost is not None and dispatcher.price is None:
                raise InputError(
                    f"{options.max_cost:g}: no price is listed for the model {model!r}, so its cost cannot be kept below it",
                    option="max_cost",
                    hint="give US dollars a million tokens, in and out, with `price`; 0,0 for a server of your own",
                )
        if not dry:
            await embedder.start()
        return embedder

    def _run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        return self._thread.submit(lambda: self._loop.run_until_complete(work())).result()

    def estimate(self, batches: Iterable[Sequence[str]]) -> Work:
        """What the vectors of all these texts would take: requests, tokens and US dollars, without those in the store."""

        async def add() -> Work:
            works = [self._embedder.estimate(texts) for texts in (_usual(), *batches)]
            cost = None if any(one.cost_usd is None for one in works) else sum(one.cost_usd or 0.0 for one in works)
            requests, cached, tokens = (sum(numbers) for numbers in zip(*(one[:3] for one in works), strict=True))
            return Work(requests, cached, tokens, cost_usd=cost)

        return self._run(add)

    @property
    def dimensions(self) -> int:
        """Of a vector.

        Raises:
            ScoringError: the model gives none.
        """
        if self._mean is None:
            found = [one.vector for one in self._ask(_usual()) if one.vector is not None]
            if not found:
                raise ScoringError(f"{self.model} embeds nothing: {self.why}")
            self._mean = np.mean(found, axis=0)
        return len(self._mean)

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Shape (n texts, dimensions), each of length 1; zeros where a text has no vector."""
        out = np.zeros((len(texts), self.dimensions))
        for place, one in enumerate(self._ask(texts)):
            if one.vector is None:
                self.failed += bool(texts[place].strip())
            else:
                out[place] = one.vector - self._mean
        length = np.linalg.norm(out, axis=1, keepdims=True)
        scaled: npt.NDArray[np.float64] = np.divide(out, length, out=np.zeros_like(out), where=length > 1e-6)
        return scaled

    def _ask(self, texts: Sequence[str]) -> list[Any]:
        found = self._run(lambda: self._embedder.embed(texts))
        self.why = next((one.error for one in found.values() if one.error), self.why)
        return [found[text] for text in texts]

    @property
    def spent(self) -> float:
        """US dollars, so far."""
        return self._session.budget.spent

    def close(self) -> None:
        """Writes what came in, and closes."""
        self._run(self._session.close)
        self._thread.shutdown()
        self._loop.close()


@cache
def _usual() -> tuple[str, ...]:
    """Texts of many kinds: prompts and answers of the package's own example."""
    packed = resources.files("argilla_admap.example_data").joinpath("llmbar_pairs_gpt4.jsonl.gz").read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(packed).decode().splitlines()]
    texts = (f"{row['prompt']}\n\n{row['completions'][0]['text']}" for row in rows[:: max(1, len(rows) // _USUAL)])
    return tuple(dict.fromkeys(text[:1000] for text in texts))[:_USUAL]
