"""``sillage activity``, ``retention``, ``audit`` and ``jobs``, on real services."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import click
import pytest
from bson import ObjectId
from click.testing import CliRunner

from app.cli import governance, jobs
from app.errors import ChainBroken, FileRefused, JobFailed, LeaseHeld, NotFound, RegisterInvalid
from app.governance.audit import AUDIT_READ, Audit
from app.governance.register import Register
from app.governance.retention import DAY_US, Retention, SourceLink
from app.governance.sealing import PersonSeal
from app.jobs.lease import Leadership, Lease
from app.jobs.run import Job
from app.jobs.scheduler import Scheduler
from app.storage import clock
from app.storage.accounts import AccountRepository
from app.storage.attachments import AttachmentRepository
from app.storage.audit import AuditRepository
from app.storage.connection import Store
from app.storage.jobs import JobRepository, LeaseRepository
from app.storage.register import ActivityRepository
from app.storage.retention import RetentionRepository
from app.storage.subjects import SubjectKeys
from app.vault.keys import KeyEncryptionKeys, OrganisationKeys

ENT = Path(__file__).resolve().parents[2] / "docs" / "examples" / "activities" / "ent.json"


def _fail(_: Lease) -> Mapping[str, object]:
    raise ValueError("text that must not be shown")


class Parts:
    """The services that the commands ask for."""

    def __init__(self, store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> None:
        self.audit = Audit(AuditRepository(store), vault, clock.now_us, os.urandom)
        self.register = Register(ActivityRepository(store), self.audit, clock.now_us)
        self.retention = Retention(
            RetentionRepository(store, AttachmentRepository(store)),
            self.register,
            lambda: [SourceLink("ent1", "ent")],
            self.audit,
            vault,
            accounts=AccountRepository(store),
            seal=PersonSeal(SubjectKeys(store, keks, "default"), "default", os.urandom),
        )
        self.jobs: Sequence[Job] = (
            Job("count", "0 * * * *", lambda _: {"rows": 7}),
            Job("fail", "0 * * * *", _fail),
        )
        self.job_repository = JobRepository(store)
        self.leadership = Leadership(LeaseRepository(store), "tests", 10, time.monotonic)
        self.scheduler = Scheduler(self.jobs, self.leadership, self.job_repository, clock.now_us)


@pytest.fixture
def parts(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> Parts:
    return Parts(store, keks, vault)


def run(parts: Parts, command: click.Command, *args: str) -> str:
    answer = CliRunner().invoke(command, args, obj=parts, env={"COLUMNS": "200"})
    if answer.exception is not None:
        raise answer.exception
    return answer.output


def test_an_activity_is_added_listed_and_shown(parts: Parts) -> None:
    assert "version 1" in run(parts, governance.activity, "add", str(ENT))
    assert "396 days" in run(parts, governance.activity, "list")
    shown = run(parts, governance.activity, "show", "ent")
    assert "Académie de démonstration" in shown
    assert "version 1, added" in shown


def test_a_file_that_is_no_activity_is_refused(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(FileRefused):
        run(parts, governance.activity, "add", str(tmp_path / "absent.json"))
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(RegisterInvalid):
        run(parts, governance.activity, "add", str(tmp_path / "empty.json"))


def test_retention_is_a_dry_run_unless_told(parts: Parts, store: Store, vault: OrganisationKeys) -> None:
    run(parts, governance.activity, "add", str(ENT))
    store.collection("statements").insert_one(
        {"_id": uuid4(), "stored": clock.now_us() - 400 * DAY_US, "t": [vault.token("source", "ent1")]}
    )
    assert "ent1" in run(parts, governance.retention, "report")
    assert "Nothing was deleted" in run(parts, governance.retention, "apply")
    assert store.collection("statements").count_documents({}) == 1
    assert "deleted" in run(parts, governance.retention, "apply", "--execute")
    assert store.collection("statements").count_documents({}) == 0
    listed = run(parts, governance.audit, "list", "--kind", "retention-applied")
    assert "cli:retention apply" in listed
    assert "deleted=1" in listed


def test_the_audit_log_is_verified(parts: Parts, store: Store) -> None:
    run(parts, governance.activity, "add", str(ENT))
    assert "intact" in run(parts, governance.audit, "verify")
    store.collection("audit").update_one({"kind": "activity-added"}, {"$set": {"actor": "nobody"}})
    with pytest.raises(ChainBroken):
        run(parts, governance.audit, "verify")


def test_who_lists_or_verifies_the_audit_log_leaves_an_entry(parts: Parts) -> None:
    run(parts, governance.audit, "list", "--kind", "activity-added", "--limit", "3")
    run(parts, governance.audit, "verify")
    listed = [(entry.actor, entry.detail) for entry in parts.audit.newest([AUDIT_READ])]
    assert listed == [
        ("cli:audit verify", {"anchors": 0}),
        ("cli:audit list", {"kinds": ["activity-added"], "limit": 3}),
    ]
    assert "cli:audit list" in run(parts, governance.audit, "list")


def test_verify_takes_digests_kept_elsewhere(parts: Parts, store: Store) -> None:
    run(parts, governance.activity, "add", str(ENT))
    digests = [parts.audit.anchor(), parts.audit.anchor()]
    given = [word for digest in digests for word in ("--anchor", digest)]
    assert "Each anchor given is in it." in run(parts, governance.audit, "verify", *given)
    store.collection("audit").delete_many({})
    assert "intact" in run(parts, governance.audit, "verify")
    with pytest.raises(ChainBroken, match="2 findings"):
        run(parts, governance.audit, "verify", *given)
    for wrong in ("12ab", "g" * 64, ""):
        refused = CliRunner().invoke(governance.audit, ["verify", "--anchor", wrong], obj=parts)
        assert refused.exit_code == 2
        assert "64 hexadecimal digits" in refused.output


def test_an_altered_entry_is_listed_all_the_same(parts: Parts, store: Store) -> None:
    run(parts, governance.activity, "add", str(ENT))
    for change in ({"detail.version": b"\x00\xff"}, {"detail.version": ObjectId()}, {"at": 2**62}):
        store.collection("audit").update_one({"kind": "activity-added"}, {"$set": change})
        assert "activity-added" in run(parts, governance.audit, "list")
    with pytest.raises(ChainBroken):
        run(parts, governance.audit, "verify")


def test_a_job_is_run_by_hand_and_shown(parts: Parts) -> None:
    assert "rows: 7" in run(parts, jobs.jobs, "run", "count")
    with pytest.raises(JobFailed) as failed:
        run(parts, jobs.jobs, "run", "fail")
    assert "ValueError" in failed.value.detail
    assert "must not be shown" not in failed.value.detail
    listed = run(parts, jobs.jobs, "list")
    assert "succeeded" in listed
    assert "ValueError (internal)" in listed
    assert "No scheduler leads now." in listed
    assert "rows=7" in run(parts, jobs.jobs, "history", "count")


def test_a_job_is_not_run_beside_a_scheduler(parts: Parts, store: Store) -> None:
    lease = Leadership(LeaseRepository(store), "other-host:1", 10, time.monotonic).acquire()
    assert lease is not None
    with lease, pytest.raises(LeaseHeld, match="other-host:1"):
        run(parts, jobs.jobs, "run", "count")
    assert JobRepository(store).history("count", 1) == []


def test_an_unknown_job_is_named_with_those_that_exist(parts: Parts) -> None:
    with pytest.raises(NotFound, match="count, fail"):
        run(parts, jobs.jobs, "run", "nowhere")
