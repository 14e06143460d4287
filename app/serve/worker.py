"""The gunicorn worker of this service: clients that are slow to ask, or slow to leave, hold no thread.

Gunicorn's threaded worker reads the head of a request in a pool thread, without a limit of time, and closes
connections in its event loop, for up to two seconds each: a few silent clients stop it. Here the event loop
gathers the head and asks ``Admission`` for a thread once it is whole, and lets a connection that closes
linger among those it polls. Of a form, which has its credentials inside, it gathers the body too (``Room``).
In a thread, ``ClientSocket`` bounds the waiting.
"""

from __future__ import annotations

import errno
import resource
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

import structlog
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import DEFAULT_WORKER_DATA_TIMEOUT, STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from app.core import clock
from app.core.errors import HeadTooLarge, RequestTimeout, SillageError
from app.serve.exchange import Answer, PlainConfiguration, common_environ, connection_environ, request_environ
from app.serve.serving_threads import ServingThreads
from app.web import body
from app.web.admission.admission import OPERATIONS_THREADS, SPARE_THREADS, Admission, Admitted, Limits, Shed
from app.web.admission.client_socket import ClientSocket
from app.web.admission.request_head import Heads, form, waits_to_go_on, whole
from app.web.framing import Parser, max_framing_bytes
from app.web.gathering import Gathering, Room, no_room
from app.web.memory import Ceiling
from app.web.refusal import Refusal, of_parser

HEAD_SECONDS = 10.0
"""Seconds that a client may take for the head of a request; from connecting, or from the request before."""
LINGER_SECONDS = 10.0
"""Seconds that what a client still sends is read and thrown away, so that it gets to read why it was refused."""
_LINGER_BYTES = 64 * 1024 * 1024
# A request line of 8,190 bytes, and as much again for each of several long headers.
_HEAD_BYTES = 64 * 1024
_HEAD_END = b"\r\n\r\n"
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_FIRST_BYTES = 16 * 1024
_KEPT_SWEEP_SECONDS = 0.25
_MAX_CONNECTIONS = 1_000
_OTHER_FILES = 200
# One line for all that was refused since the last one: overload must not fill the log.
_REPORT_SECONDS = 5.0

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Signals that the master sends to stop a worker; blocked when it is forked."""

_log = structlog.stdlib.get_logger("sillage.connections")


def max_connections(threads: int) -> int:
    """The number of clients that one worker may hold, so that files are left for the rest; a worker out of files would
    end.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    room = _MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(_MAX_CONNECTIONS, files - _OTHER_FILES)
    return max(room, threads + 1)


class _Client(TConn):  # type: ignore[misc] # gunicorn has no types
    """One connection, and the beginning of the request that the event loop has read from it."""

    sock: ClientSocket
    timeout: float

    def __init__(self, cfg: Any, sock: ClientSocket, client: Any, server: Any, environ: dict[str, Any]) -> None:
        super().__init__(cfg, sock, client, server)
        self.environ = connection_environ(environ, sock, client, server)
        self.head = bytearray()
        self.thrown_away = 0
        self.kept_before = False
        self.admitted: Admitted[_Client] | None = None
        self.parser = Parser(cfg, sock, client)


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's threaded worker with the waiting taken out of its threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In the order of its timeouts, like gunicorn's `pending_conns`.
        self._lingering: deque[_Client] = deque()
        # Those that wait for their next request, by descriptor. Whoever takes one out, a thread that has heard of it or
        # the event loop that closes it, has it to itself.
        self._kept: dict[int, _Client] = {}
        self._kept_swept = 0.0
        self._keepalive_seconds = float(self.cfg.keepalive)
        self._room = bytearray(_HEAD_BYTES)
        self._admission: Admission[_Client]
        self._heads: Heads
        self._plain: PlainConfiguration
        self._environ: dict[str, Any]
        self._refusal: Refusal
        self._room_for_forms: Room[_Client]
        self._max_form_bytes = 0
        self._ceiling: Ceiling | None = None
        self._leaves: Callable[[int], object] = lambda _: None
        self._unreported = 0
        self._reported_at = 0.0

    def init_signals(self) -> None:
        """Have its own handlers; only now what was sent since the fork comes through."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def init_process(self) -> None:
        """Serve until told to stop; then let the threads go, whatever has happened."""
        try:
            super().init_process()
        finally:
            if self.tpool is not None:
                self.tpool.shutdown(wait=False)

    def get_thread_pool(self) -> ServingThreads[Admitted[_Client]]:
        """As many threads as ``Admission`` may start requests at once."""
        size = self.cfg.threads + SPARE_THREADS + OPERATIONS_THREADS
        return ServingThreads(size, self._serve, self._resumed)

    def share_out(self, limits: Limits, refusal: Refusal, heads: Heads) -> None:
        """Say, before anything is served, what there is, and how those are answered that get nothing of it.

        ``heads`` looks at what is asked, and by whom.
        """
        self._heads = heads
        self._plain = PlainConfiguration(self.cfg)
        self._environ = common_environ(self.cfg)
        self._admission = Admission(limits)
        self._refusal = refusal
        self._max_form_bytes = limits.max_body_bytes
        self._room_for_forms = Room(max(limits.max_body_bytes, limits.body_bytes // 2))
        ClientSocket.max_framing_bytes = max_framing_bytes(limits.max_body_bytes)

    def hold_to(self, ceiling: Ceiling, leaves: Callable[[int], object]) -> None:
        """Leave, as when told to stop, once ``ceiling`` is passed; ``leaves`` is told first, and of how many bytes."""
        self._ceiling = ceiling
        self._leaves = leaves

    # --- the event loop -----------------------------------------------------------------------------

    def accept(self, listener: Any) -> None:
        """Take a connection in, and wait for the head of its first request."""
        try:
            accepted, address = listener.accept()
        except OSError as refused:
            if refused.errno not in {errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK}:
                raise
            return
        sock = ClientSocket(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.nr_conns += 1
        client = _Client(self._plain, sock, address, listener.getsockname(), self._environ)
        self._await_head(client, b"")

    def on_pending_socket_readable(self, conn: _Client, _sock: Any) -> None:
        """More of a head has come, or its client has gone."""
        count = self._received(conn)
        if count is None:
            return
        if not count:
            self._forget(conn, self.pending_conns)
            self._close(conn)
            return
        conn.head += self._room[:count]
        self._look(conn, searched=len(conn.head) - count)

    def run(self) -> None:
        """Serve until told to stop."""
        self.poller.register(self.tpool, EVENT_READ, lambda _: self.tpool.resume_all())
        super().run()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Gunicorn's; when it stops it looks at kept connections four times a second."""
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, _KEPT_SWEEP_SECONDS))

    def enqueue_req(self, conn: _Client) -> None:
        """A head is whole: serve the request, let it wait, or refuse it or another one."""
        gathered = conn.sock.gathered
        heads = self._heads
        asked = heads.asking(conn.head) if gathered is None else heads.asking_form(conn.head, gathered.payload)
        started, shed = self._admission.arrive(conn, asked, clock.steady())
        self._start(started)
        for each in shed:
            self._refuse(each)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close connections that have waited long enough for another request."""
        now = clock.steady()
        if now - self._kept_swept < _KEPT_SWEEP_SECONDS and not force:
            return
        self._kept_swept = now
        for descriptor, conn in list(self._kept.items()):
            # A thread may have taken it meanwhile.
            if (force or conn.timeout <= now) and self._kept.pop(descriptor, None) is not None:
                self._close(conn)

    def is_parent_alive(self) -> bool:
        """True if the master is there; without it this worker stops as if told to.

        Gunicorn's goes on to keep connections alive, so that busy ones hold it, and with it the next server, up for all
        of the time that a stop may take.
        """
        if not super().is_parent_alive():
            self.alive = False
        return bool(self.alive)

    def murder_pending(self) -> None:
        """Close what has had its time: heads that are not whole, waiting requests, connections that linger."""
        now = clock.steady()
        if self.alive and self._ceiling is not None and (taken := self._ceiling.passed(now)) is not None:
            self._leaves(taken)
            self.alive = False
        for each in self._admission.sweep(now):
            self._refuse(each)
        for conn in self._room_for_forms.late(now):
            self._turn_away(conn, body.too_slow(), "slow")
        self._tell(now)
        while self.pending_conns and self.pending_conns[0].timeout <= now:
            conn = self.pending_conns[0]
            self._forget(conn, self.pending_conns)
            if conn.head:
                late = RequestTimeout(f"The head of the request did not come within {HEAD_SECONDS:.0f} seconds.")
                self._last_word(conn, self._refusal(conn.head, late, keep=False))
            else:
                self._close(conn)
        while self._lingering and self._lingering[0].timeout <= now:
            conn = self._lingering[0]
            self._forget(conn, self._lingering)
            self._close(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        # Called when the worker stops: those who have not asked anything must not hold it up.
        for conn in (*self.pending_conns, *self._lingering, *list(self._kept.values())):
            conn.timeout = min(conn.timeout, deadline)

    def _await_head(self, conn: _Client, ahead: bytes | bytearray) -> None:
        conn.head = bytearray(ahead)
        conn.timeout = clock.steady() + (HEAD_SECONDS if self.alive else STOP_KEEPALIVE_LINGER)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        self._look(conn, searched=0)

    def _look(self, conn: _Client, *, searched: int) -> None:
        # RFC 9112 2.2: empty lines before a request line are skipped; alone they must not look like a whole head.
        while conn.head.startswith(b"\r\n"):
            del conn.head[:2]
            searched = 0
        end = conn.head.find(_HEAD_END, max(0, searched - len(_HEAD_END) + 1))
        # What comes after the end is a body already.
        if (end if end >= 0 else len(conn.head)) >= _HEAD_BYTES:
            self._forget(conn, self.pending_conns)
            large = HeadTooLarge(f"The head of the request is longer than {_HEAD_BYTES:,} bytes.")
            self._last_word(conn, self._refusal(conn.head, large, keep=False))
        elif end >= 0:
            self._forget(conn, self.pending_conns)
            self._headed(conn, end + len(_HEAD_END))

    def _headed(self, conn: _Client, end: int) -> None:
        framing = form(conn.head, self._max_form_bytes)
        if framing is None:
            self.enqueue_req(conn)
            return
        ahead = bytes(conn.head[end:])
        del conn.head[end:]
        self._room_for_forms.enter(conn, Gathering(framing, self._max_form_bytes, clock.steady()))
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_form, conn))
        if ahead:
            self._gather(conn, ahead)
        elif waits_to_go_on(conn.head):
            with suppress(OSError):
                conn.sock.send_now(_GO_ON)

    def _on_form(self, conn: _Client, _sock: Any) -> None:
        count = self._received(conn)
        if count is None:
            return
        if count:
            self._gather(conn, bytes(memoryview(self._room)[:count]))
        else:
            self._turn_away(conn, body.cut(), None)

    def _gather(self, conn: _Client, received: bytes) -> None:
        try:
            coming, excess = self._room_for_forms.feed(conn, received, clock.steady())
        except SillageError as refused:
            self.poller.unregister(conn.sock)
            self._answer(conn, refused)
            return
        if coming.done:
            self.poller.unregister(conn.sock)
            conn.sock.gathered = coming.gathered()
            conn.head += coming.rest
            self.enqueue_req(conn)
        if excess is not None:
            self._turn_away(excess, no_room(), "room")

    def _turn_away(self, conn: _Client, error: SillageError, reason: str | None) -> None:
        """Refuse a form that is not whole; ``reason`` is what it counts as, if it counts."""
        self._room_for_forms.forget(conn)
        self.poller.unregister(conn.sock)
        if reason is not None:
            self._refusal.count(reason)
            self._unreported += 1
        self._answer(conn, error)

    def _answer(self, conn: _Client, error: SillageError) -> None:
        self._last_word(conn, self._refusal(conn.head, error, keep=False))

    def _hand_over(self, conn: _Client) -> None:
        """Hand the bytes of a form over to ``Admission``'s accounts, or give them back."""
        if conn.sock.gathered is not None:
            self._room_for_forms.leave(len(conn.sock.gathered.payload))

    def _start(self, admitted: Iterable[Admitted[_Client]]) -> None:
        for each in admitted:
            each.item.admitted = each
            self.tpool.submit(each)

    def _refuse(self, shed: Shed[_Client]) -> None:
        conn = shed.item
        self._refusal.count(shed.reason)
        self._unreported += 1
        keep = self.alive and conn.sock.gathered is None and whole(conn.head)
        self._hand_over(conn)
        conn.sock.gathered = None
        answer = self._refusal(conn.head, shed.error, keep=keep)
        if not keep:
            self._last_word(conn, answer)
            return
        try:
            sent = conn.sock.send_now(answer)
        except OSError:
            sent = 0
        if sent == len(answer):
            self._await_head(conn, b"")
        else:
            self._close(conn)

    def _tell(self, now: float) -> None:
        if self._unreported and now - self._reported_at > _REPORT_SECONDS:
            _log.warning("requests refused for overload", requests=self._unreported)
            self._unreported, self._reported_at = 0, now

    def _last_word(self, conn: _Client, answer: bytes) -> None:
        with suppress(OSError):
            conn.sock.send_now(answer)
        self._linger(conn)

    def _linger(self, conn: _Client) -> None:
        # RFC 9112 9.6: closing at once what a client still writes to would take the answer from it.
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
        except OSError:
            self._close(conn)
            return
        conn.timeout = clock.steady() + (LINGER_SECONDS if self.alive else STOP_KEEPALIVE_LINGER)
        self._lingering.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self._throw_away, conn))

    def _throw_away(self, conn: _Client, _sock: Any) -> None:
        count = self._received(conn)
        if count is None:
            return
        conn.thrown_away += count
        if not count or conn.thrown_away > _LINGER_BYTES:
            self._forget(conn, self._lingering)
            self._close(conn)

    def _received(self, conn: _Client) -> int | None:
        """Bytes read into ``_room``: 0 when the client has gone, None when there is nothing yet."""
        try:
            return conn.sock.receive_now(self._room)
        except BlockingIOError:
            return None
        except OSError:
            return 0

    def _forget(self, conn: _Client, waiting: deque[_Client]) -> None:
        waiting.remove(conn)
        self.poller.unregister(conn.sock)

    def _close(self, conn: _Client) -> None:
        self.nr_conns -= 1
        conn.close()

    # --- a thread -----------------------------------------------------------------------------------

    def _serve(self, admitted: Admitted[_Client] | None) -> None:
        """Serve a request, and then those whose turn it is: a trip to the event loop between them would cost time."""
        while admitted is not None:
            conn = admitted.item
            kept = False
            # Whatever it is, it ends this request, and not the thread.
            with suppress(BaseException):
                kept = self.handle(conn)
            conn.admitted = None
            turn = self._admission.leave(admitted)
            self._finish(conn, kept=kept)
            self._start(turn[1:])
            admitted = turn[0] if turn else None
            if admitted is not None:
                admitted.item.admitted = admitted

    def _finish(self, conn: _Client, *, kept: bool) -> None:
        """Keep the connection for its next request, or have the event loop let it close."""
        if not kept:
            self.method_queue.defer(self._linger, conn)
            return
        # What was read beyond the request is the beginning of another, which may be as slow as any.
        ahead = conn.parser.unreader.take_buffered()
        if ahead:
            self.method_queue.defer(self._await_head, conn, ahead)
        else:
            conn.timeout = clock.steady() + self._keepalive_seconds
            self._keep(conn)

    def _keep(self, conn: _Client) -> None:
        descriptor = conn.sock.fileno()
        again, conn.kept_before = conn.kept_before, True
        self._kept[descriptor] = conn
        if not self.alive:
            # `_cap_keepalive` may have looked before it was there.
            conn.timeout = min(conn.timeout, clock.steady() + STOP_KEEPALIVE_LINGER)
        try:
            self.tpool.keep(descriptor, again=again)
        except OSError:
            if self._kept.pop(descriptor, None) is not None:
                self.method_queue.defer(self._close, conn)

    def _resumed(self, descriptor: int) -> Admitted[_Client] | None:
        """A kept connection has something to read: its next request, if it is whole and has its turn.

        The event loop gets what may take time: half of a head, a form, an answer that refuses.
        """
        conn = self._kept.pop(descriptor, None)
        if conn is None:
            return None
        try:
            received = bytearray(conn.sock.recv_now(_FIRST_BYTES))
        except BlockingIOError:
            # The event was that of another connection, which had this descriptor before.
            self._keep(conn)
            return None
        except OSError:
            received = bytearray()
        if not received:
            self.method_queue.defer(self._close, conn)
            return None
        if received.find(_HEAD_END) < 1 or received.startswith(b"\r\n") or form(received, self._max_form_bytes):
            self.method_queue.defer(self._await_head, conn, received)
            return None
        conn.head = received
        started, shed = self._admission.arrive(conn, self._heads.asking(received), clock.steady())
        for refused in shed:
            self.method_queue.defer(self._refuse, refused)
        mine = None
        for each in started:
            each.item.admitted = each
            if each.item is conn:
                mine = each
            else:
                self.tpool.submit(each)
        return mine

    def handle(self, conn: _Client) -> bool:
        """Serve the request whose head is there; whether its connection is kept."""
        self._hand_over(conn)
        sock, parser = conn.sock, conn.parser
        sock.head = bytes(conn.head)
        conn.head = bytearray()
        parser.unreader.unread(sock.head)
        request = None
        try:
            request = next(parser)
            # A body that the application did not read would look like another request.
            return self.handle_request(request, conn) and bool(
                parser.finish_body(deadline=clock.steady() + DEFAULT_WORKER_DATA_TIMEOUT)
            )
        except (StopIteration, NoMoreData) as ended:
            self.log.debug("Closing connection. %s", ended)
        except OSError as failed:
            if failed.errno not in {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}:
                self.log.exception("Socket error processing request.")
        except Exception as failed:
            self.handle_error(request, sock, conn.client, failed)
        finally:
            sock.head = b""
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that gunicorn's parser refuses, or that failed outside of Flask: a problem, as everywhere.

        Gunicorn's would be a page of HTML that quotes the request.
        """
        error = of_parser(exc)
        if error is None:
            self.log.exception("Error handling request")
            error = SillageError("Something failed inside the store. Quote the request id to its operator.")
        else:
            _log.warning("request refused by the HTTP parser", code=error.code)
        if isinstance(client, ClientSocket):
            with suppress(OSError):
                client.send_now(self._refusal(client.head, error, keep=False))

    def handle_request(self, request: Any, conn: _Client) -> bool:
        """Run the application, which from now on has a limited time to read the body; whether another may follow."""

        def abandon() -> None:
            request.must_close = True

        sock = conn.sock
        sock.begin(abandon, conn.admitted)
        answer = Answer(request, sock, self._plain)
        try:
            if request._expected_100_continue:
                sock.send(_GO_ON)
            if not self.alive or len(self._kept) >= self.max_keepalived:
                answer.force_close()
            pieces = self.wsgi(request_environ(conn.environ, request), answer.start_response)
            try:
                for piece in pieces:
                    answer.write(piece)
                answer.close()
            finally:
                if hasattr(pieces, "close"):
                    pieces.close()
            sock.flush()
            return not answer.should_close()
        except OSError:
            raise
        except Exception:
            if not answer.headers_sent:
                raise
            # Another answer in the midst of this one would be taken for a part of it.
            self.log.exception("Error handling request")
            return False
        finally:
            # A cycle of references would wait for the garbage collector, which runs seldom here.
            sock.end()
