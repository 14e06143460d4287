"""Leadership: one scheduler at a time, over all hosts.

A lease is held for as long as it is renewed. The holder counts its end from *before* it asked for the renewal, on a
clock that never steps back, so it always stops believing in its lease before the server gives it to another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import structlog

from app.core.clock import SteadyClock
from app.core.errors import LeaseHeld, LeaseLost, SillageError
from app.platform.jobs.store import Held, LeaseRepository

_log = structlog.get_logger(__name__)


class Lease:
    """A term of leadership. Used as a context manager it is released at the end.

    Attributes:
        fence: Number of this term; higher than that of every term before.
    """

    def __init__(
        self,
        repository: LeaseRepository,
        holder: str,
        fence: int,
        seconds: float,
        asked_at: float,
        steady: SteadyClock,
        right: Callable[[], object] = lambda: None,
    ) -> None:
        self.fence = fence
        self._right = right
        self._repository = repository
        self._holder = holder
        self._seconds = seconds
        self._steady = steady
        self._until = asked_at + seconds
        self._taken = threading.Event()
        self._revoked = threading.Event()
        self._done = threading.Event()
        self._renewer = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._renewer.start()

    @property
    def lost(self) -> bool:
        """True if another scheduler may lead now."""
        return self._taken.is_set() or self._steady() >= self._until

    def check(self) -> None:
        """Called by a job between two steps of its work, at least every few seconds.

        Raises:
            LeaseLost: this scheduler no longer leads, or is asked to stop: stop without a commit.
            ClockOff: this host's clock is not MongoDB's: what is due by it may not be.
        """
        if self._revoked.is_set():
            raise LeaseLost("The scheduler is stopping. The job goes on from where it was when one starts again.")
        if self.lost:
            raise LeaseLost()
        self._right()

    def revoke(self) -> None:
        """Ask the jobs of this term to stop at their next ``check``; the lease itself is kept."""
        self._revoked.set()

    def release(self) -> None:
        """Stop renewing, and let another scheduler lead at once."""
        self._done.set()
        self._renewer.join()
        if not self.lost:
            try:
                self._repository.release(self._holder, self.fence)
            except SillageError as failed:  # it will run out by itself
                _log.warning("lease not released", code=failed.code)
        self._taken.set()

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _keep(self) -> None:
        wait = self._seconds / 3
        while not self._done.wait(wait):
            asked_at = self._steady()
            try:
                renewed = self._repository.renew(self._holder, self.fence, self._seconds)
            except SillageError as failed:
                _log.warning("lease not renewed", code=failed.code)
                if self.lost:
                    return
                wait = min(1.0, self._seconds / 10)
                continue
            if not renewed or self.lost:
                self._taken.set()
                return
            self._until = asked_at + self._seconds
            wait = self._seconds / 3


class Leadership:
    """Leadership of this process among schedulers."""

    def __init__(
        self,
        repository: LeaseRepository,
        holder: str,
        seconds: float,
        steady: SteadyClock,
        *,
        look: Callable[[], object] = lambda: None,
        right: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare; nothing is taken yet.

        Args:
            repository: Where the lease is.
            holder: Name of this process, unlike any other's: host, process id and something random.
            seconds: Length of the lease: how long after a crash another takes over.
            steady: A clock in seconds that never steps back.
            look: Compares this host's clock with MongoDB's, and raises when it is off: before the lead is taken.
            right: Raises when it is known to be off: all the time, while this process leads.
        """
        self._look = look
        self._right = right
        self._repository = repository
        self._holder = holder
        self._seconds = seconds
        self._steady = steady

    @property
    def seconds(self) -> float:
        """Length of the lease."""
        return self._seconds

    def acquire(self) -> Lease | None:
        """Take the lead; None when another has it.

        Raises:
            ClockOff: this host's clock is not MongoDB's.
        """
        self._look()
        asked_at = self._steady()
        fence = self._repository.acquire(self._holder, self._seconds)
        if fence is None:
            return None
        return Lease(self._repository, self._holder, fence, self._seconds, asked_at, self._steady, self._right)

    def require(self) -> Lease:
        """Take the lead.

        Raises:
            LeaseHeld: another has it.
            ClockOff: this host's clock is not MongoDB's.
        """
        lease = self.acquire()
        if lease is None:
            held = self.held()
            who = f"{held.holder}, for {held.seconds_left:.0f} s more" if held else "another process, just now"
            raise LeaseHeld(f"The lease is held by {who}. Stop that scheduler, or wait for the job's time.")
        return lease

    def held(self) -> Held | None:
        """The present holder of the lease."""
        return self._repository.held()
