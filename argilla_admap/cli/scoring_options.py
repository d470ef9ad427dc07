"""The options of reading and of scoring, shared by the commands that do both."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from argilla_admap.cli.flags import with_flags

if TYPE_CHECKING:
    from argilla_admap.formats.format import FieldNames

__all__ = [
    "ScoringCommand",
    "engine_option",
    "field_options",
    "input_options",
    "on_error_option",
    "scoring_options",
    "split_option",
]

Command = Callable[..., Any]
_EXTRA = "argilla_admap.extra"


class ScoringCommand(click.Command):
    """A command that takes, beside its own options, those of the scorer that ``--scorer`` names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Scoring holds small batches for a short time: the system's allocator gives their memory back, Arrow's own keeps it.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        self._take_in(ctx, _value_of("--scorer", args))
        return super().parse_args(ctx, args)

    def _take_in(self, ctx: click.Context, scorer: str | None) -> None:
        if scorer is None:
            return
        from argilla_admap.scoring.scorer import scorer_module

        own = {param.name for param in self.params}
        # Of a name that is no scorer, the scorer's own error says which there are.
        added = [
            click.Option(
                [f"--{option.name.replace('_', '-')}"],
                type=click.Choice(option.choices) if option.choices else str,
                help=option.help + (f"  [default: {option.default}]" if option.default else ""),
                expose_value=False,
                callback=_keep_extra,
            )
            for option in getattr(scorer_module(scorer), "OPTIONS", ())
            if option.name not in own
        ]
        self.params += added
        for option in added:
            option.help = with_flags(option.help or "", ctx)


def _value_of(option: str, args: list[str]) -> str | None:
    for place, word in enumerate(args):
        if word == option and place + 1 < len(args):
            return args[place + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _keep_extra(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None:
        ctx.meta.setdefault(_EXTRA, {})[str(param.name)] = value


class PriceType(click.ParamType):  # type: ignore[type-arg]  # generic in the types only
    name = "IN,OUT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        try:
            dear_in, dear_out = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not two numbers; give US dollars a million tokens in and out, as in 2.5,10", param, ctx)
        return dear_in, dear_out


class _Samples(click.ParamType):  # type: ignore[type-arg]  # generic in the types only
    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == "auto":
            return "auto"
        try:
            number = int(value)
        except ValueError:
            number = 0
        if number < 1:
            self.fail(f"{value!r} is neither a number above 0 nor auto", param, ctx)
        return number


def _apply(options: list[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


on_error_option = click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What to do with a row that cannot be used.",
)


engine_option = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where the work is done: in this process, or on a Ray cluster (pip install 'argilla-admap[ray]').",
)


def _once(flag: str, *names: str, **options: Any) -> Callable[[Command], Command]:
    """An option with one value, which says so when it is given twice: click would take the last without a word."""

    def single(ctx: click.Context, param: click.Parameter, values: tuple[Any, ...]) -> Any:
        if len(values) > 1:
            raise click.BadParameter(
                f"takes one value, and was given {len(values)}: {', '.join(map(str, values))}.", ctx, param
            )
        return values[0] if values else None

    return click.option(flag, *names, multiple=True, callback=single, **options)


class _VerdictValues(click.ParamType):  # type: ignore[type-arg]  # generic in the types only
    name = "a=VALUE,b=VALUE,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[tuple[str, str], ...]:
        if isinstance(value, tuple):
            return value
        # A value may hold a comma: a new one begins with its meaning.
        parts = re.split(r",\s*(?=(?:[a-z]|tie|both_bad)=)", str(value))
        pairs = tuple((meaning.strip(), said) for meaning, _, said in (part.partition("=") for part in parts))
        known = all(re.fullmatch("[a-z]|tie|both_bad", meaning) and said for meaning, said in pairs)
        if not known or any(re.search(r",\s*\w+=", said) for _, said in pairs):
            self.fail(
                f"{value!r} does not say what values mean; give them as in a=1,b=2,tie=0: a is the first completion, "
                "b the second, tie and both_bad are optional",
                param,
                ctx,
            )
        return pairs


def field_options(command: Command) -> Command:
    """Adds the options that name fields; the command takes them as `fields`, a `FieldNames`."""

    @functools.wraps(command)
    def collected(*args: Any, **given: Any) -> Any:
        from argilla_admap.formats.format import FieldNames

        names = {name: given.pop(f"{name}_field") for name in _FIELDS}
        values = given.pop("verdict_values") or ()
        return command(*args, fields=FieldNames(**names, order=given.pop("rating_order"), verdict_values=values), **given)

    options: list[Callable[[Command], Command]] = [
        click.option(
            "--prompt-field", metavar="FIELD", multiple=True, help="The field with the prompt; several are joined in order."
        ),
        click.option("--completion-field", metavar="FIELD", multiple=True, help="A field with completions; can be repeated."),
        _once("--chosen-field", metavar="FIELD", help="The field with the better completion of a pair."),
        _once("--rejected-field", metavar="FIELD", help="The field with the worse one."),
        click.option("--rating-field", metavar="FIELD", multiple=True, help="A field with ratings; can be repeated."),
        _once(
            "--rating-order",
            type=click.Choice(["higher", "lower"]),
            help="Which rating is the better one: higher, or lower as of ranks.  [default: told from name and values]",
        ),
        _once("--verdict-field", metavar="FIELD", help="The field that says which completion is better."),
        _once(
            "--verdict-values",
            type=_VerdictValues(),
            help="What its values mean, as in a=1,b=2,tie=0,both_bad=-1.  [default: told from the values]",
        ),
        _once("--id-field", metavar="FIELD", help="The field with the record's id.  [default: a hash of its content]"),
    ]
    return _apply(options, collected)


_FIELDS = ("prompt", "completion", "chosen", "rejected", "rating", "verdict", "id")


split_option = click.option("--split", metavar="NAME", help="The split to read of a data set with several, or all.")


def input_options(command: Command) -> Command:
    """Adds the options of reading; the command takes them as `reading`, the keywords of `pipeline.read`."""

    @functools.wraps(command)
    def collected(*args: Any, fields: FieldNames, **given: Any) -> Any:
        fields = replace(fields, **{name: given.pop(f"{name}_field") for name in ("source", "annotator")})
        reading = {name: given.pop(name) for name in ("on_error", "split")}
        reading |= {"format": given.pop("format_name"), "fields": fields}
        return command(*args, reading=reading, **given)

    options: list[Callable[[Command], Command]] = [
        _once("--format", "format_name", metavar="NAME", help="The input's format.  [default: detected]"),
        field_options,
        _once("--source-field", metavar="FIELD", help="The field with the record's source."),
        _once("--annotator-field", metavar="FIELD", help="The field that says who gave the label."),
        split_option,
        on_error_option,
    ]
    return _apply(options, collected)


def scoring_options(command: Command) -> Command:
    """Adds the options of scoring; the command takes them as `options`, the keywords of `pipeline.score`."""

    @functools.wraps(command)
    def collected(*args: Any, **given: Any) -> Any:
        from argilla_admap.scoring.options import ScoreOptions

        names = {"model", *(one.name for one in fields(ScoreOptions))} & given.keys()
        options = {name: given.pop(name) for name in sorted(names)}
        return command(*args, options={**options, "extra": click.get_current_context().meta.get(_EXTRA, {})}, **given)

    file = click.Path(path_type=Path, dir_okay=False)
    options: list[Callable[[Command], Command]] = [
        click.option(
            "--scorer",
            default="judge",
            show_default=True,
            metavar="NAME|FILE.py",
            help="judge, reference, reward, existing (scores in the data), or a .py file with score(prompt, completions). "
            "`--scorer NAME --help` shows its own options.",
        ),
        click.option(
            "--model", multiple=True, metavar="NAME", help="The judge; repeat for a panel of judges.  [default: gpt-4o]"
        ),
        click.option("--base-url", metavar="URL", help="An OpenAI-compatible server.  [default: OPENAI_BASE_URL, else OpenAI]"),
        click.option(
            "--samples",
            type=_Samples(),
            help="Samples per completion; auto: another look where a label is undecided: a sample, or beside --guide, or by "
            "--screen, whichever tells the most for its price.",
        ),
        click.option(
            "--screen",
            metavar="MODEL",
            help="A second judge, asked only where a label is undecided; with --samples auto only where it pays.",
        ),
        click.option(
            "--method",
            type=click.Choice(["auto", "logprobs", "sample", "json"]),
            default="auto",
            show_default=True,
            help="How to get a grade: expected value of token probabilities, sampled grades, or JSON.",
        ),
        click.option(
            "--reasons", is_flag=True, help="Also ask for a short reason, which reviewers see; about 40 more tokens a call."
        ),
        click.option(
            "--guide",
            type=click.Choice(["none", "reference", "criteria", "both"]),
            default="none",
            show_default=True,
            help="What the judge first writes once a prompt, to grade beside it: its own answer, or what a good one must have. "
            "With --samples auto only where it pays.",
        ),
        click.option(
            "--together",
            is_flag=True,
            help="One call a record, not one a completion: about half to two thirds of the price, and less sure. Every second "
            "sample shows the reverse order; where one answer does not grade all, each completion is asked for alone.",
        ),
        click.option("--rubric", type=file, help="Your guidelines: a text, JSON or TOML file."),
        click.option(
            "--max-answer-tokens",
            type=int,
            metavar="N",
            help="How long a judge's answer may get, its thoughts included; what it needs is learned.  [default: 4096]",
        ),
        click.option("--max-cost", type=float, metavar="USD", help="Never spend more than this."),
        click.option(
            "--price", type=PriceType(), help="US dollars per million tokens in and out, for a model without a listed price."
        ),
        click.option(
            "--concurrency", type=int, metavar="N", help="Maximum requests in flight.  [default: adapts to the server]"
        ),
        click.option("--rpm", type=float, metavar="N", help="Maximum requests per minute.  [default: what the server allows]"),
        click.option("--tpm", type=float, metavar="N", help="Maximum tokens per minute.  [default: what the server allows]"),
        click.option("--limit", type=int, metavar="N", help="Score the first N records only."),
        click.option("--shard", metavar="I/N", help="Score part I of N alone, one machine each; join them with `admap merge`."),
        click.option("--store", type=file, help="The judgement store.  [default: in this user's data folder]"),
        click.option("--batch", is_flag=True, help="Use the Batch API: half price, within a day; can be stopped and resumed."),
        click.option(
            "--ask-waiting", is_flag=True, help="Without --batch: also ask what is waiting in a batch, and pay for it twice."
        ),
        click.option("--service-tier", metavar="TIER", help="The endpoint's service tier, e.g. flex."),
        engine_option,
        click.option(
            "--workers", type=int, metavar="N", help="With --engine ray: how many workers.  [default: one per processor]"
        ),
        click.option(
            "--timeout", type=float, default=60.0, show_default=True, metavar="SECONDS", help="How long to wait for an answer."
        ),
    ]
    return _apply(options, collected)
