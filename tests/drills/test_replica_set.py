"""Drills: the primary of a replica set is killed, paused, or cut off from the others, while statements are written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.drills.drilling import MARGIN_SECONDS, Poller, Senders, followed, ready, reported, until
from tests.drills.replicas import Member, Replicas, networks_possible, replica_set
from tests.served import Server, serving

TIMEOUT = 2.0
TTL = 2.0
BACK_SECONDS = 15.0
"""Within which the service must be back once the database is."""
PAUSE_SECONDS = 15.0 if "DRILL_SEED" in os.environ else 5.0
"""Long under ``scripts/drill``; here longer than an election, a request's wait and the life of a silent process."""


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """One set for the drills of this file, its members in networks of their own where that is allowed."""
    with replica_set(tmp_path_factory.mktemp("replicas"), separate=networks_possible()) as running:
        yield running


@pytest.fixture
def server(replicas: Replicas, tmp_path: Path) -> Iterator[Server]:
    """Two workers over the replica set, all members of which are up."""
    replicas.settle()
    with serving(
        tmp_path,
        replicas.uri,
        mongodb_timeout_seconds=str(TIMEOUT),
        process_ttl_seconds=str(TTL),
        mongodb_allow_plaintext="true",
    ) as running:
        yield running


class Watch:
    """Measures how long the service takes to be back once there is a primary."""

    def __init__(self, replicas: Replicas, senders: Senders) -> None:
        self.longest = 0.0
        self._replicas = replicas
        self._senders = senders

    def back(self, *, other_than: Member | None = None) -> None:
        """Wait for a primary, then for the service."""
        self._replicas.primary(other_than=other_than)
        since = time.monotonic()
        self._senders.acknowledged(8)
        self.longest = max(self.longest, time.monotonic() - since)


def drill(name: str, server: Server, replicas: Replicas, fault: Callable[[Watch], None]) -> float:
    """Write and follow through a fault; the seconds that the service took to be back once there was a primary."""
    writer, reader = server.source(), server.credential("statements/read")
    with Poller(server, reader) as poller, Senders(server, writer, threads=6) as senders:
        senders.acknowledged(15)
        watch = Watch(replicas, senders)
        fault(watch)
        watch.back()
        until(lambda: ready(server) == 200)
        senders.finish()
        reported(name, senders.record, watch.longest)
        slowest = max(*senders.record.slowest.values(), poller.slowest)
        # A request may wait for a thread, and get it just before its process knows that the database is away.
        assert slowest < 2 * TIMEOUT + MARGIN_SECONDS, "a request hung"
        assert senders.record.resets == 0
        followed(server, poller, senders.record)
    assert "unforeseen" not in server.log.read_text()
    assert server.container.governance.audit.verify().intact
    return watch.longest


def test_a_killed_primary_is_replaced_and_comes_back(replicas: Replicas, server: Server) -> None:
    def fault(watch: Watch) -> None:
        killed = replicas.primary()
        killed.kill()
        watch.back(other_than=killed)
        killed.start()
        until(lambda: bool(killed.hello().get("secondary")))
        # With another gone the one that came back decides: what it has must be all there is.
        other = replicas.primary()
        other.kill()
        watch.back(other_than=other)

    assert drill("primary killed, then the next", server, replicas, fault) < BACK_SECONDS


@pytest.mark.long
def test_a_paused_primary_comes_back_to_a_set_that_has_another(replicas: Replicas, server: Server) -> None:
    def fault(watch: Watch) -> None:
        paused = replicas.primary()
        began = time.monotonic()
        with paused.frozen():
            watch.back(other_than=paused)
            time.sleep(max(0.0, began + PAUSE_SECONDS - time.monotonic()))

    assert drill("primary paused", server, replicas, fault) < BACK_SECONDS


@pytest.mark.long
def test_a_primary_cut_off_from_the_others_acknowledges_nothing_that_they_lack(
    replicas: Replicas, server: Server
) -> None:
    if not replicas.can_be_cut:
        pytest.skip("only root may make networks to cut, with ip (Debian: apt-get install iproute2)")

    def fault(watch: Watch) -> None:
        lonely = replicas.primary()
        replicas.cut(lonely)
        try:
            watch.back(other_than=lonely)
            time.sleep(2 * TIMEOUT)
        finally:
            replicas.join(lonely)

    assert drill("primary cut off", server, replicas, fault) < BACK_SECONDS
