"""Forms made from a JSON schema: a field for each value, named by its JSON Pointer, with the help text of the schema.

What the form sends becomes a document again, and the service that takes it says what is wrong with it: no rule of the
schema is checked here. Without scripts, a list has an empty item at its end, and an item that is left empty goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.errors import Fault
from app.web.portal.forms import Form

_NUMBER: Final = re.compile(r"-?[0-9]{1,9}")
_LONG: Final = 1_000
"""A text that may have more characters than this gets several lines."""
_PLACE: Final = re.compile(r"(?:0|[1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a form.

    Attributes:
        pointer: Where its value stands in the document.
        name: The last part of that, or of the list that it is in.
        kind: ``object``, ``list``, ``text``, ``long``, ``number``, ``day``, ``choice``, ``yes`` or
            ``fixed`` (it has one value alone, and no field).
        help: What the schema says of it, by language.
        value: The text in its field; empty without one.
        required: Whether the schema wants it wherever what it is in is there.
        options: Values of a choice.
        children: Parts of an object, items of a list (the last one empty).
        faults: What is wrong with it.
        number: Place in its list, from 1; 0 outside of one.
    """

    pointer: str
    name: str
    kind: str
    help: Mapping[str, str]
    value: str = ""
    required: bool = False
    options: Sequence[str] = ()
    children: Sequence[Node] = ()
    faults: Sequence[Fault] = field(default_factory=tuple)
    number: int = 0

    @property
    def id(self) -> str:
        """Id of its field in the page."""
        return f"f{self.pointer.replace('/', '-')}"


class SchemaForm:
    """The form of documents that keep one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema

    def nodes(self, document: Mapping[str, Any], faults: Sequence[Fault] = (), more: str = "") -> Sequence[Node]:
        """The parts of the form, filled with a document.

        Args:
            document: What stands in the fields.
            faults: What is wrong with it: each is with the part that it points to.
            more: Pointer of a list that gets one more empty item.
        """
        wrong: dict[str, list[Fault]] = {}
        for each in faults:
            wrong.setdefault(each.pointer, []).append(each)
        return self._object(self._schema, "", document, wrong, more)

    def document(self, form: Form) -> dict[str, Any]:
        """The document that a form sends: fields that are left empty are not in it, nor is what has none but these."""
        found = self._read(self._schema, "", form)
        return found if isinstance(found, dict) else {}

    def beyond(self, faults: Sequence[Fault]) -> Sequence[Fault]:
        """The faults that point to no part of a form."""
        known = {node.pointer for node in self._every(self.nodes({}))}
        return [each for each in faults if re.sub(r"/[0-9]+(?=/|$)", "/0", each.pointer) not in known]

    # --- to fields ---------------------------------------------------------------------------------------

    def _object(
        self, schema: Mapping[str, Any], pointer: str, value: Any, wrong: Mapping[str, Sequence[Fault]], more: str
    ) -> Sequence[Node]:
        values = value if isinstance(value, Mapping) else {}
        required = schema.get("required", ())
        return [
            self._node(part, f"{pointer}/{name}", name, values.get(name), wrong, more, required=name in required)
            for name, part in schema["properties"].items()
            # Of what can have one value alone, what is there stays there.
            if "const" not in part or name in values
        ]

    def _node(
        self,
        part: Mapping[str, Any],
        pointer: str,
        name: str,
        value: Any,
        wrong: Mapping[str, Sequence[Fault]],
        more: str,
        *,
        required: bool,
        number: int = 0,
    ) -> Node:
        schema = self._resolved(part)
        help = _help(part, schema, number)
        faults = tuple(wrong.get(pointer, ()))
        kind = _kind(schema)
        if kind == "object":
            children = self._object(schema, pointer, value, wrong, more)
            return Node(pointer, name, kind, help, required=required, children=children, faults=faults, number=number)
        if kind == "list":
            items = list(value) if isinstance(value, list) else []
            count = len(items) + 1 + (more == pointer)
            children = [
                self._node(
                    schema["items"],
                    f"{pointer}/{place}",
                    name,
                    items[place] if place < len(items) else None,
                    wrong,
                    more,
                    required=False,
                    number=place + 1,
                )
                for place in range(count)
            ]
            return Node(pointer, name, kind, help, required=required, children=children, faults=faults)
        text = "" if value is None else ("true" if value is True else "false" if value is False else str(value))
        options = tuple(map(str, schema.get("enum", ())))
        return Node(pointer, name, kind, help, text, required, options, (), faults, number)

    # --- from fields -------------------------------------------------------------------------------------

    def _read(self, part: Mapping[str, Any], pointer: str, form: Form) -> Any:
        schema = self._resolved(part)
        kind = _kind(schema)
        if kind == "object":
            found = {}
            for name, inner in schema["properties"].items():
                value = self._read(inner, f"{pointer}/{name}", form)
                if value is not None and (value != [] or name in schema.get("required", ())):
                    found[name] = value
            # An object that is required is there with what it has, so that what is missing is told field by field.
            return found or None
        if kind == "list":
            items = [self._read(schema["items"], f"{pointer}/{place}", form) for place in _places(form, pointer)]
            return [item for item in items if item is not None]
        text = form.text(pointer)
        if not text:
            return None
        if kind in {"fixed", "yes"}:
            return {"true": True, "false": False}.get(text, text)
        return int(text) if kind == "number" and _NUMBER.fullmatch(text) else text

    def _resolved(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in part:
            return part
        found: Mapping[str, Any] = self._schema
        for step in str(part["$ref"]).removeprefix("#/").split("/"):
            found = found[step]
        return found

    def _every(self, nodes: Sequence[Node]) -> Iterator[Node]:
        for node in nodes:
            yield node
            yield from self._every(node.children)


def differences(before: Any, after: Any, pointer: str = "") -> list[tuple[str, Any, Any]]:
    """The places at which two documents differ: pointer, value before, value after; None for what is not there."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [*before, *(name for name in after if name not in before)]
        return [
            found for name in names for found in differences(before.get(name), after.get(name), f"{pointer}/{name}")
        ]
    if isinstance(before, list) and isinstance(after, list):
        places = range(max(len(before), len(after)))
        return [
            found
            for place in places
            for found in differences(
                before[place] if place < len(before) else None,
                after[place] if place < len(after) else None,
                f"{pointer}/{place}",
            )
        ]
    if before is None and isinstance(after, Mapping | list):
        return differences(type(after)(), after, pointer)
    if after is None and isinstance(before, Mapping | list):
        return differences(before, type(before)(), pointer)
    return [] if before == after else [(pointer, before, after)]


def _places(form: Form, pointer: str) -> list[int]:
    """The places of a list that a form has fields for."""
    start = f"{pointer}/"
    found = {name[len(start) :].partition("/")[0] for name in form.all() if name.startswith(start)}
    return sorted(int(place) for place in found if _PLACE.fullmatch(place))


def _kind(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return "fixed"
    if "enum" in schema:
        return "choice"
    kind = {"object": "object", "array": "list", "integer": "number", "boolean": "yes"}.get(str(schema.get("type")))
    if kind is not None:
        return kind
    if schema.get("format") == "date":
        return "day"
    return "long" if schema.get("maxLength", 0) > _LONG else "text"


def _help(part: Mapping[str, Any], schema: Mapping[str, Any], number: int) -> Mapping[str, str]:
    # Of a part that is one of those that several share, its own words; of an item none, since its list has them.
    said = str(part.get("description", "" if "$ref" in part or number else schema.get("description", "")))
    english, _, french = said.partition(" / ")
    return {"en": english, "fr": french or english} if said else {}
