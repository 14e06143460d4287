"""Graphs of names: what is reached from where, and what is within itself; in time linear in the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


def reached(starts: Iterable[str], after: Mapping[str, Iterable[str]]) -> set[str]:
    """Everything that comes after some nodes, at any distance; those themselves only if they come after one."""
    found: set[str] = set()
    stack = [each for start in starts for each in after.get(start, ())]
    while stack:
        here = stack.pop()
        if here not in found:
            found.add(here)
            stack += after.get(here, ())
    return found


def within_themselves(after: Mapping[str, Iterable[str]]) -> set[str]:
    """The nodes that come after themselves, at any distance (strongly connected components: Tarjan, 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    is_open: set[str] = set()
    found: set[str] = set()

    def enter(node: str) -> tuple[str, Iterator[str]]:
        order[node] = low[node] = len(order)
        open_.append(node)
        is_open.add(node)
        return node, iter(after.get(node, ()))

    for start in after:
        path = [enter(start)] if start not in order else []
        while path:
            node, ways = path[-1]
            for other in ways:
                if other == node:
                    found.add(node)
                if other not in order:
                    path.append(enter(other))
                    break
                if other in is_open:
                    low[node] = min(low[node], order[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == order[node]:
                    component = [open_.pop()]
                    while component[-1] != node:
                        component.append(open_.pop())
                    is_open.difference_update(component)
                    if len(component) > 1:
                        found.update(component)
    return found
