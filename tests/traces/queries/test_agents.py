"""Cost of looking for a person's names."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime

import orjson
import pytest

from app.access.store import Source
from app.settings import Settings
from app.standards.xapi.identifiers import agent_identifier
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.wiring.container import Container
from tests.served import statement
from tests.stores import started


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with started(settings, database_name) as made:
        yield made


def test_one_statement_is_held_decoded_at_a_time(container: Container) -> None:
    large = statement(result={"extensions": {"https://ent.example/e": [{} for _ in range(100_000)]}})
    source = Source("tutor", "Tutor", "p2ia", (), "observe", datetime.now(UTC))
    for number in range(6):
        named = {**large["actor"], "name": str(number)}
        container.traces.recorder.record(orjson.dumps({**large, "actor": named}), source, Version.V1)
    tracemalloc.start()
    try:
        reported = container.traces.agents.person(large["actor"], agent_identifier(large["actor"]), Reader("k", None))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert set(reported["name"]) == set(map(str, range(6)))
    one = 100_000 * 72
    assert most < 3 * one
