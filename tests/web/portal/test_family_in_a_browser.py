"""A parent in Chromium: from the code to the copy, without scripts, by the keyboard; axe on each page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import Browser, Page

from app.access.credentials import NewCredential
from app.access.roles import Role
from app.people.finding.finder import data_subject_of
from tests.served import Server, serving
from tests.web.portal.browsing import NEEDED, VIEWS, View, looked_at, opened
from tests.web.portal.signed_in import signed_in
from tests.web.portal.test_family_pages import agent, code_for, parent_of, sent, tutor

__all__ = ("tutor",)

pytestmark = NEEDED
WORDS = {
    "fr": {
        "code": "Code",
        "called": "Le nom que vous donnez ici à votre enfant",
        "link": "Relier mon compte",
        "kept": "Ce qui est gardé sur votre enfant",
        "copy": "Demander une copie",
        "requests": "Mes demandes",
        "fetch": "Télécharger la copie",
    },
    "en": {
        "code": "Code",
        "called": "What you call your child here",
        "link": "Link my account",
        "kept": "What is kept about your child",
        "copy": "Ask for a copy",
        "requests": "My requests",
        "fetch": "Fetch the copy",
    },
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("family-browser"), mongodb_uri, workers="1") as server:
        yield server


def reached(page: Page, name: str) -> None:
    """Go by the keyboard alone to the link, button or field of this name."""
    for _ in range(60):
        page.keyboard.press("Tab")
        said = page.evaluate(
            "(() => { const at = document.activeElement; const label = at.id && document.querySelector("
            "`label[for='${at.id}']`); return (label || at).innerText.trim(); })()"
        )
        if said == name:
            return
    raise AssertionError(f"the keyboard does not reach {name}")


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_parent_sees_what_is_kept_and_asks_for_a_copy(
    site: Server, tutor: NewCredential, browser: Browser, tmp_path: Path, language: str
) -> None:
    words, name = WORDS[language], f"child-{language}"
    sent(site, tutor, name)
    code = str(code_for(site, tutor, name)["code"]).lower().replace("-", " ")
    context = browser.new_context(java_script_enabled=False, accept_downloads=True)
    parent = signed_in(site, Role.GUARDIAN, purpose=None)
    parent.into(context)
    page = context.new_page()
    page.goto(f"{site.url}/{language}/my")
    reached(page, words["code"])
    page.keyboard.type(code)
    reached(page, words["called"])
    page.keyboard.type("Ninon")
    reached(page, words["link"])
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/family/[0-9a-f]{32}$"))
    assert page.locator("h1").inner_text() == words["kept"]
    assert page.get_by_text("Ninon").first.is_visible() and page.get_by_text("Outil de maths").first.is_visible()
    # Family pages are read at 18 px.
    assert page.evaluate("getComputedStyle(document.querySelector('main')).fontSize") == "18px"
    reached(page, words["copy"])
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/ask/access$"))
    reached(page, words["copy"])
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/family/requests$"))
    assert page.get_by_role("button", name=words["fetch"]).count() == 0
    requests = site.container.people.requests
    (request,) = requests.of(data_subject_of([agent(name)]))
    requests.identify(request.id, actor="cli:test")
    requests.done(request.id, actor="cli:test")
    page.reload()
    reached(page, words["fetch"])
    with page.expect_download() as downloading:
        page.keyboard.press("Enter")
    downloading.value.save_as(tmp_path / "copy.zip")
    with ZipFile(tmp_path / "copy.zip") as package:
        assert f"index.{language}.html" in package.namelist()
    page.reload()
    assert page.get_by_role("button", name=words["fetch"]).count() == 0
    context.close()


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_and_nothing_is_cut_off(
    site: Server, tutor: NewCredential, browser: Browser, view: View
) -> None:
    parent, (link,) = parent_of(site, tutor, "seen", called="Ada")
    several, _ = parent_of(site, tutor, "one", "two")
    for kind in ("rectification", "access"):
        parent.post(f"/fr/family/{link}/ask/{kind}", {"text": "L’exercice 3 était juste."})
    requests = site.container.people.requests
    for request in requests.of(data_subject_of([agent("seen")])):
        if request.kind == "access" and request.status == "open":
            requests.identify(request.id, actor="cli:test")
            requests.done(request.id, actor="cli:test")
    pages = ("", "/readers", *(f"/ask/{kind}" for kind in ("rectification", "objection", "access", "erasure")))
    for visitor, paths in (
        (parent, [*(f"family/{link}{each}" for each in pages), "family/requests"]),
        (several, ["family"]),
    ):
        page = opened(browser, view.width, view.scheme, checked=True)
        visitor.into(page.context)
        for path in paths:
            looked_at(page, site, path, view)
        page.context.close()
