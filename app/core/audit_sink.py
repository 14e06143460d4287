"""The audit log, as whoever writes to it and reads nothing sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class AuditSink(Protocol):
    """Takes entries of the audit log."""

    def append(self, kind: str, actor: str, detail: Mapping[str, object]) -> object:
        """Append an entry; it is durable when this returns.

        Args:
            kind: What happened: one of the kinds of ``app/governance/audit/log.py``.
            actor: Who did it: a credential, ``source:``, ``cli:`` or ``job:`` and its name.
            detail: What it happened to: JSON values, nothing that names a person.
        """
