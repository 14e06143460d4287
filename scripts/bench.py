"""The benchmark: every figure beside a limit that is measured in the same run, on the same machine.

The statements are simulated from a seed. The service runs as in production (gunicorn, sealed storage, validation, the
profile's templates checked); the client is this process, so both share the machine.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app import contracts
from app.factory import Parts
from app.settings import load
from app.simulation.traces import simulate
from app.storage.declared import Declared
from app.storage.documents import COLLECTIONS as DOCUMENT_COLLECTIONS
from app.storage.documents import NAME as DOCUMENTS
from app.storage.migrations import create
from app.storage.statements import COLLECTIONS, NAME, Filter

ROOT = Path(__file__).resolve().parents[1]
LIMIT = "raw insert_many, batch 500, 4 threads"


class Row(NamedTuple):
    """One figure; ``ratio`` is to the limit that ``of`` names."""

    name: str
    value: float
    unit: str
    ratio: float | None
    of: str


class Client:
    """One keep-alive connection to the service."""

    def __init__(self, port: int, authorization: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {
            "Authorization": authorization,
            "X-Experience-API-Version": "1.0.3",
            "Content-Type": "application/json",
        }

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One exchange; anything but 200 and 204 ends the benchmark."""
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status not in (200, 204):
            raise SystemExit(f"{method} answered {answer.status}: {content[:300]!r}")
        return content


def spread(work: Sequence[Any], threads: int, make: Callable[[], Callable[[Any], object]]) -> tuple[float, list[float]]:
    """Do every item of ``work`` over ``threads`` threads; seconds in all, and the seconds of each item."""
    items = iter(work)
    lock = threading.Lock()
    times: list[float] = []
    failed: list[BaseException] = []

    def turn() -> None:
        try:
            do = make()
            mine = []
            while True:
                with lock:
                    item = next(items, None)
                if item is None:
                    break
                began = time.perf_counter()
                do(item)
                mine.append(time.perf_counter() - began)
            times.extend(mine)
        except BaseException as error:  # told in the main thread
            failed.append(error)

    running = [threading.Thread(target=turn) for _ in range(threads)]
    began = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failed:
        raise failed[0]
    return time.perf_counter() - began, sorted(times)


def quantile(times: Sequence[float], share: float) -> float:
    """A quantile, in milliseconds, of sorted seconds."""
    return times[min(len(times) - 1, int(len(times) * share))] * 1000


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


@contextmanager
def service(folder: Path) -> Iterator[tuple[Parts, int, str]]:
    """A store of its own, served by ``sillage serve``; gives the parts, the port and the authorization."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {
        "SILLAGE_DATA_DIR": str(folder),
        "SILLAGE_BIND": f"127.0.0.1:{port}",
        "SILLAGE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "SILLAGE_EMBEDDED_CACHE_MB": "1024",
        "SILLAGE_LOG_LEVEL": "warning",
    }
    parts = Parts(load(given))
    parts.initialise()
    parts.register.add((ROOT / "docs" / "examples" / "activities" / "p2ia.json").read_bytes())
    profile = parts.profiles.add(contracts.folder("profiles", "p2ia.jsonld").read_bytes())
    activity = parts.register.list()[0].id
    _, credential = parts.sources.add(
        "bench",
        name="Bench",
        activity=activity,
        profiles=[profile.id],
        scopes=["statements/write", "statements/read/mine", "state"],
        actor="cli:bench",
    )
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("SILLAGE_", "PROMETHEUS_"))}
    process = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env={**environment, **given}, cwd=ROOT)
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
        yield parts, port, f"Basic {token}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        parts.close()


def raw(parts: Parts, documents: Sequence[dict[str, Any]], size: int, threads: int) -> tuple[float, list[float]]:
    """Insert the same sealed documents into an empty collection with the same indexes and write concern."""
    name = f"raw_{uuid4().hex[:8]}"
    create(parts.store, (Declared(name, COLLECTIONS[0].indexes),))
    collection = parts.store.collection(name)
    batches = [documents[start : start + size] for start in range(0, len(documents), size)]
    if size == 1:
        result = spread([batch[0] for batch in batches], threads, lambda: collection.insert_one)
    else:
        result = spread(batches, threads, lambda: collection.insert_many)
    collection.drop()
    return result


def run(count: int, quick: bool) -> list[Row]:
    """Measure everything."""
    rows: list[Row] = []
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix="sillage-bench-"))
    singles = 1_000 if quick else 4_000
    gets = 200 if quick else 1_000
    with Progress(console=console, transient=True) as progress:
        steps = progress.add_task("simulating", total=9)

        def step(words: str) -> None:
            progress.update(steps, advance=1, description=words)

        made = traces(count)
        fifties = made[: min(count, 5_000 if quick else 50_000)]
        try:
            with service(folder) as (parts, port, authorization):

                def poster() -> Callable[[bytes], object]:
                    client = Client(port, authorization)
                    return lambda body: client.call("POST", "/xAPI/statements", body)

                def post(statements: Sequence[dict[str, Any]], size: int, threads: int) -> tuple[float, list[float]]:
                    bodies = [
                        orjson.dumps(statements[at : at + size] if size > 1 else statements[at])
                        for at in range(0, len(statements), size)
                    ]
                    return spread(bodies, threads, poster)

                # Warm: the learners' keys are made and the workers have compiled what they need.
                post(made[:2_000], 500, 4)
                collection = parts.store.collection(NAME)
                step("HTTP, batch 500")
                seconds, times = post(made, 500, 4)
                batch_500 = len(made) / seconds, times
                step("the limit: raw insert_many")
                documents = list(collection.find({}).sort("stored", 1).limit(len(made)))
                rates = {}
                for size, threads, most in ((500, 4, len(documents)), (50, 4, len(fifties)), (1, 16, singles)):
                    seconds, _ = raw(parts, documents[:most], size, threads)
                    rates[size] = most / seconds
                limit = rates[500]
                rows.append(Row(LIMIT, limit, "statements/s", 1.0, "itself"))
                rows.append(
                    Row(
                        "raw insert_many, batch 50, 4 threads",
                        rates[50],
                        "statements/s",
                        rates[50] / limit,
                        "the limit",
                    )
                )
                rows.append(Row("raw insert_one, 16 threads", rates[1], "statements/s", rates[1] / limit, "the limit"))

                rows.append(
                    Row(
                        "HTTP, batch 500, 4 connections",
                        batch_500[0],
                        "statements/s",
                        batch_500[0] / limit,
                        "the limit",
                    )
                )
                rows.append(Row("  p50 of a batch", quantile(batch_500[1], 0.5), "ms", None, ""))
                rows.append(Row("  p99 of a batch", quantile(batch_500[1], 0.99), "ms", None, ""))
                step("HTTP, batch 50")
                seconds, times = post(fifties, 50, 4)
                rate = len(fifties) / seconds
                rows.append(Row("HTTP, batch 50, 4 connections", rate, "statements/s", rate / limit, "the limit"))
                step("HTTP, single")
                seconds, times = post(made[:singles], 1, 16)
                rows.append(
                    Row(
                        "HTTP, single, 16 connections",
                        singles / seconds,
                        "statements/s",
                        singles / seconds / rates[1],
                        "raw insert_one",
                    )
                )
                rows.append(Row("  p50 of a POST", quantile(times, 0.5), "ms", None, ""))
                rows.append(Row("  p99 of a POST", quantile(times, 0.99), "ms", None, ""))

                step("GET by agent")
                rows += by_agent(parts, made, port, authorization, gets)
                step("State documents")
                rows += states(parts, made, port, authorization, singles)
                step("bytes on disk")
                parts.store.client.admin.command("fsync")
                stats = parts.store.db.command("collStats", NAME)
                stored = stats["count"]
                plain = sum(len(orjson.dumps(one)) for one in made[:2_000]) / 2_000
                size = (stats["storageSize"] + stats["totalIndexSize"]) / stored
                rows.append(
                    Row(
                        "bytes on disk per statement, indexes included",
                        size,
                        "B",
                        size / plain,
                        f"{plain:.0f} B of JSON",
                    )
                )
                step("aggregate")
                rows += aggregated(parts, collection)
                step("done")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return rows


def by_agent(parts: Parts, made: Sequence[dict[str, Any]], port: int, authorization: str, gets: int) -> list[Row]:
    """GET by agent, limit 100, beside the bare cursor over the same documents."""
    from app.vault.kinds import AGENT
    from app.xapi.identifiers import agent_identifier

    busiest = Counter(orjson.dumps(one["actor"]) for one in made).most_common(50)
    agents = [orjson.loads(actor) for actor, _ in busiest]
    tokens = [parts.keys.token(AGENT, agent_identifier(agent) or "") for agent in agents]
    collection = parts.store.collection(NAME)

    def bare(token: bytes) -> int:
        found = collection.find({"t": token, "stored": {"$exists": True}, "void": {"$exists": False}})
        return len(list(found.sort([("stored", -1), ("_id", -1)]).limit(100).batch_size(101)))

    def getter() -> Callable[[dict[str, Any]], object]:
        client = Client(port, authorization)

        def get(agent: dict[str, Any]) -> object:
            return client.call(
                "GET", "/xAPI/statements?" + urlencode({"agent": orjson.dumps(agent).decode(), "limit": 100})
            )

        return get

    limit_seconds, _ = spread([tokens[n % len(tokens)] for n in range(gets)], 4, lambda: bare)
    seconds, times = spread([agents[n % len(agents)] for n in range(gets)], 4, getter)
    return [
        Row("bare cursor by agent, 100 documents, 4 threads", gets / limit_seconds, "requests/s", 1.0, "itself"),
        Row(
            "GET by agent, limit 100, 4 connections",
            gets / seconds,
            "requests/s",
            limit_seconds / seconds,
            "the bare cursor",
        ),
        Row("  p50 of a GET", quantile(times, 0.5), "ms", None, ""),
        Row("  p99 of a GET", quantile(times, 0.99), "ms", None, ""),
        *anatomy(parts, tokens[0]),
    ]


def anatomy(parts: Parts, token: bytes) -> list[Row]:
    """Where the time of a GET of 100 statements in exact format goes, one after the other in this process."""
    rounds = 100
    spent = {"MongoDB": 0.0, "keys and decryption": 0.0, "the answer's JSON": 0.0}
    for _ in range(rounds):
        began = time.perf_counter()
        found = parts.statements.page(Filter(((token,),)), after=None, ascending=False, limit=100).rows
        fetched = time.perf_counter()
        plain = parts.reader.opened(found)
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


def states(parts: Parts, made: Sequence[dict[str, Any]], port: int, authorization: str, count: int) -> list[Row]:
    """State documents of 1 KiB put and read over 16 connections, beside the bare operations on what was sealed."""
    body = orjson.dumps({"bookmark": "page-7", "answers": ["0123456789abcdef"] * 48})
    paths = [
        "/xAPI/activities/state?"
        + urlencode(
            {
                "activityId": "https://example.fr/activities/bench",
                "agent": orjson.dumps(one["actor"]).decode(),
                "stateId": f"state-{place}",
            }
        )
        for place, one in enumerate(made[:count])
    ]

    def caller(method: str, content: bytes | None) -> Callable[[], Callable[[str], object]]:
        def make() -> Callable[[str], object]:
            client = Client(port, authorization)
            return lambda path: client.call(method, path, content)

        return make

    rows = []
    put_seconds, put_times = spread(paths, 16, caller("PUT", body))
    get_seconds, get_times = spread(paths, 16, caller("GET", None))
    sealed = list(parts.store.collection(DOCUMENTS).find({}))
    name = f"raw_{uuid4().hex[:8]}"
    create(parts.store, (Declared(name, DOCUMENT_COLLECTIONS[0].indexes),))
    bare = parts.store.collection(name)
    raw_put, _ = spread(sealed, 16, lambda: bare.insert_one)
    raw_get, _ = spread([each["_id"] for each in sealed], 16, lambda: lambda key: bare.find_one({"_id": key}))
    bare.drop()
    for verb, seconds, times, limit, of in (
        ("PUT", put_seconds, put_times, raw_put, "raw insert_one"),
        ("GET", get_seconds, get_times, raw_get, "raw find_one"),
    ):
        rows.append(Row(f"{of} of the same documents, 16 threads", len(sealed) / limit, "documents/s", 1.0, "itself"))
        rate = len(paths) / seconds
        rows.append(Row(f"State {verb}, 16 connections", rate, "documents/s", rate / (len(sealed) / limit), of))
        rows.append(Row(f"  p50 of a State {verb}", quantile(times, 0.5), "ms", None, ""))
        rows.append(Row(f"  p99 of a State {verb}", quantile(times, 0.99), "ms", None, ""))
    return rows


def aggregated(parts: Parts, collection: Any) -> list[Row]:
    """The aggregate job over everything stored, beside a bare scan of the same documents."""
    began = time.perf_counter()
    scanned = sum(1 for _ in collection.find({}).sort([("stored", 1), ("_id", 1)]).batch_size(20_000))
    scan = scanned / (time.perf_counter() - began)
    began, cpu = time.perf_counter(), time.process_time()
    summary = parts.aggregates.run()
    seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    return [
        Row("bare scan of the stored documents", scan, "statements/s", 1.0, "itself"),
        Row(
            "aggregate job, one process",
            summary.statements / seconds,
            "statements/s",
            summary.statements / seconds / scan,
            "the bare scan",
        ),
        Row("  per second of its CPU", summary.statements / busy, "statements/s", None, ""),
    ]


def main() -> None:
    """Read the options, measure, print."""
    options = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    options.add_argument("--quick", action="store_true", help="smaller numbers: ends within a minute")
    options.add_argument("--statements", type=int, help="statements of the batch-500 row")
    options.add_argument("--json", metavar="FILE", help="write the rows as JSON too")
    given = options.parse_args()
    rows = run(given.statements or (20_000 if given.quick else 200_000), given.quick)
    table = Table(
        title=f"Sillage on {os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    )
    for column in ("what", "value", "unit", "ratio", "to"):
        table.add_column(column, justify="right" if column in ("value", "ratio") else "left")
    for row in rows:
        value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.1f}"
        table.add_row(row.name, value, row.unit, "" if row.ratio is None else f"{row.ratio:.2f}", row.of)
    Console(width=120).print(table)
    if given.json:
        lines = [{"name": row.name.strip(), "value": row.value, "unit": row.unit, "ratio": row.ratio} for row in rows]
        Path(given.json).write_bytes(orjson.dumps(lines, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
