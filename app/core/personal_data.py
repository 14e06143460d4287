"""Personal data declared, and looked after, where they are kept.

Every collection says one of two things (``app.platform.mongo.collection.Declared``): what it holds of data subjects,
and what becomes of that, or why it holds nothing. One that says neither cannot be declared. What is said is done by the
collection's ``PersonalDataStore``, which finding, erasure, subject access exports and retention ask through the
catalogue (``app/operations/schema/catalogue.py``), knowing no store by name; what is done elsewhere, ``Personal.apart``
says where, and why. Files say the same (``PersonalFile``).

A test holds what is said against a store that has seen everything the product can keep
(``tests/operations/schema/test_personal_data.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias

_NONE: Mapping[str, int] = MappingProxyType({})
_NOWHERE: Mapping[str, str] = MappingProxyType({})

RIGHTS = ("locate", "export", "erase", "retain")
"""Tasks of a ``PersonalDataStore``; of those that one does not do ``Personal.apart`` says where, or why not."""


class Personal(NamedTuple):
    """Declaration of personal data.

    Attributes:
        what: What it is.
        locate: By what a data subject's are found.
        export: Where a subject access export has it (GDPR art. 15), or why not.
        erase: What an erasure does with it (GDPR art. 17).
        retain: What ends it.
        restore: Anything to say of restores, besides ``Declared.restored``.
        apart: Of ``RIGHTS``, those that its ``PersonalDataStore`` does not do: which file does, or why nothing is to be
            done.
    """

    what: str
    locate: str
    export: str
    erase: str
    retain: str
    restore: str = ""
    apart: Mapping[str, str] = _NOWHERE


class Impersonal(NamedTuple):
    """Nothing is held of data subjects, for a reason."""

    reason: str


Holding: TypeAlias = Personal | Impersonal


class Restored(Enum):
    """Outcome of a restore for a collection, where the database in force is the same store, later."""

    AS_BACKED_UP = "as the backup has them"
    """Data: they are of the moment of the backup again."""
    IN_FORCE = "those in force are kept"
    """Decisions: each that is in force takes the place of the backup's, so that a restore takes none back."""
    ADDED = "those in force are added"
    """A log that is only ever added to."""
    BY_ITSELF = "by a step of its own"
    """Keys, tombstones: ``app/operations/backup/`` says how."""
    NEVER = "in no backup"
    """The processes that live, messages on their way: nothing of it is true elsewhere, or later."""


class DataSubject(NamedTuple):
    """A data subject, as stores find what is theirs.

    Attributes:
        subjects: Subject tokens, those of anonymous groups of nobody else too.
        agents: Tokens by which statements name them as an agent.
        tokens: Every token by which statements name them, as an agent or a related agent.
        named: Every token by which entries of the audit log name them.
        identifiers: Canonical identifiers, pseudonyms included; none in an erasure, which keeps no identifier.
    """

    subjects: tuple[bytes, ...]
    agents: tuple[bytes, ...] = ()
    tokens: tuple[bytes, ...] = ()
    named: tuple[bytes, ...] = ()
    identifiers: tuple[str, ...] = ()


class Exported(NamedTuple):
    """A part of a subject access export.

    Attributes:
        path: Of its file: ``requests.json``; or, without a suffix, of files of at most a thousand items each:
            ``sessions/sessions`` for ``sessions/sessions-00001.json`` and so on.
        items: Each as JSON values, read as they are written; None for one that is damaged.
        words: What it is, to the data subject, by language (``fr``, ``en``), for the page and the README of the export;
            None: these have words of their own for it.
    """

    path: str
    items: Iterator[Mapping[str, object] | None]
    words: Mapping[str, str] | None = None


class Erasing(NamedTuple):
    """An erasure, for a store.

    Attributes:
        who: Who is erased; their keys are destroyed.
        until: What was stored later is not of before the erasure, microseconds since 1970 UTC.
        limit: How many documents go at a time.
        again: True: only what keys sealed that are gone; it was done before, and a process may have written meanwhile
            that had a key in hand when it was told.
    """

    who: DataSubject
    until: int
    limit: int
    again: bool = False


class Gone(NamedTuple):
    """Outcome of a batch of an erasure: how much went, and what of it is to be added to the receipt."""

    number: int
    counts: Mapping[str, int] = _NONE


class Ended(NamedTuple):
    """A learner whose account ended: subject token, tokens that find them, and what is stored before goes."""

    subject: bytes
    agents: tuple[bytes, ...]
    before: int


class Age(NamedTuple):
    """The number of a source, the instant of the oldest (microseconds), and the numbers of those due, and overdue."""

    kept: int
    oldest: int | None
    due: int
    overdue: int


class Ageing(Protocol):
    """Documents that end with the duration of a processing activity, by when they were written; of those held, none.

    Instants are microseconds since 1970 UTC. ``held``: subject tokens of data subjects who are restricted.
    """

    def age(self, source: str, due_before: int, overdue_before: int, held: Sequence[bytes] = ()) -> Age:
        """Everything of a source, and what of it is due."""

    def count(self, source: str, before: int, held: Sequence[bytes] = (), since: int = 0) -> int:
        """Number of those that the source wrote last, from ``since`` on and before."""

    def delete(self, source: str, before: int, limit: int, held: Sequence[bytes] = (), since: int = 0) -> int:
        """Delete what ``count`` counts, the oldest first, at most ``limit``; how many were."""

    def count_ended(self, source: str, ended: Sequence[Ended], since: int) -> int:
        """Number of those that go since their learner's account ended, of those written from ``since`` on."""

    def delete_ended(self, source: str, ended: Sequence[Ended], since: int, limit: int) -> int:
        """Delete what ``count_ended`` counts, at most ``limit``; how many were."""


class PersonalDataStore:
    """The part of a collection in the rights of the data subjects of whom it holds data.

    One for each collection with personal data, made by ``Declared.data``. It overrides what it has; what it leaves as
    it is here, ``Personal.apart`` explains. An ordinary one is a ``LearnerCollection``
    (``app/platform/mongo/learner_collection.py``).

    Attributes:
        name: Of the collection.
    """

    name: str

    def locate(self, who: DataSubject) -> Mapping[str, int]:
        """Numbers of what there is of a data subject, by name: ``sillage person find`` tells them."""
        del who
        return _NONE

    def holds(self, who: DataSubject) -> bool:
        """True if anything is held of a data subject; what is only kept to answer them (requests) does not count."""
        del who
        return False

    def export(self, who: DataSubject) -> Exported | None:
        """All of a data subject, for a subject access export; others who are named in it masked."""
        del who
        return None

    def foresee(self, who: DataSubject) -> Mapping[str, int]:
        """Numbers for the receipt of an erasure that are known before anything goes, and not counted as it does."""
        del who
        return _NONE

    def erase(self, asked: Erasing) -> Iterator[Gone]:
        """Delete what the destroyed keys sealed, by the batch; what came since under a new key stays.

        May be cut off anywhere and done again. The caller counts after each batch, so nothing is counted twice.
        """
        del asked
        return iter(())

    @property
    def ageing(self) -> Ageing | None:
        """Documents that end with the duration of a processing activity; None: none by themselves."""
        return None

    def expire(self, source: str, before: int) -> None:
        """Delete what has led to what it could once all that a source stored before an instant is gone."""
        del source, before


class PersonalFile(NamedTuple):
    """Personal data in a file.

    Attributes:
        what: What it is.
        retain: How long it is kept, and who ends it.
        erase: What an erasure does about it.
        restore: What a restore does about it.
    """

    what: str
    retain: str
    erase: str
    restore: str


class DeclaredFile(NamedTuple):
    """A kind of file that the product writes. Gathered in ``app/files.py``.

    Attributes:
        pattern: Its path in its folder: ``*`` is any part of a name, ``**`` any path below.
        folder: Where it is: a setting, or ``given`` for who runs the command.
        holds: What it holds of data subjects, or why nothing.
    """

    pattern: str
    folder: str
    holds: PersonalFile | Impersonal


GIVEN = "given"
"""The folder of a file whose place a command is given."""
