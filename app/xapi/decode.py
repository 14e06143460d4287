"""Request bytes to statements: well-formed JSON, every key once, nesting within bounds."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import orjson

from app.errors import BodyTooLarge, DuplicateKey, Fault, InvalidStatement, MalformedJSON
from app.xapi import Statement

# orjson writes at most 254 levels and jsonschema-rs reads at most 255: deeper statements could be taken in but never
# given back in another form.
DEEPEST = 254

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
        BodyTooLarge: more statements than allowed.
        InvalidStatement: neither an object nor an array of objects.
    """
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
    # A key given twice is decoded once, so written again it has fewer quotes. Only a quote hidden as an escape could
    # make up for that.
    if b"\\u0022" in body or body.count(b'"') != b"".join(written).count(b'"'):
        _refuse_duplicates(body)
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


def _refuse_duplicates(body: bytes) -> None:
    try:
        slow = json.loads(body, object_pairs_hook=_pairs)
    except RecursionError:
        raise _too_deep() from None
    stack: list[tuple[str, Any]] = [("", slow)]
    while stack:
        pointer, node = stack.pop()
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
        if isinstance(node, dict):
            stack.extend((f"{pointer}/{escape(key)}", child) for key, child in node.items())
        elif isinstance(node, list):
            stack.extend((f"{pointer}/{place}", child) for place, child in enumerate(node))


_RESERVED = re.compile("[~/]")


def escape(token: str) -> str:
    """A key as a token of a JSON pointer (RFC 6901 3)."""
    return _RESERVED.sub(lambda found: "~0" if found[0] == "~" else "~1", token)
