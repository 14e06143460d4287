"""Acts for a data-subject request, about the data subject whose request it is: nobody says again who is meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from app.people.access_package.recipients import Disclosures, Received
from app.people.access_package.subject_access_export import SubjectAccessExports
from app.people.erasure.service import Erasures
from app.people.erasure.store import Erasure
from app.people.finding.finder import Counted, DataSubjectFinder
from app.people.rectification import Rectification, Rectified
from app.people.requests.service import DataSubjectRequests
from app.people.requests.steps import DataSubjectRequest
from app.people.restriction import Restriction, Standing

FOUND: Final = "found"
"""Step of a request: it was counted what there is of its data subject, and where."""

ANSWERS: Final[Mapping[str, str]] = {
    "access": "package-written",
    "portability": "package-written",
    "rectification": "rectified",
    "erasure": "erased",
    "restriction": "restricted",
    "objection": "objection-noted",
}
"""The step by which a request of each kind is answered."""


class Found(NamedTuple):
    """Places of a data subject, counted.

    Attributes:
        counts: Numbers, by the names that collections give.
        held: Whether anything is held at all.
        sources: Sources in whose statements they stand under a pseudonym that the store made.
    """

    counts: Counted
    held: bool
    sources: tuple[str, ...]


def taken(request: DataSubjectRequest, what: str) -> bool:
    """True if a step is on a request."""
    return any(step.what == what for step in request.steps)


class RequestActs:
    """Carries out what a request asks for. Safe to share between threads."""

    def __init__(
        self,
        *,
        requests: DataSubjectRequests,
        finder: DataSubjectFinder,
        disclosures: Disclosures,
        restriction: Restriction,
        rectification: Rectification,
        packages: SubjectAccessExports,
        erasures: Erasures,
    ) -> None:
        """The services that each act is of."""
        self._requests = requests
        self._finder = finder
        self._disclosures = disclosures
        self._restriction = restriction
        self._rectification = rectification
        self._packages = packages
        self._erasures = erasures

    def count(self, id: str, *, actor: str) -> Found:
        """Count every place where the data subject of a request stands: in the audit log, not on the request.

        Raises:
            NotFound: there is no such request, or its data subject was erased.
            DataSubjectRequestConflict: it is not the time for it.
        """
        data_subject = self._requests.data_subject(id)
        self._requests.require(id, data_subject)
        counts = self._finder.find(data_subject, actor=actor)
        reach = self._finder.reach(data_subject)
        return Found(counts, reach.held, reach.sources)

    def find(self, id: str, *, actor: str) -> Found:
        """Count as ``count``; the numbers go on the request. Raises as ``count``."""
        found = self.count(id, actor=actor)
        said: dict[str, object] = {name: number for name, number in found.counts.items() if number}
        if found.sources:
            said["pseudonyms"] = [*found.sources]
        self._requests.note_act(id, FOUND, actor, said)
        return found

    def recipients(self, id: str, *, actor: str) -> Received:
        """Tell who received the data of the data subject; on the request too. Raises as ``find``."""
        return self._disclosures.of(self._requests.data_subject(id), actor=actor, request=id)

    def standing(self, id: str, *, actor: str) -> Standing:
        """Tell whether the data subject is restricted or objects. Raises ``NotFound`` as ``find``."""
        return self._restriction.standing(self._requests.data_subject(id), actor=actor)

    def restrict(self, id: str, *, actor: str) -> None:
        """Have the data of the data subject only kept. Raises as ``find``."""
        self._restriction.restrict(self._requests.data_subject(id), actor=actor, request=id)

    def lift(self, id: str, *, actor: str) -> bool:
        """End the restriction of the data subject; True if there was one. Raises as ``find``."""
        return self._restriction.lift(self._requests.data_subject(id), actor=actor, request=id)

    def note_objection(self, id: str, *, purposes: Sequence[str], refuse_new: bool, actor: str) -> None:
        """Leave the data subject out of purposes; refuse what is new of theirs. Raises as ``find``, ``BadRequest``."""
        data_subject = self._requests.data_subject(id)
        self._restriction.note_objection(
            data_subject, purposes=purposes, refuse_new=refuse_new, actor=actor, request=id
        )

    def withdraw_objection(self, id: str, *, actor: str) -> bool:
        """Take the objections of the data subject back; True if there were any. Raises as ``find``."""
        return self._restriction.withdraw_objection(self._requests.data_subject(id), actor=actor, request=id)

    def rectify(self, id: str, wrong: UUID, content: bytes, *, actor: str) -> Rectified:
        """Void a statement and store the right one; see ``Rectification.rectify``."""
        return self._rectification.rectify(wrong, content, actor=actor, request=id)

    def export(self, id: str, *, actor: str) -> Iterator[bytes]:
        """The subject access export, in pieces; see ``SubjectAccessExports.write``. Raises as ``find``."""
        return self._packages.write(self._requests.data_subject(id), actor=actor, request=id)

    def erase(self, id: str, *, actor: str) -> Erasure:
        """Destroy the keys of the data subject; the job ``erasure`` does the rest. Raises as ``find``."""
        return self._erasures.erase(self._requests.data_subject(id), actor=actor, request=id)

    def erasures(self, request: DataSubjectRequest) -> Sequence[Erasure]:
        """The erasures that were begun for a request, or noted on it."""
        return self._erasures.of_request(request)
