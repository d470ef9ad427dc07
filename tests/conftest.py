"""The shared parts of the tests: a real Argilla, a judge's double in a process of its own, a real browser."""

pytest_plugins = [
    "tests.doubles.argilla_server",
    "tests.doubles.batch_server",
    "tests.doubles.embeddings_server",
    "tests.doubles.judge_server",
    "tests.doubles.llama_server",
    "tests.doubles.reward_server",
    "tests.doubles.browser",
]
