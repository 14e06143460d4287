"""Costs of bodies that come in: no more than their bound, whatever they are."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.costs import cases
from tests.costs.cases import Case
from tests.costs.meter import PERSON, Measured
from tests.costs.report import noted

GZIP = {"Content-Encoding": "gzip"}


def hold(worker: Measured, case: Case, record_property: Callable[[str, Any], None]) -> None:
    held = case.held(worker)
    record_property(*noted(held, case.name))
    assert not held.faults, f"{case.name}: {'; '.join(held.faults)}"


@pytest.mark.parametrize("case", [*cases.statements(), *cases.singles()], ids=lambda case: case.name)
def test_statements(worker: Measured, case: Case, record_property: Callable[[str, Any], None]) -> None:
    hold(worker, case, record_property)


@pytest.mark.long
def test_identifiers_are_not_kept_for_ever(worker: Measured) -> None:
    # What is remembered of them saves time, and is bounded by bytes: they may be long, and always others.
    before = 0.0
    for turn in range(8):
        statements = [
            {
                "actor": PERSON,
                "verb": {"id": "https://ent.example/v"},
                "object": {"id": f"https://ent.example/{turn}/{each}/".ljust(4_000, "x")},
            }
            for each in range(4_500)
        ]
        answer = worker.ask("POST", cases.POST, gzip.compress(orjson.dumps(statements), 1), worker.plain, GZIP)
        assert answer.status == 200, answer.content[:300]
        if turn == 2:
            before = worker.settled()
    assert worker.settled(before + 60) - before <= 60


def test_nothing_is_kept(worker: Measured) -> None:
    assert not worker.kept_faults()
