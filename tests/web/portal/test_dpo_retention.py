"""Retention on the pages of the data protection officer: what is kept, the chart by age, deletion on the word."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
import requests

from app.access.roles import Role
from app.core import clock
from app.governance.audit.log import RETENTION_APPLIED
from app.retention.service import DAY_US, Retention
from app.web.portal.dpo.ages import KEPT_SECONDS
from app.web.portal.dpo.retention import RetentionPages
from tests.served import Server, serving, statement
from tests.web.portal.signed_in import SignedIn, signed_in

HOSTILE = "<script>alert('x')</script>&\"{{ 7*7 }}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("retention"), mongodb_uri, workers="2") as server:
        yield server


@pytest.fixture(scope="module")
def dpo(site: Server) -> SignedIn:
    return signed_in(site, Role.DPO)


def of_source(site: Server, count: int) -> str:
    """A source that has sent so many statements; its id."""
    credential = site.source()
    site.post(credential, [statement() for _ in range(count)])
    source = site.container.access.sources_repository.credential(credential.id)
    assert source is not None and source.source is not None
    return source.source


def test_what_is_kept_is_told_with_the_last_run(site: Server, dpo: SignedIn) -> None:
    source = of_source(site, 3)
    assert "No run is on record yet." in dpo.get("/en/dpo/retention").text
    site.container.retention.service.apply(clock.now_us(), dry_run=False)
    page = dpo.get("/en/dpo/retention").text
    assert "the job “retention”" in page and source in page and "Up to date" in page
    assert "aucune raison" not in dpo.get("/fr/dpo/retention").text


def test_the_proof_of_a_source_is_shown_however_many_others_have_since(site: Server, dpo: SignedIn) -> None:
    old, new = of_source(site, 1), of_source(site, 1)
    append = site.container.governance.audit.append
    for deleted in (4_141, 4_242):
        append(RETENTION_APPLIED, "job:retention", {"source": old, "deleted": deleted})
    for _ in range(1_001):
        append(RETENTION_APPLIED, "job:retention", {"source": new, "deleted": 4_343})
    page = dpo.get("/en/dpo/retention").text
    assert "4,242 deleted on" in page and "4,343 deleted on" in page and "4,141 deleted on" not in page


def test_the_chart_by_age_counts_each_statement_once(site: Server, dpo: SignedIn) -> None:
    of_source(site, 5)
    now = clock.now_us()
    kept = sum(line.kept for line in site.container.retention.service.report(now))
    ages = site.container.retention.service.ages(now, [DAY_US, 2 * DAY_US])
    assert sum(map(sum, ages.values())) == kept
    assert all(counts[1:] == [0, 0] for counts in ages.values())
    # The same seen from two days later: they are older then, and none is lost at an edge.
    later = site.container.retention.service.ages(now + round(1.5 * DAY_US), [DAY_US, 2 * DAY_US])
    assert later == {id: [0, sum(counts), 0] for id, counts in ages.items()}
    answer = dpo.get("/en/dpo/retention/ages.csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    # What was counted some minutes ago is shown again.
    assert 0 < sum(int(float(line["statements"])) for line in lines) <= kept
    assert answer.headers["Cache-Control"] == "private, no-store"
    specification = dpo.get("/fr/dpo/retention/ages.vl.json").json()
    assert "vega-lite" in specification["$schema"]


def test_the_page_and_its_files_show_one_count_for_some_minutes(site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    container = site.container
    retention = container.retention
    seconds, counts = [0.0], []
    real = Retention.ages
    monkeypatch.setattr(Retention, "ages", lambda self, *given: counts.append(given) or real(self, *given))
    monkeypatch.setattr(clock, "steady", lambda: seconds[0])
    pages = RetentionPages(
        SimpleNamespace(render=lambda *_, **content: content["charts"][0]),
        retention=retention.service,
        register=container.governance.register,
        sources=container.access.sources_repository,
        audit=container.governance.audit,
        deletions=retention.deletions,
        certificates=retention.certificates,
        zone=container.platform.zone,
    )
    asked = SimpleNamespace(language="en")

    def shown() -> float:
        chart = pages.retention(asked)
        assert pages.ages_csv(asked).data == chart.csv()
        assert chart.note.encode() in pages.ages_specification(asked).data
        return sum(cell.value or 0 for cell in chart.cells)

    of_source(site, 2)
    kept = shown()
    assert kept == sum(line.kept for line in retention.service.report(clock.now_us())) and len(counts) == 1
    of_source(site, 3)
    seconds[0] = KEPT_SECONDS - 1
    assert shown() == kept and len(counts) == 1
    seconds[0] = KEPT_SECONDS
    assert shown() == kept + 3 and len(counts) == 2


def asked(dpo: SignedIn, source: str, **fields: str) -> dict[str, str]:
    once = re.search(r'name="once" value="(\w+)"', dpo.get(f"/en/dpo/retention/sources/{source}/delete").text)
    assert once is not None
    return {"word": "Le recteur", "reason": "fin du contrat", "once": once[1], **fields}


def plan_of(page: requests.Response) -> str:
    """The bounds in the form of a page that shows a plan."""
    found = re.search(r'name="planned" value="([0-9-]+)"', page.text)
    assert found is not None
    return found[1]


def test_a_deletion_is_planned_confirmed_and_leaves_a_certificate(site: Server, dpo: SignedIn) -> None:
    source = of_source(site, 4)
    path = f"/en/dpo/retention/sources/{source}/delete"
    wanted = asked(dpo, source, everything="yes")
    for lacking in ("word", "reason", "everything"):
        page = dpo.post(path, {name: text for name, text in wanted.items() if name != lacking})
        assert page.status_code == 422 and f'id="fault-{lacking}"' in page.text
    assert dpo.post(path, {**wanted, "first": "1960-01-01"}).status_code == 422
    assert dpo.post(path, {**wanted, "first": "2026-06-02", "last": "2026-05-01"}).status_code == 400
    page = dpo.post(path, wanted)
    assert page.status_code == 200 and "4 traces would go" in page.text
    planned = plan_of(page)
    assert dpo.post(path, {**wanted, "planned": planned}).status_code == 422
    kept = site.container.retention.deletions
    assert kept.plan(source).statements == 4
    sure = {**wanted, "planned": planned, "sure": "yes"}
    token = dpo.form_token()
    threads = [threading.Thread(target=lambda: dpo.post(path, sure, token=token)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.plan(source).statements == 0
    acts = [act for act in site.container.retention.certificates.newest(50) if act.source == source]
    (act,) = acts
    assert act.actor == dpo.user.id and act.word == "Le recteur" and act.counts["statements"] == 4
    page = dpo.get(f"/fr/dpo/certificates/{act.id}").text
    assert "fin du contrat" in page and dpo.user.name in page
    assert dpo.get(f"/fr/dpo/certificates/{act.id}/file").content == act.document
    assert str(act.id) in dpo.get("/fr/dpo/retention").text


def test_nothing_goes_but_what_was_counted(site: Server, dpo: SignedIn) -> None:
    source = f"source-{uuid4().hex[:8]}"
    credential = site.source(source)
    site.post(credential, [statement(), statement()])
    kept, today = site.container.retention.deletions, site.container.platform.today()
    path = f"/en/dpo/retention/sources/{source}/delete"
    few = asked(dpo, source, last=(today - timedelta(days=1)).isoformat())
    all_ = {**few, "last": "", "everything": "yes"}
    of_few, of_all = plan_of(dpo.post(path, few)), plan_of(dpo.post(path, all_))
    for planned in ("", "yes", of_few, of_all[:-1], f"{of_all}9", "x" * 100):
        page = dpo.post(path, {**all_, "planned": planned, "sure": "yes"})
        # The numbers of what is asked for now, and the tick anew.
        assert page.status_code == (422 if planned else 200) and "2 traces would go" in page.text
        assert not re.search(r'id="sure"[^>]* checked', page.text)
        assert kept.plan(source).statements == 2
    # What was stored since it was counted stays.
    site.post(credential, statement())
    assert dpo.post(path, {**all_, "planned": of_all, "sure": "yes"}).status_code == 303
    assert kept.plan(source).statements == 1


def test_only_what_was_stored_in_the_time_goes(site: Server, dpo: SignedIn) -> None:
    source = of_source(site, 2)
    today = site.container.platform.today()
    yesterday = (today - timedelta(days=1)).isoformat()
    path = f"/en/dpo/retention/sources/{source}/delete"
    wanted = asked(dpo, source, last=yesterday)
    assert "0 traces would go" in dpo.post(path, wanted).text
    wanted = asked(dpo, source, first=yesterday, last=today.isoformat())
    assert "2 traces would go" in dpo.post(path, wanted).text


def test_hostile_words_and_what_is_not_there(site: Server, dpo: SignedIn) -> None:
    source = of_source(site, 1)
    page = dpo.post(
        f"/en/dpo/retention/sources/{source}/delete",
        asked(dpo, source, word=HOSTILE, reason=HOSTILE, first=HOSTILE, last=HOSTILE),
    )
    assert page.status_code == 422 and "<script" not in page.text and "&lt;script&gt;" in page.text
    path = f"/en/dpo/retention/sources/{source}/delete"
    for name, day in (
        ("first", "0001-01-01"),
        ("last", "0001-01-01"),
        ("last", "9999-12-31"),
        ("first", "2027-W01-1"),
    ):
        page = dpo.post(path, asked(dpo, source, **{name: day}))
        assert page.status_code == 422 and f'id="fault-{name}"' in page.text
    assert dpo.post(path, asked(dpo, source, first="9999-12-31")).status_code == 400
    for path in ("sources/nothing/delete", "sources/%3Cscript%3E/delete"):
        assert dpo.get(f"/en/dpo/retention/{path}").status_code == 404
        assert dpo.post(f"/en/dpo/retention/{path}", {"everything": "yes"}).status_code == 404
