"""Label-free detectors: what is wrong with a record on its face, seen without a judge and without a model call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.data.text_features import MIN_BYTES
from argilla_admap.mapping.wrong.labels import Labels

__all__ = ["ISSUES", "Findings", "detect"]

#: What can be found, in the order in which a record carries it.
ISSUES = (
    "impossible_value",  # a rating far outside the scale of all others (a 1 multiplied by ten)
    "opposite_duplicate",  # the same two completions of the prompt, or of one nearly like it, are ordered the other way
    "contradiction",  # the other records of the prompt, taken together, order this one's completions the other way
    "identical_completions",  # one text twice, with different ratings
    "empty",  # a completion of white space only
    "truncated",  # a long completion that ends inside a sentence or a block of code
    "wrong_language",  # a completion in another language or script than its prompt and its rivals
)
#: Of a contradiction: by how many standardised rating units the other records disagree with the label.
CONTRADICTED_BY = 0.75


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found.

    Attributes:
        records: by issue, shape (n,).
        completions: by issue, flat: the completions concerned; issues of whole records are absent.
    """

    records: dict[str, Bools]
    completions: dict[str, Bools]


def detect(seen: Observations, labels: Labels, strength: Floats, known: Bools) -> Findings:
    """Goes through the detectors.

    Args:
        strength, known: flat, as `strengths_elsewhere` gives.
    """
    owner = np.repeat(np.arange(seen.n), seen.sizes)
    completions = {
        "impossible_value": labels.impossible,
        "identical_completions": _identical(seen, owner, labels),
        "empty": seen.texts.empty,
        "truncated": seen.texts.truncated,
        "wrong_language": _wrong_language(seen, owner),
    }
    records = {name: _any(mask, owner, seen.n) for name, mask in completions.items()}
    records["opposite_duplicate"] = _opposite_duplicates(seen, labels)
    records["contradiction"] = _contradicted(seen, owner, labels, strength, known) & ~records["opposite_duplicate"]
    return Findings({name: records[name] for name in ISSUES}, completions)


def _any(mask: Bools, owner: Ints, n: int) -> Bools:
    found = np.zeros(n, bool)
    found[owner[mask]] = True
    return found


def _identical(seen: Observations, owner: Ints, labels: Labels) -> Bools:
    """Completions whose text another of the record has too, rated differently."""
    mask = np.zeros(len(owner), bool)
    usable = np.flatnonzero(labels.used & ~seen.texts.empty)
    order = usable[np.lexsort((labels.rating[usable], seen.completion_keys[usable], owner[usable]))]
    if len(order) < 2:
        return mask
    first, second = order[:-1], order[1:]
    same = (owner[first] == owner[second]) & (seen.completion_keys[first] == seen.completion_keys[second])
    differ = same & (np.abs(labels.rating[first] - labels.rating[second]) > 1e-9)
    mask[first[differ]] = mask[second[differ]] = True
    return mask


def _opposite_duplicates(seen: Observations, labels: Labels) -> Bools:
    """Pairs that stand elsewhere too, under the same prompt, with the opposite label."""
    found = np.zeros(seen.n, bool)
    _, group, repeats = np.unique(seen.prompt_keys, return_inverse=True, return_counts=True)
    rows = np.flatnonzero((seen.sizes == 2) & (seen.prompt_keys != 0) & (repeats[group] >= 2))
    if not len(rows):
        return found
    first, second = seen.offsets[rows], seen.offsets[rows] + 1
    ordered = labels.used[first] & labels.used[second] & ~labels.constant[rows]
    rows, first, second = rows[ordered], first[ordered], second[ordered]
    low = np.minimum(seen.completion_keys[first], seen.completion_keys[second])
    high = np.maximum(seen.completion_keys[first], seen.completion_keys[second])
    low_wins = (seen.completion_keys[first] == low) == (labels.rating[first] > labels.rating[second])
    pairs = np.stack([seen.prompt_keys[rows], low, high], axis=1)
    _, pair = np.unique(pairs, axis=0, return_inverse=True)
    pair = pair.reshape(-1)
    wins = np.bincount(pair, low_wins, minlength=int(pair.max(initial=-1)) + 1)
    total = np.bincount(pair, minlength=len(wins))
    distinct = low != high
    found[rows[distinct & (wins[pair] > 0) & (wins[pair] < total[pair])]] = True
    return found


def _contradicted(seen: Observations, owner: Ints, labels: Labels, strength: Floats, known: Bools) -> Bools:
    """Records whose label's best is weaker elsewhere than its worst."""
    usable = known & labels.used & ~labels.constant[owner]
    above, below = np.full(seen.n, -np.inf), np.full(seen.n, np.inf)
    rating = np.where(usable, labels.rating, np.nan)
    high, low = np.full(seen.n, -np.inf), np.full(seen.n, np.inf)
    np.maximum.at(high, owner[usable], rating[usable])
    np.minimum.at(low, owner[usable], rating[usable])
    best, worst = usable & (rating == high[owner]), usable & (rating == low[owner])
    np.maximum.at(above, owner[best], strength[best])
    np.minimum.at(below, owner[worst], strength[worst])
    with np.errstate(invalid="ignore"):
        return np.asarray((high > low) & (above - below <= -CONTRADICTED_BY))


def _wrong_language(seen: Observations, owner: Ints) -> Bools:
    """Completions in another script than the prompt's, or in another language, where a rival is in the prompt's.

    Code, data and bare lists of names are of no language, and prompts that speak of languages may want any.
    """
    texts = seen.texts
    script, asked = texts.script, seen.prompt_scripts[owner]
    told = ~texts.code & ~seen.translations[owner]
    fits = (script >= 0) & (script == asked)
    other_script = (script >= 0) & (asked >= 0) & (script != asked) & _any(fits, owner, seen.n)[owner]
    long = (texts.length >= MIN_BYTES) & (script == 0)
    english = long & texts.english & ~texts.foreign
    # English is right, unless the prompt is in another Latin-written language, or tells none and most completions are.
    others = np.bincount(owner[texts.foreign], minlength=seen.n) > np.bincount(owner[english], minlength=seen.n)
    foreign_asked = seen.prompt_foreign[owner] | ((asked < 0) & others[owner])
    wrong = np.where(foreign_asked, english, texts.foreign)
    right = np.where(foreign_asked, texts.foreign, long & ~texts.foreign)
    other_language = wrong & _any(right, owner, seen.n)[owner]
    return np.asarray((other_script | other_language) & told)
