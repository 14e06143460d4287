"""Counted nouns in messages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from app.core.counted import agreed, counted, is_singular
from tests.places import ROOT

PLURAL = re.compile(
    r" (accounts|acts|agents|cells|certificates|chains|days|documents|entries|findings|keys|learners|months|objects|"
    r"organisations|persons|processes|readings|requests|runs|sessions|sources|statements|tombstones|values)\b"
)


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (12_000, "12,000 entries")]
)
def test_a_noun_follows_its_number(number: int, said: str) -> None:
    assert counted(number, "entry", "entries") == said
    assert counted(number, "chain") == said.replace("entries", "chains").replace("entry", "chain")
    assert agreed(number, "is", "are") == ("is" if number == 1 else "are")


def test_in_french_what_is_less_than_two_is_singular() -> None:
    assert [is_singular(number, french=True) for number in (0, 1, 1.9, 2)] == [True, True, True, False]
    assert [is_singular(number) for number in (0, 1, 2)] == [False, True, False]


COMMANDS = [path for folder in ("cli", "commands") for path in sorted((ROOT / "app" / folder).glob("*.py"))]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_no_command_puts_a_plural_behind_a_number_of_any_size(path: Path) -> None:
    for text in ast.walk(ast.parse(path.read_text())):
        if isinstance(text, ast.JoinedStr):
            for before, after in zip(text.values, text.values[1:], strict=False):
                if isinstance(before, ast.FormattedValue) and isinstance(after, ast.Constant):
                    assert not PLURAL.match(str(after.value)), f"{path.name}:{text.lineno}: {after.value}"
