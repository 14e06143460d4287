"""Receptions: disclosures to recipients, kept as long as the data; readings in the audit log are condensed before they
go.

GDPR art. 15(1)(c) and 19 ask for recipients for as long as data are kept; the audit log is kept a year, since it says
what each reader did when. So of the entries that are about to be removed, counts are kept by recipient, purpose, month
and what was asked for, with the span of each page (``stored`` of its first and last statement): which of them had a
data subject's data is worked out when somebody asks, as it is from the log. Nothing is written when statements are
read, nor for each data subject. Decided in ``docs/adr/0045-recipients.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Final, NamedTuple

import orjson
import zstandard

from app.core import clock
from app.core.personal_data import Erasing, Gone, PersonalDataStore
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import DOCUMENTS_READ, EXPORT_WRITTEN, PERSON_READ, STATEMENTS_READ
from app.governance.audit.store import AuditRepository, Entry
from app.people.access_package import reception_store
from app.people.access_package.export_summary import month_of
from app.people.access_package.reception_store import ReceptionRepository, ReceptionRow, place
from app.platform.mongo.collection import DataContext

KINDS: Final = (STATEMENTS_READ, PERSON_READ, DOCUMENTS_READ, EXPORT_WRITTEN)
"""Kinds of entries of which something is kept."""

GONE: Final = "gone"
"""Stands where a token of an erased data subject was: something was asked for, and nobody can tell what."""

_PIECE = 20_000
"""Entries condensed in one transaction."""


@dataclass(slots=True)
class Group:
    """Readings that are alike but for what they gave.

    Attributes:
        kind: Of the entries.
        credential: Who read.
        purpose: For what, as the reader said; None: it did not.
        activity: The processing activity that a source reads for; None: a person read.
        month: When, ``2026-11``.
        tokens: What was asked for, in hexadecimal, in order.
        count: How many readings.
        spans: ``stored`` of the first and the last statement of each page that had any, microseconds, one after the
            other.
        ids: Statements that were asked for by their ids: the first 64 bits of each, in hexadecimal.
    """

    kind: str
    credential: str
    purpose: str | None
    activity: str | None
    month: str
    tokens: tuple[str, ...]
    count: int = 0
    spans: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


class Export(NamedTuple):
    """A data package: when it was written (microseconds), and what the audit log said of it."""

    at: int
    actor: str
    detail: dict[str, Any]


class Kept(NamedTuple):
    """A condensed piece of the log."""

    groups: list[Group]
    exports: list[Export]


class Receptions:
    """Condenses, gives and forgets."""

    def __init__(
        self, repository: ReceptionRepository, keys: OrganisationKeys, log: AuditRepository, timezone: tzinfo
    ) -> None:
        """``timezone``: where months begin."""
        self._repository = repository
        self._keys = keys
        self._log = log
        self._timezone = timezone

    def condense(self, chain: str, last: int) -> None:
        """Keep what is to be kept of a chain's entries up to a place. May be cut off, and done again."""
        graves = self._repository.graves()
        made = _Piece(self._timezone, graves)
        for entry in self._log.readings(chain, KINDS, self._repository.condensed(chain), last):
            made.add(entry)
            if made.entries >= _PIECE:
                self._keep(made, chain, entry.n)
                made = _Piece(self._timezone, graves)
        self._keep(made, chain, last)

    def settle(self, chains: Sequence[str]) -> None:
        """Have what was condensed of these chains removed from them."""
        self._repository.settle(chains)

    def every(self) -> Iterator[Kept]:
        """All that is kept, piece by piece."""
        after: str | None = None
        while rows := self._repository.every(after):
            after = rows[-1].id
            for row in rows:
                yield self._opened(row)

    def since(self) -> int | None:
        """The instant of the first reading that is kept, microseconds; None when there is none."""
        return self._repository.since()

    def forget_data_subject(self, tokens: Iterable[bytes], now: int) -> None:
        """Forget what an erased data subject was asked for by, here and in what the audit log still has."""
        listed = [*tokens]
        # First, or what is condensed at this moment would bring them back.
        self._repository.bury(listed, now)
        self._forget(listed, GONE)

    def prune(self, before: int) -> int:
        """Forget what was read before anything that is left, and documents that are gone; how many rows went.

        Args:
            before: No entry of the audit log is older, microseconds.
        """
        self._repository.open_graves(before)
        self._forget(self._repository.dead_documents(), None)
        return self._repository.forget_before_statements()

    def _forget(self, tokens: Sequence[bytes], instead: str | None) -> None:
        gone = {token.hex() for token in tokens}
        while rows := self._repository.with_tokens(tokens) if tokens else []:
            for row in rows:
                kept = self._opened(row)
                groups = []
                for group in kept.groups:
                    left = tuple(token for token in group.tokens if token not in gone)
                    if left == group.tokens:
                        groups.append(group)
                    elif instead is not None and group.kind == STATEMENTS_READ:
                        # Others may have been on the same pages.
                        group.tokens = tuple(sorted((*left, instead)))
                        groups.append(group)
                    elif left:
                        group.tokens = left
                        groups.append(group)
                changed = Kept(groups, kept.exports)
                self._repository.replace(row, self._row(row, changed) if groups or kept.exports else None)

    def _keep(self, piece: _Piece, chain: str, n: int) -> None:
        rows = []
        for documents in (False, True):
            groups = [group for group in piece.groups.values() if (group.kind == DOCUMENTS_READ) is documents]
            exports = [] if documents else piece.exports
            if groups or exports:
                name = f"{chain}/{n}" + ("/documents" if documents else "")
                bare = ReceptionRow(name, piece.first, piece.last, (), documents, b"")
                rows.append(self._row(bare, Kept(groups, exports)))
        if rows:
            self._repository.keep(rows, chain, n)

    def _row(self, row: ReceptionRow, kept: Kept) -> ReceptionRow:
        tokens = {token for group in kept.groups for token in group.tokens if token != GONE}
        content = {"groups": [_packed(group) for group in kept.groups], "exports": [[*each] for each in kept.exports]}
        sealed = self._keys.encrypt(place(row.id), zstandard.compress(orjson.dumps(content), 9))
        return row._replace(tokens=tuple(sorted(map(bytes.fromhex, tokens))), sealed=sealed)

    def _opened(self, row: ReceptionRow) -> Kept:
        content = orjson.loads(zstandard.decompress(self._keys.decrypt(place(row.id), row.sealed)))
        return Kept([_unpacked(group) for group in content["groups"]], [Export(*one) for one in content["exports"]])


class ReceptionData(PersonalDataStore):
    """Condensed readings in the rights of data subjects."""

    name = reception_store.NAME

    def __init__(self, context: DataContext) -> None:
        # Nothing is condensed by it: months are of no importance.
        log = AuditRepository(context.store)
        self._receptions = Receptions(ReceptionRepository(context.store), context.keys, log, UTC)

    def erase(self, asked: Erasing) -> Iterator[Gone]:
        """Take out what they were asked for by."""
        if not asked.again:
            self._receptions.forget_data_subject(asked.who.named, clock.now_us())
        return iter(())


COLLECTIONS = tuple(
    declared._replace(data=ReceptionData) if declared.name == reception_store.NAME else declared
    for declared in reception_store.COLLECTIONS
)


class _Piece:
    """Entries of one chain while they are condensed."""

    def __init__(self, timezone: tzinfo, graves: dict[bytes, int]) -> None:
        self._timezone = timezone
        self._graves = {token.hex(): until for token, until in graves.items()}
        self.groups: dict[tuple[object, ...], Group] = {}
        self.exports: list[Export] = []
        self.entries = 0
        self.first, self.last = 1 << 62, 0

    def add(self, entry: Entry) -> None:
        self.entries += 1
        self.first, self.last = min(self.first, entry.at), max(self.last, entry.at)
        if entry.kind == EXPORT_WRITTEN:
            self.exports.append(Export(entry.at, entry.actor, dict(entry.detail)))
            return
        tokens = self._tokens(entry)
        if entry.kind != STATEMENTS_READ and not set(tokens) - {GONE}:
            return
        month = month_of(entry.at, self._timezone)
        purpose, activity = _text(entry.detail.get("purpose")), _text(entry.detail.get("activity"))
        key = (entry.kind, entry.actor, purpose, activity, month, tokens)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group(entry.kind, entry.actor, purpose, activity, month, tokens)
        group.count += 1
        first, last = entry.detail.get("first"), entry.detail.get("last")
        if isinstance(first, int) and isinstance(last, int):
            group.spans += (min(first, last), max(first, last))
        if "statement" in entry.detail:
            group.ids.append(str(entry.detail["statement"]).replace("-", "")[:16].lower())

    def _tokens(self, entry: Entry) -> tuple[str, ...]:
        detail = entry.detail
        named = detail.get("tokens")
        if entry.kind == DOCUMENTS_READ:
            named = [detail.get("document"), detail.get("context")]
        listed = [_token(each) for each in named] if isinstance(named, list) else []
        return tuple(
            sorted({GONE if self._graves.get(each, -1) >= entry.at else each for each in listed if each is not None})
        )


def _token(value: object) -> str | None:
    """A token as it stands in a detail; None for what is none."""
    try:
        return bytes.fromhex(value).hex() if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _packed(group: Group) -> list[object]:
    # Each span from the one before: they grow together, and small numbers pack.
    spans, before = [], 0
    for at in group.spans:
        spans.append(at - before)
        before = at
    return [
        *(group.kind, group.credential, group.purpose, group.activity, group.month),
        *(group.tokens, group.count, spans, group.ids),
    ]


def _unpacked(packed: list[Any]) -> Group:
    kind, credential, purpose, activity, month, tokens, count, steps, ids = packed
    spans, at = [], 0
    for step in steps:
        at += step
        spans.append(at)
    return Group(kind, credential, purpose, activity, month, tuple(tokens), count, spans, ids)
