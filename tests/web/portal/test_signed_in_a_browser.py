"""Pages behind sign-in in Chromium: each of the table, by somebody with a role that may see it. Pictures are kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from app.access.roles import Role
from tests.served import Server, serving
from tests.web.portal.browsing import EVERY, NEEDED, QUICK, View, looked_at, opened
from tests.web.portal.signed_in import signed_in
from tests.web.portal.signed_table import TABLE

pytestmark = NEEDED


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("signed-browser"), mongodb_uri, workers="1") as server:
        server.source("tutor")
        yield server


# In the short run pages take turns with its views; in the long one each is looked at in every view.
TURNS = [(view, place, len(QUICK)) for place, view in enumerate(QUICK)]
ALL = [pytest.param(view, 0, 1, marks=pytest.mark.long) for view in EVERY]


@pytest.mark.parametrize(("view", "first", "step"), [*TURNS, *ALL])
def test_axe_finds_nothing_and_nothing_is_cut_off(
    site: Server, browser: Browser, view: View, first: int, step: int
) -> None:
    visitors = {role: signed_in(site, role) for role in Role}
    for row in [row for row in TABLE if row.seen][first::step]:
        page = opened(browser, view.width, view.scheme, checked=True)
        visitors[row.roles[0]].into(page.context)
        looked_at(page, site, row.path, view)
        page.context.close()


def test_the_policy_hinders_nothing_that_a_page_needs(site: Server, browser: Browser) -> None:
    for role in Role:
        page = opened(browser, 1280)
        signed_in(site, role).into(page.context)
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("response", lambda answer, said=said: said.extend([answer.url] if answer.status != 200 else []))
        for row in TABLE:
            if row.seen and role is row.roles[0]:
                page.goto(f"{site.url}/fr/{row.path}")
        assert said == []
        page.context.close()


def test_signing_out_by_the_button_needs_no_script(site: Server, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    signed_in(site, Role.DPO).into(context)
    page = context.new_page()
    page.goto(f"{site.url}/fr/account")
    page.get_by_role("button", name="Se déconnecter").click()
    assert page.url == f"{site.url}/fr/"
    assert context.cookies() == []
    context.close()
