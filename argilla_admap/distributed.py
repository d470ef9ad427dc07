"""The engine ``ray``: the same work on the machines of a Ray cluster, in the order given. The one place that speaks to Ray.

The cluster is the one that this program is connected to already, else that at ``RAY_ADDRESS`` (which ``ray job submit`` sets;
``auto`` is one that ``ray start`` has started on this machine), else one that is started here, on the loopback address alone,
and ends with this program. What is sent between machines never holds a key: each machine has its own environment.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from argilla_admap.errors import AdmapError, InputError
from argilla_admap.tables import temporary_folder

__all__ = ["ENGINES", "Remote", "check_engine", "connect_cluster", "default_workers", "in_order", "in_pool", "worker_place"]

ENGINES = ("local", "ray")
#: Pieces that are sent together; more wait until these are done, so that memory stays flat.
_WINDOW = 64
#: Bytes that are sent together to a pool, which starts anew for the next.
_POOL_BYTES = 128 << 20
#: The column of blocks that Ray Data carries: one pickled object a row.
_ITEM = "item"

#: Bytes of the name of the folder that a cluster of this machine has its own in.
_LONGEST_PLACE = 16

#: The cluster that was started here and its files; and whether a person was told to look at its logs.
_own_cluster = ExitStack()
_told_of_logs = False

Given = TypeVar("Given")
Made = TypeVar("Made")


def check_engine(engine: str) -> None:
    """Whether it can be used.

    Raises:
        InputError: no such engine, or Ray is not installed.
    """
    if engine not in ENGINES:
        raise InputError(f"{engine!r}: no such engine", option="engine", hint=f"choose one of {', '.join(ENGINES)}")
    if engine == "ray":
        _ray()


def _ray() -> Any:
    # Before Ray is imported, which reads them then. Nobody is told that it is used.
    for name, value in (
        ("RAY_USAGE_STATS_ENABLED", "0"),
        ("RAY_BACKEND_LOG_LEVEL", "fatal"),
    ):
        os.environ.setdefault(name, value)
    try:
        import ray.data
    except ImportError as exc:
        words = f"Ray is not installed ({exc})"
        raise InputError(
            words, option="engine", hint="pip install 'argilla-admap[ray]', on each machine of the cluster"
        ) from exc
    return ray


def connect_cluster() -> Any:
    """Ray, connected to its cluster; once for a process.

    Raises:
        InputError: Ray is not installed.
        AdmapError: there is no cluster at RAY_ADDRESS, or none can be started.
    """
    ray = _ray()
    if ray.is_initialized():
        return ray
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        with _own_signals(ray), _silence():
            if os.environ.get("RAY_ADDRESS"):
                ray.init(**quiet)
            else:
                _start_here(ray, quiet)
        _watch_cluster(ray)
        # Ray prints there what becomes of workers; standard output is for results, and what matters is told by us.
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
    except (ConnectionError, RuntimeError, ValueError, OSError) as exc:
        hint = "see that RAY_ADDRESS names a cluster that runs, or unset it: one is then started here"
        raise AdmapError(f"no Ray cluster can be used: {_last_line(exc)}", hint=hint) from exc
    return ray


@contextmanager
def _own_signals(ray: Any) -> Iterator[None]:
    """Ray takes SIGTERM for itself, and ends the program on it with a dump of its stack: it stays with who had it."""
    here = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if here else None
    taking, ray._private.utils.set_sigterm_handler = ray._private.utils.set_sigterm_handler, lambda _: None
    try:
        yield
    finally:
        ray._private.utils.set_sigterm_handler = taking
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _silence() -> Iterator[None]:
    """Ray's native part says on standard error, past all settings, which level of its log it was told."""
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _start_here(ray: Any, quiet: dict[str, Any]) -> None:
    # Ray's servers listen on all addresses of a machine that can be part of a cluster. This one is of one machine.
    from ray._private import ray_constants

    _end_here()
    place = Path(tempfile.gettempdir())
    # Ray has sockets there, whose names may have 107 bytes.
    place = place if len(os.fsencode(place)) <= _LONGEST_PLACE else Path("/tmp")  # noqa: S108  # private: a folder in it
    folder = _own_cluster.enter_context(temporary_folder("admap-ray", place))
    enabled, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        processors = max(2, os.cpu_count() or 1)
        _own_cluster.callback(ray.shutdown)
        ray.init(address="local", include_dashboard=False, num_cpus=processors, _temp_dir=str(folder / "r"), **quiet)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _end_here() -> None:
    """Ends the cluster of this machine and removes its files; Ray itself ends one whose logs are kept for the person."""
    if not _told_of_logs:
        _own_cluster.close()


def _watch_cluster(ray: Any) -> None:
    """Tells the person if the cluster ends under the run: Ray then ends this program without a word."""
    node = ray._private.worker._global_node
    host, _, port = str(node.gcs_address).rpartition(":")
    for address in (node.raylet_socket_name, (host.strip("[]"), int(port))):
        threading.Thread(target=_wait_for_end, args=(ray, address), name="admap-ray-watch", daemon=True).start()


def _connected(address: str | tuple[str, int]) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _wait_for_end(ray: Any, address: Any) -> None:
    """Holds a connection, and makes a new one when it is closed, until there is nobody to connect to."""
    answers = True
    while answers:
        try:
            with _connected(address) as connection:
                while connection.recv(4096):
                    pass
        except ConnectionResetError:
            pass
        except OSError:
            answers = False
        time.sleep(0.1)
        if not ray.is_initialized():
            return
    sys.stderr.write("\nThe Ray cluster is gone, and this program ends with it; run the same command again to go on.\n")
    sys.stderr.flush()


atexit.register(_end_here)


def _last_line(exc: BaseException) -> str:
    return next(reversed(str(exc).strip().splitlines()), type(exc).__name__)


def default_workers() -> int:
    """One for each processor of the cluster."""
    return max(1, int(connect_cluster().cluster_resources().get("CPU", 1)))


class Remote:
    """An object that lives in a process of its own on this machine, and is called from everywhere in the cluster.

    Args:
        actor: Ray's handle; it travels, and each process makes its own `Remote` of it.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    @classmethod
    def start(cls, kind: type[Any]) -> Remote:
        """Makes an object without arguments: Ray keeps and may show those, and they could hold what is private."""
        ray = connect_cluster()
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        return cls(ray.remote(kind).options(num_cpus=0, max_concurrency=1000, scheduling_strategy=here).remote())

    def send(self, name: str, *args: Any) -> Future[Any]:
        """Calls a method; its result is to come."""
        if not _ray().is_initialized():
            # Ray would begin with another cluster.
            raise AdmapError("the Ray cluster is gone", hint="run the same command again: what was paid for is kept")
        result: Future[Any] = getattr(self.actor, name).remote(*args).future()
        return result

    def result(self, sent: Future[Any]) -> Any:
        """What a call that was sent brought, or the error that it raised."""
        try:
            return sent.result()
        except _ray().exceptions.RayError as exc:
            raise _own(exc) from exc

    def call(self, name: str, *args: Any) -> Any:
        """Calls a method and waits for its result."""
        return self.result(self.send(name, *args))

    def kill(self) -> None:
        """Ends its process."""
        if (ray := _ray()).is_initialized():
            ray.kill(self.actor)


def in_order(work: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """What `work` makes of each, in the order given: tasks of Ray Data, wherever the cluster has room.

    Raises:
        AdmapError: as `work` raises it.
    """
    ray = connect_cluster()
    waiting = iter(given)
    while blocks := [ray.put(_packed([one])) for one in islice(waiting, _WINDOW)]:
        yield from _run(blocks, lambda data, _: data.map_batches(_Each(work), batch_size=None, batch_format="pyarrow"))


def in_pool(worker: type[Any], remote: Remote, given: Iterable[Given], workers: int, calls: int) -> Generator[Any, None, None]:
    """What a fixed number of workers make of each, in the order given: an actor pool of Ray Data.

    A worker that is killed is started anew, and what it had in work is given out again.

    Args:
        worker: made with `remote.actor` in each of the processes, and called with one of `given` at a time ...
        calls: ... by so many threads.
    Raises:
        AdmapError: as a worker raises it.
    """
    ray = connect_cluster()
    processors = float(ray.cluster_resources().get("CPU", 1))

    def plan(data: Any, blocks: int) -> Any:
        size = min(workers, blocks)
        # The first that is ready must not take all.
        each = min(calls, -(-blocks // size))
        return data.map_batches(
            _EachByWorker,
            fn_constructor_args=(worker, remote.actor),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=size,
                max_tasks_in_flight_per_actor=each,
                max_concurrent_calls_per_actor=each,
                enable_true_multi_threading=True,
            ),
            # All of them find room, and none of them is by itself all that a processor does.
            num_cpus=min(1.0, int(100 * processors / workers) / 100),
        )

    waiting = iter(given)
    while True:
        blocks, held = [], 0
        for one in waiting:
            block = _packed([one])
            blocks.append(ray.put(block))
            held += block.nbytes
            if held >= _POOL_BYTES:
                break
        if not blocks:
            return
        yield from _run(blocks, plan)


def worker_place() -> str:
    """Names the worker that this process is, also when it was killed and started anew."""
    place: str = connect_cluster().get_runtime_context().get_actor_id()
    return place


class _Failed:
    """An error of ours instead of a result: Ray would print it and hide it in its own."""

    def __init__(self, error: AdmapError) -> None:
        self.error = error


def _tried(work: Callable[[Any], Any], given: Any) -> Any:
    try:
        return work(given)
    except AdmapError as exc:
        return _Failed(exc)


class _Each:
    """`work` over a block; the function is pickled once, and not with each block."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    # Ray Data takes a function here, and a class only for an actor pool.
    __name__ = "work"

    def __call__(self, block: pa.Table) -> pa.Table:
        return _packed([_tried(self._work, one) for one in _unpacked(block)])


class _EachByWorker:
    """A worker over a block."""

    def __init__(self, worker: type[Any], actor: Any) -> None:
        self._worker = worker(actor)

    def __call__(self, block: pa.Table) -> pa.Table:
        return _packed([_tried(self._worker, one) for one in _unpacked(block)])


class _Packer(pickle.Pickler):
    """Packs record batches in Arrow's own form: of a slice its rows alone, and not all that it was cut from."""

    def reducer_override(self, given: Any) -> Any:
        if not isinstance(given, pa.RecordBatch):
            return NotImplemented
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, given.schema) as writer:
            writer.write_batch(given)
        return _batch_of, (sink.getvalue().to_pybytes(),)


def _batch_of(packed: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(packed) as reader:
        return reader.read_next_batch()


def _packed(items: Sequence[Any]) -> pa.Table:
    rows = []
    for one in items:
        packed = io.BytesIO()
        _Packer(packed, protocol=5).dump(one)
        rows.append(packed.getvalue())
    return pa.table({_ITEM: pa.array(rows, pa.large_binary())})


def _unpacked(block: pa.Table) -> Iterator[Any]:
    for item in block.column(_ITEM):
        yield pickle.loads(item.as_py())  # noqa: S301  # our own, from a process of ours


def _run(blocks: list[Any], plan: Callable[[Any, int], Any]) -> Iterator[Any]:
    """What a plan for a data set of Ray Data, with so many blocks, makes of these."""
    ray = connect_cluster()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            # Into its log file, and not between what the person reads.
            handler.setLevel(logging.CRITICAL)
    try:
        for block in plan(ray.data.from_arrow_refs(blocks), len(blocks)).iter_batches(batch_size=None, batch_format="pyarrow"):
            for made in _unpacked(block):
                if isinstance(made, _Failed):
                    raise made.error
                yield made
    except ray.exceptions.RayError as exc:
        raise _own(exc) from exc


def _own(exc: BaseException) -> BaseException:
    """The error of ours that a worker raised; else one that says what Ray says."""
    found: BaseException | None = exc
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        # Ray makes a class of its own and of ours, which is lost on the way to another process.
        if isinstance(found, AdmapError) and not isinstance(found, _ray().exceptions.RayError):
            return found
        found = getattr(found, "cause", None) or found.__cause__
    if isinstance(exc, _ray().exceptions.RayActorError):
        words = "a process of this run has ended on the cluster: it was killed, or its machine is lost or has no memory left"
    else:
        words = f"the work on Ray failed: {_last_line(exc)}"
    return AdmapError(words, hint=f"run the same command again: what was paid for is kept. Ray's logs: {_logs()}")


def _logs() -> str:
    """The folder of Ray's logs on this machine, which are kept then."""
    global _told_of_logs
    _told_of_logs = True
    node = _ray()._private.worker._global_node
    return "/tmp/ray" if node is None else str(node.get_logs_dir_path())  # noqa: S108  # a name for the person
