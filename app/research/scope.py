"""The scope of research: statements that it counts, and data subjects whom it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Protocol

from app.access.links import SourceLinks
from app.access.restrictions.store import DataSubjectStates
from app.governance.kept_since import KeptSince
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Plain


class Scope(Protocol):
    """The scope of research."""

    def left_out(self) -> frozenset[bytes]:
        """The subjects that it is not made with (GDPR art. 18, 21)."""

    def pupils_only(self) -> Set[str]:
        """The sources whose only data subjects are pupils, as the register says."""

    def kept_since(self) -> int:
        """Every statement stored since is still there, but for erased and voided ones; microseconds."""

    def voided(self, since: int, before: int) -> Iterator[Sequence[Plain]]:
        """The statements that were voided, by when their voiding was stored, microseconds."""


class ResearchScope:
    """The scope of research, as the register, the rights of data subjects and the audit log have it."""

    def __init__(self, states: DataSubjectStates, links: SourceLinks, kept: KeptSince, reader: StatementReader) -> None:
        self._states = states
        self._links = links
        self._kept = kept
        self._reader = reader

    def left_out(self) -> frozenset[bytes]:
        """The subjects that it is not made with."""
        return self._states.current().out_of_research

    def pupils_only(self) -> Set[str]:
        """The sources whose only data subjects are pupils."""
        return self._links.pupils_only()

    def kept_since(self) -> int:
        """Every statement stored since is still there, but for erased and voided ones; microseconds."""
        return self._kept.microseconds()

    def voided(self, since: int, before: int) -> Iterator[Sequence[Plain]]:
        """The statements that were voided."""
        return self._reader.voided(since, before)
