"""The JSON Schemas that concepts of profiles carry (xAPI Profiles 1.0, Structure 7.2 and 7.3), ready to use."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple, Never, Protocol

import jsonschema_rs
import orjson

from app.lossless import rounded


class Schema(Protocol):
    """Decides whether a JSON value is as a schema says."""

    def is_valid(self, instance: Any) -> bool:
        """Whether a value is."""


class _Rounding(NamedTuple):
    """A schema that sees floats where 64 bits do not hold a number: it knows no other."""

    compiled: Schema

    def is_valid(self, instance: Any) -> bool:
        return self.compiled.is_valid(rounded(instance))


class SchemaUnusable(ValueError):
    """The text is no JSON Schema of draft 7, or one that is not held to anything here."""


def compile(text: str) -> Schema:
    """Compile an inline schema.

    Profiles come from elsewhere. So nothing is fetched, neither over the network nor from a file of this machine; and
    regular expressions are those that take time linear in what they look at, without look-around and back-references.

    Raises:
        SchemaUnusable: it is no schema, or needs one of these.
    """
    try:
        compiled: Schema = jsonschema_rs.Draft7Validator(
            orjson.loads(text), pattern_options=jsonschema_rs.RegexOptions(), retriever=_nowhere
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        raise SchemaUnusable from None
    return _Rounding(compiled)


def usable(text: str | None) -> Schema | None:
    """The schema of a concept; None when it has none, or one that is not held to anything."""
    if text is not None:
        with suppress(SchemaUnusable):
            return compile(text)
    return None


def _nowhere(uri: str) -> Never:
    raise LookupError("nothing is fetched")
