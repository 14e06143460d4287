"""The headers of the xAPI resources: version in and out, Consistent-Through."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from flask import Flask, Response, g, request

from app.core.errors import BadVersion
from app.standards.xapi.timestamps import render
from app.standards.xapi.versions import Version, negotiate

VERSION = "X-Experience-API-Version"
CONSISTENT_THROUGH = "X-Experience-API-Consistent-Through"
VERDICT = "X-Sillage-Profile-Verdict"


def install(app: Flask, prefix: str, default_version: str, consistent_through: Callable[[], int]) -> None:
    """Give every answer under ``prefix`` its xAPI headers, errors included."""

    @app.after_request
    def add(answer: Response) -> Response:
        path = request.path
        if path.startswith(f"{prefix}/"):
            # xAPI-Communication 3.3: every answer says its version; that of a request without one is a setting.
            answer.headers[VERSION] = g.get("xapi_version", default_version)
        if path == f"{prefix}/statements":
            # xAPI-Communication 2.1.3: on every answer; what was read before the query when there was one.
            bound = g.get("consistent_through")
            # A statement still to come may be stamped with the bound itself, and `since` excludes what equals it.
            answer.headers[CONSISTENT_THROUGH] = render((consistent_through() if bound is None else bound) - 1)
        return answer


def headers_outside(
    prefix: str, default_version: str, consistent_through: Callable[[], int]
) -> Callable[[str, str], dict[str, str]]:
    """The headers that ``install`` gives every answer, for answers made without Flask, by path; the origin is not
    looked at.
    """

    def given(path: str, _origin: str) -> dict[str, str]:
        if not path.startswith(f"{prefix}/"):
            return {}
        made = {VERSION: default_version}
        if path == f"{prefix}/statements":
            made[CONSISTENT_THROUGH] = render(consistent_through() - 1)
        return made

    return given


def version() -> Version:
    """The version this request is made in.

    Raises:
        BadVersion: no version header, or one not spoken here.
    """
    spoken = negotiate(request.headers.get(VERSION))
    g.xapi_version = spoken.value
    return spoken


def whatever_version() -> None:
    """Answer in the version that the request names if it is one spoken here, else as if it named none.

    For the resource that tells which versions are spoken (xAPI-Communication 2.8).
    """
    with suppress(BadVersion):
        version()
