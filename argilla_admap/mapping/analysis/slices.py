"""Slices of the data (a source, an annotator, a pair of models ...) with more wrong labels than by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, false_discovery_control

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints

__all__ = ["FALSE_DISCOVERIES", "Slice", "prompt_clusters", "worse_slices"]

#: Of the slices named, so many at most are named by chance, on average.
FALSE_DISCOVERIES = 0.1
#: A slice of fewer read records is not looked at.
_FEWEST = 5
#: Records of one stratum are about as likely to have been read.
_STRATA = (0.0, 0.02, 0.1, 0.3, 0.6, 0.9)
#: Prompts that are clustered, records a cluster, and clusters at most.
_PROMPTS, _RECORDS, _CLUSTERS = 20_000, 40, 12


@dataclass(frozen=True, slots=True)
class Slice:
    """A group of records with more wrong labels than the others.

    Attributes:
        field, value: what they share.
        corrected, reviewed: of its records.
        rate: corrected / reviewed.
        of: corrected records of the whole set.
        records: of the slice.
        expected: corrected ones that there would be if its labels were as good as the others'.
        p_value: of that; ``q_value``: adjusted for all slices looked at.
    """

    field: str
    value: str
    corrected: int
    reviewed: int
    rate: float
    of: int
    records: int
    expected: float
    p_value: float
    q_value: float


def worse_slices(
    corrected: Floats, p_wrong: Floats, fields: Mapping[str, Sequence[str | None]], false_corrections: float = 0.0
) -> tuple[list[Slice], int]:
    """The slices with more errors than the rest beyond chance, the clearest first, and how many were looked at.

    Records are read because P(wrong) or a queue points at them, so that the corrected ones of a slice are held against its
    records weighted by how far they were read: within strata of P(wrong), an error of the slice was found with the share of
    the slice's records that was read. Corrections of right labels fall on whatever was read. A one-sided binomial test for
    each slice; the false discoveries over all slices are kept at `FALSE_DISCOVERIES` (Benjamini & Hochberg 1995).

    Args:
        corrected: shape (n,), 1 corrected, 0 confirmed, NaN where nothing was settled.
        p_wrong: shape (n,), NaN where unknown.
        fields: by field the value of each record; None where it has none.
        false_corrections: how often reviewers correct a right label, 0..1.
    """
    read = np.isfinite(corrected)
    wrong = corrected == 1
    stratum = np.where(np.isfinite(p_wrong), np.digitize(np.nan_to_num(p_wrong), _STRATA), 0)
    shape = len(_STRATA) + 1
    records, done, errors = (_counts(stratum[rows], shape) for rows in (slice(None), read, wrong))
    false = np.minimum(errors, false_corrections * done)
    looked: list[Slice] = []
    for field, values in fields.items():
        names, codes = np.unique(np.array([value or "" for value in values], dtype=object), return_inverse=True)
        enough = (np.bincount(codes[read], minlength=len(names)) >= _FEWEST) & (len(names) > 1)
        for code in np.flatnonzero(enough).tolist():
            name, inside = names[code], codes == code
            if not name:
                continue
            found = _test(inside, read, wrong, stratum, records, done, errors - false, false)
            if found is not None:
                looked.append(Slice(field, str(name), *found, q_value=1.0))
    if not looked:
        return [], 0
    adjusted = false_discovery_control([found.p_value for found in looked])
    named = [
        Slice(**{**{key: getattr(found, key) for key in Slice.__slots__}, "q_value": float(q)})
        for found, q in zip(looked, adjusted, strict=True)
        if q <= FALSE_DISCOVERIES
    ]
    return sorted(named, key=lambda found: found.p_value), len(looked)


def _test(
    inside: Bools, read: Bools, wrong: Bools, stratum: Ints, records: Ints, done: Ints, true: Floats, false: Floats
) -> tuple[int, int, float, int, int, float, float] | None:
    own, mine = (_counts(stratum[rows], len(records)) for rows in (inside, read & inside))
    share = np.divide(done, records, out=np.zeros(len(records)), where=records > 0)
    here = np.divide(mine, own, out=share.copy(), where=own > 0)
    others = records - own
    there = np.divide(done - mine, others, out=share.copy(), where=others > 0)
    exposed, rest = inside.sum() * here, (~inside).sum() * there
    weight = np.divide(exposed, exposed + rest, out=np.zeros(len(records)), where=exposed + rest > 0)
    by_reading = np.divide(mine, done, out=np.zeros(len(records)), where=done > 0)
    total = int(wrong.sum())
    expected = float((true * weight + false * by_reading).sum())
    corrected, reviewed = int((wrong & inside).sum()), int((read & inside).sum())
    if not total or reviewed == int(read.sum()):
        return None
    rate = corrected / reviewed
    worse = rate > (total - corrected) / (int(read.sum()) - reviewed)
    p_value = float(binom.sf(corrected - 1, total, min(1.0, expected / total))) if worse else 1.0
    return corrected, reviewed, rate, total, int(inside.sum()), expected, p_value


def _counts(stratum: Ints, shape: int) -> Ints:
    return np.bincount(stratum, minlength=shape).astype(np.int64)


def prompt_clusters(prompts: Sequence[str], seed: int = 0) -> list[str | None]:
    """Prompts of like words, named by their commonest words; None for all where there are too few, or too many."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    k = min(_CLUSTERS, len(prompts) // _RECORDS)
    if k < 2 or len(prompts) > _PROMPTS:
        return [None] * len(prompts)
    vectors = TfidfVectorizer(max_features=2000, stop_words="english", min_df=3, max_df=0.5, sublinear_tf=True)
    try:
        found = vectors.fit_transform(prompts)
    except ValueError:  # no words that several prompts share
        return [None] * len(prompts)
    model = MiniBatchKMeans(k, random_state=seed, n_init=3).fit(found)
    words = vectors.get_feature_names_out()
    names = [", ".join(words[i] for i in np.argsort(-centre)[:3]) for centre in model.cluster_centers_]
    return [names[label] for label in model.labels_]
