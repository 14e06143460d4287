"""Principals: who asks, in whichever way they have shown it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from app.access.perimeters import EVERYTHING, Perimeter


class Kind(StrEnum):
    """Kind of a principal."""

    SOURCE = "source"
    """A tool or platform: what it sends is kept in its name, under its processing activity."""
    PERSON = "person"
    """Somebody who reads or decides: a researcher, a DPO, an operator."""


class Principal(NamedTuple):
    """The principal that sends a request.

    Attributes:
        kind: A source, or a person.
        id: Stable public id, of a credential today: what the audit log has as ``actor``, fit for logs.
        scopes: What it may do, implied scopes included.
        source: The source it acts for; never None of the kind ``SOURCE``.
        purpose: Code of what the request is for; None where nobody has said it.
        perimeter: The part of what is kept that it may read.
    """

    kind: Kind
    id: str
    scopes: frozenset[str]
    source: str | None = None
    purpose: str | None = None
    perimeter: Perimeter = EVERYTHING

    @property
    def share(self) -> str:
        """Key of the share of a server that it asks from: one for all credentials of a source, else its own."""
        return f"{self.kind}:{self.source if self.kind is Kind.SOURCE else self.id}"


class Sender(NamedTuple):
    """A principal that is a source: what only those who send may do is done in its name.

    Attributes:
        id: As of the principal.
        source: The source.
        scopes: As of the principal.
    """

    id: str
    source: str
    scopes: frozenset[str]
