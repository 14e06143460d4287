"""Governance over HTTP: the register, retention, the audit log."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from bson import Int64, ObjectId
from flask import Flask
from flask.testing import FlaskClient

from app.access import scopes
from app.access.authenticators import Authenticators
from app.access.basic import Basic
from app.access.credentials import Access, NewCredential, Sources
from app.access.store import SourceRepository
from app.core import clock
from app.crypto import kinds
from app.crypto.keys import KeyEncryptionKeys, OrganisationKeys
from app.governance.audit.log import AUDIT_READ, STATEMENTS_READ, Audit
from app.governance.audit.spool import HostSpools
from app.governance.audit.store import AuditRepository
from app.governance.register.service import Register, SourceLink
from app.governance.register.store import ProcessingActivityRepository
from app.keys.data_subject_cipher import DataSubjectCipher
from app.keys.learners import SubjectKeys
from app.operations.schema.catalogue import personal_data
from app.people.audit_search import AuditSearch
from app.platform.mongo.collection import DataContext
from app.platform.mongo.connection import Store
from app.retention.closed_account_store import AccountRepository
from app.retention.service import DAY_US, Retention
from app.retention.store import RetentionRepository
from app.retention.yearly_store import RetentionYears
from app.traces.statements.attachment_store import AttachmentRepository
from app.web import problem_details
from app.web.api import retention as governance_api
from app.web.gate import Gate
from tests.places import ROOT
from tests.sinks import Announcing, NoPseudonyms, Open, Rules

ENT = ROOT / "docs" / "examples" / "processing-activities" / "ent.json"


@pytest.fixture
def audit(store: Store, vault: OrganisationKeys) -> Audit:
    return Audit(AuditRepository(store), vault, clock.now_us, os.urandom)


@pytest.fixture
def client(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys, audit: Audit) -> FlaskClient:
    register = Register(ProcessingActivityRepository(store), audit, clock.now_us)
    register.add(ENT.read_bytes())
    retention = Retention(
        RetentionRepository(store, AttachmentRepository(store)),
        register,
        lambda: [SourceLink("ent1", "ent", "strip", "Names are of no use")],
        audit,
        vault,
        stores=personal_data(DataContext(store, vault, SubjectKeys(store, keks, "default"))),
        accounts=AccountRepository(store),
        cipher=DataSubjectCipher(SubjectKeys(store, keks, "default"), "default", os.urandom),
        years=RetentionYears(store),
    )
    app = Flask("governance-tests")
    problem_details.install(app, problem_details.Rendering())
    search = AuditSearch(audit, vault, NoPseudonyms())
    gate = Gate(Authenticators((Basic(Access(SourceRepository(store))),)), Open(), Open(), Open())
    app.register_blueprint(
        governance_api.blueprint(gate, retention, register, audit, search, lambda: str.upper), url_prefix="/api/v1"
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


def get(client: FlaskClient, path: str, credential: NewCredential) -> tuple[int, Mapping[str, object]]:
    answer = client.get(path, auth=(credential.id, credential.secret))
    return answer.status_code, answer.get_json()


@pytest.mark.parametrize("path", ["retention", "processing-activities", "processing-activities/ent", "audit"])
def test_only_the_governance_scope_reads(client: FlaskClient, issue: Callable[[str], NewCredential], path: str) -> None:
    assert client.get(f"/api/v1/{path}").status_code == 401
    assert get(client, f"/api/v1/{path}", issue("researcher"))[0] == 403
    assert get(client, f"/api/v1/{path}", issue("dpo"))[0] == 200


def test_the_retention_report(
    client: FlaskClient, issue: Callable[[str], NewCredential], store: Store, vault: OrganisationKeys
) -> None:
    token = vault.index.writing.token("source", "ent1")
    for days in (1, 93, 400):
        store.collection("statements").insert_one(
            {"_id": uuid4(), "stored": clock.now_us() - days * DAY_US, "t": [token]}
        )
        store.collection("documents").insert_one(
            {"_id": uuid4().bytes, "source": "ent1", "updated": clock.now_us() - days * DAY_US}
        )
    status, body = get(client, "/api/v1/retention", issue("dpo"))
    assert status == 200
    (line,) = body["lines"]  # type: ignore[misc]
    assert (line["processing_activity"], line["source"], line["active_days"]) == ("ent", "ent1", 92)
    assert (line["kept"], line["due"], line["overdue"]) == (3, 2, 1)
    assert (line["documents"], line["documents_due"], line["documents_overdue"]) == (3, 2, 1)
    assert line["documents_oldest"] < line["cutoff"]
    assert line["name"]["fr"]
    assert line["justification"]["en"]
    assert line["oldest"] < line["cutoff"] < str(body["as_of"])
    assert (line["concerns_minors"], line["minors"], line["minors_reason"]) == (True, "strip", "Names are of no use")


def test_the_register(client: FlaskClient, issue: Callable[[str], NewCredential]) -> None:
    dpo = issue("dpo")
    _, body = get(client, "/api/v1/processing-activities", dpo)
    assert [(entry["id"], entry["version"]) for entry in body["processing_activities"]] == [("ent", 1)]  # type: ignore[attr-defined]
    _, entry = get(client, "/api/v1/processing-activities/ent", dpo)
    assert entry["document"]["legal_basis"]["article"] == "6.1.e"  # type: ignore[index]
    assert get(client, "/api/v1/processing-activities/nowhere", dpo)[0] == 404


def test_reading_the_audit_log_leaves_an_entry(
    client: FlaskClient, issue: Callable[[str], NewCredential], audit: Audit
) -> None:
    dpo = issue("dpo")
    _, body = get(client, "/api/v1/audit?limit=1", dpo)
    (entry,) = body["entries"]  # type: ignore[misc]
    assert (entry["kind"], entry["actor"]) == (AUDIT_READ, dpo.id)
    _, body = get(client, "/api/v1/audit?kind=activity-added", dpo)
    assert [entry["detail"] for entry in body["entries"]] == [  # type: ignore[attr-defined]
        {"activity": "ent", "version": 1, "in_force_from": "2026-09-01"}
    ]
    before = body["entries"][0]["at"]  # type: ignore[index]
    _, body = get(client, f"/api/v1/audit?kind=activity-added&before={before}", dpo)
    assert body["entries"] == []
    assert audit.verify().intact


def test_pages_of_the_audit_log_hold_each_entry_once(
    client: FlaskClient, issue: Callable[[str], NewCredential], store: Store, vault: OrganisationKeys
) -> None:
    dpo = issue("dpo")
    at = clock.now_us() + 1_000_999  # all in one microsecond, the last of its millisecond
    busy = Audit(AuditRepository(store), vault, lambda: at, os.urandom)
    for n in range(35):
        busy.append(STATEMENTS_READ, "credential-1", {"n": n})
    found: list[object] = []
    times = set()
    path = "/api/v1/audit?kind=statements-read&limit=10"
    following = ""
    for _ in range(4):
        status, body = get(client, path + following, dpo)
        assert status == 200
        found += [entry["detail"]["n"] for entry in body["entries"]]  # type: ignore[attr-defined]
        times |= {entry["at"] for entry in body["entries"]}  # type: ignore[attr-defined]
        following = f"&cursor={body['next']}"
    assert body["next"] is None
    assert sorted(found) == list(range(35))  # type: ignore[type-var]
    (time,) = times
    assert datetime.fromisoformat(time).microsecond == at % 1_000_000
    # `before` is this very microsecond.
    later = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at + 1)
    assert get(client, f"{path}&before={time}", dpo)[1]["entries"] == []
    assert len(get(client, f"{path}&before={later.isoformat().replace('+00:00', 'Z')}", dpo)[1]["entries"]) == 10  # type: ignore[arg-type]


def test_a_cursor_that_was_altered_is_refused(client: FlaskClient, issue: Callable[[str], NewCredential]) -> None:
    dpo = issue("dpo")
    cursor = str(get(client, "/api/v1/audit?limit=1", dpo)[1]["next"])
    assert get(client, f"/api/v1/audit?limit=1&cursor={cursor}", dpo)[0] == 200
    for wrong in (f"kind=audit-read&cursor={cursor}", f"cursor=AAAA{cursor[4:]}", "cursor=x"):
        status, body = get(client, f"/api/v1/audit?limit=1&{wrong}", dpo)
        assert (status, body["code"]) == (400, "bad-cursor")


@pytest.mark.parametrize(
    "change",
    [
        {"detail.limit": b"\x00\xff"},
        {"detail.limit": ObjectId("0123456789abcdef01234567")},
        {"detail.limit": float("inf")},
        {"at": Int64(2**62)},
        {"at": "never"},
    ],
)
def test_an_altered_entry_is_listed_all_the_same(
    client: FlaskClient, issue: Callable[[str], NewCredential], store: Store, change: Mapping[str, object]
) -> None:
    dpo = issue("dpo")
    get(client, "/api/v1/audit", dpo)
    store.collection("audit").update_one({"kind": AUDIT_READ}, {"$set": change})
    status, body = get(client, "/api/v1/audit?kind=audit-read", dpo)
    assert status == 200
    assert len(body["entries"]) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path",
    [
        "retention?x=1",
        *(f"audit?limit={limit}" for limit in ("0", "1&limit=2", "1.5", "1_0", "%D9%A3", "%203", "true")),
        "audit?kind=zz",
        *(f"audit?before={day}" for day in ("yesterday", "2026-W01-1", "20260101T000000Z", "2026-W01-1T00:00:00Z")),
    ],
)
def test_a_parameter_that_is_not_valid_is_refused(
    client: FlaskClient, issue: Callable[[str], NewCredential], path: str
) -> None:
    status, body = get(client, f"/api/v1/{path}", issue("dpo"))
    assert (status, body["code"]) == (400, "bad-parameter")
    assert "yesterday" not in str(body)


def search(client: FlaskClient, credential: NewCredential, question: object) -> tuple[int, Mapping[str, object]]:
    answer = client.post("/api/v1/audit/search", json=question, auth=(credential.id, credential.secret))
    return answer.status_code, answer.get_json()


def test_the_audit_log_is_searched_by_person(
    client: FlaskClient, issue: Callable[[str], NewCredential], audit: Audit, vault: OrganisationKeys
) -> None:
    dpo = issue("dpo")
    token = vault.named(kinds.AGENT, "mbox:mailto:alice@ent.example").hex()
    for n in range(3):
        audit.append(STATEMENTS_READ, "sk-1", {"tokens": [token], "n": n})
    audit.append(STATEMENTS_READ, "sk-1", {"tokens": [], "n": 3})
    question = {"person": [{"mbox": "mailto:alice@ent.example"}], "kinds": [STATEMENTS_READ], "limit": 2}
    status, body = search(client, dpo, question)
    assert status == 200
    assert [entry["detail"]["n"] for entry in body["entries"]] == [2, 1]  # type: ignore[attr-defined]
    _, rest = search(client, dpo, question | {"cursor": body["next"]})
    assert [entry["detail"]["n"] for entry in rest["entries"]] == [0]  # type: ignore[attr-defined]
    _, by_actor = search(client, dpo, {"actor": dpo.id})
    assert [entry["kind"] for entry in by_actor["entries"]] == [AUDIT_READ] * 3  # type: ignore[attr-defined]
    assert "alice" not in str(by_actor)


def test_a_search_says_which_hosts_are_behind(
    client: FlaskClient,
    issue: Callable[[str], NewCredential],
    audit: Audit,
    store: Store,
) -> None:
    dpo = issue("dpo")
    assert search(client, dpo, {})[1]["behind"] == []
    repository, last = AuditRepository(store), clock.now_us() - 60_000_000
    spools = HostSpools(None, audit, repository, store="ours", host="host-a", now=clock.now_us, notes=list)
    audit.spools = spools
    opened = audit.opening({"host": "host-b", "spool": "ours"})
    repository.ship([opened._replace(at=last)])
    (behind,) = search(client, dpo, {})[1]["behind"]  # type: ignore[misc]
    assert (behind["host"], behind["alive"]) == ("host-b", False)


@pytest.mark.parametrize(
    "question",
    [
        [],
        {"who": "x"},
        {"kinds": ["zz"]},
        {"person": []},
        {"person": [{"mbox": "alice"}]},
        *({"since": day} for day in ("yesterday", "2026-W01-1", "20260101T000000Z", 20260101)),
        *({"limit": limit} for limit in (1.5, 1.0, "5", "٣", True, 0, 10**30)),
    ],
)
def test_a_search_that_is_not_valid_is_refused(
    client: FlaskClient, issue: Callable[[str], NewCredential], question: object
) -> None:
    status, body = search(client, issue("dpo"), question)
    assert (status, body["code"]) == (400, "bad-request")
    assert "alice" not in str(body)


def test_only_the_governance_scope_searches(client: FlaskClient, issue: Callable[[str], NewCredential]) -> None:
    assert client.post("/api/v1/audit/search", json={}).status_code == 401
    assert search(client, issue("researcher"), {})[0] == 403
