"""Keys that change while a process lives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.core.errors import KeyRefused
from app.keys.keyring import Keyring
from app.keys.providers import file as keyfile
from app.keys.providers.file import KeySet
from tests.keys.providers.test_file import versions


class Disk:
    """A key file, how often it was read, and a clock."""

    def __init__(self) -> None:
        self.content = versions("active")
        self.stamp = 0
        self.reads = 0
        self.now = 0.0

    def read(self) -> KeySet:
        self.reads += 1
        return self.content

    def ring(self) -> Keyring:
        return Keyring(self.read, lambda: self.stamp, lambda: self.now)

    def put(self, content: KeySet) -> None:
        self.content = content
        self.stamp += 1


def test_a_version_made_by_another_process_is_found_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keyfile.write_new(path, keyfile.dump(versions("active")))
    ring = keyfile.of_file(path)
    keyfile.replace(path, keyfile.read(path), versions("decrypt-only", "active"))
    wrapped = versions("decrypt-only", "active").keks.wrap("place", b"k" * 32, os.urandom)
    assert ring.current.active == 1
    assert ring.unwrap("place", wrapped) == b"k" * 32
    assert ring.wrap("place", b"k" * 32, os.urandom).version == 2


def test_a_change_is_noticed_when_looked_for() -> None:
    disk = Disk()
    ring = disk.ring()
    disk.put(versions("decrypt-only", "active"))
    ring.refresh()
    assert ring.versions.active == 2


def test_a_version_that_nobody_has_is_not_looked_for_at_each_use() -> None:
    disk = Disk()
    ring = disk.ring()
    foreign = versions("decrypt-only", "active").keks.wrap("place", b"k" * 32, os.urandom)
    for _ in range(10):
        with pytest.raises(KeyRefused, match="Version 2"):
            ring.unwrap("place", foreign)
    assert disk.reads == 1
    disk.content, disk.now = versions("decrypt-only", "active"), 1.0  # with a stamp that does not tell
    assert ring.unwrap("place", foreign) == b"k" * 32
    assert disk.reads == 2


def test_a_file_that_lacks_a_key_does_not_replace_what_opens_the_store() -> None:
    disk = Disk()
    disk.content = versions("decrypt-only", "active")
    ring = disk.ring()
    disk.put(KeySet(versions("decrypt-only", "active").versions[1:]))
    ring.refresh()
    assert set(ring.current.keys) == {1, 2}
    disk.put(versions("destroyed", "active"))
    ring.refresh()
    assert set(ring.current.keys) == {2}


def test_a_file_that_cannot_be_read_leaves_the_keys_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keyfile.write_new(path, keyfile.dump(versions("active")))
    ring = keyfile.of_file(path)
    path.write_bytes(b"{}")
    ring.refresh()
    path.unlink()
    ring.refresh()
    assert ring.current.active == 1
