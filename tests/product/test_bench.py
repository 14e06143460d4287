"""The benchmark runs, on the service and against any store: its figures are for people to read, not for a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.access import scopes
from tests.places import ROOT
from tests.served import Server


def bench(*options: str) -> list[dict[str, object]]:
    out = Path(options[-1])
    command = [
        sys.executable,
        str(ROOT / "scripts" / "benchmarks" / "bench.py"),
        "--quick",
        *options[:-1],
        "--json",
        str(out),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr[-2_000:]
    rows: list[dict[str, object]] = json.loads(out.read_bytes())
    return rows


@pytest.mark.long
def test_every_figure_stands_beside_its_limit(tmp_path: Path) -> None:
    rows = bench("--statements", "600", str(tmp_path / "rows.json"))
    named = {row["name"] for row in rows}
    assert {"HTTP, batch 500, 4 connections", "GET by id, 4 connections", "State PUT, 16 connections"} <= named
    assert all(row["value"] for row in rows)
    assert all(row["ratio"] is not None for row in rows if row["aim"])


@pytest.mark.long
def test_the_same_load_goes_to_any_store(server: Server, tmp_path: Path) -> None:
    tutor = server.source(scopes=["statements/write", "statements/read/mine"])  # none for documents: that is told
    user = f"{tutor.id}:{tutor.secret}"
    out = str(tmp_path / "rows.json")
    rows = bench("--against", f"{server.url}/xAPI", "--user", user, "--statements", "600", out)
    named = [row["name"] for row in rows]
    for name in ("batch 500, 4 connections", "single, 16 connections", "GET by verb, limit 100, 4 connections"):
        assert name in named
    assert "`more`, limit 100" in named and "State PUT, 16 connections" not in named


@pytest.mark.long
def test_two_stores_in_turn_are_told_by_their_ratios(server: Server, tmp_path: Path) -> None:
    tutor = server.source(scopes=scopes.XAPI)
    one = ["--against", f"{server.url}/xAPI", "--user", f"{tutor.id}:{tutor.secret}"]
    rows = bench(*one, *one, "--statements", "100", "--quick", "--rounds", "2", str(tmp_path / "rows.json"))
    named = {str(row["name"]): row for row in rows}
    assert {"the same batch of 500 again", "`more`, limit 100", "State GET, 16 connections"} <= set(named)
    for row in rows:
        # Two rounds counted, each store in each.
        assert len(row["first"]) == len(row["second"]) == 2  # type: ignore[arg-type]
    # Each query of the load finds something, in a store whose `since` is of the timestamps too.
    for name in ("GET by agent, limit 100, 4 connections", "GET by since, limit 100, 4 connections"):
        assert min(named[name]["held"]) > 0  # type: ignore[type-var, call-overload]
