"""Requests on the pages of the data protection officer: from opening one to the receipt, without a shell."""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
import requests

from app.access.perimeters import Perimeter
from app.access.roles import Grant, Role
from app.crypto import signing
from app.governance.audit.log import (
    OUTSIDE_PERIMETER,
    PERSON_ACCESS_STARTED,
    PERSON_FOUND,
    REQUEST_OPENED,
    REQUEST_READ,
)
from app.people.finding.finder import data_subject_of
from app.people.requests.steps import KINDS
from tests.served import Server, serving, statement
from tests.web.portal.signed_in import SignedIn, signed_in
from tests.web.portal.signed_table import TABLE

HOSTILE = "<script>alert('x')</script>&\"{{ 7*7 }}"
HOME = "https://ent.example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("dpo"), mongodb_uri, workers="2") as server:
        yield server


@pytest.fixture(scope="module")
def dpo(site: Server) -> SignedIn:
    return signed_in(site, Role.DPO, purpose="rights-request")


def pupil(site: Server) -> str:
    """A pupil of whom there is a statement; their account."""
    name = f"eleve-{uuid4().hex[:8]}"
    stored = statement(actor={"account": {"homePage": HOME, "name": name}})
    assert site.post(site.source(), stored).status_code == 200
    return name


def fields(page: requests.Response) -> str:
    """The id of the form of a page that takes effect once."""
    found = re.search(r'name="once" value="([0-9a-f]{32})"', page.text)
    assert found is not None
    return found[1]


def opened(dpo: SignedIn, kind: str, name: str, **more: str) -> str:
    """A request that was opened by the page; its id."""
    once = fields(dpo.get("/en/dpo/requests/open"))
    answer = dpo.post("/en/dpo/requests/open", {"kind": kind, "home1": HOME, "name1": name, "once": once, **more})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"].rpartition("/")[2])


def identified(dpo: SignedIn, kind: str, name: str) -> str:
    id = opened(dpo, kind, name)
    assert dpo.post(f"/en/dpo/requests/{id}", {"act": "identify", "note": "called back"}).status_code == 303
    return id


def steps(site: Server, id: str) -> list[str]:
    return [step.what for step in site.container.people.requests.show(id, actor="cli:test").steps]


def test_from_opening_to_the_receipt_of_an_access_request(site: Server, dpo: SignedIn) -> None:
    name = pupil(site)
    id = opened(dpo, "access", name, note="letter of the parents")
    # Nothing is done before it is known who asks.
    assert dpo.post(f"/fr/dpo/requests/{id}", {"act": "find"}).status_code == 409
    assert dpo.post(f"/fr/dpo/requests/{id}/export").status_code == 409
    assert dpo.post(f"/fr/dpo/requests/{id}", {"act": "identify", "note": "seen"}).status_code == 303
    page = dpo.post(f"/fr/dpo/requests/{id}", {"act": "find"})
    assert "traces de la personne\u00a0: 1" in page.text
    answer = dpo.post(f"/fr/dpo/requests/{id}/export")
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert f'filename="{id}.zip"' in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as package:
        assert "index.fr.html" in package.namelist()
        assert name in package.read("statements/own-00001.json").decode()
    assert dpo.post(f"/fr/dpo/requests/{id}/close", {"note": "handed over at the school"}).status_code == 303
    receipt = dpo.get(f"/fr/dpo/requests/{id}/receipt")
    assert receipt.status_code == 200
    text = unescape(receipt.text)
    assert "Dossier d’accès remis" in text and "handed over at the school" in text and "CNIL" in text
    assert name not in text
    article = text.partition("<article")[2].partition("</article>")[0]
    assert dpo.user.name not in article and dpo.user.id not in article
    assert steps(site, id) == ["opened", "identified", "found", "package-written", "done"]
    # On record with who and why.
    entries = site.container.governance.audit.newest((REQUEST_OPENED, PERSON_ACCESS_STARTED, REQUEST_READ), None, 100)
    about = [entry for entry in entries if entry.detail.get("case") == id and entry.actor == dpo.user.id]
    assert {entry.kind for entry in about} == {REQUEST_OPENED, PERSON_ACCESS_STARTED, REQUEST_READ}
    assert all(entry.detail["purpose"] == "rights-request" for entry in about)


def test_identifiers_are_shown_when_they_are_asked_for_alone(site: Server, dpo: SignedIn) -> None:
    name = pupil(site)
    id = opened(dpo, "access", name)
    assert name not in dpo.get(f"/en/dpo/requests/{id}").text
    assert name not in dpo.get("/en/dpo/requests").text
    assert name in dpo.post(f"/en/dpo/requests/{id}", {"act": "identifiers"}).text


def test_an_erasure_goes_from_its_own_page_to_a_signed_receipt(site: Server, dpo: SignedIn) -> None:
    name = pupil(site)
    id = identified(dpo, "erasure", name)
    page = dpo.get(f"/fr/dpo/requests/{id}/erase")
    assert "traces de la personne\u00a0: 1" in page.text
    # Looking takes no step, but is on record as a look at the data.
    assert dpo.get(f"/fr/dpo/requests/{id}/erase").status_code == 200
    assert steps(site, id) == ["opened", "identified"]
    looks = site.container.governance.audit.newest((PERSON_FOUND,), None, 100)
    assert sum(entry.actor == dpo.user.id for entry in looks) >= 2
    assert dpo.post(f"/fr/dpo/requests/{id}/erase").status_code == 422
    assert site.container.people.finder.places(who(name)).own == 1
    assert dpo.post(f"/fr/dpo/requests/{id}/erase", {"sure": "yes"}).status_code == 303
    # Pressed again, it begins nothing anew.
    assert dpo.post(f"/fr/dpo/requests/{id}/erase", {"sure": "yes"}).status_code == 303
    assert "Les clés ont été détruites" in unescape(dpo.get(f"/fr/dpo/requests/{id}").text)
    erasures = site.container.people.erasures
    (erasure,) = erasures.of_request(site.container.people.requests.show(id, actor="cli:test"))
    proof = f"/fr/dpo/requests/{id}/proofs/{erasure.id}"
    assert dpo.get(proof).status_code == 404
    erasures.advance(erasure.id)
    document = dpo.get(proof)
    key = site.container.keys.signer.public_key
    assert signing.verified(document.content, key).content["case"] == id
    assert dpo.get(f"/fr/dpo/requests/{uuid4().hex[:8]}/proofs/{erasure.id}").status_code == 404
    page = dpo.get(f"/en/dpo/requests/{id}")
    assert "gone with the person" in page.text and "traces: 1" in page.text
    assert dpo.post(f"/en/dpo/requests/{id}/close").status_code == 303
    assert str(erasure.id) in dpo.get(f"/en/dpo/requests/{id}/receipt").text
    # An act about somebody who is gone leads back to the request.
    assert dpo.post(f"/en/dpo/requests/{id}", {"act": "standing"}).status_code == 303


def who(name: str):
    return data_subject_of([{"account": {"homePage": HOME, "name": name}}])


def test_restriction_and_objection_are_noted_and_end(site: Server, dpo: SignedIn) -> None:
    name = pupil(site)
    id = identified(dpo, "restriction", name)
    assert dpo.post(f"/en/dpo/requests/{id}/restrict").status_code == 303
    assert dpo.post(f"/en/dpo/requests/{id}/object", {"refuse_new": "yes"}).status_code == 303
    restriction = site.container.people.restriction
    standing = restriction.standing(who(name), actor="cli:test")
    assert standing.restricted is not None and standing.objects == ("research",) and standing.refuses
    page = dpo.post(f"/en/dpo/requests/{id}", {"act": "standing"}).text
    assert "since " in page and "research" in page
    page = dpo.post(f"/en/dpo/requests/{id}", {"act": "recipients"}).text
    assert "No recipient is on record." in page
    assert dpo.post(f"/en/dpo/requests/{id}/close").status_code == 303
    # What ends may end after the answer; what answers is refused then.
    assert "The restriction is ended." in dpo.post(f"/en/dpo/requests/{id}", {"act": "lift"}).text
    assert "The objection is withdrawn." in dpo.post(f"/en/dpo/requests/{id}", {"act": "withdraw"}).text
    assert dpo.post(f"/en/dpo/requests/{id}/restrict").status_code == 409
    assert restriction.standing(who(name), actor="cli:test").restricted is None


def test_a_trace_is_rectified_by_a_form(site: Server, dpo: SignedIn) -> None:
    name = pupil(site)
    id = identified(dpo, "rectification", name)
    source = site.source()
    wrong = statement(actor={"account": {"homePage": HOME, "name": name}})
    (stored,) = site.post(source, wrong).json()
    right = json.dumps({**wrong, "result": {"success": True}})
    path = f"/fr/dpo/requests/{id}/rectify"
    assert dpo.post(path, {"statement": "x", "content": right}).status_code == 422
    assert dpo.post(path, {"statement": str(uuid4()), "content": right}).status_code == 404
    refused = dpo.post(path, {"statement": stored, "content": '{"actor": 1}'})
    assert refused.status_code == 400 and "<script" not in refused.text
    assert dpo.post(path, {"statement": stored, "content": right}).status_code == 303
    assert "rectified" in steps(site, id)
    assert site.container.traces.statements.get(uuid4().__class__(stored)).voided


def test_a_refusal_and_an_extension_need_a_reason(site: Server, dpo: SignedIn) -> None:
    id = opened(dpo, "portability", pupil(site))
    for act in ("extend", "refuse"):
        path = f"/fr/dpo/requests/{id}/{act}"
        assert dpo.get(path).status_code == 200
        for reason, words in (("  ", "À remplir."), ("x" * 10_001, "C’est trop long.")):
            page = dpo.post(path, {"reason": reason})
            assert page.status_code == 422 and words in unescape(page.text)
        assert dpo.post(path, {"reason": HOSTILE}).status_code == 303
    page = dpo.get(f"/fr/dpo/requests/{id}").text
    assert "<script" not in page and "&lt;script&gt;" in page and "{{ 7*7 }}" in page
    assert steps(site, id) == ["opened", "extended", "refused"]
    assert dpo.post(f"/fr/dpo/requests/{id}/refuse", {"reason": "again"}).status_code == 409


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_of_each_kind_shows_its_steps_in_both_languages(site: Server, dpo: SignedIn, kind: str) -> None:
    id = identified(dpo, kind, pupil(site))
    for language in ("fr", "en"):
        page = dpo.get(f"/{language}/dpo/requests/{id}")
        assert page.status_code == 200 and page.text.count('aria-current="step"') == 1
        assert dpo.get(f"/{language}/dpo/requests/{id}/receipt").status_code == 200


def test_a_note_that_is_too_long_is_refused_and_never_cut(site: Server, dpo: SignedIn) -> None:
    id = opened(dpo, "access", pupil(site))
    long = "x" * 10_001
    page = dpo.post(f"/en/dpo/requests/{id}", {"act": "identify", "note": long})
    assert page.status_code == 422 and "This is too long." in page.text and long in page.text
    assert steps(site, id) == ["opened"]
    assert dpo.post(f"/en/dpo/requests/{id}", {"act": "identify", "note": long[1:]}).status_code == 303
    page = dpo.post(f"/en/dpo/requests/{id}/close", {"note": long})
    assert page.status_code == 422 and "This is too long." in page.text
    assert steps(site, id) == ["opened", "identified"]


def test_faults_are_told_field_by_field_and_nothing_is_opened(site: Server, dpo: SignedIn) -> None:
    before = site.container.people.requests.standing().pending
    wanted = [
        ({}, {"kind", "who"}),
        ({"kind": "access"}, {"who"}),
        ({"kind": "access", "home1": HOME}, {"name1"}),
        ({"kind": "access", "home1": HOSTILE, "name1": HOSTILE}, {"home1"}),
        ({"kind": "access", "mbox": HOSTILE}, {"mbox"}),
        ({"kind": "access", "agents": HOSTILE}, {"agents"}),
        ({"kind": "access", "agents": '[{"objectType": "Group", "member": []}]'}, {"agents"}),
        ({"kind": HOSTILE, "mbox": "a@b.example"}, {"kind"}),
        ({"kind": "access", "mbox": "a@b.example", "received": HOSTILE}, {"received"}),
        ({"kind": "access", "mbox": "a@b.example", "note": "x" * 10_001}, {"note"}),
        ({"kind": "access", "mbox": "\n".join(f"a{n}@b.example" for n in range(30))}, {"who"}),
    ]
    for sent, faults in wanted:
        page = dpo.post("/en/dpo/requests/open", sent)
        assert page.status_code == 422, sent
        assert set(re.findall(r'id="fault-(\w+)"', page.text)) == faults, sent
        assert "<script" not in page.text
    once = {"once": fields(dpo.get("/en/dpo/requests/open"))}
    for day in ("2999-01-01", "1999-01-01", "2026-02-31", "0001-01-01", "9999-12-31", "2026-W01-1"):
        sent = {"kind": "access", "mbox": "a@b.example", "received": day, **once}
        assert dpo.post("/en/dpo/requests/open", sent).status_code == 422
    assert site.container.people.requests.standing().pending == before


def test_nobody_stands_in_an_address_or_the_log_of_the_server(site: Server, dpo: SignedIn) -> None:
    name = pupil(site)
    id = identified(dpo, "access", name)
    for act in ("find", "recipients", "standing", "identifiers"):
        page = dpo.post(f"/en/dpo/requests/{id}", {"act": act})
        assert not any(name in address for address in re.findall(r'(?:href|action|src)="([^"]*)"', page.text))
    assert name not in site.log.read_text()


def test_a_button_that_is_pressed_many_times_opens_one_request(site: Server, dpo: SignedIn) -> None:
    name = pupil(site)
    once, token = fields(dpo.get("/en/dpo/requests/open")), dpo.form_token()
    sent = {"kind": "access", "home1": HOME, "name1": name, "once": once}
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(dpo.post("/en/dpo/requests/open", sent, token=token).status_code)
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [303] * 8
    assert site.container.people.finder.places(who(name))["cases"] == 1
    # What came to nothing may be sent again; a form without its id is no form of a page.
    assert dpo.post("/en/dpo/requests/open", {**sent, "once": ""}).status_code == 403


def test_steps_taken_at_once_are_taken_once(site: Server, dpo: SignedIn) -> None:
    id = opened(dpo, "access", pupil(site))
    token = dpo.form_token()
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(
                dpo.post(f"/en/dpo/requests/{id}", {"act": "identify"}, token=token).status_code
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303, 409, 409, 409]
    assert steps(site, id) == ["opened", "identified"]


@pytest.mark.parametrize("id", ["r-000000000000", "r-%00", "x", "..%2F..", "r-" + "0" * 300])
def test_what_is_not_there_is_not_found(dpo: SignedIn, id: str) -> None:
    for path in ("", "/receipt", "/erase", "/refuse", f"/proofs/{uuid4()}", "/nothing"):
        assert dpo.get(f"/en/dpo/requests/{id}{path}").status_code in {404, 400}
    assert dpo.post(f"/en/dpo/requests/{id}", {"act": "find"}).status_code in {404, 400}
    assert dpo.post(f"/en/dpo/requests/{id}", {"act": "dance"}).status_code == 400


def test_a_purpose_is_asked_for_before_a_request_is_shown(site: Server, dpo: SignedIn) -> None:
    id = opened(dpo, "access", pupil(site), note="letter of the parents")
    other = signed_in(site, Role.DPO, purpose=None)
    page = other.get(f"/en/dpo/requests/{id}")
    assert "What do you read these data for?" in page.text and "letter" not in page.text
    answer = other.post(f"/en/dpo/requests/{id}", {"act": "identifiers"})
    assert f'value="/en/dpo/requests/{id}"' in answer.text
    # Of what is in the list, and of today, nobody is named: no purpose is asked for.
    assert id in other.get("/en/dpo/requests").text
    assert id in other.get("/en/dpo").text


def test_the_answer_late_is_told_and_the_navigation_counts_what_waits(site: Server, dpo: SignedIn) -> None:
    today = site.container.platform.today()
    id = opened(dpo, "access", pupil(site), received=(today - timedelta(days=60)).isoformat())
    page = dpo.get("/en/dpo").text
    assert f"Check who makes access request {id}" in page
    pending = site.container.people.requests.standing().pending
    assert f'<span class="count">{pending}<' in page
    page = dpo.get(f"/en/dpo/requests/{id}").text
    assert "days late" in page.lower() and "cannot be extended any more" in page
    assert dpo.post(f"/en/dpo/requests/{id}/extend", {"reason": "late"}).status_code == 409


def test_whoever_has_no_part_in_it_gets_nothing(site: Server, dpo: SignedIn) -> None:
    id = opened(dpo, "access", pupil(site))
    for role in set(Role) - {Role.DPO}:
        visitor = signed_in(site, role, purpose="audit")
        assert visitor.get(f"/en/dpo/requests/{id}").status_code == 403
        assert visitor.post(f"/en/dpo/requests/{id}/export").status_code == 403


def test_a_role_with_limits_opens_none_of_what_tells_of_the_whole_store(site: Server, dpo: SignedIn) -> None:
    bounded = signed_in(site, Grant(Role.DPO, Perimeter(activities=frozenset({"p2ia"}))), purpose="audit")
    for row in TABLE:
        if row.roles == (Role.DPO,):
            path = f"/en/{row.path}"
            answer = bounded.get(path) if row.fields is None else bounded.post(path, row.fields)
            assert answer.status_code == 403 and "outside-perimeter" in answer.text, row
    entry = site.container.governance.audit.newest((OUTSIDE_PERIMETER,), None, 1)[0]
    assert entry.actor == bounded.user.id
    # Of two, one without limits is enough.
    both = signed_in(site, Grant(Role.DPO, Perimeter(activities=frozenset({"p2ia"}))), Grant(Role.DPO))
    assert both.get("/en/dpo").status_code == 200
