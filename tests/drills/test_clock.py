"""Drills: the clock of one host of two is stepped, for real as far as its processes can tell.

Within a minute all go on, and hide nothing; beyond it the host stamps nothing, and moves nobody (ADR 0046).
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from app.core import clock
from app.platform.jobs.store import LeaseRepository
from app.settings import env_name
from tests.drills.drilling import Poller, Senders, followed, twin, until
from tests.served import ACTIVITY, Server, environment, free_port, serving, statement

TTL = 2.0
LEASE = 2.0
SOME = 50
HOUR = 3_600
TWO_DAYS = 48 * HOUR
TUTOR = "tutor"


# libfaketime 0.9.10 refuses the sleep that Python 3.11 asks for (clock_nanosleep until a monotonic time).
SLEEP = """
import select, time
def sleep(seconds):
    select.select([], [], [], seconds)
time.sleep = sleep
"""


class Shifted:
    """The clock of the processes that are given ``environ``: that of this host, shifted by what the file says."""

    def __init__(self, folder: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            pytest.skip("no libfaketime to step a clock with (Debian: apt-get install libfaketime)")
        (folder / "python").mkdir()
        (folder / "python" / "sitecustomize.py").write_text(SLEEP)
        self._file = folder / "shift"
        self.step(0)
        self.environ = {
            "LD_PRELOAD": str(libraries[0]),
            "PYTHONPATH": str(folder / "python"),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # What steps is the time of day; the clock that counts from the start of the machine does not.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: int) -> None:
        """Set the shift, in the midst of whatever they do."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+d}s\n")
        draft.replace(self._file)


def stamps(server: Server, ids: list[str]) -> list[int]:
    """``stored`` of these statements, in this order."""
    found = server.container.platform.store.collection("statements").find({}, {"stored": 1})
    stored = {str(each["_id"]): int(each["stored"]) for each in found}
    return [stored[id] for id in ids]


@pytest.mark.parametrize("steps", [(-SOME,), (SOME, 0)], ids=["back", "ahead-and-back"])
def test_a_stepped_clock_hides_nothing_and_holds_nobody_back(
    tmp_path: Path, mongodb_uri: str, steps: tuple[int, ...]
) -> None:
    shifted = Shifted(tmp_path)
    with (
        serving(tmp_path, mongodb_uri, process_ttl_seconds=str(TTL), workers="1") as one,
        twin(tmp_path, one, workers="1", environ=shifted.environ) as other,
    ):
        writer, reader = one.source(), one.credential("statements/read")
        with (
            Poller(one, reader) as first,
            Poller(other, reader) as second,
            Senders(one, writer, threads=2) as here,
            Senders(other, writer, threads=2) as there,
        ):
            for shift in steps:
                here.acknowledged(5)
                there.acknowledged(5)
                shifted.step(shift)
                here.acknowledged(5)
                there.acknowledged(5)
            here.finish()
            there.finish()
            # Within seconds, not when the clock has made up for its minute.
            for poller in (first, second):
                followed(one, poller, here.record, there.record)
                seen = stamps(one, poller.seen)
                assert all(before <= after for before, after in itertools.pairwise(seen))


@pytest.mark.parametrize("step", [TWO_DAYS, -TWO_DAYS], ids=["ahead", "behind"])
def test_a_host_two_days_off_stamps_nothing_and_moves_nobody(tmp_path: Path, mongodb_uri: str, step: int) -> None:
    shifted = Shifted(tmp_path)
    with (
        serving(tmp_path, mongodb_uri, process_ttl_seconds=str(TTL), workers="1") as one,
        twin(tmp_path, one, workers="1", environ=shifted.environ) as other,
    ):
        writer, reader, operator = one.source(TUTOR), one.credential("statements/read"), one.credential("metrics/read")
        with Senders(one, writer, threads=2) as here:
            here.acknowledged(3)
            shifted.step(step)
            # At once: the step is seen before a stamp is given, not at the next heartbeat.
            refused = other.post(writer, statement())
            assert (refused.status_code, refused.json()["code"]) == (503, "clock-off")
            assert refused.headers["Retry-After"]
            documents = one.credential("state", source=TUTOR)
            assert other.send("PUT", "/xAPI/activities/state", documents, data=b"x").json()["code"] == "clock-off"
            assert other.get(reader, limit=1).status_code == 200
            reported = other.send("GET", "/readyz").json()
            assert [reason["code"] for reason in reported["reasons"]] == ["clock-off"]
            text = other.send("GET", "/metrics", operator).text
            offset = re.search(r"^sillage_clock_offset_seconds (\S+)$", text, re.MULTILINE)
            assert offset is not None and abs(float(offset[1]) - step) < 5
            here.acknowledged(5)
            shifted.step(0)
            until(lambda: other.post(writer, statement()).status_code == 200)
            here.finish()
        now = clock.now_us()
        stored = [
            int(each["stored"])
            for each in one.container.platform.store.collection("statements").find({}, {"stored": 1})
        ]
        assert all(now - 120_000_000 < stamp <= now for stamp in stored)
        assert "this host's clock is off" in other.log.read_text()


@pytest.mark.long
def test_a_host_two_days_ahead_does_not_start_nor_do_commands_that_stamp(tmp_path: Path, mongodb_uri: str) -> None:
    shifted = Shifted(tmp_path)
    with serving(tmp_path, mongodb_uri, process_ttl_seconds=str(TTL), workers="1") as one:
        environ = {**one.environ, **shifted.environ, "SILLAGE_BIND": f"127.0.0.1:{free_port()}"}
        entry = tmp_path / "entry.json"
        entry.write_bytes(orjson.dumps({**ACTIVITY, "id": "other"}))
        shifted.step(TWO_DAYS)
        for command in (
            ["serve"],
            ["scheduler"],
            ["migrate"],
            ["processing-activity", "add", str(entry)],
            ["jobs", "run", "retention"],
            ["retention", "apply"],
            ["backup", str(tmp_path)],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "app.cli", *command], env=environ, capture_output=True, text=True, timeout=120
            )
            assert done.returncode in {2, 3}, command
            said = " ".join(done.stderr.split())
            assert "clock-off" in said and re.search(r"clock is 17\d{4} s ahead of MongoDB's", said), command
        shifted.step(0)
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", "processing-activity", "add", str(entry)], env=environ, timeout=120
        )
        assert done.returncode == 0
        assert one.post(one.source(), statement()).status_code == 200


@contextmanager
def scheduling(server: Server, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """``sillage scheduler`` over the server's database."""
    settings = server.settings
    names = ("data_dir", "mongodb_uri", "organisation", "heartbeat_seconds", "process_ttl_seconds")
    given = {env_name(name): str(getattr(settings, name)) for name in names}
    given |= {"SILLAGE_LEASE_SECONDS": str(LEASE), "SILLAGE_AGGREGATE_CRON": "* * * * *"}
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "scheduler"],
        env={**environment(given), **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.long
def test_a_stepped_clock_neither_costs_the_lead_nor_keeps_it_from_others(tmp_path: Path, mongodb_uri: str) -> None:
    shifted = Shifted(tmp_path)
    with serving(tmp_path, mongodb_uri, workers="1") as server:
        leases = LeaseRepository(server.container.platform.store)

        def fence() -> int:
            held = leases.held()
            return held.fence if held is not None else 0

        with scheduling(server, shifted.environ) as one:
            until(fence)
            first = fence()
            with scheduling(server, {}):
                for shift in (SOME, -SOME):
                    shifted.step(shift)
                    time.sleep(1.5 * LEASE)
                    assert fence() == first, "a second one leads beside the first"
                os.kill(one.pid, signal.SIGKILL)
                began = clock.steady()
                until(lambda: fence() > first)
                assert clock.steady() - began < LEASE + 10


@pytest.mark.long
def test_a_scheduler_whose_clock_is_off_leaves_the_lead_to_another(tmp_path: Path, mongodb_uri: str) -> None:
    shifted = Shifted(tmp_path)
    with serving(tmp_path, mongodb_uri, workers="1") as server:
        leases = LeaseRepository(server.container.platform.store)

        def leader() -> str:
            held = leases.held()
            return held.holder if held is not None else ""

        with scheduling(server, shifted.environ) as one:
            until(leader)
            first = leader()
            shifted.step(TWO_DAYS)
            # Nobody else is there, and yet it leads no more.
            until(lambda: not leader())
            with scheduling(server, {}):
                until(leader)
                assert leader() != first
                assert one.poll() is None
            until(lambda: not leader(), LEASE + 10)
            shifted.step(0)
            until(lambda: leader() == first)
