"""Nobody else on the machine gets in: each port, socket, file and process of a running server, as another user tries them."""

from __future__ import annotations

import http.client
import os
import socket
import stat
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import psutil
import pytest

from argilla_admap.errors import ServerError
from argilla_admap.scoring.cache.store import Store
from argilla_admap.server import launcher, server_entry
from argilla_admap.server.data_dir import DataDir
from tests.doubles.argilla_server import TestServer

NOBODY = 65534


@pytest.fixture
def folder(argilla_server: TestServer) -> DataDir:
    return DataDir(argilla_server.data_dir)


@pytest.fixture
def processes(argilla_server: TestServer) -> dict[str, psutil.Process]:
    """The processes of the server, and what they forked off."""
    pids = launcher.status(argilla_server.data_dir).pids
    found = {name: psutil.Process(pid) for name, pid in pids.items() if pid is not None}
    assert set(found) == {"elasticsearch", "redis", "server", "worker"}
    children = {f"{name}.{n}": child for name, one in found.items() for n, child in enumerate(one.children(recursive=True))}
    return found | children


def hidden(folder: DataDir) -> list[str]:
    """What only the owner may know."""
    secrets = folder.secrets()
    assert secrets is not None
    return [secrets.password, secrets.api_key, secrets.session_key, secrets.engine_password]


def test_no_port_is_open_but_the_two_that_ask_for_a_password(folder: DataDir, processes: dict[str, psutil.Process]) -> None:
    heard = {
        (one.laddr.ip, one.laddr.port)
        for process in processes.values()
        for one in process.net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    }
    assert {port for _, port in heard} == set(folder.state().ports.values())
    assert {address for address, _ in heard} <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_the_only_socket_with_a_name_is_that_of_redis_in_the_private_folder(
    folder: DataDir, processes: dict[str, psutil.Process]
) -> None:
    # A connected pair of sockets has no name; one that others can connect to has.
    named = {
        (name.partition(".")[0], one.laddr)
        for name, process in processes.items()
        for one in process.net_connections("unix")
        if one.laddr
    }
    assert named == {("redis", "socket")}
    assert stat.S_IMODE((folder.redis / "socket").stat().st_mode) == 0o600


def test_nothing_is_written_outside_of_the_private_folder(folder: DataDir, processes: dict[str, psutil.Process]) -> None:
    written = {
        Path(file.path) for process in processes.values() for file in process.open_files() if set(file.mode) & set("wa+")
    }
    assert written
    assert {path for path in written if not path.is_relative_to(folder.root.resolve())} == set()
    mapped = {Path(area.path) for process in processes.values() for area in process.memory_maps() if "/hsperf" in area.path}
    assert mapped == set()
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    assert folder.root.stat().st_uid == os.geteuid()
    for path in folder.root.rglob("*"):
        if path.is_file() and not path.is_relative_to(folder.temporary):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_list_of_processes_shows_no_secret(folder: DataDir, processes: dict[str, psutil.Process]) -> None:
    shown = "\n".join(" ".join(process.cmdline()) for process in processes.values())
    assert [one for one in hidden(folder) if one in shown] == []


def test_the_engine_and_redis_tell_a_stranger_nothing(folder: DataDir) -> None:
    strangers_try_the_ports(folder.state().ports)


def test_the_judgement_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = Store(tmp_path / "made" / "judgements.sqlite")
        store.remember_endpoint("x", {})
        files = [path for path in (tmp_path / "made").rglob("*") if path.is_file()]
    finally:
        os.umask(old)
    assert len(files) >= 2
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files} == {0}


def test_a_connection_is_known_to_be_ours_once_it_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            own_port = connection.getsockname()[1]
            assert server_entry.is_ours(own_port, port) is None
            with listening.accept()[0]:
                assert server_entry.is_ours(own_port, port)
                assert server_entry.is_ours(own_port + 1, port) is None


def strangers_try_the_ports(ports: dict[str, int]) -> None:
    """What whoever reaches loopback can ask without a password."""
    engine = ports["elasticsearch"]
    for method, path in [
        *(("GET", path) for path in ("/", "/_cat/indices", "/_search", "/_nodes", "/_cluster/state", "/_all", "/no such")),
        *(("POST", path) for path in ("/_search", "/_bulk", "/_reindex", "/_nodes/reload_secure_settings")),
        *(("DELETE", path) for path in ("/*", "/_all")),
        *(("HEAD", "/"), ("OPTIONS", "/"), ("PUT", "/mine")),
    ]:
        status, body = ask(engine, method, path)
        assert status in (400, 401), (method, path, status)
        assert "lucene" not in body
        assert "rg." not in body
    for words in ("guess", "admap:", ":", "admap:argilla"):
        assert ask(engine, "GET", "/", {"Authorization": f"Basic {words}"})[0] == 401
    for path in ("/api/v1/me", "/api/v1/me/datasets", "/api/v1/me/workspaces", "/api/v1/users"):
        assert ask(ports["server"], "GET", path)[0] == 401, path
        assert ask(ports["server"], "GET", path, {"X-Argilla-Api-Key": "argilla.apikey"})[0] == 401, path


def ask(port: int, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path.replace(" ", "%20"))
    for name, value in {"content-length": "0", **(headers or {})}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, body


# As another user: only root can become one.
if os.geteuid() == 0:

    def as_nobody(act: Callable[[], None]) -> None:
        """Runs it in a process of the user nobody, and fails as it fails."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.chdir("/")
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                act()
                code = 0
            except BaseException as error:
                os.write(2, f"as nobody: {error!r}\n".encode())
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0

    def test_another_user_is_let_in_at_no_port(folder: DataDir) -> None:
        ports = folder.state().ports
        as_nobody(lambda: strangers_try_the_ports(ports))

    @pytest.fixture
    def open_folders_above(folder: DataDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        """Pytest's own folders are private; a server's folder may be in one that is not."""
        above = [one for one in folder.root.parents if one.is_relative_to(tmp_path_factory.getbasetemp().parent)]
        before = {one: stat.S_IMODE(one.stat().st_mode) for one in above}
        for one in above:
            one.chmod(0o755)
        yield
        for one, mode in before.items():
            one.chmod(mode)

    @pytest.mark.usefixtures("open_folders_above")
    def test_another_user_reads_lists_and_changes_nothing_in_the_folder(folder: DataDir) -> None:
        places = [one for one in folder.root.rglob("*") if one.is_file()]
        folders = [one for one in (folder.root, *folder.root.rglob("*")) if one.is_dir()]

        def act() -> None:
            for place, flags in [*product(places, (os.O_RDONLY, os.O_WRONLY)), *product(folders, (os.O_RDONLY,))]:
                with pytest.raises(PermissionError):
                    os.open(place, flags)
            with pytest.raises(PermissionError):
                (folder.root / "mine").touch()
            with pytest.raises(PermissionError):
                folder.root.rename(folder.root.with_name("theirs"))

        as_nobody(act)

    def test_another_user_sees_no_environment_and_stops_nothing(processes: dict[str, psutil.Process]) -> None:
        def act() -> None:
            for process in processes.values():
                with pytest.raises(PermissionError):
                    Path(f"/proc/{process.pid}/environ").read_bytes()
                with pytest.raises(PermissionError):
                    os.kill(process.pid, 0)

        as_nobody(act)

    def test_another_users_folder_is_not_taken_for_a_server_of_ours(tmp_path: Path) -> None:
        theirs = tmp_path / "server"
        theirs.mkdir(mode=0o777)
        os.chown(theirs, NOBODY, NOBODY)
        with pytest.raises(ServerError, match="belongs to another user"):
            launcher.start(theirs)
