"""Since when retention cannot have deleted anything: what is counted again from statements must find them all."""

from __future__ import annotations

from app.core import clock
from app.governance.audit.log import RETENTION_STARTED
from app.governance.audit.store import AuditRepository
from app.governance.register.service import Register

_DAY_US = 86_400 * 1_000_000


class KeptSince:
    """Reads it from the durations in force, and from what the audit log says of deletions that were begun."""

    def __init__(self, register: Register, log: AuditRepository) -> None:
        self._register = register
        self._log = log

    def microseconds(self) -> int:
        """Every statement stored since is still there, but for erased and voided ones; microseconds since 1970 UTC."""
        now = clock.now_us()
        cutoffs = [now - activity.retention.active_days * _DAY_US for activity in self._register.list()]
        for entry in self._log.of_kinds((RETENTION_STARTED,)):
            cutoff = entry.detail.get("stored_before")
            if isinstance(cutoff, int):
                cutoffs.append(cutoff)
            if "accounts" in entry.detail:
                # Of learners whose account ended, what was stored later went too.
                cutoffs.append(entry.at)
        return max(cutoffs, default=0)
