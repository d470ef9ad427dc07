"""Training data out: each format by its reader's own column rules, in files, folders and on the Hub, with a card."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

from argilla_admap.errors import InputError
from argilla_admap.formats.data_card import CardFacts, data_card
from argilla_admap.formats.registry import read
from argilla_admap.formats.writing import WRITABLE, can_hold, write
from argilla_admap.formats.written_rows import who_reads
from argilla_admap.records import Record, Turn
from tests.doubles.hub_server import Hub, hub  # noqa: F401  # a fixture
from tests.formats.samples import sample
from tests.formats.test_writing import record, stream

Row = dict[str, Any]
CHAT = (Turn("system", "Be brief."), Turn("user", "Hello"), Turn("assistant", "Hi"), Turn("user", "Why?"))


def chat(**more: Any) -> Record:
    return record("good", "bad", prompt="system: Be brief.\n\n...", turns=CHAT, **more)


def loaded(path: Path) -> Any:
    """The file as the `datasets` library reads it."""
    kind = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}[path.suffix]
    return datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))


def one(path: Path, name: str, *records: Record) -> Row:
    """The first row of the records in a format."""
    write(stream(*records), path, name)
    row: Row = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    return row


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_chat(value: object, *roles: str, role: str = "role", content: str = "content") -> bool:
    """Whether the value is a list of messages, the last of one of the roles."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(set(message) == {role, content} and all(map(is_text, message.values())) for message in value)
        and (not roles or value[-1][role] in roles)
    )


def said(value: object, role: str, content: str) -> bool:
    return isinstance(value, dict) and set(value) == {role, content}


#: By format, what its reader's documentation asks of a row; columns beside these are left alone.
RULES = {
    # TRL, "Dataset formats and types": preference with explicit and implicit prompt, unpaired preference; standard and
    # conversational. OpenRLHF reads the same with prompt_key, chosen_key and rejected_key.
    "trl": lambda r: is_text(r["prompt"]) and is_text(r["chosen"]) and is_text(r["rejected"]),
    "trl-messages": lambda r: is_chat(r["prompt"], "user") and all(is_chat(r[s], "assistant") for s in ("chosen", "rejected")),
    "trl-implicit": lambda r: "prompt" not in r and is_text(r["chosen"]) and is_text(r["rejected"]),
    "trl-messages-implicit": lambda r: (
        "prompt" not in r
        and all(is_chat(r[s], "assistant") for s in ("chosen", "rejected"))
        and r["chosen"][:-1] == r["rejected"][:-1] != []
    ),
    "kto": lambda r: is_text(r["prompt"]) and is_text(r["completion"]) and isinstance(r["label"], bool),
    "kto-messages": lambda r: is_chat(r["prompt"], "user") and is_chat(r["completion"]) and isinstance(r["label"], bool),
    # LLaMA-Factory, data/README: Alpaca and ShareGPT preference data, KTO.
    "alpaca": lambda r: (
        all(is_text(r[n]) for n in ("instruction", "input", "chosen", "rejected", "system"))
        and all(len(pair) == 2 for pair in r["history"])
    ),
    "sharegpt": lambda r: (
        is_chat(r["conversations"], "human", role="from", content="value")
        and all(said(r[s], "from", "value") and r[s]["from"] == "gpt" for s in ("chosen", "rejected"))
    ),
    "sharegpt-kto": lambda r: (
        is_chat(r["conversations"], "gpt", role="from", content="value") and isinstance(r["kto_tag"], bool)
    ),
    # Axolotl, RLHF: chat_template.default, chatml.prompt_pairs, .intel, .icr, .default.
    "axolotl": lambda r: is_chat(r["messages"], "user") and all(said(r[s], "role", "content") for s in ("chosen", "rejected")),
    "prompt-pairs": lambda r: all(is_text(r[n]) for n in ("system", "prompt", "chosen", "rejected")),
    "intel": lambda r: all(is_text(r[n]) for n in ("system", "question", "chosen", "rejected")),
    "orca": lambda r: all(is_text(r[n]) for n in ("system", "input", "chosen", "rejected")),
    "argilla_binarized": lambda r: all(
        is_text(r[n]) for n in ("system", "instruction", "chosen_response", "rejected_response")
    ),
    # Nectar: rank 1 is the best.
    "nectar": lambda r: is_text(r["prompt"]) and all({"answer", "rank"} <= set(answer) for answer in r["answers"]),
    # Anthropic's transcripts; OpenAI's preference fine-tuning; ms-swift's custom data.
    "hh-rlhf": lambda r: all(
        r[s].startswith("\n\nHuman: ") or ("\n\nHuman: " in r[s] and "\n\nAssistant: " in r[s]) for s in ("chosen", "rejected")
    ),
    "openai-dpo": lambda r: (
        is_chat(r["input"]["messages"], "user")
        and all(is_chat(r[n], "assistant") for n in ("preferred_output", "non_preferred_output"))
    ),
    "ms-swift": lambda r: is_chat(r["messages"], "assistant") and is_text(r["rejected_response"]),
    "ultrafeedback_binarized": lambda r: (
        all(is_chat(r[s], "assistant") for s in ("chosen", "rejected", "messages")) and r["score_chosen"] > r["score_rejected"]
    ),
}


@pytest.mark.parametrize("container", [".jsonl", ".json", ".parquet", ""])
@pytest.mark.parametrize("name", RULES)
def test_each_format_is_what_its_reader_asks_for_and_datasets_loads_it(name: str, container: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{container}"
    write(stream(record("good", "bad"), chat(id="y")), path, name)
    rows = loaded(path) if container else datasets.load_from_disk(str(path))
    assert len(rows) == (4 if "kto" in name else 2)
    assert all(RULES[name](row) for row in rows)


def test_all_that_can_be_written_has_its_rule() -> None:
    assert set(WRITABLE) - set(RULES) == {"plain", "ultrafeedback", "distilabel"}


def test_no_reader_is_named_that_would_train_on_the_worse_side(tmp_path: Path) -> None:
    """As Axolotl 0.19 does: zephyr.nectar takes the last rank for the chosen answer, chatml.ultra the second message."""
    row = one(tmp_path / "x.jsonl", "nectar", record("good", "bad"))
    assert sorted(row["answers"], key=lambda answer: answer["rank"])[-1]["answer"] == "bad"
    assert not {"zephyr.nectar", "chatml.ultra", "chatml.argilla"} & set(re.split(r"[ ();]+", who_reads()))
    assert "argilla_binarized (Axolotl chatml.default)" in who_reads()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("source", ["trl-messages", "hh-rlhf"])
def test_a_conversation_comes_back_with_its_turns_and_its_better_side(name: str, source: str, tmp_path: Path) -> None:
    before = list(read(sample(source)).records())
    write(read(sample(source)), tmp_path / "x.jsonl", name)
    after = list(read(tmp_path / "x.jsonl").records())
    assert [record.id for record in after] == [record.id for record in before]
    for old, new in zip(before, after, strict=True):
        best = {
            max(zip(r.ratings, r.completions, strict=True), key=lambda pair: pair[0] or 0)[1].split()[-1] for r in (old, new)
        }
        assert len(best) == 1
        assert name == "trl-implicit" or new.prompt == old.prompt


def test_without_a_format_it_is_what_trl_reads(tmp_path: Path) -> None:
    assert write(stream(record("good", "bad")), tmp_path / "x.jsonl").format == "trl"
    assert write(stream(record("good", "bad"), chat(id="y")), tmp_path / "y.jsonl").format == "trl-messages"
    assert json.loads((tmp_path / "y.jsonl").read_text().splitlines()[1])["prompt"] == [
        {"role": turn.role, "content": turn.content} for turn in CHAT
    ]


def test_a_system_turn_and_the_history_have_their_fields(tmp_path: Path) -> None:
    row = one(tmp_path / "x.jsonl", "alpaca", chat())
    assert (row["system"], row["history"], row["instruction"]) == ("Be brief.", [["Hello", "Hi"]], "Why?")
    assert one(tmp_path / "x.jsonl", "intel", chat())["system"] == "Be brief."


@pytest.mark.parametrize(
    ("ratings", "labels"),
    [
        ((1.0, 0.0), [True, False]),
        ((5.0, 2.0, 1.0), [True, False, False]),
        ((0.0, 0.0), [False, False]),
        ((0.5, 0.5), None),
        ((3.0, 3.0), None),
        ((None, None), None),
        ((4.0, None, 1.0), [True, False]),
    ],
)
def test_kto_rows_are_the_good_and_the_bad_ones_and_ties_are_left_out(
    tmp_path: Path, ratings: tuple[float | None, ...], labels: list[bool] | None
) -> None:
    report = write(stream(record(*"abc"[: len(ratings)], ratings=ratings)), tmp_path / "x.jsonl", "kto")
    assert [json.loads(line)["label"] for line in (tmp_path / "x.jsonl").read_text().splitlines()] == (labels or [])
    assert report.left_out == (labels is None)
    assert can_hold("kto", ratings) == (labels is not None)


def test_a_folder_is_a_data_set_with_its_card_and_new(tmp_path: Path) -> None:
    facts = CardFacts("mine", 2, checked=1, by={"ann <b>": 1}, changed=1, errors_left=(3.0, 1.0, 6.0))
    write(stream(record("good", "bad")), tmp_path / "out", "trl", card=lambda rows, name: data_card(facts, rows, name))
    assert datasets.load_from_disk(str(tmp_path / "out"))[0]["chosen"] == "good"
    card = (tmp_path / "out" / "README.md").read_text()
    for words in ("1 of 2 labels (50%)", "ann &#60;b&#62;: 1", "Changed: 1", "3, 95% interval 1 to 6", "read by TRL"):
        assert words in card
    assert "left: 0 to 7; too few" in data_card(replace(facts, errors_left=(None, 0.0, 7.0)), 2, "trl")
    assert "left, estimated: 3, by P(wrong) alone; an interval is not known" in data_card(
        replace(facts, errors_left=(3.0, None, None)), 2, "trl"
    )
    with pytest.raises(InputError, match="is there already"):
        write(stream(record("good", "bad")), tmp_path / "out", "trl")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_data_set_on_the_hub_is_new_private_renewed_and_read_again(hub: Hub, tmp_path: Path) -> None:  # noqa: F811
    facts = CardFacts("acme/pairs", 1, checked=1, by={"ann": 1})
    report = write(stream(record("good", "bad")), "hf:acme/pairs", card=lambda rows, name: data_card(facts, rows, name))
    assert report.notes == ["hf:acme/pairs is new and private: split train"]
    assert hub.private["acme/pairs"]
    files = hub.files["acme/pairs"]
    assert sorted(files) == [".gitattributes", "README.md", "data/train-00000-of-00001.parquet"]
    assert "ann: 1" in files["README.md"].decode()
    table = pq.read_table(io.BytesIO(files["data/train-00000-of-00001.parquet"]))
    assert table.schema.metadata is None  # nothing of this machine
    # What a person adds to the card stays; another split stands beside.
    files["README.md"] += b"\n## Our own words\n"
    again = write(stream(record("good", "bad"), chat(id="y")), "hf:acme/pairs", "trl")
    write(stream(record("x", "y")), "hf:acme/pairs:test", "trl")
    assert again.notes == ["hf:acme/pairs is renewed: split train"]
    assert "## Our own words" in hub.files["acme/pairs"]["README.md"].decode()
    program = (
        "import argilla_admap as admap\n"
        "for split in ('train', 'test'):\n"
        "    for batch in admap.read(f'hf:acme/pairs:{split}').batches():\n"
        "        print(split, batch.column('completions').to_pylist())\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home")}
    shown = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert shown.stdout.splitlines() == ["train [['good', 'bad'], ['good', 'bad']]", "test [['x', 'y']]"], shown.stderr
    assert hub.token not in shown.stderr


def test_what_the_hub_refuses_is_said_without_the_token_and_nothing_of_others_is_touched(
    hub: Hub,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_pair = stream(record("good", "bad"))
    hub.files["acme/theirs"] = {"data/train.csv": b"a,b"}
    hub.private["acme/theirs"], hub.commits["acme/theirs"] = False, 0
    hub.refuses.add("acme/closed")
    for name, words in (
        ("hf:acme/theirs", "data that this program did not write"),
        ("hf:acme/closed", "the Hub refused"),
        ("hf:pairs", "names no data set"),
        ("hf:acme/../x", "names no data set"),
    ):
        with pytest.raises(InputError, match=words) as refused:
            write(one_pair, name, "trl")
        assert hub.token not in str(refused.value)
    assert hub.files["acme/theirs"] == {"data/train.csv": b"a,b"}
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(InputError, match="the Hub refused") as refused:
        write(one_pair, "hf:acme/pairs", "trl")
    assert "hf_wrong" not in str(refused.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="HF_TOKEN is not set"):
        write(one_pair, "hf:acme/pairs", "trl")
