"""Public pages in Chromium: what axe finds, what does not fit, what the keyboard reaches. Pictures of all are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from playwright.sync_api import Browser

from app.core import contracts
from tests.places import ROOT
from tests.served import Server, serving
from tests.web.portal.browsing import NEEDED, VIEWS, View, looked_at, opened
from tests.web.portal.pages import PAGES

pytestmark = NEEDED


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


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_and_nothing_is_cut_off(site: Server, browser: Browser, view: View) -> None:
    page = opened(browser, view.width, view.scheme, checked=True)
    for path in PAGES:
        looked_at(page, site, path, view)
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
