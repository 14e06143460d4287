"""The data of attachments: hashed, compared with what statements declare, sealed and stored as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import Fault, InvalidStatement, SillageError
from app.storage.attachments import Attachment, AttachmentRepository
from app.storage.statements import Plain
from app.storage.subjects import SubjectKeys
from app.vault.attachments import FrameSealer, opened
from app.vault.keys import OrganisationKeys, RandomBytes
from app.xapi import Statement
from app.xapi.attachments import Declared, declared, hasher, missing
from app.xapi.signatures import signature_faults

_ID_BYTES = 16
_MARK_BYTES = 16


class Part(NamedTuple):
    """Data as they come: their digest as the sender says it, and the bytes, to be read once, in order."""

    sha2: str
    chunks: Iterator[bytes]


class Batch(NamedTuple):
    """The statements that data come with, in step: decoded, their ids, their learners, and these learners' keys."""

    statements: Sequence[Statement]
    ids: Sequence[UUID]
    subjects: Sequence[bytes]
    keys: Mapping[bytes, AESGCM]
    many: bool


class Data(NamedTuple):
    """The data of an attachment, on the way out; ``chunks`` is read once."""

    sha2: str
    content_type: str
    length: int
    chunks: Iterator[bytes]


class Attachments:
    """Takes the data of attachments in and gives them out. Safe to share between threads."""

    def __init__(
        self,
        repository: AttachmentRepository,
        subjects: SubjectKeys,
        keys: OrganisationKeys,
        random: RandomBytes,
        max_signature_bytes: int,
    ) -> None:
        self._repository = repository
        self._subjects = subjects
        self._keys = keys
        self._random = random
        self._max_signature_bytes = max_signature_bytes

    def receive(self, parts: Iterable[Part], batch: Batch) -> list[Attachment]:
        """Store the data that a batch declares; until ``settle`` they are pending.

        Raises:
            InvalidStatement: data that no statement declares, or other ones than it declares, or none where it needs
                some, or a signature that does not sign it. Nothing of the data was kept.
        """
        wanted: dict[str, list[Declared]] = {}
        for each in declared(batch.statements, many=batch.many):
            wanted.setdefault(each.sha2, []).append(each)
        kept: list[Attachment] = []
        received: set[str] = set()
        try:
            for part in parts:
                sha2 = part.sha2.lower()
                if sha2 not in wanted:
                    raise _refused(
                        [_fault("", "part-excess", "A part has an X-Experience-API-Hash that no attachment has.")]
                    )
                if sha2 not in received:
                    received.add(sha2)
                    self._receive(part, wanted[sha2], batch, kept)
            faults = missing((each for listed in wanted.values() for each in listed), received)
            if faults:
                raise _refused(faults)
        except BaseException:
            self.drop(kept)
            raise
        return kept

    def settle(self, attachments: Sequence[Attachment], stored: Iterable[UUID]) -> None:
        """The statements with these ids are stored; data of no other are deleted: those were there already."""
        fresh = set(stored)
        self.drop([each for each in attachments if fresh.isdisjoint(each.statements)])
        lasting = [each.id for each in attachments if not fresh.isdisjoint(each.statements)]
        if lasting:
            with suppress(SillageError):
                # The statements are stored: what still says pending is looked at again by the sweep.
                self._repository.confirm(lasting)

    def drop(self, attachments: Sequence[Attachment]) -> None:
        """Delete data whose statements were not stored; what cannot be deleted now is swept later."""
        if attachments:
            with suppress(SillageError):
                self._repository.drop([each.id for each in attachments])

    def of(self, plain: Sequence[tuple[Plain, Statement]]) -> list[Data]:
        """The data of statements that were opened (and decoded), each digest once."""
        named = {one.id: declared([statement], many=False) for one, statement in plain}
        named = {identity: listed for identity, listed in named.items() if listed}
        if not named:
            return []
        rows = self._repository.of(named)
        by_statement = {(identity, row.mark): row for row in rows for identity in row.statements}
        subjects = {one.id: one.subject for one, _ in plain}
        keys = self._subjects.existing(row.subject for row in rows)
        found: dict[str, Data] = {}
        for identity, listed in named.items():
            for each in listed:
                row = by_statement.get((identity, self._mark(each.sha2)))
                if row is None or each.sha2 in found or row.subject != subjects[identity]:
                    continue
                key = keys.get(row.subject)
                if key is None:
                    continue
                chunks = opened(key, self._keys.organisation, row.id, self._repository.frames(row.id))
                found[each.sha2] = Data(each.sha2, each.content_type, row.length, chunks)
        return list(found.values())

    def _receive(self, part: Part, wanted: Sequence[Declared], batch: Batch, kept: list[Attachment]) -> None:
        ids: dict[bytes, dict[UUID, None]] = {}
        for each in wanted:
            ids.setdefault(batch.subjects[each.statement], {})[batch.ids[each.statement]] = None
        sealers: list[tuple[Attachment, FrameSealer]] = []
        for subject, statements in ids.items():
            row = Attachment(self._random(_ID_BYTES), self._mark(part.sha2.lower()), subject, tuple(statements), 0)
            kept.append(row)
            self._repository.begin(row)
            sealers.append((row, FrameSealer(batch.keys[subject], self._keys.organisation, row.id, self._random)))
        numbers = [0] * len(sealers)
        signs = any(each.signature for each in wanted)
        signature = bytearray()
        digest, length = hasher(part.sha2), 0
        for chunk in part.chunks:
            digest.update(chunk)
            length += len(chunk)
            if signs:
                signature += chunk
                if len(signature) > self._max_signature_bytes:
                    raise _refused([_fault(wanted[0].pointer, "signature-size", "The signature is too long.")])
            for place, (row, sealer) in enumerate(sealers):
                for frame in sealer.feed(chunk):
                    self._repository.add(row.id, numbers[place], frame)
                    numbers[place] += 1
        if digest.hexdigest() != part.sha2.lower():
            raise _refused(
                [_fault(each.pointer, "attachment-sha2", "`sha2` is not that of the data sent.") for each in wanted]
            )
        faults = [
            fault
            for each in wanted
            if each.signature
            for fault in signature_faults(each, bytes(signature), batch.statements[each.statement])
        ]
        if faults:
            raise _refused(faults)
        for place, (row, sealer) in enumerate(sealers):
            self._repository.add(row.id, numbers[place], sealer.finish())
            self._repository.complete(row.id, length)

    def _mark(self, sha2: str) -> bytes:
        return self._keys.mac("attachment", sha2.encode())[:_MARK_BYTES]


def _fault(pointer: str, rule: str, message: str) -> Fault:
    return Fault(pointer, rule, "xAPI-Communication 1.5.2", message)


def _refused(faults: Sequence[Fault]) -> InvalidStatement:
    return InvalidStatement(
        "The data of the attachments are not what the statements declare; nothing was stored.", faults=faults[:20]
    )
