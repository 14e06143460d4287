"""Purpose of a reading, as its sender states it: ``X-Sillage-Purpose``, one of the codes of ``SILLAGE_PURPOSES``.

GDPR art. 5(1)(b) and 5(2): data are read for a purpose, and the controller must be able to show it. The code goes into
the entry of the audit log about the reading. It is one of a short list, not text: text would sooner or later name
somebody. A source reads for its processing activity, which the entry names without being told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flask import g, has_request_context, request

from app.access import scopes
from app.access.principals import Kind, Principal
from app.core.errors import BadParameter

HEADER = "X-Sillage-Purpose"

# Whatever else people ask for tells them of persons, of who read what, or of groups of them; acts under `rights` answer
# with what holds for somebody. So it is not a list of scopes that need a purpose: a new scope needs one.
_NEED_NONE = frozenset({scopes.METRICS})


class Purposes:
    """Takes note of what each request is for."""

    def __init__(self, known: Sequence[str], *, required: bool, activity: Callable[[str], str]) -> None:
        """Nothing is asked yet.

        Args:
            known: The codes that there are.
            required: Whether people must give one, for all but the figures of the service itself.
            activity: The processing activity of a source, by its id.
        """
        self._known = tuple(known)
        self._required = required
        self._activity = activity

    def note(self, principal: Principal, asked: Sequence[str]) -> Principal:
        """Take note of the purpose of the current request.

        Args:
            principal: Whose request it is.
            asked: The scopes of which the route asks for one.

        Returns:
            The principal, with the purpose that the request gives, else the one it has.

        Raises:
            BadParameter: it is not one of the codes, or is missing where it is required.
        """
        given = request.headers.get(HEADER)
        if given is not None:
            if given not in self._known:
                raise BadParameter(f"{HEADER} is not one of this installation's purposes: {', '.join(self._known)}.")
            principal = principal._replace(purpose=given)
        person = principal.kind is Kind.PERSON
        if principal.purpose is None and self._required and person and not _NEED_NONE.issuperset(asked):
            raise BadParameter(f"Say what this is for, in {HEADER}: {', '.join(self._known)}.")
        g.why = {} if principal.purpose is None else {"purpose": principal.purpose}
        if principal.kind is Kind.SOURCE:
            g.activity_of = (self._activity, principal.source)
        return principal


def state(purpose: str | None) -> None:
    """Take note of the purpose of the current request, which a page is asked for in a session; None: none is chosen."""
    g.why = {} if purpose is None else {"purpose": purpose}


def stated() -> Mapping[str, object]:
    """The purpose of the current request, to be added to the detail of an audit entry; empty outside a request."""
    if not has_request_context():
        return {}
    why: dict[str, object] = dict(g.get("why", {}))
    known = g.get("activity_of")
    if known is not None:
        activity, source = known
        why["activity"] = activity(source)
    return why
