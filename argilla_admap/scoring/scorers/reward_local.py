"""A reward model on this machine: a sequence classifier of the `transformers` library, loaded when it is first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.scoring.scorers.reward_servers import RewardInput

__all__ = ["LocalReward"]

_TEXTS_AT_ONCE = 8
#: Where a model does not say how much it reads.
_MOST_TOKENS = 4096


class LocalReward:
    """Scores texts one batch at a time, in a thread.

    Args:
        model: a name on the Hugging Face hub, or a folder.
        label: of a model with several classes, the one whose logit is the reward.
    """

    def __init__(self, model: str, label: str | None) -> None:
        self._name = model
        self._label = label
        self._model: Any = None
        self._tokenizer: Any = None
        self._column = 0
        self._most_tokens = _MOST_TOKENS
        self._cut = 0
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """Loads the model.

        Raises:
            InputError: the library or the model is not there, or the label is needed or unknown.
        """
        try:
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError as exc:
            raise InputError(
                f"{self._name}: transformers and torch are not installed",
                option="reward_model",
                hint="pip install 'argilla-admap[reward]', or name a server with `reward_url`",
            ) from exc

        def load() -> None:
            self._tokenizer = AutoTokenizer.from_pretrained(self._name)
            self._model = AutoModelForSequenceClassification.from_pretrained(self._name, torch_dtype="auto")
            self._model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

        try:
            await asyncio.to_thread(load)
        except (OSError, ValueError) as exc:
            raise InputError(f"{self._name}: cannot be loaded ({exc})", option="reward_model") from exc
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._model.config.pad_token_id = self._tokenizer.pad_token_id
        most = getattr(self._model.config, "max_position_embeddings", None) or _MOST_TOKENS
        self._most_tokens = min(int(most), int(self._tokenizer.model_max_length), _MOST_TOKENS)
        self._column = self._find_column(dict(self._model.config.id2label))

    def _find_column(self, labels: dict[int, str]) -> int:
        if self._label is None:
            if len(labels) == 1:
                return 0
        else:
            for place, name in labels.items():
                if self._label in (name, str(place)):
                    return int(place)
        raise InputError(
            f"{self._name}: it has the classes {', '.join(labels.values())}",
            option="reward_model",
            hint="say with `reward_label` which one's value is the reward",
        )

    async def rewards(self, pairs: Sequence[tuple[RewardInput, str]]) -> list[float]:
        """The rewards of completions, in order."""
        if not pairs:
            return []
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._compute, pairs)

    def _compute(self, pairs: Sequence[tuple[RewardInput, str]]) -> list[float]:
        import torch

        # Texts of like length together: padding is computed too.
        order = sorted(range(len(pairs)), key=lambda place: len(pairs[place][0].prompt) + len(pairs[place][1]))
        found = [0.0] * len(pairs)
        for start in range(0, len(order), _TEXTS_AT_ONCE):
            places = order[start : start + _TEXTS_AT_ONCE]
            inputs = self._encode([pairs[place] for place in places])
            with torch.inference_mode():
                logits = self._model(**inputs.to(self._model.device)).logits[:, self._column].float().tolist()
            for place, value in zip(places, logits, strict=True):
                found[place] = value
        return found

    def _encode(self, pairs: Sequence[tuple[RewardInput, str]]) -> Any:
        common = {"return_tensors": "pt", "padding": True, "truncation": True, "max_length": self._most_tokens}
        if not self._tokenizer.chat_template:
            inputs = self._tokenizer([row.prompt for row, _ in pairs], [text for _, text in pairs], **common)
        else:
            texts = [
                self._tokenizer.apply_chat_template(
                    [{"role": role, "content": said} for role, said in (*row.messages, ("assistant", text))], tokenize=False
                )
                for row, text in pairs
            ]
            # The template has put the special tokens in.
            inputs = self._tokenizer(texts, add_special_tokens=False, **common)
        self._cut += int((inputs["attention_mask"].sum(1) >= self._most_tokens).sum())
        return inputs

    def facts(self) -> dict[str, Any]:
        """The model, and how many texts it read only the beginning of."""
        facts: dict[str, Any] = {"model": self._name, "endpoint": None, "dialect": "transformers"}
        return facts | ({"texts_cut": self._cut, "cut_at_tokens": self._most_tokens} if self._cut else {})
