"""From the invitation to a page of one's role in Chromium, without scripts; and every page of sign-in under axe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pyotp
import pytest
from playwright.sync_api import Browser

from app.access.roles import Role
from app.web.portal.visitors import COOKIE
from tests.served import Server, serving
from tests.web.portal.browsing import NEEDED, VIEWS, View, held, opened
from tests.web.portal.provider import PUPIL, Provider
from tests.web.portal.signed_in import SignedIn, grant, signed_in
from tests.web.portal.test_providers import educonnect, written
from tests.web.portal.test_sign_in import PASSWORD, with_second_factor

pytestmark = NEEDED


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    named = {"service_name": "Traces d\u2019apprentissage, académie de Port-Clair"}
    with serving(tmp_path_factory.mktemp("sign-in-browser"), mongodb_uri, workers="1", **named) as server:
        yield server


def invitation(site: Server, language: str, role: Role = Role.DPO) -> tuple[str, str]:
    """The address of an invitation, and the login."""
    access = site.container.access
    login = f"c.exemple-{len(access.users.list())}@ecole.example"
    user = access.users.add(login, name="Camille Exemple", grants=[grant(role)], language=language, actor="cli:test")
    link = urlsplit(access.invitations.invite(user, actor="cli:test").link)
    return f"{site.url}{link.path}?{link.query}", login


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_on_the_pages_of_sign_in(site: Server, browser: Browser, view: View) -> None:
    page, language = opened(browser, view.width, view.scheme, checked=True), view.language
    address, login = invitation(site, language)
    page.goto(address)
    held(page, "invitation", view)
    page.fill("#password", "court")
    page.fill("#again", "court")
    page.press("#again", "Enter")
    held(page, "invitation-refused", view)
    page.fill("#password", PASSWORD)
    page.fill("#again", PASSWORD)
    page.press("#again", "Enter")
    assert page.url.endswith(f"/{language}/sign-in/set-up")
    held(page, "set-up", view)
    secret = page.locator("code.key").inner_text().replace(" ", "")
    page.fill("#code", pyotp.TOTP(secret).now())
    page.press("#code", "Enter")
    held(page, "recovery-codes", view)
    recovery = page.locator(".codes code").first.inner_text()
    page.locator("main a.btn").click()
    held(page, "first-page", view)
    page.context.clear_cookies()
    page.goto(address)
    held(page, "invitation-used", view)
    page.goto(f"{site.url}/{language}/sign-in")
    held(page, "sign-in", view)
    page.fill("#login", login)
    page.fill("#password", "wrong horse battery")
    page.press("#password", "Enter")
    held(page, "sign-in-refused", view)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.locator("summary").click()
    held(page, "second-factor", view)
    page.fill("#recovery", recovery)
    page.press("#recovery", "Enter")
    assert "/sign-in" not in page.url
    page.context.close()


def test_from_the_invitation_to_a_page_without_scripts_and_by_keyboard(site: Server, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    address, login = invitation(site, "fr", Role.OPERATOR)
    page.goto(address)
    page.locator("#password").focus()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in/set-up")
    # Nothing else is open before the second factor is set up.
    page.goto(f"{site.url}/fr/account")
    assert "/fr/sign-in" in page.url
    page.goto(f"{site.url}/fr/sign-in/set-up")
    assert page.locator(".qr svg path").first.is_visible()
    secret = page.locator("code.key").inner_text().replace(" ", "")
    page.fill("#code", pyotp.TOTP(secret).now())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".codes")
    assert page.locator(".codes li").count() == 10
    page.get_by_role("link", name="Je les ai notés").click()
    page.goto(f"{site.url}/fr/account")
    assert page.locator("main dd").nth(1).inner_text() == login
    assert {each["name"] for each in context.cookies()} == {COOKIE, "__Host-sillage-known"}
    page.get_by_role("button", name="Se déconnecter").first.click()
    page.goto(f"{site.url}/fr/account")
    assert "/fr/sign-in?next=/fr/account" in page.url
    context.close()


@pytest.mark.parametrize("view", VIEWS)
def test_by_a_provider_without_scripts(tmp_path: Path, mongodb_uri: str, browser: Browser, view: View) -> None:
    provider = Provider()
    provider.userinfo_as_jwt = False
    provider.person = PUPIL
    with provider.serving():
        files = written(tmp_path / "files", {**educonnect(provider.url), "logout": "provider"})
        with serving(tmp_path, mongodb_uri, workers="1", sign_in_providers_dir=str(files)) as server:
            page = opened(browser, view.width, view.scheme, checked=True)
            page.goto(f"{server.url}/{view.language}/sign-in")
            held(page, "sign-in-with-providers", view)
            page.goto(f"{server.url}/{view.language}/sign-in?said=away")
            held(page, "sign-in-provider-away", view)
            page.get_by_role("link", name="ÉduConnect").click()
            page.wait_for_url(f"{server.url}/{view.language}/**")
            page.goto(f"{server.url}/{view.language}/account")
            assert page.locator("main dd").first.inner_text() == "Noé Exemple"
            page.locator("form[action$='/sign-out'] button").click()
            page.wait_for_selector("main a.btn")
            held(page, "signed-out", view)
            page.context.close()


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_on_the_pages_of_an_account(site: Server, browser: Browser, view: View) -> None:
    operator, (user, _) = signed_in(site, Role.OPERATOR), with_second_factor(site, Role.RESEARCHER, Role.PRODUCER)
    page = opened(browser, view.width, view.scheme, checked=True)
    operator.into(page.context)
    page.goto(f"{site.url}/{view.language}/users/{user.id}")
    for summary in page.locator("main summary").all():
        summary.click()
    held(page, "user", view)
    page.locator("form[action$='/invite'] button").click()
    held(page, "user-invited", view)
    page.goto(f"{site.url}/{view.language}/users/{operator.user.id}")
    page.locator("form[action$='/take'] button").first.click()
    held(page, "user-own", view)
    page.context.clear_cookies()
    SignedIn(site, user, site.container.access.sessions.open(user, "local")).into(page.context)
    for path in ("account", "account/password", "account/second-factor", "account/recovery-codes"):
        page.goto(f"{site.url}/{view.language}/{path}")
        held(page, f"own-{path.replace('/', '-')}", view)
    page.fill("#current", PASSWORD)
    page.press("#current", "Enter")
    page.wait_for_selector(".codes")
    held(page, "own-codes", view)
    page.context.close()
