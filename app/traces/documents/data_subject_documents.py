"""The states and agent profiles of one data subject, opened for the data subject: which there are, what they are about.

Of a document only tokens say which activity and registration it is of (``docs/data-model.md``). Those of the data
subject's own statements are tried: a state of an activity that no statement names is told without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.core.errors import DecryptionFailed
from app.crypto import documents as encryption
from app.crypto.keys import OrganisationKeys
from app.standards.xapi.documents import Content, Place, Resource
from app.traces.documents.cipher import DocumentCipher
from app.traces.documents.store import DocumentRepository, DocumentRow

_AT_ONCE = 50
_MAX_REGISTRATIONS = 1_000


class Kept(NamedTuple):
    """A document of a data subject.

    Attributes:
        place: Where it is; ``activity`` and ``registration`` are None where they are not known, or there is none.
        content: The document.
        source: Id of the source that wrote it last.
        updated: When that was, microseconds since 1970 UTC.
    """

    place: Place
    content: Content
    source: str
    updated: int


class DataSubjectDocuments:
    """The documents of one data subject. Holds tokens of each, and no content.

    Attributes:
        damaged: How many of those that ``each`` came to do not open, though nobody erased them.
    """

    def __init__(
        self,
        repository: DocumentRepository,
        cipher: DocumentCipher,
        keys: OrganisationKeys,
        *,
        identifiers: Sequence[str],
        tokens: Sequence[bytes],
    ) -> None:
        """``identifiers`` are the data subject's canonical ones, ``tokens`` their subject tokens."""
        self._repository = repository
        self._cipher = cipher
        self.damaged = 0
        self._keys = keys
        self._identifiers = identifiers
        self._tokens = tokens
        # Contexts of all their documents; of those whose activity was found, the registrations to try.
        self._found: dict[bytes, tuple[str, str, dict[str, None]]] = {}
        self._wanted: set[bytes] = set()
        self._ids: list[bytes] = []
        for row in self._rows():
            self._wanted.update(row.groups)
            self._ids.append(row.id)

    def marks(self) -> Iterator[bytes]:
        """The tokens by which readings of these documents stand in the audit log."""
        yield from self._ids
        yield from self._wanted

    def met(self, activity: str, registration: str | None) -> None:
        """Try an activity, and a registration (in any case), that a statement names."""
        if not self._wanted:
            return
        for identifier in self._identifiers:
            context = self._context(Resource.STATE, activity, identifier)
            if context in self._wanted:
                registrations = self._found.setdefault(context, (activity, identifier, {}))[2]
                if registration is not None and len(registrations) < _MAX_REGISTRATIONS:
                    registrations[registration.lower()] = None

    def each(self) -> Iterator[Kept]:
        """Every document that opens, one at a time."""
        for row in self._rows():
            if row.subject is None:
                continue
            try:
                name, content = self._cipher.part(row.subject, row.id, "name", row.name), self._cipher.content(row)
                if name is None:
                    self._cipher.require_erased(row)
            except DecryptionFailed:
                self.damaged += 1
                continue
            if name is not None and content is not None:
                yield Kept(self._place(row, name.decode()), content, row.source, row.updated)

    def _rows(self) -> Iterator[DocumentRow]:
        after: bytes | None = None
        while rows := self._repository.of_subjects(self._tokens, after=after, limit=_AT_ONCE):
            yield from rows
            after = rows[-1].id

    def _place(self, row: DocumentRow, name: str) -> Place:
        for identifier in self._identifiers:
            if self._context(Resource.AGENT_PROFILE, None, identifier) in row.groups:
                return Place(Resource.AGENT_PROFILE, agent=identifier, id=name)
        for group in row.groups:
            if group in self._found:
                activity, identifier, registrations = self._found[group]
                place = Place(Resource.STATE, activity, identifier, None, name)
                for registration in registrations:
                    token = encryption.token(
                        self._keys, "document", Resource.STATE.value, activity, identifier, registration, name
                    )
                    if token == row.id:
                        return place._replace(registration=registration)
                return place
        return Place(Resource.STATE, id=name)

    def _context(self, resource: Resource, activity: str | None, identifier: str) -> bytes:
        return encryption.token(self._keys, "document-context", resource.value, activity, identifier, None)


class DocumentsByDataSubject:
    """The documents of any data subject."""

    def __init__(self, repository: DocumentRepository, cipher: DocumentCipher, keys: OrganisationKeys) -> None:
        self._repository = repository
        self._cipher = cipher
        self._keys = keys

    def of(self, identifiers: Sequence[str], subjects: Sequence[bytes]) -> DataSubjectDocuments:
        """Those of the data subject with these canonical identifiers and subject tokens."""
        return DataSubjectDocuments(
            self._repository, self._cipher, self._keys, identifiers=identifiers, tokens=subjects
        )

    def marks(self, subjects: Sequence[bytes]) -> Iterator[bytes]:
        """The tokens by which readings of the documents of these data subjects are on record."""
        return self.of((), subjects).marks()
