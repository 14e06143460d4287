"""What leaves the processors to those who answer: the scheduler's jobs, and the embedded MongoDB's checkpoints."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.served import environment


def nice(pid: str) -> list[int]:
    """Of each thread of a process."""
    stats = sorted(Path(f"/proc/{pid}/task").glob("*/stat"), key=lambda stat: int(stat.parent.name))
    return [int(stat.read_text().rpartition(")")[2].split()[16]) for stat in stats]


def test_jobs_give_way_and_of_the_mongodb_that_the_scheduler_starts_only_checkpoints(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli"]
    environ = environment({"SILLAGE_DATA_DIR": str(tmp_path)})
    subprocess.run([*command, "init"], env=environ, check=True, capture_output=True)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "scheduler"], env=environ, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while b'"leading"' not in (tmp_path / "log").read_bytes():
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        servers = [
            entry.name
            for entry in Path("/proc").glob("[0-9]*")
            if (words := (entry / "cmdline").read_bytes().split(b"\0"))[0].endswith(b"mongod")
            and str(tmp_path / "mongodb" / "data").encode() in words
        ]
        assert len(servers) == 1
        assert sorted(nice(servers[0]))[-2:] == [0, 10]
        main, *others = nice(str(process.pid))
        assert main == 10
        assert 10 in others
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
