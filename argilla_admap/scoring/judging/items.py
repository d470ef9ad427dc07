"""The completions of a batch, laid out flat, and the keys under which their judgements are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BatchItems"]


class BatchItems:
    """A batch's completions by index: 0 for the first record's first, and so on.

    Args:
        batch: of `PREFERENCE_SCHEMA`.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._prompts: list[Any] = batch.column("prompt").to_pylist()
        turns = batch.column("turns")
        self._turns: list[Any] = turns.to_pylist() if turns.null_count < batch.num_rows else [None] * batch.num_rows
        self._completions: list[Any] = batch.column("completions").to_pylist()
        self._texts: list[str] = [text for texts in self._completions for text in texts]
        references: list[Any] = batch.column("reference").to_pylist() if "reference" in batch.schema.names else []
        self._references = references or [None] * batch.num_rows
        #: What stands beside each record's conversation, by name and text: set before keys are asked for.
        self.guides: list[tuple[tuple[str, str], ...]] = [()] * batch.num_rows
        self._owners = [row for row, texts in enumerate(self._completions) for _ in texts]
        #: Completions of each record.
        self.shape = [len(texts) for texts in self._completions]

    def __len__(self) -> int:
        return len(self._texts)

    def prompt(self, index: int) -> str:
        """The prompt that the completion answers, as one text."""
        text: str = self._prompts[self._owners[index]]
        return text

    def turns(self, index: int) -> list[dict[str, Any]] | None:
        """The prompt's turns; None of a prompt of one turn."""
        return self._turns[self._owners[index]] or None

    def completion(self, index: int) -> str:
        """The completion at an index."""
        return self._texts[index]

    def owner(self, index: int) -> int:
        """The record that the completion at an index belongs to."""
        return self._owners[index]

    def guide(self, index: int) -> tuple[tuple[str, str], ...]:
        """What stands beside the conversation when the completion at an index is graded."""
        return self.guides[self._owners[index]]

    def reference(self, record: int) -> str:
        """The reference answer that the data hold for a record; empty where there is none."""
        return str(self._references[record] or "").strip()

    def record_prompt(self, record: int) -> tuple[str, list[dict[str, Any]] | None]:
        """The prompt of a record as one text, and its turns."""
        return self._prompts[record], self._turns[record] or None

    def record_completions(self, record: int) -> list[str]:
        """The completions of a record."""
        texts: list[str] = self._completions[record]
        return texts

    def record_hash(self, prefix: hashlib.blake2b, record: int) -> hashlib.blake2b:
        """The start of the keys of a record: the way to ask, its prompt and what stands beside it."""
        prompt, turns, guide = self._prompts[record], self._turns[record], self.guides[record]
        hasher = prefix.copy()
        hasher.update(b"%d\0" % len(prompt))
        hasher.update(prompt.encode())
        if turns:
            hasher.update(b"\0turns" + orjson.dumps(turns))
        if guide:
            hasher.update(b"\0guide" + orjson.dumps(guide))
        return hasher

    def keys(self, prefix: hashlib.blake2b, samples: Sequence[int]) -> list[tuple[bytes, ...]]:
        """For each index the keys of its samples: hashes of the way to ask, the prompt, the completion and the sample's number.

        Args:
            prefix: of the way to ask.
            samples: how many, for each index; at 0 there is no key.
        """
        keys: list[tuple[bytes, ...]] = []
        index = 0
        for record, texts in enumerate(self._completions):
            hasher = self.record_hash(prefix, record)
            for text in texts:
                one_text = hasher.copy()
                if "\0" in text:
                    # After a NUL come the turns and the sample's number too: its length tells this text from those.
                    one_text.update(b"\0text%d\0" % len(text))
                one_text.update(text.encode())
                count = samples[index]
                index += 1
                if count == 1:
                    keys.append((one_text.digest(),))
                    continue
                group = [one_text.digest()] if count else []
                for number in range(1, count):
                    sample = one_text.copy()
                    sample.update(b"\0%d" % number)
                    group.append(sample.digest())
                keys.append(tuple(group))
        return keys
