"""``sillage processing-activity``, ``retention``, ``audit`` and ``jobs``, on real services."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import click
import pytest
from bson import ObjectId
from click.testing import CliRunner

from app.access.store import SourceRepository, StoredCredential
from app.commands import governance, jobs
from app.core import clock
from app.core.errors import ChainBroken, FileRefused, JobFailed, LeaseHeld, NotFound, RegisterInvalid
from app.crypto import kinds
from app.crypto.keys import KeyEncryptionKeys, OrganisationKeys
from app.crypto.signing import Signer
from app.governance.audit.checkpoints import Checkpoints
from app.governance.audit.log import AUDIT_READ, Audit
from app.governance.audit.retention import AuditRetention
from app.governance.audit.spool import HostSpools
from app.governance.audit.store import AuditRepository
from app.governance.register.purposes import Purpose
from app.governance.register.service import Register, SourceLink
from app.governance.register.store import ProcessingActivityRepository
from app.keys.data_subject_cipher import DataSubjectCipher
from app.keys.learners import SubjectKeys
from app.operations.measures import Measures
from app.operations.schema.catalogue import personal_data
from app.people.access_package.reception_store import ReceptionRepository
from app.people.access_package.receptions import Receptions
from app.people.access_package.recipients import Recipients
from app.people.audit_search import AuditSearch
from app.platform.jobs.lease import Leadership, Lease
from app.platform.jobs.run import Job
from app.platform.jobs.scheduler import Scheduler
from app.platform.jobs.store import JobRepository, LeaseRepository
from app.platform.mongo.collection import DataContext
from app.platform.mongo.connection import Store
from app.retention.certificate_store import CertificateRepository
from app.retention.certificates import Certificates
from app.retention.closed_account_store import AccountRepository
from app.retention.service import DAY_US, Retention
from app.retention.store import RetentionRepository
from app.retention.yearly_store import RetentionYears
from app.traces.statements.attachment_store import AttachmentRepository
from tests.places import ROOT
from tests.sinks import NoPseudonyms

ENT = ROOT / "docs" / "examples" / "processing-activities" / "ent.json"


def _fail(_: Lease) -> Mapping[str, object]:
    raise ValueError("text that must not be shown")


class Container:
    """The services that the commands ask for."""

    def __init__(self, store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> None:
        self.keys = SimpleNamespace(signer=Signer(bytes(32)))
        log, sources = AuditRepository(store), SourceRepository(store)
        purpose = Purpose(("support",), required=False)
        audit = Audit(log, vault, clock.now_us, os.urandom, purpose.stated)
        self.governance = SimpleNamespace(
            purpose=purpose,
            audit=audit,
            checkpoints=Checkpoints(audit, log, "default", self.keys),
            register=Register(ProcessingActivityRepository(store), audit, clock.now_us),
        )
        self.people = SimpleNamespace(
            audit_search=AuditSearch(audit, vault, NoPseudonyms()),
            recipients=Recipients(
                log=log,
                receptions=Receptions(ReceptionRepository(store), vault, log, UTC),
                sources=sources,
                keys=vault,
                timezone=UTC,
            ),
        )
        self.retention = SimpleNamespace(
            audit_retention=AuditRetention(audit, log, 365),
            certificates=Certificates(CertificateRepository(store), self.keys, "default"),
            service=Retention(
                RetentionRepository(store, AttachmentRepository(store)),
                self.governance.register,
                lambda: [SourceLink("ent1", "ent")],
                audit,
                vault,
                stores=personal_data(DataContext(store, vault, SubjectKeys(store, keks, "default"))),
                accounts=AccountRepository(store),
                cipher=DataSubjectCipher(SubjectKeys(store, keks, "default"), "default", os.urandom),
                years=RetentionYears(store),
            ),
        )
        self.jobs: Sequence[Job] = (
            Job("count", "0 * * * *", lambda _: {"rows": 7}),
            Job("fail", "0 * * * *", _fail),
        )
        self.platform = SimpleNamespace(
            store=store,
            job_repository=JobRepository(store),
            leadership=Leadership(LeaseRepository(store), "tests", 10, time.monotonic),
        )
        self.scheduler = Scheduler(self.jobs, self.platform.leadership, self.platform.job_repository, clock.now_us)


@pytest.fixture
def container(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> Container:
    return Container(store, keks, vault)


def run(container: Container, command: click.Command, *args: str) -> str:
    answer = CliRunner().invoke(command, args, obj=container, env={"COLUMNS": "200"})
    if answer.exception is not None:
        raise answer.exception
    return answer.output


def test_an_activity_is_added_listed_and_shown(container: Container) -> None:
    assert "version 1" in run(container, governance.processing_activity, "add", str(ENT))
    assert "92 days" in run(container, governance.processing_activity, "list")
    shown = run(container, governance.processing_activity, "show", "ent")
    assert "Académie de démonstration" in shown
    assert "version 1, added" in shown and "from 2026-09-01: in force" in shown


def test_a_file_that_is_no_activity_is_refused(container: Container, tmp_path: Path) -> None:
    with pytest.raises(FileRefused):
        run(container, governance.processing_activity, "add", str(tmp_path / "absent.json"))
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(RegisterInvalid):
        run(container, governance.processing_activity, "add", str(tmp_path / "empty.json"))


def test_retention_is_a_dry_run_unless_told(container: Container, store: Store, vault: OrganisationKeys) -> None:
    run(container, governance.processing_activity, "add", str(ENT))
    store.collection("statements").insert_one(
        {"_id": uuid4(), "stored": clock.now_us() - 400 * DAY_US, "t": [vault.index.writing.token("source", "ent1")]}
    )
    store.collection("documents").insert_one(
        {"_id": os.urandom(16), "source": "ent1", "updated": clock.now_us() - 400 * DAY_US}
    )
    assert "Documents: states" in run(container, governance.retention, "report")
    assert "Nothing was deleted" in run(container, governance.retention, "apply")
    assert store.collection("statements").count_documents({}) == 1
    assert "deleted" in run(container, governance.retention, "apply", "--execute")
    assert store.collection("statements").count_documents({}) == 0
    assert store.collection("documents").count_documents({}) == 0
    listed = run(container, governance.audit, "list", "--kind", "retention-applied")
    assert "cli:retention apply" in listed
    assert "deleted=1" in listed
    assert "documents_deleted=1" in listed


def test_the_audit_log_is_verified(container: Container, store: Store) -> None:
    run(container, governance.processing_activity, "add", str(ENT))
    assert "intact" in run(container, governance.audit, "verify")
    store.collection("audit").update_one({"kind": "activity-added"}, {"$set": {"actor": "nobody"}})
    with pytest.raises(ChainBroken):
        run(container, governance.audit, "verify")


def test_when_the_audit_log_was_verified_is_noted(container: Container, store: Store) -> None:
    began = clock.now_us()
    run(container, governance.audit, "verify")
    noted = Measures(store).read().verified
    assert noted is not None and noted >= began


def test_who_lists_or_verifies_the_audit_log_leaves_an_entry(container: Container) -> None:
    run(container, governance.audit, "list", "--kind", "activity-added", "--limit", "3")
    run(container, governance.audit, "verify")
    listed = [(entry.actor, entry.detail) for entry in container.governance.audit.newest([AUDIT_READ])]
    assert listed == [
        ("cli:audit verify", {"anchors": 0, "checkpoints": 0}),
        ("cli:audit list", {"kinds": ["activity-added"], "limit": 3}),
    ]
    assert "cli:audit list" in run(container, governance.audit, "list")


def test_verify_takes_digests_kept_elsewhere(container: Container, store: Store) -> None:
    run(container, governance.processing_activity, "add", str(ENT))
    digests = [container.governance.audit.anchor(), container.governance.audit.anchor()]
    given = [word for digest in digests for word in ("--anchor", digest)]
    assert "Each anchor given is in it." in run(container, governance.audit, "verify", *given)
    store.collection("audit").delete_many({})
    assert "intact" in run(container, governance.audit, "verify")
    with pytest.raises(ChainBroken, match="2 findings"):
        run(container, governance.audit, "verify", *given)
    for wrong in ("12ab", "g" * 64, ""):
        refused = CliRunner().invoke(governance.audit, ["verify", "--anchor", wrong], obj=container)
        assert refused.exit_code == 2
        assert "64 hexadecimal digits" in refused.output


def test_an_altered_entry_is_listed_all_the_same(container: Container, store: Store) -> None:
    run(container, governance.processing_activity, "add", str(ENT))
    for change in ({"detail.version": b"\x00\xff"}, {"detail.version": ObjectId()}, {"at": 2**62}):
        store.collection("audit").update_one({"kind": "activity-added"}, {"$set": change})
        assert "activity-added" in run(container, governance.audit, "list")
    with pytest.raises(ChainBroken):
        run(container, governance.audit, "verify")


def test_a_job_is_run_by_hand_and_shown(container: Container) -> None:
    assert "rows: 7" in run(container, jobs.jobs, "run", "count")
    with pytest.raises(JobFailed) as failed:
        run(container, jobs.jobs, "run", "fail")
    assert "ValueError" in failed.value.detail
    assert "must not be shown" not in failed.value.detail
    listed = run(container, jobs.jobs, "list")
    assert "succeeded" in listed
    assert "ValueError (internal)" in listed
    assert "No scheduler leads now." in listed
    assert "rows=7" in run(container, jobs.jobs, "history", "count")


def test_a_job_is_not_run_beside_a_scheduler(container: Container, store: Store) -> None:
    lease = Leadership(LeaseRepository(store), "other-host:1", 10, time.monotonic).acquire()
    assert lease is not None
    with lease, pytest.raises(LeaseHeld, match="other-host:1"):
        run(container, jobs.jobs, "run", "count")
    assert JobRepository(store).history("count", 1) == []


def test_an_unknown_job_is_named_with_those_that_exist(container: Container) -> None:
    with pytest.raises(NotFound, match="count, fail"):
        run(container, jobs.jobs, "run", "nowhere")


def test_a_checkpoint_is_written_and_the_log_held_to_it(container: Container, store: Store, tmp_path: Path) -> None:
    run(container, governance.processing_activity, "add", str(ENT))
    assert "audit-default-" in run(container, governance.audit, "checkpoint", "--to", str(tmp_path))
    (file,) = tmp_path.glob("audit-default-*.json")
    assert "holds what each checkpoint says" in run(container, governance.audit, "verify", "--checkpoint", str(file))
    key = tmp_path / "public.pem"
    key.write_text(container.keys.signer.pem)
    offline = ("--offline", "--public-key", str(key), "--checkpoint", str(file))
    assert "signatures are right" in run(container, governance.audit, "verify", *offline)
    store.collection("audit").delete_many({})
    assert "signatures are right" in run(container, governance.audit, "verify", *offline)
    with pytest.raises(ChainBroken):
        run(container, governance.audit, "verify", "--checkpoint", str(file))


def test_offline_needs_a_key_and_a_checkpoint(container: Container) -> None:
    assert CliRunner().invoke(governance.audit, ["verify", "--offline"], obj=container).exit_code == 2


def test_what_is_old_is_removed_from_the_log_when_told(
    container: Container, store: Store, vault: OrganisationKeys
) -> None:
    old = Audit(AuditRepository(store), vault, lambda: clock.now_us() - 400 * DAY_US, os.urandom)
    old.append(AUDIT_READ, "cli:old", {})
    old.close()
    assert "of 1 chain: 3 entries would be removed" in run(container, governance.audit, "trim")
    assert "of 1 chain: 3 entries were removed" in run(container, governance.audit, "trim", "--execute")
    shown = run(container, governance.audit, "verify")
    assert "were removed for their age" in shown
    assert "intact" in shown


def test_a_search_by_person_takes_the_person_from_a_file(
    container: Container, vault: OrganisationKeys, tmp_path: Path
) -> None:
    token = vault.named(kinds.AGENT, "mbox:mailto:alice@ent.example").hex()
    container.governance.audit.append("statements-read", "sk-1", {"tokens": [token], "count": 7, "purpose": "support"})
    container.governance.audit.append("statements-read", "sk-2", {"tokens": [], "count": 8})
    file = tmp_path / "agent.json"
    file.write_text('{"mbox": "mailto:alice@ent.example"}')
    shown = run(container, governance.audit, "search", "--person", str(file), "--kind", "statements-read")
    assert "count=7" in shown and "purpose=support" in shown
    assert "count=8" not in shown and "alice" not in shown
    assert "count=8" in run(container, governance.audit, "search", "--credential", "sk-2")
    assert "count=8" not in run(container, governance.audit, "search", "--until", "2026-01-01", "--purpose", "support")
    assert "purpose=support" in run(container, governance.audit, "list", "--kind", "audit-read")


def test_a_host_that_is_behind_is_named_and_its_lost_spool_is_a_gap(container: Container, store: Store) -> None:
    log, repository = container.governance.audit, AuditRepository(store)
    ago = 60_000_000
    log.spools = HostSpools(
        None, log, repository, store="ours", host="host-a", now=lambda: clock.now_us() + ago, notes=list
    )
    assert "host" not in run(container, governance.audit, "search").lower()
    within = Audit(repository, log._keys, lambda: clock.now_us() - ago, os.urandom)
    repository.ship([within.opening({"host": "host-b", "spool": "ours"})])
    assert "Host host-b was killed or is cut off" in run(container, governance.audit, "search")
    with pytest.raises(ChainBroken, match="1 finding"):
        run(container, governance.audit, "verify")
    answer = CliRunner().invoke(governance.audit, ["verify"], obj=container, env={"COLUMNS": "250"})
    assert "gap" in answer.output and "the spool of host host-b is not there" in answer.output


def test_a_search_goes_on_where_it_ended_within_one_second(
    container: Container, store: Store, vault: OrganisationKeys
) -> None:
    second = clock.now_us() // 1_000_000 * 1_000_000 - 60_000_000
    ticks = iter([second + n * 1_000 for n in range(100)])
    within = Audit(AuditRepository(store), vault, lambda: next(ticks), os.urandom)
    for number in range(4):
        within.append("statements-read", "sk-9", {"count": 100 + number})
    asked = (container, governance.audit, "search", "--credential", "sk-9")
    first = run(*asked, "--limit", "2")
    until = re.search(r"--until '([^']+)'", first)
    assert until is not None
    both = first + run(*asked, "--until", until[1])
    assert all(f"count={100 + number}" in both for number in range(4))


def changed(tmp_path: Path, **changes: object) -> str:
    content = json.loads(ENT.read_bytes())
    content["retention"]["active_days"] = changes.pop("active_days", content["retention"]["active_days"])
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(content | changes))
    return str(file)


def test_a_shorter_duration_is_asked_about(
    container: Container, store: Store, vault: OrganisationKeys, tmp_path: Path
) -> None:
    run(container, governance.processing_activity, "add", str(ENT))
    token = vault.index.writing.token("source", "ent1")
    store.collection("statements").insert_many(
        [{"_id": uuid4(), "stored": clock.now_us() - 20 * DAY_US, "t": [token]} for _ in range(3)]
    )
    shorter = changed(tmp_path, active_days=10)
    answer = CliRunner().invoke(
        governance.processing_activity, ["add", shorter], obj=container, input="n\n", env={"COLUMNS": "300"}
    )
    assert answer.exit_code == 1
    assert "3 more would be due" in answer.output
    assert container.governance.register.get("ent").version == 1
    assert "version 2" in run(container, governance.processing_activity, "add", shorter, "--yes")
    assert container.governance.register.get("ent").retention.active_days == 10


def test_a_version_in_force_later_says_what_governs_until_then(container: Container, tmp_path: Path) -> None:
    first = changed(tmp_path, in_force_from="2999-01-01", review_by="2999-02-01")
    assert "nothing is stored under this processing activity" in run(
        container, governance.processing_activity, "add", first
    )
    assert "not in force yet" in run(container, governance.processing_activity, "list")
    assert "2999-01-01: not in force yet" in run(container, governance.processing_activity, "show", "ent")
    run(container, governance.processing_activity, "add", str(ENT))
    later = changed(tmp_path, in_force_from="2999-01-01", review_by="2999-03-01")
    assert "version 2 governs" in run(container, governance.processing_activity, "add", later)


def test_overdue_reviews_are_told_with_the_report(container: Container, tmp_path: Path) -> None:
    run(
        container,
        governance.processing_activity,
        "add",
        changed(tmp_path, in_force_from="2020-01-01", review_by="2021-01-01"),
    )
    assert "The review of ent was due by 2021-01-01" in run(container, governance.retention, "report")
    assert "review overdue" in run(container, governance.processing_activity, "list")


def test_who_read_is_shown_by_the_label_of_the_credential(container: Container, store: Store) -> None:
    for name, label in (("sk-1", "Inspection"), ("sk-2", "")):
        SourceRepository(store).add_credential(
            StoredCredential(name, None, label, ("statements/read",), bytes(32), clock.now(), None)
        )
        container.governance.audit.append("statements-read", name, {"tokens": [], "count": 7})
    for command in (("search",), ("list",)):
        shown = run(container, governance.audit, *command, "--kind", "statements-read")
        assert "Inspection (sk-1)" in shown and "statements/read (sk-2)" in shown
