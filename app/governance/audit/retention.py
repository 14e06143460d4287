"""Retention of the audit log itself: it holds who read what, so it is personal data of those who read.

CNIL, deliberation 2021-122 of 14 October 2021 on logging: six months to a year, unless something asks for more. Entries
go from the front of their chains, once they were found whole. Before they go an entry says which
(``app/governance/audit/log.py``). What is to be kept of readings as long as the data is taken from them before
(``app/people/access_package/receptions.py``). A chain that is not whole, or was cut, stays as it is: evidence is not
tidied away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import structlog

from app.governance.audit.log import AUDIT_CUT, Audit, Cuts, check_front
from app.governance.audit.store import AuditRepository, Entry

DAY_US = 86_400 * 1_000_000

_CHAINS_AT_ONCE = 200
_log = structlog.stdlib.get_logger("sillage.audit")


class Removed(NamedTuple):
    """Removal of entries for their age, done or planned.

    Attributes:
        before: Entries written before this, microseconds since 1970 UTC.
        entries: How many.
        chains: From how many chains.
        damaged: Chains left as they are, because something is wrong with them.
    """

    before: int
    entries: int
    chains: int
    damaged: tuple[str, ...]


class Condenser(Protocol):
    """Keeps of entries what is to outlive them."""

    def condense(self, chain: str, last: int) -> None:
        """Keep what is to outlive a chain's entries up to this place, durably."""

    def settle(self, chains: Sequence[str]) -> None:
        """The entries of these chains are gone up to the places that were condensed."""


class AuditRetention:
    """Removes what is old from the audit log."""

    def __init__(
        self,
        audit: Audit,
        repository: AuditRepository,
        days: int,
        condenser: Condenser | None = None,
    ) -> None:
        """Nothing is removed yet.

        Args:
            audit: The log.
            repository: Its entries.
            days: How long an entry is kept.
            condenser: Keeps what is to outlive the entries, if anything is.
        """
        self._audit = audit
        self._repository = repository
        self._days = days
        self._condenser = condenser

    def apply(
        self,
        now: int,
        *,
        dry_run: bool,
        actor: str = "job:retention",
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Removed:
        """Remove what is older than is kept. May be cut off anywhere, and goes on at the next time.

        Args:
            now: Microseconds since 1970 UTC.
            dry_run: Only say what would be removed.
            actor: For the log.
            check: Called before each step; what it raises ends the run.
            progress: Told how many chains were gone through, and how many there are.
        """
        before = now - self._days * DAY_US
        cuts = self._audit.cuts()
        claims = self._audit.claims(cuts)
        chains = self._repository.chains_before(before)
        removed = touched = done = 0
        damaged: list[str] = []
        waiting = iter(chains)
        while group := list(islice(waiting, _CHAINS_AT_ONCE)):
            check()
            fronts = []
            for chain in group:
                last = self._repository.last_before(chain, before)
                if last is None:
                    continue
                if chain in cuts.damaged or not self._whole(chain, last, cuts, claims.get(chain, (-1, b""))[0]):
                    damaged.append(chain)
                    continue
                fronts.append(last)
            removed += self._remove(before, fronts, cuts, actor, dry_run)
            touched += len(fronts)
            done += len(group)
            progress(done, len(chains))
        if not dry_run:
            self._say_again(before, set(chains), cuts, actor)
            if damaged:
                # What showed it may itself be removed today.
                self._audit.append(AUDIT_CUT, actor, {"before": before, "fronts": [], "damaged": damaged})
        if damaged:
            _log.error("audit chains are not whole and were left", chains=len(damaged))
        return Removed(before, removed, touched, tuple(damaged))

    def _whole(self, chain: str, last: Entry, cuts: Cuts, claimed: int) -> bool:
        if last.n < 0 or not check_front(self._repository.front(chain, last.n), self._audit.genuine, cuts):
            return False
        # An anchor quotes more than is left: its end was cut. Gone for its age, that would show no more.
        head = self._repository.head(chain)
        return head is not None and head.n >= claimed

    def _remove(self, before: int, fronts: list[Entry], cuts: Cuts, actor: str, dry_run: bool) -> int:
        if not fronts:
            return 0
        if not dry_run:
            for last in fronts:
                if self._condenser is not None:
                    self._condenser.condense(last.chain, last.n)
            self._say(before, [(last.chain, last.n, last.mac) for last in fronts], actor)
        removed = 0
        for last in fronts:
            if dry_run:
                gone = cuts.fronts.get(last.chain)
                removed += last.n - (-1 if gone is None else gone.n)
            else:
                removed += self._repository.remove_front(last.chain, last.n)
        if not dry_run and self._condenser is not None:
            self._condenser.settle([last.chain for last in fronts])
        return removed

    def _say_again(self, before: int, done: set[str], cuts: Cuts, actor: str) -> None:
        """Record again the removals whose own entries are now old enough to go, of chains that are still there."""
        old = [
            (chain, front.n, front.mac)
            for chain, front in cuts.fronts.items()
            if front.at < before and chain not in done and self._repository.head(chain) is not None
        ]
        if old:
            self._say(before, old, actor)

    def _say(self, before: int, fronts: list[tuple[str, int, bytes]], actor: str) -> None:
        said = [[chain, n, mac.hex()] for chain, n, mac in fronts]
        # Durable before anything goes: what is gone without it was not removed here.
        self._audit.append(AUDIT_CUT, actor, {"before": before, "fronts": said})
