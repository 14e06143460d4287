"""Documents in a real MongoDB: what is compared is compared in the operation that sets."""

from __future__ import annotations

import threading
from itertools import count
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pymongo import InsertOne, MongoClient
from pymongo.errors import BulkWriteError

from app.core import clock
from app.core.errors import DatabaseUnavailable, DecryptionFailed, PreconditionFailed, Unavailable
from app.crypto.keys import KeyEncryptionKeys, OrganisationKeys
from app.keys.learners import SubjectKeys
from app.people.erasure.store import ErasureRepository
from app.platform.mongo.connection import Document, Store
from app.standards.xapi.documents import Conditions, Content, Place, Resource
from app.standards.xapi.versions import Version
from app.traces.documents.cipher import DocumentCipher
from app.traces.documents.service import Documents
from app.traces.documents.store import NAME, DocumentRepository, DocumentRow
from app.traces.turns import Turns
from tests.monitored import Commands
from tests.sinks import Sink, Unrestricted

ID, GROUP = bytes(16), bytes([1] * 16)


def row(etag: bytes, *, id: bytes = ID, updated: int = 1) -> DocumentRow:
    return DocumentRow(id, (GROUP,), b"s" * 16, "tutor", updated, etag, b"name", b"body " + etag)


def test_there_and_back(store: Store) -> None:
    documents = DocumentRepository(store)
    assert documents.get(ID) is None and documents.etag(ID) is None
    assert documents.insert(row(b"1"))
    assert documents.get(ID) == row(b"1")
    assert documents.etag(ID) == b"1"
    assert not documents.insert(row(b"2"))
    assert documents.get(ID) == row(b"1")
    shared = row(b"3", id=b"x" * 16)._replace(subject=None)
    assert documents.insert(shared)
    assert documents.get(shared.id) == shared


def test_replace_and_delete_only_what_was_looked_at(store: Store) -> None:
    documents = DocumentRepository(store)
    assert not documents.replace(row(b"1"), expected=b"0")
    documents.insert(row(b"1"))
    assert not documents.replace(row(b"2"), expected=b"0")
    assert documents.etag(ID) == b"1"
    assert documents.replace(row(b"2"), expected=b"1")
    assert documents.overwrite(row(b"3"))
    assert not documents.delete(ID, expected=b"2")
    assert documents.delete(ID, expected=b"3")
    assert documents.get(ID) is None


def test_lists_by_time(store: Store) -> None:
    documents = DocumentRepository(store)
    for place in range(5):
        documents.insert(row(b"1", id=bytes([place] * 16), updated=10 - place))
    assert [each.updated for each in documents.listed(GROUP, after=None, limit=9)] == [6, 7, 8, 9, 10]
    assert [each.updated for each in documents.listed(GROUP, after=8, limit=9)] == [9, 10]
    assert [each.updated for each in documents.listed(GROUP, after=None, limit=2)] == [6, 7]
    assert documents.listed(b"other", after=None, limit=9) == []
    assert documents.delete_group(GROUP) == 5


def test_of_many_writers_with_one_etag_one_wins(store: Store) -> None:
    documents = DocumentRepository(store)
    documents.insert(row(b"0"))
    won: list[bytes] = []
    barrier = threading.Barrier(12)

    def write(mine: bytes) -> None:
        barrier.wait()
        if documents.replace(row(mine), expected=b"0"):
            won.append(mine)

    threads = [threading.Thread(target=write, args=(bytes([65 + place]),)) for place in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and documents.etag(ID) == won[0]


def test_what_many_writers_overwrite_at_once_is_there_and_of_the_last_of_each(store: Store) -> None:
    documents = DocumentRepository(store)
    barrier = threading.Barrier(12)
    answers: list[bool] = []

    def write(place: int) -> None:
        barrier.wait()
        for turn in range(10):
            made = row(bytes([place, turn]), id=bytes([place % 8] * 16))
            if place == 3:  # as large as goes alone
                made = made._replace(body=bytes(100_000))
            while not documents.overwrite(made):
                pass
            answers.append(True)

    threads = [threading.Thread(target=write, args=(place,)) for place in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 120
    for place in range(8):
        found = documents.get(bytes([place] * 16))
        assert found is not None and found.etag[0] % 8 == place and found.etag[1] == 9
        assert len(found.body) == 100_000 or found.etag[0] != 3


def test_of_several_overwritten_as_one_only_those_another_creates_just_now_are_refused(store: Store) -> None:
    class Racing:
        """The collection, where another writer creates the second document during the write."""

        def bulk_write(self, *_: Any, **__: Any) -> None:
            raise BulkWriteError({"writeErrors": [{"index": 1, "code": 11000}], "writeConcernErrors": []})

    documents = DocumentRepository(store)
    documents._collection = Racing()  # type: ignore[assignment]
    assert documents._write([InsertOne({"_id": bytes([place])}) for place in range(3)]) == [True, False, True]


@pytest.mark.parametrize(
    "details",
    [
        {"writeErrors": [{"index": 0, "code": 11000}, {"index": 1, "code": 11601}], "writeConcernErrors": []},
        {"writeErrors": [{"index": 0, "code": 11000}], "writeConcernErrors": [{"code": 64, "errmsg": "timeout"}]},
    ],
)
def test_a_fault_that_is_no_duplicate_is_everybodys_and_sent_again(store: Store, details: dict[str, Any]) -> None:
    class Failing:
        """The collection, where a write is interrupted or not acknowledged in time."""

        def bulk_write(self, *_: Any, **__: Any) -> None:
            raise BulkWriteError(details)

    documents = DocumentRepository(store)
    documents._collection = Failing()  # type: ignore[assignment]
    with pytest.raises(DatabaseUnavailable):
        documents.overwrite(row(b"1"))


def test_what_is_taken_back_is_the_very_one_that_was_written(store: Store) -> None:
    documents = DocumentRepository(store)
    mine, others = row(b"1")._replace(body=b"mine"), row(b"2")._replace(body=b"another's")
    documents.overwrite(mine)
    documents.overwrite(others)
    documents.withdraw(mine)
    assert documents.get(ID) == others
    documents.withdraw(others)
    assert documents.get(ID) is None


# --- sealed ---------------------------------------------------------------------------------------

LEARNER = "account:https://ent.example|eleve-1"
STATE = Place(Resource.STATE, "https://ent.example/a", LEARNER, None, "bookmark")


@pytest.fixture
def service(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> Documents:
    return made(store, keks, vault)


def made(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> Documents:
    ticks = count(1)
    subjects = SubjectKeys(store, keks, "default", keep_seconds=0)
    repository = DocumentRepository(store)
    return Documents(
        repository=repository,
        cipher=DocumentCipher(repository, subjects, vault, ErasureRepository(store), clock.random_bytes),
        keys=vault,
        audit=Sink(),
        now_us=lambda: next(ticks),
        states=Unrestricted(),
        turns=Turns(8),
    )


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(body=st.binary(max_size=500), id=st.text(st.characters(codec="utf-8"), max_size=20), profile=st.booleans())
def test_every_byte_comes_back(service: Documents, body: bytes, id: str, profile: bool) -> None:
    place = STATE._replace(id=id)
    if profile:
        place = Place(Resource.ACTIVITY_PROFILE, "https://ent.example/a", id=id)
    content = Content('x/y; p="\xe9"', body)
    service.put(
        place, content, Conditions(if_none_match=frozenset({"-"})), Version.V1, source="tutor", actor="sk-writer"
    )
    assert service.read(place, actor="a").content == content
    assert id in service.ids(place._replace(id=None), actor="a").ids


def test_nothing_in_clear_and_nothing_guessable(store: Store, service: Documents) -> None:
    service.put(
        STATE,
        Content("text/x-secret", b"level 3 of fractions"),
        Conditions(),
        Version.V1,
        source="tutor",
        actor="sk-writer",
    )
    (raw,) = store.collection(NAME).find_raw_batches({})
    found = service.read(STATE, actor="a")
    for clear in (b"fractions", b"x-secret", b"bookmark", b"eleve-1", b"ent.example", found.etag.encode()):
        assert clear not in raw
    assert bytes.fromhex(found.etag) not in raw


def test_equal_contents_do_not_show(store: Store, service: Documents) -> None:
    for name in ("one", "two"):
        place = STATE._replace(id=name)
        service.put(place, Content("text/plain", b"same"), Conditions(), Version.V1, source="tutor", actor="sk-writer")
    assert len(store.collection(NAME).distinct("etag")) == 2


def test_a_body_moved_elsewhere_does_not_open(store: Store, service: Documents) -> None:
    other = STATE._replace(id="other")
    for place, text in ((STATE, b"1"), (other, b"2")):
        service.put(place, Content("text/plain", text), Conditions(), Version.V1, source="tutor", actor="sk-writer")
    first, second = store.collection(NAME).find({}).sort("updated", 1)
    store.collection(NAME).update_one({"_id": second["_id"]}, {"$set": {"body": first["body"]}})
    assert service.read(STATE, actor="a").content.body == b"1"
    with pytest.raises(DecryptionFailed):
        service.read(other, actor="a")


def test_a_destroyed_key_takes_its_documents_along(store: Store, service: Documents) -> None:
    service.put(STATE, Content("text/plain", b"1"), Conditions(), Version.V1, source="tutor", actor="sk-writer")
    store.collection("subjects").delete_many({})
    with pytest.raises(Exception, match="no such document"):
        service.read(STATE, actor="a")
    assert service.ids(STATE._replace(id=None), actor="a").ids == ()


def test_merges_of_many_writers_are_all_kept(service: Documents) -> None:
    def post(place: int) -> None:
        service.merge(
            STATE, Content("application/json", b'{"k%d":1}' % place), Conditions(), source="tutor", actor="sk-writer"
        )

    threads = [threading.Thread(target=post, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    body = service.read(STATE, actor="a").content.body
    assert all(b'"k%d"' % place in body for place in range(8))


def test_an_empty_tag_is_the_tag_of_nothing(service: Documents) -> None:
    service.put(STATE, Content("text/plain", b"1"), Conditions(), Version.V1, source="tutor", actor="sk-writer")
    with pytest.raises(PreconditionFailed):
        service.put(
            STATE,
            Content("text/plain", b"2"),
            Conditions(frozenset({""})),
            Version.V1,
            source="tutor",
            actor="sk-writer",
        )
    service.put(
        STATE,
        Content("text/plain", b"2"),
        Conditions(None, frozenset({""})),
        Version.V1,
        source="tutor",
        actor="sk-writer",
    )


@pytest.mark.parametrize(
    ("conditions", "version"), [(Conditions(), Version.V1), (Conditions(if_none_match=frozenset({"*"})), Version.V2)]
)
def test_what_is_written_while_its_learner_is_erased_is_taken_back(
    store: Store, service: Documents, monkeypatch: pytest.MonkeyPatch, conditions: Conditions, version: Version
) -> None:
    def erased_first(write: Any) -> Any:
        def wrapped(self: DocumentRepository, made: DocumentRow) -> bool:
            store.collection("subjects").delete_many({})
            return bool(write(self, made))

        return wrapped

    for name in ("overwrite", "insert"):
        monkeypatch.setattr(DocumentRepository, name, erased_first(getattr(DocumentRepository, name)))
    with pytest.raises(Unavailable, match="erased in the meantime"):
        service.put(STATE, Content("text/plain", b"1"), conditions, version, source="tutor", actor="sk-writer")
    assert store.collection(NAME).count_documents({}) == 0


def test_merges_take_turns_by_the_length_of_what_they_open(service: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    # Kept, it has a few hundred bytes.
    long = Content("application/json", orjson.dumps({"long": "x" * 1_000_000}))
    nothing, who = Conditions(), {"source": "tutor", "actor": "sk-writer"}
    service.put(STATE, long, Conditions(if_none_match=frozenset({"*"})), Version.V1, **who)
    asked: list[int] = []
    take = Turns.take
    monkeypatch.setattr(Turns, "take", lambda self, size: asked.append(size) or take(self, size))
    service.merge(STATE, Content("application/json", b'{"a":1}'), nothing, **who)
    assert asked == [len(long.body) + len(b'{"a":1}')]


@pytest.mark.parametrize(("version", "seen"), [(Version.V1, ["update"] * 2), (Version.V2, ["insert"])])
def test_a_document_stored_without_conditions_takes_one_command_new_or_not(
    store: Store, mongodb_uri: str, keks: KeyEncryptionKeys, vault: OrganisationKeys, version: Version, seen: list[str]
) -> None:
    commands = Commands(NAME)
    with MongoClient[Document](mongodb_uri, event_listeners=[commands], uuidRepresentation="standard") as client:
        documents = made(Store(client, store.db.name), keks, vault)
        for turn in range(len(seen)):
            content = Content("text/plain", f"{turn}".encode())
            documents.put(STATE, content, Conditions(), version, source="tutor", actor="sk-writer")
    assert commands.seen == seen


def test_of_many_writers_that_create_one_document_one_does(store: Store) -> None:
    documents = DocumentRepository(store)
    barrier = threading.Barrier(12)
    created: list[bytes] = []

    def write(mine: bytes) -> None:
        barrier.wait()
        if documents.insert(row(mine)):
            created.append(mine)

    threads = [threading.Thread(target=write, args=(bytes([65 + place]),)) for place in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(created) == 1 and documents.etag(ID) == created[0]
