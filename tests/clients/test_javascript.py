"""The JavaScript clients ``@xapi/xapi`` and ``tincanjs`` drive the server, in every version that they speak.

One script for each (``xapi.cjs``, ``tincanjs.cjs``) does the steps listed here and prints one JSON line for each; every
step is a test of its own, so that one which the script left out fails too.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from app.access import scopes
from tests.served import Server

HERE = Path(__file__).parent
SECONDS = 120


def documents(prefix: str) -> list[str]:
    """The steps of a document resource."""
    done = ("written and read", "of text", "merged", "replaced by ETag", "listed", "deleted")
    return [f"{prefix} {each}" for each in done]


BOTH = [
    "about",
    "wrong secret",
    "statement",
    "read by id",
    "statement of a chosen id",
    "statement refused",
    "batch",
    "query by agent",
    "query by verb",
    "query by activity",
    "query by registration",
    "query of everything",
    "query of related",
    "query since and until",
    "more pages",
    "void",
    *documents("state"),
    "state of a registration",
    "states deleted",
    *documents("activity profile"),
    *documents("agent profile"),
    "activity",
    "attachment",
    "attachments in a query",
]
STEPS = {
    "xapi.cjs": [
        *BOTH,
        "formats",
        "void a batch",
        "person",
        "attachment of any bytes",
        "attachment by axios refused as known",
        "cache buster refused as known",
    ],
    "tincanjs.cjs": BOTH,
}


class Run(NamedTuple):
    """A script, the version it speaks, how it sends (``@xapi/xapi`` has two ways), and what its endpoint ends in.

    With an endpoint that ends in two slashes these clients ask for ``/xAPI//statements``, as others do with one.
    """

    script: str
    version: str
    adapter: str | None = None
    end: str = ""

    def __str__(self) -> str:
        end = "slashes" if self.end else None
        return "-".join(filter(None, (self.script.removesuffix(".cjs"), self.version, self.adapter, end)))


RUNS = [
    *(Run("xapi.cjs", version, "axios") for version in ("1.0.0", "1.0.1", "1.0.2", "1.0.3", "2.0.0")),
    *(Run("xapi.cjs", version, "fetch") for version in ("1.0.3", "2.0.0")),
    *(Run("tincanjs.cjs", version) for version in ("1.0.0", "1.0.1", "1.0.2")),
    *(Run("xapi.cjs", "1.0.3", adapter, "//") for adapter in ("axios", "fetch")),
    Run("tincanjs.cjs", "1.0.2", end="//"),
]


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js, with the clients installed as they are locked."""
    command = shutil.which("node")
    if command is None:
        pytest.fail("Node.js is missing, and with it the JavaScript clients: run scripts/setup --dev", pytrace=False)
    stamp = HERE / "node_modules" / "sillage-installed"
    wanted = hashlib.sha256((HERE / "package.json").read_bytes() + (HERE / "package-lock.json").read_bytes())
    if not stamp.exists() or stamp.read_text().strip() != wanted.hexdigest():
        pytest.fail("The JavaScript clients are not installed as locked: run scripts/setup --dev", pytrace=False)
    return command


class Told(NamedTuple):
    """Output of a script: its steps by name, and the rest."""

    steps: dict[str, dict[str, Any]]
    besides: str


@pytest.fixture(scope="module")
def reported(node: str, server: Server) -> Iterator[dict[Run, Told]]:
    """The output of each run; every run is made once, when its first step is asked for."""
    yield {}


def tell(run: Run, node: str, server: Server) -> Told:
    credential = server.source(scopes=[scopes.ALL])
    given = {"endpoint": server.xapi + run.end, "key": credential.id, "secret": credential.secret, **run._asdict()}
    command = [node, str(HERE / run.script)]
    try:
        done = subprocess.run(command, input=orjson.dumps(given), capture_output=True, timeout=SECONDS, check=False)
        out, besides = done.stdout, f"exit code {done.returncode}\n{done.stderr.decode()}"
    except subprocess.TimeoutExpired as late:
        out, besides = late.stdout or b"", f"stopped after {SECONDS} s"
    steps = {step["step"]: step for step in map(orjson.loads, out.splitlines())}
    return Told(steps, besides)


@pytest.mark.parametrize(
    ("run", "step"),
    [pytest.param(run, step, id=f"{run}-{step.replace(' ', '-')}") for run in RUNS for step in STEPS[run.script]],
)
def test_step(run: Run, step: str, reported: dict[Run, Told], node: str, server: Server) -> None:
    if run not in reported:
        reported[run] = tell(run, node, server)
    steps, besides = reported[run]
    assert step in steps, f"{run.script} did not come to this step: {besides}"
    assert steps[step]["ok"], steps[step]["detail"]


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_every_step_is_listed(run: Run, reported: dict[Run, Told], node: str, server: Server) -> None:
    if run not in reported:
        reported[run] = tell(run, node, server)
    assert set(reported[run].steps) <= set(STEPS[run.script])
    assert reported[run].besides == "exit code 0\n"
