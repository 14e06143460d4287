"""Document resources that profiles define (xAPI Profiles 1.0, Structure 7.3): where, of which type, of which schema.

A document of State, Activity Profile or Agent Profile is one of them when its ``stateId`` or ``profileId`` is the id of
such a concept. Compiled once. A schema that cannot be used is left out: the linter tells of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.core import lossless
from app.core.errors import Fault
from app.standards.profiles import schemas
from app.standards.profiles.document import Profile
from app.standards.profiles.schemas import Schema

TYPES: Final = {"StateResource": "State", "ActivityProfileResource": "Activity Profile",
                "AgentProfileResource": "Agent Profile"}  # fmt: skip
_SECTION: Final = "xAPI-Profiles Structure 7.3"


class _Defined(NamedTuple):
    type: str
    content_type: str | None
    schema: Schema | None


class Resources:
    """The document resources of some profiles. Safe to share between threads."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._defined: dict[str, _Defined] = {}
        for profile in profiles:
            for concept in profile.concepts:
                if concept.type in TYPES and concept.version == profile.version:
                    schema = schemas.usable(concept.inline_schema)
                    self._defined.setdefault(concept.id, _Defined(concept.type, concept.content_type, schema))

    def checks(self, id: str) -> bool:
        """True if the documents of this id are decoded here, to hold them to a schema."""
        defined = self._defined.get(id)
        return defined is not None and defined.schema is not None

    def faults(self, type: str, id: str, content_type: str, body: bytes) -> tuple[Fault, ...]:
        """The faults of a document; none when no profile defines it.

        Args:
            type: Where it is sent, a key of ``TYPES``.
            id: Its ``stateId`` or ``profileId``.
            content_type: As its sender gives it.
            body: Its bytes.
        """
        defined = self._defined.get(id)
        if defined is None:
            return ()
        if defined.type != type:
            return (_fault("document-misplaced", f"It belongs to the resource {TYPES[defined.type]}."),)
        found = []
        if defined.content_type is not None and not _is_of(content_type, defined.content_type):
            found.append(_fault("document-type", "It needs the Content-Type given there, parameters included."))
        if defined.schema is not None and not _follows(defined.schema, body):
            found.append(_fault("document-value", "It does not follow the schema given there."))
        return tuple(found)


def _is_of(given: str, wanted: str) -> bool:
    """True if a content type is the wanted one: with its parameters, and more if it likes."""
    (kind, parameters), (wanted_kind, wanted_parameters) = _media_type(given), _media_type(wanted)
    return kind == wanted_kind and wanted_parameters <= parameters


def _media_type(text: str) -> tuple[str, frozenset[tuple[str, str]]]:
    kind, *parameters = text.lower().split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return kind.strip(), frozenset((name.strip(), value.strip().strip('"')) for name, _, value in pairs if name.strip())


def _follows(schema: Schema, body: bytes) -> bool:
    try:
        return schema.is_valid(lossless.loads(body))
    except (ValueError, RecursionError):
        return False  # no JSON, or nested too deeply to be read


def _fault(rule: str, words: str) -> Fault:
    return Fault("", rule, _SECTION, f"A profile defines the document of this id. {words}")
