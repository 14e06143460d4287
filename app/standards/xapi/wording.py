"""Wording of the faults of a statement that its schema refuses: each rule and place, in the schema's words.

The fast validator decides, on each keyword too; what is here only leads it to the places. Senders choose how large a
statement is and how often it is wrong, so the work is counted: once it is spent, the first fault that the fast
validator meets has to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import jsonschema_rs

from app.core import errors
from app.core.errors import Fault

Schema: TypeAlias = Mapping[str, Any]
_Place: TypeAlias = tuple[str | int, ...]

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
    "maxLength": "size",
}
_TYPE_NAMES = {
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "object": "an object",
    "array": "an array",
}
# Keywords that fail by themselves; all others hold schemas, or say nothing.
_SAYING = frozenset(_KINDS) - {"additionalProperties"} | {"oneOf", "not", "contains"}


class Work:
    """Budget of the steps that may still be taken to word refusals."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self) -> None:
        """Look at one more.

        Raises:
            Spent: no more.
        """
        if self._left <= 0:
            raise Spent
        self._left -= 1


class Spent(Exception):
    """The work that may go into wording refusals is done."""


class _Compiled(Protocol):
    def is_valid(self, instance: Any) -> bool: ...

    def validate(self, instance: Any) -> None: ...


class Wording:
    """A schema whose subschemas say their rule (``x-rule``) and section (``x-section``).

    Safe to share between threads.
    """

    def __init__(self, schema: Schema, part: str | None = None) -> None:
        """``part``: the name of a definition, to be held to instead of the whole schema."""
        self._root = schema
        self._defs = schema["$defs"]
        # A part is asked for by reference, so that its own references still find the whole schema's definitions.
        self._schema: Schema = schema if part is None else {"$defs": self._defs, "$ref": f"#/$defs/{part}"}
        self._decides = _compiled(self._schema)
        self.is_valid: Callable[[object], bool] = self._decides.is_valid
        """True for a value that the schema takes."""
        self._parts: dict[tuple[int, str], _Compiled] = {}

    def faults(self, instance: object, root: str, work: Work) -> Iterator[Fault]:
        """The faults of something that the schema does not take, each once, in the order of the schema; at least one.

        Args:
            instance: JSON values.
            root: JSON pointer of it.
            work: What may be looked at; when that is spent, the faults found so far, or the first of all.
        """
        given: set[tuple[str, str]] = set()
        try:
            for fault in self._look(self._schema, instance, (), root, work):
                # Two branches of a schema may refuse the same thing at the same place.
                key = (fault.pointer, fault.message)
                if key not in given:
                    given.add(key)
                    yield fault
        except Spent:
            pass
        if not given:
            yield self._first(instance, root)

    def _look(self, schema: Schema, instance: Any, place: _Place, root: str, work: Work) -> Iterator[Fault]:
        """The faults of an instance that a subschema does not take."""
        for keyword, value in schema.items():
            if keyword in _SAYING:
                work.step()
                if not self._part(schema, keyword).is_valid(instance):
                    yield _fault(keyword, schema, instance, place, root)
            elif keyword == "$ref":
                yield from self._look(self._defs[value.removeprefix("#/$defs/")], instance, place, root, work)
            elif keyword == "allOf":
                for each in value:
                    yield from self._within(each, instance, place, root, work)
            elif keyword == "if":
                work.step()
                branch = "then" if self._part(schema, "if").is_valid(instance) else "else"
                if branch in schema:
                    yield from self._within(schema[branch], instance, place, root, work)
            elif keyword == "items" and isinstance(instance, list):
                for at, each in enumerate(instance):
                    yield from self._within(value, each, (*place, at), root, work)
            elif isinstance(instance, dict):
                yield from self._members(schema, keyword, instance, place, root, work)

    def _members(
        self, schema: Schema, keyword: str, instance: dict[str, Any], place: _Place, root: str, work: Work
    ) -> Iterator[Fault]:
        value = schema[keyword]
        if keyword == "properties":
            for name, each in value.items():
                if name in instance:
                    yield from self._within(each, instance[name], (*place, name), root, work)
        elif keyword == "propertyNames":
            for name in instance:
                # The key itself is at fault.
                yield from self._within(value, name, (*place, name), root, work)
        elif keyword == "additionalProperties":
            for name in instance:
                if name in schema.get("properties", ()):
                    continue
                if value is False:
                    yield _fault(keyword, schema, instance, (*place, name), root)
                else:
                    yield from self._within(value, instance[name], (*place, name), root, work)

    def _within(self, schema: Schema, instance: Any, place: _Place, root: str, work: Work) -> Iterator[Fault]:
        """The faults of an instance that a subschema may take: most parts of a wrong statement are right."""
        work.step()
        if not self._part(schema).is_valid(instance):
            yield from self._look(schema, instance, place, root, work)

    def _part(self, schema: Schema, keyword: str = "") -> _Compiled:
        """A validator of a subschema, or of one keyword of it."""
        key = (id(schema), keyword)
        found = self._parts.get(key)
        if found is None:
            asked = schema if not keyword else schema[keyword] if keyword == "if" else {keyword: schema[keyword]}
            found = self._parts[key] = _compiled({**asked, "$defs": self._defs})
        return found

    def _first(self, instance: Any, root: str) -> Fault:
        """The first fault that the fast validator meets."""
        try:
            self._decides.validate(instance)
        except jsonschema_rs.ValidationError as refused:
            *path, keyword = refused.schema_path
            schema: Any = self._root
            for token in path:
                schema = schema[token]
            place: _Place = ()
            found: Any = instance
            for token in refused.instance_path:
                # It takes a key like "007" for the number of an item.
                named = [token] if isinstance(found, list) or token in found else _alike(token, found)
                if len(named) != 1:
                    break
                place = (*place, named[0])
                found = found[named[0]]
            kind = refused.kind
            if isinstance(kind, jsonschema_rs.ValidationErrorKind.PropertyNames):
                found = kind.error.instance
                place = (*place, found)
            elif isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
                place = (*place, next(name for name in found if name not in schema["properties"]))
            return _fault(str(keyword), schema, found, place, root)
        raise AssertionError("only what the schema does not take is looked at")


def _alike(number: str | int, members: Mapping[str, Any]) -> list[str]:
    """The keys that are written as this number."""
    digits = str(number).lstrip("0")
    plain = {name: name.removeprefix("+") for name in members}
    return [name for name, text in plain.items() if text.isdecimal() and text.lstrip("0") == digits]


def _compiled(schema: Schema) -> _Compiled:
    # The linear-time engine: no pattern of the schemas needs backtracking, and a sender cannot make one explode.
    compiled: _Compiled = jsonschema_rs.Draft202012Validator(dict(schema), pattern_options=jsonschema_rs.RegexOptions())
    return compiled


def _fault(keyword: str, schema: Schema, instance: Any, place: _Place, root: str) -> Fault:
    kind = _KINDS.get(keyword)
    rule = schema["x-rule"] if kind is None else f"{schema['x-rule']}-{kind}"
    # The standard sets no length; a store that finds statements by some texts must.
    section = "Sillage" if keyword == "maxLength" else str(schema["x-section"])
    return Fault(errors.pointer(place, root), rule, section, _message(keyword, schema, instance))


def _message(keyword: str, schema: Schema, instance: Any) -> str:
    expected = schema[keyword]
    if keyword == "additionalProperties":
        return "The standard has no such property here (names are case-sensitive)."
    if keyword == "type":
        if instance is None:
            # xAPI-Data 2.2: null is refused, except inside extensions.
            return "Must not be null; null is allowed only inside extensions."
        names = [expected] if isinstance(expected, str) else expected
        return f"Must be {' or '.join(_TYPE_NAMES[name] for name in names)}."
    if keyword == "required":
        return f"Missing: {_listed(name for name in expected if name not in instance)}."
    if keyword == "dependentRequired":
        missing = {name: None for key, names in expected.items() if key in instance for name in names}
        return f"Missing: {_listed(name for name in missing if name not in instance)}."
    if keyword == "enum":
        return f"Must be one of {_listed(expected)} (case-sensitive)."
    if keyword == "const":
        return f"Must be `{expected}` (case-sensitive)."
    if keyword in {"minimum", "maximum"}:
        return f"Must be {'at least' if keyword == 'minimum' else 'at most'} {expected}."
    if keyword == "maxLength":
        return f"Must have at most {expected:,} characters: statements are found by it."
    if keyword == "minItems" and "description" not in schema:
        return f"Must have at least {expected} item{'s' if expected > 1 else ''}."
    return str(schema["description"])


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
