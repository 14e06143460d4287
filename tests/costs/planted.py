"""Statements stored so that readings of them cost much. Each planting has a verb and a learner of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from uuid import uuid4

import orjson

from tests.costs import grammar
from tests.costs.bounds import MIB
from tests.costs.meter import Measured
from tests.multiparts import BOUNDARY, body_of, part_of, sha2_of

HALF = 450_000
MASKED = "https://ent.example/extensions/x"


class Planting(NamedTuple):
    """A planting: its name, the number of statements, MiB of their JSON, the id of one."""

    name: str
    statements: int
    mib: float
    one: str

    @property
    def verb(self) -> str:
        """The verb of its statements."""
        return verb_of(self.name)

    @property
    def learner(self) -> dict[str, Any]:
        """The actor of its statements."""
        return learner_of(self.name)


def verb_of(name: str) -> str:
    """The verb of a planting's statements."""
    return f"https://ent.example/planted/{name.replace(' ', '-')}"


def learner_of(name: str) -> dict[str, Any]:
    """The learner of a planting."""
    return {"account": {"homePage": "https://ent.example", "name": f"planted-{name.replace(' ', '-')}"}}


def _of(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "actor": learner_of(name),
        "verb": {"id": verb_of(name)},
        "object": {"id": "https://ent.example/a"},
        **changes,
    }


# Somebody else, whose name and address are looked for in all of the statement.
_OTHERS = {
    "instructor": {"mbox": "mailto:p1@ent.example", "name": "Prenom Nom 1"},
    "team": {"objectType": "Group", "member": [{"mbox": f"mailto:p{each}@ent.example"} for each in range(50)]},
}


def _shaped(shape: str) -> Callable[[str], list[dict[str, Any]]]:
    def make(name: str) -> list[dict[str, Any]]:
        value = orjson.loads(grammar.SHAPES[shape](HALF))
        return [_of(name, context={**_OTHERS, "extensions": {MASKED: value}}, result={"extensions": {MASKED: value}})]

    return make


# Two of nearly 64 KiB: what the store knows of an activity is told with each statement that names it.
_DEFINITIONS = (
    {"name": {f"fr-x-{each:05d}": "t" for each in range(3_500)}, "type": "https://ent.example/types/t"},
    {"interactionType": "choice", "choices": [{"id": f"c{each:06d}"} for each in range(3_500)]},
)
_DEFINED = tuple(f"https://ent.example/defined/{each}" for each in range(100))
_DEFINITION_MIB = max(len(orjson.dumps(each)) for each in _DEFINITIONS) / MIB


def _definitions(name: str) -> list[dict[str, Any]]:
    return [_of(name, object={"id": each, "definition": _DEFINITIONS[at % 2]}) for at, each in enumerate(_DEFINED)]


def _naming(place: int) -> Callable[[str], list[dict[str, Any]]]:
    return lambda name: [_of(name, object={"id": _DEFINED[place]}) for _ in range(500)]


def _naming_all(name: str) -> list[dict[str, Any]]:
    context = {"contextActivities": {"grouping": [{"id": each} for each in _DEFINED]}}
    return [_of(name, context=context) for _ in range(50)]


NAMED: Final[Mapping[str, float]] = {
    "naming one of many languages": _DEFINITION_MIB,
    "naming one of many choices": _DEFINITION_MIB,
    "naming all": _DEFINITION_MIB * len(_DEFINED),
}
"""MiB of definitions that each statement of a planting names, and that ``canonical`` reads."""


def _displays(name: str) -> list[dict[str, Any]]:
    verb = {"id": verb_of(name), "display": {f"fr-x-{each:06d}": "t" for each in range(10_000)}}
    return [_of(name, verb=verb) for _ in range(20)]


def _choices(name: str) -> list[dict[str, Any]]:
    choices = [{"id": f"c{each}", "description": {"fr": "a", "en": "b"}} for each in range(5_000)]
    target = {"id": "https://ent.example/choices", "definition": {"interactionType": "choice", "choices": choices}}
    return [_of(name, object=target) for _ in range(20)]


def _members(name: str) -> list[dict[str, Any]]:
    listed = [
        {"account": {"homePage": "https://ent.example", "name": f"p-{each}"}, "name": f"Prenom Nom {each}"}
        for each in range(5_000)
    ]
    value = " ".join(f"Prenom Nom {each}" for each in range(5_000))
    return [
        _of(name, context={"team": {"objectType": "Group", "member": listed}}, result={"response": value})
        for _ in range(5)
    ]


def _small(name: str) -> list[dict[str, Any]]:
    return [_of(name) for _ in range(5_000)]


def _sessions(name: str) -> list[dict[str, Any]]:
    return [_of(name, context={"registration": str(uuid4())}) for _ in range(2_000)]


PLANTED: Final[Mapping[str, Callable[[str], list[dict[str, Any]]]]] = {
    **{
        shape: _shaped(shape)
        for shape in (
            "numbers",
            "numbers under a long key",
            "keys",
            "wide and deep",
            "nested, with long keys",
            "addresses",
            "nearly addresses",
            "dots before an at",
            "addresses as keys",
            "addresses in an array",
            "names of others",
            "INE as keys",
            "empty objects",
        )
    },
    "definitions": _definitions,
    "naming one of many languages": _naming(0),
    "naming one of many choices": _naming(1),
    "naming all": _naming_all,
    "displays": _displays,
    "choices": _choices,
    "members": _members,
    "small": _small,
    "sessions": _sessions,
}


def plant(worker: Measured) -> dict[str, Planting]:
    """Store them all; the learner of ``small`` has documents, the one of ``numbers`` attachments too."""
    done = {}
    for name, make in PLANTED.items():
        statements = make(name)
        size = 0
        for start in range(0, len(statements), 2_500):
            body = orjson.dumps(statements[start : start + 2_500])
            size += len(body)
            answer = worker.ask("POST", "/xAPI/statements", body, worker.plain)
            assert answer.status == 200, (name, answer.content[:500])
        done[name] = Planting(name, len(statements), size / MIB, statements[0]["id"])
    _plant_documents(worker)
    done["attachments"] = _plant_attachments(worker)
    return done


def _plant_documents(worker: Measured) -> None:
    agent = orjson.dumps(learner_of("small")).decode()
    for place in range(200):
        params = {"activityId": "https://ent.example/a", "agent": agent, "stateId": f"s{place}"}
        body = b"x" * 100 if place else b"x" * (5 * MIB)
        answer = worker.ask("PUT", "/xAPI/activities/state", body, worker.source, {"If-Match": "*"}, **params)
        if answer.status == 412:
            answer = worker.ask("PUT", "/xAPI/activities/state", body, worker.source, {"If-None-Match": "*"}, **params)
        assert answer.status == 204, answer.content


def _plant_attachments(worker: Measured) -> Planting:
    name = "attachments"
    data = [b"%06d" % each for each in range(500)]
    listed = [
        {
            "usageType": "https://ent.example/copy",
            "display": {"fr": "Copie"},
            "contentType": "text/plain",
            "length": len(each),
            "sha2": sha2_of(each),
        }
        for each in data
    ]
    statements = [_of(name, attachments=listed) for _ in range(20)]
    body = body_of(statements, *map(part_of, data))
    kind = {"Content-Type": f"multipart/mixed; boundary={BOUNDARY}"}
    answer = worker.ask("POST", "/xAPI/statements", body, worker.plain, kind)
    assert answer.status == 200, answer.content
    return Planting(name, len(statements), len(body) / MIB, statements[0]["id"])


def chain() -> list[bytes]:
    """Statements that each refer to the one before: some name thousands of activities, the last nothing else."""
    made: list[dict[str, Any]] = [_of("chain")]
    for place in range(18):
        target = {"objectType": "StatementRef", "id": made[-1]["id"]}
        named = [{"id": f"https://ent.example/chained/{place}/{each}"} for each in range(9_000)] if place < 12 else []
        context = {"context": {"contextActivities": {"other": named}}} if named else {}
        made.append(_of("chain", object=target, **context))
    return [orjson.dumps(each) for each in made]
