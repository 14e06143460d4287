"""Perimeters over real HTTP: what a bounded key is given and refused, page by page, on record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from flask import Blueprint, Flask

from app.access import scopes
from app.access.credentials import NewCredential
from app.access.perimeters import Perimeter, Territory
from app.access.principals import Kind, Principal
from app.access.reach import Reach
from app.access.roles import Grant, Role
from app.standards.france import uai
from app.standards.profiles.terms import SCHOOL
from app.web import bounds, problem_details
from app.web.portal.signed_pages import PageRequest, SignedPages
from app.web.problem_details import Rendering
from tests.served import Server, statement
from tests.sinks import Sink

SCHOOLS = [uai.make("073", serial) for serial in (1, 2)]
DAYS = ("2026-03-01", "2026-04-01")


@pytest.fixture(scope="module")
def ids(server: Server) -> dict[tuple[str, str, str], list[str]]:
    """Ids of statements, three of each source, school and day."""
    made: dict[tuple[str, str, str], list[str]] = {}
    for source in ("near", "far"):
        key = server.source(source, scopes=[scopes.WRITE])
        for school in SCHOOLS:
            for day in DAYS:
                said = statement(timestamp=f"{day}T10:00:00Z", context={"extensions": {SCHOOL: school}})
                answer = server.post(key, [said] * 3)
                assert answer.status_code == 200, answer.text
                made[source, school, day] = answer.json()
    return made


@pytest.fixture(scope="module")
def bounded(server: Server, ids: object) -> Callable[..., NewCredential]:
    def made(*held: str, **bounds: Any) -> NewCredential:
        # As of a territory that the directory has; this store has none.
        bounds.setdefault("sources", frozenset({"near", "far"}))
        repository = server.container.access.sources_repository
        key = server.container.operations.sources.issue(
            source=None, label="bounded", scopes=held or (scopes.READ,), actor="cli:test"
        )
        repository._credentials.update_one({"_id": key.id}, {"$set": {"perimeter": Perimeter(**bounds).document()}})
        return key

    return made


def every(server: Server, key: NewCredential, **params: str) -> list[str]:
    answer = server.send("GET", "/xAPI/statements", key, params={"limit": "2", **params})
    found: list[str] = []
    while True:
        assert answer.status_code == 200, answer.text
        content = answer.json()
        found += [each["id"] for each in content["statements"]]
        if not content["more"]:
            return found
        answer = server.send("GET", content["more"], key)


@pytest.mark.parametrize(
    ("bounds", "inside"),
    [
        ({"sources": frozenset({"near"})}, lambda source, school, day: source == "near"),
        (
            {"territories": frozenset({Territory("school", SCHOOLS[0])})},
            lambda source, school, day: school == SCHOOLS[0],
        ),
        ({"since": date(2026, 3, 2), "until": date(2026, 4, 1)}, lambda source, school, day: day == DAYS[1]),
        (
            {"sources": frozenset({"far"}), "until": date(2026, 3, 31)},
            lambda source, school, day: source == "far" and day == DAYS[0],
        ),
    ],
)
def test_pages_and_single_statements_are_of_the_perimeter(
    server: Server,
    ids: dict[tuple[str, str, str], list[str]],
    bounded: Callable[..., NewCredential],
    bounds: dict[str, Any],
    inside: Callable[[str, str, str], bool],
) -> None:
    key = bounded(**bounds)
    within = {id for place, some in ids.items() if inside(*place) for id in some}
    assert sorted(every(server, key)) == sorted(within)
    assert sorted(every(server, key, ascending="true")) == sorted(within)
    for place, some in ids.items():
        answer = server.send("GET", "/xAPI/statements", key, params={"statementId": some[0]})
        assert (answer.status_code == 200) is inside(*place), answer.text
        if not inside(*place):
            assert answer.json()["code"] == "outside-perimeter"
            assert (
                f"This key allows: {Perimeter(**{'sources': frozenset({'near', 'far'}), **bounds}).described()}"
                in answer.text
            )
            (entry,) = server.container.governance.audit.newest(("outside-perimeter",), None, 1)
            assert (entry.actor, entry.detail["asked"]) == (key.id, "statement")
            assert some[0] not in orjson.dumps(entry.detail).decode()


def test_a_cursor_of_an_unlimited_key_is_of_no_use_to_another(
    server: Server, ids: object, bounded: Callable[..., NewCredential]
) -> None:
    more = server.send("GET", "/xAPI/statements", server.credential(scopes.READ), params={"limit": "1"}).json()["more"]
    assert server.send("GET", more, bounded()).json()["code"] == "bad-cursor"


def test_verdicts_are_of_the_sources_of_a_perimeter(
    server: Server, ids: object, bounded: Callable[..., NewCredential]
) -> None:
    held = (scopes.OWN_QUALITY,)
    near = bounded(*held, sources=frozenset({"near"}))
    both = bounded(*held, sources=frozenset({"near", "far"}))
    counts = server.container.platform.store.collection("verdict_counts")
    for source in ("near", "far", "elsewhere"):
        line = {"source": source, "day": "2026-01-01", "template": "", "outcome": "conforms", "count": 1}
        counts.replace_one({"_id": source}, line, upsert=True)
    counted = server.send("GET", "/api/v1/verdicts", both).json()["verdicts"]
    assert [line["source"] for line in counted] == ["far", "near"]
    for params in ({}, {"source": "near"}):
        assert server.send("GET", "/api/v1/verdicts", near, params=params).status_code == 200
    refused = [
        (near, {"source": "far"}, "source"),
        (bounded(*held, territories=frozenset({Territory("school", SCHOOLS[0])})), {}, "verdicts"),
        (bounded(*held, since=date(2026, 1, 1)), {}, "verdicts"),
        (bounded(*held, sources=frozenset()), {}, "everything"),
    ]
    for key, params, asked in refused:
        answer = server.send("GET", "/api/v1/verdicts", key, params=params)
        assert (answer.status_code, answer.json()["code"]) == (403, "outside-perimeter")
        (entry,) = server.container.governance.audit.newest(("outside-perimeter",), None, 1)
        assert (entry.actor, entry.detail["asked"]) == (key.id, asked)


def test_a_page_that_refuses_something_outside_has_who_asked_on_record() -> None:
    entries: list[tuple[object, ...]] = []
    app = Flask("pages", static_folder=None)
    bounds.install(app, Sink(lambda *entry: entries.append(entry)), problem_details.install(app, Rendering()))
    perimeter = Perimeter(sources=frozenset({"near"}))
    head = SimpleNamespace(
        roles=(Role.SCHOOL_HEAD,),
        session=SimpleNamespace(purpose=None),
        of=lambda role: (Grant(role, perimeter),),
        principal=lambda grant: Principal(Kind.PERSON, "u-1", frozenset(), perimeter=grant.perimeter),
    )
    visitors: Any = SimpleNamespace(find=lambda: head)
    none: Any = None
    blueprint = Blueprint("portal", "portal")
    pages = SignedPages(blueprint, none, visitors, none, ())

    def view(asked: PageRequest) -> Any:
        raise Reach(asked.principal.perimeter, None, None, None, None).refusal("No.", "source")

    pages.show("school", "school", (Role.SCHOOL_HEAD,), view)
    app.register_blueprint(blueprint)
    answer = app.test_client().get("/en/school", headers={"Accept": "text/html"})
    assert answer.status_code == 403 and "outside-perimeter" in answer.text and "sources near" in answer.text
    ((kind, actor, detail),) = entries
    assert (kind, actor, detail["asked"]) == ("outside-perimeter", "u-1", "source")  # type: ignore[index]
