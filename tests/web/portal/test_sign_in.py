"""Sign-in by a password and a second factor: what opens an account, what does not, what is kept and told of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pyotp
import pytest
import requests
from flask import Flask

from app.access.roles import Grant, Role
from app.access.sign_in import throttle
from app.access.sign_in.passwords import Passwords
from app.access.sign_in.service import LocalSignIn
from app.access.sign_in.store import AttemptRepository
from app.access.users.service import User
from app.access.users.sessions import Pending
from app.core import clock
from app.core.errors import Overloaded, SignInRefused, SignInThrottled
from app.web.portal import door
from app.web.portal.visitors import COOKIE
from tests.served import Server, serving
from tests.web.portal.browser import Browser
from tests.web.portal.signed_in import grant

PASSWORD = "quatre renards bleus"
_SECRET = re.compile(r'<code class="key">([A-Z2-7 ]+)</code>')
_CODES = re.compile(r"<li><code>([a-z2-7-]+)</code></li>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sign-in"), mongodb_uri, workers="1", proxies="1") as server:
        yield server


_hosts = iter(range(1, 65_000))


def browser(site: Server, address: str = "") -> Browser:
    """A browser at an address of its own, as a proxy tells it."""
    host = next(_hosts)
    return Browser(site.url, {"X-Forwarded-For": address or f"10.0.{host // 256}.{host % 256}"})


def account(site: Server, *roles: Role, login: str = "") -> User:
    name = login or f"{clock.random_bytes(6).hex()}@ecole.example"
    return site.container.access.users.add(
        name, name="Camille Exemple", grants=[grant(role) for role in roles], actor="cli:test"
    )


def invited(site: Server, user: User) -> str:
    """The path of the link of an invitation."""
    link = urlsplit(site.container.access.invitations.invite(user, actor="cli:test").link)
    return f"{link.path}?{link.query}"


def with_password(site: Server, *roles: Role, login: str = "") -> User:
    """An account whose owner has chosen a password, and no second factor yet."""
    user = account(site, *roles, login=login)
    hashed = Passwords().hashed(PASSWORD)
    site.container.access.users.edit_secrets(user.id, lambda held: held._replace(password=hashed))
    return user


def with_second_factor(site: Server, *roles: Role, login: str = "") -> tuple[User, str]:
    """An account with a password and a second factor, and the secret of this one."""
    user, secret = with_password(site, *roles, login=login), pyotp.random_base32()
    site.container.access.users.edit_secrets(user.id, lambda held: held._replace(totp=secret))
    return user, secret


def typed(opened: Browser, user: User, password: str = PASSWORD, path: str = "/en/sign-in") -> requests.Response:
    """Login and password, typed into the page."""
    opened.get(path)
    return opened.send("/en/sign-in", login=user.login, password=password)


def kinds(site: Server, kind: str, user: User) -> list[dict[str, object]]:
    found = site.container.governance.audit.newest((kind,))
    return [dict(entry.detail) for entry in found if entry.detail.get("user") == user.id]


def test_from_the_invitation_to_a_page_of_ones_role(site: Server) -> None:
    user = account(site, Role.DPO)
    path, opened = invited(site, user), browser(site)
    page = opened.get(path)
    assert page.status_code == 200 and user.login in page.text
    code = path.partition("code=")[2]
    # It is looked at by machines of mail, and stays good.
    assert browser(site).get(path).status_code == 200
    answer = opened.send("/fr/invitation", code=code, password=PASSWORD, again=PASSWORD)
    assert answer.headers["Location"] == "/fr/sign-in/set-up"
    page = opened.follow()
    secret = _SECRET.search(page.text)
    assert secret is not None and "<svg" in page.text and "data:" not in page.text
    # Nothing else is open yet.
    assert opened.get("/fr/account").headers["Location"].startswith("/fr/sign-in")
    opened.get("/fr/sign-in/set-up")
    before = opened.cookies[COOKIE]
    answer = opened.send("/fr/sign-in/set-up", code=pyotp.TOTP(secret[1].replace(" ", "")).now())
    assert answer.status_code == 200 and len(set(_CODES.findall(answer.text))) == 10
    assert opened.cookies[COOKIE] != before
    assert opened.get("/fr/account").status_code == 200
    # Good once.
    assert "ne fonctionne plus" in browser(site).get(path).text
    assert browser(site).get(path).status_code == 403
    assert kinds(site, "signed-in", user) == [{"user": user.id, "method": "local", "second_factor": "totp"}]
    log = site.log.read_text()
    assert code not in log and user.login not in log and PASSWORD not in log


def test_an_invitation_refuses_weak_passwords_and_stays(site: Server) -> None:
    user = account(site, Role.DPO, login="dominique.longuenom@ecole.example")
    path, opened = invited(site, user), browser(site)
    code = path.partition("code=")[2]
    for weak in ("court", "motdepasse2026!", "longuenom-12345", "azertyuiop12", "aaaaaaaaaaaa", "camille exemplaire"):
        opened.get(path)
        answer = opened.send("/fr/invitation", code=code, password=weak, again=weak)
        assert answer.status_code == 403 and 'class="fault"' in answer.text, weak
        assert weak not in answer.text
    opened.get(path)
    assert "same" in opened.send("/en/invitation", code=code, password=PASSWORD, again="x").text
    opened.get(path)
    assert opened.send("/fr/invitation", code=code, password=PASSWORD, again=PASSWORD).status_code == 303


def test_an_invitation_ends_with_its_days_with_the_next_and_with_the_account(site: Server) -> None:
    user = account(site, Role.LEARNER)
    first = invited(site, user)
    second = invited(site, user)
    assert browser(site).get(first).status_code == 403
    assert browser(site).get(second).status_code == 200
    store = site.container.platform.store.collection("user_invitations")
    assert second.partition("code=")[2].encode() not in bytes(store.find_one({"user": user.id})["_id"])  # type: ignore[index]
    store.update_one({"user": user.id}, {"$set": {"ends": clock.now()}})
    assert browser(site).get(second).status_code == 403
    third = invited(site, user)
    site.container.access.users.disable(user.id, actor="cli:test")
    assert browser(site).get(third).status_code == 403
    assert browser(site).get("/fr/invitation").status_code == 403


def test_a_password_and_a_code_sign_in_and_lead_back(site: Server) -> None:
    user, secret = with_second_factor(site, Role.RESEARCHER)
    opened = browser(site)
    opened.get("/en/sign-in?next=/en/account")
    answer = opened.send("/en/sign-in", login=f" {user.login.upper()} ", password=PASSWORD, next="/en/account")
    assert answer.headers["Location"] == "/en/sign-in/second-factor?next=/en/account"
    assert opened.follow().status_code == 200
    half = opened.cookies[COOKIE]
    assert opened.get("/en/account").status_code == 303
    opened.get("/en/sign-in/second-factor?next=/en/account")
    answer = opened.send("/en/sign-in/second-factor", code=pyotp.TOTP(secret).now(), next="/en/account")
    assert answer.headers["Location"] == "/en/account"
    assert opened.follow().status_code == 200
    # Session fixation: what was known before opens nothing.
    assert opened.cookies[COOKIE] != half
    headers = {"Cookie": f"{COOKIE}={half}"}
    for path in ("/en/account", "/en/sign-in/second-factor"):
        answer = requests.get(site.url + path, headers=headers, timeout=60, allow_redirects=False)
        assert answer.headers["Location"].startswith("/en/sign-in")
    # Whoever is signed in needs no sign-in.
    assert opened.get("/en/sign-in").headers["Location"] == "/en/my"


def test_the_cookies_are_for_this_host_over_tls_and_unseen_by_scripts(site: Server) -> None:
    user = with_password(site, Role.LEARNER)
    opened = browser(site)
    opened.get("/en/sign-in")
    first = opened.page.headers["Set-Cookie"]
    assert typed(opened, user).status_code == 303
    lines = [first, *opened.page.raw.headers.getlist("Set-Cookie")]
    assert {line.partition("=")[0] for line in lines} == {COOKIE, door.COOKIE, door.KNOWN_COOKIE}
    for line in lines:
        assert line.startswith("__Host-") and "Secure" in line and "HttpOnly" in line and "Path=/" in line
        assert "Domain" not in line and "SameSite" in line


def test_roles_of_families_need_no_second_factor(site: Server) -> None:
    user = with_password(site, Role.GUARDIAN)
    opened = browser(site)
    assert typed(opened, user).headers["Location"] == "/en/my"
    assert opened.get("/en/account").status_code == 200


def test_a_session_without_the_second_factor_that_its_role_needs_reaches_the_set_up_alone(site: Server) -> None:
    user = with_password(site, Role.OPERATOR)
    opened = browser(site)
    assert typed(opened, user).headers["Location"] == "/en/sign-in/set-up"
    for path in ("/en/account", "/en/my", "/en/sign-in/second-factor"):
        assert opened.get(path).headers["Location"].startswith("/en/sign-in"), path
    assert opened.get("/en/sign-in/set-up").status_code == 200
    # What is being set up elsewhere is another secret: whoever knows the password alone does not see this one.
    other = browser(site)
    typed(other, user)
    shown, seen = (_SECRET.search(each.get("/en/sign-in/set-up").text) for each in (opened, other))
    assert shown is not None and seen is not None and shown[1] != seen[1]
    # Nor does a code of the one set the other up.
    code = pyotp.TOTP(seen[1].replace(" ", "")).now()
    assert opened.send("/en/sign-in/set-up", code=code).status_code == 403
    again = _SECRET.search(other.get("/en/sign-in/set-up").text)
    assert again is not None
    code = pyotp.TOTP(again[1].replace(" ", "")).now()
    assert other.send("/en/sign-in/set-up", code=code).status_code == 200


def test_a_step_that_is_done_ends_the_session_that_lacked_it(site: Server) -> None:
    user, secret = with_second_factor(site, Role.DPO)
    access = site.container.access
    begun = access.local_sign_in.check_password(user.login, PASSWORD, address=None)
    half = access.sessions.find_pending(begun.token)
    assert half is not None and access.sessions.find(begun.token) is None
    done = access.local_sign_in.check_code(half, pyotp.TOTP(secret).now())
    assert access.sessions.find(done.token) is not None
    assert access.sessions.find_pending(begun.token) is None and access.sessions.find(begun.token) is None


def test_wrong_password_and_unknown_login_are_one_answer_after_the_same_work(
    site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, _ = with_second_factor(site, Role.DPO)
    gone = with_password(site, Role.DPO)
    site.container.access.users.disable(gone.id, actor="cli:test")
    ended = with_password(site, Role.DPO)
    past = [Grant(Role.DPO, ends=clock.now() - timedelta(days=1))]
    site.container.access.users.give(ended.id, lambda _: past, actor="cli:test")
    pages = set()
    for login, password in (
        (user.login, "wrong horse battery"),
        ("nobody@ecole.example", PASSWORD),
        (gone.login, PASSWORD),
        (ended.login, PASSWORD),
        (account(site, Role.DPO).login, PASSWORD),
        (user.login, ""),
        (user.login, "x" * 100_000),
    ):
        opened = browser(site)
        opened.get("/en/sign-in")
        answer = opened.send("/en/sign-in", login=login, password=password)
        assert answer.status_code == 403
        pages.add(re.sub(r'value="[^"]*"', "", answer.text))
    assert len(pages) == 1
    # The same work: one comparison of Argon2id, whoever is asked for.
    worked = []
    genuine = Passwords._turn
    monkeypatch.setattr(Passwords, "_turn", lambda self: worked.append(1) or genuine(self))
    local = site.container.access.local_sign_in
    for login in (user.login, "nobody@ecole.example", gone.login):
        with pytest.raises(Exception, match="not what this account has"):
            local.check_password(login, "wrong horse battery", address=None)
    assert len(worked) == 3


def test_refusals_are_on_record_without_the_login(site: Server) -> None:
    opened = browser(site)
    opened.get("/en/sign-in")
    opened.send("/en/sign-in", login="Somebody@Ecole.example", password="wrong horse battery")
    entry = site.container.governance.audit.newest(("sign-in-refused",))[0]
    token = site.container.keys.organisation.named("login", "somebody@ecole.example").hex()
    assert entry.detail == {"why": "credentials", "login": token} and entry.actor == "page:sign-in"


def test_a_code_is_taken_once_and_one_step_of_skew_is_allowed(site: Server) -> None:
    user, secret = with_second_factor(site, Role.DPO)
    now = clock.now()
    totp = pyotp.TOTP(secret)
    earlier = totp.at(now)
    for offset in (-150, 150):
        opened = browser(site)
        typed(opened, user)
        opened.follow()
        answer = opened.send("/en/sign-in/second-factor", code=totp.at(now + timedelta(seconds=offset)))
        assert answer.status_code == 403
    opened = browser(site)
    typed(opened, user)
    opened.follow()
    code = totp.at(clock.now() + timedelta(seconds=30))
    assert opened.send("/en/sign-in/second-factor", code=f"{code[:3]} {code[3:]}").status_code == 303
    # Replayed, by somebody who saw it and knows the password; an earlier one too.
    for seen in (code, earlier):
        thief = browser(site)
        typed(thief, user)
        thief.follow()
        assert thief.send("/en/sign-in/second-factor", code=seen).status_code == 403
    assert {entry["why"] for entry in kinds(site, "sign-in-refused", user)} == {"second-factor"}


def test_a_recovery_code_is_taken_once(site: Server) -> None:
    user = with_password(site, Role.DPO)
    opened = browser(site)
    typed(opened, user)
    secret = _SECRET.search(opened.follow().text)
    assert secret is not None
    answer = opened.send("/en/sign-in/set-up", code=pyotp.TOTP(secret[1].replace(" ", "")).now())
    codes = _CODES.findall(answer.text)
    stored = site.container.access.local_sign_in.secrets(user)
    assert not set(codes) & set(stored.recovery)
    for code, status in ((codes[0].upper().replace("-", " "), 303), (codes[0], 403), (codes[1], 303), ("", 403)):
        again = browser(site)
        typed(again, user)
        again.follow()
        assert again.send("/en/sign-in/second-factor", recovery=code).status_code == status, code
    assert len(site.container.access.local_sign_in.secrets(user).recovery) == 8


def test_a_set_up_that_was_begun_elsewhere_replaces_no_second_factor(site: Server) -> None:
    user = with_password(site, Role.DPO)
    thief, owner = browser(site), browser(site)
    for opened in (thief, owner):
        typed(opened, user)
        opened.follow()
    secret = _SECRET.search(owner.page.text)
    assert secret is not None
    totp = pyotp.TOTP(secret[1].replace(" ", ""))
    assert owner.send("/en/sign-in/set-up", code=totp.now()).status_code == 200
    held = site.container.access.local_sign_in.secrets(user)
    assert thief.get("/en/sign-in/set-up").headers["Location"] == "/en/sign-in"
    assert owner.get("/en/account").status_code == 200
    # Begun at the same instant, and opened afterwards.
    access = site.container.access
    late = access.sessions.find_pending(access.sessions.open(user, "local", Pending.SET_UP))
    assert late is not None
    offered = access.local_sign_in.offer(late)
    with pytest.raises(SignInRefused):
        access.local_sign_in.confirm(late, pyotp.TOTP(offered).now())
    now = access.local_sign_in.secrets(user)
    assert (now.totp, now.recovery) == (held.totp, held.recovery)
    assert kinds(site, "user-changed", user) == [{"user": user.id, "second_factor": "set-up"}]


def test_whoever_guesses_a_login_waits_longer_each_time_but_not_for_ever(site: Server) -> None:
    user = with_password(site, Role.GUARDIAN)
    opened = browser(site)
    waits = []
    for _ in range(8):
        answer = typed(opened, user, "wrong horse battery")
        waits.append(answer.status_code)
    assert waits[:6] == [403] * 6 and waits[6:] == [429] * 2
    assert 1 <= int(opened.page.headers["Retry-After"]) <= 5 and "Wait" in opened.page.text
    # The right password, too soon: not even looked at. From elsewhere neither.
    assert typed(browser(site), user).status_code == 429
    # Nor are there entries of the log for what was not looked at.
    store = site.container.platform.store.collection("sign_in_attempts")
    store.update_many({}, {"$set": {"until": clock.now()}})
    assert typed(browser(site), user).status_code == 303
    assert typed(browser(site), user, "wrong horse battery").status_code == 403


def test_an_owner_gets_in_where_they_have_been_before_while_others_guess(site: Server) -> None:
    user = with_password(site, Role.GUARDIAN)
    known = browser(site)
    assert typed(known, user).status_code == 303
    for _ in range(8):
        typed(browser(site), user, "wrong horse battery")
    assert typed(browser(site), user).status_code == 429
    known.cookies.pop(COOKIE)
    assert typed(known, user).status_code == 303
    # Its mark is good for that login alone.
    other = with_password(site, Role.GUARDIAN)
    for _ in range(8):
        typed(browser(site), other, "wrong horse battery")
    known.cookies.pop(COOKIE)
    assert typed(known, other).status_code == 429


def test_whoever_tries_many_logins_from_one_address_waits(site: Server) -> None:
    address = "192.0.2.7"
    statuses = []
    for place in range(53):
        # What a client writes before the proxy does is not believed.
        opened = browser(site, f"203.0.113.{place}, {address}")
        opened.get("/en/sign-in")
        answer = opened.send("/en/sign-in", login=f"guess-{place}@ecole.example", password="wrong horse battery")
        statuses.append(answer.status_code)
    assert set(statuses[:50]) == {403} and 429 in statuses[50:]
    # Others are not touched.
    assert typed(browser(site), with_password(site, Role.GUARDIAN)).status_code == 303


def test_the_second_factor_is_guessed_slowly_too(site: Server) -> None:
    user, secret = with_second_factor(site, Role.DPO)
    opened = browser(site)
    typed(opened, user)
    statuses = []
    for _ in range(8):
        opened.get("/en/sign-in/second-factor")
        statuses.append(opened.send("/en/sign-in/second-factor", code="000000").status_code)
    assert 429 in statuses
    # Another start does not begin anew.
    again = browser(site)
    typed(again, user)
    again.follow()
    assert again.send("/en/sign-in/second-factor", code=pyotp.TOTP(secret).now()).status_code == 429


def test_many_guesses_at_once_are_not_free(site: Server) -> None:
    from concurrent.futures import ThreadPoolExecutor

    user = with_password(site, Role.GUARDIAN)
    local: LocalSignIn = site.container.access.local_sign_in

    def guess(_: int) -> str:
        try:
            local.check_password(user.login, "wrong horse battery", address=None)
        except Exception as refused:
            return type(refused).__name__
        return "in"

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(guess, range(30)))
    assert outcomes.count("SignInRefused") <= 6 and outcomes.count("in") == 0


@pytest.mark.parametrize("path", ["sign-in", "sign-in/second-factor", "sign-in/set-up", "invitation"])
def test_a_form_before_sign_in_is_of_the_browser_that_was_given_it(site: Server, path: str) -> None:
    user, _ = with_second_factor(site, Role.DPO)
    opened = browser(site)
    if path == "sign-in/set-up":
        user = with_password(site, Role.DPO)
    if path != "sign-in" and path != "invitation":
        typed(opened, user)
    opened.get("/en/sign-in")
    fields = {"login": user.login, "password": PASSWORD, "code": "123456"}
    # A page of an attacker's: with a token of theirs, without the cookie, with another one.
    mine = browser(site)
    mine.get("/en/sign-in")
    token = re.search(r'name="token" value="([0-9a-f]{64})"', mine.page.text)
    assert token is not None
    for given in ("", "0" * 64, token[1]):
        answer = opened.send(f"/en/{path}", **{**fields, "token": given})
        assert answer.status_code == 403, answer.text
    former = opened.cookies.pop(door.COOKIE)
    opened.get("/en/sign-in")
    opened.cookies.pop(door.COOKIE)
    assert opened.send(f"/en/{path}", **fields).status_code == 403
    opened.cookies[door.COOKIE] = former
    opened.headers["Sec-Fetch-Site"] = "cross-site"
    answer = opened.send(f"/en/{path}", **fields)
    assert answer.status_code == 403 and "cross-site-refused" in answer.text
    assert kinds(site, "signed-in", user) == []


@pytest.mark.parametrize(
    "hostile", ["https://evil.example/", "//evil.example", "/en/../x", "/\\evil.example", "/en/x?y#z"]
)
def test_sign_in_leads_nowhere_else(site: Server, hostile: str) -> None:
    user = with_password(site, Role.GUARDIAN)
    opened = browser(site)
    opened.get(f"/en/sign-in?next={hostile}")
    answer = opened.send("/en/sign-in", login=user.login, password=PASSWORD, next=hostile)
    assert answer.headers["Location"] == "/en/my"


def test_hostile_text_in_fields_stays_text(site: Server) -> None:
    hostile = "\"><script>alert('x')</script>{{ 77777*77777 }}"
    opened = browser(site)
    opened.get("/en/sign-in")
    page = opened.send("/en/sign-in", login=hostile, password=hostile, next=hostile).text
    assert "<script" not in page and "6049261729" not in page
    assert "<script" not in opened.get("/en/sign-in?next=" + hostile).text
    assert "<script" not in opened.get("/en/invitation?code=" + hostile).text


def test_headers_of_sign_in_pages(site: Server) -> None:
    for path in ("sign-in", "invitation"):
        answer = browser(site).get(f"/fr/{path}")
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_reset_takes_everything_off_and_needs_the_new_link(site: Server) -> None:
    user, secret = with_second_factor(site, Role.DPO)
    opened = browser(site)
    typed(opened, user)
    opened.follow()
    opened.send("/en/sign-in/second-factor", code=pyotp.TOTP(secret).now())
    assert opened.get("/en/account").status_code == 200
    link = urlsplit(site.container.access.local_sign_in.reset(user, actor="cli:test").link)
    assert opened.get("/en/account").status_code == 303
    # Whoever knew the password does not choose the second factor.
    assert typed(browser(site), user).status_code == 403
    assert browser(site).get(f"{link.path}?{link.query}").status_code == 200
    assert {"user": user.id, "second_factor": "reset"} in kinds(site, "user-changed", user)


def test_a_hash_that_is_made_anew_undoes_no_reset(site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    user = with_password(site, Role.GUARDIAN)
    local, stored = site.container.access.local_sign_in, site.container.platform.store.collection("users")
    hashed = local._hashing.hashed

    def meanwhile(password: str) -> str:
        local.reset(user, actor="cli:test")
        changes.append(stored.find_one({"_id": user.id})["n"])  # type: ignore[index]
        return hashed(password)

    changes: list[int] = []
    monkeypatch.setattr(local._hashing, "outdated", lambda _: True)
    monkeypatch.setattr(local._hashing, "hashed", meanwhile)
    local.check_password(user.login, PASSWORD, address=None)
    assert local.secrets(user).password is None
    # Nor is anything written.
    assert stored.find_one({"_id": user.id})["n"] == changes[0]  # type: ignore[index]


def test_secrets_are_sealed(site: Server) -> None:
    user, secret = with_second_factor(site, Role.DPO)
    stored = site.container.platform.store.collection("users").find_one({"_id": user.id})
    assert secret not in str(stored) and "argon2" not in str(stored)
    assert site.container.access.local_sign_in.secrets(user).password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")  # type: ignore[union-attr]


def test_a_demonstration_signs_in_by_the_password_alone_and_every_page_says_so(
    tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str
) -> None:
    folder = tmp_path_factory.mktemp("demo")
    with serving(folder, mongodb_uri, workers="1", demo_without_second_factor="true") as demo:
        user = with_password(demo, Role.DPO)
        opened = browser(demo)
        assert typed(opened, user).headers["Location"] == "/en/my"
        for path in ("/en/account", "/en/", "/en/sign-in", "/fr/help"):
            shown = opened.get(path) if path != "/en/sign-in" else browser(demo).get(path)
            assert shown.status_code == 200 and 'class="demo"' in shown.text, path


def test_pages_say_nothing_of_a_demonstration_otherwise(site: Server) -> None:
    assert 'class="demo"' not in browser(site).get("/en/sign-in").text


@pytest.mark.parametrize(
    ("proxies", "tls", "said", "address"),
    [
        (0, False, "203.0.113.1", "192.0.2.9"),
        (0, True, "203.0.113.1", None),
        (1, True, "203.0.113.1, 198.51.100.2", "198.51.100.2"),
        (2, True, "203.0.113.1, 198.51.100.2, 10.0.0.1", "198.51.100.2"),
        (2, True, "10.0.0.1", None),
        (1, True, "", ""),
    ],
)
def test_an_address_is_what_trusted_proxies_say(
    site: Server, proxies: int, tls: bool, said: str, address: str | None
) -> None:
    found = door.Door(site.container.keys.organisation, proxies, behind_tls=tls)
    headers = {"X-Forwarded-For": said}
    with Flask("test").test_request_context("/", headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.9"}):
        assert found.address() == address


def test_an_address_that_is_none_is_not_counted_and_one_of_ipv6_is_its_network() -> None:
    assert throttle.of_address("") is None and throttle.of_address("unknown") is None
    assert throttle.of_address("2001:db8:1:2:3::4") == throttle.of_address("2001:db8:1:2::ffff")
    assert throttle.of_address("2001:db8:1:2::1") != throttle.of_address("2001:db8:1:3::1")
    assert throttle.of_address("::ffff:192.0.2.1") == throttle.of_address("192.0.2.1")


def test_waits_double_up_to_the_longest_and_are_forgotten_after_a_day(site: Server) -> None:
    at = [clock.now().replace(microsecond=0)]
    attempts = AttemptRepository(site.container.platform.store)
    slowed = throttle.Throttle(attempts, site.container.keys.organisation, lambda: at[0])
    tried = throttle.of_login(f"{clock.random_bytes(6).hex()}@ecole.example", None)
    waits = []
    for _ in range(36):
        try:
            slowed.begin(tried)
        except SignInThrottled as refused:
            assert refused.retry_after is not None
            waits.append(refused.retry_after)
            at[0] += timedelta(seconds=refused.retry_after)
    assert waits[:3] == [5, 10, 20] and waits[-1] == 900 and max(waits) == 900
    at[0] += throttle.FORGOTTEN
    for _ in range(throttle.LOGIN.free):
        slowed.begin(tried)
    # Success forgets all of it.
    slowed.begin(tried).succeeded()
    for _ in range(throttle.LOGIN.free + 1):
        slowed.begin(tried)


def test_an_attempt_that_nobody_had_time_to_look_at_does_not_count(
    site: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = with_password(site, Role.GUARDIAN)
    local = site.container.access.local_sign_in
    with monkeypatch.context() as busy:
        busy.setattr(local._hashing, "_places", threading.BoundedSemaphore(1))
        local._hashing._places.acquire()
        for _ in range(12):
            with pytest.raises(Overloaded):
                local.check_password(user.login, PASSWORD, address="192.0.2.77")
    assert local.check_password(user.login, PASSWORD, address="192.0.2.77").user.id == user.id
