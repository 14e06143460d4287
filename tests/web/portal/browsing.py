"""Pages in Chromium, for tests: how they are looked at, what they are held to.

axe has the criteria of WCAG 2.2 AA and of the RGAA that a program can check; the rest is looked at, in the pictures.
"""

from __future__ import annotations

import re
import shutil
from typing import NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.places import ROOT
from tests.served import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = ROOT / "build" / "pages"
_NO_NAME = re.compile(r"[^A-Za-z0-9.-]+")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "RGAAv4", "best-practice"]


class View(NamedTuple):
    """A way of looking at a page: language, colour scheme, width of the window in pixels."""

    language: str
    scheme: str
    width: int


QUICK = (View("fr", "light", 1280), View("en", "dark", 320))
"""Views of the short run."""
EVERY = tuple(
    View(language, scheme, width)
    for language in ("fr", "en")
    for scheme in ("light", "dark")
    for width in (320, 768, 1280)
)
"""Views of the long run."""
VIEWS = [*QUICK, *(pytest.param(view, marks=pytest.mark.long) for view in EVERY if view not in QUICK)]

NEEDED = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")


def opened(browser: Browser, width: int, scheme: str = "light", *, checked: bool = False) -> Page:
    """A page without scripts of its own; ``checked``: axe may put its script in, which the policy forbids."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=checked,
        java_script_enabled=True,
    )
    return context.new_page()


def drawn(page: Page) -> None:
    """Wait until every chart of a page is drawn: by a selector, since the policy lets no text be evaluated."""
    expect(page.locator("figure[data-chart]:not([data-drawn])")).to_have_count(0, timeout=30_000)


def looked_at(page: Page, site: Server, path: str, view: View) -> None:
    """Open a page, keep its picture, and hold it to the window's width and to axe."""
    answer = page.goto(f"{site.url}/{view.language}/{path}")
    assert answer is not None and answer.status == 200, path
    drawn(page)
    held(page, _NO_NAME.sub("_", path) or "home", view)


def held(page: Page, name: str, view: View) -> None:
    """Keep the picture of a page that is open, and hold it to the window's width and to axe."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / f"{name}-{view.language}-{view.scheme}-{view.width}.png"
    page.screenshot(path=str(picture), full_page=True)
    beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert beyond <= 0, f"{name} is {beyond} px wider than the window"
    found = Axe().run(page, options={"runOnly": RULES})
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"
