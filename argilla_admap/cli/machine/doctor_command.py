"""`admap doctor`: what is reachable, which versions, what is wrong and how to mend it."""

from __future__ import annotations

from pathlib import Path

import click

from argilla_admap.cli.flags import with_flags
from argilla_admap.cli.printing import emit, json_option, plain
from argilla_admap.scoring.options import DEFAULT_MODEL

__all__ = ["command"]

_MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG", "mended": "fixed"}


@click.command("doctor")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, metavar="NAME", help="The judge you plan to use.")
@click.option("--base-url", metavar="URL", help="Its server.  [default: OPENAI_BASE_URL, else OpenAI]")
@click.option("--store", type=click.Path(path_type=Path, dir_okay=False), help="The judgement store.  [default: this user's]")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    envvar="ADMAP_SERVER_DIR",
    help="The folder of your own server.  [default: a folder of this user]",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Fix what can be fixed without a loss: who may read the store, a server of your own that lost a part, its index.",
)
@json_option
def command(model: str, base_url: str | None, store: Path | None, data_dir: str | None, repair: bool, as_json: bool) -> None:
    """Check the judge, the judgement store and Argilla: what answers, which versions, what is wrong, how to fix it.

    Spends nothing, and changes nothing without --repair. Exit code 1 if something is wrong.

    Example: admap doctor --model gpt-4o
    """
    from argilla_admap.checkup import Finding, summary, versions
    from argilla_admap.commands import doctor

    def flagged(seen: Finding) -> Finding:
        return seen._replace(found=with_flags(seen.found), mend=with_flags(seen.mend) if seen.mend else None)

    def tell(seen: Finding) -> None:
        finding = flagged(seen)
        click.echo(f"{_MARKS[finding.state]}  {finding.part}: {plain(finding.found)}")
        if finding.mend:
            click.echo(f"       {plain(finding.mend)}")

    if not as_json:
        click.echo(", ".join(f"{name} {version}" for name, version in versions().items() if version))
    say = None if as_json else tell
    findings = [*map(flagged, doctor(model=model, base_url=base_url, store=store, data_dir=data_dir, repair=repair, say=say))]
    emit(summary(findings), as_json, lambda: None)
    if any(finding.state == "wrong" for finding in findings):
        raise click.exceptions.Exit(1)
