"""Arrivals: what a source is told of what it sends, with nothing in it that the source chose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.errors import DatabaseUnavailable, Fault, InvalidStatement
from app.platform.mongo.connection import Store
from app.traces.quality.arrivals import KEPT_DAYS, MAX_DAILY, Arrivals, general
from app.traces.quality.store import ArrivalRepository
from app.wiring.container import Container
from tests.people.people import container
from tests.served import Server, statement

__all__ = ("container",)

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def us(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


@pytest.fixture
def counted(store: Store) -> tuple[Arrivals, Callable[[datetime], None]]:
    """Arrivals, and what sets their clock."""
    at = [us(NOW)]

    def set_clock(moment: datetime) -> None:
        at[0] = us(moment)

    return Arrivals(ArrivalRepository(store), lambda: at[0]), set_clock


def refusal(*faults: Fault) -> InvalidStatement:
    return InvalidStatement("no", faults=faults)


def test_what_is_stored_repeated_and_late(counted: tuple[Arrivals, Callable[[datetime], None]]) -> None:
    arrivals, _ = counted
    late = statement(timestamp=(NOW - timedelta(minutes=5)).isoformat())
    fault = Fault("/result/success", "template-included", "https://t.example/1", "x")
    arrivals.stored("one", [late, statement(), late], [True, True, False], {0: [fault], 2: [fault]})
    report = arrivals.report("one")
    assert (report.today.stored, report.today.repeated, report.today.failing) == (2, 1, 1)
    assert report.last == us(NOW)
    assert report.delay == 600 and report.delayed
    assert [(each.fault.kept, each.fault.refused, each.before) for each in report.faults] == [(1, 0, 0)]
    assert arrivals.report("other").last is None


def test_when_each_source_sent_last(counted: tuple[Arrivals, Callable[[datetime], None]]) -> None:
    arrivals, set_clock = counted
    set_clock(NOW - timedelta(days=3))
    arrivals.stored("one", [statement()], [True], {})
    arrivals.stored("two", [statement()], [True], {})
    set_clock(NOW)
    arrivals.stored("one", [statement()], [True], {})
    arrivals.refused("three", 1, refusal(), many=False)
    arrivals.flush()
    assert arrivals.newest() == {"one": us(NOW), "two": us(NOW - timedelta(days=3))}


def test_refusals_by_code_and_the_trend_of_a_fault(counted: tuple[Arrivals, Callable[[datetime], None]]) -> None:
    arrivals, set_clock = counted
    fault = Fault("/3/result/duration", "duration-format", "xAPI-Data 4.6", "As PT1M30S.")
    set_clock(NOW - timedelta(days=8))
    arrivals.refused("one", 5, refusal(fault), many=True)
    set_clock(NOW)
    arrivals.refused("one", 2, refusal(fault, fault._replace(pointer="/4/result/duration")), many=True)
    arrivals.refused("one", 0, DatabaseUnavailable("away"), many=False)
    report = arrivals.report("one")
    assert (report.week.batches, report.week.refused, report.week_before.refused) == (1, 2, 5)
    assert report.week.codes == {"invalid-statement": 1}
    assert [(each.fault.pointer, each.fault.refused, each.before) for each in report.faults] == [
        ("/result/duration", 2, 1)
    ]


def test_a_fault_that_was_rare_the_week_before_is_not_told_as_new(
    counted: tuple[Arrivals, Callable[[datetime], None]],
) -> None:
    arrivals, set_clock = counted
    rare = Fault("/id", "template-rare", "x", "x")
    for day in (8, 9):
        # Each day's different faults of a source are counted up to a bound.
        set_clock(NOW - timedelta(days=day))
        arrivals.refused("one", 1, refusal(rare), many=False)
        for number in range(MAX_DAILY - 1):
            told = Fault("/id", f"template-{day}-{number}", "x", "x")
            for _ in range(3):
                arrivals.refused("one", 1, refusal(told), many=False)
    set_clock(NOW)
    arrivals.refused("one", 1, refusal(rare), many=False)
    assert [(each.fault.rule, each.before) for each in arrivals.report("one").faults] == [("template-rare", 2)]


def test_the_longest_silence(counted: tuple[Arrivals, Callable[[datetime], None]]) -> None:
    arrivals, set_clock = counted
    assert arrivals.report("one").silence is None
    for hours in (30, 29, 3):
        set_clock(NOW - hours * HOUR)
        arrivals.stored("one", [statement()], [True], {})
    set_clock(NOW)
    silence = arrivals.report("one").silence
    assert silence is not None and silence.hours == 25
    set_clock(NOW + timedelta(days=2))
    silence = arrivals.report("one").silence
    assert silence is not None and silence.until is None and silence.hours == 50
    set_clock(NOW + timedelta(days=60))
    silence = arrivals.report("one").silence
    assert silence is not None and silence.until is None and silence.hours > 1_000


@pytest.mark.parametrize(
    ("pointer", "kept"),
    [
        ("/actor/mbox", "/actor/mbox"),
        ("/context/extensions/https:~1~1x.example~1camille.exemple", "/context/extensions/…"),
        ("/Camille Exemple", "/…"),
        ("/result/score/scaled", "/result/score/scaled"),
        ("/attachments/12/sha2", "/attachments/*/sha2"),
        ("/context/extensions/x/actor/verb/12", "/context/extensions/…"),
        ("/actor/verb" * 4, "/actor/verb" * 4),
        ("/actor/verb" * 5, "/actor/verb" * 4 + "/…"),
        ("", ""),
    ],
)
def test_a_pointer_keeps_nothing_that_a_sender_chose(pointer: str, kept: str) -> None:
    assert general(pointer) == kept


@pytest.mark.parametrize("failing", ["add", "add_faults"])
def test_what_cannot_be_written_is_kept_for_the_next_time_and_no_more(
    counted: tuple[Arrivals, Callable[[datetime], None]], monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    arrivals, _ = counted
    fault = Fault("/id", "id-format", "xAPI-Data 2.4.1", "x")
    arrivals.refused("one", 1, refusal(fault), many=False)
    with monkeypatch.context() as away:

        def fail(*_: Any) -> None:
            raise DatabaseUnavailable("away")

        away.setattr(ArrivalRepository, failing, fail)
        arrivals.flush()
    arrivals.refused("one", 1, refusal(fault), many=False)
    report = arrivals.report("one")
    assert report.today.refused == 2 and report.faults[0].fault.refused == 2


def test_a_fault_that_a_profile_words_is_one_at_every_position(
    counted: tuple[Arrivals, Callable[[datetime], None]],
) -> None:
    arrivals, _ = counted
    defined = "/definition/extensions/https:~1~1x.example"
    for at in range(3):
        place = f"/context/contextActivities/grouping/{at}{defined}"
        arrivals.stored("one", [statement()], [True], {0: [Fault(place, "extension-value", "x", "x")]})
    assert [(each.fault.pointer, each.fault.kept) for each in arrivals.report("one").faults] == [
        (f"/context/contextActivities/grouping/*{defined}", 3)
    ]


def test_no_sender_fills_the_memory_or_the_database_with_different_faults(
    counted: tuple[Arrivals, Callable[[datetime], None]],
) -> None:
    arrivals, set_clock = counted

    def refuse(source: str, numbers: range) -> None:
        for number in numbers:
            arrivals.refused(source, 1, refusal(Fault("/id", f"template-{number}", "x", "x")), many=False)

    refuse("one", range(MAX_DAILY - 10))
    assert len(arrivals.faults("one")) == MAX_DAILY - 10
    refuse("one", range(MAX_DAILY + 100))
    assert len(arrivals.faults("one")) == MAX_DAILY
    refuse("one", range(10))
    assert arrivals.faults("one")[0].refused == 3
    assert arrivals.report("one").today.batches == 2 * MAX_DAILY + 100
    refuse("two", range(1))
    assert len(arrivals.faults("two")) == 1
    set_clock(NOW + timedelta(days=1))
    refuse("one", range(MAX_DAILY, MAX_DAILY + 1))
    assert len(arrivals.faults("one")) == MAX_DAILY + 1


def test_the_retention_job_deletes_old_counts_but_when_a_source_sent_last(container: Container) -> None:
    now, day = container.platform.now_us(), 86_400_000_000
    at = [now]
    repository = ArrivalRepository(container.platform.store)
    arrivals = Arrivals(repository, lambda: at[0])
    for before in (KEPT_DAYS + 2, KEPT_DAYS + 1, KEPT_DAYS):
        at[0] = now - before * day
        arrivals.refused("one", 1, refusal(Fault("/id", "id-format", "xAPI-Data 2.4.1", "x")), many=False)
        for source in ("one", "two") if before > KEPT_DAYS else ("one",):
            arrivals.stored(source, [statement()], [True], {})
    arrivals.flush()
    job = next(job for job in container.jobs if job.name == "retention")
    job.run(SimpleNamespace(check=lambda: None))  # type: ignore[arg-type]
    assert len(repository.days("one", "")) == 1 and len(repository.days("two", "")) == 1
    assert repository.newest("two") == now - (KEPT_DAYS + 1) * day
    assert [each.refused for each in arrivals.faults("one")] == [1]


def test_a_source_is_told_its_faults_over_the_api(server: Server) -> None:
    tutor = server.source()
    hostile = statement(**{"<script>": 1}, result={"duration": "P1M30S"})
    assert server.post(tutor, [statement(), hostile]).status_code == 400
    assert server.send("POST", "/xAPI/statements", tutor, data=b"nonsense").status_code == 400
    assert server.post(tutor, [statement()]).status_code == 200
    server.container.traces.arrivals.flush()
    told: list[dict[str, Any]] = []
    for _ in range(100):
        told = server.send("GET", "/api/v1/verdicts", tutor).json()["faults"]
        if len(told) >= 2:
            break
    assert {(each["pointer"], each["refused"]) for each in told} >= {("/…", 1), ("/result/duration", 1)}
    assert "script" not in str(told)
    other = server.source()
    assert server.send("GET", "/api/v1/verdicts", other).json()["faults"] == []
