"""Published figures against a count made here from the statements that were sent, sharing nothing with the product.

Real requests, real storage, the job in several pieces, a package: whatever is not hidden must be what was sent.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import frictionless
import pytest

from app.research import refresh
from app.research.aggregates import Query
from app.simulation.traces import simulate
from tests.served import Server, serving
from tests.stores import settle

MINIMUM = 3
EXTENSION = "https://w3id.org/sillage/extensions/"
ADL = "http://adlnet.gov/expapi/verbs/"
RESULTS = {ADL + name for name in ("answered", "completed", "passed", "failed")}
VISITS = {"https://w3id.org/xapi/adl/verbs/logged-in", "http://activitystrea.ms/schema/1.0/access"}

Sent = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("figures"), mongodb_uri, minimum_group=str(MINIMUM)) as server:
        yield server


@pytest.fixture(scope="module")
def sent(running: Server) -> list[Sent]:
    """About 5,000 statements of two sources, over the end of a month and of summer time, sent and counted in pieces.

    Each run but the last dies before it shows anything: what has been shown once follows what is counted only where
    enough learners have changed, and the figures would wait.
    """
    traces = [
        # Some late in the evening: that day in UTC, the next one in Paris until summer time ends.
        trace._replace(
            statement={**trace.statement, "timestamp": f"{trace.statement['timestamp'][:10]}T22:{place % 60:02}:00Z"}
        )
        if place % 8 == 0
        else trace
        for place, trace in enumerate(simulate(seed=11, pupils=34, days=14, start=date(2025, 10, 20)))
    ]
    Random(1).shuffle(traces)
    credentials = {name: running.source(name) for name in ("ent", "p2ia")}
    aggregates = running.container.research.aggregates

    class Killed(Exception):
        """The process of the job ends."""

    def killed(*_: object) -> int:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refresh, "PARTITION", 150)
        patch.setattr(refresh, "STEP", 600)
        patch.setattr(refresh, "FANOUT", 2)
        size = len(traces) // 9
        for start in range(0, len(traces), size):
            piece = traces[start : start + size]
            for name, credential in credentials.items():
                batch = [trace.statement for trace in piece if trace.source == name]
                assert running.post(credential, batch).status_code == 200
                # A retry is no second statement.
                assert running.post(credential, batch[:50]).status_code == 200
            with patch.context() as dying, pytest.raises(Killed):
                dying.setattr(refresh.AggregateJob, "_show", killed)
                aggregates.run()
        settle(running.container)
        aggregates.run()
    assert {status.complete for status in aggregates.status()} == {True}
    return [(trace.source, trace.statement) for trace in traces]


class Fact:
    """Content of a statement that the figures need, read by hand."""

    def __init__(self, source: str, statement: dict[str, Any]) -> None:
        context = statement.get("context", {})
        said = context.get("extensions", {})
        result = statement.get("result", {})
        moment = datetime.fromisoformat(statement["timestamp"]).astimezone(ZoneInfo("Europe/Paris"))
        self.day = moment.date()
        self.week = self.day - timedelta(days=self.day.weekday())
        self.month = self.day.replace(day=1)
        self.verb = statement["verb"]["id"]
        self.learner = statement["actor"]["account"]["name"]
        self.session = context.get("registration")
        self.source = source
        self.school = said.get(EXTENSION + "uai", "")
        self.level = said.get(EXTENSION + "mef", "")[:10]
        self.profile = said.get(EXTENSION + "person-profile", "")
        self.service = said.get(EXTENSION + "service") or context.get("platform") or ""
        self.activity = statement["object"]["id"]
        self.success = result.get("success")
        self.score = result.get("score", {}).get("scaled")
        self.seconds = seconds(result["duration"]) if "duration" in result else None


def seconds(text: str) -> float:
    hours, minutes, rest = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", text).groups()  # type: ignore[union-attr]
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest or 0)


def pupils(facts: list[Fact]) -> set[str]:
    return {fact.learner for fact in facts if fact.profile == "ELEVE"}


def daily(facts: list[Fact]) -> dict[str, float]:
    return {
        "statements": len(facts),
        "persons": len({fact.learner for fact in facts}),
        "learners": len(pupils(facts)),
        "sessions": len({fact.session for fact in facts if fact.session}),
    }


def outcomes(facts: list[Fact]) -> dict[str, float | None]:
    judged = [fact.success for fact in facts if fact.success is not None]
    scores = [fact.score for fact in facts if fact.score is not None]
    times = [fact.seconds for fact in facts if fact.seconds is not None]
    return {
        "attempts": len(facts),
        "persons": len({fact.learner for fact in facts}),
        "learners": len(pupils(facts)),
        "success_rate": sum(judged) / len(judged) if judged else None,
        "mean_score": sum(scores) / len(scores) if scores else None,
        "total_duration": sum(times) if times else None,
        "mean_duration": sum(times) / len(times) if times else None,
    }


def usage(facts: list[Fact]) -> dict[str, float]:
    return {
        "visits": len({fact.session for fact in facts if fact.session}),
        "visitors": len({fact.learner for fact in facts}),
    }


AGGREGATES = {
    "daily_activity": ("day", ("school", "level", "profile", "source", "service"), lambda fact: True, daily),
    "outcomes": (
        "week",
        ("activity", "level", "profile"),
        lambda fact: fact.verb in RESULTS and fact.profile in ("ELEVE", ""),
        outcomes,
    ),
    "ent_usage": ("month", ("profile", "service"), lambda fact: fact.verb in VISITS and fact.profile, usage),
}
WRITTEN_FREELY = {"service", "activity"}


def cells(sent: list[Sent], name: str) -> dict[tuple[str, ...], dict[tuple[str, ...], list[Fact]]]:
    """Facts by roll-up and cell, rare values of what sources write freely put together."""
    period, dimensions, counts, _ = AGGREGATES[name]
    facts = [fact for fact in (Fact(*item) for item in sent) if counts(fact)]
    sharing: dict[tuple[str, date, str], set[str]] = defaultdict(set)
    for fact in facts:
        for dimension in WRITTEN_FREELY & set(dimensions):
            sharing[dimension, getattr(fact, period), getattr(fact, dimension)].add(fact.learner)

    def value(fact: Fact, dimension: str) -> str:
        said = getattr(fact, dimension)
        rare = dimension in WRITTEN_FREELY and len(sharing[dimension, getattr(fact, period), said]) < MINIMUM
        return "(other)" if said and rare else said

    found: dict[tuple[str, ...], dict[tuple[str, ...], list[Fact]]] = {}
    for size in range(len(dimensions) + 1):
        for kept in combinations(dimensions, size):
            lines = found.setdefault(kept, defaultdict(list))
            for fact in facts:
                lines[str(getattr(fact, period)), *(value(fact, one) for one in kept)].append(fact)
    return found


def groups(name: str, facts: list[Fact]) -> list[int]:
    """Learners behind each kind of figure of a cell."""
    kinds = [facts]
    if name == "outcomes":
        kinds += [
            [fact for fact in facts if getattr(fact, part) is not None] for part in ("success", "score", "seconds")
        ]
    else:
        kinds.append([fact for fact in facts if fact.session])
    if name != "ent_usage":
        kinds.append([fact for fact in facts if fact.profile == "ELEVE"])
    return [len({fact.learner for fact in kind}) for kind in kinds if kind]


def compare(name: str, kept: tuple[str, ...], rows: list[dict[str, Any]], expected: dict[Any, list[Fact]]) -> int:
    """Hold every row to the facts of its cell; how many were not hidden."""
    period, _, _, figures = AGGREGATES[name]
    assert {(row[period], *(row[one] or "" for one in kept)) for row in rows} == set(expected)
    assert len(rows) == len(expected)
    shown = 0
    for row in rows:
        facts = expected[row[period], *(row[one] or "" for one in kept)]
        wanted = figures(facts)
        small = min(groups(name, facts)) < MINIMUM
        assert (row["reason"] == "small-group") is small
        if row["hidden"]:
            assert all(row[measure] is None for measure in wanted)
            continue
        shown += 1
        for measure, figure in wanted.items():
            # Scores are kept in millionths, durations in milliseconds.
            assert row[measure] == (figure if figure is None else pytest.approx(figure, abs=1e-6)), (measure, row)
    return shown


@pytest.mark.parametrize("name", AGGREGATES)
def test_every_visible_cell_of_every_rollup_is_what_was_sent(running: Server, sent: list[Sent], name: str) -> None:
    shown = 0
    for kept, expected in cells(sent, name).items():
        rows = running.container.research.aggregates.query(Query(name, by=kept, limit=10_000)).rows
        shown += compare(name, kept, rows, expected)
    assert shown >= 20


def test_the_package_says_the_same(running: Server, sent: list[Sent], tmp_path: Path) -> None:
    package = running.container.research.exports.run(target=tmp_path, actor="cli:test")
    report = frictionless.validate(str(package.path / "datapackage.json"))
    assert report.valid, report.flatten(["type", "message"])
    for name, (_, dimensions, _, figures) in AGGREGATES.items():
        with (package.path / "data" / f"{name}.csv").open(newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        for row in rows:
            row["hidden"], row["reason"] = row["hidden"] == "true", row["reason"] or None
            row.update({measure: float(row[measure]) if row[measure] else None for measure in figures([])})
        assert compare(name, dimensions, rows, cells(sent, name)[dimensions]) > 0
