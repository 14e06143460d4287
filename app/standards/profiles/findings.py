"""Findings of the linter of profiles."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """Severity of a finding."""

    ERROR = "error"
    WARNING = "warning"


class Finding(NamedTuple):
    """One thing found.

    Attributes:
        pointer: JSON pointer (RFC 6901) of the place.
        rule: Stable short name of what is wrong.
        section: Section of xAPI Profiles 1.0 (Structure), or other standard, that the rule comes from.
        message: What is wrong.
        advice: What to do.
    """

    pointer: str
    severity: Severity
    rule: str
    section: str
    message: str
    advice: str


def error(pointer: str, rule: str, section: str, message: str, advice: str) -> Finding:
    """A finding that makes the profile unusable: it cannot be loaded."""
    return Finding(pointer, Severity.ERROR, rule, section, message, advice)


def warning(pointer: str, rule: str, section: str, message: str, advice: str) -> Finding:
    """A finding that hinders nothing else: a rule of the specification is broken, something can never work as it is
    written, or is most likely not as it is meant.
    """
    return Finding(pointer, Severity.WARNING, rule, section, message, advice)
