"""Sources and their credentials."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pymongo.errors import DuplicateKeyError

from app.access.perimeters import EVERYTHING, Perimeter
from app.core.errors import RegisterInvalid
from app.core.personal_data import Impersonal, Personal, Restored
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, translated

SOURCES = "sources"
CREDENTIALS = "credentials"
COLLECTIONS = (
    Declared(SOURCES, Impersonal("sources: tools and organisations")),
    Declared(
        CREDENTIALS,
        Personal(
            what="labels of credentials, which may name a colleague; secrets are hashed",
            locate="`label`",
            export="none: of staff, told by the operator",
            erase="`credential revoke`; labels are the operator's",
            retain="with the credential",
            apart={
                "locate": "none: of staff, whom `sillage credential list` tells",
                "export": "none: of staff, told by the operator",
                "erase": "`app/access/credentials.py`: revoked by the operator; labels stay, for who read",
                "retain": "`app/access/credentials.py`: with the credential",
            },
        ),
        (Index("source", (("source", 1),)),),
        restored=Restored.IN_FORCE,
    ),
)


class Source(NamedTuple):
    """A registered producer of statements.

    Attributes:
        id: Slug, also in each statement's document.
        name: What people call it.
        activity: The processing activity it belongs to.
        profiles: IRIs of the xAPI Profiles it promises.
        mode: What becomes of a statement that fails them: ``observe``, ``warn`` or ``reject``.
        created: When it was registered.
        matching: When several templates match a statement: ``every`` one must be followed, or ``any``.
        patterns: How its sessions are held to patterns: ``off``, ``job`` (by a job, in order of timestamp) or ``live``
            (as they arrive, too).
        minors: What becomes of names, e-mail addresses and national pupil numbers in its statements: ``off`` (nothing),
            ``refuse``, ``strip`` or ``pseudonymise``.
        closed: Since when nothing is accepted of it any more; None: it is open.
        minors_reason: Why it has another policy than ``pseudonymise`` under an activity that concerns minors; empty
            otherwise, and where it was chosen before a reason was asked for.
    """

    id: str
    name: str
    activity: str
    profiles: tuple[str, ...]
    mode: str
    created: datetime
    matching: str = "every"
    patterns: str = "job"
    minors: str = "off"
    closed: datetime | None = None
    minors_reason: str = ""


class StoredCredential(NamedTuple):
    """A credential as kept: the secret only as its SHA-256 digest (32 bytes). ``ends``: the instant from which it is
    good no more, None for no end. ``perimeter``: the part of what is kept that it may read.
    """

    id: str
    source: str | None
    label: str
    scopes: tuple[str, ...]
    digest: bytes
    created: datetime
    revoked: datetime | None
    ends: datetime | None = None
    perimeter: Perimeter = EVERYTHING


class SourceRepository:
    """Reads and writes sources and credentials."""

    def __init__(self, store: Store) -> None:
        self._sources = store.collection(SOURCES)
        self._credentials = store.collection(CREDENTIALS)

    def add(self, source: Source) -> None:
        """Register a source.

        Raises:
            RegisterInvalid: the id is taken.
        """
        document = source._asdict()
        document["_id"] = document.pop("id")
        document["profiles"] = list(source.profiles)
        with translated():
            try:
                self._sources.insert_one(document)
            except DuplicateKeyError:
                raise RegisterInvalid(f"A source named {source.id} is registered already.") from None

    def replace(self, source: Source) -> None:
        """Write the new state of a registered source."""
        with translated():
            self._sources.update_one(
                {"_id": source.id},
                {
                    "$set": {
                        "name": source.name,
                        "activity": source.activity,
                        "profiles": list(source.profiles),
                        "mode": source.mode,
                        "matching": source.matching,
                        "patterns": source.patterns,
                        "minors": source.minors,
                        "minors_reason": source.minors_reason,
                    }
                },
            )

    def close(self, id: str, at: datetime) -> None:
        """Mark a source as closed, if it is not; and revoke what credentials it has."""
        with translated():
            self._sources.update_one({"_id": id, "closed": None}, {"$set": {"closed": at}})
            self._credentials.update_many({"source": id, "revoked": None}, {"$set": {"revoked": at}})

    def move(self, id: str, activity: str) -> None:
        """Put a source under another processing activity."""
        with translated():
            self._sources.update_one({"_id": id}, {"$set": {"activity": activity}})

    def get(self, id: str) -> Source | None:
        """One source."""
        with translated():
            document = self._sources.find_one({"_id": id})
        return _source(document) if document else None

    def open(self) -> int:
        """The number of sources from which something is taken."""
        with translated():
            return self._sources.count_documents({"closed": None})

    def list(self) -> Sequence[Source]:
        """Every source, by id."""
        with translated():
            return [_source(document) for document in self._sources.find({}).sort("_id", 1)]

    def add_credential(self, credential: StoredCredential) -> None:
        """Keep a new credential."""
        document = credential._asdict()
        document["_id"] = document.pop("id")
        document["scopes"] = [*credential.scopes]
        document["digest"] = credential.digest
        document["perimeter"] = credential.perimeter.document()
        with translated():
            self._credentials.insert_one(document)

    def end(self, id: str, ends: datetime) -> None:
        """Give a credential an end."""
        with translated():
            self._credentials.update_one({"_id": id}, {"$set": {"ends": ends}})

    def credential(self, id: str) -> StoredCredential | None:
        """One credential, revoked or not."""
        with translated():
            document = self._credentials.find_one({"_id": id})
        return _credential(document) if document else None

    def issued(self, id: str, digest: bytes) -> StoredCredential | None:
        """The credential with this id and this digest of its secret, unless it is revoked."""
        wanted: Document = {"_id": id, "digest": digest, "revoked": None}
        with translated():
            document = self._credentials.find_one(wanted)
        return _credential(document) if document else None

    def credentials(self, source: str | None = None) -> Sequence[StoredCredential]:
        """Every credential, oldest first; those of one source when given."""
        with translated():
            found = self._credentials.find({} if source is None else {"source": source}).sort("created", 1)
            return [_credential(document) for document in found]

    def revoke(self, ids: Sequence[str], at: datetime) -> int:
        """Mark credentials as revoked; returns how many were not before."""
        with translated():
            answer = self._credentials.update_many({"_id": {"$in": [*ids]}, "revoked": None}, {"$set": {"revoked": at}})
        return int(answer.modified_count)


def _source(document: Document) -> Source:
    return Source(
        document["_id"],
        document["name"],
        document["activity"],
        tuple(document["profiles"]),
        document["mode"],
        document["created"],
        document["matching"],
        document["patterns"],
        document["minors"],
        document.get("closed"),
        document["minors_reason"],
    )


def _credential(document: Document) -> StoredCredential:
    return StoredCredential(
        document["_id"],
        document["source"],
        document["label"],
        tuple(document["scopes"]),
        bytes(document["digest"]),
        document["created"],
        document["revoked"],
        document.get("ends"),
        Perimeter.of_document(document.get("perimeter", {})),
    )
