"""Tombstones outside the database."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.errors import FileRefused
from app.operations.backup import tombstone_file
from app.operations.minors_store import Cleaning
from app.people.erasure.tombstones import Tombstone

ONE = Tombstone(
    b"\x01" * 16, b"\x02" * 16, datetime(2026, 11, 25, 1, 2, 3, 456789, tzinfo=UTC), 1_790_000_000_000_000, UUID(int=7)
)
TWO = ONE._replace(id=b"\x03" * 16)


def mac(message: bytes) -> bytes:
    return hashlib.sha256(b"key" + message).digest()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.lists(
        st.builds(
            Tombstone,
            st.binary(min_size=16, max_size=16),
            st.binary(min_size=16, max_size=16),
            st.datetimes(datetime(2026, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
            st.integers(0, 2**53),
            st.uuids(),
        )
        | st.builds(
            Cleaning,
            st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True),
            st.sampled_from(["strip", "pseudonymise"]),
            st.integers(0, 2**53),
        ),
        max_size=5,
    )
)
def test_what_is_added_is_read_back(tmp_path: Path, given: list[tombstone_file.Line]) -> None:
    path = tmp_path / "tombstones.jsonl"
    path.unlink(missing_ok=True)
    for one in given:
        tombstone_file.append(path, [one], mac)
    tombstone_file.append(path, given, mac)
    assert tombstone_file.read(path, mac) == given * 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_export_is_read_back_and_never_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    assert tombstone_file.write(path, [ONE, TWO], mac) == 2
    assert tombstone_file.read(path, mac) == [ONE, TWO]
    with pytest.raises(FileRefused, match="already"):
        tombstone_file.write(path, [ONE], mac)


def test_a_line_cut_by_a_kill_is_passed_over_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "tombstones.jsonl"
    tombstone_file.append(path, [ONE, TWO], mac)
    whole = path.read_bytes()
    for cut in (1, 40, len(whole) // 2 - 1):
        path.write_bytes(whole[:-cut])
        assert tombstone_file.read(path, mac) in ([ONE], [ONE, TWO])
        tombstone_file.append(path, [TWO], mac)
        assert tombstone_file.read(path, mac)[-1:] == [TWO]
        assert tombstone_file.read(path, mac)[:1] == [ONE]


def test_a_line_that_was_altered_or_is_of_another_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tombstones.jsonl"
    tombstone_file.append(path, [ONE, TWO], mac)
    whole = path.read_bytes()
    for wrong in (whole.replace(b"0303", b"0304", 1), whole.replace(b"1790", b"1791", 1), b"[]\n" + whole, b"{}\n"):
        path.write_bytes(wrong)
        with pytest.raises(FileRefused, match="Line"):
            tombstone_file.read(path, mac)
    path.write_bytes(whole)
    with pytest.raises(FileRefused, match="Line 1"):
        tombstone_file.read(path, lambda message: hashlib.sha256(message).digest())


def test_a_file_that_cannot_be_read_or_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused):
        tombstone_file.read(tmp_path / "absent", mac)
    with pytest.raises(FileRefused):
        tombstone_file.append(tmp_path, [ONE], mac)
