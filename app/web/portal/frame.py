"""The frame of every page: who runs the service, the navigation, the language, and what a browser may do with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from flask import Response, current_app, request, url_for
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from werkzeug.routing import BuildError

from app.core import language as languages
from app.core.clock import Today, moment_of
from app.core.language import LANGUAGES
from app.settings import Settings
from app.standards.xapi.languages import Languages
from app.web.portal.charts import Chart
from app.web.portal.language import translations
from app.web.portal.vega_lite import PALETTE, specification

TEMPLATES: Final = Path(__file__).parent / "templates"
NAME: Final = "portal"
"""Name of the blueprint."""

_MONTH: Final = len("2026-11")

HEADERS: Final = {
    # Nothing from elsewhere, no script, no style in the page itself; no other page holds this one.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SCRIPTED: Final = HEADERS["Content-Security-Policy"].replace("style-src", "script-src 'self'; style-src")
"""The policy of a page with a chart: scripts of this server, in files; none in the page, and none made from text."""

_PALETTE: Final = orjson.dumps({colour: name for name, colour in PALETTE.items()}).decode()


class Installation(NamedTuple):
    """Facts about who runs the service, as the operator gives them; empty where nobody has said.

    ``demo``: people sign in without a second factor.
    """

    name: str
    contact: str
    publisher: str
    director: str
    host: str
    accessibility: str
    demo: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Installation:
        """Those of the settings."""
        return cls(
            settings.service_name,
            settings.contact,
            settings.publisher,
            settings.publication_director,
            settings.hosted_by,
            settings.accessibility,
            settings.demo_without_second_factor,
        )


class Frame:
    """Renders pages. Safe to share between threads."""

    def __init__(self, installation: Installation, today: Today, zone: ZoneInfo, root: str = "") -> None:
        """``today``: the date where the organisation is; ``zone``: of the times that pages tell; ``root``: path below
        which clients reach the store, which a proxy takes away.
        """
        self._root = root
        self._installation = installation
        self._today = today
        # One for each language: its words are compiled into the templates.
        self._environment = cache(partial(_environment, zone=zone))

    def page(
        self, language: str, template: str, current: str, *, charts: Sequence[Chart] = (), **content: Any
    ) -> Response:
        """A page.

        Args:
            language: One of ``LANGUAGES``.
            template: Name of its template.
            current: Endpoint of the page, or of the one above it, that the navigation marks.
            charts: Those that the template draws (``charts.html``): with one, the page has scripts.
            content: Values that the template names; ``carried``: query that the page in another language has too.
        """
        environment = self._environment(language)
        body = environment.get_template(template).render(
            language=language,
            others=[
                (code, name, self._elsewhere(code, current, content.get("carried", {})))
                for code, name in LANGUAGES.items()
                if code != language
            ],
            installation=self._installation,
            current=f"{NAME}.{current}",
            # Of an entry the navigation marks the list, which is another page.
            here=request.endpoint == f"{NAME}.{current}",
            today=self._today(),
            link=lambda endpoint, **values: self.address(endpoint, language=language, **values),
            asset=lambda path: self.address("asset", name=path),
            charts=charts,
            palette=_PALETTE,
            **{"visitor": None, **content},
        )
        answer = Response(body, content_type="text/html; charset=utf-8")
        answer.headers["Content-Language"] = language
        answer.headers.update(HEADERS)
        if charts:
            answer.headers["Content-Security-Policy"] = _SCRIPTED
        return answer

    def address(self, endpoint: str, **values: Any) -> str:
        """The address of a page or an asset, for a browser: the path alone, since this server may see another name."""
        return self._root + url_for(f"{NAME}.{endpoint}", **values)

    def under_root(self, path: str) -> str:
        """A path of this site as a browser asks for it."""
        return self._root + path

    def _elsewhere(self, language: str, current: str, carried: Mapping[str, str]) -> str:
        name, values = str(request.endpoint).removeprefix(f"{NAME}."), request.view_args or {}
        if request.method == "POST" and not _is_shown(str(request.endpoint)):
            # What a form has answered is nowhere in another language: the page that it belongs to is.
            with suppress(BuildError):
                return self.address(current, **{**carried, "language": language})
            name, values = "home", {}
        return self.address(name, **{**values, **carried, "language": language})


def _is_shown(endpoint: str) -> bool:
    return any("GET" in (rule.methods or ()) for rule in current_app.url_map.iter_rules(endpoint))


def _environment(language: str, zone: ZoneInfo) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined] # by the extension
    environment.filters.update(_filters(language, zone))
    return environment


def _filters(language: str, zone: ZoneInfo) -> Mapping[str, Callable[..., object]]:
    wanted = Languages((language,))

    def text(both: Mapping[str, str]) -> str:
        """Of a text in several languages, the one of the page: `fr-FR` too, where a profile says so."""
        return both[wanted.chosen(both) or ""] if both else ""

    def number(value: float) -> str:
        return languages.number(value, language)

    def day(value: date) -> str:
        return languages.day(value, language)

    def moment(value: datetime) -> str:
        return languages.moment(value.astimezone(zone), language)

    def instant(microseconds: int) -> str:
        """A moment, of microseconds since 1970 UTC."""
        return moment(moment_of(microseconds))

    def day_of(value: datetime) -> str:
        return languages.day(value.astimezone(zone).date(), language)

    def month(value: date) -> str:
        return languages.month(value, language)

    def known_day(value: str) -> str:
        # `2026-11-30`, or `2026-11` where no more is known.
        return month(date.fromisoformat(f"{value}-01")) if len(value) == _MONTH else day(date.fromisoformat(value))

    def texts(several: Sequence[Mapping[str, str]]) -> list[str]:
        return [text(each) for each in several]

    def drawn(chart: Chart) -> str:
        """The specification that the browser draws."""
        return orjson.dumps(specification(chart)).decode()

    def share(value: float) -> str:
        return languages.share(value, language)

    return {
        "drawn": drawn,
        "text": text,
        "texts": texts,
        "number": number,
        "share": share,
        "day": day,
        "day_of": day_of,
        "month": month,
        "known_day": known_day,
        "moment": moment,
        "moment_of": moment_of,
        "instant": instant,
    }
