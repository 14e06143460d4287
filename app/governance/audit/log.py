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
there is the digest of an anchor, kept in another place, or a signed checkpoint that holds it
(``app/governance/audit/checkpoints.py``): given it, ``verify`` proves the log up to that anchor.

A process that serves may write its readings to a **spool** on its host's disk (``app/governance/audit/spool.py``), from
where they follow to MongoDB within two seconds: a chain of their own, whose first entry names the host. So each chain
is written in one way alone, and its order holds. A chain of a spool that is not closed, whose process has ended and
whose file is not here, is a *gap*: what it holds beyond its last entry in MongoDB is on that host, or lost with it.

Entries that are old enough go (``app/governance/audit/retention.py``), from the front of their chains. Before they do,
an entry is written that says, of each of these chains, which is the last to go and its MAC. So ``verify`` knows what
was removed for its age from what was removed by somebody, for as long as anything refers to it.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import orjson
import structlog

from app.core.clock import Clock, RandomBytes, today
from app.core.counted import counted
from app.core.errors import BadCursor, DatabaseUnavailable, DecryptionFailed
from app.crypto.keys import OrganisationKeys
from app.governance.audit.store import AuditRepository, Detail, Entry, Head, Listed
from app.platform.mongo.group_commit import GroupCommit

CHAIN_OPENED = "chain-opened"
CHAIN_CLOSED = "chain-closed"
ANCHOR = "anchor"
CREDENTIAL_CREATED = "credential-created"
CREDENTIAL_REVOKED = "credential-revoked"
CREDENTIAL_ENDS = "credential-ends"
SOURCE_ADDED = "source-added"
ACTIVITY_ADDED = "activity-added"
PROFILE_ADDED = "profile-added"
STATEMENTS_READ = "statements-read"
DOCUMENTS_READ = "documents-read"
DOCUMENTS_DELETED = "documents-deleted"
PERSON_READ = "person-read"
AGGREGATE_READ = "aggregate-read"
OUTSIDE_PERIMETER = "outside-perimeter"
AUDIT_READ = "audit-read"
EXPORT_WRITTEN = "export-written"
RETENTION_STARTED = "retention-started"
RETENTION_APPLIED = "retention-applied"
RETENTION_RUN = "retention-run"
CONFIGURATION_CHANGED = "configuration-changed"
NOMENCLATURE_LOADED = "nomenclature-loaded"
MINORS_DATA = "minors-data"
MINORS_APPLY_STARTED = "minors-apply-started"
MINORS_APPLIED = "minors-applied"
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
RECIPIENTS_READ = "recipients-read"
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
REQUESTS_REMOVED = "requests-removed"
ACCOUNTS_ANNOUNCED = "accounts-announced"
BACKUP_WRITTEN = "backup-written"
BACKUP_RESTORED = "backup-restored"
TOMBSTONES_EXPORTED = "tombstones-exported"
AUDIT_CHECKPOINT = "audit-checkpoint"
AUDIT_CUT = "audit-cut"
INDEX_KEY_GIVEN_OUT = "index-key-given-out"
INDEX_KEY_RETIRED = "index-key-retired"
BODIES_RESEALED = "bodies-resealed"
LEARNERS_REKEY_STARTED = "learners-rekey-started"
LEARNERS_REKEYED = "learners-rekeyed"
DOCUMENTS_KEY_GIVEN_OUT = "documents-key-given-out"
DOCUMENTS_KEY_RETIRED = "documents-key-retired"
SOURCE_CLOSED = "source-closed"
SOURCE_MOVED = "source-moved"
ACTIVITY_ENDED = "activity-ended"
DELETION_STARTED = "deletion-started"
DELETION_APPLIED = "deletion-applied"
CERTIFICATES_REAPPLIED = "certificates-reapplied"
USER_ADDED = "user-added"
USER_CHANGED = "user-changed"
USER_REMOVED = "user-removed"
MAIL_GIVEN_UP = "mail-given-up"
LINK_CODE_GIVEN = "link-code-given"
LINK_MADE = "link-made"
LINK_ENDED = "link-ended"
OWN_DATA_READ = "own-data-read"
USER_INVITED = "user-invited"
SIGNED_IN = "signed-in"
SIGN_IN_REFUSED = "sign-in-refused"
SIGNED_OUT = "signed-out"

KINDS = frozenset(
    {
        CHAIN_OPENED,
        CHAIN_CLOSED,
        ANCHOR,
        CREDENTIAL_CREATED,
        CREDENTIAL_REVOKED,
        CREDENTIAL_ENDS,
        SOURCE_ADDED,
        ACTIVITY_ADDED,
        PROFILE_ADDED,
        STATEMENTS_READ,
        DOCUMENTS_READ,
        DOCUMENTS_DELETED,
        PERSON_READ,
        AGGREGATE_READ,
        OUTSIDE_PERIMETER,
        AUDIT_READ,
        EXPORT_WRITTEN,
        RETENTION_STARTED,
        RETENTION_APPLIED,
        RETENTION_RUN,
        CONFIGURATION_CHANGED,
        NOMENCLATURE_LOADED,
        MINORS_DATA,
        MINORS_APPLY_STARTED,
        MINORS_APPLIED,
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
        RECIPIENTS_READ,
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
        REQUESTS_REMOVED,
        ACCOUNTS_ANNOUNCED,
        BACKUP_WRITTEN,
        BACKUP_RESTORED,
        TOMBSTONES_EXPORTED,
        AUDIT_CHECKPOINT,
        AUDIT_CUT,
        INDEX_KEY_GIVEN_OUT,
        INDEX_KEY_RETIRED,
        BODIES_RESEALED,
        LEARNERS_REKEY_STARTED,
        LEARNERS_REKEYED,
        DOCUMENTS_KEY_GIVEN_OUT,
        DOCUMENTS_KEY_RETIRED,
        SOURCE_CLOSED,
        SOURCE_MOVED,
        ACTIVITY_ENDED,
        DELETION_STARTED,
        DELETION_APPLIED,
        CERTIFICATES_REAPPLIED,
        USER_ADDED,
        USER_CHANGED,
        USER_REMOVED,
        MAIL_GIVEN_UP,
        LINK_CODE_GIVEN,
        LINK_MADE,
        LINK_ENDED,
        OWN_DATA_READ,
        USER_INVITED,
        SIGNED_IN,
        SIGN_IN_REFUSED,
        SIGNED_OUT,
    }
)

SPOOLED = frozenset({STATEMENTS_READ, DOCUMENTS_READ, PERSON_READ, AGGREGATE_READ})
"""Kinds of the entries that go to the spool, where there is one."""

ANCHOR_EVERY_US = 10 * 60 * 1_000_000
"""Microseconds between anchors: entries of a serving process that quote the ends of the chains."""

_log = structlog.stdlib.get_logger("sillage.audit")
_ANCHORING = (CHAIN_OPENED, ANCHOR)
_ANCHOR_RETRY_US = 60 * 1_000_000
FIRST_PREV = bytes(32)
"""MAC of the entry before the first one of a chain."""
# Clocks of two hosts may differ by this much without an anchor passing over an entry.
_CLOCK_MARGIN_US = 5 * 60 * 1_000_000
_TRIES = 5
# A process that wrote nothing for so long begins another chain; less than any entry is kept (SILLAGE_AUDIT_DAYS).
_STALE_US = 25 * 86_400 * 1_000_000
_FINDINGS_SHOWN = 200
# A process that has just begun a chain in its spool is among those that live a heartbeat later.
_GAP_US = 10 * 1_000_000


class Finding(NamedTuple):
    """A fault at one place of a chain.

    Attributes:
        chain: The chain; empty for an anchor that is nowhere.
        n: The place in it, from 0.
        kind: ``altered``, ``missing``, ``broken-link``, ``truncated``, ``after-close``, ``damaged``, ``gap`` or
            ``anchor-missing``.
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
        host: The host in whose spool it is written; empty for a chain that is written to MongoDB at once.
    """

    chain: str
    last: int
    last_at: int
    anchored: int
    host: str = ""


class Front(NamedTuple):
    """Removal from the front of a chain: up to entry ``n``, whose MAC was ``mac``; said at ``at``."""

    n: int
    mac: bytes
    at: int


class Cuts(NamedTuple):
    """Removals of entries for their age, as the log records them.

    Attributes:
        before: Entries written before this may be gone, microseconds since 1970 UTC; 0 when nothing was removed yet.
        fronts: Of each chain, what was removed from its front.
        damaged: Chains that were found not to be whole, and kept for that.
    """

    before: int
    fronts: Mapping[str, Front]
    damaged: frozenset[str]


class Verification(NamedTuple):
    """The outcome of a check of the whole log.

    Attributes:
        entries: Entries read.
        chains: Chains read.
        broken: How many things are wrong; ``findings`` shows the first of them.
        findings: What is wrong.
        open: Chains not closed: a notice, not a fault.
        before: Entries written before this were removed for their age, microseconds since 1970 UTC; 0 for none.
    """

    entries: int
    chains: int
    broken: int
    findings: tuple[Finding, ...]
    open: tuple[OpenChain, ...]
    before: int = 0

    @property
    def intact(self) -> bool:
        """True if no fault was found."""
        return self.broken == 0


class Page(NamedTuple):
    """Entries, the newest first, and the cursor of those that follow; None at the end."""

    entries: list[Entry]
    next: str | None


class Asked(NamedTuple):
    """A query of the log; what is not given is any.

    Attributes:
        kinds: Of these kinds.
        since: Written at or after this, microseconds since 1970 UTC.
        before: Written before this.
        actor: By this one.
        tokens: About one of these: blind index entries in hexadecimal, as details hold them.
    """

    kinds: tuple[str, ...] = ()
    since: int | None = None
    before: int | None = None
    actor: str | None = None
    tokens: tuple[str, ...] = ()


class New(NamedTuple):
    """An entry that has no place yet."""

    at: int
    kind: str
    actor: str
    detail: Detail


class Behind(NamedTuple):
    """A host whose readings are not all in MongoDB.

    Attributes:
        host: Its name.
        chain: The chain in its spool.
        since: What it read from then on may be lacking, microseconds since 1970 UTC.
        lives: Whether the process that writes the chain lives.
    """

    host: str
    chain: str
    since: int
    lives: bool


class SpoolWriter(Protocol):
    """Takes the readings of this process, onto the disk of this host."""

    def append(self, new: New) -> None:
        """Append an entry; it is durable when this returns."""


class Spools(Protocol):
    """The spools of the hosts, as the log sees them."""

    def settle(self) -> None:
        """Have what waits on this host now shipped, if that is possible within seconds."""

    def living(self) -> frozenset[str]:
        """The chains of spools whose processes live."""

    def here(self) -> frozenset[str]:
        """The chains of the files on this host."""

    def findings(self) -> Sequence[Finding]:
        """Faults of the files on this host."""

    def behind(self) -> Sequence[Behind]:
        """The hosts whose readings are not all in MongoDB."""


class NoSpools:
    """No spools, of no host."""

    def settle(self) -> None:
        """Nothing waits."""

    def living(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def here(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def findings(self) -> Sequence[Finding]:
        """None."""
        return ()

    def behind(self) -> Sequence[Behind]:
        """None."""
        return ()


class Audit:
    """Writes this process's chain, and checks all of them.

    Threads share inserts (``app/platform/mongo/group_commit.py``). After a fork the child starts a chain of its own.
    """

    def __init__(
        self,
        repository: AuditRepository,
        keys: OrganisationKeys,
        clock: Clock,
        random_bytes: RandomBytes,
        context: Callable[[], Detail] = dict,
    ) -> None:
        """``clock`` gives microseconds since 1970 UTC. Nothing is read or written before the first entry.

        ``context`` gives what each entry says beside its own detail: for what the request is that writes it.
        """
        self._repository = repository
        self._keys = keys
        self._clock = clock
        self._random = random_bytes
        self._context = context
        self.spools: Spools = NoSpools()
        self._begin()
        restart = weakref.WeakMethod(self._begin)

        def after_fork() -> None:
            begin = restart()
            if begin is not None:
                begin()

        os.register_at_fork(after_in_child=after_fork)

    def _begin(self) -> None:
        self._spool: SpoolWriter | None = None
        self._inserts: GroupCommit[New, Entry] = GroupCommit(self._insert)
        self._chain = ""
        self._next = 0
        self._prev = FIRST_PREV
        self._last_at = 0
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
            detail: JSON values, without personal data; blind index entries in hex are fine.

        Raises:
            TypeError: the detail holds what is not JSON.
            DatabaseUnavailable, StorageFull, AuditUnavailable: the entry may not be stored; do not go on with what it
                was to record.
        """
        new = self._new(kind, actor, {**detail, **self._context()})
        if self._spool is not None and kind in SPOOLED:
            self._spool.append(new)
        else:
            self._inserts.put(new)

    def spool_to(self, spool: SpoolWriter | None) -> None:
        """Write the readings of this process to a spool from now on, or to MongoDB at once."""
        self._spool = spool

    def anchor(self, actor: str = "job:audit-anchor") -> str:
        """Quote the ends of the chains that grew since this process's last anchor.

        Returns:
            The MAC of the anchor in hex: kept outside the database, it proves the log up to now (``verify``).
        """
        return self.anchored(actor).mac.hex()

    def anchored(self, actor: str) -> Entry:
        """``anchor``, and the entry that it wrote."""
        at = self._clock()
        entry = self._write(ANCHOR, actor, {"heads": self._heads(at)})
        self._quoted_at = at
        return entry

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

    def verify(
        self,
        progress: Callable[[int], None] | None = None,
        anchors: Collection[str] = (),
        places: Collection[Head] = (),
    ) -> Verification:
        """Read the whole log and check every entry, chain by chain; memory grows with chains, not entries.

        Args:
            progress: Told the number of entries read, now and then.
            anchors: What ``anchor`` returned once, kept outside the database: each of them must still be there. With it
                its own chain is proved up to it, and every other one up to what it quotes.
            places: Entries that somebody vouches for outside the database.
        """
        # What waits on this host is checked in MongoDB, where it is in a moment; what cannot be shipped, where it is.
        self.spools.settle()
        cuts = self.cuts()
        claims = self.claims(cuts)
        for place in places:
            if place.n >= claims.get(place.chain, (-1, b""))[0]:
                claims[place.chain] = (place.n, place.mac)
        check = _Check(self.genuine, claims, anchors, cuts)
        known = self.spools.living() | self.spools.here()
        check.read(self._repository.stream(), progress)
        check.gaps(known | self.spools.living() | self.spools.here(), self._clock() - _GAP_US)
        check.add(self.spools.findings())
        return check.verification()

    def newest(self, kinds: Sequence[str] = (), before: int | None = None, limit: int = 100) -> list[Entry]:
        """The newest entries first; ``before`` in microseconds since 1970 UTC."""
        return self._repository.newest(kinds, before, None, limit).entries

    def newest_of_each(self, kind: str, name: str) -> list[Entry]:
        """The newest entry of a kind for each value of a field of its detail."""
        return self._repository.newest_of_each(kind, name)

    def search(self, asked: Asked, cursor: str | None, limit: int) -> Page:
        """The newest entries first that are as asked, page by page.

        Args:
            asked: What to look for. A search by tokens reads every entry of the period: no index knows them.
            cursor: ``next`` of the page before, with the same question.
            limit: How many at most.

        Raises:
            BadCursor: the cursor was altered, or is of another question.
        """
        if cursor is None:
            self.spools.settle()
        question = orjson.dumps([*asked._replace(kinds=tuple(sorted(asked.kinds)))]).decode()
        place = f"audit-search:{question}"
        listed = self._repository.newest(
            asked.kinds,
            asked.before,
            self._opened(place, cursor),
            limit,
            since=asked.since,
            actor=asked.actor,
            tokens=asked.tokens,
        )
        return self._page(place, listed)

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
        return self._page(place, self._repository.newest(kinds, before, self._opened(place, cursor), limit))

    def _page(self, place: str, listed: Listed) -> Page:
        if listed.further is None:
            return Page(listed.entries, None)
        # Sealed: what it says goes into a query as it is.
        return Page(listed.entries, self._keys.encrypt_cursor(place, listed.further, today()))

    def _opened(self, place: str, cursor: str | None) -> bytes | None:
        if cursor is None:
            return None
        try:
            return self._keys.decrypt_cursor(place, cursor, today())
        except DecryptionFailed:
            raise BadCursor(
                "The cursor is not one given for this question. Ask again without it, or repeat the same parameters."
            ) from None

    # --- writing ------------------------------------------------------------------------------

    def _write(self, kind: str, actor: str, detail: Detail) -> Entry:
        return self._inserts.put(self._new(kind, actor, detail))

    def _new(self, kind: str, actor: str, detail: Detail) -> New:
        if kind not in KINDS:
            raise ValueError(f"unknown kind of audit entry: {kind}")
        if not _is_json(detail):  # it fails its own caller, not all who share the insert
            raise TypeError("the detail of an audit entry is not JSON")
        return New(self._clock(), kind, actor, detail)

    def _insert(self, group: Sequence[New]) -> list[Entry]:
        """Write entries; each as it was written."""
        # Nothing follows the end of a chain.
        order = sorted(range(len(group)), key=lambda place: group[place].kind == CHAIN_CLOSED)
        if self._last_at and group[0].at - self._last_at > _STALE_US:
            # What this chain held may be old enough to have been removed, and with it what would vouch for its end.
            self._chain = ""
        for _ in range(_TRIES):
            if not self._chain:
                self._open()
            if not self._certain:
                self._find_end()
            entries = self._entries([group[place] for place in order])
            self._certain = False
            if self._repository.insert(entries):
                self._next, self._prev, self._last_at = entries[-1].n + 1, entries[-1].mac, entries[-1].at
                self._certain = True
                if entries[-1].kind == CHAIN_CLOSED:
                    self._chain = ""
                placed = dict(zip(order, entries, strict=True))
                return [placed[place] for place in range(len(group))]
            # A place was taken: an earlier insert, given up for lost, came through after all.
        raise DatabaseUnavailable("The audit log could not be written.")

    def _open(self) -> None:
        first = self.opening({})
        if not self._repository.insert([first]):
            raise DatabaseUnavailable("The audit log could not be opened.")
        self._chain, self._next, self._prev, self._certain, self._last_at = first.chain, 1, first.mac, True, first.at
        self._quoted_at = first.at

    def opening(self, detail: Detail) -> Entry:
        """The first entry of a chain that begins now, with ``detail`` beside the ends of the others; not written."""
        at = self._clock()
        # Sorts by time, so that a listing by chain is a listing by age.
        chain = f"{at:016x}-{self._random(6).hex()}"
        return self.entry(chain, 0, FIRST_PREV, New(at, CHAIN_OPENED, "process", {"heads": self._heads(at), **detail}))

    def closing(self, chain: str, n: int, prev: bytes, detail: Detail) -> Entry:
        """The last entry of a chain that ends now; not written."""
        return self.entry(chain, n, prev, New(self._clock(), CHAIN_CLOSED, "process", detail))

    def _find_end(self) -> None:
        head = self._repository.head(self._chain)
        # Never back: what was stored for certain and is gone was cut, and the gap is to show.
        if head is not None and head.n >= self._next:
            self._next, self._prev = head.n + 1, head.mac
        self._certain = True

    def _entries(self, group: Sequence[New]) -> list[Entry]:
        n, prev = self._next, self._prev
        entries = []
        for new in group:
            entry = self.entry(self._chain, n, prev, new)
            entries.append(entry)
            n, prev = n + 1, entry.mac
        return entries

    def entry(self, chain: str, n: int, prev: bytes, new: New) -> Entry:
        """An entry at its place, with its MAC; not written."""
        bare = Entry(chain, n, new.at, new.kind, new.actor, new.detail, prev, b"")
        return bare._replace(mac=self._keys.audit_mac(canonical(bare)))

    def genuine(self, entry: Entry) -> bool:
        """True if an entry is as this organisation wrote it, at this place of this chain."""
        # What is not JSON has no canonical form, and cannot have been written here.
        return _is_json(entry.detail) and self._keys.audited(entry.at, canonical(entry), entry.mac)

    def _heads(self, now: int) -> list[list[str | int]]:
        """The ends of the chains that grew since this process quoted them, or, at its first time, since anybody did."""
        last = self._repository.last_at(_ANCHORING, now) if self._quoted_at is None else self._quoted_at
        heads = self._repository.heads(0 if last is None else last - _CLOCK_MARGIN_US)
        # A chain's word on itself proves nothing.
        return _quoted(head for head in heads if head.chain != self._chain)

    # --- checking -----------------------------------------------------------------------------

    def cuts(self) -> Cuts:
        """Removals of entries for their age, by the entries that say so and are themselves genuine."""
        before = 0
        fronts: dict[str, Front] = {}
        damaged: set[str] = set()
        for entry in self._repository.of_kinds((AUDIT_CUT,)):
            if not self.genuine(entry):
                continue
            said = entry.detail.get("before")
            before = max(before, said if isinstance(said, int) else 0)
            kept = entry.detail.get("damaged")
            damaged.update(map(str, kept) if isinstance(kept, list) else ())
            for chain, n, mac in _unquoted(entry.detail, "fronts"):
                known = fronts.get(chain)
                # Said again later, it is still the same place: the later entry stays longer.
                if known is None or (n, entry.at) > (known.n, known.at):
                    fronts[chain] = Front(n, mac, entry.at)
        return Cuts(before, fronts, frozenset(damaged))

    def claims(self, cuts: Cuts) -> dict[str, tuple[int, bytes]]:
        """The least progress of each chain, with the MAC there, by the anchors that are themselves genuine."""
        claims: dict[str, tuple[int, bytes]] = {}
        for entry in self._repository.of_kinds(_ANCHORING):
            # What is older than what was removed quotes only what may be gone with it.
            if entry.at < cuts.before or not self.genuine(entry):
                continue
            for chain, n, mac in _unquoted(entry.detail):
                # A chain's word on itself proves nothing: it is cut together with it.
                if chain != entry.chain and n > claims.get(chain, (-1, b""))[0]:
                    claims[chain] = (n, mac)
        return claims


class _Check:
    """One pass over the log."""

    def __init__(
        self,
        genuine: Callable[[Entry], bool],
        claims: dict[str, tuple[int, bytes]],
        anchors: Collection[str],
        cuts: Cuts,
    ) -> None:
        self._genuine = genuine
        self._claims = claims
        self._cuts = cuts
        self._wanted = {anchor.lower() for anchor in anchors}
        self._findings: list[Finding] = []
        self._open: list[OpenChain] = []
        self._broken = 0
        self._entries = 0
        self._seen: set[str] = set()
        self._last: Entry | None = None
        self._closed_at: int | None = None
        self._host = ""

    def read(self, entries: Iterator[Entry], progress: Callable[[int], None] | None) -> None:
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
            front = self._cuts.fronts.get(chain)
            if chain not in self._seen and (front is None or front.n < n):
                self._found(
                    chain,
                    0,
                    "truncated",
                    f"an anchor quotes {counted(n + 1, 'entry', 'entries')}; the chain is not there",
                )
        for chain in sorted(self._cuts.damaged & self._seen):
            self._found(chain, 0, "damaged", "was found not to be whole when old entries were removed, and was kept")
        for anchor in sorted(self._wanted):
            self._found("", 0, "anchor-missing", f"no genuine anchor has the digest {anchor}")

    def gaps(self, known: Collection[str], before: int) -> None:
        """Find the chains of spools that are neither closed nor known, if their last entry is old enough."""
        for chain in self._open:
            if chain.host and chain.chain not in known and chain.last_at < before:
                self._found(
                    chain.chain,
                    chain.last + 1,
                    "gap",
                    f"the spool of host {chain.host} is not there: what it read from here on is on that host, or lost",
                )

    def add(self, findings: Iterable[Finding]) -> None:
        """Add what was found elsewhere."""
        for finding in findings:
            self._found(*finding)

    def verification(self) -> Verification:
        """The outcome."""
        return Verification(
            self._entries,
            len(self._seen),
            self._broken,
            tuple(self._findings),
            tuple(self._open),
            self._cuts.before,
        )

    def _begin_chain(self, entry: Entry) -> None:
        self._seen.add(entry.chain)
        self._last = None
        self._closed_at = None
        self._host = host_of(entry)
        if entry.n == 0 and (entry.kind != CHAIN_OPENED or entry.prev != FIRST_PREV):
            self._found(entry.chain, 0, "altered", "the chain does not begin as a chain does")

    def _follow(self, entry: Entry) -> None:
        front = self._cuts.fronts.get(entry.chain)
        if self._last is not None:
            expected = self._last.n + 1
        elif front is None:
            expected = 0
        else:
            # What was removed was removed in order, and a process that was killed at it left the rest.
            expected = min(entry.n, front.n + 1)
            if entry.n == front.n + 1 and entry.prev != front.mac:
                self._found(entry.chain, entry.n, "broken-link", "does not follow from what was removed for its age")
        if front is not None and entry.n == front.n and entry.mac != front.mac:
            self._found(entry.chain, entry.n, "altered", "is not the entry that was to be removed for its age")
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
            if entry.detail.get("damaged"):
                self._found(entry.chain, entry.n, "damaged", f"its spool on host {self._host} was altered; it is there")
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
                f"an anchor quotes {counted(claimed + 1, 'entry', 'entries')}; left: {last.n + 1}",
            )
        elif self._closed_at is None:
            self._open.append(OpenChain(last.chain, last.n, last.at, claimed, self._host))

    def _found(self, chain: str, n: int, kind: str, message: str) -> None:
        self._broken += 1
        if len(self._findings) < _FINDINGS_SHOWN:
            self._findings.append(Finding(chain, n, kind, message))


def host_of(entry: Entry) -> str:
    """The host in whose spool a chain is written, by its first entry; empty for none."""
    return str(entry.detail.get("host", "")) if entry.kind == CHAIN_OPENED else ""


def canonical(entry: Entry) -> bytes:
    """The bytes that an entry's MAC covers: all of it but the MAC, as JSON with sorted keys."""
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


def check_front(entries: Iterator[Entry], genuine: Callable[[Entry], bool], cuts: Cuts) -> bool:
    """True if the entries at the front of one chain are whole, and follow from what was removed before them."""
    check = _Check(genuine, {}, (), cuts)
    check.read(entries, None)
    return check.verification().intact


def _unquoted(detail: Detail, name: str = "heads") -> Iterator[tuple[str, int, bytes]]:
    heads = detail.get(name)
    if not isinstance(heads, list):
        return
    for head in heads:
        with suppress(TypeError, ValueError):
            chain, n, mac = head
            yield str(chain), int(n), bytes.fromhex(mac)
