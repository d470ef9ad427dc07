"""A blind study with two annotators: neither sees labels, scores, models or each other's answers.

    python examples/blind_study.py start preferences.jsonl study ann bo    # once; prints logins and links
    python examples/blind_study.py results preferences.jsonl study         # whenever you like

Needs an Argilla with the owner's key: ARGILLA_API_URL and ARGILLA_API_KEY, or your own with `admap server start`.
"""

import json
import sys

import argilla_admap as admap


def start(path: str, dataset: str, *people: str) -> None:
    # Accounts: a password is shown this once and kept nowhere. Who has an account keeps the password.
    workspace = dataset.rpartition("/")[0] or None
    for person in admap.reviewers.add(people, workspace=workspace).people:
        print(f"{person.name}: {person.password or 'has a login already'}")

    # `existing` takes scores that the data carry; leave `scorer` out and name a `model` to ask a judge.
    done = admap.run(
        path,
        dataset,
        scorer="existing",
        output="study.map.parquet",
        blind=True,
        reviewers=people,
        overlap=len(people),  # everybody reads each record
        audit=50,  # drawn at random: from them `status` knows how many errors are left
    )
    for queue in done.pushed.queues:
        if queue["count"]:
            print(f"{queue['title']}: {queue['count']} records\n  {queue['url']}")


def results(path: str, dataset: str) -> None:
    status = admap.status(dataset).json()
    print(f"{status['reviewed']} of {status['records']} records reviewed: {status['advice']}")

    # Krippendorff's alpha: 1 is full agreement, 0 is what chance gives.
    for pair in status["agreement"]["pairs"]:
        print(json.dumps(pair))
    for person in status["reviewers"]:
        print(f"{person['name']}: {person['answered']} answers, {person['accuracy']:.0%} right, estimated")

    # Dawid-Skene weighs each person by how reliable they are. A dispute that stays open changes nothing.
    pulled = admap.pull(
        dataset, output="study.corrected.jsonl", original=path, changes="study.changes.jsonl", resolve="dawid-skene"
    )
    answer = pulled.json()
    print(f"{answer['corrected']} labels corrected, {answer['confirmed']} confirmed, {answer['conflicts']} in dispute")

    # Disputes go to a third person: you, if you name no other `adjudicator`.
    if answer["conflicts"]:
        print(admap.push(None, dataset, adjudicate=True).json()["adjudicate"]["url"])


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in ("start", "results"):
        sys.exit(__doc__)
    {"start": start, "results": results}[sys.argv[1]](*sys.argv[2:])
