"""A client's connection on which no thread waits for ever."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from app.core import clock
from app.web.admission.admission import Admitted

if TYPE_CHECKING:
    from app.web.framing import Gathered

_HEAD = b"HTTP/1.1 "
_HEAD_END = b"\r\n\r\n"
_MAX_HEAD_LENGTH = 16 * 1024


class ClientSocket(socket.socket):
    """An accepted connection, read and written by a thread within a time that grows with the payload that came.

    A limit per call would not do: one byte now and then would meet it for ever. Nor would one that grows with every
    byte: what frames a body has no end.
    """

    patience_seconds: ClassVar[float] = 30.0
    """Seconds that a client may lose, in a whole body or answer, to latency and to pauses."""
    bytes_per_second: ClassVar[int] = 100_000
    """Bytes a second that it must send or take beyond that."""
    silence_seconds: ClassVar[float] = 10.0
    """Seconds that it may send nothing at all in the midst of a body."""

    max_framing_bytes: ClassVar[int] = 1024 * 1024
    """Most bytes beside the payload of a body in chunks; the worker says how many."""

    gathered: Gathered | None = None
    """The body of the next request, when it came before its head was looked at by a thread."""
    whole = False
    """True if the body of the request that is served came so."""

    head: bytes = b""
    """The beginning of the request being served: its head, and what of its body came with it."""

    _deadline = 0.0
    _patience = patience_seconds
    _abandon: Callable[[], None] | None = None
    _admitted: Admitted[Any] | None = None
    _held = b""

    def begin(self, abandon: Callable[[], None], admitted: Admitted[Any] | None = None) -> None:
        """Start the times of one request's body and answer.

        ``abandon`` is what ``abandon`` calls, ``admitted`` its place here.
        """
        self._admitted = admitted
        self._deadline = clock.steady() + self.patience_seconds
        self._patience = self.patience_seconds
        self._abandon = abandon
        self._held = b""

    def end(self) -> None:
        """The request is answered; what ``begin`` was given is let go of."""
        self._abandon = self._admitted = None
        self.whole = False

    def progress(self, payload: int) -> None:
        """Say that so many bytes of the body came, apart from what frames them: there is more time for the rest."""
        self._deadline += payload / self.bytes_per_second

    def hold(self, size: int) -> None:
        """Say that so many bytes of the request's body are in memory.

        Raises:
            Overloaded: there is no room for more than its head let foresee.
        """
        if self._admitted is not None:
            self._admitted.hold(size)

    def learn(self, principal: str) -> None:
        """Say whose the request's credentials are, by the key that they share by."""
        if self._admitted is not None:
            self._admitted.learn(principal)

    def abandon(self) -> None:
        """Say, before the answer, that the rest of the body will not be read, so no request can follow."""
        if self._abandon is not None:
            self._abandon()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Some bytes of the client.

        Raises:
            TimeoutError: it sends nothing, or too slowly.
        """
        left = self._deadline - clock.steady()
        if left <= 0:
            raise TimeoutError
        with suppress(BlockingIOError):
            return super().recv(size, flags | socket.MSG_DONTWAIT)
        self._wait(select.POLLIN, min(left, self.silence_seconds))
        return super().recv(size, flags | socket.MSG_DONTWAIT)

    def sendall(self, data: bytes, flags: int = 0, /) -> None:  # type: ignore[override] # gunicorn sends bytes
        """Send all of it; the head of an answer waits for what follows it, or for ``flush``.

        Gunicorn sends head and body apart. Each system call lets other threads run first, which costs a small answer
        more than making it.

        Raises:
            TimeoutError: the client does not read, or too slowly.
        """
        if not self._held and len(data) <= _MAX_HEAD_LENGTH and data.startswith(_HEAD) and data.endswith(_HEAD_END):
            self._held = data
            return
        data, self._held = self._held + data, b""
        self._send(data, flags)

    def flush(self) -> None:
        """Send a head that nothing followed.

        Raises:
            TimeoutError: as ``sendall``.
        """
        if self._held:
            data, self._held = self._held, b""
            self._send(data, 0)

    def _send(self, data: bytes, flags: int) -> None:
        # One patience for all pieces of an answer, or one of many pieces could be read for hours. The time between
        # them, in which they are made, is not the client's.
        self._patience += len(data) / self.bytes_per_second
        if self._patience <= 0:
            raise TimeoutError
        flags |= socket.MSG_DONTWAIT
        sent = 0
        with suppress(BlockingIOError):
            sent = super().send(data, flags)
        if sent == len(data):
            return
        began = clock.steady()
        rest = memoryview(data)[sent:]
        try:
            while rest:
                self._wait(select.POLLOUT, self._patience - (clock.steady() - began))
                with suppress(BlockingIOError):
                    rest = rest[super().send(rest, flags) :]
        finally:
            self._patience -= clock.steady() - began

    def _wait(self, what: int, seconds: float) -> None:
        waiting = select.poll()
        waiting.register(self, what)
        if seconds <= 0 or not waiting.poll(seconds * 1000):
            raise TimeoutError

    def settimeout(self, _seconds: float | None, /) -> None:
        """Nothing: no call here blocks, the times are those above, and each setting would be a system call."""

    def recv_now(self, size: int) -> bytes:
        """Bytes that have arrived already; none when the client has closed.

        Raises:
            BlockingIOError: nothing has.
        """
        return super().recv(size, socket.MSG_DONTWAIT)

    def receive_now(self, room: bytearray) -> int:
        """Put what has arrived already into ``room``; its length, 0 when the client has closed.

        Raises:
            BlockingIOError: nothing has.
        """
        return self.recv_into(room, 0, socket.MSG_DONTWAIT)

    def send_now(self, data: bytes) -> int:
        """Send what the system takes without waiting, for a client that may not listen; how many bytes it took.

        Raises:
            OSError: it took nothing.
        """
        return self.send(data, socket.MSG_DONTWAIT)
