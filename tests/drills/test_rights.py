"""Whatever the order in which rights are exercised, the store is what a plain model of it says.

A few people, two tools, and every act on them in any order: statements that name others, voidings, documents,
erasures, restrictions, objections, subject access exports, rotations of keys, backups that are restored. After each
example everybody's package and answers are compared with the model.
Under ``scripts/drill`` there are more examples, and longer ones, from the round's seed.
"""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import orjson
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from pymongo import MongoClient

from app.access.store import Source
from app.core.errors import DataSubjectRestricted
from app.operations.rotation.index_key import IndexRotation
from app.people.finding.finder import data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.settings import load
from app.standards.xapi.documents import ANY, Conditions, Content, Place, Resource
from app.standards.xapi.identifiers import VOIDED, agent_identifier
from app.standards.xapi.query import parse_query
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.wiring.container import Container
from tests.drills.drilling import SEED
from tests.served import ACTIVITY, statement

LONG = "DRILL_SEED" in os.environ
PEOPLE = range(4)
TOOLS = ("tutor", "ent")
# The automaton that voids: nobody of those above.
ROBOT = {"account": {"homePage": "https://ent.example", "name": "robot"}}

who = some.sampled_from(PEOPLE)
WHERE = ("object", "instructor", "member")


@dataclass
class Known:
    """A statement as the model has it.

    Attributes:
        actor: Who acted; None for the automaton.
        agents: Others who are found as ``agent``: object, members of the actor's group.
        related: Others who are found by ``related_agents`` only.
        voided: Whether it was voided.
        refers: The statement that it is about.
        voids: Whether it voids that one: such a one is never voided itself.
    """

    actor: int | None
    agents: set[int]
    related: set[int]
    voided: bool = False
    refers: str | None = None
    voids: bool = False

    @property
    def named(self) -> set[int]:
        return self.agents | self.related | ({self.actor} if self.actor is not None else set())


@dataclass
class Model:
    """Model of what ought to be stored: statements by id, names of documents by person."""

    statements: dict[str, Known] = field(default_factory=dict)
    documents: dict[int, set[str]] = field(default_factory=lambda: {person: set() for person in PEOPLE})
    restricted: set[int] = field(default_factory=set)
    objecting: set[int] = field(default_factory=set)

    def own(self, person: int, *, voided: bool) -> set[str]:
        return {one for one, known in self.statements.items() if known.actor == person and known.voided is voided}

    def mentions(self, person: int) -> set[str]:
        """Statements of others that name the person, or are about one that does as its agent."""
        return {
            one
            for one, known in self.statements.items()
            if known.actor != person
            and (person in known.named or any(self._agent_of(target, person) for target in self._chain(known)))
        }

    def answers(self, person: int) -> set[str]:
        """The statements that a query for the person finds, related agents included: voided ones not, but what refers
        to them.
        """
        if person in self.restricted:
            return set()
        return {
            one
            for one, known in self.statements.items()
            if not known.voided
            and known.actor not in self.restricted
            and any(person in each.named for each in (known, *self._chain(known)))
        }

    def erase(self, person: int) -> None:
        for one in [one for one, known in self.statements.items() if known.actor == person]:
            del self.statements[one]
        for known in self.statements.values():
            known.agents.discard(person)
            known.related.discard(person)
        self.documents[person].clear()
        # An objection outlives an erasure: it is to hold if they come back.
        self.restricted.discard(person)

    def after(self, present: Model, erased_since: set[int]) -> Model:
        """This one, put in the place of ``present``: who was erased since is erased again, what was asked is kept."""
        for person in PEOPLE:
            # What was withdrawn since comes back: it is the safe side.
            if person in present.restricted | present.objecting:
                for these, those in ((self.restricted, present.restricted), (self.objecting, present.objecting)):
                    (these.add if person in those else these.discard)(person)
        for person in erased_since:
            if any(person in known.named for known in self.statements.values()) or self.documents[person]:
                self.erase(person)
        return self

    def _chain(self, known: Known) -> Iterator[Known]:
        """The statements that a statement refers to, directly or through others."""
        while (target := self.statements.get(known.refers or "")) is not None:
            yield target
            known = target

    def _agent_of(self, known: Known, person: int) -> bool:
        return person == known.actor or person in known.agents


class Rights(RuleBasedStateMachine):
    """The acts, each on the store and on the model."""

    house: House
    sources: dict[str, Source]

    @property
    def container(self) -> Container:
        return self.house.container

    @initialize()
    def begin(self) -> None:
        # Another crowd for each example: what earlier ones left in the store is of nobody in this one.
        crowd = uuid4().hex[:12]
        self.agents: list[dict[str, Any]] = [
            {"account": {"homePage": "https://ent.example", "name": f"pupil-{crowd}-{person}"}} for person in PEOPLE
        ]
        self.agents[1] = {"mbox": f"mailto:pupil-{crowd}@ent.example"}
        self.crowd = crowd
        self.model = Model()
        self.saved: tuple[Path, Model] | None = None
        self.erased_since: set[int] = set()
        self.restores = 0
        self.rotations = 0

    def person(self, number: int) -> IdentifiedDataSubject:
        return data_subject_of([self.agents[number]])

    def send(self, content: dict[str, Any], tool: str) -> str:
        id = str(uuid4())
        body = orjson.dumps({"id": id, **content})
        recorded = self.container.traces.recorder.record(body, self.sources[tool], Version.V2, void_any=True)
        assert [str(one) for one in recorded.ids] == [id]
        return id

    # --- acts -----------------------------------------------------------------------------------------

    @rule(actor=who, other=some.none() | who, where=some.sampled_from(WHERE), tool=some.sampled_from(TOOLS))
    def ingest(self, actor: int, other: int | None, where: str, tool: str) -> None:
        content = statement(actor=self.agents[actor])
        known = Known(actor, set(), set())
        if other is not None and other != actor:
            if where == "object":
                content["object"] = {"objectType": "Agent", **self.agents[other]}
                known.agents.add(other)
            elif where == "instructor":
                content["context"] = {"instructor": self.agents[other]}
                known.related.add(other)
            else:
                content["context"] = {
                    "team": {"objectType": "Group", "member": [self.agents[other], self.agents[actor]]}
                }
                known.related.add(other)
        self.model.statements[self.send(content, tool)] = known

    @precondition(lambda self: self.model.statements)
    @rule(data=some.data(), voids=some.booleans())
    def refer(self, data: some.DataObject, voids: bool) -> None:
        """Void a statement, or comment on it."""
        # In the order they were sent: ids differ from one run to the next.
        target = data.draw(some.sampled_from(list(self.model.statements)))
        verb = {"id": VOIDED} if voids else statement()["verb"]
        content = statement(actor=ROBOT, verb=verb, object={"objectType": "StatementRef", "id": target})
        known = self.model.statements[target]
        self.model.statements[self.send(content, "tutor")] = Known(None, set(), set(), refers=target, voids=voids)
        known.voided |= voids and not known.voids

    @rule(person=who, name=some.sampled_from(["bookmark", "notes"]), profile=some.booleans())
    def keep(self, person: int, name: str, profile: bool) -> None:
        resource = Resource.AGENT_PROFILE if profile else Resource.STATE
        activity = None if profile else "https://ent.example/lessons/1"
        place = Place(resource, activity, agent_identifier(self.agents[person]), None, f"{resource.value}-{name}")
        content = Content("application/json", b'{"n":1}')
        there = place.id in self.model.documents[person]
        etags = Conditions(if_match=ANY) if there else Conditions(if_none_match=ANY)
        put = partial(
            self.container.traces.documents.put, place, content, etags, Version.V2, source="ent", actor="sk-ent"
        )
        if person in self.model.restricted:
            with pytest.raises(DataSubjectRestricted):
                put()
            return
        put()
        assert place.id is not None
        self.model.documents[person].add(place.id)

    @rule(person=who)
    def erase(self, person: int) -> None:
        begun = self.container.people.erasures.erase(self.person(person), actor="cli:test")
        self.container.people.erasures.advance(begun.id)
        self.model.erase(person)
        self.erased_since.add(person)

    @rule(person=who, lift=some.booleans())
    def restrict(self, person: int, lift: bool) -> None:
        restriction = self.container.people.restriction
        if lift:
            assert restriction.lift(self.person(person), actor="cli:test") is (person in self.model.restricted)
            self.model.restricted.discard(person)
        else:
            restriction.restrict(self.person(person), actor="cli:test")
            self.model.restricted.add(person)

    @rule(person=who, withdraw=some.booleans())
    def object_to(self, person: int, withdraw: bool) -> None:
        restriction = self.container.people.restriction
        if withdraw:
            withdrawn = restriction.withdraw_objection(self.person(person), actor="cli:test")
            assert withdrawn is (person in self.model.objecting)
            self.model.objecting.discard(person)
        else:
            restriction.note_objection(self.person(person), actor="cli:test")
            self.model.objecting.add(person)

    @precondition(lambda self: self.rotations < (3 if LONG else 1))
    @rule()
    def rotate(self) -> None:
        self.rotations += 1
        self.container.operations.key_service.rotate()
        assert self.container.operations.key_service.rewrap().unopened == 0

    # Without preconditions: the key is the house's, and what earlier examples did must not decide what this one may do.
    @rule()
    def replace_the_index_key(self) -> None:
        """Have new statements found by another key; those that are there follow with ``reindex``."""
        if self.house.index_rotations < (20 if LONG else 2):
            self.house.index_rotations += 1
            self.house.index_rotation.rotate()

    @rule()
    def reindex(self) -> None:
        self.house.index_rotation.reindex()

    @precondition(lambda self: self.saved is None)
    @rule()
    def back_up(self) -> None:
        path = self.house.folder / f"{uuid4()}.backup"
        self.container.operations.backups.create(path)
        self.saved = path, copy.deepcopy(self.model)
        self.erased_since = set()

    @precondition(lambda self: self.saved is not None and self.restores < (3 if LONG else 1))
    @rule()
    def restore(self) -> None:
        assert self.saved is not None
        path, saved = self.saved
        self.house.restore(path)
        self.restores += 1
        self.model = copy.deepcopy(saved).after(self.model, self.erased_since)

    # --- what must hold -------------------------------------------------------------------------------

    @rule(person=who)
    def packaged(self, person: int) -> None:
        pieces = b"".join(self.container.people.packages.write(self.person(person), actor="cli:test"))
        with ZipFile(io.BytesIO(pieces)) as package:
            read = {name: package.read(name) for name in package.namelist()}

        def items(stem: str) -> list[Any]:
            return [one for name, content in read.items() if name.startswith(stem) for one in orjson.loads(content)]

        assert {one["id"] for one in items("statements/own-")} == self.model.own(person, voided=False)
        assert {one["statement"]["id"] for one in items("statements/voided-")} == self.model.own(person, voided=True)
        mentions = {one["statement"]["id"]: one["voided"] for one in items("statements/mentions-")}
        assert mentions.keys() == self.model.mentions(person)
        assert all(voided is self.model.statements[one].voided for one, voided in mentions.items())
        assert {one["id"] for one in items("documents/index-")} == self.model.documents[person]
        everything = b"".join(read.values()).decode()
        for other in PEOPLE:
            reported = self.crowd in everything and self._texts(other) in everything
            assert not reported or other == person
        nothing = not (mentions or self.model.documents[person]) and all(
            known.actor != person for known in self.model.statements.values()
        )
        about = orjson.loads(read["about.json"])
        assert about["empty"] is nothing
        assert (about["restricted"] is not None) is (person in self.model.restricted)
        assert (about["objects"] == ["research"]) is (person in self.model.objecting)

    @rule(person=who)
    def asked(self, person: int) -> None:
        agent = orjson.dumps(self.agents[person]).decode()
        query = parse_query([("agent", agent), ("related_agents", "true"), ("limit", "7")], page_limit=100)
        reader = Reader("sk-test", None)
        page = self.container.traces.statement_queries.page(query, reader)
        found = [*page.bodies]
        while page.cursor is not None:
            page = self.container.traces.statement_queries.next_page(page.cursor, reader)
            found += page.bodies
        ids = [orjson.loads(body)["id"] for body in found]
        assert len(ids) == len(set(ids))
        assert set(ids) == self.model.answers(person)

    def _texts(self, person: int) -> str:
        return f"pupil-{self.crowd}@" if person == 1 else f"pupil-{self.crowd}-{person}"

    def teardown(self) -> None:
        if hasattr(self, "model"):
            for person in PEOPLE:
                self.packaged(person)
                self.asked(person)


class House:
    """The container of a store of its own, started; another process's, as it were, after each ``reopen``."""

    def __init__(self, mongodb_uri: str, folder: Path) -> None:
        self.folder = folder
        self.settings = load(
            {
                "SILLAGE_DATA_DIR": str(folder / "data"),
                "SILLAGE_MONGODB_URI": mongodb_uri,
                "SILLAGE_ORGANISATION": f"t{uuid4().hex[:10]}",
                "SILLAGE_HEARTBEAT_SECONDS": "0.05",
                "SILLAGE_PROCESS_TTL_SECONDS": "1",
            }
        )
        self.index_rotations = 0
        self.container = Container(self.settings)
        self.container.lifecycle.initialise()
        self.container.governance.register.add(orjson.dumps(ACTIVITY))
        self.container.lifecycle.start()

    @property
    def index_rotation(self) -> IndexRotation:
        """Of a store that one process has, and no write of which takes long: nothing else is waited for."""
        rotation = self.container.operations.index_rotation
        rotation._settle = self.settings.process_ttl_seconds
        return rotation

    def restore(self, backup: Path) -> None:
        """Stop, put a backup in place, and start again."""
        self.container.close()
        restoring = Container(self.settings)
        try:
            restoring.operations.backups.restore(backup, replace=True)
        finally:
            restoring.close()
        self.container = Container(self.settings)
        self.container.lifecycle.start()


@contextmanager
def housed(mongodb_uri: str) -> Iterator[House]:
    """A house, and nothing of it afterwards."""
    with TemporaryDirectory() as folder:
        house = House(mongodb_uri, Path(folder))
        try:
            yield house
        finally:
            house.container.close()
            with MongoClient[dict[str, object]](mongodb_uri) as client:
                client.drop_database(house.settings.database)


def test_rights_in_any_order(mongodb_uri: str) -> None:
    with housed(mongodb_uri) as house:
        Rights.house = house
        Rights.sources = {
            tool: house.container.operations.sources.add(
                tool, name=tool, activity=ACTIVITY["id"], scopes=["all"], actor="cli:test"
            )[0]
            for tool in TOOLS
        }
        run_state_machine_as_test(
            seed(SEED)(Rights),
            settings=settings(
                max_examples=30 if LONG else 6,
                stateful_step_count=50 if LONG else 25,
                deadline=None,
                database=None,
                # Minutes, in which a smaller example is looked for: worth it in a drill.
                phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,),
                suppress_health_check=list(HealthCheck),
            ),
        )
