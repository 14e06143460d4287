"""Request bytes to statements: well-formed JSON, every key once, nesting within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import orjson

from app.core import lossless
from app.core.errors import (
    BodyTooLarge,
    DuplicateKey,
    Fault,
    InvalidStatement,
    MalformedJSON,
    StatementTooLarge,
    pointer,
)
from app.standards.xapi import Statement
from app.standards.xapi.extent import crowded

# orjson writes at most 254 levels and jsonschema-rs reads at most 255: deeper statements could be taken in but never
# given back in another form.
MAX_DEPTH = 254

MAX_STATEMENT_BYTES = 1024 * 1024
"""Of one statement's JSON, without spaces, unless told otherwise: whoever reads it, or pages through others, holds it
decoded."""

MAX_VALUES = 2_000_000
"""Of a body, counted by what separates them: an empty object of two bytes takes a hundred once decoded."""

_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_DUPLICATE_SECTION = "xAPI-Data 2.2"
_SHOWN = 20


class Decoded(NamedTuple):
    """The statements of a body, in order.

    Attributes:
        statements: Each as Python values (``lossless.loads``).
        many: Whether they came as an array, or as one object.
        written: Each as JSON again, UTF-8, without spaces, its members in the order sent: what is kept is made of it.
    """

    statements: list[Statement]
    many: bool
    written: list[bytes]


def decode(body: bytes, *, max_statements: int, max_statement_bytes: int = MAX_STATEMENT_BYTES) -> Decoded:
    """Decode a request body that holds one statement or an array of them.

    Args:
        body: UTF-8 JSON, without a byte order mark.
        max_statements: Most statements in an array.
        max_statement_bytes: Most bytes of one statement's JSON, without spaces.

    Raises:
        MalformedJSON: not one UTF-8 JSON document, or nested too deeply; says where.
        DuplicateKey: an object has a key twice; the fault points to the second one.
        BodyTooLarge: more statements than allowed, or more than ``MAX_VALUES`` values.
        StatementTooLarge: a statement is longer than allowed.
        InvalidStatement: neither an object nor an array of objects.
    """
    if crowded(body, MAX_VALUES):
        raise BodyTooLarge(f"The body holds more than {MAX_VALUES} JSON values. Send several smaller batches.")
    decoded = _decoded_quickly(body, max_statements)
    # Nearly all senders write what is written here: then no number can be another, nor a key be there twice.
    exact = decoded is not None and _is(body, decoded)
    if decoded is None or (not exact and lossless.has_long_integers(body)):
        decoded = None  # not both in memory
        decoded = _decoded(_parsed(body), lossless.dumps, max_statements)
    statements, many, written = decoded
    long = [place for place, each in enumerate(written) if len(each) > max_statement_bytes]
    if long:
        raise StatementTooLarge(
            "A statement is too long; nothing was stored.",
            faults=[
                Fault(
                    f"/{place}" if many else "",
                    "statement-size",
                    "Sillage",
                    f"The statement has more than {max_statement_bytes} bytes of JSON. Send what it carries as an "
                    "attachment or a document.",
                )
                for place in long[:_SHOWN]
            ],
        )
    if not exact and _may_have_duplicates(body, written):
        _refuse_duplicates(body)
    wrong = [place for place, each in enumerate(statements) if type(each) is not dict]
    if wrong:
        raise InvalidStatement(
            "The body is neither a statement nor an array of statements.",
            faults=[
                Fault(f"/{place}" if many else "", "statement-type", _DUPLICATE_SECTION, "Must be a JSON object.")
                for place in wrong[:_SHOWN]
            ],
        )
    return decoded


def _decoded_quickly(body: bytes, max_statements: int) -> Decoded | None:
    """The body, with floats in place of integers that 64 bits do not hold; None where orjson does not read it."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return _decoded(document, orjson.dumps, max_statements)


def _decoded(document: object, dumps: Callable[[object], bytes], max_statements: int) -> Decoded:
    if type(document) is list:
        if len(document) > max_statements:
            raise BodyTooLarge(f"The body holds more than {max_statements} statements. Send several smaller batches.")
        statements, many = document, True
    else:
        statements, many = [document], False
    try:
        return Decoded(statements, many, list(map(dumps, statements)))
    except TypeError:
        # All that is read is also written, but for nesting: orjson writes 254 levels at most.
        raise _too_deep() from None


def _is(body: bytes, decoded: Decoded) -> bool:
    """True if a body is what its statements were written as, byte for byte."""
    if not decoded.many:
        return body == decoded.written[0]
    at = 1
    for each in decoded.written:
        # An object that begins so is this one, and JSON has one character between two of a list at least.
        if not body.startswith(each, at):
            return False
        at += len(each) + 1
    return at == len(body) or body == b"[]"


def _parsed(body: bytes) -> object:
    try:
        return lossless.loads(body)
    except lossless.Malformed as refused:
        raise _malformed(body, refused) from None


def _malformed(body: bytes, refused: lossless.Malformed) -> MalformedJSON:
    if not body.strip(b" \t\r\n"):
        return MalformedJSON("The body is empty. Send one statement or an array of statements.")
    if body.startswith(_BOMS):
        return MalformedJSON("The body starts with a byte order mark. Send UTF-8 without one.")
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        return MalformedJSON(f"The body is not UTF-8 at byte {broken.start}.")
    if "depth limit" in refused.msg or "recursion" in refused.msg.lower():
        return _too_deep()  # orjson reads 1024 levels at most
    text = body.decode()
    if not text[refused.pos :].strip():
        return MalformedJSON(
            f"The body is cut off: the JSON ends too early, at line {refused.lineno}, column {refused.colno}."
        )
    return MalformedJSON(
        f"The body is not JSON at line {refused.lineno}, column {refused.colno} (NaN and Infinity are not JSON either)."
    )


def _too_deep() -> MalformedJSON:
    return MalformedJSON(f"The JSON is nested more deeply than {MAX_DEPTH} levels.")


def _may_have_duplicates(body: bytes, written: list[bytes]) -> bool:
    """True if a key may be given twice: always when one is; quick."""
    # Such a key is decoded once, so written again the body has two quotes fewer; as many otherwise, where each quote
    # that was hidden as an escape counts. Behind a backslash that is a text which only looks like one.
    hidden = body.count(b"\\u0022")
    if hidden and b"\\\\u0022" in body:
        return True
    return body.count(b'"') + hidden != sum(each.count(b'"') for each in written)


class _Repeat(NamedTuple):
    """The way to a key that is given twice: keys and positions, the last one first."""

    way: list[str | int]


class _Duplicates:
    """Finds a key given twice, as ``object_pairs_hook`` of a decoder that keeps nothing but the way to it."""

    def __init__(self) -> None:
        self.found = False

    def members(self, pairs: list[tuple[str, Any]]) -> _Repeat | None:
        if len(dict(pairs)) < len(pairs):
            self.found = True
            return _Repeat([_repeated(key for key, _ in pairs)])
        if self.found:
            for key, value in pairs:
                repeat = self.within(value)
                if repeat is not None:
                    repeat.way.append(key)
                    return repeat
        return None

    def within(self, value: object) -> _Repeat | None:
        """The repeated key found in a value, of which objects are given by ``members``."""
        if type(value) is list:
            for place, each in enumerate(value):
                repeat = self.within(each)
                if repeat is not None:
                    repeat.way.append(place)
                    return repeat
        return value if type(value) is _Repeat else None


def _repeated(keys: Iterable[str]) -> str:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("no key is there twice")


def _refuse_duplicates(body: bytes) -> None:
    duplicates = _Duplicates()
    # Numbers are of no account here: what makes the least of each.
    document = json.loads(body.decode(), object_pairs_hook=duplicates.members, parse_int=bool, parse_float=bool)
    repeat = duplicates.within(document) if duplicates.found else None
    if repeat is not None:
        # xAPI-Data 2.2: a Statement MUST use each property no more than one time.
        raise DuplicateKey(
            faults=[
                Fault(
                    pointer(reversed(repeat.way)),
                    "duplicate-key",
                    _DUPLICATE_SECTION,
                    "This key is given twice in the same object. Keep one.",
                )
            ]
        )
