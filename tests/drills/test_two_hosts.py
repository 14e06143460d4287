"""Drill: two servers over one database, as on two hosts."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from app.core import clock
from app.standards.xapi.timestamps import render
from tests.drills.drilling import Poller, Senders, children, impatient, own_mongodb, ready, reckon, twin
from tests.served import Server, serving, statement

TTL = 2.0


@contextmanager
def pair(folder: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers that share a database and a key, and nothing else."""
    with own_mongodb(folder / "mongodb") as (uri, _):
        impatient(uri)
        with serving(folder, uri, process_ttl_seconds=str(TTL)) as one, twin(folder, one) as other:
            yield one, other


def bound(server: Server) -> str:
    """The server's Consistent-Through."""
    return server.send("HEAD", "/xAPI/statements").headers["X-Experience-API-Consistent-Through"]


def test_two_servers_are_one_store(tmp_path: Path) -> None:
    with pair(tmp_path) as (one, other):
        writer, reader = one.source(), one.credential("statements/read")

        # What one revokes, the other refuses from the moment the command returns.
        for _ in range(3):
            short = one.source()
            accepted: list[float] = []
            stop = threading.Event()

            def press(credential=short, accepted=accepted, stop=stop) -> None:
                while not stop.is_set():
                    began = time.monotonic()
                    if other.post(credential, statement()).status_code == 200:
                        accepted.append(began)

            pressing = [threading.Thread(target=press) for _ in range(3)]
            for thread in pressing:
                thread.start()
            time.sleep(0.3)
            one.container.operations.sources.revoke(short.id, actor="cli:drill")
            revoked = time.monotonic()
            time.sleep(0.3)
            stop.set()
            for thread in pressing:
                thread.join()
            assert accepted
            assert max(accepted) < revoked, "a revoked credential was accepted"
        one.container.platform.store.collection("statements").delete_many({})

        with (
            Poller(one, reader) as first,
            Poller(other, reader) as second,
            Senders(one, writer, threads=2) as here,
            Senders(other, writer, threads=2) as there,
        ):
            here.acknowledged(5)
            there.acknowledged(5)
            # One of the hosts goes, with everything it had under way.
            pids = [*children(other.process.pid), other.process.pid]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            gone = render(clock.now_us())
            began = time.monotonic()
            while bound(one) <= gone:
                assert time.monotonic() - began < TTL + 3, "the dead hold Consistent-Through back"
                time.sleep(0.05)
            here.acknowledged(5)
            here.finish()
            assert here.record.resets == 0
            assert ready(one) == 200
            first.saw_once(here.record.ids + there.record.ids)
            assert len(second.seen) == len(set(second.seen))
            assert set(second.seen) <= set(first.seen)
        reckon(one, here.record, there.record)
        assert requests.get(f"{one.url}/healthz", timeout=5).status_code == 200
