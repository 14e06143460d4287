"""Sessions: statements that belong together, and their progress through a profile's patterns (xAPI Profiles 1.0,
Structure 9).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.standards.profiles import patterns
from app.standards.profiles.checker import categories
from app.standards.profiles.document import Profile
from app.standards.profiles.patterns import Break, CompiledPattern, Progress, State, Unresolved

SUBREGISTRATION: Final = "https://w3id.org/xapi/profiles/extensions/subregistration"


class SessionKey(NamedTuple):
    """Statements with equal keys follow one primary pattern: of a profile, in a registration or a part of one.

    Attributes:
        scheme: The follower's (``Follower.scheme``).
        registration, subregistration: UUIDs in lower case.
    """

    scheme: str
    registration: str
    subregistration: str | None


class Standing(NamedTuple):
    """Standing of a session.

    Attributes:
        progress: The best of the primary patterns: a session follows one of them.
        pattern: IRI of that pattern.
        broken: Where it was left, when it failed.
    """

    progress: Progress
    pattern: str
    broken: Break | None


class Follower(NamedTuple):
    """The primary patterns of a version of a profile, ready to follow.

    Attributes:
        profile: IRI of the profile.
        scheme: What tells its sessions from others': the IRI of the profile for its newest version, of the version for
            an older one.
        names: IRIs that say of a statement that it is of this version, among its category context activities.
        older: IRIs that say that it is of an older one, when only the profile is named beside.
        unresolved: IRIs that patterns name and that no profile at hand defines; such patterns are left out.
    """

    profile: str
    scheme: str
    names: frozenset[str]
    older: frozenset[str]
    patterns: tuple[CompiledPattern, ...]
    unresolved: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Changes when what is followed changes."""
        return hashlib.sha256("".join(pattern.fingerprint for pattern in self.patterns).encode()).hexdigest()[:16]


def compile(profile: Profile, others: Sequence[Profile] = ()) -> tuple[Follower, ...]:
    """The followers of a profile: one for each version that has primary patterns, the newest first.

    Structure 9: statements follow the patterns of the version that they name. A version of which the document describes
    nothing counts as the newest.

    Args:
        profile: The profile.
        others: Where templates and patterns of other profiles are looked up.
    """
    described = {element.version for element in profile.elements}
    older = frozenset(described - {profile.version})
    newest = frozenset({profile.id, *(version.id for version in profile.versions)}) - older
    made = [_compile(profile, profile.version, profile.id, newest, older, others)]
    made += [
        _compile(profile, version.id, version.id, frozenset({version.id}), frozenset(), others)
        for version in profile.versions
        if version.id in older
    ]
    return tuple(follower for follower in made if follower.patterns or follower.unresolved)


def _compile(
    profile: Profile,
    version: str,
    scheme: str,
    names: frozenset[str],
    older: frozenset[str],
    others: Sequence[Profile],
) -> Follower:
    compiled: list[CompiledPattern] = []
    missing: list[str] = []
    known = patterns.elements(profile, version, others)
    for pattern in patterns.primaries(profile, version):
        try:
            compiled.append(patterns.compile(profile, pattern, known=known))
        except Unresolved as refused:
            missing += refused.names
        except patterns.TooAmbiguous:
            missing.append(pattern.id)
    return Follower(profile.id, scheme, names, older, tuple(compiled), tuple(missing))


def session_of(statement: Mapping[str, Any], follower: Follower) -> SessionKey | None:
    """The session of a valid statement; None when it is in none.

    Structure 9: statements of a registration that have the profile's version among their category context activities;
    the profile's own IRI counts as the newest. A subregistration divides the registration, for the profile it names.
    """
    context = statement.get("context")
    registration = context.get("registration") if type(context) is dict else None
    if type(context) is not dict or type(registration) is not str or not is_of(statement, follower):
        return None
    part = None
    for each in _parts(context):
        names = type(each) is dict and each.get("profile") in (follower.profile, *follower.names)
        if names and type(each.get("subregistration")) is str:
            part = each["subregistration"].lower()
    return SessionKey(follower.scheme, registration.lower(), part)


def is_of(statement: Mapping[str, Any], follower: Follower) -> bool:
    """True if a statement names the version of a follower, so that it is held to its patterns."""
    named = follower.names.intersection(given := categories(statement))
    return bool(named) and not (named == {follower.profile} and not follower.older.isdisjoint(given))


def _parts(context: Mapping[str, Any]) -> list[Any]:
    extensions = context.get("extensions")
    given = extensions.get(SUBREGISTRATION) if type(extensions) is dict else None
    return given if type(given) is list else []


def start(follower: Follower) -> list[State]:
    """The states before any statement, one for each pattern."""
    return [patterns.start(pattern) for pattern in follower.patterns]


def advance(follower: Follower, states: Sequence[State], templates: Iterable[str]) -> list[State]:
    """The states after one more statement, which follows these templates (``patterns.advance``)."""
    followed = tuple(templates)
    return [
        patterns.advance(pattern, state, followed) for pattern, state in zip(follower.patterns, states, strict=True)
    ]


def standing(follower: Follower, states: Sequence[State]) -> Standing:
    """The standing of a session: by the pattern that it follows best, or furthest."""

    def merit(pair: tuple[CompiledPattern, State]) -> tuple[int, int]:
        place = (Progress.FAILURE, Progress.PARTIAL, Progress.SUCCESS).index(patterns.progress(pair[1]))
        return place, pair[1].broken.at if pair[1].broken else 0

    pattern, state = max(zip(follower.patterns, states, strict=True), key=merit)
    return Standing(patterns.progress(state), pattern.id, state.broken)


def dump(follower: Follower, states: Sequence[State]) -> list[Any]:
    """States as JSON values."""
    return [patterns.dump(pattern, state) for pattern, state in zip(follower.patterns, states, strict=True)]


def restore(follower: Follower, dumped: Sequence[Any]) -> list[State] | None:
    """The states that ``dump`` wrote; None when a pattern has changed since."""
    if len(dumped) != len(follower.patterns):
        return None
    states = [patterns.restore(pattern, each) for pattern, each in zip(follower.patterns, dumped, strict=True)]
    return None if any(state is None for state in states) else [state for state in states if state is not None]
