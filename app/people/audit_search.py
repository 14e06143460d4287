"""Looking for entries of the audit log: who read what of whom, when, what for.

A data subject is said by xAPI Agents and looked for by their blind index entries: neither log nor search names anybody.
A search is a reading of the log, and recorded before it is answered, with the kinds of what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from app.core.errors import BadRequest
from app.crypto import kinds
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import AUDIT_READ, Asked, Audit, Page
from app.people.finding.finder import data_subject_of
from app.people.finding.pseudonyms import PseudonymFinder

MAX_AGENT_BYTES = 64 * 1024


class Wanted(NamedTuple):
    """A query of the log; what is not given is any.

    Attributes:
        agents: The data subject, as xAPI Agents.
        actor: Credential id, ``cli:<command>``, ``job:<name>``…
        kinds: Kinds of entries.
        since: Written at or after this, microseconds since 1970 UTC.
        before: Written before this.
        pseudonyms: Whether the data subject is looked for under the pseudonyms that the store made of what is given,
            too: for those who act for data subjects, as whoever has both has the link that a policy about minors
            breaks.
    """

    agents: Sequence[object] | None = None
    actor: str | None = None
    kinds: Sequence[str] = ()
    since: int | None = None
    before: int | None = None
    pseudonyms: bool = True


class AuditSearch:
    """Searches the audit log."""

    def __init__(self, audit: Audit, keys: OrganisationKeys, pseudonyms: PseudonymFinder) -> None:
        """The log to look in, the keys by which data subjects are tokens there, and what adds their pseudonyms."""
        self._audit = audit
        self._keys = keys
        self._pseudonyms = pseudonyms

    def find(self, wanted: Wanted, cursor: str | None, limit: int, *, who: str) -> Page:
        """A page of entries, the newest first.

        Args:
            wanted: What to look for.
            cursor: ``next`` of the page before, with the same question.
            limit: How many at most.
            who: Who asks, for the log.

        Raises:
            BadRequest: the data subject is not said by valid Agents.
            BadCursor: the cursor is of another question.
        """
        tokens = () if wanted.agents is None else self._tokens(wanted.agents, pseudonyms=wanted.pseudonyms)
        asked = Asked(tuple(wanted.kinds), wanted.since, wanted.before, wanted.actor, tokens)
        detail: dict[str, object] = {"kinds": sorted(wanted.kinds), "limit": limit}
        if wanted.agents is not None:
            # As given: the log must not put an address and a pseudonym together.
            detail["tokens"] = [*self._of(data_subject_of(wanted.agents).identifiers)]
        if wanted.actor is not None:
            detail["searched"] = wanted.actor
        self._audit.append(AUDIT_READ, who, detail)
        return self._audit.search(asked, cursor, limit)

    def _tokens(self, agents: Sequence[object], *, pseudonyms: bool) -> tuple[str, ...]:
        data_subject = data_subject_of(agents)
        return self._of(self._pseudonyms.whole(data_subject).every if pseudonyms else data_subject.identifiers)

    def _of(self, identifiers: Sequence[str]) -> tuple[str, ...]:
        keys = self._keys
        found: set[str] = set()
        for identifier in identifiers:
            found.add(keys.subject(identifier).hex())
            found.update(keys.named(kind, identifier).hex() for kind in (kinds.AGENT, kinds.RELATED_AGENT))
        return tuple(sorted(found))


def read_agents(content: bytes) -> list[object]:
    """The Agents in a text: one JSON object, or an array of them.

    Raises:
        BadRequest: no JSON, or too long.
    """
    try:
        if len(content) >= MAX_AGENT_BYTES:
            raise ValueError("too long")
        said = orjson.loads(content)
    except (orjson.JSONDecodeError, ValueError):
        raise BadRequest("Give one xAPI Agent as JSON, or an array of those of one person.") from None
    return said if isinstance(said, list) else [said]
