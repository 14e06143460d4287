"""The documents of State, Activity Profile and Agent Profile: sealed on the way in, opened on the way out."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from app.access.restrictions.store import States
from app.access.store import Source
from app.core.audit_sink import AuditSink
from app.core.clock import Clock
from app.core.errors import (
    BadParameter,
    BodyTooLarge,
    DataSubjectRefused,
    DataSubjectRestricted,
    DocumentConflict,
    Fault,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from app.crypto import documents as encryption
from app.crypto.keys import OrganisationKeys
from app.standards.xapi.documents import (
    Bare,
    Conditions,
    Content,
    Place,
    bare_put,
    check_posted,
    etag,
    merge,
    refuse_bare,
)
from app.standards.xapi.versions import Version
from app.traces.documents.cipher import DocumentCipher
from app.traces.documents.store import DocumentRepository, DocumentRow
from app.traces.turns import Turns

MAX_DOCUMENT_BYTES = 15 * 1024 * 1024
"""Most bytes of a document's content: one document of MongoDB, 16 MiB, holds it with all that goes with it."""

MAX_LISTED = 10_000
"""Ids of documents in one answer: xAPI has no pages of them, and a context may hold any number."""
MAX_LISTED_BYTES = 8 * 1024 * 1024
"""Of sealed ids in one answer."""

_TRIES = 50
# Documents share so many locks by their ids.
_MERGED_AT_ONCE = 64
# No entity tag holds a quote.
_ANOTHER = '"'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Found(NamedTuple):
    """A document as given: content, entity tag without quotes, when it was last written (UTC)."""

    content: Content
    etag: str
    updated: datetime


class Listing(NamedTuple):
    """The ids of a context's documents, each once, and when the latest of them was written; None for no document."""

    ids: tuple[str, ...]
    updated: datetime | None


class _Address(NamedTuple):
    """A place as tokens."""

    id: bytes
    groups: tuple[bytes, ...]
    subject: bytes | None
    name: str


class CurrentStates(Protocol):
    """States of data subjects."""

    def current(self) -> States:
        """Restrictions and objections as they are now."""


class SourceInForce(Protocol):
    """Admits sources."""

    def require(self, source: str) -> None:
        """Refuse a source for which nothing may be stored now."""

    def source(self, source: str) -> Source:
        """The source of that id."""


class DocumentRules(Protocol):
    """Rules of profiles about documents."""

    def document(self, source: Source, place: Place, content: Content) -> tuple[Fault, ...]:
        """The faults of a document about to be stored; raises to refuse it."""

    def count_document(self, source: str, faults: tuple[Fault, ...]) -> None:
        """Count a document that was stored with faults."""


class Documents:
    """Keeps documents. Safe to share between threads.

    A document is at one place: resource, activity, agent, registration or none, and id. A list, or a deletion without
    id, takes every registration when none is said (xAPI-Communication 2.3: "[+ registration if specified]").
    """

    def __init__(
        self,
        *,
        repository: DocumentRepository,
        cipher: DocumentCipher,
        keys: OrganisationKeys,
        audit: AuditSink,
        now_us: Clock,
        states: CurrentStates,
        sources: SourceInForce | None = None,
        rules: DocumentRules | None = None,
        turns: Turns,
    ) -> None:
        """``audit`` takes an entry for each reading and each deletion.

        A change on condition of an entity tag is a reading too: how it ends tells whether the content is the one that
        the tag is of.

        ``states`` says who is restricted (GDPR art. 18): their documents are neither given, nor changed, nor deleted.

        ``sources`` refuses those for which nothing may be stored now.

        ``rules`` are told of what they found wrong with a document, once that is stored.

        ``turns`` are those of large bodies and answers.
        """
        self._repository = repository
        self._cipher = cipher
        self._keys = keys
        self._audit = audit
        self._now_us = now_us
        self._states = states
        self._sources = sources
        self._rules = rules
        self._turns = turns
        self._merging = [threading.Lock() for _ in range(_MERGED_AT_ONCE)]

    def _require_in_force(self, source: str) -> None:
        if self._sources is not None:
            self._sources.require(source)

    def _hold(self, source: str, place: Place, content: Content) -> tuple[Fault, ...]:
        if self._rules is None or self._sources is None:
            return ()
        return self._rules.document(self._sources.source(source), place, content)

    def _note_misfit(self, source: str, faults: tuple[Fault, ...]) -> None:
        if self._rules is not None:
            self._rules.count_document(source, faults)

    def read(self, place: Place, *, actor: str) -> Found:
        """A document.

        Args:
            place: Where it is, with its id.
            actor: Credential that reads, for the audit log.

        Raises:
            NotFound: there is none, or its learner was erased or is restricted.
            DecryptionFailed: it is damaged.
        """
        address = self._address(place)
        row = None if address.subject in self._states.current().restricted else self._repository.get(address.id)
        content = None
        if row is not None:
            with self._turns.answer(len(row.body)):
                content = self._cipher.content(row)
        if row is None or content is None:
            raise NotFound("There is no such document.")
        # Before the answer: whoever got data left a trace of it.
        self._audit.append("documents-read", actor, {**self._detail(place), "document": address.id.hex(), "count": 1})
        return Found(content, etag(content.body), _moment(row.updated))

    def ids(self, place: Place, *, actor: str) -> Listing:
        """The ids of the documents of a context, those updated earliest first.

        Args:
            place: The context, without id; ``since`` leaves out what was not updated after it.
            actor: Credential that reads, for the audit log.

        Raises:
            BadParameter: they are more, or longer, than one answer holds: the standard has no pages of them.
        """
        group = _group(self._keys, place)
        subject = self._subject(place)
        restricted = subject in self._states.current().restricted
        rows = [] if restricted else self._repository.listed(group, after=place.since, limit=MAX_LISTED + 1)
        if len(rows) > MAX_LISTED or sum(len(row.name) for row in rows) > MAX_LISTED_BYTES:
            message = (
                f"There are more documents here than one answer lists ({MAX_LISTED:,} ids, "
                f"{MAX_LISTED_BYTES // 1024 // 1024} MiB): ask with `since` for those updated lately."
            )
            raise BadParameter(message, faults=[Fault("/since", "document-list", "Sillage", message)])
        names: dict[str, None] = {}
        for row in rows:
            name = self._cipher.part(subject, row.id, "name", row.name)
            if name is not None:
                names[name.decode()] = None
        self._audit.append(
            "documents-read", actor, {**self._detail(place), "context": group.hex(), "count": len(names)}
        )
        return Listing(tuple(names), _moment(rows[-1].updated) if rows else None)

    def put(
        self, place: Place, content: Content, conditions: Conditions, version: Version, *, source: str, actor: str
    ) -> tuple[Fault, ...]:
        """Store a document, or replace the one that is there.

        Args:
            place: Where, with its id.
            content: The document.
            conditions: What must be true of what is there.
            version: Version of xAPI the request is made in: it says what may be done without conditions.
            source: Id of the source that writes.
            actor: Credential that writes, for the audit log.

        Returns:
            What the profiles that define it find wrong with it.

        Raises:
            ProfileRejected: that, when the source is one whose faults are refused; nothing changed.
            PreconditionFailed: a condition is false; nothing changed.
            DocumentConflict: there is a document and no condition was given; nothing changed.
            BadRequest: this version wants a condition.
            BodyTooLarge: larger than ``MAX_DOCUMENT_BYTES``.
            DataSubjectRestricted, DataSubjectRefused: nothing of this data subject may be changed, or added.
            ActivityNotInForce: nothing may be stored for this source now.
        """
        self._require_in_force(source)
        _require_size(content)
        faults = self._hold(source, place, content)
        self._put(place, content, conditions, version, source, actor)
        if faults:
            self._note_misfit(source, faults)
        return faults

    def _put(
        self, place: Place, content: Content, conditions: Conditions, version: Version, source: str, actor: str
    ) -> None:
        address = self._address(place)
        self._require_free(address.subject)
        if conditions.given:
            self._put_if(place, address, content, conditions, source, actor)
            return
        allowed = bare_put(place.resource, version)
        if allowed is Bare.OVERWRITE:
            self._overwrite(self._row(address, content, source))
        elif allowed is Bare.CREATE:
            if not self._repository.insert(self._row(address, content, source)):
                raise _conflict()
        elif self._repository.etag(address.id) is not None:
            raise _conflict()
        else:
            refuse_bare()

    def merge(
        self, place: Place, content: Content, conditions: Conditions, *, source: str, actor: str
    ) -> tuple[Fault, ...]:
        """Set the top-level properties of a JSON document in the one that is there, or store it where there is none.

        Args: as of ``put``.

        Returns:
            What the profiles that define it find wrong with what it is now.

        Raises:
            ProfileRejected: that, when the source is one whose faults are refused; nothing changed.
            PreconditionFailed: a condition is false; nothing changed.
            MalformedJSON, BadRequest: one of the two is not a JSON object that says so; nothing changed.
            BodyTooLarge: larger than ``MAX_DOCUMENT_BYTES``, merged, or of too many values; nothing changed.
            DataSubjectRestricted, DataSubjectRefused: nothing of this data subject may be changed, or added.
            DecryptionFailed: what is there is damaged, and cannot be merged with; nothing changed.
            ActivityNotInForce: nothing may be stored for this source now.
        """
        self._require_in_force(source)
        check_posted(content)
        address = self._address(place)
        self._require_free(address.subject)
        # One after the other in this process: of several at once one would be stored, and the others merge once more.
        with self._merging[address.id[0] % _MERGED_AT_ONCE]:
            self._turns.require()
            for _ in range(_TRIES):
                row = self._repository.get(address.id)
                current = None if row is None else row.etag
                self._require(place, address, conditions, current, actor)
                stored = None if row is None else self._cipher.content(row)
                # By its length opened: kept, it may have a thousandth of that. Decoded and merged it takes several
                # times as much.
                with self._turns.take(len(content.body) + (0 if stored is None else len(stored.body))):
                    merged = content if stored is None else merge(stored, content)
                    _require_size(merged)
                    faults = self._hold(source, place, merged)
                    renewed = self._row(address, merged, source)
                if self._stored(renewed, current):
                    if faults:
                        self._note_misfit(source, faults)
                    return faults
        raise _contended()

    def delete(self, place: Place, conditions: Conditions, *, actor: str) -> None:
        """Delete a document; that there is none is no error.

        Args:
            place: Where it is, with its id.
            conditions: What must be true of what is there.
            actor: Credential that deletes, for the audit log.

        Raises:
            PreconditionFailed: a condition is false; nothing changed.
            DataSubjectRestricted: nothing of this data subject may be deleted.
        """
        address = self._address(place)
        self._require_unrestricted(address.subject)
        for _ in range(_TRIES):
            current = self._repository.etag(address.id)
            self._require(place, address, conditions, current, actor)
            if current is None:
                return
            # Before the deletion: none is without its entry, even when this process is killed in between.
            self._audit.append("documents-deleted", actor, {**self._detail(place), "document": address.id.hex()})
            if self._repository.delete(address.id, expected=current):
                return
        raise _contended()

    def delete_all(self, place: Place, *, actor: str) -> None:
        """Delete every document of a context (``place`` without id).

        Raises:
            DataSubjectRestricted: nothing of this data subject may be deleted.
        """
        self._require_unrestricted(self._subject(place))
        group = _group(self._keys, place)
        self._audit.append("documents-deleted", actor, {**self._detail(place), "context": group.hex()})
        self._repository.delete_group(group)

    def _detail(self, place: Place) -> dict[str, object]:
        """The detail of an audit entry on a place: the owner of the documents there, as a token, for a search by
        data subject.
        """
        subject = self._subject(place)
        return {"resource": place.resource.value, **({} if subject is None else {"subject": subject.hex()})}

    # --- writing --------------------------------------------------------------------------------------

    def _require_free(self, subject: bytes | None) -> None:
        self._require_unrestricted(subject)
        if subject in self._states.current().refusing:
            raise DataSubjectRefused("This person objects to new data, so none is taken; nothing was stored.")

    def _require_unrestricted(self, subject: bytes | None) -> None:
        if subject in self._states.current().restricted:
            raise DataSubjectRestricted(
                "The data of this person are restricted: documents stay as they are until the restriction ends."
            )

    def _put_if(
        self, place: Place, address: _Address, content: Content, conditions: Conditions, source: str, actor: str
    ) -> None:
        for _ in range(_TRIES):
            current = self._repository.etag(address.id)
            self._require(place, address, conditions, current, actor)
            if self._stored(self._row(address, content, source), current):
                return
        raise _contended()

    def _stored(self, row: DocumentRow, current: bytes | None) -> bool:
        """Write where there is still what was looked at; False when another writer was first."""
        repository = self._repository
        done = repository.insert(row) if current is None else repository.replace(row, expected=current)
        if done:
            self._require_living(row)
        return done

    def _overwrite(self, row: DocumentRow) -> None:
        for _ in range(_TRIES):
            if self._repository.overwrite(row):
                self._require_living(row)
                return
        raise _contended()

    def _require_living(self, row: DocumentRow) -> None:
        """Take back what was just written if its learner's key was destroyed between the sealing and the writing."""
        if row.subject is not None and self._cipher.part(row.subject, row.id, "name", row.name) is None:
            self._repository.withdraw(row)
            raise Unavailable("The learner was erased in the meantime. Send the same request again.", retry_after=1)

    def _require(
        self, place: Place, address: _Address, conditions: Conditions, current: bytes | None, actor: str
    ) -> None:
        tag = None
        if current is not None:
            if conditions.tags:
                # Before the answer, whichever it is. `*` tells no more than a change without it.
                read = {"document": address.id.hex(), "count": 1, "compared": True}
                self._audit.append("documents-read", actor, {**self._detail(place), **read})
            # Stored tags are keyed: which of those named is it? Of any other it is enough that it is none of them.
            tag = next((each for each in conditions.tags if self._tag(address.id, each) == current), _ANOTHER)
        if conditions.fail(tag):
            raise PreconditionFailed(
                "The document is not as If-Match or If-None-Match say: read it again, and send its present ETag."
            )

    def _row(self, address: _Address, content: Content, source: str) -> DocumentRow:
        subject = address.subject
        body = content.type.encode("latin-1", "replace") + b"\n" + content.body
        return DocumentRow(
            address.id,
            address.groups,
            subject,
            source,
            self._now_us(),
            self._tag(address.id, etag(content.body)),
            self._cipher.encrypt(subject, encryption.place(address.id, "name"), address.name.encode()),
            self._cipher.encrypt(subject, encryption.place(address.id, "body"), body),
        )

    # --- tokens and seals -----------------------------------------------------------------------------

    def _address(self, place: Place) -> _Address:
        name = place.id or ""
        id = _token(self._keys, "document", place, place.registration, name)
        groups = {_group(self._keys, place), _group(self._keys, place._replace(registration=None))}
        return _Address(id, tuple(sorted(groups)), self._subject(place), name)

    def _subject(self, place: Place) -> bytes | None:
        return None if place.agent is None else self._keys.subject(place.agent)

    def _tag(self, id: bytes, tag: str) -> bytes:
        # A plain SHA-1 of a small document would tell it to whoever tries the likely contents.
        return self._keys.mac("document-etag", id + tag.encode("latin-1", "replace"))[: encryption.TOKEN_BYTES]


def _token(keys: OrganisationKeys, kind: str, place: Place, registration: str | None, *more: str) -> bytes:
    return encryption.token(keys, kind, place.resource.value, place.activity, place.agent, registration, *more)


def _group(keys: OrganisationKeys, place: Place) -> bytes:
    return _token(keys, "document-context", place, place.registration)


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def _require_size(content: Content) -> None:
    if len(content.body) > MAX_DOCUMENT_BYTES:
        raise BodyTooLarge(f"A document holds at most {MAX_DOCUMENT_BYTES} bytes; nothing was stored.")


def _conflict() -> DocumentConflict:
    return DocumentConflict(
        "There is a document here already, and it was not changed. Read it, then send If-Match with its ETag to "
        "replace it; If-None-Match: * says that there should be none."
    )


def _contended() -> Unavailable:
    return Unavailable("Others change this document all the time. Send the same request again.", retry_after=1)
