"""The attachments that statements declare, and what the data sent with them must be (xAPI-Data 2.4.11).

The digest says whether data are the ones declared. A `length` that differs from theirs is no reason to refuse them: the
standard gives none, and the public conformance suite sends one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from app.core.errors import Fault
from app.standards.xapi import Statement

SIGNATURE = "http://adlnet.gov/expapi/attachments/signature"

_SECTION = "xAPI-Data 2.4.11"
# xAPI-Data 2.4.11: SHA-2 only; the number of hexadecimal digits says which.
_ALGORITHMS = {56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}


class Declared(NamedTuple):
    """An attachment as a statement declares it.

    Attributes:
        statement: Place of the statement in its batch.
        pointer: JSON pointer of the attachment in the body.
        sha2: Hexadecimal digest of its data, as declared.
        digest: The same in lower case, to compare.
        content_type: Of its data.
        needs_data: Whether the data must come with the request: there is no ``fileUrl``.
        signature: Whether its data sign the statement.
    """

    statement: int
    pointer: str
    sha2: str
    digest: str
    content_type: str
    needs_data: bool
    signature: bool


class Hash(Protocol):
    """Protocol of the objects that ``hashlib`` makes."""

    def update(self, data: bytes, /) -> None:
        """Take more data in."""

    def hexdigest(self) -> str:
        """The digest of all of it."""


def declared(statements: Sequence[Statement], *, many: bool) -> list[Declared]:
    """The attachments of valid statements and of their SubStatements, in order; ``many``: the body was an array."""
    return [each for place, one in enumerate(statements) for each in _of(one, place, f"/{place}" if many else "")]


def shared_signatures(listed: Iterable[Declared]) -> list[Fault]:
    """A fault for each further declaration of a digest that is declared as a signature.

    A signature is of one statement (xAPI-Data 2.6); each declaration would cost another verification.
    """
    first: dict[str, Declared] = {}
    return [
        Fault(
            each.pointer,
            "signature-shared",
            "xAPI-Data 2.6",
            "Another attachment of this request has the same `sha2`; a signature is of one statement only.",
        )
        for each in listed
        if (before := first.setdefault(each.digest, each)) is not each and (before.signature or each.signature)
    ]


def hasher(sha2: str) -> Hash:
    """A hash of the kind that a hexadecimal digest of the schema's form is of."""
    return hashlib.new(_ALGORITHMS[len(sha2)])


def missing(wanted: Iterable[Declared], received: Iterable[str]) -> list[Fault]:
    """A fault for each attachment whose data neither came (by digest, in lower case) nor are elsewhere."""
    came = set(received)
    return [
        Fault(
            each.pointer,
            "attachment-without-data",
            _SECTION,
            "An attachment without `fileUrl` needs its data in a part of its own, after the statements.",
        )
        for each in wanted
        if each.needs_data and each.digest not in came
    ]


def _of(statement: Statement, place: int, pointer: str) -> Iterator[Declared]:
    attachments: Sequence[dict[str, Any]] = statement.get("attachments", ())
    for number, each in enumerate(attachments):
        yield Declared(
            place,
            f"{pointer}/attachments/{number}",
            each["sha2"],
            each["sha2"].lower(),
            each["contentType"],
            "fileUrl" not in each,
            each["usageType"] == SIGNATURE,
        )
    if statement["object"].get("objectType") == "SubStatement":
        yield from _of(statement["object"], place, f"{pointer}/object")
