"""Person Objects (xAPI-Communication 2.4): the identifier asked about, and the names that recent statements give it.

The store keeps no record of people beside their statements: there is nothing to hold longer than these, to correct,
or to forget to erase.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.access.restrictions.store import DataSubjectStates
from app.core import lossless
from app.core.audit_sink import AuditSink
from app.crypto import kinds
from app.crypto.keys import OrganisationKeys
from app.standards.xapi.people import names_in, person
from app.traces.queries.statements import Reader, StatementQueries
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Filter, Statements, Stored

LOOKED_AT = 20
"""The number of the latest statements that are searched for names."""
_OPENED_BYTES = 1024 * 1024


class AgentQueries:
    """Answers questions about one agent. Safe to share between threads."""

    def __init__(
        self,
        statements: Statements,
        reader: StatementReader,
        keys: OrganisationKeys,
        audit: AuditSink,
        states: DataSubjectStates,
        queries: StatementQueries,
    ) -> None:
        """``audit`` takes an entry for each reading; ``states`` says who is restricted, ``queries`` the bounds of a
        reader.
        """
        self._statements = statements
        self._reader = reader
        self._keys = keys
        self._audit = audit
        self._states = states
        self._queries = queries

    def person(self, agent: dict[str, Any], identifier: str, who: Reader) -> dict[str, Any]:
        """The Person object of an agent, from the statements that this reader may see.

        Args:
            agent: The agent asked about, valid.
            identifier: Its canonical identifier (``agent_identifier``).
            who: The reader, for the audit log too.

        Raises:
            OutsidePerimeter, Unavailable: as ``StatementQueries.bounds``.
        """
        index = self._keys.index
        wanted = (index.tokens(kinds.AGENT, identifier) + index.tokens(kinds.RELATED_AGENT, identifier),)
        mine = () if who.mine is None else index.tokens(kinds.SOURCE, who.mine)
        asked = Filter(wanted, mine=mine, through=False, moving=index.moving, bounds=self._queries.bounds(who))
        states = self._states.current()
        rows: Sequence[Stored] = ()
        if self._keys.subject(identifier) not in states.restricted:
            found = self._statements.page(asked, after=None, ascending=False, limit=LOOKED_AT).rows
            # GDPR art. 18(2): not from the statements of a restricted data subject.
            rows = [row for row in found if row.subject not in states.restricted]
        names: dict[str, None] = {}
        searched = 0
        while rows:
            # A few at a time: twenty large statements, decoded, would take hundreds of megabytes.
            opened, gone, _ = self._reader.decrypted_within(rows, _OPENED_BYTES)
            rows = rows[gone:]
            for plain in opened:
                names |= dict.fromkeys(names_in(lossless.loads(plain.body), identifier))
            searched += len(opened)
        # Before the answer: whoever got data left a trace of it.
        named = self._keys.named(kinds.AGENT, identifier).hex()
        self._audit.append("person-read", who.credential, {"tokens": [named], "count": searched})
        return person(agent, names)
