"""Routes of ``retention/``: register, retention, audit log, ends of accounts."""

from __future__ import annotations

from collections.abc import Sequence

from app.web.api import accounts, retention
from app.web.gate import Gate
from app.web.mounting import API, Mounted
from app.web.wiring import Needs


def routes(container: Needs, gate: Gate) -> Sequence[Mounted]:
    """The blueprints."""
    governance, people = container.governance, container.people
    return (
        Mounted(
            retention.blueprint(
                gate,
                container.retention.service,
                governance.register,
                governance.audit,
                people.audit_search,
                people.recipients.labels,
            ),
            API,
        ),
        Mounted(accounts.blueprint(gate, container.retention.accounts), API),
    )
