"""The shared parts of the tests: a real Argilla, a judge's double in a process of its own, a real browser.

While working: ``pytest -m 'not server and not browser'``, which ends in under two minutes. The marks follow from the fixtures.
"""

import pytest

pytest_plugins = [
    "tests.doubles.argilla_server",
    "tests.doubles.batch_server",
    "tests.doubles.embeddings_server",
    "tests.doubles.judge_server",
    "tests.doubles.llama_server",
    "tests.doubles.reward_server",
    "tests.doubles.browser",
]

#: The mark of a test that uses one of these fixtures, by itself or through another one.
MARKS = {
    "argilla_server": "server",
    "batches": "server",
    "life": "server",
    "llama_url": "server",
    "llama_embeddings_url": "server",
    "llama_rerank_url": "server",
    "browser": "browser",
}
#: Files and tests that wait in real time for servers that fail, kill programs, or measure a large map: for the whole run too.
SLOW = {
    "test_faults.py",
    "test_memory.py",
    "test_never_twice.py",
    "test_a_burst_of_empty_answers_is_one_lesson",
    "test_a_password_in_the_address_is_not_told",
    "test_a_server_that_does_not_answer_is_named",
    "test_a_traceback_shows_no_key_and_keeps_the_exit_code",
    "test_an_enforced_limit_is_used_and_kept",
    "test_the_file_keeps_below_its_bound",
    "test_twelve_completions_and_mixed_sizes_are_all_diagnosed",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need a real server or a browser, or take as long."""
    for item in items:
        for name in set(getattr(item, "fixturenames", ())) & set(MARKS):
            item.add_marker(MARKS[name])
        if {item.path.name, getattr(item, "originalname", None)} & SLOW:
            item.add_marker("server")
