"""Checkpoints of the audit log: signed, kept where whoever administers the database cannot write.

A checkpoint says: at this time the log held this anchor, at this place of this chain, and the anchor quoted these ends
of other chains. The anchor proves its own chain and, by what it and the anchors before it quote, every other one up to
then (``app/governance/audit/log.py``). So whoever cuts the log back, all chains at once and while nothing runs, is
found out by a checkpoint that was taken away in time. The signature (``app/crypto/signing.py``) is checked without the
store; that the log still holds the anchor, against it.

In a folder, the entries themselves can go with it: those written since the checkpoint before, as JSON lines compressed
with zstd, so that the log is kept apart from the data too. The checkpoint holds the digest of that file.

``content`` of the signed document::

    {"organisation": "default", "at": "2026-11-25T01:05:00.000000Z", "anchor": ["CHAIN", 12, "<MAC, hexadecimal>"],
     "heads": [["CHAIN", 3, "<MAC>"]], "kept_since": null,
     "entries": {"file": "….jsonl.zst", "sha256": "<hexadecimal>", "count": 7, "since": "…", "until": "…"}}
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import zstandard

from app.core.atomic_file import new_file, sweep
from app.core.errors import FileRefused, SignatureRefused
from app.core.personal_data import DeclaredFile, Impersonal, PersonalFile
from app.crypto import signing
from app.governance.audit.log import AUDIT_CHECKPOINT, Audit, Verification, readable
from app.governance.audit.store import AuditRepository, Entry, Head
from app.keys.key_service import KeyService

FORMAT = "sillage-audit-checkpoint"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"
_MAX_BYTES = 64 * 1024 * 1024
_OVERLAP_US = 10 * 60 * 1_000_000


FILES = (
    DeclaredFile(
        "audit-*.json",
        "SILLAGE_AUDIT_CHECKPOINT_DIR",
        Impersonal("signed ends of the chains of the audit log: places and MACs"),
    ),
    DeclaredFile(
        "audit-*.jsonl.zst",
        "SILLAGE_AUDIT_CHECKPOINT_DIR",
        PersonalFile(
            what="entries of the audit log: who read what, subject tokens, no names",
            retain="as long as the operator keeps it: `SILLAGE_AUDIT_DAYS` would have it go",
            erase="stays: proof of what was done; tokens name nobody without the keys",
            restore="untouched: the log is held to it",
        ),
    ),
)


class Copied(NamedTuple):
    """Entries that were written beside a checkpoint.

    Attributes:
        file: Name of the file.
        sha256: Of its bytes, hexadecimal.
        entries: How many.
        until: Written before this, microseconds since 1970 UTC.
    """

    file: str
    sha256: str
    entries: int
    until: int


class Checkpoint(NamedTuple):
    """Content of a checkpoint.

    Attributes:
        organisation: Whose log.
        at: When, microseconds since 1970 UTC.
        anchor: The anchor's place and MAC.
        heads: What the anchor quotes.
        kept_since: Entries before this had been removed for their age, microseconds; None when none had.
        entries: The entries beside it; None without.
    """

    organisation: str
    at: int
    anchor: Head
    heads: tuple[Head, ...]
    kept_since: int | None
    entries: Copied | None


class Checkpoints:
    """Writes the checkpoints of one organisation's audit log, and holds the log to them."""

    def __init__(self, audit: Audit, repository: AuditRepository, organisation: str, keys: KeyService) -> None:
        """Nothing is written yet; ``signer`` signs for the organisation."""
        self._audit = audit
        self._repository = repository
        self._organisation = organisation
        self._keys = keys

    def write(self, destination: Path, *, entries: bool = False, actor: str = "cli:audit checkpoint") -> Path:
        """Write a checkpoint of now; where it is.

        Args:
            destination: A file that is not there yet, or a folder, in which it gets a name with the time.
            entries: Write the entries since the last checkpoint of that folder beside it.
            actor: For the log.

        Raises:
            FileRefused: it cannot be written there, or entries are to go with it and it is no folder.
            SignatureRefused: the last checkpoint there is not this organisation's, or was altered.
        """
        if entries and not destination.is_dir():
            raise FileRefused("Entries go into a folder that is there, each time beside those of before.")
        signer = self._keys.signer
        self._audit.append(AUDIT_CHECKPOINT, actor, {"key": signer.fingerprint})
        anchor = self._audit.anchored(actor)
        before = self._audit.cuts().before
        content: dict[str, object] = {
            "organisation": self._organisation,
            "at": _text(anchor.at),
            "anchor": [anchor.chain, anchor.n, anchor.mac.hex()],
            "heads": anchor.detail["heads"],
            "kept_since": _text(before) if before else None,
        }
        path = destination
        if destination.is_dir():
            prefix = f"audit-{self._organisation}-"
            sweep(destination, prefix)
            path = destination / f"{prefix}{_moment(anchor.at):%Y%m%dT%H%M%SZ}-{anchor.mac.hex()[:8]}.json"
            if entries:
                since = self._copied_until(destination, prefix)
                content["entries"] = self._copy(path.with_suffix(".jsonl.zst"), since, anchor.at + 1)
        with new_file(path) as file:
            file.write(signer.signed(FORMAT, content))
        return path

    def _copied_until(self, folder: Path, prefix: str) -> int:
        """Up to when entries are in a folder already, microseconds; somewhat before, for clocks differ."""
        for file in sorted(folder.glob(f"{prefix}*.json"), reverse=True):
            found = self.read(file)
            if found.entries is not None:
                return max(found.entries.until - _OVERLAP_US, 0)
        return 0

    def _copy(self, path: Path, since: int, until: int) -> dict[str, object]:
        digest, count = hashlib.sha256(), 0
        packer = zstandard.ZstdCompressor(level=3).compressobj()
        with new_file(path) as file:

            def put(packed: bytes) -> None:
                file.write(packed)
                digest.update(packed)

            for entry in self._repository.between(since, until):
                put(packer.compress(_line(entry)))
                count += 1
            put(packer.flush())
        return {
            "file": path.name,
            "sha256": digest.hexdigest(),
            "count": count,
            "since": _text(since),
            "until": _text(until),
        }

    def read(self, file: Path, public_key: bytes | None = None) -> Checkpoint:
        """A checkpoint whose signature is right.

        Args:
            file: The checkpoint.
            public_key: The key to hold it to, 32 bytes; by default the store's own.

        Raises:
            FileRefused: it cannot be read.
            SignatureRefused: it is no checkpoint, was altered, or another key signed it.
        """
        found = read(file, self._keys.signer.public_key if public_key is None else public_key)
        if found.organisation != self._organisation:
            raise SignatureRefused("The checkpoint is of another organisation's log.")
        return found

    def verify(
        self,
        checkpoints: Sequence[Checkpoint],
        anchors: Sequence[str] = (),
        progress: Callable[[int], None] | None = None,
    ) -> Verification:
        """Check the whole log, and that it still holds what checkpoints, and digests of anchors, say that it held.

        What a checkpoint says of the time before entries were removed for their age is not asked for any more.
        """
        before = self._audit.cuts().before
        held = [checkpoint for checkpoint in checkpoints if checkpoint.at >= before]
        places = [place for checkpoint in held for place in (checkpoint.anchor, *checkpoint.heads)]
        digests = [*anchors, *(checkpoint.anchor.mac.hex() for checkpoint in held)]
        return self._audit.verify(progress, digests, places)


def read(file: Path, public_key: bytes) -> Checkpoint:
    """A checkpoint, held to a public key; no store is needed.

    Raises:
        FileRefused: it cannot be read.
        SignatureRefused: it is no checkpoint, was altered, or another key signed it.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_BYTES)
    except OSError as refused:
        raise FileRefused(f"The checkpoint cannot be read ({refused.strerror}).") from None
    signed = signing.verified(content, public_key)
    said = signed.content
    try:
        if signed.format != FORMAT:
            raise ValueError("another format")
        since = said["kept_since"]
        beside = said.get("entries")
        found = Checkpoint(
            str(said["organisation"]),
            _us(said["at"]),
            _head(said["anchor"]),
            tuple(map(_head, said["heads"])),
            None if since is None else _us(since),
            None
            if beside is None
            else Copied(str(beside["file"]), str(beside["sha256"]), int(beside["count"]), _us(beside["until"])),
        )
    except (KeyError, TypeError, ValueError):
        raise SignatureRefused("The file is signed, but it is not a checkpoint of this version of Sillage.") from None
    if found.entries is not None:
        _hold(file.with_name(found.entries.file), found.entries)
    return found


def _hold(file: Path, copied: Copied) -> None:
    """Hold the entries beside a checkpoint to it, if they are there: they may be elsewhere, or past their time."""
    if file.name != Path(copied.file).name or not file.exists():
        return
    try:
        with file.open("rb") as opened:
            same = hashlib.file_digest(opened, "sha256").hexdigest() == copied.sha256
    except OSError as refused:
        raise FileRefused(f"The entries beside the checkpoint cannot be read ({refused.strerror}).") from None
    if not same:
        raise SignatureRefused("The entries beside the checkpoint were altered since it was signed.")


def _line(entry: Entry) -> bytes:
    said = entry._asdict() | {"prev": entry.prev.hex(), "mac": entry.mac.hex(), "detail": readable(entry.detail)}
    return orjson.dumps(said) + b"\n"


def _head(quoted: Any) -> Head:
    chain, n, mac = quoted
    return Head(str(chain), int(n), bytes.fromhex(mac))


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def _text(us: int) -> str:
    return _moment(us).strftime(_INSTANT)


def _us(text: str) -> int:
    return (datetime.strptime(text, _INSTANT).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
