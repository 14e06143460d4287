"""A data protection officer in Chromium: from sign-in to the receipt, by the keyboard and without scripts; axe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from app.access.roles import Role
from app.people.finding.finder import data_subject_of
from app.people.requests.steps import KINDS
from tests.places import ROOT
from tests.served import Server, serving, statement
from tests.web.portal.browsing import NEEDED, PICTURES, RULES, VIEWS, View, looked_at, opened
from tests.web.portal.signed_in import signed_in

pytestmark = NEEDED
HOME, PUPIL = "https://ent.example", "eleve-1"
PURPOSE = {"fr": "demande d’une personne concernée", "en": "request of a data subject"}
WORDS = {
    "fr": {
        "go on": "Continuer",
        "open": "Ouvrir une demande",
        "kind": "Accès (RGPD, article 15)",
        "asked": "Ce qui est demandé",
        "home": "Adresse du système qui a donné le compte",
        "account": "Compte dans ce système",
        "opened": "Ouvrir la demande",
        "known": "Je sais qui demande",
        "find": "Chercher",
        "prepare": "Préparer le dossier",
        "download": "Télécharger le dossier (zip)",
        "on": "Je l’ai : suite de la demande",
        "close": "Clore : satisfaite",
        "receipt": "Le bordereau, à imprimer",
        "done": "Dossier d’accès remis",
    },
    "en": {
        "go on": "Go on",
        "open": "Open a request",
        "kind": "Access (GDPR, article 15)",
        "asked": "What is asked for",
        "home": "Address of the system that gave the account",
        "account": "Account there",
        "opened": "Open the request",
        "known": "I know who asks",
        "find": "Find",
        "prepare": "Prepare the export",
        "download": "Download the export (zip)",
        "on": "I have it: on with the request",
        "close": "Close: done",
        "receipt": "The receipt, to print",
        "done": "Subject access export given out",
    },
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("dpo-browser"), mongodb_uri, workers="1") as server:
        agent = {"account": {"homePage": HOME, "name": PUPIL}}
        server.post(server.source("tutor"), [statement(actor=agent) for _ in range(3)])
        server.get(server.credential("statements/read"), agent=json.dumps(agent))
        for entry in ("ent", "p2ia"):
            document = ROOT / "docs" / "examples" / "processing-activities" / f"{entry}.json"
            server.container.governance.register.add(document.read_bytes())
        yield server


def reach(page: Page, name: str) -> None:
    """Go by the keyboard alone to the link, button or field of this name."""
    for _ in range(80):
        page.keyboard.press("Tab")
        said = page.evaluate(
            "(() => { const at = document.activeElement; const label = at.labels && at.labels[0]; "
            "return (label || at).innerText.trim(); })()"
        )
        if said.replace("\u00a0", " ") == name:
            return
    raise AssertionError(f"the keyboard does not reach {name}")


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("scripts", [True, False], ids=["keyboard", "without-scripts"])
def test_from_sign_in_to_the_receipt(
    site: Server, browser: Browser, tmp_path: Path, language: str, scripts: bool
) -> None:
    context = browser.new_context(java_script_enabled=scripts, accept_downloads=True)
    signed_in(site, Role.DPO, purpose=None).into(context)
    page, words = context.new_page(), WORDS[language]
    press = _Press(page, by_keyboard=scripts)
    page.goto(f"{site.url}/{language}/my")
    assert page.url == f"{site.url}/{language}/dpo"
    press(words["open"])
    # Before the first page that tells of persons: what for.
    page.get_by_role("radio", name=PURPOSE[language]).check()
    press(words["go on"])
    page.get_by_label(words["asked"]).select_option(label=words["kind"])
    page.get_by_label(words["home"], exact=True).fill(HOME)
    page.get_by_label(words["account"], exact=True).fill(PUPIL)
    press(words["opened"])
    press(words["known"])
    press(words["find"])
    press(words["prepare"])
    with page.expect_download() as saved:
        press(words["download"], leads=False)
    saved.value.save_as(tmp_path / "access.zip")
    assert f"index.{language}.html" in ZipFile(tmp_path / "access.zip").namelist()
    press(words["on"])
    press(words["close"])
    press(words["close"])
    press(words["receipt"])
    article = page.locator("article").inner_text()
    assert words["done"] in article and PUPIL not in article
    page.emulate_media(media="print")
    assert not page.locator(".nav").first.is_visible() and page.locator("article").is_visible()
    assert PUPIL not in page.url
    context.close()


class _Press:
    """Presses links and buttons by their name: with the keys alone, or with a click where no script tells the focus."""

    def __init__(self, page: Page, *, by_keyboard: bool) -> None:
        self._page = page
        self._by_keyboard = by_keyboard

    def __call__(self, name: str, *, leads: bool = True) -> None:
        """``leads``: another page comes of it."""
        with self._page.expect_navigation() if leads else nullcontext():
            if self._by_keyboard:
                reach(self._page, name)
                self._page.keyboard.press("Enter")
            else:
                wanted = self._page.locator("main").get_by_text(name, exact=True)
                wanted.and_(self._page.locator("a, button")).first.click()


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_on_what_one_request_one_entry_and_one_search_show(
    site: Server, browser: Browser, view: View
) -> None:
    requests, today = site.container.people.requests, site.container.platform.today()
    who = data_subject_of([{"account": {"homePage": HOME, "name": PUPIL}}])
    ids = [requests.open(kind, who, received=today - timedelta(days=40), actor="cli:test").id for kind in KINDS]
    for id in ids[1:]:
        requests.identify(id, note="seen", actor="cli:test")
    requests.refuse(ids[5], reason="not founded", actor="cli:test")
    act = site.container.retention.contracts.end(
        "ent", today + timedelta(days=99), word="Le recteur", reason="fin du contrat", actor="cli:test"
    )
    paths = [
        "dpo",
        "dpo/requests",
        *(f"dpo/requests/{id}" for id in ids),
        *(f"dpo/requests/{ids[1]}/{page}" for page in ("refuse", "extend", "close", "export", "erase", "rectify")),
        *(f"dpo/requests/{ids[1]}/{page}" for page in ("object", "restrict", "receipt")),
        f"dpo/certificates/{act.id}",
        "dpo/retention",
    ]
    page = opened(browser, view.width, view.scheme, checked=True)
    signed_in(site, Role.DPO).into(page.context)
    for path in paths:
        looked_at(page, site, path, view)
    page.context.close()


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_on_what_forms_answer(site: Server, browser: Browser, view: View) -> None:
    page = opened(browser, view.width, view.scheme, checked=True)
    signed_in(site, Role.DPO).into(page.context)

    def held(name: str) -> None:
        page.wait_for_load_state()
        picture = PICTURES / f"dpo_{name}-{view.language}-{view.scheme}-{view.width}.png"
        page.screenshot(path=str(picture), full_page=True)
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond <= 0, f"{name} is {beyond} px wider than the window"
        found = Axe().run(page, options={"runOnly": RULES})
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"

    def sent(path: str, **fields: str) -> None:
        page.goto(f"{site.url}/{view.language}/{path}")
        for name, text in fields.items():
            page.evaluate(
                "([name, text]) => { const at = document.getElementsByName(name)[0]; if (at.type == 'checkbox') "
                "at.checked = true; else at.value = text; }",
                [name, text],
            )
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        page.evaluate("document.querySelectorAll('form').forEach(each => { each.noValidate = true; })")
        with page.expect_navigation():
            page.locator("main form button:not(.vh)").last.click()

    sent("dpo/requests/open", home1=HOME)
    held("open_request_faults")
    sent("dpo/audit", home1=HOME, name1=PUPIL)
    held("audit_found")
    sent("dpo/recipients", home1=HOME, name1=PUPIL)
    held("recipients_of")
    sent("dpo/register/new")
    held("register_faults")
    versions = site.container.governance.register.history("p2ia")
    sent("dpo/register/p2ia/edit", **{"/retention/active_days": "30"})
    held("register_preview")
    # Nothing is added by looking.
    assert site.container.governance.register.history("p2ia") == versions
    sent("dpo/retention/sources/tutor/delete", everything="yes", word="Le recteur", reason="essai")
    held("deletion_planned")
    page.context.close()


def test_the_navigation_takes_one_line_on_a_phone(site: Server, browser: Browser) -> None:
    context: BrowserContext = browser.new_context(viewport={"width": 320, "height": 700})
    signed_in(site, Role.DPO).into(context)
    page = context.new_page()
    for language in ("fr", "en"):
        page.goto(f"{site.url}/{language}/dpo/year")
        tops = page.evaluate("[...document.querySelectorAll('.nav a')].map(each => each.getBoundingClientRect().top)")
        assert len(tops) == 7 and len(set(tops)) == 1
        # What is beyond the edge comes into sight when the keyboard reaches it.
        page.locator(".nav a").last.focus()
        box = page.locator(".nav a").last.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 320
    context.close()
