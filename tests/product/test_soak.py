"""The long load: a few seconds of it, and its judgement."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest

from tests.places import ROOT
from tests.served import environment

KINDS = {"POST of 50", "POST of 1", "by agent", "by id", "page", "poll"}


@pytest.fixture(scope="module")
def soak() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("sillage_soak", ROOT / "scripts" / "benchmarks" / "soak.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    # As when it is run: what it has in common with the benchmark lies beside it.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts" / "benchmarks"))
        spec.loader.exec_module(module)
        yield module


@pytest.mark.long
def test_some_seconds_of_it(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    ended = subprocess.run(
        [
            sys.executable,
            "scripts/benchmarks/soak.py",
            "--minutes=0.1",
            "--share=0.5",
            "--stored=3000",
            f"--json={file}",
        ],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = orjson.loads(file.read_bytes())
    assert figures["errors"] == {}
    assert {kind for period in figures["periods"] for kind in period} == KINDS
    assert figures["stored"] >= 3_000
    assert 0 < figures["sent"] < figures["limit"]
    assert {"scheduler", "worker 1"} <= figures["memory"].keys()
    assert all({"scheduler", "worker 1", "MongoDB", "clients"} <= each.keys() for each in figures["processor"])
    assert any(each["MongoDB"] > 0 for each in figures["processor"])
    assert "the poller was shown every acknowledged statement once" in ended.stdout


def test_no_two_rounds_have_sessions_in_common(soak: ModuleType) -> None:
    bodies = [b'[{"context":{"registration":"00000000-0000-4000-8000-00000000000%d"}}]' % each for each in (1, 2)]
    one, other = soak.rounds(bodies), soak.rounds(bodies)
    seen = [next(rounds) for _ in range(6) for rounds in (one, other)]
    assert len(set(seen)) == 12
    assert soak.larger(bodies) == [b"[" + bodies[0][1:-1] + b"," + bodies[1][1:-1] + b"]"]


def test_a_line_has_its_slope_and_noise_has_none(soak: ModuleType) -> None:
    xs = [float(x) for x in range(200)]
    noise = random.Random(1)
    assert soak.slope(xs, [3.0 * x + 7 for x in xs]) == (pytest.approx(3.0), 0.0)
    steep = soak.slope(xs, [3.0 * x + noise.gauss(0, 20) for x in xs])
    assert steep.slope == pytest.approx(3.0, abs=steep.margin) and not steep.within_noise
    assert soak.slope(xs, [100.0 + 20 * (x % 2) for x in xs]).within_noise
    assert soak.slope([1.0, 2.0], [1.0, 2.0]).within_noise


def test_an_interval_holds_the_truth_as_often_as_it_says(soak: ModuleType) -> None:
    noise = random.Random(2)
    xs = [float(x) for x in range(60)]
    held = 0
    for _ in range(300):
        y, ys = 0.0, []
        for x in xs:
            y = 0.5 * y + noise.gauss(0, 1)  # memory is what it was a moment ago, and a little else
            ys.append(y + 0.1 * x)
        line = soak.slope(xs, ys)
        held += abs(line.slope - 0.1) <= line.margin
    assert held > 300 * 0.9


def outcome(soak: ModuleType, **changes: Any) -> Any:
    minutes = [{kind: [0.01] * 100 for kind in KINDS}] * 30
    memory = {"worker 1": [(float(second), 100.0 + second % 7) for second in range(0, 1_800, 5)]}
    given = {"stored": 0, "limit": 1.0, "sent": 1.0, "minutes": minutes, "memory": memory, "processor": [], "jobs": {}}
    return soak.Outcome(**{**given, "errors": Counter(), "missing": "", **changes})


def faults(soak: ModuleType, length: float, **changes: Any) -> list[str]:
    return [finding.words for finding in soak.judge(outcome(soak, **changes), length) if finding.good is False]


def test_what_stays_as_it_was_is_found_good(soak: ModuleType) -> None:
    assert faults(soak, 30) == []


def test_errors_losses_growth_and_drift_are_found(soak: ModuleType) -> None:
    growing = {"worker 1": [(float(second), 100.0 + second / 60 + second % 7) for second in range(0, 1_800, 5)]}
    slower = [{kind: [0.01 * place] * 100 for kind in KINDS} for place in range(1, 31)]
    assert len(faults(soak, 30, errors=Counter({"by id: 500": 2}))) == 1
    assert len(faults(soak, 30, missing="3 acknowledged, 2 shown")) == 1
    assert len(faults(soak, 30, memory=growing)) == 1
    assert len(faults(soak, 30, minutes=slower)) == len(KINDS)
    # Caches still fill in a short run.
    assert faults(soak, 2, memory=growing, minutes=slower) == []


def test_runs_that_failed_are_counted_and_one_under_way_is_not(soak: ModuleType) -> None:
    listing = "\n".join(
        [
            "  started                seconds   outcome     summary ",
            " ----------------------------------------------------- ",
            "  2026-11-25 08:55:00Z   -         running     ",
            "  2026-11-25 08:54:00Z   1.2       failed      ",
            "  2026-11-25 08:53:00Z   1.2       succeeded   statements=3 ",
            "  2026-11-25 08:52:00Z   1.2       abandoned   ",
        ]
    )
    assert soak.runs(listing) == ([(datetime(2026, 11, 25, 8, 53, tzinfo=UTC).timestamp(), 1.2)], 2)


def test_what_jobs_have_still_to_do_is_counted_without_their_waiting(
    soak: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 11, 25, 8, 50, 20, tzinfo=UTC).timestamp()
    monkeypatch.setattr(soak.time, "time", lambda: now)

    class Service:
        def run(self, *words: str) -> str:
            return {
                # Under way when the senders stop, ten seconds longer; then one beside the other; then one too many.
                "aggregate": "  2026-11-25 08:52:00Z   9.0   succeeded \n  2026-11-25 08:51:00Z   4.0   succeeded \n"
                "  2026-11-25 08:50:00Z   30.0   succeeded ",
                "patterns": "  2026-11-25 08:51:02Z   12.5   succeeded ",
            }[words[2]]

    assert soak.behind(Service()) == pytest.approx(10 + 14.5)
