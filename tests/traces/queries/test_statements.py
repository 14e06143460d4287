"""The way out within its bounds: what is made of a few stored bytes is measured as it is answered."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from app.core.errors import StatementConflict
from app.standards.xapi.languages import Languages
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries import statements as querying
from app.traces.queries.statements import MAX_BYTES, MAX_DEFINITIONS_BYTES, Page, Reader
from app.traces.statements import attachments
from app.traces.statements.activities import MAX_BYTES as MAX_OF_A_DEFINITION
from app.traces.statements.referred import Referred
from app.wiring.container import Container
from tests.people.people import container, send, with_attachment
from tests.served import statement

__all__ = ("container",)

WHO = Reader("sk-reader", None)
LESSON = "https://ent.example/lessons"
# As long as the store keeps them. Texts that repeat themselves: they weigh nothing until they are opened.
LONG = {"name": {"fr": "é"}, "description": {"fr": "d" * (MAX_OF_A_DEFINITION - 100)}}


def learn(container: Container, count: int) -> list[dict[str, str]]:
    """Activities with long definitions; each as it is named without one."""
    named = [{"id": f"{LESSON}/{number}"} for number in range(count)]
    for start in range(0, count, 100):
        send(container, *(statement(object={**each, "definition": LONG}) for each in named[start : start + 100]))
    return named


def pages(container: Container, **asked: Any) -> Iterator[Page]:
    page = container.traces.statement_queries.page(StatementQuery(**asked), WHO, languages=Languages(["fr"]))
    yield page
    while page.cursor is not None:
        page = container.traces.statement_queries.next_page(page.cursor, WHO, languages=Languages(["fr"]))
        yield page


def test_a_canonical_page_is_cut_where_it_becomes_long_and_none_is_lost(container: Container) -> None:
    (lesson,) = learn(container, 1)
    registration = str(uuid4())
    grouping = {"contextActivities": {"grouping": [lesson] * 12}, "registration": registration}
    sent = send(container, *(statement(object=lesson, context=grouping) for _ in range(100)))
    tracemalloc.start()
    seen: list[UUID] = []
    lengths = []
    for page in pages(container, registration=registration, format="canonical", limit=100, ascending=True):
        assert page.bodies
        lengths.append(sum(map(len, page.bodies)))
        seen += [UUID(orjson.loads(body)["id"]) for body in page.bodies]
        assert page.last is not None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tuple(seen) == sent
    one = max(map(len, page.bodies))
    # All of these together have some 80 MiB.
    assert len(lengths) == 10
    assert max(lengths) < MAX_BYTES + one
    assert peak < 4 * MAX_BYTES


@pytest.mark.parametrize("different", [True, False])
def test_one_statement_that_names_thousands_is_told_of_the_first_and_says_its_own_of_the_others(
    container: Container, different: bool
) -> None:
    known = learn(container, 300 if different else 1)
    own = {"definition": {"name": {"en": "own"}}}
    named = [{**known[number % len(known)], **own} for number in range(600)]
    registration = str(uuid4())
    context = {"contextActivities": {"other": named}, "registration": registration}
    # Learnt from this one too: the definition of each says it in another language besides.
    (id,) = send(container, statement(object=named[0], context=context))
    tracemalloc.start()
    (page,) = pages(container, registration=registration, format="canonical", limit=10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (body,) = page.bodies
    assert (
        body
        == container.traces.statement_queries.one(
            id, WHO, voided=False, form="canonical", languages=Languages(["fr"])
        ).body
    )
    assert len(body) < MAX_DEFINITIONS_BYTES + MAX_OF_A_DEFINITION + 100_000
    assert peak < 64 * 1024 * 1024
    listed = orjson.loads(body)["context"]["contextActivities"]["other"]
    reported = [each["definition"]["name"] for each in listed]
    # The object has a share too; 64 KiB each.
    assert reported == [{"fr": "é"}] * reported.count({"fr": "é"}) + [{"en": "own"}] * reported.count({"en": "own"})
    assert 14 <= reported.count({"fr": "é"}) <= 17


def test_after_a_statement_that_was_told_no_more_the_next_is_told_all(container: Container) -> None:
    known = learn(container, 300)
    registration = str(uuid4())
    context = {"contextActivities": {"other": known}, "registration": registration}
    small = {"contextActivities": {"other": known[-3:]}, "registration": registration}
    send(container, statement(context=context), statement(context=small), statement(context=context))
    bodies = [
        body
        for page in pages(container, registration=registration, format="canonical", limit=9)
        for body in page.bodies
    ]
    listed = orjson.loads(bodies[1])["context"]["contextActivities"]["other"]
    assert [each["definition"]["name"] for each in listed] == [{"fr": "é"}] * 3
    assert len(bodies[0]) == len(bodies[2])


@pytest.mark.parametrize("form", ["ids", "exact", "canonical"])
@pytest.mark.parametrize("version", list(Version))
def test_however_short_pages_are_cut_each_statement_comes_once(
    container: Container, form: Any, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {"contextAgents": [{"objectType": "contextAgent", "agent": {"openid": "https://id.example/1"}}]}
    sent = send(container, *(statement(context=new) for _ in range(7)))
    monkeypatch.setattr(querying, "MAX_BYTES", 1)
    who = Reader("sk-reader", None, version)
    page = container.traces.statement_queries.page(StatementQuery(format=form, limit=5, ascending=True), who)
    seen = []
    while True:
        (body,) = page.bodies
        seen.append(UUID(orjson.loads(body)["id"]))
        if page.cursor is None:
            break
        page = container.traces.statement_queries.next_page(page.cursor, who)
    assert tuple(seen) == sent


def test_a_page_with_attachments_is_cut_where_they_are_many(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    for number in range(5):
        content = f"copy {number}".encode()
        sent += send(container, with_attachment("lea", content), data=(content,))
    monkeypatch.setattr(attachments, "MAX_ATTACHMENTS", 2)
    found = list(pages(container, attachments=True, limit=500, ascending=True))
    assert [len(page.bodies) for page in found] == [2, 2, 1]
    assert [UUID(orjson.loads(body)["id"]) for page in found for body in page.bodies] == sent
    assert [b"".join(each.chunks).decode() for page in found for each in page.data or ()] == [
        f"copy {number}" for number in range(5)
    ]
    monkeypatch.setattr(attachments, "MAX_ATTACHMENTS", 0)
    assert [len(page.bodies) for page in pages(container, attachments=True, limit=500)] == [1] * 5


def long(count: int) -> list[dict[str, Any]]:
    """Statements of nearly 1 MiB that take little room: with what a retry may leave out, and the rest short."""
    definition = {"description": {"fr": "d" * 1_000_000}}
    return [
        statement(
            id=str(uuid4()), object={"id": f"{LESSON}/1", "definition": definition}, timestamp="2026-11-01T08:00:00Z"
        )
        for _ in range(count)
    ]


def test_of_what_a_batch_refers_to_so_much_is_opened_and_no_more(container: Container) -> None:
    sent = long(60)
    for start in range(0, 60, 15):
        send(container, *sent[start : start + 15])
    ids = [UUID(each["id"]) for each in sent]
    lookup = Referred(container.traces)
    tracemalloc.start()
    given = lookup.find("tutor", ids)
    assert [given.get(id) is not None for id in given] == [True] * len(given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 30 <= len(given) <= 34
    assert given.get(str(uuid4())) is None
    assert peak < 48 * 1024 * 1024


def test_a_short_retry_of_long_statements_opens_one_at_a_time(container: Container) -> None:
    sent = long(60)
    for start in range(0, 60, 15):
        send(container, *sent[start : start + 15])
    # The same, said without what a comparison leaves out: definitions of activities.
    short = [{**each, "object": {"id": f"{LESSON}/1"}, "result": {"duration": "PT1.001S"}} for each in sent]
    tracemalloc.start()
    with pytest.raises(StatementConflict):
        send(container, *short)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 * 1024 * 1024
