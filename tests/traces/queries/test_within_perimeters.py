"""Statements within a perimeter: what lies inside, all of it, in order, by whichever filter; and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import orjson
import pytest

from app.access.perimeters import EVERYTHING, Perimeter, Territory
from app.access.store import Source
from app.core import clock
from app.core.errors import NotFound, OutsidePerimeter, Unavailable
from app.operations.rotation import index_key as rules
from app.operations.schema import migrations
from app.settings import Settings
from app.standards.france import uai
from app.standards.profiles.terms import SCHOOL
from app.standards.xapi.identifiers import agent_identifier
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.traces.statements import store as statement_store
from app.wiring.container import Container
from tests import school_files
from tests.served import ACTIVITY, statement
from tests.stores import initialised, look_after_keys

SCHOOLS = [uai.make("038", serial) for serial in range(1, 6)]
IN_GRENOBLE = SCHOOLS[:3]
VERBS = [f"https://e.example/verbs/{name}" for name in "ab"]
DAYS = [date(2025, 8, 30) + timedelta(days=9 * place) for place in range(20)]
TODAY = datetime.now(ZoneInfo("Europe/Paris")).date()
ON_TIME = [TODAY - timedelta(days=days) for days in (0, 33, 150)]
"""Days of statements that were stored on them; the others came later."""


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    """A store of three sources under two processing activities, with a directory of five schools in two communes."""
    with initialised(settings, database_name) as made:
        for activity in ("p2ia", "ent"):
            made.governance.register.add(orjson.dumps({**ACTIVITY, "id": activity}))
        for source, activity in (("tutor", "p2ia"), ("quiz", "p2ia"), ("desk", "ent")):
            made.operations.sources.add(source, name=source, activity=activity, actor="cli:test")
        communes = ["38185"] * 3 + ["38421"] * 2
        schools = [school_files.made(place, commune=commune) for place, commune in enumerate(communes, 1)]
        made.schools.directory.load(school_files.directory(schools), date(2025, 1, 1), actor="cli:test")
        look_after_keys(made)
        made.lifecycle.start()
        yield made


def send(container: Container, source: str, *statements: dict[str, Any]) -> tuple[UUID, ...]:
    known = Source(source, source, "p2ia", (), "observe", clock.now())
    return container.traces.recorder.record(orjson.dumps(statements), known, Version.V1).ids


def said(school: str | None, day: date, **changes: Any) -> dict[str, Any]:
    extensions = {} if school is None else {"context": {"extensions": {SCHOOL: school}}}
    happened = {} if day in ON_TIME else {"timestamp": f"{day}T12:00:00Z"}
    return statement(**{**extensions, **happened, **changes})


@pytest.fixture
def kept(container: Container) -> dict[UUID, tuple[str, str | None, date, str]]:
    """A few hundred statements of all sources, schools and days: source, school, day and verb by id, as stored."""
    chosen = random.Random(7)
    made: dict[UUID, tuple[str, str | None, date, str]] = {}
    for source in ("tutor", "quiz", "desk") * 4:
        facts = [
            (source, chosen.choice([None, *SCHOOLS]), chosen.choice([*DAYS, *ON_TIME * 4]), chosen.choice(VERBS))
            for _ in range(25)
        ]
        ids = send(container, source, *(said(school, day, verb={"id": verb}) for _, school, day, verb in facts))
        made.update(zip(ids, facts, strict=True))
    statements = container.platform.store.collection("statements")
    for id, (_, _, day, _) in made.items():
        if day in ON_TIME[1:]:
            # As if the clock had said so.
            statements.update_one({"_id": id}, {"$inc": {"stored": -(TODAY - day).days * 86_400_000_000}})
    order = [each["_id"] for each in statements.find({}, {"_id": 1}).sort("stored", 1)]
    return {id: made[id] for id in order}


def reader(container: Container, perimeter: Perimeter) -> Reader:
    return Reader("sk-test", None, reach=container.access.reaches.of(perimeter))


def found(container: Container, who: Reader, limit: int = 500, **query: Any) -> list[UUID]:
    queries = container.traces.statement_queries
    page = queries.page(StatementQuery(**{"limit": limit, **query}), who)
    ids = [UUID(orjson.loads(body)["id"]) for body in page.bodies]
    while page.cursor:
        page = queries.next_page(page.cursor, who)
        ids += [UUID(orjson.loads(body)["id"]) for body in page.bodies]
    return ids


def of(*territories: Territory) -> Perimeter:
    return Perimeter(territories=frozenset(territories))


PERIMETERS: list[tuple[Perimeter, Callable[[str, str | None, date], bool]]] = [
    (EVERYTHING, lambda source, school, day: True),
    (Perimeter(sources=frozenset({"tutor", "desk"})), lambda source, school, day: source in {"tutor", "desk"}),
    (Perimeter(activities=frozenset({"p2ia"})), lambda source, school, day: source in {"tutor", "quiz"}),
    (
        Perimeter(activities=frozenset({"p2ia"}), sources=frozenset({"tutor", "desk"})),
        lambda source, school, day: source == "tutor",
    ),
    (of(Territory("school", SCHOOLS[4])), lambda source, school, day: school == SCHOOLS[4]),
    (of(Territory("commune", "38185")), lambda source, school, day: school in IN_GRENOBLE),
    (
        of(Territory("commune", "38185"), Territory("school", SCHOOLS[4])),
        lambda source, school, day: school in {*IN_GRENOBLE, SCHOOLS[4]},
    ),
    (Perimeter(since=DAYS[5]), lambda source, school, day: day >= DAYS[5]),
    (Perimeter(until=DAYS[5]), lambda source, school, day: day <= DAYS[5]),
    (Perimeter(since=DAYS[2], until=DAYS[9]), lambda source, school, day: DAYS[2] <= day <= DAYS[9]),
    (Perimeter(since=ON_TIME[1]), lambda source, school, day: day >= ON_TIME[1]),
    (Perimeter(until=ON_TIME[1]), lambda source, school, day: day <= ON_TIME[1]),
    (Perimeter(since=TODAY), lambda source, school, day: day == TODAY),
    (Perimeter(until=TODAY), lambda source, school, day: True),
    (
        Perimeter(since=DAYS[9], until=ON_TIME[2], sources=frozenset({"tutor", "quiz"})),
        lambda source, school, day: DAYS[9] <= day <= ON_TIME[2] and source != "desk",
    ),
    (
        Perimeter(
            activities=frozenset({"ent"}),
            territories=frozenset({Territory("departement", "038")}),
            since=DAYS[2],
            until=DAYS[14],
        ),
        lambda source, school, day: source == "desk" and school is not None and DAYS[2] <= day <= DAYS[14],
    ),
]


@pytest.mark.parametrize(("merged", "few", "probed"), [(200, 1_000, 5), (2, 1_000, 5), (2, 1, 1), (2, 1, 1_000)])
def test_a_reader_gets_what_lies_within_in_order_page_by_page(
    container: Container,
    kept: dict[UUID, tuple[str, str | None, date, str]],
    monkeypatch: pytest.MonkeyPatch,
    merged: int,
    few: int,
    probed: int,
) -> None:
    # By a few tokens of a group at a time, as where a territory has thousands of schools.
    monkeypatch.setattr(statement_store, "MERGED_AT_ONCE", merged)
    monkeypatch.setattr(statement_store, "_FEW", few)
    monkeypatch.setattr(statement_store, "_PROBED_TIMES", probed)
    everything = found(container, Reader("sk-test", None))
    assert everything == [*reversed(kept)]
    for perimeter, inside in PERIMETERS:
        who = reader(container, perimeter)
        for verb in (None, VERBS[0]):
            wanted = [id for id in everything if inside(*kept[id][:3]) and verb in (None, kept[id][3])]
            assert wanted, perimeter
            # The second ends pages in the midst of days, schools and groups.
            for limit in (500, 23):
                assert found(container, who, limit, verb=verb) == wanted, (perimeter, verb, limit)
                ascending = found(container, who, limit, verb=verb, ascending=True)
                assert ascending == [*reversed(wanted)], (perimeter, verb, limit)


def test_one_statement_is_given_within_and_refused_alike_outside_and_where_there_is_none(
    container: Container, kept: dict[UUID, tuple[str, str | None, date, str]]
) -> None:
    queries = container.traces.statement_queries
    for perimeter, inside in PERIMETERS[1:]:
        who = reader(container, perimeter)
        within = next(id for id, (*facts, _) in kept.items() if inside(*facts))
        outside = next((id for id, (*facts, _) in kept.items() if not inside(*facts)), uuid4())
        assert orjson.loads(queries.one(within, who, voided=False).body)["id"] == str(within)
        told = set()
        for id, voided in ((outside, False), (uuid4(), False), (within, True)):
            with pytest.raises(OutsidePerimeter) as refused:
                queries.one(id, who, voided=voided)
            told.add((refused.value.detail, refused.value.asked))
        assert told == {
            (
                "No statement of this id is within the perimeter of this key. "
                f"This key allows: {perimeter.described()}.",
                "statement",
            )
        }
    with pytest.raises(NotFound):
        queries.one(uuid4(), reader(container, EVERYTHING), voided=False)


def test_a_source_or_an_interval_outside_is_refused_and_so_is_a_perimeter_with_nothing_in_it(
    container: Container, kept: dict[UUID, tuple[str, str | None, date, str]]
) -> None:
    queries = container.traces.statement_queries
    authority = agent_identifier({"account": {"homePage": container.settings.public_url, "name": "desk"}})
    by_authority = StatementQuery(agent=authority, related_agents=True)
    assert queries.page(by_authority, reader(container, PERIMETERS[1][0])).bodies
    today = clock.now().date()
    refused = [
        (Perimeter(sources=frozenset({"tutor"})), by_authority, "source"),
        (Perimeter(since=today), StatementQuery(until=clock.now_us() - 3 * 86_400_000_000), "dates"),
        (Perimeter(activities=frozenset({"nothing"})), StatementQuery(), "everything"),
        (of(Territory("commune", "1")), StatementQuery(), "everything"),
    ]
    for perimeter, query, asked in refused:
        with pytest.raises(OutsidePerimeter, match="This key allows: ") as error:
            queries.page(query, reader(container, perimeter))
        assert error.value.asked == asked


def test_what_refers_to_something_outside_is_not_found_through_it(container: Container) -> None:
    inside, outside = SCHOOLS[0], SCHOOLS[4]
    verb, other = ({"id": each} for each in VERBS)
    (near,) = send(container, "tutor", said(inside, DAYS[3], verb=verb))
    (far,) = send(container, "tutor", said(outside, DAYS[3], verb=verb))
    (late,) = send(container, "tutor", said(inside, DAYS[19], verb=verb))
    pointing = [
        send(container, "tutor", said(inside, DAYS[3], verb=other, object=target))[0]
        for target in ({"objectType": "StatementRef", "id": str(id)} for id in (near, far, late))
    ]
    whole = {near, far, late, *pointing}
    assert set(found(container, Reader("sk-test", None), verb=VERBS[0])) == whole
    who = reader(container, of(Territory("school", inside)))
    assert set(found(container, who, verb=VERBS[0])) == {near, late, pointing[0], pointing[2]}
    # Of what is referred to, no day is carried: where days are bounded, nothing is found through it.
    months = Perimeter(since=date(2025, 9, 1), until=date(2025, 10, 31))
    assert set(found(container, reader(container, months), verb=VERBS[0])) == {near, far}


def test_names_and_definitions_are_told_of_what_lies_within(container: Container) -> None:
    named = {"account": {"homePage": "https://ent.example", "name": "ana"}}
    for school, name, activity in ((SCHOOLS[0], "Ana", "near"), (SCHOOLS[4], "Anna", "far")):
        target = {"id": f"https://e.example/{activity}"}
        send(container, "tutor", said(school, DAYS[3], actor={**named, "name": name}, object=target))
    queries, who = container.traces.statement_queries, reader(container, of(Territory("school", SCHOOLS[0])))
    person = container.traces.agents.person(named, agent_identifier(named), who)
    assert person["name"] == ["Ana"]
    queries.require_named("https://e.example/near", who)
    for activity in ("far", "nowhere"):
        with pytest.raises(OutsidePerimeter, match="names this activity"):
            queries.require_named(f"https://e.example/{activity}", who)


def test_a_territory_is_looked_up_anew_when_an_edition_is_loaded_and_a_source_is_added(container: Container) -> None:
    reaches = container.access.reaches
    commune, activity = of(Territory("commune", "38185")), Perimeter(activities=frozenset({"ent"}))
    assert reaches.of(commune).schools == {*IN_GRENOBLE} and reaches.of(activity).sources == {"desk"}
    assert reaches.of(commune) is reaches.of(commune)
    container.schools.directory.load(school_files.directory([school_files.made(9)]), date(2025, 6, 1), actor="cli:test")
    container.operations.sources.add("more", name="more", activity="ent", actor="cli:test")
    container.forget()
    assert reaches.of(commune).schools == {uai.make("038", 9)}
    assert reaches.of(activity).sources == {"desk", "more"}


def test_statements_of_an_earlier_version_are_given_once_all_have_their_entries(
    container: Container,
    kept: dict[UUID, tuple[str, str | None, date, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (target,) = send(container, "desk", said(SCHOOLS[0], DAYS[3], id=str(uuid4()), verb={"id": VERBS[0]}))
    pointed = {"objectType": "StatementRef", "id": str(target)}
    send(container, "desk", said(SCHOOLS[0], DAYS[3], verb={"id": VERBS[1]}, object=pointed))
    monkeypatch.setattr(rules, "BATCH", 7)
    store, queries = container.platform.store, container.traces.statement_queries
    asked = [(perimeter, verb) for perimeter, _ in PERIMETERS for verb in (None, VERBS[0])]
    before = [found(container, reader(container, perimeter), verb=verb) for perimeter, verb in asked]
    # As an earlier version kept them: neither school nor month among the entries, no day.
    statements = store.collection("statements")
    index = container.keys.organisation.index.writing
    entries = [index.token("school", each) for each in SCHOOLS]
    days = [date(2025, 1, 1) + timedelta(days=place) for place in range(1_000)]
    entries += [index.token("month", f"{day:%Y-%m}") for day in days] + [index.token("day", str(day)) for day in days]
    statements.update_many({}, {"$unset": {"e": ""}, "$pull": {"t": {"$in": entries}}})
    statements.update_many({"refs": {"$exists": True}}, {"$pull": {"refs.$[].t": {"$in": entries}}})
    store.collection("migrations").delete_one({"_id": "2026_11_30_whereabouts"})
    assert migrations.migrate(store) == ["2026_11_30_whereabouts"]
    container.forget()
    for perimeter, _ in PERIMETERS[4:]:
        with pytest.raises(Unavailable, match="still being entered"):
            queries.page(StatementQuery(), reader(container, perimeter))
    assert found(container, reader(container, PERIMETERS[1][0]))  # sources have always been there
    rotation = container.operations.index_rotation
    with pytest.raises(RuntimeError):
        rotation.complete(_stop_after(20))
    assert container.traces.whereabouts_entries.since()
    assert statements.count_documents({"e": {"$exists": True}}) == 20 * 7
    assert rotation.complete() == len(kept) + 2 - 20 * 7
    container.forget()
    assert [found(container, reader(container, perimeter), verb=verb) for perimeter, verb in asked] == before
    # One more from a process of the earlier version, which goes on for a while.
    (late,) = send(container, "desk", said(SCHOOLS[0], DAYS[3]))
    statements.update_one({"_id": late}, {"$unset": {"e": ""}, "$pull": {"t": {"$in": entries}}})
    who = reader(container, of(Territory("school", SCHOOLS[0])))
    assert late not in found(container, who)
    assert rotation.complete() == 1 and late in found(container, who)
    passes = store.collection("whereabouts_passes")
    passes.update_one({}, {"$set": {"until": clock.now() - timedelta(seconds=1)}})
    assert rotation.complete() == 0 and passes.find_one()["settled"] and rotation.complete() == 0


def _stop_after(batches: int) -> Callable[[], None]:
    left = iter(range(batches))

    def check() -> None:
        if next(left, None) is None:
            raise RuntimeError

    return check


def test_a_rotation_of_the_index_key_takes_schools_and_months_along(
    container: Container,
    kept: dict[UUID, tuple[str, str | None, date, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rotation = container.operations.index_rotation
    monkeypatch.setattr(rotation, "_settle", 0.0)
    before = [found(container, reader(container, perimeter)) for perimeter, _ in PERIMETERS]
    rotation.rotate()
    assert rotation.reindex().finished
    assert [found(container, reader(container, perimeter)) for perimeter, _ in PERIMETERS] == before
