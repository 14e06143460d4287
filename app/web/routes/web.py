"""Routes of no other package: what the store takes and answers, health, metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from app.access import scopes
from app.standards.xapi.decode import MAX_VALUES
from app.standards.xapi.identifiers import MAX_IDENTIFIER_LENGTH
from app.traces.statements.attachments import MAX_ATTACHMENTS
from app.web import operations
from app.web.gate import Gate
from app.web.mounting import XAPI, Mounted
from app.web.wiring import Needs
from app.web.xapi import about


def checks(container: Needs) -> Mapping[str, Callable[[], object]]:
    """The conditions of being ready, by name; each raises a ``SillageError`` where it does not hold."""
    lifecycle = container.lifecycle
    return {
        "database": lifecycle.reach,
        "clock": container.platform.store.clock.require,
        "audit": container.governance.require_spool,
        "migrations": operations.remembered(lifecycle.recheck, 5.0),
    }


def routes(container: Needs, gate: Gate) -> Sequence[Mounted]:
    """The blueprints."""
    settings = container.settings
    limits = {
        "bodyBytes": settings.max_body_bytes,
        "attachmentsBytes": settings.max_attachments_bytes,
        "attachmentsPerRequest": MAX_ATTACHMENTS,
        "statementsPerRequest": settings.max_batch,
        "statementBytes": settings.statement_bytes,
        "valuesPerRequest": MAX_VALUES,
        "identifierCharacters": MAX_IDENTIFIER_LENGTH,
        "statementsPerPage": settings.page_limit,
    }
    ready = checks(container)
    return (
        Mounted(about.blueprint(limits), XAPI),
        Mounted(
            operations.blueprint(
                container.web.metrics,
                ready,
                lambda: gate.principal(scopes.METRICS),
                trust_host=not settings.behind_tls,
                standing=container.web.standing,
            ),
            "",
        ),
    )
