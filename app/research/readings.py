"""Readings of aggregates: the same for everybody who asks, whichever way, and within their perimeter.

Readings of figures are on record; those of what a form offers (aggregates, months, values of dimensions) are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final

from app.access.principals import Principal
from app.access.reach import Reaches
from app.core.audit_sink import AuditSink
from app.research.aggregates import PAGE_LIMIT, Aggregates, Answer, Query, Status
from app.research.definitions import Definition

READ: Final = "aggregate-read"
"""Kind of the audit entry about a reading."""


class AggregateReadings:
    """Aggregates as principals read them. Safe to share between threads."""

    def __init__(self, aggregates: Aggregates, reaches: Reaches, audit: AuditSink) -> None:
        """``audit`` takes an entry for each reading."""
        self._aggregates = aggregates
        self._reaches = reaches
        self._audit = audit

    def status(self, principal: Principal) -> Sequence[Status]:
        """The status of each aggregate of which something is told within the perimeter.

        Raises:
            OutsidePerimeter: nothing lies within it.
        """
        return self._aggregates.status(self._reaches.of(principal.perimeter))

    def months(self, principal: Principal, definition: Definition) -> Sequence[str]:
        """The months of an aggregate of which something is shown, within the days of the perimeter."""
        return self._aggregates.months(definition, principal.perimeter.since, principal.perimeter.until)

    def values(
        self, principal: Principal, definition: Definition, first: date | None, last: date | None
    ) -> Mapping[str, Sequence[str]]:
        """The values of each dimension in an interval, within the perimeter; ``""`` is for "not said".

        Raises:
            OutsidePerimeter: the aggregate does not tell what bounds it.
        """
        reach = self._reaches.of(principal.perimeter)
        return self._aggregates.values(definition, definition.dimension_names, first, last, reach)

    def read(self, principal: Principal, query: Query) -> Answer:
        """The answer to a question; it is on record before anybody has it.

        Raises:
            SillageError: as ``Aggregates.query``; or nothing can be put on record.
        """
        found = self._aggregates.query(query, self._reaches.of(principal.perimeter))
        # The values of filters stay out of it.
        self._audit.append(
            READ,
            principal.id,
            {
                "aggregate": found.definition.id,
                "from": query.first and query.first.isoformat(),
                "to": query.last and query.last.isoformat(),
                "by": list(found.by),
                "filtered": [dimension for dimension, _ in query.where],
                "rows": len(found.rows),
            },
        )
        return found

    def read_all(self, principal: Principal, query: Query) -> Iterator[Answer]:
        """The whole answer to a question, a page at a time; each page is on record."""
        cursor = query.cursor
        while True:
            found = self.read(principal, query._replace(limit=PAGE_LIMIT, cursor=cursor))
            yield found
            cursor = found.next
            if cursor is None:
                return
