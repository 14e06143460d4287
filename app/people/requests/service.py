"""Data-subject requests: opened, identified, extended, done or refused, each step on record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import orjson
import structlog

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
from app.people.finding.pseudonyms import IdentifiedDataSubject, PseudonymFinder
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

_log = structlog.stdlib.get_logger("sillage.people")


class Listed(NamedTuple):
    """A request without the data subject's identifiers or what was noted."""

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
        cipher: DataSubjectCipher,
        audit: Audit,
        now_us: Clock,
        today: Today,
        random: RandomBytes,
        pseudonyms: PseudonymFinder,
    ) -> None:
        """``now_us``: microseconds since 1970 UTC; ``today``: the day where the controller is.

        ``pseudonyms`` completes a data subject with theirs; a request keeps the identifiers that were given, and no
        others.
        """
        self._repository = repository
        self._keys = keys
        self._cipher = cipher
        self._audit = audit
        self._now_us = now_us
        self._today = today
        self._random = random
        self._pseudonyms = pseudonyms

    def open(
        self,
        kind: str,
        data_subject: IdentifiedDataSubject,
        *,
        received: date | None = None,
        note: str = "",
        actor: str,
    ) -> DataSubjectRequest:
        """Note a request that came.

        Args:
            kind: One of ``request_steps.KINDS``.
            data_subject: Whose request it is.
            received: The day it came; None: today. The month runs from it (GDPR art. 12(3)).
            note: How it came, for whoever reads the request; sealed.
            actor: Who notes it, for the audit log.

        Raises:
            BadRequest: no such kind, or a day that cannot be.
        """
        today = self._today()
        id = _OURS + self._random(6).hex()
        step = Step(self._now_us(), "opened", actor, note)
        request = request_steps.opened(id, kind, received or today, data_subject.identifiers, today, step)
        self._audit.append(REQUEST_OPENED, actor, {"case": id, "request": kind, "due": request.due.isoformat()})
        if not self._repository.insert(self._row(request, 1, self._subjects(data_subject))):
            raise Unavailable("The id of the new request is taken. Send the same again.", retry_after=1)
        return request

    def identify(self, id: str, *, note: str = "", actor: str) -> DataSubjectRequest:
        """It was checked who makes the request; ``note`` says how (sealed)."""

        def step(request: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.identified(request, Step(self._now_us(), "identified", actor, note))

        return self._take(id, step, REQUEST_IDENTIFIED, actor)

    def extend(self, id: str, *, reason: str, actor: str) -> DataSubjectRequest:
        """Take two further months; the data subject is to be told, with the reason, within the first (art. 12(3))."""

        def step(request: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.extended(request, self._today(), Step(self._now_us(), "extended", actor, reason))

        return self._take(id, step, REQUEST_EXTENDED, actor)

    def done(self, id: str, *, note: str = "", actor: str) -> DataSubjectRequest:
        """Close a request as done: what was asked was done, and the data subject told."""

        def step(request: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.done(request, self._today(), Step(self._now_us(), "done", actor, note))

        return self._take(id, step, REQUEST_DONE, actor)

    def refuse(self, id: str, *, reason: str, actor: str) -> DataSubjectRequest:
        """It will not be done; the data subject was told why, and where to complain (GDPR art. 12(4))."""

        def step(request: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.refused(request, self._today(), Step(self._now_us(), "refused", actor, reason))

        return self._take(id, step, REQUEST_REFUSED, actor)

    def require(
        self, id: str, data_subject: IdentifiedDataSubject | None = None, *, after_answer: bool = False
    ) -> DataSubjectRequest | None:
        """The request that an act names, before the act: it waits for an answer, and it is known who made it.

        Args:
            id: The request's id; or, not beginning with ``r-``, a number in the controller's own files: that stands
                in the audit log as it is given, and nothing is looked up.
            data_subject: Whom the act is about, if known already: one of the identifiers must be of the request's data
                subject.
            after_answer: Whether the act may follow a request that is done, too.

        Raises:
            BadRequest: it has the form of neither.
            NotFound: no such request.
            DataSubjectRequestConflict: it is not the time for it, or the request is about somebody else.
        """
        if _ID.fullmatch(id) is None:
            # It goes into the audit log: nothing that could name somebody.
            raise BadRequest("The id of a request has 64 letters, digits and dashes at most.")
        if not id.startswith(_OURS):
            return None
        row = self._found(id)
        request = self._request(row)
        request_steps.require_acting(request, after_answer=after_answer)
        if data_subject is not None and not self._same(data_subject, request, row):
            raise DataSubjectRequestConflict("This request is about another person.")
        return request

    def data_subject(self, id: str) -> IdentifiedDataSubject:
        """The data subject that a request is about.

        Raises:
            NotFound: no such request, or the data subject was erased.
        """
        known = self._request(self._found(id)).identifiers
        if not known:
            raise NotFound("The person of this request was erased: say who is meant.")
        return IdentifiedDataSubject(known)

    def note_act(self, id: str, act: str, actor: str, detail: Mapping[str, object]) -> DataSubjectRequest | None:
        """Write on a request what was done for it.

        Args:
            id: The request's id; what is not one of ours is left alone, as in ``require``.
            act: A word: ``erased``, ``restricted``, ``package-written``.
            actor: Who did it, as in the audit log.
            detail: Tokens, counts, digests; no personal data.

        Raises:
            NotFound: no such request.
            DataSubjectRequestConflict: it was refused, or the identity was not checked.
        """
        if not id.startswith(_OURS):
            return None

        def step(request: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.acted(request, Step(self._now_us(), act, actor, detail=detail))

        return self._take(id, step, REQUEST_ACT, actor, {"act": act})

    def require_collectable(self, request: DataSubjectRequest) -> None:
        """Refuse what ``collect`` would refuse.

        Raises:
            DataSubjectRequestConflict: the request is not answered, not for a copy, or the copy was fetched.
        """
        request_steps.require_collectable(request)

    def collect(self, id: str, *, actor: str) -> DataSubjectRequest:
        """Note that the data subject fetches the export that answers a request: once.

        Raises:
            NotFound: no such request.
            DataSubjectRequestConflict: as ``require_collectable``.
        """

        def step(request: DataSubjectRequest) -> DataSubjectRequest:
            return request_steps.collected(request, Step(self._now_us(), request_steps.COLLECTED, actor))

        return self._take(id, step, REQUEST_ACT, actor, {"act": request_steps.COLLECTED})

    def of(self, data_subject: IdentifiedDataSubject) -> Sequence[DataSubjectRequest]:
        """The requests about a data subject, by the identifiers that were given of them."""
        return [self._request(row) for row in self._repository.of(self._subjects(data_subject))]

    def whole(self, request: DataSubjectRequest) -> frozenset[str]:
        """Every identifier under which a request's data subject may stand."""
        return frozenset(self._pseudonyms.whole(IdentifiedDataSubject(request.identifiers)).every)

    def show(self, id: str, *, actor: str) -> DataSubjectRequest:
        """One request, in full: a reading that the audit log keeps.

        Raises:
            NotFound: no such request.
        """
        request = self._request(self._found(id))
        self._audit.append(REQUEST_READ, actor, {"case": request.id})
        return request

    def list(
        self, statuses: Sequence[str] = request_steps.PENDING, due_within: int | None = None, limit: int = MAX_LISTED
    ) -> Sequence[Listed]:
        """Requests, the most urgent first; ``due_within`` days, late ones included."""
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

    def waiting(self) -> int:
        """The number of requests that wait for an answer."""
        return self._repository.count(request_steps.PENDING)

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

    def run(self, days: int, check: Callable[[], None]) -> Mapping[str, object]:
        """Remove what is old, and tell the log what is due: the job ``requests``; see ``remove_old``."""
        removed = self.remove_old(days, actor="job:requests", check=check)
        standing = self.standing()
        # GDPR art. 12(3): whoever reads the log is told, numbers alone.
        if standing.overdue:
            _log.warning("data-subject requests are overdue", overdue=standing.overdue)
        if standing.due_soon:
            _log.info("data-subject requests are due soon", days=SOON_DAYS, due=standing.due_soon)
        return {**standing._asdict(), "removed": removed}

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
            request = step(self._request(row))
            # First: a step without a trace is worse than a trace without a step.
            self._audit.append(kind, actor, {"case": id, **detail, "due": request.due.isoformat()})
            changed = self._row(request, row.n + 1, row.subjects)
            if request.identifiers and not self._decrypted(row):
                # Erased since it was read: who it was must not go into a key that was made since.
                continue
            if self._repository.replace(changed):
                return request
        raise Unavailable("Others change this request at the same moment. Look at it, then try again.", retry_after=1)

    def _found(self, id: str) -> DataSubjectRequestRow:
        row = self._repository.get(id)
        if row is None:
            raise NotFound("No request has this id. `sillage request list` shows those that wait.")
        return row

    def _request(self, row: DataSubjectRequestRow) -> DataSubjectRequest:
        return request_of(row, self._keys.decrypt(sealed_place(row.id), row.sealed), self._decrypted(row))

    def _decrypted(self, row: DataSubjectRequestRow) -> bytes:
        """The data subject and the notes, as JSON; empty when there is neither, or the data subject was erased."""
        opened = self._cipher.decrypt_for_all(sealed_place(row.id), row.subjects, row.who) if row.who else None
        return opened or b""

    def _row(self, request: DataSubjectRequest, n: int, subjects: tuple[bytes, ...]) -> DataSubjectRequestRow:
        steps = [{"at": step.at, "what": step.what, "by": step.by, "detail": step.detail} for step in request.steps]
        sealed = self._keys.encrypt(
            sealed_place(request.id), orjson.dumps({"extended": request.extended, "steps": steps})
        )
        notes = {str(place): step.note for place, step in enumerate(request.steps) if step.note}
        content = orjson.dumps({"person": request.identifiers, "notes": notes})
        # Nothing of the data subject: no key is made anew for one who was erased.
        empty = not request.identifiers and not notes
        who = b"" if empty else self._cipher.encrypt_for_all(sealed_place(request.id), subjects, content)
        return DataSubjectRequestRow(
            request.id,
            request.kind,
            request.status,
            request.received,
            request.due,
            subjects,
            n,
            sealed,
            who,
            request.answered,
        )

    def _same(
        self, data_subject: IdentifiedDataSubject, request: DataSubjectRequest, row: DataSubjectRequestRow
    ) -> bool:
        """True if a data subject is a request's, by one of their identifiers or a pseudonym of one."""
        theirs = set(self._pseudonyms.whole(data_subject).every)
        if not theirs.isdisjoint(self._pseudonyms.whole(IdentifiedDataSubject(request.identifiers)).every):
            return True
        return not set(map(self._keys.subject, theirs)).isdisjoint(row.subjects)

    def _subjects(self, data_subject: IdentifiedDataSubject) -> tuple[bytes, ...]:
        return tuple(self._keys.subject(identifier) for identifier in data_subject.identifiers)
