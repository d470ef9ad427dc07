"""litellm: `acompletion` calls under a semaphore, as its users write it."""

import asyncio
import json
import os
import sys
from pathlib import Path

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

litellm.suppress_debug_info = True


async def main(url: str, prompts: list[str], concurrency: int) -> int:
    gate = asyncio.Semaphore(concurrency)

    async def ask(prompt: str) -> bool:
        async with gate:
            answer = await litellm.acompletion(
                model="openai/bench",
                messages=[{"role": "user", "content": prompt}],
                api_base=url,
                api_key="bench",
                max_tokens=1,
                logprobs=True,
                top_logprobs=5,
                num_retries=0,
            )
        return answer.choices[0].message.content == "4"

    return sum(await asyncio.gather(*map(ask, prompts)))


if __name__ == "__main__":
    url, file, concurrency = sys.argv[1:]
    prompts = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    print(json.dumps({"answered": asyncio.run(main(url, prompts, int(concurrency)))}))
