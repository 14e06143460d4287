"""Pages behind sign-in: who may see which, what a form must have, where a visitor is led, how a session ends."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests

from app.access.roles import Grant, Role
from app.access.users.sessions import IDLE, LONGEST, Sessions
from app.core import clock
from app.web.portal.frame import NAME
from app.web.portal.public import ENDPOINTS, LASTING
from app.web.portal.signed_pages import own_path
from app.web.portal.visitors import COOKIE
from app.wiring.web_application import create_app
from tests.served import Server, serving
from tests.web.portal import signed_in as signing
from tests.web.portal.signed_in import signed_in
from tests.web.portal.signed_table import OPEN, TABLE, Row

HOSTILE = "<script>alert('x')</script>&\"{{ 77777*77777 }}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("signed"), mongodb_uri, workers="1") as server:
        server.source("tutor")
        yield server


def named(row: Row) -> str:
    return row.endpoint


def test_no_page_is_missing_from_the_table(site: Server) -> None:
    app = create_app(site.settings)
    public = {*ENDPOINTS, *LASTING, f"{NAME}.door", f"{NAME}.other_asset"}
    known = {f"{NAME}.{each}" for each in (*(row.endpoint for row in TABLE), *OPEN)}
    found = {rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.startswith(f"{NAME}.")}
    assert found - public == known


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_each_role_against_each_page(site: Server, row: Row) -> None:
    for role in Role:
        visitor = signed_in(site, role)
        path = f"/en/{row.path}"
        answer = visitor.get(path) if row.fields is None else visitor.post(path, row.fields)
        if role in row.roles:
            assert answer.status_code == row.status, (role, answer.text)
        else:
            assert answer.status_code == 403, role
            assert "role-missing" in answer.text
        assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_nobody_else_gets_anything(site: Server, row: Row) -> None:
    path = f"{site.url}/fr/{row.path}"
    for cookie in ({}, {"Cookie": f"{COOKIE}={'0' * 64}"}, {"Cookie": f"{COOKIE}=é"}, {"Cookie": "x" * 2000}):
        headers = {name: text.encode("latin-1").decode("latin-1") for name, text in cookie.items()}
        if row.fields is None:
            answer = requests.get(path, headers=headers, timeout=60, allow_redirects=False)
            assert answer.headers["Location"] == f"/fr/sign-in?next=/fr/{row.path}"
        else:
            answer = requests.post(path, dict(row.fields), headers=headers, timeout=60, allow_redirects=False)
            assert answer.headers["Location"] == "/fr/sign-in"
        assert answer.status_code == 303


@pytest.mark.parametrize("row", [row for row in TABLE if row.fields is not None], ids=named)
def test_a_form_needs_the_token_of_its_session(site: Server, row: Row) -> None:
    other = signed_in(site, *row.roles[:1])
    visitor = signed_in(site, *row.roles[:1])
    assert row.fields is not None
    for token in ("", "0" * 64, other.form_token()):
        answer = visitor.post(f"/en/{row.path}", row.fields, token=token)
        assert answer.status_code == 403
        assert "form-refused" in answer.text
    headers = {"Cookie": f"{COOKIE}={visitor.token}", "Sec-Fetch-Site": "cross-site"}
    fields = {**row.fields, "token": visitor.form_token()}
    answer = requests.post(f"{site.url}/en/{row.path}", fields, headers=headers, timeout=60, allow_redirects=False)
    assert answer.status_code == 403
    assert "cross-site-refused" in answer.text
    answer = requests.post(
        f"{site.url}/en/{row.path}", json=fields, headers={"Cookie": f"{COOKIE}={visitor.token}"}, timeout=60
    )
    assert answer.status_code == 400
    assert "unsupported-content-type" in answer.text
    # It was the token that was missing: the session is there.
    assert visitor.get("/en/account").status_code == 200


def test_headers_forbid_what_pages_do_not_need(site: Server) -> None:
    answer = signed_in(site, Role.DPO).get("/fr/account")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert "Set-Cookie" not in answer.headers


def test_a_hostile_name_stays_text(site: Server) -> None:
    access = site.container.access
    user = access.users.add("hostile@ecole.example", name=HOSTILE, grants=[signing.grant(Role.DPO)], actor="cli:test")
    visitor = signing.SignedIn(site, user, access.sessions.open(user, "local"))
    page = visitor.get("/fr/account").text
    assert "<script" not in page
    assert "&lt;script&gt;" in page and "6049261729" not in page


def test_my_space_leads_to_sign_in_or_home(site: Server) -> None:
    assert requests.get(f"{site.url}/en/my", timeout=60, allow_redirects=False).headers["Location"] == "/en/sign-in"
    for role in Role:
        answer = signed_in(site, role).get("/en/my")
        assert answer.status_code == 303
        assert signed_in(site, role).get(answer.headers["Location"]).status_code == 200


def test_signing_out_ends_the_session_and_drops_the_cookie(site: Server) -> None:
    visitor = signed_in(site, Role.OPERATOR)
    answer = visitor.post("/fr/sign-out")
    assert answer.headers["Location"] == "/fr/"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=;") and "Max-Age=0" in cookie
    assert visitor.get("/fr/account").status_code == 303


def test_other_sessions_end_and_this_one_stays(site: Server) -> None:
    visitor = signed_in(site, Role.OPERATOR)
    access = site.container.access
    other = signing.SignedIn(site, visitor.user, access.sessions.open(visitor.user, "local"))
    assert visitor.post("/fr/account/end-sessions").status_code == 303
    assert visitor.get("/fr/account").status_code == 200
    assert other.get("/fr/account").status_code == 303


def test_a_change_of_roles_and_a_disabled_account_end_sessions(site: Server) -> None:
    users = site.container.access.users
    visitor = signed_in(site, Role.DPO)
    users.give(visitor.user.id, lambda _: [Grant(Role.OPERATOR)], actor="cli:test")
    assert visitor.get("/fr/account").status_code == 303
    visitor = signed_in(site, Role.DPO)
    users.disable(visitor.user.id, actor="cli:test")
    assert visitor.get("/fr/account").status_code == 303


def test_a_role_that_has_ended_opens_nothing(site: Server) -> None:
    past = clock.now() - timedelta(seconds=1)
    access = site.container.access
    user = access.users.add("ended@ecole.example", name="Fin", grants=[Grant(Role.DPO, ends=past)], actor="cli:test")
    token = access.sessions.open(user, "local")
    assert signing.SignedIn(site, user, token).get("/fr/account").status_code == 303


def test_a_session_ends_when_idle_and_at_its_last_instant(site: Server) -> None:
    container, access = site.container, site.container.access
    user = access.users.add("idle@ecole.example", name="Idle", grants=[Grant(Role.DPO)], actor="cli:test")
    begun = clock.now()
    at = [begun]
    sessions = Sessions(access.session_repository, access.users, container.governance.sink, lambda: at[0])
    token = sessions.open(user, "local")
    at[0] = begun + IDLE - timedelta(seconds=1)
    assert sessions.find(token) is not None
    while at[0] + IDLE < begun + LONGEST:
        at[0] += IDLE - timedelta(seconds=1)
        assert sessions.find(token) is not None
    at[0] = begun + LONGEST
    assert sessions.find(token) is None
    other = sessions.open(user, "local")
    at[0] += IDLE
    assert sessions.find(other) is None
    # What MongoDB keeps of it does not open anything.
    stored = container.platform.store.collection("user_sessions")
    third = sessions.open(user, "local")
    assert third.encode() not in b"".join(bytes(each["_id"]) for each in stored.find({}))
    # The next one takes those with it that have ended.
    at[0] += LONGEST
    sessions.open(user, "local")
    assert stored.count_documents({"user": user.id}) == 1


def test_a_purpose_is_asked_for_and_goes_back(site: Server) -> None:
    visitor = signed_in(site, Role.DPO, purpose=None)
    answer = visitor.post("/fr/my/purpose", {"purpose": "research", "back": "/fr/account"})
    assert answer.headers["Location"] == "/fr/account"
    assert "recherche" in visitor.get("/fr/account").text
    assert visitor.post("/fr/my/purpose", {"purpose": "curiosity"}).status_code == 400


@pytest.mark.parametrize(
    "hostile",
    [
        *("https://evil.example/", "//evil.example/x", "/\\evil.example/x", "/fr//evil.example", "javascript:alert(1)"),
        *(
            "/de/x",
            "/fr/../x",
            "/fr/%2e%2e/x",
            "/fr/x?y=<1>",
            "/fr/x?y=1#z",
            "",
            "/",
            "/fr",
            "/fr/x\r\nSet-Cookie: a=b",
            "/fr/é",
        ),
    ],
)
def test_nobody_is_led_elsewhere(hostile: str) -> None:
    assert own_path(hostile) is None


def test_basic_credentials_open_no_page(site: Server) -> None:
    credential = site.source(scopes=["all"])
    basic = base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()
    answer = requests.get(
        f"{site.url}/fr/account", headers={"Authorization": f"Basic {basic}"}, timeout=60, allow_redirects=False
    )
    assert answer.status_code == 303


def test_accounts_are_found_by_their_login_whatever_its_case_and_sealed(site: Server) -> None:
    container = site.container
    users = container.access.users
    user = users.add("Jeanne.Exemple@Ecole.example", name="Jeanne Exemple", grants=[], actor="cli:test")
    assert users.find(" jeanne.exemple@ecole.EXAMPLE ") == user
    assert users.find("nobody@ecole.example") is None
    stored = str(container.platform.store.collection("users").find_one({"_id": user.id}))
    assert "Jeanne" not in stored and "exemple" not in stored.lower()
    entries = container.governance.audit.newest(("user-added",))
    assert entries[0].detail["user"] == user.id and "Jeanne" not in str(entries[0])
