"""The client load of the benchmark: the same requests to any xAPI record store, counted and timed.

The client is lean on purpose (a socket a connection, requests made beforehand), for it shares the machine with what it
measures.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import orjson

VERSION = "1.0.3"
_MORE = b'"more"'


class Target(NamedTuple):
    """A record store: the URL of its xAPI endpoint, such as ``http://127.0.0.1:8000/xAPI``, and Basic credentials."""

    url: str
    authorization: str

    @property
    def path(self) -> str:
        """Path of the endpoint, without a final slash."""
        return urlsplit(self.url).path.rstrip("/")


class Refused(Exception):
    """An answer that is neither 200 nor 204: its status and the beginning of its body."""


class Connection:
    """One keep-alive connection (HTTP/1.1)."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        self._host = parts.hostname or "127.0.0.1"
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._head = (
            f"Host: {self._host}:{self._port}\r\nAuthorization: {target.authorization}\r\n"
            f"X-Experience-API-Version: {VERSION}\r\nContent-Type: application/json\r\n"
        )
        self._socket: socket.socket | None = None

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One exchange: the body of the answer.

        Raises:
            Refused: another status than 200 or 204.
        """
        status, content = self.exchange(method, path, body)
        if status not in (200, 204):
            raise Refused(f"{method} answered {status}: {content[:300]!r}")
        return content

    def exchange(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One exchange: status and body. A connection that the server has closed meanwhile is made anew, once."""
        length = f"Content-Length: {len(body)}\r\n" if body is not None else ""
        request = f"{method} {path} HTTP/1.1\r\n{self._head}{length}\r\n".encode() + (body or b"")
        fresh = self._socket is None
        try:
            return self._once(request)
        except (ConnectionError, EOFError):
            self.close()
            if fresh:
                raise
            return self._once(request)

    def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _once(self, request: bytes) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection((self._host, self._port), timeout=120)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=self._host)
        self._socket.sendall(request)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._some()
        head = bytes(received[:end]).lower()
        del received[: end + 4]
        status = int(head[9:12])
        if status == 204:
            return status, b""
        if b"transfer-encoding: chunked" in head:
            return status, self._chunks(received)
        place = head.find(b"\r\ncontent-length:")
        length = int(head[place + 17 : head.find(b"\r\n", place + 2) if b"\r\n" in head[place + 2 :] else None])
        while len(received) < length:
            received += self._some()
        if b"connection: close" in head:
            self.close()
        return status, bytes(received)

    def _chunks(self, received: bytearray) -> bytes:
        content = bytearray()
        while True:
            while (line := received.find(b"\r\n")) < 0:
                received += self._some()
            size = int(bytes(received[:line]).split(b";")[0], 16)
            while len(received) < line + 4 + size:
                received += self._some()
            content += received[line + 2 : line + 2 + size]
            del received[: line + 4 + size]
            if not size:
                return bytes(content)

    def _some(self) -> bytes:
        data = self._socket.recv(1 << 18) if self._socket is not None else b""
        if not data:
            raise EOFError
        return data


class Timed(NamedTuple):
    """Times of a load: seconds in all, and the seconds of each request, sorted."""

    seconds: float
    times: list[float]

    def quantile(self, share: float) -> float:
        """A quantile of the requests' times, in milliseconds."""
        return self.times[min(len(self.times) - 1, int(len(self.times) * share))] * 1000


def spread(work: Sequence[Any], threads: int, make: Callable[[], Callable[[Any], object]]) -> Timed:
    """Do every item of ``work`` over ``threads`` threads; what fails ends it all."""
    items = iter(work)
    lock = threading.Lock()
    times: list[float] = []
    failed: list[BaseException] = []

    def turn() -> None:
        try:
            do = make()
            mine = []
            while not failed:
                with lock:
                    item = next(items, None)
                if item is None:
                    break
                began = time.perf_counter()
                do(item)
                mine.append(time.perf_counter() - began)
            times.extend(mine)
        except BaseException as error:  # told in the main thread
            failed.append(error)

    running = [threading.Thread(target=turn) for _ in range(threads)]
    began = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failed:
        raise failed[0]
    return Timed(time.perf_counter() - began, sorted(times))


class Load:
    """Requests to one store."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._statements = f"{target.path}/statements"

    def post(self, statements: Sequence[dict[str, Any]], size: int, connections: int) -> Timed:
        """POST them in batches of ``size``; of one: each by itself, not in an array."""
        bodies = [
            orjson.dumps(statements[at : at + size] if size > 1 else statements[at])
            for at in range(0, len(statements), size)
        ]
        return spread(bodies, connections, self._caller("POST", lambda body: (self._statements, body)))

    def get(self, queries: Sequence[dict[str, Any]], connections: int) -> Timed:
        """GET statements, a request a query."""
        paths = [f"{self._statements}?{urlencode(query)}" for query in queries]
        return spread(paths, connections, self._caller("GET", lambda path: (path, None)))

    def held(self, queries: Sequence[dict[str, Any]]) -> float:
        """Statements in an answer to these queries, on average."""
        connection = Connection(self._target)
        pages = [connection.call("GET", f"{self._statements}?{urlencode(query)}") for query in queries]
        connection.close()
        return sum(len(orjson.loads(page)["statements"]) for page in pages) / len(queries)

    def ids(self, count: int) -> list[str]:
        """Ids of the latest statements, at most ``count``."""
        found: list[str] = []
        for content in self.pages({"limit": 100}):
            found += [statement["id"] for statement in orjson.loads(content)["statements"]]
            if len(found) >= count:
                break
        return found[:count]

    def pages(self, query: dict[str, Any]) -> Iterator[bytes]:
        """The pages of a query, each asked for when the one before was taken."""
        connection = Connection(self._target)
        path = f"{self._statements}?{urlencode(query)}"
        while path:
            content = connection.call("GET", path)
            yield content
            path = _followed(content)
        connection.close()

    def paging(self, query: dict[str, Any], most: int) -> Timed:
        """Follow ``more`` over one connection, at most ``most`` pages."""
        times = []
        began = last = time.perf_counter()
        for _ in islice(self.pages(query), most):
            now = time.perf_counter()
            times.append(now - last)
            last = now
        return Timed(last - began, times)

    def documents(self, method: str, actors: Sequence[dict[str, Any]], body: bytes | None, connections: int) -> Timed:
        """State documents: one of each actor in turn."""
        paths = [
            f"{self._target.path}/activities/state?"
            + urlencode(
                {
                    "activityId": "https://example.fr/activities/bench",
                    "agent": orjson.dumps(actor).decode(),
                    "stateId": f"state-{place}",
                }
            )
            for place, actor in enumerate(actors)
        ]
        return spread(paths, connections, self._caller(method, lambda path: (path, body)))

    def constant(self, paths: Sequence[str], count: int, connections: int) -> Timed:
        """GET these paths in turn, ``count`` times in all."""
        asked = [paths[place % len(paths)] for place in range(count)]
        return spread(asked, connections, self._caller("GET", lambda one: (one, None)))

    def _caller(
        self, method: str, request: Callable[[Any], tuple[str, bytes | None]]
    ) -> Callable[[], Callable[[Any], object]]:
        def make() -> Callable[[Any], object]:
            connection = Connection(self._target)
            return lambda item: connection.call(method, *request(item))

        return make


def busiest(statements: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The actors of most statements."""
    return [
        orjson.loads(actor) for actor, _ in Counter(orjson.dumps(one["actor"]) for one in statements).most_common(count)
    ]


def _followed(content: bytes) -> str:
    # At the end of what most stores write, at the beginning for some: a page is not decoded for that.
    place = content.rfind(_MORE)
    if place < 0:
        return ""
    start = content.find(b'"', place + len(_MORE)) + 1
    link = orjson.loads(b'"' + content[start : content.find(b'"', start)] + b'"')
    parts = urlsplit(link)
    return quote(parts.path, safe="/%") + (f"?{parts.query}" if parts.query else "")
