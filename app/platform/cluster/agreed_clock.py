"""Agreement of this host's clock with MongoDB's: what everybody's ``stored`` goes by must not move for one host.

A process that is ahead would have all others follow it (``app.platform.cluster.membership``), for good: time that was
given is never given again. So each process compares its clock with that of MongoDB, which answers with its own to what
is asked anyway, and beyond ``MAX_SECONDS`` stamps nothing (``docs/adr/0046-clocks.md``).

Between two answers MongoDB's time is reckoned on the clock that never steps back: a step is seen when the next stamp is
asked for, before anybody else could.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog

from app.core import clock
from app.core.errors import ClockOff

MAX_SECONDS = 60.0
"""Seconds that a host's clock may be from MongoDB's."""

_MAX_US = round(MAX_SECONDS * 1_000_000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_log = structlog.stdlib.get_logger("sillage.clock")


class _Heard(NamedTuple):
    """MongoDB's time (microseconds) at some moment between ``asked`` and ``answered``, steady seconds."""

    server: int
    asked: float
    answered: float


class AgreedClock:
    """This host's clock, as long as it agrees with MongoDB's. Safe to share between threads."""

    def __init__(self) -> None:
        self._heard: _Heard | None = None
        self._reported_off = False

    def note(self, server: datetime, asked: float, answered: float) -> None:
        """MongoDB said what time it is.

        Args:
            server: Its time, aware.
            asked: Steady seconds just before it was asked.
            answered: Steady seconds just after it answered.
        """
        self._heard = _Heard((server - _EPOCH) // _MICROSECOND, asked, answered)
        off = self._off()
        if off != self._reported_off:
            self._reported_off = off
            if off:
                _log.error(
                    "this host's clock is off: nothing is stamped", ahead_seconds=round(self.offset_seconds(), 3)
                )
            else:
                _log.warning("this host's clock is right again", ahead_seconds=round(self.offset_seconds(), 3))

    def offset_seconds(self) -> float:
        """Seconds that this host's clock is ahead of MongoDB's, negative when behind; 0 while nothing was heard.

        As little as explains what was heard: however long an answer took, or this process stood still meanwhile, that
        is not held against the clock.
        """
        return self._measured()[1] / 1_000_000

    def moved(self) -> bool:
        """True if the clock is off, and was right when MongoDB was heard last: to be looked at before it is said."""
        return not self._reported_off and self._off()

    def require(self) -> int:
        """This host's time, microseconds since 1970 UTC.

        Raises:
            ClockOff: it is more than a minute off.
        """
        now, offset = self._measured()
        if abs(offset) <= _MAX_US:
            return now
        # It may have stood still between its looks at the two clocks.
        now, offset = self._measured()
        if abs(offset) <= _MAX_US:
            return now
        way = "ahead of" if offset > 0 else "behind"
        raise ClockOff(
            f"This host's clock is {abs(offset) // 1_000_000} s {way} MongoDB's, and more than {MAX_SECONDS:.0f} s is "
            "too much: nothing was stored. Set the host's clock right (NTP); then send the same again."
        )

    def now_us(self) -> int:
        """Microseconds since 1970 UTC, by this host's clock; by MongoDB's, as reckoned, while that is off."""
        try:
            return self.require()
        except ClockOff:
            now, offset = self._measured()
            return now - offset

    def _off(self) -> bool:
        # Twice, as above.
        return abs(self._measured()[1]) > _MAX_US and abs(self._measured()[1]) > _MAX_US

    def _measured(self) -> tuple[int, int]:
        """This host's time, and how far ahead it is, both in microseconds."""
        now = clock.now_us()
        heard = self._heard
        if heard is None:
            return now, 0
        steady = clock.steady()
        least = now - heard.server - round((steady - heard.asked) * 1_000_000)
        most = now - heard.server - round((steady - heard.answered) * 1_000_000)
        return now, max(least, 0) or min(most, 0)
