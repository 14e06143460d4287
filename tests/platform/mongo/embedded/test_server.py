"""The embedded MongoDB: shared, supervised, and never two over one folder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from app.core.errors import DatabaseFailed, DatabaseMissing
from app.platform.mongo.embedded import server as embedded
from app.platform.mongo.embedded.server import EmbeddedServer
from app.platform.mongo.embedded.supervisor import Layout, State, lock, read_state
from app.settings import Settings
from tests.places import ROOT

USER = """
import sys
from pathlib import Path
from app.platform.mongo.embedded.server import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1]), cache_mb=256).start(), flush=True)
sys.stdin.read()
"""


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.03)


def servers(folder: Path) -> list[int]:
    """Process ids of every mongod that runs on this folder's data, found without the code under test."""
    mark = os.fsencode(folder / "data")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mongod" in words[0] and mark in words:
                found.append(int(entry.name))
    return found


def state_of(folder: Path) -> State:
    state = read_state(Layout(folder))
    assert state is not None
    return state


def kill_supervisor(folder: Path) -> None:
    os.kill(state_of(folder).supervisor, signal.SIGKILL)

    def is_free() -> bool:
        free = lock(Layout(folder).supervisor_lock, fcntl.LOCK_EX)
        if free is not None:
            os.close(free)
        return free is not None

    until(is_free)


def count(uri: str) -> int:
    """The number of rows, as told by a server that may still be recovering: PyMongo retries once only."""
    deadline = time.monotonic() + 20
    with MongoClient(uri, serverSelectionTimeoutMS=20_000) as client:
        while True:
            try:
                return client["drill"]["rows"].count_documents({})
            except AutoReconnect:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def add(uri: str) -> None:
    with MongoClient(uri, serverSelectionTimeoutMS=20_000) as client:
        client["drill"]["rows"].insert_one({"row": 1})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "mongodb"
    yield place
    until(lambda: not servers(place), 30)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running server, for the tests that leave it as it was; it was started with a key in sight."""
    place = tmp_path_factory.mktemp("kept") / "mongodb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SILLAGE_KEYS", "1:secret")
        server = EmbeddedServer(place, cache_mb=256)
        server.start()
    yield place
    server.stop()
    until(lambda: not servers(place), 30)


def test_two_processes_share_one_server_and_the_last_one_out_stops_it(folder: Path) -> None:
    command = [sys.executable, "-c", USER, str(folder)]
    users = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    uris = {user.stdout.readline().strip() for user in users if user.stdout}
    assert len(uris) == 1
    assert len(servers(folder)) == 1

    users[0].kill()
    users[0].wait()
    time.sleep(0.8)  # more than two rounds of the supervisor: it must not have stopped the server
    add(uris.pop())

    users[1].kill()
    users[1].wait()
    until(lambda: not servers(folder))
    until(lambda: read_state(Layout(folder)) is None)
    assert (folder / "data" / "mongod.lock").read_text() == ""  # a clean end empties it
    for user in users:
        for stream in (user.stdin, user.stdout):
            if stream:
                stream.close()


def test_a_forked_child_keeps_the_server_up(folder: Path) -> None:
    server = EmbeddedServer(folder, cache_mb=256)
    uri = server.start()
    gate_read, gate_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(gate_write)
        os.read(gate_read, 1)
        os._exit(0)
    server.stop()
    time.sleep(0.8)
    add(uri)
    os.close(gate_write)
    os.waitpid(child, 0)
    os.close(gate_read)
    until(lambda: not servers(folder))


def test_a_killed_server_comes_back_with_its_data_under_the_same_uri(folder: Path) -> None:
    with EmbeddedServer(folder, cache_mb=256) as uri:
        add(uri)
        (first,) = servers(folder)
        os.kill(first, signal.SIGKILL)
        assert count(uri) == 1
        (second,) = servers(folder)
        assert second != first


def test_a_killed_supervisor_is_replaced_and_its_server_adopted(folder: Path) -> None:
    first = EmbeddedServer(folder, cache_mb=256)
    uri = first.start()
    add(uri)
    (pid,) = servers(folder)
    kill_supervisor(folder)
    assert count(uri) == 1  # users do not notice

    second = EmbeddedServer(folder, cache_mb=256)
    assert second.start() == uri
    assert servers(folder) == [pid]
    os.kill(pid, signal.SIGKILL)
    assert count(uri) == 1  # the new supervisor watches the adopted server
    assert len(servers(folder)) == 1
    first.stop()
    second.stop()
    until(lambda: not servers(folder))


def test_a_server_left_alone_by_kills_is_stopped_by_the_next_user(folder: Path) -> None:
    server = EmbeddedServer(folder, cache_mb=256)
    add(server.start())
    kill_supervisor(folder)
    server.stop()
    assert len(servers(folder)) == 1
    (folder / "mongod.sock").unlink()  # cannot be reached any more, so it cannot be adopted
    with EmbeddedServer(folder, cache_mb=256) as uri:
        assert count(uri) == 1
        assert len(servers(folder)) == 1


def test_start_again_right_after_stop(folder: Path) -> None:
    server = EmbeddedServer(folder, cache_mb=256)
    for rows in range(1, 3):
        uri = server.start()
        add(uri)
        assert count(uri) == rows
        server.stop()


def test_a_moved_folder_with_a_path_too_long_for_a_socket(folder: Path) -> None:
    with EmbeddedServer(folder, cache_mb=256) as uri:
        add(uri)
    until(lambda: not servers(folder))
    long = folder.parent / ("d" * 100)
    folder.rename(long)
    with EmbeddedServer(long, cache_mb=256) as uri:
        assert count(uri) == 1
        sockets = Path(state_of(long).socket).parent
        assert sockets.stat().st_mode & 0o777 == 0o700
        os.kill(servers(long)[0], signal.SIGKILL)
        assert count(uri) == 1
    until(lambda: not servers(long) and not sockets.exists())


def test_nothing_listens_on_the_network_and_only_the_owner_gets_in(kept: Path) -> None:
    (pid,) = servers(kept)
    inodes = {line.split()[9] for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]}
    opened = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            opened.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    assert not inodes & opened
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (kept / "mongod.sock").stat().st_mode & 0o777 == 0o600


def test_the_environment_of_the_server_holds_no_setting(kept: Path) -> None:
    for pid in (*servers(kept), state_of(kept).supervisor):
        assert b"SILLAGE" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_the_log_is_rotated(kept: Path) -> None:
    with (kept / "mongod.log").open("ab") as log:
        log.truncate(17 * 1024 * 1024)
    until(lambda: (kept / "mongod.log.1").exists() and (kept / "mongod.log").exists())
    assert (kept / "mongod.log").stat().st_size < 1024 * 1024
    with EmbeddedServer(kept, cache_mb=256) as uri:
        add(uri)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseFailed, match=r"file/mongodb cannot be used"):
        EmbeddedServer(tmp_path / "file" / "mongodb", cache_mb=256).start()


def test_damaged_data_say_so(folder: Path) -> None:
    with EmbeddedServer(folder, cache_mb=256):
        pass
    until(lambda: not servers(folder))
    (folder / "data" / "WiredTiger.turtle").write_bytes(b"not a turtle")
    with pytest.raises(DatabaseFailed, match="The data are damaged"):
        EmbeddedServer(folder, cache_mb=256).start()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            '#!/bin/sh\necho \'{"s":"F","msg":"out","attr":{"error":"No space left on device"}}\'\nexit 14\n',
            "disk is full",
        ),
        ("#!/bin/sh\necho 'Error parsing command line: unrecognised option' >&2\nexit 2\n", "unrecognised option"),
        ("#!/bin/sh\nexit 3\n", "ended with code 3"),
        ("not a program", "does not start"),
    ],
)
def test_a_server_that_does_not_start_says_why(folder: Path, tmp_path: Path, script: str, said: str) -> None:
    binary = tmp_path / "mongod"
    binary.write_text(script)
    binary.chmod(0o755)
    began = time.monotonic()
    with pytest.raises(DatabaseFailed, match=said):
        EmbeddedServer(folder, cache_mb=256, binary=binary).start()
    assert time.monotonic() - began < 10


def test_the_binary_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "mongod"
    binary.write_text("")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.find_binary() == binary


def test_no_binary_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(ROOT)])
    monkeypatch.delitem(sys.modules, "fiftyone", raising=False)
    with pytest.raises(DatabaseMissing, match="SILLAGE_MONGODB_URI"):
        embedded.find_binary()


def test_a_configured_database_is_used_and_nothing_is_started(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, mongodb_uri="mongodb://127.0.0.1:1/?replicaSet=x")
    with embedded.choose(settings) as uri:
        assert uri == settings.mongodb_uri
    assert list(tmp_path.iterdir()) == []


def test_it_stays_in_the_session_of_who_started_it_and_out_of_reach_of_a_ctrl_c(folder: Path) -> None:
    # Linux weighs priorities of threads within a session; a terminal sends Ctrl-C to a process group.
    server = EmbeddedServer(folder, cache_mb=256)
    add(server.start())
    try:
        mongod = servers(folder)[0]
        assert os.getsid(mongod) == os.getsid(0)
        assert os.getpgid(mongod) != os.getpgid(0)
    finally:
        server.stop()


def test_checkpoints_leave_the_processors_to_the_threads_that_answer(folder: Path) -> None:
    """Also of a server that was started again, and of one that another supervisor takes over."""

    def priorities() -> dict[bool, set[int]]:
        found: dict[bool, set[int]] = {True: set(), False: set()}
        for name in Path(f"/proc/{servers(folder)[0]}/task").glob("*/comm"):
            with suppress(OSError):
                checkpoints = name.read_text() == "Checkpointer\n"
                found[checkpoints].add(os.getpriority(os.PRIO_PROCESS, int(name.parent.name)))
        return found

    own = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = {True: {max(10, own)}, False: {own}}
    server = EmbeddedServer(folder, cache_mb=256)
    add(server.start())
    try:
        assert priorities() == wanted
        first = servers(folder)[0]
        os.kill(first, signal.SIGKILL)
        until(lambda: servers(folder) not in ([], [first]) and state_of(folder).status == "ready")
        assert priorities() == wanted
        kill_supervisor(folder)
        again = EmbeddedServer(folder, cache_mb=256)
        again.start()
        try:
            assert priorities() == wanted
        finally:
            again.stop()
    finally:
        server.stop()
