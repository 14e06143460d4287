"""The register of processing activities (GDPR art. 30): what is done with which data, why, and for how long.

An entry is a JSON document that keeps ``schemas/sillage/processing-activity.schema.json``. Changing one adds a version;
every version is kept, so that it can be said what was in force on any day. On a day the version governs that was added
last among those whose ``in_force_from`` has come, where the controller is: that is the one notion of "in force", for
whoever stores, deletes, counts or tells (``version_on``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from itertools import islice
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from app.core import contracts
from app.core.clock import Clock
from app.core.errors import ActivityNotInForce, Fault, NotFound, RegisterInvalid, pointer
from app.governance.audit.log import ACTIVITY_ADDED, Audit
from app.governance.register.store import ProcessingActivityRepository, StoredProcessingActivity

_SCHEMA = ("sillage", "processing-activity.schema.json")
_MAX_BYTES = 1_000_000
_MAX_FAULTS = 50
_TRIES = 5


class Text(NamedTuple):
    """One text in French and in English."""

    fr: str
    en: str


CONSENT = "6.1.a"
ACCOUNT_CLOSED = "account-closed"
ACCOUNT_CLOSED_MONTHS = 3
"""French rules for digital workspaces: an account goes within three months of its reason."""


class RetentionRule(NamedTuple):
    """Duration of retention of statements, and its justification.

    Attributes:
        active_days: From when they were stored.
        justification: Why so long.
        account_closed_months: From the end of the learner's account, when that is earlier; None: it does not count.
    """

    active_days: int
    justification: Text
    account_closed_months: int | None = None

    def shorter_than(self, other: RetentionRule) -> bool:
        """True if something is deleted earlier under this rule than under the other."""
        months, before = self.account_closed_months, other.account_closed_months
        return self.active_days < other.active_days or (months is not None and (before is None or months < before))


@dataclass(frozen=True, slots=True)
class ProcessingActivity:
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
        in_force_from: The day from which it applies.
        review_by: The day by which it is to be looked at again; None: none is said.
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
    in_force_from: date
    review_by: date | None
    document: Mapping[str, object]


class SourceLink(NamedTuple):
    """A source, revoked ones too, and the processing activity that it belongs to.

    Attributes:
        source: Its id.
        activity: Id of the activity.
        minors: Its policy about minors.
        minors_reason: Why it is not ``pseudonymise``, as far as that is on record.
    """

    source: str
    activity: str
    minors: str = ""
    minors_reason: str = ""


def version_on(versions: Sequence[ProcessingActivity], day: date) -> ProcessingActivity | None:
    """The version of one activity that governs on a day; None when none is in force yet.

    Args:
        versions: All of them, in any order.
        day: Where the controller is.
    """
    # What was added later takes the place of what was added before, from the day on that it says.
    return max((one for one in versions if one.in_force_from <= day), key=lambda one: one.version, default=None)


class Register:
    """Adds and finds processing activities. Safe to share between threads."""

    def __init__(
        self, repository: ProcessingActivityRepository, audit: Audit, clock: Clock, timezone: tzinfo = UTC
    ) -> None:
        """``clock`` gives microseconds since 1970 UTC; ``timezone``: where days begin, as the controller has them."""
        self._repository = repository
        self._audit = audit
        self._clock = clock
        self._timezone = timezone
        self._validator = Draft202012Validator(contracts.load(*_SCHEMA), format_checker=FormatChecker(["date"]))
        # Activities that were found in force, and on which day.
        self._known: dict[str, date] = {}

    def draft(self, document: bytes, *, base: int | None = None) -> ProcessingActivity:
        """The version that a document would be, if it were added now; nothing is stored.

        Args:
            document: UTF-8 JSON.
            base: As of ``add``.

        Raises:
            RegisterInvalid: as ``add``.
        """
        content = self._checked(document)
        latest = self._repository.latest(content["id"])
        _require_base(latest, base)
        return _activity(latest if latest is not None and latest.document == content else self._next(content, latest))

    def add(
        self, document: bytes, actor: str = "cli:processing-activity add", *, base: int | None = None
    ) -> ProcessingActivity:
        """Add an activity, or a new version of one; a document equal to the version added last changes nothing.

        Args:
            document: UTF-8 JSON.
            actor: Who adds it, for the audit log.
            base: The version that it was made from, 0 for a new activity; None: whatever was added last.

        Raises:
            RegisterInvalid: not JSON, or it breaks the schema; ``faults`` say where and which article. Or the version
                added last is not ``base``: the fault is ``taken`` for a new activity, else ``base``.
        """
        content = self._checked(document)
        for _ in range(_TRIES):
            latest = self._repository.latest(content["id"])
            _require_base(latest, base)
            if latest is not None and latest.document == content:
                return _activity(latest)
            added = self._next(content, latest)
            # The entry comes first: a change of the register without a trace is worse than a trace without a change.
            detail = {"activity": added.id, "version": added.version, "in_force_from": content["in_force_from"]}
            self._audit.append(ACTIVITY_ADDED, actor, detail)
            if self._repository.insert(added):
                return _activity(added)
        raise RegisterInvalid("Others change this activity at the same moment. Look at it again, then retry.")

    def day(self, at: int | None = None) -> date:
        """The day where the controller is, at an instant (microseconds since 1970 UTC); None: now."""
        return datetime.fromtimestamp((self._clock() if at is None else at) / 1_000_000, self._timezone).date()

    def begins(self, day: date) -> int:
        """The instant at which a day begins where the controller is, in microseconds since 1970 UTC."""
        return round(datetime(day.year, day.month, day.day, tzinfo=self._timezone).timestamp()) * 1_000_000

    def list(self, at: int | None = None) -> tuple[ProcessingActivity, ...]:
        """The version in force of every activity that has one, by id; at an instant (microseconds), or now."""
        day = self.day(at)
        found = (version_on(versions, day) for versions in _by_id(self._repository.every()).values())
        return tuple(activity for activity in found if activity is not None)

    def planned(self) -> tuple[ProcessingActivity, ...]:
        """The versions that are to come into force, by id and day, those of new activities too."""
        today = self.day()
        return tuple(
            sorted(
                (
                    one
                    for versions in _by_id(self._repository.every()).values()
                    for one in versions
                    if one.in_force_from > today and version_on(versions, one.in_force_from) == one
                ),
                key=lambda one: (one.id, one.in_force_from),
            )
        )

    def overdue_reviews(self) -> tuple[ProcessingActivity, ...]:
        """The versions in force whose day of review has passed, and that nothing planned takes the place of."""
        today, replaced = self.day(), {one.id for one in self.planned()}
        return tuple(
            one for one in self.list() if one.review_by is not None and one.review_by < today and one.id not in replaced
        )

    def get(self, identifier: str, at: int | None = None) -> ProcessingActivity:
        """The version in force of one activity, at an instant (microseconds), or now.

        Raises:
            NotFound: no such activity, or none of its versions is in force; the detail says from when one is.
        """
        versions = self.history(identifier)
        found = version_on(versions, self.day(at))
        if found is not None:
            return found
        if not versions:
            raise NotFound(
                "No processing activity has this id. `sillage processing-activity list` shows those that exist."
            )
        raise NotFound(_not_yet(versions))

    def history(self, identifier: str) -> tuple[ProcessingActivity, ...]:
        """Every version of one activity, oldest first; empty when there is none."""
        return tuple(_activity(stored) for stored in self._repository.history(identifier))

    def takes_sources(self, identifier: str) -> bool:
        """True if there is such a processing activity.

        Raises:
            RegisterInvalid: there is, and it is not in force yet: nothing may be stored under it.
        """
        versions = self.history(identifier)
        if versions and version_on(versions, self.day()) is None:
            raise RegisterInvalid(_not_yet(versions))
        return bool(versions)

    def require(self, identifier: str) -> None:
        """Refuse to store anything under an activity that is not in force today. Asks the database once a day.

        Raises:
            ActivityNotInForce: it is not, or there is none; the detail says from when it is.
        """
        today = self.day()
        if self._known.get(identifier) == today:
            return
        versions = self.history(identifier)
        if version_on(versions, today) is None:
            raise ActivityNotInForce(_not_yet(versions) if versions else "")
        self._known[identifier] = today

    def forget(self) -> None:
        """Look anew at what is in force."""
        self._known = {}

    def _next(self, content: Mapping[str, Any], latest: StoredProcessingActivity | None) -> StoredProcessingActivity:
        return StoredProcessingActivity(
            content["id"], 1 if latest is None else latest.version + 1, self._clock(), content
        )

    def _checked(self, document: bytes) -> Any:
        content = _decoded(document)
        faults = list(self._faults(content))
        if faults:
            raise RegisterInvalid("The processing activity is not complete or not valid.", faults=faults)
        return content

    def _faults(self, content: Any) -> Iterator[Fault]:
        errors = sorted(self._validator.iter_errors(content), key=lambda error: [str(p) for p in error.absolute_path])
        # Of an object without several properties there is an error for each, and each of them tells of all.
        faults = dict.fromkeys(fault for error in errors for fault in _faults_of(error))
        yield from islice(faults, _MAX_FAULTS)
        yield from _consent(content)
        if not errors:
            yield from _dates(content)
            yield from _basis(content)


def _require_base(latest: StoredProcessingActivity | None, base: int | None) -> None:
    """Refuse what takes the place of a version that whoever wrote it has not seen."""
    if base is None or base == (0 if latest is None else latest.version):
        return
    if base == 0:
        taken = Fault("/id", "taken", "GDPR art. 30", "is the name of another entry")
        raise RegisterInvalid("There is an entry of this name.", faults=[taken])
    changed = Fault("", "base", "GDPR art. 30", "was made from another version than the one added last")
    raise RegisterInvalid("Another version was added meanwhile. Look at it, then decide again.", faults=[changed])


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


def _faults_of(error: ValidationError) -> Iterator[Fault]:
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
    """The demand of a rule, without the value that breaks it."""
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


def _consent(content: Any) -> Iterator[Fault]:
    basis = content.get("legal_basis") if isinstance(content, dict) else None
    if isinstance(basis, dict) and basis.get("article") == CONSENT:
        # GDPR art. 7(1): the controller must be able to show that the data subject consented, and art. 7(3): to
        # withdraw.
        yield Fault(
            "/legal_basis/article",
            "consent",
            "GDPR art. 7",
            "is consent, which this store cannot hold yet: who consented, to what, when, and who took it back. Choose "
            "another basis if another one is right (for a school, usually 6.1.e); else keep these traces elsewhere",
        )


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


def _by_id(every: Sequence[StoredProcessingActivity]) -> dict[str, list[ProcessingActivity]]:
    found: dict[str, list[ProcessingActivity]] = {}
    for stored in every:
        found.setdefault(stored.id, []).append(_activity(stored))
    return found


def _not_yet(versions: Sequence[ProcessingActivity]) -> str:
    first = min(versions, key=lambda one: one.in_force_from)
    return (
        f"The processing activity {first.id} is in force from {first.in_force_from} on: until then nothing is stored "
        "under it."
    )


def _rule(said: Mapping[str, Any]) -> RetentionRule:
    counts = said["basis"] == ACCOUNT_CLOSED
    months = said.get("account_closed_months", ACCOUNT_CLOSED_MONTHS) if counts else None
    return RetentionRule(said["active_days"], Text(**said["justification"]), months)


def _activity(stored: StoredProcessingActivity) -> ProcessingActivity:
    entry: dict[str, Any] = dict(stored.document)  # it kept the schema when it was added
    return ProcessingActivity(
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
        in_force_from=date.fromisoformat(entry["in_force_from"]),
        review_by=date.fromisoformat(entry["review_by"]) if "review_by" in entry else None,
        document=stored.document,
    )
