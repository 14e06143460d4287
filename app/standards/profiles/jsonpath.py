"""The JSONPath of xAPI Profiles (xAPI Profiles 1.0, Structure 8.1), compiled once to plain functions.

Accepted: children ``.a``, ``.a-b`` and ``['iri']``; members ``[0]``; every child or member ``.*`` and
``[*]``; unions ``['a','b']`` and ``[0,2]``; descent ``..a``, ``..*`` and ``..['a']``; alternatives
``path | path``; a path without its leading ``$``. Filters, scripts, slices and negative numbers are
refused: the specification forbids them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from app.core import errors

Find = Callable[[object], list[object]]
"""The values that a path selects in a document, in document order; empty when there is none."""


class Step(NamedTuple):
    """One step: ``names`` of children, ``numbers`` of members, or ``every`` one; at any depth if ``deep``."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    every: bool
    deep: bool

    @property
    def plain(self) -> bool:
        """True if it leads to one child by its name."""
        return len(self.names) == 1 and not (self.numbers or self.every or self.deep)


class Path(NamedTuple):
    """A compiled path.

    Attributes:
        text: The path as it was written.
        find: Selects the values.
        keys: The keys from the root when the path is one plain chain of children, else ``None``.
        pointer: JSON pointer of the deepest place that is on every way the path can take.
        branches: The steps of each alternative.
    """

    text: str
    find: Find
    keys: tuple[str, ...] | None
    pointer: str
    branches: tuple[tuple[Step, ...], ...] = ()

    @property
    def descents(self) -> int:
        """The number of its steps that look at any depth, each of which may look at the whole of what it is given."""
        return sum(step.deep for steps in self.branches for step in steps)


MAX_LENGTH: Final = 4_096
"""Characters of a path."""
_MAX_ALTERNATIVES: Final = 16
_MAX_STEPS: Final = 64
# Characters of a path that is kept compiled.
_SHORT: Final = 200
_MAX_DESCENTS: Final = 64


class PathInvalid(ValueError):
    """The text is not a JSONPath that xAPI Profiles allow; the message says what and where."""


_BARE: Final = re.compile(r"[^\s.\[\]|'\"()?@,*$]+")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
_SPACE: Final = re.compile(r"\s*")
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)


class _Reader:
    """Recursive-descent reader over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def refuse(self, what: str) -> PathInvalid:
        return PathInvalid(f"{what} at character {self.at + 1} of the path")

    def skip_space(self) -> None:
        self.match(_SPACE)

    def take(self, token: str) -> bool:
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def alternatives(self) -> list[tuple[Step, ...]]:
        paths = []
        while True:
            self.skip_space()
            paths.append(self.path())
            self.skip_space()
            if self.at == len(self.text):
                return paths
            if not self.take("|"):
                raise self.refuse("unexpected text")

    def path(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        if not self.take("$"):
            # The specification's own examples leave `$` out: `context.contextActivities…`.
            if self.text.startswith("[", self.at):
                steps.append(self.bracket(deep=False))
            else:
                steps.append(self.name(deep=False))
        while True:
            if self.take(".."):
                bracketed = self.text.startswith("[", self.at)
                steps.append(self.bracket(deep=True) if bracketed else self.name(deep=True))
            elif self.take("."):
                steps.append(self.name(deep=False))
            elif self.text.startswith("[", self.at):
                steps.append(self.bracket(deep=False))
            else:
                return tuple(steps)

    def name(self, *, deep: bool) -> Step:
        if self.take("*"):
            return Step((), (), True, deep)
        name = self.match(_BARE)
        if name is None:
            raise self.refuse("a property name is expected")
        return Step((name,), (), False, deep)

    def bracket(self, *, deep: bool) -> Step:
        self.at += 1
        names: list[str] = []
        numbers: list[int] = []
        every = False
        while True:
            self.skip_space()
            if self.text.startswith(("?", "("), self.at):
                # Structure 8.1: "Filter and script expressions MUST NOT be used."
                raise self.refuse("a filter or script expression, which xAPI Profiles forbid,")
            if self.take("*"):
                every = True
            elif (quoted := self.match(_QUOTED)) is not None:
                names.append(re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL))
            elif (digits := self.match(_DIGITS)) is not None:
                numbers.append(int(digits))
            else:
                raise self.refuse("a quoted string, a number from 0 or * is expected")
            self.skip_space()
            if self.take("]"):
                return Step(tuple(names), tuple(numbers), every, deep)
            if not self.take(","):
                raise self.refuse("a comma or a closing bracket is expected")


def compile(text: str) -> Path:
    """Compile a path.

    Raises:
        PathInvalid: the text is not a path that xAPI Profiles allow.
    """
    if len(text) > MAX_LENGTH:
        raise PathInvalid(f"more than {MAX_LENGTH:,} characters")
    return _remembered(text) if len(text) <= _SHORT else _compile(text)


def _compile(text: str) -> Path:
    branches = _Reader(text).alternatives()
    if len(branches) > _MAX_ALTERNATIVES or max(map(len, branches)) > _MAX_STEPS:
        raise PathInvalid(f"more than {_MAX_ALTERNATIVES} alternatives, or {_MAX_STEPS} steps in one of them")
    if sum(step.deep for steps in branches for step in steps) > _MAX_DESCENTS:
        raise PathInvalid(f"more than {_MAX_DESCENTS} descents (`..`)")
    finds = [_chain(steps) for steps in branches]
    only = branches[0] if len(branches) == 1 else None
    keys = tuple(step.names[0] for step in only) if only is not None and all(s.plain for s in only) else None
    find = finds[0] if len(finds) == 1 else _alternatives(finds)
    return Path(text, find, keys, pointer(_common(branches)), tuple(branches))


# Templates say the same few paths again and again.
_remembered = lru_cache(maxsize=1_000)(_compile)


def pointer(keys: Iterable[str]) -> str:
    """The JSON pointer (RFC 6901) of a chain of keys (``errors.pointer``)."""
    return errors.pointer(keys)


def _common(branches: list[tuple[Step, ...]]) -> list[str]:
    shared: list[str] = []
    for level in zip(*branches, strict=False):
        first = level[0]
        if not first.plain or any(step != first for step in level):
            break
        shared.append(first.names[0])
    return shared


def _alternatives(finds: list[Find]) -> Find:
    # Structure 8.1: the values of each path, flattened; a value selected twice stays twice.
    return lambda document: [value for find in finds for value in find(document)]


def _chain(steps: tuple[Step, ...]) -> Find:
    if all(step.plain for step in steps):
        return children(tuple(step.names[0] for step in steps))
    lead = next(at for at, step in enumerate(steps) if not step.plain)
    start = children(tuple(step.names[0] for step in steps[:lead]))
    moves = [(_move(step), step.deep) for step in steps[lead:]]

    def find(document: object) -> list[object]:
        values = start(document)
        for move, deep in moves:
            if not values:
                return values
            values = [found for value in (_below(values) if deep else values) for found in move(value)]
        return values

    return find


def _below(values: list[object]) -> list[object]:
    """The objects and arrays at any depth in some values, themselves included, each once, in document order.

    Once: a path with a descent after a descent would reach them in as many ways as they lie deep, and more.
    """
    found: list[object] = []
    seen: set[int] = set()
    stack = values[::-1]
    while stack:
        here = stack.pop()
        members = here.values() if type(here) is dict else here if type(here) is list else None
        if members is not None and id(here) not in seen:
            seen.add(id(here))
            found.append(here)
            stack += reversed(members)
    return found


_ABSENT: Final = object()


def children(keys: tuple[str, ...]) -> Find:
    """Selects the one value at the end of a chain of object keys."""

    def find(document: object) -> list[object]:
        for key in keys:
            if type(document) is not dict:
                return []
            document = document.get(key, _ABSENT)
        return [] if document is _ABSENT else [document]

    return find


def _move(step: Step) -> Find:
    # A union: what two of its parts select is selected once.
    names, numbers = tuple(dict.fromkeys(step.names)), tuple(dict.fromkeys(step.numbers))

    def every(value: object) -> list[object]:
        if type(value) is dict:
            return list(value.values())
        return value[:] if type(value) is list else []

    def union(value: object) -> list[object]:
        if type(value) is dict:
            return [value[name] for name in names if name in value]
        if type(value) is list:
            return [value[number] for number in numbers if number < len(value)]
        return []

    return every if step.every else union
