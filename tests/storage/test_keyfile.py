"""The key file: created once, private, refused when it is not what it should be."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from app.errors import KeyMissing, KeyRefused
from app.storage import keyfile


def test_created_private_once_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert keyfile.create(path, os.urandom)
    assert path.stat().st_mode & 0o777 == 0o600
    first = path.read_bytes()
    assert not keyfile.create(path, os.urandom)
    assert path.read_bytes() == first
    assert keyfile.read(path).active == 1


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match="sillage init"):
        keyfile.read(tmp_path / "keys.json")


def test_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keyfile.create(path, os.urandom)
    path.chmod(0o640)
    with pytest.raises(KeyRefused, match="chmod 600"):
        keyfile.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"keys": []}', b'{"keys": [{"version": 1, "state": "active", "key": "AAAA"}]}', b"\xff"]
)
def test_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyRefused):
        keyfile.read(path)


def test_from_the_environment() -> None:
    one, two = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    keks = keyfile.parse(f"1:{one}, 2:{two}")
    assert keks.active == 2
    assert set(keks.keys) == {1, 2}


@pytest.mark.parametrize("text", ["", "1", "1:AAAA", "x:AAAA", "1:!!"])
def test_malformed_environment_shows_nothing_of_it(text: str) -> None:
    with pytest.raises(KeyRefused) as refused:
        keyfile.parse(text)
    assert not text or text not in refused.value.detail
