"""The key file: created once, private, refused when it is not what it should be."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.core.errors import KeyMissing, KeyRefused, KeysBusy
from app.keys.providers import file as keyfile
from app.keys.providers.file import KeySet, KeyVersion

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
KEY = base64.b64encode(bytes(32)).decode()


def versions(*states: str) -> KeySet:
    """Versions 1, 2, … in these states."""
    return KeySet(
        tuple(
            KeyVersion(number, state, None if state == "destroyed" else bytes([number]) * 32, NOW, NOW)
            for number, state in enumerate(states, 1)
        )
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A key file with one version."""
    made = tmp_path / "keys.json"
    assert keyfile.write_new(made, keyfile.dump(versions("active")))
    return made


def test_created_private_once_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert keyfile.create(path, os.urandom, NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    first = path.read_bytes()
    assert not keyfile.create(path, os.urandom, NOW)
    assert path.read_bytes() == first
    assert keyfile.read(path).active == 1


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match="sillage init"):
        keyfile.read(tmp_path / "keys.json")


def test_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keyfile.create(path, os.urandom, NOW)
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
    keks = keyfile.parse(f"1:{one}, 2:{two}").keks
    assert keks.active == 2
    assert set(keks.keys) == {1, 2}


def test_from_the_environment_with_states() -> None:
    one, two = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    given_out = keyfile.parse(f"1:{one}:active,2:{two}")
    assert (given_out.active, set(given_out.fingerprints())) == (1, {1, 2})
    retired = keyfile.parse(f"2:{two},1::destroyed")
    assert (retired.active, set(retired.fingerprints())) == (2, {2})


@pytest.mark.parametrize(
    "text", ["", "1", "1:AAAA", "x:AAAA", "1:!!", f"1:{KEY}:activ", f"1:{KEY},1:{KEY}", f"1:{KEY}:a:b"]
)
def test_malformed_environment_shows_nothing_of_it(text: str) -> None:
    with pytest.raises(KeyRefused) as refused:
        keyfile.parse(text)
    assert not text or text not in refused.value.detail


def test_a_file_made_before_states_were_dated_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(f'{{"keys": [{{"version": 1, "state": "active", "key": "{KEY}"}}]}}')
    path.chmod(0o600)
    found = keyfile.read(path)
    assert found.versions == (KeyVersion(1, "active", bytes(32)),)
    keyfile.replace(path, found, KeySet((*found.versions, KeyVersion(2, "decrypt-only", bytes([2]) * 32))))
    assert keyfile.read(path).versions[0] == found.versions[0]


@pytest.mark.parametrize(
    "states", [("active",), ("decrypt-only", "active"), ("destroyed", "decrypt-only", "active", "decrypt-only")]
)
def test_what_is_written_is_read(states: tuple[str, ...]) -> None:
    assert keyfile.load(keyfile.dump(versions(*states))) == versions(*states)


@pytest.mark.parametrize("states", [("decrypt-only",), ("active", "active"), ("active", "lost")])
def test_impossible_states_are_refused(states: tuple[str, ...]) -> None:
    with pytest.raises(KeyRefused):
        versions(*states)


def test_a_change_takes_the_place_of_the_file_whole(path: Path) -> None:
    before, inode = keyfile.read(path), path.stat().st_ino
    keyfile.replace(path, before, versions("decrypt-only", "active"))
    assert keyfile.read(path) == versions("decrypt-only", "active")
    assert path.stat().st_ino != inode
    assert path.stat().st_mode & 0o777 == 0o600
    assert [child.name for child in path.parent.iterdir()] == ["keys.json"]


def test_what_a_killed_change_left_behind_does_no_harm(path: Path) -> None:
    path.with_name(".keys.json.new").write_bytes(b"half")
    keyfile.replace(path, keyfile.read(path), versions("decrypt-only", "active"))
    assert keyfile.read(path).active == 2
    assert [child.name for child in path.parent.iterdir()] == ["keys.json"]


def test_a_file_behind_a_link_is_changed_where_it_is(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path)
    keyfile.replace(link, keyfile.read(link), versions("decrypt-only", "active"))
    assert link.is_symlink()
    assert keyfile.read(path).active == 2


def test_a_key_is_never_left_out(path: Path) -> None:
    keyfile.replace(path, keyfile.read(path), versions("decrypt-only", "active"))
    content = path.read_bytes()
    only_new = KeySet((KeyVersion(2, "active", bytes([2]) * 32),))
    other_key = KeySet((KeyVersion(1, "decrypt-only", bytes(32)), KeyVersion(2, "active", bytes([2]) * 32)))
    for after in (only_new, other_key):
        with pytest.raises(KeyRefused, match="lose"):
            keyfile.replace(path, keyfile.read(path), after)
    assert path.read_bytes() == content
    keyfile.replace(path, keyfile.read(path), versions("destroyed", "active"))
    assert bytes([1]) * 32 not in base64.b64decode(path.read_bytes().partition(b'"key": "')[2].partition(b'"')[0])


def test_a_file_that_changed_meanwhile_is_left(path: Path) -> None:
    with pytest.raises(KeyRefused, match="meanwhile"):
        keyfile.replace(path, versions("decrypt-only", "active"), versions("decrypt-only", "active", "decrypt-only"))
    assert keyfile.read(path) == versions("active")


def test_one_command_at_a_time(path: Path) -> None:
    with keyfile.locked(path), pytest.raises(KeysBusy), keyfile.locked(path):
        pass
    with keyfile.locked(path):
        pass


def test_a_key_does_not_show_in_its_representation() -> None:
    assert repr(bytes([1]) * 32)[2:-1] not in repr(versions("active"))


def test_fingerprints_tell_keys_apart() -> None:
    assert versions("active").fingerprints()[1] != KeyVersion(1, "active", bytes(32)).fingerprint
