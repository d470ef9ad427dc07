"""A scorer of your own: any function that gives each completion a number, higher is better.

    python examples/own_scorer.py preferences.jsonl

The same file works on the command line: admap score preferences.jsonl -o scored.parquet --scorer examples/own_scorer.py
"""

import sys
from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer

import argilla_admap as admap


def score(prompt: str, completions: Sequence[str]) -> list[float]:
    """How much of the prompt's wording each completion takes up, 0 to 1: cheap, and rather weak."""
    try:
        vectors = TfidfVectorizer(sublinear_tf=True).fit_transform([prompt, *completions])
    except ValueError:  # no words at all
        return [0.0] * len(completions)
    return (vectors[1:] @ vectors[0].T).toarray()[:, 0].tolist()


def main(path: str) -> None:
    # A function takes the place of the judge. Scores of a function are not kept in the judgement store: it costs nothing.
    scored = admap.score(path, scorer=score)
    data_map = admap.build_map(scored)

    # Is the scorer any good? The self-test plants errors in a copy of the labels and counts how many are found.
    found = admap.selftest(scored, rounds=3).answer
    print(f"records    {data_map.summary['records']}")
    print(f"AUROC      {found['auroc']:.2f}  (0.50 is chance: such a scorer should not be trusted)")
    print(f"precision  {found['precision_at_k']:.2f}  of the first {found['planted']} suspects, {found['planted']} are planted")

    # What to read first. P(wrong) is missing where the scores cannot tell wrong labels from right ones.
    for row in data_map.frame.sort_values("p_wrong", ascending=False).head(3).itertuples():
        print(f"{row.id}: P(wrong) {row.p_wrong:.2f}, agreement {row.agreement:+.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
