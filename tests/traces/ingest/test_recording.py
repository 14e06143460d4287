"""Recording when things go wrong in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pymongo import MongoClient
from pymongo.client_session import ClientSession

from app.access.store import Source
from app.core.errors import DatabaseUnavailable, DecryptionFailed, StatementConflict
from app.keys.learners import SubjectKeys
from app.platform.cluster.membership import Lapsed, Writing
from app.platform.mongo.connection import Document, Store
from app.settings import Settings
from app.standards.xapi.timestamps import render
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.wiring.container import Container
from tests.keys.test_learners import Commands
from tests.served import statement
from tests.stores import started


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with started(settings, database_name) as made:
        yield made


SOURCE = Source("tutor", "Tutor", "p2ia", (), "observe", datetime.now(UTC))


def batch(count: int) -> bytes:
    return orjson.dumps([statement() for _ in range(count)])


def stored(container: Container) -> int:
    return container.platform.store.collection("statements").count_documents({})


@pytest.mark.parametrize("count", [1, 5])
def test_what_was_written_after_losing_touch_moves_to_a_later_place(
    container: Container, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    # A single one is found to have lapsed when it is stored already, a batch before that.
    reserved: list[int] = []
    real = Writing.fence

    def fence(writing: Writing, session: ClientSession) -> None:
        reserved.append(writing.first)
        if len(reserved) == 1:
            raise Lapsed
        real(writing, session)

    monkeypatch.setattr(Writing, "lapsed", lambda writing: count == 1)
    monkeypatch.setattr(Writing, "fence", fence)
    body = orjson.dumps([statement(id=str(uuid4())) for _ in range(count)])
    container.traces.recorder.record(body, SOURCE, Version.V1)
    found = container.traces.reader.scan(None, 1 << 62, 10)[0]
    assert [plain.stored for plain in found] == [reserved[1] + place for place in range(count)]
    assert [orjson.loads(plain.body)["stored"] for plain in found] == [render(plain.stored) for plain in found]
    assert container.traces.recorder.record(body, SOURCE, Version.V1).inserted.repeated


@pytest.mark.parametrize("count", [1, 5])
def test_one_who_never_regains_touch_says_so_and_a_retry_is_safe(
    container: Container, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    def fence(writing: Writing, session: ClientSession) -> None:
        raise Lapsed

    monkeypatch.setattr(Writing, "lapsed", lambda writing: True)
    monkeypatch.setattr(Writing, "fence", fence)
    body = orjson.dumps([statement(id=str(uuid4())) for _ in range(count)])
    with pytest.raises(DatabaseUnavailable) as refused:
        container.traces.recorder.record(body, SOURCE, Version.V1)
    assert refused.value.retry_after
    monkeypatch.undo()
    assert len(container.traces.recorder.record(body, SOURCE, Version.V1).ids) == count
    assert stored(container) == count


def test_a_damaged_body_does_not_hide_the_others(container: Container) -> None:
    ids = container.traces.recorder.record(batch(5), SOURCE, Version.V1).ids
    container.platform.store.collection("statements").update_one({"_id": ids[2]}, {"$set": {"body": b"damaged" * 10}})
    assert [plain.id for plain in container.traces.reader.scan(None, 1 << 62, 10)[0]] == [*ids[:2], *ids[3:]]
    with pytest.raises(DecryptionFailed):
        container.traces.statement_queries.one(ids[2], Reader("k", None), voided=False)


def test_a_failed_write_leaves_nothing_and_can_be_sent_again(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = batch(5)
    collection = type(container.platform.store.collection("statements"))
    real = collection.insert_many

    def broken(self, documents, *args, **kwargs):
        real(self, list(documents)[:2], *args, **kwargs)
        raise DatabaseUnavailable

    monkeypatch.setattr(collection, "insert_many", broken)
    with pytest.raises(DatabaseUnavailable):
        container.traces.recorder.record(body, SOURCE, Version.V1)
    monkeypatch.undo()
    assert stored(container) == 0
    container.traces.recorder.record(body, SOURCE, Version.V1)
    assert stored(container) == 5


def again(sent: dict[str, Any]) -> dict[str, Any]:
    """The same statement in other words (xAPI-Data 2.3.1)."""
    return {
        "timestamp": "2026-11-22T11:00:00+01:00",
        **{name: sent[name] for name in ("object", "verb", "actor", "id")},
    }


def test_data_2_3_1_a_retry_in_other_words_is_a_retry(container: Container) -> None:
    sent = [statement(id=str(uuid4()), timestamp="2026-11-22T10:00:00Z") for _ in range(3)]
    container.traces.recorder.record(orjson.dumps(sent), SOURCE, Version.V1)
    body = orjson.dumps([*map(again, sent[:2]), statement(id=str(uuid4())), sent[2]])
    recorded = container.traces.recorder.record(body, SOURCE, Version.V2)
    assert [str(id) for id in recorded.inserted.repeated] == [each["id"] for each in (*sent[:2], sent[2])]
    assert stored(container) == 4


def test_one_that_differs_among_retries_in_other_words_is_a_conflict(container: Container) -> None:
    sent = [statement(id=str(uuid4()), timestamp="2026-11-22T10:00:00Z") for _ in range(2)]
    container.traces.recorder.record(orjson.dumps(sent), SOURCE, Version.V1)
    other = {**again(sent[1]), "object": {"id": "https://ent.example/other"}}
    with pytest.raises(StatementConflict) as refused:
        container.traces.recorder.record(orjson.dumps([again(sent[0]), other, statement()]), SOURCE, Version.V1)
    assert [fault.pointer for fault in refused.value.faults] == ["/1/id"]
    assert stored(container) == 2


def test_what_no_key_opens_any_more_is_taken_for_another_statement(container: Container) -> None:
    sent = statement(id=str(uuid4()), timestamp="2026-11-22T10:00:00Z")
    container.traces.recorder.record(orjson.dumps(sent), SOURCE, Version.V1)
    container.platform.store.collection("subjects").delete_many({})
    container.keys.subjects.forget()
    with pytest.raises(StatementConflict):
        container.traces.recorder.record(orjson.dumps(again(sent)), SOURCE, Version.V1)


def test_an_empty_batch_is_accepted_and_stores_nothing(container: Container) -> None:
    assert container.traces.recorder.record(b"[]", SOURCE, Version.V1).ids == ()
    assert stored(container) == 0


def test_one_learner_one_key(container: Container) -> None:
    container.traces.recorder.record(batch(5), SOURCE, Version.V1)
    container.traces.recorder.record(batch(5), SOURCE, Version.V1)
    assert container.platform.store.collection("subjects").count_documents({}) == 1


def test_a_destroyed_key_erases_its_statements(container: Container) -> None:
    container.traces.recorder.record(batch(3), SOURCE, Version.V1)
    assert len(container.traces.reader.scan(None, 1 << 62, 10)[0]) == 3
    container.platform.store.collection("subjects").delete_many({})
    container.keys.subjects.forget()
    assert container.traces.reader.scan(None, 1 << 62, 10)[0] == []


def test_a_batch_of_500_new_learners_makes_one_read_and_one_write_of_keys(container: Container) -> None:
    commands = Commands("subjects")
    client = MongoClient[Document](
        container.settings.mongodb_uri, event_listeners=[commands], uuidRepresentation="standard"
    )
    with client:
        subjects = SubjectKeys(
            Store(client, container.settings.database), container.keys.keyring, container.settings.organisation
        )
        container.keys.__dict__["subjects"] = subjects
        crowd = [
            statement(actor={"account": {"homePage": "https://ent.example", "name": f"pupil-{number}"}})
            for number in range(500)
        ]
        container.traces.recorder.record(orjson.dumps(crowd), SOURCE, Version.V1)
    assert commands.seen == ["find", "insert"]
    assert container.platform.store.collection("subjects").count_documents({}) == 500
