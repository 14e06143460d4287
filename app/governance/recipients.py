"""Who received what is held about one person: what the audit log says of readings and exports (GDPR art. 15(1)(c)).

Actual recipients, as far as they are known (CJEU C-154/21): a reading that asked for the person, or for one of their
statements or documents; and a page of statements in general that had theirs in it, which the span of the page tells. A
page filtered by something else (a verb, an activity) is told apart: it may have had them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple
from uuid import UUID

from app.governance.audit import DOCUMENTS_READ, EXPORT_WRITTEN, PERSON_READ, STATEMENTS_READ
from app.storage.audit import Entry

ASKED: Final = "asked"
PASSED: Final = "passed"
POSSIBLE: Final = "possible"
WAYS: Final = (ASKED, PASSED, POSSIBLE)
"""How the person's data came into a reading: it was for them; they were among others; they may have been."""

MOST_EXPORTS: Final = 1_000

# The clocks of two hosts may differ by this much without a reading being missed.
_CLOCK_MARGIN_US = 5 * 60 * 1_000_000

Entries = Callable[[Sequence[str], int], Iterator[Entry]]
"""``entries(kinds, since)``: the entries of the audit log of these kinds, written at or after an instant, in order."""


class Readings(NamedTuple):
    """The readings of one credential in one way.

    Attributes:
        credential: Its public id.
        way: One of ``WAYS``.
        number: How many.
        first: When the first was, microseconds since 1970 UTC.
        last: When the last was.
    """

    credential: str
    way: str
    number: int
    first: int
    last: int


class Export(NamedTuple):
    """A data package of aggregates written since the person's first statement was stored."""

    at: int
    package: str
    aggregates: tuple[str, ...]


class Received(NamedTuple):
    """What the audit log knows; ``since``: when its oldest entry was written, None when there is none."""

    readings: tuple[Readings, ...]
    exports: tuple[Export, ...]
    since: int | None


class Trail:
    """Where one person's statements and documents lie, to tell which readings had them: 17 bytes a statement."""

    def __init__(self, tokens: Iterable[bytes], sources: Mapping[bytes, str], documents: Iterable[bytes]) -> None:
        """Begin with nothing.

        Args:
            tokens: Every token by which the person's statements are asked for.
            sources: The source of each token that a reader limited to one asks with.
            documents: Tokens of the person's documents and of their contexts.
        """
        self._tokens = frozenset(token.hex() for token in tokens)
        self._documents = frozenset(token.hex() for token in documents)
        self._sources = {token.hex(): source for token, source in sources.items()}
        self._stored: dict[str, array[int]] = {}
        self._ids = array("Q")
        self._sorted = True

    def add(self, identity: UUID, stored: int, source: str) -> None:
        """A statement that is the person's, or names them."""
        self._stored.setdefault(source, array("q")).append(stored)
        self._ids.append(identity.int >> 64)
        self._sorted = False

    @property
    def first(self) -> int | None:
        """When the earliest statement was stored, microseconds."""
        self._sort()
        return min((stored[0] for stored in self._stored.values()), default=None)

    def way(self, entry: Entry) -> str | None:
        """How the person's data came into a reading; None when they did not."""
        self._sort()
        detail = entry.detail
        if entry.kind == DOCUMENTS_READ:
            asked = {detail.get("document"), detail.get("context")} - {None}
            return ASKED if asked & self._documents else None
        tokens = _texts(detail.get("tokens"))
        if tokens & self._tokens:
            return ASKED
        if entry.kind != STATEMENTS_READ:
            return None
        if "statement" in detail:
            return ASKED if self._has(detail["statement"]) else None
        first, last = detail.get("first"), detail.get("last")
        if not isinstance(first, int) or not isinstance(last, int):
            return None
        first, last = min(first, last), max(first, last)
        among = [self._sources[token] for token in tokens if token in self._sources]
        if not any(
            _within(self._stored[source], first, last) for source in among or self._stored if source in self._stored
        ):
            return None
        return PASSED if len(tokens) == len(among) else POSSIBLE

    def _has(self, statement: object) -> bool:
        try:
            wanted = UUID(str(statement)).int >> 64
        except ValueError:
            return False
        at = bisect_left(self._ids, wanted)
        return at < len(self._ids) and self._ids[at] == wanted

    def _sort(self) -> None:
        if not self._sorted:
            self._ids = array("Q", sorted(self._ids))
            self._stored = {source: array("q", sorted(stored)) for source, stored in self._stored.items()}
            self._sorted = True


@dataclass(slots=True)
class _Counted:
    count: int
    first: int
    last: int


def received(
    trail: Trail, entries: Entries, oldest: int | None, progress: Callable[[int], None] = lambda _: None
) -> Received:
    """Go through the readings and exports since the person's first statement.

    Args:
        trail: Where their data lie, all of it.
        entries: Gives the entries of the audit log.
        oldest: When its oldest entry was written; None when there is none.
        progress: Told the number of entries read, now and then.
    """
    counted: dict[tuple[str, str], _Counted] = {}
    for number, entry in enumerate(_readings(trail, entries), 1):
        if number % 10_000 == 0:
            progress(number)
        way = trail.way(entry)
        if way is None:
            continue
        known = counted.get((entry.actor, way))
        if known is None:
            counted[entry.actor, way] = _Counted(1, entry.at, entry.at)
        else:
            known.count += 1
            known.first, known.last = min(known.first, entry.at), max(known.last, entry.at)
    readings = tuple(
        Readings(credential, way, each.count, each.first, each.last)
        for (credential, way), each in sorted(counted.items(), key=lambda item: (WAYS.index(item[0][1]), item[0][0]))
    )
    return Received(readings, tuple(_exports(trail, entries)), oldest)


def _readings(trail: Trail, entries: Entries) -> Iterator[Entry]:
    # Whoever asks for someone of whom nothing is held reads nothing; of a document only the last writing is dated.
    yield from entries((PERSON_READ, DOCUMENTS_READ), 0)
    if trail.first is not None:
        yield from entries((STATEMENTS_READ,), max(trail.first - _CLOCK_MARGIN_US, 0))


def _exports(trail: Trail, entries: Entries) -> Iterator[Export]:
    if trail.first is None:
        return
    for entry in islice(entries((EXPORT_WRITTEN,), trail.first), MOST_EXPORTS):
        listed = tuple(sorted(_texts(entry.detail.get("aggregates"))))
        yield Export(entry.at, str(entry.detail.get("package", "")), listed)


def _texts(value: object) -> frozenset[str]:
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, list) else frozenset()


def _within(stored: Sequence[int] | array[int], first: int, last: int) -> bool:
    at = bisect_left(stored, first)
    return at < len(stored) and stored[at] <= last


def names(credentials: Collection[tuple[str, str | None, str]], sources: Mapping[str, str]) -> dict[str, str]:
    """What to call the holder of each credential: the name of its source, else its label, else its id.

    Args:
        credentials: Id, source if it has one, and label of each.
        sources: Names of the sources, by id.
    """
    return {
        identity: sources.get(source, source) if source is not None else label or identity
        for identity, source, label in credentials
    }
