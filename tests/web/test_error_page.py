"""The page of an error, as a browser and somebody who cannot see it read it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from app.core import errors
from app.core.errors import NotFound, SillageError
from app.web import error_page

VOID = {"meta"}


class Page(HTMLParser):
    """Content of a page; fails where its tags do not close."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(content.decode())
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            self.texts.setdefault(tag, []).append(data)

    def text(self, tag: str) -> str:
        return " ".join("".join(self.texts.get(tag, [])).split())


def made(error: SillageError, french: bool = False) -> Page:
    return Page(error_page.page(error, french=french, request_id="abcd-1234"))


@pytest.mark.parametrize("french", [False, True], ids=["en", "fr"])
@pytest.mark.parametrize("kind", list(errors.every()), ids=lambda kind: kind.code)
def test_the_page_of_every_error(kind: type[SillageError], french: bool) -> None:
    page = made(kind("Send it again."), french)
    tags = [tag for tag, _ in page.tags]
    assert dict(page.tags)["html"] == {"lang": "fr" if french else "en"}
    assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
    # The title says what happened, and what to do.
    assert page.text("title").startswith(page.text("h1") + " – ")
    assert page.text("title").split(" – ")[1] in page.text("main")
    assert (kind.title_fr if french else kind.title) in page.text("dl")
    assert kind.code in page.text("dl") and "abcd-1234" in page.text("dl")
    # Details are in English only: a voice that reads French out is told.
    (detail,) = [attributes for tag, attributes in page.tags if tag == "dd" and attributes]
    assert detail == {"lang": "en"} and "Send it again." in page.text("dd")


def test_languages_differ_where_people_read() -> None:
    for kind in errors.every():
        english, french = made(kind("x")), made(kind("x"), french=True)
        for tag in ("title", "h1", "h2", "p"):
            assert english.text(tag) and (english.text(tag) != french.text(tag) or tag == "header"), (kind, tag)


def test_nothing_runs_and_nothing_is_fetched() -> None:
    page = made(NotFound())
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "form", "object", "base", "svg"}
    assert not [name for _, attributes in page.tags for name in attributes if name in {"src", "href", "style"}]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    style = "".join(page.texts["style"])
    assert "url(" not in style and "@import" not in style
    policy = dict(each.strip().partition(" ")[::2] for each in error_page.HEADERS["Content-Security-Policy"].split(";"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == {
        "sandbox": "",
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_whatever_an_error_says_is_text() -> None:
    wild = "</dd><script>alert(1)</script> & \"'\ud800{heading}"
    content = error_page.page(NotFound(wild), french=False, request_id="<b>")
    assert b"<script" not in content and b"<b>" not in content
    page = Page(content)
    assert "</dd><script>alert(1)</script> & \"'?{heading}" in page.text("dl")


def test_what_a_detail_quotes_is_code_and_text_all_the_same() -> None:
    page = made(NotFound("See `/xAPI/about`, `<script>` or `."))
    assert [text for text in page.texts["code"] if text in ("/xAPI/about", "<script>")] == ["/xAPI/about", "<script>"]
    assert "See /xAPI/about, <script> or `." in page.text("dl")


def luminance(colour: str) -> float:
    whole = colour * 2 if len(colour) == 3 else colour
    parts = [int(whole[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_texts_can_be_read_in_the_light_and_in_the_dark() -> None:
    # WCAG 2.2, 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for what informs.
    style = "".join(made(NotFound()).texts["style"])
    schemes = [dict(re.findall(r"--([a-z]+):#([0-9a-f]+)", text)) for text in style.split("@media", 1)]
    for scheme in schemes:
        assert scheme.keys() == {"paper", "surface", "ink", "muted", "line", "mark"}
        for ground in ("paper", "surface"):
            assert contrast(scheme["ink"], scheme[ground]) >= 7
            assert contrast(scheme["muted"], scheme[ground]) >= 4.5
        assert contrast(scheme["mark"], scheme["paper"]) >= 3
    assert contrast("fff", "0b2540") >= 7
