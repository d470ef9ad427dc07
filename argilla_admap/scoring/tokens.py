"""How many tokens a text has: counted with the model's own tokenizer where it is at hand offline, else estimated."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["TokenCounter", "estimate_tokens", "most_tokens"]

_RANKS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
#: Characters a token, by script, as today's large vocabularies cut them.
_LATIN, _IDEOGRAPH, _OTHER = 4.4, 1.35, 2.9
_IDEOGRAPHS = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_PLAIN = re.compile(r"[\x00-\u024f\u2000-\u206f]")


class TokenCounter:
    """Counts the tokens of texts for one model."""

    def __init__(self, model: str) -> None:
        encode = _offline_encoding(model)
        #: Whether it counts; else it estimates.
        self.exact = encode is not None
        self._encode = encode

    def count(self, text: str) -> int:
        """The tokens of a text."""
        return self._encode(text) if self._encode is not None else estimate_tokens(text)


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has, by the characters of its scripts."""
    if text.isascii():
        return int(len(text) / _LATIN) + 1
    ideographs = len(_IDEOGRAPHS.findall(text))
    plain = len(_PLAIN.findall(text))
    return int(plain / _LATIN + ideographs / _IDEOGRAPH + (len(text) - plain - ideographs) / _OTHER) + 1


def most_tokens(text: str) -> int:
    """No tokenizer that falls back to bytes makes more tokens of a text than its UTF-8 has bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _offline_encoding(model: str) -> Callable[[str], int] | None:
    import tiktoken

    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    # Asked for without its file, tiktoken would fetch it: only a file that is there already is used.
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    folder = folder or str(Path(tempfile.gettempdir()) / "data-gym-cache")
    file = Path(folder) / hashlib.sha1(_RANKS.format(name).encode(), usedforsecurity=False).hexdigest()
    if not file.is_file():
        return None
    try:
        encoding: Any = tiktoken.get_encoding(name)
    except Exception:
        return None  # a damaged file: the estimate will do
    return lambda text: len(encoding.encode_ordinary(text))
