"""A reranker small enough to be written by a test: one layer of BERT with random weights, in llama.cpp's own file format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["write_reranker"]

_WIDTH, _INNER, _CONTEXT = 32, 64, 512
_WORDS = [
    "what",
    "is",
    "a",
    "the",
    "panda",
    "bear",
    "no",
    "yes",
    "water",
    "boils",
    "at",
    "name",
    "of",
    "how",
    "many",
    "legs",
    "has",
    "spider",
    "eight",
]


def write_reranker(path: Path) -> Path:
    """Writes the model; the same file each time."""
    import gguf

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"\u2581{word}" for word in _WORDS)]
    letters = [chr(code) for code in range(33, 127)]
    vocabulary += letters + [f"\u2581{letter}" for letter in letters if f"\u2581{letter}" not in vocabulary]
    out = gguf.GGUFWriter(str(path), "bert")
    out.add_context_length(_CONTEXT)
    out.add_embedding_length(_WIDTH)
    out.add_feed_forward_length(_INNER)
    out.add_block_count(1)
    out.add_head_count(2)
    out.add_layer_norm_eps(1e-12)
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.RANK)
    out.add_file_type(0)
    out.add_tokenizer_model("bert")
    out.add_tokenizer_pre("default")
    out.add_token_list(vocabulary)
    out.add_token_types([3] * 5 + [1] * (len(vocabulary) - 5))
    out.add_token_type_count(2)
    out.add_pad_token_id(0)
    out.add_unk_token_id(1)
    out.add_bos_token_id(2)
    out.add_eos_token_id(3)
    out.add_sep_token_id(3)
    out.add_mask_token_id(4)
    for name, values in _weights(len(vocabulary)).items():
        out.add_tensor(name, values.astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def _weights(words: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {
        "token_embd.weight": rng.normal(0, 0.5, (words, _WIDTH)),
        "position_embd.weight": rng.normal(0, 0.05, (_CONTEXT, _WIDTH)),
        "token_types.weight": rng.normal(0, 0.5, (2, _WIDTH)),
    }
    layers = {
        "blk.0.attn_q": (_WIDTH, _WIDTH),
        "blk.0.attn_k": (_WIDTH, _WIDTH),
        "blk.0.attn_v": (_WIDTH, _WIDTH),
        "blk.0.attn_output": (_WIDTH, _WIDTH),
        "blk.0.ffn_up": (_INNER, _WIDTH),
        "blk.0.ffn_down": (_WIDTH, _INNER),
        "cls": (_WIDTH, _WIDTH),
        "cls.output": (1, _WIDTH),
    }
    for name, (out, into) in layers.items():
        found[f"{name}.weight"], found[f"{name}.bias"] = rng.normal(0, 0.5, (out, into)), np.zeros(out)
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        found[f"{name}.weight"], found[f"{name}.bias"] = np.ones(_WIDTH), np.zeros(_WIDTH)
    return found
