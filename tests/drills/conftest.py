"""Which drills are for ``scripts/drill`` alone: the whole of ``scripts/test`` has ten minutes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LONG = {
    "test_a_reindex_killed_under_writers_goes_on_and_loses_nothing",
    "test_a_reseal_killed_under_writers_goes_on_and_loses_nothing",
    "test_a_rotation_of_the_index_key_killed_at_any_moment_goes_on",
    "test_a_stepped_clock_neither_costs_the_lead_nor_keeps_it_from_others",
    "test_one_moment_of_a_replica_set_of_three",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip those, unless ``scripts/drill`` gave a seed."""
    if "DRILL_SEED" in os.environ:
        return
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and getattr(item, "originalname", item.name) in LONG:
            item.add_marker(pytest.mark.skip(reason="long: scripts/drill runs it"))
