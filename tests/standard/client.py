"""Requests as the tests of the standard make them: with one credential, in one version."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson
import requests

from app.access.credentials import NewCredential
from tests.served import Server

STATEMENTS = "/xAPI/statements"
STATE, ACTIVITY_PROFILE, AGENT_PROFILE = "/xAPI/activities/state", "/xAPI/activities/profile", "/xAPI/agents/profile"
DOCUMENTS = (STATE, ACTIVITY_PROFILE, AGENT_PROFILE)
AGENTS, ACTIVITIES, ABOUT = "/xAPI/agents", "/xAPI/activities", "/xAPI/about"
VERSION = "X-Experience-API-Version"


def said(value: Any) -> str:
    """JSON, for a parameter."""
    return orjson.dumps(value).decode()


def an_id() -> str:
    """A fresh UUID."""
    return str(uuid4())


def an_activity() -> str:
    """The IRI of an activity of which nothing is known."""
    return f"https://ent.example/{uuid4()}"


def an_agent() -> dict[str, Any]:
    """An Agent of whom nothing is known."""
    return {"objectType": "Agent", "account": {"homePage": "https://ent.example", "name": uuid4().hex}}


def a_context(path: str) -> dict[str, str]:
    """Parameters of a document resource that name no document yet."""
    return {
        STATE: {"activityId": an_activity(), "agent": said(an_agent())},
        ACTIVITY_PROFILE: {"activityId": an_activity()},
        AGENT_PROFILE: {"agent": said(an_agent())},
    }[path]


def key(path: str) -> str:
    """The parameter that names a document of this resource."""
    return "stateId" if path == STATE else "profileId"


class Client:
    """Requests with one credential, in one version."""

    def __init__(self, server: Server, credential: NewCredential, version: str) -> None:
        self.server, self.credential, self.version = server, credential, version

    def __call__(self, method: str, path: str = STATEMENTS, **options: Any) -> requests.Response:
        return self.server.send(method, path, self.credential, **{"version": self.version, **options})

    def put(self, statement: dict[str, Any], statement_id: str) -> requests.Response:
        return self("PUT", json=statement, params={"statementId": statement_id})

    def store(self, *statements: dict[str, Any]) -> list[str]:
        """POST statements; their ids."""
        answer = self("POST", json=list(statements))
        assert answer.status_code == 200, answer.text
        ids: list[str] = answer.json()
        return ids

    def one(self, id: str, **params: str) -> dict[str, Any]:
        """The statement with this id."""
        answer = self("GET", params={"statementId": id, **params})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def found(self, **params: Any) -> list[dict[str, Any]]:
        """The statements on the first page of a query."""
        answer = self("GET", params=params)
        assert answer.status_code == 200, answer.text
        statements: list[dict[str, Any]] = answer.json()["statements"]
        return statements

    def ids(self, **params: Any) -> list[str]:
        """The ids on the first page of a query."""
        return [each["id"] for each in self.found(**params)]
