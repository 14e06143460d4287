"""The stored statements that others refer to, for the templates that ask of which template they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from app.core import lossless
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Statements

MAX_BYTES = 32 * 1024 * 1024
"""Of the stored statements, as JSON and as sealed, that one batch refers to and that are looked at: ten thousand of
3 KiB. A batch of a few bytes for each could otherwise have gigabytes opened."""


class Reading(Protocol):
    """Statements, and what decrypts them: made when it is first asked for, since most commands need no key."""

    @property
    def statements(self) -> Statements:
        """The stored statements."""

    @property
    def reader(self) -> StatementReader:
        """Decrypts them."""


class Referred:
    """Gives stored statements by id. Safe to share between threads."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def find(self, source: str, ids: Sequence[UUID]) -> Mapping[str, Mapping[str, Any]]:
        """Of these statements, those stored by the source itself: nobody learns of what another has sent.

        The first ``MAX_BYTES`` of them, in no order: what is beyond counts as not stored.
        """
        rows = [row for row in self._reading.statements.some(ids, MAX_BYTES) if row.source == source]
        opened, _, _ = self._reading.reader.decrypted_within(rows, MAX_BYTES)
        return _Decoding({str(plain.id): plain.body for plain in opened})


class _Decoding(Mapping[str, Mapping[str, Any]]):
    """Statements by id, each decoded when it is looked at: all of them at once would take twenty times as much."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self._bodies = bodies

    def __getitem__(self, id: str) -> Mapping[str, Any]:
        statement: Mapping[str, Any] = lossless.loads(self._bodies[id])
        return statement

    def __iter__(self) -> Iterator[str]:
        return iter(self._bodies)

    def __len__(self) -> int:
        return len(self._bodies)


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
