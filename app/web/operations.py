"""For those who run the service: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from hashlib import blake2b

import orjson
import structlog
from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.core import clock
from app.core.errors import CredentialsRefused, DatabaseUnavailable, OutsidePerimeter, ScopeMissing, SillageError

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
EXTENSION = "metrics"
"""Name of an application's ``Metrics`` among its extensions."""
ENDPOINTS = frozenset({"operations.healthz", "operations.readyz", "operations.metrics"})
_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCH = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
_ADMITTED_SECONDS = 3_600.0
_MAX_ADMITTED = 16
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


class Metrics:
    """Counters of a process. Make one per process: with several workers, each writes its share to common files.

    Labels hold route patterns, status codes and the fixed words below: nothing that a sender chooses.
    """

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sillage_http_requests", "Requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "sillage_http_request_seconds",
            "Time from the request's arrival in a worker to its answer.",
            ("route", "method"),
            buckets=_LATENCY,
            registry=self._registry,
        )
        self._statements = Counter(
            "sillage_statements",
            "Statements received, by outcome: stored, repeated (already there), rejected, conflict.",
            ("outcome",),
            registry=self._registry,
        )
        self._batch = Histogram(
            "sillage_batch_statements", "Statements in one write.", buckets=_BATCH, registry=self._registry
        )
        self._shed = Counter(
            "sillage_requests_shed",
            "Requests refused before a thread took them: source (429), waiting, time, room (503), slow (408).",
            ("reason",),
            registry=self._registry,
        )
        self._returned = Counter("sillage_statements_returned", "Statements given in answers.", registry=self._registry)
        self._memory = Gauge(
            "sillage_worker_memory_bytes",
            "Memory of the HTTP worker that takes most.",
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._replaced = Counter(
            "sillage_workers_replaced",
            "HTTP workers that left for taking more memory than they may.",
            registry=self._registry,
        )
        self._spool_entries = Gauge(
            "sillage_audit_spool_entries",
            "Audit entries in the spool of this host that MongoDB does not have yet.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._spool_age = Gauge(
            "sillage_audit_spool_age_seconds",
            "For how long the oldest of these has been waiting.",
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._spool_aside = Gauge(
            "sillage_audit_spool_damaged_files",
            "Files of the spool of this host that were found altered, and are kept.",
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        Gauge(
            "sillage_info", "The running version.", ("version",), registry=self._registry, multiprocess_mode="max"
        ).labels(version).set(1)
        # To find the counters of labels takes longer than to count.
        self._answers: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        for outcome in ("stored", "repeated", "rejected", "conflict"):
            self._statements.labels(outcome)
        for reason in ("source", "waiting", "time", "room", "slow"):
            self._shed.labels(reason)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """One HTTP answer; the ``observe`` of ``app.web.logs.install``."""
        counters = self._answers.get((route, method, status))
        if counters is None:
            counters = self._requests.labels(route, method, str(status)), self._seconds.labels(route, method)
            self._answers[route, method, status] = counters
        counters[0].inc()
        counters[1].observe(seconds)

    def written(self, *, stored: int, repeated: int) -> None:
        """One batch that was acknowledged."""
        self._batch.observe(stored + repeated)
        self._statements.labels("stored").inc(stored)
        self._statements.labels("repeated").inc(repeated)

    def refused(self, outcome: str, statements: int) -> None:
        """Statements of a batch that was not stored; ``outcome`` is ``rejected`` or ``conflict``."""
        self._statements.labels(outcome).inc(statements)

    def shed(self, reason: str) -> None:
        """A request refused for overload; it is not among those of ``answered``."""
        self._shed.labels(reason).inc()

    def memory(self, taken: int) -> None:
        """Bytes that this worker takes in memory."""
        self._memory.set(taken)

    def spooled(self, waiting: int, seconds: float, aside: int) -> None:
        """Audit entries that wait in the spool, since when, and files that are kept."""
        self._spool_entries.set(waiting)
        self._spool_age.set(seconds)
        self._spool_aside.set(aside)

    def replaced(self) -> None:
        """This worker leaves for the memory it takes."""
        self._replaced.inc()

    def returned(self, statements: int) -> None:
        """Statements given in an answer to GET."""
        self._returned.inc(statements)

    def exposition(self, *others: Collector) -> bytes:
        """The Prometheus text format, summed over the workers of this host when there are several.

        ``others``: collectors of what is not counted here.
        """
        text = b""
        for other in others:
            # Apart: what it tells is asked for once, and not to be summed.
            registry = CollectorRegistry()
            registry.register(other)
            text += generate_latest(registry)
        if not os.environ.get(MULTIPROCESS):
            return generate_latest(self._registry) + text
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call] # its library types only half of it
        return generate_latest(together) + text


def from_this_host() -> bool:
    """True if the request was made on this host, and not passed on by a proxy that runs here."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def remembered(
    check: Callable[[], object], seconds: float, now: Callable[[], float] = clock.steady
) -> Callable[[], None]:
    """A check that, once passed, is taken to hold for ``seconds``; one that fails is made again each time.

    For what costs MongoDB work and seldom changes: anybody may ask ``/readyz``, as often as they like.
    """
    holds_until: float | None = None

    def checked() -> None:
        nonlocal holds_until
        if holds_until is None or now() >= holds_until:
            holds_until = None
            check()
            holds_until = now() + seconds

    return checked


class Admitted:
    """Credentials that have read the metrics lately, and may while MongoDB, which knows them, is away.

    That is when the metrics matter most. A credential that is revoked meanwhile reads them for an hour at most; they
    hold nothing personal.
    """

    def __init__(self, admit: Callable[[], object], now: Callable[[], float] = clock.steady) -> None:
        """``admit`` raises unless the credential of the request may read metrics."""
        self._admit = admit
        self._now = now
        self._key = clock.random_bytes(32)
        self._until: dict[bytes, float] = {}

    def __call__(self) -> None:
        """Let the request in, or raise as ``admit`` does."""
        header = request.headers.get("Authorization", "").encode()
        who = blake2b(header, digest_size=16, key=self._key).digest()
        try:
            self._admit()
        except DatabaseUnavailable:
            if self._until.get(who, float("-inf")) < self._now():
                raise
        except (CredentialsRefused, OutsidePerimeter, ScopeMissing):
            self._until.pop(who, None)
            raise
        else:
            if len(self._until) >= _MAX_ADMITTED:
                self._until.clear()
            self._until[who] = self._now() + _ADMITTED_SECONDS


def blueprint(
    metrics: Metrics,
    checks: Mapping[str, Callable[[], object]],
    admit: Callable[[], object],
    *,
    trust_host: bool,
    standing: Collector | None = None,
) -> Blueprint:
    """The three pages.

    Args:
        metrics: What ``/metrics`` shows.
        checks: What must hold to be ready, by name; a check that fails raises a ``SillageError``.
        admit: Raises unless the request's credential may read metrics.
        trust_host: Let requests from this host read metrics without a credential. Only right when no proxy
            runs on it, since a proxy's requests come from this host too.
        standing: What ``/metrics`` shows beside what is counted.
    """
    admitted = Admitted(admit)
    pages = Blueprint("operations", __name__)
    log = structlog.stdlib.get_logger("sillage.operations")

    def answer(document: dict[str, object], status: int = 200) -> Response:
        return Response(orjson.dumps(document), status, content_type="application/json")

    @pages.get("/healthz")
    def healthz() -> Response:
        return answer({"alive": True})

    @pages.get("/readyz")
    def readyz() -> Response:
        reasons = []
        for name, check in checks.items():
            try:
                check()
            except SillageError as failed:
                reasons.append({"check": name, "code": failed.code, "detail": failed.detail})
            except Exception:
                log.exception("readiness check failed", check=name)
                reasons.append({"check": name, "code": SillageError.code, "detail": "The log says more."})
        if not reasons:
            return answer({"ready": True})
        response = answer({"ready": False, "reasons": reasons}, 503)
        response.headers["Retry-After"] = "5"
        return response

    @pages.get("/metrics", endpoint="metrics")
    def show() -> Response:
        if not (trust_host and from_this_host()):
            admitted()
        return Response(
            metrics.exposition(*([standing] if standing is not None else [])), content_type=CONTENT_TYPE_LATEST
        )

    return pages
