"""Routes of ``traces/``: statements, documents, Agents, Activities, verdicts, checks before sending."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from app.web.api import check, verdicts
from app.web.gate import Gate
from app.web.mounting import API, XAPI, Mounted
from app.web.wiring import Needs
from app.web.xapi import activities, agents, documents, statements


def routes(container: Needs, gate: Gate) -> Sequence[Mounted]:
    """The blueprints."""
    settings, traces = container.settings, container.traces
    credentials, reaches = container.access.credentials, container.access.reaches
    return (
        Mounted(
            statements.blueprint(
                gate=gate,
                access=credentials,
                reaches=reaches,
                recorder=traces.recorder,
                statement_queries=traces.statement_queries,
                audit=container.governance.audit,
                metrics=container.web.metrics,
                turns=traces.turns,
                max_body_bytes=settings.max_body_bytes,
                max_attachments_bytes=settings.max_attachments_bytes,
                page_limit=settings.page_limit,
                prefix=urlsplit(settings.public_url).path.rstrip("/") + XAPI,
            ),
            XAPI,
        ),
        Mounted(
            documents.blueprint(
                gate=gate, access=credentials, documents=traces.documents, max_body_bytes=settings.max_body_bytes
            ),
            XAPI,
        ),
        Mounted(agents.blueprint(gate, traces.agents, reaches), XAPI),
        Mounted(activities.blueprint(gate, traces.activities, traces.statement_queries, reaches), XAPI),
        Mounted(verdicts.blueprint(gate, traces.profiles, traces.sessions, traces.arrivals, reaches), API),
        Mounted(check.blueprint(gate, credentials, traces.checking, traces.turns, settings.max_body_bytes), API),
    )
