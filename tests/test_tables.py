"""Streams and files: whole or absent, and read as often as one likes."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import argilla_admap as admap
from argilla_admap.errors import InputError, OutputError
from argilla_admap.formats.writeback import rewrite
from argilla_admap.tables import (
    RecordStream,
    Spool,
    atomic_path,
    check_writable,
    new_folder,
    read_stream,
    temporary_folder,
    write_parquet,
)

FIELDS: list[pa.Field[Any]] = [pa.field("id", pa.string()), pa.field("n", pa.int64())]
SCHEMA = pa.schema(FIELDS)


def batches(count: int) -> list[pa.RecordBatch]:
    return [pa.record_batch([pa.array([f"r{i}"]), pa.array([i])], schema=SCHEMA) for i in range(count)]


@pytest.mark.parametrize("late", [False, True])
def test_a_file_is_read_as_it_was_written_with_its_facts(tmp_path: Path, late: bool) -> None:
    facts = {"judge": "gpt-4o", "thresholds": {"mean": 3.5}}
    assert write_parquet(tmp_path / "x.parquet", batches(3), SCHEMA, (lambda: facts) if late else facts) == 3
    stream = read_stream(tmp_path / "x.parquet")
    assert stream.info == facts
    assert stream.table().column("n").to_pylist() == [0, 1, 2]
    assert stream.table().num_rows == 3, "a second pass sees the same"
    assert json.loads(pq.ParquetFile(tmp_path / "x.parquet").metadata.metadata[b"admap"]) == facts


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", batches(2), SCHEMA)

    def broken():
        yield batches(1)[0]
        raise RuntimeError("the judge died")

    with pytest.raises(RuntimeError):
        write_parquet(tmp_path / "x.parquet", broken(), SCHEMA)
    assert read_stream(tmp_path / "x.parquet").table().num_rows == 2
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from argilla_admap.tables import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])) as p:\n"
        "    p.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "x.parquet")], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
    killed, alive = writers
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_path(tmp_path / "x.parquet") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "x.parquet").read_text() == "whole"
    (left,) = [p for p in tmp_path.iterdir() if p.name != "x.parquet"]
    assert left.read_text() == "half"
    alive.terminate()
    alive.wait()


@pytest.mark.parametrize("locks", ["other", "none", "mandatory"])
def test_a_file_that_is_being_written_is_never_taken_for_one_that_was_left(
    tmp_path: Path, locks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object) -> None:
        raise OSError(errno.EACCES if locks == "mandatory" else errno.ENOLCK, "refused")

    # In another container the writer's process id is no process, or somebody else's.
    monkeypatch.setattr(os, "getpid", lambda: 2**22)
    if locks == "none":
        monkeypatch.setattr(fcntl, "flock", refuse)
    elif locks == "mandatory":
        # Locks as SMB has them: what is locked by one handle cannot be written by another of the same program.
        monkeypatch.setattr(Path, "open", refuse)
    with atomic_path(tmp_path / "x.parquet") as temporary:
        monkeypatch.undo()
        temporary.write_bytes(b"half")
        with atomic_path(tmp_path / "x.parquet") as other:
            other.write_text("other")
        assert temporary.read_text() == "half"
    assert (tmp_path / "x.parquet").read_text() == "half"
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no/such/x.parquet", "there is no folder .*no/such; make the folder"),
        ("file/x.parquet", "there is no folder"),
        ("folder", "it is a folder"),
        ("pipe", "not an ordinary file"),
        ("x" * 300, "File name too long"),
        (os.fsdecode(b"caf\xe9.parquet"), r"caf\\xe9.parquet: the name is not UTF-8"),
    ],
)
def test_a_name_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=words), atomic_path(tmp_path / name):
        pytest.fail("the work has begun")
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_as_long_as_the_disk_allows_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("地" * 82 + ".parquet")
    write_parquet(path, batches(1), SCHEMA)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_is_an_output_error_with_what_to_do(tmp_path: Path, number: int) -> None:
    words = rf"x\.parquet: cannot be written \({os.strerror(number)}\); make room"
    with pytest.raises(OutputError, match=words), atomic_path(tmp_path / "x.parquet"):
        raise OSError(number, "the library's own words")
    assert not list(tmp_path.iterdir())


def test_folders_that_killed_programs_left_are_removed_and_those_of_living_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = [tmp_path / name for name in ("admap-x-dead.part", ".new.dead.part", "admap-y-dead.part")]
    for folder in left:
        (folder / "below").mkdir(parents=True)
    with temporary_folder("admap-x") as first, temporary_folder("admap-x") as second, new_folder(tmp_path / "new") as third:
        assert sorted(tmp_path.iterdir()) == sorted([first, second, third, left[2]])
        (third / "file").write_text("kept")
    assert sorted(tmp_path.iterdir()) == [left[2], tmp_path / "new"]
    assert (tmp_path / "new" / "file").read_text() == "kept"


def test_a_disk_that_is_full_below_a_folder_is_told_of_the_name_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> Any:
        raise OSError(errno.ENOSPC, "x")
        yield

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(OutputError, match=rf"^{tmp_path}/new: cannot be written") as caught,
        new_folder(tmp_path / "new") as new,
    ):
        write_parquet(new / "part.parquet", full(), SCHEMA)
    assert "`output`" in caught.value.hint
    with pytest.raises(OutputError, match=rf"^{tmp_path}: cannot be written") as caught, temporary_folder("admap-x") as folder:
        write_parquet(folder / "part.parquet", full(), SCHEMA)
    assert "TMPDIR" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_saved_data_set_that_the_disk_cannot_take_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "x")

    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "state.json").write_text("{}")
    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OutputError, match=rf"^{tmp_path}/new: cannot be written .*; make room"):
        rewrite._write_saved(tmp_path / "saved", [], tmp_path / "new", {})
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_spool_says_when_it_is_filled_that_the_disk_is_full_and_goes_in_silence() -> None:
    class Full(io.BytesIO):
        """A disk that takes what is buffered only as long as it is not written."""

        def flush(self) -> None:
            if not self.closed:
                raise OSError(errno.ENOSPC, "x")

        def close(self) -> None:
            super().close()
            raise OSError(errno.ENOSPC, "x")

    spool: Spool[str] = Spool()
    spool._file = Full()  # type: ignore[assignment]
    with pytest.raises(OutputError, match="cannot be written") as caught:
        spool.add("words")
    assert "TMPDIR" in caught.value.hint
    assert spool._file.closed


def test_an_error_of_what_is_read_meanwhile_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x.parquet"):
        (tmp_path / "input").read_bytes()


def test_what_is_not_parquet_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("not parquet")
    with pytest.raises(InputError, match="admap score"):
        read_stream(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="no such file"):
        read_stream(tmp_path / "y.parquet")


def test_a_stream_of_a_table_can_be_gone_through_twice() -> None:
    stream = RecordStream.from_table(pa.Table.from_batches(batches(5)), {"a": 1})
    assert stream.table().equals(stream.table())
    assert stream.info == {"a": 1}


def test_the_rights_of_a_new_file_are_the_users(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "x") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
    assert time.time() - (tmp_path / "x").stat().st_mtime < 60


def test_a_place_to_write_is_tried_without_leaving_a_trace(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("here before")
    check_writable(tmp_path / "x.parquet")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["here before"]
    with pytest.raises(InputError, match="there is no folder"):
        check_writable(tmp_path / "absent" / "x.parquet")


# No file of the program may grow beyond so many bytes: to the program the same as a full disk (a write that fails).
LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); del sys.argv[1]\n"
    "from argilla_admap.cli import main; main()"
)


def command(most_bytes: int, folder: Path, *words: str, **given: object) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-c", LIMITED, str(most_bytes), *words]
    return subprocess.run(line, cwd=folder, stderr=subprocess.PIPE, timeout=120, check=False, **given)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with records, scored, and their map; random texts, so that nothing can be packed into less."""
    folder = tmp_path_factory.mktemp("data")
    noise = random.Random(0)
    texts = [[noise.randbytes(500).hex() for _ in range(2)] for _ in range(60)]
    for name in ("map", "other"):
        lines = []
        for n in range(60):
            completions = [{"text": texts[n][k], "scores": [noise.randint(1, 5)], "rating": k} for k in range(2)]
            lines.append(json.dumps({"id": f"r{n}", "prompt": "p", "completions": completions}))
        (folder / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
        admap.build_map(admap.score(admap.read(folder / "in.jsonl"), scorer="existing")).write(folder / f"{name}.parquet")
    assert command(1 << 30, folder, "score", "in.jsonl", "-o", "scored.parquet", "--scorer", "existing").returncode == 0
    return folder


@pytest.mark.parametrize(
    "words",
    [
        "score - -o x.parquet --scorer existing",
        "map scored.parquet -o x.parquet",
        "select map.parquet -o x.jsonl",
        "report map.parquet -o x.html",
        "report map.parquet -o x.svg",
        "compare map.parquet other.parquet -o x.jsonl",
    ],
)
def test_every_command_that_writes_says_that_the_disk_is_full_and_leaves_no_half_file(data: Path, words: str) -> None:
    before = sorted(data.iterdir())
    with (data / "in.jsonl").open("rb") as records:
        done = command(3000, data, *words.split(), stdin=records, stdout=subprocess.DEVNULL)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert "make room" in said
    assert "defect" not in said
    assert "Traceback" not in said
    assert sorted(data.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "output"),
    [
        ("map scored.parquet", b"\xff.parquet"),
        ("map scored.parquet", b"y" * 260 + b".parquet"),
        ("report map.parquet", b"\xff.html"),
        ("select map.parquet", b"absent/x.parquet"),
    ],
)
def test_every_command_that_writes_says_that_a_name_cannot_be_used(data: Path, words: str, output: bytes) -> None:
    done = command(1 << 30, data, *words.split(), "-o", os.fsdecode(output), stdout=subprocess.DEVNULL)
    assert done.returncode == 2, done.stderr
    assert b"defect" not in done.stderr


def test_an_answer_that_cannot_be_printed_is_said_once(data: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = command(1 << 30, data, "map", "scored.parquet", "-o", "y.parquet", "--json", stdout=full)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert "No space left on device; make room there" in said
    assert "Exception ignored" not in said


def test_a_row_group_is_not_held_as_a_whole(tmp_path: Path) -> None:
    rows = 40_000
    table = pa.table({"id": [str(i) for i in range(rows)], "text": [os.urandom(512).hex() for _ in range(rows)]})
    pq.write_table(table, tmp_path / "one.parquet", row_group_size=rows, compression="none", use_dictionary=False)
    del table
    before, most, seen = pa.total_allocated_bytes(), 0, 0
    for batch in read_stream(tmp_path / "one.parquet", rows=None).batches():
        seen += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert seen == rows
    assert most < 25_000_000, "the file is of 40 MB"
