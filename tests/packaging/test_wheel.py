"""The built wheel, installed away from the checkout."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.places import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it, its dependencies borrowed from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*command, str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()))
    return folder


def run(installed: Path, cwd: Path, *command: str) -> str:
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("SILLAGE_", "PYTHON"))}
    done = subprocess.run(
        [str(installed / "bin" / command[0]), *command[1:]], cwd=cwd, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_carries_every_contract_and_no_test(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    contracts = {
        "app/_schemas/" + path.relative_to(ROOT / "schemas").as_posix()
        for path in (ROOT / "schemas").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert contracts and contracts <= names
    assert not [name for name in names if not name.startswith(("app/", "sillage-"))]


def test_contracts_are_found(installed: Path, tmp_path: Path) -> None:
    found = run(
        installed, tmp_path, "python", "-c", "from app.core import contracts; print(contracts.folder())"
    ).strip()
    assert Path(found).is_relative_to(installed)
    assert Path(found).is_dir()


def test_the_command_works(installed: Path, tmp_path: Path) -> None:
    assert "serve" in run(installed, tmp_path, "sillage", "--help")
    assert "SILLAGE_DATA_DIR" in run(installed, tmp_path, "sillage", "settings")
