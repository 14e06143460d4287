"""Cost of validating a value against a JSON Schema of draft 7, estimated from the schema alone.

A schema can ask the same of one value in more ways than there are atoms: ``a`` is any of ``b`` and ``b``, ``b`` any of
``c`` and ``c``, and so on. Here every set of subschemas that can meet at one place of a value is formed, each counted
as often as it is asked there. What grows without end is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import unquote, urljoin

MAX_LENGTH: Final = 64 * 1024
"""Characters of a schema."""
MAX_WEIGHT: Final = 1_000
"""Of all that is asked at one place of a value: about as many simple comparisons."""

_MAX_DEPTH: Final = 32
_MAX_PLACES: Final = 2_000
_MAX_STEPS: Final = 200_000
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLE: Final = ("not", "if", "then", "else")
_BRANCH: Final = 10


class TooCostly(ValueError):
    """No bound can be given for the schema, or one that is too high; or it refers to what is not in it."""


Schema = Any


def weigh(document: object) -> int:
    """The most comparisons asked for at one place of a value.

    Args:
        document: The schema as JSON values. It may be none: that is found elsewhere.

    Raises:
        TooCostly: more than ``MAX_WEIGHT``, or no end of it.
    """
    return _Scale(document).weigh()


def effort(document: object) -> int:
    """The number of steps that ``weigh`` takes, whether or not it gives a schema up: each of some microseconds."""
    try:
        scale = _Scale(document)
    except TooCostly:
        return 0
    with suppress(TooCostly):
        scale.weigh()
    return scale.steps


class _Scale:
    """One schema on it; ``steps`` were taken so far."""

    def __init__(self, document: object) -> None:
        self._document = document
        self._known: dict[int, Mapping[str, Any]] = {}
        self._named: dict[str, list[object]] = {}
        self._base = document["$id"] if isinstance(document, dict) and isinstance(document.get("$id"), str) else ""
        self.steps = 0
        self._find_ids(document)

    def weigh(self) -> int:
        heaviest = 0
        seen: set[frozenset[tuple[int, int]]] = set()
        waiting = [self._met([(self._document, 1)])]
        while waiting:
            state = waiting.pop()
            place = frozenset(state.items())
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > _MAX_PLACES:
                raise TooCostly("too many places")
            heaviest = max(heaviest, sum(_weight(self._known[each]) * count for each, count in state.items()))
            for targets in self._below(state):
                if targets:
                    waiting.append(self._met(targets))
        return heaviest

    def _met(self, asked: list[tuple[Schema, int]]) -> Counter[int]:
        """All that is asked of one value: what is asked of it in place too, as often as it is."""
        state: Counter[int] = Counter()
        total = 0
        stack = [(schema, count, 0) for schema, count in asked]
        while stack:
            schema, count, depth = stack.pop()
            self._step()
            if not isinstance(schema, dict):
                continue
            if depth > _MAX_DEPTH:
                raise TooCostly("no end of what is asked of one value")
            total += count * _weight(schema)
            if total > MAX_WEIGHT:
                raise TooCostly("too much is asked of one value")
            self._known[id(schema)] = schema
            state[id(schema)] += count
            stack += [(inner, count, depth + 1) for inner in self._in_place(schema)]
        return state

    def _in_place(self, schema: Mapping[str, Any]) -> Iterator[Schema]:
        if "$ref" in schema:
            # Draft 7: whatever stands beside a reference is ignored.
            yield from self._referred(schema["$ref"])
            return
        for name in _LISTS:
            yield from _listed(schema.get(name))
        for name in _SINGLE:
            if name in schema:
                yield schema[name]
        yield from (each for each in _named(schema.get("dependencies")).values() if isinstance(each, dict))

    def _below(self, state: Mapping[int, int]) -> Iterator[list[tuple[Schema, int]]]:
        """The schemas for each kind of member, by name or by number, of a value that is held to these so often."""
        schemas = [(self._known[each], count) for each, count in state.items() if "$ref" not in self._known[each]]
        names = {name for schema, _ in schemas for name in _named(schema.get("properties"))}
        numbers = max((len(_listed(schema.get("items"))) for schema, _ in schemas), default=0)
        for name in (*names, None):
            yield self._asked(schemas, partial(_of_member, name=name))
        for number in range(numbers + 1):
            yield self._asked(schemas, partial(_of_item, number=number))
        yield self._asked(schemas, lambda schema: [schema["propertyNames"]] if "propertyNames" in schema else [])

    def _asked(
        self, schemas: list[tuple[Mapping[str, Any], int]], part: Callable[[Mapping[str, Any]], list[Schema]]
    ) -> list[tuple[Schema, int]]:
        found = []
        for schema, count in schemas:
            self._step()
            found += [(each, count) for each in part(schema) if isinstance(each, dict)]
        return found

    def _step(self) -> None:
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise TooCostly("too many ways")

    # --- references -------------------------------------------------------------------------------

    def _find_ids(self, document: object) -> None:
        stack = [document]
        while stack:
            here = stack.pop()
            if isinstance(here, dict):
                id = here.get("$id")
                if isinstance(id, str) and here is not document:
                    if not id.startswith("#"):
                        # References below it would mean something else than above.
                        raise TooCostly("an identifier within")
                    self._named.setdefault(id, []).append(here)
                stack += here.values()
            elif isinstance(here, list):
                stack += here

    def _referred(self, reference: object) -> list[Schema]:
        if not isinstance(reference, str):
            raise TooCostly("a reference that is none")
        document, _, fragment = urljoin(self._base, reference).partition("#")
        if document != self._base.partition("#")[0]:
            raise TooCostly("it refers to another document")
        if fragment and not fragment.startswith("/"):
            # What looks like an identifier in an example is taken for one: rather too much than too little.
            return self._named.get(f"#{unquote(fragment)}", [])
        here: Any = self._document
        for token in fragment.split("/")[1:]:
            self._step()
            key = unquote(token).replace("~1", "/").replace("~0", "~")
            try:
                here = here[int(key)] if isinstance(here, list) else here[key]
            except (LookupError, TypeError, ValueError):
                raise TooCostly("it refers to what is not in it") from None
        return [here]


def _of_member(schema: Mapping[str, Any], name: str | None) -> list[Schema]:
    """The schemas that a member of an object is held to; ``name`` is None for one that ``properties`` does not name."""
    named = _named(schema.get("properties"))
    # Which names a pattern matches is not asked: each may.
    asked = list(_named(schema.get("patternProperties")).values())
    if name is not None and name in named:
        return [*asked, named[name]]
    return [*asked, schema["additionalProperties"]] if "additionalProperties" in schema else asked


def _of_item(schema: Mapping[str, Any], number: int) -> list[Schema]:
    asked = [schema["contains"]] if "contains" in schema else []
    items = schema.get("items")
    if isinstance(items, dict):
        return [*asked, items]
    if isinstance(items, list):
        asked += [items[number]] if number < len(items) else [schema.get("additionalItems")]
    return asked


def _weight(schema: Mapping[str, Any]) -> int:
    """The comparisons that a schema asks of a value itself, roughly."""
    listed = _listed(schema.get("enum"))
    weight = 1 + sum(_BRANCH // 2 if isinstance(each, dict | list) else 1 for each in listed) // _BRANCH
    weight += (len(_listed(schema.get("required"))) + len(_named(schema.get("properties")))) // _BRANCH
    weight += len(_named(schema.get("dependencies"))) // _BRANCH
    return weight + _BRANCH * len(_named(schema.get("patternProperties"))) + 2 * ("pattern" in schema)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _named(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
