"""The benchmark: every figure beside a limit that is measured in the same run, on the same machine.

The statements are simulated from a seed. The service runs as in production (gunicorn, sealed storage, validation, the
profile's templates checked); the client is this process, so both share the machine. With ``--against`` the same client
load goes to any xAPI record store instead; with two of them to both in turn, and their ratios are printed.
"""

from __future__ import annotations

import argparse
import base64
import gc
import http.client
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice, zip_longest
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID, uuid4

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, Response, request
from load import Load, Refused, Target, Timed, busiest, spread
from machine import CACHE_MB, described, free_port
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app import create_app
from app.access import scopes
from app.access.principals import Principal
from app.core import contracts
from app.crypto import kinds
from app.operations.schema.migrations import create
from app.serve.server import serve
from app.settings import Settings, load
from app.simulation.traces import simulate
from app.standards.xapi.identifiers import agent_identifier
from app.standards.xapi.query import parse_query
from app.standards.xapi.versions import Version
from app.traces.documents.store import COLLECTIONS as DOCUMENT_COLLECTIONS
from app.traces.documents.store import NAME as DOCUMENTS
from app.traces.statements.store import COLLECTIONS, NAME, Filter
from app.web.gate import AUTHENTICATORS, Gate
from app.web.xapi.reading import reader
from app.wiring.container import Container

ROOT = Path(__file__).resolve().parents[2]
LIMIT = "raw insert_many, batch 500, 4 threads"
CONSTANT = "/bench/constant"
UNAUDITED = "/bench/unaudited"
STATE = orjson.dumps({"bookmark": "page-7", "answers": ["0123456789abcdef"] * 48})
_MODE = "SERVE_FOR_BENCH"


class Row(NamedTuple):
    """One figure; ``ratio`` is to the limit that ``of`` names, and is to be at least ``aim``."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    of: str = ""
    aim: float | None = None


def traces(count: int) -> list[dict[str, Any]]:
    """P2IA statements of the simulation, as many as asked, ids left to the store."""
    made: list[dict[str, Any]] = []
    turn = 0
    while len(made) < count:
        turn += 1
        source = simulate(seed=turn, pupils=400, days=60, start=date(2026, 9, 1))
        for trace in islice((one for one in source if one.source == "p2ia"), count - len(made)):
            trace.statement.pop("id", None)
            made.append(trace.statement)
    return made


class Unasked:
    """Lets every request through that has credentials: no purpose is noted, no origin looked at."""

    def note(self, principal: Principal, asked: Sequence[str]) -> Principal:
        """The principal as it is."""
        del asked
        return principal

    def require(self) -> None:
        """Nothing."""


def with_constant(settings: Settings) -> Flask:
    """The application, and two views beside its own: one only checks credentials, one reads without an audit entry."""
    app = create_app(settings)
    container: Container = app.extensions["sillage"]
    gate = Gate(app.extensions[AUTHENTICATORS], container.platform.presence, Unasked(), Unasked())

    @app.get(CONSTANT)
    def constant() -> Response:
        gate.principal(scopes.READ, scopes.READ_MINE)
        return Response(b"{}", content_type="application/json")

    @app.get(UNAUDITED)
    def unaudited() -> Response:
        who = reader(gate.principal(scopes.READ, scopes.READ_MINE), Version.V1, container.access.reaches)
        if "statementId" in request.args:
            body = container.traces.statement_queries.one(UUID(request.args["statementId"]), who, voided=False).body
        else:
            asked = parse_query(list(request.args.items()), page_limit=settings.page_limit)
            body = b'{"statements":[' + b",".join(container.traces.statement_queries.page(asked, who).bodies) + b"]}"
        return Response(body, content_type="application/json")

    return app


@contextmanager
def service(folder: Path) -> Iterator[tuple[Container, int, str]]:
    """A store of its own, served by ``sillage serve``; gives the container, the port and the authorization."""
    port = free_port()
    given = {
        "SILLAGE_DATA_DIR": str(folder),
        "SILLAGE_BIND": f"127.0.0.1:{port}",
        "SILLAGE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "SILLAGE_EMBEDDED_CACHE_MB": str(CACHE_MB),
        "SILLAGE_LOG_LEVEL": "warning",
    }
    container = Container(load(given))
    container.lifecycle.initialise()
    container.governance.register.add((ROOT / "docs" / "examples" / "processing-activities" / "p2ia.json").read_bytes())
    profile = container.traces.profiles.add(contracts.folder("profiles", "p2ia.jsonld").read_bytes())
    activity = container.governance.register.list()[0].id
    _, credential = container.operations.sources.add(
        "bench",
        name="Bench",
        activity=activity,
        profiles=[profile.id],
        scopes=["statements/write", "statements/read/mine", "state"],
        # The statements are made up, and an earlier version to compare with may not have the policy.
        minors="off",
        reason="The statements are made up",
        actor="cli:bench",
    )
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("SILLAGE_", "PROMETHEUS_"))}
    process = subprocess.Popen([sys.executable, __file__], env={**environment, **given, _MODE: "1"}, cwd=ROOT)
    token = base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()
    try:
        for _ in range(600):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                pass
            time.sleep(0.05)
        else:
            raise SystemExit("The service did not become ready.")
        yield container, port, f"Basic {token}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        container.close()


def raw(container: Container, documents: Sequence[dict[str, Any]], size: int, threads: int) -> float:
    """Statements a second: the same sealed documents into an empty collection, same indexes and write concern."""
    name = f"raw_{uuid4().hex[:8]}"
    create(container.platform.store, (COLLECTIONS[0]._replace(name=name),))
    collection = container.platform.store.collection(name)
    batches = [documents[start : start + size] for start in range(0, len(documents), size)]
    if size == 1:
        timed = spread([batch[0] for batch in batches], threads, lambda: collection.insert_one)
    else:
        timed = spread(batches, threads, lambda: collection.insert_many)
    collection.drop()
    return len(documents) / timed.seconds


def latencies(timed: Timed, of: str) -> list[Row]:
    """The median and the slow end of requests; how far apart they are."""
    middle, slow = timed.quantile(0.5), timed.quantile(0.99)
    return [
        Row(f"  p50 of a {of}", middle, "ms"),
        Row(f"  p99 of a {of}", slow, "ms", slow / middle, "times the p50"),
    ]


def writing(container: Container, load: Load, made: Sequence[dict[str, Any]], singles: int, fifties: int) -> list[Row]:
    """POST in batches of 500 and 50 and alone, beside the raw inserts of what was stored."""
    # Warm: the learners' keys are made and the workers have compiled what they need.
    load.post(made[:2_000], 500, 4)
    big = load.post(made, 500, 4)
    small = load.post(made[:fifties], 50, 4)
    alone = load.post(made[:singles], 1, 16)
    documents = list(
        container.platform.store.collection(NAME).find({}).sort("stored", 1).limit(min(len(made), 200_000))
    )
    limit = raw(container, documents, 500, 4)
    fifty = raw(container, documents[:fifties], 50, 4)
    one = raw(container, documents[:singles], 1, 16)
    rates = len(made) / big.seconds, fifties / small.seconds, singles / alone.seconds
    return [
        Row(LIMIT, limit, "statements/s", 1.0, "itself"),
        Row("raw insert_many, batch 50, 4 threads", fifty, "statements/s", fifty / limit, "the limit"),
        Row("raw insert_one, 16 threads", one, "statements/s", one / limit, "the limit"),
        Row("HTTP, batch 500, 4 connections", rates[0], "statements/s", rates[0] / limit, "the limit", 0.6),
        *latencies(big, "batch"),
        Row("HTTP, batch 50, 4 connections", rates[1], "statements/s", rates[1] / limit, "the limit", 0.5),
        Row("HTTP, single, 16 connections", rates[2], "statements/s", rates[2] / one, "raw insert_one", 0.3),
        *latencies(alone, "POST"),
    ]


def reading(container: Container, load: Load, made: Sequence[dict[str, Any]], gets: int) -> list[Row]:
    """GET by agent, verb and id, and pages, beside the bare cursor and the bare view."""
    token = container.keys.organisation.token
    mine = token(kinds.SOURCE, "bench")
    agents = busiest(made, 50)
    verbs = sorted({one["verb"]["id"] for one in made})
    rows: list[Row] = []
    for kind, queries, tokens in (
        (
            "agent",
            [{"agent": orjson.dumps(agent).decode(), "limit": 100} for agent in agents],
            [token(kinds.AGENT, agent_identifier(agent) or "") for agent in agents],
        ),
        (
            "verb",
            [{"verb": verb, "limit": 100} for verb in verbs],
            [token(kinds.VERB, v) for v in verbs],
        ),
    ):
        collection = container.platform.store.collection(NAME)

        def bare(token: bytes) -> int:
            found = collection.find({"t": token, "stored": {"$exists": True}, "void": {"$exists": False}})  # noqa: B023
            return len(list(found.sort([("stored", -1)]).limit(100).batch_size(101)))

        cursor = spread([tokens[n % len(tokens)] for n in range(gets)], 4, lambda: bare)
        timed = load.get([queries[n % len(queries)] for n in range(gets)], 4)
        silent = load.constant([f"{UNAUDITED}?{urlencode(query)}" for query in queries], gets, 4)
        of = f"bare cursor by {kind}, 100 documents, 4 threads"
        rows += [
            Row(of, gets / cursor.seconds, "requests/s", 1.0, "itself"),
            Row(
                f"GET by {kind}, limit 100, 4 connections",
                gets / timed.seconds,
                "requests/s",
                cursor.seconds / timed.seconds,
                "the bare cursor",
                1 / 3,
            ),
            *latencies(timed, "GET"),
            Row(
                "  the same without its audit entry",
                gets / silent.seconds,
                "requests/s",
                cursor.seconds / silent.seconds,
                "the bare cursor",
            ),
        ]
    rows += anatomy(container, token(kinds.AGENT, agent_identifier(agents[0]) or ""))

    constant = load.constant([CONSTANT], gets, 4)
    ids = load.ids(gets)
    single = load.get([{"statementId": id} for id in ids], 4)
    silent = load.constant([f"{UNAUDITED}?statementId={id}" for id in ids], len(ids), 4)
    rows += [
        Row(
            "a view that checks credentials and returns a constant",
            gets / constant.seconds,
            "requests/s",
            1.0,
            "itself",
        ),
        Row(
            "GET by id, 4 connections",
            len(single.times) / single.seconds,
            "requests/s",
            constant.seconds / single.seconds,
            "that view",
            0.5,
        ),
        *latencies(single, "GET"),
        Row(
            "  the same without its audit entry",
            len(ids) / silent.seconds,
            "requests/s",
            constant.seconds / silent.seconds,
            "that view",
        ),
    ]

    pages = load.paging({"limit": 500}, 100_000)
    stored = container.platform.store.collection(NAME).count_documents({"t": mine})
    rate = stored / pages.seconds
    rows.append(Row("following `more` to the end, limit 500", rate, "statements/s", rate / 40_000, "40,000", 1.0))
    deep = load.paging({"limit": 100}, 1_001).times
    if len(deep) > 1_000:
        first, last = sorted(deep[1:51])[25], sorted(deep[-50:])[25]
        rows.append(Row("page 1,000 of 100, median of 50 around it", last * 1000, "ms", first / last, "page 1", 0.8))
    return rows


def anatomy(container: Container, token: bytes) -> list[Row]:
    """The steps of a GET of 100 statements in exact format with their times, one after the other in this process."""
    rounds = 100
    spent = {"MongoDB": 0.0, "keys and decryption": 0.0, "the answer's JSON": 0.0}
    for _ in range(rounds):
        began = time.perf_counter()
        found = container.traces.statements.page(Filter(((token,),)), after=None, ascending=False, limit=100).rows
        fetched = time.perf_counter()
        plain = container.traces.reader.decrypted(found)
        opened = time.perf_counter()
        b",".join([each.body for each in plain])
        ended = time.perf_counter()
        for part, seconds in zip(spent, (fetched - began, opened - fetched, ended - opened), strict=True):
            spent[part] += seconds
    total = sum(spent.values())
    return [
        Row(f"  of these, {part}", seconds / rounds * 1000, "ms", seconds / total, "the three together")
        for part, seconds in spent.items()
    ]


def states(container: Container, load: Load, made: Sequence[dict[str, Any]], count: int) -> list[Row]:
    """State documents of 1 KiB put and read over 16 connections, beside the bare operations on what was sealed."""
    body = STATE
    actors = [one["actor"] for one in made[:count]]
    put = load.documents("PUT", actors, body, 16)
    get = load.documents("GET", actors, None, 16)
    sealed = list(container.platform.store.collection(DOCUMENTS).find({}))
    name = f"raw_{uuid4().hex[:8]}"
    create(container.platform.store, (DOCUMENT_COLLECTIONS[0]._replace(name=name),))
    bare = container.platform.store.collection(name)
    raw_put = spread(sealed, 16, lambda: bare.insert_one)
    raw_get = spread([each["_id"] for each in sealed], 16, lambda: lambda key: bare.find_one({"_id": key}))
    bare.drop()
    rows = []
    for verb, timed, limit, of in (("PUT", put, raw_put, "raw insert_one"), ("GET", get, raw_get, "raw find_one")):
        of_limit, rate = len(sealed) / limit.seconds, len(actors) / timed.seconds
        rows += [
            Row(f"{of} of the same documents, 16 threads", of_limit, "documents/s", 1.0, "itself"),
            Row(f"State {verb}, 16 connections", rate, "documents/s", rate / of_limit, of),
            *latencies(timed, f"State {verb}"),
        ]
    return rows


class _OneKey:
    """Stands in for learners' keys: one key for everybody, at hand, as a store without keys of learners would have."""

    generation = 0

    def __init__(self) -> None:
        self._key = AESGCM(os.urandom(32))

    def ensured(self, subjects: Iterable[bytes]) -> dict[bytes, AESGCM]:
        """That key for each of these learners."""
        return dict.fromkeys(subjects, self._key)


def encrypting(given: Settings, made: Sequence[dict[str, Any]]) -> list[Row]:
    """Batches of 500 taken in by one thread of this process, sealed with one key for all and with a key per learner.

    All else is the same: validation, tokens, one durable write a batch. The two take turns, so that what the machine
    does meanwhile meets both.
    """
    container = Container(given)
    container.lifecycle.start()
    try:
        source = next(each for each in container.access.sources_repository.list() if each.id == "bench")
        apart = container.traces.recorder
        shared = copy(apart)
        shared._subjects = _OneKey()  # type: ignore[assignment]
        batches = [list(made[start : start + 500]) for start in range(0, len(made), 500)]
        turn = iter(range(1 << 62))

        def strangers(batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            """The same statements, each of a learner never seen before."""
            account = {"homePage": "https://bench.example"}
            return [{**one, "actor": {"account": {**account, "name": f"stranger-{next(turn)}"}}} for one in batch]

        def rates(change: Callable[[Sequence[dict[str, Any]]], Sequence[dict[str, Any]]]) -> tuple[float, float]:
            spent = {id(apart): 0.0, id(shared): 0.0}
            for place, batch in enumerate(batches):
                for recorder in (apart, shared) if place % 2 else (shared, apart):
                    body = orjson.dumps(change(batch))
                    began = time.perf_counter()
                    recorder.record(body, source, Version.V1)
                    spent[id(recorder)] += time.perf_counter() - began
            return len(made) / spent[id(shared)], len(made) / spent[id(apart)]

        rates(list)  # warm
        one_key, each_key = rates(list)
        new_one_key, new_each_key = rates(strangers)
        return [
            Row("batch 500 in one process, one key for everybody", one_key, "statements/s", 1.0, "itself"),
            Row("  with a key per learner", each_key, "statements/s", each_key / one_key, "one key", 0.85),
            Row("  each of a new learner, one key for everybody", new_one_key, "statements/s", 1.0, "itself"),
            Row("  with a key per learner", new_each_key, "statements/s", new_each_key / new_one_key, "one key"),
        ]
    finally:
        container.close()


def disk(container: Container, made: Sequence[dict[str, Any]]) -> Row:
    """Bytes a statement takes in MongoDB's files."""
    container.platform.store.client.admin.command("fsync")
    stats = container.platform.store.db.command("collStats", NAME)
    plain = sum(len(orjson.dumps(one)) for one in made[:2_000]) / 2_000
    size = (stats["storageSize"] + stats["totalIndexSize"]) / stats["count"]
    return Row("bytes on disk per statement, indexes included", size, "B", size / plain, f"{plain:.0f} B of JSON")


def aggregated(container: Container) -> list[Row]:
    """The aggregate job over everything stored, beside a bare scan of the same documents."""
    began = time.perf_counter()
    scanned = sum(
        1 for _ in container.platform.store.collection(NAME).find({}).sort([("stored", 1)]).batch_size(20_000)
    )
    scan = scanned / (time.perf_counter() - began)
    # The statements that this process has made are not the job's: a collection in its midst would go through them.
    gc.collect()
    gc.freeze()
    began, cpu = time.perf_counter(), time.process_time()
    summary = container.research.aggregates.run()
    seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    rate = summary.statements / busy
    return [
        Row("bare scan of the stored documents", scan, "statements/s", 1.0, "itself"),
        Row(
            "aggregate job, one process",
            summary.statements / seconds,
            "statements/s",
            summary.statements / seconds / scan,
            "the bare scan",
        ),
        Row("  per second of its CPU", rate, "statements/s", rate / 60_000, "60,000", 1.0),
        Row("  memory at its peak, this process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB"),
    ]


def packaged(load: Load, made: Sequence[dict[str, Any]], folder: Path) -> list[Row]:
    """The subject access export of one learner with all these statements, by the command, in a process of its own."""
    learner = {"account": {"homePage": "https://bench.example", "name": "one"}}
    load.post([{**one, "actor": learner} for one in made], 500, 4)
    target = folder / "access.zip"
    words = ["person", "access", "--account", "https://bench.example", "one", "--to", str(target)]
    given = {"SILLAGE_DATA_DIR": str(folder), "SILLAGE_LOG_LEVEL": "warning"}
    began = time.perf_counter()
    command = subprocess.Popen(
        [sys.executable, "-m", "app.cli", *words], env={**os.environ, **given}, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(command.pid, 0)
    if status:
        raise SystemExit("The package could not be written.")
    rate = len(made) / (time.perf_counter() - began)
    return [
        # 100,000 statements in a minute.
        Row(
            "subject access export of one learner", rate, "statements/s", rate / (100_000 / 60), "100,000 a minute", 1.0
        ),
        Row("  memory at its peak, its process", used.ru_maxrss / 1024, "MB"),
        Row("  bytes of zip per statement", target.stat().st_size / len(made), "B"),
    ]


def run(count: int, quick: bool) -> list[Row]:
    """Measure everything."""
    singles = min(count, 1_000 if quick else 5_000)
    gets = min(count, 300 if quick else 2_000)
    folder = Path(tempfile.mkdtemp(prefix="sillage-bench-"))
    rows: list[Row] = []
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            steps = progress.add_task("simulating", total=8)
            made = traces(count)
            with service(folder) as (container, port, authorization):
                load = Load(Target(f"http://127.0.0.1:{port}/xAPI", authorization))
                stages: dict[str, Callable[[], list[Row]]] = {
                    "writing": lambda: writing(container, load, made, singles, min(count, 5_000 if quick else 50_000)),
                    "reading": lambda: reading(container, load, made, gets),
                    "State documents": lambda: states(container, load, made, singles),
                    "disk": lambda: [disk(container, made)],
                    "aggregating": lambda: aggregated(container),
                    "packaging": lambda: packaged(load, made, folder),
                    # At the end: what is sealed with one key for everybody does not open.
                    "sealing": lambda: encrypting(container.settings, made[: 2_000 if quick else 20_000]),
                }
                for name, stage in stages.items():
                    progress.update(steps, advance=1, description=name)
                    rows += stage()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def aggregated_apart(given: dict[str, str]) -> tuple[float, float]:
    """Run the aggregate job in a process of its own: seconds, and the most memory that it took in MB."""
    began = time.perf_counter()
    job = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "aggregate", "run"],
        env={**os.environ, **given},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(job.pid, 0)
    if status:
        raise SystemExit("The aggregate job failed.")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def grow(count: int) -> list[Row]:
    """Ingest ``count`` statements, batch 500 over 4 connections: the rate of each step of 100,000.

    When 1,000,000 are stored (or all, if fewer) they are read; the aggregate job runs over the first 100,000 and over
    all the others, in processes of their own.
    """
    step = min(100_000, count)
    read_at = min(1_000_000, count) // step * step
    folder = Path(tempfile.mkdtemp(prefix="sillage-bench-"))
    reads: list[Row] = []
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            steps = progress.add_task("simulating", total=max(1, count // step))
            made = traces(step)
            with service(folder) as (container, port, authorization):
                given = {"SILLAGE_DATA_DIR": str(folder), "SILLAGE_LOG_LEVEL": "warning"}
                load = Load(Target(f"http://127.0.0.1:{port}/xAPI", authorization))
                rates = []
                for done in range(0, count, step):
                    progress.update(steps, advance=1, description=f"{done:,} stored")
                    rates.append(step / load.post(made, 500, 4).seconds)
                    if done == 0:
                        first = aggregated_apart(given)
                    if done + step == read_at:
                        progress.update(steps, description=f"reading among {read_at:,}")
                        reads = reading(container, load, made, 2_000)
                progress.update(steps, description="aggregating")
                rest = aggregated_apart(given)
                # The second step stands for the beginning: the first makes the learners' keys.
                early = rates[min(1, len(rates) - 1)]
                late = sorted(rates[-3:])[len(rates[-3:]) // 2]
                rows = [
                    Row(f"HTTP, batch 500, with {min(step, count):,} stored", early, "statements/s", 1.0, "itself"),
                    Row(f"HTTP, batch 500, with {count:,} stored", late, "statements/s", late / early, "that", 0.85),
                ]
                rows += [
                    Row(f"  with {place * step:,} stored", rates[place], "statements/s", rates[place] / early, "that")
                    for place in range(0, len(rates), max(1, len(rates) // 20))
                ]
                rows += reads
                later = (len(rates) - 1) * step
                rows += [
                    Row(f"aggregate job over {step:,}: peak memory", first[1], "MB", 1.0, "itself"),
                    Row(f"over {later:,} more: peak memory", rest[1], "MB", first[1] / rest[1], "that"),
                    Row("  statements of them a second", later / rest[0], "statements/s"),
                ]
                return [*rows, disk(container, made)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Measured(NamedTuple):
    """One kind of request to any store: ``units`` of what one run of it does.

    ``held`` tells how many statements an answer has: stores that give unlike answers do unlike work.
    """

    name: str
    unit: str
    of: str
    units: int
    do: Callable[[], Timed]
    held: Callable[[], float] | None = None


def measured(load: Load, made: Sequence[dict[str, Any]], quick: bool) -> list[Measured]:
    """The client load, kind by kind; nothing is sent yet. What a store has is left there, and what is sent is added."""
    singles, gets = (min(len(made), 500), min(len(made), 200)) if quick else (2_000, 1_000)
    fifties = made[: max(1, len(made) // 4)]

    def again() -> Timed:
        named = [{**one, "id": str(uuid4())} for one in made]
        load.post(named, 500, 4)
        return load.post(named, 500, 4)

    @lru_cache
    def ids() -> list[dict[str, Any]]:
        return [{"statementId": id} for id in load.ids(gets)]

    agents = [{"agent": orjson.dumps(agent).decode(), "limit": 100} for agent in busiest(made, 50)]
    verbs = [{"verb": verb, "limit": 100} for verb in sorted({one["verb"]["id"] for one in made})]
    # Before all of them by either clock: some stores take `since` for the timestamp, and would answer nothing to today.
    first = datetime.fromisoformat(min(one["timestamp"] for one in made)) - timedelta(days=1)
    since = [{"since": f"{first:%Y-%m-%dT00:00:00Z}", "limit": 100, "ascending": "true"}]

    def queried(by: str, queries: Sequence[dict[str, Any]]) -> Measured:
        asked = [queries[n % len(queries)] for n in range(gets)]
        name = f"GET by {by}, limit 100, 4 connections"
        return Measured(name, "requests/s", "GET", gets, lambda: load.get(asked, 4), lambda: load.held(queries))

    actors = [one["actor"] for one in made[:singles]]
    return [
        Measured("batch 500, 4 connections", "statements/s", "POST", len(made), lambda: load.post(made, 500, 4)),
        Measured("batch 50, 4 connections", "statements/s", "POST", len(fifties), lambda: load.post(fifties, 50, 4)),
        Measured("single, 16 connections", "statements/s", "POST", singles, lambda: load.post(made[:singles], 1, 16)),
        Measured("the same batch of 500 again", "statements/s", "POST", len(made), again),
        Measured("GET by id, 4 connections", "requests/s", "GET", gets, lambda: load.get(ids(), 4)),
        queried("agent", agents),
        queried("verb", verbs),
        queried("since", since),
        # As many pages as there are, at most: of a store with few statements they are fewer than in ``units``.
        Measured("`more`, limit 100", "pages/s", "page", 0, lambda: load.paging({"limit": 100}, 100 if quick else 500)),
        Measured(
            "State PUT, 16 connections", "documents/s", "PUT", singles, lambda: load.documents("PUT", actors, STATE, 16)
        ),
        Measured(
            "State GET, 16 connections", "documents/s", "GET", singles, lambda: load.documents("GET", actors, None, 16)
        ),
    ]


def timed(one: Measured) -> Timed | None:
    """Run it; None, and why on the standard error, when the store refuses it."""
    try:
        return one.do()
    except Refused as refused:
        print(f"{one.name}: {refused}", file=sys.stderr)
        return None


def rate(one: Measured, took: Timed) -> float:
    """Units a second."""
    return (one.units or len(took.times)) / took.seconds


def against(target: Target, count: int, quick: bool) -> list[Row]:
    """The client load alone, against a store that is there already."""
    rows: list[Row] = []
    for one in measured(Load(target), traces(count), quick):
        took = timed(one)
        if took is not None:
            rows += [Row(one.name, rate(one, took), one.unit), *latencies(took, one.of)]
    return rows


class Paired(NamedTuple):
    """A kind of request to two stores in turn: each one's rates, in the order of the rounds."""

    name: str
    unit: str
    first: list[float]
    second: list[float]
    held: tuple[float, ...] = ()

    @property
    def ratios(self) -> list[float]:
        """Of each round, the second store's rate to that of the first."""
        return [second / first for first, second in zip(self.first, self.second, strict=True)]


def paired(first: Target, second: Target, count: int, rounds: int, quick: bool) -> list[Paired]:
    """The client load against two stores in turn, A B, B A, A B…, so that what the machine does meanwhile meets both.

    Each kind goes to both before the next: what drifts, such as the size of the stores, does so for both.
    """
    made = traces(count)
    kinds = [measured(Load(target), made, quick) for target in (first, second)]
    found = [Paired(one.name, one.unit, [], []) for one in kinds[0]]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        steps = progress.add_task("in turn", total=rounds * len(found))
        # The first round is not counted: learners' keys are made in it, and workers compile what they need.
        for turn in range(rounds + 1):
            for place, pair in enumerate(found):
                progress.update(steps, advance=turn > 0, description=pair.name)
                order = (0, 1) if turn % 2 else (1, 0)
                took = {at: timed(kinds[at][place]) for at in order}
                one, other = took[0], took[1]
                if turn and one is not None and other is not None:
                    pair.first.append(rate(kinds[0][place], one))
                    pair.second.append(rate(kinds[1][place], other))
    for place, pair in enumerate(found):
        counts = [held for kind in kinds if (held := kind[place].held) is not None]
        if pair.first and len(counts) == len(kinds):
            found[place] = pair._replace(held=tuple(held() for held in counts))
    if not any(pair.first for pair in found):
        raise SystemExit("Nothing was measured: at least one of the stores refused every kind of request.")
    return [pair for pair in found if pair.first]


def print_pairs(pairs: Sequence[Paired], title: str) -> None:
    """A table: of each kind the medians of both stores, and the median of the ratios of each round with its spread.

    Below it, where the answers of the two do not have as many statements: such a row compares unlike work.
    """
    table = Table(title=title)
    for column in ("what", "unit", "A", "B", "B to A", "least", "most"):
        table.add_column(column, justify="left" if column in ("what", "unit") else "right")
    for pair in pairs:
        ratios = pair.ratios
        table.add_row(
            pair.name,
            pair.unit,
            f"{median(pair.first):,.0f}",
            f"{median(pair.second):,.0f}",
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f}",
            f"{max(ratios):.2f}",
        )
    console = Console(width=130)
    console.print(table)
    for pair in pairs:
        if len(set(pair.held)) > 1:
            console.print(
                f"{pair.name}: an answer of A has {pair.held[0]:,.1f} statements, one of B {pair.held[1]:,.1f}."
            )


def profiles(count: int = 5_000) -> list[Row]:
    """Loading profiles, and holding statements to P2IA, cmi5 and video together, in this process.

    cmi5 and video are the published ones; where the folder of public data is not beside this checkout, ENT stands in.
    """
    from app.standards.profiles import checker, document, sessions
    from app.standards.profiles.extensions import Extensions

    public = ROOT.parent / "shared" / "data" / "profiles"
    paths = [contracts.folder("profiles", "p2ia.jsonld")]
    paths += [public / f"{name}.jsonld" for name in ("cmi5-1.0", "video-1.0.3")] if public.is_dir() else []
    paths += [] if public.is_dir() else [contracts.folder("profiles", "ent.jsonld")]
    documents = [path.read_bytes() for path in paths]
    document.load(documents[0])  # the validator of documents is made once
    began = time.perf_counter()
    loaded = [document.load(each) for each in documents]
    made = checker.compile(loaded)
    followers = [follower for each in loaded for follower in sessions.compile(each)]
    extensions = Extensions(loaded)
    load_ms = (time.perf_counter() - began) * 1000
    statements = traces(count)

    def best(do: Callable[[dict[str, Any]], object]) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            for statement in statements:
                do(statement)
            times.append((time.perf_counter() - began) / len(statements))
        return min(times) * 1e6

    templates = [[each.template for each in made.check(one).matched if each.ok] for one in statements]
    follower = followers[0]
    began = time.perf_counter()
    states: dict[object, Any] = {}
    for statement, followed in zip(statements, templates, strict=True):
        key = sessions.session_of(statement, follower)
        states[key] = sessions.advance(follower, states.get(key) or sessions.start(follower), followed)
    follow_us = (time.perf_counter() - began) / len(statements) * 1e6
    names = ", ".join(path.stem.partition("-")[0] for path in paths)
    return [
        Row(f"profiles {names}: load and compile", load_ms, "ms", load_ms / 200, "the limit of 200 ms"),
        Row("  check a statement against all of them", each := best(made.check), "µs", each / 50, "the limit of 50 µs"),
        Row("  look at its extensions", best(extensions.faults), "µs"),
        Row("  follow it in its session", follow_us, "µs"),
    ]


def _basic(user: str) -> str:
    return f"Basic {base64.b64encode(user.encode()).decode()}"


def main() -> None:
    """Read the options, measure, print."""
    options = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    options.add_argument("--quick", action="store_true", help="smaller numbers: ends within a minute")
    options.add_argument("--statements", type=int, help="statements of the batch-500 row")
    options.add_argument(
        "--growth", type=int, metavar="N", help="ingest N statements only, and tell how the rate changes"
    )
    options.add_argument("--profiles", action="store_true", help="measure the profiles alone: seconds, no service")
    options.add_argument(
        "--against",
        metavar="URL",
        action="append",
        default=[],
        help="the xAPI endpoint of any store, for the client load alone; given twice: both in turn, with their ratios",
    )
    options.add_argument(
        "--user",
        metavar="KEY:SECRET",
        action="append",
        default=[],
        help="its Basic credentials, with --against; given once for each",
    )
    options.add_argument("--rounds", type=int, default=5, help="with two stores, how many times each (5)")
    options.add_argument("--json", metavar="FILE", help="write the rows as JSON too")
    given = options.parse_args()
    count = given.statements or (20_000 if given.quick else 200_000)
    title = f"Sillage on {described()}"
    if len(given.against) > 2 or len(given.user) not in (0, len(given.against)):
        options.error("--against takes one store or two, and --user is given once for each of them, or not at all.")
    if given.rounds < 1:
        options.error("--rounds is 1 or more.")
    targets = [Target(url, _basic(user)) for url, user in zip_longest(given.against, given.user, fillvalue="")]
    if len(targets) == 2:
        pairs = paired(targets[0], targets[1], count, given.rounds, given.quick)
        print_pairs(pairs, f"A {targets[0].url}, B {targets[1].url}, in turn, on {described()}")
        if given.json:
            lines = [pair._asdict() for pair in pairs]
            Path(given.json).write_bytes(orjson.dumps(lines, option=orjson.OPT_INDENT_2) + b"\n")
        return
    if targets:
        rows = against(targets[0], count, given.quick)
        title = f"{targets[0].url}, {datetime.now(UTC):%Y-%m-%d}"
    elif given.growth:
        rows = grow(given.growth)
    elif given.profiles:
        rows = profiles()
    else:
        rows = [*profiles(min(count, 5_000)), *run(count, given.quick)]
    table = Table(title=title)
    for column in ("what", "value", "unit", "ratio", "to", "aim"):
        table.add_column(column, justify="right" if column in ("value", "ratio", "aim") else "left")
    for row in rows:
        value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.1f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.name, value, row.unit, ratio, row.of, "" if row.aim is None else f"{row.aim:.2f}")
    Console(width=130).print(table)
    if given.json:
        lines = [{**row._asdict(), "name": row.name.strip()} for row in rows]
        Path(given.json).write_bytes(orjson.dumps(lines, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    if _MODE in os.environ:
        serve(load(os.environ), with_constant)
    else:
        main()
