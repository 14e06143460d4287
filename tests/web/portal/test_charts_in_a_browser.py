"""Charts in Chromium: drawn under the policy of their page, in its scheme, in its language, and saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.web.portal.browsing import NEEDED, PICTURES, RULES, drawn
from tests.web.portal.charted import charted

pytestmark = NEEDED


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with charted() as address:
        yield address


def opened(
    browser: Browser,
    site: str,
    language: str = "fr",
    width: int = 1280,
    scheme: str = "light",
    *,
    checked: bool = False,
) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        timezone_id="America/Los_Angeles",
        bypass_csp=checked,
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto(f"{site}/{language}/charts")
    drawn(page)
    # Nothing was forbidden, nothing failed, nothing came from elsewhere.
    assert said == [] and hosts == {site.removeprefix("http://")}
    return page


def test_charts_are_drawn_under_a_policy_without_eval_and_without_styles_in_the_page(
    site: str, browser: Browser
) -> None:
    page = opened(browser, site)
    policy = page.request.get(f"{site}/fr/charts").headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy and "data:" not in policy and "blob:" not in policy
    assert page.locator("figure svg").count() == 3
    # What others wrote is shown as it is written, and did nothing.
    assert "<script>alert('x')</script>" in page.locator("#services svg").text_content()  # type: ignore[operator]
    # The policy does hold: text does not become a program.
    tried = "try { done(new Function('return 1')()); } catch { done('refused'); }"
    assert page.evaluate(f"new Promise((done) => setTimeout(() => {{ {tried} }}))") == "refused"
    page.context.close()


@pytest.mark.parametrize(
    ("language", "scheme", "width"), [("fr", "light", 1280), ("en", "dark", 320), ("fr", "dark", 1280)]
)
def test_axe_finds_nothing_and_nothing_is_cut_off(
    site: str, browser: Browser, language: str, scheme: str, width: int
) -> None:
    page = opened(browser, site, language, width, scheme, checked=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(PICTURES / f"charts-{language}-{scheme}-{width}.png"), full_page=True)
    beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert beyond <= 0
    for name in ("rates", "ages", "services"):
        drawn, figure = page.locator(f"#{name} svg").bounding_box(), page.locator(f"#{name}").bounding_box()
        assert drawn and figure and drawn["x"] + drawn["width"] <= figure["x"] + figure["width"]
    found = Axe().run(page, options={"runOnly": RULES})
    assert found.violations_count == 0, found.generate_report()
    page.context.close()


def test_a_chart_is_one_picture_with_one_text_and_its_heading(site: str, browser: Browser) -> None:
    page = opened(browser, site)
    assert page.get_by_role("group", name="Taux de réussite par semaine, trois niveaux").count() == 1
    assert page.get_by_role("heading", name="Taux de réussite par semaine, trois niveaux").count() == 1
    picture = page.locator("#rates").get_by_role("img")
    assert picture.count() == 1 and "Sixième\u00a0: de 61\u202f%" in str(picture.get_attribute("aria-label"))
    page.context.close()


def test_days_and_numbers_are_written_as_the_page_writes_them_wherever_the_browser_is(
    site: str, browser: Browser
) -> None:
    page = opened(browser, site)
    text = page.locator("#rates svg").text_content() or ""
    assert "7 sept." in text and "23 nov." in text and "75\u202f%" in text and "masqué, petit groupe" in text
    assert "2\u202f500" in (page.locator("#ages svg").text_content() or "")
    page.goto(f"{site}/en/charts")
    drawn(page)
    assert "7 Sept" in (page.locator("#rates svg").text_content() or "")
    page.context.close()


def test_colours_follow_the_scheme_while_the_page_is_open(site: str, browser: Browser) -> None:
    page = opened(browser, site)
    lines = "[...document.querySelectorAll('#rates svg .mark-line path')].map(each => each.getAttribute('stroke'))"
    assert "#0f3f6e" in page.evaluate(lines)
    page.emulate_media(color_scheme="dark")
    expect(page.locator("#rates svg .mark-line path[stroke='#7fb2e5']")).not_to_have_count(0)
    assert "#0f3f6e" not in page.evaluate(lines)
    page.context.close()


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_chart_is_saved_as_drawn_with_its_title_in_the_colours_of_paper(
    site: str, browser: Browser, kind: str, tmp_path: Path
) -> None:
    page = opened(browser, site, scheme="dark")
    with page.expect_download() as waiting:
        page.locator("#rates").get_by_role("button", name=kind.upper()).click()
    saved = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(saved)
    content = saved.read_bytes()
    assert saved.name == f"rates.{kind}"
    if kind == "svg":
        assert "Taux de réussite par semaine" in content.decode() and "#0f3f6e" in content.decode()
        assert "#7fb2e5" not in content.decode()
    else:
        assert content.startswith(b"\x89PNG") and int.from_bytes(content[16:20]) >= 1600
    page.context.close()


def test_without_javascript_the_table_stands_there_with_the_files_of_the_server(
    site: str, browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/fr/charts")
    assert page.locator("#rates .drawing").is_hidden() and page.locator("#rates button").first.is_hidden()
    assert page.get_by_role("cell", name="62,1\u202f%").is_visible()
    assert page.get_by_role("cell", name="masqué, petit groupe").first.is_visible()
    for name, ending in (("CSV", "csv"), ("Spécification (Vega-Lite)", "vl.json")):
        with page.expect_download() as waiting:
            page.locator("#rates").get_by_role("link", name=name).click()
        assert waiting.value.suggested_filename == f"rates.{ending}"
    context.close()
