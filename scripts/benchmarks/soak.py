"""A long load: does the service, after half an hour near its limit, still do what it did in the first minute?

It knows the service as its clients and its operator do: commands, HTTP, and what /proc says of its processes.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import count, pairwise
from math import inf, sqrt
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

import orjson
from machine import CACHE_MB, described, free_port
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
ACTIVITY = ROOT / "docs" / "examples" / "processing-activities" / "p2ia.json"
PROFILE = ROOT / "schemas" / "profiles" / "p2ia.jsonld"

_RUN = re.compile(r"\s*(\S+ \S+)\s+([0-9,]+\.[0-9])\s")
_REGISTRATION = re.compile(rb'("registration":")([0-9a-f]{8})')

_TURNS = count()

BATCH = 50
SENDERS = 4
SINGLES_PER_SECOND = 5.0
READS_PER_SECOND = 2.0
PAGES = 5
WRITE, SINGLE, AGENT, ID, PAGE, POLL = "POST of 50", "POST of 1", "by agent", "by id", "page", "poll"
KINDS = (WRITE, SINGLE, AGENT, ID, PAGE, POLL)
JOBS = ("aggregate", "patterns")

# Below this a run says what it saw, and judges errors only: caches still fill.
JUDGED_MINUTES = 10.0
# What a judged run stores first: the limit of an empty store is not that of one at work, whose indexes are larger.
STORED = 3_000_000
FILLING = 10
# What is left out at the beginning, of the whole.
WARMING = 0.1
# A slope counts as growth when its interval lies above zero and it would matter within a day.
GROWTH_PER_HOUR = 0.02
DRIFT = 1.5


class Slope(NamedTuple):
    """A line through points by least squares.

    Attributes:
        slope: Per unit of x.
        margin: Half the width of its 95 % confidence interval; infinite with too few points.
    """

    slope: float
    margin: float

    @property
    def within_noise(self) -> bool:
        """True if the interval holds zero."""
        return abs(self.slope) <= self.margin


def slope(xs: Sequence[float], ys: Sequence[float]) -> Slope:
    """The slope of y over x, and how sure it is.

    Neighbouring samples of a process's memory are nearly the same, so they tell less than as many independent ones: the
    number of points is corrected for the correlation of each residual with the next (Santer et al. 2000, JGR 105).
    """
    count = len(xs)
    if count < 4 or len(set(xs)) < 3:
        return Slope(0.0, inf)
    line = statistics.linear_regression(xs, ys)
    residuals = [y - line.slope * x - line.intercept for x, y in zip(xs, ys, strict=True)]
    squares = sum(each * each for each in residuals)
    if squares < 1e-12 * max(1.0, sum(y * y for y in ys)):
        return Slope(line.slope, 0.0)
    together = sum(a * b for a, b in pairwise(residuals)) / squares
    effective = count * (1 - max(0.0, together)) / (1 + max(0.0, together))
    if effective <= 2.5:
        return Slope(line.slope, inf)
    mean = statistics.fmean(xs)
    error = sqrt(squares / (effective - 2) / sum((x - mean) ** 2 for x in xs))
    return Slope(line.slope, _student(effective - 2) * error)


def _student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t, to a few hundredths from two degrees of freedom on (Cornish-Fisher)."""
    z = statistics.NormalDist().inv_cdf(0.975)
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def quantile(seconds: Sequence[float], share: float) -> float:
    """A quantile in milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


class Service:
    """A store of its own, its server and its scheduler, run by commands."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("SILLAGE_", "PROMETHEUS_"))}
        self._environment = {
            **kept,
            "SILLAGE_DATA_DIR": str(folder / "data"),
            "SILLAGE_BIND": f"127.0.0.1:{self.port}",
            "SILLAGE_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "SILLAGE_EMBEDDED_CACHE_MB": str(CACHE_MB),
            "SILLAGE_LOG_LEVEL": "warning",
            # So that the limit, which is measured in minutes, has all in it that the load has.
            "SILLAGE_AGGREGATE_CRON": "* * * * *",
            "SILLAGE_PATTERNS_CRON": "* * * * *",
            "COLUMNS": "300",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *words: str) -> str:
        """The output of a command; one that fails ends the soak."""
        ended = subprocess.run(
            [sys.executable, "-m", "app.cli", *words], env=self._environment, cwd=ROOT, capture_output=True, text=True
        )
        if ended.returncode:
            raise SystemExit(f"sillage {' '.join(words[:2])} failed: {ended.stdout}{ended.stderr}")
        return ended.stdout

    def start(self, command: str) -> None:
        """Run a command that lasts, beside this process."""
        with (self._folder / f"{command}.log").open("wb") as log:
            self.processes[command] = subprocess.Popen(
                [sys.executable, "-m", "app.cli", command], env=self._environment, cwd=ROOT, stdout=log, stderr=log
            )

    def log(self, command: str) -> str:
        """The log that the command wrote."""
        return (self._folder / f"{command}.log").read_text(errors="replace")

    def get(self, path: str) -> tuple[int, bytes]:
        """One request without credentials."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait_ready(self) -> None:
        """Until ``/readyz`` says so."""
        for _ in range(600):
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            if self.processes["serve"].poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"The service did not become ready: {self.log('serve')[-2_000:]}")

    def credential(self, *words: str) -> str:
        """An ``Authorization`` header from a command that makes a credential."""
        said = dict(line.split(maxsplit=1) for line in self.run(*words).splitlines() if " " in line)
        return "Basic " + base64.b64encode(f"{said['key'].strip()}:{said['secret'].strip()}".encode()).decode()

    def pids(self) -> dict[str, int]:
        """The processes to watch, by what they are."""
        found = {"scheduler": self.processes["scheduler"].pid}
        master = self.processes["serve"].pid
        command = Path(f"/proc/{master}/cmdline").read_bytes()
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        # The master's other child supervises MongoDB.
        workers = [int(child) for child in children if Path(f"/proc/{child}/cmdline").read_bytes() == command]
        return {**found, **{f"worker {place}": pid for place, pid in enumerate(sorted(workers), 1)}}

    def database(self) -> int:
        """The process of MongoDB, which works in the data folder."""
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"mongod") and str(self._folder).encode() in b" ".join(words):
                    return int(entry.name)
        raise SystemExit("MongoDB is not among the processes.")

    def stop(self) -> None:
        """End both, the way an operator does."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def resident(pid: int) -> float | None:
    """MiB of memory that a process has now; None when it has gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def busy(pid: int) -> float:
    """Seconds of a processor that a process had so far; 0 when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Tally:
    """Tally of requests, minute by minute, and of failures; filled by many threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.minutes: list[dict[str, list[float]]] = []
        self.errors: Counter[str] = Counter()
        self.stored = 0
        self.marks = [0, 0]
        self.seen = 0
        self.seen_marks = [0, 0]
        self.ids: list[str] = []
        self._current: dict[str, list[float]] = defaultdict(list)

    def took(self, kind: str, seconds: float) -> None:
        """One answer."""
        with self.lock:
            self._current[kind].append(seconds)

    def failed(self, kind: str, how: str) -> None:
        """One that was no answer, or the wrong one."""
        with self.lock:
            self.errors[f"{kind}: {how}"] += 1

    def stored_now(self, ids: Sequence[str]) -> None:
        """Acknowledged ids; a few are kept to ask for, of all the sum and the exclusive or."""
        with self.lock:
            self.stored += len(ids)
            _mark(self.marks, ids)
            if len(self.ids) < 5_000:
                self.ids.extend(ids[:3])
            else:
                self.ids[random.randrange(len(self.ids))] = ids[0]  # noqa: S311 - which one does not matter

    def seen_now(self, ids: Sequence[str]) -> None:
        """Note the ids that the poller was given."""
        with self.lock:
            self.seen += len(ids)
            _mark(self.seen_marks, ids)

    def cut(self) -> dict[str, list[float]]:
        """The times noted since the last cut."""
        with self.lock:
            ended, self._current = self._current, defaultdict(list)
        return ended


def _mark(marks: list[int], ids: Sequence[str]) -> None:
    # Ids are random: two sets of millions with the same sum, exclusive or and number are the same set.
    for id in ids:
        number = UUID(id).int
        marks[0] ^= number
        marks[1] = (marks[1] + number) % (1 << 128)


class Client:
    """One connection of one credential."""

    def __init__(self, port: int, authorization: str) -> None:
        self._port = port
        self._headers = {
            "Authorization": authorization,
            "X-Experience-API-Version": "1.0.3",
            "Content-Type": "application/json",
        }
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, str]:
        """Status, content and Consistent-Through.

        Raises:
            OSError, http.client.HTTPException: there was no answer.
        """
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            self._connection.request(method, path, body, self._headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection = None
            raise
        if answer.getheader("Connection") == "close":
            self._connection = None
        return answer.status, content, answer.getheader("X-Experience-API-Consistent-Through") or ""


def rounds(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """The same statements again and again, in other sessions each time, and than any other round of this process.

    What came into a session that is there already would be late to it, and have the job read all of it again.
    """
    for turn in _TURNS:
        for body in bodies:
            yield _REGISTRATION.sub(partial(_another, turn), body)


def _another(turn: int, found: re.Match[bytes]) -> bytes:
    return found[1] + b"%08x" % (int(found[2], 16) ^ turn)


class Load:
    """The clients of a run: senders, readers, a poller."""

    def __init__(self, port: int, tally: Tally, batches: Sequence[bytes], singles: Sequence[bytes]) -> None:
        self.tally = tally
        self.stop = threading.Event()
        self._port = port
        self._batches = rounds(batches)
        self._singles = rounds(singles)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def begin(self, work: Callable[[], None]) -> None:
        """Run it until ``stop``."""
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self._threads.append(thread)

    def end(self) -> None:
        """Stop, and wait for what is under way."""
        self.stop.set()
        for thread in self._threads:
            thread.join(90)

    def paced(self, per_second: float, do: Callable[[float], None]) -> Callable[[], None]:
        """Do it so often, whatever it takes: what is late begins at once, and its time counts from when it was due."""

        def run() -> None:
            due = time.perf_counter() + random.random() / per_second  # noqa: S311 - so that not all begin together
            while not self.stop.wait(max(0.0, due - time.perf_counter())):
                do(due)
                due += 1 / per_second

        return run

    def flat_out(self, do: Callable[[float], None]) -> Callable[[], None]:
        """Do it again as soon as it is done."""

        def run() -> None:
            while not self.stop.is_set():
                do(time.perf_counter())

        return run

    def poster(self, authorization: str, kind: str) -> Callable[[float], None]:
        """Sends batches, or single statements."""
        client = Client(self._port, authorization)
        bodies = self._batches if kind == WRITE else self._singles

        def post(due: float) -> None:
            with self._lock:
                body = next(bodies)
            content = self._asked(client, kind, due, "POST", "/xAPI/statements", body)
            if content is not None:
                self.tally.stored_now(orjson.loads(content))

        return post

    def reader(self, authorization: str, kind: str, agents: Sequence[str]) -> Callable[[float], None]:
        """Reads by agent, by id, or page after page."""
        client = Client(self._port, authorization)

        def read(due: float) -> None:
            if kind == AGENT:
                query = {"agent": random.choice(agents), "limit": "100"}  # noqa: S311
            elif kind == ID:
                with self.tally.lock:
                    ids = self.tally.ids
                    query = {"statementId": random.choice(ids)} if ids else {}  # noqa: S311
                if not query:
                    return
            else:
                query = {"limit": "100"}
            content = self._asked(client, kind, due, "GET", f"/xAPI/statements?{urlencode(query)}")
            for _ in range(PAGES - 1 if kind == PAGE else 0):
                more = orjson.loads(content or b"{}").get("more")
                if not more:
                    return
                content = self._asked(client, kind, time.perf_counter(), "GET", more)

        return read

    def poller(self, authorization: str) -> Callable[[float], None]:
        """Follows everything by ``since`` and Consistent-Through, each statement once."""
        client = Client(self._port, authorization)
        since = ""

        def follow(due: float) -> None:
            nonlocal since
            query = {"ascending": "true", "limit": "500", **({"since": since} if since else {})}
            path = f"/xAPI/statements?{urlencode(query)}"
            bound = ""
            while path:
                began = time.perf_counter()
                try:
                    status, content, through = client.ask("GET", path)
                except (OSError, http.client.HTTPException) as failed:
                    self.tally.failed(POLL, type(failed).__name__)
                    return
                if status != 200:
                    self.tally.failed(POLL, str(status))
                    return
                self.tally.took(POLL, time.perf_counter() - began)
                # Of the first page: what later pages show up to it was all there then.
                bound = bound or through
                page = orjson.loads(content)
                taken = [one for one in page["statements"] if one["stored"] < bound]
                if taken:
                    self.tally.seen_now([one["id"] for one in taken])
                    since = taken[-1]["stored"]
                path = page["more"] if len(taken) == len(page["statements"]) else ""

        return follow

    def _asked(
        self, client: Client, kind: str, due: float, method: str, path: str, body: bytes | None = None
    ) -> bytes | None:
        try:
            status, content, _ = client.ask(method, path, body)
        except (OSError, http.client.HTTPException) as failed:
            self.tally.failed(kind, type(failed).__name__)
            return None
        if status != 200:
            self.tally.failed(kind, f"{status} {orjson.loads(content).get('code', '')}")
            return None
        self.tally.took(kind, time.perf_counter() - due)
        return content


class Outcome(NamedTuple):
    """Outcome of a run.

    Attributes:
        stored: Statements that were there before the limit was measured.
        limit: Statements a second with all clients at work, senders flat out.
        sent: Statements a second during the run.
        minutes: Seconds of each answer, by kind, in each minute (shorter ones in a short run).
        memory: MiB of each process, and the seconds of the run at which it was looked at.
        processor: In each of these minutes, the share of one processor that each process had, this one included.
        jobs: Runs of the jobs that run every minute, the latest first.
        errors: What went wrong, how often.
        missing: Words for what was stored and not shown once; empty when all was.
    """

    stored: int
    limit: float
    sent: float
    minutes: list[dict[str, list[float]]]
    memory: dict[str, list[tuple[float, float]]]
    processor: list[dict[str, float]]
    jobs: dict[str, list[Run]]
    errors: Counter[str]
    missing: str


def soak(minutes: float, share: float, stored: int, console: Console) -> Outcome:
    """Set up, fill, measure the limit, load."""
    folder = Path(tempfile.mkdtemp(prefix="sillage-soak-"))
    service = Service(folder)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True)
    try:
        with bar:
            task = bar.add_task("setting up", total=None)
            # A short run does not come to the end of fewer.
            bodies, singles, agents = statements(service, folder, 400 if minutes >= 1 else 100)
            authorizations = set_up(service)
            return loaded(service, authorizations, (bodies, singles, agents), minutes, share, stored, bar, task)
    finally:
        service.stop()
        shutil.rmtree(folder, ignore_errors=True)


def statements(service: Service, folder: Path, pupils: int) -> tuple[list[bytes], list[bytes], list[str]]:
    """Bodies of batches, bodies of single statements, and some of their agents; ids are left to the store."""
    file = folder / "statements.jsonl"
    service.run(
        *("simulate", "--pupils", str(pupils), "--days", "4", "--start", "2026-09-01", "--source", "p2ia"),
        *("--out", str(file)),
    )
    made: list[dict[str, Any]] = []
    with file.open("rb") as lines:
        for line in lines:
            one = orjson.loads(line)
            one.pop("id", None)
            made.append(one)
    file.unlink()
    batches = [orjson.dumps(made[at : at + BATCH]) for at in range(0, len(made) - BATCH + 1, BATCH)]
    agents = sorted({orjson.dumps(one["actor"]).decode() for one in made})
    return batches, [orjson.dumps(one) for one in made[:500]], agents


def set_up(service: Service) -> dict[str, str]:
    """A store, its server and scheduler, and two sources, of which one reads; the ``Authorization`` of each."""
    service.run("init")
    service.start("serve")
    service.wait_ready()
    service.run("processing-activity", "add", str(ACTIVITY))
    service.run("profile", "add", str(PROFILE))
    activity = orjson.loads(ACTIVITY.read_bytes())["id"]
    profile = orjson.loads(PROFILE.read_bytes())["id"]
    made = {}
    for source, scopes in (("batches", ["statements/write"]), ("singles", ["statements/write", "statements/read"])):
        words = ["--name", source, "--processing-activity", activity, "--profile", profile]
        words += [word for scope in scopes for word in ("--scope", scope)]
        made[source] = service.credential("source", "add", source, *words)
    made["reader"] = made["singles"]
    service.start("scheduler")
    return made


class Run(NamedTuple):
    """A run of a job that succeeded: when it began, seconds since 1970, and how many it took."""

    began: float
    seconds: float


class Runs(NamedTuple):
    """Runs of a job: those that succeeded, the latest first, and the number that ended otherwise."""

    succeeded: list[Run]
    failed: int


def runs(history: str) -> Runs:
    """The runs that ``sillage jobs history`` lists; one under way has not ended."""
    lines = [line for line in history.splitlines() if "20" in line[:6]]
    return Runs(
        [
            Run(datetime.fromisoformat(found[1]).timestamp(), float(found[2].replace(",", "")))
            for line in lines
            if "succeeded" in line and (found := _RUN.match(line))
        ],
        sum("succeeded" not in line and "running" not in line for line in lines),
    )


def behind(service: Service, longest: float = 600) -> float:
    """The seconds that jobs work from now on until each is through with what is stored now.

    Waiting for the next minute does not count. After ``longest`` seconds the soak ends.
    """
    now = time.time()
    while time.time() <= now + longest:
        found = [runs(service.run("jobs", "history", name)).succeeded for name in JOBS]
        if all(any(run.began >= now for run in each) for each in found):
            break
        time.sleep(2)
    else:
        raise SystemExit(f"Within {longest:.0f} s the jobs were not through: {service.log('scheduler')[-2_000:]}")
    # The first of each that began since then saw all of it.
    needed = [[run for run in each if run.began >= now][-1] for each in found]
    until = max(run.began + run.seconds for run in needed)
    spans = sorted((max(run.began, now), min(run.began + run.seconds, until)) for each in found for run in each)
    worked, reached = 0.0, now
    for begin, end in spans:
        worked += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return worked


def loaded(
    service: Service,
    authorizations: dict[str, str],
    content: tuple[list[bytes], list[bytes], list[str]],
    minutes: float,
    share: float,
    stored: int,
    bar: Progress,
    task: TaskID,
) -> Outcome:
    """Fill the store, measure the limit, then load at a share of it."""
    batches, singles, agents = content
    seconds = minutes * 60
    tally = Tally()
    reader = authorizations["reader"]

    def load() -> Load:
        each = Load(service.port, tally, batches, singles)
        each.begin(each.paced(SINGLES_PER_SECOND, each.poster(authorizations["singles"], SINGLE)))
        for kind in (AGENT, ID, PAGE):
            each.begin(each.paced(READS_PER_SECOND, each.reader(reader, kind, agents)))
        return each

    # The poller goes on through both, for it must see everything once.
    polling = Load(service.port, tally, batches, singles)
    polling.begin(polling.paced(1.0, polling.poller(reader)))

    if stored:
        bar.update(task, description="filling the store", total=stored)
        fill(Load(service.port, tally, larger(batches), singles), authorizations["batches"], stored, bar, task)
        bar.update(task, description="waiting for poller and jobs", total=None)
        if missing := unseen(tally):
            raise SystemExit(f"The poller does not follow: {missing}.")
        if minutes >= JUDGED_MINUTES:
            behind(service, 600 + stored / 2_000)
        stored = tally.stored

    trial = min(180.0, max(3.0, seconds / 2))
    bar.update(task, description="measuring the limit", total=trial, completed=0)
    before, began = tally.stored, time.perf_counter()
    run = load()
    for _ in range(SENDERS):
        run.begin(run.flat_out(run.poster(authorizations["batches"], WRITE)))
    watch(trial, lambda done: bar.update(task, completed=done))
    run.end()
    taken, spent_on_it = tally.stored - before, time.perf_counter() - began
    if minutes >= JUDGED_MINUTES:
        # Senders that go flat out leave the jobs less than they need: what these have still to do is part of the limit.
        bar.update(task, description="waiting for the jobs", total=None)
        spent_on_it += behind(service)
    limit = taken / spent_on_it
    tally.cut()

    run = load()
    rate = max(0.1, (share * limit - SINGLES_PER_SECOND) / BATCH / (2 * SENDERS))
    # Twice as many as measured the limit: one that is late must not hold back those that are due.
    for _ in range(2 * SENDERS):
        run.begin(run.paced(rate, run.poster(authorizations["batches"], WRITE)))
    slot = min(60.0, seconds / 6)
    pids = service.pids()
    memory: dict[str, list[tuple[float, float]]] = {name: [] for name in pids}
    periods: list[dict[str, list[float]]] = []
    measured = {**pids, "MongoDB": service.database(), "clients": os.getpid()}
    spent = {name: busy(pid) for name, pid in measured.items()}
    processor: list[dict[str, float]] = []
    before, began = tally.stored, time.perf_counter()
    bar.update(task, description=f"at {share:.0%} of {limit:,.0f} statements/s", total=seconds, completed=0)

    def look(done: float) -> None:
        bar.update(task, completed=done)
        for name, pid in pids.items():
            size = resident(pid)
            if size is None:
                tally.failed(name, "ended")
            else:
                memory[name].append((done, size))
        if done >= slot * (len(periods) + 1):
            periods.append(tally.cut())
            now = {name: busy(pid) for name, pid in measured.items()}
            processor.append({name: (now[name] - spent[name]) / slot for name in now})
            spent.update(now)

    watch(seconds, look, every=max(0.5, min(5.0, seconds / 120)))
    sent = (tally.stored - before) / (time.perf_counter() - began)
    run.end()
    bar.update(task, description="waiting for the poller", total=None)
    missing = unseen(tally)
    polling.end()
    for command in ("serve", "scheduler"):
        if service.processes[command].poll() is not None:
            tally.failed(command, "ended")
    jobs = {name: runs(service.run("jobs", "history", name, "--limit", "1000")) for name in JOBS}
    for name, found in jobs.items():
        if found.failed:
            tally.errors[f"{name}: run not succeeded"] += found.failed
    succeeded = {name: found.succeeded for name, found in jobs.items()}
    return Outcome(stored, limit, sent, periods, memory, processor, succeeded, tally.errors, missing)


def larger(batches: Sequence[bytes]) -> list[bytes]:
    """Ten batches in one."""
    return [
        b"[" + b",".join(body[1:-1] for body in batches[at : at + FILLING]) + b"]"
        for at in range(0, len(batches), FILLING)
    ]


def fill(run: Load, authorization: str, stored: int, bar: Progress, task: TaskID) -> None:
    """Send flat out until so many are stored."""
    tally = run.tally
    for _ in range(SENDERS):
        run.begin(run.flat_out(run.poster(authorization, WRITE)))
    before, moved = 0, time.perf_counter()
    while tally.stored < stored:
        time.sleep(0.5)
        bar.update(task, completed=tally.stored)
        if tally.stored > before:
            before, moved = tally.stored, time.perf_counter()
        if tally.errors or time.perf_counter() - moved > 120:
            raise SystemExit(f"The store could not be filled: {tally.stored:,} statements, {dict(tally.errors)}.")
    run.end()


def unseen(tally: Tally) -> str:
    """The ids that the poller has not been shown, or more than once, in words; it gets a minute to come to the end."""
    for _ in range(600):
        with tally.lock:
            if (tally.seen, tally.seen_marks) == (tally.stored, tally.marks):
                return ""
        time.sleep(0.1)
    return f"{tally.stored:,} statements acknowledged, {tally.seen:,} shown to the poller"


def watch(seconds: float, look: Callable[[float], None], every: float = 0.5) -> None:
    """Look now and then until the time is up."""
    began = time.perf_counter()
    done = 0.0
    while done < seconds:
        time.sleep(min(every, seconds - done))
        done = time.perf_counter() - began
        look(done)


class Finding(NamedTuple):
    """One line of the verdict; ``good`` is None when it is told and not judged."""

    words: str
    good: bool | None


def judge(outcome: Outcome, minutes: float) -> list[Finding]:
    """The findings that the figures lead to."""
    found = []
    total = sum(len(times) for period in outcome.minutes for times in period.values())
    wrong = outcome.errors.total()
    found.append(
        Finding(
            f"errors: {wrong:,} beside {total:,} answers" + "".join(f"; {k} ({n})" for k, n in outcome.errors.items()),
            wrong == 0,
        )
    )
    found.append(
        Finding(outcome.missing or "the poller was shown every acknowledged statement once", not outcome.missing)
    )
    for name, done in outcome.jobs.items():
        if seconds := [run.seconds for run in done]:
            middle, longest = statistics.median(seconds), max(seconds)
            words = f"job {name}: {len(seconds)} runs, {middle:.0f} s in the middle, {longest:.0f} s the longest"
            found.append(Finding(words, None))
    long = minutes >= JUDGED_MINUTES
    for name, samples in outcome.memory.items():
        kept = [(x, y) for x, y in samples if x >= WARMING * minutes * 60]
        line = slope([x / 3600 for x, _ in kept], [y for _, y in kept])
        size = statistics.fmean(y for _, y in kept) if kept else 0.0
        grows = not line.within_noise and line.slope > GROWTH_PER_HOUR * size
        verdict = (
            "within noise" if line.within_noise else "it grows" if grows else "beyond noise, and less than matters"
        )
        found.append(
            Finding(
                f"memory of {name}: {size:,.0f} MiB, {line.slope:+,.1f} ± {line.margin:,.1f} MiB/h: {verdict}",
                not grows if long else None,
            )
        )
    for kind in KINDS:
        first, last = (drifted(outcome.minutes, kind, at) for at in ("first", "last"))
        if first and last:
            change = last / first
            found.append(
                Finding(
                    f"p99 of {kind}: {first:,.0f} ms in the first third, {last:,.0f} in the last, {change:.2f} times",
                    change < DRIFT if long else None,
                )
            )
    return found


def drifted(periods: Sequence[dict[str, list[float]]], kind: str, at: str) -> float:
    """The median of the p99 of the first or last third of the periods, in milliseconds; 0 when nothing was asked."""
    third = max(1, len(periods) // 3)
    chosen = periods[:third] if at == "first" else periods[-third:]
    p99 = [quantile(period[kind], 0.99) for period in chosen if period.get(kind)]
    return statistics.median(p99) if p99 else 0.0


def show(outcome: Outcome, findings: Sequence[Finding], minutes: float, share: float) -> None:
    """Print the tables and the verdict."""
    console = Console(width=140)
    slot = min(60.0, minutes * 10)
    table = Table(
        title=f"p50 / p99 in ms. {minutes:g} minutes at {share:.0%} of {outcome.limit:,.0f} statements/s: "
        f"{outcome.sent:,.0f} sent, {outcome.stored:,} there before. {described()}"
    )
    table.add_column("until (min)", justify="right")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for name in outcome.memory:
        table.add_column(f"{name} MiB", justify="right")
    for place, period in enumerate(outcome.minutes, 1):
        cells = [
            f"{quantile(period.get(kind, []), 0.5):,.0f} / {quantile(period.get(kind, []), 0.99):,.0f}"
            for kind in KINDS
        ]
        until = place * slot
        sizes = [next((y for x, y in reversed(samples) if x <= until + 1), 0.0) for samples in outcome.memory.values()]
        table.add_row(f"{until / 60:.1f}", *cells, *(f"{size:,.0f}" for size in sizes))
    console.print(table)
    console.print(shares(outcome, slot))
    for finding in findings:
        console.print(
            {True: "ok    ", False: "NOT   ", None: "      "}[finding.good] + finding.words,
            markup=False,
            highlight=False,
        )
    if minutes < JUDGED_MINUTES:
        console.print(
            f"Runs under {JUDGED_MINUTES:g} minutes are judged by errors only: caches still fill.", highlight=False
        )


def shares(outcome: Outcome, slot: float) -> Table:
    """The shares of the processors, by process."""
    names = list(outcome.processor[0]) if outcome.processor else []
    table = Table(title="% of one processor")
    for name in ("until (min)", *names, "all"):
        table.add_column(name, justify="right")
    for place, period in enumerate(outcome.processor, 1):
        cells = [f"{period[name]:.0%}" for name in names]
        table.add_row(f"{place * slot / 60:.1f}", *cells, f"{sum(period.values()):.0%}")
    return table


def main() -> int:
    """Read the options, load, print; 1 when something was not as it should be."""
    options = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    options.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    options.add_argument("--share", type=float, default=0.8, help="of the limit, which is measured first (0.8)")
    options.add_argument(
        "--stored",
        type=int,
        help=f"statements to be there before, in the store that is filled first ({STORED:,}; 0 under "
        f"{JUDGED_MINUTES:g} minutes)",
    )
    options.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    given = options.parse_args()
    if given.minutes <= 0 or not 0 < given.share <= 1 or (given.stored or 0) < 0:
        options.error("--minutes is above 0, --share above 0 and at most 1, --stored at least 0")
    stored = given.stored if given.stored is not None else STORED if given.minutes >= JUDGED_MINUTES else 0
    outcome = soak(given.minutes, given.share, stored, Console(stderr=True))
    findings = judge(outcome, given.minutes)
    show(outcome, findings, given.minutes, given.share)
    if given.json:
        figures = {
            "stored": outcome.stored,
            "limit": outcome.limit,
            "sent": outcome.sent,
            "errors": dict(outcome.errors),
            "memory": outcome.memory,
            "processor": outcome.processor,
            "jobs": {name: [run._asdict() for run in done] for name, done in outcome.jobs.items()},
            "periods": [
                {
                    kind: {"count": len(times), "p50": quantile(times, 0.5), "p99": quantile(times, 0.99)}
                    for kind, times in period.items()
                }
                for period in outcome.minutes
            ],
            "findings": [finding._asdict() for finding in findings],
        }
        Path(given.json).write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    return 0 if all(finding.good is not False for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
