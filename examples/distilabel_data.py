"""A data set that distilabel made (generations rated by a model): are its ratings right, and what is left to train on?

    python examples/distilabel_data.py distilabel.jsonl out/

The first argument may also be a folder that `Distiset.save_to_disk` wrote, or hf:ORG/NAME. The ratings in the data are the
labels to check; a judge that did not make them scores the generations anew (OPENAI_API_KEY, OPENAI_BASE_URL).
"""

import sys
from pathlib import Path

import argilla_admap as admap


def main(source: str, output: str, model: str = "gpt-4o") -> None:
    folder = Path(output)
    folder.mkdir(exist_ok=True)

    # The format is recognised: `instruction`, `generations`, `ratings`. Bad rows are left out and counted, not guessed.
    preferences = admap.read(source, on_error="skip")
    estimate = admap.score(preferences, model=model, reasons=True, dry_run=True)
    print(f"{estimate['records']:,} records, {estimate['requests']:,} requests, about {estimate['cost_usd']} US dollars")

    # With `reasons` the judge also says in a sentence why; reviewers and the report show it.
    scored = admap.score(preferences, model=model, reasons=True, max_cost=20, output=folder / "scored.parquet", warn=print)
    data_map = admap.map(scored, folder / "map.parquet")
    admap.report(data_map, folder / "map.html", title="distilabel")  # open it in a browser, offline too

    # The records whose ratings the judge contradicts most.
    frame = data_map.frame.sort_values("p_wrong", ascending=False)
    print(frame[["id", "agreement", "p_wrong", "region"]].head(10).to_string(index=False))

    # Best against worst generation as pairs for TRL's DPOTrainer, without what is probably wrong.
    # A small data set, or a judge that grades at random, tells nothing of single labels: then there is no P(wrong) to go by.
    most = 0.5 if frame["p_wrong"].notna().any() else None
    kept = admap.select(data_map, folder / "train.jsonl", max_p_wrong=most, format="trl")
    print(f"{kept.json()['selected']} of {len(frame)} records are in {folder / 'train.jsonl'}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
