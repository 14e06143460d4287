"""Repeats answered at once: what is there already, and everything else as if nobody had looked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from pymongo import MongoClient

from app.access.store import Source
from app.core import contracts
from app.core.errors import DuplicateKey, InvalidStatement, ProfileRejected, SillageError, StatementConflict
from app.people.finding.finder import data_subject_of
from app.platform.mongo.connection import Document, Store
from app.settings import Settings
from app.standards.xapi.versions import Version
from app.traces.ingest import recording, repeats
from app.traces.ingest.recording import Recorded
from app.traces.ingest.repeats import MIN_BATCH
from app.traces.statements.store import Statements
from app.wiring.container import Container
from tests.keys.test_learners import Commands
from tests.places import ROOT
from tests.served import statement
from tests.sinks import VoidingTokens
from tests.stores import with_tutor

SOURCE = Source("tutor", "Tutor", "p2ia", (), "observe", datetime.now(UTC))
PROFILE = "https://w3id.org/sillage/profiles/p2ia"
EXAMPLES = ROOT / "tests" / "standards" / "profiles" / "examples"
Statement = dict[str, Any]


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with with_tutor(settings, database_name) as made:
        made.lifecycle.start()
        yield made


def named(count: int = MIN_BATCH, **changes: Any) -> list[Statement]:
    return [statement(id=str(uuid4()), timestamp="2026-11-22T10:00:00Z", **changes) for _ in range(count)]


def send(
    container: Container, sent: list[Statement], source: Source = SOURCE, version: Version = Version.V1, **options: Any
) -> Recorded:
    return container.traces.recorder.record(orjson.dumps(sent), source, version, **options)


def outcome(do: Callable[[], Recorded]) -> object:
    """The answer, or the refusal, that the sender gets."""
    try:
        told = do()
    except SillageError as refused:
        return refused.code, refused.detail, [*refused.faults]
    return told.ids, told.inserted, dict(told.verdicts)


@pytest.fixture
def alike(container: Container, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Sends something twice, repeats looked for and not; what the sender is told, which is the same."""

    def both(sent: list[Statement], source: Source = SOURCE, version: Version = Version.V1) -> object:
        first = outcome(lambda: send(container, sent, source, version))
        with monkeypatch.context() as patch:
            patch.setattr(repeats, "MIN_BATCH", 1 << 30)
            assert outcome(lambda: send(container, sent, source, version)) == first
        return first

    return both


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of statements that each validation was given."""
    counts: list[int] = []
    real = recording.validate

    def validate(statements: Any, *args: Any, **options: Any) -> None:
        counts.append(len(statements))
        real(statements, *args, **options)

    monkeypatch.setattr(recording, "validate", validate)
    return counts


def test_a_repeated_batch_is_answered_by_two_readings(container: Container, looked_at: list[int]) -> None:
    sent = named()
    first = send(container, sent)
    commands = Commands("statements")
    client = MongoClient[Document](
        container.settings.mongodb_uri, event_listeners=[commands], uuidRepresentation="standard"
    )
    with client:
        container.traces.recorder._repeats._statements = Statements(
            Store(client, container.settings.database), VoidingTokens()
        )
        again = send(container, sent)
    assert commands.seen == ["find", "find"]
    assert looked_at == [MIN_BATCH]
    assert again.ids == first.ids == tuple(UUID(each["id"]) for each in sent)
    assert (again.inserted.stored, again.inserted.repeated) == ((), first.ids)


def test_of_a_mixed_batch_only_what_is_new_goes_on(container: Container, looked_at: list[int]) -> None:
    known, new = named(), named(3)
    send(container, known)
    sent = [new[0], *known[:9], new[1], *known[9:], new[2]]
    told = send(container, sent)
    # The last and the first are new: what is in the middle shows that it is worth looking.
    assert looked_at == [MIN_BATCH, 3]
    assert told.ids == tuple(UUID(each["id"]) for each in sent)
    assert told.inserted.stored == tuple(UUID(each["id"]) for each in new)
    assert told.inserted.repeated == tuple(UUID(each["id"]) for each in known)
    assert send(container, sent).inserted.repeated == told.ids
    assert container.platform.store.collection("statements").count_documents({}) == MIN_BATCH + 3


def test_a_new_batch_is_asked_for_by_three_of_its_ids(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = Statements.known

    def known(self: Statements, ids: Any) -> Any:
        wanted = list(ids)
        asked.append(len(wanted))
        return real(self, wanted)

    monkeypatch.setattr(Statements, "known", known)
    send(container, named())
    send(container, [statement() for _ in range(MIN_BATCH)])
    send(container, named(MIN_BATCH - 1))
    assert asked == [3]


def test_what_breaks_the_standard_is_refused_under_a_known_id(alike: Any, container: Container) -> None:
    sent = named()
    send(container, sent)
    beside = {"stored": "no time", "authority": {"mbox": "nobody"}}
    for wrong in (*({name: part} for name, part in beside.items()), {"verb": "experienced"}, {"acter": {}}):
        code, _, faults = alike([*sent[:5], {**sent[5], **wrong}, *sent[6:]])
        assert code == InvalidStatement.code
        assert {fault.pointer.split("/")[1] for fault in faults} == {"5"}


@pytest.mark.parametrize("form", ["{%s}", "urn:uuid:%s"])
def test_an_id_in_a_form_that_is_none_is_refused(alike: Any, container: Container, form: str) -> None:
    sent = named()
    send(container, sent)
    code, _, faults = alike([*sent[:7], {**sent[7], "id": form % sent[7]["id"]}, *sent[8:]])
    assert (code, faults[0].pointer) == (InvalidStatement.code, "/7/id")


def test_an_id_that_is_sent_twice_is_refused_where_it_was(alike: Any, container: Container) -> None:
    sent = named()
    send(container, sent)
    for twice in ({**sent[3], "id": sent[3]["id"].upper()}, {**sent[3], "stored": "2026-11-22T10:00:00Z"}):
        code, _, faults = alike([*sent, twice])
        assert (code, [fault.pointer for fault in faults]) == (InvalidStatement.code, [f"/{MIN_BATCH}/id"])


def test_a_key_that_is_given_twice_is_refused(container: Container) -> None:
    sent = named()
    send(container, sent)
    body = orjson.dumps(sent).replace(b'"verb":', b'"verb":{},"verb":', 1)
    with pytest.raises(DuplicateKey):
        container.traces.recorder.record(body, SOURCE, Version.V1)


def test_another_statement_of_a_known_id_is_a_conflict_at_its_place(alike: Any, container: Container) -> None:
    sent = named()
    send(container, sent)
    other = {**sent[4], "object": {"id": "https://ent.example/other"}}
    code, detail, faults = alike([*sent[:4], other, *sent[5:]])
    assert (code, [fault.pointer for fault in faults]) == (StatementConflict.code, ["/4/id"])
    assert f"of {MIN_BATCH} statements" in detail


def test_the_same_in_other_words_is_still_a_repeat(alike: Any, container: Container) -> None:
    sent = named()
    send(container, sent)
    turned = dict(reversed(sent[2].items()))
    told = alike([*sent[:2], {**turned, "timestamp": "2026-11-22T11:00:00+01:00"}, *sent[3:]])
    assert told[1].repeated == tuple(UUID(each["id"]) for each in sent)


def test_a_version_that_does_not_know_what_is_there_refuses_it(alike: Any, container: Container) -> None:
    whole = {"objectType": "contextAgent", "agent": statement()["actor"]}
    sent = named(context={"contextAgents": [whole]})
    send(container, sent, version=Version.V2)
    assert alike(sent, version=Version.V2)[1].repeated
    code, _, faults = alike(sent, version=Version.V1)
    assert (code, faults[0].pointer) == (InvalidStatement.code, "/0/context/contextAgents")


def test_data_of_attachments_are_asked_for_again(alike: Any, container: Container) -> None:
    attachment = {
        "usageType": "https://ent.example/usage",
        "display": {"en": "A page"},
        "contentType": "text/plain",
        "length": 1,
        "sha2": "0" * 64,
        "fileUrl": "https://ent.example/page",
    }
    inner = {"objectType": "SubStatement", **{key: statement()[key] for key in ("actor", "verb", "object")}}
    for sent in (named(attachments=[attachment]), named(object={**inner, "attachments": [attachment]})):
        send(container, sent)
        assert alike(sent)[1].repeated
        found = container.platform.store.collection("statements").find({"_id": UUID(sent[0]["id"])})
        assert "c" not in next(found)


def test_a_policy_about_minors_that_changed_is_applied(alike: Any, container: Container) -> None:
    sent = named(actor={"mbox": "mailto:zoe@ent.example"})
    send(container, sent)
    code, _, faults = alike(sent, SOURCE._replace(minors="refuse"))
    assert (code, faults[1].pointer) == ("personal-data-refused", "/1/actor/mbox")
    assert alike(sent, SOURCE._replace(minors="strip"))[0] == StatementConflict.code


def test_what_is_found_of_minors_is_on_record_each_time(container: Container) -> None:
    sent = named(actor={"mbox": "mailto:zoe@ent.example"})

    def entries() -> int:
        return container.platform.store.collection("audit").count_documents({"kind": "minors-data"})

    send(container, sent)
    before = entries()
    send(container, sent)
    assert entries() - before == before > 0


def test_a_person_who_objects_is_refused_at_each_place(alike: Any, container: Container) -> None:
    zoe = {"account": {"homePage": "https://ent.example", "name": "zoe"}}
    sent = named(MIN_BATCH - 1) + named(1, actor=zoe)
    send(container, sent)
    person = data_subject_of([zoe])
    container.people.restriction.note_objection(person, refuse_new=True, actor="cli:test")
    code, detail, faults = alike([*named(1), *sent])
    assert (code, [fault.pointer for fault in faults]) == ("person-refused", [f"/{MIN_BATCH}/actor"])
    assert detail.startswith(f"1 of {MIN_BATCH + 1} statements")


def test_a_new_one_of_a_person_who_objects_is_refused_at_its_place(alike: Any, container: Container) -> None:
    zoe = {"account": {"homePage": "https://ent.example", "name": "zoe"}}
    container.people.restriction.note_objection(data_subject_of([zoe]), refuse_new=True, actor="cli:test")
    sent = named()
    send(container, sent)
    code, detail, faults = alike([*sent, *named(1, actor=zoe)])
    assert (code, [fault.pointer for fault in faults]) == ("person-refused", [f"/{MIN_BATCH}/actor"])
    assert detail.startswith(f"1 of {MIN_BATCH + 1} statements")


def test_what_another_source_stored_leaves_its_trace(container: Container) -> None:
    sent = named()
    send(container, sent)
    seen: list[Any] = []
    send(container, sent, SOURCE._replace(id="other"), compared=seen.append)
    assert [len(each) for each in seen] == [MIN_BATCH]


def test_a_voiding_that_is_repeated_voids_nothing_again(alike: Any, container: Container) -> None:
    sent = named()
    send(container, sent)
    verb = {"id": "http://adlnet.gov/expapi/verbs/voided"}
    voiding = named(1, verb=verb, object={"objectType": "StatementRef", "id": sent[0]["id"]})
    send(container, sent + voiding)
    assert len(alike(sent + voiding)[1].repeated) == MIN_BATCH + 1


@pytest.fixture
def promising(container: Container) -> Source:
    container.traces.profiles.add(contracts.folder("profiles", "p2ia.jsonld").read_bytes())
    return SOURCE._replace(profiles=(PROFILE,), mode="warn")


def examples(kind: str, name: str = "p2ia-answered") -> list[Statement]:
    document = orjson.loads((EXAMPLES / f"{name}.json").read_bytes())
    made = [each.get("statement", each) for each in document[kind]]
    return [{**made[at % len(made)], "id": str(uuid4())} for at in range(MIN_BATCH)]


def test_verdicts_are_told_again_and_counted_once(alike: Any, container: Container, promising: Source) -> None:
    sent = examples("valid") + named()
    told = send(container, sent, promising)
    counts = container.traces.profiles.counts()
    again = alike(sent, promising)
    assert again[2] == dict(told.verdicts) == {"conforms": MIN_BATCH, "unmatched": MIN_BATCH}
    assert container.traces.profiles.counts() == counts


def test_faults_of_extensions_are_told_again(alike: Any, container: Container, promising: Source) -> None:
    school = {"https://w3id.org/sillage/extensions/uai": "nowhere"}
    sent = named(context={"extensions": school})
    told = send(container, sent, promising)
    assert set(told.verdicts) > {"unmatched"}
    assert alike(sent, promising)[2] == dict(told.verdicts)


def test_a_source_that_rejects_since_refuses_what_it_took(alike: Any, container: Container, promising: Source) -> None:
    sent = examples("valid")
    for each in sent[3:5]:
        each.pop("result", None)
    assert send(container, sent, promising).verdicts["fails"] == 2
    code, detail, faults = alike(sent, promising._replace(mode="reject"))
    assert (code, detail.partition(" fail")[0]) == (ProfileRejected.code, f"2 of {MIN_BATCH} statements")
    assert {fault.pointer.split("/")[1] for fault in faults} == {"3", "4"}


def test_a_fault_among_repeats_is_told_at_its_place(alike: Any, container: Container, promising: Source) -> None:
    rejecting = promising._replace(mode="reject")
    sent = examples("valid")
    send(container, sent, rejecting)
    failing = examples("valid")[:1]
    failing[0].pop("result")
    code, _, faults = alike([*sent[:9], *failing, *sent[9:]], rejecting)
    assert code == ProfileRejected.code
    assert {fault.pointer.split("/")[1] for fault in faults} == {"9"}


def test_a_profile_that_is_replaced_has_all_looked_at_again(
    container: Container, promising: Source, looked_at: list[int]
) -> None:
    sent = examples("valid")
    send(container, sent, promising)
    send(container, sent, promising)
    assert looked_at == [MIN_BATCH]
    document = contracts.folder("profiles", "ent.jsonld").read_bytes()
    container.traces.profiles.add(document)
    container.traces.profiles.forget()
    send(container, sent, promising)
    assert looked_at == [MIN_BATCH] * 2


def test_a_nomenclature_or_a_directory_that_is_loaded_has_all_looked_at_again(
    container: Container, promising: Source, looked_at: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = examples("valid")
    send(container, sent, promising)
    for what in (container.traces.nomenclatures, container.schools.directory):
        monkeypatch.setattr(what, "digest", lambda: b"another")
        send(container, sent, promising)
        send(container, sent, promising)
    # Each once more: what is there keeps the conditions under which it came in.
    assert looked_at == [MIN_BATCH] * 5


def test_what_refers_to_another_is_looked_at_again(alike: Any, container: Container, promising: Source) -> None:
    accepted, answered = examples("valid", "p2ia-accepted"), examples("valid")
    for each in accepted:
        each["context"]["statement"] = {"objectType": "StatementRef", "id": answered[0]["id"]}
    assert send(container, accepted, promising).verdicts == {"conforms": MIN_BATCH}
    send(container, answered[:1], promising)
    # A recommendation is accepted, never an answer.
    assert alike(accepted, promising)[2] == {"fails": MIN_BATCH}


def test_one_that_refers_to_a_repeat_finds_it_in_the_batch(alike: Any, container: Container, promising: Source) -> None:
    answered, accepted = examples("valid"), examples("valid", "p2ia-accepted")[:1]
    accepted[0]["context"]["statement"] = {"objectType": "StatementRef", "id": answered[0]["id"]}
    rejecting = promising._replace(mode="reject")
    send(container, answered, rejecting)
    # In the store nobody can read it any more.
    container.platform.store.collection("subjects").delete_many({})
    container.keys.subjects.forget()
    code, _, faults = alike(answered + accepted, rejecting)
    assert (code, faults[0].pointer) == (ProfileRejected.code, f"/{MIN_BATCH}/context/statement")
