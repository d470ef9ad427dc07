"""curator: its own LLM class, with its limits out of the way. (On litellm: its openai backend fetches a tokenizer first.)"""

import json
import os
import sys
from pathlib import Path

os.environ.update(CURATOR_DISABLE_CACHE="1", TELEMETRY_ENABLED="0", LITELLM_LOCAL_MODEL_COST_MAP="True", OPENAI_API_KEY="bench")

from bespokelabs import curator


class Judge(curator.LLM):  # type: ignore[misc]
    def prompt(self, input: dict[str, str]) -> str:
        return input["prompt"]

    def parse(self, input: dict[str, str], response: str) -> dict[str, str]:
        return {"answer": response}


def main(url: str, prompts: list[str], concurrency: int) -> int:
    judge = Judge(
        model_name="openai/bench",
        backend="litellm",
        backend_params={
            "base_url": url,
            "max_concurrent_requests": concurrency,
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
            "max_retries": 0,
        },
        generation_params={"max_tokens": 1},
    )
    answer = judge([{"prompt": prompt} for prompt in prompts])
    rows = getattr(answer, "dataset", answer)
    return sum(text == "4" for text in rows["answer"])


if __name__ == "__main__":
    url, file, concurrency = sys.argv[1:]
    prompts = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    print(json.dumps({"answered": main(url, prompts, int(concurrency))}))
