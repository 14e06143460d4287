"""Refusals of what lies outside a perimeter, each on record before it is answered."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, g, request

from app.access.principals import Principal
from app.core.audit_sink import AuditSink
from app.core.errors import OutsidePerimeter, SillageError
from app.governance.audit.log import OUTSIDE_PERIMETER


def note(principal: Principal) -> None:
    """Take note of who asks, for the entry about a refusal."""
    g.bounded = principal.id


def install(app: Flask, audit: AuditSink, answered: Callable[[SillageError], Response]) -> None:
    """Have every ``OutsidePerimeter`` put on record, whichever route raises it; ``answered`` makes the answer.

    The entry says who asked, for which route, and what kind of thing lay outside: no value that was sent.
    """

    def refused(error: OutsidePerimeter) -> Response:
        rule = "" if request.url_rule is None else request.url_rule.rule
        try:
            audit.append(OUTSIDE_PERIMETER, g.get("bounded", "nobody"), {"route": rule, "asked": error.asked})
        except SillageError as failed:
            return answered(failed)
        return answered(error)

    app.register_error_handler(OutsidePerimeter, refused)
