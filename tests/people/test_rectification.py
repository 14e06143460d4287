"""Rectification (GDPR art. 16) on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest

from app.core.errors import (
    BadRequest,
    CaseConflict,
    InvalidStatement,
    MalformedJSON,
    NotFound,
    PersonRefused,
    SillageError,
)
from app.factory import Parts
from app.people.finding.finder import person_of
from app.settings import Settings
from app.standards.xapi.rectification import RECTIFIED_BY, RECTIFIES
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from tests.served import statement
from tests.stores import with_tutor

EVERYBODY = Reader("sk-reader", None)
BY = "cli:test"
RIGHT = statement(result={"success": False})


@pytest.fixture
def parts(settings: Settings, database_name: str) -> Iterator[Parts]:
    with with_tutor(settings, database_name) as made:
        yield made


def stored(parts: Parts, **changes: object) -> UUID:
    if parts._presence is None:
        parts.start()
    source = parts.sources_repository.get("tutor")
    assert source is not None
    return parts.recorder.record(orjson.dumps(statement(**changes)), source, Version.V1).ids[0]


def read(parts: Parts, identity: UUID, *, voided: bool = False) -> dict[str, object]:
    return orjson.loads(parts.library.one(identity, EVERYBODY, voided=voided).body)


def test_the_wrong_one_is_voided_and_the_right_one_stored_linked(parts: Parts) -> None:
    wrong = stored(parts, result={"success": True})
    done = parts.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    right = read(parts, done.statement)
    assert right["result"] == {"success": False}
    assert right["context"] == {"extensions": {RECTIFIES: str(wrong)}}
    assert right["authority"] == read(parts, wrong, voided=True)["authority"]
    assert read(parts, done.voiding)["context"] == {"extensions": {RECTIFIED_BY: str(done.statement)}}
    with pytest.raises(NotFound):
        read(parts, wrong)
    rows = {row.id: row for row in parts.statements.some([wrong, done.statement, done.voiding])}
    assert {row.source for row in rows.values()} == {"tutor"}
    entry = parts.audit.newest(["statement-rectified"])[0]
    assert entry.detail == {"statement": str(wrong), "by": str(done.statement), "voiding": str(done.voiding)}


def test_of_two_who_rectify_at_once_one_is_told_to_look(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = stored(parts, result={"success": True})
    seen = parts.rectification._wrong(wrong)
    done = parts.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    monkeypatch.setattr(parts.rectification, "_wrong", lambda _: seen)
    with pytest.raises(CaseConflict):
        parts.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    rows = parts.statements.span(None, 1 << 62, 10)
    assert {row.id for row in rows} == {wrong, done.statement, done.voiding}


def test_a_request_of_somebody_else_rectifies_nothing(parts: Parts) -> None:
    wrong = stored(parts)
    case = parts.cases.open("rectification", person_of([{"mbox": "mailto:other@ent.example"}]), actor=BY).id
    parts.cases.identify(case, actor=BY)
    with pytest.raises(CaseConflict, match="another person"):
        parts.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY, case=case)
    assert read(parts, wrong)["id"] == str(wrong)


def test_what_is_stored_of_a_person_who_objects_to_new_data_can_still_be_put_right(parts: Parts) -> None:
    wrong = stored(parts, result={"success": True})
    actor = statement()["actor"]
    parts.restriction.note_objection(person_of([actor]), refuse_new=True, actor=BY)
    with pytest.raises(PersonRefused):
        stored(parts)
    done = parts.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    assert read(parts, done.statement)["result"] == {"success": False}


def test_a_copy_of_the_wrong_one_may_be_corrected(parts: Parts) -> None:
    wrong = stored(parts)
    copy = read(parts, wrong) | {"result": {"success": False}}
    done = parts.rectification.rectify(wrong, orjson.dumps(copy), actor=BY)
    assert done.statement != wrong
    assert read(parts, done.statement)["timestamp"] == copy["timestamp"]


def test_a_command_joins_the_processes_that_stamp_statements(parts: Parts, tmp_path: Path) -> None:
    wrong = stored(parts)
    command = Parts(parts.settings)
    try:
        done = command.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    finally:
        command.close()
    assert read(parts, done.statement)["result"] == {"success": False}


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (b"{", MalformedJSON),
        (b"{}", InvalidStatement),
        (orjson.dumps([RIGHT]), BadRequest),
        (orjson.dumps(RIGHT | {"id": str(uuid4())}), BadRequest),
        (
            orjson.dumps(
                RIGHT
                | {
                    "verb": {"id": "http://adlnet.gov/expapi/verbs/voided"},
                    "object": {"objectType": "StatementRef", "id": str(uuid4())},
                }
            ),
            BadRequest,
        ),
    ],
)
def test_what_cannot_take_its_place_changes_nothing(parts: Parts, content: bytes, refused: type[SillageError]) -> None:
    wrong = stored(parts)
    with pytest.raises(refused):
        parts.rectification.rectify(wrong, content, actor=BY)
    assert read(parts, wrong)
    assert parts.audit.newest(["statement-rectified"]) == []


def test_only_what_is_there_and_not_voided_is_rectified(parts: Parts) -> None:
    wrong = stored(parts)
    done = parts.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    with pytest.raises(CaseConflict, match="voided already"):
        parts.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    with pytest.raises(BadRequest, match="voids"):
        parts.rectification.rectify(done.voiding, orjson.dumps(RIGHT), actor=BY)
    with pytest.raises(NotFound):
        parts.rectification.rectify(uuid4(), orjson.dumps(RIGHT), actor=BY)
    parts.store.collection("subjects").delete_many({})
    parts.subjects.forget()
    with pytest.raises(NotFound, match="erased"):
        parts.rectification.rectify(done.statement, orjson.dumps(RIGHT), actor=BY)


def test_a_restricted_person_can_have_a_statement_rectified_for_a_request(parts: Parts) -> None:
    wrong = stored(parts)
    who = person_of([statement()["actor"]])
    parts.restriction.restrict(who, actor=BY)
    case = parts.cases.open("rectification", who, actor=BY).id
    with pytest.raises(CaseConflict, match="identify"):
        parts.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY, case=case)
    parts.cases.identify(case, actor=BY)
    done = parts.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY, case=case)
    assert parts.cases.show(case, actor=BY).steps[-1].detail["by"] == str(done.statement)
    with pytest.raises(NotFound):
        read(parts, done.statement)
