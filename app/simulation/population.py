"""Made-up schools and people: valid UAIs, classes, pupils, their parents and the staff. Nobody real, no name.

A pupil is two pseudonymous accounts, one for the workspace and one for the tools, and a way of learning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from app.standards.france import uai

WORKSPACE_HOME: Final = "https://ent.example.org"
TOOLS_HOME: Final = "https://p2ia.example.org"

_DEPARTEMENTS: Final = ("013", "031", "033", "059", "069", "075", "092", "093", "971")
_PUPILS_PER_SCHOOL: Final = 250
_PUPILS_PER_CLASS: Final = 25
# MEF (11 digits) of the levels of a collège, and of the first year of a general lycée.
_COLLEGE: Final = ("10010012110", "10110001110", "10210001110", "10310019110")
_LYCEE: Final = ("20010018110",)


class Classroom(NamedTuple):
    """A class of a school; ``code`` is opaque within the school, ``teacher`` an account of the tools."""

    school: str
    mef: str
    code: str
    teacher: dict[str, object]


@dataclass(slots=True)
class Person:
    """Somebody with an account of the workspace; ``classroom`` is absent for all but pupils."""

    actor: dict[str, object]
    profile: str
    school: str
    classroom: Classroom | None = None


@dataclass(slots=True)
class Pupil(Person):
    """A pupil: also an account of the adaptive tools, and what the simulation knows of their learning.

    Attributes:
        ability: Starting ability in logits, around 0.
        practice: Items answered so far, by tool.
        level: Level reached in each tool, from 1.
        tries: Attempts so far, by exercise.
        recommended: What was recommended and nobody decided on yet: the statement, its activity, the tool.
    """

    learner: dict[str, object] = field(default_factory=dict)
    ability: float = 0.0
    practice: dict[str, int] = field(default_factory=dict)
    level: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    recommended: list[tuple[str, dict[str, object], str]] = field(default_factory=list)


class Population(NamedTuple):
    """Everyone, and the pupils again by class."""

    adults: list[Person]
    classes: list[tuple[Classroom, list[Pupil]]]


def account(random: Random, home: str) -> dict[str, object]:
    """An agent known by an opaque account of 32 hexadecimal digits."""
    return {"objectType": "Agent", "account": {"homePage": home, "name": f"{random.getrandbits(128):032x}"}}


def populate(random: Random, pupils: int) -> Population:
    """Make the schools of so many pupils, with their classes, parents and staff."""
    adults: list[Person] = []
    classes: list[tuple[Classroom, list[Pupil]]] = []
    used: set[str] = set()
    schools = max(1, round(pupils / _PUPILS_PER_SCHOOL))
    for number in range(schools):
        size = pupils * (number + 1) // schools - pupils * number // schools
        school = _school(random, used)
        mefs = _LYCEE if number % 4 == 3 else _COLLEGE
        rooms = max(1, round(size / _PUPILS_PER_CLASS))
        for room in range(rooms):
            head = size * (room + 1) // rooms - size * room // rooms
            code = f"{random.getrandbits(32):08x}"
            classroom = Classroom(school, mefs[room % len(mefs)], code, account(random, TOOLS_HOME))
            members = [_pupil(random, classroom) for _ in range(head)]
            classes.append((classroom, members))
            adults += [_adult(random, "PARENT", school) for _ in range(head)]
            adults += [_adult(random, "ENSEIGNANT", school) for _ in range(2)]
        adults += [_adult(random, "ADMIN_VIE_SCOL_TECH", school) for _ in range(1 + size // 100)]
    return Population(adults, classes)


def _school(random: Random, used: set[str]) -> str:
    while True:
        code = uai.make(random.choice(_DEPARTEMENTS), random.randrange(10_000))
        if code not in used:
            used.add(code)
            return code


def _adult(random: Random, profile: str, school: str) -> Person:
    return Person(account(random, WORKSPACE_HOME), profile, school)


def _pupil(random: Random, classroom: Classroom) -> Pupil:
    return Pupil(
        actor=account(random, WORKSPACE_HOME),
        profile="ELEVE",
        school=classroom.school,
        classroom=classroom,
        learner=account(random, TOOLS_HOME),
        ability=random.gauss(0.0, 0.8),
    )
