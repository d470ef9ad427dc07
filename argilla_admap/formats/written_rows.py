"""A record as rows of the layouts that training code reads: TRL, LLaMA-Factory, OpenRLHF, Axolotl and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from argilla_admap.formats.rows.ratings import good_from
from argilla_admap.records import Record, Turn, render_turns

__all__ = ["DEFAULT", "WRITABLE", "ExtraColumns", "Row", "Writer", "default_format", "who_reads"]

Row = dict[str, Any]

_TEXT, _NUMBER, _FLAG = pa.string(), pa.float64(), pa.bool_()
_TEXTS, _NUMBERS = pa.list_(_TEXT), pa.list_(_NUMBER)
_MESSAGE = pa.struct([("role", _TEXT), ("content", _TEXT)])
_SAID = pa.struct([("from", _TEXT), ("value", _TEXT)])
_MESSAGES, _SAYINGS = pa.list_(_MESSAGE), pa.list_(_SAID)
_COMPLETION = pa.struct([("text", _TEXT), ("model", _TEXT), ("rating", _NUMBER), ("scores", _NUMBERS), ("reason", _TEXT)])
_RATED = pa.struct([("model", _TEXT), ("response", _TEXT), ("overall_score", _NUMBER), ("critique", _TEXT)])
_RANKED = pa.struct([("answer", _TEXT), ("model", _TEXT), ("rank", _NUMBER)])

#: What a record has beside its texts; a layout may have no place for it.
_PARTS = ("models", "ratings", "samples", "reasons", "source", "annotator", "judge", "reference")


@dataclass(frozen=True, slots=True)
class Writer:
    """How a record is written.

    Attributes:
        rows: its rows; none: the layout cannot hold it.
        schema: the columns of a table of such rows.
        column_rows: the rows of a table, where they are others.
        readers: which training code reads it.
        lacks: of `models`, `ratings`, `samples`, `reasons`, `source`, `annotator`, `judge`,
            `reference`, what it has no place for.
    """

    rows: Callable[[Record], Iterator[Row]]
    schema: pa.Schema
    readers: str = ""
    lacks: Sequence[str] = ()
    column_rows: Callable[[Record], Iterator[Row]] | None = None


@dataclass(frozen=True, slots=True)
class ExtraColumns:
    """Columns beside those of a format.

    Attributes:
        schema: their names and types.
        values: of a record, given with the places of its best and its worst completion, where it has them.
    """

    schema: pa.Schema
    values: Callable[[Record, tuple[int, int] | None], Row]

    def beside(self, writer: Writer) -> Writer:
        """A format with these columns."""

        def more(rows: Callable[[Record], Iterator[Row]]) -> Callable[[Record], Iterator[Row]]:
            return lambda record: ({**row, **self.values(record, best_and_worst(record))} for row in rows(record))

        schema = pa.schema([*writer.schema, *self.schema])
        return replace(writer, rows=more(writer.rows), column_rows=more(writer.column_rows or writer.rows), schema=schema)


def turns_of(record: Record) -> tuple[Turn, ...]:
    """The prompt's messages."""
    return record.turns or (Turn("user", record.prompt),)


def _messages(turns: Sequence[Turn]) -> list[Row]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _answer(text: str) -> Row:
    return {"role": "assistant", "content": text}


_FROM = {"user": "human", "assistant": "gpt", "tool": "observation"}


def _sayings(turns: Sequence[Turn]) -> list[Row]:
    return [{"from": _FROM.get(turn.role, turn.role), "value": turn.content} for turn in turns]


def _system(record: Record) -> tuple[str, tuple[Turn, ...]]:
    """What the system says at the beginning, and the turns after it."""
    turns = turns_of(record)
    return (turns[0].content, turns[1:]) if turns[0].role == "system" else ("", turns)


def best_and_worst(record: Record) -> tuple[int, int] | None:
    """Positions of the best and the worst completion; None where no rating is above another."""
    rated = [(rating, -position) for position, rating in enumerate(record.ratings) if rating is not None]
    if not rated or max(rated)[0] == min(rated)[0]:
        return None
    # Of equals, the first.
    return -max(rated)[1], -max((-rating, position) for rating, position in rated)[1]


def good_and_bad(record: Record) -> Iterator[tuple[str, bool]]:
    """Each rated completion, and whether it is a good one: its rating is in the upper half of the record's.

    Equal ratings of all say nothing, but that all are bad where they are 0.
    """
    known = [rating for rating in record.ratings if rating is not None]
    if not known or (len(set(known)) == 1 and known[0] != 0.0):
        return
    middle = good_from(known)
    for text, rating in zip(record.completions, record.ratings, strict=True):
        if rating is not None:
            yield text, rating >= middle if any(known) else False


# --- all completions ------------------------------------------------------------------------------------------------------


def _plain(record: Record) -> Iterator[Row]:
    completions = []
    for text, model, rating, scores, reason in zip(
        record.completions, record.models, record.ratings, record.samples, record.reasons, strict=True
    ):
        completion = {"text": text, "model": model, "rating": rating, "scores": list(scores) or None, "reason": reason}
        completions.append({key: value for key, value in completion.items() if value is not None})
    row = {
        "id": record.id,
        "prompt": _messages(record.turns) if record.turns else record.prompt,
        "completions": completions,
        "source": record.source,
        "annotator": record.annotator,
        "judge": record.judge,
        "reference": record.reference,
    }
    yield {key: value for key, value in row.items() if value is not None}


def _plain_columns(record: Record) -> Iterator[Row]:
    """A column has one type: the prompt is text, and its turns stand beside it."""
    for row in _plain(record):
        yield {**row, "prompt": record.prompt, "turns": _messages(record.turns) if record.turns else None}


def _ultrafeedback(record: Record) -> Iterator[Row]:
    yield {
        "id": record.id,
        "source": record.source,
        "instruction": record.prompt,
        "models": list(record.models),
        "completions": [
            {"model": model, "response": text, "overall_score": rating, "critique": reason}
            for text, model, rating, reason in zip(
                record.completions, record.models, record.ratings, record.reasons, strict=True
            )
        ],
    }


def _distilabel(record: Record) -> Iterator[Row]:
    yield {
        "id": record.id,
        "source": record.source,
        "instruction": record.prompt,
        "generations": list(record.completions),
        "generation_models": list(record.models),
        "ratings": list(record.ratings),
        "rationales": list(record.reasons),
    }


def _nectar(record: Record) -> Iterator[Row]:
    known = [rating for rating in record.ratings if rating is not None]
    answers = [
        {"answer": text, "model": model, "rank": None if rating is None else 1.0 + sum(other > rating for other in known)}
        for text, model, rating in zip(record.completions, record.models, record.ratings, strict=True)
    ]
    yield {"id": record.id, "prompt": record.prompt, "answers": answers, "source": record.source}


def _kto(record: Record) -> Iterator[Row]:
    for text, good in good_and_bad(record):
        yield {"id": record.id, "prompt": record.prompt, "completion": text, "label": good}


def _kto_messages(record: Record) -> Iterator[Row]:
    for text, good in good_and_bad(record):
        yield {"id": record.id, "prompt": _messages(turns_of(record)), "completion": [_answer(text)], "label": good}


def _kto_sharegpt(record: Record) -> Iterator[Row]:
    for text, good in good_and_bad(record):
        said = _sayings((*turns_of(record), Turn("assistant", text)))
        yield {"id": record.id, "conversations": said, "kto_tag": good}


# --- the best and the worst -----------------------------------------------------------------------------------------------


def _texts(record: Record, better: str, worse: str) -> Row:
    return {"id": record.id, "prompt": record.prompt, "chosen": better, "rejected": worse}


def _chat(record: Record, better: str, worse: str) -> Row:
    return {
        "id": record.id,
        "prompt": _messages(turns_of(record)),
        "chosen": [_answer(better)],
        "rejected": [_answer(worse)],
    }


def _implicit(record: Record, better: str, worse: str) -> Row:
    # A line's end, so that the words that both answers begin with are not taken for the prompt's.
    prompt = record.prompt if record.prompt[-1:].isspace() else f"{record.prompt}\n"
    return {"id": record.id, "chosen": prompt + better, "rejected": prompt + worse}


def _implicit_chat(record: Record, better: str, worse: str) -> Row:
    prompt = _messages(turns_of(record))
    return {"id": record.id, "chosen": [*prompt, _answer(better)], "rejected": [*prompt, _answer(worse)]}


def _binarized(record: Record, better: str, worse: str) -> Row:
    both = _implicit_chat(record, better, worse)
    pair = best_and_worst(record) or (0, 1)
    return {
        "prompt": record.prompt,
        "prompt_id": record.id,
        "chosen": both["chosen"],
        "rejected": both["rejected"],
        "messages": both["chosen"],
        "score_chosen": record.ratings[pair[0]],
        "score_rejected": record.ratings[pair[1]],
    }


def _transcripts(record: Record, better: str, worse: str) -> Row:
    roles = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
    prompt = "".join(f"{roles.get(turn.role, '')}{turn.content}" for turn in turns_of(record))
    return {"id": record.id, **{n: f"{prompt}\n\nAssistant: {t}" for n, t in (("chosen", better), ("rejected", worse))}}


def _alpaca(record: Record, better: str, worse: str) -> Row:
    """LLaMA-Factory's fields; a conversation that is no plain exchange is one text."""
    system, turns = _system(record)
    roles = [turn.role for turn in turns]
    if roles == (["user", "assistant"] * len(roles))[: len(roles)] and len(roles) % 2:
        pairs = zip(turns[:-1:2], turns[1::2], strict=True)
        asked, history = turns[-1].content, [[question.content, answer.content] for question, answer in pairs]
    else:
        asked, history = render_turns(turns), []
    return {
        "id": record.id,
        "instruction": asked,
        "input": "",
        "system": system,
        "history": history,
        "chosen": better,
        "rejected": worse,
    }


def _sharegpt(record: Record, better: str, worse: str) -> Row:
    chosen, rejected = _sayings((Turn("assistant", better), Turn("assistant", worse)))
    return {"id": record.id, "conversations": _sayings(turns_of(record)), "chosen": chosen, "rejected": rejected}


def _chat_template(record: Record, better: str, worse: str) -> Row:
    return {
        "id": record.id,
        "messages": _messages(turns_of(record)),
        "chosen": _answer(better),
        "rejected": _answer(worse),
    }


def _openai(record: Record, better: str, worse: str) -> Row:
    return {
        "id": record.id,
        "input": {"messages": _messages(turns_of(record))},
        "preferred_output": [_answer(better)],
        "non_preferred_output": [_answer(worse)],
    }


def _last_message(record: Record, better: str, worse: str) -> Row:
    return {
        "id": record.id,
        "messages": [*_messages(turns_of(record)), _answer(better)],
        "rejected_response": worse,
    }


def _with_system(prompt: str, chosen: str = "chosen", rejected: str = "rejected") -> Callable[[Record, str, str], Row]:
    """Pairs of texts with the system's words in a field of their own."""

    def make(record: Record, better: str, worse: str) -> Row:
        system, turns = _system(record)
        return {"id": record.id, "system": system, prompt: render_turns(turns), chosen: better, rejected: worse}

    return make


def _all(
    rows: Callable[[Record], Iterator[Row]],
    readers: str,
    types: Mapping[str, pa.DataType],
    lacks: Sequence[str] = _PARTS,
    column_rows: Callable[[Record], Iterator[Row]] | None = None,
) -> Writer:
    return Writer(rows, pa.schema([("id", _TEXT), *types.items()]), readers, lacks, column_rows)


def _pairs(
    make: Callable[[Record, str, str], Row], readers: str, types: Mapping[str, pa.DataType], lacks: Sequence[str] = _PARTS
) -> Writer:
    """Of a layout that holds the best and the worst completion."""

    def rows(record: Record) -> Iterator[Row]:
        pair = best_and_worst(record)
        if pair is not None:
            yield make(record, *(record.completions[position] for position in pair))

    columns = types if "prompt_id" in types else {"id": _TEXT, **types}
    return Writer(rows, pa.schema(list(columns.items())), readers, lacks)


def _system_pairs(prompt: str, readers: str, chosen: str = "chosen", rejected: str = "rejected") -> Writer:
    names = ("system", prompt, chosen, rejected)
    return _pairs(_with_system(prompt, chosen, rejected), readers, dict.fromkeys(names, _TEXT))


_SIDES = {"chosen": _TEXT, "rejected": _TEXT}
_CHATS = {"chosen": _MESSAGES, "rejected": _MESSAGES}
_TUNING = {"instruction": _TEXT, "input": _TEXT, "system": _TEXT, "history": pa.list_(_TEXTS)}

#: The formats that can be written, by name.
WRITABLE: Mapping[str, Writer] = {
    "trl": _pairs(_texts, "TRL, OpenRLHF", {"prompt": _TEXT, **_SIDES}),
    "trl-messages": _pairs(_chat, "TRL, OpenRLHF", {"prompt": _MESSAGES, **_CHATS}),
    "trl-implicit": _pairs(_implicit, "TRL, OpenRLHF", _SIDES),
    "trl-messages-implicit": _pairs(_implicit_chat, "TRL, OpenRLHF, Axolotl chat_template.argilla_chat", _CHATS),
    "kto": _all(_kto, "TRL's KTO, OpenRLHF", {"prompt": _TEXT, "completion": _TEXT, "label": _FLAG}),
    "kto-messages": _all(_kto_messages, "TRL's KTO", {"prompt": _MESSAGES, "completion": _MESSAGES, "label": _FLAG}),
    "alpaca": _pairs(_alpaca, "LLaMA-Factory", {**_TUNING, **_SIDES}),
    "sharegpt": _pairs(_sharegpt, "LLaMA-Factory", {"conversations": _SAYINGS, "chosen": _SAID, "rejected": _SAID}),
    "sharegpt-kto": _all(_kto_sharegpt, "LLaMA-Factory's KTO", {"conversations": _SAYINGS, "kto_tag": _FLAG}),
    "axolotl": _pairs(
        _chat_template,
        "Axolotl chat_template.default",
        {"messages": _MESSAGES, "chosen": _MESSAGE, "rejected": _MESSAGE},
    ),
    "prompt-pairs": _system_pairs("prompt", "Axolotl chatml.prompt_pairs"),
    "intel": _system_pairs("question", "Axolotl chatml.intel"),
    "orca": _system_pairs("input", "Axolotl chatml.icr"),
    "argilla_binarized": _system_pairs("instruction", "Axolotl chatml.default", "chosen_response", "rejected_response"),
    "hh-rlhf": _pairs(_transcripts, "what reads Anthropic's HH", _SIDES),
    "openai-dpo": _pairs(
        _openai,
        "OpenAI, Azure, Fireworks",
        {
            "input": pa.struct([("messages", _MESSAGES)]),
            "preferred_output": _MESSAGES,
            "non_preferred_output": _MESSAGES,
        },
    ),
    "ms-swift": _pairs(_last_message, "ms-swift", {"messages": _MESSAGES, "rejected_response": _TEXT}),
    "ultrafeedback_binarized": _pairs(
        _binarized,
        "the alignment handbook",
        {
            "prompt": _TEXT,
            "prompt_id": _TEXT,
            **_CHATS,
            "messages": _MESSAGES,
            "score_chosen": _NUMBER,
            "score_rejected": _NUMBER,
        },
        [part for part in _PARTS if part != "ratings"],
    ),
    "plain": _all(
        _plain,
        "this program; it holds every completion with its rating",
        {
            "prompt": _TEXT,
            "turns": _MESSAGES,
            "completions": pa.list_(_COMPLETION),
            "source": _TEXT,
            "annotator": _TEXT,
            "judge": _TEXT,
            "reference": _TEXT,
        },
        (),
        _plain_columns,
    ),
    "ultrafeedback": _all(
        _ultrafeedback,
        "what reads UltraFeedback",
        {"source": _TEXT, "instruction": _TEXT, "models": _TEXTS, "completions": pa.list_(_RATED)},
        ("samples", "annotator", "judge", "reference"),
    ),
    "distilabel": _all(
        _distilabel,
        "distilabel",
        {
            "source": _TEXT,
            "instruction": _TEXT,
            "generations": _TEXTS,
            "generation_models": _TEXTS,
            "ratings": _NUMBERS,
            "rationales": _TEXTS,
        },
        ("samples", "annotator", "judge", "reference"),
    ),
    "nectar": _all(
        _nectar,
        # Not Axolotl: its zephyr.nectar (0.19) trains on the highest rank, the worst answer, as the chosen one.
        "what reads Nectar",
        {"prompt": _TEXT, "answers": pa.list_(_RANKED), "source": _TEXT},
        ("ratings", "samples", "reasons", "annotator", "judge", "reference"),
    ),
}

#: What is written where no format is named: of conversations the second.
DEFAULT = ("trl", "trl-messages")


def default_format(conversations: bool) -> str:
    """The format to write where none is named: what TRL reads."""
    return DEFAULT[conversations]


def who_reads() -> str:
    """All that can be written, with who reads it, for a help text."""
    return "; ".join(f"{name} ({writer.readers})" for name, writer in WRITABLE.items())
