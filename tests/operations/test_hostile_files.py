"""Whatever bytes a file holds that an operator gives: read, or refused in words, soon and in little memory."""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bson
import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from app.core.errors import BackupRefused, SillageError
from app.crypto import key_backup, signing
from app.governance.audit import checkpoints
from app.keys.providers import file as keyfile
from app.operations.backup import tombstone_file
from app.operations.backup.backup_file import BackupReader, Chunk
from app.operations.backup.service import _Captured
from app.standards.profiles import document
from app.standards.profiles.lint import lint
from app.traces.conformance import nomenclatures
from tests.operations.backup.test_backup_file import DATA, mac, written
from tests.places import ROOT

MIB = 1024 * 1024


@contextmanager
def little() -> Iterator[None]:
    """At most 3 s of processor time, and 200 MiB."""
    tracemalloc.start()
    before = time.process_time()
    try:
        yield
        assert time.process_time() - before < 3
        assert tracemalloc.get_traced_memory()[1] < 200 * MIB
    finally:
        tracemalloc.stop()


def block(name: bytes, size: bytes, kind: bytes = b"0", magic: bytes = b"ustar\x0000") -> bytes:
    """A header of a member, its checksum right."""
    said = bytearray(512)
    said[:100] = name.ljust(100, b"\0")
    said[100:124] = b"0000600\0" + b"0000000\0" * 2
    said[124:136] = size.ljust(12, b"\0")
    said[136:148] = b"00000000000\0"
    said[148:156] = b" " * 8
    said[156:157] = kind
    said[257:265] = magic
    said[148:156] = b"%06o\0 " % sum(said)
    return bytes(said)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def member(name: bytes, content: bytes, kind: bytes = b"0") -> bytes:
    return block(name, b"%011o" % len(content), kind) + padded(content)


HEADING = written({})[0][:1024]
LONG = b"9" * 60_000

HOSTILE = {
    "a header about the header, of many numbers": HEADING + member(b"x", b"60012 size=" + LONG + b"\n", b"x"),
    "headers about headers about headers": HEADING + member(b"x", b"11 a=12345\n", b"x") * 5_000,
    "a header for all": member(b"x", b"14 size=1e999\n", b"g") + HEADING,
    "a number beyond any": HEADING + member(b"x", b"18 mtime=1e400000\n", b"x") + member(b"manifest.json", b"{}"),
    "spaces without end": HEADING + member(b"x", b" " * 4 * MIB, b"x"),
    "a long name": HEADING + member(b"././@LongLink", b"x" * 4 * MIB, b"L"),
    "a sparse file": HEADING + block(b"statements/00000000.bson.zst", b"77777777777", b"S", b"ustar  \0"),
    "a link": HEADING + block(b"manifest.json", b"00000000000", b"2"),
    "a size in another base": HEADING + block(b"manifest.json", b"\x80" + b"\xff" * 11),
    "a size that is none": HEADING + block(b"manifest.json", b"-0000000001"),
    "a heading of gigabytes": block(b"heading.json", b"77777777777"),
    "a heading of many values": member(b"heading.json", b'{"format":[' + b"{}," * 300_000 + b"{}]}"),
    "a heading that is too deep": member(b"heading.json", b"[" * 1_000 + b"]" * 1_000),
    "half a header": HEADING + HEADING[:300],
    "a part that unpacks to more than it says": HEADING
    + member(b"statements/00000000.bson.zst", zstandard.ZstdCompressor(write_content_size=False).compress(bytes(MIB))),
    "a part that says to be large": HEADING
    + member(b"statements/00000000.bson.zst", zstandard.compress(bytes(63 * MIB)))
    + member(b"statements/00000001.bson.zst", zstandard.compress(bytes(65 * MIB))),
    "more collections than any": HEADING
    + b"".join(member(b"c%d/00000000.bson.zst" % place, zstandard.compress(b"")) for place in range(2_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_soon(name: str) -> None:
    with little():
        for look in (lambda reader: reader.manifest(), lambda reader: reader.verified()):
            with pytest.raises(BackupRefused) as refused:
                look(BackupReader(io.BytesIO(HOSTILE[name])))
            assert len(refused.value.detail) > 20


def manifest_of(**changes: Any) -> bytes:
    content, _ = written(DATA)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        held = archive.extractfile("manifest.json")
        assert held is not None
        said = orjson.loads(held.read())
    at = content.rindex(b"manifest.json") // 512 * 512
    return content[:at] + member(b"manifest.json", orjson.dumps(said | changes))


NUMBERS = [1e308, 1e18, -1, 2**63, True, None, "1", "9" * 5_000, [], {}]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_a_manifest_are_numbers(number: Any) -> None:
    part = {"documents": number, "bytes": number, "sha256": "0" * 64}
    for changes in (
        {"collections": {"statements": part}},
        {"key_versions": {"organisation": [number], "learners": [1]}},
        {"key_versions": {"organisation": [1], "learners": [number]}},
        {"migrations": {"x": number}},
        {"mac": [number]},
    ):
        with pytest.raises(BackupRefused):
            BackupReader(io.BytesIO(manifest_of(**changes))).verified()


JSON = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**63), 2**64 - 1)
    | some.floats(allow_nan=False)
    | some.text(max_size=9),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=4), inner, max_size=3),
)
WORDS = some.sampled_from(
    [
        "format",
        "version",
        "organisation",
        "created",
        "release",
        "collections",
        "key_versions",
        "migrations",
        "mac",
        "id",
    ]
)


@settings(max_examples=200, deadline=None)
@given(some.dictionaries(WORDS, JSON, max_size=4))
def test_a_manifest_that_says_anything(changes: dict[str, Any]) -> None:
    try:
        found = BackupReader(io.BytesIO(manifest_of(**changes))).verified()
    except BackupRefused:
        return
    found.canonical()


PATCH = some.tuples(some.integers(0, 1 << 20), some.binary(min_size=1, max_size=12))


@settings(max_examples=300, deadline=None)
@given(some.lists(PATCH, min_size=1, max_size=4), some.integers(0, 1 << 20))
def test_a_backup_altered_or_cut_anywhere(patches: list[tuple[int, bytes]], cut: int) -> None:
    whole, manifest = written(DATA)
    content = bytearray(whole)
    for place, text in patches:
        at = place % len(content)
        content[at : at + len(text)] = text
    try:
        found = BackupReader(io.BytesIO(bytes(content[: cut % (2 * len(content))]))).verified()
    except BackupRefused:
        return
    assert found == manifest or found.mac != mac(found.canonical()).hex()


HOSTILE_KEYS = some.sampled_from([2**40, 2**62, -1, 1e308, float("inf"), "x", [], {}, None, True, b"x", b"x" * 100_000])


@settings(max_examples=200, deadline=None)
@given(
    some.sampled_from(["subjects", "organisation_keys"]),
    some.fixed_dictionaries({"_id": HOSTILE_KEYS | some.just("default"), "version": HOSTILE_KEYS, "key": HOSTILE_KEYS}),
)
def test_keys_in_a_backup_that_are_none(collection: str, said: dict[str, Any]) -> None:
    content = bson.encode(said)
    with little(), suppress(BackupRefused):
        _Captured().see(Chunk(collection, content, 1), "default")


@settings(max_examples=200, deadline=None)
@given(some.binary(min_size=5, max_size=200))
def test_documents_that_are_no_bson(content: bytes) -> None:
    framed = (len(content) + 4).to_bytes(4, "little") + content
    with suppress(BackupRefused):
        _Captured().see(Chunk("organisation_keys", framed, 1), "default")


KEY_BACKUP = key_backup.encrypt(b"content", "passphrase", "2026-11-24T08:00:00Z", lambda size: bytes(size), cost=2)
SIGNER = signing.Signer(bytes(32))
SIGNED = SIGNER.signed("sillage-receipt", {"erasure": "x", "numbers": [1, 2, {"a": None}]})
PROFILE = ROOT / "schemas" / "profiles" / "p2ia.jsonld"


def from_disk(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of files as one of bytes."""

    def reader(content: bytes) -> object:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            return read(Path(file.name))

    return reader


READERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "copy of keys": (lambda content: key_backup.decrypt(content, "passphrase"), KEY_BACKUP),
    "signed document": (lambda content: signing.verified(content, SIGNER.public_key), SIGNED),
    "public key": (
        signing.parse_public_key,
        b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n",
    ),
    "tombstones": (
        from_disk(lambda path: tombstone_file.read(path, mac)),
        b'{"id":"00","mark":"00","erased":"x","until_stored":1,"erasure":"x","mac":"00"}\n',
    ),
    "checkpoint": (
        from_disk(lambda path: checkpoints.read(path, SIGNER.public_key)),
        SIGNER.signed("sillage-audit-checkpoint", {"organisation": "x", "at": "x"}),
    ),
    "key file": (keyfile.load, b'{"format":"sillage-keys","version":1,"keys":[]}'),
    "nomenclature": (nomenclatures.read, b"MEF;LIBELLE\n1234567890;x\n"),
    "profile": (document.load, PROFILE.read_bytes()),
    "profile, linted": (lint, PROFILE.read_bytes()),
}


@pytest.mark.parametrize("name", READERS)
def test_files_of_any_bytes_are_read_or_refused(name: str) -> None:
    read, whole = READERS[name]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(some.lists(PATCH, max_size=3), some.integers(0, 1 << 20), some.binary(max_size=50))
    def fuzz(patches: list[tuple[int, bytes]], cut: int, alone: bytes) -> None:
        content = bytearray(whole)
        for place, text in patches:
            at = place % len(content)
            content[at : at + len(text)] = text
        for given_bytes in (bytes(content), bytes(content[: cut % len(content)]), alone):
            try:
                read(given_bytes)
            except SillageError as refused:
                assert refused.detail

    fuzz()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 900 + b"]" * 900,
        b'{"format":"sillage-key-backup","version":1,"digest":"x","x":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"format":"x","version":1,"key":"%s","signature":"AAAA","content":{"x":' % SIGNER.fingerprint.encode()
        + b"[" * 900
        + b"]" * 900
        + b"}}",
        b'{"@context":' + b"[" * 900 + b"]" * 900 + b"}",
        b"\xff\xfe\x00",
        b"",
        b"9" * 100_000,
        b'"' * 100_000,
        b'{"":' * 100_000,
    ],
)
def test_files_made_to_be_hard_to_read(name: str, content: bytes) -> None:
    with little(), suppress(SillageError):
        READERS[name][0](content)
