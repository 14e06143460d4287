"""The reference implementation of JSON Schema on ``schemas/xapi``: what verdicts and faults are held to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from app.core import contracts
from app.core.errors import Fault
from app.standards.xapi.versions import Version
from app.standards.xapi.wording import _fault

Schema = dict[str, Any]


@cache
def _ecma(pattern: str) -> re.Pattern[str]:
    # JSON Schema patterns are ECMA 262, where $ is the end of the string; Python's $ also matches before a last line
    # feed. The schemas end patterns with a plain $ and use it nowhere else.
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _pattern(_: Draft202012Validator, pattern: str, instance: object, __: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _ecma(pattern).search(instance):
        yield ValidationError("does not match")


_Reference = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


@cache
def reference(version: Version) -> Draft202012Validator:
    validator: Draft202012Validator = _Reference(contracts.load("xapi", version.value, "statement.json"))
    return validator


def faults(version: Version, statement: object) -> set[Fault]:
    """Every fault that the reference implementation finds, in our words."""
    found = set()
    for error in reference(version).iter_errors(statement):
        place, schema, keyword = tuple(error.absolute_path), error.schema, str(error.validator)
        if "propertyNames" in list(error.absolute_schema_path)[-3:]:
            place = (*place, error.instance)
        if keyword == "additionalProperties":
            for name in error.instance.keys() - schema["properties"].keys():
                found.add(_fault(keyword, schema, error.instance, (*place, name), ""))
        else:
            found.add(_fault(keyword, schema, error.instance, place, ""))
    return found
