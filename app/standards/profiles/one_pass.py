"""All rules of a template looked at in one pass: whether a statement follows them, and not which it breaks.

Most rules say what must be, or must not be, at a place. Those of one object are looked at together, and each object is
reached once. What this does not know to look at is asked of the check that words faults
(``app/standards/profiles/templates.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from app.standards.profiles.document import Rule
from app.standards.profiles.jsonpath import Step

Object = dict[str, Any]
Follows = Callable[[Any], bool]
"""True only of a statement that breaks no rule; false of some that break none, too."""

_EMPTY: Final[Object] = {}
_ABSENT: Final = object()


class Values(NamedTuple):
    """The values that a rule lists, as ``comparable`` gives them; ``None``: it does not."""

    any: frozenset[object] | None
    all: frozenset[object] | None
    none: frozenset[object] | None

    def hold(self, value: object) -> bool:
        """True if the rule is followed where this alone is selected; of objects and arrays, never."""
        kind = type(value)
        if kind is bool:
            value = ("boolean", value)
        elif kind is not str and kind is not int and kind is not float:
            return False
        return (
            (self.any is None or value in self.any)
            and (self.all is None or value in self.all)
            and (self.none is None or value not in self.none)
        )


class _Place:
    """An object of statements and what is asked of its members."""

    def __init__(self, above: int, key: str) -> None:
        self.above = above
        self.key = key
        self.wanted: set[str] = set()
        self.forbidden: set[str] = set()
        self.tests: list[Callable[[Object], bool]] = []


class _Places:
    """The objects that rules name, each after the one that it stands in."""

    def __init__(self) -> None:
        self.list = [_Place(0, "")]
        self._numbers: dict[tuple[str, ...], int] = {(): 0}

    def at(self, keys: tuple[str, ...]) -> _Place:
        """The object at the end of these keys."""
        if keys not in self._numbers:
            self.at(keys[:-1])
            self.list.append(_Place(self._numbers[keys[:-1]], keys[-1]))
            self._numbers[keys] = len(self.list) - 1
        return self.list[self._numbers[keys]]


def compile(rules: Sequence[tuple[Rule, Values, Callable[[Any], object | None]]]) -> Follows:
    """The pass over some rules, each with the values that it lists and the check that gives its fault or None."""
    places, others = _Places(), []
    for rule, values, check in rules:
        if not _placed(rule, values, places):
            others.append(check)
    root = places.list[0]
    wanted, forbidden, tests = frozenset(root.wanted), frozenset(root.forbidden), tuple(root.tests)
    rest = [
        (each.above, each.key, frozenset(each.wanted), frozenset(each.forbidden), tuple(each.tests))
        for each in places.list[1:]
    ]
    checks = tuple(others)

    def follows(statement: Any) -> bool:
        if type(statement) is not dict or not statement.keys() >= wanted or not forbidden.isdisjoint(statement):
            return False
        for test in tests:
            if not test(statement):
                return False
        objects = [statement]
        for above, key, wanted_, forbidden_, tests_ in rest:
            here = objects[above].get(key)
            if type(here) is not dict:
                if wanted_:
                    return False
                here = _EMPTY
            elif not here.keys() >= wanted_ or (forbidden_ and not forbidden_.isdisjoint(here)):
                return False
            objects.append(here)
            for test in tests_:
                if not test(here):
                    return False
        return all(check(statement) is None for check in checks) if checks else True

    return follows


def _placed(rule: Rule, values: Values, places: _Places) -> bool:
    """Note what a rule asks for at its place; False if it has none that is known here."""
    unvalued = values == (None, None, None)
    if rule.selector is not None or not rule.location.branches:
        return False
    branches = [_keys(steps) for steps in rule.location.branches]
    if all(branches) and unvalued and rule.presence == "excluded":
        for keys in branches:
            places.at(keys[:-1]).forbidden.add(keys[-1])
        return True
    if len(branches) > 1:
        return False
    (keys,), (steps,) = branches, rule.location.branches
    if keys and unvalued and rule.presence == "included":
        places.at(keys[:-1]).wanted.add(keys[-1])
        return True
    if keys and not unvalued and rule.presence != "excluded":
        # Communication 2.1, follows_rule: what is only recommended is looked at where it is.
        optional = rule.presence == "recommended" or (rule.presence is None and values.any is None)
        places.at(keys[:-1]).tests.append(_of_member(keys[-1], values, optional))
        return True
    listed = _listed(steps)
    if listed and rule.presence == "included" and values.all is None and values.none is None:
        keys, name = listed
        places.at(keys[:-1]).tests.append(_of_list(keys[-1], name, values.any))
        return True
    return False


def _keys(steps: tuple[Step, ...]) -> tuple[str, ...]:
    """The keys of a chain of children; none of another path."""
    return tuple(step.names[0] for step in steps) if all(step.plain for step in steps) else ()


def _listed(steps: tuple[Step, ...]) -> tuple[tuple[str, ...], str] | None:
    """The keys of a list, and the name of what is looked at in each of its members: ``$.a.b[*].c``."""
    if len(steps) < 3 or not steps[-1].plain:
        return None
    keys, every = _keys(steps[:-2]), steps[-2]
    return (keys, steps[-1].names[0]) if keys and every == Step((), (), True, False) else None


def _of_member(name: str, values: Values, optional: bool) -> Callable[[Object], bool]:
    hold = values.hold

    def test(here: Object) -> bool:
        value = here.get(name, _ABSENT)
        return optional if value is _ABSENT else hold(value)

    return test


def _of_list(key: str, name: str, any_: frozenset[object] | None) -> Callable[[Object], bool]:
    def test(here: Object) -> bool:
        members = here.get(key)
        if type(members) is list:
            for member in members:
                if type(member) is dict and name in member:
                    value = member[name]
                    if any_ is None or (type(value) is str and value in any_):
                        return True
        return False

    return test
