"""Docstrings name the thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import ROOT

QUESTION = re.compile(r"(What|Whether|How|Who|Whose|Whom|Where|Which|When|Why)\b")
# Split into packages of their own at the moment.
LATER = ("app/factory.py",)


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Every text that stands as a statement: of modules, classes, functions, and below variables."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def files(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts]


@pytest.mark.parametrize("folder", ["app", "scripts", "tests"])
def test_a_docstring_begins_with_a_noun_or_a_verb_not_with_a_question(folder: str) -> None:
    seen = [(path, *each) for path in files(folder) for each in docstrings(path.read_text())]
    assert len(seen) > 100
    asking = [f"{path.relative_to(ROOT)}:{line}: {text[:60]}" for path, line, text in seen if QUESTION.match(text)]
    assert not asking, "\n".join(asking)
