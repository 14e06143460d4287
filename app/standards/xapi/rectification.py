"""Rectifying a statement (GDPR art. 16): statements never change, so the wrong one is voided and a right one stored.

Two extensions link them, as xAPI has no property for it: the right one says which it rectifies, and the voiding one by
which the voided one is rectified.
"""

from __future__ import annotations

from uuid import UUID

from app.standards.xapi import Statement
from app.standards.xapi.identifiers import VOIDED

RECTIFIES = "https://w3id.org/sillage/extensions/rectifies"
"""In the context of the right statement: id of the wrong one."""
RECTIFIED_BY = "https://w3id.org/sillage/extensions/rectified-by"
"""In the context of the voiding statement: id of the right one."""
ACTOR = "sillage:rectification"
"""Name of the account that voids; no source can have it."""


def rectifying(corrected: Statement, id: UUID, wrong: UUID) -> Statement:
    """The right statement, with its id and the link to the wrong one."""
    return {**corrected, "id": str(id), "context": _linked(corrected.get("context"), RECTIFIES, wrong)}


def voiding(id: UUID, wrong: UUID, corrected: UUID, home_page: str) -> Statement:
    """The statement that voids the wrong one (xAPI-Data 2.3.2), with the link to the right one.

    Args:
        id: Its id.
        wrong: What it voids.
        corrected: The right statement.
        home_page: URL of the store, whose account ``ACTOR`` voids.
    """
    return {
        "id": str(id),
        "actor": {"objectType": "Agent", "account": {"homePage": home_page, "name": ACTOR}},
        "verb": {"id": VOIDED, "display": {"en": "voided", "fr": "a annulé"}},
        "object": {"objectType": "StatementRef", "id": str(wrong)},
        "context": _linked(None, RECTIFIED_BY, corrected),
    }


def _linked(context: Statement | None, extension: str, id: UUID) -> Statement:
    kept = context or {}
    return {**kept, "extensions": {**kept.get("extensions", {}), extension: str(id)}}
