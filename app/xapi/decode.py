"""Request bytes to statements: well-formed JSON, every key once, nesting within bounds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from app.errors import BodyTooLarge, DuplicateKey, Fault, InvalidStatement, MalformedJSON
from app.xapi import Statement

# orjson writes at most 254 levels and jsonschema-rs reads at most 255: deeper statements could be taken in but never
# given back in another form.
DEEPEST = 254

MOST_STATEMENT_BYTES = 1024 * 1024
"""Of one statement's JSON, without spaces: whoever reads it, or pages through others, holds it decoded."""

MOST_VALUES = 2_000_000
"""Of a body, counted by what separates them: an empty object of two bytes takes a hundred once decoded."""

_SEPARATORS = (b",", b"[", b"{", b":")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
# Every digit a 0, all else a space: a long number is then a run that is quick to find.
_DIGITS = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(" ") for byte in range(256))
# The shortest integer that 64 bits may not hold, unsigned or signed; integers that long, where there are no strings.
_LONG = b"0" * 19
_LONG_INTEGER = re.compile(rb"(?<![0-9.eE+-])-?[0-9]{19,}(?![0-9.eE])")
_LEAST, _MOST = -(2**63), 2**64 - 1

_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_DUPLICATE_SECTION = "xAPI-Data 2.2"


class Decoded(NamedTuple):
    """The statements of a body, in order.

    Attributes:
        statements: Each as Python values.
        many: Whether they came as an array, or as one object.
        written: Each as JSON again, UTF-8, without spaces, its members in the order sent: what is kept is made of it.
    """

    statements: list[Statement]
    many: bool
    written: list[bytes]


def decode(body: bytes, *, max_statements: int) -> Decoded:
    """Decode a request body that holds one statement or an array of them.

    Args:
        body: UTF-8 JSON, without a byte order mark.
        max_statements: Most statements in an array.

    Raises:
        MalformedJSON: not one UTF-8 JSON document, or nested too deeply; says where.
        DuplicateKey: an object has a key twice; the fault points to the second one.
        BodyTooLarge: more statements than allowed, or more than ``MOST_VALUES`` values.
        InvalidStatement: neither an object nor an array of objects; a statement longer than ``MOST_STATEMENT_BYTES``;
            an integer that does not fit into 64 bits.
    """
    # A body has more bytes than separators.
    if len(body) > MOST_VALUES:
        _refuse_crowded(body)
    document = _parsed(body)
    if type(document) is list:
        if len(document) > max_statements:
            raise BodyTooLarge(f"The body holds more than {max_statements} statements. Send several smaller batches.")
        statements, many = document, True
    else:
        statements, many = [document], False
    try:
        written = list(map(orjson.dumps, statements))
    except TypeError:
        # All that orjson reads it also writes, but for nesting: it writes 254 levels at most.
        raise _too_deep() from None
    long = [place for place, each in enumerate(written) if len(each) > MOST_STATEMENT_BYTES]
    if long:
        raise InvalidStatement(
            "A statement is too long; nothing was stored.",
            faults=[
                Fault(
                    f"/{place}" if many else "",
                    "statement-size",
                    "Sillage",
                    f"The statement has more than {MOST_STATEMENT_BYTES} bytes of JSON. Send what it carries as an "
                    "attachment or a document.",
                )
                for place in long[:20]
            ],
        )
    # A key given twice is decoded once, so written again it has fewer quotes. Only a quote hidden as an escape could
    # make up for that.
    if b"\\u0022" in body or body.count(b'"') != b"".join(written).count(b'"'):
        _refuse_duplicates(body)
    # Within strings too: what looks long is looked at again.
    if body.translate(_DIGITS).find(_LONG) >= 0:
        _refuse_long_integers(body)
    wrong = [place for place, each in enumerate(statements) if type(each) is not dict]
    if wrong:
        raise InvalidStatement(
            "The body is neither a statement nor an array of statements.",
            faults=[
                Fault(f"/{place}" if many else "", "statement-type", _DUPLICATE_SECTION, "Must be a JSON object.")
                for place in wrong[:20]
            ],
        )
    return Decoded(statements, many, written)


def _refuse_crowded(body: bytes) -> None:
    if sum(map(body.count, _SEPARATORS)) > MOST_VALUES:
        # Texts may hold as many as they like.
        bare = _STRING.sub(b"", body)
        if sum(map(bare.count, _SEPARATORS)) > MOST_VALUES:
            raise BodyTooLarge(f"The body holds more than {MOST_VALUES} JSON values. Send several smaller batches.")


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as refused:
        raise _malformed(body, refused) from None


def _malformed(body: bytes, refused: orjson.JSONDecodeError) -> MalformedJSON:
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
    if "infinity" in refused.msg:
        return MalformedJSON(
            f"A number is too large for a 64-bit float at line {refused.lineno}, column {refused.colno}."
        )
    text = body.decode()
    if not text[refused.pos :].strip():
        return MalformedJSON(
            f"The body is cut off: the JSON ends too early, at line {refused.lineno}, column {refused.colno}."
        )
    return MalformedJSON(
        f"The body is not JSON at line {refused.lineno}, column {refused.colno} (NaN and Infinity are not JSON either)."
    )


def _too_deep() -> MalformedJSON:
    return MalformedJSON(f"The JSON is nested more deeply than {DEEPEST} levels.")


class _Repeated(dict[str, Any]):
    """An object decoded with a key given twice; ``key`` is the first such."""

    key: str


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    seen: set[str] = set()
    repeated = _Repeated(plain)
    for key, _ in pairs:
        if key in seen:
            repeated.key = key
            break
        seen.add(key)
    # The value that decoding drops may hold a duplicate of its own; keeping the first seen is enough to point at one.
    return repeated


class _TooLong:
    """In the place of an integer that does not fit into 64 bits."""


def _fits(digits: str | bytes) -> bool:
    # A sign and 20 digits at most: Python does not turn thousands of digits into a number.
    return len(digits) <= 21 and _LEAST <= int(digits) <= _MOST


def _integer(text: str) -> int | _TooLong:
    return int(text) if _fits(text) else _TooLong()


def _refuse_long_integers(body: bytes) -> None:
    if all(_fits(found[0]) for found in _LONG_INTEGER.finditer(_STRING.sub(b"", body))):
        return
    faults = [
        Fault(
            pointer,
            "integer-size",
            "RFC 8259 6",
            "The integer needs more than 64 bits, and would not come back as it was sent. Send it as a string.",
        )
        for pointer, node in _nodes(body, parse_int=_integer)
        if isinstance(node, _TooLong)
    ]
    raise InvalidStatement("An integer is too long; nothing was stored.", faults=faults[:20])


def _refuse_duplicates(body: bytes) -> None:
    for pointer, node in _nodes(body, object_pairs_hook=_pairs):
        if isinstance(node, _Repeated):
            # xAPI-Data 2.2: a Statement MUST use each property no more than one time.
            raise DuplicateKey(
                faults=[
                    Fault(
                        f"{pointer}/{escape(node.key)}",
                        "duplicate-key",
                        _DUPLICATE_SECTION,
                        "This key is given twice in the same object. Keep one.",
                    )
                ]
            )


def _nodes(
    body: bytes,
    *,
    parse_int: Callable[[str], object] | None = None,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], object] | None = None,
) -> Iterator[tuple[str, Any]]:
    """Every value of a JSON body that orjson reads, with its pointer; slow."""
    try:
        slow = json.loads(body, parse_int=parse_int, object_pairs_hook=object_pairs_hook)
    except RecursionError:
        raise _too_deep() from None
    yield "", slow
    # One iterator a level: never as many pointers as there are values.
    stack = [_children("", slow)]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
        else:
            yield found
            stack.append(_children(*found))


def _children(pointer: str, node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield f"{pointer}/{escape(key)}", child
    elif isinstance(node, list):
        for place, child in enumerate(node):
            yield f"{pointer}/{place}", child


_RESERVED = re.compile("[~/]")


def escape(token: str) -> str:
    """A key as a token of a JSON pointer (RFC 6901 3)."""
    return _RESERVED.sub(lambda found: "~0" if found[0] == "~" else "~1", token)
