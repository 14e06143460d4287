"""The directory of schools: loaded edition by edition, asked for what is a school on a day, and where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date

from app.core import clock
from app.core.announcer import Announcer
from app.core.audit_sink import AuditSink
from app.core.errors import FileRefused, NotFound
from app.core.remembered import Remembered
from app.schools.store import TERRITORIES, LoadedDirectory, SchoolRepository
from app.standards.france import school_directory
from app.standards.france.school_directory import Days, School, SchoolEdition


class SchoolDirectory:
    """Editions of the directory. Safe to share between threads."""

    def __init__(self, repository: SchoolRepository, audit: AuditSink, announcer: Announcer) -> None:
        self._repository = repository
        self._audit = audit
        self._announcer = announcer
        self._known = Remembered(self._read)

    def load(self, content: bytes, since: date, *, actor: str) -> LoadedDirectory:
        """Keep an edition, in force from ``since`` until the next; in force everywhere when this returns.

        Args:
            content: The published file: CSV in UTF-8.
            since: The first day.
            actor: For the audit log.

        Raises:
            FileRefused: it is another file, or a line of it cannot be read.
        """
        try:
            schools = school_directory.parse(content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise FileRefused("The file is not UTF-8 text, so not the published directory of schools (CSV).") from None
        except ValueError as refused:
            raise FileRefused(f"The file is not the published directory of schools (CSV): {refused}.") from None
        detail = {"kind": "schools", "since": since.isoformat(), "codes": len(schools)}
        self._audit.append("nomenclature-loaded", actor, detail)
        edition = self._repository.add(
            schools,
            Days.of(schools, since),
            since=since,
            digest=hashlib.sha256(content).digest(),
            loaded=clock.now(),
        )
        self.forget()
        self._announcer.announce()
        return edition

    def list(self) -> Sequence[LoadedDirectory]:
        """Every edition ever loaded, in that order."""
        return self._repository.list()

    def editions(self) -> tuple[SchoolEdition, ...]:
        """The editions in force, oldest first: of those of one day, the one loaded last. The same object until another
        is loaded.
        """
        return self._known.get()[0]

    def digest(self) -> bytes:
        """Digest of the editions in force."""
        return self._known.get()[1]

    def _read(self) -> tuple[tuple[SchoolEdition, ...], bytes]:
        loaded = self._in_force()
        digest = hashlib.sha256()
        for each in loaded:
            digest.update(f"{each.since} ".encode() + each.digest)
        return tuple(SchoolEdition(each.since, self._repository.days(each.id)) for each in loaded), digest.digest()

    def find(self, identifiers: Sequence[str], day: date) -> Mapping[str, School]:
        """The schools with these UAI, as the edition in force on a day has them, by UAI; those that it has not are
        missing.
        """
        edition = self._on(day)
        return {} if edition is None else self._repository.find(edition.id, identifiers)

    def of_territory(self, territory: str, code: str, day: date) -> Sequence[School]:
        """The schools of a territory, as the edition in force on a day has them, by UAI.

        Args:
            territory: One of ``TERRITORIES``.
            code: Its code, as ``School`` has it.
            day: The day.

        Raises:
            NotFound: there is no such kind of territory.
        """
        if territory not in TERRITORIES:
            raise NotFound(f"Territories are among: {', '.join(TERRITORIES)}.")
        edition = self._on(day)
        return [] if edition is None else list(self._repository.of_territory(edition.id, territory, code))

    def forget(self) -> None:
        """Look again the next time."""
        self._known.forget()

    def _in_force(self) -> Sequence[LoadedDirectory]:
        latest = {each.since: each for each in self._repository.list()}
        return [each for _, each in sorted(latest.items())]

    def _on(self, day: date) -> LoadedDirectory | None:
        editions = self._in_force()
        return next((each for each in reversed(editions) if each.since <= day), editions[0] if editions else None)
