"""Every route of the service, with who may use it: the table over which tests of all routes run.

A new route is a line of ``TABLE``; ``test_no_route_is_missing_from_the_table`` says which are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple
from uuid import uuid4

import requests

from app.access import scopes
from app.access.credentials import NewCredential
from app.core import clock
from app.governance.audit.log import ANCHOR, CHAIN_CLOSED, CHAIN_OPENED
from app.people.finding.finder import data_subject_of
from app.people.requests.service import DataSubjectRequests
from app.people.requests.store import DataSubjectRequestRepository
from tests.served import Server, statement
from tests.sinks import NoPseudonyms

STATE, ACTIVITY, AGENT = "/xAPI/activities/state", "/xAPI/activities/profile", "/xAPI/agents/profile"
READING = (scopes.READ, scopes.READ_MINE, scopes.ALL_READ, scopes.ALL)
SOMEBODY = {"mbox": "mailto:access@ent.example"}
PERSON = {"account": {"homePage": "https://ent.example", "name": "access-table-person"}}
CASE = "r-" + 6 * "01"
TODAY = date.today()
AGENT_JSON = '{"account":{"homePage":"https://ent.example","name":"access-table"}}'
CONTEXT = {"activityId": "https://e.example/1", "agent": AGENT_JSON}


class Row(NamedTuple):
    """A route, and who may use it.

    Attributes:
        allowed: Scopes of which one is enough.
        status: What is answered then.
        params: Of its query; those of one document where the route is of documents.
        one: It is about one document.
        json: Its body.
        senders: Only for credentials of a source; those of people are refused whatever their scopes.
        own: Scopes that let a source have what is its own, and so allow people nothing.
        within: The status for a person with a perimeter and every scope, where the route limits what it gives;
            elsewhere such a person is refused.
    """

    method: str
    path: str
    allowed: tuple[str, ...]
    status: int = 200
    params: Mapping[str, str] = {}
    one: bool = False
    json: Any = None
    senders: bool = False
    own: tuple[str, ...] = ()
    within: int | None = None

    def answered(self, scope: str, *, person: bool) -> int:
        """The status for a credential with this scope alone, of a person or of a source."""
        refused = scope not in self.allowed or (person and (self.senders or scope in self.own))
        return 403 if refused else self.status


def documents(path: str, scope: str, params: Mapping[str, str], key: str) -> list[Row]:
    """The rows of a document resource."""
    one = {**params, key: "d"}
    reading, writing = (scope, scopes.ALL_READ, scopes.ALL), (scope, scopes.ALL)
    return [
        Row("GET", path, reading, params=one, one=True),
        Row("HEAD", path, reading, params=one, one=True),
        Row("GET", path, reading, params=params),
        Row("HEAD", path, reading, params=params),
        Row("PUT", path, writing, 204, one, one=True, json={"a": 1}, senders=True),
        Row("POST", path, writing, 204, one, one=True, json={"b": 1}, senders=True),
        Row("DELETE", path, writing, 204, one, one=True, senders=True),
    ]


TABLE = [
    Row("GET", "/xAPI/statements", READING, own=(scopes.READ_MINE,), within=200),
    Row("HEAD", "/xAPI/statements", READING, own=(scopes.READ_MINE,), within=200),
    Row("POST", "/xAPI/statements", (scopes.WRITE, scopes.ALL), json=statement(), senders=True),
    Row(
        "PUT", "/xAPI/statements", (scopes.WRITE, scopes.ALL), 204, {"statementId": ""}, json=statement(), senders=True
    ),
    *documents(STATE, scopes.STATE, {"activityId": "https://ent.example/access", "agent": AGENT_JSON}, "stateId"),
    Row("DELETE", STATE, (scopes.STATE, scopes.ALL), 204, CONTEXT, senders=True),
    *documents(ACTIVITY, scopes.PROFILE, {"activityId": "https://ent.example/access"}, "profileId"),
    *documents(AGENT, scopes.PROFILE, {"agent": AGENT_JSON}, "profileId"),
    Row("GET", "/xAPI/agents", READING, params={"agent": AGENT_JSON}, own=(scopes.READ_MINE,), within=200),
    Row("HEAD", "/xAPI/agents", READING, params={"agent": AGENT_JSON}, own=(scopes.READ_MINE,), within=200),
    # Refused within a perimeter where no statement names the activity.
    Row("GET", "/xAPI/activities", READING, params={"activityId": "https://ent.example/access"}),
    Row("HEAD", "/xAPI/activities", READING, params={"activityId": "https://ent.example/access"}),
    Row("GET", "/api/v1/aggregates", (scopes.RESEARCH,), within=200),
    Row("GET", "/api/v1/aggregates/daily_activity", (scopes.RESEARCH,), within=200),
    # Not told by source.
    Row("GET", "/api/v1/aggregates/ent_usage", (scopes.RESEARCH,)),
    Row("GET", "/api/v1/processing-activities", (scopes.GOVERNANCE_READ,)),
    Row("GET", "/api/v1/processing-activities/p2ia", (scopes.GOVERNANCE_READ,)),
    Row("GET", "/api/v1/retention", (scopes.GOVERNANCE_READ,)),
    Row("GET", "/api/v1/audit", (scopes.GOVERNANCE_READ,)),
    Row("POST", "/api/v1/persons/places", (scopes.RIGHTS,), json={"agents": [SOMEBODY]}),
    Row("POST", "/api/v1/persons/recipients", (scopes.RIGHTS,), json={"agents": [SOMEBODY]}),
    Row("POST", "/api/v1/persons/access", (scopes.RIGHTS,), json={"agents": [SOMEBODY]}),
    Row("POST", "/api/v1/erasures", (scopes.RIGHTS,), 202, json={"agents": [SOMEBODY]}),
    Row("GET", "/api/v1/erasures/00000000-0000-4000-8000-000000000000", (scopes.RIGHTS,), 404),
    Row("GET", "/api/v1/erasures/00000000-0000-4000-8000-000000000000/receipt", (scopes.RIGHTS,), 404),
    Row("GET", "/api/v1/requests", (scopes.GOVERNANCE_READ, scopes.RIGHTS)),
    Row("POST", "/api/v1/requests", (scopes.RIGHTS,), 201, json={"kind": "access", "agents": [PERSON]}),
    Row("GET", f"/api/v1/requests/{CASE}", (scopes.RIGHTS,)),
    Row("POST", f"/api/v1/requests/{CASE}/identify", (scopes.RIGHTS,), json={}),
    Row("POST", f"/api/v1/requests/{CASE}/extend", (scopes.RIGHTS,), json={"reason": "many traces"}),
    Row("POST", f"/api/v1/requests/{CASE}/done", (scopes.RIGHTS,), json={}),
    Row("POST", f"/api/v1/requests/{CASE}/refuse", (scopes.RIGHTS,), json={"reason": "not founded"}),
    *(
        Row("POST", f"/api/v1/persons/{act}", (scopes.RIGHTS,), json={"agents": [PERSON]})
        for act in ("restrict", "unrestrict", "object", "withdraw-objection", "standing")
    ),
    # Of a statement that is not there.
    Row("POST", "/api/v1/persons/rectify", (scopes.RIGHTS,), 404, json={"statement": str(uuid4()), "corrected": {}}),
    Row("POST", "/api/v1/accounts", (scopes.ACCOUNTS,), json={"accounts": [{"agent": PERSON}]}, senders=True),
    # Of a learner of whom the source has sent nothing; a link that is not there.
    Row(
        "POST",
        "/api/v1/learner-links",
        (scopes.LINKS,),
        404,
        json={"agents": [PERSON], "role": "guardian"},
        senders=True,
    ),
    Row("POST", "/api/v1/learner-links/end", (scopes.LINKS,), 404, json={"agents": [PERSON]}, senders=True),
    Row("POST", "/api/v1/audit/search", (scopes.GOVERNANCE_READ,), json={}),
    Row("POST", "/api/v1/check", (scopes.WRITE, scopes.ALL), json=statement(), senders=True),
    Row("GET", "/api/v1/verdicts", (scopes.OWN_QUALITY, scopes.GOVERNANCE_READ), own=(scopes.OWN_QUALITY,), within=200),
]
OPEN = {"/xAPI/about", "/healthz", "/readyz"}
PAGES = "portal."
"""Beginning of the endpoints of pages for people, which need no credentials: ``tests/web/portal/``."""
# Readable without credentials from the host of the server, which is where the tests run.
NOT_TESTED_HERE = {"/metrics"}


def named(row: Row) -> str:
    """The name of a row in tests."""
    return f"{row.method} {row.path}{' one' if row.one else ''}"


def ask(
    server: Server,
    row: Row,
    credential: NewCredential | None,
    version: str = "1.0.3",
    given: Mapping[str, str] | None = None,
) -> requests.Response:
    """Send what a row says, with these headers besides."""
    params = {name: text or str(uuid4()) for name, text in row.params.items()}
    # 1.0.3 has a PUT over a profile say that it means it.
    headers = {**({"If-Match": "*"} if row.one and row.method == "PUT" else {}), **(given or {})}
    return server.send(row.method, row.path, credential, version=version, params=params, json=row.json, headers=headers)


def before(server: Server, row: Row, owner: NewCredential) -> None:
    """Make what a row is about."""
    if CASE in row.path:
        container = server.container
        container.platform.store.collection("cases").delete_one({"_id": CASE})
        # No randomness gives an id that a table can name.
        cases = DataSubjectRequests(
            DataSubjectRequestRepository(container.platform.store),
            container.keys.organisation,
            container.keys.data_subject_cipher,
            container.governance.audit,
            clock.now_us,
            lambda: TODAY,
            b"\1".__mul__,
            NoPseudonyms(),
        )
        cases.open("access", data_subject_of([PERSON]), actor="cli:test")
        if row.path.endswith("done"):
            cases.identify(CASE, actor="cli:test")
    if row.one:
        kept = server.send("POST", row.path, owner, json={"kept": True}, params=row.params)
        assert kept.status_code == 204


def recorded(server: Server) -> int:
    """The number of entries in the audit log, but for those that each process writes of itself."""
    own = {ANCHOR, CHAIN_OPENED, CHAIN_CLOSED}
    return sum(entry.kind not in own for entry in server.container.governance.audit.newest((), None, 10_000))
