"""Documents sealed and opened; and what does not open told apart: erased, or damaged."""

from __future__ import annotations

import structlog

from app.core.clock import RandomBytes
from app.core.errors import DecryptionFailed
from app.crypto import documents as encryption
from app.crypto.keys import OrganisationKeys
from app.keys.learners import SubjectKeys
from app.standards.xapi.documents import Content
from app.traces.documents.store import DocumentRepository, DocumentRow
from app.traces.erasures import ErasuresUnderWay

_log = structlog.stdlib.get_logger("sillage.documents")


class DocumentCipher:
    """Encryption with the key of a document's learner, or with one of the organisation where there is none."""

    def __init__(
        self,
        repository: DocumentRepository,
        subjects: SubjectKeys,
        keys: OrganisationKeys,
        erasures: ErasuresUnderWay,
        random: RandomBytes,
    ) -> None:
        """``erasures``: those of these subjects whose erasure is under way."""
        self._repository = repository
        self._subjects = subjects
        self._keys = keys
        self._erasures = erasures
        self._random = random

    def encrypt(self, subject: bytes | None, place: str, plain: bytes) -> bytes:
        """Encrypt a part of a document, for its place; a learner who has no key gets one."""
        if subject is None:
            return self._keys.encrypt(place, plain)
        key = self._subjects.ensured([subject])[subject]
        return encryption.encrypt(key, self._keys.organisation, place, plain, self._random)

    def part(self, subject: bytes | None, id: bytes, part: str, sealed: bytes) -> bytes | None:
        """A part, ``name`` or ``body``, of a document; None if no present key of its learner opens it.

        Raises:
            DecryptionFailed: it is no learner's, and damaged.
        """
        place = encryption.place(id, part)
        if subject is None:
            return self._keys.decrypt(place, sealed)
        for keys in (self._subjects.existing, self._subjects.renewed):
            # The key at hand may be one that was destroyed, and made anew by another process.
            key = keys([subject]).get(subject)
            if key is None:
                return None
            plain = encryption.decrypt(key, self._keys.organisation, place, sealed)
            if plain is not None:
                return plain
        return None

    def content(self, row: DocumentRow) -> Content | None:
        """The content of a document; None when it is erased, or was replaced since it was read.

        Raises:
            DecryptionFailed: it is damaged.
        """
        plain = self.part(row.subject, row.id, "body", row.body)
        if plain is None:
            self.require_erased(row)
            return None
        kind, _, body = plain.partition(b"\n")
        return Content(kind.decode("latin-1"), body)

    def require_erased(self, row: DocumentRow) -> None:
        """A document, as it was read, that does not open: its learner's key was destroyed, or it is damaged.

        Raises:
            DecryptionFailed: it is damaged. It is there as it was read, and nobody is erasing its learner.
        """
        subject = row.subject
        if subject is None or subject not in self._subjects.existing([subject]) or self._erasures.under_way([subject]):
            return
        # Asked last: of an erasure that ended since it was read, nothing is there any more.
        if self._repository.get(row.id) == row:
            _log.error("a document that does not open", document=row.id.hex())
            raise DecryptionFailed(
                "This document is stored but does not open: it is damaged. Its operator must be told."
            )
