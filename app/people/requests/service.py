"""Data-subject requests as cases: opened, identified, extended, done or refused, each step on record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import orjson

from app.core.clock import Clock, RandomBytes, Today
from app.core.errors import BadRequest, DataSubjectRequestConflict, NotFound, Unavailable
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import (
    REQUEST_ACT,
    REQUEST_DONE,
    REQUEST_EXTENDED,
    REQUEST_IDENTIFIED,
    REQUEST_OPENED,
    REQUEST_READ,
    REQUEST_REFUSED,
    REQUESTS_REMOVED,
    Audit,
)
from app.keys.data_subject_cipher import DataSubjectCipher
from app.people.finding.pseudonyms import IdentifiedDataSubject, Whole
from app.people.requests import steps as request_steps
from app.people.requests.steps import DataSubjectRequest, Step
from app.people.requests.store import DataSubjectRequestRepository, DataSubjectRequestRow, request_of
from app.people.requests.store import place as sealed_place

SOON_DAYS = 7
"""A request is due soon when its last day is within so many days."""
MAX_LISTED = 1_000
_TRIES = 5
_OURS = "r-"
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


class Listed(NamedTuple):
    """A case without the person's identifiers or what was noted."""

    id: str
    kind: str
    status: str
    received: date
    due: date
    overdue: bool
    answered: date | None = None
    late: bool = False


class Standing(NamedTuple):
    """The numbers of requests that wait for an answer, are due soon, are late; and of those answered late."""

    pending: int
    due_soon: int
    overdue: int
    answered_late: int


class DataSubjectRequests:
    """The data-subject requests."""

    def __init__(
        self,
        repository: DataSubjectRequestRepository,
        keys: OrganisationKeys,
        seal: DataSubjectCipher,
        audit: Audit,
        now_us: Clock,
        today: Today,
        random: RandomBytes,
        whole: Whole = lambda person: person,
    ) -> None:
        """``now_us``: microseconds since 1970 UTC; ``today``: the day where the controller is.

        ``whole`` gives a person with their pseudonyms; a case keeps the identifiers that were given, and no others.
        """
        self._repository = repository
        self._keys = keys
        self._seal = seal
        self._audit = audit
        self._now_us = now_us
        self._today = today
        self._random = random
        self._whole = whole

    def open(
        self,
        kind: str,
        person: IdentifiedDataSubject,
        *,
        received: date | None = None,
        note: str = "",
        actor: str,
    ) -> DataSubjectRequest:
        """Note a request that came.

        Args:
            kind: One of ``case_steps.KINDS``.
            person: Whose request it is.
            received: The day it came; None: today. The month runs from it (GDPR art. 12(3)).
            note: How it came, for whoever reads the case; sealed.
            actor: Who notes it, for the audit log.

        Raises:
            BadRequest: no such kind, or a day that cannot be.
        """
        today = self._today()
        id = _OURS + self._random(6).hex()
        step = Step(self._now_us(), "opened", actor, note)
        case = request_steps.opened(id, kind, received or today, person.identifiers, today, step)
        self._audit.append(REQUEST_OPENED, actor, {"case": id, "request": kind, "due": case.due.isoformat()})
        if not self._repository.insert(self._row(case, 1, self._subjects(person))):
            raise Unavailable("The id of the new request is taken. Send the same again.", retry_after=1)
        return case

    def identify(self, id: str, *, note: str = "", actor: str) -> DataSubjectRequest:
        """It was checked who makes the request; ``note`` says how (sealed)."""

        def step(case: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.identified(case, Step(self._now_us(), "identified", actor, note))

        return self._take(id, step, REQUEST_IDENTIFIED, actor)

    def extend(self, id: str, *, reason: str, actor: str) -> DataSubjectRequest:
        """Take two further months; the person is to be told, with the reason, within the first (GDPR art. 12(3))."""

        def step(case: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.extended(case, self._today(), Step(self._now_us(), "extended", actor, reason))

        return self._take(id, step, REQUEST_EXTENDED, actor)

    def done(self, id: str, *, note: str = "", actor: str) -> DataSubjectRequest:
        """Close a case as done: what was asked was done, and the person told."""

        def step(case: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.done(case, self._today(), Step(self._now_us(), "done", actor, note))

        return self._take(id, step, REQUEST_DONE, actor)

    def refuse(self, id: str, *, reason: str, actor: str) -> DataSubjectRequest:
        """It will not be done; the person was told why, and where to complain (GDPR art. 12(4))."""

        def step(case: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.refused(case, self._today(), Step(self._now_us(), "refused", actor, reason))

        return self._take(id, step, REQUEST_REFUSED, actor)

    def require(
        self, id: str, person: IdentifiedDataSubject | None = None, *, after_answer: bool = False
    ) -> DataSubjectRequest | None:
        """The case that an act names, before the act: it waits for an answer, and it is known who made it.

        Args:
            id: The case's id; or, not beginning with ``r-``, a number in the controller's own files: that stands
                in the audit log as it is given, and nothing is looked up.
            person: Whom the act is about, if known already: one of the identifiers must be of the case's person.
            after_answer: Whether the act may follow a case that is done, too.

        Raises:
            BadRequest: it has the form of neither.
            NotFound: no such case.
            DataSubjectRequestConflict: it is not the time for it, or the case is about somebody else.
        """
        if _ID.fullmatch(id) is None:
            # It goes into the audit log: nothing that could name somebody.
            raise BadRequest("The id of a request has 64 letters, digits and dashes at most.")
        if not id.startswith(_OURS):
            return None
        row = self._found(id)
        case = self._case(row)
        request_steps.require_acting(case, after_answer=after_answer)
        if person is not None and not self._same(person, case, row):
            raise DataSubjectRequestConflict("This request is about another person.")
        return case

    def person(self, id: str) -> IdentifiedDataSubject:
        """The person that a case is about.

        Raises:
            NotFound: no such case, or the person was erased.
        """
        known = self._case(self._found(id)).person
        if not known:
            raise NotFound("The person of this request was erased: say who is meant.")
        return IdentifiedDataSubject(known)

    def note_act(self, id: str, act: str, actor: str, detail: Mapping[str, object]) -> DataSubjectRequest | None:
        """Write on a case what was done for it.

        Args:
            id: The case's id; what is not one of ours is left alone, as in ``require``.
            act: A word: ``erased``, ``restricted``, ``package-written``.
            actor: Who did it, as in the audit log.
            detail: Tokens, counts, digests; no personal data.

        Raises:
            NotFound: no such case.
            DataSubjectRequestConflict: it was refused, or the identity was not checked.
        """
        if not id.startswith(_OURS):
            return None

        def step(case: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.acted(case, Step(self._now_us(), act, actor, detail=detail))

        return self._take(id, step, REQUEST_ACT, actor, {"act": act})

    def whole(self, case: DataSubjectRequest) -> frozenset[str]:
        """Every identifier under which a case's person may stand."""
        return frozenset(self._whole(IdentifiedDataSubject(case.person)).every)

    def show(self, id: str, *, actor: str) -> DataSubjectRequest:
        """One case, in full: a reading that the audit log keeps.

        Raises:
            NotFound: no such case.
        """
        case = self._case(self._found(id))
        self._audit.append(REQUEST_READ, actor, {"case": case.id})
        return case

    def list(
        self, statuses: Sequence[str] = request_steps.PENDING, due_within: int | None = None, limit: int = MAX_LISTED
    ) -> Sequence[Listed]:
        """Cases, the most urgent first; ``due_within`` days, late ones included."""
        today = self._today()
        until = None if due_within is None else today + timedelta(days=due_within)
        return [
            Listed(
                row.id,
                row.kind,
                row.status,
                row.received,
                row.due,
                row.status in request_steps.PENDING and today > row.due,
                row.answered,
                row.answered is not None and row.answered > row.due,
            )
            for row in self._repository.list(statuses, until, limit)
        ]

    def standing(self) -> Standing:
        """The numbers of requests that wait, are due soon, are late."""
        today = self._today()
        pending = request_steps.PENDING
        late = self._repository.count(pending, today)
        return Standing(
            self._repository.count(pending),
            self._repository.count(pending, today + timedelta(days=SOON_DAYS + 1)) - late,
            late,
            self._repository.count_late(),
        )

    def remove_old(self, days: int, *, actor: str, check: Callable[[], None] = lambda: None) -> int:
        """Remove answered requests that came more than so many days ago (GDPR art. 5(1)(e)); how many.

        One that waits for its answer stays. May be cut off anywhere. ``check`` is called before each step; what it
        raises ends the run.
        """
        before = self._today() - timedelta(days=days)
        removed = 0
        while True:
            check()
            found = self._repository.received_before(request_steps.ANSWERED, before, MAX_LISTED)
            if not found:
                return removed
            self._audit.append(REQUESTS_REMOVED, actor, {"before": before.isoformat(), "cases": [*found]})
            self._repository.delete(found)
            removed += len(found)

    def _take(
        self,
        id: str,
        step: Callable[[DataSubjectRequest], DataSubjectRequest],
        kind: str,
        actor: str,
        detail: Mapping[str, object] = {},
    ) -> DataSubjectRequest:
        for _ in range(_TRIES):
            row = self._found(id)
            case = step(self._case(row))
            # First: a step without a trace is worse than a trace without a step.
            self._audit.append(kind, actor, {"case": id, **detail, "due": case.due.isoformat()})
            changed = self._row(case, row.n + 1, row.subjects)
            if case.person and not self._told(row):
                # Erased since it was read: who it was must not go into a key that was made since.
                continue
            if self._repository.replace(changed):
                return case
        raise Unavailable("Others change this request at the same moment. Look at it, then try again.", retry_after=1)

    def _found(self, id: str) -> DataSubjectRequestRow:
        row = self._repository.get(id)
        if row is None:
            raise NotFound("No request has this id. `sillage request list` shows those that wait.")
        return row

    def _case(self, row: DataSubjectRequestRow) -> DataSubjectRequest:
        return request_of(row, self._keys.decrypt(sealed_place(row.id), row.sealed), self._told(row))

    def _told(self, row: DataSubjectRequestRow) -> bytes:
        """The person and the notes, as JSON; empty when there is neither, or the person was erased."""
        opened = self._seal.decrypt_for_all(sealed_place(row.id), row.subjects, row.who) if row.who else None
        return opened or b""

    def _row(self, case: DataSubjectRequest, n: int, subjects: tuple[bytes, ...]) -> DataSubjectRequestRow:
        steps = [{"at": step.at, "what": step.what, "by": step.by, "detail": step.detail} for step in case.steps]
        sealed = self._keys.encrypt(sealed_place(case.id), orjson.dumps({"extended": case.extended, "steps": steps}))
        notes = {str(place): step.note for place, step in enumerate(case.steps) if step.note}
        told = orjson.dumps({"person": case.person, "notes": notes})
        # Nothing of the person: no key is made anew for one who was erased.
        empty = not case.person and not notes
        who = b"" if empty else self._seal.encrypt_for_all(sealed_place(case.id), subjects, told)
        return DataSubjectRequestRow(
            case.id, case.kind, case.status, case.received, case.due, subjects, n, sealed, who, case.answered
        )

    def _same(self, person: IdentifiedDataSubject, case: DataSubjectRequest, row: DataSubjectRequestRow) -> bool:
        """True if a person is a case's, by one of their identifiers or a pseudonym of one."""
        theirs = set(self._whole(person).every)
        if not theirs.isdisjoint(self._whole(IdentifiedDataSubject(case.person)).every):
            return True
        return not set(map(self._keys.subject, theirs)).isdisjoint(row.subjects)

    def _subjects(self, person: IdentifiedDataSubject) -> tuple[bytes, ...]:
        return tuple(self._keys.subject(identifier) for identifier in person.identifiers)
