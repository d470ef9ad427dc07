"""`admap status`: how a review stands, and when it is time to stop."""

from __future__ import annotations

import shlex
from typing import Any

import click

from argilla_admap.cli.printing import emit, json_option, note, plain, rating_question_option, resolve_option, table

__all__ = ["command"]


@click.command("status")
@click.argument("dataset", metavar="[WORKSPACE/]DATASET")
@resolve_option
@rating_question_option
@json_option
def command(dataset: str, resolve: str, rating_question: str | None, as_json: bool) -> None:
    """Say how the review of a data set stands, how many label errors are left, and whether to go on.

    The numbers of errors come from records drawn at random (`admap push --audit N`, or a blind review) and have a 95%
    interval; without such records only bounds are known. Reads only.

    Example: admap status default/uf
    """
    from argilla_admap.commands import status

    found = status(dataset, resolve=resolve, rating_question=rating_question)
    answer = found.json()
    for words in answer["notes"]:
        note(words)
    emit(answer, as_json, lambda: _show(answer))


def _show(answer: dict[str, Any]) -> None:
    from argilla_admap.reporting.review_words import no_queue, review_figures
    from argilla_admap.review.status.status import lacks_sample

    click.echo(f"{answer['dataset']}: {answer['advice']}")
    if lacks_sample(answer):
        click.echo(f"To draw a random sample: admap push MAP --dataset {shlex.quote(answer['dataset'])} --audit 50")
    click.echo()
    table(None, ["", "", ""], [[figure.label, figure.value, figure.note] for figure in review_figures(answer)])
    if answer["queues"]:
        names = ["title", "count", "reviewed", "corrected", "confirmed", "conflicts"]
        click.echo()
        table(None, ["queue", "records", *names[2:]], [[queue[name] for name in names] for queue in answer["queues"]])
    if answer["reviewers"]:
        rows = [
            [r["name"], r["answered"], r["corrected"], _accuracy(r), _known(r["known_answers"])] for r in answer["reviewers"]
        ]
        click.echo()
        table(None, ["reviewer", "answers", "corrections", "right, estimated", "right of known answers"], rows)
    if any(answer["agreement"].values()):
        titles = {queue["name"]: queue["title"] for queue in answer["queues"]}
        lines: list[list[Any]] = [["all", *_alpha(found)] for found in answer["agreement"]["all"]]
        lines += [[found["name"], *_alpha(found)] for found in answer["agreement"]["pairs"]]
        lines += [[f"queue {titles.get(f['name'], f['name'])}", *_alpha(f)] for f in answer["agreement"]["queues"]]
        click.echo()
        table(None, ["agreement of", "Krippendorff's alpha", "records", ""], lines)
    for found in answer["slices"]:
        click.echo(f"\n{found['words']}.")
        if found["url"]:
            click.echo(f"  {found['url']}")
        else:
            click.echo(plain(f"  {no_queue(found)}"))


def _accuracy(reviewer: dict[str, Any]) -> str:
    return f"{reviewer['accuracy']:.0%} ({reviewer['accuracy_low']:.0%} to {reviewer['accuracy_high']:.0%})"


def _known(found: dict[str, Any]) -> str:
    if not found["known"]:
        return "none read"
    return f"{found['right']:,} of {found['known']:,} ({found['low']:.0%} to {found['high']:.0%})"


def _alpha(found: dict[str, Any]) -> list[Any]:
    alpha = found["alpha"]
    note = "all answers are equal" if alpha is None else f"{found['level']}; 1: perfect, 0: as by chance"
    return ["none" if alpha is None else f"{alpha:.2f}", found["records"], note]
