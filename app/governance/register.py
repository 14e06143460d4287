"""The register of processing activities (GDPR art. 30): what is done with which data, why, and for how long.

An entry is a JSON document that keeps ``schemas/sillage/processing-activity.schema.json``. Changing one adds a version;
every version is kept, so that it can be said what was in force on any day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from app import contracts
from app.errors import Fault, NotFound, RegisterInvalid, pointer
from app.governance.audit import ACTIVITY_ADDED, Audit
from app.storage.register import ActivityRepository, StoredActivity

_SCHEMA = ("sillage", "processing-activity.schema.json")
_MAX_BYTES = 1_000_000
_MAX_FAULTS = 50
_TRIES = 5


class Text(NamedTuple):
    """One text in French and in English."""

    fr: str
    en: str


ACCOUNT_CLOSED = "account-closed"
ACCOUNT_CLOSED_MONTHS = 3
"""French rules for digital workspaces: an account goes within three months of its reason."""


class RetentionRule(NamedTuple):
    """How long statements are kept, and why.

    Attributes:
        active_days: From when they were stored.
        justification: Why so long.
        account_closed_months: From the end of the learner's account, when that is earlier; None: it does not count.
    """

    active_days: int
    justification: Text
    account_closed_months: int | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """A version of a processing activity.

    Attributes:
        id: Short name.
        version: 1, 2, …
        added: When this version was added, microseconds since 1970 UTC.
        name: Its name.
        controller: Name of the controller.
        purposes: What the data are for.
        legal_basis: Article, ``6.1.a`` to ``6.1.f``.
        retention: The rule that the retention job applies.
        minors: Whether minors are concerned.
        pupils_only: Whether pupils are declared as its only data subjects.
        document: All of it, as it was given.
    """

    id: str
    version: int
    added: int
    name: Text
    controller: str
    purposes: tuple[Text, ...]
    legal_basis: str
    retention: RetentionRule
    minors: bool
    pupils_only: bool
    document: Mapping[str, object]


class SourceLink(NamedTuple):
    """A source, revoked ones too, and the processing activity that it belongs to."""

    source: str
    activity: str


class Register:
    """Adds and finds processing activities."""

    def __init__(self, repository: ActivityRepository, audit: Audit, clock: Callable[[], int]) -> None:
        """``clock`` gives microseconds since 1970 UTC."""
        self._repository = repository
        self._audit = audit
        self._clock = clock
        self._validator = Draft202012Validator(contracts.load(*_SCHEMA), format_checker=FormatChecker(["date"]))

    def add(self, document: bytes, actor: str = "cli:activity add") -> Activity:
        """Add an activity, or a new version of one; a document equal to the version in force changes nothing.

        Args:
            document: UTF-8 JSON.
            actor: Who adds it, for the audit log.

        Raises:
            RegisterInvalid: not JSON, or it breaks the schema; ``faults`` say where and which article.
        """
        content = _decoded(document)
        faults = list(self._faults(content))
        if faults:
            raise RegisterInvalid("The processing activity is not complete or not valid.", faults=faults)
        for _ in range(_TRIES):
            latest = self._repository.get(content["id"])
            if latest is not None and latest.document == content:
                return _activity(latest)
            added = StoredActivity(content["id"], 1 if latest is None else latest.version + 1, self._clock(), content)
            # The entry comes first: a change of the register without a trace is worse than a trace without a change.
            self._audit.append(ACTIVITY_ADDED, actor, {"activity": added.id, "version": added.version})
            if self._repository.insert(added):
                return _activity(added)
        raise RegisterInvalid("Others change this activity at the same moment. Look at it again, then retry.")

    def list(self) -> tuple[Activity, ...]:
        """The version in force of every activity, by id."""
        return tuple(_activity(stored) for stored in self._repository.in_force())

    def get(self, identifier: str) -> Activity:
        """The version in force of one activity.

        Raises:
            NotFound: no such activity.
        """
        stored = self._repository.get(identifier)
        if stored is None:
            raise NotFound("No processing activity has this id. `sillage activity list` shows those that exist.")
        return _activity(stored)

    def history(self, identifier: str) -> tuple[Activity, ...]:
        """Every version of one activity, oldest first; empty when there is none."""
        return tuple(_activity(stored) for stored in self._repository.history(identifier))

    def _faults(self, content: Any) -> Iterator[Fault]:
        errors = sorted(self._validator.iter_errors(content), key=lambda error: [str(p) for p in error.absolute_path])
        for error in errors[:_MAX_FAULTS]:
            yield from _told(error)
        if not errors:
            yield from _dates(content)
            yield from _basis(content)


class _Refused(ValueError):
    """A JSON document that cannot be trusted to mean one thing."""


def _decoded(document: bytes) -> Any:
    if len(document) > _MAX_BYTES:
        raise RegisterInvalid("The file is larger than 1 MB: it is not one processing activity.")
    try:
        return json.loads(document.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise RegisterInvalid(
            "The file is not one well-formed UTF-8 JSON document.",
            faults=[Fault("", "json", "RFC 8259", "not well-formed JSON, or a key is there twice")],
        ) from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused
    return found


def _constant(_: str) -> object:
    raise _Refused


def _told(error: ValidationError) -> Iterator[Fault]:
    path = list(error.absolute_path)
    place = pointer(path)
    rule = str(error.validator)
    section = _section(error)
    instance: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    if rule == "required":
        for name in wanted:
            if name not in instance:
                yield Fault(pointer([*path, name]), rule, _section(error, name), "is missing")
        return
    if rule == "additionalProperties":
        for name in instance:
            if name not in schema["properties"]:
                yield Fault(pointer([*path, name]), rule, section, "is not a property of this object")
        return
    yield Fault(place, rule, section, _words(rule, wanted))


def _words(rule: str, wanted: object) -> str:
    """What the rule wants, without the value that breaks it."""
    if rule == "type":
        return f"must be of type {wanted}"
    if rule == "enum" and isinstance(wanted, list):
        return f"must be one of {', '.join(map(str, wanted))}"
    if rule == "const":
        return f"must be {json.dumps(wanted)}"
    if rule == "pattern":
        return "must not be blank" if wanted == r"\S" else f"must match {wanted}"
    if rule == "format":
        return f"must be a {wanted}, for example 2026-09-01"
    limits = {
        "minItems": "must have at least {} item",
        "minLength": "must have at least {} character",
        "maxLength": "must have at most {} characters",
        "minimum": "must be {} or more",
        "maximum": "must be {} or less",
    }
    return limits[rule].format(wanted) if rule in limits else f"breaks the rule {rule}"


def _section(error: ValidationError, name: str = "") -> str:
    """The article that the nearest top-level property of the schema cites."""
    first = str(error.absolute_path[0]) if error.absolute_path else name
    properties = contracts.load(*_SCHEMA)["properties"]
    return str(properties.get(first, {}).get("$comment", "GDPR art. 30"))


def _basis(content: Mapping[str, Any]) -> Iterator[Fault]:
    retention = content["retention"]
    if "account_closed_months" in retention and retention["basis"] != ACCOUNT_CLOSED:
        message = f"is for the basis {ACCOUNT_CLOSED} only"
        yield Fault("/retention/account_closed_months", "retention-basis", "GDPR art. 5(1)(e)", message)


def _dates(content: Mapping[str, object]) -> Iterator[Fault]:
    if "review_by" in content and date.fromisoformat(str(content["review_by"])) <= date.fromisoformat(
        str(content["in_force_from"])
    ):
        yield Fault("/review_by", "date-order", "GDPR art. 5(2)", "must be after in_force_from")


def _rule(said: Mapping[str, Any]) -> RetentionRule:
    counts = said["basis"] == ACCOUNT_CLOSED
    months = said.get("account_closed_months", ACCOUNT_CLOSED_MONTHS) if counts else None
    return RetentionRule(said["active_days"], Text(**said["justification"]), months)


def _activity(stored: StoredActivity) -> Activity:
    entry: dict[str, Any] = dict(stored.document)  # it kept the schema when it was added
    return Activity(
        id=stored.id,
        version=stored.version,
        added=stored.added,
        name=Text(**entry["name"]),
        controller=entry["controller"]["name"],
        purposes=tuple(Text(**purpose) for purpose in entry["purposes"]),
        legal_basis=entry["legal_basis"]["article"],
        retention=_rule(entry["retention"]),
        minors=entry["minors"],
        pupils_only=all(persons.get("category") == "pupil" for persons in entry["data_subjects"]),
        document=stored.document,
    )
