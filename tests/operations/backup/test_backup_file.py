"""The file of a backup: what is written is read back, and whatever is not as written is refused."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import bson
import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BackupRefused
from app.operations.backup import backup_file
from app.operations.backup.backup_file import (
    BackupReader,
    BackupWriter,
    Heading,
    Manifest,
    documents_of,
    reading,
    split,
)

HEADING = Heading("5e1f0d4e-6c1c-4b0e-9d8b-0f6f6a2f3b10", "default", "2026-11-25T01:00:00Z", "0.1.0")
DATA = {"statements": [{"_id": n, "body": bytes([n]) * n} for n in range(40)], "sources": [{"_id": "ent"}], "empty": []}


def mac(message: bytes) -> bytes:
    return hashlib.sha256(b"key" + message).digest()


def written(data: Mapping[str, Sequence[Any]], batch: int = 7) -> tuple[bytes, Manifest]:
    file = io.BytesIO()
    writer = BackupWriter(file, HEADING)
    for name, documents in data.items():
        writer.begin(name)
        for place in range(0, len(documents), batch):
            writer.add(b"".join(map(bson.encode, documents[place : place + batch])))
    manifest = writer.finish(("2026_11_30_foundation",), (1,), (1, 2), mac)
    return file.getvalue(), manifest


def read_back(content: bytes) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for chunk in BackupReader(io.BytesIO(content)).chunks():
        found.setdefault(chunk.collection, []).extend(documents_of(chunk))
    return found


def test_what_is_written_is_read_back() -> None:
    content, manifest = written(DATA)
    reader = BackupReader(io.BytesIO(content))
    assert reader.heading == HEADING
    assert reader.manifest() == manifest == reader.verified()
    assert {name: part.documents for name, part in manifest.parts.items()} == {
        "statements": 40,
        "sources": 1,
        "empty": 0,
    }
    assert manifest.mac == mac(manifest.canonical()).hex()
    assert read_back(content) == {name: documents for name, documents in DATA.items() if documents}


@settings(max_examples=40, deadline=None)
@given(
    data=st.dictionaries(
        st.sampled_from(["statements", "subjects", "audit"]),
        st.lists(st.dictionaries(st.sampled_from("abc"), st.binary(max_size=50) | st.integers(-9, 9)), max_size=20),
    ),
    batch=st.integers(1, 5),
)
def test_documents_come_back_whatever_they_are(data: dict[str, list[dict[str, Any]]], batch: int) -> None:
    content, manifest = written(data, batch)
    assert read_back(content) == {name: documents for name, documents in data.items() if documents}
    assert BackupReader(io.BytesIO(content)).verified() == manifest


def test_a_collection_in_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_file, "_CHUNK_BYTES", 100)
    content, manifest = written(DATA)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert sum(name.startswith("statements/") for name in archive.getnames()) > 3
    assert BackupReader(io.BytesIO(content)).verified() == manifest
    assert read_back(content)["statements"] == DATA["statements"]


def test_common_tools_read_it() -> None:
    content, _ = written(DATA)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        packed = archive.extractfile("statements/00000000.bson.zst")
        assert packed is not None
        assert bson.decode_all(zstandard.decompress(packed.read())) == DATA["statements"]


def test_any_change_is_found() -> None:
    content, manifest = written(DATA)
    random = Random(1)
    for _ in range(300):
        place = random.randrange(len(content))
        changed = bytearray(content)
        changed[place] ^= 1 << random.randrange(8)
        try:
            found = BackupReader(io.BytesIO(bytes(changed))).verified()
        except BackupRefused:
            continue
        # Padding, or a word of the manifest that its MAC is there for.
        assert found == manifest or found.mac != mac(found.canonical()).hex()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9])
def test_one_that_was_cut_is_refused(share: float) -> None:
    content, _ = written(DATA)
    end = len(content.rstrip(b"\0"))
    with pytest.raises(BackupRefused):
        BackupReader(io.BytesIO(content[: int(end * share)])).verified()


def altered(change: str) -> bytes:
    content, _ = written(DATA, 50)
    kept = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=kept, mode="w") as new:
        members = [(member.name, old.extractfile(member).read()) for member in old]  # type: ignore[union-attr]
        if change == "collection removed":
            members = [one for one in members if not one[0].startswith("sources/")]
        elif change == "part twice":
            members.insert(2, members[1])
        elif change == "manifest removed":
            members = [one for one in members if one[0] != "manifest.json"]
        elif change == "one more file":
            members.insert(1, ("../../etc/passwd", b"x"))
        elif change == "behind the end":
            members.append(("statements/00000009.bson.zst", zstandard.compress(b"")))
        elif change == "later version":
            said = orjson.loads(members[0][1]) | {"version": 2}
            members[0] = ("heading.json", orjson.dumps(said))
        elif change == "other heading":
            said = orjson.loads(members[0][1]) | {"organisation": "other"}
            members[0] = ("heading.json", orjson.dumps(said))
        elif change == "bomb":
            members[1] = (members[1][0], zstandard.compress(bytes(80 * 1024 * 1024)))
        elif change == "no BSON":
            members[1] = (members[1][0], zstandard.compress(b"\xff" * 40))
        for name, inner in members:
            info = tarfile.TarInfo(name)
            info.size = len(inner)
            new.addfile(info, io.BytesIO(inner))
    return kept.getvalue()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("collection removed", "sources"),
        ("part twice", "missing"),
        ("manifest removed", "cut"),
        ("one more file", "no backup holds"),
        ("behind the end", "behind the end"),
        ("later version", "later version"),
        ("other heading", "another backup"),
        ("bomb", "larger than any"),
        ("no BSON", "damaged"),
    ],
)
def test_what_was_altered_is_named(change: str, said: str) -> None:
    with pytest.raises(BackupRefused, match=said):
        BackupReader(io.BytesIO(altered(change))).verified()


def test_a_file_that_is_no_backup_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    for content in (b"", b"PK\x03\x04", b"{}", bytes(20_000)):
        other.write_bytes(content)
        with pytest.raises(BackupRefused), reading(other):
            pass
    with pytest.raises(BackupRefused, match="cannot be read"), reading(tmp_path / "absent"):
        pass


@pytest.mark.parametrize("size", [-1024, -512, -1, 1 << 40])
def test_a_member_of_an_impossible_size_is_refused(size: int) -> None:
    """One that says to be shorter than nothing would lead the reader back to where it came from."""
    content, _ = written(DATA)
    header = bytearray(tarfile.TarInfo("statements/00000000.bson.zst").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size.to_bytes(12, "big", signed=True) if size < 0 else b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    heading = content.index(b"statements/00000000") // 512 * 512
    hostile = BackupReader(io.BytesIO(content[:heading] + bytes(header) + bytes(1024)))
    with pytest.raises(BackupRefused):
        hostile.manifest()
    with pytest.raises(BackupRefused):
        hostile.verified()


def test_documents_are_split_at_their_ends() -> None:
    documents = [bson.encode({"n": n, "text": "x" * n}) for n in range(30)]
    assert list(split(b"".join(documents))) == documents
