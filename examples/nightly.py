"""A nightly job: score what is new, learn from the day's answers, bring corrected labels home.

    30 2 * * *  cd /data && python nightly.py preferences.jsonl my-data      # in your crontab

Stopped or failed, the next night goes on: what was paid for is kept, what people answered is never touched.
"""

import sys
from pathlib import Path

import argilla_admap as admap


def main(path: str, dataset: str, *scorer: str) -> int:
    stem = dataset.rpartition("/")[2]

    # Score, map and push. Records that were scored before cost nothing; only what differs is sent.
    options = {"scorer": scorer[0]} if scorer else {"model": "gpt-4o", "max_cost": 5}  # US dollars a night
    done = admap.run(path, dataset, output=f"{stem}.map.parquet", audit=100, warn=print, **options)
    print(f"{done.scored.summary['scored']} completions scored, {done.pushed.added} records added")

    # From 30 answers on P(wrong) of the unread records learns from them, and the queues are put in the new order.
    answers = admap.read_answers(dataset)
    if len(answers) >= 30:
        admap.push(admap.map(done.scored, f"{stem}.map.parquet", answers=answers), dataset)

    # The original again, with only the corrected rows changed; every change with its votes in `changes`.
    pulled = admap.pull(dataset, output=f"{stem}.corrected.jsonl", original=path, changes=f"{stem}.changes.jsonl").json()
    print(f"{pulled['corrected']} labels corrected, {pulled['confirmed']} confirmed, {pulled['conflicts']} in dispute")

    # How many errors are left, and whether reading on is worth it.
    status = admap.status(dataset).json()
    print(status["advice"])
    admap.report(f"{stem}.map.parquet", Path(f"{stem}.html"), status=status)

    # A job that failed in part says so to who watches it, as the command line does.
    return 3 if done.scored.summary["unscored"] or pulled["unmatched"] else 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except admap.AdmapError as error:  # says what, where, and what to do next
        sys.exit(f"nightly: {error}")
