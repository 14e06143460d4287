"""Admission of requests to this worker's threads: their order, and refusal before anything of a body is read.

What is short in a worker are threads, and memory for bodies. Each principal's share of them is the greater of its part
of the threads and its part of the bytes; whenever a thread is free, it goes to the one whose share is the smallest
(dominant resource fairness: Ghodsi et al., NSDI 2011). One alone may hold everything. When too many writes wait, the
principal with most of them loses its last one (longest queue drop), so that whoever asks within its share is heard.

A principal is here the key that it shares by (``Principal.share``): one for all credentials of a source. It is learnt
from the thread that authenticated a request, for the next one that shows the same.

Nothing here reads a socket or the clock. Methods may be called by any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from app.core.errors import Overloaded, SillageError, TooManyRequests
from app.web.admission.request_head import OPERATIONS, Asking, Kind

Item = TypeVar("Item")

SPARE_THREADS = 1
"""Threads beside those of the setting, each with room for one body, for principals that hold none."""
OPERATIONS_THREADS = 2
"""Threads beside them for health checks and metrics."""
PRESENT_SECONDS = 1.0
"""Seconds after its last request that a principal counts as one that others share with."""
RETRY_SECONDS = 1
_STRANGERS = ""
_MAX_CREDENTIALS = 10_000


class Limits(NamedTuple):
    """Limits of one worker.

    Attributes:
        threads: Requests served at once, beside those of the spare threads.
        body_bytes: Bytes of bodies held at once. A body that is larger alone is taken when no other is held.
        max_body_bytes: Bytes of the largest body.
        waiting: Writes that wait for a thread.
        seconds: How long any request may wait.
    """

    threads: int
    body_bytes: int
    max_body_bytes: int
    waiting: int
    seconds: float


class Shed(NamedTuple, Generic[Item]):
    """A request that is refused, why (``source``, ``waiting``, ``time``), and the error it is answered with."""

    item: Item
    reason: str
    error: SillageError


@dataclass(eq=False, slots=True)
class _Holding(Generic[Item]):
    """Accounts of one principal: what it holds and waits for."""

    key: str
    threads: int = 0
    reads_served: int = 0
    bytes: int = 0
    served: int = 0
    seen: float = 0.0
    reads: deque[Admitted[Item]] = field(default_factory=deque)
    writes: deque[Admitted[Item]] = field(default_factory=deque)

    @property
    def waiting(self) -> int:
        return len(self.reads) + len(self.writes)

    def queue(self) -> deque[Admitted[Item]]:
        """The queue of its next request: neither its reads nor its writes wait for all of the others."""
        writes_served = self.threads - self.reads_served
        return self.reads if self.reads and (self.reads_served <= writes_served or not self.writes) else self.writes


class Admitted(Generic[Item]):
    """A request that waits or is served; ``hold`` and ``learn`` are for the thread that serves it."""

    __slots__ = ("_admission", "bytes", "credential", "holding", "item", "kind", "since", "spare")

    def __init__(
        self, admission: Admission[Item], item: Item, asking: Asking, holding: _Holding[Item], claim: int, since: float
    ) -> None:
        self._admission = admission
        self.item = item
        self.kind = asking.kind
        self.credential = asking.credential
        self.holding = holding
        self.bytes = claim
        self.since = since
        self.spare = False

    def hold(self, size: int) -> None:
        """Say that so many bytes of the body are in memory now.

        Raises:
            Overloaded: there is no room for more than were foreseen.
        """
        if size > self.bytes:
            self._admission.grow(self, size)

    def learn(self, principal: str) -> None:
        """Say whose credentials these turned out to be, so that the next request with them counts as theirs."""
        if self.credential is not None and self.holding.key != principal:
            self._admission.learn(self.credential, principal)


class Admission(Generic[Item]):
    """The threads and the bytes of one worker, and who waits for them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._holdings: dict[str, _Holding[Item]] = {}
        # Those with requests that wait, in the order of their coming.
        self._waiting: dict[str, _Holding[Item]] = {}
        self._operations: deque[Admitted[Item]] = deque()
        self._operations_holding: _Holding[Item] = _Holding(OPERATIONS)
        self._threads = 0
        self._spare = 0
        self._bytes = 0
        self._writes_waiting = 0
        self._turn = 0
        self._swept = 0.0
        self._owners: dict[bytes, str] = {}

    def arrive(self, item: Item, asking: Asking, now: float) -> tuple[list[Admitted[Item]], list[Shed[Item]]]:
        """A request whose head is there; those that are to be served at once, and those that are refused."""
        with self._lock:
            if asking.kind is Kind.OPERATIONS:
                self._operations.append(Admitted(self, item, asking, self._operations_holding, 0, now))
                return list(self._startable()), []
            holding = self._holding(asking.credential)
            holding.seen = now
            admitted = Admitted(self, item, asking, holding, min(asking.body_bytes, self._limits.max_body_bytes), now)
            if asking.kind is Kind.READ:
                holding.reads.append(admitted)
            else:
                holding.writes.append(admitted)
                self._writes_waiting += 1
            self._waiting[holding.key] = holding
            started = list(self._startable())
            if self._writes_waiting <= self._limits.waiting:
                return started, []
            writers = (each for each in self._waiting.values() if each.writes)
            # Among equals it is this one, whose request is its last.
            longest = max(writers, key=lambda each: (_asked(each), each is holding))
            dropped = longest.writes.pop()
            self._writes_waiting -= 1
            self._tidy(longest)
            return started, [self._refused(dropped, "waiting", now)]

    def leave(self, admitted: Admitted[Item]) -> list[Admitted[Item]]:
        """A request is answered; those that are to be served now."""
        with self._lock:
            holding = admitted.holding
            holding.threads -= 1
            holding.bytes -= admitted.bytes
            if admitted.kind is Kind.READ:
                holding.reads_served -= 1
            if admitted.spare:
                self._spare -= 1
            elif admitted.kind is not Kind.OPERATIONS:
                self._threads -= 1
                self._bytes -= admitted.bytes
            return list(self._startable())

    def sweep(self, now: float) -> list[Shed[Item]]:
        """Refuse those that have waited too long, and forget who has gone; costs nothing when none waits."""
        if now - self._swept < PRESENT_SECONDS / 4:
            return []
        self._swept = now
        with self._lock:
            shed = []
            for holding in list(self._waiting.values()):
                for queue in (holding.reads, holding.writes):
                    while queue and now - queue[0].since > self._limits.seconds:
                        late = queue.popleft()
                        self._writes_waiting -= late.kind is Kind.WRITE
                        shed.append(self._refused(late, "time", now))
                self._tidy(holding)
            for key, holding in list(self._holdings.items()):
                if not holding.threads and not holding.waiting and now - holding.seen > PRESENT_SECONDS:
                    del self._holdings[key]
            return shed

    def grow(self, admitted: Admitted[Item], size: int) -> None:
        """``Admitted.hold``."""
        with self._lock:
            more = size - admitted.bytes
            alone = self._bytes == admitted.bytes
            # In the spare thread there is room for the largest body.
            if not (admitted.spare or alone or self._bytes + more <= self._limits.body_bytes):
                raise Overloaded(
                    "Too many bytes of bodies are on their way. Send it again; a Content-Length, without "
                    "Content-Encoding, lets the store wait for room.",
                    retry_after=RETRY_SECONDS,
                )
            admitted.bytes = size
            admitted.holding.bytes += more
            if not admitted.spare:
                self._bytes += more

    def learn(self, credential: bytes, principal: str) -> None:
        """``Admitted.learn``."""
        if len(self._owners) >= _MAX_CREDENTIALS:
            self._owners.clear()
        self._owners[credential] = principal

    # --- with the lock held -------------------------------------------------------------------------

    def _holding(self, credential: bytes | None) -> _Holding[Item]:
        # Those who have not shown valid credentials lately share one place: they could say any name.
        key = _STRANGERS if credential is None else self._owners.get(credential, _STRANGERS)
        known = self._holdings.get(key)
        if known is None:
            known = self._holdings[key] = _Holding(key)
        return known

    def _share(self, holding: _Holding[Item]) -> tuple[float, int]:
        limits = self._limits
        return max(holding.threads / limits.threads, holding.bytes / limits.body_bytes), holding.served

    def _startable(self) -> Iterator[Admitted[Item]]:
        while self._operations and self._operations_holding.threads < OPERATIONS_THREADS:
            self._operations_holding.threads += 1
            yield self._operations.popleft()
        while self._waiting and (self._threads < self._limits.threads or self._spare < SPARE_THREADS):
            found = self._next()
            if found is None:
                return
            yield found

    def _next(self) -> Admitted[Item] | None:
        """The next request, of the principal with the smallest share."""
        room = True
        waiting = self._waiting.values()
        for holding in waiting if len(waiting) == 1 else sorted(waiting, key=self._share):
            queue = holding.queue()
            if holding.reads and not self._free(queue[0]):
                queue = holding.reads
            first = queue[0]
            # What has no room keeps its place: smaller bodies that came later do not pass it for ever.
            if self._free(first) and (room or not first.bytes):
                return self._start(holding, queue, spare=False)
            if self._spare < SPARE_THREADS and not holding.threads:
                return self._start(holding, queue, spare=True)
            room = False
        return None

    def _free(self, admitted: Admitted[Item]) -> bool:
        fits = self._bytes + admitted.bytes <= self._limits.body_bytes
        return self._threads < self._limits.threads and (fits or not self._bytes or not admitted.bytes)

    def _start(self, holding: _Holding[Item], queue: deque[Admitted[Item]], *, spare: bool) -> Admitted[Item]:
        first = queue.popleft()
        first.spare = spare
        if first.kind is Kind.READ:
            holding.reads_served += 1
        else:
            self._writes_waiting -= 1
        if spare:
            self._spare += 1
        else:
            self._threads += 1
            self._bytes += first.bytes
        holding.threads += 1
        holding.bytes += first.bytes
        self._turn += 1
        holding.served = self._turn
        self._tidy(holding)
        return first

    def _tidy(self, holding: _Holding[Item]) -> None:
        if not holding.waiting:
            self._waiting.pop(holding.key, None)

    def _refused(self, admitted: Admitted[Item], reason: str, now: float) -> Shed[Item]:
        holding = admitted.holding
        present = [
            each
            for each in self._holdings.values()
            if each is holding or each.threads or each.waiting or now - each.seen <= PRESENT_SECONDS
        ]
        # The one that is refused is no longer counted among those that wait, but it was asked for.
        asked = _asked(holding) + 1
        total = sum(map(_asked, present)) + 1
        if reason == "waiting" and holding.key != _STRANGERS and len(present) > 1 and asked > total / len(present):
            return Shed(
                admitted.item,
                "source",
                TooManyRequests(
                    "This source asks for more than its share while others ask too. Send fewer requests at once.",
                    retry_after=RETRY_SECONDS,
                ),
            )
        return Shed(
            admitted.item,
            reason,
            Overloaded(
                "More is asked of this server than it can do now. Nothing of the request was read; send it again.",
                retry_after=RETRY_SECONDS,
            ),
        )


def _asked(holding: _Holding[Item]) -> int:
    return holding.threads + holding.waiting
