"""The steps of a data subject's request, from receipt to answer: pure rules, no clock and no store.

GDPR art. 12(3): an answer within one month of receipt; two further months where the request is complex, if the data
subject is told within the first. Art. 12(4): a refusal says why. Art. 12(6): who cannot be identified may be asked for
more; nothing is done for a request before it is known who makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

from app.core.errors import BadRequest, DataSubjectRequestConflict, Fault
from app.core.months import months_after

KINDS = ("access", "portability", "rectification", "erasure", "restriction", "objection")
"""GDPR art. 15, 20, 16, 17, 18, 21."""

OPEN = "open"
IDENTIFIED = "identified"
DONE = "done"
REFUSED = "refused"
COLLECTED = "package-collected"
"""The act of a data subject who fetches the subject access export that answers a request."""
STATUSES = (OPEN, IDENTIFIED, DONE, REFUSED)
PENDING = (OPEN, IDENTIFIED)
ANSWERED = (DONE, REFUSED)

MONTHS = 1
MONTHS_EXTENDED = 3
"""The first month and the two further ones, counted from receipt."""

_MAX_AGE_YEARS = 5


class Step(NamedTuple):
    """A step of a request: act, instant (microseconds since 1970 UTC), actor (as the audit log says it), note."""

    at: int
    what: str
    by: str
    note: str = ""
    detail: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class DataSubjectRequest:
    """A data-subject request.

    Attributes:
        id: Public id, random.
        kind: One of ``KINDS``.
        status: One of ``STATUSES``.
        received: The day the request came.
        due: The last day to answer it.
        extended: The day it was extended, if it was.
        identifiers: Those of the data subject, canonical; none when they were erased.
        steps: What was done, in order; the first is its opening.
        answered: The day it was done or refused; None: it waits.
    """

    id: str
    kind: str
    status: str
    received: date
    due: date
    extended: date | None
    identifiers: tuple[str, ...]
    steps: tuple[Step, ...]
    answered: date | None = None

    @property
    def late(self) -> bool:
        """True if it was answered after the day that it was due: that stays so (GDPR art. 12(3), 5(2))."""
        return self.answered is not None and self.answered > self.due

    @property
    def pending(self) -> bool:
        """True if it still waits for an answer."""
        return self.status in PENDING

    def after_answer(self, place: int) -> bool:
        """True if the step at this place came after the answer: a restriction that ended, recipients who were told."""
        return any(step.what in ANSWERED for step in self.steps[:place])

    def overdue(self, today: date) -> bool:
        """True if its answer is late."""
        return self.pending and today > self.due


def opened(
    id: str, kind: str, received: date, identifiers: tuple[str, ...], today: date, step: Step
) -> DataSubjectRequest:
    """A new request.

    Raises:
        BadRequest: no such kind, or it was received on a day that cannot be.
    """
    if kind not in KINDS:
        raise _bad("kind", f"must be one of {', '.join(KINDS)}")
    if received > today:
        raise _bad("received", "must not be after today")
    if received < months_after(today, -12 * _MAX_AGE_YEARS):
        raise _bad("received", f"must be within the last {_MAX_AGE_YEARS} years")
    return DataSubjectRequest(id, kind, OPEN, received, months_after(received, MONTHS), None, identifiers, (step,))


def identified(request: DataSubjectRequest, step: Step) -> DataSubjectRequest:
    """It is known who makes the request."""
    _require(request, (OPEN,), "The identity was checked already, or the request is closed.")
    return _stepped(request, step, status=IDENTIFIED)


def extended(request: DataSubjectRequest, today: date, step: Step) -> DataSubjectRequest:
    """Two further months.

    Raises:
        DataSubjectRequestConflict: it is closed, was extended before, or the first month is over.
        BadRequest: no reason is given.
    """
    _require(request, PENDING, "The request is closed.")
    _require_note(step, "reason")
    if request.extended is not None:
        raise DataSubjectRequestConflict("The request was extended already; GDPR art. 12(3) allows it once.")
    if today > request.due:
        raise DataSubjectRequestConflict(
            "The first month is over, and GDPR art. 12(3) wants an extension told within it. Answer now."
        )
    return _stepped(request, step, extended=today, due=months_after(request.received, MONTHS_EXTENDED))


def done(request: DataSubjectRequest, today: date, step: Step) -> DataSubjectRequest:
    """Close a request as done: what was asked was done, and the data subject told.

    Raises:
        DataSubjectRequestConflict: it is closed, or the identity was not checked.
    """
    require_acting(request)
    return _stepped(request, step, status=DONE, answered=today)


def refused(request: DataSubjectRequest, today: date, step: Step) -> DataSubjectRequest:
    """It will not be done, and the data subject was told why (GDPR art. 12(4)).

    Raises:
        DataSubjectRequestConflict: it is closed.
        BadRequest: no reason is given.
    """
    _require(request, PENDING, "The request is closed.")
    _require_note(step, "reason")
    return _stepped(request, step, status=REFUSED, answered=today)


def acted(request: DataSubjectRequest, step: Step) -> DataSubjectRequest:
    """Something was done for it: an erasure, a restriction, a package. What goes on in the background may end later.

    Raises:
        DataSubjectRequestConflict: it was refused, or the identity was not checked.
    """
    if request.status != DONE:
        require_acting(request)
    return _stepped(request, step)


def collected(request: DataSubjectRequest, step: Step) -> DataSubjectRequest:
    """The data subject fetches the subject access export that answers the request.

    Raises:
        DataSubjectRequestConflict: it is not answered, not of that kind, or the export was fetched before.
    """
    require_collectable(request)
    return _stepped(request, step)


def require_collectable(request: DataSubjectRequest) -> None:
    """Refuse to give out the export of a request that is not answered, not one for it, or of which it was fetched.

    Raises:
        DataSubjectRequestConflict: so it is.
    """
    if request.kind not in ("access", "portability"):
        raise DataSubjectRequestConflict("This request is not for a copy.")
    _require(request, (DONE,), "A copy can be fetched once the request is answered.")
    if any(step.what == COLLECTED for step in request.steps):
        raise DataSubjectRequestConflict("The copy was fetched already. Ask for another one.")


def require_acting(request: DataSubjectRequest, *, after_answer: bool = False) -> None:
    """Refuse an act for a request that is not the time for it.

    Args:
        request: The request.
        after_answer: Whether the act is one that may follow a request that is done: a restriction ends, an objection is
            withdrawn, recipients are told.

    Raises:
        DataSubjectRequestConflict: it is closed, or the identity was not checked.
    """
    if after_answer and request.status == DONE:
        return
    if request.status == OPEN:
        # Or anybody could have somebody else's traces erased, or given to themselves.
        raise DataSubjectRequestConflict("Check first who makes the request: `sillage request identify ID`.")
    _require(request, (IDENTIFIED,), "The request is closed.")


def _require(request: DataSubjectRequest, statuses: tuple[str, ...], otherwise: str) -> None:
    if request.status not in statuses:
        raise DataSubjectRequestConflict(otherwise)


def _require_note(step: Step, name: str) -> None:
    if not step.note.strip():
        raise _bad(name, "is missing")


def _stepped(request: DataSubjectRequest, step: Step, **changes: Any) -> DataSubjectRequest:
    return replace(request, steps=(*request.steps, step), **changes)


def _bad(name: str, message: str) -> BadRequest:
    return BadRequest(f"`{name}` {message}.", faults=[Fault(f"/{name}", "request", "GDPR art. 12", message)])
