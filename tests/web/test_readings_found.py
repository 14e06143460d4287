"""Whatever is read of a person over HTTP is found by a search of the audit log for that person."""

from __future__ import annotations

from uuid import uuid4

import orjson

from app.access import scopes
from app.people.audit_search import Wanted
from tests.served import Server, statement


def test_readings_of_a_person_are_found(server: Server) -> None:
    source, reader = server.source(), server.credential(scopes.ALL)
    agent = {"account": {"homePage": "https://ent.example", "name": uuid4().hex}}
    said = orjson.dumps(agent).decode()
    (id,) = server.post(source, statement(actor=agent)).json()
    place = {"activityId": "https://ent.example/lessons/1", "agent": said}
    asked = [
        ("/xAPI/statements", {"agent": said}),
        ("/xAPI/statements", {"statementId": id}),
        ("/xAPI/agents", {"agent": said}),
        ("/xAPI/activities/state", place),
        ("/xAPI/agents/profile", {"agent": said}),
    ]
    for path, params in asked:
        assert server.send("GET", path, reader, params=params).status_code == 200, path
    wanted = Wanted([agent], actor=reader.id)
    page = server.container.people.audit_search.find(wanted, None, 50, who="tests")
    assert len(page.entries) == len(asked)
    other = {"account": {"homePage": "https://ent.example", "name": uuid4().hex}}
    nobody = server.container.people.audit_search.find(Wanted([other], actor=reader.id), None, 50, who="tests")
    assert nobody.entries == []
    assert agent["account"]["name"] not in str(page.entries)
