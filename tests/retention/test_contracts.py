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
from app.factory import Parts
from app.governance.audit.log import ACTIVITY_ENDED, CERTIFICATES_REAPPLIED, SOURCE_CLOSED, SOURCE_MOVED
from app.retention.certificate_store import DATA_DELETED, DONE, WAITING, CertificateRepository
from app.retention.certificates import CERTIFICATE
from app.standards.xapi.documents import Resource
from tests.people.people import bodies, document, named, parts, person, send
from tests.served import ACTIVITY

__all__ = ("parts",)

SAID: dict[str, Any] = {"word": "head of digital services", "reason": "the contract ended", "actor": "cli:test"}
ENTRY = str(ACTIVITY["id"])


def another(parts: Parts, identity: str = "other", days: int = 5) -> str:
    content = orjson.loads(orjson.dumps(ACTIVITY)) | {"id": identity}
    content["retention"]["active_days"] = days
    return parts.register.add(orjson.dumps(content)).id


def kinds(parts: Parts, kind: str) -> list[Any]:
    return [entry.detail for entry in parts.audit.newest([kind])]


def test_of_a_closed_source_nothing_is_accepted_and_what_is_stored_stays(parts: Parts) -> None:
    key = parts.sources.issue(source="tutor", label="x", scopes=["statements/write"], actor="cli:test")
    access = Access(parts.sources_repository)
    secret = key.secret.encode()
    assert access.verify(key.id, secret).source == "tutor"
    send(parts, named("lea"))
    act = parts.contracts.close("tutor", **SAID)
    with pytest.raises(CredentialsRefused):
        access.verify(key.id, secret)
    with pytest.raises(RegisterInvalid, match="closed"):
        parts.sources.issue(source="tutor", label="x", scopes=["statements/write"], actor="cli:test")
    assert len(bodies(parts)) == 1
    assert kinds(parts, SOURCE_CLOSED) == [{"certificate": str(act.id), "activity": ENTRY, "source": "tutor"}]
    assert act.document is not None
    said = signing.verified(act.document, signing.parse_public_key(parts.signer.pem.encode())).content
    assert (said["kind"], said["source"], said["activity"]) == ("source-closed", "tutor", ENTRY)
    # Again, it is closed already.
    assert parts.contracts.close("tutor", **SAID).id == act.id
    # Its duration still counts.
    (line,) = parts.retention.report(clock.now_us() + 10_000 * 86_400_000_000)
    assert (line.source, line.due) == ("tutor", 1)


def test_what_was_stored_before_a_move_follows_the_new_entry(parts: Parts) -> None:
    send(parts, named("lea"))
    document(parts, Resource.STATE, "lea")
    to = another(parts)
    plan = parts.contracts.planned("tutor", to)
    assert (plan.before.id, plan.after.id, plan.now.kept, plan.then.active_days) == (ENTRY, to, 1, 5)
    act = parts.contracts.move("tutor", to, **SAID)
    assert (act.activity, act.to, act.counts) == (ENTRY, to, {"statements": 1, "documents": 1, "due": 0})
    assert [link.activity for link in parts._links()] == [to]
    assert kinds(parts, SOURCE_MOVED)[0]["to"] == to
    later = clock.now_us() + 6 * 86_400_000_000
    assert parts.retention.apply(later).statements == 1
    # It stands in the history of both.
    assert [one.id for one in parts.certificates.newest(activity=to)] == [act.id]
    assert [one.id for one in parts.certificates.newest(activity=ENTRY)] == [act.id]


def test_a_move_says_what_would_be_due_under_the_new_entry(parts: Parts) -> None:
    send(parts, named("lea"))
    parts.store.collection("statements").update_many({}, {"$inc": {"stored": -6 * 86_400_000_000}})
    plan = parts.contracts.planned("tutor", another(parts))
    assert (plan.now.due, plan.then.due) == (0, 1)


def test_a_source_is_not_moved_to_nowhere_nor_where_it_is_nor_under_what_has_ended(parts: Parts) -> None:
    with pytest.raises(NotFound):
        parts.contracts.move("tutor", "nowhere", **SAID)
    with pytest.raises(NotFound):
        parts.contracts.move("nobody", ENTRY, **SAID)
    with pytest.raises(RegisterInvalid, match="already"):
        parts.contracts.move("tutor", ENTRY, **SAID)
    to = another(parts)
    parts.contracts.end(to, date(2026, 1, 1), **SAID)
    with pytest.raises(RegisterInvalid, match="ended"):
        parts.contracts.move("tutor", to, **SAID)
    with pytest.raises(BadRequest):
        parts.contracts.close("tutor", **{**SAID, "reason": ""})


def test_an_entry_ends_on_its_day_and_its_sources_close_then(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    today = [date(2026, 12, 1)]
    monkeypatch.setattr(parts.contracts, "_today", lambda: today[0])
    act = parts.contracts.end(ENTRY, date(2026, 12, 31), **SAID)
    assert (act.phase, act.document) == (WAITING, None)
    assert parts.contracts.run() == 0
    assert parts.sources.issue(source="tutor", label="x", scopes=["statements/write"], actor="cli:test")
    today[0] = date(2026, 12, 31)
    assert parts.contracts.run() == 1
    source = parts.sources_repository.get("tutor")
    assert source is not None
    assert source.closed is not None
    done = parts.certificates.get(act.id)
    assert (done.phase, done.counts) == (DONE, {"sources": 1})
    assert done.document is not None
    assert {one.kind for one in parts.certificates.newest()} == {"activity-ended", "source-closed"}
    assert kinds(parts, ACTIVITY_ENDED)[0]["on"] == "2026-12-31"
    with pytest.raises(RegisterInvalid, match="ended"):
        parts.sources.add("late", name="Late", activity=ENTRY, actor="cli:test")
    assert parts.contracts.run() == 0


def test_until_its_day_another_day_may_be_said(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    today = [date(2026, 12, 1)]
    monkeypatch.setattr(parts.contracts, "_today", lambda: today[0])
    first = parts.contracts.end(ENTRY, date(2026, 12, 10), **SAID)
    parts.contracts.end(ENTRY, date(2026, 12, 20), **SAID)
    assert parts.certificates.get(first.id).counts == {"replaced": 1}
    today[0] = date(2026, 12, 15)
    assert parts.contracts.run() == 0
    source = parts.sources_repository.get("tutor")
    assert source is not None
    assert source.closed is None


def test_the_job_closes_and_goes_on(parts: Parts) -> None:
    tomorrow = clock.now().date() + timedelta(days=2)
    parts.contracts.end(ENTRY, tomorrow, **SAID)
    job = next(job for job in parts.jobs if job.name == "erasure")

    class Lease:
        fence = 1

        def check(self) -> None:
            return

    done = job.run(Lease())  # type: ignore[arg-type]
    assert (done["deletions"], done["activities_ended"]) == (0, 0)


# --- after a restore ------------------------------------------------------------------------------------


def restored(parts: Parts, backup: Path, *, lost: bool) -> Parts:
    """The store as it is after a restore of the backup; with the database lost, or replaced."""
    parts.close()
    again = Parts(parts.settings)
    if lost:
        again.store.client.drop_database(parts.settings.database)
    again.backups.restore(backup, replace=not lost)
    again.close()
    made = Parts(parts.settings)
    made.start()
    return made


def test_a_restore_brings_nothing_back_that_was_deleted_on_the_operators_word(parts: Parts, tmp_path: Path) -> None:
    (single,) = send(parts, named("lea"))
    send(parts, named("tom"), named("ada"))
    document(parts, Resource.STATE, "tom")
    to = another(parts, days=1_000)
    backup = parts.backups.create(tmp_path).path
    parts.deletions.delete_statement(single, **SAID)
    parts.deletions.delete_data("tutor", **SAID)
    parts.contracts.move("tutor", to, **SAID)
    parts.contracts.close("tutor", **SAID)
    documents = {act.id: act.document for act in parts.certificates.newest()}
    made = restored(parts, backup, lost=False)
    assert bodies(made) == {}
    assert made.store.collection("documents").count_documents({}) == 0
    source = made.sources_repository.get("tutor")
    assert source is not None
    assert (source.activity, source.closed is not None) == (to, True)
    assert {act.id: act.document for act in made.certificates.newest()} == documents
    assert len(kinds(made, CERTIFICATES_REAPPLIED)[0]["certificates"]) == 4
    assert made.contracts.reapply(actor="cli:test") == ()
    made.close()


def test_after_the_loss_of_the_database_certificates_kept_elsewhere_do_it(parts: Parts, tmp_path: Path) -> None:
    _ = parts.signer  # the backup has the key that signs
    send(parts, named("lea"), named("tom"))
    backup = parts.backups.create(tmp_path).path
    deleted = parts.deletions.delete_data("tutor", **SAID)
    closed = parts.contracts.close("tutor", **SAID)
    made = restored(parts, backup, lost=True)
    assert len(bodies(made)) == 2
    given = [act.document for act in (closed, deleted) if act.document is not None]
    forged = Signer(bytes(32)).signed(CERTIFICATE, {"organisation": made.settings.organisation})
    with pytest.raises(SignatureRefused):
        made.contracts.reapply([forged], actor="cli:test")
    assert set(made.contracts.reapply(given, actor="cli:test")) == {deleted.id, closed.id}
    assert bodies(made) == {}
    source = made.sources_repository.get("tutor")
    assert source is not None
    assert source.closed is not None
    kept = made.certificates.get(deleted.id)
    assert (kept.kind, kept.document, kept.phase) == (DATA_DELETED, deleted.document, DONE)
    made.close()


def test_what_was_kept_for_a_restricted_person_is_kept_by_a_restore(parts: Parts, tmp_path: Path) -> None:
    (kept,) = send(parts, named("lea"))
    send(parts, named("tom"))
    backup = parts.backups.create(tmp_path).path
    parts.restriction.restrict(person("lea"), actor="cli:test")
    parts.deletions.delete_data("tutor", **SAID)
    parts.restriction.lift(person("lea"), actor="cli:test")
    made = restored(parts, backup, lost=False)
    assert set(bodies(made)) == {kept}
    made.close()


def test_a_backup_of_before_there_were_certificates_takes_none_back(parts: Parts, tmp_path: Path) -> None:
    send(parts, named("lea"))
    parts.store.collection("certificates").drop()
    backup = parts.backups.create(tmp_path).path
    act = parts.deletions.delete_data("tutor", **SAID)
    made = restored(parts, backup, lost=False)
    assert bodies(made) == {}
    assert [one.id for one in CertificateRepository(made.store).every()] == [act.id]
    made.close()
