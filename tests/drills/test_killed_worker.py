"""Drill: workers of the HTTP server are killed while they write."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.drills.drilling import (
    Poller,
    Senders,
    alive,
    children,
    followed,
    impatient,
    own_mongodb,
    ready,
    reckon,
    state_of,
    twin,
    until,
)
from tests.served import restarted, serving


def test_a_killed_worker_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with (
        own_mongodb(tmp_path / "mongodb") as (uri, _),
        serving(tmp_path, uri, process_ttl_seconds="1") as server,
    ):
        impatient(uri)
        writer, reader = server.source(), server.credential("statements/read")
        with Poller(server, reader) as poller, Senders(server, writer) as senders:
            senders.acknowledged(8)
            for _ in range(3):
                workers = children(server.process.pid)
                os.kill(workers[0], signal.SIGKILL)
                senders.acknowledged(8)
            senders.finish()
            until(lambda: len(children(server.process.pid)) == 2)
            assert ready(server) == 200
            assert senders.record.resets <= 3 * 4 * 2, "more was cut than what was under way"
            followed(server, poller, senders.record)


@pytest.mark.long
def test_a_killed_master_takes_nothing_acknowledged_with_it(tmp_path: Path) -> None:
    with (
        own_mongodb(tmp_path / "mongodb") as (uri, _),
        serving(tmp_path, uri, process_ttl_seconds="1") as server,
        twin(tmp_path, server) as other,
    ):
        impatient(uri)
        writer, reader = server.source(), server.credential("statements/read")
        with (
            Poller(other, reader) as poller,
            Senders(server, writer) as senders,
            Senders(other, writer, threads=1) as others,
        ):
            senders.acknowledged(8)
            workers = children(server.process.pid)
            os.kill(server.process.pid, signal.SIGKILL)
            # Its workers finish what they are at, and go.
            until(lambda: not any(map(alive, workers)), 10)
            # Whoever starts it anew does so with the same settings; senders that wait find it again.
            with restarted(server):
                senders.acknowledged(8)
                senders.finish()
                others.finish()
                followed(other, poller, senders.record, others.record)
                assert server.container.governance.audit.verify().intact


def test_a_worker_that_dies_while_mongodb_is_away_is_replaced_and_the_server_lives(tmp_path: Path) -> None:
    with (
        own_mongodb(tmp_path / "mongodb") as (uri, folder),
        serving(tmp_path, uri, mongodb_timeout_seconds="1") as server,
    ):
        credential = server.source()
        mongod = state_of(folder).server
        os.kill(mongod, signal.SIGSTOP)
        try:
            os.kill(children(server.process.pid)[0], signal.SIGKILL)
            time.sleep(3)
            assert server.process.poll() is None, "the whole server ended with one worker"
        finally:
            os.kill(mongod, signal.SIGCONT)
        until(lambda: ready(server) == 200)
        with Senders(server, credential) as senders:
            senders.acknowledged(4)
            senders.finish()
        reckon(server, senders.record)
