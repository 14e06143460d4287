"""Drill: the disk fills up under MongoDB, for real, and gets room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.drills.drilling import Senders, children, ready, reckon, until
from tests.served import serving

SIZE = "700m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system to fill")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "drill", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    """Take every block that is left."""
    with (place / "filler").open("wb", buffering=0) as filler:
        block = bytes(1 << 20)
        for size in (1 << 20, 4096):
            try:
                while True:
                    filler.write(block[:size])
            except OSError:
                continue


def test_a_full_disk_refuses_and_room_heals(tmp_path: Path, disk: Path) -> None:
    with serving(tmp_path, "", data_dir=str(disk / "data"), mongodb_timeout_seconds="2") as server:
        writer = server.source()
        workers = children(server.process.pid)
        with Senders(server, writer, size=30, ballast=100_000) as senders:
            senders.acknowledged(4)
            fill(disk)
            until(lambda: senders.record.refused() > 8, 60)
            # Nothing half-stored, nobody dead, and both pages tell the truth.
            assert ready(server) == 503
            assert requests.get(f"{server.url}/healthz", timeout=2).status_code == 200
            assert children(server.process.pid) == workers
            assert senders.record.resets == 0
            (disk / "filler").unlink()
            until(lambda: ready(server) == 200, 60)
            senders.acknowledged(4)
            senders.finish()
        reckon(server, senders.record)
        assert server.container.governance.audit.verify().intact
