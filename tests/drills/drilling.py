"""Shared parts of the drills: senders that remember every acknowledgement, and the reckoning at the end."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import orjson
import requests
from pymongo import MongoClient

from app.access.credentials import NewCredential
from app.platform.mongo.embedded.server import EmbeddedServer
from app.platform.mongo.embedded.supervisor import Layout, State, read_state
from tests.served import Server, serving, statement

LABEL = "https://drill.example/batch"
SEED = int(os.environ.get("DRILL_SEED", "1"))
_CREWS = count()
# What a request may take beyond its wait for MongoDB: two busy cores carry servers, senders and MongoDB alike.
MARGIN_SECONDS = 8.0


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.03)


def state_of(folder: Path) -> State:
    """The embedded server of a folder, and its supervisor."""
    state = read_state(Layout(folder))
    assert state is not None
    return state


def children(pid: int) -> list[int]:
    """Process ids of the direct children of a process, oldest first: of gunicorn's master, its workers."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """True if a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ready(server: Server, *, timeout: float = 10.0) -> int:
    """Status of ``/readyz``; 0 when nobody answers."""
    try:
        return requests.get(f"{server.url}/readyz", timeout=timeout).status_code
    except requests.RequestException:
        return 0


@dataclass
class Record:
    """Record of the senders.

    Attributes:
        acknowledged: Ids of each acknowledged batch, by its label.
        size: Statements of each batch that was sent at least once, by its label.
        answers: How many answers there were of each status and error code.
        slowest: Seconds that the slowest answer took, by status.
        resets: Connections that were cut.
        faults: Answers that must not be, as words.
    """

    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    slowest: dict[int, float] = field(default_factory=dict)
    resets: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """Every acknowledged id."""
        return [id for ids in self.acknowledged.values() for id in ids]

    def refused(self) -> int:
        """The number of answers that were 503."""
        return sum(count for (status, _), count in self.answers.copy().items() if status == 503)


class Senders:
    """Threads that post batches as fast as they are answered.

    Even ones give ids and send a batch again until it is acknowledged; odd ones leave ids to the store and
    go on with another batch after any failure, so that a repetition inside the store would show.
    """

    def __init__(
        self, server: Server, credential: NewCredential, *, threads: int = 4, size: int = 20, ballast: int = 0
    ) -> None:
        """``ballast``: incompressible bytes that each statement carries along."""
        self.server = server
        self.record = Record()
        self._crew = next(_CREWS)
        self._ballast = ballast
        self._credential = credential
        self._size = size
        self._finish = threading.Event()
        self._abort = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._abort.set()
        self.finish()

    def finish(self, seconds: float = 60.0) -> None:
        """Let each sender end with an acknowledged batch."""
        self._finish.set()
        for thread in self._threads:
            thread.join(seconds)
        if any(thread.is_alive() for thread in self._threads):
            # A request that hangs, or one that is never acknowledged.
            said = f"{dict(self.record.answers)}, {self.record.faults[:5]}, {self.record.slowest}"
            raise AssertionError(f"a sender does not come to its end: {said}")

    def acknowledged(self, more: int) -> None:
        """Wait until that many more batches are acknowledged."""
        goal = len(self.record.acknowledged) + more
        until(lambda: len(self.record.acknowledged) >= goal or self.record.faults)

    def _run(self, number: int) -> None:
        random = Random(f"{SEED}-{self._crew}-{number}")
        session = requests.Session()
        session.auth = (self._credential.id, self._credential.secret)
        session.headers.update({"Content-Type": "application/json", "X-Experience-API-Version": "1.0.3"})
        serial = 0
        while not self._abort.is_set():
            label = f"{SEED}-{self._crew}-{number}-{serial}"
            serial += 1
            size = 1 if serial % 7 == 0 else self._size
            batch = [self._statement(random, label, place) for place in range(size)]
            if number % 2 == 0:
                for one in batch:
                    one["id"] = str(UUID(int=random.getrandbits(128), version=4))
            done = self._post(session, label, batch)
            while not done and number % 2 == 0 and not self._abort.is_set():
                done = self._post(session, label, batch)
            if done and self._finish.is_set():
                return

    def _statement(self, random: Random, label: str, place: int) -> dict[str, Any]:
        return statement(
            actor={"account": {"homePage": "https://ent.example", "name": f"eleve-{random.randrange(500)}"}},
            context={
                "extensions": {
                    LABEL: label,
                    f"{LABEL}/place": place,
                    f"{LABEL}/ballast": random.randbytes(self._ballast // 2).hex(),
                }
            },
        )

    def _post(self, session: requests.Session, label: str, batch: list[dict[str, Any]]) -> bool:
        record = self.record
        began = time.monotonic()
        with self._lock:
            record.size[label] = len(batch)
        try:
            answer = session.post(f"{self.server.xapi}/statements", data=orjson.dumps(batch), timeout=40)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            with self._lock:
                record.resets += 1
            self._abort.wait(0.05)
            return False
        except requests.RequestException as failed:
            with self._lock:
                record.faults.append(type(failed).__name__)
            return False
        seconds = time.monotonic() - began
        code = "" if answer.status_code == 200 else str(answer.json().get("code"))
        with self._lock:
            record.answers[answer.status_code, code] += 1
            record.slowest[answer.status_code] = max(seconds, record.slowest.get(answer.status_code, 0.0))
            if answer.status_code == 200:
                record.acknowledged[label] = answer.json()
                return True
            if answer.status_code != 503 or "Retry-After" not in answer.headers:
                record.faults.append(f"{answer.status_code} {answer.text}")
        # Less than what Retry-After asks for, so that the drill presses harder than clients should.
        self._abort.wait(0.1)
        return False


def reckon(server: Server, *records: Record) -> set[str]:
    """Every acknowledged statement is stored once, every batch is whole or absent, nothing is there unsent.

    Returns:
        Ids of all that is stored.
    """
    faults = [fault for record in records for fault in record.faults]
    assert not faults, faults[:5]
    size = {label: number for record in records for label, number in record.size.items()}
    labels: Counter[str] = Counter()
    places: set[tuple[str, int]] = set()
    ids: dict[str, str] = {}
    position = None
    while True:
        rows, position = server.container.traces.reader.scan(position, 1 << 62, 5_000)
        if position is None:
            break
        for row in rows:
            said = orjson.loads(row.body)["context"]["extensions"]
            labels[said[LABEL]] += 1
            places.add((said[LABEL], said[f"{LABEL}/place"]))
            ids[str(row.id)] = said[LABEL]
    for record in records:
        assert record.acknowledged
        for label, acknowledged in record.acknowledged.items():
            assert len(acknowledged) == size[label]
            assert {ids.get(id) for id in acknowledged} == {label}, "an acknowledged statement is lost"
        assert len(set(record.ids)) == len(record.ids)
    partial = {label: stored for label, stored in labels.items() if stored != size.get(label)}
    assert not partial, f"batches stored in part, or twice: {partial}"
    assert len(places) == labels.total()
    return set(ids)


def followed(server: Server, poller: Poller, *records: Record) -> None:
    """``reckon``; and one who follows the store saw all that was acknowledged once, and nothing that is not there."""
    stored = reckon(server, *records)
    poller.saw_once([id for record in records for id in record.ids])
    assert set(poller.seen) <= stored, "a statement was shown that is not stored"


def reported(name: str, record: Record, back: float) -> None:
    """Print the figures of a drill; pytest shows them with ``-rP``, which ``scripts/drill`` gives it."""
    answers = ", ".join(f"{number} x {status} {code}".strip() for (status, code), number in record.answers.items())
    slowest = ", ".join(f"{status}: {seconds:.1f} s" for status, seconds in record.slowest.items())
    print(f"{name}: served again after {back:.1f} s; {answers}; slowest {slowest}")


class Poller:
    """Follows the store by ``since`` and Consistent-Through, the way the standard offers it."""

    def __init__(self, server: Server, credential: NewCredential) -> None:
        self.server = server
        self.seen: list[str] = []
        self.slowest = 0.0
        self.faults: list[str] = []
        self._credential = credential
        self._since: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Poller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def saw_once(self, ids: list[str], seconds: float = 30.0) -> None:
        """Wait until all of these were seen; none may have been seen twice."""
        wanted = set(ids)
        deadline = time.monotonic() + seconds
        while not wanted <= set(self.seen) and time.monotonic() < deadline and not self.faults:
            time.sleep(0.1)
        assert not self.faults, self.faults[:5]
        missing = len(wanted - set(self.seen))
        assert not missing, f"{missing} acknowledged statements were never shown"
        assert len(self.seen) == len(set(self.seen))

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            try:
                self._round()
            except requests.ConnectionError:
                continue
            except requests.RequestException as failed:
                self.faults.append(type(failed).__name__)

    def _round(self) -> None:
        given = {"since": self._since} if self._since else {}
        answer = self._get("/xAPI/statements", {**given, "ascending": "true", "limit": "500"})
        if answer is None:
            return
        bound = answer.headers["X-Experience-API-Consistent-Through"]
        found: list[dict[str, Any]] = []
        while True:
            page = answer.json()
            found += page["statements"]
            if not page["more"]:
                break
            answer = self._get(page["more"], None)
            if answer is None:
                return
        taken = [one for one in found if one["stored"] < bound]
        if taken:
            self.seen += [one["id"] for one in taken]
            self._since = taken[-1]["stored"]

    def _get(self, path: str, params: dict[str, str] | None) -> requests.Response | None:
        began = time.monotonic()
        answer = self.server.send("GET", path, self._credential, params=params)
        self.slowest = max(self.slowest, time.monotonic() - began)
        if answer.status_code == 200:
            return answer
        if answer.status_code != 503 or "Retry-After" not in answer.headers:
            self.faults.append(f"{answer.status_code} {answer.text}")
        return None


@contextmanager
def twin(folder: Path, one: Server, **options: Any) -> Iterator[Server]:
    """Another server over the database of ``one``, with its key and nothing else, as on another host."""
    (folder / "other").mkdir(mode=0o700)
    shutil.copy2(one.settings.key_path, folder / "other" / "keys.json")
    shared = ("organisation", "process_ttl_seconds", "mongodb_timeout_seconds")
    given = {name: str(getattr(one.settings, name)) for name in shared}
    with serving(
        folder, one.settings.mongodb_uri, data_dir=str(folder / "other"), drop=False, **{**given, **options}
    ) as other:
        yield other


@contextmanager
def own_mongodb(folder: Path) -> Iterator[tuple[str, Path]]:
    """An embedded server of the drill's own: its connection string and its folder."""
    with EmbeddedServer(folder, cache_mb=256) as uri:
        yield uri, folder


def impatient(uri: str) -> None:
    """Let this MongoDB give up the transactions of dead processes after a second, for a short drill."""
    with MongoClient[dict[str, object]](uri) as client:
        client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=1)
