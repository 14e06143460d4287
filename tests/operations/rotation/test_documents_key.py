"""The rotation of the documents key, on a real MongoDB: all that it seals opens at each stage, nothing stays behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from bson import decode_all

from app.access.perimeters import Perimeter
from app.access.roles import Grant, Role
from app.core import clock
from app.core.errors import BadCursor, DecryptionFailed, KeysBusy
from app.crypto.keys import KEY_BYTES, Wrapped, organisation_place, sealed_by
from app.crypto.purposes import MacKey
from app.governance.audit.log import CHAIN_CLOSED, STATEMENTS_READ, New, canonical
from app.governance.audit.spool import HostSpools
from app.governance.audit.spool_file import SpoolFile
from app.governance.audit.store import AuditRepository
from app.keys import organisation as organisation_keys
from app.keys.organisation import Stage, begin_documents, documents_state, finish_documents, move_documents
from app.mail.outbox_store import place as mail_place
from app.operations.rotation import documents_key as rules
from app.operations.rotation.documents_key import DocumentsRotation
from app.operations.rotation.shared_ciphertexts import KINDS, SharedCiphertexts
from app.people.finding.finder import data_subject_of
from app.settings import Settings
from app.standards.xapi.documents import Conditions, Content, Place, Resource
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.traces.statements import activity_store as activity_definitions
from app.wiring.container import Container
from tests.research.counted import refreshed
from tests.served import ACTIVITY, statement
from tests.stores import initialised, look_after_keys
from tests.values import bytes_in

WHO = Reader("sk-test", None)
ANA = {"account": {"homePage": "https://ent.example", "name": "ana"}}
LESSON = "https://ent.example/lessons/1"
PLACE = Place(Resource.ACTIVITY_PROFILE, LESSON, id="settings")
BY = "cli:test"
_WRAPPED, _WRAPPED_BYTES = frozenset({"subjects", "organisation_keys"}), 12 + KEY_BYTES + 16
"""Collections of wrapped keys, and the length of one: nonce, key, tag."""
OVER = Conditions(if_none_match=frozenset({"-"}))
"""Whatever is there is replaced."""


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    """A started process over a store of its own that looks after its keys all the time."""
    # Nothing is sent: the message of ``fill`` waits.
    with initialised(settings, database_name, smtp_host="127.0.0.1", smtp_sender="traces@sillage.example") as made:
        look_after_keys(made)
        made.governance.register.add(orjson.dumps(ACTIVITY))
        made.operations.sources.add("tutor", name="Tutor", activity=ACTIVITY["id"], scopes=["all"], actor=BY)
        made.lifecycle.start()
        yield made


@pytest.fixture
def rotation(container: Container, monkeypatch: pytest.MonkeyPatch) -> DocumentsRotation:
    """The rotation, in small batches, without waiting for other processes."""
    monkeypatch.setattr(rules, "BATCH", 2)
    monkeypatch.setattr(rules, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(container.operations.documents_rotation, "_settle", 0.0)
    return container.operations.documents_rotation


def send(container: Container, *statements: dict[str, Any]) -> None:
    (source,) = container.access.sources_repository.list()
    container.traces.recorder.record(orjson.dumps(statements), source, Version.V2)


def defined(number: int) -> dict[str, Any]:
    activity = f"https://ent.example/lessons/{number}"
    return statement(actor=ANA, object={"id": activity, "definition": {"name": {"fr": f"Leçon {number}"}}})


def fill(container: Container) -> str:
    """One of each kind, and more of some; the id of a request."""
    send(container, *(defined(number) for number in range(1, 6)))
    for number in range(3):
        container.traces.documents.put(
            PLACE._replace(id=f"d{number}"),
            Content("text/plain", b"content"),
            Conditions(),
            Version.V2,
            source="tutor",
            actor="sk-writer",
        )
    request = container.people.requests.open(
        "access", data_subject_of([ANA]), received=None, note="by letter", actor=BY
    )
    refreshed(container)
    container.mail.mail.send("ana@school.example", "trial", "fr", {})
    container.access.users.add(
        "ana@school.example", name="Ana", grants=[Grant(Role.DPO, Perimeter())], language="fr", actor=BY
    )
    # Who received what, once the log is as old as it gets.
    container.governance.audit.append("statements-read", "sk-1", {"tokens": [], "count": 1, "first": 1, "last": 2})
    (read,) = container.governance.audit.newest(["statements-read"], None, 1)
    container.people.receptions.condense(read.chain, read.n)
    return request.id


def check(container: Container, request: str) -> None:
    """All of what ``fill`` made is there."""
    named = dict(
        container.traces.activities.definitions([f"https://ent.example/lessons/{number}" for number in range(1, 6)])
    )
    assert {each["name"]["fr"] for each in named.values()} == {f"Leçon {number}" for number in range(1, 6)}
    for number in range(3):
        found = container.traces.documents.read(PLACE._replace(id=f"d{number}"), actor="a")
        assert found.content.body == b"content"
    assert len(container.traces.documents.ids(PLACE._replace(id=None), actor="a").ids) == 3
    assert container.people.requests.show(request, actor=BY).steps
    (waiting,) = container.platform.store.collection("outbox").find({})
    assert b"ana@school.example" in container.keys.organisation.decrypt(mail_place(waiting["_id"]), waiting["sealed"])
    assert [each.name for each in container.access.users.list()] == ["Ana"]
    names = [
        part
        for state in container.research.aggregates._repository.states()
        for part in container.research.aggregates._repository.names(state.id)
    ]
    assert names
    assert container.research.aggregates._repository.contents(names) is not None
    assert container.governance.audit.verify().intact
    assert [group.credential for kept in container.people.receptions.every() for group in kept.groups] == ["sk-1"]


def generations(container: Container) -> dict[str, set[int]]:
    """Of each kind, the generations that its values are sealed with."""
    ciphertexts = SharedCiphertexts(container.platform.store)
    return {
        kind.collection: {
            sealed_by(value) for row in ciphertexts.page(kind, None, 1_000) for value in row.values.values()
        }
        for kind in KINDS
    }


def opened_keys(container: Container) -> dict[str, bytes]:
    document = container.platform.store.collection("organisation_keys").find_one({})
    assert document is not None
    organisation = container.settings.organisation
    return {
        name: container.keys.keyring.unwrap(
            organisation_place(organisation, name), Wrapped(one["version"], one["sealed"])
        )
        for name, one in document["keys"].items()
    }


def stop_after(batches: int) -> Callable[[], None]:
    left = [batches]

    def stop() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeysBusy("stop")

    return stop


def test_everything_is_sealed_anew_and_the_old_key_is_gone(container: Container, rotation: DocumentsRotation) -> None:
    request = fill(container)
    assert all(found == {1} for found in generations(container).values())
    before = opened_keys(container)
    done = rotation.rotate()
    assert (done.generation, done.unopened, done.finished) == (2, 0, True)
    assert done.values >= 5 + 3 + 1 + 1
    assert all(found == {2} for found in generations(container).values())
    check(container, request)
    after = opened_keys(container)
    assert before["documents"] not in after.values()
    assert after.keys() - before.keys() == {"audit-2", *(name for name in after if "until" in name)}
    (proving,) = [key for name, key in after.items() if name.startswith("audit-1-until-")]
    assert proving == before["audit-1"]
    kinds = [
        entry.kind for entry in container.governance.audit.newest(["documents-key-given-out", "documents-key-retired"])
    ]
    assert kinds == ["documents-key-retired", "documents-key-given-out"]
    # Once more, from there.
    assert rotation.rotate().generation == 3
    check(container, request)
    assert {name.partition("-until-")[0] for name in opened_keys(container) if name.startswith("audit")} == {
        "audit-1",
        "audit-2",
        "audit-3",
    }


def test_no_kind_of_value_is_forgotten(container: Container) -> None:
    """Whatever begins as such values do, in any collection, is of a kind that the rotation knows."""
    fill(container)
    # Wrapped keys begin with a nonce: one in 65,536 of them as such values do.
    chance = {"_id": bytes(16), "key": b"\x00\x01" + bytes(_WRAPPED_BYTES - 2)}
    container.platform.store.collection("subjects").insert_one(chance)
    listed = {kind.collection for kind in KINDS}
    seen = {
        name
        for name in container.platform.store.db.list_collection_names()
        for document in decode_all(b"".join(each.raw for each in _raw(container, name)))
        for value in bytes_in(document)
        if value[:2] == b"\x00\x01" and len(value) > 2 + 24 + 16
        if not (name in _WRAPPED and len(value) == _WRAPPED_BYTES)
    }
    assert seen == listed


def _raw(container: Container, name: str) -> Any:
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument

    return container.platform.store.db.get_collection(name, codec_options=CodecOptions(RawBSONDocument)).find({})


def test_at_each_stage_everything_opens_and_the_right_key_writes(
    container: Container, rotation: DocumentsRotation
) -> None:
    request = fill(container)
    organisation = container.settings.organisation

    def put() -> int:
        container.traces.documents.put(
            PLACE._replace(id="d0"),
            Content("text/plain", b"content"),
            OVER,
            Version.V2,
            source="tutor",
            actor="sk-writer",
        )
        row = container.platform.store.collection("documents").find_one(
            {"subject": {"$exists": False}}, sort=[("updated", -1)]
        )
        assert row is not None
        return sealed_by(bytes(row["body"]))

    assert [begin_documents(container.platform.store, container.keys.keyring, organisation, 1) for _ in range(2)] == [
        True,
        False,
    ]
    assert documents_state(container.platform.store, organisation).stage is Stage.GIVEN_OUT
    assert not finish_documents(container.platform.store, container.keys.keyring, organisation, 1, 0)
    assert put() == 1
    check(container, request)
    assert [move_documents(container.platform.store, organisation, 1) for _ in range(2)] == [True, False]
    assert put() == 2
    check(container, request)
    assert rotation.resume().finished
    assert put() == 2
    check(container, request)
    assert rotation.resume() == (2, 0, 0, False)


@pytest.mark.parametrize("batches", range(0, 14, 2))
def test_cut_off_anywhere_it_goes_on(container: Container, rotation: DocumentsRotation, batches: int) -> None:
    request = fill(container)
    with pytest.raises(KeysBusy):
        rotation.rotate(check=stop_after(0))
    for _ in range(10):
        try:
            rotation.rotate(check=stop_after(batches))
            break
        except KeysBusy:
            check(container, request)
            if batches < 12:
                batches += 4
    done = rotation.rotate() if rotation.status().generation == 1 else None
    assert done is None or done.finished
    assert rotation.status().generation == 2
    assert all(found == {2} for found in generations(container).values())
    check(container, request)


def test_two_runs_at_once_and_writers_meanwhile_lose_nothing(container: Container, rotation: DocumentsRotation) -> None:
    request = fill(container)
    stop, failed = threading.Event(), []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                container.traces.documents.put(
                    PLACE._replace(id=f"w{number % 5}"),
                    Content("text/plain", b"%d" % number),
                    OVER,
                    Version.V2,
                    source="tutor",
                    actor="sk-writer",
                )
                send(container, defined(number % 5 + 1))
            except Exception as problem:
                failed.append(problem)

    def rotate() -> None:
        try:
            rotation.rotate()
        except Exception as problem:
            failed.append(problem)

    writer = threading.Thread(target=write)
    runs = [threading.Thread(target=rotate) for _ in range(2)]
    for thread in (writer, *runs):
        thread.start()
    for thread in runs:
        thread.join()
    stop.set()
    writer.join()
    assert failed == []
    assert rotation.status().stage is None
    generation = rotation.status().generation
    assert all(found == {generation} for found in generations(container).values())
    for number in range(3):
        assert container.traces.documents.read(PLACE._replace(id=f"d{number}"), actor="a").content.body == b"content"
    assert container.people.requests.show(request, actor=BY).steps
    assert container.governance.audit.verify().intact


def test_it_waits_until_every_process_knows_the_next_key(container: Container, rotation: DocumentsRotation) -> None:
    fill(container)
    rotation._settle = 0.5
    seen: list[Stage | None] = []

    def look() -> None:
        seen.append(rotation.status().stage)

    rotation.rotate(check=look)
    assert seen.count(Stage.GIVEN_OUT) >= 2
    assert seen.count(Stage.MOVING) >= 2


def test_what_a_process_that_did_not_know_yet_sealed_meanwhile_is_moved_too(
    container: Container, rotation: DocumentsRotation
) -> None:
    fill(container)
    rotation._settle = 1.0
    # Within its lease it goes on with what it knew.
    slow = organisation_keys.unlock(
        container.platform.store, container.keys.keyring, container.settings.organisation, keep_seconds=60
    )
    late: list[bytes] = []

    def write() -> None:
        state = rotation.status()
        if state.stage is Stage.MOVING and state.seconds > 0.5 and not late:
            late.append(slow.encrypt(activity_definitions.place(b"late-token-1"), b"{}"))
            container.platform.store.collection("activity_definitions").insert_one(
                {"_id": b"late-token-1", "body": late[0], "revision": 1}
            )

    assert rotation.rotate(check=write).finished
    assert [sealed_by(value) for value in late] == [1]
    assert all(found == {2} for found in generations(container).values())


def test_what_is_damaged_is_counted_and_does_not_hold_the_rotation_up(
    container: Container, rotation: DocumentsRotation
) -> None:
    fill(container)
    row = container.platform.store.collection("documents").find_one({"subject": {"$exists": False}})
    assert row is not None
    container.platform.store.collection("documents").update_one(
        {"_id": row["_id"]}, {"$set": {"body": row["body"][:-1] + b"\x00\x00"}}
    )
    done = rotation.rotate()
    assert (done.unopened, done.finished) == (1, True)


def test_a_cursor_from_before_is_refused_with_the_reason(container: Container, rotation: DocumentsRotation) -> None:
    fill(container)
    cursor = container.traces.statement_queries.page(StatementQuery(limit=2), WHO).cursor
    assert cursor is not None
    assert len(container.traces.statement_queries.next_page(cursor, WHO).bodies) == 2
    rotation.rotate()
    with pytest.raises(BadCursor, match="was replaced"):
        container.traces.statement_queries.next_page(cursor, WHO)


def test_a_cursor_grows_old(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(container)
    cursor = container.traces.statement_queries.page(StatementQuery(limit=2), WHO).cursor
    assert cursor is not None
    real = clock.today()
    monkeypatch.setattr(clock, "today", lambda: real + 7)
    assert container.traces.statement_queries.next_page(cursor, WHO).bodies
    monkeypatch.setattr(clock, "today", lambda: real + 8)
    with pytest.raises(BadCursor, match="days old"):
        container.traces.statement_queries.next_page(cursor, WHO)


def test_who_has_the_old_audit_key_forges_nothing_that_is_later(
    container: Container, rotation: DocumentsRotation
) -> None:
    fill(container)
    old = opened_keys(container)["audit-1"]
    rotation.rotate()
    (last,) = container.governance.audit.newest(limit=1)
    for later, intact in ((0, True), (60 * 60 * 1_000_000, False)):
        forged = last._replace(at=last.at + later, actor="nobody")
        mac = MacKey(old, container.settings.organisation).mac("audit", canonical(forged))
        assert container.governance.audit.genuine(forged._replace(mac=mac)) is intact


def test_a_spool_written_under_the_old_audit_key_is_shipped_and_proved(
    container: Container, rotation: DocumentsRotation, tmp_path: Path
) -> None:
    log = container.governance.audit
    first = log.opening({"host": "host-a", "spool": "ours"})
    (tmp_path / "spool").mkdir()
    file = SpoolFile(tmp_path / "spool", first)
    file.append([log.entry(first.chain, 1, first.mac, New(clock.now_us(), STATEMENTS_READ, "sk-1", {"count": 1}))])
    file.close()
    rotation.rotate()
    repository = AuditRepository(container.platform.store)
    spools = HostSpools(tmp_path / "spool", log, repository, store="ours", host="host-a", now=clock.now_us, notes=list)
    spools.adopt()
    assert repository.head(first.chain).kind == CHAIN_CLOSED  # type: ignore[union-attr]
    assert [*(tmp_path / "spool").iterdir()] == []
    assert log.verify().intact


def test_the_other_keys_stay(container: Container, rotation: DocumentsRotation) -> None:
    fill(container)
    keys = container.keys.organisation
    before = (keys.subject("x"), keys.named("agent", "x"), keys.mac("tombstone", b"x"), keys.pseudonym("s", b"x" * 16))
    rotation.rotate()
    again = organisation_keys.unlock(container.platform.store, container.keys.keyring, container.settings.organisation)
    assert before == (
        again.subject("x"),
        again.named("agent", "x"),
        again.mac("tombstone", b"x"),
        again.pseudonym("s", b"x" * 16),
    )
    assert len(opened_keys(container)["documents"]) == KEY_BYTES


def test_key_encryption_keys_are_rotated_in_the_midst_of_it(container: Container, rotation: DocumentsRotation) -> None:
    request = fill(container)
    with pytest.raises(KeysBusy):
        rotation.rotate(check=stop_after(3))
    container.operations.key_service.rotate()
    container.operations.key_service.rewrap()
    assert rotation.rotate().finished
    assert set(organisation_keys.versions(container.platform.store)) == {2}
    check(container, request)


def test_a_value_under_no_key_in_force_is_damaged(container: Container) -> None:
    fill(container)
    with pytest.raises(DecryptionFailed):
        container.keys.organisation.decrypt("case:1", b"\x00\x09" + bytes(60))
