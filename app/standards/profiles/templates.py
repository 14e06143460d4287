"""Statement templates compiled to functions (xAPI Profiles 1.0, Communication 2.1, the pseudocode there).

A compiled template answers two questions on a statement: do its determining properties match, and which of
its rules are broken. Each rule's fault is made once, when the template is compiled, so that a statement
which breaks none costs only the look-ups.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, cast

from app.core.errors import Fault
from app.core.lossless import Digits
from app.standards.profiles import one_pass
from app.standards.profiles.document import Rule, Template
from app.standards.profiles.jsonpath import Find
from app.standards.profiles.one_pass import Follows, Values

Statement = Mapping[str, object]
Check = Callable[[Statement], Fault | None]
Matches = Callable[[Statement], bool]


class Reference(NamedTuple):
    """A place that must hold a StatementRef, to a statement of one of some templates.

    Attributes:
        keys: The place.
        templates: IRIs of templates of the same profile.
        missing: The fault when there is no StatementRef.
        other: The fault when the statement is at hand and is of none of these templates.
    """

    keys: tuple[str, ...]
    templates: frozenset[str]
    missing: Fault
    other: Fault


class Compiled(NamedTuple):
    """A template ready to check.

    Attributes:
        verb: IRI of the verb it determines, or ``None`` for any verb; the checker's index uses it, so
            ``others`` does not look at the verb again.
        object_type: IRI of the object's type that it determines, likewise.
        others: Conditions on the other determining properties, all of which must hold.
        references: What it wants of the statements that are referred to.
        checks: Give the fault of a broken rule, or ``None``.
        follows: True only of a statement that breaks none of them; quick.
    """

    id: str
    verb: str | None
    object_type: str | None
    others: tuple[Matches, ...]
    references: tuple[Reference, ...]
    checks: tuple[Check, ...]
    follows: Follows


def compile(template: Template) -> Compiled:
    """Compile one template."""
    others = [_context_types(key, wanted) for key, wanted in template.context_types]
    if template.attachment_types:
        others.append(_attachment_types(template.attachment_types))
    references = []
    if template.object_reference:
        references.append(_reference(template.id, "object", ("object",), template.object_reference))
    if template.context_reference:
        references.append(_reference(template.id, "context", ("context", "statement"), template.context_reference))
    rules = [(rule, _values(rule), check) for rule in template.rules for check in _rule(template.id, rule)]
    return Compiled(
        template.id,
        template.verb,
        template.object_type,
        tuple(others),
        tuple(references),
        tuple(check for _, _, check in rules),
        one_pass.compile(rules),
    )


# --- determining properties -----------------------------------------------------------------------
# Communication 2.1, matches_determining_properties: the statement's values equal or contain the template's.


def _context_types(key: str, wanted: frozenset[str]) -> Matches:
    def matches(statement: Statement) -> bool:
        context = statement.get("context")
        related = context.get("contextActivities") if type(context) is dict else None
        activities = related.get(key) if type(related) is dict else None
        if type(activities) is not list:
            return False
        definitions = [activity.get("definition") for activity in activities if type(activity) is dict]
        types = [definition.get("type") for definition in definitions if type(definition) is dict]
        return wanted.issubset(kind for kind in types if type(kind) is str)

    return matches


def _attachment_types(wanted: frozenset[str]) -> Matches:
    def matches(statement: Statement) -> bool:
        attachments = statement.get("attachments")
        if type(attachments) is not list:
            return False
        usages = [attachment.get("usageType") for attachment in attachments if type(attachment) is dict]
        return wanted.issubset(usage for usage in usages if type(usage) is str)

    return matches


# --- rules ----------------------------------------------------------------------------------------


def _reference(template: str, which: str, keys: tuple[str, ...], templates: Iterable[str]) -> Reference:
    place, name = "/" + "/".join(keys), f"{which}StatementRefTemplate"
    return Reference(
        keys,
        frozenset(templates),
        Fault(place, f"template-{which}-reference", template, f"A StatementRef is needed here ({name})."),
        Fault(
            place,
            f"template-{which}-reference-template",
            template,
            f"The statement that is referred to follows none of the templates that {name} lists.",
        ),
    )


def referred(statement: Statement, reference: Reference) -> object:
    """The id of the StatementRef at the place, or ``None`` when there is no StatementRef there."""
    here: object = statement
    for key in reference.keys:
        here = here.get(key) if type(here) is dict else None
    return here.get("id", "") if type(here) is dict and here.get("objectType") == "StatementRef" else None


_UNMATCHABLE: Final = object()


_DEEPER: Final = ("deeper",)


def comparable(value: object, levels: int = sys.maxsize) -> object:
    """A hashable stand-in, equal for equal JSON values: ``1`` and ``1.0`` are equal, ``1`` and ``true`` not.

    What has more levels of arrays and objects is equal to nothing that has fewer, and not looked into any further: a
    rule may select everything, and within it everything again.
    """
    kind = type(value)
    if kind is str:
        return value
    if kind is bool:
        return ("boolean", value)
    if kind is list:
        if not levels:
            return _DEEPER
        return ("array", tuple(comparable(item, levels - 1) for item in cast("list[object]", value)))
    if kind is dict:
        if not levels:
            return _DEEPER
        members = cast("dict[str, object]", value)
        return ("object", frozenset((key, comparable(item, levels - 1)) for key, item in members.items()))
    return cast("Digits", value).comparable if kind is Digits else value


def _levels(value: object) -> int:
    """The levels of arrays and objects in a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_levels, inner), default=0)


def _keys(values: Iterable[object] | None) -> frozenset[object] | None:
    return None if values is None else frozenset(comparable(value) for value in values)


def _values(rule: Rule) -> Values:
    return Values(_keys(rule.any), _keys(rule.all), _keys(rule.none))


def _rule(template: str, rule: Rule) -> list[Check]:
    """The checks of one rule: none when it only recommends."""
    any_, all_, none = _values(rule)
    unvalued = any_ is None and all_ is None and none is None
    if unvalued and rule.presence == "recommended":
        return []  # Structure 8.1: a recommendation alone requires nothing
    where = rule.location.text if rule.selector is None else f"{rule.location.text} then {rule.selector.text}"

    def fault(name: str, message: str) -> Fault:
        return Fault(rule.location.pointer, f"template-{name}", template, f"{where}: {message}")

    missing = fault("included", "a value is required here.")
    forbidden = fault("excluded", "no value is allowed here.")
    if unvalued and rule.selector is None and rule.location.keys:
        wanted = rule.presence == "included"
        return [_present(rule.location.keys, wanted, missing if wanted else forbidden)]
    return [
        _general(
            _select(rule.location.find, None if rule.selector is None else rule.selector.find),
            rule.presence,
            max((_levels(value) for listed in (rule.any, rule.all, rule.none) for value in listed or ()), default=0),
            any_,
            all_,
            none,
            missing,
            forbidden,
            fault("any", "at least one of the values that the template lists is required."),
            fault("all", "only the values that the template lists are allowed."),
            fault("none", "a value that the template forbids stands here."),
        )
    ]


def _present(keys: tuple[str, ...], wanted: bool, fault: Fault) -> Check:
    """The commonest rules, one plain place that must, or must not, be there: no list is built."""
    parents, last = keys[:-1], keys[-1]

    def check(statement: Statement) -> Fault | None:
        here: object = statement
        for key in parents:
            here = here.get(key) if type(here) is dict else None
        return None if (type(here) is dict and last in here) is wanted else fault

    return check


def _select(location: Find, selector: Find | None) -> Find:
    if selector is None:
        return location

    def select(statement: object) -> list[object]:
        values: list[object] = []
        for value in location(statement):
            # Communication 2.1, follows_rule: a location without the selected value is unmatchable.
            values += selector(value) or [_UNMATCHABLE]
        return values

    return select


def _general(
    select: Find,
    presence: str | None,
    levels: int,
    any_: frozenset[object] | None,
    all_: frozenset[object] | None,
    none: frozenset[object] | None,
    missing: Fault,
    forbidden: Fault,
    any_fault: Fault,
    all_fault: Fault,
    none_fault: Fault,
) -> Check:
    strict = presence != "recommended"

    def check(statement: Statement) -> Fault | None:
        # Communication 2.1, follows_rule, in its order.
        values = select(statement)
        if presence == "included" and (not values or _UNMATCHABLE in values):
            return missing
        if presence == "excluded" and any(value is not _UNMATCHABLE for value in values):
            return forbidden
        if not strict and not values:
            return None
        keys = [value if type(value) is str else comparable(value, levels) for value in values]
        if any_ is not None and any_.isdisjoint(keys):
            return any_fault
        # An unmatchable value is in no list, so it breaks `all` as the pseudocode wants.
        if all_ is not None and not all_.issuperset(keys):
            return all_fault
        if none is not None and not none.isdisjoint(keys):
            return none_fault
        return None

    return check
