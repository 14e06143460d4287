"""The other identifiers under which a store has a data subject: the pseudonyms that it made of those that are known.

Under a policy about minors an address, or an account that tells a data subject, is replaced by an account with a
pseudonym before a statement is stored. Who exercises a right knows the address. So whatever is done for a data subject
is done for the pseudonyms that each source's statements would have, too. They are made anew each time, with keys that
no rotation replaces: no link between the two is kept (``docs/adr/0053-rights-reach-pseudonyms.md``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import prod
from typing import NamedTuple, Protocol

from app.access.credentials import REPLACING
from app.access.store import SourceRepository
from app.standards.xapi.identifiers import group_identifier
from app.traces.conformance.minors_policy import MinorsPolicy

# Groups of which a data subject is every member: those that several identifiers of theirs make up are few.
_MAX_IN_A_GROUP = 3
# Of the groups that pseudonyms make up, for one source.
_MAX_GROUPS = 2_000


class Pseudonym(NamedTuple):
    """An identifier that stands for another one in what a source has.

    Attributes:
        identifier: The canonical identifier that is stored.
        of: The one that was sent.
        source: Id of the source.
        live: Whether the source's policy is one under which it is made now; else it may be of before.
        always: Whether ``of`` cannot stay as it is where this one is made.
    """

    identifier: str
    of: str
    source: str
    live: bool
    always: bool


class IdentifiedDataSubject(NamedTuple):
    """One data subject of a request.

    Attributes:
        identifiers: The canonical identifiers that were given (``app.standards.xapi.identifiers.agent_identifier``):
            sorted, distinct, at least one.
        pseudonyms: What this store may have made of them; None: not looked for yet, which every service does.
    """

    identifiers: tuple[str, ...]
    pseudonyms: tuple[Pseudonym, ...] | None = None

    @property
    def every(self) -> tuple[str, ...]:
        """All identifiers under which something of the data subject may be stored, distinct: the given ones first."""
        return tuple(dict.fromkeys((*self.identifiers, *(one.identifier for one in self.pseudonyms or ()))))

    @property
    def certain(self) -> frozenset[str]:
        """The given ones, and the pseudonyms that are made of them now whatever else a statement says."""
        return frozenset(self.identifiers) | {
            one.identifier for one in self.pseudonyms or () if one.live and one.always
        }

    @property
    def likely(self) -> frozenset[str]:
        """Those under which something may yet come: the given ones, and the pseudonyms that are made now."""
        return frozenset(self.identifiers) | {one.identifier for one in self.pseudonyms or () if one.live}


class PseudonymFinder(Protocol):
    """Finds the pseudonyms of data subjects."""

    def whole(self, data_subject: IdentifiedDataSubject) -> IdentifiedDataSubject:
        """The data subject with their pseudonyms."""


class MinorsPolicies(Protocol):
    """The policy about minors, made when it is first asked for: its keys are opened then."""

    @property
    def minors_policy(self) -> MinorsPolicy:
        """The policies of sources about minors."""


class PseudonymsBySource(Protocol):
    """Finds the pseudonyms that one source makes."""

    def of_source(self, source: str) -> PseudonymFinder:
        """Finds those of this source."""


class Pseudonyms:
    """Finds the pseudonyms of data subjects. Safe to share between threads."""

    def __init__(self, policies: MinorsPolicies, sources: SourceRepository) -> None:
        """``policies`` say what may stand in the place of an identifier; ``sources``: those that are closed too."""
        self._policies = policies
        self._sources = sources

    def whole(self, data_subject: IdentifiedDataSubject) -> IdentifiedDataSubject:
        """The data subject with the pseudonyms that any source's statements may have, whatever its policy is now."""
        if data_subject.pseudonyms is not None:
            return data_subject
        return data_subject._replace(pseudonyms=tuple(self._made(data_subject)))

    def of_source(self, source: str) -> PseudonymFinder:
        """Finds the pseudonyms of one source."""
        found = self._sources.get(source)
        return _OfOne(self, source, live=found is not None and found.minors in REPLACING)

    def of_new(self, source: str) -> PseudonymFinder:
        """Finds the pseudonyms that a source is about to have, whether or not it is registered."""
        return _OfOne(self, source, live=True)

    def made(self, data_subject: IdentifiedDataSubject, source: str, *, live: bool) -> Iterator[Pseudonym]:
        """The pseudonyms that a source may have; ``live``: its policy is one under which it makes them now."""
        for identifier in data_subject.identifiers:
            forms = self._policies.minors_policy.forms(source, identifier)
            always = identifier not in forms
            yield from (Pseudonym(one, identifier, source, live, always) for one in forms if one != identifier)

    def _made(self, data_subject: IdentifiedDataSubject) -> Iterator[Pseudonym]:
        for source in self._sources.list():
            yield from self.made(data_subject, source.id, live=source.minors in REPLACING)


class _OfOne:
    """Finds the pseudonyms of one source."""

    def __init__(self, pseudonyms: Pseudonyms, source: str, *, live: bool) -> None:
        self._pseudonyms = pseudonyms
        self._source = source
        self._live = live

    def whole(self, data_subject: IdentifiedDataSubject) -> IdentifiedDataSubject:
        """The data subject with the pseudonyms of this source, and no others."""
        made = self._pseudonyms.made(data_subject, self._source, live=self._live)
        return data_subject._replace(pseudonyms=tuple(made))


def groups_of(data_subject: IdentifiedDataSubject) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The identifiers of the anonymous groups that have nobody but this data subject in them, with their members.

    Members that a source's policy replaced are all of that source.
    """
    for members in _combined([(identifier,) for identifier in data_subject.identifiers]):
        yield group_identifier(members), members
    by_source: dict[str, dict[str, list[Pseudonym]]] = {}
    for one in data_subject.pseudonyms or ():
        by_source.setdefault(one.source, {}).setdefault(one.of, []).append(one)
    for made in by_source.values():
        options = []
        for identifier in data_subject.identifiers:
            forms = made.get(identifier, [])
            kept = () if any(one.always for one in forms) else (identifier,)
            options.append((*kept, *(one.identifier for one in forms)))
        given = set(data_subject.identifiers)
        for members in _combined(options, most=_MAX_GROUPS):
            if not given.issuperset(members):
                yield group_identifier(members), members


def _combined(options: Sequence[tuple[str, ...]], most: int | None = None) -> Iterator[tuple[str, ...]]:
    """The sets of one to three of several things, each in one of its forms; sizes that would be too many are left."""
    for size in range(1, min(len(options), _MAX_IN_A_GROUP) + 1):
        if most is not None and size > 1:
            most -= sum(prod(map(len, some)) for some in combinations(options, size))
            if most < 0:
                return
        for some in combinations(options, size):
            yield from product(*some)
