"""A store of its own with people in it: what the tests about persons and erasure share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from app.access.store import Source
from app.people.finding.finder import data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.settings import Settings
from app.standards.xapi.documents import Conditions, Content, Place, Resource
from app.standards.xapi.versions import Version
from app.traces.statements.attachments import Part
from app.wiring.container import Container
from tests.multiparts import attachment_of, sha2_of
from tests.served import ACTIVITY, statement
from tests.stores import with_tutor

HOME = "https://ent.example"
SOURCE = Source("tutor", "Tutor", ACTIVITY["id"], (), "observe", datetime.now(UTC))


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    """The container of a store of its own, one of the processes that serve it."""
    with with_tutor(settings, database_name) as made:
        made.lifecycle.start()
        yield made


def account(name: str) -> dict[str, Any]:
    """An Agent with an account."""
    return {"objectType": "Agent", "name": f"Name of {name}", "account": {"homePage": HOME, "name": name}}


def person(*names: str) -> IdentifiedDataSubject:
    """The person with these accounts."""
    return data_subject_of([{"account": {"homePage": HOME, "name": name}} for name in names])


def send(
    container: Container, *statements: dict[str, Any], version: Version = Version.V2, data: tuple[bytes, ...] = ()
) -> Any:
    """Record statements; their ids."""
    given = [Part(sha2_of(each), iter([each])) for each in data] if data else None
    return container.traces.recorder.record(orjson.dumps(list(statements)), SOURCE, version, parts=given).ids


def named(name: str, **changes: Any) -> dict[str, Any]:
    """A statement by somebody."""
    return statement(id=str(uuid4()), actor=account(name), **changes)


def inside(name: str) -> dict[str, Any]:
    """A SubStatement that names somebody as actor, instructor and member."""
    return {
        "objectType": "SubStatement",
        "actor": account(name),
        "verb": statement()["verb"],
        "object": statement()["object"],
        "context": {"instructor": account(name), "team": {"objectType": "Group", "member": [account(name)]}},
    }


def mentions(name: str, by: str = "other") -> dict[str, dict[str, Any]]:
    """Statements of another that name somebody, by the place where they do."""
    group = {"objectType": "Group", "member": [account(by), account(name)]}
    known = {**group, "account": {"homePage": HOME, "name": "class-6A"}}
    return {
        "object": named(by, object=account(name)),
        "group object": named(by, object=known),
        "member of the actor": statement(id=str(uuid4()), actor=known),
        "member of an anonymous actor": statement(id=str(uuid4()), actor=group),
        "instructor": named(by, context={"instructor": account(name)}),
        "team": named(by, context={"team": known}),
        "context agent": named(
            by,
            context={
                "contextAgents": [
                    {"objectType": "contextAgent", "agent": account(name), "relevantTypes": ["https://ent.example/t"]}
                ]
            },
        ),
        "context group": named(by, context={"contextGroups": [{"objectType": "contextGroup", "group": group}]}),
        "substatement": named(by, object=inside(name)),
    }


def with_attachment(name: str, data: bytes, **changes: Any) -> dict[str, Any]:
    """A statement with an attachment."""
    return named(name, attachments=[attachment_of(data)], **changes)


def place(resource: Resource, name: str, id: str) -> Place:
    """The place of a document of somebody."""
    activity = "https://ent.example/lessons/1" if resource is Resource.STATE else None
    return Place(resource, activity, f"account:{HOME}|{name}", None, id, None)


def document(container: Container, resource: Resource, name: str, id: str = "d") -> None:
    """Store a document of somebody."""
    content = Content("application/json", b'{"a":1}')
    container.traces.documents.put(
        place(resource, name, id), content, Conditions(), Version.V2, source="tutor", actor="sk-writer"
    )


def bodies(container: Container) -> dict[UUID, dict[str, Any]]:
    """Every statement that opens, by id."""
    return {
        row.id: orjson.loads(row.body)
        for row in container.traces.reader.decrypted(container.traces.statements.span(None, 1 << 62, 100_000))
    }


def refers(name: str, to: object) -> dict[str, Any]:
    """A statement about another one."""
    return named(name, object={"objectType": "StatementRef", "id": str(to)})


def random_name() -> str:
    """A name that nobody else has."""
    return os.urandom(8).hex()
