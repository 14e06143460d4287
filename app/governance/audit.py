"""The audit log: append-only, hash-chained, one chain for each writing process.

Each entry carries the MAC of the one before it and a MAC of itself under a key that the database does not hold, so an
entry that was altered, removed from the middle, inserted or moved shows. A chain whose end was cut off still fits
together. Two things make a cut show:

* A process goes on from the entry that it wrote last, whatever the database holds by then: a chain cut while its
  process lives has a gap from its next entry on.
* An *anchor*: an entry of another chain that quotes how far this one had come. The first entry of each chain is an
  anchor; each serving process and a job of the scheduler write one every few minutes, and quote the chains that grew
  since their own anchor before.

So a cut of a chain goes unseen only if every anchor that quotes what was cut is cut off with it, in chains whose
processes write no more, and so on for what quotes those. It follows that what nothing quoted yet can be cut as soon as
its process has ended, and that all chains together can be cut back to one moment while nothing runs. Against the second
there is the digest of an anchor, kept in another place: given it, ``verify`` proves the log up to that anchor.
"""

from __future__ import annotations

import base64
import binascii
import math
import os
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import orjson
import structlog

from app.errors import BadCursor, DatabaseUnavailable, Unsealable
from app.storage.audit import AuditRepository, Detail, Entry, Head
from app.storage.shared_write import SharedWrite
from app.vault.keys import OrganisationKeys

CHAIN_OPENED = "chain-opened"
CHAIN_CLOSED = "chain-closed"
ANCHOR = "anchor"
CREDENTIAL_CREATED = "credential-created"
CREDENTIAL_REVOKED = "credential-revoked"
SOURCE_ADDED = "source-added"
ACTIVITY_ADDED = "activity-added"
PROFILE_ADDED = "profile-added"
STATEMENTS_READ = "statements-read"
DOCUMENTS_READ = "documents-read"
DOCUMENTS_DELETED = "documents-deleted"
PERSON_READ = "person-read"
AGGREGATE_READ = "aggregate-read"
AUDIT_READ = "audit-read"
EXPORT_WRITTEN = "export-written"
RETENTION_STARTED = "retention-started"
RETENTION_APPLIED = "retention-applied"
CONFIGURATION_CHANGED = "configuration-changed"
NOMENCLATURE_LOADED = "nomenclature-loaded"
MINORS_DATA = "minors-data"
KEYS_SHOWN = "keys-shown"
KEYS_ROTATED = "keys-rotated"
KEYS_REWRAP_STARTED = "keys-rewrap-started"
KEYS_REWRAPPED = "keys-rewrapped"
KEYS_VERIFIED = "keys-verified"
KEY_RETIRED = "key-retired"
KEYS_COPIED = "keys-copied"
KEYS_RESTORED = "keys-restored"
PERSON_FOUND = "person-found"
ERASURE_STARTED = "erasure-started"
ERASURE_FINISHED = "erasure-finished"
ERASURES_REAPPLIED = "erasures-reapplied"
PERSON_ACCESS_STARTED = "person-access-started"
PERSON_ACCESS_GIVEN = "person-access-given"
PERSON_RESTRICTED = "person-restricted"
PERSON_UNRESTRICTED = "person-unrestricted"
STANDING_READ = "standing-read"
OBJECTION_NOTED = "objection-noted"
OBJECTION_WITHDRAWN = "objection-withdrawn"
STATEMENT_RECTIFIED = "statement-rectified"
REQUEST_OPENED = "request-opened"
REQUEST_IDENTIFIED = "request-identified"
REQUEST_EXTENDED = "request-extended"
REQUEST_DONE = "request-done"
REQUEST_REFUSED = "request-refused"
REQUEST_ACT = "request-act"
REQUEST_READ = "request-read"
ACCOUNTS_ANNOUNCED = "accounts-announced"

KINDS = frozenset(
    {
        CHAIN_OPENED,
        CHAIN_CLOSED,
        ANCHOR,
        CREDENTIAL_CREATED,
        CREDENTIAL_REVOKED,
        SOURCE_ADDED,
        ACTIVITY_ADDED,
        PROFILE_ADDED,
        STATEMENTS_READ,
        DOCUMENTS_READ,
        DOCUMENTS_DELETED,
        PERSON_READ,
        AGGREGATE_READ,
        AUDIT_READ,
        EXPORT_WRITTEN,
        RETENTION_STARTED,
        RETENTION_APPLIED,
        CONFIGURATION_CHANGED,
        NOMENCLATURE_LOADED,
        MINORS_DATA,
        KEYS_SHOWN,
        KEYS_ROTATED,
        KEYS_REWRAP_STARTED,
        KEYS_REWRAPPED,
        KEYS_VERIFIED,
        KEY_RETIRED,
        KEYS_COPIED,
        KEYS_RESTORED,
        PERSON_FOUND,
        ERASURE_STARTED,
        ERASURE_FINISHED,
        ERASURES_REAPPLIED,
        PERSON_ACCESS_STARTED,
        PERSON_ACCESS_GIVEN,
        PERSON_RESTRICTED,
        PERSON_UNRESTRICTED,
        STANDING_READ,
        OBJECTION_NOTED,
        OBJECTION_WITHDRAWN,
        STATEMENT_RECTIFIED,
        REQUEST_OPENED,
        REQUEST_IDENTIFIED,
        REQUEST_EXTENDED,
        REQUEST_DONE,
        REQUEST_REFUSED,
        REQUEST_ACT,
        REQUEST_READ,
        ACCOUNTS_ANNOUNCED,
    }
)

ANCHOR_EVERY_US = 10 * 60 * 1_000_000
"""How often a serving process quotes the ends of the chains, in microseconds."""

_log = structlog.stdlib.get_logger("sillage.audit")
_ANCHORING = (CHAIN_OPENED, ANCHOR)
_ANCHOR_RETRY_US = 60 * 1_000_000
_FIRST_PREV = bytes(32)
_MAC_PURPOSE = "audit"
# Clocks of two hosts may differ by this much without an anchor passing over an entry.
_CLOCK_MARGIN_US = 5 * 60 * 1_000_000
_TRIES = 5
_FINDINGS_SHOWN = 200


class Finding(NamedTuple):
    """What is wrong at one place of a chain.

    Attributes:
        chain: The chain; empty for an anchor that is nowhere.
        n: The place in it, from 0.
        kind: ``altered``, ``missing``, ``broken-link``, ``truncated``, ``after-close`` or ``anchor-missing``.
        message: What was found.
    """

    chain: str
    n: int
    kind: str
    message: str


class OpenChain(NamedTuple):
    """A chain without a closing entry: its process is alive, or was killed.

    Attributes:
        chain: The chain.
        last: Its last entry.
        last_at: When that was written, microseconds since 1970 UTC.
        anchored: Last entry that another chain vouches for, -1 for none; what follows it could have been cut.
    """

    chain: str
    last: int
    last_at: int
    anchored: int


class Verification(NamedTuple):
    """The outcome of a check of the whole log.

    Attributes:
        entries: Entries read.
        chains: Chains read.
        broken: How many things are wrong; ``findings`` shows the first of them.
        findings: What is wrong.
        open: Chains not closed: a notice, not a fault.
    """

    entries: int
    chains: int
    broken: int
    findings: tuple[Finding, ...]
    open: tuple[OpenChain, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return self.broken == 0


class Page(NamedTuple):
    """Entries, the newest first, and the cursor of those that follow; None at the end."""

    entries: list[Entry]
    next: str | None


class _New(NamedTuple):
    """An entry that has no place yet."""

    at: int
    kind: str
    actor: str
    detail: Detail


class Audit:
    """Writes this process's chain, and checks all of them.

    Threads share inserts (``app/storage/shared_write.py``). After a fork the child starts a chain of its own.
    """

    def __init__(
        self,
        repository: AuditRepository,
        keys: OrganisationKeys,
        clock: Callable[[], int],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """``clock`` gives microseconds since 1970 UTC. Nothing is read or written before the first entry."""
        self._repository = repository
        self._keys = keys
        self._clock = clock
        self._random = random_bytes
        self._begin()
        restart = weakref.WeakMethod(self._begin)

        def after_fork() -> None:
            begin = restart()
            if begin is not None:
                begin()

        os.register_at_fork(after_in_child=after_fork)

    def _begin(self) -> None:
        self._inserts: SharedWrite[_New, bytes] = SharedWrite(self._insert)
        self._chain = ""
        self._next = 0
        self._prev = _FIRST_PREV
        # After a failed insert nobody knows what of it was stored: the chain's end is read again.
        self._certain = True
        # When this process last read the ends of the others' chains to quote them, and when it is to do so again.
        self._quoted_at: int | None = None
        self._anchor_at = 0

    def append(self, kind: str, actor: str, detail: Detail) -> None:
        """Write an entry; it is durable when this returns.

        Args:
            kind: One of ``KINDS``.
            actor: Credential id, ``cli:<command>`` or ``job:<name>``.
            detail: JSON values, without personal data; blind tokens in hex are fine.

        Raises:
            TypeError: the detail holds what is not JSON.
            DatabaseUnavailable, StorageFull: the entry may not be stored; do not go on with what it was to record.
        """
        self._write(kind, actor, detail)

    def anchor(self, actor: str = "job:audit-anchor") -> str:
        """Quote the ends of the chains that grew since this process's last anchor.

        Returns:
            The MAC of the anchor in hex: kept outside the database, it proves the log up to now (``verify``).
        """
        at = self._clock()
        digest = self._write(ANCHOR, actor, {"heads": self._heads(at)}).hex()
        self._quoted_at = at
        return digest

    def anchor_if_due(self, now: int) -> str | None:
        """Write an anchor when there is none yet of this process, or ``ANCHOR_EVERY_US`` after the last one.

        For a process that serves, every few seconds, from one thread; costs nothing while none is due. The digest goes
        to the log of the process.

        Args:
            now: Microseconds since 1970 UTC, of the clock given to ``__init__``.

        Returns:
            The MAC of the anchor in hex, or None when none was due.

        Raises:
            DatabaseUnavailable, StorageFull: it may not be stored; it is due again in a minute.
        """
        if now < self._anchor_at:
            return None
        self._anchor_at = now + _ANCHOR_RETRY_US
        digest = self.anchor("process")
        self._anchor_at = now + ANCHOR_EVERY_US
        _log.info("audit log anchored", anchor=digest)
        return digest

    def close(self) -> None:
        """End this process's chain, if it has begun one; a later entry would begin another."""
        if not self._chain:
            return
        try:
            self._write(CHAIN_CLOSED, "process", {})
        except DatabaseUnavailable:
            # Once more: this process has no later occasion.
            if self._chain:
                self._write(CHAIN_CLOSED, "process", {})

    def verify(self, progress: Callable[[int], None] | None = None, anchors: Collection[str] = ()) -> Verification:
        """Read the whole log and check every entry, chain by chain; memory grows with chains, not entries.

        Args:
            progress: Told the number of entries read, now and then.
            anchors: What ``anchor`` returned once, kept outside the database: each of them must still be there. With it
                its own chain is proved up to it, and every other one up to what it quotes.
        """
        return _Check(self._genuine, self._claims(), anchors).run(self._repository.stream(), progress)

    def newest(self, kinds: Sequence[str] = (), before: int | None = None, limit: int = 100) -> list[Entry]:
        """The newest entries first; ``before`` in microseconds since 1970 UTC."""
        return self._repository.newest(kinds, before, None, limit).entries

    def page(self, kinds: Sequence[str], before: int | None, cursor: str | None, limit: int) -> Page:
        """The newest entries first, page by page: every entry that is there throughout comes once.

        Args:
            kinds: Of these kinds; of all when empty.
            before: Written before this, in microseconds since 1970 UTC.
            cursor: ``next`` of the page before, with the same kinds.
            limit: How many at most.

        Raises:
            BadCursor: the cursor was altered, or is of other kinds.
        """
        place = f"audit-cursor:{','.join(sorted(kinds))}"
        listed = self._repository.newest(kinds, before, self._opened(place, cursor), limit)
        if listed.further is None:
            return Page(listed.entries, None)
        # Sealed: what it says goes into a query as it is.
        sealed = self._keys.seal(place, listed.further)
        return Page(listed.entries, base64.urlsafe_b64encode(sealed).decode().rstrip("="))

    def _opened(self, place: str, cursor: str | None) -> bytes | None:
        if cursor is None:
            return None
        try:
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            return self._keys.open(place, sealed)
        except (Unsealable, binascii.Error, ValueError):
            raise BadCursor(
                "The cursor is not one given for this question. Ask again without it, or repeat the same parameters."
            ) from None

    # --- writing ------------------------------------------------------------------------------

    def _write(self, kind: str, actor: str, detail: Detail) -> bytes:
        if kind not in KINDS:
            raise ValueError(f"unknown kind of audit entry: {kind}")
        if not _is_json(detail):  # it fails its own caller, not all who share the insert
            raise TypeError("the detail of an audit entry is not JSON")
        return self._inserts.put(_New(self._clock(), kind, actor, detail))

    def _insert(self, group: Sequence[_New]) -> list[bytes]:
        """Write entries; the MAC of each."""
        # Nothing follows the end of a chain.
        order = sorted(range(len(group)), key=lambda place: group[place].kind == CHAIN_CLOSED)
        for _ in range(_TRIES):
            if not self._chain:
                self._open()
            if not self._certain:
                self._find_end()
            entries = self._entries([group[place] for place in order])
            self._certain = False
            if self._repository.insert(entries):
                self._next, self._prev = entries[-1].n + 1, entries[-1].mac
                self._certain = True
                if entries[-1].kind == CHAIN_CLOSED:
                    self._chain = ""
                macs = {place: entry.mac for place, entry in zip(order, entries, strict=True)}
                return [macs[place] for place in range(len(group))]
            # A place was taken: an earlier insert, given up for lost, came through after all.
        raise DatabaseUnavailable("The audit log could not be written.")

    def _open(self) -> None:
        at = self._clock()
        # Sorts by time, so that a listing by chain is a listing by age.
        chain = f"{at:016x}-{self._random(6).hex()}"
        opening = _New(at, CHAIN_OPENED, "process", {"heads": self._heads(at)})
        first = self._entry(chain, 0, _FIRST_PREV, opening)
        if not self._repository.insert([first]):
            raise DatabaseUnavailable("The audit log could not be opened.")
        self._chain, self._next, self._prev, self._certain = chain, 1, first.mac, True
        self._quoted_at = at

    def _find_end(self) -> None:
        head = self._repository.head(self._chain)
        # Never back: what was stored for certain and is gone was cut, and the gap is to show.
        if head is not None and head.n >= self._next:
            self._next, self._prev = head.n + 1, head.mac
        self._certain = True

    def _entries(self, group: Sequence[_New]) -> list[Entry]:
        n, prev = self._next, self._prev
        entries = []
        for new in group:
            entry = self._entry(self._chain, n, prev, new)
            entries.append(entry)
            n, prev = n + 1, entry.mac
        return entries

    def _entry(self, chain: str, n: int, prev: bytes, new: _New) -> Entry:
        bare = Entry(chain, n, new.at, new.kind, new.actor, new.detail, prev, b"")
        return bare._replace(mac=self._mac(bare))

    def _mac(self, entry: Entry) -> bytes:
        return self._keys.mac(_MAC_PURPOSE, _canonical(entry))

    def _genuine(self, entry: Entry) -> bool:
        # What is not JSON has no canonical form, and cannot have been written here.
        return _is_json(entry.detail) and entry.mac == self._mac(entry)

    def _heads(self, now: int) -> list[list[str | int]]:
        """The ends of the chains that grew since this process quoted them, or, at its first time, since anybody did."""
        last = self._repository.last_at(_ANCHORING, now) if self._quoted_at is None else self._quoted_at
        heads = self._repository.heads(0 if last is None else last - _CLOCK_MARGIN_US)
        # A chain's word on itself proves nothing.
        return _quoted(head for head in heads if head.chain != self._chain)

    # --- checking -----------------------------------------------------------------------------

    def _claims(self) -> dict[str, tuple[int, bytes]]:
        """How far each chain had come at least, with the MAC there, by the anchors that are themselves genuine."""
        claims: dict[str, tuple[int, bytes]] = {}
        for entry in self._repository.of_kinds(_ANCHORING):
            if not self._genuine(entry):
                continue
            for chain, n, mac in _unquoted(entry.detail):
                # A chain's word on itself proves nothing: it is cut together with it.
                if chain != entry.chain and n > claims.get(chain, (-1, b""))[0]:
                    claims[chain] = (n, mac)
        return claims


class _Check:
    """One pass over the log."""

    def __init__(
        self, genuine: Callable[[Entry], bool], claims: dict[str, tuple[int, bytes]], anchors: Collection[str]
    ) -> None:
        self._genuine = genuine
        self._claims = claims
        self._wanted = {anchor.lower() for anchor in anchors}
        self._findings: list[Finding] = []
        self._open: list[OpenChain] = []
        self._broken = 0
        self._entries = 0
        self._seen: set[str] = set()
        self._last: Entry | None = None
        self._closed_at: int | None = None

    def run(self, entries: Iterator[Entry], progress: Callable[[int], None] | None) -> Verification:
        for entry in entries:
            if self._last is None or entry.chain != self._last.chain:
                self._end_chain()
                self._begin_chain(entry)
            self._follow(entry)
            self._last = entry
            self._entries += 1
            if progress is not None and self._entries % 1_000 == 0:
                progress(self._entries)
        self._end_chain()
        for chain, (n, _) in sorted(self._claims.items()):
            if chain not in self._seen:
                self._found(chain, 0, "truncated", f"an anchor quotes {n + 1} entries; the chain is not there")
        for anchor in sorted(self._wanted):
            self._found("", 0, "anchor-missing", f"no genuine anchor has the digest {anchor}")
        return Verification(self._entries, len(self._seen), self._broken, tuple(self._findings), tuple(self._open))

    def _begin_chain(self, entry: Entry) -> None:
        self._seen.add(entry.chain)
        self._last = None
        self._closed_at = None
        if entry.n == 0 and (entry.kind != CHAIN_OPENED or entry.prev != _FIRST_PREV):
            self._found(entry.chain, 0, "altered", "the chain does not begin as a chain does")

    def _follow(self, entry: Entry) -> None:
        expected = 0 if self._last is None else self._last.n + 1
        genuine = self._genuine(entry)
        if entry.n != expected:
            last = entry.n - 1
            self._found(
                entry.chain, expected, "missing", f"entry {expected}" + (f" to {last}" if last > expected else "")
            )
        elif self._last is not None and entry.prev != self._last.mac:
            self._found(entry.chain, entry.n, "broken-link", "does not follow from the entry before it")
        if not genuine:
            self._found(entry.chain, entry.n, "altered", "was changed, inserted, or moved here from another place")
        if self._closed_at is not None:
            self._found(entry.chain, entry.n, "after-close", "comes after the end of its chain")
        claim = self._claims.get(entry.chain)
        if claim is not None and claim[0] == entry.n and claim[1] != entry.mac:
            self._found(entry.chain, entry.n, "altered", "is not the entry that an anchor quotes")
        if entry.kind == CHAIN_CLOSED and genuine:
            self._closed_at = entry.n
        if entry.kind in _ANCHORING and genuine:
            self._wanted.discard(entry.mac.hex())

    def _end_chain(self) -> None:
        last = self._last
        if last is None:
            return
        claimed = self._claims.get(last.chain, (-1, b""))[0]
        if claimed > last.n:
            self._found(
                last.chain,
                last.n + 1,
                "truncated",
                f"an anchor quotes {claimed + 1} entries; {last.n + 1} are left",
            )
        elif self._closed_at is None:
            self._open.append(OpenChain(last.chain, last.n, last.at, claimed))

    def _found(self, chain: str, n: int, kind: str, message: str) -> None:
        self._broken += 1
        if len(self._findings) < _FINDINGS_SHOWN:
            self._findings.append(Finding(chain, n, kind, message))


def _canonical(entry: Entry) -> bytes:
    """What an entry's MAC covers: all of it but the MAC, as JSON with sorted keys."""
    return orjson.dumps(
        [entry.chain, entry.n, entry.at, entry.kind, entry.actor, entry.prev.hex(), entry.detail],
        option=orjson.OPT_SORT_KEYS,
    )


def readable(value: object) -> object:
    """A detail as it can be shown: JSON, whatever the database holds by now; what is not JSON as text."""
    if isinstance(value, Mapping):
        return {str(name): readable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [readable(inner) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    return value if _is_json(value) else str(value)


def _is_json(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(inner) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return all(_is_json(inner) for inner in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63  # what BSON holds
    # By type: BSON has kinds of text of its own.
    return value is None or type(value) is str


def _quoted(heads: Iterator[Head]) -> list[list[str | int]]:
    return [[head.chain, head.n, head.mac.hex()] for head in heads]


def _unquoted(detail: Detail) -> Iterator[tuple[str, int, bytes]]:
    heads = detail.get("heads")
    if not isinstance(heads, list):
        return
    for head in heads:
        with suppress(TypeError, ValueError):
            chain, n, mac = head
            yield str(chain), int(n), bytes.fromhex(mac)
