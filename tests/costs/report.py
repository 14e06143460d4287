"""The table of what was measured, at the end of a run of the tests: the worst of each row, beside its bound."""

from __future__ import annotations

from typing import Any

from tests.costs.bounds import TABLE
from tests.costs.meter import Held

MEASURED = "cost"


def noted(held: Held, name: str) -> tuple[str, list[Any]]:
    """The lines that a test tells of its case: row, its name, and each cost with its share of what is allowed."""
    shares = held.shares
    spent = (held.cost.seconds, held.cost.database, held.cost.memory, held.cost.kept)
    costs = [[what, amount, share] for (what, share), amount in zip(shares.items(), spent, strict=True)]
    return MEASURED, [held.bound.what, name, costs]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table; nothing when no cost was measured."""
    worst: dict[str, dict[str, tuple[float, float, str]]] = {}
    count: dict[str, int] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") != "call":
                continue
            for name, value in getattr(report, "user_properties", ()):
                if name == MEASURED:
                    row, case, costs = value
                    count[row] = count.get(row, 0) + 1
                    for what, amount, share in costs:
                        if share >= worst.setdefault(row, {}).get(what, (-1.0,))[0]:
                            worst[row][what] = (share, amount, case)
    if not worst:
        return
    terminalreporter.section("what one request cost: the worst of each row, as a share of its bound")
    for bound in TABLE:
        if bound.what not in worst:
            continue
        terminalreporter.line(f"{bound.what}: {count[bound.what]} cases")
        for what, (share, amount, case) in worst[bound.what].items():
            terminalreporter.line(f"    {amount:8.2f} {what:22} {share:6.1%}  {case}")
