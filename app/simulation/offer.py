"""Offer of tools to the made-up people: the services of a workspace, and adaptive tools with their exercises."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from app.simulation.population import TOOLS_HOME, WORKSPACE_HOME
from app.standards.profiles import terms


class Service(NamedTuple):
    """A service of the workspace; ``weight``: how often it is opened beside others; ``resources``: what it gives."""

    name: str
    kind: str
    tool: str
    weight: int
    activity: dict[str, object]
    resources: tuple[dict[str, object], ...] = ()


class Item(NamedTuple):
    """A question of an exercise: the right answer comes first; ``difficulty`` in logits."""

    activity: dict[str, object]
    answers: tuple[str, ...]
    difficulty: float


class Exercise(NamedTuple):
    """An exercise of a tool."""

    id: str
    activity: dict[str, object]
    items: tuple[Item, ...]


class Tool(NamedTuple):
    """An adaptive tool: ``levels[n]`` are the exercises of its level ``n + 1``, ``skills[n]`` what they practise."""

    name: str
    activity: dict[str, object]
    levels: tuple[tuple[Exercise, ...], ...]
    seconds: float
    skills: tuple[dict[str, object], ...]


WORKSPACE: Final[dict[str, object]] = {
    "objectType": "Activity",
    "id": WORKSPACE_HOME,
    "definition": {
        "type": terms.WORKSPACE,
        "name": {"fr": "Espace numérique de travail", "en": "Digital workspace"},
    },
}

_SERVICES: Final = (
    ("cahier-de-textes", "NATIF", "Cahier de textes", "Homework diary", 30),
    ("messagerie", "NATIF", "Messagerie", "Messages", 26),
    ("notes", "NATIF", "Notes et bulletins", "Marks and reports", 22),
    ("absences", "NATIF", "Absences et retards", "Absences", 10),
    ("documents", "NATIF", "Espace documentaire", "Documents", 9),
    ("manuel-numerique", "TIERS", "Manuel numérique", "Digital textbook", 16),
    ("encyclopedie", "TIERS", "Encyclopédie", "Encyclopaedia", 6),
    ("exerciseur", "TIERS", "Exerciseur", "Exercises", 8),
)

SERVICES: Final = tuple(
    Service(
        name,
        kind,
        f"{name}-{'ent' if kind == 'NATIF' else 'editeur'}",
        weight,
        {
            "objectType": "Activity",
            "id": f"{WORKSPACE_HOME}/services/{name}",
            "definition": {"type": terms.SERVICE_ACTIVITY, "name": {"fr": french, "en": english}},
        },
        tuple(
            {
                "objectType": "Activity",
                "id": f"{WORKSPACE_HOME}/resources/{name}-{number}",
                "definition": {"type": terms.RESOURCE, "name": {"fr": f"{french}, n° {number}"}},
            }
            for number in range(1, 13)
        )
        if kind == "TIERS"
        else (),
    )
    for name, kind, french, english, weight in _SERVICES
)

_TOOLS: Final = (
    ("lecto", "Lecture", "Reading", ("[a]", "[b]", "[c]", "[d]"), 24.0),
    ("calculo", "Mathématiques", "Mathematics", tuple(str(number) for number in range(2, 60, 3)), 32.0),
    ("parlo", "Langues vivantes", "Languages", ("[vrai]", "[faux]", "[je ne sais pas]"), 18.0),
)
_LEVELS: Final = 5
_EXERCISES: Final = 8


def tools(random: Random) -> tuple[Tool, ...]:
    """The adaptive tools, with exercises of rising difficulty."""
    return tuple(_tool(random, *row) for row in _TOOLS)


def _tool(random: Random, name: str, french: str, english: str, answers: tuple[str, ...], seconds: float) -> Tool:
    home = f"{TOOLS_HOME}/{name}"
    activity: dict[str, object] = {
        "objectType": "Activity",
        "id": home,
        "definition": {"type": terms.TOOL_ACTIVITY, "name": {"fr": french, "en": english}},
    }
    levels = tuple(
        tuple(
            _exercise(random, f"{home}/exercices/{level * _EXERCISES + at + 1}", french, english, answers, level)
            for at in range(_EXERCISES)
        )
        for level in range(_LEVELS)
    )
    skills: tuple[dict[str, object], ...] = tuple(
        {
            "objectType": "Activity",
            "id": f"{home}/competences/{level}",
            "definition": {"type": terms.SKILL, "name": {"fr": f"{french}, compétence {level}"}},
        }
        for level in range(1, _LEVELS + 1)
    )
    return Tool(name, activity, levels, seconds, skills)


def _exercise(random: Random, home: str, french: str, english: str, answers: tuple[str, ...], level: int) -> Exercise:
    number = home.rpartition("/")[2]
    items = tuple(
        Item(
            {
                "objectType": "Activity",
                "id": f"{home}/items/{at}",
                "definition": {
                    "type": terms.ITEM,
                    "name": {"fr": f"{french}, question {at}", "en": f"{english}, question {at}"},
                },
            },
            tuple(random.sample(answers, len(answers))),
            random.gauss(level * 0.7 - 1.2, 0.4),
        )
        for at in range(1, random.randint(5, 9))
    )
    activity: dict[str, object] = {
        "objectType": "Activity",
        "id": home,
        "definition": {
            "type": terms.EXERCISE,
            "name": {"fr": f"{french}, exercice {number}", "en": f"{english}, exercise {number}"},
        },
    }
    return Exercise(home, activity, items)
