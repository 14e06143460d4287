"""Reaches of perimeters, as they are remembered."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

from app.access.perimeters import Perimeter
from app.access.reach import _KNOWN_AT_MOST, Reaches


class Emptied(dict):  # type: ignore[type-arg]
    """Emptied by another thread just after it was looked into."""

    def __contains__(self, key: object) -> bool:
        found = super().__contains__(key)
        self.clear()
        return found


def of(source: str) -> Perimeter:
    return Perimeter(sources=frozenset({source}))


def test_what_is_remembered_may_be_emptied_meanwhile() -> None:
    reaches = Reaches(SimpleNamespace(), SimpleNamespace(), lambda: True, lambda: date(2026, 9, 1))  # type: ignore[arg-type]
    reaches._known = Emptied()
    for _ in range(2):
        reach = reaches.of(of("tutor"))
        assert reach is not None and reach.sources == {"tutor"}


def test_so_many_are_remembered_and_others_who_look_lose_none() -> None:
    reaches = Reaches(SimpleNamespace(), SimpleNamespace(), lambda: True, lambda: date(2026, 9, 1))  # type: ignore[arg-type]
    looked = reaches._known
    for number in range(_KNOWN_AT_MOST + 1):
        reaches.of(of(f"s{number}"))
    assert (of("s0"), date(2026, 9, 1)) in looked
    assert len(reaches._known) <= _KNOWN_AT_MOST
