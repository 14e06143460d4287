"""The end of a contract: sources closed and moved, entries of the register that end; and again after a restore."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.access.credentials import Access
from app.core import clock
from app.core.errors import BadRequest, CredentialsRefused, NotFound, RegisterInvalid, SignatureRefused
from app.crypto import signing
from app.crypto.signing import Signer
from app.governance.audit.log import ACTIVITY_ENDED, CERTIFICATES_REAPPLIED, SOURCE_CLOSED, SOURCE_MOVED
from app.retention.certificate_store import DATA_DELETED, DONE, WAITING, CertificateRepository
from app.retention.certificates import CERTIFICATE
from app.standards.xapi.documents import Resource
from app.wiring.container import Container
from tests.people.people import bodies, container, document, named, person, send
from tests.served import ACTIVITY

__all__ = ("container",)

SAID: dict[str, Any] = {"word": "head of digital services", "reason": "the contract ended", "actor": "cli:test"}
ENTRY = str(ACTIVITY["id"])


def another(container: Container, id: str = "other", days: int = 5) -> str:
    content = orjson.loads(orjson.dumps(ACTIVITY)) | {"id": id}
    content["retention"]["active_days"] = days
    return container.governance.register.add(orjson.dumps(content)).id


def kinds(container: Container, kind: str) -> list[Any]:
    return [entry.detail for entry in container.governance.audit.newest([kind])]


def test_of_a_closed_source_nothing_is_accepted_and_what_is_stored_stays(container: Container) -> None:
    key = container.operations.sources.issue(source="tutor", label="x", scopes=["statements/write"], actor="cli:test")
    access = Access(container.access.sources_repository)
    secret = key.secret.encode()
    assert access.verify(key.id, secret).source == "tutor"
    send(container, named("lea"))
    act = container.retention.contracts.close("tutor", **SAID)
    with pytest.raises(CredentialsRefused):
        access.verify(key.id, secret)
    with pytest.raises(RegisterInvalid, match="closed"):
        container.operations.sources.issue(source="tutor", label="x", scopes=["statements/write"], actor="cli:test")
    assert len(bodies(container)) == 1
    assert kinds(container, SOURCE_CLOSED) == [{"certificate": str(act.id), "activity": ENTRY, "source": "tutor"}]
    assert act.document is not None
    said = signing.verified(act.document, signing.parse_public_key(container.keys.signer.pem.encode())).content
    assert (said["kind"], said["source"], said["activity"]) == ("source-closed", "tutor", ENTRY)
    # Again, it is closed already.
    assert container.retention.contracts.close("tutor", **SAID).id == act.id
    # Its duration still counts.
    (line,) = container.retention.service.report(clock.now_us() + 10_000 * 86_400_000_000)
    assert (line.source, line.due) == ("tutor", 1)


def test_what_was_stored_before_a_move_follows_the_new_entry(container: Container) -> None:
    send(container, named("lea"))
    document(container, Resource.STATE, "lea")
    to = another(container)
    plan = container.retention.contracts.planned("tutor", to)
    assert (plan.before.id, plan.after.id, plan.now.kept, plan.then.active_days) == (ENTRY, to, 1, 5)
    act = container.retention.contracts.move("tutor", to, **SAID)
    assert (act.activity, act.to, act.counts) == (ENTRY, to, {"statements": 1, "documents": 1, "due": 0})
    assert [link.activity for link in container.access.links.list()] == [to]
    assert kinds(container, SOURCE_MOVED)[0]["to"] == to
    later = clock.now_us() + 6 * 86_400_000_000
    assert container.retention.service.apply(later).statements == 1
    # It stands in the history of both.
    assert [one.id for one in container.retention.certificates.newest(activity=to)] == [act.id]
    assert [one.id for one in container.retention.certificates.newest(activity=ENTRY)] == [act.id]


def test_a_move_says_what_would_be_due_under_the_new_entry(container: Container) -> None:
    send(container, named("lea"))
    container.platform.store.collection("statements").update_many({}, {"$inc": {"stored": -6 * 86_400_000_000}})
    plan = container.retention.contracts.planned("tutor", another(container))
    assert (plan.now.due, plan.then.due) == (0, 1)


def test_a_source_is_not_moved_to_nowhere_nor_where_it_is_nor_under_what_has_ended(container: Container) -> None:
    with pytest.raises(NotFound):
        container.retention.contracts.move("tutor", "nowhere", **SAID)
    with pytest.raises(NotFound):
        container.retention.contracts.move("nobody", ENTRY, **SAID)
    with pytest.raises(RegisterInvalid, match="already"):
        container.retention.contracts.move("tutor", ENTRY, **SAID)
    to = another(container)
    container.retention.contracts.end(to, date(2026, 1, 1), **SAID)
    with pytest.raises(RegisterInvalid, match="ended"):
        container.retention.contracts.move("tutor", to, **SAID)
    with pytest.raises(BadRequest):
        container.retention.contracts.close("tutor", **{**SAID, "reason": ""})


def test_an_entry_ends_on_its_day_and_its_sources_close_then(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = [date(2026, 12, 1)]
    monkeypatch.setattr(container.retention.contracts, "_today", lambda: today[0])
    act = container.retention.contracts.end(ENTRY, date(2026, 12, 31), **SAID)
    assert (act.phase, act.document) == (WAITING, None)
    assert container.retention.contracts.run() == 0
    assert container.operations.sources.issue(source="tutor", label="x", scopes=["statements/write"], actor="cli:test")
    today[0] = date(2026, 12, 31)
    assert container.retention.contracts.run() == 1
    source = container.access.sources_repository.get("tutor")
    assert source is not None
    assert source.closed is not None
    done = container.retention.certificates.get(act.id)
    assert (done.phase, done.counts) == (DONE, {"sources": 1})
    assert done.document is not None
    assert {one.kind for one in container.retention.certificates.newest()} == {"activity-ended", "source-closed"}
    assert kinds(container, ACTIVITY_ENDED)[0]["on"] == "2026-12-31"
    with pytest.raises(RegisterInvalid, match="ended"):
        container.operations.sources.add("late", name="Late", activity=ENTRY, actor="cli:test")
    assert container.retention.contracts.run() == 0


def test_until_its_day_another_day_may_be_said(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    today = [date(2026, 12, 1)]
    monkeypatch.setattr(container.retention.contracts, "_today", lambda: today[0])
    first = container.retention.contracts.end(ENTRY, date(2026, 12, 10), **SAID)
    container.retention.contracts.end(ENTRY, date(2026, 12, 20), **SAID)
    assert container.retention.certificates.get(first.id).counts == {"replaced": 1}
    today[0] = date(2026, 12, 15)
    assert container.retention.contracts.run() == 0
    source = container.access.sources_repository.get("tutor")
    assert source is not None
    assert source.closed is None


def test_the_job_closes_and_goes_on(container: Container) -> None:
    tomorrow = clock.now().date() + timedelta(days=2)
    container.retention.contracts.end(ENTRY, tomorrow, **SAID)
    job = next(job for job in container.jobs if job.name == "erasure")

    class Lease:
        fence = 1

        def check(self) -> None:
            return

    done = job.run(Lease())  # type: ignore[arg-type]
    assert (done["deletions"], done["activities_ended"]) == (0, 0)


# --- after a restore ------------------------------------------------------------------------------------


def restored(container: Container, backup: Path, *, lost: bool) -> Container:
    """The store as it is after a restore of the backup; with the database lost, or replaced."""
    container.close()
    again = Container(container.settings)
    if lost:
        again.platform.store.client.drop_database(container.settings.database)
    again.operations.backups.restore(backup, replace=not lost)
    again.close()
    made = Container(container.settings)
    made.lifecycle.start()
    return made


def test_a_restore_brings_nothing_back_that_was_deleted_on_the_operators_word(
    container: Container, tmp_path: Path
) -> None:
    (single,) = send(container, named("lea"))
    send(container, named("tom"), named("ada"))
    document(container, Resource.STATE, "tom")
    to = another(container, days=1_000)
    backup = container.operations.backups.create(tmp_path).path
    container.retention.deletions.delete_statement(single, **SAID)
    container.retention.deletions.delete_data("tutor", **SAID)
    container.retention.contracts.move("tutor", to, **SAID)
    container.retention.contracts.close("tutor", **SAID)
    documents = {act.id: act.document for act in container.retention.certificates.newest()}
    made = restored(container, backup, lost=False)
    assert bodies(made) == {}
    assert made.platform.store.collection("documents").count_documents({}) == 0
    source = made.access.sources_repository.get("tutor")
    assert source is not None
    assert (source.activity, source.closed is not None) == (to, True)
    assert {act.id: act.document for act in made.retention.certificates.newest()} == documents
    assert len(kinds(made, CERTIFICATES_REAPPLIED)[0]["certificates"]) == 4
    assert made.retention.contracts.reapply(actor="cli:test") == ()
    made.close()


def test_after_the_loss_of_the_database_certificates_kept_elsewhere_do_it(container: Container, tmp_path: Path) -> None:
    _ = container.keys.signer  # the backup has the key that signs
    send(container, named("lea"), named("tom"))
    backup = container.operations.backups.create(tmp_path).path
    deleted = container.retention.deletions.delete_data("tutor", **SAID)
    closed = container.retention.contracts.close("tutor", **SAID)
    made = restored(container, backup, lost=True)
    assert len(bodies(made)) == 2
    given = [act.document for act in (closed, deleted) if act.document is not None]
    forged = Signer(bytes(32)).signed(CERTIFICATE, {"organisation": made.settings.organisation})
    with pytest.raises(SignatureRefused):
        made.retention.contracts.reapply([forged], actor="cli:test")
    assert set(made.retention.contracts.reapply(given, actor="cli:test")) == {deleted.id, closed.id}
    assert bodies(made) == {}
    source = made.access.sources_repository.get("tutor")
    assert source is not None
    assert source.closed is not None
    kept = made.retention.certificates.get(deleted.id)
    assert (kept.kind, kept.document, kept.phase) == (DATA_DELETED, deleted.document, DONE)
    made.close()


def test_what_was_kept_for_a_restricted_person_is_kept_by_a_restore(container: Container, tmp_path: Path) -> None:
    (kept,) = send(container, named("lea"))
    send(container, named("tom"))
    backup = container.operations.backups.create(tmp_path).path
    container.people.restriction.restrict(person("lea"), actor="cli:test")
    container.retention.deletions.delete_data("tutor", **SAID)
    container.people.restriction.lift(person("lea"), actor="cli:test")
    made = restored(container, backup, lost=False)
    assert set(bodies(made)) == {kept}
    made.close()


def test_a_backup_of_before_there_were_certificates_takes_none_back(container: Container, tmp_path: Path) -> None:
    send(container, named("lea"))
    container.platform.store.collection("certificates").drop()
    backup = container.operations.backups.create(tmp_path).path
    act = container.retention.deletions.delete_data("tutor", **SAID)
    made = restored(container, backup, lost=False)
    assert bodies(made) == {}
    assert [one.id for one in CertificateRepository(made.platform.store).every()] == [act.id]
    made.close()
