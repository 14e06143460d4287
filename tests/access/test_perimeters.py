"""Perimeters as they are kept and as they are told."""

from __future__ import annotations

from datetime import date

import pytest

from app.access.perimeters import EVERYTHING, Perimeter, Territory, territory
from app.standards.france import uai

SCHOOL = uai.make("038", 1)

BOUNDED = Perimeter(
    frozenset({"p2ia"}),
    frozenset({"tutor", "ent"}),
    frozenset({Territory("school", SCHOOL), Territory("departement", "075")}),
    date(2026, 9, 1),
    date(2027, 8, 31),
)


def test_a_perimeter_is_kept_as_it_is_with_nothing_for_what_has_no_bound() -> None:
    assert Perimeter.of_document(BOUNDED.document()) == BOUNDED
    assert EVERYTHING.document() == {} and Perimeter.of_document({}).unbounded
    assert Perimeter(sources=frozenset()).document() == {"sources": []}
    assert not Perimeter.of_document({"sources": []}).unbounded
    for name, bound in BOUNDED._asdict().items():
        one = EVERYTHING._replace(**{name: bound})
        assert Perimeter.of_document(one.document()) == one and not one.unbounded


def test_what_a_perimeter_allows_is_told_with_long_lists_in_part() -> None:
    assert BOUNDED.described() == (
        f"processing activities p2ia; sources ent, tutor; territories departement:075, school:{SCHOOL}; "
        "from 2026-09-01; until 2027-08-31"
    )
    many = Perimeter(sources=frozenset(f"s{number:02}" for number in range(23)))
    assert many.described().endswith("s18, s19 and 3 more") and "s20" not in many.described()
    assert Perimeter(sources=frozenset()).described() == "sources none"


@pytest.mark.parametrize("text", ["038", "school:0380001A", "school:", "departement:", "country:FR", ""])
def test_what_is_no_territory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no territory"):
        territory(text)
