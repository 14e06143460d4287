"""From the identifiers of a statement to blind index entries, on the way in and in queries."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.access.reach import Reach
from app.core.clock import Today
from app.crypto.keys import IndexKey, IndexKeys, OrganisationKeys
from app.crypto.kinds import (
    ACTIVITY,
    AGENT,
    DAY,
    MONTH,
    REGISTRATION,
    RELATED_ACTIVITY,
    RELATED_AGENT,
    SCHOOL,
    SOURCE,
    VERB,
)
from app.keys.key_service import KeyService
from app.standards.xapi.identifiers import VOIDED, Keys
from app.standards.xapi.query import StatementQuery
from app.traces.statements.store import Bounds, Filter
from app.traces.statements.whereabouts import Whereabouts

EPOCH = date(1970, 1, 1)
"""The first day: nothing is taken to have happened before."""
_KNOWN_AT_MOST = 64
"""Reaches whose bounds are remembered: each may have thousands of tokens."""


class ReachBounds:
    """Bounds of statements for a reach: its sources, schools and months as blind index entries.

    Remembered, for an académie has thousands of schools, until the index key or the day is another. Safe to share
    between threads.
    """

    def __init__(self, keys: OrganisationKeys, zone: ZoneInfo, today: Today) -> None:
        """``zone``: of the days of events."""
        self._keys = keys
        self._zone = zone
        self._today = today
        self._known: dict[tuple[Reach, IndexKeys, date], Bounds] = {}

    def of(self, reach: Reach) -> Bounds:
        """The bounds of a reach."""
        key = (reach, self._keys.index, self._today())
        bounds = self._known.get(key)
        if bounds is None:
            if len(self._known) >= _KNOWN_AT_MOST:
                self._known.clear()
            bounds = self._known[key] = self._made(*key)
        return bounds

    def _made(self, reach: Reach, index: IndexKeys, today: date) -> Bounds:
        groups = [
            tuple(token for name in sorted(names) for token in index.tokens(kind, name))
            for kind, names in ((SOURCE, reach.sources), (SCHOOL, reach.schools))
            if names is not None
        ]
        since, until = reach.since, reach.until
        past = until is not None and until < today
        if since is None and not past:
            return Bounds(tuple(groups))
        # Nothing has happened later than today: all of this month, where the last day is yet to come.
        last = until if past and until is not None else _month_end(max(since or EPOCH, today))
        return Bounds(
            tuple(groups),
            _of_days(index, since or EPOCH, last),
            None if since is None else self._microseconds(since),
            self._microseconds(last + timedelta(days=1)) if past else None,
        )

    def _microseconds(self, day: date) -> int:
        """The beginning of a day."""
        return max(0, round(datetime.combine(day, time(), self._zone).timestamp())) * 1_000_000


def _of_days(index: IndexKeys, first: date, last: date) -> tuple[bytes, ...]:
    """The tokens of the days from one to another: of whole months theirs, else of the days."""
    named: list[tuple[str, str]] = []
    day = first
    while day <= last:
        end = _month_end(day)
        if day.day == 1 and end <= last:
            named.append((MONTH, f"{day:%Y-%m}"))
            day = end + timedelta(days=1)
        else:
            named.append((DAY, day.isoformat()))
            day += timedelta(days=1)
    # The latest first: most asks for the newest.
    return tuple(token for kind, text in reversed(named) for token in index.tokens(kind, text))


def _month_end(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


class VoidingVerbTokens:
    """The verb that voids, as statements are found by it. Keys are opened when its entries are first asked for."""

    def __init__(self, keys: KeyService) -> None:
        self._keys = keys

    def tokens(self) -> tuple[bytes, ...]:
        """Its blind index entries: of both index keys while one is replaced."""
        return self._keys.organisation.index.tokens(VERB, VOIDED)


def of_statement(index: IndexKey, source: str, found: Keys, where: Whereabouts) -> tuple[bytes, ...]:
    """Tokens of a statement of a source, all of one generation of the index key; that of the source always.

    Those of which it has one come first: of a statement with very many, only the first are carried by others that refer
    to it (``app/traces/statements/store.py``).
    """
    token = index.token
    tokens = [token(SOURCE, source), token(VERB, found.verb)]
    if where.school is not None:
        tokens.append(token(SCHOOL, where.school))
    if where.late is not None:
        tokens += (token(MONTH, where.late[:7]), token(DAY, where.late))
    if found.registration is not None:
        tokens.append(token(REGISTRATION, found.registration))
    for kind, texts in (
        (ACTIVITY, found.activities),
        (AGENT, found.agents),
        (RELATED_ACTIVITY, found.related_activities),
        (RELATED_AGENT, found.related_agents),
    ):
        for text in texts:
            tokens.append(token(kind, text))
    return tuple(tokens)


def of_query(
    keys: OrganisationKeys,
    query: StatementQuery,
    *,
    mine: str | None,
    authority_source: str | None,
    bounds: Bounds | None = None,
) -> Filter:
    """The filter of a query, the tokens likely to be most selective first.

    Args:
        keys: The organisation's keys.
        query: What the client asks.
        mine: Only statements of this source.
        authority_source: The source whose authority the queried agent is, if any: authorities are set by the store, so
            a statement's source says who its authority is.
        bounds: Bounds of what the reader may see.
    """
    index = keys.index
    tokens: list[tuple[bytes, ...]] = []
    if query.registration is not None:
        tokens.append(index.tokens(REGISTRATION, query.registration))
    if query.agent is not None:
        agents = index.tokens(AGENT, query.agent)
        if query.related_agents:
            agents += index.tokens(RELATED_AGENT, query.agent)
            if authority_source is not None:
                agents += index.tokens(SOURCE, authority_source)
        tokens.append(agents)
    if query.activity is not None:
        activities = index.tokens(ACTIVITY, query.activity)
        if query.related_activities:
            activities += index.tokens(RELATED_ACTIVITY, query.activity)
        tokens.append(activities)
    if query.verb is not None:
        tokens.append(index.tokens(VERB, query.verb))
    return Filter(
        tuple(tokens),
        query.since,
        query.until,
        () if mine is None else index.tokens(SOURCE, mine),
        moving=index.moving,
        bounds=bounds,
    )


def named(keys: OrganisationKeys, query: StatementQuery, *, mine: str | None) -> tuple[str, ...]:
    """The parameters of a query, for the audit log: tokens in hexadecimal that outlive the index key."""
    asked = [
        (REGISTRATION, query.registration),
        (AGENT, query.agent),
        (RELATED_AGENT, query.agent if query.related_agents else None),
        (ACTIVITY, query.activity),
        (RELATED_ACTIVITY, query.activity if query.related_activities else None),
        (VERB, query.verb),
        (SOURCE, mine),
    ]
    return tuple(keys.named(kind, value).hex() for kind, value in asked if value is not None)
