"""Installing the JavaScript clients: once, quietly, and with a sentence when it cannot be done."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what installs them, with nothing installed."""
    for name in ("install", "package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "bin").mkdir()
    return tmp_path


def install(folder: Path, npm: str, node: str = "exit 0") -> subprocess.CompletedProcess[str]:
    """Run it with an npm and a node that are these shell scripts, in ``folder``."""
    for name, script in (("npm", npm), ("node", node)):
        command = folder / "bin" / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [folder / "install"], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def test_the_second_time_is_quiet(folder: Path) -> None:
    npm = 'echo "$@" >>asked; mkdir -p node_modules'
    first = install(folder, npm)
    assert (first.returncode, first.stderr, first.stdout.count("\n")) == (0, "", 1)
    again = install(folder, npm)
    assert (again.returncode, again.stderr, again.stdout) == (0, "", "")
    asked = (folder / "asked").read_text().splitlines()
    assert len(asked) == 1 and asked[0].startswith("ci --ignore-scripts")
    (folder / "package-lock.json").write_text("{}")
    assert install(folder, npm).stdout == first.stdout


def test_without_registry_it_fails_with_a_sentence(folder: Path) -> None:
    done = install(folder, "echo 'network: no answer'; exit 1")
    assert done.returncode == 1
    assert "could not be installed; can npm reach its registry?" in done.stderr
    assert "network: no answer" in done.stderr
    assert install(folder, "mkdir -p node_modules").stdout


def test_an_old_node_is_refused(folder: Path) -> None:
    done = install(folder, "exit 9", 'case "$1" in --version) echo v16.1.0 ;; *) exit 1 ;; esac')
    assert (done.returncode, done.stdout) == (1, "")
    assert "Node.js 18 or newer (found: v16.1.0)" in done.stderr
