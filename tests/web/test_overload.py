"""More than a server can do: it refuses early and politely, forgets nothing, and lets no source starve another."""

from __future__ import annotations

import base64
import gzip
import http.client
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import orjson
import pytest

from app.access import scopes
from app.access.credentials import NewCredential
from tests.drills.drilling import children, until
from tests.served import Server, serving, statement

ORIGIN = "https://tutor.example"
MIB = 1024 * 1024


def token(credential: NewCredential) -> str:
    return "Basic " + base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()


def address(server: Server) -> tuple[str, int]:
    return "127.0.0.1", int(server.url.rpartition(":")[2])


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class Client:
    """One connection, made again when the server closes it; ``broken`` counts those that ended without an answer."""

    def __init__(self, server: Server, credential: NewCredential) -> None:
        self._address = address(server)
        self._headers = {
            "Authorization": token(credential),
            "X-Experience-API-Version": "1.0.3",
            "Content-Type": "application/json",
        }
        self._connection: http.client.HTTPConnection | None = None
        self.broken = 0

    def send(self, method: str, path: str, body: bytes | None = None) -> Answer | None:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=60)
        began = time.perf_counter()
        try:
            self._connection.request(method, path, body, self._headers)
            got = self._connection.getresponse()
            answer = Answer(got.status, dict(got.getheaders()), got.read(), time.perf_counter() - began)
        except (OSError, http.client.HTTPException):
            self.broken += 1
            self._connection = None
            return None
        if answer.headers.get("Connection") == "close":
            self._connection = None
        return answer


class Crew:
    """Senders of one source, each as fast as it is answered, until told to stop; what they were told.

    Attributes:
        served: How many requests were answered with 200.
        overtaken: Of each answer, how many requests of ``beside`` were served between its request and it.
    """

    def __init__(
        self,
        server: Server,
        credential: NewCredential,
        count: int,
        size: int,
        pause: float = 0.0,
        beside: Crew | None = None,
    ) -> None:
        self.answers: list[Answer] = []
        self.accepted: set[str] = set()
        self.refused: set[str] = set()
        self.broken = 0
        self.served = 0
        self.overtaken: list[int] = []
        self._beside = beside
        self._size = size
        self._pause = pause
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(Client(server, credential),)) for _ in range(count)]

    def __enter__(self) -> Crew:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)

    def _run(self, client: Client) -> None:
        while not self._stop.is_set():
            ids = [str(uuid4()) for _ in range(self._size)]
            body = orjson.dumps([statement(id=id) for id in ids])
            before = self._beside.served if self._beside else 0
            answer = client.send("POST", "/xAPI/statements", body)
            with self._lock:
                self.broken += answer is None
                if answer is not None:
                    self.answers.append(answer)
                    self.served += answer.status == 200
                    self.overtaken.append((self._beside.served if self._beside else 0) - before)
                    (self.accepted if answer.status == 200 else self.refused).update(ids)
            self._stop.wait(self._pause if answer is not None and answer.status == 200 else 0.02)

    def statuses(self) -> set[int]:
        return {answer.status for answer in self.answers}

    def said(self) -> Counter[str]:
        """Answers by status and code of the error, counted."""
        return Counter(
            f"{answer.status} {orjson.loads(answer.body)['code'] if answer.status != 200 else ''}".strip()
            for answer in self.answers
        )

    def median(self) -> float:
        return statistics.median(answer.seconds for answer in self.answers)


def stored(server: Server) -> set[str]:
    found: set[str] = set()
    position = None
    while True:
        rows, position = server.container.traces.reader.scan(position, 1 << 62, 5_000)
        found.update(str(row.id) for row in rows)
        if position is None:
            return found


def test_a_noisy_source_does_not_starve_a_quiet_one(tmp_path: Path, mongodb_uri: str) -> None:
    # Each worker decides for itself, and whose credentials it has not seen yet shares the place of all such. So it is
    # one worker, and both have shown theirs.
    limits = {"workers": "1", "threads": "2", "max_waiting": "8", "log_level": "warning"}
    with serving(tmp_path, mongodb_uri, **limits) as server:
        noisy, quiet = server.source(), server.source()
        for credential in (noisy, quiet):
            assert server.post(credential, statement()).status_code == 200
        with Crew(server, noisy, 30, 50) as loud:
            until(lambda: len(loud.answers) > 60)
            with Crew(server, quiet, 1, 1, pause=0.02, beside=loud) as soft:
                until(lambda: len(soft.answers) >= 60, 60)
        assert soft.said().keys() == {"200"} and not soft.broken, (soft.said(), soft.broken)
        assert {"200"} < loud.said().keys() <= {"200", "429 too-many-requests", "503 overloaded"}, loud.said()
        assert not loud.broken
        # First come, first served would have it wait for the eight that wait, and those that are served.
        assert statistics.median(soft.overtaken) < 5, sorted(soft.overtaken)


def test_far_too_much_is_refused_early_and_full_speed_is_back_at_once(tmp_path: Path, mongodb_uri: str) -> None:
    limits = {"threads": "2", "max_waiting": "6", "workers": "2", "log_level": "warning"}
    with serving(tmp_path, mongodb_uri, **limits) as server:
        sources = [server.source() for _ in range(3)]
        with Crew(server, sources[0], 4, 10) as before:
            until(lambda: len(before.answers) >= 60)
        assert before.statuses() == {200}
        with ExitStack() as stack:
            # Sixteen requests fit: eight served or waiting in each worker.
            crews = [stack.enter_context(Crew(server, source, 16, 10)) for source in sources]
            until(lambda: sum(len(crew.answers) for crew in crews) > 1_500, 60)
        statuses = set().union(*(crew.statuses() for crew in crews))
        assert {200} < statuses <= {200, 429, 503}
        assert not any(crew.broken for crew in crews)
        refusals = [answer for crew in crews for answer in crew.answers if answer.status != 200]
        for answer in refusals:
            assert int(answer.headers["Retry-After"]) > 0
            assert orjson.loads(answer.body)["code"] in {"too-many-requests", "overloaded"}
        accepted = set().union(before.accepted, *(crew.accepted for crew in crews))
        # Others on this machine may slow one round down.
        for _ in range(3):
            with Crew(server, sources[0], 4, 10) as after:
                until(lambda after=after: len(after.answers) >= 60)
            assert after.statuses() == {200}
            accepted |= after.accepted
            if after.median() < 4 * before.median():
                break
        else:
            pytest.fail(f"{after.median():.3f} s a request, before {before.median():.3f}")
        assert stored(server) == accepted
        shed = server.send("GET", "/metrics").text
        counted = [line for line in shed.splitlines() if line.startswith("sillage_requests_shed_total")]
        assert sum(float(line.rpartition(" ")[2]) for line in counted) == len(refusals)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    """One worker with two threads, for which two may wait."""
    limits = {"workers": "1", "threads": "2", "max_waiting": "2", "max_wait_seconds": "60", "cors_origins": ORIGIN}
    with serving(tmp_path_factory.mktemp("overload"), mongodb_uri, **limits) as running:
        yield running


def announced(credential: NewCredential, *fields: str, size: int = 1_000) -> bytes:
    """The head of a POST."""
    lines = [
        "POST /xAPI/statements HTTP/1.1",
        "Host: x",
        f"Authorization: {token(credential)}",
        "X-Experience-API-Version: 1.0.3",
        "Content-Type: application/json",
        f"Content-Length: {size}",
        *fields,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@contextmanager
def stalled(server: Server, credential: NewCredential, count: int) -> Iterator[list[socket.socket]]:
    """So many uploads that stop after the first byte; one after the other, so that each is in its place."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(address(server), timeout=20))
            client.sendall(announced(credential) + b"[")
            opened.append(client)
            time.sleep(0.05)
        yield opened


def said(client: socket.socket, until_closed: bool = True) -> tuple[bytes, bytes]:
    """Head and body of what the server says."""
    received = b""
    while part := client.recv(65_536):
        received += part
        if not until_closed and received.endswith(b"}"):
            break
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def fields(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


def test_what_has_no_place_is_refused_by_its_head_while_others_are_served(small: Server) -> None:
    noisy, quiet = small.source(), small.source(scopes=["statements/write", "statements/read"])
    for credential in (noisy, quiet):
        assert small.post(credential, statement()).status_code == 200
    with stalled(small, noisy, 4), socket.create_connection(address(small), timeout=20) as client:
        # Every thread holds an upload that has stopped, and two more wait.
        assert small.get(quiet).status_code == 200
        assert small.post(quiet, statement()).status_code == 200
        for page in ("healthz", "readyz", "metrics"):
            assert small.send("GET", f"/{page}").status_code == 200
        client.sendall(announced(noisy, "Expect: 100-continue", f"Origin: {ORIGIN}", "Accept-Language: fr"))
        head, body = said(client)
    assert head.startswith(b"HTTP/1.1 429 ")
    refusal = orjson.loads(body)
    assert refusal["code"] == "too-many-requests"
    assert refusal["title"].startswith("Requête refusée : la source envoie trop à la fois")
    # What every other answer has, this one has.
    asked = {"Origin": ORIGIN, "Accept-Language": "fr"}
    other = small.send("POST", "/xAPI/statements", noisy, json={"actor": 1}, headers=asked).headers
    given = fields(head)
    assert given.keys() == {*other.keys(), "Retry-After"}
    for name in ("Content-Type", "Content-Language", "Access-Control-Allow-Origin", "Cache-Control", "Server"):
        assert given[name] == other[name]
    assert given["Vary"] == "Origin"
    exposed = "Access-Control-Expose-Headers"
    assert set(given[exposed].split(", ")) == set(other[exposed].split(", "))
    assert given["X-Experience-API-Consistent-Through"]


def test_a_small_request_that_is_refused_keeps_its_connection(small: Server) -> None:
    noisy = small.source()
    assert small.post(noisy, statement()).status_code == 200
    with stalled(small, noisy, 4) as held, socket.create_connection(address(small), timeout=20) as client:
        body = orjson.dumps(statement())
        request = announced(noisy, size=len(body)) + body
        for _ in range(3):
            client.sendall(request)
            head, _ = said(client, until_closed=False)
            assert head.split()[1] in {b"429", b"503"} and fields(head)["Connection"] == "keep-alive"
        for upload in held:
            upload.close()
        until(lambda: small.post(noisy, statement()).status_code == 200)
        client.sendall(request)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_does_not_tell_its_length_is_counted_as_it_comes(tmp_path: Path, mongodb_uri: str) -> None:
    with serving(tmp_path, mongodb_uri, workers="1", max_held_bytes=str(MIB)) as server:
        tutor, other = server.source(), server.source(scopes=[scopes.ALL])
        large = orjson.dumps([statement(result={"response": "x" * (MIB // 2)}) for _ in range(6)])
        # Alone, more than the room there is.
        assert server.send("POST", "/xAPI/statements", tutor, data=iter([large])).status_code == 200
        packed = gzip.compress(large)
        assert (
            server.send(
                "POST", "/xAPI/statements", tutor, data=packed, headers={"Content-Encoding": "gzip"}
            ).status_code
            == 200
        )
        for _ in range(20):
            with socket.create_connection(address(server), timeout=20) as upload:
                upload.sendall(announced(other, size=MIB // 2) + b"[")
                time.sleep(0.2)
                refused = server.send("POST", "/xAPI/statements", tutor, data=iter([large]))
                assert server.post(tutor, statement()).status_code == 200
            # An upload that came before the place of the request before was free got the spare thread, for whose bytes
            # there is always room.
            if refused.status_code != 200:
                break
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["Retry-After"]


def peak(pid: int) -> int:
    """Most bytes of memory that a process had since ``forget_peak``."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def test_fifty_large_bodies_at_once_take_the_memory_of_a_few(tmp_path: Path, mongodb_uri: str) -> None:
    limits = {"workers": "1", "threads": "32", "max_held_bytes": str(10 * MIB), "max_wait_seconds": "60"}
    with serving(tmp_path, mongodb_uri, **limits) as server:
        tutor = server.source()
        (worker,) = children(server.process.pid)
        # Refused for its last statement, once all of it was read and looked at.
        body = orjson.dumps([statement(result={"response": "x" * 4_000})] * 1_150 + [{"actor": 1}])
        assert len(body) > 4.5 * MIB

        def send(count: int) -> int:
            forget_peak(worker)
            reported: list[Answer | None] = []
            threads = [
                threading.Thread(
                    target=lambda: reported.append(Client(server, tutor).send("POST", "/xAPI/statements", body))
                )
                for _ in range(count)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(120)
            assert [answer and answer.status for answer in reported] == [400] * count
            return peak(worker)

        idle = peak(worker)
        one = send(1) - idle
        fifty = send(50) - idle
        assert one > len(body)
        # Two are held at once, and taken apart; without a bound thirty-two would be.
        assert fifty < 5 * one
