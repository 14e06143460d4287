"""Files of tests shared out to the processes of a parallel run (pytest-xdist, ``--dist loadfile``)."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

APART = ("tests/drills/", "tests/costs/", "tests/product/", "tests/clients/", "tests/packaging/", "tests/serve/")
"""Files whose tests take real faults, whole servers, or measurements: never two of them at once."""


class Apart(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """The first process takes the files of ``APART``, one after the other, the others all the rest.

    Whoever is done first helps: so nobody works alone for long at the end, and drills are beside each other only then.
    Of the rest the files with many tests come first, as everywhere: those at the end are short.
    """

    def _assign_work_unit(self, node: Any) -> None:
        apart = [scope for scope in self.workqueue if scope.startswith(APART)]
        others = [scope for scope in self.workqueue if not scope.startswith(APART)]
        first = apart or others if node is self.nodes[0] else others or apart
        self.workqueue.move_to_end(first[0], last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Apart | None:
    """Have it for files; whoever asks for another way of sharing gets that."""
    return Apart(config, log) if config.getoption("dist") == "loadfile" else None
