"""Messages composed from templates, in French and English, as plain text and as HTML that says the same.

A template is a plain text: its first line is the subject, paragraphs are parted by blank lines, and an address (URL)
that stands alone is a link. The HTML is made of the same paragraphs, so the two never differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from app.core.language import LANGUAGES, day, number, translations

TEMPLATES: Final = Path(__file__).parent / "templates"
LOCALES: Final = Path(__file__).parent / "locales"
NO_NAME: Final = "Sillage"
"""The name of a service that has none of its own."""

_LINKS = ("https://", "http://")
_HTML: Final = Markup(
    '<!DOCTYPE html>\n<html lang="{language}">\n<head><meta charset="utf-8"><title>{subject}</title></head>\n'
    '<body style="font-family: sans-serif; line-height: 1.5; max-width: 40em">\n{paragraphs}\n</body>\n</html>\n'
)


class Message(NamedTuple):
    """A message, composed: its subject, and its text in both forms."""

    subject: str
    text: str
    html: str


class Service(NamedTuple):
    """The service that messages speak of: its name, its address, the address for questions (may be empty)."""

    name: str
    url: str
    contact: str


class Composer:
    """Composes messages. Safe to share between threads."""

    def __init__(self, service: Service) -> None:
        """``service``: what messages speak of."""
        # A header field is one line, whatever an operator wrote.
        self._service = service._replace(name=_line(service.name) or NO_NAME)

    @property
    def name(self) -> str:
        """The name of the service."""
        return self._service.name

    def compose(self, template: str, language: str, values: Mapping[str, object]) -> Message:
        """Compose a message.

        Args:
            template: Name of a file in ``templates/``, without its suffix.
            language: One of ``LANGUAGES``.
            values: Everything that the template names, and no more than it must say of anybody.

        Raises:
            TemplateError: a mistake of ours: no such template, or a value that is missing.
        """
        written = _environment(language).get_template(f"{template}.txt").render(service=self._service, **values)
        subject, _, rest = written.strip().partition("\n")
        paragraphs = [" ".join(paragraph.split("\n")).strip() for paragraph in rest.strip().split("\n\n")]
        return Message(_line(subject), "\n\n".join(paragraphs) + "\n", _html(language, subject, paragraphs))


def _line(text: str) -> str:
    return " ".join(text.splitlines()).strip()


def _html(language: str, subject: str, paragraphs: list[str]) -> str:
    body = Markup("\n").join(
        Markup('<p><a href="{0}">{0}</a></p>').format(paragraph)
        if paragraph.startswith(_LINKS) and " " not in paragraph
        else Markup("<p>{0}</p>").format(paragraph)
        for paragraph in paragraphs
    )
    return str(_HTML.format(language=language, subject=escape(subject), paragraphs=body))


@cache
def _environment(language: str) -> Environment:
    if language not in LANGUAGES:
        raise ValueError(f"no language of messages: {language}")
    environment = Environment(  # noqa: S701 - plain text; the HTML is made of it, escaped
        loader=FileSystemLoader(TEMPLATES),
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(translations(LOCALES, language), newstyle=True)  # type: ignore[attr-defined]
    environment.filters["number"] = lambda value: number(value, language)
    environment.filters["day"] = lambda value: day(value, language)
    return environment
