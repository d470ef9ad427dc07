"""Vectors of texts outside of scoring: paid once, within a budget, and unrelated texts far from each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argilla_admap.errors import InputError
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.text_embedding import TextEmbedding
from tests.doubles.embeddings_server import Embeddings, by_words

TEXTS = ["A song about the sea", "A song about the wide sea", "Prove that seven is prime"]


def asked(words: Embeddings, folder: Path, **more: Any) -> ScoreOptions:
    extra = {"embedding_model": "words", "embedding_base_url": words.url}
    return ScoreOptions(store=folder / "store", extra=extra, **{"price": (1.0, 0.0), **more})


def test_a_text_is_paid_for_once_and_the_estimate_says_so(words: Embeddings, tmp_path: Path) -> None:
    dry = TextEmbedding(asked(words, tmp_path), dry=True)
    before = dry.estimate([TEXTS])
    dry.close()
    assert words.requests == 0
    assert before.requests > 0
    assert before.cost_usd == pytest.approx(before.input_tokens / 1e6)
    first, again = (TextEmbedding(asked(words, tmp_path)) for _ in range(2))
    vectors = first.vectors(TEXTS)
    first.close()
    assert first.spent > 0
    paid = words.requests
    after = again.estimate([TEXTS])
    assert (after.requests, after.cached) == (0, before.cached + len(set(words.texts)))
    np.testing.assert_array_equal(again.vectors(TEXTS), vectors)
    again.close()
    assert words.requests == paid
    assert again.spent == 0


def test_unrelated_texts_are_far_apart_though_the_model_puts_all_texts_near_one_direction(
    words: Embeddings, tmp_path: Path
) -> None:
    embedding = TextEmbedding(asked(words, tmp_path))
    vectors = embedding.vectors([*TEXTS, " "])
    embedding.close()
    raw = np.array([by_words(text) for text in TEXTS])
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    assert (raw @ raw.T)[0, 2] > 0.7
    assert (vectors @ vectors.T)[0, 1] > 0.7
    assert (vectors @ vectors.T)[0, 2] < 0.4
    assert not vectors[3].any()
    assert embedding.failed == 0


def test_a_limit_needs_a_price(words: Embeddings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no price is listed for the model 'words'"):
        TextEmbedding(asked(words, tmp_path, price=None, max_cost=1.0))
