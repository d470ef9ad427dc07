"""Streams and files: whole or absent, and read as often as one likes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from argilla_admap.errors import InputError
from argilla_admap.tables import RecordStream, atomic_path, check_writable, read_stream, write_parquet

SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int64())])


def batches(count: int) -> list[pa.RecordBatch]:
    return [pa.record_batch([[f"r{i}"], [i]], schema=SCHEMA) for i in range(count)]


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
    assert f".{alive.pid}." in left.name
    alive.terminate()
    alive.wait()


def test_a_folder_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no/such"), atomic_path(tmp_path / "no/such/x.parquet"):
        pass


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
    with pytest.raises(InputError, match="cannot write there"):
        check_writable(tmp_path / "absent" / "x.parquet")
