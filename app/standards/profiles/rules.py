"""Rules of statement templates that nothing can follow (xAPI Profiles 1.0, Structure 8.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.standards.profiles.document import SECTION, Rule, Template
from app.standards.profiles.findings import Finding, warning
from app.standards.profiles.templates import comparable


def where(rule: Rule) -> tuple[object, ...]:
    """The place a rule looks at: equal for rules that look at the same place."""
    return (rule.location.branches, rule.selector and rule.selector.branches)


def _keys(values: Sequence[object] | None) -> frozenset[object] | None:
    return None if values is None else frozenset(map(comparable, values))


def impossible(pointer: str, rule: Rule, always: bool) -> Iterator[Finding]:
    """The demands of a rule that nothing can meet (Structure 8.1)."""
    any_, all_, none = _keys(rule.any), _keys(rule.all), _keys(rule.none)
    section = f"{SECTION} 8.1"
    reason = ""
    if rule.presence == "excluded":
        if any_ is not None:
            reason = "excluded wants nothing there, and any wants a value"
        elif always:
            reason = "every statement has something there"
        elif all_ is not None or none is not None:
            yield warning(
                pointer, "values-of-nothing", section,
                "With excluded, all and none have nothing to look at.", "Take them out, or change presence.",
            )  # fmt: skip
    if any_ is not None and all_ is not None and any_.isdisjoint(all_):
        reason = "no value of any is in all"
    if any_ is not None and none is not None and any_ <= none:
        reason = "every value of any is in none"
    if all_ is not None and none is not None and all_ <= none and (always or rule.presence == "included"):
        reason = "every value of all is in none"
    if reason:
        yield warning(
            pointer, "never-followed", section, f"No statement can follow the rule: {reason}.", "Correct the rule."
        )  # fmt: skip


def undetermined(pointer: str, template: Template, rule: Rule) -> Iterator[Finding]:
    """Rules that the determining properties decide already."""
    if rule.selector is not None or rule.location.keys is None:
        return
    given = {("verb", "id"): template.verb, ("object", "definition", "type"): template.object_type}
    value = given.get(rule.location.keys)
    if value is None:
        return
    key = comparable(value)
    allowed = [keys for keys in (_keys(rule.any), _keys(rule.all)) if keys is not None]
    none = _keys(rule.none)
    if any(key not in keys for keys in allowed) or (none is not None and key in none) or rule.presence == "excluded":
        yield warning(
            pointer, "contradicts-determining", f"{SECTION} 8.1",
            "Each statement that matches the template breaks the rule: it refuses the determining property.",
            "Correct the rule, or the determining property.",
        )  # fmt: skip


class Wanted(NamedTuple):
    """The demands of a rule, ready to be held against those of others.

    Attributes:
        where: As ``where`` gives it.
        any, all, none: Values to compare; ``None`` when the rule has no such list.
        size: How many values those are.
    """

    where: tuple[object, ...]
    presence: str | None
    any: frozenset[object] | None
    all: frozenset[object] | None
    none: frozenset[object] | None
    size: int


def wanted(rule: Rule) -> Wanted:
    """The demands of a rule."""
    size = sum(len(values) for values in (rule.any, rule.all, rule.none) if values is not None)
    return Wanted(where(rule), rule.presence, _keys(rule.any), _keys(rule.all), _keys(rule.none), size)


def exclude_each_other(one: Wanted, other: Wanted) -> str:
    """The reason why no statement can follow two rules that look at the same place; empty when one can."""
    if {one.presence, other.presence} == {"included", "excluded"}:
        return "one wants something there, the other nothing"
    if "included" in (one.presence, other.presence):
        if one.all is not None and other.all is not None and one.all.isdisjoint(other.all):
            return "they allow different values"
        for allowed, refused in ((one.all, other.none), (other.all, one.none)):
            if allowed is not None and refused is not None and allowed <= refused:
                return "one refuses all that the other allows"
    for wanting, limiting in ((one, other), (other, one)):
        if wanting.any is not None and wanting.presence != "recommended":
            if limiting.all is not None and wanting.any.isdisjoint(limiting.all):
                return "one wants a value that the other does not allow"
            if limiting.none is not None and wanting.any <= limiting.none:
                return "one wants a value that the other refuses"
            if limiting.presence == "excluded":
                return "one wants a value, the other nothing"
    return ""
