"""Documents, persons, forms, attachments, heads, framing: what comes in costs no more than its bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.costs import cases
from tests.costs.cases import Case
from tests.costs.meter import Measured
from tests.costs.report import noted

OTHERS = [
    *cases.heads(),
    *cases.page_forms(),
    *cases.frames(),
    *cases.forms(),
    *cases.attachments(),
    *cases.documents(),
    *cases.asked(),
]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.name)
def test_within_its_bound(worker: Measured, case: Case, record_property: Callable[[str, Any], None]) -> None:
    held = case.held(worker)
    record_property(*noted(held, case.name))
    assert not held.faults, f"{case.name}: {'; '.join(held.faults)}"


def test_nothing_is_kept(worker: Measured) -> None:
    assert not worker.kept_faults()
