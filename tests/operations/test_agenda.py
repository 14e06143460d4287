"""The agenda of the data protection officer: each kind of task, when it is due, what was done last."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from app.access.store import StoredCredential
from app.core import clock
from app.governance.audit.log import AUDIT_CHECKPOINT, MINORS_DATA
from app.governance.audit.store import AuditRepository, Entry
from app.governance.register.service import Register
from app.operations.agenda import Agenda, Group, grouped
from app.operations.measures import BackupMade, Measures, RetentionCounted
from app.people.finding.finder import data_subject_of
from app.retention.contracts import Contracts
from app.wiring.container import Container
from tests.people.people import container
from tests.served import ACTIVITY

__all__ = ["container"]

WHO = [{"account": {"homePage": "https://ent.example", "name": "agenda"}}]


def of(container: Container, now: datetime | None = None) -> dict[str, list[Any]]:
    """The tasks by kind, at an instant."""
    store = container.platform.store
    agenda = Agenda(
        requests=container.people.requests,
        register=container.governance.register,
        ended=container.retention.contracts.ended_now,
        sources=container.access.sources_repository,
        erasures=container.people.erasure_repository,
        measures=Measures(store),
        log=AuditRepository(store),
        jobs=container.platform.job_repository,
        now=(lambda: now) if now else clock.now,
        zone=ZoneInfo("Europe/Paris"),
    )
    found: dict[str, list[Any]] = {}
    for task in agenda.read().tasks:
        found.setdefault(task.kind, []).append(task)
    return found


def entry(container: Container, id: str, **changes: Any) -> None:
    container.governance.register.add(orjson.dumps({**ACTIVITY, "id": id, **changes}))


def day(offset: int) -> str:
    return (date.today() + timedelta(days=offset)).isoformat()


def test_nothing_waits_in_a_new_store(container: Container) -> None:
    assert of(container) == {}
    tonight = container.operations.agenda.read().tonight
    assert (tonight.verified, tonight.checkpoint, tonight.backup) == (None, None, None)


def test_requests_by_their_last_day_and_by_who_asks(container: Container) -> None:
    requests, today = container.people.requests, container.platform.today()
    who = data_subject_of(WHO)
    for days, kind in ((60, "access"), (29, "erasure"), (0, "objection")):
        requests.open(kind, who, received=today - timedelta(days=days), actor="cli:test")
    requests.identify(requests.list()[0].id, actor="cli:test")
    found = of(container)
    (identified,) = found["request"]
    assert (identified.group, identified.label) == (Group.LATE, "access") and identified.days < 0
    assert [task.group for task in found["identity"]] == [Group.WEEK, Group.LATER]
    # On the last day itself it is not late.
    due = found["identity"][0].day
    at = datetime(due.year, due.month, due.day, 12, tzinfo=UTC)
    assert of(container, at)["identity"][0].group is Group.TODAY
    assert of(container, at + timedelta(days=1))["identity"][0].group is Group.LATE


def test_reviews_and_entries_to_come(container: Container) -> None:
    entry(container, "late", in_force_from="2020-01-01", review_by=day(-1))
    entry(container, "soon", in_force_from="2020-01-01", review_by=day(5))
    entry(container, "later", in_force_from="2020-01-01", review_by=day(50))
    entry(container, "far", in_force_from="2020-01-01", review_by=day(90))
    entry(container, "coming", in_force_from=day(3))
    found = of(container)
    assert [(task.subject, task.group) for task in found["review"]] == [
        ("late", Group.LATE),
        ("soon", Group.WEEK),
        ("later", Group.LATER),
    ]
    assert [(task.subject, task.group) for task in found["entry"]] == [("coming", Group.WEEK)]


def test_an_entry_that_has_ended_waits_for_nothing(container: Container) -> None:
    entry(container, "over", in_force_from="2020-01-01", review_by=day(-1))
    entry(container, "last-days", in_force_from="2020-01-01", review_by=day(-1))
    entry(container, "renewed", in_force_from="2020-01-01", review_by=day(-1))
    entry(container, "renewed", in_force_from=day(3))
    ends, said = container.retention.contracts, {"word": "head", "reason": "contract ended", "actor": "cli:test"}
    ends.end("over", date.today(), **said)
    ends.end("last-days", date.today() + timedelta(days=9), **said)
    assert ends.ended_now() == {"over"}
    found = of(container)
    assert [task.subject for task in found["review"]] == ["last-days"]
    assert [task.subject for task in found["entry"]] == ["renewed"]
    ends.end("renewed", date.today(), **said)
    assert "entry" not in of(container)


def test_each_part_of_the_store_is_read_once(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(of: type, name: str) -> None:
        real = getattr(of, name)
        monkeypatch.setattr(of, name, lambda self, *given: read.append(name) or real(self, *given))

    for of_what, name in ((Register, "list"), (Register, "planned"), (Measures, "read"), (Contracts, "ended_now")):
        counted(of_what, name)
    container.operations.agenda.read()
    assert sorted(read) == ["ended_now", "list", "planned", "read"]


def test_what_retention_left_and_erasures_that_do_not_end(container: Container) -> None:
    Measures(container.platform.store).note_retention(RetentionCounted(clock.now_us(), 12))
    (late,) = of(container)["retention"]
    assert (late.group, late.number) == (Group.LATE, 12)
    container.people.erasures.erase(data_subject_of(WHO), actor="cli:test")
    assert "erasure" not in of(container)
    (slow,) = of(container, clock.now() + timedelta(days=2))["erasure"]
    assert (slow.group, slow.number) == (Group.LATE, 1)


def test_sources_about_minors_without_a_reason_and_what_they_send(container: Container) -> None:
    entry(container, "school", in_force_from="2020-01-01", minors=False)
    sources = container.operations.sources
    sources.add("open", name="open", activity="school", actor="cli:test")
    detail = {"policy": "off", "outcome": "kept", "statements": 1}
    container.governance.audit.append(MINORS_DATA, "source:open", detail)
    assert [task.kind for tasks in of(container).values() for task in tasks] == ["minors-data"]
    entry(container, "school", in_force_from="2020-01-01", minors=True)
    found = of(container)
    assert [(task.subject, task.group) for task in found["minors-policy"]] == [("open", Group.TODAY)]
    assert [(task.subject, task.number) for task in found["minors-data"]] == [("open", 1)]
    now = clock.now_us()
    further = [
        Entry("batches", n, now + n, MINORS_DATA, "source:open", {"outcome": outcome}, bytes(32), bytes(32))
        for n, outcome in enumerate(["kept"] * 1_500 + ["stripped"])
    ]
    assert AuditRepository(container.platform.store).insert(further)
    assert [(task.subject, task.number) for task in of(container)["minors-data"]] == [("open", 1_501)]
    # Long ago, or decided with a reason: nothing waits.
    assert "minors-data" not in of(container, clock.now() + timedelta(days=8))
    sources.change("open", minors="off", reason="decided by the council", actor="cli:test")
    assert of(container) == {}


def test_keys_of_persons_that_end_soon_or_never(container: Container) -> None:
    repository, now = container.access.sources_repository, clock.now()
    for id, ends, revoked, source in (
        ("sk-soon", now + timedelta(days=5), None, None),
        ("sk-far", now + timedelta(days=200), None, None),
        ("sk-never", None, None, None),
        ("sk-gone", None, now, None),
        ("sk-ended", now - timedelta(days=1), None, None),
        ("sk-tool", None, None, "tutor"),
    ):
        repository.add_credential(StoredCredential(id, source, "x", ("metrics",), bytes(32), now, revoked, ends))
    found = of(container)
    assert [task.subject for task in found["key-end"]] == ["sk-soon"]
    assert [(task.subject, task.group) for task in found["key-endless"]] == [("sk-never", Group.WEEK)]


def test_what_was_done_last(container: Container) -> None:
    audit = container.governance.audit
    audit.append(AUDIT_CHECKPOINT, "job:checkpoint", {})
    Measures(container.platform.store).note_backup(BackupMade(1_000_000, 1))
    tonight = container.operations.agenda.read().tonight
    assert tonight.verified is None and tonight.checkpoint is not None
    assert tonight.backup == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    Measures(container.platform.store).note_verification(2_000_000)
    assert container.operations.agenda.read().tonight.verified == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)


def test_groups_are_all_there() -> None:
    assert list(grouped([])) == list(Group)
