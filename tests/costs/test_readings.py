"""Costs of reading, giving out and working on what was stored: no more than their bound."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson
import pytest

from tests.costs.bounds import JOBS, MIB, PACKAGES, READINGS, STATEMENTS, Bound
from tests.costs.cases import EVERY, LANGUAGES, SEED, V2, some
from tests.costs.meter import Answer, Cost, Held, Measured, busy, run
from tests.costs.planted import NAMED, PLANTED, Planting, chain, learner_of, plant, verb_of
from tests.costs.report import noted

Note = Callable[[str, Any], None]
PAGE_MIB = 9.0


class Reading(NamedTuple):
    """A reading of a planting: the whole of it is looked at, as far as a page goes."""

    name: str
    of: str
    path: str
    headers: dict[str, str]
    who: str = "reader"


def _readings() -> list[Reading]:
    found = []
    for name in [*PLANTED, "attachments"]:
        verb = {"verb": verb_of(name)}
        for form in ("exact", "ids", "canonical"):
            for version in ({}, V2):
                words = "2.0" if version else "1.0.3"
                query = urlencode({**verb, "format": form})
                found.append(Reading(f"{name}, {form}, {words}", name, f"/xAPI/statements?{query}", dict(version)))
        query = urlencode({**verb, "attachments": "true"})
        found.append(Reading(f"{name}, attachments", name, f"/xAPI/statements?{query}", {}))
        query = urlencode({**verb, "format": "canonical"})
        for languages, header in LANGUAGES.items():
            found.append(
                Reading(
                    f"{name}, canonical, {languages}", name, f"/xAPI/statements?{query}", {"Accept-Language": header}
                )
            )
        agent = orjson.dumps(learner_of(name)).decode()
        found.append(Reading(f"{name}, the person", name, f"/xAPI/agents?{urlencode({'agent': agent})}", {}))
        query = urlencode({"agent": agent, "related_agents": "true"})
        found.append(Reading(f"{name}, related", name, f"/xAPI/statements?{query}", {"Accept-Encoding": "br"}))
    return found


def _always() -> list[Reading]:
    """Those that read most from least."""
    canonical = {name: urlencode({"verb": verb_of(name), "format": "canonical"}) for name in PLANTED}
    agent = orjson.dumps(learner_of("small")).decode()
    states = urlencode({"activityId": "https://ent.example/a", "agent": agent})
    return [
        *(
            Reading(f"{name} again", name, f"/xAPI/statements?{canonical[name]}", {"Accept-Language": header})
            for name in (*NAMED, "displays")
            for header in (LANGUAGES["one range of many parts"], "fr")
        ),
        Reading("an activity", "definitions", "/xAPI/activities?activityId=https://ent.example/defined/0", {}),
        Reading("ids of states", "small", f"/xAPI/activities/state?{states}", {}, "source"),
        Reading("a long state", "small", f"/xAPI/activities/state?{states}&stateId=s0", {}, "source"),
        Reading("verdicts", "small", "/api/v1/verdicts", {}, "officer"),
        Reading("audit log", "small", "/api/v1/audit?limit=1000", {}, "officer"),
        Reading("retention", "small", "/api/v1/retention", {}, "officer"),
    ]


@pytest.fixture(scope="module")
def planted(worker: Measured) -> dict[str, Planting]:
    done = plant(worker)
    worker.settle()
    return done


@pytest.mark.parametrize("reading", [*some(_readings(), 40, "readings"), *_always()], ids=lambda each: each.name)
def test_readings(worker: Measured, planted: dict[str, Planting], reading: Reading, record_property: Note) -> None:
    of = planted[reading.of]

    def do() -> Answer:
        return worker.ask("GET", reading.path, b"", getattr(worker, reading.who), reading.headers)

    def size(answer: Answer) -> float:
        # What is longer than a page may be is beyond its bound all the more.
        return min(max(len(answer.content) / MIB, of.mib), PAGE_MIB) + NAMED.get(of.name, 0)

    held = worker.hold(READINGS, do, mib=size, statements=min(of.statements, 500))
    record_property(*noted(held, reading.name))
    assert held.answer.status in (0, 200), held.answer.content[:300]
    assert not held.faults, "; ".join(held.faults)


@pytest.mark.parametrize("name", ["by id", "by id, canonical"])
def test_one_statement(worker: Measured, planted: dict[str, Planting], name: str, record_property: Note) -> None:
    chosen = sorted(planted) if EVERY else random.Random(f"{SEED} {name}").sample(sorted(planted), 8)
    faults = []
    for each in chosen:
        of = planted[each]
        params = {"statementId": of.one, **({"format": "canonical"} if "canonical" in name else {})}
        mib = of.mib / of.statements

        def do(params: dict[str, str] = params) -> Answer:
            headers = {"Accept-Language": LANGUAGES["many ranges of many parts"]}
            return worker.ask("GET", "/xAPI/statements", b"", worker.reader, headers, **params)

        def size(answer: Answer, mib: float = mib + NAMED.get(of.name, 0)) -> float:
            return max(len(answer.content) / MIB, mib)

        held = worker.hold(READINGS, do, mib=size, statements=1)
        record_property(*noted(held, f"{each}, {name}"))
        faults += [f"{each}: {fault}" for fault in held.faults]
    assert not faults, "; ".join(faults)


@pytest.mark.parametrize("name", [*PLANTED, "attachments"])
def test_packages(worker: Measured, planted: dict[str, Planting], name: str, record_property: Note) -> None:
    of = planted[name]
    body = orjson.dumps({"agents": [of.learner]})
    held = worker.hold(
        PACKAGES,
        lambda: worker.ask("POST", "/api/v1/persons/access", body, worker.officer),
        mib=of.mib + (6 if name == "small" else 0),
        statements=of.statements,
    )
    record_property(*noted(held, name))
    assert held.answer.status in (0, 200), held.answer.content[:300]
    assert not held.faults, "; ".join(held.faults)


def test_who_is_one_of_many(worker: Measured, planted: dict[str, Planting], record_property: Note) -> None:
    body = orjson.dumps({"agents": [{"account": {"homePage": "https://ent.example", "name": "p-7"}}]})
    held = worker.hold(
        PACKAGES,
        lambda: worker.ask("POST", "/api/v1/persons/access", body, worker.officer),
        mib=planted["members"].mib,
        statements=planted["members"].statements,
    )
    record_property(*noted(held, "a member of groups of thousands"))
    assert not held.faults, "; ".join(held.faults)


def test_a_chain_of_references(worker: Measured, record_property: Note) -> None:
    faults = []
    for place, statement in enumerate(chain()):
        held = worker.hold(
            STATEMENTS,
            lambda body=statement: worker.ask("POST", "/xAPI/statements", body, worker.plain),
            mib=len(statement) / MIB,
            statements=1,
            # What goes on after an answer counts; where nobody waits for its end, it counts with the next one.
            quiet=0.6 if place % 3 == 0 else 0.0,
        )
        record_property(*noted(held, f"reference {place} of a chain"))
        faults += [f"reference {place}: {fault}" for fault in held.faults]
    assert not faults, "; ".join(faults)


def test_nothing_is_kept(worker: Measured) -> None:
    assert not worker.kept_faults()


COMMANDS: dict[str, tuple[str, ...]] = {
    "aggregate": ("jobs", "run", "aggregate"),
    "patterns": ("jobs", "run", "patterns"),
    "retention": ("jobs", "run", "retention"),
    "requests": ("jobs", "run", "requests"),
    "export": ("jobs", "run", "export"),
    "backup": ("backup", "{folder}/backup"),
    "verify a backup": ("backup", "verify", "{folder}/backup"),
    "verify the audit log": ("audit", "verify"),
    "find a person": ("person", "find", "--account", "https://ent.example", "p-7"),
    # These wait for every process to have noticed.
    **({"index key": ("keys", "rotate", "--index"), "reindex": ("keys", "reindex")} if EVERY else {}),
    "reseal": ("jobs", "run", "reseal"),
    "erase": ("person", "erase", "--account", "https://ent.example", "p-7", "--yes"),
    "erasure": ("jobs", "run", "erasure"),
}


@pytest.fixture(scope="module")
def idle_command(worker: Measured) -> float:
    """MiB of a command that does next to nothing."""
    return run(worker.server.environ, "source", "list").memory


@pytest.mark.parametrize("name", COMMANDS)
def test_jobs(
    worker: Measured,
    planted: dict[str, Planting],
    idle_command: float,
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
    record_property: Note,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    words = [word.format(folder=folder) for word in COMMANDS[name]]
    before = busy(worker.mongod)
    ran = run(worker.server.environ, *words)
    spent = Cost(ran.seconds, busy(worker.mongod) - before, ran.memory - idle_command, 0.0)
    bound: Bound = JOBS
    answer = Answer(200, {}, ran.said.encode())
    held = Held(
        bound,
        answer,
        spent,
        sum(each.mib for each in planted.values()) + 6,
        sum(each.statements for each in planted.values()),
    )
    record_property(*noted(held, name))
    assert ran.code == 0, ran.said
    assert not held.faults, "; ".join(held.faults)
