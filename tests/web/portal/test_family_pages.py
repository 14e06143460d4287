"""Pages of families: what is kept, who read it, what they ask for; another's child, erased ones, links that ended."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import orjson
import pytest
from flask import Response

from app.access import scopes
from app.access.credentials import NewCredential
from app.access.roles import Role
from app.core.errors import BadRequest
from app.governance.audit.log import OWN_DATA_READ
from app.people.family.links import MAX_LINKS
from app.people.family.record import Child
from app.people.family.store import LinkRepository
from app.people.finding.finder import data_subject_of
from app.web.portal.family import ROLES, FamilyPages
from app.web.portal.forms import Form
from app.web.portal.signed_pages import PageRequest
from app.web.subject_access import ExportAnswers
from tests.served import Server, serving, statement
from tests.web.portal.signed_in import SignedIn, signed_in

HOME = "https://ent.example"
HOSTILE = "<script>alert('x')</script>&\"{{ 7*7 }}\u202e"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("family"), mongodb_uri, workers="1") as server:
        yield server


@pytest.fixture(scope="module")
def tutor(site: Server) -> NewCredential:
    wanted = [*scopes.SOURCE_DEFAULT, scopes.LINKS]
    sources = site.container.operations.sources
    return sources.add("tutor", name="Outil de maths", activity="p2ia", scopes=wanted, actor="cli:test")[1]


def agent(name: str) -> dict[str, Any]:
    return {"objectType": "Agent", "account": {"homePage": HOME, "name": name}}


def sent(site: Server, tutor: NewCredential, name: str, *more: dict[str, Any]) -> None:
    """Have the tool send what a learner did."""
    answered = {"id": "http://adlnet.gov/expapi/verbs/answered", "display": {"en": "answered"}}
    statements = [
        statement(actor=agent(name), verb=answered, result={"success": True, "duration": "PT12S"}),
        statement(actor=agent(name)),
        *(statement(actor=agent(name), **each) for each in more),
    ]
    assert site.post(tutor, statements).status_code == 200


def code_for(site: Server, tutor: NewCredential, name: str, role: str = "guardian", **more: Any) -> dict[str, Any]:
    body = {"agents": [agent(name)], "role": role, **more}
    answer = site.send("POST", "/api/v1/learner-links", tutor, version=None, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def parent_of(site: Server, tutor: NewCredential, *names: str, called: str = "") -> tuple[SignedIn, list[str]]:
    """A parent, linked to learners by codes typed on the page; the ids of the links."""
    parent, links = signed_in(site, Role.GUARDIAN, purpose=None), []
    for name in names:
        sent(site, tutor, name)
        made = code_for(site, tutor, name)
        answer = parent.post("/fr/family/code", {"code": made["code"], "called": called})
        assert answer.status_code == 303
        links.append(str(made["link"]))
    return parent, links


def test_a_parent_sees_what_is_kept_of_their_child_in_plain_words(site: Server, tutor: NewCredential) -> None:
    parent, (link,) = parent_of(site, tutor, "eleve-17-lea", called="Léa")
    assert parent.get("/fr/family").headers["Location"] == f"/fr/family/{link}"
    page = parent.get(f"/fr/family/{link}")
    assert page.status_code == 200 and page.headers["Cache-Control"] == "private, no-store"
    text = page.text
    for said in (
        "votre enfant",
        "Léa",
        "Outil de maths",
        "2\u00a0traces de ce que votre enfant a fait",
        "a répondu",
        "juste",
    ):
        assert said in text
    assert 'class="family"' in text and "eleve-17" not in text
    english = parent.get(f"/en/family/{link}").text
    assert "your child" in english and "2 traces of what your child did" in english and "answered" in english
    (entry, *_) = site.container.governance.audit.newest((OWN_DATA_READ,))
    token = site.container.keys.organisation.subject(f"account:{HOME}|eleve-17-lea").hex()
    assert (entry.actor, entry.detail) == (
        parent.user.id,
        {"subjects": [token], "role": "guardian", "page": "kept"},
    )


def test_a_learner_is_spoken_to_as_such_and_sees_all_their_identifiers(site: Server, tutor: NewCredential) -> None:
    learner = signed_in(site, Role.LEARNER, purpose=None)
    for name in ("noe-1", "noe-2"):
        sent(site, tutor, name)
        assert (
            learner.post("/en/family/code", {"code": code_for(site, tutor, name, "learner")["code"]}).status_code == 303
        )
    place = learner.get("/en/family").headers["Location"]
    page = learner.get(place).text
    assert "What is kept about you" in page and "4 traces of what you did" in page and "your child" not in page


def test_of_several_children_one_is_chosen(site: Server, tutor: NewCredential) -> None:
    parent, links = parent_of(site, tutor, "ada", "bob")
    page = parent.get("/fr/family").text
    assert all(f"/fr/family/{link}" in page for link in links) and "Enfant 1" in page and "Enfant 2" in page


def test_nobody_sees_the_child_of_another(site: Server, tutor: NewCredential) -> None:
    parent, (link,) = parent_of(site, tutor, "mia")
    parent.post(f"/fr/family/{link}/ask/access", {"text": ""})
    (request,) = site.container.people.requests.of(data_subject_of([agent("mia")]))
    other, (own,) = parent_of(site, tutor, "tom")
    for stranger in (other, signed_in(site, Role.LEARNER, purpose=None)):
        for path in ("", "/readers", "/ask/access"):
            assert stranger.get(f"/fr/family/{link}{path}").status_code == 404
        for path in ("/ask/erasure", f"/requests/{request.id}/copy", f"/requests/{request.id}/withdraw"):
            assert stranger.post(f"/fr/family/{link}{path}", {"text": ""}).status_code == 404
    # Nor by their own link.
    assert other.post(f"/fr/family/{own}/requests/{request.id}/copy").status_code == 404
    assert request.id not in other.get("/fr/family/requests").text


def test_another_parent_of_the_same_child_does_not_see_who_asked_what(site: Server, tutor: NewCredential) -> None:
    first, (link,) = parent_of(site, tutor, "eve")
    second, (other,) = parent_of(site, tutor, "eve")
    assert first.post(f"/fr/family/{link}/ask/rectification", {"text": "Une note fausse"}).status_code == 303
    assert "Une note fausse" in first.get("/fr/family/requests").text
    assert "Une note fausse" not in second.get("/fr/family/requests").text
    (request,) = site.container.people.requests.of(data_subject_of([agent("eve")]))
    assert second.post(f"/fr/family/{other}/requests/{request.id}/copy").status_code == 404


def test_hostile_texts_stay_text(site: Server, tutor: NewCredential) -> None:
    parent = signed_in(site, Role.GUARDIAN, purpose=None)
    activity = {"id": "https://e.example/x", "definition": {"name": {"fr": HOSTILE, "en": HOSTILE}}}
    sent(site, tutor, "zoe", {"object": activity, "verb": {"id": "https://e.example/v", "display": {"fr": HOSTILE}}})
    link = code_for(site, tutor, "zoe")
    called = HOSTILE.replace("\u202e", "")[:40]
    assert parent.post("/fr/family/code", {"code": link["code"], "called": called}).status_code == 303
    parent.post(f"/fr/family/{link['link']}/ask/rectification", {"text": HOSTILE})
    parent.post("/fr/family/code", {"code": HOSTILE, "called": HOSTILE})
    for path in (f"family/{link['link']}", "family/requests", f"family/{link['link']}/ask/rectification"):
        for language in ("fr", "en"):
            page = parent.get(f"/{language}/{path}").text
            assert "<script" not in page and "&lt;script&gt;" in page and ">49<" not in page


def test_a_wrong_code_is_said_so_and_guessing_ends(site: Server, tutor: NewCredential) -> None:
    parent = signed_in(site, Role.GUARDIAN, purpose=None)
    sent(site, tutor, "ivo")
    made = code_for(site, tutor, "ivo")
    answer = parent.post("/fr/family/code", {"code": "0000-0000-0000"})
    assert answer.status_code == 422 and "Ce code n’ouvre rien" in answer.text and 'aria-invalid="true"' in answer.text
    for _ in range(9):
        parent.post("/fr/family/code", {"code": "1111-1111-1111"})
    answer = parent.post("/fr/family/code", {"code": made["code"]})
    assert answer.status_code == 429 and "Attendez une heure" in answer.text
    other = signed_in(site, Role.GUARDIAN, purpose=None)
    assert other.post("/fr/family/code", {"code": made["code"]}).status_code == 303
    assert signed_in(site, Role.GUARDIAN).post("/fr/family/code", {"code": made["code"]}).status_code == 422


def test_who_has_as_many_links_as_may_be_is_told_that(site: Server, tutor: NewCredential) -> None:
    parent = signed_in(site, Role.GUARDIAN, purpose=None)
    sent(site, tutor, "lou")
    links, lou = site.container.people.links, data_subject_of([agent("lou")])
    for _ in range(MAX_LINKS):
        made = links.ask("tutor", lou, role="guardian", actor="cli:test")
        links.give(parent.user.id, ("guardian",), made.code, actor="cli:test")
    answer = parent.post("/fr/family/code", {"code": code_for(site, tutor, "lou")["code"]})
    assert answer.status_code == 422 and "autant de liens" in answer.text and "Quarante" not in answer.text
    answer = parent.post("/fr/family/code", {"code": "", "called": "x" * 41})
    assert answer.status_code == 422 and "Quarante" in answer.text


def test_a_page_reads_the_links_of_its_account_once(
    site: Server, tutor: NewCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, (link, _) = parent_of(site, tutor, "max", "moe")
    people, read, real = site.container.people, [], LinkRepository.of_user
    monkeypatch.setattr(LinkRepository, "of_user", lambda self, *given: read.append(given) or real(self, *given))
    family = FamilyPages(people.links, people.family, ExportAnswers())
    visitor: Any = SimpleNamespace(user=parent.user, roles=ROLES)
    pages: Any = SimpleNamespace(render=lambda *_: Response(), see=lambda *_, **__: Response())
    asked = PageRequest(visitor, Role.GUARDIAN, "fr", Form(), pages)
    views = (
        lambda: family.family(asked),
        lambda: family.kept(asked, link),
        lambda: family.readers(asked, link),
        lambda: family.requests(asked),
        lambda: family.ask(asked, link, "access"),
        # Shown again: it must say what is wrong.
        lambda: family.asked(asked, link, "rectification"),
    )
    for view in views:
        read.clear()
        view()
        assert len(read) == 1


def test_what_is_wrong_elsewhere_is_not_told_as_a_fault_of_the_field() -> None:
    class Failing:
        """Refuses for a reason that no field is the place of."""

        def give(self, *given: object, **named: object) -> None:
            raise BadRequest("Something else.")

        ask = give

        def children(self, *given: object) -> list[Child]:
            return [Child("0", "guardian", "", data_subject_of([agent("lou")]), date(2027, 8, 31), "source:tutor")]

    failing: Any = Failing()
    visitor: Any = SimpleNamespace(user=SimpleNamespace(id="u-parent"), roles=(Role.GUARDIAN,))
    pages: Any = None
    asked = PageRequest(visitor, Role.GUARDIAN, "fr", Form(), pages)
    family = FamilyPages(failing, failing, failing)
    for act in (lambda: family.give_code(asked), lambda: family.asked(asked, "0", "access")):
        with pytest.raises(BadRequest, match="Something else"):
            act()


def test_a_link_that_ended_shows_nothing_from_then_on(site: Server, tutor: NewCredential) -> None:
    parent, (link,) = parent_of(site, tutor, "kim")
    assert parent.get(f"/fr/family/{link}").status_code == 200
    body = {"link": link}
    assert site.send("POST", "/api/v1/learner-links/end", tutor, version=None, json=body).json() == {"ended": 1}
    assert parent.get(f"/fr/family/{link}").status_code == 404
    assert "n’est encore relié à personne" in parent.get("/fr/family").text
    assert site.send("POST", "/api/v1/learner-links/end", tutor, version=None, json=body).status_code == 404


def test_of_an_erased_child_there_is_no_page(site: Server, tutor: NewCredential) -> None:
    parent, (link,) = parent_of(site, tutor, "oda")
    people = site.container.people
    people.erasures.erase(data_subject_of([agent("oda")]), actor="cli:test")
    people.erasures.run()
    assert parent.get(f"/fr/family/{link}").status_code == 404
    assert parent.get("/fr/family").status_code == 200


def test_what_is_asked_for_is_a_request_and_waits_for_its_answer(site: Server, tutor: NewCredential) -> None:
    parent, (link,) = parent_of(site, tutor, "pia")
    requests = site.container.people.requests
    for kind in ("rectification", "objection", "access", "erasure"):
        assert parent.get(f"/fr/family/{link}/ask/{kind}").status_code == 200
        assert parent.post(f"/fr/family/{link}/ask/{kind}", {"text": "Bonjour"}).status_code == 303
        answer = parent.post(f"/fr/family/{link}/ask/{kind}", {"text": "Encore"})
        assert answer.status_code == 409 and "déjà demandé" in answer.text
    found = requests.of(data_subject_of([agent("pia")]))
    assert sorted(each.kind for each in found) == ["access", "erasure", "objection", "rectification"]
    # Known by a link is not identified: who answers looks.
    assert {each.status for each in found} == {"open"}
    assert all("source:tutor" in each.steps[0].note and "Bonjour" in each.steps[0].note for each in found)
    assert parent.post(f"/fr/family/{link}/ask/rectification", {"text": " "}).status_code == 422
    assert parent.post(f"/fr/family/{link}/ask/access", {"text": "x" * 4_001}).status_code == 422
    for kind in ("restriction", "nonsense", HOSTILE):
        assert parent.get(f"/fr/family/{link}/ask/{kind}").status_code == 404
        assert parent.post(f"/fr/family/{link}/ask/{kind}", {"text": ""}).status_code == 404
    page = parent.get(f"/fr/family/{link}").text
    assert "voir où elle en est" in page


def test_a_copy_is_fetched_once_when_the_request_is_answered(site: Server, tutor: NewCredential) -> None:
    parent, (link,) = parent_of(site, tutor, "rui")
    parent.post(f"/fr/family/{link}/ask/access", {"text": ""})
    requests = site.container.people.requests
    (request,) = requests.of(data_subject_of([agent("rui")]))
    path = f"/fr/family/{link}/requests/{request.id}/copy"
    assert parent.post(path).status_code == 409
    requests.identify(request.id, actor="cli:test")
    assert parent.post(path).status_code == 409
    assert "Télécharger la copie" not in parent.get("/fr/family/requests").text
    requests.done(request.id, actor="cli:test")
    assert "Télécharger la copie" in parent.get("/fr/family/requests").text
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(parent.post(path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (copy,) = [answer for answer in answers if answer.status_code == 200]
    with ZipFile(io.BytesIO(copy.content)) as package:
        assert len(orjson.loads(package.read("statements/own-00001.json"))) == 2
        # That there is a link, and not whose the account is.
        links = package.read("links/links-00001.json").decode()
        assert "guardian" in links and parent.user.id not in links
    assert parent.post(path).status_code == 409
    assert "Vous avez téléchargé la copie" in parent.get("/fr/family/requests").text
    acts = [step.what for step in requests.of(data_subject_of([agent("rui")]))[0].steps]
    assert acts == ["opened", "identified", "done", "package-collected", "package-written"]


def test_an_objection_is_taken_back_by_who_made_it(site: Server, tutor: NewCredential) -> None:
    parent, (link,) = parent_of(site, tutor, "sam")
    parent.post(f"/fr/family/{link}/ask/objection", {"text": ""})
    people, sam = site.container.people, data_subject_of([agent("sam")])
    (request,) = people.requests.of(sam)
    path = f"/fr/family/{link}/requests/{request.id}/withdraw"
    assert parent.post(path).status_code == 409
    people.requests.identify(request.id, actor="cli:test")
    people.restriction.note_objection(sam, actor="cli:test", request=request.id)
    assert parent.post(path).status_code == 409
    people.requests.done(request.id, actor="cli:test")
    assert "La recherche se fait sans ces traces" in parent.get(f"/fr/family/{link}").text
    assert parent.post(path).status_code == 303
    assert people.restriction.standing(sam, actor="cli:test").objects == ()
    assert "Vous l’avez retirée" in parent.get("/fr/family/requests").text


def test_what_is_restricted_is_shown_to_its_own_and_says_so(site: Server, tutor: NewCredential) -> None:
    parent, (link,) = parent_of(site, tutor, "una")
    site.container.people.restriction.restrict(data_subject_of([agent("una")]), actor="cli:test")
    page = parent.get(f"/en/family/{link}").text
    assert "Nothing is done with it at the moment" in page and "2 traces of what your child did" in page
    assert "as long as it is only kept" in page


def test_readers_are_told_by_what_people_call_them(site: Server, tutor: NewCredential) -> None:
    parent, (link,) = parent_of(site, tutor, "vic")
    assert "Personne n’a lu" in parent.get(f"/fr/family/{link}/readers").text
    reader = site.container.operations.sources.issue(
        source=None, label="Équipe <b>d'essai</b>", scopes=[scopes.READ], actor="cli:test"
    )
    question = {"agent": orjson.dumps(agent("vic")).decode()}
    assert site.send("GET", "/xAPI/statements", reader, params=question).status_code == 200
    for _ in range(50):
        page = parent.get(f"/fr/family/{link}/readers").text
        if "essai" in page:
            break
    assert "Équipe &lt;b&gt;" in page and re.search(r"1\u00a0fois, en cherchant", page)
    assert "Research" in parent.get(f"/en/family/{link}/readers").text


def test_others_are_masked_in_what_is_shown(site: Server, tutor: NewCredential) -> None:
    parent = signed_in(site, Role.GUARDIAN, purpose=None)
    comrade = {"objectType": "Agent", "name": "Camarade Martin", "mbox": "mailto:camarade@ent.example"}
    sent(site, tutor, "wim", {"object": comrade})
    made = code_for(site, tutor, "wim")
    parent.post("/fr/family/code", {"code": made["code"]})
    page = parent.get(f"/fr/family/{made['link']}").text
    assert "Martin" not in page and "camarade" not in page
