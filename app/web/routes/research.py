"""Routes of ``research/``: aggregates."""

from __future__ import annotations

from collections.abc import Sequence

from app.web.api import aggregates
from app.web.gate import Gate
from app.web.mounting import API, Mounted
from app.web.wiring import Needs


def routes(container: Needs, gate: Gate) -> Sequence[Mounted]:
    """The blueprint."""
    research = container.research
    return (Mounted(aggregates.blueprint(gate, research.aggregates, research.readings), API),)
