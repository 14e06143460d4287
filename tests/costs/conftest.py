"""The server of a file of cost tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.costs.meter import Measured, measured


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """A server of one worker, and what its requests cost."""
    if sys.platform != "linux":
        pytest.skip("what a process costs is read from /proc")
    with measured(tmp_path_factory.mktemp("costs")) as running:
        yield running
