"""The nomenclature of courses of study (MEF): loaded edition by edition, looked up on the date of a statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from hashlib import blake2b

from app.core import clock
from app.core.announcer import Announcer
from app.core.audit_sink import AuditSink
from app.core.errors import FileRefused
from app.core.remembered import Remembered
from app.standards.france import mef
from app.standards.france.mef import Edition, Nomenclature
from app.traces.conformance.nomenclature_store import LoadedEdition, NomenclatureRepository


def read(content: bytes) -> Nomenclature:
    """The nomenclature in the bytes of the published CSV file.

    Raises:
        FileRefused: it is another file.
    """
    try:
        return mef.parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise FileRefused("The file is not UTF-8 text, so not the published nomenclature (CSV).") from None
    except ValueError as refused:
        raise FileRefused(f"The file is not the published nomenclature (CSV): {refused}.") from None


class Nomenclatures:
    """Editions of the nomenclature. Safe to share between threads."""

    def __init__(
        self,
        repository: NomenclatureRepository,
        audit: AuditSink,
        announcer: Announcer,
    ) -> None:
        self._repository = repository
        self._audit = audit
        self._announcer = announcer
        self._editions = Remembered(self._read)

    def load(self, content: bytes, since: date, *, actor: str) -> LoadedEdition:
        """Keep an edition, in force from ``since`` until the next; in force everywhere when this returns.

        Raises:
            FileRefused: it is not the published CSV file.
        """
        edition = LoadedEdition(since, content, len(read(content).courses), clock.now())
        self._audit.append("nomenclature-loaded", actor, {"since": since.isoformat(), "codes": edition.codes})
        self._repository.add(edition)
        self.forget()
        self._announcer.announce()
        return edition

    def list(self) -> Sequence[LoadedEdition]:
        """Every edition ever loaded, in that order."""
        return self._repository.list()

    def editions(self) -> tuple[Edition, ...]:
        """The editions in force: of those of one day, the one loaded last."""
        return self._editions.get()[0]

    def digest(self) -> bytes:
        """Digest of the editions in force."""
        return self._editions.get()[1]

    def _read(self) -> tuple[tuple[Edition, ...], bytes]:
        latest = sorted({each.since: each for each in self._repository.list()}.items())
        digest = blake2b()
        for since, each in latest:
            digest.update(f"{since} {len(each.content)} ".encode())
            digest.update(each.content)
        return tuple(Edition(since, read(each.content)) for since, each in latest), digest.digest()

    def forget(self) -> None:
        """Look again the next time."""
        self._editions.forget()
