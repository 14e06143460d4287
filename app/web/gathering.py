"""Bodies that are gathered by the event loop: those of forms, which carry their credentials inside.

Whoever sends a form has shown no credentials until all of it is here. So no thread waits for it, however slowly it
comes, and what stalls is bounded in bytes: when the room is full, the largest of those that are not whole yet goes.
Nothing here reads a socket or the clock.
"""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from app.core.errors import Overloaded, SillageError
from app.web import body
from app.web.admission.client_socket import ClientSocket
from app.web.admission.request_head import Framing
from app.web.framing import Chunks, Gathered, Misframed, TooMuchFraming

Item = TypeVar("Item")
_SWEEP_SECONDS = 0.25


class Gathering:
    """One body, as it comes.

    Attributes:
        bytes: How much of it is here.
        done: Whether it is whole.
        rest: What came behind it: the beginning of another request.
    """

    def __init__(self, framing: Framing, largest: int, now: float) -> None:
        """A body of at most ``largest`` bytes; ``now`` and all other times are of one steady clock, in seconds."""
        self._length = framing.length
        self._chunks = Chunks(ClientSocket.max_framing_bytes) if framing.chunked else None
        self._largest = largest
        self._payload = bytearray()
        self._began = self._heard = now
        self.bytes = 0
        self.done = False
        self.rest = b""

    def feed(self, received: bytes, now: float) -> int:
        """Go on with some bytes; how many of them are payload.

        Raises:
            BodyTooLarge: it is longer than allowed.
            BadRequest: its chunks are not well formed.
        """
        self._heard = now
        before = self.bytes
        if self._chunks is None:
            wanted = self._length - before
            self._payload += received[:wanted]
            self.rest = received[wanted:]
            self.done = len(self._payload) == self._length
        else:
            try:
                self._payload += self._chunks.feed(received)
            except (Misframed, TooMuchFraming) as refused:
                raise body.misframed(refused) from None
            self.rest, self.done = self._chunks.rest, self._chunks.done
        self.bytes = len(self._payload)
        if self.bytes > self._largest:
            raise body.too_large(self._largest)
        return self.bytes - before

    def late(self, now: float) -> bool:
        """True if it has had its time, which grows with its bytes as that of a body that a thread reads."""
        given = ClientSocket.patience_seconds + self.bytes / ClientSocket.bytes_per_second
        return now - self._began > given or now - self._heard > ClientSocket.silence_seconds

    def gathered(self) -> Gathered:
        """The whole of it, once it is done."""
        payload, self._payload = bytes(self._payload), bytearray()
        return Gathered(payload, self._chunks)


class Room(Generic[Item]):
    """The bodies that come to one worker in this way, and the bytes of those that wait for a thread.

    For the event loop, but ``leave``, which any thread may call.
    """

    def __init__(self, max_bytes: int) -> None:
        """``max_bytes``: of all of them together; at least those of the largest body."""
        self._most = max_bytes
        self._coming: dict[Item, Gathering] = {}
        self._lock = threading.Lock()
        self._bytes = 0
        self._swept = 0.0

    def __len__(self) -> int:
        return len(self._coming)

    def enter(self, item: Item, coming: Gathering) -> None:
        """A body begins."""
        self._coming[item] = coming

    def feed(self, item: Item, received: bytes, now: float) -> tuple[Gathering, Item | None]:
        """Some bytes came; the body, and another one (or this) that is to be refused to make room.

        Raises:
            SillageError: as ``Gathering.feed``; the body is forgotten.
        """
        coming = self._coming[item]
        before = coming.bytes
        try:
            came = coming.feed(received, now)
        except SillageError:
            del self._coming[item]
            self.leave(before)
            raise
        with self._lock:
            self._bytes += came
            full = self._bytes > self._most
        if coming.done:
            del self._coming[item]
        if not full or not self._coming:
            return coming, None
        # Those that are whole are served soon. Of the others the largest goes, so that each of N may always hold the
        # Nth part of the room: large bodies that stall cannot keep small ones out.
        return coming, max(self._coming, key=lambda each: self._coming[each].bytes)

    def forget(self, item: Item) -> None:
        """A body is refused, or its client has gone."""
        self.leave(self._coming.pop(item).bytes)

    def leave(self, size: int) -> None:
        """So many bytes of a body that was whole are accounted for elsewhere now, or gone."""
        with self._lock:
            self._bytes -= size

    def late(self, now: float) -> list[Item]:
        """Those that have had their time; looked for four times a second."""
        if now - self._swept < _SWEEP_SECONDS:
            return []
        self._swept = now
        return [item for item, coming in self._coming.items() if coming.late(now)]


def no_room() -> SillageError:
    """Of a body that had to go."""
    return Overloaded(
        "Too many forms are on their way, and this one is among the largest. Send it again.", retry_after=1
    )
