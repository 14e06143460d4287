"""Aggregates over HTTP."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.access import scopes
from app.access.authenticators import Authenticators
from app.access.basic import Basic
from app.access.credentials import Access, NewCredential, Sources
from app.access.perimeters import Perimeter, Territory
from app.access.reach import Reaches
from app.access.store import SourceRepository, StoredCredential
from app.core import clock
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import AGGREGATE_READ, OUTSIDE_PERIMETER, Audit
from app.governance.audit.store import AuditRepository
from app.platform.mongo.connection import Store
from app.research import aggregates as aggregates_service
from app.research.aggregates import Aggregates
from app.research.readings import AggregateReadings
from app.research.store import AggregateRepository
from app.schools.service import SchoolDirectory
from app.schools.store import SchoolRepository
from app.settings import Settings
from app.web import bounds, problem_details
from app.web.api import aggregates as aggregates_api
from app.web.gate import Gate
from tests.research.statements import MadeUpReader, class_of
from tests.sinks import Announcing, Everybody, Open, Rules


@pytest.fixture
def audit(store: Store, vault: OrganisationKeys) -> Audit:
    return Audit(AuditRepository(store), vault, clock.now_us, os.urandom)


@pytest.fixture
def client(store: Store, vault: OrganisationKeys, settings: Settings, audit: Audit) -> FlaskClient:
    reader = MadeUpReader()
    reader.store(
        *class_of(12),
        *class_of(5, 100, school="0752524L"),
        *class_of(13, 200, school="0920131T", timestamp="2026-11-04T09:00:00Z"),
    )
    aggregates = Aggregates(AggregateRepository(store, vault), reader, vault, settings, Everybody())  # type: ignore[arg-type]
    aggregates.run()
    app = Flask("sillage", static_folder=None)
    answered = problem_details.install(app, problem_details.Rendering())
    bounds.install(app, audit, answered)
    sources = SourceRepository(store)
    reaches = Reaches(sources, SchoolDirectory(SchoolRepository(store), audit, Announcing()), lambda: True, date.today)
    gate = Gate(Authenticators((Basic(Access(SourceRepository(store))),)), Open(), Open(), Open())
    app.register_blueprint(
        aggregates_api.blueprint(gate, aggregates, AggregateReadings(aggregates, reaches, audit)), url_prefix="/api/v1"
    )
    return app.test_client()


@pytest.fixture
def issue(store: Store, audit: Audit) -> Callable[[str], NewCredential]:
    sources = Sources(
        SourceRepository(store),
        rules=Rules(),
        audit=audit,
        announcer=Announcing(),
    )
    return lambda role: sources.issue(source=None, label=role, scopes=scopes.ROLES[role], actor="tests")


def get(client: FlaskClient, path: str, credential: NewCredential) -> tuple[int, Mapping[str, Any]]:
    answer = client.get(f"/api/v1/{path}", auth=(credential.id, credential.secret))
    return answer.status_code, answer.get_json()


@pytest.mark.parametrize("path", ["aggregates", "aggregates/outcomes"])
def test_only_the_research_scope_reads(client: FlaskClient, issue: Callable[[str], NewCredential], path: str) -> None:
    assert client.get(f"/api/v1/{path}").status_code == 401
    assert get(client, path, issue("dpo"))[0] == 403


def test_the_list_describes_each(client: FlaskClient, issue: Callable[[str], NewCredential]) -> None:
    status, answer = get(client, "aggregates", issue("researcher"))
    assert status == 200
    assert [item["name"] for item in answer["aggregates"]] == ["daily_activity", "ent_usage", "outcomes"]
    assert answer["aggregates"][0]["title"] == {"en": "Daily activity", "fr": "Activité quotidienne"}
    assert all(item["complete"] for item in answer["aggregates"])


def test_cells_are_protected_and_the_reading_is_on_record(
    client: FlaskClient, issue: Callable[[str], NewCredential], audit: Audit
) -> None:
    researcher = issue("researcher")
    status, answer = get(client, "aggregates/daily_activity?by=school&from=2026-11-01&to=2026-11-03", researcher)
    assert status == 200
    assert (answer["name"], answer["period"], answer["minimum_group"], answer["next"]) == (
        "daily_activity",
        "day",
        11,
        None,
    )
    assert answer["as_of"].startswith("2027-01-15")
    reasons = {row["school"]: (row["statements"], row["hidden"], row["reason"]) for row in answer["rows"]}
    assert reasons == {"0750654D": (None, True, "secondary"), "0752524L": (None, True, "small-group")}
    (entry,) = audit.newest([AGGREGATE_READ], None, 10)
    assert entry.actor == researcher.id
    assert entry.detail["by"] == ["school"]


def test_a_dimension_filters(client: FlaskClient, issue: Callable[[str], NewCredential]) -> None:
    answer = get(client, "aggregates/daily_activity?by=&school=0920131T", issue("researcher"))[1]
    assert [(row["day"], row["school"], row["learners"]) for row in answer["rows"]] == [("2026-11-04", "0920131T", 13)]


def test_pages_follow_one_another(client: FlaskClient, issue: Callable[[str], NewCredential]) -> None:
    researcher = issue("researcher")
    first = get(client, "aggregates/daily_activity?limit=2", researcher)[1]
    second = get(client, f"aggregates/daily_activity?limit=2&cursor={first['next']}", researcher)[1]
    assert [len(first["rows"]), len(second["rows"]), second["next"]] == [2, 1, None]


@pytest.mark.parametrize(
    ("query", "code", "named"),
    [
        ("by=colour", "bad-parameter", "by"),
        ("from=yesterday", "bad-parameter", "from"),
        ("from=2026-12-01&to=2026-11-01", "bad-parameter", "from"),
        ("limit=0", "bad-parameter", "limit"),
        ("limit=10001", "bad-parameter", "limit"),
        ("limit=%D9%A3", "bad-parameter", "limit"),
        ("from=2026-W01-1", "bad-parameter", "from"),
        ("to=20260930", "bad-parameter", "to"),
        ("limit=1&limit=2", "bad-parameter", "limit"),
        ("school=a&school=b", "bad-parameter", "school"),
        ("colour=red", "bad-parameter", "not known"),
        ("cursor=AAAA", "bad-cursor", "cursor"),
    ],
)
def test_bad_parameters_are_named(
    client: FlaskClient, issue: Callable[[str], NewCredential], query: str, code: str, named: str
) -> None:
    status, answer = get(client, f"aggregates/daily_activity?{query}", issue("researcher"))
    assert (status, answer["code"]) == (400, code)
    assert named in answer["detail"]
    assert "yesterday" not in answer["detail"]


def test_an_unknown_aggregate_is_not_found(client: FlaskClient, issue: Callable[[str], NewCredential]) -> None:
    assert get(client, "aggregates/nothing", issue("researcher"))[0] == 404


# --- perimeters --------------------------------------------------------------------------------------


def within(store: Store, **bounds: Any) -> NewCredential:
    """A researcher's key with a perimeter, of schools that no directory has to know."""
    key = NewCredential(f"sk-{clock.random_bytes(8).hex()}", "secret")
    SourceRepository(store).add_credential(
        StoredCredential(
            key.id,
            None,
            "lab",
            (scopes.RESEARCH,),
            hashlib.sha256(b"secret").digest(),
            clock.now(),
            None,
            None,
            Perimeter(**bounds),
        )
    )
    return key


def schools(*codes: str) -> frozenset[Territory]:
    return frozenset(Territory("school", code) for code in codes)


def test_rows_are_of_the_schools_of_a_perimeter_and_broken_down_by_them(client: FlaskClient, store: Store) -> None:
    key = within(store, territories=schools("0920131T", "0752524L"))
    for query in ("", "?by=school", "?by=", "?by=level&limit=1"):
        status, answer = get(client, f"aggregates/daily_activity{query}", key)
        assert status == 200 and answer["rows"]
        rows = list(answer["rows"])
        while answer["next"]:
            answer = get(client, f"aggregates/daily_activity{query}&cursor={answer['next']}", key)[1]
            rows += answer["rows"]
        assert {row["school"] for row in rows} == {"0920131T", "0752524L"}, query
    assert get(client, "aggregates/daily_activity?school=0920131T", key)[1]["rows"]
    assert [item["name"] for item in get(client, "aggregates", key)[1]["aggregates"]] == ["daily_activity"]


@pytest.mark.parametrize(
    ("bounds", "path", "asked"),
    [
        ({"territories": schools("0920131T")}, "daily_activity?school=0750654D", "school"),
        ({"territories": schools("0920131T")}, "outcomes", "aggregate"),
        ({"territories": schools("0920131T")}, "ent_usage?from=2026-11-01", "aggregate"),
        ({"sources": frozenset({"ent"})}, "daily_activity?source=tutor", "source"),
        ({"sources": frozenset({"ent"})}, "outcomes", "aggregate"),
        ({"activities": frozenset({"nothing"})}, "daily_activity", "everything"),
        ({"until": date(2026, 10, 31)}, "daily_activity?from=2026-11-01", "dates"),
        ({"since": date(2026, 11, 3), "until": date(2026, 11, 28)}, "ent_usage", "dates"),
        ({"since": date(2026, 11, 3), "until": date(2026, 11, 8)}, "outcomes", "dates"),
    ],
)
def test_an_aggregate_a_value_or_an_interval_outside_is_refused_and_on_record(
    client: FlaskClient, store: Store, audit: Audit, bounds: dict[str, Any], path: str, asked: str
) -> None:
    key = within(store, **bounds)
    status, answer = get(client, f"aggregates/{path}", key)
    assert (status, answer["code"]) == (403, "outside-perimeter")
    assert f"This key allows: {Perimeter(**bounds).described()}." in answer["detail"]
    (entry,) = audit.newest([OUTSIDE_PERIMETER], None, 10)
    assert (entry.actor, entry.detail) == (key.id, {"route": "/api/v1/aggregates/<name>", "asked": asked})


def test_rows_are_of_whole_periods_within_the_days_of_a_perimeter(client: FlaskClient, store: Store) -> None:
    days = {"since": date(2026, 11, 4), "until": date(2026, 11, 30)}
    answer = get(client, "aggregates/daily_activity?by=school", within(store, **days))[1]
    assert {row["day"] for row in answer["rows"]} == {"2026-11-04"}
    inside = get(client, "aggregates/outcomes?by=", within(store, until=date(2026, 11, 8)))[1]["rows"]
    assert {row["week"] for row in inside} == {"2026-11-02"}
    assert not get(client, "aggregates/outcomes?by=", within(store, until=date(2026, 11, 7)))[1]["rows"]
    # A week is of the days from its Monday on.
    assert not get(client, "aggregates/outcomes?by=", within(store, since=date(2026, 11, 3)))[1]["rows"]
    assert [
        aggregates_service._last_whole(period, date(2027, 2, day)).isoformat()
        for period, day in (("day", 27), ("week", 28), ("month", 27), ("month", 28))
    ] == ["2027-02-27", "2027-02-22", "2027-01-31", "2027-02-28"]
