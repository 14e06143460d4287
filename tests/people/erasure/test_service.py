"""Erasure: keys at once, then everything else; what stays is others', and names nobody who was erased."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from app.core import clock
from app.core.errors import DatabaseUnavailable, LeaseLost, NotFound, Unavailable
from app.crypto import signing
from app.factory import Parts
from app.governance.audit.store import Entry
from app.people.erasure import service as rules
from app.people.erasure.store import DONE, FORGETTING, PHASES, Erasure
from app.people.erasure.tombstones import Tombstones
from app.people.finding.pseudonyms import Person
from app.research.store import AggregateRepository
from app.standards.xapi.attachments import SIGNATURE
from app.standards.xapi.documents import Conditions, Content, Resource
from app.standards.xapi.identifiers import keys_of
from app.standards.xapi.versions import Version
from app.traces.statements.reader import SealedReader
from app.traces.statements.store import MAX_CARRIED
from tests.multiparts import attachment_of
from tests.people.people import (
    HOME,
    account,
    bodies,
    document,
    mentions,
    named,
    parts,
    person,
    place,
    refers,
    send,
    with_attachment,
)
from tests.research.counted import refreshed, totals
from tests.served import statement

__all__ = ("parts",)

NEVER = 1 << 62
BY = "cli:test"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches with few statements."""
    monkeypatch.setattr(rules, "BATCH", 3)
    monkeypatch.setattr(rules, "REDACTED_AT_ONCE", 2)


def erase(parts: Parts, *names: str) -> Erasure:
    started = parts.erasures.erase(person(*names), actor="cli:test")
    return parts.erasures.advance(started.id)


def tokens(parts: Parts, who: Person) -> set[bytes]:
    """Everything in the database that could stand for a person."""
    persons = parts.persons
    return {*persons.flat(who), *persons.subjects(who), *persons.own_groups(who)}


def dump(parts: Parts) -> bytes:
    """The content of MongoDB, but for the audit log, which is to tell who looked at whom."""
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument

    store = parts.store
    return b"".join(
        each.raw
        for name in sorted(store.db.list_collection_names())
        if name != "audit"
        for each in store.db.get_collection(name, codec_options=CodecOptions(RawBSONDocument)).find({})
    )


def require_nothing_of(parts: Parts, who: Person) -> None:
    raw = dump(parts)
    for token in tokens(parts, who):
        assert token not in raw
    for body in bodies(parts).values():
        keys = keys_of(body)
        assert set(who.identifiers).isdisjoint({keys.subject, *keys.agents, *keys.related_agents})


def test_the_key_goes_at_once_and_nothing_is_read_any_more(parts: Parts) -> None:
    own = send(parts, named("lea"), named("lea"))
    parts.reader.decrypted(parts.statements.some(own))
    started = parts.erasures.erase(person("lea"), actor="cli:test")
    assert (started.phase, started.counts) == (FORGETTING, {"keys": 1})
    assert parts.statements.some(own)
    assert parts.reader.decrypted(parts.statements.some(own)) == []
    assert parts.store.collection("subjects").count_documents({}) == 0


def test_everything_of_a_person_goes_and_what_is_anothers_stays(parts: Parts) -> None:
    own, places = named("lea"), mentions("lea")
    send(parts, own, *places.values(), named("other"))
    send(parts, with_attachment("lea", b"copy"), data=(b"copy",))
    send(parts, refers("other", own["id"]), refers("other", places["instructor"]["id"]))
    for resource in (Resource.STATE, Resource.AGENT_PROFILE):
        document(parts, resource, "lea")
    document(parts, Resource.STATE, "other")
    before = bodies(parts)
    done = erase(parts, "lea")
    assert done.phase == DONE
    counts = {name: number for name, number in done.counts.items() if number}
    assert counts == {"keys": 1, "statements": 2, "mentions": 9, "referring": 2, "documents": 2, "attachments": 1}
    require_nothing_of(parts, person("lea"))
    after = bodies(parts)
    assert before.keys() - after.keys() == {UUID(own["id"])} | {
        identity for identity, body in before.items() if "attachments" in body
    }
    for identity, body in after.items():
        assert (body["id"], body["stored"]) == (before[identity]["id"], before[identity]["stored"])
    assert parts.store.collection("documents").count_documents({}) == 1
    assert parts.store.collection("attachments").count_documents({}) == 0
    assert parts.store.collection("attachment_frames").count_documents({}) == 0
    assert parts.key_service.verify().whole


def test_one_placeholder_stands_for_one_person_and_it_can_be_searched(parts: Parts) -> None:
    send(parts, *mentions("lea").values())
    erase(parts, "lea")
    homes = {
        (agent["account"]["homePage"], agent["account"]["name"])
        for body in bodies(parts).values()
        for agent in _agents(body)
        if "account" in agent and agent["account"]["homePage"] != HOME
    }
    homes.discard((parts.settings.public_url, "tutor"))
    ((home, name),) = homes
    assert home == f"{parts.settings.public_url}/erased"
    from app.people.finding.finder import person_of

    places = parts.persons.places(person_of([{"account": {"homePage": home, "name": name}}]))
    assert (places.own, places.mentions) == (0, 9)


def _agents(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, dict):
        own = [part] if "account" in part else []
        return own + [each for inner in part.values() for each in _agents(inner)]
    return [each for inner in part for each in _agents(inner)] if isinstance(part, list) else []


def test_voided_statements_and_groups_of_nobody_else_go_too(parts: Parts) -> None:
    own = named("lea")
    send(parts, own, statement(actor={"objectType": "Group", "member": [account("lea")]}))
    verb = {"id": "http://adlnet.gov/expapi/verbs/voided"}
    send(parts, {**refers("other", own["id"]), "verb": verb})
    assert erase(parts, "lea").counts["statements"] == 2
    require_nothing_of(parts, person("lea"))
    assert len(bodies(parts)) == 1


def test_several_identifiers_go_together(parts: Parts) -> None:
    send(parts, named("lea"), named("lea-2"), named("other", context={"instructor": account("lea-2")}))
    done = erase(parts, "lea", "lea-2")
    assert (done.counts["keys"], done.counts["statements"], done.counts["mentions"]) == (2, 2, 1)
    require_nothing_of(parts, person("lea", "lea-2"))


def test_statements_in_version_1_0_3_are_redacted_too(parts: Parts) -> None:
    (identity,) = send(parts, named("other", context={"instructor": account("lea")}), version=Version.V1)
    erase(parts, "lea")
    body = bodies(parts)[identity]
    assert body["version"] == "1.0.0"
    assert body["context"]["instructor"]["account"]["homePage"].endswith("/erased")
    require_nothing_of(parts, person("lea"))


def test_twice_is_harmless_and_one_under_way_is_gone_on_with(parts: Parts) -> None:
    send(parts, named("lea"))
    started = parts.erasures.erase(person("lea"), actor="cli:test")
    assert parts.erasures.erase(person("lea"), actor="cli:test").id == started.id
    done = parts.erasures.advance(started.id)
    assert parts.erasures.advance(started.id) == done
    again = erase(parts, "lea")
    assert (again.id != done.id, again.counts["keys"], again.counts["statements"]) == (True, 0, 0)


def test_one_under_way_is_noted_once_on_another_request_that_asks_for_it(parts: Parts) -> None:
    lea = person("lea")
    send(parts, named("lea"))
    requests = [parts.cases.open("erasure", lea, actor=BY).id for _ in range(2)]
    for each in requests:
        parts.cases.identify(each, actor=BY)
    started = parts.erasures.erase(lea, actor=BY, case=requests[0])
    for each in (*requests, requests[1]):
        assert parts.erasures.erase(lea, actor=BY, case=each).id == started.id
    parts.erasures.advance(started.id)
    for each in requests:
        steps = parts.cases.show(each, actor=BY).steps
        erased = [step for step in steps[2:] if step.what != "recipients-listed"]
        assert [(step.what, step.detail.get("erasure")) for step in erased] == [("erased", str(started.id))]


def test_what_comes_afterwards_begins_anew(parts: Parts) -> None:
    send(parts, named("lea"))
    done = erase(parts, "lea")
    (fresh,) = send(parts, named("lea"))
    document(parts, Resource.STATE, "lea")
    assert parts.statements.some([fresh])[0].stored > done.until_stored
    assert parts.erasures.advance(done.id).phase == DONE
    assert list(bodies(parts)) == [fresh]
    assert parts.documents.read(place(Resource.STATE, "lea", "d"), actor="sk-x").content.body == b'{"a":1}'


@pytest.mark.parametrize("phase", PHASES[:-1])
def test_cut_off_after_any_step_it_goes_on(parts: Parts, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = named("lea")
    send(parts, *(named("lea") for _ in range(7)), own, *mentions("lea").values())
    send(parts, refers("other", own["id"]))
    document(parts, Resource.STATE, "lea")
    started = parts.erasures.erase(person("lea"), actor="cli:test")
    real = type(parts.erasures._repository).advance

    def dying(repository: Any, erasure: Erasure, *given: Any, **named: Any) -> Erasure:
        if erasure.phase == phase:
            raise KeyboardInterrupt
        return real(repository, erasure, *given, **named)

    if phase != PHASES[-2]:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(type(parts.erasures._repository), "advance", dying)
            parts.erasures.advance(started.id)
    else:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(
                type(parts.erasures._repository), "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
            )
            parts.erasures.advance(started.id)
    assert parts.erasures.get(started.id).phase == phase
    assert parts.erasures.run() == {"finished": 1, "left": 0}
    done = parts.erasures.get(started.id)
    assert (done.counts["statements"], done.counts["mentions"], done.counts["documents"]) == (8, 9, 1)
    require_nothing_of(parts, person("lea"))
    assert "tokens" not in parts.store.collection("erasures").find_one({})


def test_cut_off_within_a_step_it_goes_on(parts: Parts) -> None:
    send(parts, *(named("lea") for _ in range(9)), *mentions("lea").values())
    started = parts.erasures.erase(person("lea"), actor="cli:test")
    for budget in (2, 5, 8):
        left = budget

        def lost() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise LeaseLost

        with pytest.raises(LeaseLost):
            parts.erasures.advance(started.id, check=lost)
    done = parts.erasures.advance(started.id)
    assert (done.counts["statements"], done.counts["mentions"]) == (9, 9)
    require_nothing_of(parts, person("lea"))


def test_another_process_at_it_is_waited_for_or_left_alone(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    send(parts, named("lea"))
    started = parts.erasures.erase(person("lea"), actor="cli:test")
    repository = parts.erasures._repository
    assert repository.claims.take(started.id, b"another!", 0.6)
    assert parts.erasures.run() == {"finished": 0, "left": 1}
    assert parts.erasures.advance(started.id).phase == DONE


def test_a_process_that_has_not_forgotten_holds_the_deletion_back(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = send(parts, named("lea"))
    started = parts.erasures.erase(person("lea"), actor="cli:test")
    stuck = parts.erasures._processes._replace(forgotten=lambda epoch: False)
    with monkeypatch.context() as patched:
        patched.setattr(parts.erasures, "_processes", stuck)
        with pytest.raises(DatabaseUnavailable, match="goes on by itself"):
            parts.erasures.advance(started.id)
    assert parts.statements.some(own)
    assert parts.erasures.advance(started.id).phase == DONE


def test_a_statement_stamped_before_and_stored_after_the_keys_are_forgotten_does_not_stay(parts: Parts) -> None:
    """The writer has the old key in hand and its stamp reserved while the key is destroyed and forgotten."""
    send(parts, named("lea"))
    ready, go = threading.Event(), threading.Event()
    real = parts.statements.insert

    def slow(*given: Any, **named: Any) -> Any:
        ready.set()
        go.wait(20)
        return real(*given, **named)

    parts.recorder._statements.insert = slow  # type: ignore[method-assign]
    late = named("lea")
    writer = threading.Thread(target=send, args=(parts, late))
    writer.start()
    assert ready.wait(20)
    parts.recorder._statements.insert = real  # type: ignore[method-assign]
    started = parts.erasures.erase(person("lea"), actor="cli:test")
    eraser = threading.Thread(target=parts.erasures.advance, args=(started.id,))
    eraser.start()
    eraser.join(0.5)
    assert eraser.is_alive(), "it did not wait for the write under way"
    go.set()
    writer.join()
    eraser.join()
    assert parts.erasures.get(started.id).counts["statements"] == 2
    assert parts.statements.some([UUID(late["id"])]) == []
    require_nothing_of(parts, person("lea"))


def test_a_writer_that_had_the_key_in_hand_before_its_stamp_seals_with_a_new_one(parts: Parts) -> None:
    send(parts, named("lea"))
    real = parts.presence.writing
    erased: list[Erasure] = []

    def late(count: int) -> Any:
        if not erased:
            # Between the keys and the stamp: everybody has forgotten, and the erasure is over.
            erased.append(erase(parts, "lea"))
        return real(count)

    parts.presence.writing = late  # type: ignore[method-assign]
    (fresh,) = send(parts, named("lea"))
    parts.presence.writing = real  # type: ignore[method-assign]
    assert parts.statements.some([fresh])[0].stored > erased[0].until_stored
    assert list(bodies(parts)) == [fresh]


def test_data_that_came_in_under_the_old_key_are_asked_for_again(parts: Parts) -> None:
    send(parts, named("lea"))
    real = parts.presence.writing
    erased: list[Erasure] = []

    def late(count: int) -> Any:
        if not erased:
            erased.append(erase(parts, "lea"))
        return real(count)

    parts.presence.writing = late  # type: ignore[method-assign]
    sent = with_attachment("lea", b"copy")
    with pytest.raises(Unavailable, match="Send the same request again"):
        send(parts, sent, data=(b"copy",))
    parts.presence.writing = real  # type: ignore[method-assign]
    assert parts.store.collection("attachments").count_documents({}) == 0
    send(parts, sent, data=(b"copy",))
    assert len(bodies(parts)) == 1


def test_a_document_sealed_with_a_key_that_is_gone_is_taken_back(parts: Parts) -> None:
    document(parts, Resource.STATE, "lea")
    repository = parts.documents._repository
    real = repository.replace

    def late(row: Any, **named: Any) -> bool:
        parts.store.collection("subjects").delete_many({})
        parts.subjects.forget()
        return real(row, **named)

    repository.replace = late  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        parts.documents.put(
            place(Resource.STATE, "lea", "d"),
            Content("a/b", b"new"),
            Conditions(),
            Version.V1,
            source="tutor",
            actor="sk-writer",
        )
    assert parts.store.collection("documents").count_documents({}) == 0


def test_a_statement_that_changes_meanwhile_is_read_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    (identity,) = send(parts, named("other", context={"instructor": account("lea")}))
    remains = parts.erasures._remains
    real = remains.redact
    moved: list[int] = []

    def raced(redactions: Any) -> int:
        if not moved:
            # A writer that was declared dead moves its statement to a later place, sealed anew.
            row = parts.statements.some([identity])[0]
            plain = parts.reader.decrypted([row])[0].body
            key = parts.subjects.existing([row.subject])[row.subject]
            (again,) = parts.bodies.encrypt([(identity, plain)], [key])
            parts.store.collection("statements").update_one({"_id": identity}, {"$set": {"body": again}})
            moved.append(real(redactions))
            return moved[0]
        return real(redactions)

    monkeypatch.setattr(remains, "redact", raced)
    erase(parts, "lea")
    assert moved == [0]
    require_nothing_of(parts, person("lea"))


def subject_of(parts: Parts, name: str) -> bytes:
    """The subject token of an account by itself."""
    return parts.keys.subject(f"account:{HOME}|{name}")


def grave_mark(parts: Parts, name: str) -> bytes:
    """The mark of the subject token in the tombstone of an account."""
    return parts.keys.mac("tombstone-mark", subject_of(parts, name))[:16]


def test_a_mention_that_nobody_can_open_loses_its_tokens(parts: Parts) -> None:
    (identity,) = send(parts, named("other", context={"instructor": account("lea")}))
    parts.store.collection("subjects").delete_one({"_id": subject_of(parts, "other")})
    parts.subjects.forget()
    assert erase(parts, "lea").counts["unopened"] == 1
    raw = dump(parts)
    assert not any(token in raw for token in tokens(parts, person("lea")))
    assert parts.statements.some([identity])


def test_a_signature_that_holds_a_copy_of_the_statement_goes_with_its_data(parts: Parts) -> None:
    data = b"x" * 40
    sent = named("other", context={"instructor": account("lea")}, attachments=[attachment_of(data)])
    (identity,) = send(parts, sent, data=(data,))
    # As if it had been sent as a signature, whose data only a real one would be let in.
    row = parts.statements.some([identity])[0]
    body = orjson.loads(parts.reader.decrypted([row])[0].body)
    body["attachments"][0]["usageType"] = SIGNATURE
    key = parts.subjects.existing([row.subject])[row.subject]
    (sealed,) = parts.bodies.encrypt([(identity, orjson.dumps(body))], [key])
    parts.store.collection("statements").update_one({"_id": identity}, {"$set": {"body": sealed}})
    assert erase(parts, "lea").counts["signatures"] == 1
    assert "attachments" not in bodies(parts)[identity]
    assert parts.store.collection("attachments").count_documents({}) == 0


def test_shared_data_stay_for_the_others_who_declare_them(parts: Parts) -> None:
    send(parts, with_attachment("lea", b"copy"), with_attachment("other", b"copy"), data=(b"copy",))
    erase(parts, "lea")
    (kept,) = parts.store.collection("attachments").find({})
    assert [each["subject"] for each in kept["keys"]] == [subject_of(parts, "other")]
    require_nothing_of(parts, person("lea"))
    ((identity, body),) = bodies(parts).items()
    plain = parts.reader.decrypted(parts.statements.some([identity]))[0]
    (data,) = parts.attachments.of([(plain, body)])
    assert b"".join(data.chunks) == b"copy"


def test_referring_statements_carry_what_their_targets_have(parts: Parts) -> None:
    own, mention = named("lea"), named("other", context={"instructor": account("lea")})
    send(parts, own, mention)
    (first,) = send(parts, refers("other", mention["id"]))
    send(parts, refers("other", first), refers("other", own["id"]))
    erase(parts, "lea")
    statements = parts.store.collection("statements")
    now = {each["_id"]: each["t"] for each in statements.find({})}
    for each in statements.find({"refs": {"$exists": True}}):
        assert all(carried["t"] == now[carried["i"]] for carried in each["refs"])
    assert statements.count_documents({"refs": {"$exists": True}}) == 2
    assert statements.count_documents({"ref": UUID(own["id"]), "refs": {"$exists": False}}) == 1


def test_sessions_go_with_the_learner_whose_key_seals_them(parts: Parts) -> None:
    subject = parts.persons.subjects(person("lea"))[0]
    parts.subjects.ensured([subject])
    sessions = parts.store.collection("pattern_sessions")
    sessions.insert_many([{"_id": bytes([n] * 16), "subject": subject, "state": b"x" * 40} for n in range(5)])
    sessions.insert_one({"_id": bytes([9] * 16), "subject": bytes(16), "state": b"x" * 40})
    assert erase(parts, "lea").counts["sessions"] == 5
    assert sessions.count_documents({}) == 1


def test_what_is_noted_of_a_person_goes_but_an_objection(parts: Parts) -> None:
    subjects = parts.persons.subjects(person("lea", "lea-2"))
    states = parts.store.collection("person_states")
    states.insert_one({"_id": subjects[0], "restricted": clock.now()})
    states.insert_one({"_id": subjects[1], "restricted": clock.now(), "objects": ["research"]})
    accounts = parts.store.collection("accounts")
    for subject in (*subjects, bytes(16)):
        accounts.insert_one({"_id": f"{subject.hex()}/tutor", "source": "tutor", "closed": 1})
    erase(parts, "lea", "lea-2")
    assert [each["_id"] for each in accounts.find({})] == [f"{bytes(16).hex()}/tutor"]
    assert list(states.find({})) == [{"_id": subjects[1], "objects": ["research"]}]


def test_the_destroying_step_and_the_end_are_on_record_without_a_name(parts: Parts) -> None:
    send(parts, named("lea"))
    done = parts.erasures.advance(parts.erasures.erase(person("lea"), actor="sk-1", case="case-7").id)
    entries = {entry.kind: entry for entry in parts.audit.newest() if entry.kind.startswith("erasure")}
    begun, ended = entries["erasure-started"], entries["erasure-finished"]
    assert begun.actor == ended.actor == "sk-1"
    assert (begun.detail["erasure"], begun.detail["case"]) == (str(done.id), "case-7")
    assert ended.detail["counts"]["statements"] == 1
    raw = str([entry.detail for entry in entries.values()])
    assert not any(token.hex() in raw for token in tokens(parts, person("lea")))


def test_nothing_is_destroyed_when_it_cannot_be_recorded(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    own = send(parts, named("lea"))

    def away(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(parts.erasures, "_audit", away)
    with pytest.raises(DatabaseUnavailable):
        parts.erasures.erase(person("lea"), actor="cli:test")
    assert len(parts.reader.decrypted(parts.statements.some(own))) == 1


def test_an_unknown_erasure_is_not_found(parts: Parts) -> None:
    with pytest.raises(NotFound):
        parts.erasures.get(uuid4())


# --- aggregates, exports, receipts ------------------------------------------------------------------


def test_the_receipt_says_what_was_done_and_verifies(parts: Parts) -> None:
    send(parts, *(named("lea") for _ in range(4)), named("other", context={"instructor": account("lea")}))
    refreshed(parts)
    package = parts.exports.run(actor="cli:export")
    parts.exports.run(["daily_activity"], first=clock.now().date().replace(year=2020), last=None, actor="cli:export")
    done = erase(parts, "lea")
    assert done.receipt is not None
    signed = signing.verified(done.receipt, parts.signer.public_key)
    content = signed.content
    assert signed.format == "sillage-erasure-receipt"
    assert (content["erasure"], content["organisation"]) == (str(done.id), parts.settings.organisation)
    assert content["counts"]["statements"] == 4
    month = f"{clock.now():%Y-%m}"
    assert content["statements_by_month"] == [{"source": "tutor", "month": month, "statements": 4}]
    assert {each["aggregate"].partition("@")[0] for each in content["aggregates"]["recounted"]} >= {"daily_activity"}
    assert package.path.name in {each["package"] for each in content["exports"]}
    assert [each["activity"] for each in content["recipients"]] == ["p2ia"]
    assert re.search(r"\blea\b", done.receipt.decode()) is None


def test_exports_of_other_periods_are_not_listed(parts: Parts) -> None:
    send(parts, named("lea"))
    refreshed(parts)
    old = clock.now().date().replace(year=2020)
    parts.exports.run(["daily_activity"], first=None, last=old, actor="cli:export")
    done = erase(parts, "lea")
    assert signing.verified(done.receipt or b"", parts.signer.public_key).content["exports"] == []


def listed(parts: Parts, erasure: Erasure, written: datetime, first: str | None, last: str | None) -> bool:
    at = round(written.timestamp() * 1_000_000)
    entry = Entry("c", 1, at, "export-written", BY, {"package": "p", "first": first, "last": last}, b"", b"")
    around = parts.erasures._around
    parts.erasures._around = around._replace(entries=lambda kinds: [entry])
    try:
        return bool(parts.erasures._exports(erasure))
    finally:
        parts.erasures._around = around


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
    parts: Parts, published: str | None, written: datetime, first: str | None, last: str | None, expected: bool
) -> None:
    send(parts, named("lea"))
    begun = parts.erasures.erase(person("lea"), actor=BY)
    aggregates = {} if published is None else {"published": [{"aggregate": "daily_activity@2", "month": published}]}
    erasure = begun._replace(months=({"source": "tutor", "month": "2026-11", "statements": 1},), aggregates=aggregates)
    assert listed(parts, erasure, written, first, last) is expected


def test_aggregates_do_not_count_the_person_any_more(parts: Parts) -> None:
    send(parts, *(named(f"pupil-{number}") for number in range(12)), named("lea"))
    refreshed(parts)
    repository = AggregateRepository(parts.store, parts.keys)
    (before,) = totals(repository)
    erase(parts, "lea")
    (after,) = totals(repository)
    assert (before["persons"], after["persons"]) == (13, 12)
    assert (before["statements"], after["statements"]) == (13, 12)


def recounted(parts: Parts, erasure: Erasure) -> set[str]:
    """The aggregates that the receipt says were counted again."""
    receipt = signing.verified(erasure.receipt or b"", parts.signer.public_key).content
    return {each["aggregate"].partition("@")[0] for each in receipt["aggregates"].get("recounted", ())}


def test_who_is_erased_while_a_month_is_counted_again_is_told_of_it(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(parts, named("lea"), named("tom"))
    refreshed(parts)
    first = parts.erasures.erase(person("lea"), actor=BY)
    scan = SealedReader.scan
    begun: list[Erasure] = []

    def late(*given: Any) -> Any:
        if not begun:
            begun.append(parts.erasures.erase(person("tom"), actor=BY))
        return scan(*given)

    monkeypatch.setattr(SealedReader, "scan", late)
    assert "daily_activity" in recounted(parts, parts.erasures.advance(first.id))
    assert "daily_activity" in recounted(parts, parts.erasures.advance(begun[0].id))


def test_who_is_erased_is_told_of_a_month_that_another_left(parts: Parts) -> None:
    send(parts, named("lea"), named("tom"))
    refreshed(parts)
    begun = parts.erasures.erase(person("lea"), actor=BY)
    parts.restriction.note_objection(person("tom"), actor=BY)
    # Takes the one who objects out, and with the month everybody whose statements cannot be read.
    refreshed(parts)
    assert "daily_activity" in recounted(parts, parts.erasures.advance(begun.id))


# --- after a restore --------------------------------------------------------------------------------


def saved(parts: Parts) -> dict[str, list[Any]]:
    """A backup: every document of the database."""
    return {
        name: list(parts.store.collection(name).find({}))
        for name in parts.store.db.list_collection_names()
        if name not in {"processes", "fences", "key_holders", "audit", "leases"}
    }


def restore(parts: Parts, backup: dict[str, list[Any]]) -> None:
    for name, documents in backup.items():
        parts.store.collection(name).delete_many({})
        if documents:
            parts.store.collection(name).insert_many(documents)
    parts.subjects.forget()


def test_a_restore_brings_nobody_back(parts: Parts) -> None:
    own = named("lea")
    send(parts, own, *mentions("lea").values(), named("other"), named("later"))
    send(parts, refers("other", own["id"]))
    document(parts, Resource.STATE, "lea")
    document(parts, Resource.STATE, "silent")
    backup = saved(parts)
    erase(parts, "lea")
    erase(parts, "silent")
    kept = list(Tombstones(parts.store).every())
    restore(parts, backup)
    assert len(bodies(parts)) == 13
    done = parts.erasures.reapply(kept)
    assert (done.statements, len(done.erasures)) == (13, 1)
    for name in ("lea", "silent"):
        require_nothing_of(parts, person(name))
    assert len(bodies(parts)) == 12
    assert parts.store.collection("documents").count_documents({}) == 0
    (entry,) = parts.audit.newest(["erasures-reapplied"])
    assert entry.detail["keys"] == 1
    assert parts.erasures.reapply(kept).erasures == ()


def test_a_tombstone_spares_what_came_after_it(parts: Parts) -> None:
    send(parts, named("lea"))
    erase(parts, "lea")
    (fresh,) = send(parts, named("lea"))
    document(parts, Resource.STATE, "lea")
    restore(parts, saved(parts))
    assert parts.erasures.reapply().erasures == ()
    assert list(bodies(parts)) == [fresh]
    assert parts.store.collection("documents").count_documents({}) == 1


def test_a_key_made_since_the_erasure_outlives_it_being_done_again(parts: Parts) -> None:
    (mention,) = send(parts, named("other", context={"instructor": account("lea")}))
    statements = parts.store.collection("statements")
    before = statements.find_one({"_id": mention})
    erase(parts, "lea")
    (fresh,) = send(parts, named("lea"))
    # As a backup made in the midst of the erasure has it.
    statements.replace_one({"_id": mention}, before)
    (again,) = parts.erasures.reapply().erasures
    counts = parts.erasures.get(again).counts
    assert (counts["keys"], counts["statements"], counts["mentions"]) == (0, 0, 1)
    found = bodies(parts)
    assert found.keys() == {mention, fresh}
    assert "lea" not in str(found[mention])


def test_a_tombstone_has_no_identity_and_outlives_the_index_key(parts: Parts) -> None:
    send(parts, named("lea"))
    erase(parts, "lea")
    # Its own, and one of the pseudonym that the source may have had of it.
    assert parts.store.collection("tombstones").count_documents({}) == 2
    (grave,) = parts.store.collection("tombstones").find({"mark": grave_mark(parts, "lea")})
    assert set(grave) == {"_id", "mark", "erased", "until_stored", "erasure"}
    assert not tokens(parts, person("lea")) & {bytes(grave["_id"]), bytes(grave["mark"])}
    assert bytes(grave["_id"]) == parts.keys.mac("tombstone", f"account:{HOME}|lea".encode())[:16]


def test_the_later_bound_of_two_erasures_stays(parts: Parts) -> None:
    first = erase(parts, "lea")
    tombstones = Tombstones(parts.store)
    (grave,) = (each for each in tombstones.every() if each.mark == grave_mark(parts, "lea"))
    second = erase(parts, "lea")
    tombstones.keep([grave])
    (now,) = (each for each in tombstones.every() if each.mark == grave_mark(parts, "lea"))
    assert first.until_stored < now.until_stored == second.until_stored
    assert now.erased >= grave.erased + timedelta(0)


def test_what_is_carried_of_a_crowded_statement_stays_bounded_when_a_person_leaves_it(parts: Parts) -> None:
    crowd = [account("lea"), *(account(f"pupil-{number}") for number in range(400))]
    sent = statement(id=str(uuid4()), actor={"objectType": "Group", "member": crowd})
    send(parts, sent)
    (late,) = send(parts, refers("other", sent["id"]))
    erase(parts, "lea")
    statements = parts.store.collection("statements")
    document = statements.find_one({"_id": late})
    target = statements.find_one({"_id": UUID(sent["id"])})
    assert document is not None
    assert target is not None
    assert [each["t"] for each in document["refs"]] == [target["t"][:MAX_CARRIED]]
    require_nothing_of(parts, person("lea"))
