"""Media types without what varies."""

from __future__ import annotations

import pytest

from app.standards.xapi.media_types import essence


@pytest.mark.parametrize(
    ("given", "expected"),
    [("text/html", "text/html"), (" Text/HTML ; charset=utf-8", "text/html"), ("", ""), ("a/b;c;d", "a/b")],
)
def test_the_essence_is_type_and_subtype(given: str, expected: str) -> None:
    assert essence(given) == expected
