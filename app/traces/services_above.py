"""Services of layers above, as those of ``traces/`` ask them."""

from __future__ import annotations

from typing import Protocol

from app.governance.wiring import OverHttp
from app.traces.erasures import ErasuresUnderWay
from app.traces.refusal_counter import RefusalCounter


class ErasingServices(Protocol):
    """The services of ``people/`` that these ask."""

    @property
    def erasure_repository(self) -> ErasuresUnderWay:
        """Erasures under way."""


class CountingWeb(OverHttp, Protocol):
    """The services of ``web/`` that these, and those below, ask."""

    @property
    def metrics(self) -> RefusalCounter:
        """Counters of this process."""
