"""The columns of facts: what a definition may name, and how each is stored.

Numbers are integers in a fixed unit, so that sums are exact and do not depend on the order of addition.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class Role(Enum):
    """Role of a column in a definition."""

    DIMENSION = "dimension"
    KEY = "key"
    """Counted as distinct values; pseudonymised first; never a dimension."""
    NUMBER = "number"
    """Summed or averaged."""
    FLAG = "flag"
    """True, false or null; the share of true is a rate."""


class Column(NamedTuple):
    """A column of facts.

    Attributes:
        role: What it is good for.
        scale: For numbers: how many stored units make one published unit.
        open: For dimensions: sources write it freely, so that a rare value may point at a data subject; rare
            values are published together, under ``OTHER``.
    """

    role: Role
    scale: int = 1
    open: bool = False


OTHER = "(other)"
"""The value that stands for those of an open dimension that too few learners share."""

LEARNER = "learner"

COLUMNS: Mapping[str, Column] = {
    "source": Column(Role.DIMENSION),
    "verb": Column(Role.DIMENSION, open=True),
    "activity": Column(Role.DIMENSION, open=True),
    "activity_type": Column(Role.DIMENSION, open=True),
    "school": Column(Role.DIMENSION),
    "level": Column(Role.DIMENSION),
    "person_profile": Column(Role.DIMENSION),
    "service": Column(Role.DIMENSION, open=True),
    "service_type": Column(Role.DIMENSION),
    "tool": Column(Role.DIMENSION, open=True),
    LEARNER: Column(Role.KEY),
    "session": Column(Role.KEY),
    "score": Column(Role.NUMBER, scale=1_000_000),
    "duration": Column(Role.NUMBER, scale=1_000),
    "hints": Column(Role.NUMBER),
    "attempt": Column(Role.NUMBER),
    "success": Column(Role.FLAG),
    "completion": Column(Role.FLAG),
}
