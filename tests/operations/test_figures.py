"""Yearly figures on real services: what each number counts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from app.access.restrictions.store import DataSubjectStateRepository
from app.commands import requests
from app.core.errors import BadRequest
from app.operations.figures import BY_A_RESTORE, Figures
from app.people.erasure.store import ErasureRepository
from app.people.requests.store import DataSubjectRequestRepository, DataSubjectRequestRow
from app.platform.mongo.connection import Store
from app.retention.certificate_store import DELETIONS, CertificateRepository
from app.retention.yearly_store import RetentionYears
from app.settings import Settings
from app.wiring.container import Container
from tests.stores import with_tutor


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with with_tutor(settings, database_name) as made:
        yield made


def figures(store: Store) -> Figures:
    return Figures(
        requests=DataSubjectRequestRepository(store),
        erasures=ErasureRepository(store),
        states=DataSubjectStateRepository(store),
        certificates=CertificateRepository(store),
        retention=RetentionYears(store),
        zone=ZoneInfo("Europe/Paris"),
        now=lambda: datetime(2027, 1, 20, 12, tzinfo=UTC),
        request_days=1_826,
    )


def request(store: Store, kind: str, status: str, received: str, due: str, answered: str | None = None) -> None:
    row = DataSubjectRequestRow(
        f"r-{uuid4().hex[:12]}",
        kind,
        status,
        date.fromisoformat(received),
        date.fromisoformat(due),
        (),
        1,
        b"x",
        b"",
        None if answered is None else date.fromisoformat(answered),
    )
    assert DataSubjectRequestRepository(store).insert(row)


def test_requests_are_counted_by_kind_in_the_year_of_what_became_of_them(store: Store) -> None:
    request(store, "access", "done", "2026-03-01", "2026-04-01", "2026-03-11")
    request(store, "access", "done", "2026-03-01", "2026-04-01", "2026-04-10")  # late
    request(store, "access", "refused", "2026-05-01", "2026-08-01", "2026-05-03")  # extended
    request(store, "access", "done", "2025-12-20", "2026-01-20", "2026-01-02")  # of the year before
    request(store, "access", "done", "2026-12-20", "2027-01-20", "2027-01-02")  # answered in the next
    request(store, "erasure", "identified", "2026-11-01", "2026-12-01")
    request(store, "erasure", "open", "2027-01-03", "2027-02-03")  # of the next
    lines = {one.kind: one for one in figures(store).of(2026).requests}
    access = lines["access"]
    assert (access.opened, access.done, access.refused, access.extended, access.late) == (4, 3, 1, 1, 1)
    assert (access.median_days, access.waiting, access.overdue) == (11.5, 1, 0)
    assert lines["erasure"][1:] == (1, 0, 0, 0, 0, None, 1, 1)
    assert (lines["all"].opened, lines["all"].waiting) == (5, 2)


def test_an_erasure_that_a_restore_repeats_is_not_counted_again(store: Store) -> None:
    for actor, at in (
        ("cli:person erase", datetime(2026, 6, 1, tzinfo=UTC)),
        ("sk-1", datetime(2025, 12, 31, 23, 30, tzinfo=UTC)),  # 2026 already, where the controller is
        (BY_A_RESTORE, datetime(2026, 6, 2, tzinfo=UTC)),
        ("sk-1", datetime(2026, 12, 31, 23, 30, tzinfo=UTC)),
    ):
        store.collection("erasures").insert_one({"_id": uuid4(), "actor": actor, "destroyed": at})
    found = figures(store).of(2026)
    assert (found.erasures, found.erasures_repeated) == (2, 1)


def test_deletions_are_those_of_retention_and_of_certificates_that_ended_in_the_year(store: Store) -> None:
    years = RetentionYears(store)
    years.deleted(2026, datetime(2026, 9, 1, tzinfo=UTC), 70, 5)
    years.ran(2026, datetime(2026, 9, 1, tzinfo=UTC))
    years.deleted(2027, datetime(2027, 1, 1, tzinfo=UTC), 1, 1)
    kind = sorted(DELETIONS)[0]
    for finished, statements in ((datetime(2026, 9, 1, tzinfo=UTC), 12), (datetime(2027, 1, 9, tzinfo=UTC), 9)):
        store.collection("certificates").insert_one(
            {"_id": uuid4(), "kind": kind, "finished": finished, "counts": {"statements": statements, "documents": 1}}
        )
    found = figures(store).of(2026)
    assert found.retention is not None
    assert (found.retention.statements, found.retention.documents, found.retention.runs) == (70, 5, 1)
    assert (found.acts, found.acts_statements, found.acts_documents) == (1, 12, 1)
    assert found.retention_since == date(2026, 9, 1)
    assert found.requests_since == date(2022, 1, 20)


def test_a_year_that_is_to_come_is_refused(store: Store) -> None:
    with pytest.raises(BadRequest):
        figures(store).of(2028)


def test_the_command_says_what_is_not_counted_any_more(container: Container) -> None:
    this = datetime.now(UTC).year

    def said(year: int) -> str:
        given = ["figures", "--year", str(year)]
        answer = CliRunner().invoke(requests.request, given, obj=container, env={"COLUMNS": "200"})
        assert answer.exit_code == 0, answer.output
        return answer.output

    assert "removed for their age" in said(this - 6)
    container.retention.service.apply(container.platform.now_us(), dry_run=False)
    now = said(this)
    assert "removed for their age" not in now
    assert "Runs of retention are on record since" in now
    assert "; 1 run," in now
    assert "Breaches are not counted here" in now
