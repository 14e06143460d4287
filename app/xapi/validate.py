"""Whether statements follow the standard, and if not, which rule each breaks and where.

jsonschema-rs, compiled once, decides; jsonschema, the reference, words the refusal of what it turned down. Both read
``schemas/xapi/<version>/statement.json``, where each subschema says its rule (``x-rule``) and section (``x-section``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, Protocol, TypeAlias, cast

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from app import contracts, errors
from app.errors import Fault, InvalidStatement
from app.lossless import rounded
from app.xapi import Statement
from app.xapi.rules import broken, repeated_ids
from app.xapi.versions import Version

MOST_FAULTS = 20

_Schema: TypeAlias = dict[str, Any]


class _Compiled(Protocol):
    def is_valid(self, instance: Any) -> bool: ...


# What went wrong, by the keyword that failed: the second half of a rule's name.
_KINDS = {
    "type": "type",
    "required": "missing-property",
    "dependentRequired": "missing-property",
    "additionalProperties": "unknown-property",
    "pattern": "format",
    "enum": "value",
    "const": "value",
    "minimum": "range",
    "maximum": "range",
    "minItems": "size",
    "maxItems": "size",
    "minLength": "size",
}

_TYPE_NAMES = {
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "object": "an object",
    "array": "an array",
}


def validate(statements: Sequence[Statement], version: Version, *, many: bool, data_follow: bool = False) -> None:
    """Hold statements to the standard.

    Args:
        statements: As ``decode`` gives them.
        version: Of the request; 2.0 knows properties that 1.0.3 does not.
        many: Whether the body was an array, so that pointers start with the statement's place in it.
        data_follow: Whether the data of attachments come after the statements, to be looked at then.

    Raises:
        InvalidStatement: with the first ``MOST_FAULTS`` faults, in the order of the body; none of them holds a value
            that was sent, but a pointer holds keys that were.
    """
    compiled = _compiled(version)
    if _all_hold(compiled, statements):
        faults: list[Fault] = []
        for place, statement in enumerate(statements):
            faults += broken(statement, version, f"/{place}" if many else "", data_follow=data_follow)
        if many and len(statements) > 1:
            faults += repeated_ids(statements, version)
    else:
        faults = list(islice(_refusals(statements, version, many, data_follow), MOST_FAULTS))
    if faults:
        raise InvalidStatement(faults=faults[:MOST_FAULTS])


def actor_faults(actor: object, pointer: str) -> list[Fault]:
    """The rules that an Agent or Group outside a statement breaks, for example as a query parameter."""
    try:
        return list(islice(_worded(_reference(Version.V2, "actor"), actor, pointer), MOST_FAULTS))
    except RecursionError:
        # Statements are held to a depth before they are looked at; what comes here was not.
        return [Fault(pointer, "depth", "xAPI-Data 2.4.2", "Is nested too deeply to be an Agent or a Group.")]


def matches(format_name: str, text: str) -> bool:
    """Whether a text has the form of ``iri``, ``uuid``, ``languageTag``… (a string definition of the schemas)."""
    return _reference(Version.V2, format_name).is_valid(text)


def _refusals(statements: Sequence[Statement], version: Version, many: bool, data_follow: bool) -> Iterator[Fault]:
    compiled, reference = _compiled(version), _reference(version)
    for place, statement in enumerate(statements):
        pointer = f"/{place}" if many else ""
        if _holds(compiled, statement):
            yield from broken(statement, version, pointer, data_follow=data_follow)
            continue
        worded = list(islice(_worded(reference, rounded(statement), pointer), MOST_FAULTS))
        # The two libraries give the same verdicts (a differential test says so). Were they ever to differ, the refusal
        # stands, without its words.
        yield from worded or [Fault(pointer, "statement", _section(_schema(version)), "Breaks the schema.")]


def _all_hold(compiled: _Compiled, statements: Sequence[Statement]) -> bool:
    try:
        if all(map(compiled.is_valid, statements)):
            return True
    except ValueError:
        pass  # as below
    return all(_holds(compiled, statement) for statement in statements)


def _holds(compiled: _Compiled, statement: Statement) -> bool:
    # A number that 64 bits do not hold (``lossless.Digits``) is of no type that the validator knows, where it looks at
    # numbers at all: not in extensions. The schemas say of which type something is, never of which it is not.
    try:
        if compiled.is_valid(statement):
            return True
    except ValueError:
        pass
    plain = rounded(statement)
    return plain is not statement and compiled.is_valid(plain)


def _schema(version: Version) -> _Schema:
    return contracts.load("xapi", version.value, "statement.json")


@cache
def _compiled(version: Version) -> _Compiled:
    # The linear-time engine: no pattern of the schemas needs backtracking, and a sender cannot make one explode.
    compiled: _Compiled = jsonschema_rs.Draft202012Validator(
        _schema(version), pattern_options=jsonschema_rs.RegexOptions()
    )
    return compiled


@cache
def _ecma(pattern: str) -> re.Pattern[str]:
    # JSON Schema patterns are ECMA 262, where $ is the end of the string; Python's $ also matches before a last line
    # feed. The schemas end patterns with a plain $ and use it nowhere else.
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _pattern(_: Draft202012Validator, pattern: str, instance: object, __: _Schema) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _ecma(pattern).search(instance):
        yield ValidationError("does not match")


_Reference = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


@cache
def _reference(version: Version, part: str | None = None) -> Draft202012Validator:
    schema = _schema(version)
    # A part is asked for by reference, so that its own references still find the whole schema's definitions.
    chosen = schema if part is None else {"$defs": schema["$defs"], "$ref": f"#/$defs/{part}"}
    validator: Draft202012Validator = _Reference(chosen)
    return validator


def _worded(reference: Draft202012Validator, instance: object, pointer: str) -> Iterator[Fault]:
    seen: set[tuple[str, str]] = set()
    for error in reference.iter_errors(instance):
        for fault in _faults_of(error, pointer):
            # Two branches of a schema may refuse the same thing at the same place.
            key = (fault.pointer, fault.message)
            if key not in seen:
                seen.add(key)
                yield fault


def _faults_of(error: ValidationError, root: str) -> Iterator[Fault]:
    schema = cast(_Schema, error.schema)
    keyword, expected, instance = str(error.validator), cast(Any, error.validator_value), cast(Any, error.instance)
    path = list(error.absolute_path)
    if "propertyNames" in list(error.absolute_schema_path)[-3:]:
        path.append(str(instance))  # the key itself is at fault
    kind = _KINDS.get(keyword)
    rule = schema["x-rule"] if kind is None else f"{schema['x-rule']}-{kind}"
    section = _section(schema)
    if keyword == "additionalProperties":
        for name in instance.keys() - schema["properties"].keys():
            message = "The standard has no such property here (names are case-sensitive)."
            yield Fault(errors.pointer([*path, name], root), rule, section, message)
        return
    yield Fault(errors.pointer(path, root), rule, section, _message(keyword, expected, instance, schema))


def _message(keyword: str, expected: Any, instance: Any, schema: _Schema) -> str:
    if keyword == "type":
        if instance is None:
            # xAPI-Data 2.2: null is refused, except inside extensions.
            return "Must not be null; null is allowed only inside extensions."
        names = [expected] if isinstance(expected, str) else expected
        return f"Must be {' or '.join(_TYPE_NAMES[name] for name in names)}."
    if keyword == "required":
        return f"Missing: {_listed(name for name in expected if name not in instance)}."
    if keyword == "dependentRequired":
        return f"Missing: {_listed({name for key, names in expected.items() if key in instance for name in names})}."
    if keyword == "enum":
        return f"Must be one of {_listed(expected)} (case-sensitive)."
    if keyword == "const":
        return f"Must be `{expected}` (case-sensitive)."
    if keyword in {"minimum", "maximum"}:
        return f"Must be {'at least' if keyword == 'minimum' else 'at most'} {expected}."
    if keyword == "minItems" and "description" not in schema:
        return f"Must have at least {expected} item{'s' if expected > 1 else ''}."
    return str(schema["description"])


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _section(schema: Mapping[str, Any]) -> str:
    return str(schema["x-section"])
