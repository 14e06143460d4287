"""Values that do not open: erased, when the learner's key was destroyed, though there is another one; else damaged."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import orjson
import pytest
import structlog

from app.core.errors import DecryptionFailed, NotFound
from app.people.erasure.store import DELETING, DONE, FORGETTING, Erasure
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.standards.xapi.documents import Conditions, Content, Resource
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.wiring.container import Container
from tests.people.people import container, document, mentions, named, person, place, send, with_attachment

__all__ = ("container",)

READER = Reader("reader", None)


class Stopped(Exception):
    """Error that a test ends an erasure with, between two of its steps."""


def begun(container: Container, until: str = FORGETTING) -> Erasure:
    """The erasure of ``lea``, up to the beginning of a step."""
    started = container.people.erasures.erase(person("lea"), actor="cli:test")

    def stop() -> None:
        if container.people.erasures.get(started.id).phase == until:
            raise Stopped

    if until != FORGETTING:
        with pytest.raises(Stopped):
            container.people.erasures.advance(started.id, check=stop)
    return container.people.erasures.get(started.id)


def page(container: Container) -> list[str]:
    found = container.traces.statement_queries.page(StatementQuery(limit=100), READER)
    return [orjson.loads(body)["id"] for body in found.bodies]


def about(container: Container, who: IdentifiedDataSubject) -> Any:
    content = b"".join(container.people.packages.write(who, actor="cli:test"))
    return orjson.loads(ZipFile(io.BytesIO(content)).read("about.json"))


def damage(container: Container, id: UUID) -> None:
    """Alter the last byte of a body."""
    body = bytearray(container.platform.store.collection("statements").find_one({"_id": id})["body"])
    body[-1] ^= 1
    container.platform.store.collection("statements").update_one({"_id": id}, {"$set": {"body": bytes(body)}})


@pytest.fixture(params=[FORGETTING, DELETING])
def anew(request: pytest.FixtureRequest, container: Container) -> tuple[Container, list[UUID], list[UUID]]:
    """Old statements of somebody whose erasure is under way, and what came since, under a new key."""
    old = send(container, named("lea"), named("lea"))
    begun(container, request.param)
    return container, old, send(container, named("lea"))


def test_old_statements_are_erased_though_there_is_a_new_key(anew: tuple[Container, list[UUID], list[UUID]]) -> None:
    container, old, fresh = anew
    with structlog.testing.capture_logs() as logged:
        for id in old:
            with pytest.raises(NotFound):
                container.traces.statement_queries.one(id, READER, voided=False)
        assert page(container) == [str(fresh[0])]
        assert [plain.id for plain in container.traces.reader.scan(None, 1 << 62, 100)[0]] == list(fresh)
        assert container.operations.key_service.verify().damaged == ()
        said = about(container, person("lea"))
    assert (said["unreadable"], said["own"]) == (0, 1)
    assert [line for line in logged if line["log_level"] == "error"] == []


def test_a_damaged_body_is_told_as_damaged_while_an_erasure_goes_on(container: Container) -> None:
    send(container, named("lea"))
    (others,) = send(container, named("other"))
    erasure = begun(container, DELETING)
    (fresh,) = send(container, named("lea"))
    assert container.traces.statements.some([fresh])[0].stored > erasure.until_stored
    for id, name in ((others, "other"), (fresh, "lea")):
        damage(container, id)
        with structlog.testing.capture_logs() as logged, pytest.raises(DecryptionFailed):
            container.traces.statement_queries.one(id, READER, voided=False)
        assert [line["statements"] for line in logged if line["log_level"] == "error"] == [[str(id)]]
        assert about(container, person(name))["unreadable"] == 1
    assert page(container) == []


def test_what_an_erasure_deleted_since_it_was_read_is_erased(container: Container) -> None:
    old = container.traces.statements.some(send(container, named("lea")))
    done = container.people.erasures.advance(begun(container).id)
    send(container, named("lea"))
    assert done.phase == DONE
    assert container.traces.reader.one(old[0]) is None
    assert container.traces.reader.decrypted_within(old, None).damaged == ()


def test_a_process_with_the_old_key_at_hand_reads_what_came_under_the_new_one(container: Container) -> None:
    send(container, named("lea"))
    subject = container.keys.organisation.subject(person("lea").identifiers[0])
    old_keys, _ = container.keys.subjects._cache[subject]
    begun(container)
    (fresh,) = send(container, named("lea"))
    # As in another process, which nobody has told yet.
    container.keys.subjects._cache[subject] = (old_keys, float("inf"))
    with structlog.testing.capture_logs() as logged:
        assert page(container) == [str(fresh)]
        assert container.traces.statement_queries.one(fresh, READER, voided=False).stored
    assert [line for line in logged if line["log_level"] == "error"] == []


def test_pages_cut_by_bytes_go_on_after_the_erased(container: Container) -> None:
    rows = container.traces.statements.some(send(container, named("other"), named("lea"), named("other"), named("lea")))
    begun(container)
    send(container, named("lea"))
    rows.sort(key=lambda row: row.stored)
    found = []
    while rows:
        opened = container.traces.reader.decrypted_within(rows, 1)
        found += opened.plain
        rows = rows[opened.gone :]
        assert (len(opened.plain) <= 1, opened.damaged) == (True, ())
    assert len(found) == 2


def test_statements_of_others_and_their_data_are_read_meanwhile(container: Container) -> None:
    kept = [UUID(each["id"]) for each in mentions("lea").values()]
    send(container, named("lea"), *mentions("lea").values())
    send(container, with_attachment("lea", b"copy"), with_attachment("other", b"copy"), data=(b"copy",))
    begun(container)
    send(container, named("lea"))
    asked = container.traces.statement_queries.page(StatementQuery(limit=100, attachments=True), READER)
    assert len(asked.bodies) == len(kept) + 2
    assert [b"".join(each.chunks) for each in asked.data or ()] == [b"copy"]


def test_data_wrapped_with_the_old_key_are_left_out(container: Container) -> None:
    """The statement was opened before the key was destroyed, its data are asked for afterwards."""
    (own,) = send(container, with_attachment("lea", b"copy"), data=(b"copy",))
    (plain,) = container.traces.reader.decrypted(container.traces.statements.some([own]))
    opened = [(plain, orjson.loads(plain.body))]
    begun(container)
    send(container, named("lea"))
    assert container.traces.attachments.of(opened) == []


def _read(container: Container) -> Content:
    return container.traces.documents.read(place(Resource.STATE, "lea", "d"), actor="a").content


def _merged(container: Container) -> Content:
    container.traces.documents.merge(
        place(Resource.STATE, "lea", "d"),
        Content("application/json", b'{"b":2}'),
        Conditions(),
        source="tutor",
        actor="sk-writer",
    )
    return _read(container)


@pytest.mark.parametrize("ask", [_read, _merged])
def test_a_damaged_document_is_told_and_not_merged_over(
    container: Container, ask: Callable[[Container], Content]
) -> None:
    document(container, Resource.STATE, "lea")
    row = container.platform.store.collection("documents").find_one({})
    container.platform.store.collection("documents").update_one({}, {"$set": {"body": row["body"][:-1] + b"\x00\x00"}})
    with pytest.raises(DecryptionFailed):
        ask(container)
    assert about(container, person("lea"))["unreadable"] == 1


def test_an_old_document_is_erased_and_what_is_merged_begins_anew(container: Container) -> None:
    document(container, Resource.STATE, "lea")
    begun(container)
    send(container, named("lea"))
    with pytest.raises(NotFound):
        _read(container)
    assert about(container, person("lea"))["unreadable"] == 0
    assert _merged(container).body == b'{"b":2}'
    container.traces.documents.put(
        place(Resource.STATE, "lea", "d"),
        Content("text/plain", b"x"),
        Conditions(),
        Version.V1,
        source="tutor",
        actor="sk-writer",
    )
    assert _read(container).body == b"x"
