"""Ends of accounts, as sources announce them (``/api/v1/accounts``)."""

from __future__ import annotations

from flask import Blueprint, Response

from app.access.scopes import ACCOUNTS
from app.retention.closed_accounts import Accounts, of_json
from app.web.api import asked
from app.web.api.answers import answer
from app.web.gate import Gate

_MAX_BYTES = 8 * 1024 * 1024


def blueprint(gate: Gate, accounts: Accounts) -> Blueprint:
    """The route: a source speaks of its own accounts."""
    routes = Blueprint("accounts", __name__)

    @routes.post("/accounts")
    def announce() -> Response:
        sender = gate.sender(ACCOUNTS)
        done = accounts.announce(sender.source, of_json(asked.raw(_MAX_BYTES)), actor=sender.id)
        return answer(done._asdict())

    return routes
