"""Rectification (GDPR art. 16) on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest

from app.core.errors import (
    BadRequest,
    DataSubjectRefused,
    DataSubjectRequestConflict,
    InvalidStatement,
    MalformedJSON,
    NotFound,
    SillageError,
)
from app.people.finding.finder import data_subject_of
from app.settings import Settings
from app.standards.xapi.rectification import RECTIFIED_BY, RECTIFIES
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.wiring.container import Container
from tests.served import statement
from tests.stores import with_tutor

EVERYBODY = Reader("sk-reader", None)
BY = "cli:test"
RIGHT = statement(result={"success": False})


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with with_tutor(settings, database_name) as made:
        yield made


def stored(container: Container, **changes: object) -> UUID:
    if not container.platform.serving:
        container.lifecycle.start()
    source = container.access.sources_repository.get("tutor")
    assert source is not None
    return container.traces.recorder.record(orjson.dumps(statement(**changes)), source, Version.V1).ids[0]


def read(container: Container, id: UUID, *, voided: bool = False) -> dict[str, object]:
    return orjson.loads(container.traces.statement_queries.one(id, EVERYBODY, voided=voided).body)


def test_the_wrong_one_is_voided_and_the_right_one_stored_linked(container: Container) -> None:
    wrong = stored(container, result={"success": True})
    done = container.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    right = read(container, done.statement)
    assert right["result"] == {"success": False}
    assert right["context"] == {"extensions": {RECTIFIES: str(wrong)}}
    assert right["authority"] == read(container, wrong, voided=True)["authority"]
    assert read(container, done.voiding)["context"] == {"extensions": {RECTIFIED_BY: str(done.statement)}}
    with pytest.raises(NotFound):
        read(container, wrong)
    rows = {row.id: row for row in container.traces.statements.some([wrong, done.statement, done.voiding])}
    assert {row.source for row in rows.values()} == {"tutor"}
    entry = container.governance.audit.newest(["statement-rectified"])[0]
    assert entry.detail == {"statement": str(wrong), "by": str(done.statement), "voiding": str(done.voiding)}


def test_of_two_who_rectify_at_once_one_is_told_to_look(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = stored(container, result={"success": True})
    seen = container.people.rectification._wrong(wrong)
    done = container.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    monkeypatch.setattr(container.people.rectification, "_wrong", lambda _: seen)
    with pytest.raises(DataSubjectRequestConflict):
        container.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    rows = container.traces.statements.span(None, 1 << 62, 10)
    assert {row.id for row in rows} == {wrong, done.statement, done.voiding}


def test_a_request_of_somebody_else_rectifies_nothing(container: Container) -> None:
    wrong = stored(container)
    request = container.people.requests.open(
        "rectification", data_subject_of([{"mbox": "mailto:other@ent.example"}]), actor=BY
    ).id
    container.people.requests.identify(request, actor=BY)
    with pytest.raises(DataSubjectRequestConflict, match="another person"):
        container.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY, request=request)
    assert read(container, wrong)["id"] == str(wrong)


def test_what_is_stored_of_a_person_who_objects_to_new_data_can_still_be_put_right(container: Container) -> None:
    wrong = stored(container, result={"success": True})
    actor = statement()["actor"]
    container.people.restriction.note_objection(data_subject_of([actor]), refuse_new=True, actor=BY)
    with pytest.raises(DataSubjectRefused):
        stored(container)
    done = container.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    assert read(container, done.statement)["result"] == {"success": False}


def test_a_copy_of_the_wrong_one_may_be_corrected(container: Container) -> None:
    wrong = stored(container)
    copy = read(container, wrong) | {"result": {"success": False}}
    done = container.people.rectification.rectify(wrong, orjson.dumps(copy), actor=BY)
    assert done.statement != wrong
    assert read(container, done.statement)["timestamp"] == copy["timestamp"]


def test_a_command_joins_the_processes_that_stamp_statements(container: Container, tmp_path: Path) -> None:
    wrong = stored(container)
    command = Container(container.settings)
    try:
        done = command.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    finally:
        command.close()
    assert read(container, done.statement)["result"] == {"success": False}


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
def test_what_cannot_take_its_place_changes_nothing(
    container: Container, content: bytes, refused: type[SillageError]
) -> None:
    wrong = stored(container)
    with pytest.raises(refused):
        container.people.rectification.rectify(wrong, content, actor=BY)
    assert read(container, wrong)
    assert container.governance.audit.newest(["statement-rectified"]) == []


def test_only_what_is_there_and_not_voided_is_rectified(container: Container) -> None:
    wrong = stored(container)
    done = container.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    with pytest.raises(DataSubjectRequestConflict, match="voided already"):
        container.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY)
    with pytest.raises(BadRequest, match="voids"):
        container.people.rectification.rectify(done.voiding, orjson.dumps(RIGHT), actor=BY)
    with pytest.raises(NotFound):
        container.people.rectification.rectify(uuid4(), orjson.dumps(RIGHT), actor=BY)
    container.platform.store.collection("subjects").delete_many({})
    container.keys.subjects.forget()
    with pytest.raises(NotFound, match="erased"):
        container.people.rectification.rectify(done.statement, orjson.dumps(RIGHT), actor=BY)


def test_a_restricted_person_can_have_a_statement_rectified_for_a_request(container: Container) -> None:
    wrong = stored(container)
    who = data_subject_of([statement()["actor"]])
    container.people.restriction.restrict(who, actor=BY)
    request = container.people.requests.open("rectification", who, actor=BY).id
    with pytest.raises(DataSubjectRequestConflict, match="identify"):
        container.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY, request=request)
    container.people.requests.identify(request, actor=BY)
    done = container.people.rectification.rectify(wrong, orjson.dumps(RIGHT), actor=BY, request=request)
    assert container.people.requests.show(request, actor=BY).steps[-1].detail["by"] == str(done.statement)
    with pytest.raises(NotFound):
        read(container, done.statement)
