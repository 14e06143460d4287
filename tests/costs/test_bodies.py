"""What comes in costs no more than its bound, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.costs import cases
from tests.costs.cases import Case
from tests.costs.meter import Measured
from tests.costs.report import noted


def hold(worker: Measured, case: Case, record_property: Callable[[str, Any], None]) -> None:
    held = case.held(worker)
    record_property(*noted(held, case.name))
    assert not held.faults, f"{case.name}: {'; '.join(held.faults)}"


@pytest.mark.parametrize("case", [*cases.statements(), *cases.singles()], ids=lambda case: case.name)
def test_statements(worker: Measured, case: Case, record_property: Callable[[str, Any], None]) -> None:
    hold(worker, case, record_property)


def test_nothing_is_kept(worker: Measured) -> None:
    assert not worker.kept_faults()
