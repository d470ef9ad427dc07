"""A panel of judges: score the same records with several models, see where they differ, keep what they agree on.

    python examples/judge_panel.py preferences.jsonl gpt-4o gpt-4o-mini

Asks OPENAI_BASE_URL (or OpenAI) with OPENAI_API_KEY. Run again, it asks nothing twice: answers are kept in the judgement store.
"""

import sys
from itertools import combinations
from pathlib import Path

import argilla_admap as admap


def main(path: str, models: list[str], max_cost: float = 10.0) -> None:
    # What would it cost? Nothing is sent.
    estimate = admap.score(path, model=models, dry_run=True)
    print(f"{estimate['requests']:,} requests to {len(models)} judges, about {estimate['cost_usd']} US dollars")

    # One map of the whole panel: the scores of the judges are put on one scale and averaged.
    scored = admap.score(path, model=models, max_cost=max_cost, output="panel.scored.parquet")
    panel = admap.map(scored, "panel.map.parquet")
    print(f"the panel: noise rate {panel.summary['noise_rate']}, flags {panel.summary['flags']}")

    # A map for each judge. The store holds all answers already, so this costs nothing.
    alone = {}
    for model in models:
        one = admap.score(path, model=model, max_cost=0.0)
        alone[model] = admap.build_map(one, thresholds=panel)  # the panel's thresholds: regions can be compared
    for a, b in combinations(models, 2):
        found = admap.compare(alone[a], alone[b])
        regions = found.answer["regions"]
        print(f"{a} and {b}: {regions['moved']} of {found.answer['common']} records are in another region")

    # Train on what all judges agree with the label about.
    kept = admap.select(panel, "panel.train.jsonl", agreed_by=len(models), format="trl")
    print(f"{kept.json()['selected']} of {len(panel.frame)} records are in {Path('panel.train.jsonl')}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
