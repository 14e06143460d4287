"""Public pages: what is kept here, by whom, why, for how long, and whom to write to."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response, request

from app.core.language import LANGUAGES
from app.web.portal import language as languages
from app.web.portal.assets import Assets
from app.web.portal.frame import HEADERS, NAME, Frame
from app.web.portal.public_record import PublicRecord

_PLAIN: Final = {
    "legal": "legal.html",
    "personal_data": "personal_data.html",
    "accessibility": "accessibility.html",
    "help": "help.html",
    "site_map": "site_map.html",
}
_PATHS: Final = {
    "legal": "legal-notice",
    "personal_data": "personal-data",
    "accessibility": "accessibility",
    "help": "help",
    "site_map": "site-map",
}
ENDPOINTS: Final = frozenset(
    f"{NAME}.{name}" for name in ("home", "activities", "activity", "data_sets", "data_set", "profiles", *_PLAIN)
)
"""Endpoints whose answers are the same for everybody."""
LASTING: Final = frozenset({f"{NAME}.asset"})
"""Endpoints whose answers never change, since their addresses have the edition."""


def blueprint(frame: Frame, record: PublicRecord, assets: Assets) -> Blueprint:
    """The routes."""
    routes = Blueprint(NAME, __name__)
    spoken = f"<any({','.join(LANGUAGES)}):language>"

    def asset(name: str, edition: str = "") -> Response:
        found = assets.get(name)
        answer = Response(found.content, content_type=found.type)
        answer.headers.update(HEADERS)
        return answer

    def door() -> Response:
        chosen = languages.preferred(request.headers.get("Accept-Language"))
        # Relative: this server may see another name than the browser does.
        headers = {"Location": frame.address("home", language=chosen), "Vary": "Accept-Language", **HEADERS}
        return Response(status=302, headers=headers)

    def home(language: str) -> Response:
        return frame.page(
            language, "home.html", "home", figures=record.figures(), activities=record.activities(), **_smallest(record)
        )

    def activities(language: str) -> Response:
        return frame.page(language, "activities.html", "activities", activities=record.activities())

    def activity(language: str, id: str) -> Response:
        return frame.page(language, "activity.html", "activities", activity=record.activity(id))

    def data_sets(language: str) -> Response:
        return frame.page(language, "data_sets.html", "data_sets", data_sets=record.data_sets().values())

    def data_set(language: str, name: str) -> Response:
        found = record.data_set(name)
        return frame.page(language, "data_set.html", "data_sets", data_set=found, minimum=record.minimum(found))

    def profiles(language: str) -> Response:
        return frame.page(language, "profiles.html", "profiles", profiles=record.profiles())

    routes.add_url_rule("/", "door", door)
    routes.add_url_rule(f"/assets/{assets.edition}/<path:name>", "asset", asset)
    # Of another edition, while hosts run two versions: better the file of this one than none, and nobody keeps it.
    routes.add_url_rule("/assets/<edition>/<path:name>", "other_asset", asset)
    # Without its slash, too: a redirection would be to the name that this server was asked by, and without TLS.
    routes.add_url_rule(f"/{spoken}/", "home", home, strict_slashes=False)
    routes.add_url_rule(f"/{spoken}/processing-activities", "activities", activities)
    routes.add_url_rule(f"/{spoken}/processing-activities/<id>", "activity", activity)
    routes.add_url_rule(f"/{spoken}/data-sets", "data_sets", data_sets)
    routes.add_url_rule(f"/{spoken}/data-sets/<name>", "data_set", data_set)
    routes.add_url_rule(f"/{spoken}/profiles", "profiles", profiles)
    for name, template in _PLAIN.items():
        routes.add_url_rule(f"/{spoken}/{_PATHS[name]}", name, _Plain(frame, record, name, template))
    return routes


class _Plain:
    """A page of the installation: its text, and what the register says of whom to write to."""

    def __init__(self, frame: Frame, record: PublicRecord, name: str, template: str) -> None:
        self._frame = frame
        self._record = record
        self._name = name
        self._template = template

    def __call__(self, language: str) -> Response:
        record = self._record
        return self._frame.page(
            language,
            self._template,
            self._name,
            activities=record.activities(),
            data_sets=record.data_sets().values(),
            **_smallest(record),
        )


def _smallest(record: PublicRecord) -> dict[str, Any]:
    return {"minimum": min((record.minimum(each) for each in record.data_sets().values()), default=0)}
