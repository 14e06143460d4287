"""Measures a real server: processor time and peak memory of its worker, and of MongoDB, from ``/proc``.

Processor time, not the clock: how long a request takes depends on what else the machine does.
"""

from __future__ import annotations

import base64
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson

from app.access import scopes
from app.access.credentials import NewCredential
from app.platform.mongo.connection import Store
from app.platform.mongo.embedded.server import EmbeddedServer
from app.platform.mongo.embedded.supervisor import Layout, read_state
from tests.costs.bounds import MAX_KEPT, MIB, Bound
from tests.places import ROOT
from tests.served import ACTIVITY, Server, serving

ANSWER_SECONDS = 40.0
"""After so long without an answer a request is given up, and its worker killed."""
PROFILES = ROOT / "schemas" / "profiles"
PERSON = {"account": {"homePage": "https://ent.example", "name": "planted"}}
AGENT = orjson.dumps(PERSON).decode()
_TICKS = os.sysconf("SC_CLK_TCK")
_NEAR = 4.0
_SETTLING_SECONDS = 7.0


class Answer(NamedTuple):
    """Answer to a request: status (0: no answer within ``ANSWER_SECONDS``), headers, content."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def code(self) -> str:
        """The code of an error."""
        with suppress(orjson.JSONDecodeError, TypeError, KeyError):
            return str(orjson.loads(self.content)["code"])
        return ""


class Cost(NamedTuple):
    """Cost of a request: seconds of worker and MongoDB, MiB of the worker's peak, MiB added to the database."""

    seconds: float
    database: float
    memory: float
    kept: float


def busy(pid: int) -> float:
    """Seconds of a processor that a process had so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _status(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"{name} is not in /proc/{pid}/status")


def resident(pid: int) -> float:
    """MiB that a process has now."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> float:
    """The most MiB that a process had since ``forget_peak``."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Begin the peak anew (proc(5), ``clear_refs``)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def worker_of(master: int) -> int:
    """The one worker of a server: the child with the same command line."""
    command = Path(f"/proc/{master}/cmdline").read_bytes()
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    (worker,) = [int(each) for each in children if Path(f"/proc/{each}/cmdline").read_bytes() == command]
    return worker


class Measured:
    """A server of one worker over a MongoDB of its own, and what its requests cost."""

    def __init__(self, server: Server, mongod: int, store: Store) -> None:
        self.server = server
        self.mongod = mongod
        self._database = store.client[server.settings.database]
        self.worker = worker_of(server.process.pid)
        every = [*scopes.XAPI, scopes.OWN_QUALITY, scopes.ACCOUNTS, scopes.LINKS]
        # The longest road that a statement can take: profiles, extensions, what is looked for in those about minors.
        self.source = server.source(
            "costs", scopes=every, profiles=self._profiles(), mode="warn", minors="pseudonymise"
        )
        self.plain = server.source("plain", scopes=every)
        self.reader = server.credential(scopes.ALL)
        self.officer = server.credential(scopes.GOVERNANCE_READ, scopes.RIGHTS, scopes.RESEARCH, scopes.METRICS)
        self.idle = 0.0
        self.settle()

    def _profiles(self) -> list[str]:
        return [
            self.server.container.traces.profiles.add(each.read_bytes(), actor="cli:test").id
            for each in sorted(PROFILES.glob("*.jsonld"))
        ]

    def settle(self) -> None:
        """Ask for a bit of everything, and take the memory that the worker then has as that of the idle one."""
        statement = orjson.dumps({"actor": PERSON, "verb": {"id": "a:b"}, "object": {"id": "https://ent.example/a"}})
        for credential in (self.source, self.plain):
            for _ in range(3):
                self.ask("POST", "/xAPI/statements", statement, credential)
                self.ask("POST", "/xAPI/statements", b"[1]", credential)
                self.ask("GET", "/xAPI/statements?limit=3", b"", self.reader)
        self.idle = resident(self.worker)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        credential: NewCredential | None = None,
        headers: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Answer:
        """One request of its own connection."""
        sent = {"X-Experience-API-Version": "1.0.3", **(headers or {})}
        if credential is not None:
            sent.setdefault("Authorization", basic(credential))
        if body:
            sent.setdefault("Content-Type", "application/json")
        query = ("&" if "?" in path else "?") + urlencode(params) if params else ""
        host, _, port = self.server.settings.bind.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=ANSWER_SECONDS)
        try:
            connection.request(method, path + query, body or None, sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        except (TimeoutError, http.client.HTTPException, ConnectionError):
            return Answer(0, {}, b"")
        finally:
            connection.close()

    def raw(self, pieces: Iterator[bytes]) -> Answer:
        """Bytes as they are, one request; its answer."""
        host, _, port = self.server.settings.bind.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection:
            answer = http.client.HTTPResponse(connection)
            try:
                # A server that has seen enough answers, and takes no more.
                with suppress(ConnectionError):
                    for piece in pieces:
                        connection.sendall(piece)
                answer.begin()
                return Answer(answer.status, dict(answer.getheaders()), answer.read())
            except (TimeoutError, http.client.HTTPException, ConnectionError):
                return Answer(0, {}, b"")
            finally:
                answer.close()

    def cost(self, do: Callable[[], Answer], quiet: float = 0.0) -> tuple[Answer, Cost]:
        """Do it, and say what it cost; ``quiet``: seconds for which nothing more must happen after the answer.

        What has no answer in time costs as much as that: its worker is killed, so that the next one is measured alone.
        """
        forget_peak(self.worker)
        worker, mongod, kept = busy(self.worker), busy(self.mongod), self._kept()
        before = max(self.idle, resident(self.worker))
        answer = do()
        if quiet:
            self._wait_quiet(quiet)
        seconds, database = busy(self.worker) - worker, busy(self.mongod) - mongod
        spent = Cost(seconds, database, peak(self.worker) - before, self._kept() - kept)
        if os.environ.get("COST_SHOWN"):
            print(f"{before - self.idle:6.0f} MiB before {spent}", file=sys.stderr)
        if answer.status == 0:
            self.replace()
        return answer, spent

    def hold(
        self,
        bound: Bound | Callable[[Answer], Bound],
        do: Callable[[], Answer],
        *,
        mib: float | Callable[[Answer], float] = 0.0,
        statements: int = 0,
        times: int = 1,
        quiet: float = 0.0,
    ) -> Held:
        """Do it within a bound; ``mib`` and ``statements``: its size; ``times``: how many requests it makes.

        What is little beyond is done again: the same work costs more while others use the other half of a core.
        """
        for turn in range(3):
            answer, spent = self.cost(do, quiet)
            chosen = bound if isinstance(bound, Bound) else bound(answer)
            size = mib if isinstance(mib, float | int) else mib(answer)
            held = Held(chosen, answer, spent, size, statements, times)
            if answer.status == 0 or not held.faults or held.share > _NEAR or turn == 2:
                break
        return held

    def settled(self, wanted: float | None = None) -> float:
        """MiB that the worker has some seconds after the last request, when it has given back what it does not need.

        With ``wanted``, as soon as it has no more than that; on a busy machine it may be long until it gets to it.
        """
        least = resident(self.worker)
        limit = time.monotonic() + (_SETTLING_SECONDS if wanted is None else 5 * _SETTLING_SECONDS)
        while (wanted is None or least > wanted) and time.monotonic() < limit:
            time.sleep(0.5)
            least = min(least, resident(self.worker))
        return least

    def kept_faults(self) -> list[str]:
        """The faults of the memory that the worker has some seconds after the last request."""
        now = self.settled(self.idle + MAX_KEPT) - self.idle
        return [] if now <= MAX_KEPT else [f"the worker keeps {now:.0f} MiB; {MAX_KEPT:.0f} are allowed"]

    def replace(self) -> None:
        """Kill the worker, and wait for its successor."""
        with suppress(ProcessLookupError):
            os.kill(self.worker, signal.SIGKILL)
        self.find_worker(other_than=self.worker)

    def find_worker(self, other_than: int) -> None:
        """Wait until another worker serves."""
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            with suppress(ValueError, OSError):
                found = worker_of(self.server.process.pid)
                if found != other_than and self.ask("GET", "/readyz").status == 200:
                    self.worker = found
                    self.settle()
                    return
            time.sleep(0.1)
        raise AssertionError(self.server.log.read_text()[-5_000:])

    def _wait_quiet(self, seconds: float) -> None:
        limit = time.monotonic() + ANSWER_SECONDS
        last, since = (0.0, 0.0), time.monotonic()
        while time.monotonic() < limit and time.monotonic() - since < seconds:
            now = (busy(self.worker), busy(self.mongod))
            # A heartbeat, and MongoDB's own housekeeping, are no work.
            if max(a - b for a, b in zip(now, last, strict=True)) > 0.02:
                since = time.monotonic()
            last = now
            time.sleep(0.2)

    def _kept(self) -> float:
        return float(self._database.command("dbStats")["dataSize"]) / MIB


class Held(NamedTuple):
    """Cost of a request of some size, beside its bound."""

    bound: Bound
    answer: Answer
    cost: Cost
    mib: float
    statements: int
    times: int = 1

    @property
    def shares(self) -> dict[str, float]:
        """Each cost as a share of what is allowed."""
        bound, cost = self.bound, self.cost
        kept = 0.2 + bound.kept_per_mib * self.mib + 0.002 * self.statements + 0.002 * self.times
        return {
            "seconds of the worker": cost.seconds / (bound.processor(self.mib, self.statements) * self.times),
            "seconds of MongoDB": cost.database / (bound.mongod(self.mib, self.statements) * self.times),
            "MiB of memory": cost.memory / bound.memory(self.mib),
            "MiB in the database": cost.kept / kept,
        }

    @property
    def share(self) -> float:
        """The worst of them."""
        return max(self.shares.values())

    @property
    def faults(self) -> list[str]:
        """The costs beyond the bound, as words."""
        spent = (self.cost.seconds, self.cost.database, self.cost.memory, self.cost.kept)
        beyond = [
            f"{amount:.2f} {what}, {share:.1f} times what {self.mib:.2f} MiB and {self.statements} statements may cost"
            for (what, share), amount in zip(self.shares.items(), spent, strict=True)
            if share > 1
        ]
        if self.answer.status == 0:
            beyond.append(f"no answer within {ANSWER_SECONDS:.0f} seconds")
        elif self.answer.status >= 500 and self.answer.status != 503:
            beyond.append(f"answered {self.answer.status} {self.answer.code}")
        return beyond


COMMAND_SECONDS = 120.0
"""After so long a command is killed."""


class Ran(NamedTuple):
    """A command that ended: its exit code, what it said, seconds of a processor, MiB at its peak.

    ``code`` is negative when it was killed, by this or another.
    """

    code: int
    said: str
    seconds: float
    memory: float


def run(environ: Mapping[str, str], *words: str) -> Ran:
    """Run a ``sillage`` command by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", *words],
        env=dict(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    most = 0.0
    said: list[bytes] = []
    reading = threading.Thread(target=lambda: said.append(process.stdout.read() if process.stdout else b""))
    reading.start()
    limit = time.monotonic() + COMMAND_SECONDS
    # Not its `ru_maxrss`: that begins with what this process has, of which it was a copy for a moment.
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        with suppress(OSError, AssertionError):
            most = max(most, peak(process.pid))
        if time.monotonic() > limit:
            process.kill()
        time.sleep(0.02)
    _, status, used = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    reading.join()
    return Ran(process.returncode, said[0].decode(errors="replace"), used.ru_utime + used.ru_stime, most)


def basic(credential: NewCredential) -> str:
    """Its ``Authorization`` header."""
    return "Basic " + base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()


@contextmanager
def measured(folder: Path) -> Iterator[Measured]:
    """Start a server of one worker, with every limit as it is by default, over a MongoDB of its own."""
    with EmbeddedServer(folder / "mongodb", cache_mb=256) as uri:
        state = read_state(Layout(folder / "mongodb"))
        assert state is not None
        with serving(folder, uri, workers="1", heartbeat_seconds="0.25", process_ttl_seconds="10") as server:
            store = Store.open(uri, server.settings.database, timeout_seconds=20)
            try:
                yield Measured(server, state.server, store)
            finally:
                store.close()


__all__ = ["ACTIVITY", "AGENT", "PERSON", "Answer", "Cost", "Held", "Measured", "Ran", "basic", "measured", "run"]
