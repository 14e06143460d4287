"""JSON of which no number becomes another: integers of any length keep their digits.

orjson reads an integer beyond 64 bits as a float, and refuses a number that no 64-bit float holds. Here both become
``Digits``, and are written as they were sent (xAPI-Data 4.1: an LRS does not judge the values of extensions). All else
is read and written by orjson. A number with a fraction or an exponent keeps the precision of a 64-bit float.
"""

from __future__ import annotations

import json
import math
import re
import sys
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

import orjson

Malformed = orjson.JSONDecodeError
"""The error that ``loads`` raises; a ``ValueError``."""

# To its end, or to that of the JSON: where nothing closes it, a search that began anew at each quote of it would take
# the square of its length.
STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.?+)*+"?+', re.DOTALL)
"""A string in JSON."""

# Every digit a 0, all else a space: a long number is then a run that is quick to find.
_DIGITS: Final = bytes(ord("0") if 48 <= byte <= 57 else ord(" ") for byte in range(256))
# The shortest integer that 64 bits may not hold, unsigned or signed; integers that long, where there are no strings.
_MIN_LENGTH: Final = 19
_LONG: Final = b"0" * _MIN_LENGTH
_LONG_INTEGER: Final = re.compile(rb"(?<![0-9.eE+-])-?+[0-9]{19,}+(?![.eE])")
_MIN, _MAX = -(2**63), 2**64 - 1
_HALF_PAIR: Final = re.compile(r"\\u[dD][89a-fA-F]")
_CONSTANT: Final = re.compile(r'"(?:[^"\\]++|\\.?+)*+"?+|(NaN|-?Infinity)', re.DOTALL)


class Digits:
    """A number that 64 bits do not hold, as the text it is written with in JSON.

    Two are equal when they are written alike. It is never made an ``int``: that takes the square of its length.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """``text``: a number as JSON has it."""
        self.text = text

    def __eq__(self, other: object) -> bool:
        return type(other) is Digits and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __float__(self) -> float:
        """The nearest number that is a 64-bit float."""
        number = float(self.text)
        return number if math.isfinite(number) else math.copysign(sys.float_info.max, number)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        # Without its digits: they may be what identifies somebody.
        return f"Digits({len(self.text)})"

    @property
    def comparable(self) -> object:
        """A stand-in that is equal, and has the hash, of any Python number of the same value."""
        try:
            return Decimal(self.text)
        except InvalidOperation:
            return self  # an exponent of twenty digits


def loads(content: bytes) -> Any:
    """JSON values as orjson gives them, but for ``Digits``.

    Raises:
        Malformed: not one JSON document in UTF-8, or too deep to be read.
    """
    if not has_long_integers(content):
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as refused:
            if "infinity" not in refused.msg:
                raise
    return _loads_slowly(content)


def _written(value: object) -> orjson.Fragment:
    if type(value) is Digits:
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def dumps(value: object, option: int | None = None) -> bytes:
    """``orjson.dumps`` that writes ``Digits`` too."""
    return orjson.dumps(value, _written, option)


def rounded(value: Any) -> Any:
    """A JSON value with the nearest float for each ``Digits``, for what can read no other; itself if it has none."""
    kind = type(value)
    if kind is dict:
        changes = {}
        for name, part in value.items():
            new = rounded(part)
            if new is not part:
                changes[name] = new
        return {**value, **changes} if changes else value
    if kind is list:
        parts = list(map(rounded, value))
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else parts
    return float(value) if kind is Digits else value


def has_long_integers(content: bytes) -> bool:
    """True if JSON has an integer that 64 bits do not hold."""
    # Quick, and seldom for nothing: strings and fractions may have as many digits.
    if content.translate(_DIGITS).find(_LONG) < 0:
        return False
    return any(not _fits(found[0]) for found in _LONG_INTEGER.finditer(STRING.sub(b"", content)))


def _fits(digits: str | bytes) -> bool:
    # A sign and 20 digits at most: Python takes the square of the length to make a number of a text.
    return len(digits) <= 21 and _MIN <= int(digits) <= _MAX


def _integer(text: str) -> int | Digits:
    return int(text) if len(text) < _MIN_LENGTH or _fits(text) else Digits(text)


def _number(text: str) -> float | Digits:
    number = float(text)
    return number if math.isfinite(number) else Digits(text)


class _NotJSON(Exception):
    """NaN or Infinity."""


def _constant(_: str) -> NoReturn:
    raise _NotJSON


def _loads_slowly(content: bytes) -> Any:
    text = ""
    try:
        text = content.decode()
        value = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_constant)
    except json.JSONDecodeError as refused:
        raise Malformed(refused.msg, text, refused.pos) from None
    except UnicodeDecodeError as refused:
        raise Malformed("not UTF-8", "", refused.start) from None
    except _NotJSON:
        place = next(found.start() for found in _CONSTANT.finditer(text) if found[1])
        raise Malformed("no JSON value", text, place) from None
    except RecursionError:
        raise Malformed("recursion limit reached", text, 0) from None
    # json takes one half of a surrogate pair, which no UTF-8 can have, and orjson does not.
    half = _HALF_PAIR.search(text)
    if half is not None:
        try:
            dumps(value)
        except TypeError as refused:
            if "surrogates" in str(refused):
                raise Malformed("lone surrogate", text, half.start()) from None
    return value
