"""One way to write a profile document, of the several that mean the same.

The specification fixes one form (Structure 4); JSON-LD 1.1 gives others the same meaning, and published profiles have
them: ``@id`` for ``id``, one value for a list of one, ``{"id": IRI}`` for an IRI, null or an empty list for nothing.
Those are read as what they mean, and the linter tells them. Where an author's meaning would have to be guessed, nothing
is changed: an empty verb stays one, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Raw = Mapping[str, Any]

_KEYWORDS: Final[Mapping[str, str]] = {"@id": "id", "@type": "type"}
_ONE_IRI: Final = frozenset({"verb", "objectActivityType", "optional", "oneOrMore", "zeroOrMore", "inScheme", "schema"})
_IRIS: Final = frozenset(
    {
        "contextGroupingActivityType", "contextParentActivityType", "contextOtherActivityType",
        "contextCategoryActivityType", "attachmentUsageType", "objectStatementRefTemplate",
        "contextStatementRefTemplate", "broader", "broadMatch", "narrower", "narrowMatch", "related", "relatedMatch",
        "exactMatch", "recommendedVerbs", "recommendedActivityTypes", "wasRevisionOf",
    }
)  # fmt: skip
_MEMBERS: Final = frozenset({"sequence", "alternates"})
_VALUES: Final = frozenset({"any", "all", "none"})
# What is empty here says nothing, and decides nothing.
_DESCRIPTIVE: Final = frozenset(
    {
        "prefLabel", "definition", "scopeNote", "seeAlso", "author", "conformsTo", "generatedAtTime", "inlineSchema",
        "contentType", "context", "schema", "activityDefinition", "rules", "concepts", "templates", "patterns",
        "inScheme", "@context",
    }
)  # fmt: skip
_TYPES: Final = {
    name.lower(): name
    for name in (
        "Profile", "StatementTemplate", "Pattern", "Verb", "ActivityType", "AttachmentUsageType", "ContextExtension",
        "ResultExtension", "ActivityExtension", "StateResource", "AgentProfileResource", "ActivityProfileResource",
        "Activity",
    )
}  # fmt: skip
_LISTS: Final = ("versions", "concepts", "templates", "patterns")


def plain(raw: Any) -> Any:
    """A parsed document in the form that the specification gives, as far as its meaning is plain.

    Positions in its lists stay as they are, so that pointers hold in both. ``raw`` is not changed.
    """
    made = _element(raw)
    if isinstance(made, dict):
        for kind in _LISTS:
            if isinstance(made.get(kind), list):
                made[kind] = [_element(item) for item in made[kind]]
        for template in made["templates"] if isinstance(made.get("templates"), list) else ():
            if isinstance(template, dict) and isinstance(template.get("rules"), list):
                template["rules"] = [_element(rule) for rule in template["rules"]]
    return made


def _element(raw: Any) -> Any:
    if not isinstance(raw, dict):
        return raw
    made: dict[str, Any] = {}
    for written, value in raw.items():
        name: str = _KEYWORDS.get(written, written)
        if name != written and name in raw:
            continue
        if value is None or (name in _DESCRIPTIVE and value in ("", [], {})):
            continue
        if name in _IRIS or name in _MEMBERS:
            listed = [_named(each) for each in value] if isinstance(value, list) else [_named(value)]
            if not listed and name in _IRIS:
                continue
            made[name] = listed
        elif name in _ONE_IRI:
            made[name] = _named(_only(value))
        elif name in _VALUES:
            made[name] = value if isinstance(value, list) else [value]
        elif name == "type":
            kind = _only(value)
            made[name] = _TYPES.get(kind.lower(), kind) if isinstance(kind, str) else kind
        else:
            made[name] = value
    return made


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _named(value: Any) -> Any:
    """The IRI of a reference to a node."""
    if isinstance(value, dict) and len(value) == 1:
        for name in ("id", "@id"):
            if isinstance(value.get(name), str):
                return value[name]
    return value
