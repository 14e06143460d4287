"""Restriction and objection, through everything that reads: GDPR art. 18 and 21."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4
from zipfile import ZipFile

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.access.restrictions.store import NOBODY, DataSubjectStateRepository
from app.access.store import Source
from app.core.errors import (
    BadRequest,
    DataSubjectRefused,
    DataSubjectRequestConflict,
    DataSubjectRestricted,
    NotFound,
    ScopeMissing,
)
from app.people.finding.finder import data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.people.restriction import Standing
from app.research.store import AggregateRepository
from app.settings import Settings
from app.standards.xapi.documents import Conditions, Content, Place, Resource
from app.standards.xapi.identifiers import agent_identifier
from app.standards.xapi.query import StatementQuery, parse_query
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.wiring.container import Container
from tests.research.counted import refreshed, totals
from tests.served import ACTIVITY, statement
from tests.stores import with_tutor

SOURCE = Source("tutor", "Tutor", "p2ia", (), "observe", datetime.now(UTC))
EVERYBODY = Reader("sk-reader", None)
BY = "cli:test"
NO_CONDITIONS = Conditions()


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with with_tutor(settings, database_name) as made:
        made.lifecycle.start()
        yield made


def agent(account: str, **more: Any) -> dict[str, Any]:
    return {"objectType": "Agent", "account": {"homePage": "https://ent.example", "name": account}, **more}


def person(*names: str) -> IdentifiedDataSubject:
    return data_subject_of([agent(name) for name in names])


def record(container: Container, *statements: dict[str, Any]) -> tuple[UUID, ...]:
    return container.traces.recorder.record(orjson.dumps(list(statements)), SOURCE, Version.V1).ids


def query(**asked: str) -> StatementQuery:
    return parse_query(list(asked.items()), page_limit=500)


def ids(bodies: Sequence[bytes]) -> list[UUID]:
    return [UUID(orjson.loads(body)["id"]) for body in bodies]


def found(container: Container, **asked: str) -> list[UUID]:
    """Everything that a query finds, page by page."""
    page = container.traces.statement_queries.page(query(**asked), EVERYBODY)
    listed = ids(page.bodies)
    while page.cursor is not None:
        page = container.traces.statement_queries.next_page(page.cursor, EVERYBODY)
        listed += ids(page.bodies)
    return listed


def asked_for(name: str) -> dict[str, str]:
    return {"agent": orjson.dumps(agent(name)).decode(), "related_agents": "true"}


def test_gdpr_18_statements_are_out_of_queries_and_of_readings_by_id_and_still_stored(container: Container) -> None:
    theirs, others = record(container, statement(actor=agent("zoe")), statement(actor=agent("ali")))
    container.people.restriction.restrict(person("zoe"), actor=BY)
    assert found(container) == [others]
    with pytest.raises(NotFound):
        container.traces.statement_queries.one(theirs, EVERYBODY, voided=False)
    # What the person is given on request does not pass here.
    assert container.traces.reader.one(container.traces.statements.some([theirs])[0]) is not None
    assert container.people.restriction.lift(person("zoe"), actor=BY)
    assert set(found(container)) == {theirs, others}
    assert container.traces.statement_queries.one(theirs, EVERYBODY, voided=False).body


def test_a_voided_statement_is_not_given_either(container: Container) -> None:
    (theirs,) = record(container, statement(actor=agent("zoe")))
    void = {"id": "http://adlnet.gov/expapi/verbs/voided"}
    record(
        container, statement(actor=agent("ali"), verb=void, object={"objectType": "StatementRef", "id": str(theirs)})
    )
    assert container.traces.statement_queries.one(theirs, EVERYBODY, voided=True).body
    container.people.restriction.restrict(person("zoe"), actor=BY)
    with pytest.raises(NotFound):
        container.traces.statement_queries.one(theirs, EVERYBODY, voided=True)


def voiding(target: UUID, **more: Any) -> dict[str, Any]:
    void = {"id": "http://adlnet.gov/expapi/verbs/voided"}
    ref = {"objectType": "StatementRef", "id": str(target)}
    return statement(id=str(uuid4()), actor=agent("ali"), verb=void, object=ref, **more)


def voided(container: Container, id: UUID) -> bool:
    return container.traces.statements.some([id])[0].voided


@pytest.mark.parametrize("any_source", [False, True])
def test_gdpr_18_a_statement_is_not_voided_while_it_is_only_stored(container: Container, any_source: bool) -> None:
    theirs, others = record(container, statement(actor=agent("zoe")), statement(actor=agent("ali")))
    batch = [statement(id=str(uuid4())), voiding(others), voiding(theirs)]
    container.people.restriction.restrict(person("zoe"), actor=BY)

    def send() -> None:
        container.traces.recorder.record(orjson.dumps(batch), SOURCE, Version.V1, void_any=any_source)

    with pytest.raises(DataSubjectRestricted) as refused:
        send()
    assert [(fault.pointer, fault.section) for fault in refused.value.faults] == [("/2/object/id", "GDPR art. 18")]
    # All or nothing: the other one is not voided either.
    assert not voided(container, theirs) and not voided(container, others)
    assert container.traces.statements.some([UUID(one["id"]) for one in batch]) == []
    container.people.restriction.lift(person("zoe"), actor=BY)
    send()
    assert voided(container, theirs) and voided(container, others)


def test_one_that_came_with_its_voiding_is_not_stored_in_part(container: Container) -> None:
    container.people.restriction.restrict(person("zoe"), actor=BY)
    theirs = statement(id=str(uuid4()), actor=agent("zoe"))
    with pytest.raises(DataSubjectRestricted):
        record(container, theirs, voiding(UUID(theirs["id"])))
    assert container.traces.statements.some([UUID(theirs["id"])]) == []


def test_a_source_is_told_nothing_of_statements_that_it_may_not_void(container: Container) -> None:
    container.operations.sources.add("other", name="Other", activity=ACTIVITY["id"], actor=BY)
    (theirs,) = record(container, statement(actor=agent("zoe")))
    container.people.restriction.restrict(person("zoe"), actor=BY)
    with pytest.raises(ScopeMissing):
        container.traces.recorder.record(orjson.dumps(voiding(theirs)), SOURCE._replace(id="other"), Version.V1)


def test_what_voiding_does_not_reach_or_reached_before_is_taken(container: Container) -> None:
    (theirs,) = record(container, statement(actor=agent("zoe")))
    before = voiding(theirs)
    of_zoe = {**voiding(uuid4()), "actor": agent("zoe")}
    record(container, before, of_zoe)
    early = statement(id=str(uuid4()), actor=agent("zoe"))
    container.people.restriction.restrict(person("zoe"), actor=BY)
    # A retry; xAPI-Data 2.3.2: one that voids cannot be voided; one that is not there is of nobody yet.
    record(container, before)
    record(container, voiding(UUID(of_zoe["id"])))
    record(container, voiding(UUID(early["id"])))
    assert voided(container, theirs) and not voided(container, UUID(of_zoe["id"]))
    # What arrives voided was never otherwise (docs/adr/0040).
    record(container, early)
    assert voided(container, UUID(early["id"]))


def test_mentions_in_statements_of_others_stay_but_are_not_found_by_the_person(container: Container) -> None:
    about = statement(actor=agent("ali"), object=agent("zoe"))
    led = statement(actor=agent("ali"), context={"instructor": agent("zoe")})
    both = set(record(container, about, led))
    assert set(found(container, **asked_for("zoe"))) == both
    cursor = container.traces.statement_queries.page(query(limit="1", **asked_for("zoe")), EVERYBODY).cursor
    assert cursor is not None
    container.people.restriction.restrict(person("zoe"), actor=BY)
    assert found(container, **asked_for("zoe")) == []
    assert found(container, agent=orjson.dumps(agent("zoe")).decode()) == []
    page = container.traces.statement_queries.next_page(cursor, EVERYBODY)
    assert (page.bodies, page.cursor) == ((), None)
    assert set(found(container)) == set(found(container, **asked_for("ali"))) == both


def test_new_statements_are_stored_and_follow_their_state(container: Container) -> None:
    container.people.restriction.restrict(person("zoe"), actor=BY)
    (later,) = record(container, statement(actor=agent("zoe")))
    assert found(container) == []
    assert container.traces.statements.some([later])
    assert record(container, statement(actor=agent("zoe"), id=str(uuid4())))
    container.people.restriction.lift(person("zoe"), actor=BY)
    assert later in found(container)


def test_each_identifier_of_the_person_is_restricted(container: Container) -> None:
    actors = [agent("zoe"), {"mbox": "mailto:zoe@ent.example"}]
    record(container, *[statement(actor=actor) for actor in actors])
    container.people.restriction.restrict(data_subject_of(actors), actor=BY)
    assert found(container) == []


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12, derandomize=True
)
@given(
    owners=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40),
    hidden=st.sets(st.sampled_from("abcdef"), min_size=1, max_size=6),
    limit=st.integers(1, 9),
    ascending=st.booleans(),
)
def test_pages_give_each_statement_that_may_be_seen_once_in_order(
    container: Container, owners: list[str], hidden: set[str], limit: int, ascending: bool
) -> None:
    verb = {"id": f"https://ent.example/verbs/{uuid4()}"}
    stored = record(container, *[statement(actor=agent(owner), verb=verb) for owner in owners])
    container.people.restriction.restrict(person(*hidden), actor=BY)
    try:
        said = {"verb": verb["id"], "limit": str(limit), "ascending": "true" if ascending else "false"}
        wanted = [id for id, owner in zip(stored, owners, strict=True) if owner not in hidden]
        assert found(container, **said) == (wanted if ascending else wanted[::-1])
        first = container.traces.statement_queries.page(query(**said), EVERYBODY)
        # Filled up: what is hidden does not make a page shorter, as long as few are.
        assert len(first.bodies) == min(limit, len(wanted))
    finally:
        container.people.restriction.lift(person(*hidden), actor=BY)


def test_anonymous_groups_of_nobody_else_are_the_person_too(container: Container) -> None:
    both = [agent("zoe"), {"mbox": "mailto:zoe@ent.example"}]
    alone = {"objectType": "Group", "member": [agent("zoe")]}
    together = {"objectType": "Group", "member": both}
    class_ = {"objectType": "Group", "member": [agent("zoe"), agent("ali")]}
    theirs = record(container, *[statement(actor=actor) for actor in (alone, together, class_)])
    container.people.restriction.restrict(data_subject_of(both), actor=BY)
    assert found(container) == [theirs[2]]
    assert len(container.people.restriction.held()) < 10
    assert container.people.restriction.lift(data_subject_of(both), actor=BY)
    assert container.access.data_subject_states.current() == NOBODY


def test_a_thousand_statements_of_one_restricted_person_cost_one_more_query(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(container, statement(actor=agent("ali")))
    record(container, *[statement(actor=agent("zoe")) for _ in range(1_000)])
    record(container, statement(actor=agent("ali")))
    pages = 0
    real = type(container.traces.statements).page

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal pages
        pages += 1
        return real(*given, **named)

    monkeypatch.setattr(type(container.traces.statements), "page", counted)
    assert len(container.traces.statement_queries.page(query(limit="50"), EVERYBODY).bodies) == 50
    assert pages == 1
    container.people.restriction.restrict(person("zoe"), actor=BY)
    pages = 0
    page = container.traces.statement_queries.page(query(limit="50"), EVERYBODY)
    assert (len(page.bodies), page.cursor, pages) == (2, None, 2)


def test_a_page_that_cannot_be_filled_goes_on_through_more(container: Container) -> None:
    names = [f"pupil-{number}" for number in range(60)]
    record(container, statement(actor=agent("ali")), *[statement(actor=agent(name)) for name in names])
    container.people.restriction.restrict(person(*names[:20]), actor=BY)
    container.people.restriction.restrict(person(*names[20:40]), actor=BY)
    container.people.restriction.restrict(person(*names[40:]), actor=BY)
    page = container.traces.statement_queries.page(query(limit="2"), EVERYBODY)
    assert page.bodies == ()
    assert (page.first, page.last) == (None, None)
    assert page.cursor is not None
    assert len(found(container, limit="2")) == 1


def test_the_agents_resource_tells_no_name_of_or_from_a_restricted_person(container: Container) -> None:
    named = agent("zoe", name="Zoé")
    record(
        container, statement(actor=agent("ali"), object=named), statement(actor=named, object=agent("ali", name="Ali"))
    )
    container.people.restriction.restrict(person("zoe"), actor=BY)
    asked = agent("zoe")
    assert "name" not in container.traces.agents.person(asked, str(agent_identifier(asked)), EVERYBODY)
    asked = agent("ali")
    assert "name" not in container.traces.agents.person(asked, str(agent_identifier(asked)), EVERYBODY)
    container.people.restriction.lift(person("zoe"), actor=BY)
    assert container.traces.agents.person(asked, str(agent_identifier(asked)), EVERYBODY)["name"] == ["Ali"]


@pytest.mark.parametrize("resource", [Resource.STATE, Resource.AGENT_PROFILE])
def test_documents_are_neither_given_nor_changed_nor_deleted(container: Container, resource: Resource) -> None:
    who = str(agent_identifier(agent("zoe")))
    activity = "https://ent.example/1" if resource is Resource.STATE else None
    context = Place(resource, activity=activity, agent=who)
    place = context._replace(id="bookmark")
    first = Content("application/json", b'{"page":1}')
    documents = container.traces.documents
    documents.put(place, first, Conditions(None, "*"), Version.V2, source="tutor", actor="sk-writer")
    container.people.restriction.restrict(person("zoe"), actor=BY)
    with pytest.raises(NotFound):
        documents.read(place, actor="sk-reader")
    assert documents.ids(context, actor="sk-reader") == ((), None)
    for change in (
        lambda: documents.put(place, first, NO_CONDITIONS, Version.V2, source="tutor", actor="sk-writer"),
        lambda: documents.merge(place, first, NO_CONDITIONS, source="tutor", actor="sk-writer"),
        lambda: documents.delete(place, NO_CONDITIONS, actor="sk-writer"),
        lambda: documents.delete_all(context, actor="sk-writer"),
    ):
        with pytest.raises(DataSubjectRestricted):
            change()
    container.people.restriction.lift(person("zoe"), actor=BY)
    assert documents.read(place, actor="sk-reader").content == first


def test_gdpr_21_who_objects_is_out_of_research_and_in_queries(container: Container) -> None:
    theirs, others = record(container, statement(actor=agent("zoe")), statement(actor=agent("ali")))
    container.people.restriction.note_objection(person("zoe"), actor=BY)
    assert set(found(container)) == {theirs, others}
    left_out = container.access.data_subject_states.current().out_of_research
    bound = container.traces.reader.consistent_through()
    assert [plain.id for plain in container.traces.reader.scan(None, bound, 10, left_out)[0]] == [others]
    refreshed(container)
    assert container.people.restriction.withdraw_objection(person("zoe"), actor=BY)
    assert container.access.data_subject_states.current() == NOBODY


def test_gdpr_21_the_next_run_of_the_job_takes_them_out_of_what_was_counted(container: Container) -> None:
    record(container, *[statement(actor=agent(f"pupil-{number}")) for number in range(13)])
    job = next(job for job in container.jobs if job.name == "aggregate")
    wait = threading.Event()
    leadership = container.platform.leadership.acquire()
    assert leadership is not None
    with leadership as lease:

        def counted() -> list[object]:
            job.run(lease)
            return [
                row["statements"]
                for row in totals(AggregateRepository(container.platform.store, container.keys.organisation))
            ]

        for _ in range(100):  # until the bound has passed them
            if counted() == [13]:
                break
            wait.wait(0.05)
        assert counted() == [13]
        container.people.restriction.note_objection(person("pupil-0"), actor=BY)
        container.people.restriction.restrict(person("pupil-1"), actor=BY)
        states = DataSubjectStateRepository(container.platform.store)
        assert len(states.to_take_out()) == 4  # an anonymous group of one each, too
        assert counted() == [11]
        assert states.to_take_out() == []


def test_an_objection_that_refuses_new_ones_closes_the_door_and_says_where(container: Container) -> None:
    (before,) = record(container, statement(actor=agent("zoe")))
    container.people.restriction.note_objection(person("zoe"), refuse_new=True, actor=BY)
    with pytest.raises(DataSubjectRefused) as refused:
        record(container, statement(actor=agent("ali")), statement(actor=agent("zoe")))
    assert [(fault.pointer, fault.section) for fault in refused.value.faults] == [("/1/actor", "GDPR art. 21")]
    assert found(container) == [before]
    place = Place(Resource.STATE, activity="https://ent.example/1", agent=agent_identifier(agent("zoe")), id="x")
    with pytest.raises(DataSubjectRefused):
        container.traces.documents.put(
            place, Content("text/plain", b"x"), NO_CONDITIONS, Version.V1, source="tutor", actor="sk-writer"
        )
    container.people.restriction.withdraw_objection(person("zoe"), actor=BY)
    assert record(container, statement(actor=agent("zoe")))


def test_objections_are_to_purposes_that_exist(container: Container) -> None:
    for purposes in (["lunch"], []):
        with pytest.raises(BadRequest):
            container.people.restriction.note_objection(person("zoe"), purposes=purposes, actor=BY)
    assert container.access.data_subject_states.current() == NOBODY


def test_what_holds_for_a_person_is_told_and_on_record(container: Container) -> None:
    assert container.people.restriction.standing(person("zoe"), actor=BY) == Standing(None, (), False)
    container.people.restriction.restrict(person("zoe"), actor=BY)
    container.people.restriction.note_objection(person("zoe"), refuse_new=True, actor=BY)
    reported = container.people.restriction.standing(person("zoe", "zoe-2"), actor=BY)
    assert (reported.restricted is not None, reported.objects, reported.refuses) == (True, ("research",), True)
    kinds = ("person-restricted", "objection-noted", "standing-read")
    entries = container.governance.audit.newest(kinds)
    assert {entry.kind for entry in entries} == set(kinds)
    subject = container.keys.organisation.subject(str(agent_identifier(agent("zoe")))).hex()
    assert all(subject in entry.detail["subjects"] for entry in entries)
    stored = repr(
        [
            *container.platform.store.collection("audit").find({}),
            *container.platform.store.collection("person_states").find({}),
        ]
    )
    assert "zoe" not in stored


def test_gdpr_18_who_comes_back_after_an_erasure_is_found_by_what_they_are_restricted_under(
    container: Container,
) -> None:
    record(container, statement(actor=agent("zoe")))
    container.people.restriction.note_objection(person("zoe"), actor=BY)
    container.people.erasures.advance(container.people.erasures.erase(person("zoe"), actor=BY).id)
    # The objection stays, under a key that is gone.
    record(container, statement(actor=agent("zoe")))
    container.people.restriction.restrict(person("zoe"), actor=BY)
    held = {one.subject: one.agents for one in container.people.restriction.held()}
    # The identifier that was given comes first.
    subject, *_ = container.people.finder.subjects(person("zoe"))
    (named, _), *_ = container.people.finder.tokens(person("zoe"))
    assert held[subject] == (named,)


def test_acts_name_their_request_and_are_noted_on_it(container: Container) -> None:
    request = container.people.requests.open("restriction", person("zoe"), actor=BY).id
    with pytest.raises(DataSubjectRequestConflict):
        container.people.restriction.restrict(person("zoe"), actor=BY, request=request)
    assert container.access.data_subject_states.current() == NOBODY
    container.people.requests.identify(request, actor=BY)
    with pytest.raises(DataSubjectRequestConflict, match="another person"):
        container.people.restriction.restrict(person("ali"), actor=BY, request=request)
    container.people.restriction.restrict(person("zoe"), actor=BY, request=request)
    assert [step.what for step in container.people.requests.show(request, actor=BY).steps] == [
        "opened",
        "identified",
        "restricted",
    ]
    assert container.governance.audit.newest(["person-restricted"])[0].detail["case"] == request


def test_a_package_and_an_erasure_are_noted_on_the_request_that_they_answer(container: Container) -> None:
    record(container, statement(actor=agent("zoe")))
    container.people.restriction.restrict(person("zoe"), actor=BY)
    request = container.people.requests.open("erasure", person("zoe"), actor=BY).id
    with pytest.raises(DataSubjectRequestConflict):
        container.people.erasures.erase(person("zoe"), actor=BY, request=request)
    container.people.requests.identify(request, actor=BY)
    package = b"".join(container.people.packages.write(person("zoe"), actor=BY, request=request))
    with ZipFile(io.BytesIO(package)) as opened:
        about = orjson.loads(opened.read("about.json"))
    # What is restricted is given to whoever it is about.
    assert (about["own"], about["restricted"] is not None) == (1, True)
    with pytest.raises(DataSubjectRequestConflict, match="another person"):
        container.people.erasures.erase(person("ali"), actor=BY, request=request)
    container.people.erasures.advance(container.people.erasures.erase(person("zoe"), actor=BY, request=request).id)
    shown = container.people.requests.show(request, actor=BY)
    assert [step.what for step in shown.steps] == [
        "opened",
        "identified",
        "package-written",
        "erased",
        "recipients-listed",
    ]
    assert shown.identifiers == ()
    assert container.keys.subjects.existing(container.people.finder.subjects(person("zoe"))) == {}
    assert container.people.requests.done(request, actor=BY).status == "done"
    assert container.keys.subjects.existing(container.people.finder.subjects(person("zoe"))) == {}
