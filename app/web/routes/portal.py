"""Routes of pages for people."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from app.operations.measures import Measures
from app.web.gate import Gate
from app.web.mounting import Mounted
from app.web.portal import public
from app.web.portal.assets import Assets
from app.web.portal.frame import Frame, Installation
from app.web.portal.public_record import PublicRecord
from app.web.wiring import Needs


def routes(container: Needs, _: Gate) -> Sequence[Mounted]:
    """The blueprint; none where the operator wants no pages."""
    settings, platform = container.settings, container.platform
    if not settings.portal:
        return ()
    record = PublicRecord(
        register=container.governance.register,
        statements=container.traces.statements,
        aggregates=container.research.aggregates,
        profiles=container.traces.profiles,
        sources=container.access.sources_repository,
        measures=Measures(platform.store),
        zone=platform.zone,
    )
    frame = Frame(Installation.of(settings), platform.today, urlsplit(settings.public_url).path.rstrip("/"))
    return (Mounted(public.blueprint(frame, record, Assets()), ""),)
