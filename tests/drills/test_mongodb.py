"""Drills: MongoDB is killed, or stops answering, while statements are written and read."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from app.governance.audit.log import Verification
from tests.drills.drilling import (
    MARGIN_SECONDS,
    Poller,
    Senders,
    followed,
    impatient,
    own_mongodb,
    ready,
    reckon,
    state_of,
    until,
)
from tests.served import Server, serving

TIMEOUT = 1.5
TTL = 1.0


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process in whatever it does, and let it go on afterwards."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def timed(action: Callable[[], int]) -> tuple[int, float]:
    began = time.monotonic()
    return action(), time.monotonic() - began


def audited(server: Server) -> Verification:
    return server.container.governance.audit.verify()


def test_a_killed_mongodb_comes_back_with_everything_acknowledged(tmp_path: Path) -> None:
    with (
        own_mongodb(tmp_path / "mongodb") as (uri, folder),
        serving(tmp_path, uri, mongodb_timeout_seconds=str(TIMEOUT), process_ttl_seconds=str(TTL)) as server,
    ):
        writer, reader = server.source(), server.credential("statements/read")
        with Poller(server, reader) as poller, Senders(server, writer, size=1_500) as senders:
            senders.acknowledged(4)
            # Away for longer than a request waits: the driver's own retry cannot complete what was cut.
            with frozen(state_of(folder).supervisor):
                os.kill(state_of(folder).server, signal.SIGKILL)
                time.sleep(TIMEOUT + 0.5)
            senders.acknowledged(4)
            senders.finish()
            assert ready(server) == 200
            assert senders.record.resets == 0
            assert max(senders.record.slowest.values()) < TIMEOUT + MARGIN_SECONDS
            followed(server, poller, senders.record)
        assert audited(server).intact


def test_a_mongodb_that_stops_in_mid_request(tmp_path: Path) -> None:
    with (
        own_mongodb(tmp_path / "mongodb") as (uri, folder),
        serving(tmp_path, uri, mongodb_timeout_seconds=str(TIMEOUT), process_ttl_seconds=str(TTL)) as server,
    ):
        impatient(uri)
        writer, reader = server.source(), server.credential("statements/read")
        with Poller(server, reader) as poller, Senders(server, writer, threads=6) as senders:
            senders.acknowledged(10)
            with frozen(state_of(folder).server):
                time.sleep(1.0)
                # Each worker answers this while others wait for MongoDB.
                for _ in range(8):
                    answer = requests.get(f"{server.url}/healthz", timeout=2)
                    assert answer.status_code == 200
                status, seconds = timed(lambda: ready(server))
                assert status == 503
                assert seconds < TIMEOUT + MARGIN_SECONDS
                # Long enough for others to hold every process for dead, had they been able to look.
                time.sleep(TIMEOUT + TTL)
            refused = senders.record.refused()
            assert refused
            assert senders.record.slowest[503] < TIMEOUT + MARGIN_SECONDS
            until(lambda: ready(server) == 200)
            senders.acknowledged(10)
            # Shorter than the timeout: requests wait it out.
            with frozen(state_of(folder).server):
                time.sleep(TIMEOUT * 0.6)
            senders.acknowledged(10)
            senders.finish()
            assert senders.record.resets == 0
            followed(server, poller, senders.record)
        assert audited(server).intact


@pytest.mark.long
def test_metrics_are_told_while_mongodb_is_away(tmp_path: Path) -> None:
    with (
        own_mongodb(tmp_path / "mongodb") as (uri, folder),
        # As behind a proxy: nobody reads them without a credential.
        serving(
            tmp_path,
            uri,
            mongodb_timeout_seconds=str(TIMEOUT),
            process_ttl_seconds=str(TTL),
            workers="1",
            behind_tls="true",
        ) as server,
    ):
        operator, other = server.credential("metrics/read"), server.credential("metrics/read")

        def reported() -> requests.Response:
            return server.send("GET", "/metrics", operator)

        assert "sillage_mongodb_up 1.0" in reported().text
        with frozen(state_of(folder).server):
            until(lambda: "sillage_mongodb_up 0.0" in reported().text)
            answer = reported()
            assert answer.status_code == 200
            assert "sillage_clock_offset_seconds" in answer.text and "sillage_key_active_version 1.0" in answer.text
            assert "sillage_http_requests_total" in answer.text and "sillage_scheduler_leads" not in answer.text
            status, seconds = timed(lambda: reported().status_code)
            assert status == 200
            assert seconds < TIMEOUT + MARGIN_SECONDS
            assert server.send("GET", "/metrics", other).status_code == 503
        until(lambda: "sillage_mongodb_up 1.0" in reported().text)
        assert "sillage_scheduler_leads 0.0" in reported().text


def test_more_requests_than_threads_wait_no_longer_and_health_still_answers(tmp_path: Path) -> None:
    with (
        own_mongodb(tmp_path / "mongodb") as (uri, folder),
        serving(tmp_path, uri, mongodb_timeout_seconds=str(TIMEOUT), threads="2") as server,
    ):
        impatient(uri)
        writer = server.source()
        with Senders(server, writer, threads=16, size=2) as senders:
            senders.acknowledged(16)
            with frozen(state_of(folder).server):
                time.sleep(3 * TIMEOUT)
                slow = []
                for _ in range(5):
                    slow.append(timed(lambda: requests.get(f"{server.url}/healthz", timeout=30).status_code))
            senders.finish()
            reckon(server, senders.record)
        # A request may wait for a thread, and get it just before this process knows that MongoDB is away.
        assert senders.record.slowest[503] < 2 * TIMEOUT + MARGIN_SECONDS
        assert all(status == 200 and seconds < 1 for status, seconds in slow)
