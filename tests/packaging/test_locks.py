"""The lock files: hashes everywhere, one version of each package, nothing about where they were made."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.places import ROOT

LOCKS = sorted((ROOT / "scripts" / "locks").glob("*.txt"))
CLIENTS = ROOT / "tests" / "clients"
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(name: str) -> dict[str, str]:
    return {
        normal(package): version for package, version in PINNED.findall((ROOT / "scripts/locks" / name).read_text())
    }


def declared() -> dict[str, set[str]]:
    """Names of the direct dependencies: by runtime, by extra, by group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    def names(lines: list[object]) -> set[str]:
        return {normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in lines if isinstance(line, str)}

    return {
        "clients": set(json.loads((CLIENTS / "package.json").read_bytes())["dependencies"]),
        "runtime": names(project["project"]["dependencies"]),
        **{extra: names(lines) for extra, lines in project["project"]["optional-dependencies"].items()},
        **{group: names(lines) for group, lines in project["dependency-groups"].items()},
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_is_pinned_with_hashes(lock: Path) -> None:
    text = lock.read_text()
    entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert entries
    for entry in entries:
        assert PINNED.match(entry) and entry.endswith("\\"), entry
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_index_or_path_is_named(lock: Path) -> None:
    assert not re.search(r"://|--index|--find-links|--extra-index|@ |^-", lock.read_text(), re.MULTILINE)


def test_locks_agree() -> None:
    everything = pinned("dev.txt")
    for name in ("runtime.txt", "embedded.txt", "build.txt", "vault.txt"):
        assert pinned(name).items() <= everything.items()


def test_what_is_declared_is_locked() -> None:
    direct = declared()
    assert direct["runtime"] <= pinned("runtime.txt").keys()
    assert direct["runtime"] | direct["embedded"] <= pinned("embedded.txt").keys()
    assert direct["runtime"] | direct["vault"] <= pinned("vault.txt").keys()
    assert direct["build"] <= pinned("build.txt").keys()
    assert direct["dev"] <= pinned("dev.txt").keys()


def test_each_dependency_has_its_line_in_the_documentation() -> None:
    installed, _, vendored = (ROOT / "docs/dependencies.md").read_text().partition("## In the browser")
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+?) \|$", installed, re.MULTILINE)
    documented = [normal(name) for name, _use, _reason in rows]
    assert len(documented) == len(set(documented))
    assert set(documented) == set().union(*declared().values())
    # Of what is vendored, its own page has versions and digests.
    named = re.findall(r"`([^` ]+)` \(npm\)", (ROOT / "app/web/portal/static/VENDORED.md").read_text())
    lines = [line.split(" | ")[0] for line in vendored.splitlines() if line.startswith("| `")]
    assert {name for line in lines for name in re.findall("`([^`]+)`", line)} == set(named)


def javascript() -> dict[str, Any]:
    """The packages of the JavaScript lock, by folder; without the project itself."""
    packages: dict[str, Any] = json.loads((CLIENTS / "package-lock.json").read_bytes())["packages"]
    return {folder: package for folder, package in packages.items() if folder}


def test_every_javascript_package_is_pinned_with_a_hash() -> None:
    wanted = json.loads((CLIENTS / "package.json").read_bytes())["dependencies"]
    locked = javascript()
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    assert all(package["integrity"].startswith("sha512-") for package in locked.values())


def test_no_registry_is_named_for_javascript() -> None:
    assert "://" not in (CLIENTS / "package-lock.json").read_text()
    assert not any("resolved" in package for package in javascript().values())
    assert "://" not in (CLIENTS / ".npmrc").read_text()
