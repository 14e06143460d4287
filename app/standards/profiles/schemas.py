"""The JSON Schemas that concepts of profiles carry (xAPI Profiles 1.0, Structure 7.2 and 7.3), ready to use."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple, Never, Protocol

import jsonschema_rs
import orjson

from app.core.lossless import rounded
from app.standards.profiles.schema_cost import MAX_LENGTH, weigh

# Ordinary ones ask less, and are not looked at part by part.
_LIGHT = 10
_MAX_WORK = 5_000_000


class Schema(Protocol):
    """Decides whether a JSON value is as a schema says."""

    def is_valid(self, instance: Any) -> bool:
        """True if a value is as the schema says."""


class _Rounding(NamedTuple):
    """A schema that sees floats where 64 bits do not hold a number: it knows no other."""

    compiled: Schema

    def is_valid(self, instance: Any) -> bool:
        try:
            return self.compiled.is_valid(instance)
        except ValueError:
            # It reads the whole value first and refuses ``Digits``. Few values have any: none is searched for them.
            return self.compiled.is_valid(rounded(instance))


class _Heavy:
    """A schema that asks much at one place: values of so many parts at most are held to it."""

    def __init__(self, schema: Schema, most: int) -> None:
        self._schema = schema
        self._most = most

    def is_valid(self, instance: Any) -> bool:
        """True if the value is as the schema says; one with more parts is not."""
        left = self._most
        here = [instance]
        while here:
            left -= len(here)
            if left < 0:
                return False
            here = [
                part
                for each in here
                if type(each) is dict or type(each) is list
                for part in (each.values() if type(each) is dict else each)
            ]
        return self._schema.is_valid(instance)


class SchemaUnusable(ValueError):
    """The text is no JSON Schema of draft 7, or one that is not held to anything here."""


def compile(text: str) -> Schema:
    """Compile an inline schema.

    Profiles come from elsewhere. So nothing is fetched, neither over the network nor from a file of this machine; and
    regular expressions are those that take time linear in what they look at, without look-around and back-references.
    And what holding a value to it costs grows no faster than the value (``schema_cost``).

    Raises:
        SchemaUnusable: it is no schema, or needs one of these.
    """
    if len(text) > MAX_LENGTH:
        raise SchemaUnusable
    try:
        document = orjson.loads(text)
        weight = weigh(document)
        compiled: Schema = jsonschema_rs.Draft7Validator(
            document, pattern_options=jsonschema_rs.RegexOptions(), retriever=_nowhere
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        raise SchemaUnusable from None
    rounding = _Rounding(compiled)
    return rounding if weight <= _LIGHT else _Heavy(rounding, _MAX_WORK // weight)


def usable(text: str | None) -> Schema | None:
    """The schema of a concept; None when it has none, or one that is not held to anything."""
    if text is not None:
        with suppress(SchemaUnusable):
            return compile(text)
    return None


def _nowhere(uri: str) -> Never:
    raise LookupError("nothing is fetched")
