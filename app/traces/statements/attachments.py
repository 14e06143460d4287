"""The data of attachments: hashed, compared with what statements declare, sealed and stored as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core import lossless
from app.core.clock import RandomBytes
from app.core.errors import BodyTooLarge, DecryptionFailed, Fault, InvalidStatement, SillageError
from app.crypto.attachments import FRAME_BYTES, FrameEncryptor, decrypted, mark, new_key, unwrapped
from app.crypto.keys import Cipher, OrganisationKeys, encrypting_alone
from app.keys.learners import SubjectKeys
from app.standards.xapi import Statement
from app.standards.xapi.attachments import Declared, declared, hasher, missing, shared_signatures
from app.standards.xapi.signatures import signature_faults
from app.traces.erasures import ErasuresUnderWay
from app.traces.statements.attachment_store import Attachment, AttachmentRepository
from app.traces.statements.store import Plain

MAX_ATTACHMENTS = 1_000
"""Most different data in one request: each costs a place in the store before the statements are there.

Also what the statements of one page may declare together, but for its first one.
"""

_ID_BYTES = 16
# The statement that is signed has its own limit; in base64 it is a third longer, and certificates come on top.
_MAX_SIGNATURE_BYTES = 2 * 1024 * 1024
# Written together: two frames of large data, many small ones.
_BYTES_AT_ONCE = 2 * FRAME_BYTES + 1024
_ROWS_AT_ONCE = 100
# As it is written in every statement that declares one.
_DECLARES = b'"attachments":'


class Part(NamedTuple):
    """Data as they come: their digest as the sender says it, and the bytes, to be read once, in order."""

    sha2: str
    chunks: Iterator[bytes]


class Batch(NamedTuple):
    """The statements that data come with, in step: decoded, their ids, their learners, and these learners' keys."""

    statements: Sequence[Statement]
    ids: Sequence[UUID]
    subjects: Sequence[bytes]
    keys: Mapping[bytes, Cipher]
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
        erasures: ErasuresUnderWay,
    ) -> None:
        """``erasures``: those of these subjects whose erasure is under way."""
        self._repository = repository
        self._subjects = subjects
        self._keys = keys
        self._random = random
        self._erasures = erasures

    def receive(self, parts: Iterable[Part], batch: Batch) -> list[Attachment]:
        """Store the data that a batch declares; until ``settle`` they are pending.

        Raises:
            InvalidStatement: data that no statement declares, or other ones than it declares, or none where it needs
                some, or a signature that does not sign it. Nothing of the data was kept.
            BodyTooLarge: more of them than ``MAX_ATTACHMENTS``.
        """
        listed = declared(batch.statements, many=batch.many)
        faults = shared_signatures(listed)
        if faults:
            raise _refused(faults)
        _refuse_many(len({each.digest for each in listed if each.needs_data}))
        wanted: dict[str, list[Declared]] = {}
        for each in listed:
            wanted.setdefault(each.digest, []).append(each)
        kept: list[Attachment] = []
        received: set[str] = set()
        gathered = _Gathered(self._repository)
        try:
            for number, part in enumerate(parts, 1):
                _refuse_many(number)
                digest = part.sha2.lower()
                if digest not in wanted:
                    raise _refused(
                        [_fault("", "part-excess", "A part has an X-Experience-API-Hash that no attachment has.")]
                    )
                if digest not in received:
                    received.add(digest)
                    self._receive(part.chunks, digest, wanted[digest], batch, kept, gathered)
            faults = missing(listed, received)
            if faults:
                raise _refused(faults)
            gathered.write()
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

    def still_open(self, attachments: Sequence[Attachment], keys: Mapping[bytes, Cipher]) -> bool:
        """True if these keys of learners, as they seal now, open what was wrapped for them."""
        try:
            for each in attachments:
                for subject, wrapped in each.keys.items():
                    # Not one that opens besides: it is to go, and what comes late may be looked at no more.
                    unwrapped(encrypting_alone(keys[subject]), self._keys.organisation, each.id, wrapped)
        except DecryptionFailed:
            return False
        return True

    def of(self, plain: Sequence[tuple[Plain, Statement]]) -> list[Data]:
        """The data of statements that were opened (and decoded), each digest once, as it was first declared."""
        listed = {one.id: declared([statement], many=False) for one, statement in plain}
        return self._of(listed, {one.id: one.subject for one, _ in plain})

    def first_of(self, plain: Sequence[Plain]) -> tuple[list[Data], int]:
        """The data of the first of these opened statements, as ``of``, and how many these are.

        They end before the one with which they would declare more than ``MAX_ATTACHMENTS``; at least one.
        """
        listed: dict[UUID, Sequence[Declared]] = {}
        count, total = len(plain), 0
        for place, one in enumerate(plain):
            # One decoded at a time, and most declare none.
            its = declared([lossless.loads(one.body)], many=False) if _DECLARES in one.body else []
            total += len(its)
            if total > MAX_ATTACHMENTS and place:
                count = place
                break
            listed[one.id] = its
        return self._of(listed, {one.id: one.subject for one in plain}), count

    def _of(self, listed: Mapping[UUID, Sequence[Declared]], subjects: Mapping[UUID, bytes]) -> list[Data]:
        named = {id: its for id, its in listed.items() if its}
        if not named:
            return []
        rows = self._repository.of(named)
        by_statement = {(id, row.mark): row for row in rows for id in row.statements if id in named}
        keys = self._subjects.existing(subjects[id] for id in named)
        found: dict[str, Data] = {}
        for id, its in named.items():
            learner = keys.get(subjects[id])
            for each in its:
                row = by_statement.get((id, self._mark(each.digest)))
                if row is None or learner is None or each.digest in found:
                    continue
                wrapped = row.keys.get(subjects[id])
                if wrapped is None:
                    continue
                key = self._unwrapped(subjects[id], learner, row.id, wrapped)
                if key is None:
                    continue
                chunks = decrypted(key, self._keys.organisation, row.id, self._repository.frames(row.id))
                found[each.digest] = Data(each.sha2, each.content_type, row.length, chunks)
        return list(found.values())

    def _unwrapped(self, subject: bytes, learner: Cipher, attachment: bytes, wrapped: bytes) -> AESGCM | None:
        """The key of an attachment; None when it was wrapped with a key of the learner that was destroyed since.

        Raises:
            DecryptionFailed: it is damaged.
        """
        organisation = self._keys.organisation
        try:
            return unwrapped(learner, organisation, attachment, wrapped)
        except DecryptionFailed:
            # The key at hand may be one that was destroyed, and made anew by another process.
            present = self._subjects.renewed([subject]).get(subject)
            if present is None:
                return None
            try:
                return unwrapped(present, organisation, attachment, wrapped)
            except DecryptionFailed:
                if self._erasures.under_way([subject]):
                    return None
                raise

    def _receive(
        self,
        chunks: Iterator[bytes],
        digest: str,
        wanted: Sequence[Declared],
        batch: Batch,
        kept: list[Attachment],
        gathered: _Gathered,
    ) -> None:
        """Encrypt the data of one digest, once, whoever declares them."""
        id, organisation = self._random(_ID_BYTES), self._keys.organisation
        subjects = {batch.subjects[each.statement] for each in wanted}
        learners = {subject: batch.keys[subject] for subject in subjects}
        key, wrapped = new_key(learners, organisation, id, self._random)
        statements = tuple(dict.fromkeys(batch.ids[each.statement] for each in wanted))
        row = Attachment(id, self._mark(digest), wrapped, statements, 0)
        kept.append(row)
        gathered.begin(row)
        encryptor = FrameEncryptor(key, organisation, id, self._random)
        signs = any(each.signature for each in wanted)
        signature = bytearray()
        hashed, length = hasher(digest), 0
        for chunk in chunks:
            hashed.update(chunk)
            length += len(chunk)
            if signs:
                signature += chunk
                if len(signature) > _MAX_SIGNATURE_BYTES:
                    message = f"A signature has at most {_MAX_SIGNATURE_BYTES} bytes."
                    raise _refused([_fault(wanted[0].pointer, "signature-size", message)])
            for frame in encryptor.feed(chunk):
                gathered.add(id, frame)
        if hashed.hexdigest() != digest:
            raise _refused(
                [_fault(each.pointer, "attachment-sha2", "`sha2` is not that of the data sent.") for each in wanted]
            )
        signed = [(each, batch.statements[each.statement]) for each in wanted if each.signature]
        faults = signature_faults(bytes(signature), signed) if signed else []
        if faults:
            raise _refused(faults)
        gathered.add(id, encryptor.finish())
        gathered.complete(id, length)

    def _mark(self, digest: str) -> bytes:
        return mark(self._keys, digest)


class _Gathered:
    """Attachments on their way to the store, written together: a request of many small ones costs few writes."""

    def __init__(self, repository: AttachmentRepository) -> None:
        self._repository = repository
        self._rows: list[Attachment] = []
        self._frames: list[tuple[bytes, int, bytes]] = []
        self._lengths: dict[bytes, int] = {}
        self._bytes = 0
        self._number = 0

    def begin(self, row: Attachment) -> None:
        """An attachment whose frames follow."""
        if len(self._rows) >= _ROWS_AT_ONCE:
            self.write()
        self._rows.append(row)
        self._number = 0

    def add(self, attachment: bytes, frame: bytes) -> None:
        """Its next frame."""
        if self._bytes + len(frame) > _BYTES_AT_ONCE:
            self.write()
        self._frames.append((attachment, self._number, frame))
        self._number += 1
        self._bytes += len(frame)

    def complete(self, attachment: bytes, length: int) -> None:
        """All of its frames were added."""
        self._lengths[attachment] = length

    def write(self) -> None:
        """Store what there is: first what says that frames are there, last what says that they are whole."""
        if self._rows:
            self._repository.begin(self._rows)
        if self._frames:
            self._repository.add(self._frames)
        if self._lengths:
            self._repository.complete(self._lengths)
        self._rows, self._frames, self._lengths, self._bytes = [], [], {}, 0


def _refuse_many(count: int) -> None:
    if count > MAX_ATTACHMENTS:
        raise BodyTooLarge(
            f"The request has the data of more than {MAX_ATTACHMENTS} attachments. Send several smaller batches."
        )


def _fault(pointer: str, rule: str, message: str) -> Fault:
    return Fault(pointer, rule, "xAPI-Communication 1.5.2", message)


def _refused(faults: Sequence[Fault]) -> InvalidStatement:
    return InvalidStatement(
        "The data of the attachments are not what the statements declare; nothing was stored.", faults=faults[:20]
    )
