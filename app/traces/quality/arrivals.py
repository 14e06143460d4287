"""Arrivals: what comes of each source by day, how late, and the faults that it is told of.

Counted in memory where statements come in, and written at each heartbeat: what a process that is killed had not written
yet is missing from the counts, never from what is stored.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, NamedTuple

from app.core import contracts
from app.core.buffer import Buffer
from app.core.clock import Clock
from app.core.errors import Fault, SillageError
from app.standards.xapi.timestamps import parse
from app.standards.xapi.versions import SUPPORTED
from app.traces.conformance.asked import Asked
from app.traces.quality.store import DELAYS, ArrivalRepository, Arrived, Change, FaultCount

SAMPLED: Final = 8
"""Statements of a batch whose delay is looked at."""
MAX_DAILY: Final = 200
"""Different faults of a source that a process counts on a day: more are made by a sender who looks for them."""
MAX_EACH: Final = 200
"""Faults of one batch that are counted."""
DAYS: Final = 14
"""Days that a report is of, today included."""
SHOWN: Final = 20
KEPT_DAYS: Final = 183
"""Days for which counts are kept: a report is of two weeks, and a school looks back at the term before at most."""
MAX_PARTS: Final = 8
"""Parts of a pointer that are told: as many as lead to an activity within a SubStatement."""
_FROM_PROFILES: Final = ("template-", "extension-", "subregistration-", "uai-", "mef-")
"""Rules whose pointers a profile words, not the sender."""
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_POSITION: Final = "*"
_CHOSEN: Final = "…"
_DAY: Final = 86_400_000_000
_HOUR: Final = 3_600_000_000


class Silence(NamedTuple):
    """A time in which nothing was stored, in microseconds since 1970 UTC, to the hour; ``until`` None: it goes on."""

    since: int
    until: int | None
    hours: int


class Trend(NamedTuple):
    """A fault of the last seven days, and how often it was told in the seven before."""

    fault: FaultCount
    before: int


class SourceReport(NamedTuple):
    """State of a source.

    Attributes:
        days: Its last ``DAYS`` days (UTC), each, the oldest first.
        last: When something was stored last; None: never.
        delay: Seconds within which half of the sample was received, by the week; None: longer than all bounds.
        delayed: True if there is a sample.
        silence: The longest silence of the last week; None: there was none of an hour.
        faults: The commonest faults of the last seven days.
    """

    days: Sequence[Arrived]
    last: int | None
    delay: int | None
    delayed: bool
    silence: Silence | None
    faults: Sequence[Trend]

    @property
    def today(self) -> Arrived:
        """Today."""
        return self.days[-1]

    @property
    def week(self) -> Arrived:
        """The last seven days, today included."""
        return together(self.days[-7:])

    @property
    def week_before(self) -> Arrived:
        """The seven days before."""
        return together(self.days[-14:-7])


def together(days: Sequence[Arrived]) -> Arrived:
    """Several days as one, called by the first."""
    codes: Counter[str] = Counter()
    for each in days:
        codes.update(each.codes)
    return Arrived(
        days[0].source,
        days[0].day,
        sum(each.stored for each in days),
        sum(each.failing for each in days),
        sum(each.repeated for each in days),
        sum(each.batches for each in days),
        sum(each.refused for each in days),
        max((each.last for each in days if each.last is not None), default=None),
        tuple(map(sum, zip(*(each.hours for each in days), strict=True))),
        tuple(map(sum, zip(*(each.delays for each in days), strict=True))),
        codes,
    )


class Arrivals:
    """Counts what arrives, and tells it. Safe to share between threads."""

    def __init__(self, repository: ArrivalRepository, now_us: Clock) -> None:
        self._repository = repository
        self._now_us = now_us
        self._lock = threading.Lock()
        self._arrived = Buffer(self._write_arrived, _joined)
        self._faults = Buffer(self._write_faults, _summed)
        self._today = ""
        self._told: dict[str, set[str]] = {}

    # --- counting -----------------------------------------------------------------------------------

    def stored(
        self,
        source: str,
        statements: Sequence[Mapping[str, Any]],
        fresh: Sequence[bool],
        broken: Mapping[int, Sequence[Fault]],
    ) -> None:
        """A batch was stored.

        Args:
            source: Whose.
            statements: The batch, as kept.
            fresh: In step, which were stored now.
            broken: Faults of those that are kept with faults, by their place in the batch.
        """
        now = self._now_us()
        new = sum(fresh)
        numbers: Counter[str] = Counter()
        if new < len(fresh):
            numbers["repeated"] = len(fresh) - new
        if new:
            numbers["stored"] = new
            numbers[f"hours.{now // _HOUR % 24}"] = new
            step = max(1, len(statements) // SAMPLED)
            for at in range(0, len(statements), step):
                if fresh[at] and "timestamp" in statements[at]:
                    delay = (now - parse(statements[at]["timestamp"])) / 1_000_000
                    numbers[f"delays.{bisect_left(DELAYS, delay)}"] += 1
        told = [faults for place, faults in broken.items() if fresh[place]]
        if told:
            numbers["failing"] = len(told)
        self._add(source, _day(now), numbers, now if new else None)
        for fault in islice((each for faults in told for each in faults), MAX_EACH):
            self._tell(source, now, fault, fault.pointer, refused=0, kept=1)

    def repeated(self, source: str, statements: int) -> None:
        """All of a batch was there already."""
        self._add(source, _day(self._now_us()), Counter({"repeated": statements}), None)

    def refused(self, source: str, statements: int, error: SillageError, *, many: bool) -> None:
        """A request was refused for what was in it.

        Args:
            source: Whose.
            statements: How many there were in it; 0 where they could not be told apart.
            error: As it was told; a failure that is not the sender's is not counted.
            many: Its body was an array.
        """
        if error.status >= 500:
            return
        now = self._now_us()
        numbers = Counter({"batches": 1, f"codes.{error.code}": 1})
        if statements:
            numbers["refused"] = statements
        self._add(source, _day(now), numbers, None)
        for fault in error.faults[:MAX_EACH]:
            pointer = _within(fault.pointer) if many else fault.pointer
            self._tell(source, now, fault, pointer, refused=1, kept=0)

    def flush(self) -> None:
        """Write the counts gathered since the last time. What cannot be written now is kept for the next time."""
        self._arrived.flush()
        self._faults.flush()

    def _write_arrived(self, changes: Mapping[tuple[str, str], Change]) -> None:
        self._repository.add([change for _, change in sorted(changes.items())])

    def _write_faults(self, faults: Mapping[tuple[str, str, str], FaultCount]) -> None:
        self._repository.add_faults([(day, each) for (_, day, _), each in sorted(faults.items())])

    def prune(self) -> None:
        """Delete what is older than ``KEPT_DAYS``, but for the day on which each source sent last."""
        today = datetime.fromtimestamp(self._now_us() / 1e6, UTC).date()
        self._repository.prune((today - timedelta(days=KEPT_DAYS)).isoformat())

    def _add(self, source: str, day: str, numbers: Counter[str], last: int | None) -> None:
        self._arrived.add({(source, day): Change(source, day, numbers, last)})

    def _tell(self, source: str, now: int, fault: Fault, pointer: str, *, refused: int, kept: int) -> None:
        day = _day(now)
        place = general(pointer, worded=fault.rule.startswith(_FROM_PROFILES))
        made = blake2b(f"{place}\0{fault.rule}\0{fault.section}".encode(), digest_size=8).hexdigest()
        if self._is_counted(source, day, made):
            told = FaultCount(made, source, place, fault.rule, fault.section, fault.message, refused, kept, now, now)
            self._faults.add({(source, day, made): told})

    def _is_counted(self, source: str, day: str, made: str) -> bool:
        """True if a fault is among the first ``MAX_DAILY`` of its source on the day."""
        with self._lock:
            if day != self._today:
                self._today, self._told = day, {}
            known = self._told.setdefault(source, set())
            if len(known) < MAX_DAILY:
                known.add(made)
            return made in known

    # --- telling ------------------------------------------------------------------------------------

    def report(self, source: str) -> SourceReport:
        """The state of a source."""
        with suppress(SillageError):
            self.flush()
        now = self._now_us()
        today = datetime.fromtimestamp(now / 1e6, UTC).date()
        first = today - timedelta(days=DAYS - 1)
        found = {each.day: each for each in self._repository.days(source, first.isoformat())}
        days = [
            found.get(day, Arrived(source, day))
            for day in ((first + timedelta(days=number)).isoformat() for number in range(DAYS))
        ]
        week, tomorrow = today - timedelta(days=6), today + timedelta(days=1)
        shown = self.faults(source, week, tomorrow, SHOWN)
        before = self._repository.times(
            source, [each.id for each in shown], (week - timedelta(days=7)).isoformat(), week.isoformat()
        )
        faults = [Trend(each, before.get(each.id, 0)) for each in shown]
        delays = together(days[-7:]).delays
        place = _median(delays)
        last = self._repository.newest(source)
        return SourceReport(
            days,
            last,
            DELAYS[place] if place is not None and place < len(DELAYS) else None,
            place is not None,
            None if last is None else _silence(days[-7:], last, now),
            faults,
        )

    def faults(
        self, source: Asked, since: date | None = None, before: date | None = None, limit: int = 1_000
    ) -> Sequence[FaultCount]:
        """The commonest faults of one source, of several or of all, from a day up to another (not included), UTC."""
        with suppress(SillageError):
            self.flush()
        return self._repository.faults(source, (since or date.min).isoformat(), (before or date.max).isoformat(), limit)

    def newest(self) -> Mapping[str, int]:
        """The instant at which something of each source was stored last, microseconds since 1970 UTC, if ever."""
        return self._repository.newest_of_each()


def _joined(one: Change, other: Change) -> Change:
    last = max((each.last for each in (one, other) if each.last is not None), default=None)
    return one._replace(numbers=Counter(one.numbers) + Counter(other.numbers), last=last)


def _summed(one: FaultCount, other: FaultCount) -> FaultCount:
    return one._replace(
        refused=one.refused + other.refused,
        kept=one.kept + other.kept,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
    )


def general(pointer: str, *, worded: bool = False) -> str:
    """A pointer without what a sender chose: positions become ``*``, and ``…`` stands for all from a name on that xAPI
    does not have, or beyond ``MAX_PARTS``. ``worded``: a profile chose the names.
    """
    parts = [_POSITION if _NUMBER.fullmatch(part) else part for part in pointer.split("/")[1:]]
    if not worded:
        known = _names()
        told = next((place for place, part in enumerate(parts[:MAX_PARTS]) if part not in known), MAX_PARTS)
        parts[told:] = [_CHOSEN] if told < len(parts) else []
    return "".join(f"/{part}" for part in parts)


def _within(pointer: str) -> str:
    """The pointer within a statement of one from the root of an array of them."""
    head, _, rest = pointer.removeprefix("/").partition("/")
    return f"/{rest}" if rest and _NUMBER.fullmatch(head) else ""


@cache
def _names() -> frozenset[str]:
    found = {_POSITION}
    for version in SUPPORTED:
        _gather(contracts.load(*version.spec.schema), found)
    return frozenset(found)


def _gather(schema: object, found: set[str]) -> None:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        found.update(properties if isinstance(properties, dict) else ())
        for each in schema.values():
            _gather(each, found)
    elif isinstance(schema, list):
        for each in schema:
            _gather(each, found)


def _day(now: int) -> str:
    return datetime.fromtimestamp(now / 1e6, UTC).date().isoformat()


def _median(counts: Iterable[int]) -> int | None:
    listed = [*counts]
    half, seen = sum(listed) / 2, 0
    for place, count in enumerate(listed):
        seen += count
        if seen and seen >= half:
            return place
    return None


def _silence(days: Sequence[Arrived], last: int, now: int) -> Silence | None:
    """The longest run of hours without anything since something came first in these days, up to now."""
    begin = int(datetime.fromisoformat(days[0].day).replace(tzinfo=UTC).timestamp()) * 1_000_000
    hours = [count for each in days for count in each.hours][: (now - begin) // _HOUR + 1]
    if not any(hours):
        return Silence(last, None, (now - last) // _HOUR)
    longest, run, begun = (0, 0), 0, False
    # The hour that is not over yet ends a run.
    for place, count in enumerate([*hours[:-1], 1]):
        if count:
            longest = max(longest, (run, place - run)) if begun else longest
            begun, run = True, 0
        else:
            run += 1
    length, place = longest
    if not length:
        return None
    goes_on = place + length == len(hours) - 1 and not hours[-1]
    since = begin + place * _HOUR
    return Silence(since, None if goes_on else since + length * _HOUR, length)
