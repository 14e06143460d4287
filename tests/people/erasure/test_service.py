"""Erasure: keys at once, then everything else; what stays is others', and names nobody who was erased."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from app.core import clock
from app.core.errors import DatabaseUnavailable, LeaseLost, NotFound, Unavailable
from app.core.personal_data import DataSubject, Erasing, Gone
from app.crypto import signing
from app.crypto.documents import encrypt, session_place
from app.governance.audit.store import Entry
from app.people.access_package.receptions import Receptions
from app.people.erasure import service as rules
from app.people.erasure.service import Erasures
from app.people.erasure.store import DONE, FORGETTING, PHASES, Erasure, ErasureRepository
from app.people.erasure.tombstones import Tombstones
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.research.store import AggregateRepository
from app.retention.closed_account_store import PLACE as ACCOUNT
from app.retention.closed_account_store import AccountRepository, Closing
from app.standards.xapi.attachments import SIGNATURE
from app.standards.xapi.documents import Conditions, Content, Resource
from app.standards.xapi.identifiers import keys_of
from app.standards.xapi.versions import Version
from app.traces.conformance.session_store import SESSIONS
from app.traces.statements.personal_data import StatementData
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import MAX_CARRIED
from app.wiring.container import Container
from tests.multiparts import attachment_of
from tests.people.people import (
    HOME,
    account,
    bodies,
    container,
    document,
    mentions,
    named,
    person,
    place,
    refers,
    send,
    with_attachment,
)
from tests.research.counted import refreshed, totals
from tests.served import statement
from tests.sinks import Sink

__all__ = ("container",)

NEVER = 1 << 62
BY = "cli:test"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches with few statements."""
    monkeypatch.setattr(rules, "BATCH", 3)
    monkeypatch.setattr(rules, "REDACTED_AT_ONCE", 2)


def erase(container: Container, *names: str) -> Erasure:
    started = container.people.erasures.erase(person(*names), actor="cli:test")
    return container.people.erasures.advance(started.id)


def tokens(container: Container, who: IdentifiedDataSubject) -> set[bytes]:
    """Everything in the database that could stand for a person."""
    persons = container.people.finder
    return {*persons.flat(who), *persons.subjects(who), *persons.own_groups(who)}


def dump(container: Container) -> bytes:
    """The content of MongoDB, but for the audit log, which is to tell who looked at whom."""
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument

    store = container.platform.store
    return b"".join(
        each.raw
        for name in sorted(store.db.list_collection_names())
        if name != "audit"
        for each in store.db.get_collection(name, codec_options=CodecOptions(RawBSONDocument)).find({})
    )


def require_nothing_of(container: Container, who: IdentifiedDataSubject) -> None:
    raw = dump(container)
    for token in tokens(container, who):
        assert token not in raw
    for body in bodies(container).values():
        keys = keys_of(body)
        assert set(who.identifiers).isdisjoint({keys.subject, *keys.agents, *keys.related_agents})


def test_the_key_goes_at_once_and_nothing_is_read_any_more(container: Container) -> None:
    own = send(container, named("lea"), named("lea"))
    container.traces.reader.decrypted(container.traces.statements.some(own))
    started = container.people.erasures.erase(person("lea"), actor="cli:test")
    assert (started.phase, started.counts) == (FORGETTING, {"keys": 1})
    assert container.traces.statements.some(own)
    assert container.traces.reader.decrypted(container.traces.statements.some(own)) == []
    assert container.platform.store.collection("subjects").count_documents({}) == 0


def test_everything_of_a_person_goes_and_what_is_anothers_stays(container: Container) -> None:
    own, places = named("lea"), mentions("lea")
    send(container, own, *places.values(), named("other"))
    send(container, with_attachment("lea", b"copy"), data=(b"copy",))
    send(container, refers("other", own["id"]), refers("other", places["instructor"]["id"]))
    for resource in (Resource.STATE, Resource.AGENT_PROFILE):
        document(container, resource, "lea")
    document(container, Resource.STATE, "other")
    before = bodies(container)
    done = erase(container, "lea")
    assert done.phase == DONE
    counts = {name: number for name, number in done.counts.items() if number}
    assert counts == {"keys": 1, "statements": 2, "mentions": 9, "referring": 2, "documents": 2, "attachments": 1}
    require_nothing_of(container, person("lea"))
    after = bodies(container)
    assert before.keys() - after.keys() == {UUID(own["id"])} | {
        id for id, body in before.items() if "attachments" in body
    }
    for id, body in after.items():
        assert (body["id"], body["stored"]) == (before[id]["id"], before[id]["stored"])
    assert container.platform.store.collection("documents").count_documents({}) == 1
    assert container.platform.store.collection("attachments").count_documents({}) == 0
    assert container.platform.store.collection("attachment_frames").count_documents({}) == 0
    assert container.operations.key_service.verify().whole


def test_one_placeholder_stands_for_one_person_and_it_can_be_searched(container: Container) -> None:
    send(container, *mentions("lea").values())
    erase(container, "lea")
    homes = {
        (agent["account"]["homePage"], agent["account"]["name"])
        for body in bodies(container).values()
        for agent in _agents(body)
        if "account" in agent and agent["account"]["homePage"] != HOME
    }
    homes.discard((container.settings.public_url, "tutor"))
    ((home, name),) = homes
    assert home == f"{container.settings.public_url}/erased"
    from app.people.finding.finder import data_subject_of

    places = container.people.finder.places(data_subject_of([{"account": {"homePage": home, "name": name}}]))
    assert (places.own, places.mentions) == (0, 9)


def _agents(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, dict):
        own = [part] if "account" in part else []
        return own + [each for inner in part.values() for each in _agents(inner)]
    return [each for inner in part for each in _agents(inner)] if isinstance(part, list) else []


def test_voided_statements_and_groups_of_nobody_else_go_too(container: Container) -> None:
    own = named("lea")
    send(container, own, statement(actor={"objectType": "Group", "member": [account("lea")]}))
    verb = {"id": "http://adlnet.gov/expapi/verbs/voided"}
    send(container, {**refers("other", own["id"]), "verb": verb})
    assert erase(container, "lea").counts["statements"] == 2
    require_nothing_of(container, person("lea"))
    assert len(bodies(container)) == 1


def test_several_identifiers_go_together(container: Container) -> None:
    send(container, named("lea"), named("lea-2"), named("other", context={"instructor": account("lea-2")}))
    done = erase(container, "lea", "lea-2")
    assert (done.counts["keys"], done.counts["statements"], done.counts["mentions"]) == (2, 2, 1)
    require_nothing_of(container, person("lea", "lea-2"))


def test_statements_in_version_1_0_3_are_redacted_too(container: Container) -> None:
    (id,) = send(container, named("other", context={"instructor": account("lea")}), version=Version.V1)
    erase(container, "lea")
    body = bodies(container)[id]
    assert body["version"] == "1.0.0"
    assert body["context"]["instructor"]["account"]["homePage"].endswith("/erased")
    require_nothing_of(container, person("lea"))


def test_twice_is_harmless_and_one_under_way_is_gone_on_with(container: Container) -> None:
    send(container, named("lea"))
    started = container.people.erasures.erase(person("lea"), actor="cli:test")
    assert container.people.erasures.erase(person("lea"), actor="cli:test").id == started.id
    done = container.people.erasures.advance(started.id)
    assert container.people.erasures.advance(started.id) == done
    again = erase(container, "lea")
    assert (again.id != done.id, again.counts["keys"], again.counts["statements"]) == (True, 0, 0)


def test_one_under_way_is_noted_once_on_another_request_that_asks_for_it(container: Container) -> None:
    lea = person("lea")
    send(container, named("lea"))
    requests = [container.people.requests.open("erasure", lea, actor=BY).id for _ in range(2)]
    for each in requests:
        container.people.requests.identify(each, actor=BY)
    started = container.people.erasures.erase(lea, actor=BY, request=requests[0])
    for each in (*requests, requests[1]):
        assert container.people.erasures.erase(lea, actor=BY, request=each).id == started.id
    container.people.erasures.advance(started.id)
    for each in requests:
        steps = container.people.requests.show(each, actor=BY).steps
        erased = [step for step in steps[2:] if step.what != "recipients-listed"]
        assert [(step.what, step.detail.get("erasure")) for step in erased] == [("erased", str(started.id))]


def test_what_comes_afterwards_begins_anew(container: Container) -> None:
    send(container, named("lea"))
    done = erase(container, "lea")
    (fresh,) = send(container, named("lea"))
    document(container, Resource.STATE, "lea")
    assert container.traces.statements.some([fresh])[0].stored > done.until_stored
    assert container.people.erasures.advance(done.id).phase == DONE
    assert list(bodies(container)) == [fresh]
    assert container.traces.documents.read(place(Resource.STATE, "lea", "d"), actor="sk-x").content.body == b'{"a":1}'


@pytest.mark.parametrize("phase", PHASES[:-1])
def test_cut_off_after_any_step_it_goes_on(container: Container, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = named("lea")
    send(container, *(named("lea") for _ in range(7)), own, *mentions("lea").values())
    send(container, refers("other", own["id"]))
    document(container, Resource.STATE, "lea")
    started = container.people.erasures.erase(person("lea"), actor="cli:test")
    real = type(container.people.erasures._repository).advance

    def dying(repository: Any, erasure: Erasure, *given: Any, **named: Any) -> Erasure:
        if erasure.phase == phase:
            raise KeyboardInterrupt
        return real(repository, erasure, *given, **named)

    if phase != PHASES[-2]:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(type(container.people.erasures._repository), "advance", dying)
            container.people.erasures.advance(started.id)
    else:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(
                type(container.people.erasures._repository),
                "finish",
                lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
            )
            container.people.erasures.advance(started.id)
    assert container.people.erasures.get(started.id).phase == phase
    assert container.people.erasures.run() == {"finished": 1, "left": 0}
    done = container.people.erasures.get(started.id)
    assert (done.counts["statements"], done.counts["mentions"], done.counts["documents"]) == (8, 9, 1)
    require_nothing_of(container, person("lea"))
    assert "tokens" not in container.platform.store.collection("erasures").find_one({})


def test_cut_off_within_a_step_it_goes_on(container: Container) -> None:
    send(container, *(named("lea") for _ in range(9)), *mentions("lea").values())
    started = container.people.erasures.erase(person("lea"), actor="cli:test")
    for budget in (2, 5, 8):
        left = budget

        def lost() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise LeaseLost

        with pytest.raises(LeaseLost):
            container.people.erasures.advance(started.id, check=lost)
    done = container.people.erasures.advance(started.id)
    assert (done.counts["statements"], done.counts["mentions"]) == (9, 9)
    require_nothing_of(container, person("lea"))


def test_another_process_at_it_is_waited_for_or_left_alone(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(container, named("lea"))
    started = container.people.erasures.erase(person("lea"), actor="cli:test")
    repository = container.people.erasures._repository
    assert repository.claims.take(started.id, b"another!", 0.6)
    assert container.people.erasures.run() == {"finished": 0, "left": 1}
    assert container.people.erasures.advance(started.id).phase == DONE


def test_a_process_that_has_not_forgotten_holds_the_deletion_back(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = send(container, named("lea"))
    started = container.people.erasures.erase(person("lea"), actor="cli:test")
    with monkeypatch.context() as patched:
        patched.setattr(container.keys.forgetting, "forgotten", lambda epoch: False)
        with pytest.raises(DatabaseUnavailable, match="goes on by itself"):
            container.people.erasures.advance(started.id)
    assert container.traces.statements.some(own)
    assert container.people.erasures.advance(started.id).phase == DONE


def test_a_statement_stamped_before_and_stored_after_the_keys_are_forgotten_does_not_stay(container: Container) -> None:
    """The writer has the old key in hand and its stamp reserved while the key is destroyed and forgotten."""
    send(container, named("lea"))
    ready, go = threading.Event(), threading.Event()
    real = container.traces.statements.insert

    def slow(*given: Any, **named: Any) -> Any:
        ready.set()
        go.wait(20)
        return real(*given, **named)

    container.traces.recorder._statements.insert = slow  # type: ignore[method-assign]
    late = named("lea")
    writer = threading.Thread(target=send, args=(container, late))
    writer.start()
    assert ready.wait(20)
    container.traces.recorder._statements.insert = real  # type: ignore[method-assign]
    started = container.people.erasures.erase(person("lea"), actor="cli:test")
    eraser = threading.Thread(target=container.people.erasures.advance, args=(started.id,))
    eraser.start()
    eraser.join(0.5)
    assert eraser.is_alive(), "it did not wait for the write under way"
    go.set()
    writer.join()
    eraser.join()
    assert container.people.erasures.get(started.id).counts["statements"] == 2
    assert container.traces.statements.some([UUID(late["id"])]) == []
    require_nothing_of(container, person("lea"))


def test_a_writer_that_had_the_key_in_hand_before_its_stamp_seals_with_a_new_one(container: Container) -> None:
    send(container, named("lea"))
    real = container.platform.presence.writing
    erased: list[Erasure] = []

    def late(count: int) -> Any:
        if not erased:
            # Between the keys and the stamp: everybody has forgotten, and the erasure is over.
            erased.append(erase(container, "lea"))
        return real(count)

    container.platform.presence.writing = late  # type: ignore[method-assign]
    (fresh,) = send(container, named("lea"))
    container.platform.presence.writing = real  # type: ignore[method-assign]
    assert container.traces.statements.some([fresh])[0].stored > erased[0].until_stored
    assert list(bodies(container)) == [fresh]


def test_data_that_came_in_under_the_old_key_are_asked_for_again(container: Container) -> None:
    send(container, named("lea"))
    real = container.platform.presence.writing
    erased: list[Erasure] = []

    def late(count: int) -> Any:
        if not erased:
            erased.append(erase(container, "lea"))
        return real(count)

    container.platform.presence.writing = late  # type: ignore[method-assign]
    sent = with_attachment("lea", b"copy")
    with pytest.raises(Unavailable, match="Send the same request again"):
        send(container, sent, data=(b"copy",))
    container.platform.presence.writing = real  # type: ignore[method-assign]
    assert container.platform.store.collection("attachments").count_documents({}) == 0
    send(container, sent, data=(b"copy",))
    assert len(bodies(container)) == 1


def test_a_document_sealed_with_a_key_that_is_gone_is_taken_back(container: Container) -> None:
    document(container, Resource.STATE, "lea")
    repository = container.traces.documents._repository
    real = repository.overwrite

    def late(row: Any) -> bool:
        container.platform.store.collection("subjects").delete_many({})
        container.keys.subjects.forget()
        return real(row)

    repository.overwrite = late  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        container.traces.documents.put(
            place(Resource.STATE, "lea", "d"),
            Content("a/b", b"new"),
            Conditions(),
            Version.V1,
            source="tutor",
            actor="sk-writer",
        )
    assert container.platform.store.collection("documents").count_documents({}) == 0


def test_a_statement_that_changes_meanwhile_is_read_again(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id,) = send(container, named("other", context={"instructor": account("lea")}))
    erasure_targets = container.people.erasures._erasure_targets
    real = erasure_targets.redact
    moved: list[int] = []

    def raced(redactions: Any) -> int:
        if not moved:
            # A writer that was declared dead moves its statement to a later place, sealed anew.
            row = container.traces.statements.some([id])[0]
            plain = container.traces.reader.decrypted([row])[0].body
            key = container.keys.subjects.existing([row.subject])[row.subject]
            (again,) = container.traces.bodies.encrypt([(id, plain)], [key])
            container.platform.store.collection("statements").update_one({"_id": id}, {"$set": {"body": again}})
            moved.append(real(redactions))
            return moved[0]
        return real(redactions)

    monkeypatch.setattr(erasure_targets, "redact", raced)
    erase(container, "lea")
    assert moved == [0]
    require_nothing_of(container, person("lea"))


def test_entries_of_school_and_day_that_come_meanwhile_stay(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = named("other", timestamp="2025-01-10T08:15:30Z", context={"instructor": account("lea")})
    (id,) = send(container, said)
    statements = container.platform.store.collection("statements")
    index = container.keys.organisation.index.writing
    entries = {index.token("month", "2025-01"), index.token("day", "2025-01-10")}
    # As an earlier version kept it: neither month nor day among its tokens.
    statements.update_one({"_id": id}, {"$unset": {"e": ""}, "$pull": {"t": {"$in": [*entries]}}})
    container.traces.whereabouts_entries.begin()
    erasure_targets = container.people.erasures._erasure_targets
    real = erasure_targets.redact
    made: list[int] = []

    def raced(redactions: Any) -> int:
        if not made:
            made.append(container.operations.index_rotation.complete())
        return real(redactions)

    monkeypatch.setattr(erasure_targets, "redact", raced)
    erase(container, "lea")
    assert made == [1]
    found = statements.find_one({"_id": id})
    assert found is not None and "e" in found and entries <= {*found["t"]}
    require_nothing_of(container, person("lea"))


def subject_of(container: Container, name: str) -> bytes:
    """The subject token of an account by itself."""
    return container.keys.organisation.subject(f"account:{HOME}|{name}")


def grave_mark(container: Container, name: str) -> bytes:
    """The mark of the subject token in the tombstone of an account."""
    return container.keys.organisation.mac("tombstone-mark", subject_of(container, name))[:16]


def test_a_mention_that_nobody_can_open_loses_its_tokens(container: Container) -> None:
    (id,) = send(container, named("other", context={"instructor": account("lea")}))
    container.platform.store.collection("subjects").delete_one({"_id": subject_of(container, "other")})
    container.keys.subjects.forget()
    assert erase(container, "lea").counts["unopened"] == 1
    raw = dump(container)
    assert not any(token in raw for token in tokens(container, person("lea")))
    assert container.traces.statements.some([id])


def test_a_signature_that_holds_a_copy_of_the_statement_goes_with_its_data(container: Container) -> None:
    data = b"x" * 40
    sent = named("other", context={"instructor": account("lea")}, attachments=[attachment_of(data)])
    (id,) = send(container, sent, data=(data,))
    # As if it had been sent as a signature, whose data only a real one would be let in.
    row = container.traces.statements.some([id])[0]
    body = orjson.loads(container.traces.reader.decrypted([row])[0].body)
    body["attachments"][0]["usageType"] = SIGNATURE
    key = container.keys.subjects.existing([row.subject])[row.subject]
    (sealed,) = container.traces.bodies.encrypt([(id, orjson.dumps(body))], [key])
    container.platform.store.collection("statements").update_one({"_id": id}, {"$set": {"body": sealed}})
    assert erase(container, "lea").counts["signatures"] == 1
    assert "attachments" not in bodies(container)[id]
    assert container.platform.store.collection("attachments").count_documents({}) == 0


def test_shared_data_stay_for_the_others_who_declare_them(container: Container) -> None:
    send(container, with_attachment("lea", b"copy"), with_attachment("other", b"copy"), data=(b"copy",))
    erase(container, "lea")
    (kept,) = container.platform.store.collection("attachments").find({})
    assert [each["subject"] for each in kept["keys"]] == [subject_of(container, "other")]
    require_nothing_of(container, person("lea"))
    ((id, body),) = bodies(container).items()
    plain = container.traces.reader.decrypted(container.traces.statements.some([id]))[0]
    (data,) = container.traces.attachments.of([(plain, body)])
    assert b"".join(data.chunks) == b"copy"


def test_referring_statements_carry_what_their_targets_have(container: Container) -> None:
    own, mention = named("lea"), named("other", context={"instructor": account("lea")})
    send(container, own, mention)
    (first,) = send(container, refers("other", mention["id"]))
    send(container, refers("other", first), refers("other", own["id"]))
    erase(container, "lea")
    statements = container.platform.store.collection("statements")
    now = {each["_id"]: each["t"] for each in statements.find({})}
    for each in statements.find({"refs": {"$exists": True}}):
        assert all(carried["t"] == now[carried["i"]] for carried in each["refs"])
    assert statements.count_documents({"refs": {"$exists": True}}) == 2
    assert statements.count_documents({"ref": UUID(own["id"]), "refs": {"$exists": False}}) == 1


def test_sessions_go_with_the_learner_whose_key_seals_them(container: Container) -> None:
    subject = container.people.finder.subjects(person("lea"))[0]
    container.keys.subjects.ensured([subject])
    sessions = container.platform.store.collection("pattern_sessions")
    sessions.insert_many([{"_id": bytes([n] * 16), "subject": subject, "state": b"x" * 40} for n in range(5)])
    sessions.insert_one({"_id": bytes([9] * 16), "subject": bytes(16), "state": b"x" * 40})
    assert erase(container, "lea").counts["sessions"] == 5
    assert sessions.count_documents({}) == 1


def test_what_is_noted_of_a_person_goes_but_an_objection(container: Container) -> None:
    subjects = container.people.finder.subjects(person("lea", "lea-2"))
    states = container.platform.store.collection("person_states")
    states.insert_one({"_id": subjects[0], "restricted": clock.now()})
    states.insert_one({"_id": subjects[1], "restricted": clock.now(), "objects": ["research"]})
    accounts = container.platform.store.collection("accounts")
    for subject in (*subjects, bytes(16)):
        accounts.insert_one({"_id": f"{subject.hex()}/tutor", "source": "tutor", "closed": 1})
    erase(container, "lea", "lea-2")
    assert [each["_id"] for each in accounts.find({})] == [f"{bytes(16).hex()}/tutor"]
    assert list(states.find({})) == [{"_id": subjects[1], "objects": ["research"]}]


def test_what_came_under_a_new_key_before_the_rest_is_deleted_stays(container: Container) -> None:
    subject = container.keys.organisation.subject(*person("lea").identifiers)

    def keep(day: int) -> None:
        document(container, Resource.STATE, "lea", f"d{day}")
        who = container.keys.data_subject_cipher.encrypt(ACCOUNT, {subject: b"[]"})[subject]
        AccountRepository(container.platform.store).close(f"tool-{day}", [Closing(subject, day, who)])
        session = bytes([day] * 16)
        key = container.keys.subjects.ensured([subject])[subject]
        state = encrypt(
            key, container.keys.organisation.organisation, session_place(session), b"[]", clock.random_bytes
        )
        container.platform.store.collection(SESSIONS).insert_one({"_id": session, "subject": subject, "state": state})

    keep(1)
    begun = container.people.erasures.erase(person("lea"), actor=BY)
    # Who comes back does not wait for the end of it.
    keep(2)
    counts = container.people.erasures.advance(begun.id).counts
    assert (counts["documents"], counts["accounts"], counts["sessions"]) == (1, 1, 1)
    assert [each["source"] for each in container.platform.store.collection("accounts").find({})] == ["tool-2"]
    assert [bytes(each["_id"]) for each in container.platform.store.collection(SESSIONS).find({})] == [bytes([2] * 16)]
    assert container.traces.documents.ids(place(Resource.STATE, "lea", "")._replace(id=None), actor=BY).ids == ("d2",)


def test_what_is_sealed_with_a_key_in_hand_after_the_first_pass_goes_in_the_second(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = container.people.finder.subjects(person("lea"))[0]
    sessions = container.platform.store.collection(SESSIONS)
    redacting = rules.Erasures._redacting

    def late(self: rules.Erasures, *given: Any) -> Erasure:
        sessions.insert_one({"_id": bytes(16), "subject": subject, "state": b"x" * 40})
        return redacting(self, *given)

    monkeypatch.setattr(rules.Erasures, "_redacting", late)
    assert erase(container, "lea").counts["sessions"] == 1
    assert sessions.count_documents({}) == 0


@pytest.mark.parametrize("again", [False, True])
def test_a_restriction_of_who_came_back_outlives_each_pass(container: Container, again: bool) -> None:
    subject = subject_of(container, "lea")
    until = clock.now_us()
    states = container.platform.store.collection("person_states")
    states.insert_one({"_id": subject, "restricted": clock.now() + timedelta(seconds=1)})
    asked = Erasing(DataSubject((subject,), named=(subject,)), until, 10, again)
    assert not [gone for store in container.operations.personal_data for gone in store.erase(asked)]
    assert states.count_documents({"restricted": {"$exists": True}}) == 1
    # In the second pass, readings of since then are not to be forgotten either.
    assert container.platform.store.collection("reception_graves").count_documents({}) == (0 if again else 1)


def test_the_destroying_step_and_the_end_are_on_record_without_a_name(container: Container) -> None:
    send(container, named("lea"))
    done = container.people.erasures.advance(
        container.people.erasures.erase(person("lea"), actor="sk-1", request="case-7").id
    )
    entries = {entry.kind: entry for entry in container.governance.audit.newest() if entry.kind.startswith("erasure")}
    begun, ended = entries["erasure-started"], entries["erasure-finished"]
    assert begun.actor == ended.actor == "sk-1"
    assert (begun.detail["erasure"], begun.detail["case"]) == (str(done.id), "case-7")
    assert ended.detail["counts"]["statements"] == 1
    raw = str([entry.detail for entry in entries.values()])
    assert not any(token.hex() in raw for token in tokens(container, person("lea")))


def test_nothing_is_destroyed_when_it_cannot_be_recorded(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    own = send(container, named("lea"))

    def away(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(container.people.erasures, "_audit", Sink(away))
    with pytest.raises(DatabaseUnavailable):
        container.people.erasures.erase(person("lea"), actor="cli:test")
    assert len(container.traces.reader.decrypted(container.traces.statements.some(own))) == 1


def test_an_unknown_erasure_is_not_found(container: Container) -> None:
    with pytest.raises(NotFound):
        container.people.erasures.get(uuid4())


# --- aggregates, exports, receipts ------------------------------------------------------------------


def test_the_receipt_says_what_was_done_and_verifies(container: Container) -> None:
    send(container, *(named("lea") for _ in range(4)), named("other", context={"instructor": account("lea")}))
    refreshed(container)
    package = container.research.exports.run(actor="cli:export")
    container.research.exports.run(
        ["daily_activity"], first=clock.now().date().replace(year=2020), last=None, actor="cli:export"
    )
    done = erase(container, "lea")
    assert done.receipt is not None
    signed = signing.verified(done.receipt, container.keys.signer.public_key)
    content = signed.content
    assert signed.format == "sillage-erasure-receipt"
    assert (content["erasure"], content["organisation"]) == (str(done.id), container.settings.organisation)
    assert content["counts"]["statements"] == 4
    month = f"{clock.now():%Y-%m}"
    assert content["statements_by_month"] == [{"source": "tutor", "month": month, "statements": 4}]
    assert {each["aggregate"].partition("@")[0] for each in content["aggregates"]["recounted"]} >= {"daily_activity"}
    assert package.path.name in {each["package"] for each in content["exports"]}
    assert [each["activity"] for each in content["recipients"]] == ["p2ia"]
    assert re.search(r"\blea\b", done.receipt.decode()) is None


def test_exports_of_other_periods_are_not_listed(container: Container) -> None:
    send(container, named("lea"))
    refreshed(container)
    old = clock.now().date().replace(year=2020)
    container.research.exports.run(["daily_activity"], first=None, last=old, actor="cli:export")
    done = erase(container, "lea")
    assert signing.verified(done.receipt or b"", container.keys.signer.public_key).content["exports"] == []


def listed(container: Container, erasure: Erasure, written: datetime, first: str | None, last: str | None) -> bool:
    at = round(written.timestamp() * 1_000_000)
    entry = Entry("c", 1, at, "export-written", BY, {"package": "p", "first": first, "last": last}, b"", b"")
    around = container.people.erasures._around
    container.people.erasures._around = around._replace(log=SimpleNamespace(of_kinds=lambda kinds: [entry]))
    try:
        return bool(container.people.erasures._exports(erasure))
    finally:
        container.people.erasures._around = around


@pytest.mark.parametrize(
    ("published", "written", "first", "last", "expected"),
    [
        # Stored in November, of June, which is settled by now: nobody can tell any more.
        ("2026-06", datetime(2026, 12, 1, tzinfo=UTC), None, "2026-06-30", True),
        ("2026-06", datetime(2026, 12, 1, tzinfo=UTC), None, "2026-05-30", False),
        ("2026-06", datetime(2026, 10, 31, tzinfo=UTC), None, None, False),
        # Stored on the last evening of November in UTC, when it was December where the organisation is.
        (None, datetime(2026, 12, 2, tzinfo=UTC), "2026-12-01", None, True),
        (None, datetime(2026, 12, 2, tzinfo=UTC), "2026-12-02", None, False),
        # On the first morning in UTC, when it was October in the Antilles.
        (None, datetime(2026, 12, 2, tzinfo=UTC), None, "2026-10-31", True),
        (None, datetime(2026, 12, 2, tzinfo=UTC), None, "2026-10-30", False),
    ],
)
def test_gdpr_19_packages_that_may_have_counted_the_person_are_listed(
    container: Container, published: str | None, written: datetime, first: str | None, last: str | None, expected: bool
) -> None:
    send(container, named("lea"))
    begun = container.people.erasures.erase(person("lea"), actor=BY)
    aggregates = {} if published is None else {"published": [{"aggregate": "daily_activity@2", "month": published}]}
    erasure = begun._replace(months=({"source": "tutor", "month": "2026-11", "statements": 1},), aggregates=aggregates)
    assert listed(container, erasure, written, first, last) is expected


def test_aggregates_do_not_count_the_person_any_more(container: Container) -> None:
    send(container, *(named(f"pupil-{number}") for number in range(12)), named("lea"))
    refreshed(container)
    repository = AggregateRepository(container.platform.store, container.keys.organisation)
    (before,) = totals(repository)
    erase(container, "lea")
    (after,) = totals(repository)
    assert (before["persons"], after["persons"]) == (13, 12)
    assert (before["statements"], after["statements"]) == (13, 12)


def recounted(container: Container, erasure: Erasure) -> set[str]:
    """The aggregates that the receipt says were counted again."""
    receipt = signing.verified(erasure.receipt or b"", container.keys.signer.public_key).content
    return {each["aggregate"].partition("@")[0] for each in receipt["aggregates"].get("recounted", ())}


def test_who_is_erased_while_a_month_is_counted_again_is_told_of_it(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(container, named("lea"), named("tom"))
    refreshed(container)
    first = container.people.erasures.erase(person("lea"), actor=BY)
    scan = StatementReader.scan
    begun: list[Erasure] = []

    def late(*given: Any) -> Any:
        if not begun:
            begun.append(container.people.erasures.erase(person("tom"), actor=BY))
        return scan(*given)

    monkeypatch.setattr(StatementReader, "scan", late)
    assert "daily_activity" in recounted(container, container.people.erasures.advance(first.id))
    assert "daily_activity" in recounted(container, container.people.erasures.advance(begun[0].id))


def test_who_is_erased_is_told_of_a_month_that_another_left(container: Container) -> None:
    send(container, named("lea"), named("tom"))
    refreshed(container)
    begun = container.people.erasures.erase(person("lea"), actor=BY)
    container.people.restriction.note_objection(person("tom"), actor=BY)
    # Takes the one who objects out, and with the month everybody whose statements cannot be read.
    refreshed(container)
    assert "daily_activity" in recounted(container, container.people.erasures.advance(begun.id))


# --- after a restore --------------------------------------------------------------------------------


def saved(container: Container) -> dict[str, list[Any]]:
    """A backup: every document of the database."""
    return {
        name: list(container.platform.store.collection(name).find({}))
        for name in container.platform.store.db.list_collection_names()
        if name not in {"processes", "fences", "key_holders", "audit", "leases"}
    }


def restore(container: Container, backup: dict[str, list[Any]]) -> None:
    for name, documents in backup.items():
        container.platform.store.collection(name).delete_many({})
        if documents:
            container.platform.store.collection(name).insert_many(documents)
    container.keys.subjects.forget()


def test_a_restore_brings_nobody_back(container: Container) -> None:
    own = named("lea")
    send(container, own, *mentions("lea").values(), named("other"), named("later"))
    send(container, refers("other", own["id"]))
    document(container, Resource.STATE, "lea")
    document(container, Resource.STATE, "silent")
    states = container.platform.store.collection("person_states")
    states.insert_many([{"_id": subject_of(container, name), "restricted": clock.now()} for name in ("lea", "silent")])
    backup = saved(container)
    erase(container, "lea")
    erase(container, "silent")
    kept = list(Tombstones(container.platform.store).every())
    restore(container, backup)
    assert len(bodies(container)) == 13
    done = container.people.erasures.reapply(kept)
    assert (done.statements, len(done.erasures)) == (13, 1)
    for name in ("lea", "silent"):
        require_nothing_of(container, person(name))
    assert len(bodies(container)) == 12
    assert container.platform.store.collection("documents").count_documents({}) == states.count_documents({}) == 0
    (entry,) = container.governance.audit.newest(["erasures-reapplied"])
    assert entry.detail["keys"] == 1
    assert container.people.erasures.reapply(kept).erasures == ()


def test_a_restore_that_is_killed_after_it_destroyed_a_key_brings_nothing_back(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No statement names them: once the key is gone, nothing but the erasure says whose the document is.
    document(container, Resource.STATE, "silent")
    backup = saved(container)
    erase(container, "silent")
    kept = list(Tombstones(container.platform.store).every())
    restore(container, backup)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as there, pytest.raises(KeyboardInterrupt):
        there.setattr(Erasures, "_erase", killed)
        container.people.erasures.reapply(kept)
    assert container.keys.subjects.existing([subject_of(container, "silent")]) == {}
    documents, erasures = map(container.platform.store.collection, ("documents", "erasures"))
    assert documents.count_documents({}) == 1
    container.people.erasures.reapply(kept)
    assert documents.count_documents({}) == 0
    require_nothing_of(container, person("silent"))
    # Nor is the note of it left: the erasure itself is on record, and was before.
    assert erasures.count_documents({"tombstones": []}) == 0
    (entry,) = container.governance.audit.newest(["erasures-reapplied"])
    assert entry.detail["keys"] == 1


def test_a_key_alone_is_destroyed_only_if_it_was_made_before_the_erasure(container: Container) -> None:
    document(container, Resource.STATE, "silent")
    subject, repository = subject_of(container, "silent"), ErasureRepository(container.platform.store)
    (key,) = container.platform.store.collection("subjects").find({"_id": subject})
    bare = rules._bare(subject, clock.now_us())
    assert not repository.begin_bare(bare, made_before=key["created"])
    assert repository.get(bare.id) is None
    assert repository.begin_bare(bare, made_before=key["created"] + timedelta(milliseconds=1))
    assert repository.open() == [repository.get(bare.id)]
    assert not repository.begin_bare(rules._bare(subject, 0), made_before=key["created"] + timedelta(days=1))


def test_a_statement_left_behind_has_no_other_collection_erased_once_more(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(container, named("lea"), *mentions("lea").values())
    real, buried, spared = StatementData.erase, [], [True]

    def late(data: StatementData, asked: Erasing) -> Iterator[Gone]:
        # As what came to be there after the first pass.
        return iter(()) if spared and spared.pop() else real(data, asked)

    monkeypatch.setattr(StatementData, "erase", late)
    bury = Receptions.forget_data_subject
    monkeypatch.setattr(Receptions, "forget_data_subject", lambda *given: (buried.append(1), bury(*given)))
    erase(container, "lea")
    # Graves of readings keep the instant of the erasure: what is read afterwards is on record.
    assert buried == [1]
    require_nothing_of(container, person("lea"))


def test_a_tombstone_spares_what_came_after_it(container: Container) -> None:
    send(container, named("lea"))
    erase(container, "lea")
    (fresh,) = send(container, named("lea"))
    document(container, Resource.STATE, "lea")
    restore(container, saved(container))
    assert container.people.erasures.reapply().erasures == ()
    assert list(bodies(container)) == [fresh]
    assert container.platform.store.collection("documents").count_documents({}) == 1


def test_a_key_made_since_the_erasure_outlives_it_being_done_again(container: Container) -> None:
    (mention,) = send(container, named("other", context={"instructor": account("lea")}))
    statements = container.platform.store.collection("statements")
    before = statements.find_one({"_id": mention})
    erase(container, "lea")
    (fresh,) = send(container, named("lea"))
    # As a backup made in the midst of the erasure has it.
    statements.replace_one({"_id": mention}, before)
    (again,) = container.people.erasures.reapply().erasures
    counts = container.people.erasures.get(again).counts
    assert (counts["keys"], counts["statements"], counts["mentions"]) == (0, 0, 1)
    found = bodies(container)
    assert found.keys() == {mention, fresh}
    assert "lea" not in str(found[mention])


def test_a_tombstone_has_no_identity_and_outlives_the_index_key(container: Container) -> None:
    send(container, named("lea"))
    erase(container, "lea")
    # Its own, and one of the pseudonym that the source may have had of it.
    assert container.platform.store.collection("tombstones").count_documents({}) == 2
    (grave,) = container.platform.store.collection("tombstones").find({"mark": grave_mark(container, "lea")})
    assert set(grave) == {"_id", "mark", "erased", "until_stored", "erasure"}
    assert not tokens(container, person("lea")) & {bytes(grave["_id"]), bytes(grave["mark"])}
    assert bytes(grave["_id"]) == container.keys.organisation.mac("tombstone", f"account:{HOME}|lea".encode())[:16]


def test_the_later_bound_of_two_erasures_stays(container: Container) -> None:
    first = erase(container, "lea")
    tombstones = Tombstones(container.platform.store)
    (grave,) = (each for each in tombstones.every() if each.mark == grave_mark(container, "lea"))
    second = erase(container, "lea")
    tombstones.keep([grave])
    (now,) = (each for each in tombstones.every() if each.mark == grave_mark(container, "lea"))
    assert first.until_stored < now.until_stored == second.until_stored
    assert now.erased >= grave.erased + timedelta(0)


def test_what_is_carried_of_a_crowded_statement_stays_bounded_when_a_person_leaves_it(container: Container) -> None:
    crowd = [account("lea"), *(account(f"pupil-{number}") for number in range(400))]
    sent = statement(id=str(uuid4()), actor={"objectType": "Group", "member": crowd})
    send(container, sent)
    (late,) = send(container, refers("other", sent["id"]))
    erase(container, "lea")
    statements = container.platform.store.collection("statements")
    document = statements.find_one({"_id": late})
    target = statements.find_one({"_id": UUID(sent["id"])})
    assert document is not None
    assert target is not None
    assert [each["t"] for each in document["refs"]] == [target["t"][:MAX_CARRIED]]
    require_nothing_of(container, person("lea"))
