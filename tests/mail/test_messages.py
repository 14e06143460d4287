"""Messages: in both languages, as text and as HTML that says the same; nothing in them acts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from html import unescape

import pytest
from jinja2 import UndefinedError

from app.core.language import LANGUAGES
from app.mail.messages import TEMPLATES, Composer, Message, Service

SERVICE = Service("Traces of Test", "https://traces.example", "help@traces.example")
VALUES: Mapping[str, Mapping[str, object]] = {
    "invitation": {"link": "https://traces.example/open#abc&d", "until": date(2026, 12, 1)},
    "requests-due": {"overdue": 1, "due_soon": 1_200, "days": 7},
    "trial": {},
}


def composed(template: str, language: str, service: Service = SERVICE, **values: object) -> Message:
    return Composer(service).compose(template, language, {**VALUES[template], **values})


def test_values_are_given_for_each_template() -> None:
    assert {path.stem for path in TEMPLATES.glob("*.txt")} - {"signature"} == VALUES.keys()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", VALUES)
def test_text_and_html_say_the_same(template: str, language: str) -> None:
    message = composed(template, language)
    assert message.subject.strip() and "\n" not in message.subject
    body = message.html.partition("<body")[2].partition(">")[2]
    shown = [unescape(re.sub("<[^>]*>", "", each)) for each in re.findall("<p>(.*?)</p>", body, re.DOTALL)]
    assert shown == message.text.strip().split("\n\n")
    assert all(shown) and SERVICE.name in message.text and SERVICE.contact in message.text
    assert f'<html lang="{language}">' in message.html


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_invitation_has_its_link_alone_and_its_end(language: str) -> None:
    message = composed("invitation", language)
    assert "\n\nhttps://traces.example/open#abc&d\n\n" in message.text
    assert 'href="https://traces.example/open#abc&amp;d"' in message.html
    assert {"fr": "1er décembre 2026", "en": "1 December 2026"}[language] in message.text


def test_counts_agree_in_each_language() -> None:
    french, english = composed("requests-due", "fr"), composed("requests-due", "en")
    assert "1\u00a0demande d’exercice de droits est en retard" in french.text
    assert "1\u202f200\u00a0demandes d’exercice de droits arrivent" in french.text
    assert "1 data-subject request is late" in english.text
    assert "1,200 data-subject requests are due" in english.text
    assert "late:" not in composed("requests-due", "en", overdue=0).text


def test_what_names_the_service_does_not_act() -> None:
    message = composed("trial", "en", Service("<b>x</b>\n\nhttps://evil.example\nBcc: a@b.example", "https://x", ""))
    assert "\n" not in message.subject
    assert "<b>" not in message.html and "href" not in message.html


def test_a_value_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(UndefinedError):
        Composer(SERVICE).compose("invitation", "fr", {"until": date(2026, 12, 1)})


def test_a_service_without_a_name_has_that_of_the_product() -> None:
    assert "Sillage" in composed("trial", "fr", Service("", "https://x", "")).text
