"""A completion in another language or script than its prompt and its rivals."""

from __future__ import annotations

import numpy as np

from argilla_admap.mapping.checks.check import Check, CheckInput
from argilla_admap.mapping.data.arrays import Bools
from argilla_admap.mapping.data.text_features import MIN_BYTES

__all__ = ["CHECK"]


def _wrong_language(given: CheckInput) -> Bools:
    """Completions in another script than the prompt's, or in another language, where a rival is in the prompt's.

    Code, data and bare lists of names are of no language, and prompts that mention languages may want any.
    """
    seen, owner, texts = given.seen, given.owner, given.seen.texts
    script, asked = texts.script, seen.prompt_scripts[owner]
    fits = (script >= 0) & (script == asked)
    other_script = (script >= 0) & (asked >= 0) & (script != asked) & given.records(fits)[owner]
    long = (texts.length >= MIN_BYTES) & (script == 0)
    english = long & texts.english & ~texts.foreign
    # English is right, unless the prompt is in another Latin-written language, or shows no language and most completions are.
    others = np.bincount(owner[texts.foreign], minlength=seen.n) > np.bincount(owner[english], minlength=seen.n)
    foreign_asked = seen.prompt_foreign[owner] | ((asked < 0) & others[owner])
    wrong = np.where(foreign_asked, english, texts.foreign)
    right = np.where(foreign_asked, texts.foreign, long & ~texts.foreign)
    other_language = wrong & given.records(right)[owner]
    return np.asarray((other_script | other_language) & ~texts.code & ~seen.translations[owner])


CHECK = Check(
    name="wrong_language",
    title="a completion in another language",
    sentence="Completion {} is in another language than the prompt or its rivals.",
    test=_wrong_language,
    rank=70,
)
