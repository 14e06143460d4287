"""The page: what senders wrote is text in it, whatever it is; it needs nothing else; chart and table say the same."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import fields
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from app.people.access_package import export_page, export_summary
from app.people.access_package.export_summary import MAX_LENGTH, Summary, Words, words_of
from app.people.access_package.export_words import BASES, LANGUAGES, MONTHS, PURPOSES, README, WORDS
from app.settings import Settings, split_purposes

AT = 1_790_000_000_000_000
VOID = {"meta", "br", "hr", "img", "input", "link"}
# Those of the template; a page has no other element, whatever it tells of.
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "ul", "li", "nav", "a", "table"),
    *(
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "svg",
        "desc",
        "line",
        "text",
        "rect",
        "div",
        "section",
        "dl",
        "dt",
    ),
    *("dd", "bdi", "strong"),
}


class Reader(HTMLParser):
    """Reads a page as a browser would, near enough: elements, attributes, text, and whether they nest."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data


def about(text: str = "text", **changes: Any) -> dict[str, Any]:
    """The ``about`` of a package, with a sender's text wherever there can be one."""
    words = Words(text, text)._asdict()
    entry = {
        "name": {"fr": text, "en": text},
        "purposes": [{"fr": text, "en": text}, {"fr": text, "en": text}],
        "legal_basis": {"article": "6.1.e", "reference": {"fr": text, "en": text}},
        "data_categories": [{"fr": text, "en": text}],
        "recipients": [{"fr": text, "en": text}],
        "transfers": [{"country": "CH", "recipient": {"fr": text, "en": text}, "safeguards": {"fr": text, "en": text}}],
        "retention": {"active_days": 1096, "justification": {"fr": text, "en": text}},
        "controller": {"name": text, "contact": text},
        "joint_controllers": [{"name": text, "contact": text}],
        "processors": [{"name": text, "contact": text}],
        "dpo": {"name": text, "contact": text},
    }
    tool = {
        "source": "tutor",
        "name": text,
        "own": 1234,
        "voided": 1,
        "mentions": 2,
        "documents": 1,
        "until": AT,
        "closed_months": 3,
        "ended": AT,
        "ended_before": AT,
        "months": {"2026-09": 1000, "2026-11": 236},
        "processing_activity": entry,
    }
    line = {
        "stored": AT,
        "happened": AT,
        "tool": text,
        "role": "mention",
        "voided": True,
        "verb": words,
        "about": words,
        "result": words,
    }
    reading = {
        "reader": text,
        "way": "asked",
        "purpose": text,
        "treatment": None,
        "count": 3,
        "first": "2025-03",
        "last": "2026-11-01",
    }
    return {
        "organisation": "default",
        "timezone": "Europe/Paris",
        "made": AT,
        "case": text,
        "identifiers": [text],
        "pseudonyms": [{"identifier": "account:home|" + "0" * 32, "made_of": text, "source": "tutor", "name": text}],
        "contacts": [{"controller": entry["controller"], "dpo": entry["dpo"]}],
        "requests": 1,
        "empty": False,
        "restricted": AT,
        "objects": ["research"],
        "own": 1234,
        "voided": 1,
        "mentions": 2,
        "documents": 1,
        "attachments": 1,
        "attachment_bytes": 3_500_000,
        "sessions": 1,
        "unreadable": 1,
        "first": AT,
        "last": AT,
        "tools": [tool, {**tool, "name": "tutor 2", "processing_activity": None, "months": {}}],
        "verbs": [{"iri": text, "words": words, "count": 7}],
        "other_verbs": 1,
        "activities": [{"iri": text, "words": words, "count": 7}],
        "other_activities": 1,
        "latest": [line],
        "roles": [["instructor", 2], ["reference", 1]],
        "readings": [reading],
        "readings_since": AT,
        "exports": [{"at": AT, "package": text, "aggregates": [text], "recipients": [text]}],
        **changes,
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_what_the_law_asks_for(language: str) -> None:
    read = Reader(export_page.page(about(), language))
    numbers = "1\u202f234" if language == "fr" else "1,234"
    for said in (
        numbers,
        BASES[language]["6.1.e"],
        "CNIL",
        WORDS[language]["purposes"],
        WORDS[language]["rights_text"],
    ):
        assert said in read.text
    assert dict(read.elements)["html"]["lang"] == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_empty_answer_is_an_answer(language: str) -> None:
    read = Reader(export_page.page(about(empty=True), language))
    assert WORDS[language]["nothing"] in read.text
    contact = about()["contacts"][0]
    for said in ("CNIL", "requests.json", contact["dpo"]["contact"], contact["controller"]["name"]):
        assert said in read.text
    assert "art. 17" in read.text
    assert "svg" not in dict(read.elements)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_can_be_used_by_everybody(language: str) -> None:
    read = Reader(export_page.page(about(), language))
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = [attributes for tag, attributes in read.elements if tag == "svg"]
    assert all(
        each.get("aria-hidden") == "true" or set(str(each["aria-labelledby"]).split()) <= set(ids) for each in pictures
    )
    headings = [attributes for tag, attributes in read.elements if tag == "th"]
    assert headings and all(each.get("scope") in {"row", "col"} for each in headings)
    links = [str(attributes["href"]) for tag, attributes in read.elements if tag == "a"]
    assert links and all(link.startswith("#") and link[1:] in ids for link in links)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_needs_nothing_else_and_forbids_it(language: str) -> None:
    page = export_page.page(about(), language).decode()
    read = Reader(page.encode())
    assert not {"script", "img", "link", "iframe", "object", "form", "base"} & {tag for tag, _ in read.elements}
    loading = {"src", "srcset", "style", "action", "xlink:href", "background", "poster", "data"}
    assert not [
        each for _, each in read.elements if loading & each.keys() or any(name.startswith("on") for name in each)
    ]
    policy = next(str(each["content"]) for tag, each in read.elements if tag == "meta" and "http-equiv" in each)
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"url\(|@import|https?://", page)


HOSTILE = [
    "</title><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</style><style>*{display:none}",
    "{{ 7*7 }}{% raw %}",
    "&#60;script&#62;",
    "</bdi></td></table></main><h1>Forged",
    "<!-- ",
    "]]><script>",
    "\u202eelif.exe\u2066 \u200f",
    "\x00\x08\x1b[31m\x85\u2028",
    "a" * 1_000_000,
    "0\u0301" * 10_000,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "שלום עולם",
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_of_a_sender_is_more_than_text(text: str, language: str) -> None:
    plain = Reader(export_page.page(about(), language))
    page = export_page.page(about(text), language)
    read = Reader(page)
    # The same elements, with the same attributes, in the same order: the text is nothing but text.
    assert read.elements == plain.elements
    assert len(page) < 120_000
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", read.text)


@settings(max_examples=60, deadline=None)
@given(some.text(max_size=400))
def test_no_text_at_all_is_more_than_text(text: str) -> None:
    plain = Reader(export_page.page(about(), "fr"))
    assert Reader(export_page.page(about(text), "fr")).elements == plain.elements


def test_elements_are_those_of_the_template() -> None:
    assert {tag for tag, _ in Reader(export_page.page(about(), "en")).elements} <= ELEMENTS


def test_both_languages_have_the_same_words_and_the_template_uses_them_all() -> None:
    assert WORDS["fr"].keys() == WORDS["en"].keys()
    assert BASES["fr"].keys() == BASES["en"].keys()
    assert len(MONTHS["fr"]) == len(MONTHS["en"]) == 12
    for language in LANGUAGES:
        assert all(text.strip() for text in WORDS[language].values())
        assert "manifest.json" in README[language]
    for name, text in WORDS["fr"].items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", WORDS["en"][name])), name
    template = (export_page._FOLDER / "person.html").read_text()
    used = set(re.findall(r"w\.([a-z_]+)", template)) | {"other_tools", "earlier"}
    composed = {name for name in WORDS["fr"] if name.startswith(("role_", "way_", "identifier_"))}
    assert used | composed == set(WORDS["fr"])


# --- the chart --------------------------------------------------------------------------------------

months = some.dictionaries(
    some.builds(lambda year, month: f"{year}-{month:02}", some.integers(2015, 2031), some.integers(1, 12)),
    some.integers(1, 5_000),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(some.lists(months, max_size=9))
def test_the_chart_counts_every_statement_once(listed: list[dict[str, int]]) -> None:
    drawn = export_page.chart([{"name": f"tool {n}", "months": each} for n, each in enumerate(listed)], "en")
    total = sum(sum(each.values()) for each in listed)
    assert sum(month.total for month in drawn.months) == total
    assert all(sum(month.counts) == month.total and len(month.counts) == len(drawn.series) for month in drawn.months)
    assert len(drawn.months) <= export_page.MAX_MONTHS + 1
    assert len(drawn.series) <= len(export_page.COLOURS) + 1
    for bar in drawn.bars:
        assert drawn.left <= bar.x and bar.x + bar.width <= drawn.width + 0.01
        assert bar.y >= 0 and bar.y + bar.height <= drawn.height
    heights = sum(bar.height for bar in drawn.bars)
    if total:
        highest = drawn.lines[-1].value
        assert highest >= max(month.total for month in drawn.months)
        assert heights == pytest.approx(total / highest * (drawn.height - 44), rel=0.01, abs=len(drawn.bars) * 0.01)


def test_a_month_without_statements_is_shown_as_such() -> None:
    drawn = export_page.chart([{"name": "tutor", "months": {"2025-12": 1, "2026-02": 3}}], "fr")
    assert [(month.label, month.total) for month in drawn.months] == [("12/2025", 1), ("01/2026", 0), ("02/2026", 3)]


# --- what is counted --------------------------------------------------------------------------------


def test_memory_is_bounded_whatever_comes() -> None:
    summary = Summary(ZoneInfo("Europe/Paris"))
    for number in range(3_000):
        statement = {
            "verb": {"id": f"https://v.example/{number}", "display": {"en": "x" * 10_000}},
            "object": {"id": f"https://a.example/{number}", "definition": {"name": {"fr": "y" * 10_000}}},
            "result": {"response": "z" * 10_000},
            "timestamp": "2026-01-01T00:00:00Z",
        }
        summary.statement(statement, stored=AT + number, source="tutor", own=True, voided=False, roles=["actor"])
    assert summary.own == 3_000
    assert [line.stored for line in summary.latest] == [AT + 2_999 - n for n in range(100)]
    assert sum(each.number for each in summary.verbs.most(50)) + summary.verbs.rest(50) == 3_000
    assert all(len(each.words.fr) <= MAX_LENGTH for each in summary.activities.most(50))
    assert all(len(text) <= MAX_LENGTH for line in summary.latest for text in line.result)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("PT12S", "12 s"),
        ("PT1H2M3.45S", "1 h 2 min 3.45 s"),
        ("PT90M", "90 min"),
        ("P1DT2H", "P1DT2H"),
        ("PT", "PT"),
    ],
)
def test_a_duration_is_told_in_symbols_of_units(sent: str, said: str) -> None:
    summary = Summary(ZoneInfo("Europe/Paris"))
    statement = {
        "verb": {"id": "https://v.example/1"},
        "object": {"id": "https://a.example/1"},
        "result": {"duration": sent},
    }
    summary.statement(statement, stored=AT, source="tutor", own=True, voided=False, roles=["actor"])
    assert summary.latest[0].result.en == said
    assert summary.latest[0].result.fr == said.replace(".", ",")


@pytest.mark.parametrize(
    ("sent", "fr", "en"),
    [
        ({"score": {"raw": 8.5, "max": 20}}, "8,5/20", "8.5/20"),
        ({"score": {"scaled": 1}}, "100\u202f%", "100%"),
        ({"response": "3.14"}, "« 3.14 »", "« 3.14 »"),
    ],
)
def test_numbers_have_the_form_of_their_language(sent: dict[str, object], fr: str, en: str) -> None:
    summary = Summary(ZoneInfo("Europe/Paris"))
    statement = {"verb": {"id": "https://v.example/1"}, "object": {"id": "https://a.example/1"}, "result": sent}
    summary.statement(statement, stored=AT, source="tutor", own=True, voided=False, roles=["actor"])
    assert summary.latest[0].result == (fr, en)


def test_the_store_and_recipients_have_the_controllers_name() -> None:
    export = {"at": AT, "package": "p", "aggregates": ["a"], "recipients": ["default", "Inspection"]}
    read = Reader(export_page.page(about(exports=[export]), "fr"))
    name = about()["contacts"][0]["controller"]["name"]
    assert f"« {name} »" in read.text
    assert f"{name}, Inspection" in read.text
    assert "default" not in read.text


def test_identifiers_are_told_in_words() -> None:
    given = ["account:https://ent.example/a%7Cb|p-7|f", "mbox:mailto:a@ent.example", "openid:https://o.example/z"]
    read = Reader(export_page.page(about(identifiers=given), "fr"))
    assert "compte p-7|f, de https://ent.example/a|b" in read.text
    assert "adresse électronique a@ent.example" in read.text
    assert "OpenID https://o.example/z" in read.text
    assert "account:" not in read.text


def test_months_are_those_of_the_place() -> None:
    summary = Summary(ZoneInfo("Europe/Paris"))
    # 2026-10-31T23:30:00Z is in November there.
    statement = {"verb": {"id": "https://v.example/1"}, "object": {"id": "https://a.example/1"}}
    summary.statement(statement, stored=1_793_489_400_000_000, source="tutor", own=True, voided=False, roles=["actor"])
    assert dict(summary.tools["tutor"].months) == {"2026-11": 1}


@pytest.mark.parametrize(
    ("texts", "fr", "en"),
    [
        ({"fr-FR": "a répondu", "en-US": "answered"}, "a répondu", "answered"),
        ({"en": "answered"}, "answered", "answered"),
        ({"de": "antwortete"}, "antwortete", "antwortete"),
        ({}, "answered", "answered"),
        (None, "answered", "answered"),
    ],
)
def test_words_come_in_the_language_or_in_another(texts: object, fr: str, en: str) -> None:
    assert words_of(texts, "http://adlnet.gov/expapi/verbs/answered") == Words(fr, en)


# --- what is promised, and how it is said -----------------------------------------------------------


def one_tool(**changes: Any) -> dict[str, Any]:
    made = about("x")
    made["tools"] = [{**made["tools"][0], **changes}]
    return made


@pytest.mark.parametrize("language", LANGUAGES)
def test_months_are_those_in_which_it_happened(language: str) -> None:
    summary = Summary(ZoneInfo("Europe/Paris"))
    for said, stored in (
        # Sent in November, of an exercise in June.
        ("2026-06-30T21:59:59Z", AT),
        # 2026-06-30T22:00:00Z is in July there.
        ("2026-06-30T22:00:00Z", AT),
        # A clock that is years ahead: when it was stored says more.
        ("2199-01-01T00:00:00Z", AT),
        (None, AT),
    ):
        statement = {"verb": {"id": "https://v.example/1"}, "object": {"id": "https://a.example/1"}}
        more = {} if said is None else {"timestamp": said}
        summary.statement(statement | more, stored=stored, source="t", own=True, voided=False, roles=["actor"])
    stored_in = f"{export_summary.moment(AT).astimezone(ZoneInfo('Europe/Paris')):%Y-%m}"
    assert dict(summary.tools["t"].months) == {"2026-06": 1, "2026-07": 1, stored_in: 2}
    assert WORDS[language]["chart_note"] in Reader(export_page.page(about(), language)).text


def test_statements_of_long_ago_are_counted_in_the_chart() -> None:
    drawn = export_page.chart([{"name": "tutor", "months": {"0001-01": 2, "1900-05": 3, "2026-02": 1}}], "en")
    assert (drawn.months[0].total, sum(month.total for month in drawn.months)) == (5, 6)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_day_of_deletion_is_promised_for_restricted_data(language: str) -> None:
    text = Reader(export_page.page(one_tool(until=None) | {"restricted": AT}, language)).text
    assert WORDS[language]["retention_restricted"] in text
    assert WORDS[language]["retention_until"].partition("{")[0] not in text
    free = Reader(export_page.page(one_tool() | {"restricted": None}, language)).text
    assert WORDS[language]["retention_restricted"] not in free
    assert WORDS[language]["retention_until"].partition("{")[0] in free


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_account_that_ended_is_told_with_what_follows(language: str) -> None:
    ended = Reader(export_page.page(one_tool(), language)).text
    assert WORDS[language]["retention_ended"].partition("{")[0] in ended
    assert "3 mois après la fin" in ended or "3 months after your account" in ended
    goes_on = one_tool(closed_months=None, ended=None, ended_before=None)
    text = Reader(export_page.page(goes_on, language)).text
    assert WORDS[language]["retention_ended"].partition("{")[0] not in text
    assert "3 mois" not in text and "3 months" not in text


@pytest.mark.parametrize(
    ("language", "count", "said"),
    [
        ("fr", 0, "0 trace de votre activité"),
        ("fr", 1, "1 trace de votre activité"),
        ("fr", 2, "2 traces de votre activité"),
        ("fr", 1_234, "1\u202f234 traces de votre activité"),
        ("en", 0, "0 traces of what you did"),
        ("en", 1, "1 trace of what you did"),
        ("en", 1_234, "1,234 traces of what you did"),
    ],
)
def test_numbers_are_said_in_the_grammar_of_the_language(language: str, count: int, said: str) -> None:
    assert said in Reader(export_page.page(one_tool(own=count), language)).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_readings_are_told_with_their_purpose_and_their_time(language: str) -> None:
    def reported(**changes: Any) -> str:
        reading = {"reader": "r", "way": "asked", "purpose": None, "treatment": None, "count": 1}
        reading |= {"first": "2025-03", "last": "2026-11-01", **changes}
        return Reader(export_page.page(about() | {"readings": [reading]}, language)).text

    assert PURPOSES[language]["research"] in reported(purpose="research")
    assert "local-code" in reported(purpose="local-code")
    assert "The treatment" in reported(treatment={"fr": "The treatment", "en": "The treatment"})
    assert WORDS[language]["why_unsaid"] in reported()
    times = ("mars 2025", "1er novembre 2026") if language == "fr" else ("March 2025", "1 November 2026")
    assert all(time in reported() for time in times)


def test_every_purpose_of_an_installation_has_words() -> None:
    known = split_purposes(str(next(spec.default for spec in fields(Settings) if spec.name == "purposes")))
    assert "research" in known
    assert set(known) == PURPOSES["fr"].keys() == PURPOSES["en"].keys()
