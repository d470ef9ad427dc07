"""What is built once: whole, or built anew; and the programs that are needed for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from argilla_admap.errors import ServerError
from argilla_admap.server import runtime
from argilla_admap.server.data_dir import locked


def build(folder: Path, *scripts: str) -> runtime._Build:
    return runtime._Build(folder, "the thing", [["sh", "-c", script] for script in scripts])


def test_a_half_built_folder_is_emptied_and_built_from_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "half").write_text("left by a start that was killed")
    said: list[str] = []
    with locked(tmp_path / "lock", said.append, "building") as lock:
        runtime._build_all([build(folder, f"echo 1 > {folder}/one", f"cat {folder}/one > {folder}/two")], lock, said.append)
    assert sorted(path.name for path in folder.iterdir()) == ["complete", "one", "two"]
    assert said[0].startswith("building the thing")


def test_a_step_that_fails_shows_the_end_of_its_log_and_leaves_no_marker(tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    with locked(tmp_path / "lock", print, "building") as lock, pytest.raises(ServerError) as raised:
        runtime._build_all([build(folder, "echo could not fetch it; exit 7", "touch never")], lock, lambda _line: None)
    assert "could not fetch it" in str(raised.value)
    assert "ended with 7" in str(raised.value)
    assert not (folder / "complete").exists()


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("No space left on device", "ADMAP_CACHE_DIR"),
        ("error: release version 17 not supported", "Java 17"),
        ("timeout", "network"),
    ],
)
def test_a_failure_says_what_to_do(tmp_path: Path, words: str, advice: str) -> None:
    with locked(tmp_path / "lock", print, "building") as lock, pytest.raises(ServerError, match=advice):
        runtime._build_all([build(tmp_path / "thing", f"echo '{words}'; exit 1")], lock, lambda _line: None)


def test_a_builder_that_outlives_a_killed_start_still_holds_the_lock(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path\n"
        "from argilla_admap.server import runtime; from argilla_admap.server.data_dir import locked\n"
        "folder = Path(sys.argv[1])\n"
        "step = ['sh', '-c', f'kill -9 {os.getpid()}; sleep 1.5; touch {folder}/ended']\n"
        "with locked(folder / 'lock', print, 'building') as lock:\n"
        "    runtime._build_all([runtime._Build(folder / 'thing', 'the thing', [step])], lock, lambda line: None)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    said: list[str] = []
    with locked(tmp_path / "lock", said.append, "building"):
        assert (tmp_path / "ended").exists()
    assert len(said) == 1


def test_every_missing_program_is_named_at_once_with_the_one_command_that_installs_them(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    environment |= {"PATH": str(tmp_path / "bin"), "ADMAP_CACHE_DIR": str(tmp_path / "cache")}
    words = [sys.executable, "-m", "argilla_admap", "server", "start", "--data-dir", str(tmp_path / "server")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "java, javac, mvn, redis-server, which are not installed" in done.stderr
    assert "sudo apt-get install -y --no-install-recommends default-jdk-headless maven redis-server" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_no_engine_and_no_redis_are_needed_where_their_addresses_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("ADMAP_CACHE_DIR", str(tmp_path))
    assert set(runtime.missing_packages(elasticsearch=True, redis=True)) == {"java", "javac", "mvn", "redis-server"}
    assert runtime.missing_packages(elasticsearch=False, redis=False) == {}


def test_a_log_of_any_size_and_with_any_words_is_shown_in_a_few_printable_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.write(b"admap: listening\n")
        file.seek(5_000_000_000)
        file.write("\nthe index of \x1b]0;owned\x07\x1b[2J: 名前\n".encode() + b"\xff" * 2_000)
    assert runtime.read_log(log, end=False).startswith("admap: listening\n")
    shown = runtime.tail(log)
    assert len(shown) < 4_000
    assert r"the index of \x1b]0;owned\x07\x1b[2J: 名前" in shown
    assert "\x1b" not in shown


def test_the_end_of_a_log_leaves_out_passwords_and_the_frames_of_tracebacks(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "starting\n"
        "Traceback (most recent call last):\n"
        '  File "server.py", line 1, in <module>\n'
        "    connect()\n"
        "OperationalError: password authentication failed\n"
        "ArgumentError: could not parse 'postgres://me:gehe/im@db:5432/x'\n"
        "java.lang.IllegalStateException: no\n"
        "\tat org.example.Node.start(Node.java:1)\n"
        "\n"
    )
    assert runtime.tail(log).split("\n") == [
        "    starting",
        "    OperationalError: password authentication failed",
        "    ArgumentError: could not parse 'postgres://db:5432/x'",
        "    java.lang.IllegalStateException: no",
    ]
    assert "nothing was logged" in runtime.tail(tmp_path / "none")
