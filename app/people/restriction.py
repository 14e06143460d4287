"""Restriction of a person's data (GDPR art. 18) and objection to their use (art. 21).

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
from app.people.finding.pseudonyms import IdentifiedDataSubject, Whole, groups_of
from app.people.requests.service import DataSubjectRequests


class Standing(NamedTuple):
    """Standing of a person: by any of their identifiers."""

    restricted: datetime | None
    objects: tuple[str, ...]
    refuses: bool


class Restriction:
    """Restricts persons, and notes their objections."""

    def __init__(
        self,
        repository: DataSubjectStateRepository,
        keys: OrganisationKeys,
        seal: DataSubjectCipher,
        audit: Audit,
        cases: DataSubjectRequests,
        announcer: Announcer,
        now: Now,
        whole: Whole = lambda person: person,
    ) -> None:
        """``announcer``: of what every process is to take notice; ``whole`` adds pseudonyms."""
        self._repository = repository
        self._keys = keys
        self._seal = seal
        self._audit = audit
        self._cases = cases
        self._announcer = announcer
        self._now = now
        self._whole = whole

    def restrict(self, person: IdentifiedDataSubject, *, actor: str, case: str | None = None) -> None:
        """Have a person's data only kept, until ``lift``.

        Args:
            person: Whose.
            actor: Who decides, for the audit log.
            case: The request that it is done for.

        Raises:
            NotFound, DataSubjectRequestConflict: there is no such request, or it is not its time; nothing changed.
            DatabaseUnavailable: a process has not taken notice; run it again.
        """
        self._begin(PERSON_RESTRICTED, person, actor, case)
        self._repository.restrict(self._sealed_identifiers(person), self._now())
        self._end("restricted", person, actor, case)

    def lift(self, person: IdentifiedDataSubject, *, actor: str, case: str | None = None) -> bool:
        """End a restriction; the person is to be told before (GDPR art. 18(3)). Whether there was one."""
        # As a rule when the request was answered long ago.
        self._begin(PERSON_UNRESTRICTED, person, actor, case, after_answer=True)
        lifted = self._repository.lift(self._actors(person))
        self._end("unrestricted", person, actor, case)
        return lifted > 0

    def note_objection(
        self,
        person: IdentifiedDataSubject,
        *,
        purposes: Sequence[str] = (RESEARCH,),
        refuse_new: bool = False,
        actor: str,
        case: str | None = None,
    ) -> None:
        """Leave a person out of these purposes from the next run on; with ``refuse_new``, refuse new statements.

        Raises:
            BadRequest: no such purpose.
        """
        if not set(purposes) <= set(PURPOSES) or not purposes:
            message = f"must be among: {', '.join(PURPOSES)}"
            raise BadRequest(f"`purposes` {message}.", faults=[Fault("/purposes", "purpose", "GDPR art. 21", message)])
        more = {"purposes": [*purposes], "refuse_new": refuse_new}
        self._begin(OBJECTION_NOTED, person, actor, case, more)
        ids, now = self._sealed_identifiers(person), self._now()
        self._repository.note_objection(ids, now, purposes)
        if refuse_new:
            self._repository.refuse(ids, now)
        self._end("objection-noted", person, actor, case)

    def withdraw_objection(self, person: IdentifiedDataSubject, *, actor: str, case: str | None = None) -> bool:
        """Take a person's objections back, the refusal of new statements with them. Whether there were any."""
        self._begin(OBJECTION_WITHDRAWN, person, actor, case, after_answer=True)
        withdrawn = self._repository.withdraw(self._actors(person))
        self._end("objection-withdrawn", person, actor, case)
        return withdrawn > 0

    def standing(self, person: IdentifiedDataSubject, *, actor: str) -> Standing:
        """The standing of a person now: a reading that the audit log keeps."""
        self._audit.append(STANDING_READ, actor, {"subjects": self._named(person)})
        states = self._repository.of(self._actors(person))
        since = [state.restricted for state in states if state.restricted is not None]
        objects = sorted({purpose for state in states for purpose in state.objects})
        return Standing(min(since, default=None), tuple(objects), any(state.refuses for state in states))

    def cover(self, pseudonyms: Whole) -> int:
        """Have what holds for persons hold for the pseudonyms that a source is about to make of them; how many.

        To be called before it makes the first one. ``pseudonyms`` gives persons with those.
        """
        states = {state.subject: state for state in self._repository.every()}
        known = self._seal.decrypt(PLACE, {subject: state.who for subject, state in states.items() if state.who})
        covered = 0
        for subject, who in known.items():
            members = orjson.loads(who)
            if len(members) != 1 or subject != self._keys.subject(members[0]):
                # An anonymous group: each of its members has a state of their own.
                continue
            made = pseudonyms(IdentifiedDataSubject((members[0],)))
            wanted = {self._keys.subject(one): one for one in made.every if one != members[0]}
            wanted |= {
                self._keys.subject(group): one[0]
                for group, one in groups_of(made)
                if len(one) == 1 and one != (members[0],)
            }
            state = states[subject]
            sealed = self._seal.encrypt(PLACE, {each: orjson.dumps([one]) for each, one in wanted.items()})
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
        known = self._seal.decrypt(PLACE, {one.subject: one.who for one in ids})
        return [
            Restricted(one.subject, self._agents(known[one.subject]) if one.subject in known else ()) for one in ids
        ]

    def _agents(self, who: bytes) -> tuple[bytes, ...]:
        index = self._keys.index
        return tuple(token for identifier in orjson.loads(who) for token in index.tokens(AGENT, identifier))

    def _begin(
        self,
        kind: str,
        person: IdentifiedDataSubject,
        actor: str,
        case: str | None,
        more: dict[str, object] | None = None,
        *,
        after_answer: bool = False,
    ) -> None:
        if case is not None:
            self._cases.require(case, person, after_answer=after_answer)
        detail: dict[str, object] = {"subjects": self._named(person), **(more or {})}
        # On record first: nobody is left out, or taken in again, unseen.
        self._audit.append(kind, actor, detail | ({} if case is None else {"case": case}))

    def _end(self, act: str, person: IdentifiedDataSubject, actor: str, case: str | None) -> None:
        self._announcer.announce()
        if case is not None:
            self._cases.note_act(case, act, actor, {"identifiers": len(person.identifiers)})

    def _named(self, person: IdentifiedDataSubject) -> list[str]:
        # As given: the log must not put an address and a pseudonym together.
        return [self._keys.subject(identifier).hex() for identifier in person.identifiers]

    def _actors(self, person: IdentifiedDataSubject) -> dict[bytes, tuple[str, ...]]:
        """Subjects that a person is: each identifier, and anonymous groups of nobody else; with their identifiers."""
        person = self._whole(person)
        actors = {self._keys.subject(identifier): (identifier,) for identifier in person.every}
        return actors | {self._keys.subject(group): members for group, members in groups_of(person)}

    def _sealed_identifiers(self, person: IdentifiedDataSubject) -> list[SubjectIdentifiers]:
        person = self._whole(person)
        actors = self._actors(person)
        likely = person.likely
        sure = {subject for subject, members in actors.items() if len(members) == 1 and likely.issuperset(members)}
        # Of the many groups that several identifiers could make up, and of the pseudonyms that no source makes now,
        # those that stand in some statement.
        known = self._seal.known(subject for subject in actors if subject not in sure)
        kept = {
            subject: orjson.dumps(members) for subject, members in actors.items() if subject in sure or subject in known
        }
        return [SubjectIdentifiers(subject, who) for subject, who in self._seal.encrypt(PLACE, kept).items()]
