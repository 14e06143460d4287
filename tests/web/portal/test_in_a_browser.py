"""Pages in Chromium: what axe finds, what does not fit, what the keyboard reaches. Pictures of all are kept.

axe has the criteria of WCAG 2.2 AA and of the RGAA that a program can check; the rest is looked at, in the pictures.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from app.core import contracts
from tests.places import ROOT
from tests.served import Server, serving
from tests.web.portal.pages import PAGES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = ROOT / "build" / "pages"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "RGAAv4", "best-practice"]
VIEWS = [
    ("fr", "light", 1280),
    ("en", "dark", 320),
    *(
        pytest.param(language, scheme, width, marks=pytest.mark.long)
        for language in ("fr", "en")
        for scheme in ("light", "dark")
        for width in (320, 768, 1280)
        if (language, scheme, width) not in {("fr", "light", 1280), ("en", "dark", 320)}
    ),
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    named = {"service_name": "Traces d\u2019apprentissage, académie de Port-Clair", "contact": "contact@ent.example"}
    with serving(tmp_path_factory.mktemp("browser"), mongodb_uri, workers="1", **named) as server:
        for entry in ("ent", "p2ia"):
            document = (ROOT / "docs" / "examples" / "processing-activities" / f"{entry}.json").read_bytes()
            if orjson.loads(document)["id"] not in {each.id for each in server.container.governance.register.list()}:
                server.container.governance.register.add(document)
        for profile in ("ent.jsonld", "p2ia.jsonld"):
            server.container.traces.profiles.add(contracts.folder("profiles", profile).read_bytes())
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def opened(browser: Browser, width: int, scheme: str = "light", *, checked: bool = False) -> Page:
    """A page without scripts of its own; ``checked``: axe may put its script in, which the policy forbids."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=checked,
        java_script_enabled=True,
    )
    return context.new_page()


@pytest.mark.parametrize(("language", "scheme", "width"), VIEWS)
def test_axe_finds_nothing_and_nothing_is_cut_off(
    site: Server, browser: Browser, language: str, scheme: str, width: int
) -> None:
    page = opened(browser, width, scheme, checked=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for path in PAGES:
        answer = page.goto(f"{site.url}/{language}/{path}")
        assert answer is not None and answer.status == 200
        picture = PICTURES / f"{path.replace('/', '_') or 'home'}-{language}-{scheme}-{width}.png"
        page.screenshot(path=str(picture), full_page=True)
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond <= 0, f"{path} is {beyond} px wider than the window"
        found = Axe().run(page, options={"runOnly": RULES})
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
    page.context.close()


def test_the_policy_of_a_page_hinders_nothing_that_it_needs(site: Server, browser: Browser) -> None:
    page = opened(browser, 1280)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("response", lambda answer: said.extend([answer.url] if answer.status != 200 else []))
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    for path in PAGES:
        page.goto(f"{site.url}/fr/{path}")
    assert said == [] and hosts == {site.url.removeprefix("http://")}
    # The style sheet came through, the layer below it too.
    assert page.evaluate("getComputedStyle(document.querySelector('.top')).backgroundColor") == "rgb(11, 37, 64)"
    assert page.context.cookies() == []
    page.context.close()


def test_no_name_of_a_variable_is_broken_where_there_is_room(site: Server, browser: Browser) -> None:
    page = opened(browser, 1280)
    page.goto(f"{site.url}/fr/data-sets/ent_usage")
    lines = page.evaluate("[...document.querySelectorAll('td code')].map(each => each.getClientRects().length)")
    assert lines and set(lines) == {1}
    page.context.close()


def test_the_keyboard_reaches_the_content_first_and_every_link_shows_its_focus(site: Server, browser: Browser) -> None:
    page = opened(browser, 1280)
    page.goto(f"{site.url}/en/processing-activities/ent")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.goto(f"{site.url}/en/")
    links, outlined = page.locator("a[href]").count(), 0
    for _ in range(links + 2):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "A":
            outlined += page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
    assert outlined >= links
    page.context.close()


def test_from_the_door_to_whom_to_write_to_in_three_steps(site: Server, browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(locale="fr-FR", java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/")
    page.get_by_role("link", name="Ce qui est conservé", exact=True).click()
    page.get_by_role("link", name="Suivi des usages").click()
    assert page.get_by_role("link", name="dpd@academie-demo.example").get_attribute("href") == (
        "mailto:dpd@academie-demo.example"
    )
    page.get_by_role("link", name="English").click()
    assert page.url.endswith("/en/processing-activities/ent") and page.locator("h1").inner_text().startswith(
        "Follow-up"
    )
    page.emulate_media(media="print")
    page.screenshot(path=str(tmp_path / "print.png"))
    assert not page.locator(".nav").first.is_visible()
    context.close()
