"""The explorer in Chromium: from sign-in to a chart and its CSV, with and without JavaScript, by keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from app.access.roles import Role
from tests.served import Server, serving
from tests.web.portal.browsing import NEEDED, View, drawn, looked_at, opened
from tests.web.portal.explored import counted, statements
from tests.web.portal.signed_in import signed_in

VIEW = "explore?table=outcomes&measure=success_rate&by=level&from=2026-09-07&to=2026-11-29"

pytestmark = NEEDED


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    named = {"service_name": "Traces d\u2019apprentissage, académie de Port-Clair"}
    with serving(tmp_path_factory.mktemp("explorer-browser"), mongodb_uri, workers="1", **named) as server:
        counted(server.container, statements(years=2))
        yield server


def entered(site: Server, context: BrowserContext) -> Page:
    """A page of a researcher who is signed in."""
    signed_in(site, Role.RESEARCHER, purpose="research").into(context)
    return context.new_page()


def test_a_researcher_gets_to_a_chart_its_table_and_its_csv(site: Server, browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(locale="fr-FR")
    page = entered(site, context)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{site.url}/fr/my")
    page.get_by_label("Table", exact=True).select_option(label="Résultats d'apprentissage")
    page.get_by_role("button", name="Prendre cette table").click()
    page.get_by_label("Chiffre du graphique").select_option(label="Taux de réussite")
    page.get_by_role("checkbox", name="Niveau").check()
    page.get_by_label("Premier jour").fill("2026-09-07")
    page.get_by_label("Dernier jour").fill("2026-11-29")
    page.get_by_role("button", name="Mettre à jour la vue").click()
    drawn(page)
    title = "Taux de réussite par semaine (Niveau)"
    assert page.get_by_role("heading", name=title).is_visible()
    picture = page.get_by_role("group", name=title).get_by_role("img")
    assert "6\u00a0chiffres sont masqués." in str(picture.get_attribute("aria-label"))
    assert page.get_by_role("cell", name="masqué, petit groupe").count() == 6
    assert (
        page.get_by_role("row")
        .filter(has_text="7 sept. 2026")
        .get_by_role("cell")
        .nth(3)
        .inner_text()
        .endswith("\u202f%")
    )
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Cases en CSV").click()
    waiting.value.save_as(tmp_path / "cells.csv")
    assert (tmp_path / "cells.csv").read_text().startswith("week,level,attempts,")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="PNG").click()
    assert waiting.value.suggested_filename == "view.png"
    # The address is the view's: whoever opens it sees the same, in the other language too.
    page.goto(str(page.get_by_label("Adresse permanente").input_value()))
    page.get_by_role("link", name="English").click()
    drawn(page)
    assert page.get_by_role("heading", name="Success rate by week (Level)").is_visible()
    assert said == []
    context.close()


def test_without_javascript_the_same_cells_and_files_are_there(site: Server, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = entered(site, context)
    page.goto(f"{site.url}/fr/explore")
    page.get_by_label("Table", exact=True).select_option("outcomes")
    page.get_by_role("button", name="Prendre cette table").click()
    page.get_by_role("checkbox", name="Niveau").check()
    page.get_by_text("Filtres").click()
    page.locator("#only-level").select_option("1001000C11")
    page.get_by_role("button", name="Mettre à jour la vue").click()
    assert page.locator(".drawing").is_hidden() and page.locator("figure button").first.is_hidden()
    assert page.get_by_role("rowheader", name="1001000C11").first.is_visible()
    assert page.get_by_role("rowheader", name="1011000111").count() == 0
    for name, ending in (
        ("Cases en CSV", ".csv"),
        ("Cases en Parquet", ".parquet"),
        ("Spécification (Vega-Lite)", ".vl.json"),
    ):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=name).click()
        assert waiting.value.suggested_filename.endswith(ending)
    context.close()


def test_the_keyboard_is_enough(site: Server, browser: Browser) -> None:
    context = browser.new_context()
    page = entered(site, context)
    page.goto(f"{site.url}/en/explore?table=outcomes")
    drawn(page)

    def to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            found = page.evaluate(
                "(document.activeElement.labels || [])[0]?.innerText || document.activeElement.innerText"
            )
            if str(found).strip() == name:
                # Where one is can be seen.
                assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
                return
        raise AssertionError(f"{name} is not reached")

    to("Level")
    page.keyboard.press("Space")
    to("Compare with")
    page.keyboard.press("a")
    to("Show")
    page.keyboard.press("Enter")
    page.wait_for_url("**/explore?*by=level*compare=whole*")
    drawn(page)
    assert page.get_by_role("rowheader", name="All together").first.is_visible()
    to("SVG")
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    assert waiting.value.suggested_filename == "view.svg"
    context.close()


@pytest.mark.parametrize("view", [View("fr", "light", 1280), View("en", "dark", 320)])
@pytest.mark.parametrize("compared", ["", "&compare=whole", "&compare=year"])
def test_axe_finds_nothing_and_nothing_is_cut_off(site: Server, browser: Browser, view: View, compared: str) -> None:
    page = opened(browser, view.width, view.scheme, checked=True)
    signed_in(site, Role.RESEARCHER, purpose="research").into(page.context)
    looked_at(page, site, VIEW + compared, view)
    page.context.close()
