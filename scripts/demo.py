"""The demonstration: a whole Sillage, from nothing, over its real interfaces."""

from __future__ import annotations

import argparse
import fcntl
import gzip
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import demo_people
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.access import scopes
from app.access.credentials import NewCredential
from app.core import clock, contracts
from app.core.errors import FileRefused, OperatorError, SillageError
from app.platform.jobs.run import execute
from app.platform.mongo.embedded.supervisor import Layout, lock
from app.settings import load
from app.simulation.traces import simulate
from app.standards.profiles.document import Profile
from app.standards.profiles.document import load as load_profile
from app.web import logs
from app.wiring.container import Container

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("var", "demo")
MARK = "made-by-scripts-demo"
PIDS = "pids"
BATCH = 500
CONNECTIONS = 4
LOOKED_AT = 1_000

console = Console(highlight=False, soft_wrap=True)


Line = tuple[int, bytes]
"""A statement as JSON, with the number of its line."""


class Stopped(Exception):
    """A person or the system asks to stop."""


class Sender(NamedTuple):
    """A source of the demonstration, with its credentials and statements."""

    source: str
    credential: NewCredential
    statements: Iterable[Line]
    total: int | None
    sample: Sequence[Line]


class Tally:
    """Tally of answers to what was sent; filled by several threads."""

    def __init__(self) -> None:
        self.stored = 0
        self.refused: Counter[str] = Counter()
        self.first_line: dict[str, int] = {}
        self.lock = threading.Lock()


def lines(path: Path) -> Iterator[Line]:
    """The lines of a file of JSON lines, gzip or not, with their numbers.

    Raises:
        FileRefused: it cannot be read, or is gzip in name only, or is cut short.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(2)
        packed = magic == b"\x1f\x8b"
        if path.suffix == ".gz" and not packed:
            raise FileRefused(f"{path.name} is named .gz but is not gzip.")
        with gzip.open(path) if packed else path.open("rb") as content:
            for number, line in enumerate(content, 1):
                if line.strip():
                    yield number, line.strip()
    except (OSError, EOFError, zlib.error) as refused:
        raise FileRefused(f"{path.name} cannot be read to its end: missing, not readable, or cut short.") from refused


def promised(sample: Sequence[Line], folder: Path) -> list[tuple[Profile, bytes]]:
    """The profiles beside a file that its statements name among their context's categories."""
    named: set[str] = set()
    for _, line in sample:
        with suppress(orjson.JSONDecodeError, AttributeError, TypeError):
            category = (orjson.loads(line).get("context") or {}).get("contextActivities", {}).get("category", [])
            named.update(one["id"] for one in (category if isinstance(category, list) else [category]))
    found = []
    for path in sorted(folder.glob("*.jsonld")):
        document = path.read_bytes()
        profile = load_profile(document)
        if named & {profile.id, profile.version}:
            found.append((profile, document))
    return found


class Demo:
    """The running store: the LRS, the scheduler, and the container with which an operator works."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.environment = {
            "SILLAGE_DATA_DIR": str(folder),
            "SILLAGE_BIND": f"127.0.0.1:{port}",
            "SILLAGE_PUBLIC_URL": self.url,
            "SILLAGE_AGGREGATE_CRON": "* * * * *",
            "SILLAGE_LOG_LEVEL": "warning",
            "SILLAGE_SERVICE_NAME": "Traces d’apprentissage (démonstration)",
            # On this machine alone; the pages say so.
            "SILLAGE_DEMO_WITHOUT_SECOND_FACTOR": "true",
        }
        self.container = Container(load(self.environment))
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: str) -> None:
        """Run ``sillage <command>`` beside this process; its log goes to the data folder."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("SILLAGE_", "PROMETHEUS_"))}
        with (self.folder / f"{command}.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "app.cli", command],
                    env={**kept, **self.environment},
                    cwd=ROOT,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C reaches this process only, which then stops the others in order.
                    start_new_session=True,
                )
            )

        running = [os.getpid(), *(process.pid for process in self.processes)]
        (self.folder / PIDS).write_text(" ".join(map(str, running)))

    def wait_ready(self) -> None:
        """Wait until the LRS answers that it is ready."""
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            if self.processes[-1].poll() is not None:
                break
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)
        raise OperatorError(f"The LRS did not start: see {self.folder}/serve.log.")

    def stop(self) -> None:
        """Stop everything, last started first."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(45)
        self.container.close()

    def send(self, sender: Sender, label: str) -> Tally:
        """Send statements in batches over several connections, with a progress bar."""
        tally = Tally()
        batches = iter(batched(sender.statements, BATCH))
        taking = threading.Lock()
        failed: list[BaseException] = []
        token = b64encode(f"{sender.credential.id}:{sender.credential.secret}".encode()).decode()
        headers = {
            "Authorization": f"Basic {token}",
            "X-Experience-API-Version": "1.0.3",
            "Content-Type": "application/json",
        }

        def work(advance: Any) -> None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                while not failed:
                    with taking:
                        batch = next(batches, None)
                    if batch is None:
                        return
                    post(connection, headers, batch, tally)
                    advance(len(batch))
            except BaseException as error:
                failed.append(error)

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(label, total=sender.total)
            threads = [
                threading.Thread(target=work, args=(lambda count: progress.advance(task, count),), daemon=True)
                for _ in range(CONNECTIONS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if failed:
            raise failed[0]
        return tally


def batched(items: Iterable[Line], size: int) -> Iterator[list[Line]]:
    """Lists of at most ``size``."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def post(connection: http.client.HTTPConnection, headers: dict[str, str], batch: list[Line], tally: Tally) -> None:
    """Send a batch; one that is refused for a fault is halved until the faulty statements stand alone."""
    connection.request("POST", "/xAPI/statements", b"[" + b",".join(line for _, line in batch) + b"]", headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status == 200:
        with tally.lock:
            tally.stored += len(batch)
    elif answer.status in (400, 409, 413) and len(batch) > 1:
        middle = len(batch) // 2
        post(connection, headers, batch[:middle], tally)
        post(connection, headers, batch[middle:], tally)
    elif answer.status in (400, 409, 413):
        problem = orjson.loads(content)
        fault = (problem.get("faults") or [{}])[0]
        reason = f"{problem['code']}: {fault.get('message', problem['detail'])} [{fault.get('section', '')}]"
        with tally.lock:
            tally.refused[reason] += 1
            number = batch[0][0]
            tally.first_line[reason] = min(number, tally.first_line.get(reason, number))
    else:
        raise OperatorError(f"The LRS answered {answer.status}: serve.log in the data folder says why.")


def prepare(demo: Demo, options: argparse.Namespace) -> list[Sender]:
    """Register processing activities, profiles and sources, as an operator does."""
    container = demo.container
    for name in ("ent", "p2ia"):
        container.governance.register.add(
            (ROOT / "docs" / "examples" / "processing-activities" / f"{name}.json").read_bytes()
        )
    own = {
        name: container.traces.profiles.add(contracts.folder("profiles", f"{name}.jsonld").read_bytes())
        for name in ("ent", "p2ia")
    }
    names = {"ent": "Digital workspace (simulated)", "p2ia": "Adaptive tutor (simulated)"}
    credentials = {
        name: container.operations.sources.add(
            name, name=names[name], activity=name, profiles=[own[name].id], mode="warn", actor="cli:demo"
        )[1]
        for name in ("ent", "p2ia")
    }
    if options.statements:
        source = lines(options.statements)
        sample = list(islice(source, LOOKED_AT))
        found = promised(sample, options.statements.parent / "profiles")
        for path in options.profile:
            document = path.read_bytes()
            found.append((load_profile(document), document))
        profiles = [container.traces.profiles.add(document).id for _, document in found]
        _, credential = container.operations.sources.add(
            "file", name=options.statements.name, activity="p2ia", profiles=profiles, mode="warn", actor="cli:demo"
        )
        console.print(f"Profiles that the file's statements name: {', '.join(profiles) or 'none'}")
        total = sum(1 for _ in lines(options.statements))
        return [Sender("file", credential, chain(sample, source), total, sample)]
    start = date.today() - timedelta(days=options.days)
    made: dict[str, list[Line]] = {"ent": [], "p2ia": []}
    with console.status("simulating schools"):
        for trace in simulate(seed=options.seed, pupils=options.pupils, days=options.days, start=start):
            made[trace.source].append((len(made[trace.source]) + 1, orjson.dumps(trace.statement)))
    return [Sender(name, credentials[name], traces, len(traces), traces) for name, traces in made.items()]


def report(demo: Demo, source: str) -> None:
    """Print the number of statements that conform, and to which template."""
    counts = demo.container.traces.profiles.counts(source)
    whole = {count.outcome: count.statements for count in counts if not count.template}
    if not whole:
        console.print("  no profile was promised, so nothing was checked against one")
        return
    words = {
        "conforms": "conform",
        "fails": "fail a template",
        "unmatched": "match no template",
        "rejected": "rejected",
    }
    console.print("  " + ", ".join(f"{whole[name]:,} {words[name]}" for name in words if name in whole))
    by_template: dict[str, Counter[str]] = {}
    for count in counts:
        if count.template and not count.template.startswith("minors:"):
            by_template.setdefault(count.template, Counter())[count.outcome] += count.statements
    people: Counter[str] = Counter()
    for count in counts:
        if count.template.startswith("minors:"):
            people[f"{count.template.removeprefix('minors:')} {count.outcome}"] += count.statements
    console.print(
        f"    of people: {', '.join(f'{count:,} {what}' for what, count in people.items()) or 'nothing found'}"
    )
    for template, outcomes in sorted(by_template.items()):
        console.print(f"    {template}: {outcomes['conforms']:,} conform, {outcomes['fails']:,} fail")


def settle(demo: Demo, expected: int) -> None:
    """Wait until the workers have written their verdict counters (a heartbeat)."""
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        if sum(count.statements for count in demo.container.traces.profiles.counts() if not count.template) >= expected:
            return
        time.sleep(0.1)


def run_jobs(demo: Demo) -> None:
    """Run the jobs once, under the scheduler's lease, then leave them to the scheduler."""
    container = demo.container
    jobs = {job.name: job for job in container.jobs}
    with console.status("aggregating"), container.platform.leadership.acquire() as lease:  # type: ignore[union-attr] # nobody else
        container.platform.job_repository.declare({job.name: job.cron for job in container.jobs}, clock.now_us())
        for name in ("aggregate", "retention", "export", "audit-anchor"):
            run = execute(jobs[name], lease, container.platform.job_repository, clock.now_us)
            if run.error:
                raise OperatorError(f"The job {name} failed: {run.error}.")
            console.print(f"  job {name}: {summary(run.summary or {})}")
    demo.start("scheduler")
    limit = time.monotonic() + 30
    while container.platform.leadership.held() is None and time.monotonic() < limit:
        time.sleep(0.1)
    console.print("  the scheduler leads: aggregates are refreshed each minute while it runs")


def summary(values: Any) -> str:
    """A job's summary in words."""
    return (
        ", ".join(
            f"{name} {value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{name} {value}"
            for name, value in values.items()
            if not isinstance(value, dict) and name not in ("through", "anchor")
        )
        or "done"
    )


def main() -> None:
    """Run the demonstration."""
    options = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    options.add_argument("--once", action="store_true", help="end when everything has run")
    options.add_argument("--statements", type=Path, metavar="FILE", help="JSON lines, gzip or not, sent instead")
    options.add_argument(
        "--profile",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="xAPI Profile that FILE promises; by default those in `profiles/` beside it that it names",
    )
    options.add_argument("--pupils", type=int, default=1_000, help="pupils simulated (default 1000)")
    options.add_argument("--days", type=int, default=7, help="days simulated (default 7)")
    options.add_argument("--seed", type=int, default=1, help="seed of the simulation (default 1)")
    options.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (default 8000; 0 takes a free one)")
    options.add_argument("--folder", type=Path, default=FOLDER, help=f"its data, made anew (default {FOLDER})")
    given = options.parse_args()
    try:
        run(given)
    except Stopped:
        console.print("Stopped. / Arrêté.")
    except SillageError as error:
        console.print(f"[bold red]{error.title} / {error.title_fr}[/]\n{error.detail}")
        sys.exit(2)


def port_to_use(wanted: int) -> int:
    """``wanted`` when it is free, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise OperatorError("No port is free on 127.0.0.1.")


def clear(folder: Path) -> None:
    """Start from nothing; a demonstration that still runs is left alone."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise OperatorError(f"{folder} holds something else than a demonstration. Choose another --folder.")
        orphans(folder)
        if (folder / "mongodb").exists():
            wait_free(folder)
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MARK).touch()


def orphans(folder: Path) -> None:
    """Stop what a demonstration left running when it was killed."""
    try:
        owner, *children = map(int, (folder / PIDS).read_text().split())
    except (OSError, ValueError):
        return
    if ours(owner, b"demo.py"):
        raise OperatorError(f"Another demonstration runs on {folder} (process {owner}). Stop it first, with Ctrl-C.")
    for child in children:
        if ours(child, b"app.cli"):
            os.kill(child, signal.SIGTERM)
    limit = time.monotonic() + 45
    while any(ours(child, b"app.cli") for child in children) and time.monotonic() < limit:
        time.sleep(0.1)


def ours(pid: int, word: bytes) -> bool:
    """True if that process lives and has the word in its command line."""
    try:
        return word in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_free(folder: Path) -> None:
    """Wait until the MongoDB of an ended demonstration has stopped, which takes a second or two."""
    limit = time.monotonic() + 20
    while (descriptor := lock(Layout(folder / "mongodb").supervisor_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)) is None:
        if time.monotonic() > limit:
            raise OperatorError(f"The MongoDB of {folder} is still in use by some `sillage` command. Stop that first.")
        time.sleep(0.2)
    os.close(descriptor)


def run(given: argparse.Namespace) -> None:
    """Everything, in order."""
    if given.statements:
        if not given.statements.is_file():
            raise FileRefused(f"There is no file {given.statements}.")
        with console.status("reading the file"):
            if not sum(1 for _ in lines(given.statements)):
                raise FileRefused(f"{given.statements.name} is empty.")
    folder = given.folder.absolute()
    logs.configure("warning", "console")
    clear(folder)
    began = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stopped)
    port = port_to_use(given.port)
    if given.port and port != given.port:
        console.print(f"Port {given.port} is taken: this demonstration uses {port}.")
    demo = Demo(folder, port)
    try:
        console.print("[bold]1. A store of its own[/] / un dépôt à lui")
        with console.status("starting MongoDB and the LRS"):
            done = demo.container.lifecycle.initialise()
            demo.start("serve")
            demo.wait_ready()
        console.print(f"  made: {', '.join(done)}; the LRS answers on {demo.url}/xAPI")
        console.print("[bold]2. Processing activities, profiles, sources[/] / traitements, profils, sources")
        senders = prepare(demo, given)
        for activity in demo.container.governance.register.list():
            concerns = ", concerns minors" if activity.minors else ""
            console.print(f"  activity {activity.id}: kept {activity.retention.active_days} days{concerns}")
        for source, _ in demo.container.operations.sources.list():
            console.print(f"  source {source.id}: names, addresses and INE: {source.minors}")
        console.print("[bold]3. Statements through the HTTP API[/] / des traces par l'interface HTTP")
        stored = 0
        for sender in senders:
            start = time.monotonic()
            tally = demo.send(sender, f"  {sender.source}")
            seconds = time.monotonic() - start
            stored += tally.stored
            console.print(f"  {sender.source}: {tally.stored:,} stored, {tally.stored / seconds:,.0f} a second")
            for reason, count in tally.refused.most_common(5):
                console.print(
                    f"    {count:,} refused, first on line {tally.first_line[reason]}: {reason}", markup=False
                )
            if sender.total and not tally.stored:
                raise FileRefused("Not one statement was accepted: the file must hold one JSON statement a line.")
            settle(demo, stored)
            report(demo, sender.source)
        console.print("[bold]4. People[/] / les personnes")
        people = accounts(demo, senders[-1])
        console.print("[bold]5. Jobs: aggregates, retention, export, audit[/] / agrégats, conservation, export, audit")
        run_jobs(demo)
        verified = demo.container.governance.audit.verify()
        console.print(
            f"  audit log: {verified.entries:,} entries in {verified.chains} chains, "
            + ("intact" if verified.intact else "ALTERED")
        )
        where_to_look(demo, senders, people, once=given.once)
        console.print(f"Everything above took {time.monotonic() - began:.0f} s.")
        if not given.once:
            console.print("Serving until Ctrl-C. / En service jusqu'à Ctrl-C.")
            while True:
                time.sleep(1)
                for process in demo.processes:
                    if process.poll() is not None:
                        raise OperatorError(f"A process ended by itself: see the logs in {demo.folder}.")
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        with console.status("stopping"):
            demo.stop()


def stopped(*_: object) -> None:
    """Leave what is under way: everything is then stopped in order."""
    raise Stopped


def accounts(demo: Demo, sender: Sender) -> Sequence[demo_people.Account]:
    """Make accounts with which to click through the pages."""
    found = demo_people.seen(statement for _, line in sender.sample if isinstance(statement := loaded(line), dict))
    with console.status("accounts"):
        made = demo_people.settle(demo.container, sender.source, found, date.today() - timedelta(days=400))
    console.print(f"  accounts: {len(made)}; made-up schools: {len(found.schools)}")
    return made


def loaded(line: bytes) -> object:
    """A line as JSON; None where it is none."""
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(line)
    return None


def where_to_look(demo: Demo, senders: Sequence[Sender], people: Sequence[demo_people.Account], *, once: bool) -> None:
    """Addresses and credentials to go on with."""
    issue = demo.container.operations.sources.issue
    researcher = issue(source=None, label="researcher", scopes=scopes.ROLES["researcher"], actor="cli:demo")
    dpo = issue(source=None, label="dpo", scopes=scopes.ROLES["dpo"], actor="cli:demo")
    sender = senders[-1]
    version = "-H 'X-Experience-API-Version: 1.0.3'"
    console.print("[bold]Where to look[/] / où regarder")
    if once:
        bind = f"SILLAGE_BIND=127.0.0.1:{demo.port}"
        console.print(
            f"  # serve it again first: SILLAGE_DATA_DIR={demo.folder} {bind} .venv/bin/sillage serve", markup=False
        )
    for words, key, address in (
        (f"the source {sender.source}", sender.credential, f"{version} '{demo.url}/xAPI/statements?limit=2'"),
        ("how it fared", sender.credential, f"'{demo.url}/api/v1/verdicts'"),
        ("a researcher", researcher, f"'{demo.url}/api/v1/aggregates/{quote('daily_activity')}?by=source'"),
        ("a DPO", dpo, f"'{demo.url}/api/v1/retention'"),
    ):
        console.print(f"  # {words}", markup=False)
        console.print(f"  curl -u {key.id}:{key.secret} {address}", markup=False)
    for package in sorted((demo.folder / "exports").glob("*/")):
        console.print(f"  data package: {package}", markup=False)
    console.print(f"  any command: SILLAGE_DATA_DIR={demo.folder} .venv/bin/sillage --help", markup=False)
    console.print(
        f"  [bold]pages: {demo.url}/[/] sign in with the password [bold]{demo_people.PASSWORD}[/] as / connectez-vous "
        "comme"
    )
    for one in people:
        console.print(f"    {one.login:<30} {one.who}", markup=False)


if __name__ == "__main__":
    main()
