"""Personal data in collections and files, declared where they are kept.

Every collection says one of two things (``app.platform.mongo.collection.Declared``): what it holds of persons, and what
becomes of that, or why it holds nothing. One that says neither cannot be declared. A test holds what is said against a
store that has seen everything the product can keep (``tests/operations/schema/test_personal_data.py``).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Personal(NamedTuple):
    """Declaration of personal data.

    Attributes:
        what: What it is.
        locate: By what a person's are found.
        export: Where a subject access export has it (GDPR art. 15), or why not.
        erase: What an erasure does with it (GDPR art. 17).
        retain: What ends it.
        restore: What a restore does with what a backup has of it.
    """

    what: str
    locate: str
    export: str
    erase: str
    retain: str
    restore: str


class Impersonal(NamedTuple):
    """Nothing is held of persons, for a reason."""

    reason: str


Holding: TypeAlias = Personal | Impersonal
