"""A backup as a file: a tar archive of compressed BSON with a manifest at its end. MongoDB is not asked here.

Layout (POSIX.1-2001 pax; ``tar``, ``zstd`` and ``bsondump`` read it without Sillage)::

    heading.json                   format, version, id, organisation, created, release
    COLLECTION/00000000.bson.zst   documents as MongoDB gave them, one after the other, some 8 MiB before compression
    COLLECTION/00000001.bson.zst   ...
    manifest.json                  the heading again; of each collection its documents, bytes and SHA-256 before
                                   compression; migrations; versions of the key-encryption key that it needs; MAC

What was sealed stays sealed: nothing is opened on the way in or out, and no key that opens anything is in it but the
wrapped ones of the database. The SHA-256 tell damage. The MAC (HMAC-SHA256 of the manifest without it, as JSON with
sorted keys, under a key derived from the organisation's MAC root) tells that the manifest, and so everything, is
of the organisation.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import bson
import orjson
import zstandard
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions

from app.core.errors import BackupRefused
from app.core.personal_data import GIVEN, DeclaredFile, PersonalFile

FORMAT = "sillage-backup"
VERSION = 1

_HEADING = "heading.json"
_MANIFEST = "manifest.json"
_CHUNK = re.compile(r"([A-Za-z][A-Za-z0-9_]*)/([0-9]{8})\.bson\.zst")
_CHUNK_BYTES = 8 * 1024 * 1024
# A reply of MongoDB holds 16 MiB of documents and one more; a file that says more is not ours.
_MAX_CHUNK_BYTES = 64 * 1024 * 1024
_MAX_MANIFEST_BYTES = 1024 * 1024
_MAX_COLLECTIONS = 1_000
_MAX_TEXT_LENGTH = 100
_MAX_NUMBER = 2**63 - 1
_BLOCK = 512
# Name; mode, uid and gid; size; time; checksum; type of a file; link; magic and version; the rest is let be.
_HEADER = re.compile(
    rb"([!-~]{1,100})\0*(?<=\A.{100}).{24}([0-7]{11})[\0 ].{12}([0-7]{6})[\0 ]{2}[0\0]\0{100}ustar(?:\x0000|  \0)",
    re.DOTALL,
)
_LEVEL = 3
_LENGTH = struct.Struct("<i")
_MIN_DOCUMENT_BYTES = 5
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict, tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
)


FILES = (
    DeclaredFile(
        "*.tar",
        GIVEN,
        PersonalFile(
            what="`sillage backup`: the collections as they are stored, encrypted as they are; no key-encryption key",
            retain="as long as the operator keeps it: no longer than the durations of the register would have it",
            erase="not reached: a backup has keys of its own moment; the operator deletes old ones, or retires the "
            "key-encryption key",
            restore="it is what is restored; whoever was erased since is erased again before the store may serve",
        ),
    ),
)


class Heading(NamedTuple):
    """Origin of a backup.

    Attributes:
        id: A UUID as text.
        organisation: Whose data it holds.
        created: When it was begun, ISO 8601 UTC to the second.
        release: The version of Sillage that wrote it.
    """

    id: str
    organisation: str
    created: str
    release: str


class Part(NamedTuple):
    """A collection in a backup: how many documents, how many bytes of BSON, their SHA-256 in hexadecimal digits."""

    documents: int
    bytes: int
    sha256: str


class Manifest(NamedTuple):
    """Content of a backup, by collection.

    Attributes:
        heading: What it is of.
        parts: Each collection, by name.
        migrations: Those that the database had had.
        organisation_versions: Versions of the key-encryption key that the organisation's keys are wrapped with.
        learner_versions: Those that learners' keys are wrapped with.
        mac: See the module; 64 hexadecimal digits.
    """

    heading: Heading
    parts: Mapping[str, Part]
    migrations: tuple[str, ...]
    organisation_versions: tuple[int, ...]
    learner_versions: tuple[int, ...]
    mac: str

    @property
    def documents(self) -> int:
        """The number of documents in all."""
        return sum(part.documents for part in self.parts.values())

    def canonical(self) -> bytes:
        """The bytes that the MAC covers."""
        return orjson.dumps(_said(self._replace(mac="")), option=orjson.OPT_SORT_KEYS)


class Chunk(NamedTuple):
    """Some documents of a collection, as BSON one after the other, and how many they are."""

    collection: str
    content: bytes
    documents: int


class _Sum:
    """Totals of a collection while it goes by."""

    def __init__(self) -> None:
        self.documents = 0
        self.bytes = 0
        self.chunks = 0
        self._digest = hashlib.sha256()

    def add(self, content: bytes, documents: int) -> None:
        self.documents += documents
        self.bytes += len(content)
        self.chunks += 1
        self._digest.update(content)

    def part(self) -> Part:
        return Part(self.documents, self.bytes, self._digest.hexdigest())


class BackupWriter:
    """Writes a backup, collection after collection; memory stays flat."""

    def __init__(self, file: BinaryIO, heading: Heading) -> None:
        """``file`` is empty, and its owner's to close."""
        self._heading = heading
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by finish
        self._packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._sums: dict[str, _Sum] = {}
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._waiting_documents = 0
        self._current = ""
        self._put(_HEADING, orjson.dumps(_headed(heading), option=orjson.OPT_INDENT_2) + b"\n")

    def begin(self, collection: str) -> None:
        """Go on with another collection."""
        self._flush()
        if not _CHUNK.fullmatch(f"{collection}/00000000.bson.zst") or collection in self._sums:
            raise ValueError("a collection that cannot be in a backup")
        self._current = collection
        self._sums[collection] = _Sum()

    def add(self, content: bytes) -> int:
        """Add whole documents of the current collection, as BSON one after the other; how many they were."""
        documents = count(content)
        self._waiting.append(content)
        self._waiting_bytes += len(content)
        self._waiting_documents += documents
        if self._waiting_bytes >= _CHUNK_BYTES:
            self._flush()
        return documents

    def finish(
        self,
        migrations: tuple[str, ...],
        organisation_versions: tuple[int, ...],
        learner_versions: tuple[int, ...],
        mac: Callable[[bytes], bytes],
    ) -> Manifest:
        """Write the manifest, and end the archive."""
        self._flush()
        parts = {name: total.part() for name, total in sorted(self._sums.items())}
        bare = Manifest(self._heading, parts, migrations, organisation_versions, learner_versions, "")
        manifest = bare._replace(mac=mac(bare.canonical()).hex())
        self._put(_MANIFEST, orjson.dumps(_said(manifest), option=orjson.OPT_INDENT_2) + b"\n")
        self._tar.close()
        return manifest

    def _flush(self) -> None:
        if self._waiting:
            content = b"".join(self._waiting)
            total = self._sums[self._current]
            self._put(f"{self._current}/{total.chunks:08}.bson.zst", self._packer.compress(content))
            total.add(content, self._waiting_documents)
        self._waiting, self._waiting_bytes, self._waiting_documents = [], 0, 0

    def _put(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        self._tar.addfile(member, io.BytesIO(content))
        # It keeps every member in memory, for a table that nobody asks for here.
        self._tar.members = []  # type: ignore[attr-defined] # it is there


class BackupReader:
    """Reads a backup; memory stays flat. Made by ``reading``."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        name, content = next(self._members(), ("", b""))
        if name != _HEADING:
            raise _not_a_backup()
        self.heading = _heading(_json(content))

    def manifest(self) -> Manifest:
        """The manifest of the backup: it skips to its end, and checks nothing.

        Raises:
            BackupRefused: it has none; it was cut.
        """
        for name, content in self._members(only=_MANIFEST):
            if name == _MANIFEST:
                return self._read(content)
        raise _cut()

    def chunks(self) -> Iterator[Chunk]:
        """Every document, in the order of the file.

        Raises:
            BackupRefused: damaged, or not written by Sillage.
        """
        for name, content in self._members():
            found = _CHUNK.fullmatch(name)
            if found:
                unpacked = _unpacked(content)
                yield Chunk(found[1], unpacked, count(unpacked))

    def verified(
        self, progress: Callable[[int], None] = lambda _: None, seen: Callable[[Chunk], None] = lambda _: None
    ) -> Manifest:
        """Read all of it, and hold it to its manifest.

        Args:
            progress: Told how many documents were read, now and then.
            seen: Given each chunk as it goes by.

        Raises:
            BackupRefused: damaged, cut, or something is missing or too much in it; the detail says what.
        """
        sums: dict[str, _Sum] = {}
        manifest: Manifest | None = None
        done = 0
        for name, content in self._members():
            if manifest is not None:
                raise BackupRefused("There is something behind the end of the backup. Take another copy.")
            found = _CHUNK.fullmatch(name)
            if name == _MANIFEST:
                manifest = self._read(content)
            elif found:
                total = sums.setdefault(found[1], _Sum())
                if len(sums) > _MAX_COLLECTIONS:
                    raise BackupRefused("There are more collections in the file than any backup holds.")
                if int(found[2]) != total.chunks:
                    raise BackupRefused(f"Part {total.chunks} of the collection {found[1]} is missing.")
                unpacked = _unpacked(content)
                chunk = Chunk(found[1], unpacked, count(unpacked))
                total.add(unpacked, chunk.documents)
                seen(chunk)
                done += chunk.documents
                progress(done)
            elif name != _HEADING:
                raise BackupRefused("There is something in the file that no backup holds.")
        if manifest is None:
            raise _cut()
        held = {name: total.part() for name, total in sums.items()}
        # An empty collection has no part.
        wanted = {name: part for name, part in manifest.parts.items() if part.documents}
        wrong = sorted(name for name in held.keys() | wanted.keys() if held.get(name) != wanted.get(name))
        if wrong:
            raise BackupRefused(f"These collections are not as they were written: {', '.join(wrong)}.")
        return manifest

    def _read(self, content: bytes) -> Manifest:
        manifest = _manifest(_json(content))
        if manifest.heading != self.heading:
            raise BackupRefused("The manifest is of another backup than the heading.")
        return manifest

    def _members(self, only: str | None = None) -> Iterator[tuple[str, bytes]]:
        """Each file of the archive; the content of those not named is left unread when ``only`` is given.

        Headers are read here, not by ``tarfile``: it follows extensions that no backup has, such as headers about
        headers and numbers of any length, which may take it minutes, gigabytes, or to an error of its own.
        """
        place = 0
        self._file.seek(0)
        while header := self._file.read(_BLOCK):
            if len(header) < _BLOCK:
                raise _cut()
            if not any(header):
                return
            name, size = _member(header)
            place += _BLOCK
            if only is None or name == only:
                content = self._file.read(size)
                if len(content) != size:
                    raise _cut()
                yield name, content
            # Whole blocks: what pads the last one says nothing.
            place += -(-size // _BLOCK) * _BLOCK
            self._file.seek(place)


def _member(header: bytes) -> tuple[str, int]:
    """Name and size of a plain file, by its header (POSIX.1-1988 ``ustar``, which is all that is written here).

    Raises:
        BackupRefused: it is not one.
    """
    said = _HEADER.match(header)
    if said is None:
        raise _not_a_backup()
    name, size, checksum = said[1], int(said[2], 8), int(said[3], 8)
    # As if the eight bytes of the checksum were spaces.
    if sum(header) - sum(header[148:156]) + 8 * ord(" ") != checksum:
        raise _not_a_backup()
    most = _MAX_CHUNK_BYTES if name.endswith(b".zst") else _MAX_MANIFEST_BYTES
    if size > most:
        raise _not_a_backup()
    return name.decode("ascii"), size


@contextmanager
def reading(path: Path) -> Iterator[BackupReader]:
    """Open a backup.

    Raises:
        BackupRefused: the file cannot be read, or is no backup of a version that is known here.
    """
    try:
        file = path.open("rb")
    except OSError as refused:
        raise BackupRefused(f"The backup cannot be read ({refused.strerror}).") from None
    with file:
        try:
            yield BackupReader(file)
        except OSError as failed:
            raise BackupRefused(f"The backup cannot be read ({failed.strerror}).") from failed


def count(content: bytes) -> int:
    """The number of BSON documents, one after the other.

    Raises:
        BackupRefused: their lengths do not add up.
    """
    place = documents = 0
    end = len(content)
    length = _LENGTH.unpack_from
    while place < end:
        size = length(content, place)[0] if end - place >= _MIN_DOCUMENT_BYTES else 0
        if not _MIN_DOCUMENT_BYTES <= size <= end - place:
            raise BackupRefused("The documents of the backup do not fit together: it is damaged.")
        place += size
        documents += 1
    return documents


def split(content: bytes) -> Iterator[bytes]:
    """Each BSON document of a chunk."""
    place = 0
    while place < len(content):
        size: int = _LENGTH.unpack_from(content, place)[0]
        yield content[place : place + size]
        place += size


def documents_of(chunk: Chunk, most: int | None = None) -> Iterator[dict[str, Any]]:
    """The documents of a chunk, decoded; ``most`` of them at most.

    Raises:
        BackupRefused: they are no BSON.
    """
    try:
        for document in islice(split(chunk.content), most):
            yield bson.decode(document, codec_options=_CODEC)
    except (bson.errors.BSONError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        # Whatever the library finds wrong with bytes that may be anything.
        raise BackupRefused("The documents of the backup are not BSON: it is damaged.") from None


def _unpacked(content: bytes) -> bytes:
    try:
        if not 0 <= zstandard.frame_content_size(content) <= _MAX_CHUNK_BYTES:
            raise BackupRefused("A part of the backup says that it is larger than any that Sillage writes.")
        return zstandard.ZstdDecompressor().decompress(content)
    except zstandard.ZstdError:
        raise BackupRefused("A part of the backup cannot be unpacked: it is damaged. Take another copy.") from None


def _headed(heading: Heading) -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION, **heading._asdict()}


def _said(manifest: Manifest) -> dict[str, Any]:
    said: dict[str, Any] = {
        **_headed(manifest.heading),
        "collections": {name: part._asdict() for name, part in manifest.parts.items()},
        "migrations": list(manifest.migrations),
        "key_versions": {
            "organisation": list(manifest.organisation_versions),
            "learners": list(manifest.learner_versions),
        },
    }
    return {**said, "mac": manifest.mac} if manifest.mac else said


def _json(content: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(content)
        if said["format"] != FORMAT:
            raise ValueError("another format")
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise _not_a_backup() from None
    if said.get("version") != VERSION:
        raise BackupRefused("The backup was made by a later version of Sillage. Use that version.")
    return dict(said)


def _heading(said: Mapping[str, Any]) -> Heading:
    try:
        heading = Heading(*(said[name] for name in Heading._fields))
    except KeyError:
        raise _not_a_backup() from None
    if not all(isinstance(text, str) and len(text) <= _MAX_TEXT_LENGTH for text in heading):
        raise _not_a_backup()
    return heading


def _manifest(said: Mapping[str, Any]) -> Manifest:
    try:
        parts = {
            _text(name): Part(_number(part["documents"]), _number(part["bytes"]), _text(part["sha256"]))
            for name, part in said["collections"].items()
        }
        versions = said["key_versions"]
        return Manifest(
            _heading(said),
            parts,
            tuple(map(_text, _list(said["migrations"]))),
            tuple(map(_number, _list(versions["organisation"]))),
            tuple(map(_number, _list(versions["learners"]))),
            _text(said["mac"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BackupRefused(
            "The manifest of the backup says nothing that can be followed. Take another copy."
        ) from None


def _list(said: object) -> list[object]:
    if type(said) is not list:
        raise ValueError("no list")
    return said


def _number(said: object) -> int:
    if type(said) is not int or not 0 <= said <= _MAX_NUMBER:
        raise ValueError("no number of anything")
    return said


def _text(said: object) -> str:
    if type(said) is not str or len(said) > _MAX_TEXT_LENGTH:
        raise ValueError("no text")
    return said


def _not_a_backup() -> BackupRefused:
    return BackupRefused("The file is not a backup that `sillage backup` wrote, or it is damaged.")


def _cut() -> BackupRefused:
    return BackupRefused("The backup was cut: it has no end. Take another copy.")
