"""A further way of showing who asks is one class and one line of a list: the gate and admission know none by name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from app.access import scopes
from app.access.authenticators import Authenticator, Authenticators, RequestHead
from app.access.basic import Basic
from app.access.credentials import Access, NewCredential, Sources
from app.access.principals import Kind, Principal
from app.access.store import SourceRepository
from app.core import clock
from app.core.errors import CredentialsRefused, CrossSiteRefused
from app.governance.audit.log import AUDIT_READ, Audit
from app.governance.audit.store import AuditRepository
from app.keys.organisation import OrganisationKeys
from app.platform.mongo.connection import Store
from app.web import problem_details
from app.web.admission.admission import Admission, Limits
from app.web.admission.client_socket import ClientSocket
from app.web.admission.request_head import Heads
from app.web.api import retention as governance_api
from app.web.cross_site import CrossSite
from app.web.gate import AUTHENTICATORS, Gate
from app.web.purpose import HEADER, Purposes
from tests.places import ROOT
from tests.served import environment, free_port
from tests.sinks import Announcing, Open, Rules

READER = frozenset({scopes.GOVERNANCE_READ})
TOKENS = {
    "first": Principal(Kind.PERSON, "person-1", READER),
    "second": Principal(Kind.PERSON, "person-1", READER),
    "other": Principal(Kind.PERSON, "person-2", frozenset({scopes.RESEARCH})),
    "tool": Principal(Kind.SOURCE, "token-7", READER, "tutor"),
}


class Bearer:
    """RFC 6750, of a few tokens."""

    field = "Authorization"
    challenge = 'Bearer realm="Sillage"'
    advice = "Or send a token with `Authorization: Bearer`."

    def authenticate(self, head: RequestHead) -> Principal | None:
        scheme, _, token = (head.fields.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        if token not in TOKENS:
            raise CredentialsRefused("This token is unknown.")
        return TOKENS[token]


class Session:
    """Of those who have signed in: a cookie, which says what for as well."""

    field = "Cookie"
    challenge = None
    advice = "Or sign in."

    def authenticate(self, head: RequestHead) -> Principal | None:
        token = (head.fields.get("Cookie") or "").partition("session=")[2]
        return TOKENS[token]._replace(purpose="support") if token in TOKENS else None


@pytest.fixture
def audit(store: Store, vault: OrganisationKeys) -> Audit:
    return Audit(AuditRepository(store), vault, clock.now_us, os.urandom)


@pytest.fixture
def key(store: Store, audit: Audit) -> NewCredential:
    sources = Sources(
        SourceRepository(store),
        rules=Rules(),
        audit=audit,
        announcer=Announcing(),
    )
    return sources.issue(source=None, label="dpo", scopes=[scopes.GOVERNANCE_READ], actor="tests")


def application(audit: Audit, *ways: Authenticator) -> FlaskClient:
    """``GET /api/v1/audit``, for whom these authenticators let in."""
    nothing: Any = None
    authenticators = Authenticators(ways)
    app = Flask("authenticators")
    problem_details.install(app, problem_details.Rendering(), authenticators.challenges)
    purposes = Purposes(("support", "teaching"), required=False, activity=lambda source: f"activity of {source}")
    gate = Gate(authenticators, Open(), purposes, CrossSite(()))
    app.register_blueprint(
        governance_api.blueprint(gate, nothing, nothing, audit, nothing, lambda: str), url_prefix="/api/v1"
    )
    app.extensions[AUTHENTICATORS] = authenticators
    return app.test_client(use_cookies=False)


@pytest.fixture
def client(store: Store, audit: Audit) -> FlaskClient:
    return application(audit, Basic(Access(SourceRepository(store))), Bearer(), Session())


def ask(client: FlaskClient, **headers: str) -> tuple[int, str]:
    answer = client.get("/api/v1/audit", headers={name.replace("_", "-"): text for name, text in headers.items()})
    return answer.status_code, answer.get_json().get("code", "")


def actor(audit: Audit) -> str:
    return audit.newest((AUDIT_READ,), None, 1)[0].actor


def test_each_way_lets_in_whom_it_knows_with_their_scopes_and_their_name_in_the_audit_log(
    client: FlaskClient, audit: Audit, key: NewCredential
) -> None:
    answer = client.get("/api/v1/audit", auth=(key.id, key.secret))
    assert (answer.status_code, actor(audit)) == (200, key.id)
    assert (ask(client, Authorization="Bearer first"), actor(audit)) == ((200, ""), "person-1")
    assert (ask(client, Authorization="bearer tool"), actor(audit)) == ((200, ""), "token-7")
    assert (ask(client, Cookie="session=second"), actor(audit)) == ((200, ""), "person-1")
    assert ask(client, Authorization="Bearer other") == (403, "scope-missing")
    assert ask(client, Cookie="session=other") == (403, "scope-missing")


def test_who_shows_nothing_or_something_else_is_told_every_way(client: FlaskClient) -> None:
    for headers in ({}, {"Authorization": "Digest x"}, {"Cookie": "theme=dark"}):
        answer = client.get("/api/v1/audit", headers=headers)
        assert (answer.status_code, answer.get_json()["code"]) == (401, "credentials-refused")
        # RFC 9110 11.6.1: a challenge for each scheme.
        assert answer.headers.getlist("WWW-Authenticate") == [Basic.challenge, Bearer.challenge]
        assert answer.get_json()["detail"] == f"{Basic.advice} {Bearer.advice} {Session.advice}"


def test_a_way_that_refuses_is_the_last_word(client: FlaskClient) -> None:
    # Whatever else is shown: who presents a bad token is not let in by a cookie that came along.
    assert ask(client, Authorization="Bearer wrong", Cookie="session=first") == (401, "credentials-refused")
    assert ask(client, Authorization="Basic !", Cookie="session=first") == (401, "credentials-refused")


def test_pages_of_other_origins_are_refused_whatever_the_way(client: FlaskClient) -> None:
    for shown in ({"Authorization": "Bearer first"}, {"Cookie": "session=first"}, {"Cookie": "session=wrong"}):
        assert ask(client, Sec_Fetch_Site="cross-site", **shown) == (403, CrossSiteRefused.code)
    assert ask(client, Sec_Fetch_Site="cross-site") == (401, "credentials-refused")


def test_a_purpose_is_that_of_the_request_else_of_the_principal(client: FlaskClient) -> None:
    gate = client.application.extensions[AUTHENTICATORS]
    head = RequestHead("GET", "/", {"Cookie": "session=first"})
    principal = gate.principal(head)
    purposes = Purposes(("support", "teaching"), required=True, activity=str)
    with client.application.test_request_context(headers={HEADER: "teaching"}):
        assert purposes.note(principal, (scopes.GOVERNANCE_READ,)).purpose == "teaching"
    with client.application.test_request_context():
        # Required, and said when signing in.
        assert purposes.note(principal, (scopes.GOVERNANCE_READ,)).purpose == "support"


def test_a_principal_shares_by_its_source_or_by_its_id() -> None:
    one, again = (Principal(Kind.SOURCE, each, READER, "tutor") for each in ("sk-1", "sk-2"))
    assert one.share == again.share == "source:tutor"
    assert TOKENS["first"].share == "person:person-1"
    # Somebody who sees to a source is not that source.
    assert Principal(Kind.PERSON, "person-1", READER, "tutor").share == "person:person-1"


LIMITS = Limits(threads=2, body_bytes=1_000, max_body_bytes=400, waiting=2, seconds=5.0)


def test_whoever_is_let_in_has_a_share_of_their_own_from_then_on(client: FlaskClient) -> None:
    admission: Admission[str] = Admission(LIMITS)
    heads = Heads(client.application.extensions[AUTHENTICATORS].fields)

    def served(**headers: str) -> str:
        """The key of the share that a request took."""
        head = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        asked = heads.asking(bytearray(f"GET /api/v1/audit HTTP/1.1\r\n{head}\r\n".encode()))
        (admitted,), _ = admission.arrive("", asked, 0.0)
        with ClientSocket() as connection:
            connection.begin(lambda: None, admitted)
            client.get("/api/v1/audit", headers=headers, environ_overrides={"gunicorn.socket": connection})
        admission.leave(admitted)
        return admitted.holding.key

    strangers = served()
    for shown, share in (
        ({"Authorization": "Bearer first"}, "person:person-1"),
        ({"Authorization": "Bearer second"}, "person:person-1"),
        ({"Authorization": "Bearer tool"}, "source:tutor"),
        ({"Cookie": "session=other"}, "person:person-2"),
    ):
        assert (served(**shown), served(**shown)) == (strangers, share)
    for shown in ({"Authorization": "Bearer wrong"}, {"Cookie": "session=wrong"}):
        assert (served(**shown), served(**shown)) == (strangers, strangers)


# --- under gunicorn ---------------------------------------------------------------------------------

SERVED = """
import os, time
from flask import Flask
from app.access.authenticators import Authenticators
from app.serve.server import serve
from app.settings import load
from app.web import problem_details
from app.web.gate import AUTHENTICATORS, Gate
from tests.sinks import Open
from tests.web.test_authenticators import Session

def build(settings):
    app = Flask("fairness")
    authenticators = app.extensions[AUTHENTICATORS] = Authenticators([Session()])
    problem_details.install(app, problem_details.Rendering())
    gate = Gate(authenticators, Open(), Open(), Open())
    @app.post("/slow")
    def slow():
        gate.principal("governance/read", "research/read")
        time.sleep(0.5)
        return "done"
    @app.get("/who")
    def who():
        return gate.principal("governance/read", "research/read").id
    return app

serve(load(os.environ), build)
"""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    given = {
        "SILLAGE_DATA_DIR": str(tmp_path),
        "SILLAGE_BIND": f"127.0.0.1:{port}",
        "SILLAGE_WORKERS": "1",
        "SILLAGE_THREADS": "2",
        "SILLAGE_MAX_WAITING": "1",
        "SILLAGE_MONGODB_URI": "mongodb://127.0.0.1:1/",  # never connected to here
    }
    process = subprocess.Popen([sys.executable, "-c", SERVED], cwd=ROOT, env=environment(given))
    try:
        limit = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < limit
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_a_served_worker_shares_itself_out_by_every_way(url: str) -> None:
    one, other = {"Cookie": "session=first"}, {"Cookie": "session=other"}
    assert requests.get(f"{url}/who", headers=one, timeout=20).text == "person-1"
    reported: list[int] = []

    def send() -> None:
        reported.append(requests.post(f"{url}/slow", headers=one, timeout=20).status_code)

    assert requests.get(f"{url}/who", headers=other, timeout=20).text == "person-2"
    crowd = [threading.Thread(target=send) for _ in range(8)]
    for each in crowd:
        each.start()
    # Within its share, while the other asks for more than there is.
    assert requests.get(f"{url}/who", headers=other, timeout=20).text == "person-2"
    for each in crowd:
        each.join()
    # 429 is for who is known to ask for more than a share; a crowd of strangers is told 503.
    assert set(reported) == {200, 429} and reported.count(429) >= 3
