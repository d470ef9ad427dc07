"""Ours: the whole path, with prompts, parsing, limits and the store."""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OPENAI_API_KEY", "bench")

from argilla_admap.formats.registry import read
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import score


def main(url: str, prompts: list[str], concurrency: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "records.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            for first, second in zip(prompts[::2], prompts[1::2], strict=True):
                completions = [{"text": first}, {"text": second}]
                lines.write(json.dumps({"id": first[:40], "prompt": "Say what you know.", "completions": completions}) + "\n")
        options = ScoreOptions(
            models=("bench",), base_url=url, concurrency=concurrency, store=Path(folder) / "store.db", price=(0, 0)
        )
        scored = score(read(file), options)
        return scored.summary["scored"]


if __name__ == "__main__":
    url, file, concurrency = sys.argv[1:]
    prompts = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    print(json.dumps({"answered": main(url, prompts, int(concurrency))}))
