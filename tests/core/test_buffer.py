"""A buffer: what is counted is written once, or kept for the next time."""

from __future__ import annotations

from collections.abc import Mapping
from operator import add

import pytest

from app.core.buffer import Buffer
from app.core.errors import DatabaseUnavailable


class Written:
    """A write that notes amounts, or fails with ``failing``."""

    def __init__(self) -> None:
        self.amounts: list[Mapping[str, int]] = []
        self.failing: Exception | None = None

    def __call__(self, amounts: Mapping[str, int]) -> None:
        if self.failing is not None:
            raise self.failing
        self.amounts.append(dict(amounts))


def test_amounts_of_a_key_are_written_together_and_once() -> None:
    written = Written()
    buffer: Buffer[str, int] = Buffer(written, add)
    buffer.add({"a": 1, "b": 2})
    buffer.add({"a": 3})
    buffer.flush()
    buffer.flush()
    assert written.amounts == [{"a": 4, "b": 2}]


def test_what_cannot_be_written_is_kept_and_a_bug_is_raised_besides() -> None:
    written = Written()
    buffer: Buffer[str, int] = Buffer(written, add)
    buffer.add({"a": 1})
    written.failing = DatabaseUnavailable("away")
    buffer.flush()
    written.failing = KeyError("a bug")
    with pytest.raises(KeyError):
        buffer.flush()
    buffer.add({"a": 1})
    written.failing = None
    buffer.flush()
    assert written.amounts == [{"a": 2}]
