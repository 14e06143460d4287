"""Small objects that stand for others, for tests of services made by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

from app.access.perimeters import Territory
from app.access.principals import Principal
from app.access.restrictions.store import NOBODY, States
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.traces.statements.store import Plain


class Sink:
    """The audit log: has a function take each entry."""

    def __init__(self, take: Callable[[str, str, Mapping[str, object]], object] = lambda *_: None) -> None:
        self._take = take

    def append(self, kind: str, actor: str, detail: Mapping[str, object]) -> object:
        return self._take(kind, actor, detail)


class Announcing:
    """The processes, as one who announces: has a function told."""

    def __init__(self, reported: Callable[[], object] = lambda: None) -> None:
        self._reported = reported

    def announce(self) -> None:
        self._reported()


class Everybody:
    """The scope of research where nobody has left it, and nothing was voided or deleted."""

    def __init__(self, left_out: Callable[[], frozenset[bytes]] = frozenset) -> None:
        self._left_out = left_out

    def left_out(self) -> frozenset[bytes]:
        return self._left_out()

    def pupils_only(self) -> Set[str]:
        return frozenset()

    def kept_since(self) -> int:
        return 0

    def voided(self, since: int, before: int) -> Iterator[Sequence[Plain]]:
        return iter(())


class Rules:
    """The rules that sources must fit: which entries and profiles there are, and which entries are about minors."""

    def __init__(
        self, activities: Sequence[str] = (), profiles: Sequence[str] = (), about_minors: Sequence[str] = ()
    ) -> None:
        self._activities = activities
        self._profiles = profiles
        self._minors = about_minors

    def activity_exists(self, activity: str) -> bool:
        return activity in self._activities

    def activity_ended(self, activity: str) -> bool:
        return False

    def about_minors(self, activity: str) -> bool:
        return activity in self._minors

    def profile_exists(self, profile: str) -> bool:
        return profile in self._profiles

    def territory_exists(self, territory: Territory) -> bool:
        return territory.code == "038"

    def cover(self, source: str) -> None:
        pass


class NoErasures:
    """A store where nobody is being erased."""

    def under_way(self, subjects: Iterable[bytes]) -> dict[bytes, int | None]:
        return {}


class Unrestricted:
    """A store where nobody is restricted."""

    def current(self) -> States:
        return NOBODY


class VoidingTokens:
    """The verb that voids, by the tokens that a test gives."""

    def __init__(self, *tokens: bytes) -> None:
        self._tokens = tokens

    def tokens(self) -> tuple[bytes, ...]:
        return self._tokens


class NoPseudonyms:
    """A store that makes no pseudonyms."""

    def whole(self, data_subject: IdentifiedDataSubject) -> IdentifiedDataSubject:
        return data_subject

    def of_source(self, source: str) -> NoPseudonyms:
        return self


class AllAdmitted:
    """A store where every source may have data stored."""

    def require(self, source: str) -> None:
        pass


class Open:
    """A process, purposes and origins of pages that let every request through."""

    def require(self) -> None:
        pass

    def require_right_clock(self) -> None:
        pass

    def note(self, principal: Principal, asked: Sequence[str]) -> Principal:
        return principal
