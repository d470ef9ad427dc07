"""The options of scoring, checked once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argilla_admap.errors import InputError

__all__ = ["DEFAULT_EMBEDDER", "DEFAULT_MODEL", "GUIDANCE", "METHODS", "ScoreOptions", "read_shard"]

#: The judge of the method's authors; the one place that names it.
DEFAULT_MODEL = "gpt-4o"
#: Makes vectors of texts.
DEFAULT_EMBEDDER = "text-embedding-3-small"

GUIDANCE = ("none", "reference", "criteria", "both")
METHODS = ("auto", "logprobs", "sample", "json")


def read_shard(words: str) -> tuple[int, int]:
    """The number of the part, from 1, and how many there are.

    Raises:
        InputError: not I/N with 1 <= I <= N.
    """
    part, _, of = words.partition("/")
    if not (part.isascii() and part.isdigit() and of.isascii() and of.isdigit() and 1 <= int(part) <= int(of)):
        raise InputError(f"{words!r}: not a shard", option="shard", hint="give I/N, as in 1/8 for the first of eight")
    return int(part), int(of)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """How to score. The defaults are those of the command line.

    Attributes:
        scorer: a scorer's name, a ``.py`` file that defines ``score(prompt, completions)``, or such a function.
        models: one name, or several for a panel; empty: the default judge.
        model_named: False where nobody named a model: the default judge is then replaced by no other without a word.
        base_url: None: OPENAI_BASE_URL, else OpenAI.
        samples: samples a completion; None: one with logprobs, three without.
        plan: samples for each completion of single records, by id, where they are more than `samples`: a round of
            adaptive spending.
        adaptive: more looks where P(wrong) or the region is undecided: samples, the `guide`, the judge of `screen`, whichever
            tells the most for its price; `samples` without a guide are then what all get first.
        screen: a second judge, asked only where P(wrong) is undecided.
        method: auto, logprobs, sample or json; auto: what the server can.
        reasons: ask for a reason in words too; kept with the score.
        rubric: a file with the rubric, in place of ours.
        guide: what the judge first writes for each prompt, and grades its completions beside.
        together: all completions of a record in one question.
        max_answer_tokens: most tokens of an answer, thoughts included; what a model needs is found out. None: 4,096.
        max_cost: US dollars that this run may cost at most.
        price: US dollars a million tokens in and out, for models without a listed price.
        concurrency: most requests in flight; None: adapts to the server, up to 1,024.
        rpm: requests a minute.
        tpm: tokens a minute.
        limit: records to score at most.
        shard: ``I/N``: the records of part I of N alone; equal prompts are in one part.
        store: the judgement store; None: in the user's data folder.
        service_tier: OpenAI's name for how soon it answers and at what price, such as flex.
        batch: by the Batch API: half price, within a day.
        ask_waiting: without `batch`: ask also what waits in a batch that another run submitted, and so pay for it
            twice.
        extra: options that single scorers add, by the names in their `OPTIONS`.
        timeout: seconds to wait for an answer at the first try.
        engine: local, or ray: the workers of a Ray cluster, which share the store and all limits.
        workers: of the engine ray; None: one for each processor of the cluster.

    Raises:
        InputError: a value is out of its range.
    """

    scorer: str | Callable[..., Any] = "judge"
    models: tuple[str, ...] = ()
    model_named: bool = True
    base_url: str | None = None
    samples: int | None = None
    plan: Mapping[str, Sequence[int]] = field(default_factory=dict)
    adaptive: bool = False
    screen: str | None = None
    method: str = "auto"
    reasons: bool = False
    rubric: Path | None = None
    guide: str = "none"
    together: bool = False
    max_answer_tokens: int | None = None
    max_cost: float | None = None
    price: tuple[float, float] | None = None
    concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None
    limit: int | None = None
    shard: str | None = None
    store: Path | None = None
    service_tier: str | None = None
    batch: bool = False
    ask_waiting: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    engine: str = "local"
    workers: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra", {name.replace("-", "_"): value for name, value in self.extra.items()})
        for option in ("samples", "max_answer_tokens", "concurrency", "rpm", "tpm", "limit", "timeout", "workers"):
            value = getattr(self, option)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{value}: must be above 0", option=option)
        if self.max_cost is not None and not (math.isfinite(self.max_cost) and self.max_cost >= 0):
            raise InputError(f"{self.max_cost}: not an amount of US dollars", option="max_cost", hint="give 0 or more")
        if self.price is not None and not all(math.isfinite(p) and p >= 0 for p in self.price):
            hint = "give US dollars a million tokens in and out, as in 2.5,10"
            raise InputError(f"{self.price}: not two prices", option="price", hint=hint)
        if not self.models:
            object.__setattr__(self, "models", (DEFAULT_MODEL,))
            object.__setattr__(self, "model_named", False)
        if self.method not in METHODS:
            raise InputError(f"{self.method!r}: no such method", option="method", hint=f"choose one of {', '.join(METHODS)}")
        if self.shard is not None:
            read_shard(self.shard)
            if self.adaptive or self.screen is not None:
                words = "what is undecided is told by all records, and a shard sees its own alone"
                raise InputError(words, option="shard", hint="give a number of `samples`, and no `screen`")
        if self.engine != "local":
            from argilla_admap.distributed import check_engine

            check_engine(self.engine)
            if self.batch:
                hint = "leave `engine` out: the work is the provider's, and one machine submits it"
                raise InputError("batches are not for several workers", option="batch", hint=hint)
        if self.guide not in GUIDANCE:
            raise InputError(f"{self.guide!r}: no such guide", option="guide", hint=f"choose one of {', '.join(GUIDANCE)}")
        if self.together and (self.reasons or self.method == "json"):
            hint = "leave out `reasons` and the method json, or ask for each completion alone"
            raise InputError("one answer for all completions holds grades and nothing else", option="together", hint=hint)
        if not all(name.strip() for name in self.models):
            raise InputError("no name", option="models", hint="give the name of a model, as the judge's server calls it")
        if len(set(self.models)) != len(self.models):
            names = ", ".join(self.models)
            raise InputError(f"{names} names a model twice", option="models", hint="name each judge once")

    @property
    def unused(self) -> str | None:
        """A sentence on the options of a judge that were given to a scorer that has none; None: there are none."""
        if self.scorer == "judge":
            return None
        given = {
            "model": self.model_named and self.scorer == "existing",
            "samples": self.adaptive or (self.samples is not None and self.scorer != "reference"),
            "screen": self.screen is not None,
            "method": self.method != "auto",
            "reasons": self.reasons,
            "guide": self.guide != "none",
            "together": self.together,
            "rubric": self.rubric is not None,
            "batch": self.batch,
        }
        names = ", ".join(f"`{name}`" for name, there in given.items() if there)
        who = f"the scorer {self.scorer}" if isinstance(self.scorer, str) else "the scorer"
        return f"{names}: for a judge, which {who} does not ask; not used" if names else None

    @property
    def model(self) -> str:
        """The model, of options for one judge."""
        return self.models[0]
