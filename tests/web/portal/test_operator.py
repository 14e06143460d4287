"""Pages of operators: health, jobs, storage, keys as states, sources registered and closed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from requests import Response

from app.access.roles import Role
from app.core.errors import DatabaseUnavailable
from app.platform.jobs.run import execute
from app.web.portal.operator_record import OperatorRecord
from app.web.routes.web import checks
from app.wiring.container import Container
from tests.served import ACTIVITY, Server, serving, statement
from tests.web.portal.signed_in import SignedIn, signed_in

HOSTILE = "<script>alert('x')</script>{{ 7*7 }}"
SECRET = re.compile(r'id="made-secret">([^<]+)<')
KEY = re.compile(r'id="made-key">([^<]+)<')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("operator"), mongodb_uri) as server:
        server.source("tutor")
        yield server


@pytest.fixture
def operator(site: Server) -> SignedIn:
    return signed_in(site, Role.OPERATOR)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", ("Ce serveur est prêt", "Aucun planificateur ne tourne")),
        ("en", ("This server is ready", "No scheduler leads")),
    ],
)
def test_health_says_what_is_well_and_what_is_not(
    site: Server, operator: SignedIn, language: str, words: tuple[str, ...]
) -> None:
    page = operator.get(f"/{language}/operations").text
    for each in (*words, "audit", "credentials", "sillage backup verify"):
        assert each in page, each
    keys = site.container.keys.keyring
    assert {str(each.number) for each in keys.listed()} <= set(re.findall(r"\d+", page))


def test_jobs_and_the_runs_of_one(site: Server, operator: SignedIn) -> None:
    container = site.container
    job = next(each for each in container.jobs if each.name == "requests")
    with container.platform.leadership.require() as lease:
        container.platform.job_repository.declare({job.name: job.cron}, container.platform.now_us())
        execute(job, lease, container.platform.job_repository, container.platform.now_us)
    page = operator.get("/en/operations/jobs/requests").text
    assert "succeeded" in page and job.cron in page and "Next run" in page
    page = operator.get("/fr/operations/jobs").text
    assert all(each.name in page for each in container.jobs)
    for name in ("none", "%3Cscript%3E"):
        answer = operator.get(f"/en/operations/jobs/{name}")
        assert answer.status_code == 404 and "<script>" not in answer.text


def test_a_source_is_registered_once_and_its_key_shown_once(site: Server, operator: SignedIn) -> None:
    name = f"new-{uuid4().hex[:8]}"
    fields = {"id": name, "name": HOSTILE, "activity": ACTIVITY["id"], "mode": "observe"}
    answer = operator.post("/en/operations/sources/new", fields)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "private, no-store"
    assert "<script>alert" not in answer.text and "49" not in answer.text.partition("<h1>")[2][:200]
    id, secret = KEY.findall(answer.text)[0], SECRET.findall(answer.text)[0]
    assert site.container.access.credentials.verify(id, secret.encode()).source == name
    again = operator.post("/en/operations/sources/new", fields)
    assert again.status_code == 422 and "registered already" in again.text and not SECRET.search(again.text)
    assert len(site.container.operations.sources.keys(name)) == 1
    # It is in the list at once, and as text.
    page = operator.get("/fr/operations/sources").text
    assert name in page and "<script>alert" not in page and "jamais rien envoyé" in page
    entry = site.container.governance.audit.newest(("source-added",))[0]
    assert entry.actor == operator.user.id


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": "Not A Slug", "name": "x", "activity": ACTIVITY["id"]}, "minuscules"),
        ({"id": "ok", "name": "", "activity": ACTIVITY["id"]}, "deux cents"),
        ({"id": "ok", "name": "x" * 201, "activity": ACTIVITY["id"]}, "deux cents"),
        ({"id": "ok", "name": "x", "activity": HOSTILE}, "pas de tel traitement"),
        ({"id": "ok", "name": "x", "activity": ACTIVITY["id"], "mode": HOSTILE}, "Choisissez"),
        ({"id": "ok", "name": "x", "activity": ACTIVITY["id"], "profile": HOSTILE}, "pas chargé"),
    ],
)
def test_what_cannot_be_registered_is_said(
    site: Server, operator: SignedIn, fields: dict[str, str], words: str
) -> None:
    answer = operator.post("/fr/operations/sources/new", fields)
    assert answer.status_code == 422 and words in answer.text and "<script>alert" not in answer.text
    assert site.container.access.sources_repository.get("ok") is None


def test_a_source_is_closed_on_somebodys_word(site: Server, operator: SignedIn) -> None:
    key = site.source("closes")
    path = "/en/operations/sources/closes"
    for fields in ({"word": "head", "reason": "end"}, {"sure": "yes"}, {"sure": "yes", "word": "head"}):
        assert operator.post(path, fields).status_code == 422
    assert site.post(key, [statement()]).status_code == 200
    fields = {"word": "head of digital", "reason": "contract ended", "sure": "yes"}
    assert operator.post(path, fields).status_code == 303
    assert site.post(key, [statement()]).status_code in {401, 403}
    assert "closed since" in operator.get(path).text
    assert operator.post(path, fields).status_code == 303
    assert operator.get("/en/operations/sources/never").status_code == 404


def test_every_process_shows_what_was_done_by_another(site: Server, operator: SignedIn) -> None:
    name = f"of-two-{uuid4().hex[:8]}"
    path = f"/en/operations/sources/{name}"

    def asked(path: str) -> list[Response]:
        # Either of the two workers answers, of which only one has just done what was asked for.
        return [operator.get(path) for _ in range(12)]

    asked("/en/operations/sources")
    fields = {"id": name, "name": name, "activity": ACTIVITY["id"], "mode": "observe"}
    assert operator.post("/en/operations/sources/new", fields).status_code == 200
    assert all(name in each.text for each in asked("/en/operations/sources"))
    assert {each.status_code for each in asked(path)} == {200}
    assert operator.post(path, {"word": "head", "reason": "end", "sure": "yes"}).status_code == 303
    assert all("closed since" in each.text and 'name="sure"' not in each.text for each in asked(path))


def test_mongodb_is_asked_once_for_all_and_an_absence_is_told(site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OperatorRecord, "_figures", lambda self: {})
    record = OperatorRecord(site.container, checks(site.container))
    looks: list[int] = []
    real = OperatorRecord._looked
    monkeypatch.setattr(OperatorRecord, "_looked", lambda self: looks.append(1) or real(self))
    first = record.known()
    assert record.known() is first and len(looks) == 1

    def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(site.container.platform.job_repository, "states", away)
    with pytest.raises(DatabaseUnavailable):
        OperatorRecord(site.container, checks(site.container)).known()


def test_a_check_that_fails_is_named_by_its_code(site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OperatorRecord, "_figures", lambda self: {})

    def away() -> None:
        raise DatabaseUnavailable("away")

    known = OperatorRecord(site.container, {"database": away, "clock": lambda: None}).known()
    assert [(each.name, each.code) for each in known.checks] == [("database", "database-unavailable"), ("clock", None)]
    assert isinstance(site.container, Container) and known.storage[0].documents >= 0
