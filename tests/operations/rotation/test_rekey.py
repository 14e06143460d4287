"""New keys for learners, on a real MongoDB: all reads as before at each stage, and what leaked opens nothing of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.errors import DatabaseUnavailable, KeyRefused, KeysBusy, Unavailable
from app.crypto import attachments as attachment_encryption
from app.crypto import documents as encryption
from app.crypto.documents import Layer, decrypt_layers
from app.crypto.keys import KeyEncryptionKeys, KeyPair, Wrapped, subject_place
from app.keys import learners as subject_keys
from app.keys.learners import SubjectKeys
from app.keys.rekeying import Stage
from app.operations.rotation import rekey as rules
from app.operations.rotation.learner_ciphertexts import KINDS, LearnerCiphertexts
from app.operations.rotation.pages import MAX_BYTES
from app.operations.rotation.rekey import Rekey
from app.retention.closed_accounts import CLOSED, Event
from app.settings import Settings
from app.standards.xapi.documents import Conditions, Content, Resource
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.documents.service import MAX_DOCUMENT_BYTES
from app.traces.queries.statements import Reader
from app.traces.statements.attachments import Part
from app.wiring.container import Container
from tests.multiparts import attachment_of, sha2_of
from tests.people.people import SOURCE, container, document, named, person, place, send, with_attachment
from tests.served import ACTIVITY
from tests.values import bytes_in

__all__ = ("container",)

NAMES = ("ana", "bo", "cem", "dina", "eli")
WHO = Reader("sk-test", None)
BY = "cli:test"
SESSION = b"session-of-ana-1"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "BATCH", 3)
    monkeypatch.setattr(rules, "GIVEN_AT_ONCE", 2)
    monkeypatch.setattr(rules, "_PAUSE_SECONDS", 0.01)
    # One that ended in the midst of it, as by a kill, keeps nobody waiting for long.
    monkeypatch.setattr(rules, "CLAIM_SECONDS", 0.05)


@pytest.fixture
def rekey(container: Container, monkeypatch: pytest.MonkeyPatch) -> Rekey:
    """The rekey; it waits for the processes that live, and not for commands that nobody told."""
    monkeypatch.setattr(container.operations.rekey, "_settle", 0.0)
    return container.operations.rekey


class Sealed:
    """Records what is sealed with learners' keys."""

    made: ClassVar[list[bytes]] = []

    def __init__(self, key: bytes) -> None:
        self._key = AESGCM(key)

    def encrypt(self, nonce: bytes, data: bytes, bound: bytes | None) -> bytes:
        sealed = self._key.encrypt(nonce, data, bound)
        self.made.append(sealed)
        return sealed

    def decrypt(self, nonce: bytes, data: bytes, bound: bytes | None) -> bytes:
        return self._key.decrypt(nonce, data, bound)


def fill(container: Container) -> None:
    """Values of each kind."""
    send(container, *(named(name) for name in NAMES for _ in range(3)))
    send(container, with_attachment("ana", b"copy"), with_attachment("bo", b"copy"), data=(b"copy",))
    for name in ("ana", "cem"):
        document(container, Resource.STATE, name)
        document(container, Resource.AGENT_PROFILE, name)
    ana = container.keys.organisation.subject("account:https://ent.example|ana")
    key = container.keys.subjects.existing([ana])[ana]
    container.platform.store.collection("pattern_sessions").insert_one(
        {
            "_id": SESSION,
            "subject": ana,
            "state": encryption.encrypt(
                key, container.settings.organisation, encryption.session_place(SESSION), b"state", os.urandom
            ),
        }
    )
    container.people.requests.open("access", person("ana", "bo"), received=None, note="by letter", actor=BY)
    request = container.people.requests.open("restriction", person("dina"), received=None, note="", actor=BY)
    container.people.requests.identify(request.id, note="seen", actor=BY)
    container.people.restriction.restrict(person("dina"), request=request.id, actor=BY)
    container.retention.accounts.announce("tutor", [Event(person("eli"), CLOSED, None)], actor=BY)
    code = container.people.links.ask("tutor", person("bo"), role="guardian", actor=BY).code
    container.people.links.give("u-parent", ("guardian",), code, called="Bo", actor=BY)


def reads(container: Container) -> dict[str, Any]:
    """All that ``fill`` made, as it reads."""
    container.keys.subjects.forget()
    plain = container.traces.reader.decrypted(container.traces.statements.span(None, 1 << 62, 1_000))
    organisation = container.settings.organisation
    ana = container.keys.organisation.subject("account:https://ent.example|ana")
    (session,) = container.platform.store.collection("pattern_sessions").find({})
    (ended,) = container.platform.store.collection("accounts").find({})
    eli = bytes.fromhex(ended["_id"].partition("/")[0])
    page = container.traces.statement_queries.page(StatementQuery(limit=500), WHO)
    return {
        "statements": {one.id: one.body for one in plain},
        "page": sorted(page.bodies),
        "documents": {
            (resource, name): container.traces.documents.read(place(resource, name, "d"), actor="a").content
            for resource in (Resource.STATE, Resource.AGENT_PROFILE)
            for name in ("ana", "cem")
        },
        "ids": container.traces.documents.ids(place(Resource.STATE, "ana", "d")._replace(id=None), actor="a").ids,
        "attachments": [
            b"".join(data.chunks)
            for one in plain
            if b'"attachments":' in one.body
            for data in container.traces.attachments.of([(one, orjson.loads(one.body))])
        ],
        "session": encryption.decrypt(
            container.keys.subjects.existing([ana])[ana],
            organisation,
            encryption.session_place(SESSION),
            session["state"],
        ),
        "cases": [
            (request.identifiers, request.kind, [step.note for step in request.steps])
            for request in sorted(
                (
                    container.people.requests.show(one["_id"], actor=BY)
                    for one in container.platform.store.collection("cases").find({})
                ),
                key=lambda request: request.kind,
            )
        ],
        "links": [(link.called, link.data_subject.identifiers) for link in container.people.links.of("u-parent")],
        "restricted": container.people.restriction.held(),
        "ended": container.keys.data_subject_cipher.decrypt("account", {eli: ended["who"]}),
    }


def leaked(container: Container) -> dict[bytes, bytes]:
    """Learners' keys of a copy of the database made now, with the key file of now."""
    return {
        bytes(one["_id"]): container.keys.keyring.unwrap(
            subject_place(container.settings.organisation, bytes(one["_id"])),
            Wrapped(one["version"], bytes(one["key"])),
        )
        for one in container.platform.store.collection("subjects").find({})
    }


def opens_with(container: Container, keys: dict[bytes, bytes]) -> set[str]:
    """Collections in which these keys open something."""
    ciphers = {subject: AESGCM(key) for subject, key in keys.items()}
    organisation, found = container.settings.organisation, set()
    for row in container.traces.statements.span(None, 1 << 62, 1_000):
        if row.subject in ciphers and list(
            container.traces.bodies.decrypt([(row.id, row.body)], [ciphers[row.subject]])
        ) != [None]:
            found.add("statements")
    ciphertexts = LearnerCiphertexts(container.platform.store)
    for kind in KINDS:
        for each in ciphertexts.page(kind, None, 1_000):
            for layers, sealed in each.values.values():
                # The outermost is enough for who wants to know that there is something.
                outer: tuple[Layer, ...] = layers[-1:]
                if decrypt_layers(ciphers, organisation, outer, sealed) is not None:
                    found.add(kind.collection)
    for attachment in ciphertexts.attachments(None, 1_000):
        for subject, wrapped in attachment.keys:
            try:
                attachment_encryption.unwrapped(ciphers[subject], organisation, attachment.id, wrapped)
            except Exception:
                continue
            found.add("attachments")
    return found


EVERYWHERE = {
    "statements",
    "documents",
    "pattern_sessions",
    "person_states",
    "accounts",
    "cases",
    "attachments",
    "learner_links",
}


def stop_after(batches: int) -> Callable[[], None]:
    left = [batches]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeysBusy("stop")

    return check


def two_keys(container: Container) -> int:
    return container.platform.store.collection("subjects").count_documents({"next": {"$exists": True}})


# --- what it is for --------------------------------------------------------------------------------


def test_what_leaked_opens_nothing_and_all_reads_as_before(container: Container, rekey: Rekey) -> None:
    fill(container)
    before, old = reads(container), leaked(container)
    file = KeyEncryptionKeys(
        {one.number: one.key for one in container.keys.keyring.versions.versions if one.key is not None}, 1
    )
    assert opens_with(container, old) == EVERYWHERE
    container.operations.key_service.rotate()
    done = rekey.run()
    assert (done.number, done.learners, done.unopened, done.finished) == (1, len(old), 0, True)
    assert done.moved == sum(container.platform.store.collection(name).count_documents({}) for name in EVERYWHERE)
    assert opens_with(container, old) == set()
    assert two_keys(container) == 0
    assert set(leaked(container).values()).isdisjoint(old.values())
    # The key file that leaked opens none of the new ones either.
    for one in container.platform.store.collection("subjects").find({}):
        with pytest.raises(KeyRefused):
            file.unwrap(
                subject_place(container.settings.organisation, bytes(one["_id"])), Wrapped(one["version"], one["key"])
            )
    assert reads(container) == before
    # What is stored afterwards is under the new ones, too.
    send(container, named("ana"))
    document(container, Resource.STATE, "bo")
    assert opens_with(container, old) == set()
    kinds = [entry.kind for entry in container.governance.audit.newest(["learners-rekey-started", "learners-rekeyed"])]
    assert kinds == ["learners-rekeyed", "learners-rekey-started"]
    # Once more, from there.
    second = leaked(container)
    assert rekey.run().number == 2
    assert opens_with(container, {**old, **second}) == set()


def test_no_kind_of_value_is_forgotten(container: Container, rekey: Rekey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever learners' keys ever sealed is nowhere in the database afterwards, in any collection."""
    monkeypatch.setattr(Sealed, "made", [])
    with monkeypatch.context() as recorded:
        recorded.setattr(subject_keys, "AESGCM", Sealed)
        container.keys.subjects.forget()
        fill(container)
    container.keys.subjects.forget()
    made = list(Sealed.made)

    def places() -> set[str]:
        return {
            name
            for name in container.platform.store.db.list_collection_names()
            for found in container.platform.store.collection(name).find({})
            for value in bytes_in(found)
            if len(value) >= 28 and any(value.endswith(one) for one in made)
        }

    assert places() == EVERYWHERE
    rekey.run()
    assert places() == set()


# --- cut off ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", range(0, 34, 3))
def test_cut_off_anywhere_it_goes_on(container: Container, rekey: Rekey, batches: int) -> None:
    fill(container)
    before, old = reads(container), leaked(container)
    stopped = 0
    for _ in range(60):
        try:
            rekey.run(check=stop_after(batches))
            break
        except KeysBusy:
            stopped += 1
            assert reads(container) == before
            # The last stage looks through all but statements at once.
            batches += 1
    assert rekey.status().number == 1  # type: ignore[union-attr]
    assert stopped
    assert two_keys(container) == 0
    assert opens_with(container, old) == set()
    assert reads(container) == before


WRITES = (
    ("_repository", "begin"),
    ("_repository", "give"),
    ("_repository", "advance"),
    ("_repository", "bound"),
    ("_repository", "mark"),
    ("_repository", "settle"),
    ("_repository", "finish"),
    ("_written", "write"),
    ("_ciphertexts", "replace"),
    ("_ciphertexts", "rewrap"),
)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("room", "write"), WRITES, ids=[write for _, write in WRITES])
def test_killed_at_each_write_it_ends_well(
    container: Container, rekey: Rekey, monkeypatch: pytest.MonkeyPatch, room: str, write: str, done: bool
) -> None:
    """As by a kill just before a write or just after it, at the first, the second, the third … of them."""
    fill(container)
    before, old = reads(container), leaked(container)
    held = getattr(rekey, room)
    real, calls = getattr(held, write), [0]
    for number in (1, 2, 3):

        def cut(*given: Any, number: int = number, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] == number:
                if done:
                    real(*given, **more)
                raise KeysBusy("stop")
            return real(*given, **more)

        calls[0] = 0
        with monkeypatch.context() as only:
            only.setattr(held, write, cut)
            try:
                rekey.run()
            except KeysBusy:
                assert reads(container) == before
                continue
        break
    state = rekey.status()
    assert state is not None
    if state.under_way:
        rekey.run()
    assert two_keys(container) == 0
    assert opens_with(container, old) == set()
    assert reads(container) == before


# --- beside others ---------------------------------------------------------------------------------


@pytest.fixture
def other(container: Container) -> Iterator[Container]:
    """Another process that serves the same store."""
    made = Container(container.settings)
    made.lifecycle.start()
    yield made
    made.close()


@pytest.mark.long
def test_others_write_meanwhile_with_warm_caches_and_nothing_is_lost(
    container: Container, other: Container, rekey: Rekey
) -> None:
    fill(container)
    old = leaked(container)
    sent: set[UUID] = set()
    kept: dict[str, bytes] = {}
    stages: set[Stage] = set()
    number = [0]

    def write() -> None:
        state = rekey.status()
        assert state is not None
        another = state.stage not in stages
        stages.add(state.stage)
        for one in (other, container):
            number[0] += 1
            name = ("ana", "bo", "cem")[number[0] % 3]
            new = send(one, named(name), with_attachment("ana", b"copy"), data=(b"copy",))
            sent.update(new)
            content = b"%d" % number[0]
            one.traces.documents.put(
                place(Resource.STATE, name, "w"),
                Content("text/plain", content),
                Conditions(if_none_match=frozenset({"-"})),
                Version.V2,
                source="tutor",
                actor="sk-writer",
            )
            kept[name] = content
            for reader in (other, container):
                # At each moment either process reads what the other one wrote; at each stage, all of it.
                assert reader.traces.documents.read(place(Resource.STATE, name, "w"), actor="a").content.body == content
                stored = reader.traces.statements
                rows = stored.span(None, 1 << 62, 9_999) if another else stored.some(new)
                assert {*(sent if another else new)} <= {each.id for each in reader.traces.reader.decrypted(rows)}

    assert rekey.run(check=write).finished
    write_after = rekey.status()
    assert write_after is not None
    assert write_after.stage is Stage.DONE
    assert stages == {Stage.GIVING, Stage.GIVEN, Stage.MOVING, Stage.CLOSING}
    assert opens_with(container, old) == set()
    for one in (container, other):
        one.keys.subjects.forget()
        rows = one.traces.statements.span(None, 1 << 62, 9_999)
        assert {each.id for each in one.traces.reader.decrypted(rows)} == {row.id for row in rows}
        assert sent <= {row.id for row in rows}
        for name, content in kept.items():
            assert one.traces.documents.read(place(Resource.STATE, name, "w"), actor="a").content.body == content


def test_which_key_seals_is_the_same_for_every_process(container: Container, other: Container, rekey: Rekey) -> None:
    fill(container)
    (ana,) = (container.keys.organisation.subject(f"account:https://ent.example|{name}") for name in ("ana",))
    seen: dict[Stage, set[type]] = {}

    def look() -> None:
        state = rekey.status()
        assert state is not None
        other.keys.subjects.existing([ana])
        seen.setdefault(state.stage, set()).update(
            type(one.keys.subjects.renewed([ana])[ana]) for one in (container, other)
        )

    rekey.run(check=look)
    assert KeyPair in seen[Stage.GIVEN] & seen[Stage.MOVING]
    # The old one opens nothing any more before it is destroyed: who sealed with it late is to notice.
    assert seen[Stage.CLOSING] == {AESGCM}


@pytest.mark.parametrize(("way", "version"), [("replace", Version.V2), ("overwrite", Version.V1)])
@pytest.mark.parametrize("destroyed", [False, True])
def test_a_document_written_late_with_an_old_key_is_refused(
    container: Container,
    other: Container,
    rekey: Rekey,
    monkeypatch: pytest.MonkeyPatch,
    destroyed: bool,
    way: str,
    version: Version,
) -> None:
    """A process that was paused between the sealing and the writing, while the rekey went on without it."""
    fill(container)
    conditions = Conditions(if_none_match=frozenset({"-"})) if way == "replace" else Conditions()
    real = getattr(other.traces.documents._repository, way)
    outcome: list[str] = []

    def late(row: Any, **given: Any) -> bool:
        # All of the rekey happens in between; or all but the destruction of the old keys.
        monkeypatch.setattr(other.traces.documents._repository, way, real)
        with monkeypatch.context() as only, suppress(KeysBusy):
            if not destroyed:
                only.setattr(rekey._repository, "settle", lambda *_: stop_after(0)())
            rekey.run()
        other.keys.subjects.forget()
        return real(row, **given)

    monkeypatch.setattr(other.traces.documents._repository, way, late)
    try:
        document_again(other, conditions, version)
        outcome.append("stored")
    except Unavailable:
        outcome.append("refused")
    assert outcome == ["refused"]
    if not destroyed:
        rekey.run()
    # Sent again, as it was asked for, it is there.
    document_again(other, conditions, version)
    assert container.traces.documents.read(place(Resource.STATE, "ana", "d"), actor="a").content.body == b"again"


def document_again(container: Container, conditions: Conditions, version: Version) -> None:
    container.traces.documents.put(
        place(Resource.STATE, "ana", "d"),
        Content("text/plain", b"again"),
        conditions,
        version,
        source="tutor",
        actor="sk-writer",
    )


def test_data_that_came_in_before_the_new_key_sealed_are_sent_again(
    container: Container, other: Container, rekey: Rekey
) -> None:
    fill(container)

    def slow() -> Iterator[bytes]:
        yield b"co"
        rekey.run()
        yield b"py"

    sent = [named("bo", attachments=[attachment_of(b"copy")])]
    with pytest.raises(Unavailable, match="same request again"):
        other.traces.recorder.record(orjson.dumps(sent), SOURCE, Version.V2, parts=[Part(sha2_of(b"copy"), slow())])
    (id,) = send(other, *sent, data=(b"copy",))
    (plain,) = container.traces.reader.decrypted(container.traces.statements.some([id]))
    (data,) = container.traces.attachments.of([(plain, orjson.loads(plain.body))])
    assert b"".join(data.chunks) == b"copy"


def test_data_that_came_in_while_the_new_key_began_to_seal_are_sent_again(
    container: Container, other: Container, rekey: Rekey
) -> None:
    """The old key opens still: but what is wrapped with it may come when all that is had been looked through."""
    fill(container)

    def check() -> None:
        state = rekey.status()
        if state is not None and state.stage is Stage.MOVING and state.until is not None:
            raise KeysBusy("stop")

    def slow() -> Iterator[bytes]:
        yield b"co"
        with pytest.raises(KeysBusy):
            rekey.run(check=check)
        yield b"py"

    sent = [named("bo", attachments=[attachment_of(b"copy")])]
    with pytest.raises(Unavailable, match="same request again"):
        other.traces.recorder.record(orjson.dumps(sent), SOURCE, Version.V2, parts=[Part(sha2_of(b"copy"), slow())])
    assert rekey.run().finished


def test_what_was_sealed_late_with_an_old_key_is_moved_before_that_goes(
    container: Container, rekey: Rekey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process that was paused, and wrote behind what had been looked through."""
    fill(container)
    ana = container.keys.organisation.subject("account:https://ent.example|ana")
    old, organisation = AESGCM(leaked(container)[ana]), container.settings.organisation
    real = rekey._repository.advance

    def advance(number: int, before: Stage, after: Stage) -> bool:
        if after is Stage.CLOSING:
            id = b"session-of-ana-2"
            state = encryption.encrypt(old, organisation, encryption.session_place(id), b"late", os.urandom)
            sessions = container.platform.store.collection("pattern_sessions")
            sessions.insert_one({"_id": id, "subject": ana, "state": state})
            _, wrapped = attachment_encryption.new_key({ana: old}, organisation, bytes(16), os.urandom)
            container.platform.store.collection("attachments").insert_one(
                {"_id": bytes(16), "keys": [{"subject": ana, "key": wrapped[ana]}], "statements": [], "length": 0}
            )
        return real(number, before, after)

    monkeypatch.setattr(rekey._repository, "advance", advance)
    rekey.run()
    key = container.keys.subjects.renewed([ana])[ana]
    (late,) = container.platform.store.collection("pattern_sessions").find({"_id": b"session-of-ana-2"})
    assert encryption.decrypt(key, organisation, encryption.session_place(late["_id"]), late["state"]) == b"late"
    (attachment,) = container.platform.store.collection("attachments").find({"_id": bytes(16)})
    assert attachment_encryption.unwrapped(key, organisation, bytes(16), attachment["keys"][0]["key"])


def test_rows_read_before_they_were_sealed_anew_still_open(
    container: Container, other: Container, rekey: Rekey
) -> None:
    """As a page that goes to a slow client: read from MongoDB long before it is opened."""
    fill(container)
    rows = other.traces.statements.span(None, 1 << 62, 1_000)
    rekey.run()
    assert len(other.traces.reader.decrypted(rows)) == len(rows)


@pytest.mark.parametrize("stage", [Stage.GIVING, Stage.GIVEN, Stage.MOVING, Stage.CLOSING])
def test_an_erasure_wins_at_each_stage(container: Container, rekey: Rekey, stage: Stage) -> None:
    fill(container)
    ana = container.keys.organisation.subject("account:https://ent.example|ana")
    keys: list[bytes] = []
    erased: list[bool] = []

    def check() -> None:
        state = rekey.status()
        assert state is not None
        found = container.platform.store.collection("subjects").find_one({"_id": ana})
        if found is not None:
            keys.extend(
                container.keys.keyring.unwrap(
                    subject_place(container.settings.organisation, ana), Wrapped(found["version"], bytes(found[name]))
                )
                for name in ("key", "next")
                if name in found
            )
        ready = stage is not Stage.GIVING or (found is not None and "next" in found)
        if state.stage is stage and ready and not erased:
            erased.append(True)
            erasure = container.people.erasures.erase(person("ana"), actor=BY)
            # What is stored is told by neither key, from that moment on.
            assert container.platform.store.collection("subjects").find_one({"_id": ana}) is None
            container.people.erasures.advance(erasure.id)

    assert rekey.run(check=check).finished
    assert erased
    assert container.platform.store.collection("subjects").find_one({"_id": ana}) is None
    for key in set(keys):
        assert opens_with(container, {ana: key}) == set()
    assert all(row.subject != ana for row in container.traces.statements.span(None, 1 << 62, 1_000))
    assert container.platform.store.collection("documents").count_documents({"subject": ana}) == 0
    # The others read.
    assert len(container.traces.reader.decrypted(container.traces.statements.span(None, 1 << 62, 1_000))) == 13


def test_an_erasure_at_the_very_moment_the_keys_are_given(
    container: Container, rekey: Rekey, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(container)
    real, done, learners = rekey._repository.give, [], len(leaked(container))

    def give(*given: Any) -> bool:
        if not done:
            done.append(container.people.erasures.erase(person("ana"), actor=BY))
        return real(*given)

    monkeypatch.setattr(rekey._repository, "give", give)
    assert rekey.run().learners == learners - 1
    assert container.people.erasures.advance(done[0].id).phase == "done"
    assert two_keys(container) == 0


def test_key_encryption_keys_are_rotated_in_the_midst_of_it(container: Container, rekey: Rekey) -> None:
    fill(container)
    before, old = reads(container), leaked(container)
    rotated: list[Stage] = []

    def check() -> None:
        state = rekey.status()
        assert state is not None
        if state.stage not in rotated and (state.stage is not Stage.GIVING or two_keys(container) == 2):
            rotated.append(state.stage)
            container.operations.key_service.rotate()
            container.operations.key_service.rewrap()
            assert container.operations.key_service.verify().whole

    assert rekey.run(check=check).finished
    assert len(rotated) == 4
    container.operations.key_service.rewrap()
    assert {one["version"] for one in container.platform.store.collection("subjects").find({})} == {5}
    assert reads(container) == before
    assert opens_with(container, old) == set()


def test_two_runs_at_once_do_it_once(
    container: Container, other: Container, rekey: Rekey, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(container)
    before, old = reads(container), leaked(container)
    monkeypatch.setattr(other.operations.rekey, "_settle", 0.0)
    failed: list[Exception] = []

    def run(one: Rekey) -> None:
        try:
            one.run()
        except DatabaseUnavailable:
            # The other one has taken it over.
            pass
        except Exception as problem:
            failed.append(problem)

    threads = [threading.Thread(target=run, args=(one,)) for one in (rekey, other.operations.rekey)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    while (state := rekey.status()) is not None and state.under_way:
        rekey.run()
    assert opens_with(container, old) == set()
    assert reads(container) == before


def test_it_waits_for_commands_that_nobody_tells(
    container: Container, rekey: Rekey, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(container)
    monkeypatch.setattr(rekey, "_settle", 0.5)
    seen: list[Stage] = []

    def look() -> None:
        state = rekey.status()
        assert state is not None
        seen.append(state.stage)

    rekey.run(check=look)
    assert all(seen.count(stage) >= 3 for stage in (Stage.GIVEN, Stage.MOVING, Stage.CLOSING))


def test_a_process_that_knows_the_old_key_alone_holds_it_up(
    container: Container, other: Container, rekey: Rekey, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(container)
    monkeypatch.setattr(container.keys.forgetting, "forgotten", lambda epoch: False)
    with pytest.raises(DatabaseUnavailable):
        rekey.run()
    state = rekey.status()
    assert state is not None
    assert state.stage is Stage.GIVEN


def test_what_does_not_open_is_left_and_counted(container: Container, rekey: Rekey) -> None:
    fill(container)
    (row, *_) = container.traces.statements.span(None, 1 << 62, 1)
    container.platform.store.collection("statements").update_one(
        {"_id": row.id}, {"$set": {"body": row.body[:-1] + b"\x00\x00"}}
    )
    bo = container.keys.organisation.subject("account:https://ent.example|bo")
    container.platform.store.collection("subjects").delete_one({"_id": bo})
    done = rekey.run()
    assert (done.unopened, done.finished) == (1 + 4, True)


def test_the_job_goes_on_with_what_was_begun_and_begins_nothing(container: Container, rekey: Rekey) -> None:
    fill(container)
    job = next(job for job in container.jobs if job.name == "rekey")
    leadership = container.platform.leadership.acquire()
    assert leadership is not None
    with leadership as lease:
        assert job.run(lease)["number"] == 0
        with pytest.raises(KeysBusy):
            rekey.run(check=stop_after(2))
        assert job.run(lease)["finished"]
        assert not job.run(lease)["finished"]
    assert two_keys(container) == 0


def test_learners_who_come_meanwhile_keep_the_key_that_nobody_has_seen(container: Container, rekey: Rekey) -> None:
    fill(container)
    made: list[str] = []

    def check() -> None:
        made.append(f"new-{len(made)}")
        send(container, named(made[-1]))

    rekey.run(check=check)
    opened = container.traces.reader.decrypted(container.traces.statements.span(None, 1 << 62, 10_000))
    assert len(opened) == 17 + len(made)


def test_a_cold_process_reads_and_writes_at_each_stage(container: Container, rekey: Rekey) -> None:
    fill(container)
    ana = container.keys.organisation.subject("account:https://ent.example|ana")

    def look() -> None:
        cold = SubjectKeys(container.platform.store, container.keys.keyring, container.settings.organisation)
        key = cold.ensured([ana])[ana]
        sealed = encryption.encrypt(key, container.settings.organisation, "here", b"plain", os.urandom)
        warm = container.keys.subjects.existing([ana])[ana]
        assert encryption.decrypt(warm, container.settings.organisation, "here", sealed) == b"plain"

    rekey.run(check=look)


# --- backups ---------------------------------------------------------------------------------------


@pytest.fixture
def own(settings: Settings, database_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Container]:
    """A process of a store of its own, that a restore may stop."""
    organisation = database_name.removeprefix("sillage_")
    made = Container(replace(settings, organisation=organisation, heartbeat_seconds=0.05))
    made.lifecycle.initialise()
    made.governance.register.add(orjson.dumps(ACTIVITY))
    made.operations.sources.add("tutor", name="Tutor", activity=ACTIVITY["id"], actor=BY)
    made.lifecycle.start()
    monkeypatch.setattr(made.operations.rekey, "_settle", 0.0)
    yield made
    made.close()


def restore(container: Container, file: Path, **given: Any) -> Container:
    """By a command of its own, as nobody serves."""
    container.close()
    command = Container(container.settings)
    done = command.operations.backups.restore(file, **given)
    command.close()
    made = Container(container.settings)
    made.lifecycle.start()
    assert done.rekey == ((state := made.operations.rekey.status()) is not None and state.under_way)
    return made


def test_a_restore_of_a_backup_from_before_says_so_and_the_keys_are_replaced_again(
    own: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, rekey = own, own.operations.rekey
    fill(container)
    old = leaked(container)
    file = container.operations.backups.create(tmp_path).path
    rekey.run()
    # Noted since, under the new keys, of learners of before and of one who came later: none of it is taken back.
    request = container.people.requests.open("restriction", person("cem"), received=None, note="later", actor=BY)
    container.people.requests.identify(request.id, note="seen", actor=BY)
    container.people.restriction.restrict(person("cem"), request=request.id, actor=BY)
    send(container, named("late"))
    container.retention.accounts.announce("tutor", [Event(person("late"), CLOSED, None)], actor=BY)
    held = sorted(container.people.restriction.held())
    assert len({one.subject for one in held if one.agents}) == len(held) >= 2
    late = container.keys.organisation.subject("account:https://ent.example|late")
    made = restore(container, file, replace=True)
    try:
        state = made.operations.rekey.status()
        assert state is not None
        # The old keys are there again, and it is told: it goes on by itself.
        assert (state.number, state.stage) == (2, Stage.GIVING)
        assert opens_with(made, old) >= {"statements", "documents"}
        assert sorted(made.people.restriction.held()) == held
        assert made.people.requests.show(request.id, actor=BY).identifiers
        (ended,) = made.platform.store.collection("accounts").find({"_id": {"$regex": f"^{late.hex()}/"}})
        assert made.keys.data_subject_cipher.decrypt("account", {late: ended["who"]})
        (entry,) = made.governance.audit.newest(["backup-restored"])
        assert entry.detail["rekey"] is True
        monkeypatch.setattr(made.operations.rekey, "_settle", 0.0)
        assert made.operations.rekey.resume().finished
        assert opens_with(made, old) == set()
        assert sorted(made.people.restriction.held()) == held
        assert len(made.traces.reader.decrypted(made.traces.statements.span(None, 1 << 62, 1_000))) == 17
    finally:
        made.close()


@pytest.mark.parametrize("stage", [Stage.GIVING, Stage.MOVING, Stage.CLOSING])
def test_a_backup_made_in_the_midst_of_it_is_restored_and_ends(
    own: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    container, rekey = own, own.operations.rekey
    fill(container)
    before, old = reads(container), leaked(container)
    files: list[Path] = []

    def check() -> None:
        state = rekey.status()
        assert state is not None
        if state.stage is stage and not files and (stage is not Stage.GIVING or two_keys(container) == 2):
            files.append(container.operations.backups.create(tmp_path).path)

    rekey.run(check=check)
    made = restore(container, files[0], replace=True)
    try:
        assert reads(made) == before
        monkeypatch.setattr(made.operations.rekey, "_settle", 0.0)
        made.operations.rekey.resume()
        assert two_keys(made) == 0
        assert opens_with(made, old) == set()
        assert reads(made) == before
    finally:
        made.close()


def test_a_backup_made_in_the_midst_of_an_earlier_one_is_given_newer_keys_than_the_later_one_replaced(
    own: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, rekey = own, own.operations.rekey
    fill(container)
    files: list[Path] = []

    def check() -> None:
        state = rekey.status()
        if state is not None and state.stage is Stage.MOVING and not files:
            files.append(container.operations.backups.create(tmp_path).path)

    rekey.run(check=check)
    # They leak, and are replaced.
    old = leaked(container)
    before = reads(container)
    rekey.run()
    made = restore(container, files[0], replace=True)
    try:
        monkeypatch.setattr(made.operations.rekey, "_settle", 0.0)
        made.operations.rekey.resume()
        assert opens_with(made, old)
        assert made.operations.rekey.resume().finished
        state = made.operations.rekey.status()
        assert state is not None and state.number == 3
        assert opens_with(made, old) == set()
        assert reads(made) == before
    finally:
        made.close()


def test_values_as_long_as_may_be_are_moved_and_few_at_a_time(
    container: Container, rekey: Rekey, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = Content("image/jpeg", os.urandom(MAX_DOCUMENT_BYTES))
    named_by = Conditions(if_none_match=frozenset({"*"}))
    for name in ("ana", "bo", "cem"):
        where = place(Resource.STATE, name, "large")
        container.traces.documents.put(where, content, named_by, Version.V1, source="tutor", actor=BY)
    pages: list[int] = []
    page = LearnerCiphertexts.page

    def counted(self: LearnerCiphertexts, *asked: Any) -> Any:
        rows = page(self, *asked)
        pages.append(sum(len(value.sealed) for row in rows for value in row.values.values()))
        return rows

    monkeypatch.setattr(LearnerCiphertexts, "page", counted)
    old = leaked(container)
    assert rekey.run().finished
    assert opens_with(container, old) == set()
    assert max(pages) < 2 * MAX_BYTES
    for name in ("ana", "bo", "cem"):
        assert container.traces.documents.read(place(Resource.STATE, name, "large"), actor="a").content == content


def test_a_restore_of_a_backup_from_after_says_nothing(own: Container, tmp_path: Path) -> None:
    container, rekey = own, own.operations.rekey
    fill(container)
    before = reads(container)
    rekey.run()
    made = restore(container, container.operations.backups.create(tmp_path).path, replace=True)
    try:
        state = made.operations.rekey.status()
        assert state is not None
        assert (state.number, state.stage) == (1, Stage.DONE)
        assert reads(made) == before
    finally:
        made.close()
