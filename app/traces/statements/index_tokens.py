"""From the identifiers of a statement to blind index entries, on the way in and in queries."""

from __future__ import annotations

from app.crypto.keys import IndexKey, OrganisationKeys
from app.crypto.kinds import ACTIVITY, AGENT, REGISTRATION, RELATED_ACTIVITY, RELATED_AGENT, SOURCE, VERB
from app.keys.key_service import KeyService
from app.standards.xapi.identifiers import VOIDED, Keys
from app.standards.xapi.query import StatementQuery
from app.traces.statements.store import Filter


class VoidingVerbTokens:
    """The verb that voids, as statements are found by it. Keys are opened when its entries are first asked for."""

    def __init__(self, keys: KeyService) -> None:
        self._keys = keys

    def tokens(self) -> tuple[bytes, ...]:
        """Its blind index entries: of both index keys while one is replaced."""
        return self._keys.organisation.index.tokens(VERB, VOIDED)


def of_statement(index: IndexKey, source: str, found: Keys) -> tuple[bytes, ...]:
    """Tokens of a statement of a source, all of one generation of the index key; that of the source always.

    Those of which it has one come first: of a statement with very many, only the first are carried by others that refer
    to it (``app/traces/statements/store.py``).
    """
    token = index.token
    tokens = [token(SOURCE, source), token(VERB, found.verb)]
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
    keys: OrganisationKeys, query: StatementQuery, *, mine: str | None, authority_source: str | None
) -> Filter:
    """The filter of a query, the tokens likely to be most selective first.

    Args:
        keys: The organisation's keys.
        query: What the client asks.
        mine: Only statements of this source.
        authority_source: The source whose authority the queried agent is, if any: authorities are set by the store, so
            a statement's source says who its authority is.
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
