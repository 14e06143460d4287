"""The page of one's own account: password, second factor, recovery codes; what ends sessions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pyotp
import pytest

from app.access.roles import Role
from app.access.users.service import User
from app.core import clock
from app.web.portal.visitors import COOKIE
from tests.served import Server, serving
from tests.web.portal.browser import Browser
from tests.web.portal.test_sign_in import PASSWORD, browser, typed, with_password, with_second_factor

OTHER = "sept loutres pressées"
_SECRET = re.compile(r'<code class="key">([A-Z2-7 ]+)</code>')
_CODES = re.compile(r"<li><code>([a-z2-7-]+)</code></li>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("account"), mongodb_uri, workers="1", proxies="1") as server:
        yield server


def inside(site: Server) -> tuple[Browser, User, str]:
    """Somebody who has signed in with a password and a code, and the secret of the code."""
    user, secret = with_second_factor(site, Role.DPO)
    opened = browser(site)
    typed(opened, user)
    opened.follow()
    assert opened.send("/en/sign-in/second-factor", code=pyotp.TOTP(secret).now()).status_code == 303
    # The code of now is still to be used by a test.
    site.container.access.users.edit_secrets(user.id, lambda held: held._replace(step=0))
    return opened, user, secret


def test_a_changed_password_ends_sessions_and_goes_on_under_another_token(site: Server) -> None:
    opened, user, secret = inside(site)
    elsewhere = Browser(site.url)
    elsewhere.cookies[COOKIE] = site.container.access.sessions.open(user, "local")
    assert elsewhere.get("/en/account").status_code == 200
    before = opened.cookies[COOKIE]
    opened.get("/en/account/password")
    answer = opened.send("/en/account/password", current=PASSWORD, password=OTHER, again=OTHER)
    assert answer.headers["Location"] == "/en/account"
    assert opened.follow().status_code == 200 and opened.cookies[COOKIE] != before
    assert elsewhere.get("/en/account").status_code == 303
    elsewhere.cookies[COOKIE] = before
    assert elsewhere.get("/en/account").status_code == 303
    again = browser(site)
    assert typed(again, user).status_code == 403
    assert typed(again, user, OTHER).headers["Location"] == "/en/sign-in/second-factor"
    again.follow()
    assert again.send("/en/sign-in/second-factor", code=pyotp.TOTP(secret).now()).status_code == 303


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("password", {"password": OTHER, "again": OTHER}),
        ("second-factor", {"code": "right"}),
        ("recovery-codes", {}),
    ],
)
def test_nothing_changes_without_the_current_password(site: Server, path: str, more: dict[str, str]) -> None:
    opened, user, _ = inside(site)
    held = site.container.access.local_sign_in.secrets(user)
    page = opened.get(f"/en/account/{path}")
    assert page.status_code == 200
    if "code" in more:
        secret = _SECRET.search(page.text)
        assert secret is not None
        more = {"code": pyotp.TOTP(secret[1].replace(" ", "")).now()}
    for _ in range(7):
        opened.get(f"/en/account/{path}")
        answer = opened.send(f"/en/account/{path}", current="wrong horse battery", **more)
        assert answer.status_code == 422
    assert "Too many attempts" in answer.text
    now = site.container.access.local_sign_in.secrets(user)
    assert (now.password, now.totp, now.recovery) == (held.password, held.totp, held.recovery)


def test_a_weak_password_is_refused(site: Server) -> None:
    opened, _, _ = inside(site)
    for weak, again in (("court", "court"), ("motdepasse2026!", "motdepasse2026!"), (OTHER, "x")):
        opened.get("/en/account/password")
        answer = opened.send("/en/account/password", current=PASSWORD, password=weak, again=again)
        assert answer.status_code == 422 and 'class="fault"' in answer.text


def test_another_second_factor_takes_the_place_of_the_first(site: Server) -> None:
    opened, user, secret = inside(site)
    found = _SECRET.search(opened.get("/en/account/second-factor").text)
    assert found is not None
    new = found[1].replace(" ", "")
    answer = opened.send("/en/account/second-factor", current=PASSWORD, code=pyotp.TOTP(new).now())
    assert len(_CODES.findall(answer.text)) == 10
    # Forms of the page that shows them are of the session that goes on.
    assert opened.send("/en/sign-out").headers["Location"] == "/en/"
    for code, status in (
        (pyotp.TOTP(secret).now(), 403),
        (pyotp.TOTP(new).at(clock.now() + timedelta(seconds=30)), 303),
    ):
        again = browser(site)
        typed(again, user)
        again.follow()
        assert again.send("/en/sign-in/second-factor", code=code).status_code == status


def test_new_recovery_codes_take_the_place_of_the_old(site: Server) -> None:
    opened, user, _ = inside(site)
    rounds = []
    for _ in range(2):
        opened.get("/en/account/recovery-codes")
        answer = opened.send("/en/account/recovery-codes", current=PASSWORD)
        rounds.append(_CODES.findall(answer.text))
    for code, status in ((rounds[0][0], 403), (rounds[1][0], 303)):
        again = browser(site)
        typed(again, user)
        again.follow()
        assert again.send("/en/sign-in/second-factor", recovery=code).status_code == status


def test_signing_out_is_on_record(site: Server) -> None:
    opened, user, _ = inside(site)
    opened.get("/en/account")
    opened.send("/en/sign-out")
    entry = site.container.governance.audit.newest(("signed-out",))[0]
    assert entry.actor == user.id


def test_families_may_set_a_second_factor_up_and_then_it_is_asked_for(site: Server) -> None:
    user = with_password(site, Role.GUARDIAN)
    opened = browser(site)
    typed(opened, user)
    found = _SECRET.search(opened.get("/en/account/second-factor").text)
    assert found is not None
    code = pyotp.TOTP(found[1].replace(" ", "")).now()
    assert opened.send("/en/account/second-factor", current=PASSWORD, code=code).status_code == 200
    assert typed(browser(site), user).headers["Location"] == "/en/sign-in/second-factor"
