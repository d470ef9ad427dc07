"""The completions of a batch, laid out flat, and the keys under which their judgements are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Sheet"]


class Sheet:
    """A batch's completions by place: 0 for the first record's first, and so on.

    Args:
        batch: of `PREFERENCE_SCHEMA`.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._prompts: list[Any] = batch.column("prompt").to_pylist()
        turns = batch.column("turns")
        self._turns: list[Any] = turns.to_pylist() if turns.null_count < batch.num_rows else [None] * batch.num_rows
        self._completions: list[Any] = batch.column("completions").to_pylist()
        self._texts: list[str] = [text for texts in self._completions for text in texts]
        self._owners = [row for row, texts in enumerate(self._completions) for _ in texts]
        #: Completions of each record.
        self.shape = [len(texts) for texts in self._completions]

    def __len__(self) -> int:
        return len(self._texts)

    def prompt(self, place: int) -> str:
        """The prompt that the completion answers, as one text."""
        text: str = self._prompts[self._owners[place]]
        return text

    def turns(self, place: int) -> list[dict[str, Any]] | None:
        """The prompt's turns; None of a prompt of one turn."""
        return self._turns[self._owners[place]] or None

    def completion(self, place: int) -> str:
        """The completion at a place."""
        return self._texts[place]

    def keys(self, prefix: hashlib.blake2b, samples: Sequence[int]) -> list[tuple[bytes, ...]]:
        """For each place the keys of its samples: hashes of the way to ask, the prompt, the completion and the sample's number.

        Args:
            prefix: of the way to ask.
            samples: how many, for each place; at 0 there is no key.
        """
        keys: list[tuple[bytes, ...]] = []
        place = 0
        for prompt, turns, texts in zip(self._prompts, self._turns, self._completions, strict=True):
            asked = prefix.copy()
            asked.update(b"%d\0" % len(prompt))
            asked.update(prompt.encode())
            if turns:
                asked.update(b"\0turns" + orjson.dumps(turns))
            for text in texts:
                state = asked.copy()
                if "\0" in text:
                    # After a NUL come the turns and the sample's number too: its length tells this text from those.
                    state.update(b"\0text%d\0" % len(text))
                state.update(text.encode())
                count = samples[place]
                place += 1
                if count == 1:
                    keys.append((state.digest(),))
                    continue
                some = [state.digest()] if count else []
                for number in range(1, count):
                    one = state.copy()
                    one.update(b"\0%d" % number)
                    some.append(one.digest())
                keys.append(tuple(some))
        return keys
