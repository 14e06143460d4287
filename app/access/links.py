"""Sources under their processing activities."""

from __future__ import annotations

from app.access.credentials import Access
from app.access.store import Source, SourceRepository
from app.governance.register.service import Register, SourceLink


class SourceLinks:
    """The sources, each under its processing activity."""

    def __init__(self, sources: SourceRepository, register: Register) -> None:
        self._sources = sources
        self._register = register

    def list(self) -> list[SourceLink]:
        """Each source, under its processing activity."""
        return [
            SourceLink(source.id, source.activity, source.minors, source.minors_reason)
            for source in self._sources.list()
        ]

    def pupils_only(self) -> frozenset[str]:
        """The sources of which the register says that pupils are the only data subjects."""
        entries = {activity.id for activity in self._register.list() if activity.pupils_only}
        return frozenset(link.source for link in self.list() if link.activity in entries)


class Admission:
    """Admits data of sources whose processing activity is in force (GDPR art. 30: nothing is processed outside one)."""

    def __init__(self, credentials: Access, register: Register) -> None:
        self._credentials = credentials
        self._register = register

    def require(self, source: str) -> None:
        """Refuse to store anything for a source whose processing activity is not in force.

        Raises:
            RegisterInvalid: it is not.
        """
        self._register.require(self._credentials.source(source).activity)

    def source(self, source: str) -> Source:
        """The source of that id."""
        return self._credentials.source(source)
