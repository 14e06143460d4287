"""The versions of xAPI spoken here, all that differs between them, and how a request says which.

To add one: its record here, its schema in ``schemas/xapi/``, its name among the values of ``SILLAGE_DEFAULT_VERSION``
in ``app/settings.py``. Nothing else asks which version it is, only what its record says; a test holds the code to that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from app.core.errors import BadVersion


class Sections(NamedTuple):
    """The sections that a version has for the rules of a statement that ``rules.py`` holds it to."""

    identifier: str
    timestamp: str
    score: str
    component: str
    attachment: str


class Bare(Enum):
    """Effects of a PUT of a document without ``If-Match`` and ``If-None-Match``."""

    OVERWRITE = "overwrite"
    CREATE = "create"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class VersionSpec:
    """Specification of a version of the standard: everything it asks for that another does not.

    Attributes:
        name: What ``X-Experience-API-Version`` answers, and the folder of its schema under ``schemas/xapi/``.
        unsaid: The version that a statement of it gets that came without one.
        sections: Where its text has the rules that ``rules.py`` cites.
        times_in_utc: Whether timestamps are kept in UTC.
        alternate_syntax: Whether a request may be sent as a form (the alternate request syntax).
        bare_put_of_state: What a PUT of a State document may do without preconditions.
        bare_put_of_profile: What one of an Activity Profile or an Agent Profile may do.
        unknown: Properties of a context that it does not have and a later one does.
        line: Its first two numbers: every patch of a line speaks to every other.
        schema: The parts of its schema's path under ``schemas/``.
        unsaid_as_written: ``unsaid`` as a member of a statement.
        unsaid_at_end: The end of a statement that came without a version.
        unknown_as_written: ``unknown`` as a statement without spaces has them.
    """

    name: str
    unsaid: str
    sections: Sections
    times_in_utc: bool
    alternate_syntax: bool
    bare_put_of_state: Bare
    bare_put_of_profile: Bare
    unknown: tuple[str, ...]
    # Made once: each statement needs them.
    line: str = field(init=False)
    schema: tuple[str, ...] = field(init=False)
    unsaid_as_written: bytes = field(init=False)
    unsaid_at_end: bytes = field(init=False)
    unknown_as_written: tuple[bytes, ...] = field(init=False)

    def __post_init__(self) -> None:
        made = {
            "line": self.name.rpartition(".")[0],
            "schema": ("xapi", self.name, "statement.json"),
            "unsaid_as_written": f',"version":"{self.unsaid}"'.encode(),
            "unsaid_at_end": f',"version":"{self.unsaid}"}}'.encode(),
            "unknown_as_written": tuple(f'"{name}":'.encode() for name in self.unknown),
        }
        for name, part in made.items():
            object.__setattr__(self, name, part)


class Version(Enum):
    """A version of the standard, oldest first; its value is what ``X-Experience-API-Version`` answers."""

    _value_: str
    spec: VersionSpec

    def __new__(cls, spec: VersionSpec) -> Version:
        """The member of that record."""
        made = object.__new__(cls)
        made._value_ = spec.name
        made.spec = spec
        return made

    V1 = VersionSpec(
        name="1.0.3",
        # xAPI-Data 2.4.10: a statement without a version is of 1.0.0, whatever the patch of the request.
        unsaid="1.0.0",
        sections=Sections(
            identifier="xAPI-Data 2.4.1",
            timestamp="xAPI-Data 4.5",
            score="xAPI-Data 2.4.5.1",
            component="xAPI-Data 2.4.4.1",
            attachment="xAPI-Data 2.4.11",
        ),
        times_in_utc=False,
        # xAPI-Communication 1.3.
        alternate_syntax=True,
        # xAPI-Communication 3.1: State is left out of concurrency control, and every PUT of a profile needs a header.
        bare_put_of_state=Bare.OVERWRITE,
        bare_put_of_profile=Bare.REFUSE,
        # IEEE 9274.1.1 4.2.2.5: the only properties of a statement that 1.0.3 does not have.
        unknown=("contextAgents", "contextGroups"),
    )
    V2 = VersionSpec(
        name="2.0.0",
        # IEEE 9274.1.1 4.2.4.3.
        unsaid="2.0.0",
        sections=Sections(
            identifier="IEEE 9274.1.1 4.2.4.2",
            timestamp="IEEE 9274.1.1 4.2.7",
            score="IEEE 9274.1.1 4.2.2.4",
            component="IEEE 9274.1.1 4.2.2.3",
            attachment="IEEE 9274.1.1 4.2.2.6",
        ),
        # IEEE 9274.1.1 4.2.7: the LRS shall convert timestamps to UTC.
        times_in_utc=True,
        # IEEE 9274.1.1 4.1: it has none.
        alternate_syntax=False,
        # IEEE 9274.1.1 4.1.4: a header is needed wherever a document is there already.
        bare_put_of_state=Bare.CREATE,
        bare_put_of_profile=Bare.CREATE,
        unknown=(),
    )


SUPPORTED: tuple[Version, ...] = tuple(Version)
OLDEST, NEWEST = SUPPORTED[0], SUPPORTED[-1]
NAMES = " or ".join(version.value for version in SUPPORTED)

_OF_LINE = {version.spec.line: version for version in SUPPORTED}
# xAPI-Communication 3.3: 1.0 means 1.0.0, and every 1.0.x speaks to every other; 2.0 likewise.
_SPOKEN = re.compile(r"([0-9]+\.[0-9]+)(?:\.[0-9]{1,6})?")


def negotiate(header: str | None) -> Version:
    """The version of a request, from its ``X-Experience-API-Version`` header.

    Raises:
        BadVersion: no header, or a version not spoken here (xAPI-Communication 3.3).
    """
    if header is None:
        raise BadVersion(f"The X-Experience-API-Version header is missing. Send {NAMES}.")
    spoken = _SPOKEN.fullmatch(header)
    version = None if spoken is None else _OF_LINE.get(spoken[1])
    if version is None:
        raise BadVersion(f"The X-Experience-API-Version header names a version not supported. Send {NAMES}.")
    return version


def of_statement(said: object) -> Version:
    """The version to hold a statement to, from the ``version`` that it says.

    One that says none is of the oldest (xAPI-Data 2.4.10), as is one that says what is no version; one of another patch
    or line than are spoken here is of the newest with its first number, whose schema refuses it or not.
    """
    if not isinstance(said, str):
        return OLDEST
    spoken = _SPOKEN.fullmatch(said)
    if spoken is not None and spoken[1] in _OF_LINE:
        return _OF_LINE[spoken[1]]
    major = said.partition(".")[0]
    return next((each for each in reversed(SUPPORTED) if each.spec.line.partition(".")[0] == major), OLDEST)
