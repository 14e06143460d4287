"""Restriction of a data subject's data (GDPR art. 18) and objection to their use (art. 21).

What each does to whom is decided in ``docs/adr/0030-restriction-and-cases.md``. A change is in force in every process
that serves when the call returns; jobs follow with their next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from app.access.restrictions.store import (
    PLACE,
    PURPOSES,
    RESEARCH,
    DataSubjectStateRepository,
    Restricted,
    SubjectIdentifiers,
)
from app.core.announcer import Announcer
from app.core.clock import Now
from app.core.errors import BadRequest, Fault
from app.crypto.keys import OrganisationKeys
from app.crypto.kinds import AGENT
from app.governance.audit.log import (
    OBJECTION_NOTED,
    OBJECTION_WITHDRAWN,
    PERSON_RESTRICTED,
    PERSON_UNRESTRICTED,
    STANDING_READ,
    Audit,
)
from app.keys.data_subject_cipher import DataSubjectCipher
from app.people.finding.pseudonyms import IdentifiedDataSubject, PseudonymFinder, groups_of
from app.people.requests.service import DataSubjectRequests


class Standing(NamedTuple):
    """Standing of a data subject: by any of their identifiers."""

    restricted: datetime | None
    objects: tuple[str, ...]
    refuses: bool


class Restriction:
    """Restricts data subjects, and notes their objections."""

    def __init__(
        self,
        repository: DataSubjectStateRepository,
        keys: OrganisationKeys,
        cipher: DataSubjectCipher,
        audit: Audit,
        requests: DataSubjectRequests,
        announcer: Announcer,
        now: Now,
        pseudonyms: PseudonymFinder,
    ) -> None:
        """``announcer``: of what every process is to take notice; ``whole`` adds pseudonyms."""
        self._repository = repository
        self._keys = keys
        self._cipher = cipher
        self._audit = audit
        self._requests = requests
        self._announcer = announcer
        self._now = now
        self._pseudonyms = pseudonyms

    def restrict(self, data_subject: IdentifiedDataSubject, *, actor: str, request: str | None = None) -> None:
        """Have a data subject's data only kept, until ``lift``.

        Args:
            data_subject: Whose.
            actor: Who decides, for the audit log.
            request: The request that it is done for.

        Raises:
            NotFound, DataSubjectRequestConflict: there is no such request, or it is not its time; nothing changed.
            DatabaseUnavailable: a process has not taken notice; run it again.
        """
        self._begin(PERSON_RESTRICTED, data_subject, actor, request)
        self._repository.restrict(self._sealed_identifiers(data_subject), self._now())
        self._end("restricted", data_subject, actor, request)

    def lift(self, data_subject: IdentifiedDataSubject, *, actor: str, request: str | None = None) -> bool:
        """End a restriction; the data subject is to be told before (GDPR art. 18(3)). Whether there was one."""
        # As a rule when the request was answered long ago.
        self._begin(PERSON_UNRESTRICTED, data_subject, actor, request, after_answer=True)
        lifted = self._repository.lift(self._actors(data_subject))
        self._end("unrestricted", data_subject, actor, request)
        return lifted > 0

    def note_objection(
        self,
        data_subject: IdentifiedDataSubject,
        *,
        purposes: Sequence[str] = (RESEARCH,),
        refuse_new: bool = False,
        actor: str,
        request: str | None = None,
    ) -> None:
        """Leave a data subject out of these purposes from the next run on; with ``refuse_new``, refuse new statements.

        Raises:
            BadRequest: no such purpose.
        """
        if not set(purposes) <= set(PURPOSES) or not purposes:
            message = f"must be among: {', '.join(PURPOSES)}"
            raise BadRequest(f"`purposes` {message}.", faults=[Fault("/purposes", "purpose", "GDPR art. 21", message)])
        more = {"purposes": [*purposes], "refuse_new": refuse_new}
        self._begin(OBJECTION_NOTED, data_subject, actor, request, more)
        ids, now = self._sealed_identifiers(data_subject), self._now()
        self._repository.note_objection(ids, now, purposes)
        if refuse_new:
            self._repository.refuse(ids, now)
        self._end("objection-noted", data_subject, actor, request)

    def withdraw_objection(
        self, data_subject: IdentifiedDataSubject, *, actor: str, request: str | None = None
    ) -> bool:
        """Take a data subject's objections back, the refusal of new statements with them. Whether there were any."""
        self._begin(OBJECTION_WITHDRAWN, data_subject, actor, request, after_answer=True)
        withdrawn = self._repository.withdraw(self._actors(data_subject))
        self._end("objection-withdrawn", data_subject, actor, request)
        return withdrawn > 0

    def standing(self, data_subject: IdentifiedDataSubject, *, actor: str) -> Standing:
        """The standing of a data subject now: a reading that the audit log keeps."""
        self._audit.append(STANDING_READ, actor, {"subjects": self._named(data_subject)})
        states = self._repository.of(self._actors(data_subject))
        since = [state.restricted for state in states if state.restricted is not None]
        objects = sorted({purpose for state in states for purpose in state.objects})
        return Standing(min(since, default=None), tuple(objects), any(state.refuses for state in states))

    def cover(self, pseudonyms: PseudonymFinder) -> int:
        """Have what holds for data subjects hold for the pseudonyms that a source is about to make of them; how many.

        To be called before it makes the first one. ``pseudonyms`` finds those.
        """
        states = {state.subject: state for state in self._repository.every()}
        known = self._cipher.decrypt(PLACE, {subject: state.who for subject, state in states.items() if state.who})
        covered = 0
        for subject, who in known.items():
            members = orjson.loads(who)
            if len(members) != 1 or subject != self._keys.subject(members[0]):
                # An anonymous group: each of its members has a state of their own.
                continue
            made = pseudonyms.whole(IdentifiedDataSubject((members[0],)))
            wanted = {self._keys.subject(one): one for one in made.every if one != members[0]}
            wanted |= {
                self._keys.subject(group): one[0]
                for group, one in groups_of(made)
                if len(one) == 1 and one != (members[0],)
            }
            state = states[subject]
            sealed = self._cipher.encrypt(PLACE, {each: orjson.dumps([one]) for each, one in wanted.items()})
            ids = [SubjectIdentifiers(each, value) for each, value in sealed.items()]
            if not ids:
                continue
            covered += len(ids)
            if state.restricted is not None:
                self._repository.restrict(ids, state.restricted)
            if state.objects:
                self._repository.note_objection(ids, state.since, state.objects)
            if state.refuses:
                self._repository.refuse(ids, state.since)
        if covered:
            self._announcer.announce()
        return covered

    def held(self) -> list[Restricted]:
        """Everybody who is restricted, for those who delete."""
        ids = self._repository.restricted()
        known = self._cipher.decrypt(PLACE, {one.subject: one.who for one in ids})
        return [
            Restricted(one.subject, self._agents(known[one.subject]) if one.subject in known else ()) for one in ids
        ]

    def _agents(self, who: bytes) -> tuple[bytes, ...]:
        index = self._keys.index
        return tuple(token for identifier in orjson.loads(who) for token in index.tokens(AGENT, identifier))

    def _begin(
        self,
        kind: str,
        data_subject: IdentifiedDataSubject,
        actor: str,
        request: str | None,
        more: dict[str, object] | None = None,
        *,
        after_answer: bool = False,
    ) -> None:
        if request is not None:
            self._requests.require(request, data_subject, after_answer=after_answer)
        detail: dict[str, object] = {"subjects": self._named(data_subject), **(more or {})}
        # On record first: nobody is left out, or taken in again, unseen.
        self._audit.append(kind, actor, detail | ({} if request is None else {"case": request}))

    def _end(self, act: str, data_subject: IdentifiedDataSubject, actor: str, request: str | None) -> None:
        self._announcer.announce()
        if request is not None:
            self._requests.note_act(request, act, actor, {"identifiers": len(data_subject.identifiers)})

    def _named(self, data_subject: IdentifiedDataSubject) -> list[str]:
        # As given: the log must not put an address and a pseudonym together.
        return [self._keys.subject(identifier).hex() for identifier in data_subject.identifiers]

    def _actors(self, data_subject: IdentifiedDataSubject) -> dict[bytes, tuple[str, ...]]:
        """Subjects that a data subject is: each identifier, and anonymous groups of nobody else; with their
        identifiers.
        """
        data_subject = self._pseudonyms.whole(data_subject)
        actors = {self._keys.subject(identifier): (identifier,) for identifier in data_subject.every}
        return actors | {self._keys.subject(group): members for group, members in groups_of(data_subject)}

    def _sealed_identifiers(self, data_subject: IdentifiedDataSubject) -> list[SubjectIdentifiers]:
        data_subject = self._pseudonyms.whole(data_subject)
        actors = self._actors(data_subject)
        likely = data_subject.likely
        sure = {subject for subject, members in actors.items() if len(members) == 1 and likely.issuperset(members)}
        # Of the many groups that several identifiers could make up, and of the pseudonyms that no source makes now,
        # those that stand in some statement.
        known = self._cipher.known(subject for subject in actors if subject not in sure)
        kept = {
            subject: orjson.dumps(members) for subject, members in actors.items() if subject in sure or subject in known
        }
        return [SubjectIdentifiers(subject, who) for subject, who in self._cipher.encrypt(PLACE, kept).items()]
