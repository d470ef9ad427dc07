"""The shared parts of the tests: a real Argilla, a judge's double in a process of its own, a real browser.

While working: ``pytest -m 'not server and not browser'``, which ends in under two minutes. The marks follow from the fixtures.
"""

import os
import re
import signal
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

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
    "unpatched": "server",
    "llama_url": "server",
    "llama_together_url": "server",
    "llama_embeddings_url": "server",
    "llama_rerank_url": "server",
    "browser": "browser",
}
#: Files and tests that wait in real time for servers that fail, kill programs, or measure a large map: for the whole run too.
SLOW = {
    "test_bombs.py",
    "test_hostile_judges.py",
    "test_keys.py",
    "test_wheel.py",
    "test_odd_judges.py",
    "test_a_store_that_cannot_grow_ends_the_run_and_loses_nothing_that_it_took_in",
    "test_an_argilla_that_is_named_and_does_not_answer_is_wrong",
    "test_any_correction_reads_back_in_its_order",
    "test_every_command_that_writes_says_that_a_name_cannot_be_used",
    "test_every_command_that_writes_says_that_the_disk_is_full_and_leaves_no_half_file",
    "test_input_that_cannot_be_read_ends_with_2_a_message_and_nothing_written",
    "test_nothing_leaks_whatever_is_missing",
    "test_on_recorded_samples_half_of_the_calls_find_what_three_for_all_find",
    "test_usage_errors_end_with_2",
    "test_whatever_else_answers_is_not_taken_for_a_service",
    "test_faults.py",
    "test_memory.py",
    "test_never_twice.py",
    "test_adaptive.py",
    "test_examples.py",
    "test_pieces.py",
    "test_ray.py",
    "test_shards.py",
    "test_stopping.py",
    "test_together.py",
    "test_a_burst_of_empty_answers_is_one_lesson",
    "test_a_password_in_the_address_is_not_told",
    "test_a_server_that_does_not_answer_is_named",
    "test_a_traceback_shows_no_key_and_keeps_the_exit_code",
    "test_an_enforced_limit_is_used_and_kept",
    "test_the_file_keeps_below_its_bound",
    "test_twelve_completions_and_mixed_sizes_are_all_diagnosed",
}


#: Words of a test file that uses the shared Argilla or the browser.
SHARED = re.compile(r"\b(argilla_(server|url|client|environment)|browser|workspace)\b")
ROOT = Path(__file__).parents[1]


class OneServer(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """One worker takes all tests that share a server: each test's worker would start its own."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, _ = nodeid.partition("::")
        if path.startswith("tests/unpatched/"):
            return "unpatched"
        if path == "tests/test_ray.py":
            # One cluster, which one worker starts.
            return path
        if not _shares_a_server(path):
            return nodeid
        # Two chains, each with a server of its own: either waits more than it computes.
        return "page" if path.startswith("tests/browser/") else "argilla"


@cache
def _shares_a_server(path: str) -> bool:
    return SHARED.search((ROOT / path).read_text(encoding="utf-8")) is not None


# A shell that starts the tests in the background lets them, and all that they start, ignore these.
for _signal, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneServer:
    """What a worker takes next."""
    return OneServer(config, log)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Every core for the whole suite or a part of it by marks; one process for files or tests by name."""
    return (os.cpu_count() or 1) if config.args_source is config.ArgsSource.TESTPATHS else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need a real server or a browser, or take as long."""
    for item in items:
        for name in set(getattr(item, "fixturenames", ())) & set(MARKS):
            item.add_marker(MARKS[name])
        if {item.path.name, getattr(item, "originalname", None)} & SLOW:
            item.add_marker("server")
