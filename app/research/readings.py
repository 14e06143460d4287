"""Readings of aggregates: the same for everybody who asks, whichever way, and within their perimeter.

Readings of figures are on record; those of what a form offers (aggregates, months, values of dimensions) are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from app.access.principals import Principal
from app.access.reach import Reaches
from app.core.audit_sink import AuditSink
from app.governance.audit.log import AGGREGATE_READ
from app.research.aggregates import PAGE_LIMIT, Aggregates, Answer, Query, Status
from app.research.definitions import Definition


def record(
    audit: AuditSink,
    actor: str,
    definition: Definition,
    days: tuple[date | None, date | None],
    *,
    by: Sequence[str],
    filtered: Sequence[str],
    rows: int | None,
) -> None:
    """Put a reading on record: names of filters, not their values; ``rows`` is None where they are not counted yet."""
    first, last = days
    audit.append(
        AGGREGATE_READ,
        actor,
        {
            "aggregate": definition.id,
            "from": first and first.isoformat(),
            "to": last and last.isoformat(),
            "by": [*by],
            "filtered": [*filtered],
            "rows": rows,
        },
    )


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
        found = self._answered(principal, query)
        self._record(principal, query, found, len(found.rows))
        return found

    def read_all(self, principal: Principal, query: Query) -> Iterator[Answer]:
        """The whole answer to a question, a page at a time; it is on record, once, before anybody has the first.

        Raises:
            SillageError: as ``read``.
        """
        query = query._replace(limit=PAGE_LIMIT)
        found = self._answered(principal, query)
        self._record(principal, query, found, len(found.rows) if found.next is None else None)
        yield found
        while found.next is not None:
            found = self._answered(principal, query._replace(cursor=found.next))
            yield found

    def _answered(self, principal: Principal, query: Query) -> Answer:
        return self._aggregates.query(query, self._reaches.of(principal.perimeter))

    def _record(self, principal: Principal, query: Query, found: Answer, rows: int | None) -> None:
        days, filtered = (query.first, query.last), [dimension for dimension, _ in query.where]
        record(self._audit, principal.id, found.definition, days, by=found.by, filtered=filtered, rows=rows)
