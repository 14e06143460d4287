"""From the identifiers of a statement to blind tokens, on the way in and in queries."""

from __future__ import annotations

from collections.abc import Sequence

from app.storage.statements import Filter
from app.vault.keys import OrganisationKeys
from app.vault.kinds import ACTIVITY, AGENT, REGISTRATION, RELATED_ACTIVITY, RELATED_AGENT, SOURCE, VERB
from app.xapi.identifiers import Keys
from app.xapi.query import StatementQuery


def of_statement(keys: OrganisationKeys, source: bytes, found: Keys) -> tuple[bytes, ...]:
    """Tokens of a statement; ``source`` is its source's own token."""
    token = keys.token
    tokens = [source, token(VERB, found.verb)]
    tokens += [token(AGENT, agent) for agent in found.agents]
    tokens += [token(RELATED_AGENT, agent) for agent in found.related_agents]
    tokens += [token(ACTIVITY, activity) for activity in found.activities]
    tokens += [token(RELATED_ACTIVITY, activity) for activity in found.related_activities]
    if found.registration is not None:
        tokens.append(token(REGISTRATION, found.registration))
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
    tokens: list[Sequence[bytes]] = []
    if query.registration is not None:
        tokens.append((keys.token(REGISTRATION, query.registration),))
    if query.agent is not None:
        agents = [keys.token(AGENT, query.agent)]
        if query.related_agents:
            agents.append(keys.token(RELATED_AGENT, query.agent))
            if authority_source is not None:
                agents.append(keys.token(SOURCE, authority_source))
        tokens.append(agents)
    if query.activity is not None:
        activities = [keys.token(ACTIVITY, query.activity)]
        if query.related_activities:
            activities.append(keys.token(RELATED_ACTIVITY, query.activity))
        tokens.append(activities)
    if query.verb is not None:
        tokens.append((keys.token(VERB, query.verb),))
    return Filter(
        tuple(tuple(alternatives) for alternatives in tokens),
        query.since,
        query.until,
        None if mine is None else keys.token(SOURCE, mine),
    )
