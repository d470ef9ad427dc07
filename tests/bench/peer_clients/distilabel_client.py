"""distilabel: a pipeline of one text generation step, its batch as large as the calls allowed in flight."""

import json
import os
import sys
from pathlib import Path

os.environ["DISTILABEL_LOG_LEVEL"] = "ERROR"

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def main(url: str, prompts: list[str], concurrency: int) -> int:
    with Pipeline(name="bench") as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": prompt} for prompt in prompts], batch_size=concurrency)
        generate = TextGeneration(
            llm=OpenAILLM(model="bench", base_url=url, api_key="bench", generation_kwargs={"max_new_tokens": 1}),
            input_batch_size=concurrency,
        )
        load >> generate
    rows = pipeline.run(use_cache=False)["default"]["train"]
    return sum(text == "4" for text in rows["generation"])


if __name__ == "__main__":
    url, file, concurrency = sys.argv[1:]
    prompts = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    print(json.dumps({"answered": main(url, prompts, int(concurrency))}))
