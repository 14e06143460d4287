"""A reader of made-up statements, and aggregates on a real database."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.crypto.keys import OrganisationKeys
from app.platform.mongo.connection import Store
from app.research.aggregates import Aggregates
from app.research.store import AggregateRepository
from app.settings import Settings
from tests.research.statements import MadeUpReader
from tests.sinks import Everybody


@pytest.fixture
def reader() -> MadeUpReader:
    return MadeUpReader()


@pytest.fixture
def repository(store: Store, vault: OrganisationKeys) -> AggregateRepository:
    return AggregateRepository(store, vault)


@pytest.fixture
def make(
    repository: AggregateRepository, reader: MadeUpReader, vault: OrganisationKeys, settings: Settings
) -> Callable[..., Aggregates]:
    """Aggregates on that reader; by default those of ``schemas/aggregates``."""

    def made(declared=None, left_out=frozenset) -> Aggregates:
        return Aggregates(repository, reader, vault, settings, Everybody(left_out), declared)

    return made
