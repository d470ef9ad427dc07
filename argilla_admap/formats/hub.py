"""A data set written to the Hugging Face Hub: one table and its card, in one commit."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argilla_admap.errors import InputError

__all__ = ["HUB", "HubPlace", "publish", "quiet"]

#: What the name of a data set on the Hub begins with.
HUB = "hf:"
#: Around what this program writes into a card.
_BEGIN, _END = "<!-- argilla-admap begins -->", "<!-- argilla-admap ends -->"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A split of a data set on the Hub."""

    name: str
    split: str = "train"

    @classmethod
    def parse(cls, words: str) -> HubPlace:
        """Of ``hf:ORG/NAME[:SPLIT]``. Raises InputError for any other text."""
        name, _, split = words.removeprefix(HUB).partition(":")
        if not _NAME.fullmatch(name) or (split and not re.fullmatch(r"\w+", split)):
            raise InputError(f"{words}: names no data set, expected hf:ORG/NAME or hf:ORG/NAME:SPLIT", option="output")
        return cls(name, split or "train")


@contextmanager
def quiet(utils: Any) -> Iterator[None]:
    """Without the progress bars of a library of Hugging Face, given its `utils`."""
    shown = not utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            utils.enable_progress_bars()


def publish(table: Path, place: HubPlace, card: str) -> str:
    """Uploads the table as the split, with the card. Returns what the user should know.

    A new data set is private. One that this program wrote gets the split anew; what others wrote into its card stays. The
    token is the environment's ``HF_TOKEN``, the Hub the environment's ``HF_ENDPOINT``, if any.

    Raises:
        InputError: there is no token, the Hub refuses, or the data set holds data of somebody else's.
    """
    try:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, utils
    except ImportError as exc:
        raise InputError(
            f"{HUB}{place.name}: needs the `huggingface_hub` library", hint="install it with `pip install huggingface_hub`"
        ) from exc
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise InputError(
            f"{HUB}{place.name}: HF_TOKEN is not set", hint="set it to a token of the Hub that may write, for this command"
        )
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    target: dict[str, Any] = {"repo_id": place.name, "repo_type": "dataset"}
    target_file = f"data/{place.split}-00000-of-00001.parquet"
    try:
        known = api.repo_exists(**target)
        if not known:
            api.create_repo(**target, private=True)
        files = [file for file in api.list_repo_files(**target) if file != ".gitattributes"]
        old = ""
        if "README.md" in files:
            with tempfile.TemporaryDirectory() as cache:
                old = Path(api.hf_hub_download(**target, filename="README.md", cache_dir=cache)).read_text(encoding="utf-8")
        if _BEGIN not in old and any(file != "README.md" for file in files):
            raise InputError(
                f"{HUB}{place.name}: holds data that this program did not write", hint="name a new data set", option="output"
            )
        earlier = [file for file in files if file.startswith(f"data/{place.split}-") and file != target_file]
        with quiet(utils):
            api.create_commit(
                **target,
                operations=[
                    *(CommitOperationDelete(file) for file in earlier),
                    CommitOperationAdd(target_file, table),
                    CommitOperationAdd("README.md", _merged(old, card).encode()),
                ],
                commit_message="Data and card by argilla-admap",
            )
    except InputError:
        raise
    except Exception as exc:
        # The library raises errors of a dozen kinds and of other libraries; none of them may show the token.
        line = (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200].replace(token, "***")
        raise InputError(
            f"{HUB}{place.name}: the Hub refused ({line})",
            hint="check the name, and that HF_TOKEN may write there",
        ) from exc
    return f"{HUB}{place.name} is {'renewed' if known else 'new and private'}: split {place.split}"


def _merged(old: str, card: str) -> str:
    """The old card with our part of it renewed; where it has none, ours before it."""
    head, _, words = card.partition("\n---\n") if card.startswith("---\n") else ("", "", card)
    ours = f"{_BEGIN}\n{words.strip()}\n{_END}"
    if _BEGIN in old and _END in old:
        before, _, rest = old.partition(_BEGIN)
        return f"{before}{ours}{rest.partition(_END)[2]}"
    if old.startswith("---\n"):
        front, _, rest = old.partition("\n---\n")
        return f"{front}\n---\n{ours}\n{rest}"
    return f"{head}\n---\n{ours}\n{old}" if head else f"{ours}\n{old}"
