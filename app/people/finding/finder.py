"""A data subject of a request: who is meant, and every place in the store where they stand.

The store keeps no record of people (``docs/adr/0016-people-and-activities.md``). Whoever asks says by which identifiers
a data subject is known; several of them are one data subject for that request, and nothing of this link is stored. What
is found by them is found in the index: the actor of statements, agents and groups as object, members of groups,
instructor, team, ``contextAgents`` and ``contextGroups``, also inside SubStatements, of voided statements too;
statements that refer to those. Whatever else is kept is found by the collections themselves
(``app/core/personal_data.py``).

Not found: a data subject whom free text names, in an answer, a title, an extension or the data of an attachment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from typing import Any, NamedTuple

from app.core.audit_sink import AuditSink
from app.core.errors import BadRequest, Fault
from app.core.personal_data import DataSubject, PersonalDataStore
from app.crypto import kinds
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import PERSON_FOUND
from app.people.finding.pseudonyms import IdentifiedDataSubject, Pseudonym, PseudonymFinder, groups_of
from app.people.finding.store import DataSubjectRepository, Placed
from app.standards.xapi.identifiers import agent_identifier
from app.standards.xapi.validate import actor_faults
from app.traces.statements.store import Position, Stored, beyond

OWN = "own"
"""Sealed under the data subject's own key: they are the actor."""
MENTION = "mention"
"""Sealed under another's key: they are named in it."""

PAGE = 1_000
MAX_IDENTIFIERS = 20


class Named(NamedTuple):
    """A statement that names a data subject, sealed; ``role``: ``OWN`` or ``MENTION``."""

    row: Stored
    role: str
    tokens: tuple[bytes, ...]


class Batch(NamedTuple):
    """The next statements that name a data subject, at least one, and the place after them, to go on from."""

    statements: tuple[Named, ...]
    place: Position


class Counted(dict[str, int]):
    """Numbers of what there is of a data subject, by the names that each collection gives
    (``PersonalDataStore.locate``).
    """

    @property
    def own(self) -> int:
        """Statements of which the data subject is the actor."""
        return self["own"]

    @property
    def mentions(self) -> int:
        """Statements of others that name them."""
        return self["mentions"]


class Reach(NamedTuple):
    """Reach of identifiers.

    Attributes:
        held: Whether anything at all is held; what is kept to answer them, such as requests, does not count.
        pseudonyms: The pseudonyms under which something is.
    """

    held: bool
    pseudonyms: tuple[Pseudonym, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources in whose statements they stand."""
        return tuple(sorted({one.source for one in self.pseudonyms}))


def data_subject_of(agents: Sequence[object]) -> IdentifiedDataSubject:
    """The data subject that these xAPI Agents are.

    Each has one inverse functional identifier: ``account``, ``mbox``, ``mbox_sha1sum`` or ``openid`` (xAPI-Data
    2.4.2.3). An address stands for its SHA-1 sum as well, for a sender may have sent either; the other way round
    nothing follows.

    Raises:
        BadRequest: none, too many, or one of them is no valid Agent; no value is repeated in the error.
    """
    if not agents or len(agents) > MAX_IDENTIFIERS:
        raise BadRequest(f"Say who is meant: by one to {MAX_IDENTIFIERS} Agents, each with one identifier.")
    faults = [fault for place, agent in enumerate(agents) for fault in _faults(agent, f"/{place}")]
    if faults:
        raise BadRequest("A person is said by xAPI Agents, each with one identifier.", faults=faults[:20])
    found: set[str] = set()
    for agent in agents:
        if isinstance(agent, dict):
            found.update(_identifiers(agent))
    return IdentifiedDataSubject(tuple(sorted(found)))


def _faults(agent: object, pointer: str) -> list[Fault]:
    faults = list(actor_faults(agent, pointer))
    if not faults and isinstance(agent, dict):
        if agent.get("objectType", "Agent") != "Agent":
            message = "A Group is not a person: name its members."
            faults.append(Fault(f"{pointer}/objectType", "person-agent", "xAPI-Data 2.4.2", message))
        elif agent_identifier(agent) is None:
            message = "Give one of account, mbox, mbox_sha1sum, openid."
            faults.append(Fault(pointer, "person-identifier", "xAPI-Data 2.4.2.3", message))
    return faults


def _identifiers(agent: dict[str, Any]) -> Iterator[str]:
    identifier = agent_identifier(agent)
    if identifier is not None:
        yield identifier
    address = agent.get("mbox")
    if isinstance(address, str):
        # Of the address as it was given and in lower case: a sender may have hashed either.
        for form in {address, address.lower()}:
            digest = hashlib.sha1(form.encode(), usedforsecurity=False).hexdigest()
            yield f"mbox_sha1sum:{digest}"


class DataSubjectFinder:
    """Finds data subjects. Safe to share between threads."""

    def __init__(
        self,
        repository: DataSubjectRepository,
        keys: OrganisationKeys,
        audit: AuditSink,
        stores: Sequence[PersonalDataStore],
        pseudonyms: PseudonymFinder,
    ) -> None:
        """``audit(kind, actor, detail)`` writes an entry, durably; ``stores``: all that keep personal data.

        ``pseudonyms`` completes a data subject with theirs.
        """
        self._repository = repository
        self._keys = keys
        self._audit = audit
        self._stores = stores
        self._pseudonyms = pseudonyms

    def whole(self, data_subject: IdentifiedDataSubject) -> IdentifiedDataSubject:
        """The data subject with their pseudonyms; the same for one who has them."""
        return self._pseudonyms.whole(data_subject)

    def subjects(self, data_subject: IdentifiedDataSubject) -> tuple[bytes, ...]:
        """Subject tokens of 16 bytes, one for each identifier, pseudonyms included; in step with ``every``."""
        return tuple(self._keys.subject(identifier) for identifier in self.whole(data_subject).every)

    def asked(self, data_subject: IdentifiedDataSubject) -> list[str]:
        """By which identifiers a data subject was given, as subject tokens in hexadecimal, for the audit log.

        Whoever has the keys makes those of the pseudonyms of them: the log does not put the two together.
        """
        return [self._keys.subject(identifier).hex() for identifier in data_subject.identifiers]

    def tokens(self, data_subject: IdentifiedDataSubject) -> tuple[tuple[bytes, bytes], ...]:
        """For each identifier: its tokens as an agent and as a related agent; of both keys while one is replaced."""
        index = self._keys.index
        return tuple(
            pair
            for identifier in self.whole(data_subject).every
            for pair in zip(
                index.tokens(kinds.AGENT, identifier), index.tokens(kinds.RELATED_AGENT, identifier), strict=True
            )
        )

    def own_groups(self, data_subject: IdentifiedDataSubject) -> tuple[bytes, ...]:
        """Subject tokens of the anonymous groups that have nobody but this data subject in them.

        Their statements are the data subject's own (``docs/adr/0013-anonymous-groups.md``).
        """
        return tuple(self._keys.subject(group) for group, _ in groups_of(self.whole(data_subject)))

    def statements(
        self, data_subject: IdentifiedDataSubject, *, after: Position | None = None, until: int | None = None
    ) -> Iterator[Batch]:
        """Every statement, voided ones included, that names a data subject, oldest first, batch by batch.

        Args:
            data_subject: Who.
            after: ``place`` of an earlier batch, to go on from there.
            until: Only those stored at or before this, microseconds since 1970 UTC.
        """
        data_subject = self.whole(data_subject)
        own = {*self.subjects(data_subject), *self.own_groups(data_subject)}
        while True:
            # Anew for each page: the index key may be replaced meanwhile.
            tokens = self.flat(data_subject)
            page = self._repository.page(tokens, after=after, until=until, limit=PAGE)
            if not page:
                return
            after = beyond([each.row for each in page], after)
            yield Batch(
                tuple(Named(each.row, OWN if each.row.subject in own else MENTION, each.tokens) for each in page), after
            )

    def referring(self, data_subject: IdentifiedDataSubject) -> Iterator[Sequence[Stored]]:
        """Statements that refer to one of which a data subject is an agent, and do not name them, batch by batch."""
        data_subject = self.whole(data_subject)
        after: Position | None = None
        while True:
            # Anew for each page: the index key may be replaced meanwhile.
            tokens = self.tokens(data_subject)
            agents, every = [agent for agent, _ in tokens], [token for pair in tokens for token in pair]
            page = self._repository.referring_page(agents, every, after=after, limit=PAGE)
            if not page:
                return
            after = beyond(page, after)
            yield page

    def placed(self, data_subject: IdentifiedDataSubject, limit: int) -> list[Placed]:
        """Positions of the newest statements that name a data subject, voided ones included, the newest first."""
        return self._repository.placed(self.flat(data_subject), limit)

    def sent_by(self, source: str, data_subject: IdentifiedDataSubject) -> bool:
        """True if a statement of a source has a data subject as its actor."""
        tokens = [agent for agent, _ in self.tokens(data_subject)]
        return self._repository.any_of_source(tokens, self.subjects(data_subject), source)

    def kept(self, data_subject: IdentifiedDataSubject) -> bool:
        """True if a statement names a data subject."""
        return bool(self.placed(data_subject, 1))

    def flat(self, data_subject: IdentifiedDataSubject) -> tuple[bytes, ...]:
        """Every token by which statements name a data subject, as agent or related agent."""
        return tuple(token for pair in self.tokens(data_subject) for token in pair)

    def named(self, data_subject: IdentifiedDataSubject) -> tuple[bytes, ...]:
        """Every token by which entries of the audit log name a data subject, as agent or related agent, in queries."""
        return tuple(
            self._keys.named(kind, identifier)
            for identifier in self.whole(data_subject).every
            for kind in (kinds.AGENT, kinds.RELATED_AGENT)
        )

    def for_stores(self, data_subject: IdentifiedDataSubject) -> DataSubject:
        """The data subject as stores find what is theirs."""
        data_subject = self.whole(data_subject)
        tokens = self.tokens(data_subject)
        return DataSubject(
            (*self.subjects(data_subject), *self.own_groups(data_subject)),
            tuple(agent for agent, _ in tokens),
            tuple(chain.from_iterable(tokens)),
            identifiers=data_subject.every,
        )

    def places(self, data_subject: IdentifiedDataSubject) -> Counted:
        """The counts of a data subject's places."""
        who = self.for_stores(data_subject)
        return Counted(chain.from_iterable(store.locate(who).items() for store in self._stores))

    def reach(self, data_subject: IdentifiedDataSubject) -> Reach:
        """The reach of a data subject's identifiers: if anything is held, and under which pseudonyms.

        For whoever acts for the data subject, when the act is on record.
        """
        data_subject = self.whole(data_subject)
        given = set(data_subject.identifiers)
        found: list[Pseudonym] = []
        for _, made in groupby(data_subject.pseudonyms or (), lambda one: one.source):
            listed = [one for one in made if one.identifier not in given]
            # One question for a source: few have something.
            if listed and self._any(IdentifiedDataSubject(tuple(dict.fromkeys(one.identifier for one in listed)), ())):
                found += [one for one in listed if self._any(IdentifiedDataSubject((one.identifier,), ()))]
        return Reach(bool(found) or self._any(IdentifiedDataSubject(data_subject.identifiers, ())), tuple(found))

    def _any(self, data_subject: IdentifiedDataSubject) -> bool:
        who = self.for_stores(data_subject)
        return any(store.holds(who) for store in self._stores)

    def find(self, data_subject: IdentifiedDataSubject, *, actor: str) -> Counted:
        """``places``, on record in the audit log.

        Args:
            data_subject: Who.
            actor: Who asks: credential id or ``cli:<command>``.
        """
        asked = [self._keys.named(kinds.AGENT, identifier).hex() for identifier in data_subject.identifiers]
        # Before the answer: whoever learns something of a data subject leaves a trace of it.
        self._audit.append(PERSON_FOUND, actor, {"tokens": asked})
        return self.places(data_subject)
