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
from app.factory import Parts
from app.people.erasure.store import DELETING, DONE, FORGETTING, Erasure
from app.people.finding.pseudonyms import Person
from app.standards.xapi.documents import Conditions, Content, Resource
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from tests.people.people import document, mentions, named, parts, person, place, send, with_attachment

__all__ = ("parts",)

READER = Reader("reader", None)


class Stopped(Exception):
    """Error that a test ends an erasure with, between two of its steps."""


def begun(parts: Parts, until: str = FORGETTING) -> Erasure:
    """The erasure of ``lea``, up to the beginning of a step."""
    started = parts.erasures.erase(person("lea"), actor="cli:test")

    def stop() -> None:
        if parts.erasures.get(started.id).phase == until:
            raise Stopped

    if until != FORGETTING:
        with pytest.raises(Stopped):
            parts.erasures.advance(started.id, check=stop)
    return parts.erasures.get(started.id)


def page(parts: Parts) -> list[str]:
    found = parts.library.page(StatementQuery(limit=100), READER)
    return [orjson.loads(body)["id"] for body in found.bodies]


def about(parts: Parts, who: Person) -> Any:
    content = b"".join(parts.packages.write(who, actor="cli:test"))
    return orjson.loads(ZipFile(io.BytesIO(content)).read("about.json"))


def damage(parts: Parts, identity: UUID) -> None:
    """Alter the last byte of a body."""
    body = bytearray(parts.store.collection("statements").find_one({"_id": identity})["body"])
    body[-1] ^= 1
    parts.store.collection("statements").update_one({"_id": identity}, {"$set": {"body": bytes(body)}})


@pytest.fixture(params=[FORGETTING, DELETING])
def anew(request: pytest.FixtureRequest, parts: Parts) -> tuple[Parts, list[UUID], list[UUID]]:
    """Old statements of somebody whose erasure is under way, and what came since, under a new key."""
    old = send(parts, named("lea"), named("lea"))
    begun(parts, request.param)
    return parts, old, send(parts, named("lea"))


def test_old_statements_are_erased_though_there_is_a_new_key(anew: tuple[Parts, list[UUID], list[UUID]]) -> None:
    parts, old, fresh = anew
    with structlog.testing.capture_logs() as logged:
        for identity in old:
            with pytest.raises(NotFound):
                parts.library.one(identity, READER, voided=False)
        assert page(parts) == [str(fresh[0])]
        assert [plain.id for plain in parts.reader.scan(None, 1 << 62, 100)[0]] == list(fresh)
        assert parts.key_service.verify().damaged == ()
        said = about(parts, person("lea"))
    assert (said["unreadable"], said["own"]) == (0, 1)
    assert [line for line in logged if line["log_level"] == "error"] == []


def test_a_damaged_body_is_told_as_damaged_while_an_erasure_goes_on(parts: Parts) -> None:
    send(parts, named("lea"))
    (others,) = send(parts, named("other"))
    erasure = begun(parts, DELETING)
    (fresh,) = send(parts, named("lea"))
    assert parts.statements.some([fresh])[0].stored > erasure.until_stored
    for identity, name in ((others, "other"), (fresh, "lea")):
        damage(parts, identity)
        with structlog.testing.capture_logs() as logged, pytest.raises(DecryptionFailed):
            parts.library.one(identity, READER, voided=False)
        assert [line["statements"] for line in logged if line["log_level"] == "error"] == [[str(identity)]]
        assert about(parts, person(name))["unreadable"] == 1
    assert page(parts) == []


def test_what_an_erasure_deleted_since_it_was_read_is_erased(parts: Parts) -> None:
    old = parts.statements.some(send(parts, named("lea")))
    done = parts.erasures.advance(begun(parts).id)
    send(parts, named("lea"))
    assert done.phase == DONE
    assert parts.reader.one(old[0]) is None
    assert parts.reader.decrypted_within(old, None).damaged == ()


def test_a_process_with_the_old_key_at_hand_reads_what_came_under_the_new_one(parts: Parts) -> None:
    send(parts, named("lea"))
    subject = parts.keys.subject(person("lea").identifiers[0])
    old_keys, _ = parts.subjects._cache[subject]
    begun(parts)
    (fresh,) = send(parts, named("lea"))
    # As in another process, which nobody has told yet.
    parts.subjects._cache[subject] = (old_keys, float("inf"))
    with structlog.testing.capture_logs() as logged:
        assert page(parts) == [str(fresh)]
        assert parts.library.one(fresh, READER, voided=False).stored
    assert [line for line in logged if line["log_level"] == "error"] == []


def test_pages_cut_by_bytes_go_on_after_the_erased(parts: Parts) -> None:
    rows = parts.statements.some(send(parts, named("other"), named("lea"), named("other"), named("lea")))
    begun(parts)
    send(parts, named("lea"))
    rows.sort(key=lambda row: row.stored)
    found = []
    while rows:
        opened = parts.reader.decrypted_within(rows, 1)
        found += opened.plain
        rows = rows[opened.gone :]
        assert (len(opened.plain) <= 1, opened.damaged) == (True, ())
    assert len(found) == 2


def test_statements_of_others_and_their_data_are_read_meanwhile(parts: Parts) -> None:
    kept = [UUID(each["id"]) for each in mentions("lea").values()]
    send(parts, named("lea"), *mentions("lea").values())
    send(parts, with_attachment("lea", b"copy"), with_attachment("other", b"copy"), data=(b"copy",))
    begun(parts)
    send(parts, named("lea"))
    asked = parts.library.page(StatementQuery(limit=100, attachments=True), READER)
    assert len(asked.bodies) == len(kept) + 2
    assert [b"".join(each.chunks) for each in asked.data or ()] == [b"copy"]


def test_data_wrapped_with_the_old_key_are_left_out(parts: Parts) -> None:
    """The statement was opened before the key was destroyed, its data are asked for afterwards."""
    (own,) = send(parts, with_attachment("lea", b"copy"), data=(b"copy",))
    (plain,) = parts.reader.decrypted(parts.statements.some([own]))
    opened = [(plain, orjson.loads(plain.body))]
    begun(parts)
    send(parts, named("lea"))
    assert parts.attachments.of(opened) == []


def _read(parts: Parts) -> Content:
    return parts.documents.read(place(Resource.STATE, "lea", "d"), actor="a").content


def _merged(parts: Parts) -> Content:
    parts.documents.merge(
        place(Resource.STATE, "lea", "d"),
        Content("application/json", b'{"b":2}'),
        Conditions(),
        source="tutor",
        actor="sk-writer",
    )
    return _read(parts)


@pytest.mark.parametrize("ask", [_read, _merged])
def test_a_damaged_document_is_told_and_not_merged_over(parts: Parts, ask: Callable[[Parts], Content]) -> None:
    document(parts, Resource.STATE, "lea")
    row = parts.store.collection("documents").find_one({})
    parts.store.collection("documents").update_one({}, {"$set": {"body": row["body"][:-1] + b"\x00\x00"}})
    with pytest.raises(DecryptionFailed):
        ask(parts)
    assert about(parts, person("lea"))["unreadable"] == 1


def test_an_old_document_is_erased_and_what_is_merged_begins_anew(parts: Parts) -> None:
    document(parts, Resource.STATE, "lea")
    begun(parts)
    send(parts, named("lea"))
    with pytest.raises(NotFound):
        _read(parts)
    assert about(parts, person("lea"))["unreadable"] == 0
    assert _merged(parts).body == b'{"b":2}'
    parts.documents.put(
        place(Resource.STATE, "lea", "d"),
        Content("text/plain", b"x"),
        Conditions(),
        Version.V1,
        source="tutor",
        actor="sk-writer",
    )
    assert _read(parts).body == b"x"
