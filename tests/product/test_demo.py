"""The demonstration, as a newcomer runs it: simulated schools, a file of real statements, a file that is broken."""

from __future__ import annotations

import gzip
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from app.access.roles import FAMILY, Role
from app.access.users.service import User
from app.settings import load
from app.wiring.container import Container
from tests.places import ROOT
from tests.served import environment, free_port, statement


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/demo.py", "--once", "--folder", str(folder), "--port", str(free_port())]
    return subprocess.run(
        [*command, *options], cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=300
    )


def people(folder: Path, password: str) -> list[User]:
    """The accounts of a demonstration, each signed in with the password that it prints."""
    given = {"SILLAGE_DATA_DIR": str(folder), "SILLAGE_DEMO_WITHOUT_SECOND_FACTOR": "true"}
    container = Container(load(given))
    try:
        found = []
        for user in container.access.users.list():
            step = container.access.local_sign_in.check_password(user.login, password, address=None)
            assert step.pending is None
            found.append(user)
            if user.grants[0].role in FAMILY:
                assert container.people.links.of(user.id)
        return found
    finally:
        container.close()


@pytest.mark.long
def test_on_simulated_schools(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    for _ in range(2):  # twice: it starts from nothing each time
        ended = demo(folder, "--pupils", "40", "--days", "3")
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 fail" in ended.stdout
    assert not re.search(r"[1-9][0-9,]* fail", ended.stdout)
    assert "intact" in ended.stdout
    (package,) = (folder / "exports").glob("*/")
    assert (package / "datapackage.json").is_file()
    said = re.search(r"sign in with the password (.+?) as /", ended.stdout)
    assert said is not None
    signed_in = {user.login: user for user in people(folder, said[1])}
    assert all(login in ended.stdout for login in signed_in)
    roles = {grant.role for user in signed_in.values() for grant in user.grants}
    assert roles == {Role.DPO, Role.RESEARCHER, Role.SCHOOL_HEAD, Role.PRODUCER, Role.OPERATOR, *FAMILY}


def test_on_the_real_video_statements(tmp_path: Path, shared: Path) -> None:
    ended = demo(tmp_path / "demo", "--statements", str(shared / "data" / "fun-video-statements.jsonl.gz"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "22,000 stored" in ended.stdout
    assert "17,764 conform, 4,182 fail a template, 54 match no template" in ended.stdout
    assert "https://w3id.org/xapi/video/templates#played: 6,603 conform, 0 fail" in ended.stdout


@pytest.mark.long
def test_one_bad_statement_among_good_ones_is_told_and_the_others_are_stored(tmp_path: Path) -> None:
    lines = [orjson.dumps(statement(result={"response": str(n)})) for n in range(20)]
    lines[7] = b'{"actor": {}}'
    file = tmp_path / "statements.jsonl"
    file.write_bytes(b"\n".join(lines))
    ended = demo(tmp_path / "demo", "--statements", str(file))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "19 stored" in ended.stdout
    assert "1 refused, first on line 8: invalid-statement" in ended.stdout


def processes(folder: Path) -> list[str]:
    """Command lines of processes that work on a data folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            environ = (entry / "environ").read_bytes()
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if entry.name.isdigit() and words and (str(folder).encode() in environ or str(folder) in words):
            found.append(words)
    return found


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_it_stops_in_the_middle_of_its_work_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "demo"
    options = ["--folder", str(folder), "--port", str(free_port()), "--pupils", "2000", "--days", "5"]
    log = tmp_path / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "scripts/demo.py", *options], cwd=ROOT, env=environment({}), stdout=out, stderr=out
        )
    limit = time.monotonic() + 60
    while "3. Statements" not in log.read_text() and time.monotonic() < limit:
        time.sleep(0.1)
    running.send_signal(number)
    running.wait(20)
    if number == signal.SIGKILL:
        # What it could not stop itself, the next one stops.
        assert processes(folder)
        assert demo(folder, "--pupils", "10", "--days", "1").returncode == 0
    else:
        assert running.returncode == 0
        assert "Serving until" not in log.read_text()
    limit = time.monotonic() + 10
    while processes(folder) and time.monotonic() < limit:
        time.sleep(0.1)
    assert processes(folder) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not gzip at all", "not gzip"),
        (gzip.compress(orjson.dumps(statement()) * 1000)[:-40], "cut short"),
        (None, "no file"),
        (gzip.compress(b""), "is empty"),
        (gzip.compress(b"hello\n[]\n"), "not one statement"),
    ],
    ids=["not gzip", "cut", "missing", "empty", "not JSON lines"],
)
def test_a_file_that_cannot_be_read_ends_with_a_sentence(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "statements.jsonl.gz"
    if content is not None:
        file.write_bytes(content)
    ended = demo(tmp_path / "demo", "--statements", str(file))
    assert ended.returncode == 2
    assert words in ended.stdout.lower()
    assert "Traceback" not in ended.stdout + ended.stderr
