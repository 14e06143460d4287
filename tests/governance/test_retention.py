"""Retention: what is due, and deleting it."""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from app.errors import DatabaseUnavailable, LeaseLost
from app.governance.audit import RETENTION_APPLIED, RETENTION_STARTED, Audit
from app.governance.register import Register
from app.governance.retention import DAY_US, Retention, SourceLink
from app.storage.attachments import AttachmentRepository
from app.storage.audit import AuditRepository
from app.storage.connection import Store
from app.storage.register import ActivityRepository
from app.storage.retention import RetentionRepository
from app.vault.keys import OrganisationKeys

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "activities"
NOW = 1_790_000_000_000_000
LINKS = [SourceLink("ent1", "ent"), SourceLink("tutor", "p2ia"), SourceLink("quiet", "p2ia")]


class House:
    """Two activities (10 and 100 days), three sources, and their statements."""

    def __init__(self, store: Store, vault: OrganisationKeys) -> None:
        ticks = count(NOW)
        self.store = store
        self.vault = vault
        self.audit = Audit(AuditRepository(store), vault, lambda: next(ticks), os.urandom)
        self.register = Register(ActivityRepository(store), self.audit, lambda: NOW)
        for name, days in (("ent", 10), ("p2ia", 100)):
            content = json.loads((EXAMPLES / f"{name}.json").read_bytes())
            content["retention"]["active_days"] = days
            self.register.add(json.dumps(content).encode())
        self.repository = RetentionRepository(store, AttachmentRepository(store))
        self.retention = Retention(self.repository, self.register, lambda: LINKS, self.audit, vault)

    def put(self, source: str, days_old: float, number: int) -> None:
        token = self.vault.token("source", source)
        other = self.vault.token("verb", "http://example.org/verbs/tried")
        stored = NOW - round(days_old * DAY_US)
        self.store.collection("statements").insert_many(
            [
                {"_id": uuid4(), "stored": stored + n % 7, "source": source, "t": [other, token], "body": b"x"}
                for n in range(number)
            ]
        )

    def left(self, source: str) -> int:
        return self.store.collection("statements").count_documents({"source": source})

    def entries(self, kind: str) -> list[dict[str, object]]:
        return [e["detail"] for e in self.store.collection("audit").find({"kind": kind}).sort("_id", 1)]


@pytest.fixture
def house(store: Store, vault: OrganisationKeys) -> House:
    house = House(store, vault)
    house.put("ent1", 1, 3)
    house.put("ent1", 11, 4)
    house.put("ent1", 13, 5)
    house.put("tutor", 13, 6)
    house.store.collection("statements").insert_one({"_id": uuid4(), "void": True})
    return house


def test_the_report_says_what_is_kept_due_and_overdue(house: House) -> None:
    lines = {line.source: line for line in house.retention.report(NOW)}
    ent = lines["ent1"]
    assert (ent.activity, ent.kept, ent.due, ent.overdue, ent.active_days) == ("ent", 12, 9, 5, 10)
    assert (ent.oldest, ent.cutoff) == (NOW - 13 * DAY_US, NOW - 10 * DAY_US)
    assert (lines["tutor"].kept, lines["tutor"].due) == (6, 0)
    assert (lines["quiet"].kept, lines["quiet"].oldest, lines["quiet"].due) == (0, None, 0)


def test_a_statement_is_due_once_it_is_older_than_the_duration(house: House) -> None:
    token = house.vault.token("source", "edge")
    for age in (10 * DAY_US + 1, 10 * DAY_US):
        house.store.collection("statements").insert_one({"_id": uuid4(), "stored": NOW - age, "t": [token]})
    assert house.repository.count(token, NOW - 10 * DAY_US) == 1


def test_a_dry_run_counts_and_deletes_nothing(house: House) -> None:
    run = house.retention.apply(NOW)
    assert run.dry_run
    assert {(d.source, d.statements) for d in run.deletions} == {("ent1", 9), ("tutor", 0), ("quiet", 0)}
    assert (house.left("ent1"), house.entries(RETENTION_STARTED)) == (12, [])


def test_what_is_due_goes_and_nothing_else(house: House) -> None:
    run = house.retention.apply(NOW, dry_run=False)
    assert run.statements == 9
    assert (house.left("ent1"), house.left("tutor")) == (3, 6)
    assert house.store.collection("statements").count_documents({"stored": {"$exists": False}}) == 1
    where = {"activity": "ent", "source": "ent1", "stored_before": NOW - 10 * DAY_US}
    assert house.entries(RETENTION_STARTED) == [where | {"due": 9}]
    assert house.entries(RETENTION_APPLIED) == [where | {"deleted": 9, "complete": True}]


def test_what_else_is_kept_of_each_source_is_forgotten_by_the_same_bounds(house: House) -> None:
    forgotten: list[tuple[str, int]] = []
    retention = Retention(
        house.repository, house.register, lambda: LINKS, house.audit, house.vault, lambda *what: forgotten.append(what)
    )
    retention.apply(NOW)
    assert forgotten == []
    retention.apply(NOW, dry_run=False)
    assert forgotten == [
        (source, NOW - days * DAY_US) for source, days in (("ent1", 10), ("quiet", 100), ("tutor", 100))
    ]


def test_a_second_run_has_nothing_to_do_and_says_nothing(house: House) -> None:
    house.retention.apply(NOW, dry_run=False)
    assert house.retention.apply(NOW, dry_run=False).statements == 0
    assert len(house.entries(RETENTION_STARTED)) == 1


def test_the_version_of_the_activity_in_force_decides(house: House) -> None:
    content = json.loads((EXAMPLES / "ent.json").read_bytes())
    content["retention"]["active_days"] = 12
    house.register.add(json.dumps(content).encode())
    assert house.retention.apply(NOW, dry_run=False).statements == 5


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.governance.retention._BATCH", 4)


@pytest.mark.usefixtures("small_batches")
def test_a_run_cut_off_is_resumed_by_the_next(house: House) -> None:
    calls = count()

    def lost() -> None:
        if next(calls) == 2:
            raise LeaseLost

    seen: list[tuple[int, int]] = []
    with pytest.raises(LeaseLost):
        house.retention.apply(NOW, False, lambda done, total: seen.append((done, total)), check=lost)
    assert seen == [(4, 9), (8, 9)]
    assert house.left("ent1") == 4
    assert house.entries(RETENTION_APPLIED)[0]["complete"] is False
    assert house.entries(RETENTION_APPLIED)[0]["deleted"] == 8
    assert house.retention.apply(NOW, False).statements == 1
    assert [entry["deleted"] for entry in house.entries(RETENTION_APPLIED)] == [8, 1]
    assert house.audit.verify().intact


def test_nothing_is_deleted_when_the_intent_cannot_be_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(house.audit, "append", refuse)
    with pytest.raises(DatabaseUnavailable):
        house.retention.apply(NOW, dry_run=False)
    assert house.left("ent1") == 12


def test_the_oldest_go_first_and_by_the_index(house: House) -> None:
    token = house.vault.token("source", "ent1")
    assert house.repository.delete(token, NOW - 10 * DAY_US, 5) == 5
    oldest = house.store.collection("statements").find_one({"source": "ent1"}, sort=[("stored", 1)])
    assert oldest is not None
    assert oldest["stored"] == NOW - 11 * DAY_US
    plan = (
        house.store.collection("statements")
        .find({"t": token, "stored": {"$gte": 0, "$lt": NOW}}, {"_id": 1})
        .sort([("stored", 1)])
        .limit(5)
        .explain()
    )
    assert "COLLSCAN" not in str(plan)
    assert "'SORT'" not in str(plan)
