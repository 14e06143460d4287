"""The stored statements that others refer to, for the templates that ask of which template they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from app import lossless
from app.storage.sealed_reader import SealedReader
from app.storage.statements import Statements


class Referred:
    """Gives stored statements by id. Safe to share between threads."""

    def __init__(self, statements: Statements, reader: SealedReader) -> None:
        self._statements = statements
        self._reader = reader

    def find(self, source: str, identities: Sequence[UUID]) -> Mapping[str, Mapping[str, Any]]:
        """Of these statements, those stored by the source itself: nobody learns of what another has sent."""
        rows = [row for row in self._statements.some(identities) if row.source == source]
        return {str(plain.id): lossless.loads(plain.body) for plain in self._reader.opened(rows)}


def identifiers(statements: Iterable[Mapping[str, Any]]) -> list[UUID]:
    """Ids of the statements that these refer to, as object or in the context."""
    found = []
    for statement in statements:
        target, context = statement.get("object"), statement.get("context")
        inner = context.get("statement") if type(context) is dict else None
        for each in (target, inner):
            if type(each) is dict and each.get("objectType") == "StatementRef":
                found.append(UUID(each["id"]))
    return found
