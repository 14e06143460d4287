"""The register on the pages of the data protection officer: a form from its schema, preview, versions, the end."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from html import unescape
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import orjson
import pytest

from app.access.roles import Role
from app.core import contracts
from app.core.errors import Fault
from app.governance.audit.log import ACTIVITY_ADDED
from app.retention.certificate_store import CertificateRepository
from app.web.portal.dpo.register import RegisterPages, _fields
from app.web.portal.dpo.schema_form import Node, SchemaForm, differences
from app.web.portal.forms import Form
from tests.places import ROOT
from tests.served import Server, serving, statement
from tests.web.portal.signed_in import SignedIn, signed_in

HOSTILE = "<script>alert('x')</script>&\"{{ 7*7 }}"
EXAMPLES = sorted((ROOT / "docs" / "examples" / "processing-activities").glob("*.json"))
SCHEMA = SchemaForm(contracts.load("sillage", "processing-activity.schema.json"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("register"), mongodb_uri, workers="2") as server:
        yield server


@pytest.fixture(scope="module")
def dpo(site: Server) -> SignedIn:
    return signed_in(site, Role.DPO)


def example(**changes: Any) -> dict[str, Any]:
    return {**orjson.loads(EXAMPLES[0].read_bytes()), "id": f"e-{uuid4().hex[:8]}", **changes}


def sent(document: dict[str, Any], step: str, base: int | None = None) -> dict[str, str]:
    """The fields of a form that says a document, the button that was pressed, and the version that it was made from."""
    seen = {} if base is None else {"base": str(base)}
    return {**dict(_fields(document)), "step": step, "once": uuid4().hex, **seen}


def added(visitor: SignedIn, **changes: Any) -> str:
    document = example(**changes)
    assert visitor.post("/en/dpo/register/new", sent(document, "save")).status_code == 303
    return str(document["id"])


# --- the form alone ------------------------------------------------------------------------------------------


def leaves(nodes: Any) -> Iterator[Node]:
    for node in nodes:
        if node.children:
            yield from leaves(node.children)
        elif node.kind != "list":
            yield node


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_a_form_says_the_document_that_it_was_filled_with(file: Any) -> None:
    document = orjson.loads(file.read_bytes())
    pairs = [(node.pointer, node.value) for node in leaves(SCHEMA.nodes(document))]
    assert SCHEMA.document(Form(pairs)) == document
    assert SCHEMA.document(Form(_fields(document))) == document
    assert differences(document, document) == []


def test_each_field_has_the_help_of_the_schema_in_both_languages() -> None:
    nodes = {node.pointer: node for node in SCHEMA.nodes({})}
    assert nodes["/purposes"].help == {"en": "What the data are for.", "fr": "Les finalités."}
    assert nodes["/dpo"].help["fr"].startswith("Le délégué")
    assert nodes["/review_by"].kind == "day" and not nodes["/review_by"].required
    assert all(node.help for pointer, node in nodes.items())


def test_lists_have_an_empty_item_and_lose_those_that_are_left_empty() -> None:
    one = {"purposes": [{"fr": "a", "en": "b"}]}
    (purposes,) = (node for node in SCHEMA.nodes(one, more="/purposes") if node.name == "purposes")
    assert [child.number for child in purposes.children] == [1, 2, 3]
    fields = [("/purposes/10/fr", "d"), ("/purposes/0/fr", ""), ("/purposes/1/fr", "c"), ("/purposes/2/x", "e")]
    places = ("x", "-1", "01", "\u0661", "9" * 100, "")
    hostile = [(f"/purposes/{place}/fr", "hostile") for place in places]
    assert SCHEMA.document(Form([*fields, *hostile]))["purposes"] == [{"fr": "c"}, {"fr": "d"}]
    many = {"purposes": [{"fr": f"a{place}", "en": "b"} for place in range(100)]}
    (purposes,) = (node for node in SCHEMA.nodes(many) if node.name == "purposes")
    assert len(purposes.children) == 101
    pairs = [(node.pointer, node.value) for node in leaves(SCHEMA.nodes(many))]
    assert SCHEMA.document(Form(pairs))["purposes"] == many["purposes"]


def test_a_fault_stands_at_its_field_and_what_has_none_is_told_apart() -> None:
    faults = [Fault("/purposes/0/fr", "required", "", "is missing"), Fault("/elsewhere", "x", "", "x")]
    found = [node for node in leaves(SCHEMA.nodes({"purposes": [{}]}, faults)) if node.faults]
    assert [node.pointer for node in found] == ["/purposes/0/fr"]
    assert SCHEMA.beyond(faults) == faults[1:]


def test_differences_are_told_place_by_place() -> None:
    assert differences({"a": [1, 2], "b": {"c": 1}}, {"a": [1], "b": {"c": 2}, "d": True}) == [
        ("/a/1", 2, None),
        ("/b/c", 1, 2),
        ("/d", None, True),
    ]


# --- the pages -----------------------------------------------------------------------------------------------


def test_an_entry_is_previewed_then_added_and_its_versions_are_kept(site: Server, dpo: SignedIn) -> None:
    document = example()
    page = dpo.post("/fr/dpo/register/new", sent(document, "preview"))
    assert page.status_code == 200 and "Rien n’est encore ajouté." in unescape(page.text)
    assert site.container.governance.register.history(document["id"]) == ()
    assert dpo.post("/fr/dpo/register/new", sent(document, "save")).headers["Location"] == (
        f"/fr/dpo/register/{document['id']}"
    )
    (version,) = site.container.governance.register.history(document["id"])
    assert version.document == document
    entry = site.container.governance.audit.newest((ACTIVITY_ADDED,), None, 1)[0]
    assert entry.actor == dpo.user.id and entry.detail["activity"] == document["id"]
    changed = {**document, "minors": not document["minors"]}
    path = f"/fr/dpo/register/{document['id']}/edit"
    page = dpo.post(path, sent(changed, "preview", 1))
    assert "1\u00a0changement" in page.text and "Mineurs" in page.text
    assert dpo.post(path, sent(changed, "save", 1)).status_code == 303
    # The same again changes nothing, and the page says so.
    assert "Rien ne change." in dpo.post(path, sent(changed, "preview", 2)).text
    assert dpo.post(path, sent(changed, "save", 2)).status_code == 303
    assert [each.version for each in site.container.governance.register.history(document["id"])] == [1, 2]
    page = dpo.get(f"/fr/dpo/register/{document['id']}").text
    assert page.count("Remplacée") == 1 and "Versions" in page


def test_faults_are_beside_their_fields_in_words(dpo: SignedIn) -> None:
    document = example(id="No Name", purposes=[], review_by="2020-01-01", retention={"active_days": 0})
    document["legal_basis"] = {**document["legal_basis"], "article": "6.1.a"}
    page = unescape(dpo.post("/fr/dpo/register/new", sent(document, "preview")).text)
    faults = dict(re.findall(r'id="(f-[\w-]+)-fault1">([^<(]+)', page))
    assert {"f-id", "f-purposes", "f-legal_basis-article", "f-retention-active_days"} <= set(faults)
    assert faults["f-purposes"].strip() == "Donnez-en au moins un."
    assert "trop petit" in faults["f-retention-active_days"] and "consentement" in faults["f-legal_basis-article"]
    assert {"f-retention-justification-fr", "f-retention-basis"} <= set(faults) or "f-retention-justification" in faults
    assert 'aria-invalid="true"' in page and "must" not in page


def test_an_empty_form_tells_what_is_missing_and_adds_nothing(site: Server, dpo: SignedIn) -> None:
    before = len(site.container.governance.register.list())
    for step in ("preview", "save"):
        page = dpo.post("/en/dpo/register/new", {"step": step, "once": uuid4().hex})
        assert page.status_code == 422 and "nothing was added" in page.text
    assert len(site.container.governance.register.list()) == before


def test_a_new_entry_takes_no_name_that_another_has(site: Server, dpo: SignedIn) -> None:
    id = added(dpo)
    page = dpo.post("/en/dpo/register/new", sent(example(id=id, minors=False), "save"))
    assert page.status_code == 422 and "There is an entry of that name already." in page.text
    assert len(site.container.governance.register.history(id)) == 1
    # Nor does a change rename: the id is that of the address.
    other = f"e-{uuid4().hex[:8]}"
    assert dpo.post(f"/en/dpo/register/{id}/edit", sent(example(id=other), "save", 1)).status_code == 303
    assert site.container.governance.register.history(other) == ()


def test_a_version_takes_the_place_of_none_that_was_not_seen(site: Server, dpo: SignedIn) -> None:
    history = site.container.governance.register.history
    id = added(dpo, minors=False)
    path = f"/en/dpo/register/{id}/edit"
    assert 'name="base" value="1"' in dpo.get(path).text
    theirs = {**history(id)[-1].document, "minors": True}
    mine = {**history(id)[-1].document, "review_by": "2090-01-01"}
    assert 'name="base" value="1"' in dpo.post(path, sent(mine, "preview", 1)).text
    assert dpo.post(path, sent(theirs, "save", 1)).status_code == 303
    for step in ("preview", "save"):
        page = dpo.post(path, sent(mine, step, 1))
        assert page.status_code == 422 and "Somebody added a version meanwhile" in page.text
        # What was entered stands there, on the version that is seen next.
        assert "2090-01-01" in page.text and 'name="base" value="2"' in page.text
    for step in ("add:/purposes", "again"):
        assert 'name="base" value="1"' in dpo.post(path, sent(mine, step, 1)).text
    for none in ("", "x", "-1", "0", "3", "9" * 30):
        assert dpo.post(path, {**sent(mine, "save"), "base": none}).status_code == 422
    assert [each.document for each in history(id)][1:] == [theirs]
    page = dpo.post(path, sent(mine, "preview", 2)).text
    assert "2 changes" in page and "Minors" in page
    whole = sent(mine, "save", 2)
    # A button that is pressed twice is no fault.
    assert [dpo.post(path, whole).status_code for _ in range(2)] == [303, 303]
    assert len(history(id)) == 3


def test_one_more_item_and_changing_again_keep_what_was_entered(dpo: SignedIn) -> None:
    document = example()
    page = unescape(dpo.post("/en/dpo/register/new", sent(document, "add:/purposes")).text)
    count = len(document["purposes"])
    assert f'name="/purposes/{count + 1}/fr"' in page and document["purposes"][0]["fr"] in page
    page = unescape(dpo.post("/en/dpo/register/new", sent(document, "again")).text)
    assert document["security"]["fr"] in page and "nothing was added" not in page


def test_a_long_entry_keeps_all_its_items(site: Server, dpo: SignedIn) -> None:
    lists = {
        name: [{"fr": f"{name} {place}", "en": f"{name} {place}"} for place in range(150)]
        for name in ("purposes", "data_categories", "recipients")
    }
    id = added(dpo, minors=False, **lists)
    page = dpo.get(f"/en/dpo/register/{id}/edit").text
    assert all(f'name="/{name}/150/fr"' in page for name in lists)
    document = site.container.governance.register.history(id)[-1].document
    assert {name: document[name] for name in lists} == lists


def test_hostile_words_stay_words(site: Server, dpo: SignedIn) -> None:
    text = {"fr": HOSTILE, "en": HOSTILE}
    party = {"name": HOSTILE, "contact": HOSTILE}
    changes = {"name": text, "controller": party, "dpo": party, "purposes": [text], "security": text}
    id = added(dpo, **changes)
    for page in (f"/en/dpo/register/{id}", "/en/dpo/register", f"/en/dpo/register/{id}/edit", "/en/dpo/recipients"):
        shown = dpo.get(page).text
        assert "<script" not in shown and "&lt;script&gt;" in shown and "{{ 7*7 }}" in unescape(shown)
    page = dpo.post("/en/dpo/register/new", {"/id": HOSTILE, "/name/fr": HOSTILE, "step": "preview"}).text
    assert "<script" not in page


def test_a_shorter_duration_says_what_it_makes_due(site: Server, dpo: SignedIn) -> None:
    id = added(dpo, minors=False, retention={**example()["retention"], "active_days": 400, "basis": "stored"})
    site.post(site.source(activity=id), statement())
    document = dict(site.container.governance.register.get(id).document)
    shorter = {**document, "retention": {**document["retention"], "active_days": 1}}
    page = dpo.post(f"/en/dpo/register/{id}/edit", sent(shorter, "preview", 1)).text
    assert "The duration gets shorter: 0 traces would be due." in page
    longer = {**document, "retention": {**document["retention"], "active_days": 800}}
    assert "gets shorter" not in dpo.post(f"/en/dpo/register/{id}/edit", sent(longer, "preview", 1)).text


def test_a_button_pressed_many_times_adds_one_version(site: Server, dpo: SignedIn) -> None:
    document, token = example(), dpo.form_token()
    fields = sent(document, "save")
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(dpo.post("/en/dpo/register/new", fields, token=token).status_code)
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [303] * 6
    assert len(site.container.governance.register.history(document["id"])) == 1
    assert dpo.post("/en/dpo/register/new", {**fields, "once": ""}, token=token).status_code == 403


def test_an_entry_ends_with_a_certificate(site: Server, dpo: SignedIn) -> None:
    id = added(dpo, minors=False)
    credential = site.source(activity=id)
    path = f"/fr/dpo/register/{id}/end"
    once = re.search(r'name="once" value="(\w+)"', dpo.get(path).text)
    assert once is not None
    today = site.container.platform.today().isoformat()
    whole = {"on": today, "word": "Le recteur", "reason": "fin du contrat", "sure": "yes", "once": once[1]}
    for lacking in ("on", "word", "reason", "sure"):
        page = dpo.post(path, {name: text for name, text in whole.items() if name != lacking})
        assert page.status_code == 422 and f'id="fault-{lacking}"' in page.text
    for day in ("2026-02-31", "2027-W01-1"):
        assert dpo.post(path, {**whole, "on": day}).status_code == 422
    # A certificate names no person.
    assert dpo.post(path, {**whole, "reason": "asked by a@b.example"}).status_code == 400
    assert site.post(credential, statement()).status_code == 200
    assert dpo.post(path, whole).status_code == 303
    assert dpo.post(path, whole).status_code == 303
    assert site.post(credential, statement()).status_code in {401, 403}
    acts = site.container.retention.certificates.newest(10, activity=id)
    assert sorted(act.kind for act in acts) == ["activity-ended", "source-closed"]
    page = dpo.get(f"/fr/dpo/register/{id}").text
    assert "Elle a pris fin" in page
    for act in acts:
        assert "Le recteur" in dpo.get(f"/fr/dpo/certificates/{act.id}").text
        assert dpo.get(f"/fr/dpo/certificates/{act.id}/file").content == act.document


def test_the_list_asks_once_for_all_ends(site: Server, dpo: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    governance, retention = site.container.governance, site.container.retention
    asked: list[int] = []
    real = CertificateRepository.ends
    monkeypatch.setattr(CertificateRepository, "ends", lambda self: asked.append(1) or real(self))
    added(dpo)
    pages = RegisterPages(
        SimpleNamespace(render=lambda *_, **content: content),
        governance.register,
        retention.service,
        retention.contracts,
        retention.certificates,
    )
    shown = pages.register(None)
    assert len(shown["entries"]) > 1 and asked == [1]


@pytest.mark.parametrize("id", ["nothing", "x" * 300, "..%2F", "%3Cscript%3E"])
def test_what_is_not_there_is_not_found(dpo: SignedIn, id: str) -> None:
    for act in ("", "/edit", "/end"):
        assert dpo.get(f"/en/dpo/register/{id}{act}").status_code == 404
