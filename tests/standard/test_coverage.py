"""Every numbered requirement of xAPI 1.0.3 has a test that shows it to hold, or a reason why it has none."""

from __future__ import annotations

import re

import pytest

from tests.places import ROOT
from tests.standard.numbered import NOT_TESTED, NUMBERS
from tests.standard.registry import MODULES, requirements

SHOWN = {number for each in requirements() if "1.0.3" in each.versions for number in each.numbers}


@pytest.mark.parametrize("number", NUMBERS)
def test_each_number_is_shown_or_excused(number: int) -> None:
    assert (number in SHOWN) != (number in NOT_TESTED), NUMBERS[number]


def test_no_other_number_is_named() -> None:
    assert SHOWN | NOT_TESTED.keys() == NUMBERS.keys()


def test_every_module_that_marks_is_listed() -> None:
    root = ROOT
    marking = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in (root / "tests").rglob("test_*.py")
        if re.search(r"^(@requirement|stated)\(", path.read_text(), re.MULTILINE)
    }
    assert marking == set(MODULES)


def test_sections_have_their_form() -> None:
    for each in requirements():
        assert re.fullmatch(r"(Data|Communication) \d+(\.\d+)*", each.section) or not each.section, each
        assert re.fullmatch(r"4(\.\d+)+", each.ieee) or not each.ieee, each
        assert each.section or each.versions == ("2.0.0",), each
        assert each.versions != ("1.0.3",) or not each.ieee, each


def test_no_requirement_is_listed_twice() -> None:
    texts = [(each.section, each.text) for each in requirements()]
    assert len(texts) == len(set(texts))
