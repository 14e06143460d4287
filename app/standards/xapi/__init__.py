"""The xAPI standard, 1.0.3 and 2.0, as pure functions: no I/O, no clock, no store.

A statement travels as the decoded JSON object (``Statement``). The way in is ``decode`` -> ``validate`` ->
``normalise`` -> ``members`` and ``keys_of`` -> ``stamp``; the way out is ``as_ids`` and ``as_canonical``.
Nothing here changes the object that it is given.

Sections are cited as ``xAPI-Data 2.4.2`` and ``xAPI-Communication 2.1.3`` (parts two and three of xAPI 1.0.3) and
as ``IEEE 9274.1.1 4.2.2.1`` (xAPI 2.0).
"""

from typing import Any, TypeAlias

Statement: TypeAlias = dict[str, Any]
"""One decoded statement (or a part of one). Its shape is what ``schemas/xapi/`` says, not a Python class: unknown
extension values of any JSON type are part of it."""
