"""Fuzzing: a real server, and hundreds of thousands of inputs over every route; every answer is looked at.

It fails on a 5xx other than a 503 that says when to come again; on a connection that is cut without an answer; on an
answer that is HTML, or another request's; on a worker that ended, on memory beyond the ceiling; and on what must not
stand in the log: a stack, an error, anything that a sender might hold for secret. It speaks to the server that it
starts itself, on this host, and to no other.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, NamedTuple

import brotli
import orjson
from benchmarks.machine import free_port
from fuzz_inputs import MARK, SMUGGLED, Given, Input, Met, Route, made
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.access import scopes
from app.access.credentials import NewCredential
from app.settings import load
from app.wiring.container import Container
from app.wiring.web_application import create_app

ROOT = Path(__file__).resolve().parents[1]
ACTIVITY = ROOT / "docs" / "examples" / "processing-activities" / "p2ia.json"
PROFILES = ROOT / "schemas" / "profiles"

ANSWER_SECONDS = 60.0
MEMORY_MIB = 700
MAX_INPUTS = 10_000_000
MAX_TOLD = 60
_MET = 20
_CASE = re.compile(rb'"id":"(r-[0-9a-f]{12})"')
_PAGE = re.compile(rb"\(<code>([a-z-]+)</code>, ([0-9]{3})\)")
_XAPI = re.compile(rb"[A-Z]+ /xAPI[/ ?]")
_ERASURE = re.compile(rb'"erasure":"([0-9a-f-]{36})"')
# Of a refusal that is no fault: the server has more to do than it can, or MongoDB is slow.
_PASSING = frozenset({"overloaded", "unavailable", "database-unavailable"})
# RFC 9112 6.1: what an unknown transfer coding is answered with.
_NOT_KNOWN = "transfer-coding-unknown"
_WRONG_LEVELS = frozenset({"error", "critical"})

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


class Fault(NamedTuple):
    """An input and what was wrong with its answer."""

    number: int
    kind: str
    what: str


class Answer(NamedTuple):
    """An answer as it came."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def last(self) -> bool:
        """True if the server closes the connection after it."""
        return b"close" in self.headers.get(b"connection", b"").lower()


class Cut(Exception):
    """The server closed the connection; ``received``: what of an answer had come."""

    def __init__(self, received: bytes) -> None:
        super().__init__()
        self.received = received


class Connection:
    """One connection to the server, kept as long as it keeps it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()

    def send(self, data: bytes) -> None:
        """Send; a server that has seen enough and takes no more has answered already."""
        with suppress(ConnectionError):
            self._socket.sendall(data)

    def half_close(self) -> None:
        """Say that nothing more comes."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()

    def answer(self, *, head: bool) -> Answer:
        """The next answer.

        Raises:
            Cut: there is none.
            TimeoutError: it does not come.
            ValueError: it is no HTTP.
        """
        received = self._received
        while True:
            while (end := received.find(b"\r\n\r\n")) < 0:
                self._more()
            lines = bytes(received[:end]).split(b"\r\n")
            del received[: end + 4]
            version, _, rest = lines[0].partition(b" ")
            if not version.startswith(b"HTTP/1."):
                raise ValueError(lines[0][:80])
            status = int(rest[:3])
            if status != 100:
                break
        headers = {}
        for line in lines[1:]:
            name, colon, text = line.partition(b":")
            if not colon:
                raise ValueError(line[:80])
            headers[name.strip().lower()] = text.strip()
        if head or status in (204, 304):
            return Answer(status, headers, b"")
        if b"content-length" in headers:
            length = int(headers[b"content-length"])
            while len(received) < length:
                self._more()
            body = bytes(received[:length])
            del received[:length]
        elif headers.get(b"transfer-encoding") == b"chunked":
            body = self._chunks()
        else:
            with suppress(Cut):
                while True:
                    self._more()
            body = bytes(received)
        return Answer(status, headers, body)

    def _chunks(self) -> bytes:
        received, body = self._received, bytearray()
        while True:
            while (line := received.find(b"\r\n")) < 0:
                self._more()
            size = int(bytes(received[:line]), 16)
            while len(received) < line + 4 + size:
                self._more()
            body += received[line + 2 : line + 2 + size]
            del received[: line + 4 + size]
            if not size:
                return bytes(body)

    def _more(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        if not data:
            raise Cut(bytes(self._received))
        self._received += data


class Sender:
    """Sends inputs over one connection after the other, and looks at what comes back."""

    def __init__(self, port: int, given: Given, seed: int) -> None:
        self._port = port
        self._given = given
        self._seed = seed
        self._connection: Connection | None = None
        self._met = Met()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.faults: list[Fault] = []
        self.shown = False
        self.refused = False

    def send(self, number: int) -> None:
        """One input, and its answer."""
        sent = made(self._given, self._seed, number, self._met)
        if self.shown:
            console.print(repr(sent), markup=False)
        try:
            if sent.whole:
                self._ask(sent, number)
            else:
                self._break(sent, number)
        except Cut as cut:
            self._fault(number, sent, f"the connection was cut after {len(cut.received)} bytes of an answer")
        except TimeoutError:
            self._fault(number, sent, f"no answer within {ANSWER_SECONDS:.0f} seconds")
        except ValueError as odd:
            self._fault(number, sent, f"the answer is not HTTP: {odd}")
        except ConnectionError:
            self._fault(number, sent, "the server takes no connection")
            self.refused = True

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fault(self, number: int, sent: Input, what: str) -> None:
        self.close()
        self.faults.append(Fault(number, sent.kind, what))

    def _ask(self, sent: Input, number: int) -> None:
        fresh = self._connection is None
        connection = self._connection = self._connection or Connection(self._port)
        connection.send(sent.data)
        try:
            answer = connection.answer(head=sent.head)
        except Cut as cut:
            if fresh or cut.received:
                raise
            # It had closed the connection before this came.
            self.close()
            connection = self._connection = Connection(self._port)
            connection.send(sent.data)
            answer = connection.answer(head=sent.head)
        if answer.last:
            self.close()
        self._look(answer, sent, number)
        said = answer.headers.get(b"x-request-id", b"").decode("latin-1")
        if sent.request_id and said and said != sent.request_id:
            self._fault(number, sent, f"the answer of another request: {said}")
        self._remember(answer)

    def _break(self, sent: Input, number: int) -> None:
        # Over a connection of its own: the one of before may have been closed for its age just now.
        self.close()
        connection = Connection(self._port)
        try:
            connection.send(sent.data)
            if sent.half:
                connection.half_close()
            received = 0
            last = False
            while received < sent.answers and not last:
                try:
                    answer = connection.answer(head=sent.head)
                except Cut as cut:
                    if cut.received or not (sent.half or received):
                        raise
                    self.answers[sent.kind, 0] += 1
                    return
                received += 1
                last = answer.last
                self._look(answer, sent, number)
            if not last and not sent.half:
                self._follow(connection, sent, number)
        finally:
            connection.close()

    def _follow(self, connection: Connection, sent: Input, number: int) -> None:
        """Check that the next request over the connection gets its own answer, or that the connection is closed."""
        expected = f"follow-{number:08d}"
        connection.send(f"GET /xAPI/about HTTP/1.1\r\nHost: x\r\nX-Request-ID: {expected}\r\n\r\n".encode())
        try:
            answer = connection.answer(head=False)
        except Cut as cut:
            if cut.received:
                raise
            return
        said = answer.headers.get(b"x-request-id", b"").decode("latin-1")
        # Closed, and the reason said, is as good: then nothing of the next request was taken for something else.
        if said != expected and not (answer.last and answer.status >= 400 and not said.startswith(SMUGGLED)):
            self._fault(number, sent, f"the next request got the answer {answer.status} of {said or 'an unknown one'}")

    def _look(self, answer: Answer, sent: Input, number: int) -> None:
        self.answers[sent.kind, answer.status] += 1
        if self.shown:
            console.print(repr(answer), markup=False)
        kind = answer.headers.get(b"content-type", b"").lower()
        document: Any = {}
        if answer.body and kind == b"application/problem+json":
            with suppress(orjson.JSONDecodeError):
                document = orjson.loads(_unpacked(answer))
        elif answer.body and kind.startswith(b"text/html") and (page := _PAGE.search(_unpacked(answer))):
            document = {"code": page[1].decode(), "status": int(page[2])}
        code = str(document.get("code", ""))
        wrong = ""
        passing = answer.status == 503 and (code in _PASSING or sent.bare) and b"retry-after" in answer.headers
        if answer.status >= 500 and not passing and not (answer.status == 501 and code == _NOT_KNOWN):
            wrong = f"answered {answer.status} {code or repr(answer.body[:200])}"
        elif (
            answer.body
            and kind.startswith(b"text/html")
            and not answer.headers.get(b"content-security-policy", b"").startswith((b"sandbox", b"default-src 'none'"))
        ):
            wrong = f"answered {answer.status} in HTML"
        elif sent.whole and kind.startswith(b"text/html") and answer.status >= 400 and _XAPI.match(sent.data):
            wrong = f"answered {answer.status} with a page under /xAPI"
        elif sent.whole and answer.status >= 400 and not sent.bare and document.get("status") != answer.status:
            wrong = f"answered {answer.status} without a problem document: {kind!r} {answer.body[:200]!r}"
        elif answer.status < 400 and answer.headers.get(b"x-request-id", b"").startswith(SMUGGLED.encode()):
            # One that is refused may have been read as the rest of a broken head, which names its answer.
            wrong = "a request hidden in the body of another was answered"
        elif not answer.status or answer.status < 200 or answer.status >= 600:
            wrong = f"answered {answer.status}"
        if wrong:
            self.faults.append(Fault(number, sent.kind, wrong))

    def _remember(self, answer: Answer) -> None:
        met = self._met
        if answer.status == 200 and (place := answer.body.rfind(b"cursor=")) >= 0:
            found = answer.body[place + 7 : answer.body.find(b'"', place)].decode("latin-1")
            self._met = met._replace(cursors=[*met.cursors[-_MET:], found])
        elif answer.status == 201 and (case := _CASE.search(answer.body)):
            self._met = met._replace(cases=[*met.cases[-_MET:], case[1].decode()])
        elif answer.status == 202 and (erasure := _ERASURE.search(answer.body)):
            self._met = met._replace(erasures=[*met.erasures[-_MET:], erasure[1].decode()])


def _unpacked(answer: Answer) -> bytes:
    coding = answer.headers.get(b"content-encoding")
    unpacked: bytes = answer.body
    if coding == b"br":
        unpacked = brotli.decompress(answer.body)
    elif coding == b"gzip":
        unpacked = gzip.decompress(answer.body)
    return unpacked


def _send(port: int, given: Given, seed: int, numbers: range, reported: Queue[Any]) -> None:
    sender = Sender(port, given, seed)
    for count, number in enumerate(numbers, 1):
        sender.send(number)
        if sender.refused:
            break
        if count % 200 == 0:
            reported.put(200)
    sender.close()
    reported.put((dict(sender.answers), sender.faults))


class Service:
    """The server that is fuzzed: its own folder, MongoDB and port, two workers."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "serve.log"
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("SILLAGE_", "PROMETHEUS_"))}
        given = {
            "SILLAGE_DATA_DIR": str(folder / "data"),
            "SILLAGE_BIND": f"127.0.0.1:{self.port}",
            "SILLAGE_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "SILLAGE_ORGANISATION": "fuzz",
            "SILLAGE_WORKERS": "2",
            "SILLAGE_EMBEDDED_CACHE_MB": "512",
            "SILLAGE_HEARTBEAT_SECONDS": "0.05",
            "SILLAGE_CORS_ORIGINS": "https://page.example",
        }
        self._environment = {**kept, **given}
        self._settings = load(given)
        self._container = Container(self._settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._secrets: list[str] = []

    def start(self) -> Given:
        """Register what inputs need, start the server, and say what it has."""
        container = self._container
        container.lifecycle.initialise()
        container.governance.register.add(ACTIVITY.read_bytes())
        profiles = [container.traces.profiles.add(each.read_bytes()).id for each in sorted(PROFILES.glob("*.jsonld"))]
        activity = str(orjson.loads(ACTIVITY.read_bytes())["id"])
        credentials: dict[str, str] = {}
        people: list[str] = []
        given: dict[str, dict[str, Any]] = {
            "fuzz": {"profiles": profiles, "mode": "warn", "patterns": "live", "minors": "pseudonymise"},
            "rejecting": {"profiles": profiles, "mode": "reject", "minors": "refuse", "reason": "to try it"},
            "plain": {"minors": "off", "reason": "to try it"},
        }
        for name, more in given.items():
            every = [*scopes.XAPI, scopes.OWN_QUALITY, scopes.ACCOUNTS]
            _, first = container.operations.sources.add(
                name, name=name, activity=activity, scopes=every, actor="cli:fuzz", **more
            )
            credentials[name] = self._header(first)
        for several in ((scopes.ALL,), (scopes.GOVERNANCE_READ, scopes.RIGHTS), (scopes.RESEARCH, scopes.METRICS)):
            made = container.operations.sources.issue(source=None, label="fuzz", scopes=several, actor="cli:fuzz")
            people.append(self._header(made))
        sources = tuple(credentials)
        for scope in scopes.EVERY:
            for source in ("plain", None):
                made = container.operations.sources.issue(source=source, label="fuzz", scopes=[scope], actor="cli:fuzz")
                credentials[f"{scope} of {source}"] = self._header(made)
        app = create_app(self._settings)
        methods: dict[str, set[str]] = {}
        for rule in app.url_map.iter_rules():
            methods.setdefault(rule.rule, set()).update((rule.methods or set()) - {"OPTIONS"})
        routes = tuple(Route(rule, tuple(sorted(named))) for rule, named in methods.items())
        app.extensions["sillage"].close()
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve"], env=self._environment, cwd=ROOT, stdout=out, stderr=out
            )
        self._wait()
        credentials["a person who reads and writes all"] = people[0]
        return Given(routes, credentials, sources, officer=people[1], research=people[2])

    def _header(self, credential: NewCredential) -> str:
        self._secrets.append(credential.secret)
        return "Basic " + base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()

    def _wait(self) -> None:
        limit = time.monotonic() + 90
        while time.monotonic() < limit:
            with suppress(OSError, Cut):
                connection = Connection(self.port)
                connection.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if connection.answer(head=False).status == 200:
                    return
            time.sleep(0.2)
        raise SystemExit(f"The server did not become ready: {self.log.read_text(errors='replace')[-3_000:]}")

    def workers(self) -> list[int]:
        """Its workers' process ids."""
        master = self._process.pid if self._process is not None else 0
        command = Path(f"/proc/{master}/cmdline").read_bytes()
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return sorted(int(each) for each in children if Path(f"/proc/{each}/cmdline").read_bytes() == command)

    def peak(self, worker: int) -> int:
        """MiB that a worker had at most."""
        for line in Path(f"/proc/{worker}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
        return 0

    def stop(self) -> None:
        """End it, the way an operator does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._container.close()

    def log_faults(self) -> list[str]:
        """The words that must not stand in the log and do; one example of each kind."""
        found: dict[str, str] = {}
        secrets = [MARK.encode(), *(each.encode() for each in self._secrets)]
        with self.log.open("rb") as lines:
            for line in lines:
                lower = line.lower()
                if any(each in line or each in lower for each in secrets):
                    found.setdefault("what a sender holds for secret", line.decode(errors="replace")[:300])
                if b"Traceback" in line or b'"trace"' in line:
                    found.setdefault("a stack", line.decode(errors="replace")[:600])
                try:
                    event = orjson.loads(line)
                except orjson.JSONDecodeError:
                    found.setdefault("a line that is not JSON", line.decode(errors="replace")[:300])
                    continue
                if event.get("level") in _WRONG_LEVELS:
                    said = f"{event.get('event')} {event.get('kind', '')} {event.get('frames', '')}"
                    found.setdefault(f"an error: {said}", line.decode(errors="replace")[:600])
        return [f"the log has {kind}: {line.strip()}" for kind, line in found.items()]


def _table(answers: Counter[tuple[str, int]]) -> Table:
    columns = (
        "none",
        "2xx",
        "3xx",
        "400",
        "401",
        "403",
        "404",
        "409",
        "412",
        "413",
        "415",
        "other 4xx",
        "503",
        "other 5xx",
    )
    rows: dict[str, Counter[str]] = {}
    for (kind, status), count in answers.items():
        name = kind if kind.startswith("/") else "framing"
        column = str(status)
        if not status:
            column = "none"
        elif column not in columns:
            column = f"{column[0]}xx" if status < 400 else f"other {column[0]}xx"
        rows.setdefault(name, Counter())[column] += count
    table = Table()
    table.add_column("route")
    table.add_column("inputs", justify="right")
    for column in columns:
        table.add_column(column, justify="right")
    for name in sorted(rows):
        row = rows[name]
        table.add_row(name, f"{row.total():,}", *(f"{row[each]:,}" if row[each] else "" for each in columns))
    return table


def main() -> int:
    """Run it; 0 when the server stood everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="?", type=int, default=300_000, help="how many (300,000)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--processes", type=int, default=3, help="how many processes send (3)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this one, shown with its answer")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the log")
    asked = parser.parse_args()
    if not 1 <= asked.inputs <= MAX_INPUTS or not 1 <= asked.processes <= 32:
        parser.error(f"1 to {MAX_INPUTS:,} inputs, 1 to 32 processes")
    # So that its server ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = Path(tempfile.mkdtemp(prefix="sillage-fuzz-"))
    service = Service(folder)
    try:
        return _run(service, asked)
    finally:
        service.stop()
        if asked.keep:
            console.print(f"The log is in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(service: Service, asked: argparse.Namespace) -> int:
    given = service.start()
    before = service.workers()
    began = time.monotonic()
    if asked.only is not None:
        sender = Sender(service.port, given, asked.seed)
        sender.shown = True
        sender.send(asked.only)
        answers, faults = sender.answers, sender.faults
    else:
        answers, faults = _send_all(service.port, given, asked)
    seconds = time.monotonic() - began
    console.print(_table(answers))
    wrong = _reported(faults)
    untried = {route.rule for route in given.routes} - {kind for kind, _ in answers}
    if untried and asked.only is None and asked.inputs >= 2_000:
        wrong.append(f"nothing was sent to {', '.join(sorted(untried))}")
    after = service.workers()
    if after != before:
        wrong.append("a worker ended")
    peaks = [service.peak(each) for each in after]
    if max(peaks, default=0) > MEMORY_MIB:
        wrong.append(f"a worker had {max(peaks)} MiB; {MEMORY_MIB} are allowed")
    wrong += service.log_faults()
    for each in wrong:
        console.print(each, markup=False)
    total = sum(answers.values())
    console.print(
        f"seed {asked.seed}: {total:,} answers in {seconds:.0f} s, workers at {' and '.join(map(str, peaks))} MiB "
        f"at most, {f'{len(wrong)} findings' if wrong else 'nothing found'}"
    )
    return 1 if wrong else 0


def _reported(faults: list[Fault]) -> list[str]:
    """Faults as words: the first input of each kind, and how many are like it."""
    alike: dict[tuple[str, str], list[int]] = {}
    for each in sorted(faults):
        alike.setdefault((each.kind, each.what), []).append(each.number)
    reported = [
        f"input {numbers[0]}, {kind}: {what}" + (f" ({len(numbers)} times)" if len(numbers) > 1 else "")
        for (kind, what), numbers in alike.items()
    ]
    return reported[:MAX_TOLD] + ([f"and {len(reported) - MAX_TOLD} more kinds"] if len(reported) > MAX_TOLD else [])


def _send_all(port: int, given: Given, asked: argparse.Namespace) -> tuple[Counter[tuple[str, int]], list[Fault]]:
    context = multiprocessing.get_context("spawn")
    reported: Queue[Any] = context.Queue()
    running = [
        context.Process(
            target=_send,
            args=(port, given, asked.seed, range(place, asked.inputs, asked.processes), reported),
            daemon=True,
        )
        for place in range(asked.processes)
    ]
    for process in running:
        process.start()
    answers: Counter[tuple[str, int]] = Counter()
    faults: list[Fault] = []
    left = len(running)
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=asked.inputs)
        while left:
            # An input that gets no answer in time is a fault, not silence: a sender always says something sooner.
            said = reported.get(timeout=200 * ANSWER_SECONDS)
            if isinstance(said, int):
                bar.advance(task, said)
                continue
            left -= 1
            answers.update(said[0])
            faults += said[1]
    for process in running:
        process.join(10)
    return answers, faults


if __name__ == "__main__":
    sys.exit(main())
