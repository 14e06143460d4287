"""The audit log on the pages of the data protection officer, in sentences; recipients; the figures of a year."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from app.access.roles import Role
from app.governance.audit.log import AUDIT_READ, KINDS, RECIPIENTS_READ, Page
from app.governance.audit.store import Entry
from app.web.portal.dpo import audit
from app.web.portal.dpo.audit import GROUPS, PAGE, AuditPages
from app.web.portal.frame import TEMPLATES
from tests.served import Server, serving, statement
from tests.web.portal.signed_in import SignedIn, signed_in

HOSTILE = "<script>alert('x')</script>&\"{{ 7*7 }}"
HOME = "https://ent.example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("audit"), mongodb_uri, workers="1") as server:
        yield server


@pytest.fixture(scope="module")
def dpo(site: Server) -> SignedIn:
    return signed_in(site, Role.DPO)


def read(site: Server, times: int = 1) -> tuple[str, str]:
    """A pupil whose traces were read by a key; the pupil's account, and the id of the key."""
    name = f"eleve-{uuid4().hex[:8]}"
    agent = {"account": {"homePage": HOME, "name": name}}
    site.post(site.source(), statement(actor=agent))
    reader = site.credential("statements/read")
    for _ in range(times):
        assert site.get(reader, agent=json.dumps(agent)).status_code == 200
    return name, reader.id


def test_every_kind_of_entry_has_a_sentence_and_groups_know_no_others() -> None:
    source = (TEMPLATES / "dpo" / "sentences.html").read_text()
    assert set(re.findall(r'^    "([\w-]+)": _\(', source, re.M)) == KINDS
    assert {kind for kinds in GROUPS.values() for kind in kinds} <= KINDS


def test_who_read_the_data_of_a_person_and_why_in_both_languages(site: Server, dpo: SignedIn) -> None:
    name, _ = read(site)
    _, other = read(site)
    about = {"home1": HOME, "name1": name, "group": "readings"}
    page = dpo.post("/en/dpo/audit", about)
    assert page.status_code == 200
    text = unescape(page.text)
    assert "Traces were read by test." in text and "1 entry on this page" in text
    text = unescape(dpo.post("/fr/dpo/audit", about).text)
    assert "Des traces ont été lues par test." in text
    # The person stands in the form that goes on with the question, and in no address.
    assert not any(name in address for address in re.findall(r'(?:href|action)="([^"]*)"', page.text))
    assert name not in site.log.read_text()
    page = dpo.post("/en/dpo/audit", {"actor": other})
    assert page.text.count("Traces were read by") == 1
    assert dpo.post("/en/dpo/audit", {"kind": "statements-read"}).text.count("Traces were read by") >= 2


def test_a_search_is_itself_on_record_and_the_form_alone_reads_nothing(site: Server, dpo: SignedIn) -> None:
    def searches() -> int:
        return sum(
            entry.actor == dpo.user.id for entry in site.container.governance.audit.newest((AUDIT_READ,), None, 1_000)
        )

    before = searches()
    assert dpo.get("/en/dpo/audit").status_code == 200
    assert searches() == before
    dpo.post("/en/dpo/audit", {"group": "readings"})
    assert searches() == before + 1
    entry = site.container.governance.audit.newest((AUDIT_READ,), None, 1)[0]
    assert entry.detail["purpose"] == "audit"
    assert "This log was read by" in dpo.post("/en/dpo/audit", {"group": "log"}).text


def test_pages_go_on_where_they_ended(site: Server, dpo: SignedIn) -> None:
    name, _ = read(site, times=PAGE + 3)
    wanted = {"home1": HOME, "name1": name, "group": "readings"}
    first = dpo.post("/en/dpo/audit", wanted).text
    assert first.count("Traces were read by") == PAGE
    cursor = re.search(r'name="cursor" value="([^"]+)"', first)
    assert cursor is not None
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', first))
    rest = dpo.post("/en/dpo/audit", {**{key: unescape(value) for key, value in hidden.items() if key != "token"}}).text
    assert rest.count("Traces were read by") == 3 and 'name="cursor"' not in rest
    # Of another question, the cursor opens nothing.
    page = dpo.post("/en/dpo/audit", {"group": "log", "cursor": unescape(cursor[1])})
    assert page.status_code == 422 and 'role="alert"' in page.text and "is of another question" in page.text
    assert "All of them as a file (CSV, the newest 10,000 at most)" in first
    answer = dpo.post("/en/dpo/audit", {**wanted, "step": "csv"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(lines) == PAGE + 3 and {line["kind"] for line in lines} == {"statements-read"}
    assert name not in answer.text


@pytest.mark.parametrize(("held", "cut"), [(3, False), (4, False), (5, True)])
def test_a_file_that_is_cut_says_so(monkeypatch: pytest.MonkeyPatch, held: int, cut: bool) -> None:
    monkeypatch.setattr(audit, "MAX_FILE", 4)
    monkeypatch.setattr(audit, "_AT_ONCE", 2)
    entries = [Entry("chain", n, n, AUDIT_READ, "cli:test", {}, bytes(32), bytes(32)) for n in range(held)]

    def find(wanted: Any, cursor: str | None, limit: int, *, who: str) -> Page:
        end = int(cursor or 0) + limit
        return Page(entries[end - limit : end], str(end) if end < held else None)

    desk = SimpleNamespace(called=lambda: lambda actor: actor)
    pages = AuditPages(desk, SimpleNamespace(find=find), None, None, None)  # type: ignore[arg-type] # stand-ins
    content = pages._file(SimpleNamespace(actor="u", language="en"), None).get_data(as_text=True)  # type: ignore[arg-type]
    lines = list(csv.DictReader(io.StringIO(content)))
    assert len(lines) == (5 if cut else held)
    assert ("The file ends after 4 entries" in lines[-1]["detail"]) is cut


def test_a_time_bounds_what_is_found(site: Server, dpo: SignedIn) -> None:
    read(site)
    today = site.container.platform.today()
    tomorrow, yesterday = ((today + timedelta(days=each)).isoformat() for each in (1, -1))
    assert "No entry is as asked." in dpo.post("/en/dpo/audit", {"since": tomorrow}).text
    assert "No entry is as asked." in dpo.post("/en/dpo/audit", {"until": yesterday}).text
    assert "No entry" not in dpo.post("/en/dpo/audit", {"since": yesterday, "until": today.isoformat()}).text


@pytest.mark.parametrize("field", ["since", "until", "group", "kind", "home1", "name1", "mbox", "agents", "openid"])
def test_hostile_questions_are_refused_and_stay_text(dpo: SignedIn, field: str) -> None:
    for path in ("/en/dpo/audit", "/fr/dpo/audit"):
        page = dpo.post(path, {field: HOSTILE})
        assert page.status_code == 422 and "<script" not in page.text
    page = dpo.post("/en/dpo/audit", {"actor": HOSTILE, "extra": HOSTILE, "cursor": ""})
    assert page.status_code == 200 and "<script" not in page.text and "&lt;script&gt;" in page.text
    assert dpo.post("/en/dpo/audit", {"cursor": HOSTILE}).status_code == 422


@pytest.mark.parametrize(
    ("since", "until", "status"),
    [
        ("9999-12-31", "", 200),
        ("0001-01-01", "", 422),
        ("", "9999-12-31", 422),
        ("", "0001-01-01", 422),
        ("2027-W01-1", "", 422),
    ],
)
def test_the_ends_of_the_calendar_bound_nothing(dpo: SignedIn, since: str, until: str, status: int) -> None:
    for step in ("", "csv"):
        answer = dpo.post("/en/dpo/audit", {"since": since, "until": until, "group": "log", "step": step})
        assert answer.status_code == status


def test_hostile_names_of_those_who_read_stay_text(site: Server, dpo: SignedIn) -> None:
    issue = site.container.operations.sources.issue
    key = issue(source=None, label=HOSTILE[:60], scopes=["statements/read"], actor="cli:test")
    site.get(key)
    for page in (dpo.post("/en/dpo/audit", {"actor": key.id}).text, dpo.get("/en/dpo/recipients").text):
        assert "<script" not in page and "&lt;script&gt;" in page


def test_who_received_the_data_of_a_person(site: Server, dpo: SignedIn) -> None:
    name, _ = read(site)
    page = dpo.post("/fr/dpo/recipients", {"home1": HOME, "name1": name})
    assert page.status_code == 200 and "demandées pour cette personne" in page.text
    entry = site.container.governance.audit.newest((RECIPIENTS_READ,), None, 1)[0]
    assert entry.actor == dpo.user.id
    page = dpo.post("/en/dpo/recipients", {"mbox": "nobody@ent.example"})
    assert "No recipient is on record." in page.text
    for faulty in ({}, {"mbox": HOSTILE}):
        page = dpo.post("/en/dpo/recipients", faulty)
        assert page.status_code == 422 and "<script" not in page.text


def test_keys_are_told_with_their_ends(site: Server, dpo: SignedIn) -> None:
    _, reader = read(site)
    page = dpo.get("/en/dpo/recipients").text
    assert reader in page and "statements/read" in page and "no end" not in page
    # The last day itself, as the agenda says it, not the midnight after it.
    assert re.search(rf"<code>{reader}</code>.*?data-label=\"Good until\"><div>31 August \d{{4}}[ <]", page, re.S)
    assert "1 September" not in page


def test_the_figures_of_a_year(site: Server, dpo: SignedIn) -> None:
    year = site.container.platform.today().year
    page = dpo.get("/fr/dpo/year")
    assert f"Bilan annuel\u00a0: {year}" in page.text and f'/fr/dpo/year/{year - 1}"' in page.text
    assert dpo.get(f"/en/dpo/year/{year - 1}").status_code == 200
    lines = list(csv.DictReader(io.StringIO(dpo.get(f"/en/dpo/year/{year}/figures.csv").text)))
    assert [line["kind"] for line in lines][-1] == "all" and len(lines) == 7
    for wrong in (year + 1, 0, 1999, 10_000, "9" * 40, "x"):
        assert dpo.get(f"/en/dpo/year/{wrong}").status_code == 404
        assert dpo.get(f"/en/dpo/year/{wrong}/figures.csv").status_code == 404
