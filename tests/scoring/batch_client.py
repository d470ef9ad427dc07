"""Scores numbered records by the Batch API, in a process that may be killed. Arguments: URL STORE N."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from argilla_admap.scoring.batch.batches import BatchDispatcher
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import score
from tests.scoring.small_data import numbered, stream

# Where nothing is known the first question goes by itself: what is counted is what goes by batches.
BatchDispatcher.asks_later = False

if __name__ == "__main__":
    url, store, n = sys.argv[1:]
    options = ScoreOptions(models=("gpt-4o",), base_url=url, store=Path(store), batch=True, method="logprobs")
    print(json.dumps(score(stream(numbered(int(n))), options).summary))
